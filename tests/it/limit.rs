//! Limits as clients meet them: exact, told in headers, and never in the way of who keeps them.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::Deaf;
use crate::support::client::{Answer, Client, RawH1};
use crate::support::house::{Conf, House, KEY, keyed, wire_post};
use crate::support::openai::{chat, chat_answer, chat_stream, get, post};
use crate::support::process::{Process, Site};
use crate::support::redis::Redis;
use crate::support::upstream::{Gate, Reply, Upstream};

async fn upstream() -> Upstream {
    Upstream::start(|_| Reply::json(200, &chat_answer("hello"))).await
}

fn ask() -> Request<Bytes> {
    post("/v1/chat/completions", &chat("m", false, "hi"))
}

fn as_stranger() -> Request<Bytes> {
    let mut request = ask();
    request.headers_mut().insert("authorization", "Bearer fk-nobodys".parse().unwrap());
    request
}

#[tokio::test]
async fn a_flood_without_a_known_key_is_turned_away_and_no_known_key_is() {
    let up = upstream().await;
    let house = House::start(Conf::to(&up).with("limits.shield = \"3/hour\"")).await;
    let mut client = house.client().await;
    for nth in 0..6 {
        let answer = house.client().await.ask(as_stranger()).await;
        let code = answer.json()["error"]["code"].clone();
        match nth {
            0..3 => assert_eq!((answer.status, code), (401, json!("invalid_api_key")), "{nth}"),
            _ => {
                assert_eq!((answer.status, code), (429, json!("too_many_unknown_keys")), "{nth}");
                assert_eq!(answer.header("retry-after"), Some("3600"));
                assert_eq!(answer.header("connection"), Some("close"));
            }
        }
        assert_eq!(client.ask(keyed(ask())).await.status, 200, "{nth}");
    }
    assert_eq!(house.log().await.len(), 9, "one line a call, none for a flood");
}

/// A house whose only key has these limits.
async fn house(up: &Upstream, limits: &str) -> House {
    House::start(Conf::to(up).table(limits)).await
}

/// Status, code, type.
fn refusal(answer: &Answer) -> (u16, Value, Value) {
    let error = &answer.json()["error"];
    (answer.status, error["code"].clone(), error["type"].clone())
}

fn limited(kind: &str) -> (u16, Value, Value) {
    (429, json!("rate_limit_exceeded"), json!(kind))
}

fn left(answer: &Answer, what: &str) -> String {
    let header = |name: &str| answer.header(&format!("x-ratelimit-{name}-{what}")).unwrap_or("-");
    format!("{} of {}", header("remaining"), header("limit"))
}

#[tokio::test]
async fn a_limit_of_requests_is_told_and_kept() {
    let up = upstream().await;
    let house = house(&up, "requests = \"3/hour\"").await;
    for nth in 0..3 {
        let answer = house.ask(ask()).await;
        assert_eq!((answer.status, left(&answer, "requests")), (200, format!("{} of 3", 2 - nth)));
        assert_eq!(answer.header("x-ratelimit-limit-tokens"), None);
    }
    for _ in 0..2 {
        let answer = house.ask(ask()).await;
        assert_eq!(refusal(&answer), limited("requests"), "{}", answer.text());
        assert_eq!(left(&answer, "requests"), "0 of 3");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((3_500..=3_600).contains(&wait), "{wait}");
        let exactly: u64 = answer.header("retry-after-ms").unwrap().parse().unwrap();
        assert_eq!(exactly.div_ceil(1_000), wait);
        let reset = answer.header("x-ratelimit-reset-requests").unwrap();
        assert!(reset == "1h0m0s" || reset.starts_with("59m"), "{reset}");
    }
    assert_eq!(up.ledger().len(), 3);
    let log = house.log().await;
    assert_eq!(log.len(), 5);
    assert_eq!((&log[4]["ended"], &log[4]["key"]), (&json!("refused"), &json!("ann")));
}

