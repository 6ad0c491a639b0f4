"""What clients of OpenAI's API send: every kind of call, through a log and without one."""

from call import ASK, BOUNDARY, MODEL, call, chat, completion, embedding, get, stream, times, upload
from host import Says, Streams

TOOLS = {"tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
         "tool_choice": "auto"}
FUNCTIONS = {"functions": [{"name": "weather", "parameters": {"type": "object"}}], "function_call": "auto"}
FULL = {"max_tokens": 20, "n": 2, "temperature": 0.5, "top_p": 0.9, "logit_bias": {"50256": -100}, "seed": 7,
        "frequency_penalty": 0.25, "presence_penalty": -1, "stop": ["\n", "it's"], "user": "Ann \"A\" O'Hara",
        "response_format": {"type": "text"}}
CHOICES = {"id": "chatcmpl-2", "object": "chat.completion", "created": 1700000000, "model": MODEL, "choices": [
    {"index": at, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    for at, text in enumerate(["one\ttab 'quoted'", "two"])]}
PARTS = {"messages": [{"role": "system", "content": "brief"}, {"role": "user", "content": [
    {"type": "text", "text": "say parts"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]}
EVENTS = (b"data: 1\n\n", b"data: 2\n\n")
PRETTY = b'{\n  "model": "gpt-4o-mini",\n  "messages": [{"role": "user", "content": "say pretty \\u6771"}]\n}'

OPENAI = {
    "plain": [
        get("healthz", "/healthz", key=None),
        get("models"), get("model-one", f"/v1/models/{MODEL}"),
        chat("chat"), chat("chat-again"), chat("chat-third"), chat("chat-fourth-key"), chat("chat-other-key", key="fk-two"),
        chat("chat-full", fields=FULL), chat("chat-parts", fields=PARTS), chat("chat-tools", fields=TOOLS),
        chat("chat-functions", fields=FUNCTIONS), chat("chat-choices", fields={"n": 2}, host=Says(200, CHOICES)),
        chat("chat-unicode", fields={"messages": [{"role": "user", "content": "say chat-unicode 東京 🚀 \u2028 \x7f é"}]}),
        chat("chat-quotes", fields={"messages": [{"role": "user", "content": "say chat-quotes it's \"so\" \\ \n\t"}]}),
        chat("chat-null", fields={"stream": None, "stop": None}),
        chat("chat-numbers", fields={"temperature": 1e-7, "seed": 12345678901234567890, "top_p": 1.0, "n": True}),
        stream("stream"), stream("stream-tools", fields=TOOLS), stream("stream-full", fields=FULL),
        stream("stream-usage", fields={"stream_options": {"include_usage": True}}),
        stream("stream-cut-anywhere", fields={"model": "cut"}),
        call("chat-pretty", "POST", "/v1/chat/completions", PRETTY, more=ASK),
        chat("chat-caching-unused", fields={"caching": True}),
        chat("chat-broken-host", host=Says(500, b"<html>oh</html>", "text/html")),
        chat("chat-unavailable", host=Says(503, {"error": {"message": "later"}})),
        chat("chat-empty-answer", host=Says(200, b"")),
        chat("chat-odd-answer", host=Says(200, {"choices": []})),
        call("chat-no-messages", "POST", "/v1/chat/completions", {"model": MODEL}),
        call("chat-empty-body", "POST", "/v1/chat/completions", b"", more=ASK),
        chat("chat-wrong-key", key="fk-wrong"), chat("chat-own-key", key="sk-own"), chat("chat-no-key", key=None),
        chat("chat-small-bearer", key=None, more={"authorization": "bearer fk-one"}),
        chat("chat-basic", key=None, more={"authorization": "Basic Zm86YmFy"}),
        chat("chat-bare-key", key=None, more={"authorization": "fk-one"}),
        completion("completion"), completion("completion-whole", fields={"stream": False, "temperature": 0}),
        completion("completion-stream", fields={"stream": True}),
        embedding("embedding"), embedding("embedding-base64", fields={"encoding_format": "base64"}),
        embedding("embedding-list", fields={"input": ["say embedding-list", "two"]}),
        upload("audio"), upload("audio-large", size=3_000_000),
        call("speech", "POST", "/v1/audio/speech", {"model": "tts-1", "input": "hello", "voice": "alloy"}),
        call("image", "POST", "/v1/images/generations", {"model": "dall-e-3", "prompt": "a cat", "n": 1}),
        call("moderation", "POST", "/v1/moderations", {"input": "hm"}),
        call("file-upload", "POST", "/v1/files", upload("x").body,
             more={"content-type": f"multipart/form-data; boundary={BOUNDARY}"}),
        get("file-content", "/v1/files/file-1/content", host=Says(200, bytes(range(256)), "application/octet-stream")),
        call("file-delete", "DELETE", "/v1/files/file-1"),
        get("thread", "/v1/threads/t1", more={"openai-beta": "assistants=v2", "openai-organization": "org-1"}),
        call("chat-no-json", "POST", "/v1/chat/completions", b"{not json", more=ASK),
    ],
    "rotation": [
        *times(4, get("models")), chat("chat"), get("wrong-key", key="fk-wrong"), get("models-other-key", key="fk-two"),
        chat("busy", host=Says(429, {"error": {"message": "slow down"}}, headers=(("retry-after", "60"),))),
        *times(4, get("after-busy")),
        chat("dead-key", host=Says(401, {"error": {"message": "no such key", "code": "invalid_api_key"}})),
        *times(3, get("after-dead")),
    ],
    "unstreamed": [
        chat("chat"), stream("stream"), completion("completion"), get("models"), upload("audio"),
        chat("raw-chat", "/raw/v1"), stream("raw-stream", "/raw/v1"), get("raw", "/raw/anything"),
        get("unasked", "/v1/events", host=Streams(EVENTS)), get("raw-unasked", "/raw/events", host=Streams(EVENTS)),
    ],
    "quiet": [
        chat("chat"), stream("stream"), completion("completion"), embedding("embedding"), upload("audio"),
        call("chat-pretty", "POST", "/v1/chat/completions", PRETTY, more=ASK),
        chat("chat-caching", fields={"caching": True}),
        call("chat-no-json", "POST", "/v1/chat/completions", b"{not json", more=ASK),
        chat("headers", more={"x-trace": "1", "cookie": "a=b", "user-agent": "test/1", "accept": "text/event-stream",
                              "openai-beta": "assistants=v2", "idempotency-key": "k1", "accept-language": "de"}),
        get("cookie-set", host=Says(200, {"a": 1}, headers=(("set-cookie", "jar=1; Path=/"), ("x-host", "me"))),),
        get("cookie-not-sent"),
        get("not-modified", host=Says(304, b""), more={"if-none-match": '"x"'}),
        get("moved", "/v1/old", host=Says(307, b"", headers=(("location", "/v1/models"),))),
        get("found-elsewhere", "/v1/old2", host=Says(302, b"", headers=(("location", "http://other.test/"),))),
        get("no-type", "/v1/none", host=Says(204, b"", "text/plain")),
    ],
}
