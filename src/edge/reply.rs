//! The only writer of aifd's own answers: refusals and its own endpoint.
//!
//! The trap: answering a body that is still coming and then closing makes the client's kernel
//! throw our answer away (RST), so what still comes is read for a moment, and forgotten.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE,
};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use tokio::time::timeout;

use super::ctx::Ctx;
use super::hear::content_length;
use super::shape::X_REQUEST_ID;
use crate::config::Refusals;
use crate::refusal::Refusal;

pub(super) mod cors;

/// The wait exactly, for OpenAI's clients.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// Theirs too.
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// How long, and how much of, an unread body is still read for a refusal.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_MOST: usize = 8 * 1024 * 1024;
/// A body of so many bytes is read before it is refused.
const READ_FIRST: u64 = 64 * 1024;

/// Writes a refusal before anything went upstream. The request is over (`Ok(true)`).
pub(super) async fn refuse(session: &mut Session, ctx: &mut Ctx, refusal: Refusal) -> Result<bool> {
    if refusal.is_flood() {
        // Not another byte is read from such a one.
        session.set_keepalive(None);
        write(session, ctx, &refusal).await;
        return Ok(true);
    }
    // An answer before the end of the body would be the last one on the connection.
    let headers = &session.req_header().headers;
    let is_small = content_length(headers).is_some_and(|length| length <= READ_FIRST);
    if is_small && !headers.contains_key(EXPECT) {
        linger(session).await;
    }
    write(session, ctx, &refusal).await;
    linger(session).await;
    Ok(true)
}

/// Writes a refusal; a client that cannot be written to is gone, which its log line tells.
pub(super) async fn write(session: &mut Session, ctx: &mut Ctx, refusal: &Refusal) {
    ctx.answer.refused = Some(refusal.code);
    ctx.answer.flood = refusal.is_flood();
    if let Some(entry) = &mut ctx.entry {
        entry.error(refusal.code);
    }
    let older = refusal.older.as_ref().filter(|_| ctx.visit.refusals == Refusals::OpenaiForward);
    let (status, body) = older
        .map_or_else(|| (refusal.status, refusal.body()), |older| (older.status(), older.body()));
    let sent = match head(refusal, status) {
        Ok(head) => send(session, ctx, head, Bytes::from(body)).await,
        Err(error) => Err(error),
    };
    if let Err(error) = sent {
        log::debug!("{}: the refusal could not be written: {error}", ctx.visit.id);
    }
}

/// What a browser asks before a page calls; false for any other request.
pub(super) async fn preflight(session: &mut Session, ctx: &mut Ctx) -> bool {
    let asked = ctx.visit.origin.preflight(session.req_header());
    let Ok(Some((head, words))) = asked else { return false };
    let sent = send(session, ctx, head, Bytes::from_static(words.as_bytes())).await;
    sent.unwrap_or_else(|error| log::debug!("{}: a preflight: {error}", ctx.visit.id));
    true
}

/// `GET /healthz` is answered by aifd itself, as openai-forward does: `"OK"`.
pub(super) async fn own_endpoint(session: &mut Session, ctx: &mut Ctx) -> bool {
    let request = session.req_header();
    let asked =
        request.uri.path() == "/healthz" && matches!(request.method, Method::GET | Method::HEAD);
    if asked && let Ok(head) = json(200) {
        let sent = send(session, ctx, head, Bytes::from_static(b"\"OK\"")).await;
        sent.unwrap_or_else(|error| log::debug!("/healthz: {error}"));
    }
    asked
}

fn json(status: u16) -> Result<ResponseHeader> {
    let mut head = ResponseHeader::build(status, Some(6))?;
    head.insert_header(CONTENT_TYPE, "application/json")?;
    Ok(head)
}

fn head(refusal: &Refusal, status: u16) -> Result<ResponseHeader> {
    let mut head = json(status)?;
    if status == 401 {
        head.insert_header(WWW_AUTHENTICATE, "Bearer")?;
    }
    if let Some(wait) = refusal.retry_after {
        head.insert_header(RETRY_AFTER, wait.as_secs_f64().ceil().max(1.0).to_string())?;
        head.insert_header(RETRY_AFTER_MS, wait.as_nanos().div_ceil(1_000_000).to_string())?;
    } else if status == 429 {
        // No time will help, and OpenAI's clients would try again.
        head.insert_header(X_SHOULD_RETRY, "false")?;
    }
    Ok(head)
}

async fn send(
    session: &mut Session,
    ctx: &mut Ctx,
    mut head: ResponseHeader,
    body: Bytes,
) -> Result<()> {
    head.insert_header(CONTENT_LENGTH, body.len())?;
    head.insert_header(X_REQUEST_ID, ctx.visit.id.as_str())?;
    ctx.visit.origin.complete(&mut head)?;
    let bare = session.req_header().method == Method::HEAD;
    ctx.allowance.tell(&mut head)?;
    let status = head.status.as_u16();
    session.write_response_header(Box::new(head), bare).await?;
    ctx.answer.status = Some(status);
    if let Some(entry) = &mut ctx.entry {
        entry.head(status, Some("application/json"), None);
        entry.chunk(&body);
    }
    if bare {
        return Ok(());
    }
    ctx.answer.bytes = body.len() as u64;
    session.write_response_body(Some(body), true).await
}

async fn linger(session: &mut Session) {
    if !session.is_body_done() {
        let _ = timeout(LINGER, swallow(session)).await;
    }
}

async fn swallow(session: &mut Session) {
    let mut read = 0;
    while read < LINGER_MOST {
        match session.downstream_session.read_request_body().await {
            Ok(Some(piece)) => read += piece.len(),
            Ok(None) | Err(_) => return,
        }
    }
}
