//! What is kept, for whom, and what never is.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::{ON, ask, house, told};
use crate::support::client::{Answer, Client};
use crate::support::house::{Conf, House, keyed};
use crate::support::openai::{chat, chat_answer, chat_stream, post};
use crate::support::upstream::{Gate, Reply, Upstream};

async fn upstream() -> Upstream {
    Upstream::start(|_: &_| Reply::json(200, &chat_answer("hello"))).await
}

fn saying(body: &Value) -> Request<Bytes> {
    post("/v1/chat/completions", body)
}

fn controlled(control: &str) -> Request<Bytes> {
    let mut request = ask(false);
    request.headers_mut().insert("cache-control", control.parse().unwrap());
    request
}

#[tokio::test]
async fn a_hit_is_the_answer_again() {
    let up = upstream().await;
    let house = house(&up).await;
    let first = house.ask(ask(false)).await;
    let second = house.ask(ask(false)).await;
    assert_eq!((told(&first), told(&second)), ("miss", "hit"));
    assert_eq!(first.body, second.body);
    assert_eq!(first.header("content-type"), second.header("content-type"));
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    let over_h2 = Client::h2c(house.addr()).await.ask(keyed(ask(false))).await;
    assert_eq!((told(&over_h2), &over_h2.body), ("hit", &first.body));
    assert_eq!(up.ledger().len(), 1);
    let log = house.log().await;
    assert_eq!(log.len(), 3);
    assert_eq!((&log[1]["upstream"], &log[1]["ended"]), (&json!("cache"), &json!("done")));
}

#[tokio::test]
async fn hits_keep_the_connection_and_the_borders_of_a_stream() {
    let up = Upstream::start(|_: &_| Reply::sse(chat_stream(&["a", "b", "c"]))).await;
    let house = house(&up).await;
    let mut client = house.client().await;
    let first = client.ask(keyed(ask(true))).await;
    for _ in 0..3 {
        let hit = client.ask(keyed(ask(true))).await;
        assert_eq!((told(&hit), &hit.body), ("hit", &first.body));
    }
    assert_eq!(first.events().len(), 5);
    assert_eq!(up.ledger().len(), 1);
}

