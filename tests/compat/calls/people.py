"""Who calls: IP lists, levels and their models, nobody's keys, everybody's keys."""

from call import MODEL, call, chat, completion, embedding, get, stream

FIRST, SECOND, THIRD, FOURTH = ({"x-forwarded-for": ip} for ip in ("10.1.1.1", "10.2.2.2, 10.9.9.9", "10.3.3.3", "10.4.4.4"))
GPT4 = {"model": "gpt-4"}

PEOPLE = {
    "allowed": [
        get("first", more=FIRST), get("second", more=SECOND), get("third", more=THIRD), get("peer"),
        get("healthz", "/healthz", more=THIRD), chat("fourth-chat", key="fk-two", more=FOURTH),
        stream("first-stream", key="fk-two", more=FIRST),
        get("fourth-cors", "/v1/files", key="fk-two", more=FOURTH | {"origin": "http://page.test"}),
        get("third-again", more=THIRD), get("third-more", more=THIRD), get("third-limited", more=THIRD),
    ],
    "denied": [
        get("first", more=FIRST), get("second", more=SECOND), get("peer"), chat("first-chat", more=FIRST),
        get("hidden-second", more={"x-forwarded-for": "10.3.3.3, 10.1.1.1"}),
        get("spoofed", more={"x-forwarded-for": "10.3.3.3, 203.0.113.9"}),
        get("first-cors", more=FIRST | {"origin": "http://page.test"}),
    ],
    "open": [
        get("no-key", key=None), get("foreign-key", key="sk-own"), get("wrong-key", key="nobody"), chat("chat", key=None),
        stream("stream", key="dummy"),
    ],
    "keyless": [
        get("own-key", key="sk-own"), get("wrong-key", key="nobody"), get("no-key", key=None), chat("chat", key="sk-own"),
        stream("stream", key="sk-own"),
    ],
    "poor": [get("no-pool"), chat("no-pool-chat"), get("own-key", key="sk-own")],
    "levels": [
        chat("zero", key="fk-zero"), chat("zero-next", key="fk-zero"), chat("zero-third", key="fk-zero"),
        chat("zero-any-model", key="fk-zero", fields=GPT4), chat("one"), chat("one-next"), chat("one-third"),
        chat("two", key="fk-two", fields=GPT4), chat("one-not-allowed", fields=GPT4),
        stream("one-not-allowed-stream", fields=GPT4), chat("two-not-allowed", key="fk-two"),
        embedding("one-embedding"), embedding("two-embedding", key="fk-two"), completion("one-completion"),
        completion("one-completion-allowed", fields={"model": MODEL}),
        call("one-image", "POST", "/v1/images/generations", {"model": "dall-e-3", "prompt": "a cat"}),
        get("one-models"), chat("three-without-key", key="fk-three", fields=GPT4), chat("own-key", key="sk-own", fields=GPT4),
        call("one-no-model", "POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "say one-no-model"}]}),
        call("raw-allowed", "POST", "/raw/v1/messages", {"model": MODEL}),
        call("raw-not-allowed", "POST", "/raw/v1/messages", {"model": "gpt-4"}),
        call("raw-elsewhere", "POST", "/raw/v1/other", {"model": "gpt-4"}),
        chat("raw-chat-not-allowed", "/raw/v1", fields=GPT4),
    ],
    "unlogged": [
        chat("not-allowed", fields=GPT4), chat("allowed"), get("models-1"), get("models-2"), get("models-3"),
        completion("paced", fields={"model": MODEL}), completion("paced-for-strangers", key="sk-own"),
    ],
}
