//! What becomes of a failed attempt: the pool hears of it, and the retry machine decides.
//!
//! Why one place: a connection that fails, a timeout, a broken answer and a 503 are the same
//! question, and each must be asked before anything of an answer has gone to the client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::ctx::{Aim, Ctx};
use super::ended::words;
use super::steer::{Again, Attempts};
use super::tap::flow::{Chances, Opening};
use super::tap::pulse::Cause;
use super::wire::Line;
use super::{Edge, relay};
use crate::pace::Pacer;
use crate::pool::{Blame, Outcome, Why};
use crate::retry::{self, Attempt, Failure, Verdict};
use crate::route::Streaming;
use crate::wire::after;

/// What OpenAI and those who follow it say of a key whose money is spent.
const SPENT: &[u8] = b"\"insufficient_quota\"";

impl Edge {
    /// An attempt got no connection.
    pub(super) fn not_connected(
        &self,
        session: &mut Session,
        ctx: &mut Ctx,
        mut error: Box<Error>,
    ) -> Box<Error> {
        ctx.stage("not_connected");
        ctx.tap.back(session);
        // No host took it.
        ctx.attempts.begun = None;
        if ctx.cause().is_some() {
            // The client left, or all of its time is over.
            error.set_retry(false);
            return error;
        }
        if let Some(load) = &ctx.attempts.load {
            log::warn!("{}: no connection: {}", load.host().with_proxy(), words(&error));
            load.host().forget_address();
        }
        error.as_up();
        self.note_failure(ctx);
        ctx.attempts.report(Outcome::Failed(Blame::Connect));
        let failure = match error.etype() {
            ErrorType::TLSHandshakeFailure
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::InvalidCert => Failure::Tls,
            _ => Failure::Connect,
        };
        error.set_retry(self.again(session, ctx, failure, None));
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
        // Decided already, at the head of an answer.
        let mut again = ctx.attempts.again.is_some();
        let clients = ctx.is_clients(&error);
        if !again && !clients {
            let failure = failure(&error, reused, ctx.cause());
            if !ctx.committed(&session.downstream_session) {
                self.note_failure(ctx);
            }
            if failure != Some(Failure::Stale) {
                ctx.attempts.report(ctx.outcome(&error));
            }
            again = failure.is_some_and(|failure| self.again(session, ctx, failure, None));
        }
        if again && let Some(pulse) = &ctx.tap.pulse {
            pulse.forgive();
        }
        // Undecided, Pingora would ask the error itself, and panic.
        error.set_retry(again);
        error
    }

    /// The head of an answer: passed on, or the reason for another attempt.
    pub(super) fn judged(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let status = response.status;
        if status.is_informational() {
            return Ok(());
        }
        if let Some(why) = ctx.attempts.way.refused(status) {
            return Err(not_relayed(&ctx.attempts, why));
        }
        let may_fail = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
        // Good answers tell of limits too; nobody asks them.
        let asked = may_fail.then(|| after::asked(&response.headers, Timestamp::now())).flatten();
        self.tell_pool(ctx, status, asked);
        let failure = Failure::Status(status.as_u16());
        let limited = status == StatusCode::TOO_MANY_REQUESTS && self.has_spare_keys(ctx);
        if limited && !ctx.has_comments_only() {
            // What kind of limit it is stands in its body.
            self.opens(session, ctx, Some(failure), asked);
            return Ok(());
        }
        if !may_fail || !self.again(session, ctx, failure, asked) {
            if status == StatusCode::OK && relay::is_stream(&response.headers) {
                self.opens(session, ctx, None, None);
            }
            return Ok(());
        }
        self.note_failure(ctx);
        let mut error = Error::explain(ErrorType::HTTPStatus(status.as_u16()), "tried again");
        error.as_up();
        error.set_retry(true);
        Err(error)
    }

