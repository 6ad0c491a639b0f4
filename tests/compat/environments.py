"""The environments, in the words of both eras: comma lists for 0.6.7, JSON for 0.8.1.

`$main` and `$side` are the ports of two scripted hosts, `$dead` one that refuses, `$slow` one that never accepts.
An environment that one version does not know, or that keeps it from starting, is written for the other alone.
"""

COMMAS = {
    "plain": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        OPENAI_API_KEY='sk-a1, sk-a2, sk-a3'
        FORWARD_KEY=fk-one, fk-two
        LOG_CHAT=true
        TZ=Asia/Shanghai
    """,
    "rotation": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        OPENAI_API_KEY=sk-a1,sk-a2,sk-a3
        FORWARD_KEY=fk-one,fk-two
    """,
    "quiet": """
        OPENAI_BASE_URL="http://127.0.0.1:$main"   # no log, no limits
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one
    """,
    "prefixes": """
        OPENAI_BASE_URL=http://127.0.0.1:$main,http://127.0.0.1:$side
        OPENAI_ROUTE_PREFIX=/openai,side/
        EXTRA_BASE_URL=http://127.0.0.1:$side
        EXTRA_ROUTE_PREFIX=/raw
        OPENAI_API_KEY=sk-a1,sk-a2
        FORWARD_KEY=fk-one
        LOG_CHAT=true
    """,
    "rooted": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        OPENAI_ROUTE_PREFIX=/
        EXTRA_BASE_URL=http://127.0.0.1:$side
        EXTRA_ROUTE_PREFIX=/raw
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one
    """,
    "based": """
        OPENAI_BASE_URL=http://127.0.0.1:$main/base,http://127.0.0.1:$side/
        OPENAI_ROUTE_PREFIX=/openai,/slashed
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one
        CHAT_COMPLETION_ROUTE=/v1/talk
        LOG_CHAT=true
    """,
    "failing": """
        OPENAI_BASE_URL=http://127.0.0.1:$main,http://127.0.0.1:$dead,http://127.0.0.1:$slow
        OPENAI_ROUTE_PREFIX=/openai,/dead,/slow
        EXTRA_BASE_URL=http://127.0.0.1:$main
        EXTRA_ROUTE_PREFIX=/raw
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one
        TIMEOUT=0.3
        LOG_CHAT=true
    """,
    "limited": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one,fk-two
        REQ_RATE_LIMIT='{"/v1/models": "3/hour", "/v1/embeddings": "2/2hours;1 per day", "/v1/images": "0/minute"}'
        GLOBAL_RATE_LIMIT=2/day
    """,
    "moving": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one,fk-two
        RATE_LIMIT_STRATEGY=moving-window
        GLOBAL_RATE_LIMIT=100/day,2/hour
    """,
    "elastic": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one,fk-two
        RATE_LIMIT_STRATEGY=fixed-window-elastic-expiry
        GLOBAL_RATE_LIMIT=2/hour
    """,
    "unlimited": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one
        REQ_RATE_LIMIT={"/v1/models": "2/hour"}
    """,
    "ordered": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one
        REQ_RATE_LIMIT={"/v1": "1/hour", "/v1/models": "3/hour"}
    """,
    "several": """
        OPENAI_BASE_URL=http://127.0.0.1:$main,http://127.0.0.1:$side
        OPENAI_ROUTE_PREFIX=/openai,/side
        EXTRA_BASE_URL=http://127.0.0.1:$side
        EXTRA_ROUTE_PREFIX=/raw
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one,fk-two
        GLOBAL_RATE_LIMIT=3/hour
    """,
    "paced": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one
        ITER_CHUNK_TYPE=one-by-one
        TOKEN_RATE_LIMIT={"/v1/chat/completions": "20/second", "/v1/completions": "1/second"}
    """,
    "cached": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one,fk-two
        LOG_CHAT=true
        CACHE_CHAT_COMPLETION=true
        CACHE_EMBEDDING=true
    """,
    "recalled": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one
        LOG_CHAT=true
        CACHE_CHAT_COMPLETION=true
        CACHE_BACKEND=LMDB
        DEFAULT_REQUEST_CACHING_VALUE=true
    """,
    "allowed": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one,fk-two
        IP_WHITELIST=10.1.1.1, 10.2.2.2
        GLOBAL_RATE_LIMIT=3/hour
    """,
    "denied": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one
        IP_BLACKLIST=10.1.1.1, 203.0.113.9
    """,
    "open": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        OPENAI_API_KEY=sk-a1,sk-a2
    """,
    "keyless": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
    """,
    "poor": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        FORWARD_KEY=fk-one
    """,
    "bench": """
        OPENAI_BASE_URL=http://127.0.0.1:$main
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one
        BENCHMARK_MODE=true
        REQ_RATE_LIMIT={"/benchmark": "3/hour"}
    """,
    "proxied": """
        OPENAI_BASE_URL=http://models.test:8080
        OPENAI_API_KEY=sk-a1
        FORWARD_KEY=fk-one
        PROXY=http://127.0.0.1:$main
    """,
}

