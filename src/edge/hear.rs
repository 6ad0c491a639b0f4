//! What the client asks: its body, held for replay where it is JSON, streamed through elsewhere.
//!
//! Why held: a request can only be sent to another host if its body can be sent again, and what is
//! asked (model, stream) stands anywhere in it. Held bodies are bounded one by one and together.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, TRANSFER_ENCODING,
};
use pingora::ErrorType;
use pingora::proxy::Session;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::ctx::{Aim, Ctx};
use super::recall::Wanted;
use super::tap::Body;
use super::tap::flow::Flow;
use super::tap::pulse::Pulse;
use super::{Edge, relay, tap};
use crate::config::{Kind, Server, Timeouts};
use crate::refusal::Refusal;
use crate::route::plain_path;
use crate::user::User;
use crate::wire::cost::Cost;
use crate::wire::edit;
use crate::wire::peek::{self, Ask};
use crate::wire::usage::{self, Wish};

/// Memory for held bodies, shared by all requests.
pub(super) struct Bodies(Arc<Semaphore>);

/// What was heard of one request.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) ask: Ask,
    /// The body, when it is held.
    pub(super) body: Option<Bytes>,
    /// The host is asked for usage that the client did not ask for.
    pub(super) usage_is_ours: bool,
    /// What the cache is asked.
    pub(super) wanted: Option<Wanted>,
    _memory: Option<Arc<OwnedSemaphorePermit>>,
}

/// How a body is treated.
#[derive(Debug, PartialEq, Eq)]
enum Treatment {
    /// A websocket: Pingora's own session, without a tap.
    Native,
    /// Streamed through.
    Live,
    /// Read whole, then sent; `json` must be an object.
    Held { json: bool },
}

/// Bytes are counted in these, so that a semaphore can hold terabytes.
const UNIT: usize = 1024;

/// A body that came in one read keeps the buffer it was read into from this size on, bytes.
const WORTH_ITS_BUFFER: usize = 32 * 1024;

/// How long an answer may take that waits for no host, but perhaps for its pace.
const UNHURRIED: Timeouts = {
    let day = Duration::from_secs(24 * 3600);
    Timeouts { connect: day, first_byte: day, idle: day, total: day }
};

impl Edge {
    /// Reads what must be read before the request can go on, and puts the tap in.
    pub(super) async fn hear(&self, session: &mut Session, ctx: &mut Ctx) -> Result<(), Refusal> {
        ctx.stage("hear");
        let Some(aim) = &ctx.aim else { return Ok(()) };
        let pulse = Arc::new(Pulse::new(self.upstreams[aim.upstream].timeouts, ctx.visit.arrived));
        ctx.tap.pulse = Some(Arc::clone(&pulse));
        let gated = is_limited(ctx) && self.checks_model(aim);
        let treatment = treatment(session, aim, gated);
        self.early_limit(session, &treatment)?;
        let body = match treatment {
            Treatment::Native if gated => {
                return check_model(ctx, model_of_query(session).as_deref());
            }
            Treatment::Native => return Ok(()),
            Treatment::Live => {
                if gated {
                    return Err(Refusal::unreadable_model());
                }
                go_on(session).await;
                Body::Live { limit: self.server.max_upload }
            }
            Treatment::Held { json } => {
                go_on(session).await;
                ctx.heard = self.bodies.read(session, &self.server).await?;
                understand(ctx, json, gated)?;
                ctx.heard.wanted = self.wanted(session, ctx);
                reckon(ctx);
                Body::Held(ctx.heard.body.clone().unwrap_or_default())
            }
        };
        let flow = relay::flow(session, ctx)?;
        ctx.tap.handle = Some(tap::put_in(session, body, flow, &pulse));
        Ok(())
    }

    fn checks_model(&self, aim: &Aim) -> bool {
        let path = aim.rest.split('?').next().unwrap_or_default();
        self.access.checks_model(aim.kind, &plain_path(path))
    }

    /// Reads what a canned answer has to say again, and puts the tap in.
    pub(super) async fn hear_canned(
        &self,
        session: &mut Session,
        ctx: &mut Ctx,
    ) -> Result<(), Refusal> {
        ctx.stage("hear");
        let treatment = Treatment::Held { json: true };
        self.early_limit(session, &treatment)?;
        go_on(session).await;
        ctx.heard = self.bodies.read(session, &self.server).await?;
        understand(ctx, true, false)?;
        reckon(ctx);
        let pulse = Arc::new(Pulse::new(UNHURRIED, ctx.visit.arrived));
        let body = Body::Held(ctx.heard.body.clone().unwrap_or_default());
        ctx.tap.handle = Some(tap::put_in(session, body, Flow::default(), &pulse));
        ctx.tap.pulse = Some(pulse);
        Ok(())
    }

