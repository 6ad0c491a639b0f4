//! The chat log, call by call: which calls have a line, what it says, how the call ended.
//!
//! Why from the file: it is what operators read; what stands in memory before does not count.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on must fail its test")]

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::support::house::{Conf, House, KEY, UPSTREAM_KEY, keyed};
use crate::support::openai::{chat, chat_answer, chat_stream, embeddings, get, post};
use crate::support::upstream::{Gate, Reply, Seen, Upstream};

mod disk;
mod ended;
mod streams;

fn vectors() -> Value {
    json!({"object": "list", "model": "m", "usage": {"prompt_tokens": 4, "total_tokens": 4},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -1.5]}]})
}

fn answers(seen: &Seen) -> Reply {
    match seen.target.split('?').next().unwrap() {
        "/v1/embeddings" => Reply::json(200, &vectors()),
        "/v1/completions" => Reply::json(
            200,
            &json!({"object": "text_completion", "choices": [
                {"index": 0, "text": "once upon", "finish_reason": "length"}]}),
        ),
        "/v1/limited" => Reply::json(429, &json!({"error": {"message": "slow down", "code": 7}})),
        "/v1/audio/transcriptions" => Reply::json(200, &json!({"text": "spoken"})),
        "/v1/audio/speech" => Reply::bytes(200, "audio/mpeg", vec![0xff; 300]),
        "/v1/stream" => Reply::sse(chat_stream(&["hel", "lo"])),
        "/v1/hang" => Reply::sse(chat_stream(&["hel", "lo"])).hang_after(200),
        "/v1/cut" => Reply::sse(chat_stream(&["hel", "lo"])).cut_after(200),
        _ => Reply::json(200, &chat_answer("hello")),
    }
}

/// The only line of a log.
async fn only_line(house: House) -> Value {
    let mut log = house.log().await;
    assert_eq!(log.len(), 1, "{log:#?}");
    log.remove(0)
}

/// One call by a house of its own; its line.
async fn logged(request: Request<Bytes>) -> Value {
    let up = Upstream::start(answers).await;
    let house = House::before(&up).await;
    house.ask(request).await;
    only_line(house).await
}

/// Parsed, and with a zone as people write it.
fn moment(text: &str) -> jiff::Timestamp {
    let zone = text.get(23..).unwrap();
    assert!(zone.starts_with(['+', '-']) && zone.len() == 6, "no zone in {text}");
    text.parse().unwrap()
}

const BODY: &str = r#"{"model":"llama-3","messages":[{"role":"user","content":"a\u00e9\n"},
    {"role":"user","content":[{"type":"text","text":"ö"}]}],"temperature":0.10,"n":1,
    "seed":12345678901234567890,"tools":[]}"#;

#[tokio::test]
async fn a_line_says_who_asked_what_and_got_what() {
    let up = Upstream::start(answers).await;
    let house = House::before(&up).await;
    let request = Request::post("/v1/chat/completions?api_key=sk-in-the-query");
    let before = jiff::Timestamp::now().as_millisecond();
    let answer = house.ask(request.body(BODY.into()).unwrap()).await;
    let after = jiff::Timestamp::now().as_millisecond();
    let line = only_line(house).await;
    let time = moment(line["time"].as_str().unwrap()).as_millisecond();
    assert!(before <= time && time <= after, "{line:#}");
    for (member, value) in [
        ("id", json!(answer.header("x-request-id"))),
        ("key", json!("ann")),
        ("client", json!("127.0.0.1")),
        ("method", json!("POST")),
        ("path", json!("/v1/chat/completions")),
        ("route", json!("/")),
        ("upstream", json!(up.addr().to_string())),
        ("model", json!("llama-3")),
        ("stream", json!(false)),
        ("body_bytes", json!(BODY.len())),
        ("status", json!(200)),
        ("usage", chat_answer("")["usage"].clone()),
        ("ttft_ms", Value::Null),
        ("prompt_tokens", json!(3)),
        ("completion_tokens", json!(2)),
        ("attempts", json!(1)),
        ("ended", json!("done")),
        ("error", Value::Null),
    ] {
        assert_eq!(line.get(member), Some(&value), "{member} in {line:#}");
    }
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0);
    let said =
        json!([{"index": 0, "role": "assistant", "content": "hello", "finish_reason": "stop"}]);
    assert_eq!(line["answer"]["choices"], said);
}

