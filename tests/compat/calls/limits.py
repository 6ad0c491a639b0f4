"""How often and how fast: limits of requests by path, all strategies, pacing by chunks, the benchmark route."""

from call import call, chat, completion, embedding, get, stream, times
from host import Streams

AWAY = {"x-forwarded-for": "10.7.7.7"}
OTHER = {"key": "fk-two", "more": {"x-forwarded-for": "10.8.8.8"}}  # another caller for both: by address and by key
COMMA = {"key": "a,b", "more": {"x-forwarded-for": "10.9.9.9"}}
NOBODY = {"key": None, "more": {"x-forwarded-for": "10.9.9.9"}}
PIECE = b'data: {"choices": [{"index": 0, "text": "one"}]}\n\n'
BENCH = "/benchmark/v1/chat/completions"

LIMITS = {
    "limited": [
        *times(4, get("models")), get("models-query", "/v1/models?a=1"), call("models-post", "POST", "/v1/models", {}),
        get("models-of-another-path", "/v1/models/x"), *times(3, get("lookalike", "/v1/modelsxyz")),
        get("models-other-key", key="fk-two"), get("models-other-address", more=AWAY), get("models-no-key", key=None),
        *times(3, embedding("embedding")), call("image", "POST", "/v1/images/generations", {"prompt": "a cat"}),
        *times(3, chat("chat", **OTHER)), stream("stream-refused", **OTHER), get("elsewhere", "/v1/files", **OTHER),
        get("cors-refused", more={"origin": "http://page.test"}),
        *times(3, get("comma", "/v1/files", **COMMA)),
        get("healthz-never", "/healthz"), get("healthz-never-2", "/healthz"), get("healthz-never-3", "/healthz"),
        call("preflight", "OPTIONS", "/v1/models", key=None,
             more={"origin": "http://page.test", "access-control-request-method": "GET"}),
    ],
    "moving": [*times(4, get("models")), *times(3, chat("chat", **OTHER)), get("elsewhere", "/v1/files", **OTHER)],
    "elastic": [*times(4, get("models")), *times(3, chat("chat", **OTHER)), get("elsewhere", "/v1/files", **OTHER)],
    "unlimited": [get("models-first"), get("elsewhere", "/v1/files"), *times(3, get("models"))],
    "ordered": times(2, get("models")),
    "several": [
        *times(4, get("openai", "/openai/v1/models")), *times(2, get("side", "/side/v1/models", **OTHER)),
        *times(4, get("raw", "/raw/x", **NOBODY)), get("elsewhere", "/openai/v1/files"), get("no-route", "/nowhere"),
    ],
    "paced": [
        stream("stream", takes=(0.4, 6.0)), chat("whole"), completion("slow-whole", takes=(0.95, 6.0)),
        completion("first-piece", fields={"stream": True}, host=Streams((PIECE,)), takes=(0.95, 6.0)),
        get("unpaced", takes=(0.0, 0.9)),
    ],
    "bench": [
        call("whole", "POST", BENCH, {"messages": [{"role": "user", "content": "hi"}]}, key=None),
        call("stream", "POST", BENCH, {"stream": True, "messages": [], "model": "robo"}),
        call("get", "GET", BENCH), *times(3, call("limited", "POST", BENCH, {"messages": []})),
    ],
}
