//! The scripted upstream: it does to each request exactly what a test says, and writes down all.
//!
//! Why a judge and not a mock: it notices the moment a client leaves, in every phase, because it
//! never stops listening while it waits, writes or hangs.
//! The trap: it lives on the test's runtime, so a test must not block its thread.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::certs::Certs;
use super::lever::Lever;

mod gate;
mod h1;
mod h2;
mod ledger;
mod script;
mod steps;

pub(crate) use gate::Gate;
pub(crate) use ledger::{End, Entry, Gone, Seen};
pub(crate) use script::{Chunking, Framing, Reply};

use ledger::{Connection, Ledger};

/// A listening upstream; it ends, with all its connections, when it is dropped.
pub(crate) struct Upstream {
    addr: SocketAddr,
    scheme: &'static str,
    h2c: bool,
    ledger: Ledger,
    /// The acceptor, which owns the connections.
    acceptor: JoinSet<()>,
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

/// What all connections of one upstream share.
struct Role {
    script: Box<Script>,
    ledger: Ledger,
    speaks: Speaks,
    /// Whether the script answers on the head alone.
    early: bool,
}

enum Speaks {
    Http1,
    Http2,
    Tls(Arc<ServerConfig>),
}

/// One connection: who is calling, and how to hang up.
struct Caller {
    role: Arc<Role>,
    /// Let go before the ledger counts the connection as closed.
    lever: Lever,
    connection: Connection,
}

/// How a connection goes on after an exchange.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Leave {
    Stay,
    /// With a proper goodbye (TLS: close_notify), then FIN.
    Close,
    /// FIN and nothing else.
    Cut,
    Reset,
}

/// The client has left: FIN, RST or `RST_STREAM`.
#[derive(Debug)]
struct Left;

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

// === impl Upstream ===

