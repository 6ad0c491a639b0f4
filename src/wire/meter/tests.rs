//! Answers as hosts send them, whole and cut, and what no host should send.

use proptest::prelude::*;

use super::*;

/// Chunks of a stream, with the prompt and the answer that are told, and the estimate.
type Row = (&'static [&'static str], Option<u64>, Option<u64>, u64);

const STREAMS: &[Row] = &[
    // OpenAI and vLLM, asked for usage
    (
        &[
            r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
            r#"{"id":"c","choices":[{"index":0,"delta":{"content":"Hello, world!"},"finish_reason":null}],"usage":null}"#,
            r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
            r#"{"id":"c","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"prompt_tokens_details":null}}"#,
            "[DONE]",
        ],
        Some(9),
        Some(4),
        4,
    ),
    // vLLM with a reasoning model, usage in every chunk
    (
        &[
            r#"{"choices":[{"delta":{"reasoning_content":"hmm, "}}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}"#,
            r#"{"choices":[{"delta":{"content":"yes"}}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#,
        ],
        Some(9),
        Some(2),
        2,
    ),
    // llama.cpp: usage in the last chunk with a choice
    (
        &[
            r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"four"}}]}"#,
            r#"{"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"usage":{"completion_tokens":3,"prompt_tokens":20,"total_tokens":23},"timings":{"prompt_n":20}}"#,
        ],
        Some(20),
        Some(3),
        1,
    ),
    // LocalAI: zeros in every chunk
    (
        &[
            r#"{"choices":[{"delta":{"content":"four"}}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#,
            r#"{"choices":[{"delta":{"content":"four"}}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#,
        ],
        None,
        None,
        2,
    ),
    // Ollama, not asked
    (
        &[
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"你"},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"好"},"finish_reason":"stop"}]}"#,
            "[DONE]",
        ],
        None,
        None,
        2,
    ),
    // a tool call and a refusal, the older call, a text completion
    (
        &[
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"four","arguments":""}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}"#,
            r#"{"choices":[{"delta":{"function_call":{"arguments":"{}"}}},{"delta":{"refusal":"no"}}]}"#,
            r#"{"choices":[{"text":"four","index":0,"logprobs":{"tokens":["four"]}}]}"#,
        ],
        None,
        None,
        // 4 + 5 + 2 + 2 + 4 bytes
        5,
    ),
    // the Responses API: the whole text comes again at the end
    (
        &[
            r#"{"type":"response.created","response":{"usage":null}}"#,
            r#"{"type":"response.output_text.delta","delta":"four"}"#,
            r#"{"type":"response.output_text.done","text":"four"}"#,
            r#"{"type":"response.completed","response":{"output":[{"content":[{"text":"four"}]}],"usage":{"input_tokens":5,"output_tokens":6,"total_tokens":11}}}"#,
        ],
        Some(5),
        Some(6),
        1,
    ),
    // Anthropic
    (
        &[
            r#"{"type":"message_start","message":{"role":"assistant","content":[],"usage":{"input_tokens":25,"output_tokens":1}}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"fourfour"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}"#,
        ],
        Some(25),
        Some(15),
        2,
    ),
    // ... that was cut
    (
        &[
            r#"{"type":"message_start","message":{"content":[],"usage":{"input_tokens":25,"output_tokens":1}}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"fourfour"}}"#,
        ],
        Some(25),
        None,
        2,
    ),
    // numbers that are none
    (
        &[
            r#"{"choices":[{"delta":{"content":"four"}}],"usage":{"prompt_tokens":-1,"completion_tokens":"2","total_tokens":3.5}}"#,
            r#"{"choices":[],"usage":{"total_tokens":99999999999999999999}}"#,
            r#"{"choices":[],"usage":[1]}"#,
        ],
        None,
        None,
        1,
    ),
    // what is broken
    (
        &[
            r#"{"choices":[{"delta":{"content":"four"}"#,
            "[[[[",
            "{}",
            r#""text""#,
            r#"{"choices":[{"delta":{"content":"four"}}]}"#,
        ],
        None,
        None,
        1,
    ),
];

fn spent(mut meter: Meter, pieces: &[&[u8]]) -> Spent {
    for piece in pieces {
        meter.push(&Bytes::copy_from_slice(piece));
    }
    meter.finish()
}

fn stream(chunks: &[&str]) -> String {
    chunks.iter().map(|chunk| format!("event: x\ndata: {chunk}\n\n")).collect()
}

#[test]
fn streams_of_every_host() {
    for (chunks, prompt, completion, said) in STREAMS {
        let spent = spent(Meter::stream(), &[stream(chunks).as_bytes()]);
        let told = (spent.told.prompt, spent.told.completion, spent.said);
        assert_eq!(told, (*prompt, *completion, *said), "{chunks:?}");
        assert_eq!(spent.completion(), completion.unwrap_or(*said), "{chunks:?}");
        assert_eq!(spent.total(7), prompt.unwrap_or(7) + completion.unwrap_or(*said), "{chunks:?}");
        assert_eq!(spent.told != Told::default(), prompt.or(*completion).is_some(), "{chunks:?}");
    }
}

