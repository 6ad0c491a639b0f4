"""How often and how fast: limits of requests by path, all strategies, pacing by chunks, the benchmark route."""

from call import call, chat, completion, embedding, get, stream, times

AWAY = {"x-forwarded-for": "10.7.7.7"}
BENCH = "/benchmark/v1/chat/completions"

LIMITS = {
    "limited": [
        *times(4, get("models")), get("models-query", "/v1/models?a=1"), call("models-post", "POST", "/v1/models", {}),
        get("models-of-another-path", "/v1/models/x"), get("models-lookalike", "/v1/modelsxyz"),
        get("models-other-key", key="fk-two"), get("models-other-address", more=AWAY), get("models-no-key", key=None),
        *times(3, embedding("embedding")), call("image", "POST", "/v1/images/generations", {"prompt": "a cat"}),
        *times(3, chat("chat")), stream("stream-refused"), get("cors-refused", more={"origin": "http://page.test"}),
        get("comma-1", "/v1/files", key="a,b"), get("comma-2", "/v1/files", key="a,b"), get("comma-3", "/v1/files", key="a,b"),
        get("healthz-never", "/healthz"), get("healthz-never-2", "/healthz"), get("healthz-never-3", "/healthz"),
        call("preflight", "OPTIONS", "/v1/models", key=None,
             more={"origin": "http://page.test", "access-control-request-method": "GET"}),
    ],
    "moving": [*times(4, get("models")), *times(3, chat("chat"))],
    "elastic": [*times(4, get("models")), *times(3, chat("chat"))],
    "unlimited": [get("models-first"), get("elsewhere", "/v1/files"), *times(3, get("models"))],
    "several": [
        *times(4, get("openai", "/openai/v1/models")), *times(2, get("side", "/side/v1/models")),
        *times(4, get("raw", "/raw/x", key=None)), get("no-route", "/nowhere"),
    ],
    "paced": [
        stream("stream", takes=(0.4, 4.0)), chat("whole", takes=(0.04, 1.5)), completion("slow-whole", takes=(0.45, 2.0)),
        get("unpaced", takes=(0.0, 0.45)),
    ],
    "bench": [
        call("whole", "POST", BENCH, {"messages": [{"role": "user", "content": "hi"}]}, key=None),
        call("stream", "POST", BENCH, {"stream": True, "messages": [], "model": "robo"}),
        call("get", "GET", BENCH), *times(3, call("limited", "POST", BENCH, {"messages": []})),
    ],
}
