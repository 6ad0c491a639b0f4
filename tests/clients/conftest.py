"""The scene of every test: two scripted hosts with a key each, a host that refuses, and aifd in front of them.

`fk-team` may use all models, `fk-small` only some; `fk-counted`, `fk-hasty` and `fk-spending` have limits.
"""

import os
import socket

import openai
import pytest

from proxy import Aifd
from upstream import Upstream

TEAM, SMALL = "fk-team-0123456789", "fk-small-0123456789"
COUNTED, HASTY, SPENDING = "fk-counted-0123456789", "fk-hasty-0123456789", "fk-spending-0123456789"
MAIN, SIDE = "sk-main-0123456789", "sk-side-0123456789"
MODEL = "gpt-4o-mini"
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]

CONFIG = """
[server]
listen = ["127.0.0.1:{{port}}"]
workers = 2

[admin]
listen = "127.0.0.1:{{admin}}"

[[upstream]]
name = "main"
hosts = ["http://127.0.0.1:{main}"]
keys = ["{main_key}"]
retry.attempts = 1

[[upstream]]
name = "side"
hosts = ["http://127.0.0.1:{side}"]
keys = ["{side_key}"]

[[upstream]]
name = "dead"
hosts = ["http://127.0.0.1:{dead}"]

[[route]]
prefix = "/"
upstream = "main"
kind = "openai"

[[route]]
prefix = "/side"
upstream = "side"
kind = "openai"

[[route]]
prefix = "/dead"
upstream = "dead"
kind = "openai"

[[key]]
name = "team"
secret = "{team}"

[[key]]
name = "small"
secret = "{small}"
models = ["gpt-4o-mini", "text-*"]

[[key]]
name = "counted"
secret = "{counted}"
requests = "2/hour"

[[key]]
name = "hasty"
secret = "{hasty}"
requests = "1/second"

[[key]]
name = "spending"
secret = "{spending}"
tokens = "1000/hour"
pace = "100/second"

[chat_log]
dir = "{{log}}"
"""

# The client reads these, and a developer's machine has them set.
for name in [name for name in os.environ if name.startswith("OPENAI_") or name.lower().endswith("_proxy")]:
    del os.environ[name]


@pytest.fixture(scope="session")
def hosts():
    """The scripted hosts by name, and a port that refuses connections for as long as the tests run."""
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        scripted = {"main": Upstream(MAIN), "side": Upstream(SIDE)}
        yield scripted | {"dead": dead.getsockname()[1]}
        for host in scripted.values():
            host.stop()


@pytest.fixture
def upstream(hosts):
    """The host behind `/`, with an empty ledger and its gate shut."""
    hosts["main"].clear()
    return hosts["main"]


@pytest.fixture
def side(hosts):
    """The host behind `/side`."""
    hosts["side"].clear()
    return hosts["side"]


@pytest.fixture(scope="session")
def config(hosts):
    """The configuration of this scene; aifd's own ports are still open in it."""
    return CONFIG.format(main=hosts["main"].port, main_key=MAIN, side=hosts["side"].port, side_key=SIDE,
                         dead=hosts["dead"], team=TEAM, small=SMALL, counted=COUNTED, hasty=HASTY,
                         spending=SPENDING)


@pytest.fixture(scope="session")
def aifd(config, tmp_path_factory):
    """One aifd for all tests that do not look at its chat log."""
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
    """The real client with the key of the team."""
    with client_of(aifd) as made:
        yield made


def client_of(aifd, key=TEAM, prefix="", kind=openai.OpenAI):
    """A real client; no retries, so that each call is one call."""
    return kind(base_url=f"{aifd.url}{prefix}/v1", api_key=key, max_retries=0, timeout=15)


def ask(prompt, **more):
    """The arguments of a chat call."""
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}]} | more


def text_of(chunks):
    """The text of a stream's chunks, joined."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