#[tokio::test]
async fn of_several_limits_all_admit_or_none_is_charged() {
    let up = upstream().await;
    let house = house(&up, "requests = \"2/hour;1/second\"").await;
    assert_eq!(house.ask(ask()).await.status, 200);
    // Refused by the second, so often that the hour would be over if that were charged.
    let mut refused = 0;
    while house.ask(ask()).await.status == 429 {
        refused += 1;
    }
    assert!(refused > 2, "{refused}");
    assert_eq!(up.ledger().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_interleaving_lets_one_too_many_in() {
    let up = upstream().await;
    let house = house(&up, "requests = \"100/hour\"").await;
    let addr = house.addr();
    let mut callers = JoinSet::new();
    for nth in 0..16 {
        callers.spawn(async move {
            let mut client =
                if nth % 2 == 0 { Client::h1(addr).await } else { Client::h2c(addr).await };
            let mut admitted = 0;
            for _ in 0..20 {
                admitted += u32::from(client.ask(keyed(ask())).await.status == 200);
            }
            admitted
        });
    }
    assert_eq!(callers.join_all().await.into_iter().sum::<u32>(), 100);
    assert_eq!(up.ledger().len(), 100);
}

#[tokio::test]
async fn a_path_has_the_limit_of_its_rule_however_it_is_written() {
    let up = upstream().await;
    let conf = Conf::to(&up).with("limits.global = \"1/hour\"").table(
        "[[limits.rule]]\npath = \"/v1/models\"\nrequests = \"2/hour\"\n\
         [[limits.rule]]\npath = \"/v1/free\"\nrequests = \"inf\"",
    );
    let house = House::start(conf).await;
    for (path, status) in [
        ("/v1/models", 200),
        ("/v1/models/m", 200),
        ("/v1/models?a=b", 429),
        ("/v1/%6dodels", 429),
        ("//v1/models", 429),
        ("/v1/modelsxyz", 200),
        ("/v1/other", 429),
        ("/v1/free", 200),
        ("/v1/free", 200),
        ("/v1/free", 200),
    ] {
        assert_eq!(house.ask(get(path)).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn levels_have_rules_of_their_own_and_strangers_are_counted_by_address() {
    let up = upstream().await;
    let conf = Conf::to(&up)
        .with("access.unknown_keys = \"pass\"")
        .with("limits.global = \"1/hour\"")
        .table("level = 2")
        .table("[[key]]\nname = \"bob\"\nsecret = \"fk-bob-0123456789\"\nlevel = 1")
        .table("[[limits.rule]]\npath = \"/v1\"\nlevel = 1\nrequests = \"2/hour\"")
        .table("[[limits.rule]]\npath = \"/v1\"\nlevel = 2\nrequests = \"3/hour\"");
    let house = House::start(conf).await;
    for (key, most) in [(KEY, 3), ("fk-bob-0123456789", 2), ("sk-a", 1), ("sk-b", 0)] {
        let mut admitted = 0;
        for _ in 0..5 {
            let mut request = ask();
            request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
            admitted += u32::from(house.client().await.ask(request).await.status == 200);
        }
        assert_eq!(admitted, most, "{key}");
    }
}

#[tokio::test]
async fn requests_at_a_time_are_counted_until_they_end_however_they_end() {
    let gate = Gate::new();
    let step = gate.clone();
    let up = Upstream::start(move |_| Reply::json(200, &chat_answer("x")).wait_for(&step)).await;
    let house = house(&up, "in_flight = 1").await;
    let body = chat("m", false, "hi").to_string();
    for nth in 1..4 {
        let mut waiting = RawH1::connect(house.addr()).await;
        waiting.send(wire_post("/v1/chat/completions", &body)).await;
        up.seen(nth).await;
        let refused = house.ask(ask()).await;
        assert_eq!(refusal(&refused), limited("requests"), "{}", refused.text());
        assert_eq!(refused.header("retry-after"), Some("1"));
        let status = house.status().await;
        assert_eq!(status["limits"]["in_flight"], json!({"ann": 1}), "{status}");
        match nth % 2 {
            0 => waiting.fin(),
            _ => waiting.reset(),
        }
        house.status_is("nothing under way", |status| status["in_flight"] == 0).await;
    }
    let metrics = house.admin_text("/metrics").await;
    assert!(metrics.contains("aifd_refused_total{code=\"rate_limit_exceeded\"} 3"), "{metrics}");
    assert_eq!(house.status().await["limits"], json!({"counters": 0, "in_flight": {}}));
    gate.open();
    assert_eq!(house.ask(ask()).await.status, 200);
}

/// A request that may cost so many tokens: its prompt is one message of one token.
fn worth(tokens: u64) -> Request<Bytes> {
    let body = json!({"model": "m", "max_tokens": tokens - 5, "messages": [{"role": "user", "content": "four"}]});
    post("/v1/chat/completions", &body)
}

fn with_usage(total: u64) -> Value {
    let mut answer = chat_answer("hi");
    answer["usage"] =
        json!({"prompt_tokens": 5, "completion_tokens": total - 5, "total_tokens": total});
    answer
}

#[tokio::test]
async fn tokens_are_reserved_and_settled_by_what_the_host_tells() {
    let up = Upstream::start(|_| Reply::json(200, &with_usage(10))).await;
    let house = house(&up, "tokens = \"100/hour\"").await;
    // Who asks for no tokens reserves none.
    let models = house.ask(get("/v1/models")).await;
    assert_eq!((models.status, left(&models, "tokens")), (200, "100 of 100".to_owned()));
    for nth in 1..=7 {
        let answer = house.ask(worth(40)).await;
        assert_eq!(answer.status, 200, "{nth}: {}", answer.text());
        house.status_is("settled", |status| status["in_flight"] == 0).await;
    }
    // 70 are spent, 30 left.
    let refused = house.ask(worth(40)).await;
    assert_eq!(refusal(&refused), limited("tokens"));
    assert_eq!(left(&refused, "tokens"), "30 of 100");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(house.ask(worth(30)).await.status, 200);
    let never = house.ask(worth(101)).await;
    assert_eq!(refusal(&never), limited("tokens"));
    assert_eq!(
        (never.header("retry-after"), never.header("x-should-retry")),
        (None, Some("false"))
    );
    assert!(never.text().contains("max_tokens"), "{}", never.text());
}

#[tokio::test]
async fn what_no_host_took_costs_no_tokens() {
    let up = Upstream::start(|_| Reply::json(400, &json!({"error": {"message": "no"}}))).await;
    let house = house(&up, "tokens = \"100/hour\"").await;
    for _ in 0..5 {
        assert_eq!(house.ask(worth(60)).await.status, 400);
        house.status_is("settled", |status| status["in_flight"] == 0).await;
    }
}

#[tokio::test]
async fn a_call_that_never_got_a_connection_costs_no_tokens() {
    let deaf = Deaf::start().await;
    let conf = Conf::to_hosts(&[&format!("http://{}", deaf.addr)])
        .upstream("timeouts = { connect = \"1m\" }")
        .table("tokens = \"100/hour\"");
    let house = House::start(conf).await;
    let body = json!({"prompt": "x".repeat(160), "max_tokens": 10}).to_string();
    for _ in 0..3 {
        let mut client = RawH1::connect(house.addr()).await;
        client.send(wire_post("/v1/x", &body)).await;
        let at_host = |status: &Value| status["upstreams"][0]["hosts"][0]["in_flight"] == 1;
        house.status_is("connecting", at_host).await;
        client.reset();
        house.status_is("settled", |status| status["in_flight"] == 0).await;
    }
    let never = house.ask(worth(101)).await;
    assert_eq!(left(&never, "tokens"), "100 of 100");
}

#[tokio::test]
async fn a_thousand_at_once_never_cost_more_than_the_budget() {
    let up = Upstream::start(|_| Reply::json(200, &with_usage(10))).await;
    let house = house(&up, "tokens = \"100/hour\"").await;
    let addr = house.addr();
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        callers.spawn(async move {
            let mut client = Client::h1(addr).await;
            let mut admitted = 0;
            for _ in 0..50 {
                admitted += u32::from(client.ask(keyed(worth(10))).await.status == 200);
            }
            admitted
        });
    }
    assert_eq!(callers.join_all().await.into_iter().sum::<u32>(), 10);
    assert_eq!(up.ledger().len(), 10);
}

const USAGE: &str =
    r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":15,"total_tokens":20}}"#;

fn streamed(options: &Value) -> Request<Bytes> {
    let mut body = chat("m", true, "four");
    body["max_tokens"] = json!(35);
    if !options.is_null() {
        body["stream_options"] = options.clone();
    }
    post("/v1/chat/completions", &body)
}

#[tokio::test]
async fn a_stream_is_asked_for_its_usage_which_goes_to_who_asked_for_it() {
    let up = Upstream::start(|_| {
        let mut events = chat_stream(&["a", "b"]);
        events.insert(events.len() - 1, USAGE.to_owned());
        Reply::sse(events)
    })
    .await;
    let house = house(&up, "tokens = \"100/hour\"").await;
    for (options, asked) in [
        (Value::Null, false),
        (json!({"include_usage": true}), true),
        (json!({"include_usage": false, "other": 1}), false),
    ] {
        let answer = house.ask(streamed(&options)).await;
        assert_eq!(answer.text().contains("total_tokens"), asked, "{}", answer.text());
        assert!(answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
        let sent = up.ledger().last().unwrap().seen.json();
        assert_eq!(sent["stream_options"]["include_usage"], true);
        assert_eq!(sent["stream_options"]["other"], options["other"]);
        house.status_is("settled", |status| status["in_flight"] == 0).await;
    }
    let refused = house.ask(worth(50)).await;
    assert_eq!((refused.status, left(&refused, "tokens")), (429, "40 of 100".to_owned()));
}

#[tokio::test]
async fn a_stream_that_tells_nothing_costs_what_went_out() {
    let text = "x".repeat(400);
    let up = Upstream::start(move |_| Reply::sse(chat_stream(&[&text]))).await;
    let house = house(&up, "tokens = \"200/hour\"").await;
    assert_eq!(house.ask(streamed(&Value::Null)).await.status, 200);
    house.status_is("settled", |status| status["in_flight"] == 0).await;
    let refused = house.ask(worth(190)).await;
    let left: u64 = refused.header("x-ratelimit-remaining-tokens").unwrap().parse().unwrap();
    // A hundred of the answer, and the prompt.
    assert!((90..=97).contains(&left), "{left}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_share_a_store_admit_together_what_one_may() {
    let (up, redis) = (upstream().await, Redis::start().await);
    for strategy in ["moving-window", "fixed-window"] {
        let conf = Conf::to(&up)
            .with(&redis.key())
            .with(&format!("limits.strategy = \"{strategy}\""))
            .with("limits.on_store_error = \"refuse\"")
            .table("requests = \"100/hour\"");
        let (one, other) = (Site::of(&conf), Site::of(&conf));
        let (one, other) = (one.serve(&[]).await, other.serve(&[]).await);
        let mut callers = JoinSet::new();
        for nth in 0..64 {
            let addr = if nth % 2 == 0 { one.addr() } else { other.addr() };
            callers.spawn(async move {
                let mut client = Client::h1(addr).await;
                let (mut admitted, mut unheard) = (0, 0);
                for _ in 0..8 {
                    match client.ask(keyed(ask())).await.status {
                        200 => admitted += 1,
                        // On a busy machine the store may be too slow, and nobody is let in.
                        503 => unheard += 1,
                        status => assert_eq!(status, 429),
                    }
                }
                (admitted, unheard)
            });
        }
        let (admitted, unheard) = callers
            .join_all()
            .await
            .into_iter()
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        assert!(admitted <= 100, "{strategy}: {admitted}");
        // An answer of the store that came too late was charged, and is given back in a while.
        assert!(admitted + unheard >= 100, "{strategy}: {admitted}, {unheard} unheard");
        stop(one).await;
        stop(other).await;
    }
}

async fn stop(process: Process) {
    assert_eq!(process.stop().await.code, Some(0));
}

#[tokio::test]
async fn without_its_store_a_node_counts_alone_or_lets_nobody_in() {
    for (policy, expected) in [("allow", vec![200, 200, 429]), ("refuse", vec![503, 503, 503])] {
        let (up, redis) = (upstream().await, Redis::start().await);
        let conf = Conf::to(&up)
            .with(&redis.key())
            .with(&format!("limits.on_store_error = \"{policy}\""))
            .table("requests = \"2/hour\"");
        let house = House::start(conf).await;
        redis.stop().await;
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(house.ask(ask()).await.status);
        }
        assert_eq!(statuses, expected, "{policy}");
    }
}

/// The four faults of openai-forward's limiter.
#[tokio::test]
async fn what_openai_forward_counted_wrongly_is_counted_right() {
    let (up, other) = (upstream().await, upstream().await);
    let conf = Conf::to(&up)
        .with("access.unknown_keys = \"pass\"")
        .with("limits.global = \"inf\"")
        .table("requests = \"1000/hour\"\nlevel = 1")
        .table(&format!(
            "[[upstream]]\nname = \"other\"\nhosts = [\"{}\"]\n\
             [[route]]\nprefix = \"/\"\nupstream = \"up\"\n\
             [[route]]\nprefix = \"/other\"\nupstream = \"other\"\n\
             [[limits.rule]]\npath = \"/v1/count\"\nrequests = \"3/hour\"\n\
             [[limits.rule]]\npath = \"/v1/level\"\nrequests = \"1/hour\"\n\
             [[limits.rule]]\npath = \"/v1/level\"\nlevel = 1\nrequests = \"2/hour\"",
            other.url()
        ));
    let house = House::start(conf).await;
    let admitted = async |path: &str, key: Option<&str>| {
        let mut admitted = 0;
        for _ in 0..6 {
            let mut request = keyed(get(path));
            if let Some(key) = key {
                request.headers_mut().insert("authorization", key.parse().unwrap());
            }
            admitted += u32::from(house.client().await.ask(request).await.status == 200);
        }
        admitted
    };
    // With two targets, a request is counted once and not twice.
    assert_eq!(admitted("/v1/count", None).await, 3);
    // A path without a limit takes the limits from no other.
    assert_eq!(admitted("/v1/free", None).await, 6);
    assert_eq!(admitted("/v1/count", Some("Bearer sk-a")).await, 3);
    // A level has its own rule.
    assert_eq!(admitted("/v1/level", None).await, 2);
    // A comma switches nothing off, and a key that nobody knows begins no count of its own.
    assert_eq!(admitted("/v1/count", Some("Bearer a,b")).await, 0);
    assert_eq!(admitted("/v1/level", Some("Bearer a,b")).await, 1);
}
