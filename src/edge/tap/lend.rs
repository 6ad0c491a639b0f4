//! The client, watched while a connection to a host is made.
//!
//! Why: Pingora looks at its client only when it has a connection to a host, and one that takes none
//! is waited for until the connect timeout. So the session is lent to whoever makes the connection.
//! The trap: until it is back ([`Lent::give_back`]) there is a stand-in that answers no question.
//! Pingora asks none between `upstream_peer` and the hook that tells of the connection.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use tokio::task::AbortHandle;

use super::stand_in;

/// A session that was lent out. Dropped, it ends the client's connection, as the session itself does.
pub(in crate::edge) struct Lent(Client);

/// The client, for whoever makes a connection; clones are the same one.
#[derive(Clone)]
pub(in crate::edge) struct Client(Arc<Mutex<Loan>>);

#[derive(Default)]
struct Loan {
    session: Option<Box<ServerSession>>,
    watcher: Option<AbortHandle>,
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
        left = client.read_body_or_idle(true) => Err(gone(left.err())),
    }
}

fn gone(error: Option<Box<Error>>) -> Box<Error> {
    error.unwrap_or_else(|| Error::new(ErrorType::ConnectionClosed)).into_down()
}

// === impl Lent ===

impl Lent {
    /// Takes the session away from Pingora.
    pub(in crate::edge) fn take(session: &mut Session) -> Self {
        let lent = std::mem::replace(&mut session.downstream_session, Box::new(stand_in()));
        let loan = Loan { session: Some(lent), watcher: None };
        Self(Client(Arc::new(Mutex::new(loan))))
    }

    /// For whoever makes the connection.
    pub(in crate::edge) fn client(&self) -> Client {
        self.0.clone()
    }

    /// Puts it back.
    pub(in crate::edge) fn give_back(self, session: &mut Session) {
        if let Some(lent) = self.0.0.lock().session.take() {
            session.downstream_session = lent;
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let loan = std::mem::take(&mut *self.0.0.lock());
        if let Some(watcher) = loan.watcher {
            watcher.abort();
        }
    }
}

// === impl Client ===

impl Client {
    /// Waits, unless the client leaves first.
    pub(in crate::edge) async fn unless_left<T>(&self, wait: impl Future<Output = T>) -> Result<T> {
        let mut wait = pin!(wait);
        poll_fn(|context| {
            if let Poll::Ready(done) = wait.as_mut().poll(context) {
                return Poll::Ready(Ok(done));
            }
            self.poll_left(context).map(Err)
        })
        .await
    }

    /// Calls `left` when the client leaves, unless the session is given back before.
    pub(in crate::edge) fn when_left(&self, left: impl FnOnce() + Send + 'static) {
        let client = self.clone();
        let watch = async move {
            poll_fn(|context| client.poll_left(context)).await;
            left();
        };
        #[expect(clippy::disallowed_methods, reason = "ends when the session is given back")]
        let watcher = tokio::spawn(watch);
        self.0.lock().watcher = Some(watcher.abort_handle());
    }

    /// Ready when the client has left; its session is looked at, and left where it is.
    fn poll_left(&self, context: &mut Context<'_>) -> Poll<Box<Error>> {
        let mut loan = self.0.lock();
        let Some(session) = &mut loan.session else { return Poll::Pending };
        pin!(session.read_body_or_idle(true)).poll(context).map(|left| gone(left.err()))
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}