#[tokio::test]
async fn what_was_asked_stands_there_as_it_was_sent() {
    let up = Upstream::start(answers).await;
    let house = House::before(&up).await;
    house.ask(post("/v1/x", &json!({})).map(|_| BODY.into())).await;
    house.status_is("it is written", |status| status["chat_log"]["written"] == 1).await;
    let text = std::fs::read_to_string(house.log_file()).unwrap();
    // The very digits and escapes; only the line ends between tokens are left out.
    for sent in [
        r#""messages":[{"role":"user","content":"a\u00e9\n"}"#,
        r#"{"type":"text","text":"ö"}"#,
        r#""parameters":{"temperature":0.10,"n":1,"seed":12345678901234567890,"tools":[]}"#,
    ] {
        assert!(text.contains(sent), "no {sent} in {text}");
    }
    assert!(text.matches('\n').count() == 1 && text.ends_with('\n'), "{text}");
}

#[tokio::test]
async fn answers_that_are_no_chat() {
    for (path, body, answer, tokens) in [
        (
            "/v1/completions",
            json!({"model": "m", "prompt": "say"}),
            json!({"choices": [{"index": 0, "role": null, "content": "once upon", "finish_reason": "length"}]}),
            Value::Null,
        ),
        // Vectors are for machines: only how long they were.
        (
            "/v1/embeddings",
            embeddings("m", "text"),
            json!({"bytes": vectors().to_string().len()}),
            json!(4),
        ),
        (
            "/v1/audio/speech",
            json!({"model": "m", "input": "x"}),
            json!({"bytes": 300}),
            Value::Null,
        ),
    ] {
        let line = logged(post(path, &body)).await;
        assert_eq!((&line["answer"], &line["prompt_tokens"]), (&answer, &tokens), "{line:#}");
        let mut parameters = body.clone();
        parameters.as_object_mut().unwrap().remove("model");
        assert_eq!((&line["model"], &line["parameters"]), (&json!("m"), &parameters), "{line:#}");
        assert_eq!((&line["status"], &line["ended"]), (&json!(200), &json!("done")), "{line:#}");
        assert_eq!(line["messages"], Value::Null);
    }
}

#[tokio::test]
async fn an_upload_is_logged_without_its_bytes() {
    let body =
        "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nRIFFsoundsound\r\n--x--\r\n";
    let request = Request::post("/v1/audio/transcriptions")
        .header("content-type", "multipart/form-data; boundary=x")
        .body(body.into());
    let line = logged(request.unwrap()).await;
    assert_eq!(line["body_bytes"], body.len(), "{line:#}");
    assert_eq!(line["answer"], json!({"body": {"text": "spoken"}}), "{line:#}");
    assert!(!line.to_string().contains("RIFF"), "{line:#}");
    assert_eq!((&line["key"], &line["ended"]), (&json!("ann"), &json!("done")));
}

#[tokio::test]
async fn an_error_of_the_host_is_kept_as_it_came() {
    let line = logged(post("/v1/limited", &chat("m", true, "hi"))).await;
    assert_eq!((&line["status"], &line["ended"]), (&json!(429), &json!("done")), "{line:#}");
    assert_eq!(line["answer"]["body"], json!({"error": {"message": "slow down", "code": 7}}));
    assert_eq!((&line["stream"], &line["model"]), (&json!(true), &json!("m")));
}

