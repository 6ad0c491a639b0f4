//! What one request remembers between its phases: ten fields, each made by its own phase.
//!
//! Why so few: nothing is kept "for the log"; `settle` asks these. What must be given back (the
//! count of requests under way, a place at a host, bytes of body memory, the log record) is given
//! back by the `Drop` of its own type, also when a hook panics.

use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::Arc;

use http::header::HeaderName;
use jiff::Timestamp;
use pingora::proxy::Session;
use pingora::upstreams::peer::{ALPN, HttpPeer};
use prometheus::IntGauge;
use tokio::time::Instant;

use super::hear::Heard;
use super::may::Allowance;
use super::recall;
use super::relay::Answer;
use super::reply::cors::Origin;
use super::steer::Attempts;
use super::tap::Handle;
use super::tap::lend::Lent;
use super::tap::pulse::Pulse;
use crate::cache::fill::Writer;
use crate::chatlog::{Call, Entry};
use crate::config::{Kind, Pace, Refusals};
use crate::drain::{Drain, UnderWay};
use crate::refusal::Refusal;
use crate::route::Streaming;
use crate::user::User;

/// One request, from its head to its log line.
pub struct Ctx {
    pub(super) caller: Caller,
    pub(super) allowance: Allowance,
    pub(super) aim: Option<Aim>,
    pub(super) heard: Heard,
    pub(super) attempts: Attempts,
    pub(super) answer: Answer,
    pub(super) entry: Option<Entry>,
    pub(super) tap: Tapped,
    /// Where the answer goes of a request that is nobody's own.
    pub(super) errand: Option<Arc<Writer>>,
    /// Last, since fields are dropped in order: who waits for the last request finds its line written.
    pub(super) visit: Visit,
}

/// When and from where a request came.
pub(super) struct Visit {
    pub(super) id: String,
    pub(super) arrived: Instant,
    pub(super) arrived_at: Timestamp,
    /// `None` on a unix socket.
    pub(super) client: Option<IpAddr>,
    /// What its answer says to browsers.
    pub(super) origin: Origin,
    /// In whose words it is refused.
    pub(super) refusals: Refusals,
    /// `None` of an errand, whose readers are counted.
    _under_way: Option<UnderWay>,
}

/// Who calls, and where they put their key.
#[derive(Default)]
pub(super) struct Caller {
    pub(super) user: Option<Arc<User>>,
    /// The header of the client's key: the upstream's key goes into the same one.
    pub(super) key_header: Option<HeaderName>,
    /// It has no known key, and gets one of the upstream's all the same.
    pub(super) lent: bool,
    /// How fast its streams go, if not as they come.
    pub(super) pace: Option<Pace>,
}

/// Which route a request takes.
pub(super) struct Aim {
    pub(super) route: usize,
    pub(super) prefix: Arc<str>,
    pub(super) upstream: usize,
    pub(super) kind: Kind,
    pub(super) streaming: Streaming,
    /// Path behind the prefix, and the query with its `?`.
    pub(super) rest: String,
    /// As `_under_way`.
    pub(super) _in_flight: Option<InFlight>,
}

/// One request in a route's gauge.
pub(super) struct InFlight(IntGauge);

/// The tap and its clock, once they are in.
#[derive(Default)]
pub(super) struct Tapped {
    pub(super) handle: Option<Handle>,
    pub(super) pulse: Option<Arc<Pulse>>,
    /// The client's session, while a connection is made.
    pub(super) lent: Option<Lent>,
    /// Our own answer, decided in a phase that cannot write it.
    pub(super) refusal: Option<Refusal>,
}

// === impl Ctx ===

impl Ctx {
    /// The memory of a request that comes in, or of the errand that this task runs.
    pub(super) fn new(drain: &Drain) -> Self {
        match recall::errand::taken() {
            Some(errand) => Self::sent(errand),
            None => Self::begun(request_id(), Some(drain.enter())),
        }
    }

