//! Answers as they come, and what of them goes on when.

use std::time::Duration;

use super::*;
use crate::retry::On;

const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const BUSY: &str = "data: {\"error\":{\"code\":503}}\n\n";
const WRONG: &str = "data: {\"error\":{\"code\":400}}\n\n";

const HOLD: Duration = Duration::from_secs(2);
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A flow whose stream is about to begin, at an attempt that is the last or not.
fn flow(last: bool, hold: Option<Duration>) -> Flow {
    let policy = Policy {
        attempts: if last { 1 } else { 3 },
        on: vec![On::Reset, On::Status(503)],
        backoff: Duration::ZERO,
    };
    let facts = Attempt {
        failure: Failure::Empty,
        committed: false,
        sent: true,
        replayable: true,
        attempts: 1,
        stale: 0,
        left: Duration::from_secs(60),
        hosts_left: 1,
        hosts: 2,
        keys_left: 0,
        wanted: None,
    };
    let rules = Streaming { keepalive: Some(KEEPALIVE), before: false, hold };
    let mut flow = Flow::default();
    flow.open(Opening {
        rules,
        chances: Chances { policy: Arc::new(policy), facts },
        refusal: None,
        pacer: None,
    });
    flow
}

fn head() -> HttpTask {
    HttpTask::Header(Box::new(ResponseHeader::build(200, None).unwrap()), false)
}

fn body(piece: &'static str) -> HttpTask {
    HttpTask::Body(Some(Bytes::from_static(piece.as_bytes())), false)
}

/// What goes on, in letters: H for the head, the text of pieces, `.` for the end, `!` for a failure.
fn shown(tasks: Vec<HttpTask>) -> String {
    let letters = tasks.into_iter().map(|task| match task {
        HttpTask::Header(..) => "H".to_owned(),
        HttpTask::Body(piece, end) => {
            let piece = String::from_utf8(piece.unwrap_or_default().to_vec()).unwrap();
            piece + if end { "." } else { "" }
        }
        HttpTask::Done | HttpTask::Trailer(_) => ".".to_owned(),
        HttpTask::Failed(_) => "!".to_owned(),
        HttpTask::UpgradedBody(..) => "?".to_owned(),
    });
    letters.collect()
}

fn broken() -> HttpTask {
    HttpTask::Failed(pingora::Error::new(pingora::ErrorType::ReadError))
}

#[tokio::test]
async fn what_goes_on_and_when() {
    let all = |parts: &[&str]| parts.concat();
    for (last, steps, expected) in [
        (
            false,
            vec![vec![head()], vec![body(ROLE)], vec![body(TEXT)]],
            vec![String::new(), String::new(), all(&["H", ROLE, TEXT])],
        ),
        (
            false,
            vec![vec![head(), body(TEXT)], vec![body(DONE), HttpTask::Done]],
            vec![all(&["H", TEXT]), all(&[DONE, "."])],
        ),
        // An empty answer that says so is an answer.
        (
            false,
            vec![vec![head(), body(ROLE)], vec![body(DONE), HttpTask::Done]],
            vec![String::new(), all(&["H", ROLE, DONE, "."])],
        ),
        // Broken off: nothing of it is out, and nothing goes on but the news.
        (false, vec![vec![head(), body(ROLE)], vec![broken()]], vec![String::new(), "!".into()]),
        // A client's own mistake goes on at once, and so does what nobody could do better.
        (false, vec![vec![head(), body(ROLE), body(WRONG)]], vec![all(&["H", ROLE, WRONG])]),
        (true, vec![vec![head(), body(ROLE), body(BUSY)]], vec![all(&["H", ROLE, BUSY])]),
        (true, vec![vec![head(), body(ROLE), HttpTask::Done]], vec![all(&["H", ROLE, "."])]),
    ] {
        let mut flow = flow(last, Some(HOLD));
        let now = Instant::now();
        let passed = steps.into_iter().map(|tasks| shown(flow.pass(tasks, now).unwrap()));
        assert_eq!(passed.collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn what_came_to_nothing_is_thrown_away() {
    for (steps, why) in [
        (vec![head(), body(ROLE), body(BUSY)], Failure::Status(503)),
        (vec![head(), body(ROLE), HttpTask::Done], Failure::Empty),
        (vec![head(), HttpTask::Body(None, true)], Failure::Empty),
    ] {
        let passed = flow(false, Some(HOLD)).pass(steps, Instant::now());
        assert_eq!(passed.unwrap_err(), why);
    }
}

#[tokio::test]
async fn a_refusal_is_held_to_its_end() {
    for last in [false, true] {
        let mut flow = flow(last, None);
        flow.opening.as_mut().unwrap().refusal = Some(Failure::Status(503));
        let now = Instant::now();
        assert_eq!(shown(flow.pass(vec![head(), body("{\"a\":")], now).unwrap()), "");
        match flow.pass(vec![body("1}"), HttpTask::Done], now) {
            Ok(tasks) => assert_eq!((shown(tasks).as_str(), last), ("H{\"a\":1}.", true)),
            Err(why) => assert_eq!((why, last), (Failure::Status(503), false)),
        }
    }
}

#[tokio::test]
async fn what_is_no_stream_is_left_alone() {
    let mut flow = Flow::default();
    let now = Instant::now();
    assert_eq!(shown(flow.pass(vec![head(), body(ROLE)], now).unwrap()), format!("H{ROLE}"));
    assert_eq!(flow.due(), None);
}

#[tokio::test(start_paused = true)]
async fn patience_then_silence() {
    let start = Instant::now();
    let mut flow = flow(false, Some(HOLD));
    flow.pass(vec![head(), body(ROLE)], start).unwrap();
    assert_eq!(flow.due(), Some(start + HOLD));
    assert!(flow.overdue(start).is_none());
    let after = start + HOLD;
    let out = flow.overdue(after).unwrap();
    assert!(out.head.is_some() && out.pieces == [ROLE]);
    // Silent since then; half an event is out, and no comment may go in.
    assert_eq!(flow.due(), Some(after + KEEPALIVE));
    assert_eq!(shown(flow.pass(vec![body("data: {")], after).unwrap()), "data: {");
    assert_eq!(flow.due(), None);
    flow.pass(vec![body("}\n\n")], after).unwrap();
    let later = after + KEEPALIVE;
    assert_eq!(flow.due(), Some(later));
    let out = flow.overdue(later).unwrap();
    assert!(out.head.is_none() && out.pieces == [COMMENT]);
    assert_eq!(flow.due(), Some(later + KEEPALIVE));
}

#[tokio::test]
async fn without_patience_nothing_is_held() {
    let mut flow = flow(false, None);
    let now = Instant::now();
    assert_eq!(shown(flow.pass(vec![head()], now).unwrap()), "H");
    assert_eq!(flow.due(), Some(now + KEEPALIVE));
    assert_eq!(shown(flow.pass(vec![body(BUSY)], now).unwrap()), BUSY);
}
