//! The binary as a service: how it ends when it is told to, and what it tells systemd.
//!
//! Why gates: each stream goes on when the test says so, hence "still runs" and "has ended" are
//! facts here and not a matter of luck.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on must fail its test")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixDatagram};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::client::{Answer, Client, Ended, Farewell, RawH1, Reading};
use crate::support::house::{Conf, KEY, keyed};
use crate::support::openai::{chat, chat_stream, get, post};
use crate::support::process::{Process, Said, Site};
use crate::support::upstream::{Gate, Reply, Upstream};
use crate::support::within;

mod access;
mod command;
mod crash;
mod demo;
mod forward;

/// Much for a process that has nothing left to do, little for one that waits for something.
const SOON: Duration = Duration::from_secs(2);

/// Streams that have sent one event, and send the others when they are let on.
struct Streams {
    up: Upstream,
    gates: Arc<Mutex<Vec<Gate>>>,
    clients: Vec<Client>,
    readings: Vec<Reading>,
}

// === impl Streams ===

impl Streams {
    async fn prepare() -> Self {
        let gates = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&gates);
        let up = Upstream::start(move |_| {
            let gate = Gate::new();
            gate.step();
            all.lock().push(gate.clone());
            Reply::sse(chat_stream(&["a", "b", "c"])).stepped_by(&gate)
        })
        .await;
        Self { up, gates, clients: Vec::new(), readings: Vec::new() }
    }

    /// Opens so many over one connection, and waits for the first event of each.
    async fn open(&mut self, mut client: Client, count: usize) {
        for _ in 0..count {
            let mut reading = client.send(keyed(streamed())).await.unwrap();
            reading.next_piece().await.unwrap();
            self.readings.push(reading);
        }
        self.clients.push(client);
    }

    fn let_on(&self, streams: impl IntoIterator<Item = usize>) {
        let gates = self.gates.lock();
        streams.into_iter().for_each(|nth| gates[nth].open());
    }

    /// Reads them all at once, to their ends.
    fn read(&mut self) -> JoinSet<Answer> {
        self.readings.drain(..).map(Reading::finish).collect()
    }
}

fn streamed() -> Request<Bytes> {
    post("/v1/chat/completions", &chat("m", true, "hi"))
}

/// The end of a process that has nothing to wait for.
async fn soon(process: Process) -> Said {
    timeout(SOON, process.ended()).await.expect("it ends soon")
}

async fn until_refused(process: &Process) {
    let connect = async { while TcpStream::connect(process.addr()).await.is_ok() {} };
    within("new connections to be refused", connect).await;
}

#[tokio::test]
async fn live_streams_end_whole_and_the_process_with_the_last() {
    let mut streams = Streams::prepare().await;
    let site = Site::of(&Conf::to(&streams.up));
    let mut process = site.serve(&[]).await;
    for _ in 0..40 {
        streams.open(Client::h1(process.addr()).await, 1).await;
    }
    streams.open(Client::h2c(process.addr()).await, 10).await;
    assert_eq!(process.admin_get("/readyz").await.status, 200);

    process.signal("TERM");
    until_refused(&process).await;
    process.status_is("draining", |s| s["draining"] == true && s["in_flight"] == 50).await;
    assert_eq!(process.admin_get("/readyz").await.status, 503);
    assert_eq!(process.admin_get("/healthz").await.status, 200);

    let mut reading = streams.read();
    streams.let_on(0..49);
    let mut answers = Vec::new();
    while answers.len() < 49 {
        answers.push(reading.join_next().await.unwrap().unwrap());
    }
    process.status_is("one left", |status| status["in_flight"] == 1).await;
    assert!(process.runs(), "it ended before its last stream");
    streams.let_on([49]);
    answers.push(reading.join_next().await.unwrap().unwrap());
    let said = soon(process).await;

    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!said.err.contains("WARN"), "{}", said.err);
    for answer in answers {
        assert_eq!((answer.status, &answer.ended), (200, &Ended::Whole));
        assert_eq!(answer.events(), chat_stream(&["a", "b", "c"]));
    }
    let log: Vec<_> = aifd::chatlog::read(&site.log_file()).unwrap().collect();
    assert_eq!(log.len(), 50, "one line a call");
    assert!(log.iter().all(|line| line.as_ref().unwrap().get().contains("\"ended\":\"done\"")));
}

