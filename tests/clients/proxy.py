"""The built `aifd` as a test sees it: started on free ports, watched, stopped, its log read.

Why every stop checks so much: a panic that one request survived, a secret in a log line or an exit code
other than 0 is a failure whatever the test itself was about.
"""

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).parents[2]
BINARY = pathlib.Path(os.environ.get("AIFD_BIN", ROOT / "target/debug/aifd")).absolute()
SECRET = re.compile(r"\b[sf]k-[0-9A-Za-z]")
START, STOP = 20, 20  # seconds


class Aifd:
    """A running aifd. `config` is TOML; `{port}`, `{admin}` and `{log}` in it are filled in."""

    def __init__(self, folder, config):
        self.port, self.log_dir = free_port(), folder / "Log"
        file = folder / "aifd.toml"
        file.write_text(config.format(port=self.port, admin=free_port(), log=self.log_dir), encoding="utf-8")
        self._begin(folder, "--config", file)

    @classmethod
    def in_place(cls, folder, env):
        """Where an openai-forward was: `env` is its `.env`, and nobody says more than the port."""
        here = cls.__new__(cls)
        here.port, here.log_dir = free_port(), folder / "Log"
        (folder / ".env").write_text(env, encoding="utf-8")
        here._begin(folder, "--port", str(here.port))
        return here

    def _begin(self, folder, *options):
        self.url = f"http://127.0.0.1:{self.port}"
        self._stderr = folder / "stderr.log"
        assert BINARY.exists(), f"{BINARY} is missing: build it with `cargo build`, or set AIFD_BIN"
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [BINARY, "run", *options], cwd=folder, env={"PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        try:
            self._wait_until_it_serves()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def stop(self):
        """Ends it as systemd would, and checks what it left behind."""
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout=STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"aifd was still there {STOP} s after SIGTERM\n{self.said()}") from None
        said = self.said()
        assert code == 0, f"exit code {code}\n{said}"
        assert "panicked" not in said, said
        assert not SECRET.search(said), f"a secret in the log\n{said}"

    def runs(self):
        """Whether nobody has stopped it yet."""
        return self._process.poll() is None

    def said(self):
        """All it wrote to its terminal."""
        return self._stderr.read_text(encoding="utf-8")

    def chats(self):
        """The chat log, whole lines; read it after `stop()`, when all of it is on disk."""
        text = (self.log_dir / "chat.jsonl").read_text(encoding="utf-8")
        assert text.endswith("\n"), "the last line is torn"
        return [json.loads(line) for line in text.splitlines()]

    def get(self, path, key=None):
        """Status and body of a plain GET."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            link.request("GET", path, headers={"authorization": f"Bearer {key}"} if key else {})
            answer = link.getresponse()
            return answer.status, answer.read().decode()
        finally:
            link.close()

    def _wait_until_it_serves(self):
        deadline = time.monotonic() + START
        while True:
            assert self._process.poll() is None, f"aifd ended at its start\n{self.said()}"
            assert time.monotonic() < deadline, f"no /healthz within {START} s\n{self.said()}"
            try:
                status, body = self.get("/healthz")
            except OSError:
                time.sleep(0.02)  # no event tells another process that a port is open
                continue
            assert (status, body) == (200, '"OK"'), (status, body)
            return


def free_port():
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