    /// What an answer says of its host, and of the key it was asked with.
    fn tell_pool(&self, ctx: &mut Ctx, status: StatusCode, asked: Option<Duration>) {
        // Good answers are many, and ask nobody about keys.
        let (keys, awake) = if status.is_client_error() { self.keys_of(ctx) } else { (0, 0) };
        let (several_keys, others_awake) = (keys > 1, awake > 1);
        let attempts = &mut ctx.attempts;
        if let Some(key) = attempts.key.as_ref().filter(|_| status.is_success()) {
            key.served();
        }
        let first_byte = attempts.begun.map(|begun| begun.elapsed()).unwrap_or_default();
        let outcome = match (status, &attempts.key) {
            // The only one is asked for again: what the host says of it is better than what we could.
            (StatusCode::UNAUTHORIZED, Some(key)) if several_keys => {
                key.rest(Why::Refused.usual(), Why::Refused);
                Outcome::Good { first_byte }
            }
            // It may mean this one model, and whoever asks for it must not take all keys away.
            (StatusCode::FORBIDDEN, Some(key)) if others_awake => {
                key.barred();
                Outcome::Good { first_byte }
            }
            (StatusCode::TOO_MANY_REQUESTS, Some(key)) if several_keys => {
                key.rest(asked.unwrap_or(Why::Busy.usual()), Why::Busy);
                Outcome::Good { first_byte }
            }
            // What a caller did with a key of his own says nothing of the host.
            (StatusCode::TOO_MANY_REQUESTS, None) if ctx.caller.user.is_none() => Outcome::Neutral,
            (StatusCode::TOO_MANY_REQUESTS, _) => Outcome::Busy { rest: asked },
            _ if status.is_server_error() => Outcome::Failed(Blame::Status),
            _ => Outcome::Good { first_byte },
        };
        attempts.report(outcome);
    }

    /// Asks the retry machine; true when there is another attempt.
    fn again(
        &self,
        session: &Session,
        ctx: &mut Ctx,
        failure: Failure,
        wanted: Option<Duration>,
    ) -> bool {
        let Some(Chances { policy, facts }) = self.chances(session, ctx, failure, wanted) else {
            return false;
        };
        let verdict = retry::decide(&policy, &facts, fastrand::u32(..));
        ctx.attempts.decided(verdict, facts.is_free());
        verdict != Verdict::GiveUp
    }

    /// What the retry machine must know, should the attempt fail now; `None` without a clock.
    fn chances(
        &self,
        session: &Session,
        ctx: &Ctx,
        failure: Failure,
        wanted: Option<Duration>,
    ) -> Option<Chances> {
        let (aim, pulse) = (ctx.aim.as_ref()?, ctx.tap.pulse.as_ref()?);
        let upstream = &self.upstreams[aim.upstream];
        let attempts = &ctx.attempts;
        let hosts = upstream.hosts().len();
        let was_shut = attempts.line.as_ref().is_some_and(Line::was_shut);
        let facts = Attempt {
            failure,
            committed: ctx.committed(&session.downstream_session),
            sent: !matches!(failure, Failure::Connect | Failure::Tls) && !was_shut,
            replayable: !session.downstream_session.retry_buffer_truncated()
                && !session.is_upgrade_req(),
            attempts: attempts.count - attempts.stale,
            // Each one that was shut is gone from the pool for good: however many, they are free.
            stale: if was_shut { 0 } else { attempts.stale },
            left: pulse.left(),
            hosts_left: hosts.saturating_sub(attempts.tried.len() + 1),
            hosts,
            keys_left: (upstream.keys_of(ctx.caller.level()).1)
                .saturating_sub(usize::from(failure != Failure::Status(429))),
            wanted,
        };
        Some(Chances { policy: Arc::clone(&self.policies[aim.upstream]), facts })
    }

    /// Whether the attempt's key is one of several.
    fn has_spare_keys(&self, ctx: &Ctx) -> bool {
        ctx.attempts.key.is_some() && self.keys_of(ctx).0 > 1
    }

    /// How many keys there are for this caller, and how many of those are awake.
    fn keys_of(&self, ctx: &Ctx) -> (usize, usize) {
        let of = |aim: &Aim| self.upstreams[aim.upstream].keys_of(ctx.caller.level());
        ctx.aim.as_ref().map_or((0, 0), of)
    }

