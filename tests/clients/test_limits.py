"""Limits as the real `openai` client meets them: its own error, its own headers, its own retries."""

import time

import openai
import pytest

from answers import USAGE, reply_to
from conftest import COUNTED, HASTY, SPENDING, ask, client_of, text_of


def test_a_limit_is_a_rate_limit_error(aifd, upstream):
    with client_of(aifd, COUNTED) as client:
        for left in ("1", "0"):
            answer = client.chat.completions.with_raw_response.create(**ask("hello"))
            assert answer.headers["x-ratelimit-remaining-requests"] == left
            assert answer.headers["x-ratelimit-limit-requests"] == "2"
        with pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(**ask("hello"))
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.type == "requests"
    assert "2 per 1 hour" in refused.value.message
    assert int(refused.value.response.headers["retry-after"]) <= 3600
    assert len(upstream.calls) == 2


def test_the_clients_own_retry_waits_as_long_as_it_is_told(aifd, upstream):
    with client_of(aifd, HASTY) as client:
        begin = time.monotonic()
        for _ in range(3):
            client.with_options(max_retries=2).chat.completions.create(**ask("hello"))
        # Two whole periods lie between the first and the third.
        assert time.monotonic() - begin >= 2
    assert len(upstream.calls) == 3


def test_tokens_are_counted_and_usage_goes_to_who_asks_for_it(aifd, upstream):
    with client_of(aifd, SPENDING) as client:
        create = client.chat.completions.create
        for options, asked in ((None, False), ({"include_usage": True}, True)):
            more = {"stream_options": options} if options else {}
            chunks = list(create(**ask("one two", max_tokens=100), stream=True, **more))
            assert text_of(chunks) == reply_to("one two")
            assert any(chunk.usage for chunk in chunks) == asked
            assert upstream.wait().json()["stream_options"] == {"include_usage": True}
            upstream.clear()
        answer = client.chat.completions.with_raw_response.create(**ask("one two", max_tokens=100))
        reserved = 1000 - int(answer.headers["x-ratelimit-remaining-tokens"]) - 2 * USAGE["total_tokens"]
        assert 100 < reserved < 120
        with pytest.raises(openai.RateLimitError) as refused:
            client.with_options(max_retries=5).chat.completions.create(**ask("hello", max_tokens=1001))
    assert refused.value.type == "tokens"
    assert "max_tokens" in refused.value.message
