"""A call as data: what is asked, how the host answers, and how a kind of call is written in one line.

Why functions and not a file of JSON: a table of calls stays one line a call, and names what is special about it.
"""

import dataclasses
import json

MODEL = "gpt-4o-mini"
ASK = {"content-type": "application/json"}
BOUNDARY = "compat-boundary"


@dataclasses.dataclass(frozen=True)
class Call:
    """One recorded call. Seconds: `patience` to wait for more, `takes` between which it ends."""

    name: str
    method: str
    path: str
    headers: tuple = ()
    body: bytes = b""
    host: object = None
    leaves: int = 0
    patience: float = 30.0
    takes: tuple = ()
    versions: tuple = ("0.6.7", "0.8.1")


def compact(value):
    """JSON as openai-forward would write it: no spaces, no escapes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def call(name, method, path, body=b"", key="fk-one", more=(), **rest):
    """Any call; `key` None: without Authorization."""
    headers = dict(more)
    if not isinstance(body, bytes):
        body, headers = compact(body), ASK | headers
    if key is not None:
        headers = {"authorization": f"Bearer {key}"} | headers
    return Call(name, method, path, tuple(headers.items()), body, **rest)


def get(name, path="/v1/models", **rest):
    return call(name, "GET", path, **rest)


def chat(name, at="/v1", fields=(), **rest):
    """A chat whose prompt is its name."""
    asked = {"model": MODEL, "messages": [{"role": "user", "content": f"say {name}"}]} | dict(fields)
    return call(name, "POST", f"{at}/chat/completions", asked, **rest)


def stream(name, at="/v1", fields=(), **rest):
    return chat(name, at, {"stream": True} | dict(fields), **rest)


def completion(name, at="/v1", fields=(), **rest):
    return call(name, "POST", f"{at}/completions", {"model": "tts-1", "prompt": f"say {name}"} | dict(fields), **rest)


def embedding(name, at="/v1", fields=(), **rest):
    asked = {"model": "text-embedding-3-small", "input": f"say {name}"}
    return call(name, "POST", f"{at}/embeddings", asked | dict(fields), **rest)


def upload(name, at="/v1", size=1000, **rest):
    """An audio file as browsers send it."""
    parts = [f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'.encode(),
             f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="{name}.mp3"\r\n'
             "content-type: audio/mpeg\r\n\r\n".encode(),
             bytes(range(256)) * (size // 256 + 1), f"\r\n--{BOUNDARY}--\r\n".encode()]
    kind = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    return call(name, "POST", f"{at}/audio/transcriptions", b"".join(parts), more=kind, **rest)


def times(count, made):
    """The same call so often, numbered."""
    return [dataclasses.replace(made, name=f"{made.name}-{at + 1}") for at in range(count)]