#[tokio::test]
async fn an_idle_process_ends_at_once() {
    let streams = Streams::prepare().await;
    for signal in ["TERM", "INT"] {
        let site = Site::of(&Conf::to(&streams.up));
        let process = site.serve(&[]).await;
        // Connections without a request are nothing to wait for.
        let mut idle = [Client::h1(process.addr()).await, Client::h2c(process.addr()).await];
        for client in &mut idle {
            assert_eq!(client.ask(get("/healthz")).await.status, 200);
        }
        process.signal(signal);
        let said = soon(process).await;
        assert_eq!(said.code, Some(0), "SIG{signal}: {}", said.err);
    }
}

#[tokio::test]
async fn a_second_signal_cuts_what_still_runs() {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let mut streams = Streams::prepare().await;
        let site = Site::of(&Conf::to(&streams.up));
        let mut process = site.serve(&[]).await;
        streams.open(Client::h1(process.addr()).await, 1).await;
        streams.open(Client::h2c(process.addr()).await, 2).await;
        process.signal(first);
        process.status_is("draining", |status| status["draining"] == true).await;
        assert!(process.runs(), "the first signal cut a stream");
        process.signal(second);
        all_cut(&mut streams, &soon(process).await, &site).await;
    }
}

#[tokio::test]
async fn the_grace_has_an_end() {
    let mut streams = Streams::prepare().await;
    let conf = Conf::to(&streams.up).with("server.shutdown_grace = \"300ms\"");
    let site = Site::of(&conf);
    let process = site.serve(&[]).await;
    streams.open(Client::h1(process.addr()).await, 1).await;
    process.signal("TERM");
    all_cut(&mut streams, &soon(process).await, &site).await;
}

/// What an end that cuts looks like: to the operator, the clients, the host, the log.
async fn all_cut(streams: &mut Streams, said: &Said, site: &Site) {
    let count = streams.readings.len();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains(&format!("ended with {count} requests cut")), "{}", said.err);
    for answer in streams.read().join_all().await {
        assert!(answer.ended.is_cut(), "a cut stream ended clean");
    }
    streams.up.gone(count).await;
    let log: Vec<_> = aifd::chatlog::read(&site.log_file()).unwrap().map(Result::unwrap).collect();
    assert_eq!(log.len(), count, "a call that was cut is a call: {log:?}");
    assert!(log.iter().all(|line| line.get().contains("\"ended\":\"aborted\"")), "{log:?}");
}

#[tokio::test]
async fn connections_do_not_outlive_their_answers() {
    let mut streams = Streams::prepare().await;
    let site = Site::of(&Conf::to(&streams.up));
    let mut process = site.serve(&[]).await;
    let mut idle = RawH1::connect(process.addr()).await;
    idle.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
    let mut busy = RawH1::connect(process.addr()).await;
    busy.send(format!("GET /v1/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n"))
        .await;
    streams.up.seen(1).await;
    streams.open(Client::h1(process.addr()).await, 1).await;
    process.signal("TERM");
    assert_eq!(idle.until_end().await.1, Farewell::Fin);
    streams.let_on([0]);
    assert_eq!(busy.answer().await.unwrap().ended, Ended::Whole);
    assert_eq!(busy.until_end().await.1, Farewell::Fin, "a client could go on asking for ever");
    assert!(process.runs());
    streams.let_on([1]);
    assert_eq!(soon(process).await.code, Some(0));
}

#[tokio::test]
async fn systemd_is_told_when_it_serves_and_when_it_ends() {
    let dir = TempDir::new().unwrap();
    let [told, socket] = ["notify", "aifd.sock"].map(|name| dir.path().join(name));
    let systemd = UnixDatagram::bind(&told).unwrap();
    let next = async || {
        let mut message = [0; 256];
        let length = within("a word to systemd", systemd.recv(&mut message)).await.unwrap();
        String::from_utf8_lossy(&message[..length]).trim_end().to_owned()
    };
    let conf = Conf::to_hosts(&["http://127.0.0.1:9"])
        .with(&format!("server.listen = [\"unix:{}\"]", socket.display()));
    let site = Site::of(&conf).env("NOTIFY_SOCKET", told.to_str().unwrap());
    let process = site.spawn(&["run"]);
    assert_eq!(next().await, "READY=1");
    assert_eq!(Client::unix(&socket).await.ask(get("/healthz")).await.status, 200);
    process.signal("TERM");
    assert_eq!(next().await, "STOPPING=1");
    assert_eq!(soon(process).await.code, Some(0));
}