#[tokio::test]
async fn what_is_no_call_has_no_line() {
    let up = Upstream::start(answers).await;
    let house = House::start(
        Conf::to(&up)
            .table("[[route]]\nprefix = \"/v1\"\n[[route]]\nprefix = \"/raw\"\nkind = \"general\""),
    )
    .await;
    for request in [
        get("/v1/models"),
        Request::delete("/v1/files/1").body(Bytes::new()).unwrap(),
        post("/raw/x", &chat("m", false, "hi")),
        post("/elsewhere", &chat("m", false, "hi")),
        get("/healthz"),
    ] {
        house.ask(request).await;
    }
    assert_eq!(house.log().await, [Value::Null; 0]);
}

#[tokio::test]
async fn a_log_that_is_off_leaves_nothing() {
    let up = Upstream::start(answers).await;
    let house = House::start(Conf::to(&up).with("chat_log.on = false")).await;
    assert_eq!(house.ask(post("/v1/x", &chat("m", false, "hi"))).await.status, 200);
    let status = house.status().await;
    assert_eq!(
        (&status["chat_log"]["on"], &status["chat_log"]["written"]),
        (&json!(false), &json!(0))
    );
    assert_eq!(std::fs::read_dir(house.dir()).unwrap().count(), 0);
}

#[tokio::test]
async fn no_secret_ever_stands_in_it() {
    let up = Upstream::start(|seen| match seen.target.split('?').next().unwrap() {
        "/v1/cookie" => Reply::json(200, &chat_answer("hi")).header("set-cookie", "sid=crumb-2"),
        _ => answers(seen),
    })
    .await;
    let house = House::before(&up).await;
    let secrets = [KEY, UPSTREAM_KEY, "crumb-1", "crumb-2", "sk-in-the-query", "fk-unknown-1"];
    for path in ["/v1/x", "/v1/cookie", "/v1/stream", "/v1/limited", "/v1/cut"] {
        for key in [Some(KEY), Some("fk-unknown-1"), None] {
            for header in ["authorization", "x-api-key", "api-key"] {
                let mut request =
                    post(&format!("{path}?key=sk-in-the-query"), &chat("m", true, "x"));
                request.headers_mut().insert("cookie", "sid=crumb-1".parse().unwrap());
                if let Some(key) = key {
                    let bearer = if header == "authorization" { "Bearer " } else { "" };
                    request.headers_mut().insert(header, format!("{bearer}{key}").parse().unwrap());
                }
                house.client().await.ask(request).await;
            }
        }
    }
    let folder = house.log_file().parent().unwrap().to_owned();
    let settled = house.status_is("all is written", |s| s["chat_log"]["written"] == 45).await;
    assert_eq!(settled["chat_log"]["dropped"], 0);
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[tokio::test]
async fn the_time_to_the_first_token_is_that_of_the_content() {
    let gate = Gate::new();
    let step = gate.clone();
    let up = Upstream::start(move |_| {
        let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant"}}]}"#.to_owned();
        let events = [vec![role], chat_stream(&["a"])].concat();
        Reply::sse(events).stepped_by(&step)
    })
    .await;
    let house = House::before(&up).await;
    let mut client = house.client().await;
    let mut reading = client.send(keyed(post("/v1/x", &chat("m", true, "hi")))).await.unwrap();
    let sent = tokio::time::Instant::now();
    gate.step();
    reading.next_piece().await.unwrap();
    let role = sent.elapsed();
    // A measurable while between the role and the content; how long it was is measured, too.
    for _ in 0..20 {
        house.status().await;
    }
    gate.open();
    let content = sent.elapsed();
    reading.finish().await;
    let line = only_line(house).await;
    let ttft = line["ttft_ms"].as_f64().unwrap() / 1e3;
    assert!(ttft >= content.as_secs_f64() - 0.001, "{ttft} s, but content at {content:?}");
    assert!(content > role && ttft <= line["duration_ms"].as_f64().unwrap() / 1e3);
}
