//! What the client asks: its body, held for replay where it is JSON, streamed through elsewhere.
//!
//! Why held: a request can only be sent to another host if its body can be sent again, and what is
//! asked (model, stream) stands anywhere in it. Held bodies are bounded one by one and together.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, TRANSFER_ENCODING,
};
use pingora::proxy::Session;
use tokio::sync::OwnedSemaphorePermit;

pub(super) use self::bodies::Bodies;
use self::understand::{check_model, reckon, understand};
use super::ctx::{Aim, Ctx};
use super::recall::Wanted;
use super::tap::Body;
use super::tap::flow::Flow;
use super::tap::pulse::Pulse;
use super::{Edge, relay, tap};
use crate::config::{Kind, Timeouts};
use crate::refusal::Refusal;
use crate::route::plain_path;
use crate::user::User;
use crate::wire::peek::Ask;

mod bodies;
mod understand;

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

fn model_of_query(session: &Session) -> Option<String> {
    let query = session.req_header().uri.query()?;
    query.split('&').find_map(|pair| pair.strip_prefix("model=")).map(str::to_owned)
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
