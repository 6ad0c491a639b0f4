//! The log in openai-forward's form of a proxy that runs: which calls have lines, whose keys are not in them.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::support::house::{Conf, House, KEY, UPSTREAM_KEY};
use crate::support::openai::{chat, chat_answer, chat_stream, get, post};
use crate::support::process::Site;
use crate::support::upstream::{Reply, Seen, Upstream};

fn answers(seen: &Seen) -> Reply {
    let body = String::from_utf8_lossy(&seen.body);
    match () {
        () if seen.target.contains("/audio/") => Reply::json(200, &json!({"text": "spoken"})),
        () if body.contains("\"busy\"") => Reply::json(429, &json!({"error": {"message": "no"}})),
        () if body.contains("\"cut\"") => Reply::sse(chat_stream(&["hel", "lo"])).cut_after(200),
        () if body.contains("\"stream\":true") => Reply::sse(chat_stream(&["hel", "lo"])),
        () => Reply::json(200, &chat_answer("it's \"so\"")),
    }
}

fn text(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join("Log").join(name)).unwrap_or_default()
}

#[tokio::test]
async fn calls_have_their_lines_and_only_whole_answers_a_second_one() {
    let up = Upstream::start(answers).await;
    let conf = Conf::to(&up).with("chat_log.format = \"python\"").upstream("retry.attempts = 1");
    let house = House::start(conf).await;
    house.ask(post("/v1/chat/completions?key=hush", &chat("m", false, "hi"))).await;
    house.ask(post("/v1/chat/completions", &chat("m", true, "hi"))).await;
    house.ask(post("/v1/chat/completions", &chat("busy", false, "hi"))).await;
    let cut = house.ask(post("/v1/chat/completions", &chat("cut", true, "hi"))).await;
    assert!(cut.status == 200, "it broke after its head");
    house.ask(post("/v1/images/generations", &json!({"model": "m", "prompt": "a cat"}))).await;
    house.ask(get("/v1/models")).await;
    let form = Request::post("/v1/audio/transcriptions")
        .header("content-type", "multipart/form-data; boundary=x");
    house.ask(form.body(Bytes::from("--x--\r\n")).unwrap()).await;
    house.status_is("all is written", |status| status["chat_log"]["written"] == 5).await;

    let said = text(house.dir(), "openai/chat/chat.log");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 6, "{said}");
    assert!(
        lines[1].starts_with("{'assistant': 'it\\'s \"so\"', 'is_tool_calls': False, 'uid': '")
    );
    assert!(lines[2].contains("'stream': True") && lines[3].starts_with("{'assistant': 'hello'"));
    assert!(lines[4].contains("'busy'") && lines[5].contains("'cut'"), "{said}");
    assert_eq!(text(house.dir(), "openai/whisper/whisper.log"), "{\"text\":\"spoken\"}\n");
    for secret in ["hush", KEY, UPSTREAM_KEY] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test]
async fn a_call_that_is_refused_for_its_model_has_its_line() {
    let up = Upstream::start(answers).await;
    let conf = Conf::to(&up).with("chat_log.format = \"python\"").table("models = [\"m\"]");
    let house = House::start(conf).await;
    let refused = house.ask(post("/v1/chat/completions", &chat("dear", false, "hi"))).await;
    assert_eq!(refused.status, 403);
    house.status_is("it is written", |status| status["chat_log"]["written"] == 1).await;
    assert!(up.ledger().is_empty());
    let said = text(house.dir(), "openai/chat/chat.log");
    assert!(said.lines().count() == 1 && said.contains("'model': 'dear'"), "{said}");
}

#[tokio::test]
async fn an_answer_from_the_cache_is_logged_as_well() {
    let up = Upstream::start(answers).await;
    let conf = Conf::to(&up)
        .with("chat_log.format = \"python\"\ncache.store = \"memory\"\ncache.default = true");
    let house = House::start(conf).await;
    for _ in 0..2 {
        house.ask(post("/v1/chat/completions", &chat("m", false, "hi"))).await;
    }
    house.status_is("all is written", |status| status["chat_log"]["written"] == 2).await;
    assert_eq!(up.ledger().len(), 1);
    let said = text(house.dir(), "openai/chat/chat.log");
    assert_eq!(said.matches("'caching': True").count(), 2, "{said}");
    assert_eq!(said.matches("{'assistant': 'it\\'s \"so\"'").count(), 2, "{said}");
}

#[tokio::test]
async fn what_openai_forward_was_told_is_done() {
    let up = Upstream::start(answers).await;
    let site = Site::empty();
    let env = format!(
        "OPENAI_BASE_URL={}\nOPENAI_ROUTE_PREFIX=/openai\nOPENAI_API_KEY={UPSTREAM_KEY}\nFORWARD_KEY={KEY}\n\
         LOG_CHAT=true\nPRINT_CHAT=true\nCHAT_COMPLETION_ROUTE=/openai/v1/talk\nTZ=Asia/Kolkata\n",
        up.url()
    );
    fs::write(site.dir().join(".env"), env).unwrap();
    let mut process = site.serve(&["--port", "0"]).await;
    let before = jiff::Timestamp::now();
    process.ask(post("/openai/v1/talk", &chat("m", true, "hi"))).await;
    let printed = process.out("the chat", |out| out.contains("assistant: hello\n")).await;
    assert!(printed.contains("\nuser: hi\n127.0.0.1@m uid: "), "{printed}");
    let told = process.stop().await;
    let said = text(site.dir(), "openai/chat/chat.log");
    assert_eq!(said.lines().count(), 2, "{said}");
    let (_, time) = said.lines().next().unwrap().split_once("'datetime': '").unwrap();
    let time = format!("{}+05:30", time.trim_end_matches("'}").replace(' ', "T"));
    let late = time.parse::<jiff::Timestamp>().unwrap().as_second() - before.as_second();
    assert!((-1..60).contains(&late), "{time}");
    for secret in [KEY, UPSTREAM_KEY] {
        assert!(!format!("{said}{}{}", told.out, told.err).contains(secret), "{said}");
    }
    assert!(!told.err.contains("TZ") && !told.err.contains("PRINT_CHAT"), "{}", told.err);
}

#[tokio::test]
async fn chats_are_printed_without_a_log_too() {
    let up = Upstream::start(answers).await;
    let conf = Conf::to(&up).with("chat_log.on = false\nchat_log.print = true");
    let site = Site::of(&conf);
    let mut process = site.serve(&[]).await;
    process.ask(post("/v1/chat/completions", &chat("m", false, "hi"))).await;
    process.out("the chat", |out| out.contains("assistant: it's \"so\"\n")).await;
    process.stop().await;
    assert!(!site.dir().join("Log").exists());
}
