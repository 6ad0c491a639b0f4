//! The commit point of a stream, and the comments that keep a silent one open.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::support::client::{Client, Ended, Reading};
use crate::support::house::{Conf, House, keyed};
use crate::support::openai::{chat, chat_stream, post};
use crate::support::upstream::{Gate, Reply, Upstream};

const SIDES: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];
const COMMENT: &str = ": keep-alive\n\n";

fn ask() -> Request<Bytes> {
    keyed(post("/v1/chat/completions", &chat("m", true, "hi")))
}

async fn client(house: &House, h2: bool) -> Client {
    match h2 {
        true => Client::h2c(house.addr()).await,
        false => house.client().await,
    }
}

/// The frames with which hosts begin before they have computed anything.
fn nothing_yet() -> String {
    let role = json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]});
    format!(": hello\n\ndata: {role}\n\n")
}

fn frames(frames: &[String]) -> Reply {
    Reply::stream("text/event-stream", frames.iter().cloned().map(Bytes::from))
}

/// A host that does as `first` says once, and then answers well.
async fn behind_a_bad_one(h2: bool, first: fn() -> Reply) -> (Upstream, House) {
    let asked = AtomicBool::new(false);
    let up = Upstream::start_as(h2, move |_| match asked.swap(true, Ordering::Relaxed) {
        false => first(),
        true => frames(&[nothing_yet()].into_iter().chain(events(&["good"])).collect::<Vec<_>>()),
    })
    .await;
    let house = House::start(Conf::to(&up).upstream("retry = { backoff = \"10ms\" }")).await;
    (up, house)
}

fn events(words: &[&str]) -> Vec<String> {
    chat_stream(words).iter().map(|payload| format!("data: {payload}\n\n")).collect()
}

fn dies() -> Reply {
    frames(&[nothing_yet(), events(&["lost"])[0].clone()]).cut_after(nothing_yet().len() + 20)
}

fn is_reset() -> Reply {
    frames(&[nothing_yet(), events(&["lost"])[0].clone()]).reset_after(nothing_yet().len())
}

fn says_it_is_overloaded() -> Reply {
    frames(&[nothing_yet(), format!("data: {}\n\n", json!({"error": {"code": 503}}))])
}

