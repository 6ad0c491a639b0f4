"""What the scripted host says: OpenAI-shaped answers, known in advance, by path and by model.

Why by model: it is the one thing that every client sends and no proxy may touch. `gated` and `lingers` are held
back by the test, `cut` splits events and characters anywhere, `busy` refuses.
"""

import base64
import hashlib
import json
import re
import struct

MODELS = ["gpt-4o-mini", "gpt-3.5-turbo", "gated", "lingers", "cut", "busy", "text-embedding-3-small", "whisper-1",
          "tts-1"]
RATELIMIT = [("x-ratelimit-limit-requests", "500"), ("x-ratelimit-remaining-requests", "499")]
PROCESSING = [("openai-processing-ms", "12")]
BUSY = {"error": {"message": "Rate limit reached for the organisation: 日本", "type": "requests", "param": None,
                  "code": "rate_limit_exceeded"}}
USAGE = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
TOOL_ARGUMENTS = '{"city": "Zürich", "days": 3}'
SPEECH = bytes(range(256)) * 400
VECTOR = [0.25, -0.5, 1.0, 0.125]
ECHO = " naïve 東京 🚀 the end."


def reply_to(prompt):
    """What this host says to a prompt: known in advance, and not plain ASCII."""
    return f"You said {prompt}:{ECHO}"


async def respond(key, call, answer):
    """The answers by path. A wrong key is refused, as a real host does."""
    if call.header("authorization") != [f"Bearer {key}"]:
        await answer.whole(401, error("Incorrect API key provided.", "invalid_api_key"))
    elif handler := HANDLERS.get((call.method, call.path)):
        await handler(call, answer)
    else:
        await answer.whole(404, error(f"Unknown request URL: {call.method} {call.path}.", "unknown_url"))


def error(message, code):
    """OpenAI's error object."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


async def models(_call, answer):
    data = [{"id": name, "object": "model", "created": 1700000000, "owned_by": "us"} for name in MODELS]
    await answer.whole(200, {"object": "list", "data": data}, headers=[("x-request-id", "req_host_1")])


async def chat(call, answer):
    asked = call.json()
    model = asked["model"]
    if model == "busy":
        await answer.whole(429, BUSY, headers=[*RATELIMIT, ("retry-after", "7")])
        return
    if model not in MODELS:
        await answer.whole(404, error(f"The model `{model}` does not exist.", "model_not_found"))
        return
    if asked.get("stream"):
        pieces = [frame(event) for event in chat_events(asked)] + [b"data: [DONE]\n\n"]
        pieces = slices(b"".join(pieces)) if model == "cut" else pieces
        headers = [*RATELIMIT, *PROCESSING]
        await answer.stream(pieces, headers, gated=model == "gated", lingers=model == "lingers")
        return
    if model == "gated":
        await answer.permit()
    await answer.whole(200, chat_whole(asked), headers=[*RATELIMIT, *PROCESSING])


def chat_whole(asked):
    """A chat answer in one piece."""
    message = {"role": "assistant", "content": reply_to(asked["messages"][-1]["content"])}
    finish = "stop"
    if asked.get("tools"):
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": TOOL_ARGUMENTS}}
        message, finish = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return answer_of("chat.completion", asked["model"], choices=[choice], usage=USAGE)


def chat_events(asked):
    """The same answer as events: role, words (or pieces of a tool call), finish, usage if asked for."""
    if asked.get("tools"):
        head = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
        deltas = [{"role": "assistant", "content": None, "tool_calls": [head]}]
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
                   for piece in pieces_of(TOOL_ARGUMENTS, 5)]
        finish = "tool_calls"
    else:
        words = reply_to(asked["messages"][-1]["content"]).split(" ")
        deltas = [{"role": "assistant", "content": ""}]
        deltas += [{"content": word if at == 0 else f" {word}"} for at, word in enumerate(words)]
        finish = "stop"
    ends = [None] * len(deltas) + [finish]
    for delta, end in zip([*deltas, {}], ends, strict=True):
        choice = {"index": 0, "delta": delta, "finish_reason": end}
        yield answer_of("chat.completion.chunk", asked["model"], choices=[choice])
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield answer_of("chat.completion.chunk", asked["model"], choices=[], usage=USAGE)


async def completions(call, answer):
    asked = call.json()
    words = pieces_of(reply_to(asked["prompt"]), 4)
    choices = [{"index": 0, "text": word, "finish_reason": None, "logprobs": None} for word in words]
    choices[-1]["finish_reason"] = "stop"
    if asked.get("stream"):
        events = [answer_of("text_completion", asked["model"], choices=[choice]) for choice in choices]
        await answer.stream([frame(event) for event in events] + [b"data: [DONE]\n\n"])
        return
    whole = [{**choices[-1], "text": "".join(words)}]
    await answer.whole(200, answer_of("text_completion", asked["model"], choices=whole, usage=USAGE))


async def embeddings(call, answer):
    asked = call.json()
    vector = VECTOR
    if asked.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack(f"<{len(VECTOR)}f", *VECTOR)).decode()
    texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    data = [{"object": "embedding", "index": at, "embedding": vector} for at in range(len(texts))]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    await answer.whole(200, {"object": "list", "data": data, "model": asked["model"], "usage": usage})


async def transcriptions(call, answer):
    """Answers with the hash of the file it was sent: the test compares it with its own."""
    parts = form_of(call)
    audio = parts["file"]
    text = f"{parts['model'].decode()} {len(audio)} {hashlib.sha256(audio).hexdigest()}"
    await answer.whole(200, {"text": text})


def form_of(call):
    """The parts of a multipart body by name, byte for byte."""
    boundary = b"--" + call.header("content-type")[0].split("boundary=")[1].strip('"').encode()
    parts = {}
    for part in call.body.split(boundary)[1:-1]:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'[; ]name="([^"]+)"', head)[1].decode()
        parts[name] = data.removesuffix(b"\r\n")
    return parts


async def speech(_call, answer):
    await answer.whole(200, SPEECH, kind="audio/mpeg")


async def images(call, answer):
    asked = call.json()
    data = [{"url": f"https://images.example/{asked['size']}/{at}.png"} for at in range(asked["n"])]
    await answer.whole(200, {"created": 1700000000, "data": data})


HANDLERS = {
    ("GET", "/v1/models"): models,
    ("POST", "/v1/chat/completions"): chat,
    ("POST", "/v1/completions"): completions,
    ("POST", "/v1/embeddings"): embeddings,
    ("POST", "/v1/images/generations"): images,
    ("POST", "/v1/audio/transcriptions"): transcriptions,
    ("POST", "/v1/audio/speech"): speech,
}


def answer_of(kind, model, **rest):
    """The envelope of all answers that are made of choices."""
    return {"id": "chatcmpl-1", "object": kind, "created": 1700000000, "model": model, **rest}


def frame(event):
    """One server-sent event, with its characters as they are (no escapes)."""
    return b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"


def pieces_of(text, size):
    """The text in pieces of so many characters."""
    return [text[at:at + size] for at in range(0, len(text), size)]


def slices(data, size=7):
    """The bytes in slices that respect neither events nor characters."""
    return [data[at:at + size] for at in range(0, len(data), size)]
