"""Answers that are remembered: asked with caching and without, whole and streamed, by the default and by the call."""

from call import call, chat, completion, embedding, get, stream
from calls.openai import TOOLS
from host import Says

YES, NO = {"caching": True}, {"caching": False}


def say(text, fields=()):
    """A prompt of its own, so that calls with other names ask the same."""
    return {"messages": [{"role": "user", "content": text}]} | dict(fields)


MEMORY = {
    "cached": [
        chat("miss", fields=say("say tea", YES)), chat("hit", fields=say("say tea", YES)),
        stream("hit-crossing", fields=say("say tea", YES)), chat("not-asked", fields=say("say tea")),
        chat("refreshed", fields=say("say tea", NO)), chat("hit-other-warmth", fields=say("say tea", YES | {"temperature": 0})),
        chat("hit-other-user", fields=say("say tea", YES), key="fk-two"),
        chat("wrong-key", fields=say("say tea", YES), key="fk-wrong"),
        chat("no-key", fields=say("say tea", YES), key=None),
        chat("other-model", fields=say("say tea", YES | {"model": "gpt-4"})),
        chat("other-n", fields=say("say tea", YES | {"n": 2})),
        stream("stream-miss", fields=say("say milk", YES)), stream("stream-hit", fields=say("say milk", YES)),
        chat("stream-hit-crossing", fields=say("say milk", YES)),
        chat("tools-miss", fields=say("say tools", YES | TOOLS)), chat("tools-hit", fields=say("say tools", YES | TOOLS)),
        stream("tools-hit-crossing", fields=say("say tools", YES | TOOLS)),
        chat("unasked-miss", fields=say("say coffee")), chat("unasked-then-asked", fields=say("say coffee", YES)),
        chat("error-1", fields=say("say error", YES), host=Says(500, {"error": {"message": "broken"}})),
        chat("error-2", fields=say("say error", YES)),
        embedding("embedding-miss", fields={"input": "say cup"} | YES),
        embedding("embedding-hit", fields={"input": "say cup"} | YES),
        embedding("embedding-other", fields={"input": "say cup", "encoding_format": "base64"} | YES),
        completion("completion-miss", fields={"prompt": "say pot"} | YES),
        completion("completion-hit", fields={"prompt": "say pot"} | YES),
        call("elsewhere", "POST", "/v1/moderations", {"input": "hm"} | YES), get("models"),
    ],
    "recalled": [
        chat("miss", fields=say("say tea")), chat("hit", fields=say("say tea")), chat("told-not-to", fields=say("say tea", NO)),
        stream("hit-stream", fields=say("say tea")), embedding("embedding"), embedding("embedding-again"),
    ],
}
