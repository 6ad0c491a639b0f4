//! Headers to and from the upstream.
//!
//! Why a list of what goes: a client's credentials and cookies belong to us or to nobody, and what
//! a chain of proxies says of itself is no business of a cloud host. What an answer says stays,
//! except for what would name the upstream or mix up two tenants.

use http::Version;
use http::header::{
    ACCEPT_ENCODING, ALT_SVC, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_LOCATION, COOKIE,
    EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, ORIGIN,
    PROXY_AUTHENTICATE, SEC_WEBSOCKET_PROTOCOL, SET_COOKIE, TRANSFER_ENCODING, VIA,
};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{Error, ErrorType, OrErr, Result};

use super::admit::{API_KEY, WEBSOCKET_KEY, X_API_KEY};
use super::ctx::{Aim, Ctx};
use super::reply::cors::Origin;
use super::wire::Line;
use crate::pool::{Host, Lease};
use crate::secret::Secret;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a request says of where it came from, and what was settled with us already.
const NOT_PASSED_ON: [HeaderName; 12] = [
    COOKIE,
    EXPECT,
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("true-client-ip"),
];

/// What an answer says to its proxy.
const NOT_PASSED_BACK: [HeaderName; 7] = [
    ALT_SVC,
    VIA,
    PROXY_AUTHENTICATE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("x-accel-redirect"),
];

/// The request as the upstream shall see it.
pub(super) fn outbound(
    session: &mut Session,
    request: &mut RequestHeader,
    ctx: &mut Ctx,
) -> Result<()> {
    ctx.stage("outbound");
    let (Some(aim), Some(load)) = (&ctx.aim, &ctx.attempts.load) else {
        return Error::e_explain(ErrorType::InternalError, "no place to send it to");
    };
    let host = load.host();
    ctx.attempts.way.aim(request, host, &target(host, aim))?;
    request.insert_header(HOST, host.authority.as_str())?;
    for name in present(&request.headers, &NOT_PASSED_ON) {
        request.remove_header(&name);
    }
    let key = ctx.attempts.key.as_ref().map(Lease::secret);
    // Where there is no key to lend, a caller's own is as good as any.
    if ctx.caller.user.is_some() || key.is_some() {
        swap_key(request, ctx.caller.key_header.as_ref(), key)?;
    }
    if ctx.visit.origin != Origin::Unsaid {
        // Whether the page may call was decided here; a host that knows no page would say no.
        request.remove_header(&ORIGIN);
    }
    if !request.headers.contains_key(&X_REQUEST_ID) {
        request.insert_header(X_REQUEST_ID, ctx.visit.id.as_str())?;
    }
    if ctx.entry.is_some() || ctx.allowance.cost.is_some() || ctx.heard.usage_is_ours {
        // What goes into the chat log, or is counted, must be readable.
        request.remove_header(&ACCEPT_ENCODING);
    }
    let once = ctx.attempts.line.as_ref().is_some_and(Line::is_for_once);
    if once && request.version != Version::HTTP_2 && !session.is_upgrade_req() {
        request.insert_header(CONNECTION, "close")?;
    }
    if let Some(body) = ctx.heard.body.as_ref().filter(|body| !body.is_empty()) {
        sized(request, body.len())?;
    }
    debug_assert!(!session.is_upgrade_req() || ctx.heard.body.is_none());
    Ok(())
}

/// What is held is sent whole, however it came.
fn sized(request: &mut RequestHeader, bytes: usize) -> Result<()> {
    request.remove_header(&TRANSFER_ENCODING);
    let length = HeaderValue::from(bytes);
    match request.headers.get(CONTENT_LENGTH) {
        Some(said) if *said == length => Ok(()),
        _ => request.insert_header(CONTENT_LENGTH, length),
    }
}

/// Which of these are there: one pass over the few that are, instead of a lookup for each.
fn present(headers: &HeaderMap, names: &[HeaderName]) -> Vec<HeaderName> {
    headers.keys().filter(|name| names.contains(name)).cloned().collect()
}