    fn early_limit(&self, session: &Session, treatment: &Treatment) -> Result<(), Refusal> {
        let limit = match treatment {
            Treatment::Held { .. } => self.server.max_body as u64,
            Treatment::Live | Treatment::Native => self.server.max_upload,
        };
        match content_length(&session.req_header().headers) {
            Some(length) if length > limit => Err(Refusal::too_large(limit)),
            _ => Ok(()),
        }
    }
}

/// `Expect: 100-continue` (RFC 9110, 10.1.1) is answered by us: Pingora never does.
async fn go_on(session: &mut Session) {
    if !session.req_header().headers.contains_key(EXPECT) {
        return;
    }
    let keepalive = session.get_keepalive();
    if let Err(error) = session.write_continue_response().await {
        log::debug!("100 Continue could not be written: {error}");
    }
    // Any answer before the end of the body turns keep-alive off, this one too.
    session.set_keepalive(keepalive);
}

fn treatment(session: &mut Session, aim: &Aim, gated: bool) -> Treatment {
    if session.is_upgrade_req() {
        return Treatment::Native;
    }
    if aim.kind == Kind::General {
        // Only a body that is held can be looked into.
        return if gated { Treatment::Held { json: false } } else { Treatment::Live };
    }
    let empty = session.is_body_empty();
    let headers = &session.req_header().headers;
    let coded = headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    match media_type(headers).as_deref() {
        _ if empty => Treatment::Held { json: false },
        _ if coded => Treatment::Live,
        Some(media) if is_json(media) => Treatment::Held { json: true },
        // What `curl -d` says of the JSON it sends.
        None | Some("application/x-www-form-urlencoded" | "text/plain") => {
            Treatment::Held { json: false }
        }
        Some(_) => Treatment::Live,
    }
}

