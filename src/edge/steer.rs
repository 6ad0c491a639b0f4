//! Where a request goes: path to route, route to host, and after a failure perhaps to another one.
//!
//! Why the address is ours: the host comes from the configuration alone, its name is resolved by
//! the pool, and Pingora gets a socket address, so nothing a request says can choose a host.

use std::sync::Arc;

use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::ctx::{Aim, Ctx, InFlight};
use super::ended::answered;
use super::{Edge, wire};
use crate::config::Kind;
use crate::pool::{Host, Load};
use crate::refusal::Refusal;
use crate::retry::{self, Attempt, Failure, Verdict};
use crate::route::refuse_path;

/// The attempts of one request at its upstream.
#[derive(Default)]
pub(super) struct Attempts {
    /// The place at the host of the attempt under way.
    pub(super) load: Option<Load>,
    /// Attempts begun.
    pub(super) count: u32,
    /// Hosts that failed.
    tried: Vec<Arc<Host>>,
    stale: u32,
    again: Option<Verdict>,
}

impl Edge {
    /// Path to route. The path is taken as it stands on the wire, so that it can leave unchanged.
    pub(super) fn aim(&self, session: &Session, ctx: &mut Ctx) -> Result<(), Refusal> {
        let request = session.req_header();
        let target = match std::str::from_utf8(request.raw_path()) {
            Ok(target) if target.starts_with('/') => target,
            // An absolute-form target (RFC 9112, 3.2.2): its host chooses nothing here.
            Ok(_) => request.uri.path_and_query().map_or("*", |target| target.as_str()),
            Err(_) => return Err(Refusal::bad_path("is not UTF-8")),
        };
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        refuse_path(path).map_err(Refusal::bad_path)?;
        let Some((route, rest)) = self.routes.find(path) else {
            return Err(Refusal::no_route(request.method.as_str(), path));
        };
        ctx.aim = Some(Aim {
            route: route.index,
            prefix: route.prefix.clone(),
            upstream: route.upstream,
            kind: route.kind,
            rest: format!("{rest}{query}"),
            _in_flight: InFlight::enter(&self.counters[route.index].in_flight),
        });
        Ok(())
    }

    /// Route to host, for the next attempt.
    pub(super) async fn peer(&self, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        ctx.stage("peer");
        let Some(aim) = &ctx.aim else {
            return Error::e_explain(ErrorType::InternalError, "a request without a route");
        };
        let upstream = &self.upstreams[aim.upstream];
        let attempts = &mut ctx.attempts;
        let same = attempts.again.take() == Some(Verdict::SameHost);
        let picked = match attempts.load.take() {
            Some(load) if same => upstream.pick_again(load.host()).await,
            _ => upstream.pick(&attempts.tried).await,
        };
        let Ok(pick) = picked else {
            ctx.tap.refusal = Some(Refusal::unresolved(&upstream.name));
            return Error::e_explain(ErrorType::ConnectError, "no address");
        };
        let mut peer = self.wires[aim.upstream].peer(pick.load.host(), pick.address);
        if let Some(pulse) = &ctx.tap.pulse {
            pulse.beat();
            wire::limit(&mut peer, upstream.timeouts, pulse.left());
        }
        attempts.count += 1;
        if let Some(entry) = &mut ctx.entry {
            entry.via(&pick.load.host().label);
        }
        attempts.load = Some(pick.load);
        Ok(Box::new(peer))
    }

    /// An attempt got no connection.
    pub(super) fn not_connected(
        &self,
        session: &Session,
        ctx: &mut Ctx,
        mut error: Box<Error>,
    ) -> Box<Error> {
        ctx.stage("not_connected");
        if let Some(load) = &ctx.attempts.load {
            log::warn!("{}: no connection: {error}", load.host().label);
            load.host().forget_address();
            ctx.attempts.tried.push(Arc::clone(load.host()));
        }
        error.as_up();
        self.note_failure(ctx);
        let again = self.again(session, ctx, Failure::Connect, false);
        error.set_retry(again);
        error
    }

    /// An attempt ended before its answer did.
    pub(super) fn broke_off(
        &self,
        session: &Session,
        ctx: &mut Ctx,
        mut error: Box<Error>,
        reused: bool,
    ) -> Box<Error> {
        ctx.stage("broke_off");
        let upstreams = error.esource() == &pingora::ErrorSource::Upstream;
        let failure = match error.etype() {
            _ if !upstreams || ctx.ended_by_clock() => Failure::Other,
            ErrorType::ConnectionClosed
            | ErrorType::ReadError
            | ErrorType::WriteError
            | ErrorType::H2Error
            | ErrorType::InvalidH2
            | ErrorType::H2Downgrade => Failure::Broke,
            _ => Failure::Other,
        };
        let hosts = ctx.ended_by_clock() || upstreams && !ctx.is_clients(&error);
        if hosts && !answered(&session.downstream_session) {
            self.note_failure(ctx);
        }
        // Undecided, Pingora would ask the error itself, and panic.
        let again = self.again(session, ctx, failure, reused);
        error.set_retry(again);
        error
    }

    /// An attempt that its host did not answer.
    fn note_failure(&self, ctx: &Ctx) {
        if let (Some(aim), Some(load)) = (&ctx.aim, &ctx.attempts.load) {
            self.host_counters(aim.upstream, load.host()).failed.inc();
        }
    }

    fn again(&self, session: &Session, ctx: &mut Ctx, failure: Failure, reused: bool) -> bool {
        let Some(aim) = &ctx.aim else { return false };
        let attempts = &mut ctx.attempts;
        let verdict = retry::decide(Attempt {
            failure,
            reused,
            replayable: !session.downstream_session.retry_buffer_truncated(),
            answered: answered(&session.downstream_session),
            stale: attempts.stale,
            hosts_left: self.upstreams[aim.upstream].hosts().len() - attempts.tried.len(),
        });
        attempts.stale += u32::from(verdict == Verdict::SameHost);
        attempts.again = Some(verdict);
        verdict != Verdict::GiveUp
    }
}

impl Aim {
    /// Whether its calls are written to the chat log.
    pub(super) fn is_logged(&self) -> bool {
        self.kind == Kind::Openai
    }
}