impl Upstream {
    /// Speaks HTTP/1.1; the script is asked once the body is all here.
    pub(crate) async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen("127.0.0.1:0", Speaks::Http1, false, Box::new(script)).await
    }

    /// As `start`, at an address of the test's choice (IPv6, or where one has just stopped).
    pub(crate) async fn start_at(
        addr: &str,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(addr, Speaks::Http1, false, Box::new(script)).await
    }

    /// As `start`, but the script is asked at the head, and answers while the body still comes.
    pub(crate) async fn start_early(
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen("127.0.0.1:0", Speaks::Http1, true, Box::new(script)).await
    }

    /// Speaks HTTP/2 in the clear, by prior knowledge.
    pub(crate) async fn start_h2c(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen("127.0.0.1:0", Speaks::Http2, false, Box::new(script)).await
    }

    /// `start_h2c` or `start`, for tests that hold for both.
    pub(crate) async fn start_as(
        h2: bool,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        match h2 {
            true => Self::start_h2c(script).await,
            false => Self::start(script).await,
        }
    }

    /// Speaks TLS, and then what ALPN settled on.
    pub(crate) async fn start_tls(
        alpn: &[&str],
        certs: &Certs,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let speaks = Speaks::Tls(certs.server(alpn));
        Self::listen("127.0.0.1:0", speaks, false, Box::new(script)).await
    }

    async fn listen(addr: &str, speaks: Speaks, early: bool, script: Box<Script>) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let ledger = Ledger::new();
        let scheme = if matches!(speaks, Speaks::Tls(_)) { "https" } else { "http" };
        let addr = listener.local_addr().unwrap();
        let h2c = matches!(speaks, Speaks::Http2);
        let role = Arc::new(Role { script, ledger: ledger.clone(), speaks, early });
        let mut acceptor = JoinSet::new();
        acceptor.spawn(accept(listener, role));
        Self { addr, scheme, h2c, ledger, acceptor }
    }

    /// Whether it wants HTTP/2 by prior knowledge.
    pub(crate) fn is_h2c(&self) -> bool {
        self.h2c
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    /// `http://127.0.0.1:PORT`, or `https`.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.addr)
    }

    /// Every request so far, in the order in which their heads came.
    pub(crate) fn ledger(&self) -> Vec<Entry> {
        self.ledger.read(|book| book.entries.clone())
    }

    /// What came in that no proxy may send; empty in every good test.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.ledger.read(|book| book.faults.clone())
    }

    /// How many connections were ever made.
    pub(crate) fn connections(&self) -> usize {
        self.ledger.read(|book| book.connections)
    }

    /// How many connections are open now.
    pub(crate) fn open_connections(&self) -> usize {
        self.ledger.read(|book| book.open)
    }

    /// Waits until `n` heads have come.
    pub(crate) async fn begun(&self, n: usize) -> Vec<Seen> {
        let all = |book: &ledger::Book| book.entries.iter().map(|e| e.seen.clone()).collect();
        let what = format!("{n} heads");
        self.ledger.until(&what, |book| book.entries.len() >= n, all).await
    }

    /// Waits until `n` requests have come, bodies and all.
    pub(crate) async fn seen(&self, n: usize) -> Vec<Seen> {
        let whole = |e: &&Entry| e.seen.whole;
        let count = |book: &ledger::Book| book.entries.iter().filter(whole).count();
        let all = |book: &ledger::Book| book.entries.iter().map(|e| e.seen.clone()).collect();
        let what = format!("{n} whole requests");
        self.ledger.until(&what, |book| count(book) >= n, all).await
    }

    /// Waits until `n` clients have left before their answer was all given.
    pub(crate) async fn gone(&self, n: usize) -> Vec<Gone> {
        let what = format!("{n} clients to leave");
        self.ledger.until(&what, |book| book.gone().len() >= n, ledger::Book::gone).await
    }

    /// Waits until every request has ended.
    pub(crate) async fn idle(&self) -> Vec<Entry> {
        let over = |book: &ledger::Book| book.entries.iter().all(|e| e.end.is_some());
        self.ledger.until("every request to end", over, |book| book.entries.clone()).await
    }

    /// Waits until so many connections are open.
    pub(crate) async fn open(&self, n: usize) {
        let what = format!("{n} open connections");
        self.ledger.until(&what, |book| book.open == n, |_| ()).await;
    }

    /// Waits until no connection is open.
    pub(crate) async fn all_closed(&self) {
        self.ledger.until("every connection to close", |book| book.open == 0, |_| ()).await;
    }

    /// Closes the listener and every connection; what was going on is broken off.
    pub(crate) async fn stop(&mut self) {
        self.acceptor.shutdown().await;
    }
}

// === impl Caller ===

impl Caller {
    /// Writes down what no proxy may send; the connection ends with it.
    fn fault(&self, why: &str) -> Left {
        self.role.ledger.fault(format!("connection {}: {why}", self.connection.number));
        Left
    }
}

async fn accept(listener: TcpListener, role: Arc<Role>) {
    let mut open = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let caller = Caller {
            role: role.clone(),
            lever: Lever::on(&socket),
            connection: role.ledger.connected(),
        };
        open.spawn(serve(socket, caller));
        while open.try_join_next().is_some() {}
    }
}

async fn serve(socket: TcpStream, caller: Caller) {
    socket.set_nodelay(true).unwrap();
    match &caller.role.speaks {
        Speaks::Http1 => h1::serve(Box::new(socket), caller).await,
        Speaks::Http2 => h2::serve(Box::new(socket), caller).await,
        Speaks::Tls(config) => {
            // A client that does not like our certificate leaves here: that is its good right.
            let Ok(tls) = TlsAcceptor::from(config.clone()).accept(socket).await else {
                return;
            };
            match tls.get_ref().1.alpn_protocol() {
                Some(b"h2") => h2::serve(Box::new(tls), caller).await,
                _ => h1::serve(Box::new(tls), caller).await,
            }
        }
    }
}
