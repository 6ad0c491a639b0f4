"""The real `openai` client in front of aifd: what it asks for is what it gets, and nobody sees another's key."""

import asyncio
import hashlib
import json
import random
import socket

import openai
import pytest

from answers import BUSY, MODELS, RATELIMIT, SPEECH, TOOL_ARGUMENTS, USAGE, VECTOR, reply_to
from conftest import MAIN, MODEL, SIDE, SMALL, TEAM, TOOLS, ask, client_of, text_of

# === chat ===


def test_a_chat_call(client, upstream):
    answer = client.chat.completions.create(**ask("Grüße, 世界", temperature=0.5, user="alice"))
    assert answer.choices[0].message.content == reply_to("Grüße, 世界")
    assert answer.usage.total_tokens == USAGE["total_tokens"]
    assert upstream.wait().json() == ask("Grüße, 世界", temperature=0.5, user="alice")


def test_an_async_chat_call(aifd, upstream):
    async def call():
        async with client_of(aifd, kind=openai.AsyncOpenAI) as client:
            return await client.chat.completions.create(**ask("hello"))

    assert asyncio.run(call()).choices[0].message.content == reply_to("hello")


@pytest.mark.parametrize("model", [MODEL, "cut"])
def test_a_stream_is_whole_however_it_was_cut(client, upstream, model):
    chunks = list(client.chat.completions.create(**ask("naïve 東京", model=model), stream=True,
                                                 stream_options={"include_usage": True}))
    assert text_of(chunks) == reply_to("naïve 東京")
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == USAGE["total_tokens"]


def test_the_head_of_a_stream_does_not_wait_for_its_first_event(client, upstream):
    with client.chat.completions.create(**ask("a", model="gated"), stream=True) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")


def test_events_come_one_by_one(client, upstream):
    # The host sends an event only when the one before has been read here: a buffer anywhere hangs this.
    upstream.step()
    got = []
    for chunk in client.chat.completions.create(**ask("one by one", model="gated"), stream=True):
        got.append(chunk)
        upstream.step()
    assert text_of(got) == reply_to("one by one")
    assert upstream.wait().ended.result(timeout=5) == "done"


def test_events_come_one_by_one_to_an_async_client(aifd, upstream):
    async def call():
        async with client_of(aifd, kind=openai.AsyncOpenAI) as client:
            got = []
            async for chunk in await client.chat.completions.create(**ask("x", model="gated"), stream=True):
                got.append(chunk)
                upstream.step()
            return got

    upstream.step()
    assert text_of(asyncio.run(call())) == reply_to("x")


def test_fifty_streams_at_once(aifd, upstream):
    async def one(client, prompt):
        stream = await client.chat.completions.create(**ask(prompt, model="cut"), stream=True)
        return text_of([chunk async for chunk in stream])

    async def all_of_them():
        async with client_of(aifd, kind=openai.AsyncOpenAI) as client:
            return await asyncio.gather(*[one(client, f"stream {n} ß") for n in range(50)])

    assert asyncio.run(all_of_them()) == [reply_to(f"stream {n} ß") for n in range(50)]


def test_the_bytes_of_a_stream_are_the_hosts_own(aifd, upstream):
    body = json.dumps(ask("raw 🚀", stream=True)).encode()
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nhost: aifd\r\nauthorization: Bearer {TEAM}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n")
    with socket.create_connection(("127.0.0.1", aifd.port), timeout=10) as link:
        link.sendall(head.encode() + body)
        received = b"".join(iter(lambda: link.recv(65536), b""))
    status, _, rest = received.partition(b"\r\n")
    assert status.split()[1] == b"200"
    headers, _, chunks = rest.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in headers.lower()
    assert b"connection: keep-alive" not in headers.lower()
    assert unchunked(chunks) == bytes(upstream.wait().sent)


def unchunked(data):
    """The body inside a chunked answer; an answer that is not whole is a ValueError."""
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        if int(size, 16) == 0:
            assert data == b"\r\n", f"after the last chunk: {data[:80]}"
            return body
        body, data = body + data[:int(size, 16)], data[int(size, 16) + 2:]


# === tools ===


def test_a_tool_call(client, upstream):
    answer = client.chat.completions.create(**ask("weather?", tools=TOOLS))
    call = answer.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("weather", TOOL_ARGUMENTS)
    assert upstream.wait().json()["tools"] == TOOLS


def test_a_streamed_tool_call_comes_together(client, upstream):
    names, arguments, finish = [], "", None
    for chunk in client.chat.completions.create(**ask("weather?", tools=TOOLS), stream=True):
        for call in chunk.choices[0].delta.tool_calls or []:
            names += [call.function.name] if call.function.name else []
            arguments += call.function.arguments
        finish = chunk.choices[0].finish_reason or finish
    assert (names, arguments, finish) == (["weather"], TOOL_ARGUMENTS, "tool_calls")


# === the other endpoints ===


def test_a_completion(client, upstream):
    answer = client.completions.create(model=MODEL, prompt="Once")
    assert answer.choices[0].text == reply_to("Once")
    stream = client.completions.create(model=MODEL, prompt="Once", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == reply_to("Once")


@pytest.mark.parametrize("encoding", ["float", "base64", openai.NOT_GIVEN])
def test_embeddings(client, upstream, encoding):
    # Without a format the client asks for base64 and decodes it: both forms must come through.
    answer = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], encoding_format=encoding)
    assert len(answer.data) == 2
    if encoding == "base64":
        assert isinstance(answer.data[0].embedding, str)
    else:
        assert answer.data[1].embedding == VECTOR


