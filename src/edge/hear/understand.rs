//! What a held body asks: whether its key may, what it will cost, and what of it goes to a host.
//!
//! Why edited here alone: what is sent, sent again and looked up in the cache is one body.

use bytes::Bytes;

use super::Heard;
use crate::config::Kind;
use crate::edge::ctx::Ctx;
use crate::refusal::Refusal;
use crate::wire::cost::Cost;
use crate::wire::edit;
use crate::wire::peek;
use crate::wire::usage::{self, Wish};

/// What a held body asks, and whether its key may ask it.
pub(super) fn understand(ctx: &mut Ctx, json: bool, gated: bool) -> Result<(), Refusal> {
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
pub(super) fn reckon(ctx: &mut Ctx) {
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

pub(super) fn check_model(ctx: &Ctx, model: Option<&str>) -> Result<(), Refusal> {
    match (ctx.caller.user.as_deref(), model) {
        (Some(user), Some(model)) if !user.may_use(model) => Err(Refusal::model(Some(model))),
        (Some(user), None) if user.is_limited() => Err(Refusal::model(None)),
        _ => Ok(()),
    }
}

fn is_general(ctx: &Ctx) -> bool {
    ctx.aim.as_ref().is_some_and(|aim| aim.kind == Kind::General)
}
