//! The answer on its way to the client: noted, never changed.
//!
//! Why only noted: a byte that nobody has to change is not parsed and written again. The first
//! content is looked for in a copy of the references, and the search stops once it is found.

use std::sync::Arc;

use bytes::Bytes;
use http::Version;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    TRANSFER_ENCODING,
};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use tokio::time::Duration;

use super::ctx::Ctx;
use super::may::metered::Metered;
use super::shape::{X_REQUEST_ID, for_version};
use super::tap::flow::Flow;
use crate::refusal::Refusal;
use crate::wire::delta;
use crate::wire::sse::{self, Splitter};

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What is known of the answer so far.
#[derive(Default)]
pub(super) struct Answer {
    /// The final status that went to the client.
    pub(super) status: Option<u16>,
    /// Bytes of its body.
    pub(super) bytes: u64,
    /// From the request's arrival to the first byte of the body.
    pub(super) first_byte: Option<Duration>,
    /// From the request's arrival to the first content of a stream.
    pub(super) first_token: Option<Duration>,
    /// The refusal's code, when the answer is our own.
    pub(super) refused: Option<&'static str>,
    /// It is one of a flood.
    pub(super) flood: bool,
    /// Who gave it, when it was no host that this request went to.
    pub(super) from: Option<Arc<str>>,
    stream: bool,
    search: Option<Splitter>,
    tail: Vec<u8>,
}

/// The longest event in which content is looked for, bytes.
const EVENT_MOST: usize = 64 * 1024;

/// The payload of the last event, and as many last bytes as it and two line ends need.
const DONE: &[u8] = b"[DONE]";
const TAIL: usize = DONE.len() + 4;

/// Notes and completes the head of the answer.
pub(super) fn head(session: &Session, response: &mut ResponseHeader, ctx: &mut Ctx) -> Result<()> {
    ctx.stage("head");
    if response.status.is_informational()
        && response.status != http::StatusCode::SWITCHING_PROTOCOLS
    {
        return Ok(());
    }
    if ctx.errand.is_some() {
        // Its readers complete their own copies.
        ctx.answer.begin(response.status.as_u16(), is_stream(&response.headers));
        return Ok(());
    }
    for_version(session.req_header().version, response);
    ctx.visit.origin.complete(response)?;
    if !response.headers.contains_key(&X_REQUEST_ID) {
        response.insert_header(X_REQUEST_ID, ctx.visit.id.as_str())?;
    }
    let (media, coding) = kind(&response.headers);
    ctx.answer.begin(response.status.as_u16(), is_stream(&response.headers));
    if let Some(entry) = &mut ctx.entry {
        entry.head(response.status.as_u16(), media, coding);
    }
    ctx.allowance.tell(response)?;
    let ours = ctx.heard.usage_is_ours;
    if (ctx.allowance.cost.is_some() || ours) && response.status.is_success() {
        ctx.allowance.metered = Some(Metered::new(ctx.answer.stream, ours));
        if ours && ctx.answer.stream {
            response.remove_header(&CONTENT_LENGTH);
        }
    }
    if ctx.answer.stream && !response.headers.contains_key(&X_ACCEL_BUFFERING) {
        // An nginx in front would collect the stream otherwise.
        response.insert_header(X_ACCEL_BUFFERING, "no")?;
    }
    Ok(())
}

/// How the answer goes through the tap: a stream may begin before its host has answered.
pub(super) fn flow(session: &Session, ctx: &Ctx) -> std::result::Result<Flow, Refusal> {
    let streaming = ctx.aim.as_ref().map(|aim| aim.streaming).filter(|streaming| streaming.before);
    let silence = streaming.and_then(|streaming| streaming.keepalive);
    match silence.filter(|_| ctx.heard.ask.stream) {
        // Without chunks the end of an answer is the end of the connection.
        Some(silence) if session.req_header().version != Version::HTTP_10 => {
            let head = own_head(ctx).map_err(|_| Refusal::internal())?;
            Ok(Flow::before(Box::new(head), silence))
        }
        _ => Ok(Flow::default()),
    }
}

fn own_head(ctx: &Ctx) -> Result<ResponseHeader> {
    let mut head = ResponseHeader::build(200, Some(5))?;
    head.insert_header(CONTENT_TYPE, "text/event-stream")?;
    head.insert_header(CACHE_CONTROL, "no-cache")?;
    head.insert_header(X_ACCEL_BUFFERING, "no")?;
    head.insert_header(X_REQUEST_ID, ctx.visit.id.as_str())?;
    ctx.visit.origin.complete(&mut head)?;
    // Or its end would be that of the connection; h2 leaves it out.
    head.insert_header(TRANSFER_ENCODING, "chunked")?;
    Ok(head)
}