JSON = {
    "plain": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG='{"sk-a1": [0], "sk-a2": [0], "sk-a3": [0]}'
        FORWARD_KEY_CONFIG={"fk-one": 0, "fk-two": 0}
        LOG_OPENAI=true
        TZ=Asia/Shanghai
    """,
    "rotation": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0], "sk-a2": [0], "sk-a3": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0, "fk-two": 0}
    """,
    "quiet": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0}
    """,
    "prefixes": """
        FORWARD_CONFIG='[
          {"base_url": "http://127.0.0.1:$main", "route": "/openai", "type": "openai"},
          {"base_url": "http://127.0.0.1:$side", "route": "side/", "type": "openai"},
          {"base_url": "http://127.0.0.1:$side", "route": "/raw", "type": "general"}
        ]'
        OPENAI_API_KEY_CONFIG={"sk-a1": [0], "sk-a2": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0}
        LOG_OPENAI=true
    """,
    "rooted": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"},{"base_url":"http://127.0.0.1:$side","route":"/raw","type":"general"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0}
    """,
    "based": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main/base","route":"/openai","type":"openai"},{"base_url":"http://127.0.0.1:$side/","route":"/slashed","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0}
        CHAT_COMPLETION_ROUTE=/v1/talk
        LOG_OPENAI=true
    """,
    "failing": """
        FORWARD_CONFIG='[
          {"base_url": "http://127.0.0.1:$main", "route": "/openai", "type": "openai"},
          {"base_url": "http://127.0.0.1:$dead", "route": "/dead", "type": "openai"},
          {"base_url": "http://127.0.0.1:$slow", "route": "/slow", "type": "openai"},
          {"base_url": "http://127.0.0.1:$main", "route": "/raw", "type": "general"}
        ]'
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0}
        TIMEOUT=0.3
        LOG_OPENAI=true
    """,
    "limited": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0, "fk-two": 0}
        REQ_RATE_LIMIT='{
          "/v1/models": [{"level": 0, "limit": "3/hour"}],
          "/v1/embeddings": [{"level": 0, "limit": "2/2hours;1 per day"}],
          "/v1/images": [{"level": 0, "limit": "0/minute"}]
        }'
        GLOBAL_RATE_LIMIT=2/day
    """,
    "moving": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0, "fk-two": 0}
        RATE_LIMIT_STRATEGY=moving-window
        GLOBAL_RATE_LIMIT=100/day,2/hour
    """,
    "unlimited": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0}
        REQ_RATE_LIMIT={"/v1/models": [{"level": 0, "limit": "2/hour"}]}
    """,
    "ordered": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0}
        REQ_RATE_LIMIT={"/v1": [{"level": 0, "limit": "1/hour"}], "/v1/models": [{"level": 0, "limit": "3/hour"}]}
    """,
    "several": """
        FORWARD_CONFIG='[
          {"base_url": "http://127.0.0.1:$main", "route": "/openai", "type": "openai"},
          {"base_url": "http://127.0.0.1:$side", "route": "/side", "type": "openai"},
          {"base_url": "http://127.0.0.1:$side", "route": "/raw", "type": "general"}
        ]'
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0, "fk-two": 0}
        GLOBAL_RATE_LIMIT=3/hour
    """,
    "paced": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0}
        ITER_CHUNK_TYPE=one-by-one
        TOKEN_RATE_LIMIT={"/v1/chat/completions": [{"level": 0, "limit": "20/second"}], "/v1/completions": [{"level": 0, "limit": "1/second"}]}
    """,
    "cached": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0, "fk-two": 0}
        LOG_OPENAI=true
        CACHE_OPENAI=true
        CACHE_ROUTES=["/v1/chat/completions", "/v1/embeddings", "/v1/completions"]
    """,
    "recalled": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0}
        LOG_OPENAI=true
        CACHE_OPENAI=true
        CACHE_ROUTES=["/v1/chat/completions"]
        CACHE_BACKEND=LMDB
        DEFAULT_REQUEST_CACHING_VALUE=true
    """,
    "allowed": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0, "fk-two": 0}
        IP_WHITELIST=10.1.1.1, 10.2.2.2
        GLOBAL_RATE_LIMIT=3/hour
    """,
    "denied": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0}
        IP_BLACKLIST=10.1.1.1, 203.0.113.9
    """,
    "open": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0], "sk-a2": [0]}
    """,
    "keyless": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
    """,
    "poor": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        FORWARD_KEY_CONFIG={"fk-one": 0}
    """,
    "levels": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"},{"base_url":"http://127.0.0.1:$side","route":"/raw","type":"general"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0, 1], "sk-a2": [1], "sk-a3": [2], "sk-b1": [0]}
        FORWARD_KEY_CONFIG={"fk-zero": 0, "fk-one": 1, "fk-two": 2, "fk-three": 3}
        LEVEL_MODELS={"1": ["gpt-4o-mini", "text-embedding-3-small"], "2": ["gpt-4"], "3": ["gpt-4"]}
        CUSTOM_GENERAL_ROUTE=/v1/messages
        LOG_OPENAI=true
    """,
    "unlogged": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0, 1]}
        FORWARD_KEY_CONFIG={"fk-one": 1}
        LEVEL_MODELS={"1": ["gpt-4o-mini"]}
        REQ_RATE_LIMIT={"/v1/models": [{"level": 0, "limit": "1/hour"}, {"level": 1, "limit": "2/hour"}]}
        TOKEN_RATE_LIMIT={"/v1/completions": [{"level": 1, "limit": "60/second"}]}
        GLOBAL_RATE_LIMIT=100/hour
    """,
    "unstreamed": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"},{"base_url":"http://127.0.0.1:$side","route":"/raw","type":"general"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0}
        DEFAULT_STREAM_RESPONSE=false
    """,
    "bench": """
        FORWARD_CONFIG=[{"base_url":"http://127.0.0.1:$main","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0}
        BENCHMARK_MODE=true
        REQ_RATE_LIMIT={"/benchmark": [{"level": 0, "limit": "3/hour"}]}
    """,
    "proxied": """
        FORWARD_CONFIG=[{"base_url":"http://models.test:8080","route":"/","type":"openai"}]
        OPENAI_API_KEY_CONFIG={"sk-a1": [0]}
        FORWARD_KEY_CONFIG={"fk-one": 0}
        PROXY=http://127.0.0.1:$main
    """,
}

VERSIONS = {"0.6.7": COMMAS, "0.8.1": JSON}


def text_of(name, version, ports):
    """The `.env` of an environment, with its ports filled in; values of several lines stay as they are."""
    lines = VERSIONS[version][name].strip().splitlines()
    text = "\n".join(line.removeprefix("        ") for line in lines) + "\n"
    for port, number in ports.items():
        text = text.replace(f"${port}", str(number))
    return text
