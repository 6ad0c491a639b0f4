//! One host as the others see it: how it is addressed, and how it is.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::time::Instant;

use super::health::Standing;
use super::names::Names;
use super::slots::Slots;
use crate::config;

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
    /// `host:port` of the proxy on the way to it, if any.
    pub proxy: Option<String>,
    /// Its place among the hosts of its upstream, from 0.
    pub at: usize,
    pub(super) names: Names,
    slots: Arc<Slots>,
}

/// How a host is at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostView {
    /// `host:port`.
    pub label: String,
    /// https.
    pub tls: bool,
    /// Attempts under way.
    pub in_flight: usize,
    /// Whether it is used.
    pub state: HostState,
    /// When that state began.
    pub since: Instant,
    /// The smoothed time to its first byte, milliseconds; `None` before the first answer.
    pub first_byte_ms: Option<u64>,
}

/// Whether a host is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostState {
    /// It is.
    Up,
    /// It failed and is left out.
    Ejected,
    /// It was left out, and one request tries it.
    Trial,
    /// It asked to be left alone for a while.
    Resting,
    /// Its probes fail.
    Down,
}

// === impl Host ===

impl Host {
    /// `proxy`: whom to connect to in its stead. Then its own name is the proxy's to resolve; here
    /// it may mean nothing, or something else.
    pub(super) fn build(
        upstream: &config::Upstream,
        at: usize,
        slots: &Arc<Slots>,
        proxy: Option<&Names>,
    ) -> Self {
        let section = &upstream.hosts[at];
        let own_port = if section.tls { 443 } else { 80 };
        let label = format!("{}:{}", bracketed(&section.host), section.port);
        let own = || Names::of(&section.host, section.port, upstream.timeouts.connect);
        let authority =
            |proxy: &config::Proxy| format!("{}:{}", bracketed(&proxy.host), proxy.port);
        Self {
            authority: match section.port == own_port {
                true => bracketed(&section.host).into_owned(),
                false => label.clone(),
            },
            label,
            sni: section.host.clone(),
            tls: section.tls,
            base_path: section.base_path.clone(),
            proxy: upstream.proxy.as_ref().map(authority),
            names: proxy.cloned().unwrap_or_else(own),
            at,
            slots: Arc::clone(slots),
        }
    }

    /// Its label, and the proxy on the way to it: for whoever has to find out which one is down.
    #[must_use]
    pub fn with_proxy(&self) -> Cow<'_, str> {
        match &self.proxy {
            Some(proxy) => Cow::Owned(format!("{} through the proxy {proxy}", self.label)),
            None => Cow::Borrowed(&self.label),
        }
    }

    /// Attempts under way on it.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.slots.desk().hosts[self.at].in_flight
    }

    /// How it is now.
    #[must_use]
    pub fn view(&self) -> HostView {
        let now = Instant::now();
        let desk = self.slots.desk();
        let place = &desk.hosts[self.at];
        HostView {
            label: self.label.clone(),
            tls: self.tls,
            in_flight: place.in_flight,
            state: place.health.standing(now).into(),
            since: place.health.since(now),
            first_byte_ms: place.speed.first_byte().map(|seconds| (seconds * 1000.0) as u64),
        }
    }

    /// Takes the result of an active probe.
    pub fn probed(&self, good: bool) {
        let at = self.at;
        let state = |desk: &super::desk::Desk, now| desk.hosts[at].health.standing(now);
        let (before, after) = self.slots.changed(|desk, now| {
            let before = state(desk, now);
            desk.hosts[at].health.probed(good, now);
            (before, state(desk, now))
        });
        match (before, after) {
            (Standing::Down, Standing::Down) => {}
            (_, Standing::Down) => log::warn!("{}: down, its probes fail", self.label),
            (Standing::Down, _) => log::info!("{}: its probes are good again", self.label),
            _ => {}
        }
    }

    /// The address to connect to now, the proxy's where there is one; `None` when that name does not
    /// resolve.
    pub async fn address(&self) -> Option<std::net::SocketAddr> {
        self.names.address().await
    }

    /// The address did not answer: the next pick takes another one, freshly resolved if it can be.
    pub fn forget_address(&self) {
        self.names.forget();
    }
}

/// As it stands in front of a port.
fn bracketed(host: &str) -> Cow<'_, str> {
    match host.contains(':') {
        true => Cow::Owned(format!("[{host}]")),
        false => Cow::Borrowed(host),
    }
}

// === impl HostState ===

impl HostState {
    /// As it is shown: one lower-case word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Ejected => "ejected",
            Self::Trial => "trial",
            Self::Resting => "resting",
            Self::Down => "down",
        }
    }
}

impl From<Standing> for HostState {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Up => Self::Up,
            Standing::Due | Standing::Ejected => Self::Ejected,
            Standing::Trial => Self::Trial,
            Standing::Resting(_) => Self::Resting,
            Standing::Down => Self::Down,
        }
    }
}
