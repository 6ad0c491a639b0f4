//! How a host is spoken to: TLS, HTTP version, CA, timeouts, in Pingora's terms.
//!
//! The trap: Pingora's key of pooled connections knows neither ALPN nor CA, nor where a tunnel leads,
//! so each upstream has a group of its own ([`Wire::group`]), and each way of it a mark; two
//! upstreams on one address must never share a connection.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use pingora::protocols::tls::CaType;
use pingora::tls::RootCertStore;
use pingora::upstreams::peer::{ALPN, HttpPeer};
use pingora::utils::tls::{WrappedX509, parse_x509};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::tap::lend::Client;
use crate::config::{HttpVersion, Timeouts, Upstream};
use crate::metrics::{HostMetrics, Metrics};
use crate::pool::Host;
use dial::Dial;
use idle::Idle;
use way::Proxied;

mod dial;
mod idle;
mod probe;
mod tunnel;
mod way;

pub(super) use idle::Line;
pub use probe::Probe;
pub(super) use way::Way;

/// What Pingora must know of an upstream beyond its hosts.
pub(super) struct Wire {
    alpn: ALPN,
    ca: Option<Arc<CaType>>,
    keepalive: Duration,
    /// Its lower half is for the mark of a way.
    group: u64,
    proxied: Option<Proxied>,
    /// In the order of the upstream's hosts.
    idle: Vec<Arc<Idle>>,
    /// In the order of the upstream's hosts.
    pub(super) hosts: Vec<HostMetrics>,
}

/// Streams of one h2 connection to a host.
const H2_STREAMS: usize = 100;

// === impl Wire ===

impl Wire {
    /// # Errors
    /// When the CA file holds no readable certificate.
    pub(super) fn build(
        section: &Upstream,
        index: usize,
        hosts: &[Arc<Host>],
        metrics: &Metrics,
    ) -> anyhow::Result<Self> {
        let counters = hosts.iter().map(|host| metrics.host(&section.name, &host.label));
        Ok(Self {
            alpn: alpn(section.http, hosts.iter().any(|host| host.tls)),
            ca: section.ca.as_deref().map(read_ca).transpose()?,
            keepalive: section.keepalive.idle,
            group: (index as u64 + 1) << 32,
            proxied: Proxied::build(section, hosts),
            idle: hosts.iter().map(|_| Idle::up_to(section.keepalive.max)).collect(),
            hosts: counters.collect(),
        })
    }

    /// The way to a host; `upgrades`: the request would make something else of its connection.
    pub(super) fn way(&self, host: &Host, upgrades: bool) -> Way {
        self.proxied.as_ref().map_or(Way::Straight, |proxied| proxied.way(host, upgrades))
    }

    /// The peer for one attempt, without time limits yet; `address` is the proxy's where there is
    /// one on the way. `client` is watched while a connection is made.
    pub(super) fn peer(
        &self,
        host: &Host,
        address: SocketAddr,
        way: &Way,
        client: Option<Client>,
    ) -> HttpPeer {
        let mut peer = HttpPeer::new(address, host.tls, host.sni.clone());
        peer.group_key = self.group | way.mark(host);
        peer.options.alpn = self.alpn.clone();
        peer.options.ca = self.ca.clone();
        peer.options.max_h2_streams = H2_STREAMS;
        peer.options.idle_timeout = Some(self.keepalive);
        let tunnel = way.tunnel();
        peer.options.custom_l4 = Some(Arc::new(Dial { client, tunnel, tls: host.tls }));
        peer
    }

    /// Takes part in the count of the connections to a host, for an attempt with this peer.
    pub(super) fn line(&self, host: &Host, peer: &mut HttpPeer) -> Line {
        self.idle[host.at].line(peer)
    }
}

/// The time limits of one attempt; what is left of the whole call bounds them all. The tap owns
/// first byte and idle; Pingora's own limit is for sessions without a tap.
pub(super) fn limit(peer: &mut HttpPeer, limits: Timeouts, left: Duration) {
    let connect = limits.connect.min(left);
    let read = limits.first_byte.max(limits.idle) + Duration::from_secs(1);
    peer.options.connection_timeout = Some(connect);
    peer.options.total_connection_timeout = Some(connect);
    peer.options.read_timeout = Some(read);
    peer.options.write_timeout = Some(limits.idle);
}

fn alpn(http: HttpVersion, tls: bool) -> ALPN {
    match (http, tls) {
        (HttpVersion::Http2, _) => ALPN::H2,
        (HttpVersion::Auto, true) => ALPN::H2H1,
        (HttpVersion::Auto, false) | (HttpVersion::Http1, _) => ALPN::H1,
    }
}

/// Reads a CA file twice: webpki judges it, so that Pingora's own parser, which panics, need not.
fn read_ca(path: &Path) -> anyhow::Result<Arc<CaType>> {
    let shown = path.display();
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("{shown}: not a PEM file of certificates"))?;
    anyhow::ensure!(!certificates.is_empty(), "{shown}: holds no certificate");
    let mut judged = RootCertStore::empty();
    let mut wrapped = Vec::new();
    for certificate in certificates {
        wrapped.push(WrappedX509::new(certificate.to_vec(), parse_x509));
        judged.add(certificate).with_context(|| format!("{shown}: an unusable certificate"))?;
    }
    Ok(wrapped.into())
}
