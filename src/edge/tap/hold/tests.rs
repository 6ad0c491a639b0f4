//! Streams as hosts begin them, and every cut of them.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const ROLE: &str =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const NOTE: &str = ": a comment\r\n\r\n";
const ERROR: &str = "data: {\"error\":{\"message\":\"m\",\"code\":503}}\n\n";
const CREATED: &str = "event: response.created\ndata: {\"type\":\"response.created\"}\n\n";
const COMPLETED: &str = "event: response.completed\ndata: {\"type\":\"response.completed\"}\n\n";

fn hold(limit: usize) -> Hold {
    Hold::new(limit, Instant::now() + Duration::from_secs(2))
}

/// What `Held` is, without the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Wait,
    Commit,
    Failed(Option<u16>),
    Empty,
}

fn kind(held: &Held) -> Kind {
    match held {
        Held::Wait => Kind::Wait,
        Held::Commit(_) => Kind::Commit,
        Held::Failed { code } => Kind::Failed(*code),
        Held::Empty => Kind::Empty,
    }
}

#[tokio::test]
async fn each_piece_and_what_it_brings() {
    use Kind::{Commit, Failed, Wait};
    for (pieces, expected) in [
        (&[ROLE, NOTE, TEXT, DONE][..], &[Wait, Wait, Commit, Commit][..]),
        (&[CREATED, TEXT], &[Wait, Commit]),
        (
            &["data: {\"choices\":[{\"delta\":", "{\"content\":\"a\"}}]}\n", "\n"],
            &[Wait, Wait, Commit],
        ),
        (&["data: <html>\r\n\r", "\n"], &[Commit, Commit]),
        (&[ROLE, ERROR], &[Wait, Failed(Some(503))]),
        (&[TEXT, ERROR], &[Commit, Commit]),
        (&["", ROLE, STOP, DONE], &[Wait, Wait, Wait, Wait]),
    ] {
        let mut hold = hold(HELD_MOST);
        let mut out = Vec::new();
        for (piece, expected) in pieces.iter().zip(expected) {
            let held = hold.push(&Bytes::from_static(piece.as_bytes()), Instant::now());
            assert_eq!(kind(&held), *expected, "{pieces:?} at {piece:?}");
            if let Held::Commit(pieces) = held {
                out.extend(pieces);
            }
        }
        out.extend(hold.release());
        assert_eq!(out, pieces, "unchanged, in order, and in the same pieces");
    }
}

#[tokio::test]
async fn one_piece_with_several_events() {
    for (events, expected) in [
        ([ROLE, TEXT, ERROR], Kind::Commit),
        ([ROLE, ERROR, TEXT], Kind::Failed(Some(503))),
        ([ROLE, STOP, ERROR], Kind::Failed(Some(503))),
        ([ROLE, NOTE, DONE], Kind::Wait),
    ] {
        let held = hold(HELD_MOST).push(&Bytes::from(events.concat()), Instant::now());
        assert_eq!(kind(&held), expected, "{events:?}");
    }
}

#[tokio::test]
async fn a_clean_end() {
    for (stream, expected) in [
        (String::new(), Kind::Empty),
        (ROLE.to_owned(), Kind::Empty),
        ([NOTE, CREATED].concat(), Kind::Empty),
        ([ROLE, "data: {\"choices\""].concat(), Kind::Empty),
        ([ROLE, STOP, "data: {\"choices\""].concat(), Kind::Commit),
        ([ROLE, DONE].concat(), Kind::Commit),
        ([ROLE, STOP].concat(), Kind::Commit),
        ([CREATED, COMPLETED].concat(), Kind::Commit),
        ([ROLE, TEXT].concat(), Kind::Commit),
        ([ROLE, "data: [DONE]"].concat(), Kind::Commit),
        ([ROLE, TEXT.trim_end()].concat(), Kind::Commit),
        ([ROLE, ERROR.trim_end()].concat(), Kind::Failed(Some(503))),
        ([DONE, NOTE].concat(), Kind::Commit),
    ] {
        let mut hold = hold(HELD_MOST);
        let mut out = Vec::new();
        if let Held::Commit(pieces) = hold.push(&Bytes::from(stream.clone()), Instant::now()) {
            out.extend(pieces);
        }
        let ending = hold.finish();
        assert_eq!(kind(&ending), expected, "{stream:?}");
        match ending {
            Held::Commit(pieces) => out.extend(pieces),
            Held::Wait | Held::Failed { .. } | Held::Empty => out.extend(hold.release()),
        }
        assert_eq!(out.concat(), stream.as_bytes());
    }
}

