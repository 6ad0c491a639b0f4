//! One active probe: a host is asked how it is, on the way its requests take.
//!
//! Why Pingora's connector, and not an HTTP client: TLS, CA, SNI, HTTP version and all else that
//! [`Wire::peer`] says hold for a probe as they do for a request, so that a probe cannot be good
//! where every request fails. Why a connection each time: a host that still answers on an old one
//! may take no new ones, and between two probes nothing stays open.
//!
//! The trap: Pingora puts an h2 connection with room for one more stream into its pool by itself,
//! where it stays; a probe's has room for one.

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{StatusCode, Uri, header};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::{Error, Result};
use tokio::time::{Instant, timeout_at};

use super::{Way, Wire, limit};
use crate::config::{self, Health, Timeouts};
use crate::edge::Edge;
use crate::edge::ended::words;
use crate::pool::Host;

/// What is asked of one host, and how.
pub struct Probe {
    /// Whom it asks.
    pub host: Arc<Host>,
    /// From one time to the next.
    pub every: Duration,
    wire: Arc<Wire>,
    path: PathAndQuery,
    timeouts: Timeouts,
    connector: Arc<Connector>,
}

const AGENT: &str = concat!("aifd/", env!("CARGO_PKG_VERSION"), " (probe)");

/// So much of an answer is read to its end, so that the host is not cut off while it speaks.
const POLITE: usize = 64 * 1024;

// === impl Edge ===

impl Edge {
    /// A probe for each host of the upstreams that want them.
    ///
    /// # Errors
    /// When the path of one cannot be asked for.
    pub fn probes(&self, sections: &[config::Upstream]) -> Result<Vec<Probe>, http::Error> {
        let wanted = || {
            let all = sections.iter().zip(self.upstreams.iter()).zip(&self.wires);
            all.filter_map(|((section, pool), wire)| Some((section.health.as_ref()?, pool, wire)))
        };
        if wanted().next().is_none() {
            return Ok(Vec::new());
        }
        let connector = Arc::new(connector(sections));
        let mut probes = Vec::new();
        for (health, upstream, wire) in wanted() {
            for host in upstream.hosts() {
                probes.push(Probe {
                    host: Arc::clone(host),
                    every: health.every,
                    wire: Arc::clone(wire),
                    path: health.path.parse().map_err(http::Error::from)?,
                    timeouts: patience(health, upstream.timeouts),
                    connector: Arc::clone(&connector),
                });
            }
        }
        Ok(probes)
    }
}

/// One connector for all probes; it keeps no connection.
fn connector(sections: &[config::Upstream]) -> Connector {
    let own_ca = |section: &config::Upstream| {
        section.health.is_none() || section.ca.is_some() || section.hosts.iter().all(|it| !it.tls)
    };
    let mut options = ConnectorOptions::new(1);
    // Reading the platform's roots takes a while, and panics where there are none.
    options.ca_file = sections.iter().all(own_ca).then(|| "/dev/null".into());
    Connector::new(Some(options))
}

/// The time limits of a request, none of them beyond the turn of the next probe; `total` is that
/// of the whole probe.
fn patience(health: &Health, limits: Timeouts) -> Timeouts {
    let total = limits.connect.saturating_add(limits.first_byte).min(health.every);
    Timeouts { total, ..limits }
}

// === impl Probe ===

impl Probe {
    /// Asks.
    ///
    /// # Errors
    /// Why the answer is none or a bad one, in words for people.
    pub async fn ask(&self) -> Result<(), String> {
        let until = Instant::now() + self.timeouts.total;
        let late = |_| format!("no answer within {:?}", self.timeouts.total);
        let address = timeout_at(until, self.host.address()).await.map_err(late)?;
        let address = address.ok_or("its name does not resolve")?;
        let way = self.wire.way(&self.host, false);
        let mut peer = self.wire.peer(&self.host, address, &way, None);
        limit(&mut peer, self.timeouts, self.timeouts.total);
        peer.options.max_h2_streams = 1;
        let connected = timeout_at(until, self.connector.get_http_session(&peer)).await;
        if !matches!(connected, Ok(Ok(_))) {
            self.host.forget_address();
        }
        let (mut session, _) = connected.map_err(late)?.map_err(|error| words(&error))?;
        let status = timeout_at(until, self.exchange(&mut session, &way)).await;
        let status = status.map_err(late)?.map_err(|error| words(&error))?;
        // Whatever comes of it, the host has answered.
        let _ = timeout_at(until, leave(session)).await;
        match status.is_success() || status.is_redirection() {
            true => Ok(()),
            false => Err(format!("status {}", status.as_u16())),
        }
    }

    /// The question, up to the head of the answer. It carries no key and nothing of any client.
    async fn exchange(&self, session: &mut HttpSession, way: &Way) -> Result<StatusCode> {
        let mut request = RequestHeader::build("GET", self.path.as_str().as_bytes(), None)?;
        request.insert_header(header::USER_AGENT, AGENT)?;
        request.insert_header(header::ACCEPT, "*/*")?;
        match session {
            HttpSession::H2(h2) => {
                request.set_uri(self.uri()?);
                h2.write_request_header(Box::new(request), true)?;
            }
            _ => {
                way.aim(&mut request, &self.host, self.path.as_str())?;
                request.insert_header(header::HOST, &self.host.authority)?;
                request.insert_header(header::CONNECTION, "close")?;
                session.write_request_header(Box::new(request)).await?;
                session.finish_request_body().await?;
            }
        }
        loop {
            session.read_response_header().await?;
            let status = session.response_header().map(|head| head.status).unwrap_or_default();
            if !status.is_informational() {
                return Ok(status);
            }
        }
    }

    /// As h2 wants it: with scheme and authority.
    fn uri(&self) -> Result<Uri> {
        let uri = Uri::builder()
            .scheme(if self.host.tls { "https" } else { "http" })
            .authority(self.host.authority.as_str())
            .path_and_query(self.path.clone());
        uri.build().map_err(|why| {
            Error::because(pingora::ErrorType::InvalidHTTPHeader, "no address for h2", why)
        })
    }
}

/// Hears the host out, and hangs up.
async fn leave(mut session: HttpSession) {
    let mut heard = 0;
    while heard < POLITE
        && let Ok(Some(piece)) = session.read_response_body().await
    {
        heard += piece.len();
    }
    session.shutdown().await;
}
