//! What the upstream saw and how it ended, with the moment of each.
//!
//! Why a `watch`: it is store and bell in one, so every wait is "until the book says so".
//! The trap: a fault (a request that no proxy may send, a script that panicked) fails the next
//! wait, or a test would wait for what cannot come.

use std::sync::Arc;

use bytes::Bytes;
use http::Version;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::support::PATIENCE;

/// A request as it stood on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query, not a byte changed.
    pub(crate) target: String,
    pub(crate) version: Version,
    /// `Host`, or HTTP/2's `:authority`.
    pub(crate) authority: Option<String>,
    /// In order; names as sent (HTTP/2 sends them small and groups equal ones).
    pub(crate) headers: Vec<(String, Bytes)>,
    /// Empty until `whole`.
    pub(crate) body: Bytes,
    /// Whether the body is all here.
    pub(crate) whole: bool,
    /// Which connection of this upstream, from 1.
    pub(crate) connection: usize,
    /// Which request on that connection, from 1.
    pub(crate) request: usize,
    /// When the head was whole.
    pub(crate) at: Instant,
}

/// A client that left before its answer was all given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gone {
    /// Which entry of the ledger, from 0.
    pub(crate) entry: usize,
    pub(crate) at: Instant,
    /// Bytes of the body that had been written until then.
    pub(crate) after_bytes: usize,
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// The whole answer was given.
    Answered { at: Instant },
    /// The client left first.
    ClientGone(Gone),
    /// The script cut it off.
    Broken { at: Instant },
}

/// One request and its end; `None` while it goes on.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) seen: Seen,
    pub(crate) end: Option<End>,
}

/// All that is known; it ends with its last clone.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) entries: Vec<Entry>,
    pub(super) connections: usize,
    pub(super) open: usize,
    pub(super) faults: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Ledger(Arc<watch::Sender<Book>>);

/// One open connection; it counts until it is dropped.
pub(super) struct Connection {
    ledger: Ledger,
    pub(super) number: usize,
}

/// One request that has begun; what nobody ended by then is written down as broken off.
pub(super) struct Ticket {
    ledger: Ledger,
    entry: usize,
}

// === impl Seen ===

impl Seen {
    /// The first value of a header, whatever the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.values(name).first().copied()
    }

    /// All values of a header.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let same = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        same.map(|(_, v)| std::str::from_utf8(v).unwrap()).collect()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

// === impl Entry ===

impl Entry {
    /// When it ended, however it did; `None` while it goes on.
    pub(crate) fn ended_at(&self) -> Option<Instant> {
        self.end.map(|end| match end {
            End::Answered { at } | End::Broken { at } => at,
            End::ClientGone(gone) => gone.at,
        })
    }
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Book::default())))
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(&self.0.borrow())
    }

    pub(super) fn connected(&self) -> Connection {
        let mut number = 0;
        self.0.send_modify(|book| {
            book.connections += 1;
            book.open += 1;
            number = book.connections;
        });
        Connection { ledger: self.clone(), number }
    }

    pub(super) fn begins(&self, seen: Seen) -> Ticket {
        let mut entry = 0;
        self.0.send_modify(|book| {
            entry = book.entries.len();
            book.entries.push(Entry { seen, end: None });
        });
        Ticket { ledger: self.clone(), entry }
    }

    pub(super) fn fault(&self, what: String) {
        self.0.send_modify(|book| book.faults.push(what));
    }

    /// Waits until the book says so, then reads it; fails the test on a fault or a timeout.
    pub(super) async fn until<T>(
        &self,
        what: &str,
        so: impl Fn(&Book) -> bool,
        read: impl FnOnce(&Book) -> T,
    ) -> T {
        let mut reader = self.0.subscribe();
        let told = reader.wait_for(|book| !book.faults.is_empty() || so(book));
        let in_time = timeout(PATIENCE, async { told.await.map(drop) }).await.is_ok();
        self.read(|book| {
            assert!(book.faults.is_empty(), "while waiting for {what}: {:?}", book.faults);
            assert!(
                in_time,
                "waited {PATIENCE:?} in vain for {what}; the upstream knows {book:#?}"
            );
            read(book)
        })
    }
}

// === impl Book ===

impl Book {
    pub(super) fn gone(&self) -> Vec<Gone> {
        let gone = |entry: &Entry| match entry.end {
            Some(End::ClientGone(gone)) => Some(gone),
            Some(End::Answered { .. } | End::Broken { .. }) | None => None,
        };
        self.entries.iter().filter_map(gone).collect()
    }
}

// === impl Connection ===

impl Drop for Connection {
    fn drop(&mut self) {
        self.ledger.0.send_modify(|book| book.open -= 1);
    }
}

// === impl Ticket ===

impl Ticket {
    /// The body is all here: gives the request as it now stands.
    pub(super) fn whole(&self, body: Bytes) -> Seen {
        self.ledger.0.send_modify(|book| {
            let seen = &mut book.entries[self.entry].seen;
            (seen.body, seen.whole) = (body, true);
        });
        self.seen()
    }

    pub(super) fn seen(&self) -> Seen {
        self.ledger.read(|book| book.entries[self.entry].seen.clone())
    }

    pub(super) fn answered(&self) {
        self.ends(End::Answered { at: Instant::now() });
    }

    pub(super) fn broken(&self) {
        self.ends(End::Broken { at: Instant::now() });
    }

    pub(super) fn client_gone(&self, after_bytes: usize) {
        self.ends(End::ClientGone(Gone { entry: self.entry, at: Instant::now(), after_bytes }));
    }

    /// Only the first end counts: what a client does after its answer changes nothing.
    fn ends(&self, end: End) {
        self.ledger.0.send_modify(|book| {
            book.entries[self.entry].end.get_or_insert(end);
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.ledger.fault("the script panicked; its message stands above".to_owned());
        }
        self.broken();
    }
}