#[tokio::test]
async fn an_error_says_its_status() {
    for (event, code) in [
        (r#"data: {"error":{"code":429}}"#, Some(429)),
        (r#"data: {"error":{"code":"502"}}"#, Some(502)),
        (r#"data: {"error":{"code":null,"type":"invalid_request_error"}}"#, Some(400)),
        (r#"data: {"error":{"code":"rate_limit_exceeded","type":"tokens"}}"#, Some(429)),
        (r#"data: {"error":{"code":7,"status":500}}"#, Some(500)),
        (r#"data: {"error":{"type":"server_error"}}"#, None),
        (r#"data: {"error":"out of memory"}"#, None),
        (r#"data: {"error":{"code":200}}"#, None),
        ("event: error\ndata: {\"type\":\"error\",\"code\":\"overloaded_error\"}", Some(503)),
        (
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}",
            Some(503),
        ),
        ("event: error\ndata: out of memory", None),
        (
            r#"data: {"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded"}}}"#,
            Some(429),
        ),
    ] {
        let held = hold(HELD_MOST).push(&Bytes::from(format!("{event}\n\n")), Instant::now());
        assert_eq!(held, Held::Failed { code }, "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn patience_ends() {
    let mut hold = hold(HELD_MOST);
    let role = Bytes::from(ROLE);
    let until = hold.due().unwrap();
    assert_eq!(hold.push(&role, Instant::now()), Held::Wait);
    assert_eq!(hold.push(&role, until - Duration::from_nanos(1)), Held::Wait);
    assert_eq!(hold.push(&role, until), Held::Commit(vec![role.clone(); 3]));
    assert_eq!(hold.due(), None);
    assert_eq!(hold.push(&role, until), Held::Commit(vec![role]));
}

#[tokio::test]
async fn memory_is_bounded() {
    let mut hold = hold(100);
    let line = Bytes::from(format!("data: {}", "x".repeat(94)));
    assert_eq!(hold.push(&line, Instant::now()), Held::Wait);
    let held = hold.push(&Bytes::from("y"), Instant::now());
    assert_eq!(held, Held::Commit(vec![line, Bytes::from("y")]));
}

#[tokio::test]
async fn the_limit_does_not_count_the_last_line_feed() {
    let error = format!("{}\r\n\r\n", ERROR.trim_end());
    let (short, failed) = (error.len() - 1, Kind::Failed(Some(503)));
    for (limit, expected) in [(short, failed), (short - 1, Kind::Commit)] {
        for place in [0, short - 1, short] {
            let (_, first, _) = play(error.as_bytes(), &[place], limit);
            assert_eq!(first.map(|(kind, _)| kind), Some(expected), "{limit}, cut at {place}");
        }
    }
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let rare = prop_oneof![Just(TEXT), Just(ERROR), Just("data: <html>\r\n\r\n"), Just("data: ")];
    let word = prop_oneof![
        1 => rare,
        6 => prop_oneof![
            Just(ROLE),
            Just(NOTE),
            Just(STOP),
            Just(DONE),
            Just("\r\n"),
            Just("\r"),
            Just("\n"),
            Just("event: error\n"),
        ],
    ];
    prop::collection::vec(word, 0..12).prop_map(|words| words.concat().into_bytes())
}

/// Plays `input`, cut at `places`: what came out, the first word but `Wait`, and how many bytes had
/// been given by then.
fn play(input: &[u8], places: &[usize], limit: usize) -> (Vec<u8>, Option<(Kind, usize)>, Kind) {
    let mut places: Vec<usize> = places.iter().map(|place| place % (input.len() + 1)).collect();
    places.extend([0, input.len()]);
    places.sort_unstable();
    let (mut hold, mut out, mut first) = (hold(limit), Vec::new(), None);
    for pair in places.windows(2) {
        let piece = Bytes::copy_from_slice(&input[pair[0]..pair[1]]);
        let held = hold.push(&piece, Instant::now());
        if held != Held::Wait {
            first.get_or_insert((kind(&held), pair[1]));
        }
        match held {
            Held::Commit(pieces) => out.extend(pieces.concat()),
            Held::Failed { .. } => out.extend(hold.release().concat()),
            Held::Wait => {}
            Held::Empty => panic!("empty before the end"),
        }
    }
    let ending = hold.finish();
    let last = kind(&ending);
    match ending {
        Held::Commit(pieces) => out.extend(pieces.concat()),
        Held::Wait => panic!("an end that waits"),
        Held::Failed { .. } | Held::Empty => out.extend(hold.release().concat()),
    }
    (out, first, last)
}

proptest! {
    #[test]
    fn any_cut_commits_at_the_same_byte(
        input in stream(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        limit in prop_oneof![Just(HELD_MOST), 0..300_usize],
    ) {
        let each: Vec<usize> = (0..=input.len()).collect();
        let (out, by_byte, last) = play(&input, &each, limit);
        prop_assert_eq!(&out, &input);
        let (out, first, cut_last) = play(&input, &cuts, limit);
        prop_assert_eq!(&out, &input);
        prop_assert_eq!(cut_last, last);
        prop_assert_eq!(first.map(|(kind, _)| kind), by_byte.map(|(kind, _)| kind));
        if let (Some((_, at)), Some((_, least))) = (first, by_byte) {
            let next = cuts.iter().map(|cut| cut % (input.len() + 1)).filter(|cut| *cut >= least);
            prop_assert_eq!(at, next.min().unwrap_or(input.len()));
        }
    }
}
