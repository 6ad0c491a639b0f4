"""Hosts that fail: dropped, refused, never accepted, cut in the middle; clients that leave."""

from call import call, chat, completion, embedding, get, stream
from host import Drops, Short, Streams, Waits

FRAMES = tuple(b'data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "%d"}}]}\n\n' % at
               for at in range(3))
END = b"data: [DONE]\n\n"

FAILURES = {
    "failing": [
        chat("drop-once", "/openai/v1", host=Drops(1)), chat("drop-twice", "/openai/v1", host=Drops(2)),
        chat("drop-thrice", "/openai/v1", host=Drops(3)), chat("drop-always", "/openai/v1", host=Drops(99)),
        stream("drop-stream", "/openai/v1", host=Drops(2)), get("drop-get", "/openai/v1/models", host=Drops(99)),
        call("drop-raw", "POST", "/raw/x", {"a": 1}, host=Drops(99)),
        call("drop-raw-twice", "POST", "/raw/x", {"a": 1}, host=Drops(2)),
        chat("refused", "/dead/v1"), stream("refused-stream", "/dead/v1"), get("refused-get", "/dead/v1/models"),
        chat("never-accepted", "/slow/v1"),
        stream("cut-mid-stream", "/openai/v1", host=Streams(FRAMES, ends=False), patience=1.5),
        stream("cut-at-once", "/openai/v1", host=Streams((), ends=False), patience=1.5),
        chat("cut-whole", "/openai/v1", host=Short(b'{"id": "x", "choi'), patience=1.5),
        call("cut-raw-stream", "POST", "/raw/x", {}, host=Streams(FRAMES, ends=False), patience=1.5),
        call("cut-raw-whole", "POST", "/raw/x", {}, host=Short(b"half"), patience=1.5),
        stream("no-done", "/openai/v1", host=Streams(FRAMES)), stream("odd-frames", "/openai/v1", host=Streams((b"data: {oh\n\n", END))),
        stream("comments", "/openai/v1", host=Streams((b": wait\n\n", *FRAMES, b"event: ping\ndata: {}\n\n", END))),
        stream("client-leaves", "/openai/v1", host=Waits(FRAMES), leaves=2),
        completion("drop-completion", "/openai/v1", host=Drops(99)), embedding("after-all", "/openai/v1"),
    ],
}
