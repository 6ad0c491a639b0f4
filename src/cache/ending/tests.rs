//! Ends of answers, good and bad.

use proptest::prelude::*;

use super::*;

const TEXT: &str = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

fn events(data: &[&str]) -> String {
    data.iter().map(|data| format!("data: {data}\n\n")).collect()
}

fn is_whole<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut ending = Ending::new(1000);
    for piece in pieces {
        ending.push(&Bytes::copy_from_slice(piece));
    }
    ending.is_whole()
}

/// Streams and whether they are whole.
fn table() -> Vec<(String, bool)> {
    let reason = |reason: &str| STOP.replace("stop", reason);
    let second = |chunk: &str| chunk.replace("\"index\":0", "\"index\":1");
    let table: Vec<(Vec<&str>, bool)> = vec![
        (vec![TEXT, STOP, "[DONE]"], true),
        (vec![TEXT, STOP], true),
        (vec![TEXT, "[DONE]"], true),
        (vec![TEXT], false),
        (vec!["[DONE]"], false),
        (vec![], false),
        (vec![r#"{"choices":[],"usage":{}}"#, "[DONE]"], false),
        (vec![TEXT, STOP, r#"{"choices":[],"usage":{"total_tokens":1}}"#], true),
        (vec![TEXT, STOP, r#"{"error":{"message":"x"}}"#, "[DONE]"], false),
        (vec![TEXT, STOP, "[DONE]", r#"{"error":{"message":"x"}}"#], false),
        (vec![TEXT, r#"{"error":"x"}"#], false),
        (vec![r#"{"error":null,"choices":[{"text":"a","finish_reason":"length"}]}"#], true),
        (vec![TEXT, "oops", STOP, "[DONE]"], false),
        (vec![TEXT, r#"{"detail":"out of memory"}"#, STOP], false),
    ];
    let mut all: Vec<_> = table.iter().map(|(data, whole)| (events(data), *whole)).collect();
    for (reason, whole) in [
        (reason("tool_calls"), true),
        (reason("STOP"), true),
        (reason("content_filter"), false),
        (reason("error"), false),
        (reason("abort"), false),
        (reason("insufficient_system_resource"), false),
        (reason(""), false),
    ] {
        all.push((events(&[TEXT, &reason]), whole));
    }
    all.push((events(&[TEXT, &second(TEXT), STOP]), false));
    all.push((events(&[TEXT, &second(TEXT), STOP, &second(STOP)]), true));
    all.push((events(&[TEXT, &second(&reason("content_filter")), STOP, "[DONE]"]), false));
    all.push((events(&[TEXT, STOP]) + "data: {\"choices\":[{\"index\":0,\"del", false));
    all.push((events(&[TEXT, STOP]) + "data: [DONE]", true));
    all.push((format!(": hi\n\n{}event: error\ndata: {TEXT}\n\n", events(&[TEXT, STOP])), false));
    all.push((format!(": hi\r\n\r\n{}", events(&[TEXT, STOP]).replace('\n', "\r\n")), true));
    all.push((
        events(&[&format!("{{\"choices\":[],\"x\":\"{}\"}}", "x".repeat(1000)), STOP]),
        false,
    ));
    all
}

#[test]
fn streams_and_their_ends() {
    for (stream, whole) in table() {
        assert_eq!(is_whole([stream.as_bytes()]), whole, "{stream}");
    }
}

#[test]
fn a_stream_that_is_cut_off_before_its_end_is_not_whole() {
    let stream = events(&[TEXT, TEXT, STOP]);
    let end = stream.rfind("}]}").unwrap() + 3;
    for cut in 0..end {
        assert!(!is_whole([&stream.as_bytes()[..cut]]), "{cut}");
    }
}

#[test]
fn what_is_broken_is_known_at_once() {
    let mut ending = Ending::new(1000);
    ending.push(&events(&[TEXT]).into());
    assert!(!ending.is_broken());
    ending.push(&events(&[r#"{"error":{}}"#, r#"{"error":{"code":1}}"#]).into());
    assert!(ending.is_broken());
}

#[test]
fn bodies_and_their_ends() {
    let chat = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#;
    let vectors = r#"{"object":"list","data":[{"embedding":[1,2]}]}"#;
    for (api, status, body, whole) in [
        (Api::Chat, 200, chat, true),
        (Api::Chat, 201, chat, false),
        (Api::Chat, 500, chat, false),
        (Api::Chat, 200, &chat[..chat.len() - 1], false),
        (Api::Chat, 200, &chat.replace("stop", "content_filter"), false),
        (Api::Chat, 200, &chat.replace("\"stop\"", "null"), false),
        (Api::Chat, 200, r#"{"choices":[]}"#, false),
        (Api::Chat, 200, r#"{"choices":[{"finish_reason":"stop"},{"text":"a"}]}"#, false),
        (
            Api::Chat,
            200,
            r#"{"error":{"message":"x"},"choices":[{"finish_reason":"stop"}]}"#,
            false,
        ),
        (Api::Chat, 200, r#"{"detail":"busy"}"#, false),
        (Api::Chat, 200, "", false),
        (Api::Chat, 200, "[]", false),
        (Api::Completions, 200, r#"{"choices":[{"text":"a","finish_reason":"length"}]}"#, true),
        (Api::Embeddings, 200, vectors, true),
        (Api::Embeddings, 200, chat, false),
        (Api::Embeddings, 200, r#"{"data":[]}"#, false),
        (Api::Other, 200, r#"{"results":[]}"#, true),
        (Api::Other, 200, r#"{"error":"x"}"#, false),
        (Api::Other, 200, &chat.replace("stop", "content_filter"), false),
        (Api::Other, 200, "plain", false),
    ] {
        assert_eq!(is_whole_body(api, status, body.as_bytes()), whole, "{api:?} {status} {body}");
    }
}

proptest! {
    #[test]
    fn any_cut_gives_the_same(pick: prop::sample::Index, cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let table = table();
        let (stream, whole) = &table[pick.index(table.len())];
        let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        let pieces = places.windows(2).map(|pair| &stream.as_bytes()[pair[0]..pair[1]]);
        prop_assert_eq!(is_whole(pieces), *whole, "{}", stream);
    }
}
