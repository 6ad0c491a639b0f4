//! The client, watched while something else is waited for.
//!
//! Why: Pingora looks at its client only when it has a connection to a host, and one that takes none
//! is waited for until the connect timeout. So the session is lent to whoever makes the connection.
//! The trap: until it is back ([`Lent::give_back`]) there is a stand-in that answers no question.
//! Pingora asks none between `upstream_peer` and the hook that tells of the connection.

use std::sync::Arc;

use parking_lot::Mutex;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::stand_in;

/// A session on loan; clones share it.
#[derive(Clone)]
pub(in crate::edge) struct Lent(Arc<Mutex<Option<Box<ServerSession>>>>);

/// The session in use by whoever waits, until this is dropped.
struct InUse<'a> {
    lent: &'a Lent,
    session: Option<Box<ServerSession>>,
}

/// Waits for `wait`, unless the client leaves first; without a client that can be watched, simply
/// waits.
pub(in crate::edge) async fn unless_left<T>(
    client: Option<&mut ServerSession>,
    wait: impl Future<Output = T>,
) -> Result<T> {
    let Some(client) = client else { return Ok(wait.await) };
    tokio::select! {
        biased;
        done = wait => Ok(done),
        left = client.read_body_or_idle(true) => {
            let error = left.err().unwrap_or_else(|| Error::new(ErrorType::ConnectionClosed));
            Err(error.into_down())
        }
    }
}

// === impl Lent ===

impl Lent {
    /// Takes the session away from Pingora.
    pub(in crate::edge) fn take(session: &mut Session) -> Self {
        let lent = std::mem::replace(&mut session.downstream_session, Box::new(stand_in()));
        Self(Arc::new(Mutex::new(Some(lent))))
    }

    /// Puts it back.
    pub(in crate::edge) fn give_back(self, session: &mut Session) {
        if let Some(lent) = self.0.lock().take() {
            session.downstream_session = lent;
        }
    }

    /// Waits, unless the client leaves first.
    pub(in crate::edge) async fn unless_left<T>(&self, wait: impl Future<Output = T>) -> Result<T> {
        let mut used = InUse { lent: self, session: self.0.lock().take() };
        unless_left(used.session.as_deref_mut(), wait).await
    }
}

impl std::fmt::Debug for Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lent")
    }
}

// === impl InUse ===

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        *self.lent.0.lock() = self.session.take();
    }
}