/// Bodies, with the numbers that are told of prompt, answer and both, and the estimate.
type Body = (&'static str, [Option<u64>; 3], u64);

const BODIES: &[Body] = &[
    (
        r#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"Hello, world!","refusal":null},"logprobs":{"content":[{"token":"Hello"}]}}],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}"#,
        [Some(9), Some(4), Some(13)],
        4,
    ),
    // usage first, and one inside of a text
    (
        r#"{"usage":{"total_tokens":8},"choices":[{"text":"\"usage\":{\"total_tokens\":1}"}]}"#,
        [None, None, Some(8)],
        7,
    ),
    (
        r#"{"choices":[{"message":{"content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"four","arguments":"{\"a\":1}"}}]}}]}"#,
        [None, None, None],
        3,
    ),
    (
        r#"{"choices":[{"message":{"reasoning_content":"four","content":[{"type":"text","text":"four"}]}}]}"#,
        [None, None, None],
        2,
    ),
    (
        r#"{"object":"list","data":[{"embedding":[0.1,-2e-5]}],"model":"m","usage":{"prompt_tokens":4,"total_tokens":4}}"#,
        [Some(4), None, Some(4)],
        0,
    ),
    (
        r#"{"object":"response","output":[{"type":"message","content":[{"type":"output_text","text":"four"}]}],"usage":{"input_tokens":5,"output_tokens":6}}"#,
        [Some(5), Some(6), None],
        1,
    ),
    (r#"{"error":{"message":"no such model"}}"#, [None, None, None], 0),
    (r#"{"choices":[{"message":{"content":"four"#, [None, None, None], 1),
    ("<html>{</html>", [None, None, None], 0),
];

#[test]
fn bodies_of_every_host() {
    for (body, [prompt, completion, total], said) in BODIES {
        let (prompt, completion, total) = (*prompt, *completion, *total);
        let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        for pieces in [vec![body.as_bytes()], bytes] {
            let spent = spent(Meter::body(), &pieces);
            assert_eq!(spent.told, Told { prompt, completion, total }, "{body}");
            assert_eq!(spent.said, *said, "{body}");
        }
    }
}

#[test]
fn what_is_not_told_follows_from_what_is() {
    for (prompt, completion, total, expected) in [
        (None, None, None, (10, 17)),
        (Some(4), None, Some(4), (0, 4)),
        (Some(4), None, None, (10, 14)),
        (None, Some(3), None, (3, 10)),
        (None, None, Some(30), (10, 30)),
        (Some(9), None, Some(4), (0, 4)),
        (Some(u64::MAX), Some(u64::MAX), None, (u64::MAX, u64::MAX)),
    ] {
        let spent = Spent { told: Told { prompt, completion, total }, said: 10 };
        assert_eq!((spent.completion(), spent.total(7)), expected, "{spent:?}");
    }
}

#[test]
fn an_event_that_is_too_long_is_counted_as_it_comes() {
    let long = "four".repeat(EVENT);
    let chunk = format!(r#"{{"choices":[{{"delta":{{"content":"{long}"}}}}]}}"#);
    let last = r#"{"choices":[{"delta":{"content":"four"}}],"usage":{"total_tokens":3}}"#;
    for chunks in [vec![&chunk[..], last], vec![&chunk, &chunk, last], vec![last, &chunk]] {
        let text = stream(&chunks);
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(5000).collect();
        let spent = spent(Meter::stream(), &pieces);
        let longs = chunks.iter().filter(|one| **one != last).count();
        assert_eq!(spent.said, (longs * EVENT + 1) as u64);
        assert_eq!(spent.told.total, Some(3));
    }
    let done = format!(
        r#"{{"type":"response.completed","response":{{"output":[{{"content":[{{"text":"{long}"}}]}}],"usage":{{"output_tokens":6}}}}}}"#
    );
    let pieces = stream(&[&done]);
    let pieces: Vec<&[u8]> = pieces.as_bytes().chunks(5000).collect();
    let spent = spent(Meter::stream(), &pieces);
    assert_eq!((spent.said, spent.told.completion), (0, Some(6)));
}

proptest! {
    #[test]
    fn any_cut_of_a_stream_counts_the_same(
        row in 0..STREAMS.len(),
        blank: bool,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let text = stream(STREAMS[row].0);
        // The last blank line may be missing.
        let text = if blank { &text[..] } else { text.trim_end() }.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
        prop_assert_eq!(spent(Meter::stream(), &pieces), spent(Meter::stream(), &[text]));
    }

    #[test]
    fn no_answer_panics(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..6)) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let (stream, body) = (spent(Meter::stream(), &pieces), spent(Meter::body(), &pieces));
        prop_assert_eq!((stream.told, body.told), (Told::default(), Told::default()));
    }
}
