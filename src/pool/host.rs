//! One host as the others see it: how it is addressed, and how it is.

use std::sync::Arc;
use std::time::Duration;

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
    pub(super) fn build(
        section: &config::Host,
        patience: Duration,
        slots: &Arc<Slots>,
        at: usize,
    ) -> Self {
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
            at,
            slots: Arc::clone(slots),
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

    /// The address to connect to now; `None` when its name does not resolve.
    pub async fn address(&self) -> Option<std::net::SocketAddr> {
        self.names.address().await
    }

    /// The address did not answer: the next pick takes another one, freshly resolved if it can be.
    pub fn forget_address(&self) {
        self.names.forget();
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