fn ends_without_a_word() -> Reply {
    frames(&[nothing_yet()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_comes_to_nothing_is_replaced_unseen() {
    for (h2_upstream, h2_client) in SIDES {
        for (nth, first) in
            [dies, is_reset, says_it_is_overloaded, ends_without_a_word].into_iter().enumerate()
        {
            let (up, house) = behind_a_bad_one(h2_upstream, first).await;
            let answer = client(&house, h2_client).await.ask(ask()).await;
            let case = format!("{nth}, h2 {h2_upstream} {h2_client}: {}", answer.text());
            assert_eq!((answer.status, &answer.ended), (200, &Ended::Whole), "{case}");
            let whole = [nothing_yet(), events(&["good"]).concat()].concat();
            assert_eq!(answer.text(), whole, "{case}");
            assert_eq!(up.seen(2).await.len(), 2, "{case}");
            let line = house.log().await.pop().unwrap();
            assert_eq!((&line["ended"], &line["attempts"]), (&json!("done"), &json!(2)), "{case}");
            assert_eq!(line["answer"]["choices"][0]["content"], "good", "{case}");
        }
    }
}

fn falls_silent() -> Reply {
    frames(&[nothing_yet(), events(&["lost"])[0].clone()]).hang_after(nothing_yet().len())
}

#[tokio::test]
async fn nothing_of_an_attempt_that_was_given_up_comes_later() {
    for (h2_upstream, h2_client) in SIDES {
        // Before its host has answered, too: then a head of our own is out, once.
        for before in [false, true] {
            let asked = AtomicBool::new(false);
            let up = Upstream::start_as(h2_upstream, move |_| {
                match asked.swap(true, Ordering::Relaxed) {
                    false => falls_silent(),
                    true => frames(&events(&["good"])).delay(Duration::from_millis(200)),
                }
            })
            .await;
            let route = format!(
                "[[route]]\nprefix = \"/\"\nhold = \"60s\"\nkeepalive = \"50ms\"\n\
                 keepalive_before = {before}"
            );
            let times = "timeouts = { first_byte = \"300ms\" }\nretry = { backoff = \"1ms\" }";
            let house = House::start(Conf::to(&up).upstream(times).table(&route)).await;
            let answer = client(&house, h2_client).await.ask(ask()).await;
            let case = format!("h2 {h2_upstream} {h2_client}, {before}: {}", answer.text());
            assert_eq!((answer.status, &answer.ended), (200, &Ended::Whole), "{case}");
            assert_eq!(answer.text().replace(COMMENT, ""), events(&["good"]).concat(), "{case}");
            assert_eq!(answer.text().contains(COMMENT), before, "{case}");
            assert_eq!(up.ledger().len(), 2, "{case}");
        }
    }
}

#[tokio::test]
async fn what_no_other_attempt_would_cure_goes_through_untouched() {
    let wrong = format!("data: {}\n\n", json!({"error": {"code": "context_length_exceeded"}}));
    let sent = [nothing_yet(), wrong.clone(), "data: [DONE]\n\n".into()];
    let up = Upstream::start(move |_| frames(&sent)).await;
    let house = House::before(&up).await;
    let answer = house.ask(ask()).await;
    assert_eq!(answer.text(), [nothing_yet(), wrong, "data: [DONE]\n\n".into()].concat());
    assert_eq!((answer.ended, up.ledger().len()), (Ended::Whole, 1));
}

#[tokio::test]
async fn patience_with_a_silent_host_ends() {
    for (h2_upstream, h2_client) in SIDES {
        let gate = Gate::new();
        let step = gate.clone();
        let sent = [nothing_yet()].into_iter().chain(events(&["a"])).collect::<Vec<_>>();
        let up = Upstream::start_as(h2_upstream, move |_| frames(&sent).stepped_by(&step)).await;
        let route = "[[route]]\nprefix = \"/\"\nhold = \"100ms\"";
        let house = House::start(Conf::to(&up).table(route)).await;
        gate.step();
        let mut client = client(&house, h2_client).await;
        let mut reading = client.send(ask()).await.unwrap();
        let mut begun = String::new();
        while begun.len() < nothing_yet().len() {
            begun.push_str(&String::from_utf8(reading.next_piece().await.unwrap().into()).unwrap());
        }
        assert_eq!(begun, nothing_yet(), "h2 {h2_upstream} {h2_client}");
        gate.open();
        let rest = reading.finish().await;
        assert!(rest.text().ends_with(&events(&["a"]).concat()), "{}", rest.text());
        assert_eq!(rest.ended, Ended::Whole);
    }
}

#[tokio::test]
async fn a_comment_goes_into_the_silence_and_never_into_an_event() {
    for (h2_upstream, h2_client) in SIDES {
        let gate = Gate::new();
        let step = gate.clone();
        let event = &events(&["a"])[0];
        let (first, second) = event.split_at(30);
        let sent = [event.clone(), first.into(), second.into()];
        let up = Upstream::start_as(h2_upstream, move |seen| match seen.target.as_str() {
            "/v1/elsewhere" => frames(&sent).hang_after(sent[0].len()),
            _ => frames(&sent).stepped_by(&step),
        })
        .await;
        let route = "[[route]]\nprefix = \"/\"\nkeepalive = \"100ms\"\nhold = \"off\"";
        let house = House::start(Conf::to(&up).table(route)).await;
        let case = format!("h2 {h2_upstream} {h2_client}");
        let mut client = client(&house, h2_client).await;

        let mut stream = Stream::of(&mut client, "/v1/here").await;
        gate.step();
        stream.until(&format!("{event}{COMMENT}{COMMENT}")).await;
        gate.step();
        stream.until(first).await;
        // Half an event is out: in the time of three comments elsewhere none comes here.
        let mut elsewhere = house.client().await;
        let mut elsewhere = Stream::of(&mut elsewhere, "/v1/elsewhere").await;
        elsewhere.until(&format!("{event}{COMMENT}{COMMENT}{COMMENT}")).await;
        gate.open();
        let answer = stream.reading.finish().await;
        assert_eq!(answer.ended, Ended::Whole, "{case}");
        assert!(answer.text().contains(&format!("{COMMENT}{event}")), "{case}: {}", answer.text());
        assert_eq!(answer.text().replace(COMMENT, ""), [event.as_str(), event].concat(), "{case}");
    }
}

const BEFORE: &str = "[[route]]\nprefix = \"/\"\nkeepalive = \"50ms\"\nkeepalive_before = true";

#[tokio::test]
async fn a_stream_can_begin_before_its_host_answers() {
    for (h2_upstream, h2_client) in SIDES {
        let (gate, asked) = (Gate::new(), AtomicBool::new(false));
        let step = gate.clone();
        // The first attempt dies in its silence; comments are all that is out, so there is another.
        let script = move |_: &_| match asked.swap(true, Ordering::Relaxed) {
            false => Reply::sse(["lost"]).wait_for(&step).reset_at_once(),
            true => frames(&events(&["a"])).wait_for(&step),
        };
        let up = Upstream::start_as(h2_upstream, script).await;
        let house = House::start(Conf::to(&up).table(BEFORE)).await;
        let mut client = client(&house, h2_client).await;
        let mut stream = Stream::of(&mut client, "/v1/here").await;
        let case = format!("h2 {h2_upstream} {h2_client}");
        let headers = &stream.reading.headers;
        assert_eq!(
            (stream.reading.status, &headers["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        stream.until(COMMENT).await;
        gate.step();
        up.seen(2).await;
        stream.until(&format!("{COMMENT}{COMMENT}")).await;
        gate.step();
        let answer = stream.reading.finish().await;
        assert_eq!(answer.ended, Ended::Whole, "{case}: {}", answer.text());
        assert_eq!(answer.text().replace(COMMENT, ""), events(&["a"]).concat(), "{case}");
        let line = house.log().await.pop().unwrap();
        assert_eq!((&line["ended"], &line["attempts"]), (&json!("done"), &json!(2)), "{case}");
    }
}

#[tokio::test]
async fn what_turns_out_to_be_no_stream_is_told_in_an_event() {
    for h2_client in [false, true] {
        let gate = Gate::new();
        let step = gate.clone();
        let up = Upstream::start(move |_| {
            Reply::json(400, &json!({"error": {"code": "theirs"}})).wait_for(&step)
        })
        .await;
        let house = House::start(Conf::to(&up).table(BEFORE)).await;
        let mut client = client(&house, h2_client).await;
        let mut stream = Stream::of(&mut client, "/v1/here").await;
        stream.until(COMMENT).await;
        gate.open();
        let answer = stream.reading.finish().await;
        assert_eq!(answer.ended, Ended::Whole);
        let told = answer.text().replace(COMMENT, "");
        assert_eq!(told, "data: {\"error\":{\"code\":\"theirs\"}}\n\n", "h2 {h2_client}");
        // Whoever wants no stream gets the status, however long it takes.
        let plain = house.ask(post("/v1/x", &chat("m", false, "hi"))).await;
        assert_eq!((plain.status, plain.json()["error"]["code"].as_str()), (400, Some("theirs")));
    }
}

#[tokio::test]
async fn a_key_that_is_limited_is_replaced_after_comments_too() {
    let gate = Gate::new();
    let step = gate.clone();
    let up = Upstream::start(move |seen| match seen.header("authorization") {
        Some("Bearer sk-limited") => Reply::json(429, &json!({"error": {}})).wait_for(&step),
        _ => frames(&events(&["a"])),
    })
    .await;
    let keys = format!(
        "[[upstream]]\nname = \"keys\"\nhosts = [\"{}\"]\nkeys = [\"sk-limited\", \"sk-good\"]\n\
         {BEFORE}\nupstream = \"keys\"",
        up.url()
    );
    let house = House::start(Conf::to(&up).table(&keys)).await;
    let mut client = house.client().await;
    let mut stream = Stream::of(&mut client, "/v1/here").await;
    stream.until(COMMENT).await;
    gate.open();
    let answer = stream.reading.finish().await;
    assert_eq!(answer.text().replace(COMMENT, ""), events(&["a"]).concat());
}

#[tokio::test]
async fn a_host_that_is_gone_is_told_in_an_event_too() {
    let gate = Gate::new();
    let step = gate.clone();
    let up = Upstream::start(move |_| Reply::sse(["lost"]).wait_for(&step).reset_at_once()).await;
    let conf = Conf::to(&up).upstream("retry = { attempts = 2, backoff = \"1ms\" }").table(BEFORE);
    let house = House::start(conf).await;
    let mut client = house.client().await;
    let mut stream = Stream::of(&mut client, "/v1/here").await;
    stream.until(COMMENT).await;
    gate.open();
    let answer = stream.reading.finish().await;
    assert!(answer.ended.is_cut(), "{:?} {}", answer.ended, answer.text());
    assert!(answer.text().contains("\"code\":\"upstream_broken\""), "{}", answer.text());
    let line = house.log().await.pop().unwrap();
    assert_eq!(
        (&line["ended"], &line["error"]),
        (&json!("upstream_cut"), &json!("upstream_broken"))
    );
}

/// A stream that is read to some text.
struct Stream {
    reading: Reading,
    text: String,
}

// === impl Stream ===

impl Stream {
    async fn of(client: &mut Client, path: &str) -> Self {
        let request = keyed(post(path, &chat("m", true, "hi")));
        Self { reading: client.send(request).await.unwrap(), text: String::new() }
    }

    async fn until(&mut self, end: &str) {
        while !self.text.ends_with(end) {
            let piece = self.reading.next_piece().await;
            let piece = piece.unwrap_or_else(|| panic!("it ended after {:?}", self.text));
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }
}