    pub(super) fn begun(id: String, under_way: Option<UnderWay>) -> Self {
        Self {
            visit: Visit {
                id,
                arrived: Instant::now(),
                arrived_at: Timestamp::now(),
                client: None,
                origin: Origin::default(),
                refusals: Refusals::Openai,
                _under_way: under_way,
            },
            caller: Caller::default(),
            allowance: Allowance::default(),
            aim: None,
            heard: Heard::default(),
            attempts: Attempts::default(),
            answer: Answer::default(),
            entry: None,
            tap: Tapped::default(),
            errand: None,
        }
    }

    /// An attempt at a host begins.
    pub(super) fn via(&mut self, host: &str) {
        if let Some(entry) = &mut self.entry {
            entry.via(host);
        }
        if let Some(writer) = &self.errand {
            writer.via(host);
        }
    }

    /// A connection for the next attempt is there.
    pub(super) fn connected(
        &mut self,
        session: &mut Session,
        peer: &HttpPeer,
        socket: RawFd,
        reused: bool,
    ) -> pingora::Result<()> {
        self.tap.back(session);
        if let Some(line) = &mut self.attempts.line {
            line.connected(socket, reused)?;
        }
        self.tap.connected(peer, socket);
        Ok(())
    }

    /// Tells at trace level that a stage begins: `RUST_LOG=aifd::stage=trace` shows the way of
    /// every request, in order.
    pub(super) fn stage(&self, name: &str) {
        log::trace!(target: "aifd::stage", "{} {name}", self.visit.id);
    }
}

/// `req_` and 128 random bits; written by hand, as every request pays for it.
fn request_id() -> String {
    let mut id = String::with_capacity(36);
    id.push_str("req_");
    for byte in fastrand::u128(..).to_be_bytes() {
        for nibble in [byte >> 4, byte & 0xf] {
            id.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    id
}

// === impl Caller ===

impl Caller {
    /// Whose upstream's key an errand takes.
    pub(super) fn for_errand(&self) -> Self {
        let (user, key_header) = (self.user.clone(), self.key_header.clone());
        Self { user, key_header, lent: self.lent, pace: None }
    }

    /// The level of its key; that of an unknown one is 0.
    pub(super) fn level(&self) -> u32 {
        self.user.as_ref().map_or(0, |user| user.level)
    }

    /// The level whose keys of the upstream it gets; `None` for one that brings a key of its own.
    pub(super) fn wants_key(&self) -> Option<u32> {
        (self.user.is_some() || self.lent).then(|| self.level())
    }
}

// === impl Aim ===

impl Aim {
    /// An errand goes the same way; comments and early heads are its readers' own.
    pub(super) fn for_errand(&self) -> Self {
        Self {
            route: self.route,
            prefix: Arc::clone(&self.prefix),
            upstream: self.upstream,
            kind: self.kind,
            streaming: Streaming { keepalive: None, before: false, ..self.streaming },
            rest: self.rest.clone(),
            _in_flight: None,
        }
    }
}

// === impl InFlight ===

impl InFlight {
    pub(super) fn enter(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

// === impl Tapped ===

impl Tapped {
    /// Pingora has its session again.
    pub(super) fn back(&mut self, session: &mut Session) {
        if let Some(lent) = self.lent.take() {
            lent.give_back(session);
        }
    }

    /// The request goes out now. Head and body go together, unless the connection carries other requests too, or there is
    /// no tap to pull the cork.
    pub(super) fn connected(&self, peer: &HttpPeer, socket: RawFd) {
        let Some(pulse) = &self.pulse else { return };
        pulse.beat();
        if self.handle.is_some() && peer.options.alpn == ALPN::H1 {
            pulse.cork.put_in(socket);
        }
    }
}

// === impl Visit ===

impl Visit {
    /// What the chat log must know from the start.
    pub(super) fn call(&self, session: &Session, aim: &Aim) -> Call {
        let request = session.req_header();
        Call {
            id: self.id.clone(),
            time: self.arrived_at,
            arrived: self.arrived,
            client: self.client,
            method: request.method.clone(),
            path: request.uri.path().to_owned(),
            route: Arc::clone(&aim.prefix),
        }
    }
}
