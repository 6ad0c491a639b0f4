"""The two that are compared: openai-forward of one version, and aifd, each in a folder with the same `.env`.

The trap: openai-forward cannot be bound to loopback; it listens on every address while a test runs.
"""

import http.client
import os
import pathlib
import signal
import subprocess
import time

from proxy import BINARY, free_port

ROOT = pathlib.Path(__file__).parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
START, STOP = 60, 20  # seconds


def command_of(version):
    """How openai-forward of this version is called; None stands for aifd."""
    if version is None:
        return [BINARY]
    folder = TARGET.absolute() / f"venv-of{version.replace('.', '')}"
    assert (folder / ".stamp").exists(), f"{folder} is missing: make test-compat installs it"
    return [folder / "bin/openai-forward"]


class Server:
    """A running proxy. It answers when `wait` returns."""

    def __init__(self, version, folder, env):
        folder.mkdir(parents=True)
        (folder / ".env").write_text(env, encoding="utf-8")
        self.folder, self.port, self._out = folder, free_port(), folder / "out.log"
        clean = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        with self._out.open("wb") as out:
            self._process = subprocess.Popen([*command_of(version), "run", "--port", str(self.port)], cwd=folder,
                                             env=clean, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def wait(self):
        """Waits until it serves."""
        deadline = time.monotonic() + START
        while True:
            assert self._process.poll() is None, f"it ended at its start\n{self.said()}"
            assert time.monotonic() < deadline, f"no /healthz within {START} s\n{self.said()}"
            link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                link.request("GET", "/healthz")
                link.getresponse()  # whatever it says: an address list may hold for it too
                return
            except OSError:
                time.sleep(0.02)  # no event tells another process that a port is open
            finally:
                link.close()

    def stop(self):
        """Ends it, so that all it logs is on disk."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=STOP)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        """Ends it at once, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def said(self):
        """All it wrote to its terminal."""
        return self._out.read_text(encoding="utf-8", errors="replace")

    def log(self):
        """The lines of its chat log, by file."""
        files = sorted(path for path in (self.folder / "Log").rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_text(encoding="utf-8").splitlines() for path in files}