#[tokio::test]
async fn what_no_answer_should_be_is_never_kept() {
    let filtered = json!({"choices": [{"index": 0, "message": {"content": "x"},
        "finish_reason": "content_filter"}]});
    let error =
        [r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#, r#"{"error":{"message":"m"}}"#];
    let endless = [r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#];
    let replies: Vec<(bool, Box<dyn Fn() -> Reply + Send + Sync>)> = vec![
        (false, Box::new(|| Reply::json(500, &chat_answer("x")))),
        (false, Box::new(|| Reply::json(400, &chat_answer("x")))),
        (false, Box::new(move || Reply::json(200, &filtered))),
        (false, Box::new(|| Reply::bytes(200, "application/json", "{\"choices\":["))),
        (false, Box::new(|| Reply::json(200, &chat_answer("x")).header("content-encoding", "br"))),
        (true, Box::new(move || Reply::sse(error))),
        (true, Box::new(move || Reply::sse(endless))),
        (true, Box::new(|| Reply::sse(chat_stream(&["a", "b"])).cut_after(150))),
    ];
    for (nth, (stream, reply)) in replies.into_iter().enumerate() {
        let up = Upstream::start(move |_: &_| reply()).await;
        let house = House::start(Conf::to(&up).with(ON).upstream("retry.attempts = 1")).await;
        house.ask(ask(stream)).await;
        let again = house.ask(ask(stream)).await;
        assert_ne!(told(&again), "hit", "{nth}");
        assert_eq!(up.ledger().len(), 2, "{nth}");
    }
}

#[tokio::test]
async fn what_a_client_says_of_the_cache_is_done_and_stays_here() {
    let up = upstream().await;
    let house = House::start(Conf::to(&up).with("cache.store = \"memory\"")).await;
    let wish = |caching: bool| {
        let mut body = chat("m", false, "hi");
        body["caching"] = json!(caching);
        saying(&body)
    };
    for (request, expected) in [
        (ask(false), "-"),
        (wish(false), "-"),
        (wish(true), "miss"),
        (wish(true), "hit"),
        (ask(false), "-"),
    ] {
        assert_eq!(told(&house.ask(request).await), expected);
    }
    let ledger = up.ledger();
    assert_eq!(ledger.len(), 4);
    assert!(ledger.iter().all(|entry| entry.seen.json().get("caching").is_none()));
}

#[tokio::test]
async fn a_client_may_refresh_or_stay_away() {
    let up = upstream().await;
    let house = house(&up).await;
    for (request, expected) in [
        (controlled("no-store"), "-"),
        (ask(false), "miss"),
        (controlled("no-cache"), "miss"),
        (ask(false), "hit"),
        (controlled("no-store"), "-"),
    ] {
        assert_eq!(told(&house.ask(request).await), expected);
    }
    assert_eq!(up.ledger().len(), 4);
}

#[tokio::test]
async fn usage_goes_to_who_asks_for_it() {
    let usage =
        r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;
    let up = Upstream::start(move |seen| {
        let asked = seen.json()["stream_options"]["include_usage"] == true;
        let mut events = chat_stream(&["a"]);
        if asked {
            events.insert(2, usage.to_owned());
        }
        Reply::sse(events)
    })
    .await;
    let house = house(&up).await;
    let mut wishing = chat("m", true, "hi");
    wishing["stream_options"] = json!({"include_usage": true});
    let plain = house.ask(ask(true)).await;
    let told_all = house.ask(saying(&wishing)).await;
    let body = house.ask(ask(false)).await;
    let hit = house.ask(ask(true)).await;
    assert_eq!([&plain, &told_all, &body, &hit].map(told), ["miss", "hit", "hit", "hit"]);
    assert!(!plain.text().contains("total_tokens") && plain.body == hit.body, "{}", plain.text());
    assert!(told_all.text().contains("total_tokens"), "{}", told_all.text());
    assert_eq!(body.json()["usage"]["total_tokens"], 4);
    assert_eq!(up.ledger().len(), 1);
}

#[tokio::test]
async fn a_hit_is_limited_like_any_answer() {
    let up = upstream().await;
    let conf = Conf::to(&up).with(ON).table("requests = \"2/hour\"");
    let house = House::start(conf).await;
    let answers = [house.ask(ask(false)).await, house.ask(ask(false)).await];
    assert_eq!(answers[1].header("x-ratelimit-remaining-requests"), Some("0"));
    assert_eq!(house.ask(ask(false)).await.status, 429);
    let mut stranger = ask(false);
    stranger.headers_mut().insert("authorization", "Bearer fk-nobodys".parse().unwrap());
    let refused = house.client().await.ask(stranger).await;
    assert_eq!((refused.status, told(&refused)), (401, "-"));
    assert_eq!(up.ledger().len(), 1);
}

/// Three keys, two of them of one group.
const TENANTS: &str = "[[key]]\nname = \"bob\"\nsecret = \"fk-bob-0123456789\"\ncache_group = \"g\"\n\
    [[key]]\nname = \"cid\"\nsecret = \"fk-cid-0123456789\"\ncache_group = \"g\"\n\
    [[key]]\nname = \"g\"\nsecret = \"fk-gee-0123456789\"\n";

async fn as_key(house: &House, secret: &str, mut request: Request<Bytes>, place: &str) -> Answer {
    let value =
        if place == "authorization" { format!("Bearer {secret}") } else { secret.to_owned() };
    request
        .headers_mut()
        .insert(http::HeaderName::try_from(place).unwrap(), value.parse().unwrap());
    house.client().await.ask(request).await
}

#[tokio::test]
async fn only_a_group_shares_wherever_the_key_stands() {
    for place in ["authorization", "x-api-key", "api-key"] {
        let up = upstream().await;
        let house = House::start(Conf::to(&up).with(ON).table(TENANTS)).await;
        for (secret, expected) in [
            ("fk-ann-0123456789", "miss"),
            ("fk-bob-0123456789", "miss"),
            ("fk-cid-0123456789", "hit"),
            ("fk-gee-0123456789", "miss"),
            ("fk-ann-0123456789", "hit"),
        ] {
            let answer = as_key(&house, secret, ask(false), place).await;
            assert_eq!((answer.status, told(&answer)), (200, expected), "{secret} {place}");
        }
        assert_eq!(up.ledger().len(), 3);
    }
}

#[tokio::test]
async fn without_coalescing_there_is_a_cache_all_the_same() {
    let up = upstream().await;
    let conf = Conf::to(&up).with(ON).with("cache.coalesce = false");
    let house = House::start(conf).await;
    assert_eq!(told(&house.ask(ask(false)).await), "miss");
    assert_eq!(told(&house.ask(ask(false)).await), "hit");
    assert_eq!(told(&house.ask(ask(true)).await), "hit");
    assert_eq!(up.ledger().len(), 1);
}

pub(super) async fn purged(house: &House, what: &str) -> (u16, String) {
    let path = format!("/cache/purge?{what}");
    let answer = Client::h1(house.admin()).await.ask(post(&path, &json!({}))).await;
    (answer.status, answer.text().to_owned())
}

#[tokio::test]
async fn an_operator_can_make_it_forget() {
    let up = upstream().await;
    let house = House::start(Conf::to(&up).with(ON).table(TENANTS)).await;
    let fill = async || {
        for secret in ["fk-ann-0123456789", "fk-bob-0123456789"] {
            as_key(&house, secret, ask(false), "api-key").await;
        }
    };
    for (what, count) in [
        ("all=true", 2),
        ("model=m", 2),
        ("model=other", 0),
        ("key=ann", 1),
        ("key=cid", 1),
        ("key=g", 0),
    ] {
        fill().await;
        assert_eq!(purged(&house, what).await, (200, format!("{{\"purged\":{count}}}")), "{what}");
    }
    fill().await;
    for (what, status) in
        [("", 400), ("all=false", 400), ("all=true&key=ann", 400), ("ky=ann", 400), ("key=x", 404)]
    {
        assert_eq!(purged(&house, what).await.0, status, "{what}");
    }
    let status = house.status().await;
    assert_eq!((&status["cache"]["on"], &status["cache"]["entries"]), (&json!(true), &json!(2)));
    let told = house.admin_text("/metrics").await;
    assert!(told.contains("aifd_cache_entries 2"), "{told}");
    assert!(told.contains("aifd_cache_store_errors_total{what=\"read\"} 0"), "{told}");
    let misses = format!("aifd_cache_requests_total{{result=\"miss\"}} {}", up.ledger().len());
    assert!(told.contains(&misses), "{misses}: {told}");
}

#[tokio::test]
async fn what_was_purged_on_its_way_is_not_kept() {
    let gate = Gate::new();
    let step = gate.clone();
    let reply = move |_: &_| Reply::json(200, &chat_answer("old")).wait_for(&step);
    let up = Upstream::start(reply).await;
    let house = house(&up).await;
    let mut client = super::asking(&house, false).await;
    up.seen(1).await;
    assert_eq!(purged(&house, "all=true").await.0, 200);
    gate.open();
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert_eq!(told(&house.ask(ask(false)).await), "miss");
}

#[tokio::test]
async fn a_cache_on_disk_outlives_its_house() {
    // On a busy machine a lookup may take longer than 50 ms and be a miss: then once more.
    while !outlives_its_house().await {}
}

/// False if a lookup came too late.
async fn outlives_its_house() -> bool {
    let dir = tempfile::tempdir().unwrap();
    let up = upstream().await;
    let conf = || {
        let path = dir.path().join("answers");
        let store = format!("cache.store = \"lmdb\"\ncache.path = {path:?}\ncache.default = true");
        Conf::to(&up).with(&store)
    };
    let house = House::start(conf()).await;
    let first = house.ask(ask(false)).await;
    house.status_is("it is written", |status| status["cache"]["entries"] == 1).await;
    let hit = house.ask(ask(false)).await;
    let calm = house.status().await["cache"]["store_errors"]["read"] == 0;
    house.log().await;
    let house = House::start(conf()).await;
    let again = house.ask(ask(false)).await;
    if !calm || house.status().await["cache"]["store_errors"]["read"] != 0 {
        return false;
    }
    assert_eq!([&first, &hit, &again].map(told), ["miss", "hit", "hit"]);
    assert_eq!(again.body, first.body);
    assert_eq!(up.ledger().len(), 1);
    true
}

#[tokio::test]
async fn a_hit_goes_out_at_its_callers_pace() {
    let up = Upstream::start(|_: &_| Reply::sse(chat_stream(&["a", "b", "c"]))).await;
    let house = House::start(Conf::to(&up).with(ON).table("pace = \"20/second\"")).await;
    let first = house.ask(ask(true)).await;
    let begun = tokio::time::Instant::now();
    let hit = house.ask(ask(true)).await;
    assert_eq!((told(&hit), &hit.body), ("hit", &first.body));
    // Four events have a turn, so three gaps of 50 ms lie between them.
    assert!(begun.elapsed() >= std::time::Duration::from_millis(140), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_replay_keeps_the_pauses_of_its_host() {
    let gap = std::time::Duration::from_millis(60);
    let up = Upstream::start(move |_: &_| Reply::sse(chat_stream(&["a", "b", "c"])).gap(gap)).await;
    let conf = Conf::to(&up).with(ON).with("cache.replay = \"original\"");
    let house = House::start(conf.upstream("timeouts.idle = \"1s\"")).await;
    let first = house.ask(ask(true)).await;
    let begun = tokio::time::Instant::now();
    let hit = house.ask(ask(true)).await;
    assert_eq!((told(&hit), &hit.body), ("hit", &first.body));
    assert!(begun.elapsed() >= 2 * gap, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn comments_go_out_to_who_waits_for_anothers_call() {
    let gate = Gate::new();
    let step = gate.clone();
    let reply = move |_: &_| Reply::sse(chat_stream(&["a"])).wait_for(&step);
    let up = Upstream::start(reply).await;
    let early = "[[route]]\nprefix = \"/\"\nupstream = \"up\"\nkeepalive = \"50ms\"\nkeepalive_before = true\n";
    let house = House::start(Conf::to(&up).with(ON).upstream(early)).await;
    let mut clients = [super::asking(&house, true).await, super::asking(&house, true).await];
    for client in &mut clients {
        assert_eq!(client.head().await.unwrap().0, 200);
    }
    gate.open();
    for mut client in clients {
        let mut wire = Vec::new();
        while !String::from_utf8_lossy(&wire).contains("[DONE]") {
            wire.extend(client.next_bytes().await.unwrap());
        }
        let wire = String::from_utf8(wire).unwrap();
        let places = (wire.find(": keep-alive\n\n"), wire.find("\"a\""));
        assert!(places.0.is_some() && places.0 < places.1, "{wire}");
    }
    assert_eq!(up.ledger().len(), 1);
}
