//! `/metrics`: exact counts after known traffic, and no more series than the configuration has.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::{answers, ask};
use crate::support::client::{Client, RawH1};
use crate::support::house::{Conf, House, KEY, keyed};
use crate::support::openai::{chat, get, post};
use crate::support::refused_addr;
use crate::support::upstream::Upstream;

/// Every series with its value.
type Series = BTreeMap<String, f64>;

/// Reads Prometheus' text format, strictly.
fn series(text: &str) -> Series {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let mut all = Series::new();
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        assert!(name.starts_with("aifd_") && is_name(name), "{line}");
        for label in labels.strip_suffix('}').unwrap().split(',').filter(|it| !it.is_empty()) {
            let (name, value) = label.split_once('=').unwrap();
            assert!(is_name(name) && value.starts_with('"') && value.ends_with('"'), "{line}");
        }
        let twice = all.insert(series.to_owned(), value.parse().unwrap());
        assert!(twice.is_none(), "{line} stands there twice");
        assert!(text.contains(&format!("# TYPE {}", base(name))), "{name} has no type");
    }
    all
}

/// The name of a family; a histogram has three series.
fn base(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)
}

async fn metrics(house: &House) -> Series {
    series(&house.admin_text("/metrics").await)
}

/// Waits until nothing is under way and all is written, so that everything is counted.
async fn settled(house: &House) -> Series {
    let settled = |s: &Value| s["in_flight"] == 0 && s["chat_log"]["queued_records"] == 0;
    house.status_is("all is settled", settled).await;
    metrics(house).await
}

