//! The door: what is done to a connection before Pingora's proxy reads the first head from it.
//!
//! Why two layers: the outer one sees connections ([`Door`]), the inner one each request's session
//! ([`Front`]). No hook runs before the head of a request is complete, and a client that sends it
//! byte by byte would be waited for a minute a byte.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use super::prompt::Prompt;
use super::{Edge, Errands};
use crate::config::Server;
use crate::drain::Drain;

/// Takes connections as they come from a listener.
pub struct Door(Arc<Front>);

/// Pingora's proxy around the [`Edge`], with our limits on each session.
struct Front {
    proxy: Arc<HttpProxy<Edge>>,
    options: HttpServerOptions,
    read_timeout: Duration,
    drain: Drain,
}

/// How often a connection may be used: as good as for ever, but counted, so that a connection's
/// first request can be told from the others.
const REUSES: u32 = u32::MAX;

// === impl Door ===

impl Door {
    /// Before a proxy whose modules are initialised; `errands` of its edge go through it, too.
    #[must_use]
    pub fn new(proxy: HttpProxy<Edge>, limits: &Server, drain: Drain, errands: &Errands) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.keepalive_request_limit = Some(REUSES);
        options.h2_idle_timeout = Some(limits.keepalive);
        let (proxy, read_timeout) = (Arc::new(proxy), limits.read_timeout);
        errands.go_through(&proxy);
        Self(Arc::new(Front { proxy, options, read_timeout, drain }))
    }
}

#[async_trait]
impl ServerApp for Door {
    async fn process_new(
        self: &Arc<Self>,
        connection: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let prompt = Prompt::wrap(connection, self.0.read_timeout);
        self.0.process_new(prompt, shutdown).await
    }

    async fn cleanup(&self) {
        self.0.http_cleanup().await;
    }
}

// === impl Front ===

#[async_trait]
impl HttpServerApp for Front {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        session.set_read_timeout(Some(self.read_timeout));
        if session.get_keepalive_reuses_remaining() == Some(REUSES) {
            // A new connection is not an idle one: its first head is awaited as any other read.
            session.set_keepalive(None);
        }
        tokio::select! {
            reused = self.proxy.process_new_http(session, shutdown) => reused,
            // Dropped where it stands: no clean end for the client, a line in the chat log.
            () = self.drain.until_cut() => None,
        }
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
