"""One call over a socket of its own, as bytes: paths, headers and the way it ends are not tidied up.

Why not a client library: it would collapse `//`, decode `%2F`, add headers and hide how a body ended.
"""

import contextlib
import dataclasses
import http.client
import time


@dataclasses.dataclass
class Reply:
    """What came back. `ends`: "whole", "cut" (closed too early) or "hangs" (nothing more within the patience)."""

    status: str = "none"
    headers: list = dataclasses.field(default_factory=list)
    body: bytes = b""
    ends: str = "whole"
    seconds: float = 0.0


def perform(port, call):
    """Sends one call to a proxy on loopback and reads its answer to the end."""
    reply, start = Reply(), time.monotonic()
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=call.patience)
    try:
        link.putrequest(call.method, call.path, skip_accept_encoding=True)
        for name, value in call.headers:
            link.putheader(name, value)
        if call.body or call.method in ("POST", "PUT", "PATCH"):
            link.putheader("content-length", str(len(call.body)))
        link.endheaders(call.body or None)
        _read(link.getresponse(), call, reply)
    except TimeoutError:
        reply.ends = "hangs"
    except (http.client.HTTPException, ConnectionError):
        reply.ends = "cut"
    finally:
        link.close()
    reply.seconds = time.monotonic() - start
    return reply


def _read(answer, call, reply):
    reply.status = str(answer.status)
    reply.headers = [(name.lower(), value) for name, value in answer.getheaders()]
    with contextlib.closing(answer):
        while piece := answer.read1(65536):
            reply.body += piece
            if call.leaves and reply.body.count(b"\n\n") >= call.leaves:
                reply.ends = "left"
                return
        if answer.length:
            reply.ends = "cut"