/// Media type and coding.
fn kind(headers: &HeaderMap) -> (Option<&str>, Option<&str>) {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    (text(CONTENT_TYPE), text(CONTENT_ENCODING))
}

/// Whether these are the headers of a stream of events that can be read.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    let (media, coding) = kind(headers);
    let media = media.and_then(|media| media.split(';').next()).unwrap_or_default();
    media.trim().eq_ignore_ascii_case("text/event-stream")
        && coding.is_none_or(|coding| coding == "identity")
}

/// Notes one piece of the answer's body.
pub(super) fn piece(body: &mut Option<Bytes>, end: bool, ctx: &mut Ctx) {
    let piece = body.as_ref().filter(|piece| !piece.is_empty());
    if let (Some(piece), Some(entry)) = (piece, &mut ctx.entry) {
        entry.chunk(piece);
    }
    if let Some(metered) = &mut ctx.allowance.metered {
        metered.pass(body, end);
    }
    let Some(piece) = body.as_ref().filter(|piece| !piece.is_empty()) else {
        return;
    };
    ctx.stage("piece");
    let since = ctx.visit.arrived.elapsed();
    ctx.answer.note(piece, since);
}

// === impl Answer ===

impl Answer {
    /// Begins the answer.
    pub(super) fn begin(&mut self, status: u16, stream: bool) {
        self.status = Some(status);
        self.stream = stream;
        self.search = self.stream.then(|| Splitter::new(EVENT_MOST));
    }

    fn note(&mut self, piece: &Bytes, since: Duration) {
        self.bytes += piece.len() as u64;
        self.first_byte.get_or_insert(since);
        if self.stream {
            self.remember_end(piece);
            self.look_for_content(piece, since);
        }
    }

    fn look_for_content(&mut self, piece: &Bytes, since: Duration) {
        let Some(search) = &mut self.search else {
            return;
        };
        let mut found = false;
        search.push(piece, |event| {
            found |=
                !event.whole || sse::data(&event.raw).is_some_and(|data| delta::has_content(&data));
        });
        if found {
            self.first_token = Some(since);
            self.search = None;
        }
    }

    fn remember_end(&mut self, piece: &Bytes) {
        self.tail.extend_from_slice(&piece[piece.len().saturating_sub(TAIL)..]);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
    }

    /// Whether the last event of a stream is out: a client that leaves now has got it all. Some
    /// close at `[DONE]` without waiting for the last chunk.
    pub(super) fn is_done(&self) -> bool {
        self.stream && self.tail.windows(DONE.len()).any(|window| window == DONE)
    }

    /// Whether one more event may be written: it is a stream, and no event is half out.
    pub(super) fn is_at_event_border(&self) -> bool {
        let ends: [&[u8]; 3] = [b"\n\n", b"\r\r", b"\r\n\r\n"];
        self.stream && (self.bytes == 0 || ends.iter().any(|end| self.tail.ends_with(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(media: &str, pieces: &[&'static str]) -> Answer {
        let mut answer = Answer::default();
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, media.parse().unwrap())]);
        answer.begin(200, is_stream(&headers));
        for (at, piece) in pieces.iter().enumerate() {
            answer.note(&Bytes::from(*piece), Duration::from_secs(at as u64));
        }
        answer
    }

    #[test]
    fn an_event_border_is_seen_in_any_cut() {
        for (pieces, expected) in [
            (vec![], true),
            (vec!["data: 1\n\n"], true),
            (vec!["data: 1\n", "\n"], true),
            (vec!["data: 1\r\n\r", "\n"], true),
            (vec!["data: 1\r", "\r"], true),
            (vec!["data: 1\n\n", "data"], false),
            (vec!["data: 1\n"], false),
        ] {
            let answer = answer("text/event-stream; charset=utf-8", &pieces);
            assert_eq!(answer.is_at_event_border(), expected, "{pieces:?}");
        }
        assert!(!answer("application/json", &["\n\n"]).is_at_event_border());
    }

    #[test]
    fn a_stream_is_done_when_it_says_so() {
        for (pieces, expected) in [
            (vec!["data: [DONE]\r\n\r\n"], true),
            (vec!["data: 1\n\ndata: [DO", "NE]\n\n"], true),
            (vec!["data: [DONE]\n\n", "data: more\n\n"], false),
            (vec!["data: [DON"], false),
        ] {
            assert_eq!(answer("text/event-stream", &pieces).is_done(), expected, "{pieces:?}");
        }
    }

    #[test]
    fn the_first_token_is_the_first_content() {
        let answer = answer(
            "text/event-stream",
            &[
                ": hello\n\n",
                "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n",
                "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
                "data: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n",
            ],
        );
        assert_eq!(answer.first_byte, Some(Duration::ZERO));
        assert_eq!(answer.first_token, Some(Duration::from_secs(2)));
    }
}
