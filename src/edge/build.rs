//! What the edge is made of: the rooms, and what it keeps of its own for each route and upstream.

use std::sync::Arc;

use super::hear::Bodies;
use super::recall::Canned;
use super::recall::errand::Errands;
use super::shield::Shield;
use super::wire::Wire;
use crate::cache::Shelf;
use crate::chatlog::ChatLog;
use crate::config::{self, Access, Rate, RetryOn, Server};
use crate::drain::Drain;
use crate::limit::Limiter;
use crate::metrics::{Metrics, RouteMetrics};
use crate::pace::Paces;
use crate::pool::Upstream;
use crate::retry::{On, Policy};
use crate::route::Routes;
use crate::user::Users;

/// The public side of aifd: everything a request needs, shared by all of them.
pub struct Edge {
    pub(super) server: Server,
    pub(super) access: Access,
    /// `None` when it is off.
    pub(super) shield: Option<Shield>,
    pub(super) users: Arc<Users>,
    pub(super) limiter: Limiter,
    pub(super) paces: Paces,
    pub(super) routes: Routes,
    /// By the route's index.
    pub(super) counters: Vec<RouteMetrics>,
    /// Of requests without a route.
    pub(super) strays: RouteMetrics,
    pub(super) upstreams: Arc<[Upstream]>,
    /// By the upstream's index.
    pub(super) wires: Vec<Arc<Wire>>,
    /// By the upstream's index.
    pub(super) policies: Vec<Arc<Policy>>,
    pub(super) chat_log: Option<ChatLog>,
    pub(super) metrics: Metrics,
    pub(super) bodies: Bodies,
    pub(super) drain: Drain,
    /// The answer cache, when it is on.
    pub(super) shelf: Option<Arc<Shelf>>,
    /// The answers of the benchmark route.
    pub(super) canned: Canned,
    /// How calls go out that are nobody's own.
    pub errands: Errands,
}

/// The rooms the edge introduces to each other.
pub struct Rooms {
    /// Sizes and times of the client's side.
    pub server: Server,
    /// Who may come in.
    pub access: Access,
    /// What an address may send without a known key; `None` for anything.
    pub shield: Option<Rate>,
    /// Whose keys are known.
    pub users: Arc<Users>,
    /// How much each of them may do.
    pub limiter: Limiter,
    /// How fast streams may go.
    pub paces: Paces,
    /// Which path goes where.
    pub routes: Routes,
    /// The upstreams, in the order of the configuration.
    pub upstreams: Arc<[Upstream]>,
    /// The chat log, when it is on.
    pub chat_log: Option<ChatLog>,
    /// The answer cache, when it is on.
    pub shelf: Option<Arc<Shelf>>,
    /// The count of requests under way.
    pub drain: Drain,
    /// Where everything is counted.
    pub metrics: Metrics,
}

// === impl Edge ===

impl Edge {
    /// # Errors
    /// When an upstream's CA file cannot be used.
    pub fn build(rooms: Rooms, sections: &[config::Upstream]) -> anyhow::Result<Self> {
        let metrics = &rooms.metrics;
        let wires = sections.iter().zip(rooms.upstreams.iter()).enumerate();
        let wires = wires
            .map(|(index, (section, upstream))| {
                Wire::build(section, index, upstream.hosts(), metrics).map(Arc::new)
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            counters: rooms.routes.prefixes().map(|prefix| metrics.route(prefix)).collect(),
            strays: metrics.route("none"),
            bodies: Bodies::new(&rooms.server),
            server: rooms.server,
            access: rooms.access,
            shield: rooms.shield.map(Shield::new),
            users: rooms.users,
            limiter: rooms.limiter,
            paces: rooms.paces,
            routes: rooms.routes,
            upstreams: rooms.upstreams,
            wires,
            policies: sections.iter().map(|section| Arc::new(policy(&section.retry))).collect(),
            chat_log: rooms.chat_log,
            metrics: rooms.metrics.clone(),
            drain: rooms.drain,
            shelf: rooms.shelf,
            canned: Canned::default(),
            errands: Errands::default(),
        })
    }
}

fn policy(section: &config::Retry) -> Policy {
    let on = section.on.iter().map(|on| match on {
        RetryOn::Connect => On::Connect,
        RetryOn::Reset => On::Reset,
        RetryOn::Timeout => On::Timeout,
        RetryOn::Status(status) => On::Status(*status),
    });
    Policy { attempts: section.attempts, on: on.collect(), backoff: section.backoff }
}