def test_the_list_of_models(client, upstream):
    raw = client.models.with_raw_response.list()
    assert [model.id for model in raw.parse()] == MODELS
    assert raw.headers.get_list("x-request-id") == ["req_host_1"], "the host's own id is kept"


def test_an_upload_arrives_byte_for_byte(client, upstream):
    audio = random.Random(7).randbytes(3 << 20)
    answer = client.audio.transcriptions.create(model="whisper-1", file=("talk.wav", audio))
    assert answer.text == f"whisper-1 {len(audio)} {hashlib.sha256(audio).hexdigest()}"


def test_a_binary_answer_arrives_byte_for_byte(client, upstream):
    raw = client.audio.speech.with_raw_response.create(model="tts-1", voice="alloy", input="hello")
    assert raw.content == SPEECH
    assert raw.headers["content-type"] == "audio/mpeg"


def test_health_needs_no_key(aifd):
    assert aifd.get("/healthz") == (200, '"OK"')


# === headers and keys ===


def test_the_hosts_headers_are_kept(client, upstream):
    raw = client.chat.completions.with_raw_response.create(**ask("hello"))
    for name, value in [*RATELIMIT, ("openai-processing-ms", "12")]:
        assert raw.headers.get_list(name) == [value]
    [request_id] = raw.headers.get_list("x-request-id")
    assert request_id, "a host that sends no id gets one from aifd"


def test_a_host_sees_its_own_key_and_no_other(client, aifd, upstream, side):
    client.chat.completions.create(**ask("main"))
    with client_of(aifd, prefix="/side") as other:
        other.chat.completions.create(**ask("side"), extra_headers={"cookie": "session=1", "api-key": TEAM})
    for host, key, foreign in [(upstream, MAIN, [SIDE, TEAM, SMALL]), (side, SIDE, [MAIN, TEAM, SMALL])]:
        assert len(host.calls) == 1
        call = host.wait()
        assert call.header("authorization") == [f"Bearer {key}"]
        assert call.header("cookie") == [], "a client's cookies are nobody else's business"
        assert call.path == "/v1/chat/completions", "the prefix is ours, the rest is the host's"
        everything = f"{call.path} {call.headers} {call.body.decode()}"
        assert [secret for secret in foreign if secret in everything] == []


@pytest.mark.parametrize("key", ["fk-wrong-0123456789", f"{TEAM}x", TEAM[:-1], MAIN])
def test_an_unknown_key_is_refused(aifd, upstream, key):
    with client_of(aifd, key=key) as stranger, pytest.raises(openai.AuthenticationError) as refused:
        stranger.chat.completions.create(**ask("hello"))
    error = refused.value
    assert (error.status_code, error.code, error.type) == (401, "invalid_api_key", "invalid_request_error")
    assert error.body["message"] and key not in error.response.text
    assert error.request_id, "every refusal has an id"
    assert upstream.calls == [], "a refused request goes no further"


def test_a_key_may_use_its_own_models_only(aifd, upstream):
    with client_of(aifd, key=SMALL) as small:
        small.chat.completions.create(**ask("hello"))
        small.embeddings.create(model="text-embedding-3-small", input="a")
        with pytest.raises((openai.PermissionDeniedError, openai.NotFoundError)) as refused:
            small.chat.completions.create(**ask("hello", model="cut"))
    assert refused.value.code == "model_not_found"
    assert "cut" in refused.value.body["message"]
    assert len(upstream.calls) == 2, "a refused request goes no further"


# === errors ===


@pytest.mark.parametrize("stream", [False, True])
def test_the_hosts_own_refusal_passes_untouched(client, upstream, stream):
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(**ask("hello", model="busy"), stream=stream)
    answer = refused.value.response
    assert answer.content == bytes(upstream.wait().sent)
    assert refused.value.body == BUSY["error"]
    assert answer.headers.get_list("retry-after") == ["7"]


def test_an_unknown_model_is_the_hosts_business(client, upstream):
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(**ask("hello", model="gpt-9"))
    assert refused.value.code == "model_not_found"
    assert refused.value.response.content == bytes(upstream.wait().sent)


@pytest.mark.parametrize("stream", [False, True])
def test_a_host_that_refuses_connections(aifd, stream):
    with client_of(aifd, prefix="/dead") as client, pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(**ask("hello"), stream=stream)
    error = failed.value
    assert error.status_code == 502
    assert error.response.headers["content-type"].startswith("application/json")
    assert error.body["message"] and error.type == "server_error"
    assert error.request_id


# === clients that leave ===


def test_a_client_that_closes_its_stream_frees_the_host(client, upstream):
    upstream.step()
    stream = client.chat.completions.create(**ask("long", model="gated"), stream=True)
    next(stream)
    stream.close()
    assert upstream.wait().ended.result(timeout=2) == "client left"


@pytest.mark.parametrize("stream", [False, True])
def test_a_cancelled_call_frees_the_host(aifd, upstream, stream):
    async def call():
        async with client_of(aifd, kind=openai.AsyncOpenAI) as client:
            asking = client.chat.completions.create(**ask("long", model="gated"), stream=stream)
            task = asyncio.create_task(asking)
            await asyncio.to_thread(upstream.wait)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if stream and not task.cancelled():  # the head was here already: leave the stream itself
                await task.result().close()
            return await asyncio.to_thread(upstream.wait().ended.result, 2)

    assert asyncio.run(call()) == "client left"
