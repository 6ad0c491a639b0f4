//! The upstreams: which host the next attempt goes to, with which key, at which address.
//!
//! Why one function ([`Upstream::pick`]): balancing, health and bounds all live behind it. What a
//! request holds of a host is a [`Load`], given back by its `Drop`, so that it cannot leak.

mod names;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use std::net::SocketAddr;

use crate::config;
use crate::secret::Secret;
use names::Names;

/// One upstream: hosts that serve the same models.
#[derive(Debug)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Timeouts of each call.
    pub timeouts: config::Timeouts,
    hosts: Vec<Arc<Host>>,
    keys: Vec<Secret>,
    next_host: AtomicUsize,
    next_key: AtomicUsize,
}

/// One host.
#[derive(Debug)]
pub struct Host {
    /// `host:port`, as shown in logs and status.
    pub label: String,
    /// `Host` header: without the port when it is the scheme's own.
    pub authority: String,
    /// Name for SNI and certificate check.
    pub sni: String,
    /// https.
    pub tls: bool,
    /// Path in front of each request's own; empty for none.
    pub base_path: String,
    names: Names,
    in_flight: AtomicUsize,
}

/// A place at a host, held by one attempt.
#[derive(Debug)]
pub struct Load {
    host: Arc<Host>,
}

/// Where one attempt goes.
#[derive(Debug)]
pub struct Pick {
    /// The host and the place on it.
    pub load: Load,
    /// The address to connect to.
    pub address: SocketAddr,
}

/// No host of the upstream could be named.
#[derive(Debug, thiserror::Error)]
#[error("no host name of upstream `{0}` could be resolved")]
pub struct Unresolved(pub String);

// === impl Upstream ===

impl Upstream {
    /// Takes one `[[upstream]]`.
    #[must_use]
    pub fn build(section: &config::Upstream) -> Self {
        let hosts =
            section.hosts.iter().map(|host| Arc::new(Host::build(host, section.timeouts.connect)));
        Self {
            name: section.name.clone(),
            timeouts: section.timeouts,
            hosts: hosts.collect(),
            keys: section.keys.clone(),
            next_host: AtomicUsize::new(0),
            next_key: AtomicUsize::new(0),
        }
    }

    /// The next host in turn that was not tried yet, and its address.
    ///
    /// # Errors
    /// [`Unresolved`] when no name of an untried host resolves (or none is left).
    pub async fn pick(&self, tried: &[Arc<Host>]) -> Result<Pick, Unresolved> {
        let start = self.next_host.fetch_add(1, Ordering::Relaxed);
        for step in 0..self.hosts.len() {
            let host = &self.hosts[(start.wrapping_add(step)) % self.hosts.len()];
            if tried.iter().any(|other| Arc::ptr_eq(other, host)) {
                continue;
            }
            if let Some(address) = host.names.address().await {
                return Ok(Pick { load: Load::on(host), address });
            }
        }
        Err(Unresolved(self.name.clone()))
    }

    /// The same host again, for a request whose connection had been stale.
    ///
    /// # Errors
    /// [`Unresolved`] when its name does not resolve any more.
    pub async fn pick_again(&self, host: &Arc<Host>) -> Result<Pick, Unresolved> {
        match host.names.address().await {
            Some(address) => Ok(Pick { load: Load::on(host), address }),
            None => Err(Unresolved(self.name.clone())),
        }
    }

    /// The next key in strict rotation; `None` when the upstream has none.
    pub fn next_key(&self) -> Option<&Secret> {
        if self.keys.is_empty() {
            return None;
        }
        let turn = self.next_key.fetch_add(1, Ordering::Relaxed);
        Some(&self.keys[turn % self.keys.len()])
    }

    /// Its hosts, in the order of the configuration.
    #[must_use]
    pub fn hosts(&self) -> &[Arc<Host>] {
        &self.hosts
    }

    /// How many keys it has.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }
}

// === impl Host ===

impl Host {
    fn build(section: &config::Host, patience: std::time::Duration) -> Self {
        let bracketed = match section.host.contains(':') {
            true => format!("[{}]", section.host),
            false => section.host.clone(),
        };
        let own_port = if section.tls { 443 } else { 80 };
        let label = format!("{bracketed}:{}", section.port);
        Self {
            authority: if section.port == own_port { bracketed } else { label.clone() },
            label,
            sni: section.host.clone(),
            tls: section.tls,
            base_path: section.base_path.clone(),
            names: Names::of(&section.host, section.port, patience),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// Attempts under way on it.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The address did not answer: the next pick takes another one, freshly resolved if it can be.
    pub fn forget_address(&self) {
        self.names.forget();
    }
}

// === impl Load ===

impl Load {
    fn on(host: &Arc<Host>) -> Self {
        host.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { host: Arc::clone(host) }
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.host.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
