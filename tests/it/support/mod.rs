//! The harness: a scripted upstream, clients that notice everything, and a guard on every wait.
//!
//! Why by hand: a proxy is proved from both its ends, and a polite library hides what matters here
//! (where a piece ended, whether an end was clean, when the other side left).
//! The trap: what the harness claims is believed, so `support_works.rs` holds it to its word.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on must fail its test")]

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

pub(crate) mod certs;
pub(crate) mod client;
pub(crate) mod house;
pub(crate) mod http1;
pub(crate) mod lever;
pub(crate) mod openai;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod upstream;

/// How long any wait of the harness may last: far more than a healthy test needs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for `wanted`, and fails the test with what was awaited when it does not come.
pub(crate) async fn within<T>(what: impl Display, wanted: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, wanted).await {
        Ok(got) => got,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Measures until one time keeps the bound: a busy machine adds to a time and never takes from it,
/// so one good time of a few is proof, and none is a fault.
pub(crate) async fn promptly(
    bound: Duration,
    what: impl Display,
    mut measure: impl AsyncFnMut() -> Duration,
) {
    let mut times = Vec::new();
    while times.len() < 5 {
        times.push(measure().await);
        if times.last() < Some(&bound) {
            return;
        }
    }
    panic!("{what}: never within {bound:?}, but {times:?}");
}

/// A host that takes no connection and refuses none: its queue is full.
pub(crate) struct Deaf {
    pub(crate) addr: SocketAddr,
    _queue: (TcpListener, TcpStream),
}

impl Deaf {
    pub(crate) async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let addr = listener.local_addr().unwrap();
        let first = TcpStream::connect(addr).await.unwrap();
        Self { addr, _queue: (listener, first) }
    }
}

/// An address where nobody listens: a connection to it is refused at once.
pub(crate) async fn refused_addr() -> SocketAddr {
    let brief = TcpListener::bind("127.0.0.1:0").await.unwrap();
    brief.local_addr().unwrap()
}