    /// An answer begins that the tap may have to throw away.
    fn opens(
        &self,
        session: &Session,
        ctx: &Ctx,
        refusal: Option<Failure>,
        wanted: Option<Duration>,
    ) {
        let failure = refusal.unwrap_or(Failure::Empty);
        if let (Some(aim), Some(pulse)) = (&ctx.aim, &ctx.tap.pulse)
            && let Some(chances) = self.chances(session, ctx, failure, wanted)
        {
            pulse.open(Opening { rules: aim.streaming, chances, refusal, pacer: pacer(ctx) });
        }
    }

    /// A stream begins that was held back before, for all who follow it.
    pub(super) fn follows(&self, session: &Session, ctx: &Ctx) {
        let Some(pulse) = &ctx.tap.pulse else { return };
        // What no host is asked for cannot be asked for again.
        let chances = self.chances(session, ctx, Failure::Empty, None);
        let chances = chances.unwrap_or_else(Chances::none);
        let keepalive = ctx.aim.as_ref().and_then(|aim| aim.streaming.keepalive);
        let rules = Streaming { keepalive, before: false, hold: None };
        pulse.open(Opening { rules, chances, refusal: None, pacer: pacer(ctx) });
    }

    /// An attempt that its host did not answer.
    fn note_failure(&self, ctx: &Ctx) {
        if let (Some(aim), Some(load)) = (&ctx.aim, &ctx.attempts.load) {
            self.host_counters(aim.upstream, load.host()).failed.inc();
        }
    }
}

/// How the stream's events leave, if not as they come.
fn pacer(ctx: &Ctx) -> Option<Pacer> {
    ctx.caller.pace.map(|pace| Pacer::new(pace.gap(), pace.burst))
}

/// What the body of a refusal says of the key it was asked with.
pub(super) fn refused(piece: Option<&Bytes>, ctx: &Ctx) {
    if ctx.answer.status == Some(429)
        && let (Some(piece), Some(key)) = (piece, &ctx.attempts.key)
        && memchr::memmem::find(piece, SPENT).is_some()
    {
        key.rest(Why::Quota.usual(), Why::Quota);
    }
}

/// The proxy keeps the request to itself: that is between it and us, and no answer of the host.
fn not_relayed(attempts: &Attempts, why: &'static str) -> Box<Error> {
    if let Some(load) = &attempts.load {
        log::warn!("{}: {why}", load.host().with_proxy());
    }
    let mut error = Error::explain(ErrorType::ConnectProxyFailure, why);
    error.as_up();
    error
}

/// What kind of failure an upstream's error is; `None` for one that no retry can help.
fn failure(error: &Error, reused: bool, cause: Option<Cause>) -> Option<Failure> {
    match (cause, error.esource(), error.etype()) {
        (Some(Cause::FirstByte), ..) => Some(Failure::Timeout),
        (Some(Cause::Hollow(failure)), ..) => Some(failure),
        (Some(_), ..) => None,
        (None, ErrorSource::Upstream, etype) => match etype {
            ErrorType::ConnectionClosed
            | ErrorType::ReadError
            | ErrorType::WriteError
            | ErrorType::H2Error
            | ErrorType::InvalidH2
            | ErrorType::H2Downgrade
                if reused =>
            {
                Some(Failure::Stale)
            }
            ErrorType::ReadTimedout | ErrorType::WriteTimedout => Some(Failure::Timeout),
            _ => Some(Failure::Reset),
        },
        _ => None,
    }
}

impl Attempts {
    /// Tells the pool what became of the attempt under way.
    pub(super) fn report(&mut self, outcome: Outcome) {
        if let Some(load) = &mut self.load {
            load.report(outcome);
        }
    }

    fn decided(&mut self, verdict: Verdict, free: bool) {
        self.stale += u32::from(free);
        self.again = match verdict {
            Verdict::GiveUp => None,
            Verdict::SameHost { .. } if free => Some(Again::Stale),
            Verdict::OtherHost { after } if after.is_zero() => {
                // The host that failed has no second turn before the others had one.
                self.tried.extend(self.load.as_ref().map(|load| Arc::clone(load.host())));
                Some(Again::After(after))
            }
            Verdict::SameHost { after } | Verdict::OtherHost { after } => {
                // Every host was tried: all of them are candidates again.
                self.tried.clear();
                Some(Again::After(after))
            }
        };
    }
}
