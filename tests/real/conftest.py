"""A real llama.cpp server with the tiny model, and aifd in front of it."""

import os
import pathlib
import subprocess
import sys

import openai
import pytest

from proxy import Aifd

import tiny_model

HERE = pathlib.Path(__file__).parent
TEAM, HOST_KEY = "fk-team-0123456789", "sk-llama-0123456789"

CONFIG = """
[server]
listen = ["127.0.0.1:{{port}}"]
workers = 2

[admin]
listen = "127.0.0.1:{{admin}}"

[[upstream]]
name = "llama"
hosts = ["{llama}"]
keys = ["{host_key}"]

[[route]]
prefix = "/"
upstream = "llama"
kind = "openai"

[[key]]
name = "team"
secret = "{team}"

[chat_log]
dir = "{{log}}"
"""

for name in [name for name in os.environ if name.startswith("OPENAI_") or name.lower().endswith("_proxy")]:
    del os.environ[name]


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """The URL of the server. It ends when its standard input closes."""
    folder = tmp_path_factory.mktemp("llama")
    tiny_model.write(folder / "tiny.gguf")
    with (folder / "llama.log").open("wb") as log:
        server = subprocess.Popen([sys.executable, HERE / "llama_server.py", folder / "tiny.gguf", HOST_KEY],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    first = server.stdout.readline().split()
    assert first[:1] == ["READY"], (folder / "llama.log").read_text()
    yield first[1]
    assert server.poll() is None, "the server has crashed\n" + (folder / "llama.log").read_text()[-4000:]
    server.stdin.close()
    server.wait(timeout=10)


@pytest.fixture(scope="session")
def config(llama):
    """The configuration; aifd's own ports are still open in it."""
    return CONFIG.format(llama=llama, host_key=HOST_KEY, team=TEAM)


@pytest.fixture(scope="session")
def aifd(config, tmp_path_factory):
    """One aifd for all tests but that of the log."""
    running = Aifd(tmp_path_factory.mktemp("aifd"), config)
    yield running
    running.stop()


@pytest.fixture
def own_aifd(config, tmp_path):
    """An aifd for one test; the test stops it, then reads its chat log."""
    running = Aifd(tmp_path, config)
    yield running
    if running.runs():
        running.stop()


@pytest.fixture
def client(aifd):
    """A client that goes through aifd."""
    with client_of(aifd.url, TEAM) as made:
        yield made


@pytest.fixture
def direct(llama):
    """A client that goes to the server itself."""
    with client_of(llama, HOST_KEY) as made:
        yield made


def client_of(url, key, kind=openai.OpenAI):
    """A real client; no retries, so that each call is one call."""
    return kind(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)
