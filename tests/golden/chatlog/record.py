"""Records what a real openai-forward logs of the calls in `calls.json`: record.py BINARY > VERSION.txt

Why by hand: it sleeps, and installs nothing. `tests/it/chatlog.rs` compares aifd's own lines with what it recorded.
BINARY is the `openai-forward` of a virtual environment (0.8.1 wants pyyaml beside it).
"""

import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

CALLS = json.loads(pathlib.Path(__file__).with_name("calls.json").read_text())
FILES = ["chat/chat.log", "completion/completion.log", "embedding/embedding.log", "whisper/whisper.log"]


class Host(http.server.BaseHTTPRequestHandler):
    """Gives the answer of the call that is on."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = self.server.call["answer"].encode()
        self.send_response(self.server.call["status"])
        self.send_header("Content-Type", self.server.call["answer_type"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def send(port, method, path, body=None, kind="application/json"):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request(method, path, body and body.encode(), {"Content-Type": kind, "Authorization": "Bearer sk-x"})
    return client.getresponse().read()


def main(binary):
    host = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
    threading.Thread(target=host.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{host.server_port}"
    folder = pathlib.Path(tempfile.mkdtemp())
    target = json.dumps([{"base_url": url, "route": "/", "type": "openai"}])
    lines = [f"OPENAI_BASE_URL={url}", f"FORWARD_CONFIG={target}", "LOG_CHAT=true", "LOG_OPENAI=true", ""]
    (folder / ".env").write_text("\n".join(lines))
    port = free_port()
    command = [binary, "run", "--port", str(port), "--workers", "1"]
    with open(folder / "out.txt", "wb") as out:
        server = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, start_new_session=True)
    try:
        for _ in range(200):
            try:
                send(port, "GET", "/healthz")
                break
            except OSError:
                time.sleep(0.1)
        seen = dict.fromkeys(FILES, 0)
        for call in CALLS:
            host.call = call
            send(port, "POST", call["path"], call["request"], call["type"])
            time.sleep(0.4)
            print("##", call["name"])
            for name in FILES:
                path = folder / "Log/openai" / name
                text = path.read_bytes()[seen[name]:] if path.exists() else b""
                seen[name] += len(text)
                text = re.sub(r"'uid': '[0-9a-f]{32}'", "'uid': 'UID'", text.decode())
                print(re.sub(r"'datetime': '[-0-9: ]{19}'", "'datetime': 'DATETIME'", text), end="")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


main(sys.argv[1])
