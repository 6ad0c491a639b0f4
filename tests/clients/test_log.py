"""The chat log beside what the client got: one line a call, the same words, never a secret."""

import openai
import pytest

from answers import TOOL_ARGUMENTS, USAGE, reply_to
from conftest import MODEL, SMALL, TOOLS, ask, client_of, text_of
from proxy import SECRET

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "naïve 東京 🚀"}]


def lines_of(aifd, calls):
    """What aifd logged of the calls: it is stopped first, so that all of it is on disk."""
    with client_of(aifd) as client:
        calls(client)
    aifd.stop()
    text = (aifd.log_dir / "chat.jsonl").read_text(encoding="utf-8")
    assert not SECRET.search(text), "a secret in the chat log"
    return aifd.chats()


def test_a_plain_call(own_aifd, upstream):
    ids = []

    def calls(client):
        raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=ASKED, temperature=0.5)
        ids.append(raw.headers["x-request-id"])

    [line] = lines_of(own_aifd, calls)
    assert line["id"] == ids[0]
    assert (line["key"], line["model"], line["status"]) == ("team", MODEL, 200)
    assert (line["stream"], line["ended"]) == (False, "done")
    assert line["messages"] == ASKED
    assert line["answer"]["choices"][0]["content"] == reply_to(ASKED[-1]["content"])
    assert line["usage"] == USAGE


@pytest.mark.parametrize("model", [MODEL, "cut"])
def test_a_stream_is_put_together_as_the_client_did(own_aifd, upstream, model):
    got = []

    def calls(client):
        got.extend(client.chat.completions.create(model=model, messages=ASKED, stream=True,
                                                  stream_options={"include_usage": True}))

    [line] = lines_of(own_aifd, calls)
    assert line["answer"]["choices"][0]["content"] == text_of(got) == reply_to(ASKED[-1]["content"])
    assert (line["stream"], line["status"], line["ended"], line["model"]) == (True, 200, "done", model)
    assert line["usage"] == USAGE


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call_is_put_together(own_aifd, upstream, stream):
    def calls(client):
        answer = client.chat.completions.create(**ask("weather?", tools=TOOLS), stream=stream)
        if stream:
            assert len(list(answer)) > 3

    [line] = lines_of(own_aifd, calls)
    [call] = line["answer"]["choices"][0]["tool_calls"]
    assert call["id"] == "call_1"
    assert call["function"] == {"name": "weather", "arguments": TOOL_ARGUMENTS}


def test_a_client_that_leaves_is_logged_with_what_it_got(own_aifd, upstream):
    got = []

    def calls(client):
        upstream.step(3)  # the role and two words; the third is never sent
        stream = client.chat.completions.create(**ask("long", model="gated"), stream=True)
        got.extend(next(stream) for _ in range(3))
        stream.close()
        assert upstream.wait().ended.result(timeout=5) == "client left"

    [line] = lines_of(own_aifd, calls)
    assert line["answer"]["choices"][0]["content"] == text_of(got) == "You said"
    assert line["ended"] == "client_left"


def test_a_client_that_leaves_after_the_last_event_has_got_it_all(own_aifd, upstream):
    # The real client hangs up as soon as it has read `[DONE]`, before the answer's formal end.
    got = []

    def calls(client):
        got.extend(client.chat.completions.create(**ask("bye", model="lingers"), stream=True))
        assert upstream.wait().ended.result(timeout=5) == "client left"

    [line] = lines_of(own_aifd, calls)
    assert line["answer"]["choices"][0]["content"] == text_of(got) == reply_to("bye")
    assert line["ended"] == "done"


def test_a_refusal_of_the_host_is_logged(own_aifd, upstream):
    def calls(client):
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(**ask("hello", model="busy"))

    [line] = lines_of(own_aifd, calls)
    assert (line["status"], line["model"], line["ended"]) == (429, "busy", "done")
    assert line["messages"] == ask("hello")["messages"]


def test_a_stranger_is_logged_without_his_key(own_aifd, upstream):
    def calls(_client):
        stranger = client_of(own_aifd, key="fk-stranger-0123456789")
        with stranger, pytest.raises(openai.AuthenticationError):
            stranger.chat.completions.create(**ask("hello"))

    [line] = lines_of(own_aifd, calls)
    assert (line["status"], line["key"], line["ended"]) == (401, None, "refused")


def test_a_host_that_refuses_connections_is_logged(own_aifd, upstream):
    def calls(_client):
        with client_of(own_aifd, prefix="/dead") as client, pytest.raises(openai.InternalServerError):
            client.chat.completions.create(**ask("hello"))

    [line] = lines_of(own_aifd, calls)
    assert (line["status"], line["key"], line["ended"]) == (502, "team", "error")
    assert line["messages"] == ask("hello")["messages"]


def test_one_line_a_call_and_the_keys_name_on_each(own_aifd, upstream):
    def calls(client):
        for turn in range(3):
            client.chat.completions.create(**ask(f"turn {turn}"))
        with client_of(own_aifd, key=SMALL) as small:
            list(small.chat.completions.create(**ask("small"), stream=True))

    lines = lines_of(own_aifd, calls)
    said = sorted((line["messages"][0]["content"], line["key"]) for line in lines)
    assert said == [("small", "small"), ("turn 0", "team"), ("turn 1", "team"), ("turn 2", "team")]
    assert len({line["id"] for line in lines}) == 4
