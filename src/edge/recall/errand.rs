//! An errand: a call to a host that is nobody's own, so that whoever asked for it may leave.
//!
//! Why through Pingora's proxy again: what is tried again, held back, timed and counted is so for an
//! errand as for any request.
//! The trap: Pingora makes a request's memory without being told whose it is. So an errand lies in
//! the task that runs it ([`taken`]).

use std::cell::Cell;
use std::sync::{Arc, OnceLock, Weak};

use http::header::{
    ACCEPT_ENCODING, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    RANGE,
};
use http::{HeaderName, Version};
use jiff::Timestamp;
use pingora::apps::HttpServerApp;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::{HttpProxy, Session};
use tokio::sync::watch;

use super::Wanted;
use super::keep::{Order, keep};
use super::sink::Sink;
use crate::cache::fill::Writer;
use crate::edge::Edge;
use crate::edge::ctx::{Aim, Caller, Ctx};
use crate::edge::hear::Heard;
use crate::edge::tap::flow::Flow;
use crate::edge::tap::pulse::Pulse;
use crate::edge::tap::{self, Body};
use crate::refusal::Refusal;

/// How errands find the proxy that runs them; filled when it is there.
#[derive(Clone, Default)]
pub struct Errands(Arc<OnceLock<Weak<HttpProxy<Edge>>>>);

/// What an errand knows of who asked first.
pub(in crate::edge) struct Errand {
    pub(in crate::edge) id: String,
    pub(in crate::edge) caller: Caller,
    pub(in crate::edge) aim: Aim,
    pub(in crate::edge) heard: Heard,
    pub(in crate::edge) writer: Arc<Writer>,
}

tokio::task_local! {
    static ERRAND: Cell<Option<Errand>>;
}

/// What speaks of one client's copy of an answer, or asks for a form that another could not read.
const ONE_CLIENTS: [HeaderName; 7] = [
    ACCEPT_ENCODING,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
];

/// The errand that this task runs; the first who asks gets it.
pub(in crate::edge) fn taken() -> Option<Errand> {
    ERRAND.try_with(Cell::take).ok().flatten()
}

// === impl Errands ===

impl Errands {
    /// From now on errands go through this proxy.
    pub(in crate::edge) fn go_through(&self, proxy: &Arc<HttpProxy<Edge>>) {
        // Set once, by the one door there is.
        let _ = self.0.set(Arc::downgrade(proxy));
    }

    fn proxy(&self) -> Option<Arc<HttpProxy<Edge>>> {
        self.0.get()?.upgrade()
    }
}

impl Edge {
    /// Sends for an answer; false when there is no proxy any more.
    pub(super) fn send(
        &self,
        session: &Session,
        ctx: &Ctx,
        wanted: &Wanted,
        writer: Writer,
    ) -> bool {
        let (Some(proxy), Some(shelf), Some(aim)) = (self.errands.proxy(), &self.shelf, &ctx.aim)
        else {
            return false;
        };
        let writer = Arc::new(writer);
        let errand = Errand {
            id: ctx.visit.id.clone(),
            caller: ctx.caller.for_errand(),
            aim: aim.for_errand(),
            heard: ctx.heard.for_errand(),
            writer: Arc::clone(&writer),
        };
        let sink = Sink::new(request(session.req_header()), Arc::clone(&writer));
        let order = Order::of(wanted, shelf.epoch());
        let shelf = Arc::clone(shelf);
        let run = async move {
            let (_open, shutdown) = watch::channel(false);
            let session = ServerSession::new_custom(Box::new(sink));
            let answer = proxy.process_new_http(session, &shutdown);
            ERRAND.scope(Cell::new(Some(errand)), answer).await;
            keep(&shelf, &writer, order).await;
        };
        #[expect(clippy::disallowed_methods, reason = "ends with its answer or its last reader")]
        tokio::spawn(run);
        true
    }

    /// Makes an errand ready for its host: all else was done for who sent it.
    pub(in crate::edge) fn run_errand(
        &self,
        session: &mut Session,
        ctx: &mut Ctx,
    ) -> Result<(), Refusal> {
        let Some(aim) = &ctx.aim else { return Err(Refusal::internal()) };
        let timeouts = self.upstreams[aim.upstream].timeouts;
        let pulse = Arc::new(Pulse::new(timeouts, ctx.visit.arrived));
        let body = Body::Held(ctx.heard.body.clone().unwrap_or_default());
        ctx.tap.handle = Some(tap::put_in(session, body, Flow::default(), &pulse));
        ctx.tap.pulse = Some(pulse);
        Ok(())
    }
}

/// The request as everybody would have sent it.
fn request(asked: &RequestHeader) -> RequestHeader {
    let mut request = asked.clone();
    request.set_version(Version::HTTP_11);
    for name in &ONE_CLIENTS {
        request.remove_header(name);
    }
    request
}

impl Ctx {
    /// The memory of an errand.
    pub(in crate::edge) fn sent(errand: Errand) -> Self {
        let Errand { id, caller, aim, heard, writer } = errand;
        let mut ctx = Self::begun(id, None);
        ctx.visit.arrived_at = Timestamp::now();
        ctx.caller = caller;
        ctx.aim = Some(aim);
        ctx.heard = heard;
        ctx.errand = Some(writer);
        ctx
    }
}