/// Base path, rest and query: byte for byte, never empty.
fn target(host: &Host, aim: &Aim) -> String {
    let whole = host.base_path.starts_with('/') || aim.rest.starts_with('/');
    [if whole { "" } else { "/" }, &host.base_path, &aim.rest].concat()
}

/// Takes the client's credentials out, wherever they stand, and puts the upstream's key in, where
/// the client had its own.
fn swap_key(
    request: &mut RequestHeader,
    place: Option<&HeaderName>,
    key: Option<&Secret>,
) -> Result<()> {
    for name in present(&request.headers, &[AUTHORIZATION, X_API_KEY, API_KEY]) {
        request.remove_header(&name);
    }
    if let Some(protocols) = protocols_without_key(request) {
        request.remove_header(&SEC_WEBSOCKET_PROTOCOL);
        if !protocols.is_empty() {
            request.insert_header(SEC_WEBSOCKET_PROTOCOL, protocols)?;
        }
    }
    let (Some(place), Some(key)) = (place, key) else {
        return Ok(());
    };
    let text = match *place == AUTHORIZATION {
        true => format!("Bearer {}", key.expose()),
        false => key.expose().to_owned(),
    };
    let mut value = HeaderValue::try_from(text)
        .or_err(ErrorType::InternalError, "an upstream key is no header value")?;
    value.set_sensitive(true);
    request.insert_header(place.clone(), value)
}

fn protocols_without_key(request: &RequestHeader) -> Option<String> {
    let values = request.headers.get_all(SEC_WEBSOCKET_PROTOCOL);
    let items: Vec<&str> = values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let kept: Vec<&str> =
        items.iter().filter(|item| !item.starts_with(WEBSOCKET_KEY)).copied().collect();
    (kept.len() < items.len()).then(|| kept.join(", "))
}

/// The answer as any client may see it.
pub(super) fn inbound(response: &mut ResponseHeader, ctx: &mut Ctx) -> Result<()> {
    ctx.stage("inbound");
    for name in present(&response.headers, &NOT_PASSED_BACK) {
        response.remove_header(&name);
    }
    if ctx.attempts.key.is_some() || ctx.errand.is_some() {
        // A cookie of our own account, or of one reader of many.
        response.remove_header(&SET_COOKIE);
    }
    let (Some(aim), Some(load)) = (&ctx.aim, &ctx.attempts.load) else {
        return Ok(());
    };
    for name in [LOCATION, CONTENT_LOCATION] {
        let given = response.headers.get(&name).and_then(|value| value.to_str().ok());
        if let Some(seen) = given.and_then(|given| location(given, load.host(), &aim.prefix)) {
            response.insert_header(name, seen)?;
        }
    }
    Ok(())
}

/// Without chunks the end of the answer is the end of the connection (RFC 9112, 6.3).
pub(super) fn for_version(version: Version, response: &mut ResponseHeader) {
    if version == Version::HTTP_10 {
        response.remove_header(&TRANSFER_ENCODING);
    }
}

/// A location that names our upstream, or a path on it, as the path a client would use here;
/// `None` when it names somebody else and stays as it is.
fn location(given: &str, host: &Host, prefix: &str) -> Option<String> {
    let rest = ["http://", "https://"].iter().find_map(|scheme| given.strip_prefix(scheme));
    let path = match rest {
        Some(rest) => {
            let rest = rest
                .strip_prefix(host.authority.as_str())
                .or_else(|| rest.strip_prefix(host.label.as_str()))?;
            match rest.chars().next() {
                None => "/",
                Some('/' | '?' | '#') => rest,
                Some(_) => return None,
            }
        }
        None if given.starts_with('/') && !given.starts_with("//") => given,
        None => return None,
    };
    let path = match path.strip_prefix(host.base_path.as_str()) {
        Some(inner) if inner.is_empty() || inner.starts_with(['/', '?', '#']) => inner,
        _ => path,
    };
    let seen = format!("{}{path}", prefix.trim_end_matches('/'));
    Some(if seen.starts_with('/') { seen } else { format!("/{seen}") })
}

#[cfg(test)]
mod tests;