fn is_json(media: &str) -> bool {
    media == "application/json" || media.ends_with("+json")
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media = value.split(';').next()?.trim().to_ascii_lowercase();
    (!media.is_empty()).then_some(media)
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn is_general(ctx: &Ctx) -> bool {
    ctx.aim.as_ref().is_some_and(|aim| aim.kind == Kind::General)
}

/// What a held body asks, and whether its key may ask it.
fn understand(ctx: &mut Ctx, json: bool, gated: bool) -> Result<(), Refusal> {
    let body = ctx.heard.body.as_deref().unwrap_or_default();
    let is_empty = body.is_empty();
    if !is_empty {
        match peek::peek(body) {
            Ok(ask) => ctx.heard.ask = ask,
            Err(broken) if json => return Err(Refusal::bad_json(&broken.to_string())),
            Err(_) => {}
        }
    }
    let Heard { ask, body, .. } = &ctx.heard;
    if let Some(entry) = &mut ctx.entry {
        // Before the gate: who asks for what a key may not have is in the log.
        entry.asked(body.clone(), ask.model.as_deref(), ask.stream);
    }
    if gated && !is_empty { check_model(ctx, ctx.heard.ask.model.as_deref()) } else { Ok(()) }
}

/// Estimates what a call will cost whose caller's tokens are limited, takes out what is ours, and
/// asks the host to tell what it cost.
fn reckon(ctx: &mut Ctx) {
    if is_general(ctx) {
        return;
    }
    let limited = ctx.caller.user.as_deref().is_some_and(|user| user.tokens_limited);
    let Heard { ask, body, usage_is_ours, wanted, .. } = &mut ctx.heard;
    let Some(body) = body.as_mut().filter(|body| !body.is_empty()) else { return };
    if limited {
        ctx.allowance.cost = Some(Cost::of(ask, body));
    }
    if let Some(edited) = edit::without(body, "caching") {
        *body = Bytes::from(edited);
    }
    if !limited && wanted.is_none() {
        return;
    }
    let path = ctx.aim.as_ref().map_or("", |aim| aim.rest.as_str());
    if ask.stream && path.split('?').next().is_some_and(|path| path.ends_with("/completions")) {
        match usage::ask(body) {
            Wish::Ours(edited) => {
                *body = Bytes::from(edited);
                *usage_is_ours = true;
            }
            Wish::Client => {}
            // For the host to refuse, and nobody else's business.
            Wish::Nobody => *wanted = None,
        }
    }
}

impl Heard {
    /// What an errand must know of it.
    pub(super) fn for_errand(&self) -> Self {
        Self {
            ask: self.ask.clone(),
            body: self.body.clone(),
            usage_is_ours: false,
            wanted: None,
            _memory: self._memory.clone(),
        }
    }
}

fn is_limited(ctx: &Ctx) -> bool {
    ctx.caller.user.as_deref().is_some_and(User::is_limited)
}

fn check_model(ctx: &Ctx, model: Option<&str>) -> Result<(), Refusal> {
    match (ctx.caller.user.as_deref(), model) {
        (Some(user), Some(model)) if !user.may_use(model) => Err(Refusal::model(Some(model))),
        (Some(user), None) if user.is_limited() => Err(Refusal::model(None)),
        _ => Ok(()),
    }
}

fn model_of_query(session: &Session) -> Option<String> {
    let query = session.req_header().uri.query()?;
    query.split('&').find_map(|pair| pair.strip_prefix("model=")).map(str::to_owned)
}

// === impl Bodies ===

impl Bodies {
    pub(super) fn new(limits: &Server) -> Self {
        let units = (limits.body_memory / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(units)))
    }

    async fn read(&self, session: &mut Session, limits: &Server) -> Result<Heard, Refusal> {
        if session.is_body_empty() {
            return Ok(Heard { body: Some(Bytes::new()), ..Heard::default() });
        }
        let by = Instant::now() + limits.body_timeout;
        let reading = self.read_all(session, limits.max_body);
        match timeout_at(by, reading).await {
            Ok(read) => read,
            Err(_) => Err(Refusal::slow_body(limits.body_timeout)),
        }
    }

    async fn read_all(&self, session: &mut Session, most: usize) -> Result<Heard, Refusal> {
        let announced = content_length(&session.req_header().headers);
        let announced = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let mut memory = self.reserve(announced.min(most))?;
        let mut whole = BytesMut::new();
        let mut only: Option<Bytes> = None;
        while let Some(piece) = next_piece(session).await? {
            let size = whole.len() + only.as_ref().map_or(0, Bytes::len) + piece.len();
            if size > most {
                return Err(Refusal::too_large(most as u64));
            }
            self.grow(&mut memory, size)?;
            match only.take() {
                None if whole.is_empty() => only = Some(piece),
                first => {
                    whole.reserve(announced.saturating_sub(whole.len()).max(piece.len()));
                    whole.extend_from_slice(&first.unwrap_or_default());
                    whole.extend_from_slice(&piece);
                }
            }
        }
        let body = only.map_or_else(|| whole.freeze(), compact);
        Ok(Heard { body: Some(body), _memory: Some(Arc::new(memory)), ..Heard::default() })
    }

    fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let units = u32::try_from(bytes / UNIT + 1).unwrap_or(u32::MAX);
        Arc::clone(&self.0).try_acquire_many_owned(units).map_err(|_| Refusal::no_memory())
    }

    fn grow(&self, held: &mut OwnedSemaphorePermit, bytes: usize) -> Result<(), Refusal> {
        let have = held.num_permits() * UNIT;
        if bytes > have {
            held.merge(self.reserve(bytes - have)?);
        }
        Ok(())
    }
}

/// A piece is a slice of Pingora's read buffer, which lives as long as it does: a body of a hundred
/// bytes would hold 64 KiB, in the chat log's queue too.
fn compact(piece: Bytes) -> Bytes {
    if piece.len() < WORTH_ITS_BUFFER { Bytes::copy_from_slice(&piece) } else { piece }
}

async fn next_piece(session: &mut Session) -> Result<Option<Bytes>, Refusal> {
    let read = session.downstream_session.read_request_body().await;
    read.map_err(|error| match error.etype() {
        ErrorType::ReadTimedout => {
            Refusal::slow_body(session.get_read_timeout().unwrap_or_default())
        }
        _ => Refusal::cut_body(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        for (value, expected) in [
            ("application/json", Some("application/json")),
            ("Application/JSON; charset=utf-8", Some("application/json")),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(media_type(&headers).as_deref(), expected, "{value}");
        }
        assert!(is_json("application/vnd.api+json") && !is_json("multipart/form-data"));
    }
}
