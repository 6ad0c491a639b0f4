//! `aifd demo`: the real proxy in front of an upstream of its own, and a tour through it.
//!
//! Why: a stranger sees in ten seconds what aifd does, with nothing to install or to write; and
//! every step is checked, so the tour is a test of a build as well.

mod client;
mod upstream;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config;
use crate::server::{House, Outcome, Stop};
use client::{Client, Reply};
use upstream::{KEY, MODEL};

/// The key the demo's client uses.
const FORWARD_KEY: &str = "fk-demo";

/// Its port, unless it is taken.
const PORT: u16 = 8000;

/// Runs the tour; stays up afterwards until Ctrl-C, unless `once`.
///
/// # Errors
/// The first step that did not go as it should.
pub async fn run(once: bool) -> anyhow::Result<()> {
    // From here on Ctrl-C ends the demo in order, so that its files go with it.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let log_dir = LogDir::new()?;
    let upstream = TcpListener::bind(("127.0.0.1", 0)).await.context("the demo's upstream")?;
    let upstream_at = upstream.local_addr()?;
    let serving = axum::serve(upstream, upstream::router());
    let house = open(&upstream_at.to_string(), &log_dir.0).await?;
    let at = house.addresses()[0].clone();
    let (tell, told) = watch::channel(Stop::No);
    #[expect(clippy::disallowed_methods, reason = "the demo's two servers run beside the tour")]
    let (upstream, running) = (tokio::spawn(serving.into_future()), tokio::spawn(house.run(told)));
    let upstream_at = upstream_at.to_string();
    let toured = tokio::select! {
        toured = tour(&at, &upstream_at, &log_dir.0) => toured,
        _ = interrupt.recv() => Err(anyhow!("interrupted")),
    };
    if toured.is_ok() && !once {
        say(&try_it(&at));
        interrupt.recv().await;
    }
    tell.send_replace(Stop::Gently);
    let outcome = running.await?;
    upstream.abort();
    toured?;
    ensure!(outcome == Outcome::Drained, "the proxy did not end cleanly: {outcome:?}");
    Ok(())
}

async fn open(upstream: &str, log_dir: &Path) -> anyhow::Result<House> {
    let text = |port: u16| {
        format!(
            "server.listen = [\"127.0.0.1:{port}\"]\nadmin.listen = \"off\"\n\
             chat_log.dir = {log_dir:?}\n\
             [[upstream]]\nname = \"demo\"\nhosts = [\"http://{upstream}\"]\nkeys = [\"{KEY}\"]\n\
             [[key]]\nname = \"you\"\nsecret = \"{FORWARD_KEY}\"\n"
        )
    };
    let config =
        |port| config::parse(&text(port), "demo").map_err(|faults| anyhow::anyhow!("{faults}"));
    match House::open(&config(PORT)?).await {
        Ok(house) => Ok(house),
        Err(_) => House::open(&config(0)?).await,
    }
}

async fn tour(at: &str, upstream: &str, log_dir: &Path) -> anyhow::Result<()> {
    say(&format!("aifd is at {at}, its upstream at http://{upstream}.\n"));
    let client = Client::new(at)?;
    plain(&client).await.context("the plain call")?;
    streamed(&client).await.context("the streamed call")?;
    refused(&client).await.context("the refused call")?;
    logged(log_dir).await.context("the chat log")
}

async fn plain(client: &Client) -> anyhow::Result<()> {
    say("\n1. A plain call, with the forward key:\n");
    let reply = ask(client, FORWARD_KEY, &chat("Good morning.", false)).await?;
    ensure!(reply.status == 200, "status {}, not 200", reply.status);
    let body: Value = serde_json::from_slice(&reply.body())?;
    let text = body["choices"][0]["message"]["content"].as_str().unwrap_or_default();
    ensure!(text.contains("Good morning."), "the answer is {text:?}");
    say(&format!("   < {text}\n"));
    Ok(())
}

async fn streamed(client: &Client) -> anyhow::Result<()> {
    say("\n2. The same, streamed:\n");
    let reply = ask(client, FORWARD_KEY, &chat("One word at a time.", true)).await?;
    ensure!(reply.status == 200, "status {}, not 200", reply.status);
    let pieces = reply.pieces.len();
    ensure!(pieces > 5, "the stream came in {pieces} pieces only");
    let body = reply.body();
    ensure!(body.ends_with(b"data: [DONE]\n\n"), "the stream has no end");
    let (first, last) = (reply.pieces[0].0, reply.pieces[pieces - 1].0);
    say(&format!(
        "   {pieces} pieces, the first after {}, the last after {}\n",
        shown(first),
        shown(last)
    ));
    Ok(())
}

async fn refused(client: &Client) -> anyhow::Result<()> {
    say("\n3. A key nobody has:\n");
    let reply = ask(client, "fk-wrong", &chat("Let me in.", false)).await?;
    ensure!(reply.status == 401, "status {}, not 401", reply.status);
    let body: Value = serde_json::from_slice(&reply.body())?;
    ensure!(body["error"]["code"] == "invalid_api_key", "the body is {body}");
    say(&format!("   < {}\n", body["error"]["message"].as_str().unwrap_or_default()));
    Ok(())
}

/// The three lines, once the writer has written them.
async fn logged(dir: &Path) -> anyhow::Result<()> {
    let file = dir.join("chat.jsonl");
    let read = async {
        loop {
            let text = tokio::fs::read_to_string(&file).await.unwrap_or_default();
            if text.matches('\n').count() >= 3 {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let text = tokio::time::timeout(Duration::from_secs(5), read).await;
    let text = text.context("fewer than three lines after 5 s")?;
    let line: Value = serde_json::from_str(text.lines().nth(1).unwrap_or_default())?;
    let said = line["answer"]["choices"][0]["content"].as_str().unwrap_or_default();
    ensure!(said.contains("One word at a time."), "the streamed call was logged as {line}");
    ensure!(!text.contains(KEY) && !text.contains(FORWARD_KEY), "a key stands in the chat log");
    say(&format!("\nThe chat log has three lines; the streamed call as:\n   {line}\n"));
    Ok(())
}

async fn ask(client: &Client, key: &str, body: &Value) -> anyhow::Result<Reply> {
    say(&format!("   > POST /v1/chat/completions  {body}\n"));
    let reply = client.post("/v1/chat/completions", key, body).await?;
    say(&format!("   < {} after {}\n", reply.status, shown(reply.head_after)));
    Ok(reply)
}

fn chat(text: &str, stream: bool) -> Value {
    let message = json!({"role": "user", "content": text});
    json!({"model": MODEL, "messages": [message], "stream": stream})
}

fn try_it(at: &str) -> String {
    let body = chat("Hello!", true);
    format!(
        "\nTry it yourself (Ctrl-C ends it):\n\n  curl -N {at}/v1/chat/completions \
         -H 'Authorization: Bearer {FORWARD_KEY}' -H 'Content-Type: application/json' \
         -d '{body}'\n\n"
    )
}

fn shown(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

#[expect(clippy::print_stdout, reason = "the tour is what the command says")]
fn say(text: &str) {
    print!("{text}");
}

/// A directory that goes with its owner.
struct LogDir(PathBuf);

impl LogDir {
    fn new() -> anyhow::Result<Self> {
        let name = format!("aifd-demo-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
        Ok(Self(dir))
    }
}

impl Drop for LogDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            log::debug!("{}: {error}", self.0.display());
        }
    }
}
