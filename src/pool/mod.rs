//! The upstreams: which host the next attempt goes to, with which key, at which address.
//!
//! Why one function ([`Upstream::pick`]): balancing, health and bounds all live behind it. What a
//! request holds of a host is a [`Load`], given back by its `Drop`, so that it cannot leak.
//!
//! - `slots`: places on hosts, the queue; one lock around `desk`, which decides who goes where.
//! - `balance`, by `speed` and `doubt`: the better host.
//! - `health`, by `window` and `probes`: the hosts that may be used.
//! - `pace`: how soon a place comes free. `keys`: whose turn it is. `names`: addresses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config;
use keys::{Keys, NoKey};
use names::Names;
use slots::Slots;

mod balance;
mod desk;
mod doubt;
mod health;
mod host;
mod keys;
mod load;
mod names;
mod pace;
mod probes;
mod slots;
mod speed;
mod window;

#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tests;

pub use host::{Host, HostState, HostView};
pub use keys::{Lease, Why};
pub use load::{Blame, Load, Outcome};

/// One upstream: hosts that serve the same models.
#[derive(Debug)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Timeouts of each call.
    pub timeouts: config::Timeouts,
    hosts: Vec<Arc<Host>>,
    slots: Arc<Slots>,
    keys: Arc<Keys>,
}

/// Where one attempt goes.
#[derive(Debug)]
pub struct Pick {
    /// The host and the place on it.
    pub load: Load,
    /// The address to connect to: the proxy's where there is one.
    pub address: SocketAddr,
    /// The key to put in; `None` when the upstream has none, or none was asked for.
    pub key: Option<Lease>,
}

/// Why an attempt goes nowhere. Each time is from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoHost {
    /// No name of a host that is left could be resolved.
    #[error("no host name could be resolved")]
    Unresolved,
    /// Every host was tried.
    #[error("every host was tried")]
    NoneLeft,
    /// All hosts are full, and so is the queue.
    #[error("all hosts are full, and so is the queue")]
    QueueFull {
        /// When it would have its turn.
        retry_after: Duration,
    },
    /// All hosts stayed full for as long as a request may wait.
    #[error("all hosts stayed full")]
    QueueSlow {
        /// When it would have its turn.
        retry_after: Duration,
    },
    /// Every host that is left asked to be left alone.
    #[error("every host asked to be left alone")]
    Resting {
        /// When the first one may be asked again.
        retry_after: Duration,
    },
    /// The upstream has keys, and none for the level of the caller.
    #[error("no key is for level {level}")]
    NoKeyFor {
        /// The level.
        level: u32,
    },
    /// No key can be used.
    #[error("no key can be used: {why}")]
    KeysResting {
        /// Why the first one to wake rests.
        why: Why,
        /// When it wakes.
        retry_after: Duration,
    },
}

// === impl Upstream ===

impl Upstream {
    /// Takes all `[[upstream]]`s. Those with the same keys take turns together: a key is an account
    /// with limits of its own, wherever it is used.
    #[must_use]
    pub fn build_all(sections: &[config::Upstream]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::with_capacity(sections.len());
        for section in sections {
            let same = sections.iter().zip(&all).find(|(other, _)| other.keys == section.keys);
            let keys = same.map_or_else(|| Keys::of(&section.keys), |(_, it)| it.keys.elsewhere());
            all.push(Self::with(section, keys));
        }
        all
    }

    #[cfg(test)]
    pub(crate) fn build(section: &config::Upstream) -> Self {
        Self::with(section, Keys::of(&section.keys))
    }

    fn with(section: &config::Upstream, keys: Arc<Keys>) -> Self {
        let slots = Slots::of(section);
        let patience = section.timeouts.connect;
        // One for all hosts: it is the same proxy, looked up once.
        let proxy = section.proxy.as_ref();
        let proxy = proxy.map(|proxy| Names::of(&proxy.host, proxy.port, patience));
        let host = |at| Arc::new(Host::build(section, at, &slots, proxy.as_ref()));
        Self {
            name: section.name.clone(),
            timeouts: section.timeouts,
            hosts: (0..section.hosts.len()).map(host).collect(),
            keys,
            slots,
        }
    }

    /// A host that was not tried yet, its address, and a key for callers of this level. Waits in the
    /// queue while all of them are full; whoever drops the future leaves the queue at once.
    ///
    /// # Errors
    /// [`NoHost`] says why there is none.
    pub async fn pick(&self, tried: &[Arc<Host>], level: u32) -> Result<Pick, NoHost> {
        let none = |no_key| NoHost::without(no_key, level);
        self.keys.check(level).map_err(none)?;
        let mut pick = self.pick_keyless(tried).await?;
        pick.key = self.keys.lend(level).map_err(none)?;
        Ok(pick)
    }

    /// Like [`Upstream::pick`], for a caller who brings a key.
    ///
    /// # Errors
    /// [`NoHost`] says why there is none; never that it is the key.
    pub async fn pick_keyless(&self, tried: &[Arc<Host>]) -> Result<Pick, NoHost> {
        let mut left_out: Vec<usize> = tried.iter().map(|host| host.at).collect();
        let mut unresolved = false;
        loop {
            let slot = match self.slots.enter(&left_out).await {
                Err(NoHost::NoneLeft) if unresolved => return Err(NoHost::Unresolved),
                entered => entered?,
            };
            let mut load = Load::new(&self.hosts[slot.at()], slot);
            if let Some(address) = load.host().address().await {
                return Ok(Pick { load, address, key: None });
            }
            unresolved = true;
            left_out.push(load.host().at);
            load.report(Outcome::Failed(Blame::Connect));
        }
    }

    /// The same host again, full or not, for a request whose connection had been stale. The key of
    /// the attempt before still holds.
    ///
    /// # Errors
    /// [`NoHost::Unresolved`] when its name does not resolve any more.
    pub async fn pick_again(&self, host: &Arc<Host>) -> Result<Pick, NoHost> {
        let load = Load::new(host, self.slots.enter_again(host.at));
        match host.address().await {
            Some(address) => Ok(Pick { load, address, key: None }),
            None => Err(NoHost::Unresolved),
        }
    }

    /// Its hosts, in the order of the configuration.
    #[must_use]
    pub fn hosts(&self) -> &[Arc<Host>] {
        &self.hosts
    }

    /// How many requests wait for a place.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.slots.desk().waiting()
    }

    /// How many keys it has.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.keys.count()
    }

    /// How many of its keys are for a level, and how many of those are awake.
    #[must_use]
    pub fn keys_of(&self, level: u32) -> (usize, usize) {
        self.keys.of_level(level)
    }

    /// How many of its keys rest now.
    #[must_use]
    pub fn keys_resting(&self) -> usize {
        self.keys.resting()
    }
}

// === impl NoHost ===

impl NoHost {
    /// When trying again makes sense, if that is known.
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Unresolved | Self::NoneLeft | Self::NoKeyFor { .. } => None,
            Self::QueueFull { retry_after }
            | Self::QueueSlow { retry_after }
            | Self::Resting { retry_after }
            | Self::KeysResting { retry_after, .. } => Some(retry_after),
        }
    }

    fn without(no_key: NoKey, level: u32) -> Self {
        match no_key {
            NoKey::ForLevel => Self::NoKeyFor { level },
            NoKey::AllRest { why, left } => Self::KeysResting { why, retry_after: left },
        }
    }
}
