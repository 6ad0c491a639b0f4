"""The real client, aifd and a real inference server: what comes through aifd is what the server said.

The trap: this server closes its connection after every stream without saying so. A proxy that keeps a pool
finds each such connection dead when it takes it out for the next request.
"""

import asyncio

import openai
import pytest

from conftest import HOST_KEY, TEAM, client_of
from tiny_model import END_OF_TURN, Vocabulary

PROMPT = [{"role": "user", "content": "naïve 東京: tell me more about the water"}]
# Nothing left to chance: no sampling, no reuse of the last prompt's state.
CHAT = {"model": "tiny", "messages": PROMPT, "temperature": 0, "seed": 7, "max_tokens": 48,
        "extra_body": {"cache_prompt": False}}
LIVELY = CHAT | {"temperature": 1.2}
BY_CHANCE = {"id", "created", "timings"}  # what differs between two equal calls
WEATHER = {"type": "function", "function": {
    "name": "weather", "parameters": {"type": "object", "required": ["city"], "properties": {
        "city": {"type": "string", "enum": ["Paris", "Rome"]}}}}}


def told(answer):
    """An answer, or a chunk, without what differs by chance."""
    return {name: value for name, value in answer.to_dict().items() if name not in BY_CHANCE}


def text_of(chunks):
    """The text of a stream's chunks, joined."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def finish_of(chunks):
    """Why a stream ended."""
    return [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1]


def test_the_list_of_models(client):
    assert [model.id for model in client.models.list()] == ["tiny"]


def test_a_chat_call(client, direct):
    answer = client.chat.completions.create(**CHAT)
    assert told(answer) == told(direct.chat.completions.create(**CHAT))
    assert answer.choices[0].message.content.strip()


@pytest.mark.parametrize("settings", [CHAT, LIVELY], ids=["greedy", "lively"])
def test_a_stream_is_the_servers_own(client, direct, settings):
    settings = settings | {"stream": True, "stream_options": {"include_usage": True}}
    ours = [told(chunk) for chunk in client.chat.completions.create(**settings)]
    theirs = [told(chunk) for chunk in direct.chat.completions.create(**settings)]
    assert ours == theirs
    assert len(ours) > 10


def test_a_completion(client, direct):
    asked = {"model": "tiny", "prompt": "Once upon a time", "temperature": 0, "max_tokens": 16,
             "extra_body": {"cache_prompt": False}}
    assert told(client.completions.create(**asked)) == told(direct.completions.create(**asked))
    streamed = client.completions.create(**asked, stream=True)
    whole = client.completions.create(**asked)
    assert "".join(chunk.choices[0].text for chunk in streamed) == whole.choices[0].text


def test_embeddings(client, direct):
    asked = {"model": "tiny", "input": ["hello", "naïve 東京"]}
    ours, theirs = client.embeddings.create(**asked), direct.embeddings.create(**asked)
    assert [item.embedding for item in ours.data] == [item.embedding for item in theirs.data]
    assert len(ours.data[1].embedding) == 128


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call(client, stream):
    # The grammar lets a model chat before it calls, and this one would chat for ever: push it.
    words = Vocabulary()
    push = {str(words.id("<tool_call>\n")): 60, str(words.id(END_OF_TURN)): 100}
    answer = client.chat.completions.create(**CHAT, tools=[WEATHER], tool_choice="required", stream=stream,
                                            parallel_tool_calls=False, logit_bias=push)
    calls = answer.choices[0].message.tool_calls if not stream else [
        call for chunk in answer for choice in chunk.choices for call in choice.delta.tool_calls or []]
    assert [call.function.name for call in calls if call.function.name] == ["weather"]
    arguments = "".join(call.function.arguments or "" for call in calls)
    assert arguments.replace(" ", "") in ('{"city":"Paris"}', '{"city":"Rome"}')


def test_twenty_streams_one_after_another(client):
    # After each, the connection to the server is dead, and nothing has said so.
    texts = []
    for _ in range(20):
        chunks = list(client.chat.completions.create(**CHAT, stream=True))
        assert finish_of(chunks) in ("stop", "length")
        texts.append(text_of(chunks))
    assert len(set(texts)) == 1, "equal calls, equal answers"


def test_plain_calls_between_streams(client):
    for _ in range(10):
        chunks = list(client.chat.completions.create(**CHAT, stream=True))
        assert client.chat.completions.create(**CHAT).choices[0].message.content == text_of(chunks)


def test_twenty_streams_at_once(aifd):
    async def one(client):
        stream = await client.chat.completions.create(**LIVELY, stream=True)
        return [chunk async for chunk in stream]

    async def all_of_them():
        async with client_of(aifd.url, TEAM, openai.AsyncOpenAI) as client:
            return await asyncio.gather(*[one(client) for _ in range(20)])

    for chunks in asyncio.run(all_of_them()):
        assert finish_of(chunks) in ("stop", "length")
        assert text_of(chunks).strip()


def test_errors_are_the_servers_own(client, direct):
    bad = {"model": "tiny", "messages": [{"role": "user"}]}
    for method, path, body in [("post", "/nowhere", {}), ("post", "/chat/completions", bad)]:
        answers = []
        for way in (client, direct):
            with pytest.raises(openai.APIStatusError) as refused:
                getattr(way, method)(path, body=body, cast_to=object)
            answers.append((refused.value.status_code, refused.value.response.content))
        assert answers[0] == answers[1], path
    assert isinstance(refused.value.body["code"], int), "this server's codes are numbers"


def test_the_log_holds_what_the_client_got(own_aifd):
    with client_of(own_aifd.url, TEAM) as client:
        chunks = list(client.chat.completions.create(**LIVELY, stream=True, stream_options={"include_usage": True}))
        whole = client.chat.completions.create(**CHAT)
    own_aifd.stop()
    streamed, plain = own_aifd.chats()
    assert streamed["answer"]["choices"][0]["content"] == text_of(chunks)
    assert plain["answer"]["choices"][0]["content"] == whole.choices[0].message.content
    assert streamed["usage"]["completion_tokens"] == chunks[-1].usage.completion_tokens
    for line in (streamed, plain):
        assert (line["key"], line["model"], line["status"], line["ended"]) == ("team", "tiny", 200, "done")
        assert line["messages"] == PROMPT
    text = (own_aifd.log_dir / "chat.jsonl").read_text(encoding="utf-8")
    assert TEAM not in text and HOST_KEY not in text
