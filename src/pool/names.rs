//! The addresses behind one name, resolved by us: a host's, or that of the proxy in front of it.
//!
//! Why not Pingora's: `HttpPeer::new("name:443")` resolves on the worker's thread and panics when
//! it cannot. Here a lookup runs elsewhere, an old answer serves while a new one is fetched, and a
//! name that does not resolve is an answer too.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long an answer is used before it is asked for again.
const FRESH: Duration = Duration::from_secs(30);

/// One name, or one literal address. A clone is the same one: what it learns, all know.
#[derive(Debug, Clone)]
pub(super) enum Names {
    Literal(SocketAddr),
    Name(Arc<Name>),
}

#[derive(Debug)]
pub(super) struct Name {
    host: String,
    port: u16,
    patience: Duration,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    addresses: Vec<SocketAddr>,
    turn: usize,
    asked: Option<Instant>,
    asking: bool,
}

// === impl Names ===

impl Names {
    /// `patience` bounds the wait for the very first answer.
    pub(super) fn of(host: &str, port: u16, patience: Duration) -> Self {
        match host.parse::<IpAddr>() {
            Ok(ip) => Self::Literal(SocketAddr::new(ip, port)),
            Err(_) => Self::Name(Arc::new(Name {
                host: host.to_owned(),
                port,
                patience,
                known: Mutex::default(),
            })),
        }
    }

    /// The address to try now; `None` when the name does not resolve.
    pub(super) async fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Literal(address) => Some(*address),
            Self::Name(name) => name.address().await,
        }
    }

    /// The last address given out failed: go to the next one, and look the name up again.
    pub(super) fn forget(&self) {
        if let Self::Name(name) = self {
            let mut known = name.known.lock();
            known.turn = known.turn.wrapping_add(1);
            known.asked = None;
        }
    }
}

// === impl Name ===

impl Name {
    async fn address(self: &Arc<Self>) -> Option<SocketAddr> {
        let known = self.known.lock().current();
        if known.is_some() {
            self.refresh();
            return known;
        }
        self.ask().await;
        self.known.lock().current()
    }

    /// Looks the name up beside the request, once at a time.
    fn refresh(self: &Arc<Self>) {
        if self.known.lock().start_asking() {
            let name = Arc::clone(self);
            #[expect(clippy::disallowed_methods, reason = "bounded: one lookup a name at a time")]
            tokio::spawn(async move { name.ask().await });
        }
    }

    async fn ask(&self) {
        let target = (self.host.as_str(), self.port);
        let answer = tokio::time::timeout(self.patience, tokio::net::lookup_host(target)).await;
        let found: Vec<SocketAddr> = match answer {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => {
                log::warn!("{}: the name does not resolve: {error}", self.host);
                Vec::new()
            }
            Err(_) => {
                log::warn!("{}: no answer to a lookup within {:?}", self.host, self.patience);
                Vec::new()
            }
        };
        self.known.lock().learn(found);
    }
}

// === impl Known ===

impl Known {
    fn current(&self) -> Option<SocketAddr> {
        let turn = self.turn.checked_rem(self.addresses.len())?;
        self.addresses.get(turn).copied()
    }

    fn start_asking(&mut self) -> bool {
        let stale = self.asked.is_none_or(|asked| asked.elapsed() > FRESH);
        let start = stale && !self.asking;
        self.asking |= start;
        start
    }

    /// A failed lookup keeps the last good answer.
    fn learn(&mut self, found: Vec<SocketAddr>) {
        self.asking = false;
        self.asked = Some(Instant::now());
        if !found.is_empty() && found != self.addresses {
            self.addresses = found;
            self.turn = 0;
        }
    }
}
