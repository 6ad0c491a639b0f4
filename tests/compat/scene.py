"""Replays the calls of one environment against both proxies and keeps what was seen, field by field.

Each call goes to openai-forward and then at once to aifd, so that counters and windows of both run alike.
The trap: chat logs are written behind the answer, so they are read when both have ended; a line belongs to the
call whose address stands in it (every call comes from an address of its own where a log is kept).
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import pathlib
import socket
import tempfile
import time

from calls import CALLS
from environments import VERSIONS, text_of
from fields import fields_of, log_fields
from host import Host
from servers import Server
from wire import perform

SIDES = ("theirs", "ours")


def replay(name, version):
    """What each call of an environment gave: {call: {"theirs": {field: value}, "ours": {...}}}."""
    seen = _outcome(name, version)
    assert not isinstance(seen, str), seen
    return seen


@functools.cache
def _outcome(name, version):
    """A scene is played once; why it could not be is kept as well, or every call of it would try again."""
    try:
        return _play(name, version)
    except (AssertionError, OSError) as fault:
        return f"{name} could not be played with {version}: {fault}"


def _play(name, version):
    calls = [call for call in CALLS[name] if version in call.versions]
    with contextlib.ExitStack() as stack:
        hosts = {"main": Host(), "side": Host()}
        for host in hosts.values():
            stack.callback(host.stop)
        ports = {key: host.port for key, host in hosts.items()}
        ports |= {"dead": stack.enter_context(_dead()), "slow": stack.enter_context(_slow())}
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="compat-")))
        env = text_of(name, version, ports)
        servers = {"theirs": Server(version, folder / "theirs", env), "ours": Server(None, folder / "ours", env)}
        for server in servers.values():
            stack.callback(server.kill)
        for server in servers.values():
            server.wait()
        logs = "LOG_" in env
        seen = _calls(calls, servers, hosts, ports, logs)
        for server in servers.values():
            server.stop()
        if logs:
            _logs(calls, servers, seen)
    return seen


def scenes():
    """Every environment in every version that knows it."""
    return [(name, version) for name in CALLS for version, known in VERSIONS.items() if name in known]


def _calls(calls, servers, hosts, ports, logs):
    seen = {}
    for at, call in enumerate(calls):
        seen[call.name] = {}
        if logs and not any(name == "x-forwarded-for" for name, _ in call.headers):
            call = dataclasses.replace(call, headers=(*call.headers, ("x-forwarded-for", address_of(at))))
        for side in SIDES:
            for host in hosts.values():
                host.clear()
                host.script = call.host
            reply = perform(servers[side].port, call)
            known = {port: f"{{{key}}}" for key, port in ports.items()} | {servers[side].port: "{self}"}
            seen[call.name][side] = fields_of(call, reply, _ledger(call, hosts), known)
    return seen


def _ledger(call, hosts):
    """What reached which host, and how it ended there."""
    arrived = [(key, one) for key, host in hosts.items() for one in host.calls]
    for _, one in arrived if call.leaves else ():
        with contextlib.suppress(concurrent.futures.TimeoutError):
            one.ended.result(timeout=3)
    return arrived


def _logs(calls, servers, seen):
    now = time.time()
    for side, server in servers.items():
        addresses = {address_of(at): call.name for at, call in enumerate(calls)}
        for name, fields in log_fields(server.log(), addresses, now).items():
            seen.setdefault(name, {"theirs": {}, "ours": {}})[side] |= fields


def address_of(at):
    """The address that the nth call comes from."""
    return f"10.66.{at // 200}.{at % 200 + 1}"


@contextlib.contextmanager
def _dead():
    """A port that refuses connections."""
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        yield dead.getsockname()[1]


@contextlib.contextmanager
def _slow():
    """A port where connections are never accepted: its queue is full."""
    with contextlib.ExitStack() as stack:
        door = stack.enter_context(socket.socket())
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(door.getsockname())
        yield door.getsockname()[1]
