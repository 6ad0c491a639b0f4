"""Where a call goes: prefixes, several targets, general routes, odd paths, methods, pages of other origins."""

from call import call, chat, completion, embedding, get, stream, upload
from host import Says

ORIGIN = {"origin": "http://page.test"}
PREFLIGHT = ORIGIN | {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-a"}
MESSAGE = {"model": "claude", "messages": [{"role": "user", "content": "hi"}]}
ALL = {"x-trace": "1", "cookie": "a=b", "user-agent": "test/1", "accept": "*/*", "accept-language": "de",
       "x-api-key": "mine", "anthropic-version": "2023-06-01"}

ROUTES = {
    "quiet": [
        get("query", "/v1/models?limit=2&after=a%2Bb&x=%20y+z&empty="), get("query-empty", "/v1/models?"),
        get("query-odd", "/v1/models?a[]=1&b={c}&d=e'f&utf=%E6%9D%B1"),
        get("double-slash", "//v1///models"), get("trailing-slash", "/v1/models/"),
        get("slash-escaped", "/v1/files/a%2Fb"), get("space-escaped", "/v1/files/a%20b%3Fc"),
        get("utf-escaped", "/v1/files/%E6%9D%B1%E4%BA%AC"), get("plus", "/v1/files/a+b~c:d@e,f;g=h"),
        get("dots", "/v1/../v1/./models"), get("dots-escaped", "/v1/%2e%2e/models"), get("root", "/"),
        get("elsewhere", "/dashboard/billing/usage?a=1"), get("healthz-slash", "/healthz/"),
        call("healthz-post", "POST", "/healthz"), call("healthz-head", "HEAD", "/healthz"),
        get("docs", "/docs"), get("openapi", "/openapi.json"), get("redoc", "/redoc"),
        call("method-put", "PUT", "/v1/x", b"put"), call("method-patch", "PATCH", "/v1/x", {"a": 1}),
        call("method-delete", "DELETE", "/v1/x"), call("method-head", "HEAD", "/v1/x"),
        call("method-options", "OPTIONS", "/v1/x"), call("method-trace", "TRACE", "/v1/x"),
        call("method-odd", "PROPFIND", "/v1/x"),
        call("preflight", "OPTIONS", "/v1/chat/completions", key=None, more=PREFLIGHT),
        call("preflight-plain", "OPTIONS", "/v1/models", key=None,
             more=ORIGIN | {"access-control-request-method": "GET"}),
        chat("cors-chat", more=ORIGIN), stream("cors-stream", more=ORIGIN), get("cors-healthz", "/healthz", more=ORIGIN),
        get("cors-refused", key="fk-wrong", more=ORIGIN),
        get("cors-cookie", more=ORIGIN | {"cookie": "a=b"}),
    ],
    "prefixes": [
        get("openai", "/openai/v1/models"), get("side", "/side/v1/models"), get("openai-next", "/openai/v1/models"),
        chat("openai-chat", "/openai/v1"), stream("side-stream", "/side/v1"), completion("side-completion", "/side/v1"),
        embedding("openai-embedding", "/openai/v1"), upload("side-audio", "/side/v1"),
        get("bare", "/openai"), get("bare-slash", "/openai/"), get("bare-query", "/openai?a=1"),
        get("no-route", "/v1/models"), get("no-route-root", "/", key=None),
        call("no-route-post", "POST", "/nowhere", {"a": 1}), get("no-route-cors", "/nowhere", more=ORIGIN),
        call("no-route-preflight", "OPTIONS", "/nowhere", key=None, more=PREFLIGHT),
        get("no-border", "/openaix/v1/models"), get("border-host", "/openai.1:1/evil"),
        get("upper-case", "/OpenAI/v1/models"), get("escaped-prefix", "/%6fpenai/v1/models"),
        get("escaped-slash", "/openai%2Fv1/models"), get("doubled", "//openai//v1/models/"),
        call("raw", "POST", "/raw/v1/messages", MESSAGE), call("raw-headers", "POST", "/raw/v1/messages", MESSAGE, more=ALL),
        call("raw-own-key", "POST", "/raw/v1/messages", MESSAGE, key="sk-own"),
        get("raw-no-key", "/raw/anything", key=None), get("raw-query", "/raw/a%20b?key=abc&x=%2F"),
        call("raw-wrong-key", "POST", "/raw/v1/messages", MESSAGE, key="fk-wrong"),
        chat("raw-chat", "/raw/v1", key="sk-own"), stream("raw-stream", "/raw/v1", key="sk-own"),
        upload("raw-upload", "/raw/v1", key="sk-own"), call("raw-delete", "DELETE", "/raw/x"),
        call("raw-put", "PUT", "/raw/x", b"bytes", more={"content-type": "text/plain"}),
        get("raw-redirect", "/raw/old", host=Says(302, b"", headers=(("location", "http://other.test/"),))),
        get("raw-set-cookie", "/raw/c", host=Says(200, {"a": 1}, headers=(("set-cookie", "jar=1"),))),
        get("raw-bare", "/raw"), get("raw-cors", "/raw/anything", key="sk-own", more=ORIGIN),
        call("raw-x-api-key", "POST", "/raw/v1/messages", MESSAGE, key=None, more={"x-api-key": "sk-own"}),
        call("raw-api-key", "POST", "/raw/v1/deployments", MESSAGE, key=None, more={"api-key": "azure-key"}),
        get("raw-key-in-query", "/raw/v1beta/models?key=gemini-key", key=None),
    ],
    "rooted": [
        get("root", "/v1/models"), get("raw", "/raw/anything", key=None), get("raw-no-border", "/rawx/y", key="sk-own"),
        chat("chat"), get("healthz", "/healthz", key=None),
    ],
    "based": [
        get("path", "/openai/things/1"), get("slashed", "/slashed/things/1"), get("bare", "/openai"),
        chat("talk-usual", "/openai/v1"),
        call("talk", "POST", "/openai/v1/talk", {"model": "m", "messages": [{"role": "user", "content": "say talk"}]}),
        get("slashed-bare", "/slashed"),
    ],
    "proxied": [
        get("models"), chat("chat"), stream("stream"), get("query", "/v1/things?a=%20b"),
    ],
}