#[tokio::test]
async fn requests_and_bytes_are_counted_exactly() {
    let up = Upstream::start(answers).await;
    let conf = Conf::to(&up)
        .table("[[route]]\nprefix = \"/v1\"\n[[route]]\nprefix = \"/raw\"\nkind = \"general\"\n");
    // The prefix of a route is its own name: upstream the paths have lost it.
    let house = House::start(conf).await;
    let (mut sent, mut got) = (0, 0);
    for request in [
        ask("/v1/v1/stream"),
        ask("/v1/v1/stream"),
        ask("/v1/x"),
        ask("/v1/v1/limited"),
        ask("/v1/v1/broken"),
        get("/v1/models"),
        post("/v1/x", &json!({"model": "m", "input": "ö".repeat(40_000)})),
    ] {
        sent += request.body().len();
        got += house.ask(request).await.body.len();
    }
    let unknown = house.client().await.ask(ask("/v1/x")).await;
    let raw = house.ask(post("/raw/x", &json!([1, 2, 3]))).await;
    let stray = house.ask(get("/elsewhere")).await;
    let metrics = settled(&house).await;
    let refused = ask("/v1/x").body().len();
    for (name, value) in [
        (r#"requests_total{class="2xx",route="/v1"}"#, 5),
        (r#"requests_total{class="4xx",route="/v1"}"#, 2),
        (r#"requests_total{class="5xx",route="/v1"}"#, 1),
        (r#"requests_total{class="none",route="/v1"}"#, 0),
        (r#"requests_total{class="2xx",route="/raw"}"#, 1),
        (r#"requests_total{class="4xx",route="none"}"#, 1),
        (r#"body_bytes_total{direction="in",route="/v1"}"#, sent + refused),
        (r#"body_bytes_total{direction="out",route="/v1"}"#, got + unknown.body.len()),
        (r#"body_bytes_total{direction="in",route="/raw"}"#, "[1,2,3]".len()),
        (r#"body_bytes_total{direction="out",route="/raw"}"#, raw.body.len()),
        (r#"body_bytes_total{direction="in",route="none"}"#, 0),
        (r#"body_bytes_total{direction="out",route="none"}"#, stray.body.len()),
        (r#"requests_in_flight{route="/v1"}"#, 0),
        (r#"time_to_first_token_seconds_count{route="/v1"}"#, 2),
        (r#"time_to_first_token_seconds_bucket{route="/v1",le="+Inf"}"#, 2),
        (r#"time_to_first_token_seconds_count{route="/raw"}"#, 0),
        (r#"request_duration_seconds_count{route="/v1"}"#, 8),
        (r#"request_duration_seconds_count{route="/raw"}"#, 1),
        ("chat_log_queue_records", 0),
        ("chat_log_queue_bytes", 0),
        ("chat_log_dropped_total", 0),
    ] {
        assert_eq!(metrics.get(&format!("aifd_{name}")), Some(&(value as f64)), "{name}");
    }
}

#[tokio::test]
async fn gauges_follow_what_is_under_way() {
    let up = Upstream::start(answers).await;
    let house = House::before(&up).await;
    let mut raw = RawH1::connect(house.addr()).await;
    raw.send(format!("GET /v1/silent HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n"))
        .await;
    up.seen(1).await;
    let at_host = format!("aifd_upstream_in_flight{{host=\"{}\",upstream=\"up\"}}", up.addr());
    let on_route = "aifd_requests_in_flight{route=\"/\"}";
    let busy = metrics(&house).await;
    assert_eq!((busy[on_route], busy[&at_host]), (1.0, 1.0));
    raw.fin();
    let idle = settled(&house).await;
    assert_eq!((idle[on_route], idle[&at_host]), (0.0, 0.0));
    assert_eq!(idle["aifd_requests_total{class=\"none\",route=\"/\"}"], 1.0);
}

#[tokio::test]
async fn every_attempt_is_counted_once() {
    let up = Upstream::start(answers).await;
    let nobody = refused_addr().await;
    let name = |host: &str, result: &str| {
        format!(
            "aifd_upstream_attempts_total{{host=\"{host}\",result=\"{result}\",upstream=\"up\"}}"
        )
    };
    let here = up.addr().to_string();
    for (path, answered, failed) in [
        ("/v1/x", 1, 0),
        ("/v1/stream", 1, 0),
        ("/v1/limited", 1, 0),
        ("/v1/broken", 0, 1),
        // It had answered; that it broke off later, the access line says.
        ("/v1/cut", 1, 0),
        ("/v1/silent", 0, 1),
    ] {
        let patience = "timeouts = { first_byte = \"500ms\" }\nretry = { attempts = 1 }";
        let house = House::start(Conf::to(&up).upstream(patience)).await;
        house.ask(ask(path)).await;
        let got = settled(&house).await;
        let got = (got[&name(&here, "answered")], got[&name(&here, "failed")]);
        assert_eq!(got, (f64::from(answered), f64::from(failed)), "{path}");
    }
    // A client that leaves is no fault of the host, and no answer either.
    let house = House::before(&up).await;
    let mut raw = RawH1::connect(house.addr()).await;
    let head = "GET /v1/silent HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer";
    let before = up.ledger().len();
    raw.send(format!("{head} {KEY}\r\n\r\n")).await;
    up.seen(before + 1).await;
    raw.fin();
    let got = settled(&house).await;
    assert_eq!((got[&name(&here, "answered")], got[&name(&here, "failed")]), (0.0, 0.0));

    let both = House::start(Conf::to_hosts(&[&format!("http://{nobody}"), &up.url()])).await;
    both.ask(ask("/v1/x")).await;
    both.ask(ask("/v1/x")).await;
    let got = settled(&both).await;
    assert_eq!(got[&name(&here, "answered")], 2.0);
    assert!(got[&name(&nobody.to_string(), "failed")] >= 1.0);
    assert_eq!(got[&name(&nobody.to_string(), "answered")], 0.0);
}

#[tokio::test]
async fn what_clients_send_makes_no_series() {
    let up = Upstream::start(answers).await;
    let house = House::start(Conf::to(&up).table("[[route]]\nprefix = \"/v1\"")).await;
    // What aifd says by itself is counted by its code, and it has only so many.
    let ours = |name: &String| !name.starts_with("aifd_refused_total");
    let names = async || metrics(&house).await.into_keys().filter(ours).collect::<Vec<_>>();
    let before = names().await;
    let mut client = Client::h2c(house.addr()).await;
    for nth in 0..1000 {
        let mut request = match nth % 3 {
            0 => get(&format!("/{nth}/{nth}")),
            1 => post(&format!("/v1/{nth}"), &chat(&format!("model-{nth}"), false, "hi")),
            _ => Request::builder()
                .method(format!("METHOD{nth}").as_str())
                .uri("/v1/x")
                .body(Bytes::new())
                .unwrap(),
        };
        if nth % 2 == 0 {
            let key = format!("Bearer fk-{nth}");
            request.headers_mut().insert("authorization", key.parse().unwrap());
        }
        client.ask(keyed(request)).await;
    }
    assert_eq!(names().await, before);
}
