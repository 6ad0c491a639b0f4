//! Where a request goes: path to route, route to host, and after a failure perhaps to another one.
//!
//! Why the address is ours: the host comes from the configuration alone, its name is resolved by
//! the pool, and Pingora gets a socket address, so nothing a request says can choose a host.

use std::sync::Arc;
use std::time::Duration;

use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use tokio::time::Instant;

use super::Edge;
use super::ctx::{Aim, Ctx, InFlight};
use super::relay::Answer;
use super::tap::lend::{Lent, unless_left};
use super::wire::{self, Way};
use crate::config::Kind;
use crate::pool::{Host, Lease, Load, NoHost, Pick, Upstream, Why};
use crate::refusal::Refusal;
use crate::route::{merged, refuse_path};

/// The attempts of one request at its upstream.
#[derive(Default)]
pub(super) struct Attempts {
    /// The place at the host of the attempt under way.
    pub(super) load: Option<Load>,
    /// Its connection.
    pub(super) line: Option<wire::Line>,
    /// The upstream's key for it.
    pub(super) key: Option<Lease>,
    /// How the attempt under way gets there.
    pub(super) way: Way,
    /// Attempts begun.
    pub(super) count: u32,
    /// Hosts that failed.
    pub(super) tried: Vec<Arc<Host>>,
    /// When the attempt under way began.
    pub(super) begun: Option<Instant>,
    /// Free retries spent on stale connections.
    pub(super) stale: u32,
    /// Whether and how there is another attempt.
    pub(super) again: Option<Again>,
}

/// So long a connection that was shut may still be in the pool.
const MOMENT: Duration = Duration::from_millis(1);

/// How the next attempt begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// At the same host, with the same key: its connection had been closed before.
    Stale,
    /// Anywhere, after a wait.
    After(Duration),
}

impl Edge {
    /// Path to route. The path is taken as it stands on the wire, so that it can leave unchanged.
    pub(super) fn aim(&self, session: &Session, ctx: &mut Ctx) -> Result<(), Refusal> {
        let request = session.req_header();
        let target = target(request).ok_or_else(|| Refusal::bad_path("is not UTF-8"))?;
        let path = &target[..target.find('?').unwrap_or(target.len())];
        refuse_path(path).map_err(Refusal::bad_path)?;
        let Some((route, rest)) = self.routes.find(path) else {
            return Err(Refusal::no_route(request.method.as_str(), path));
        };
        ctx.aim = Some(Aim {
            route: route.index,
            prefix: Arc::clone(&route.prefix),
            upstream: route.upstream,
            kind: route.kind,
            streaming: route.streaming,
            rest: target[path.len() - rest.len()..].to_owned(),
            _in_flight: Some(InFlight::enter(&self.counters[route.index].in_flight)),
        });
        Ok(())
    }

    /// Route to host, for the next attempt; waits first when the last one asked for that.
    pub(super) async fn peer(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        ctx.stage("peer");
        let (Some(aim), Some(pulse)) = (&ctx.aim, &ctx.tap.pulse) else {
            return Error::e_explain(ErrorType::InternalError, "a request without a route");
        };
        let (upstream, wire) = (&self.upstreams[aim.upstream], &self.wires[aim.upstream]);
        let upgrades = session.is_upgrade_req();
        // Only a body that is held leaves the client's side free to be watched.
        let watched = ctx.heard.body.is_some();
        let client = watched.then_some(&mut *session.downstream_session);
        pulse.wait();
        let picked =
            unless_left(client, ctx.attempts.next(upstream, ctx.caller.wants_key())).await?;
        let Picked { pick, holds_key } = match picked {
            Ok(picked) => picked,
            Err(none) => {
                ctx.tap.refusal = Some(refusal(none, &upstream.name));
                return Error::e_explain(ErrorType::ConnectError, none.to_string());
            }
        };
        ctx.tap.lent = watched.then(|| Lent::take(session));
        let client = ctx.tap.lent.as_ref().map(Lent::client);
        let host = pick.load.host();
        let way = wire.way(host, upgrades);
        let mut peer = wire.peer(host, pick.address, &way, client);
        wire::limit(&mut peer, upstream.timeouts, pulse.left());
        ctx.attempts.line = Some(wire.line(host, &mut peer));
        ctx.via(&host.label);
        ctx.attempts.begin(pick, holds_key, way);
        // What was noted of an answer that was thrown away.
        ctx.answer = Answer::default();
        Ok(Box::new(peer))
    }
}

