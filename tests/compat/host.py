"""The host behind both proxies: what it says is part of the call that is replayed.

Why built on the real clients' host: that one already speaks HTTP/1.1 by hand and keeps a ledger; here it only
learns to answer by script, and to fail in the ways hosts fail.
"""

import dataclasses
import json

import answers
from upstream import ClientLeft, Upstream

KEYS = ["sk-a1", "sk-a2", "sk-a3", "sk-own", "sk-b1", "sk-b2"]
LIMITS = [("x-request-id", "req_host_1"), ("x-ratelimit-limit-requests", "500"), ("openai-processing-ms", "12")]


@dataclasses.dataclass(frozen=True)
class Says:
    """One answer with a length."""

    status: int
    body: object
    kind: str = "application/json"
    headers: tuple = ()

    async def play(self, _host, _call, answer):
        await answer.whole(self.status, self.body, self.kind, self.headers)


@dataclasses.dataclass(frozen=True)
class Streams:
    """A chunked answer, one write a piece; `ends` false: the connection is cut after the last one."""

    pieces: tuple
    ends: bool = True

    async def play(self, _host, _call, answer):
        if self.ends:
            await answer.stream(self.pieces)
            return
        answer._head(200, "text/event-stream; charset=utf-8", [("transfer-encoding", "chunked")])
        for piece in self.pieces:
            answer.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await answer.writer.drain()
        raise ClientLeft


@dataclasses.dataclass(frozen=True)
class Short:
    """An answer that ends before its length."""

    body: bytes

    async def play(self, _host, _call, answer):
        answer._head(200, "application/json", [("content-length", str(len(self.body) + 50))])
        answer.writer.write(self.body)
        await answer.writer.drain()
        raise ClientLeft


@dataclasses.dataclass(frozen=True)
class Drops:
    """Closes the connection of the first calls unanswered, then answers as usual."""

    times: int

    async def play(self, host, call, answer):
        if len(host.calls) <= self.times:
            raise ClientLeft
        await usual(call, answer)


@dataclasses.dataclass(frozen=True)
class Waits:
    """Begins a stream and goes on when the client has left: how that is noticed is compared."""

    pieces: tuple

    async def play(self, _host, _call, answer):
        await answer.stream([*self.pieces, b"data: never\n\n"], gated=False, lingers=True)


class Host(Upstream):
    """One scripted host; `script` is what it does until it is told otherwise, None the usual."""

    def __init__(self):
        self.script = None
        super().__init__(key="")

    async def respond(self, call, answer):
        if self.script:
            await self.script.play(self, call, answer)
        else:
            await usual(call, answer)


async def usual(call, answer):
    """What a real host says: 401 to strangers, OpenAI's answers to its paths, an echo to all others."""
    token = (call.header("authorization") or [""])[0].removeprefix("Bearer ")
    path = call.path.partition("?")[0]
    if path.startswith("/v1") and token not in KEYS:
        await answer.whole(401, answers.error(f"Incorrect API key provided: {token}.", "invalid_api_key"))
    elif call.method == "POST" and path == "/v1/chat/completions":
        await chat(call, answer)
    elif call.method == "POST" and path == "/v1/images/generations":
        await answer.whole(200, {"created": 1700000000, "data": [{"url": "http://images.test/1.png"}]})
    elif path == "/v1/completions" and call.body[:1] != b"{":
        await answer.whole(400, answers.error("We could not parse the JSON body of your request.", None))
    elif handler := answers.HANDLERS.get((call.method, path)):
        await handler(call, answer)
    elif call.method == "HEAD":
        await answer.whole(200, b"", "text/plain")
    else:
        await answer.whole(200, {"method": call.method, "target": call.path, "body": call.body.decode("latin-1")})


async def chat(call, answer):
    """Chats with any model, whole or streamed; a body that is no chat is OpenAI's 400."""
    try:
        asked = json.loads(call.body)
        asked["messages"][-1]["content"], asked["model"]  # noqa: B018 (looked at for their absence)
    except (ValueError, LookupError, TypeError):
        await answer.whole(400, answers.error("We could not parse the JSON body of your request.", None))
        return
    if asked.get("stream"):
        events = [answers.frame(event) for event in answers.chat_events(asked)]
        await answer.stream([*events, b"data: [DONE]\n\n"], LIMITS)
    else:
        await answer.whole(200, answers.chat_whole(asked), headers=LIMITS)