/// Path and query as they came; `None` for what is no text.
fn target(request: &RequestHeader) -> Option<&str> {
    match std::str::from_utf8(request.raw_path()) {
        Ok(target) if target.starts_with('/') => Some(target),
        // An absolute-form target (RFC 9112, 3.2.2): its host chooses nothing here.
        Ok(_) => Some(request.uri.path_and_query().map_or("*", |target| target.as_str())),
        Err(_) => None,
    }
}

/// Gives a request the path that it stands for where runs of `/` are one.
pub(super) fn merge_slashes(request: &mut RequestHeader) -> Result<()> {
    let Some(target) = target(request) else { return Ok(()) };
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let Some(path) = merged(path) else { return Ok(()) };
    let target = path + query;
    request.set_raw_path(target.as_bytes())
}

impl Attempts {
    /// Waits as long as the last attempt's verdict says, then for a place at a host.
    async fn next(&mut self, upstream: &Upstream, level: Option<u32>) -> Result<Picked, NoHost> {
        let verdict = self.again.take();
        let held = self.load.take();
        // What is left of its connection is idle, however long the wait.
        if self.line.take().is_some_and(|line| line.was_shut()) {
            // There may be more of them; in a moment Pingora will have seen the end of them all.
            tokio::time::sleep(MOMENT).await;
        }
        let same = match verdict {
            Some(Again::Stale) => held,
            Some(Again::After(wait)) => {
                drop(held);
                tokio::time::sleep(wait).await;
                None
            }
            None => None,
        };
        // A call takes one turn, however often it is sent, unless its key is what was wrong.
        let holds_key = self.key.as_ref().is_some_and(|key| same.is_some() || !key.rests());
        let picked = match (same, level) {
            (Some(load), _) => upstream.pick_again(load.host()).await,
            (None, Some(level)) if !holds_key => upstream.pick(&self.tried, level).await,
            (None, _) => upstream.pick_keyless(&self.tried).await,
        };
        picked.map(|pick| Picked { pick, holds_key })
    }

    fn begin(&mut self, pick: Pick, holds_key: bool, way: Way) {
        self.way = way;
        self.count += 1;
        self.begun = Some(Instant::now());
        if !holds_key {
            self.key = pick.key;
        }
        self.load = Some(pick.load);
    }
}

/// A place at a host; `holds_key`: for the key of the attempt before.
struct Picked {
    pick: Pick,
    holds_key: bool,
}

/// What a client is told when there is no host for it.
fn refusal(none: NoHost, upstream: &str) -> Refusal {
    match none {
        NoHost::Unresolved | NoHost::NoneLeft => Refusal::unresolved(upstream),
        NoHost::QueueFull { retry_after } | NoHost::QueueSlow { retry_after } => {
            Refusal::busy(upstream, retry_after)
        }
        NoHost::Resting { retry_after } | NoHost::KeysResting { why: Why::Busy, retry_after } => {
            Refusal::rate_limited(upstream, retry_after)
        }
        NoHost::KeysResting { why: Why::Quota, retry_after } => {
            Refusal::quota(upstream, retry_after)
        }
        NoHost::NoKeyFor { level } => Refusal::no_key_for(upstream, level),
        NoHost::KeysResting { why: Why::Refused | Why::Barred, .. } => {
            Refusal::key_refused(upstream)
        }
    }
}

impl Aim {
    /// Whether its calls are written to the chat log.
    pub(super) fn is_logged(&self) -> bool {
        self.kind == Kind::Openai
    }
}
