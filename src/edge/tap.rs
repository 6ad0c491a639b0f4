//! The tap: our own downstream session around Pingora's.
//!
//! Why: Pingora replays at most 64 KiB of a request body, knows no first-byte, idle or total
//! timeout, and tells a hook nothing of a client that left. All of that is decided where a session
//! is read and written, so we stand there ([`SessionCustom`]) and hand everything else through.
//!
//! The trap: while the tap is in, the real session's own switches (keep-alive, write timeout) are
//! out of reach; set them before [`put_in`], and take the tap out ([`Handle::take_out`]) before
//! anything is written by hand.

mod beat;
mod cork;
mod early;
pub(super) mod flow;
mod hold;
pub(super) mod lend;
pub(super) mod outbox;
mod paced;
pub(super) mod pulse;
mod turns;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session as SessionCustom;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::proxy::Session;
use pingora::{BError, Error, ErrorType, Result};
use tokio::time::{Instant, Sleep};

use super::ended::answered;
use crate::retry::Failure;
use flow::Flow;
use outbox::Outbox;
use pulse::{Cause, Pulse};

pub(in crate::edge) type MessageReader =
    Box<dyn futures_core::Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;
type Slot = Arc<Mutex<Option<Box<ServerSession>>>>;

/// What the tap does about the request body.
pub(super) enum Body {
    /// Read already: sent from memory, as often as needed.
    Held(Bytes),
    /// Streamed through as it comes, up to so many bytes.
    Live { limit: u64 },
}

/// How the hooks reach a tap that is in.
pub(super) struct Handle(Slot);

struct Tap {
    real: Option<Box<ServerSession>>,
    body: Body,
    uploaded: u64,
    pulse: Arc<Pulse>,
    alarm: Pin<Box<Sleep>>,
    flow: Flow,
    outbox: Outbox,
    slot: Slot,
}

/// Puts the tap between Pingora and the client.
pub(super) fn put_in(session: &mut Session, body: Body, flow: Flow, pulse: &Arc<Pulse>) -> Handle {
    let slot = Slot::default();
    let real = std::mem::replace(&mut session.downstream_session, Box::new(stand_in()));
    let tap = Tap {
        real: Some(real),
        body,
        uploaded: 0,
        pulse: Arc::clone(pulse),
        alarm: Box::pin(tokio::time::sleep_until(pulse.last_resort())),
        flow,
        outbox: Outbox::default(),
        slot: Arc::clone(&slot),
    };
    *session.downstream_session = ServerSession::new_custom(Box::new(tap));
    Handle(slot)
}

fn stand_in() -> ServerSession {
    ServerSession::new_custom(Box::new(()))
}

// === impl Handle ===

impl Handle {
    /// Gives the real session back to Pingora; the tap is gone afterwards.
    pub(super) fn take_out(self, session: &mut Session) {
        *session.downstream_session = stand_in();
        if let Some(real) = self.0.lock().take() {
            session.downstream_session = real;
        }
    }
}

// === impl Tap ===

const IN: &str = "the real session leaves the tap in its Drop only";

impl Tap {
    fn real(&self) -> &ServerSession {
        self.real.as_deref().expect(IN)
    }

    fn real_mut(&mut self) -> &mut ServerSession {
        self.real.as_deref_mut().expect(IN)
    }

    fn is_held(&self) -> bool {
        matches!(self.body, Body::Held(_))
    }

    /// Notes what a read of the client told, and bounds an upload.
    fn noted(&mut self, read: Result<Option<Bytes>>) -> Result<Option<Bytes>> {
        let piece = match read {
            Ok(piece) => piece,
            Err(error) => {
                self.pulse.note(match error.etype() {
                    ErrorType::ReadTimedout => Cause::SlowBody,
                    _ => Cause::ClientLeft,
                });
                return Err(error);
            }
        };
        self.pulse.beat();
        self.uploaded += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        match self.body {
            Body::Live { limit } if self.uploaded > limit => {
                self.pulse.note(Cause::TooLarge);
                Error::e_explain(ErrorType::HTTPStatus(413), "upload beyond the limit")
            }
            _ => Ok(piece),
        }
    }

    fn answered(&self) -> bool {
        answered(self.real())
    }

    fn next_due(&self, idle: bool) -> Instant {
        let due = self.pulse.due(idle, self.answered()).at;
        self.flow.due().map_or(due, |flow| flow.min(due))
    }

    /// Writes what the tap itself has to say.
    async fn catch_up(&mut self) -> Result<()> {
        if self.pulse.begins_anew() {
            self.flow.forget();
        }
        let written = self.outbox.write(self.real.as_deref_mut().expect(IN)).await;
        written.map_err(Error::into_down)
    }

    /// The error that makes Pingora give up an answer of which nothing is out.
    fn hollow(&self, why: Failure) -> BError {
        self.pulse.note(Cause::Hollow(why));
        Error::explain(ErrorType::ConnectionClosed, Cause::Hollow(why).words()).into_up()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        *self.slot.lock() = self.real.take();
    }
}

#[async_trait]
impl SessionCustom for Tap {
    // --- the request body ---

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        if self.is_held() {
            return Ok(None);
        }
        let read = self.real_mut().read_request_body().await;
        self.noted(read)
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let idle = no_body_expected || self.is_held();
        loop {
            self.catch_up().await?;
            let next = self.next_due(idle);
            // The alarm moves forward lazily: most events only push the deadline further away.
            if next < self.alarm.deadline() {
                self.alarm.as_mut().reset(next);
            }
            let real = self.real.as_deref_mut().expect(IN);
            let read = tokio::select! {
                biased;
                read = real.read_body_or_idle(idle) => Some(read),
                () = self.pulse.cork.pull_next(), if self.pulse.cork.is_in() => continue,
                () = self.alarm.as_mut() => None,
            };
            if let Some(read) = read {
                return self.noted(read);
            }
            let due = self.pulse.due(idle, self.answered());
            if due.is_over() {
                self.pulse.note(due.cause);
                let mut error = Error::explain(ErrorType::HTTPStatus(504), due.cause.words());
                error.as_up();
                return Err(error);
            }
            if let Some(overdue) = self.flow.overdue(Instant::now()) {
                if overdue.head.is_some() {
                    self.pulse.comments_only(overdue.comment);
                }
                self.outbox.put(overdue);
            }
            let next = self.next_due(idle);
            self.alarm.as_mut().reset(next);
        }
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        match self.is_held() {
            true => Ok(()),
            false => self.real_mut().drain_request_body().await,
        }
    }

    fn is_body_done(&mut self) -> bool {
        self.is_held() || self.real_mut().is_body_done()
    }

    fn is_body_empty(&mut self) -> bool {
        match &self.body {
            Body::Held(body) => body.is_empty(),
            Body::Live { .. } => self.real_mut().is_body_empty(),
        }
    }

    fn enable_retry_buffering(&mut self) {
        if !self.is_held() {
            self.real_mut().enable_retry_buffering();
        }
    }

    fn retry_buffer_truncated(&self) -> bool {
        !self.is_held() && self.real().retry_buffer_truncated()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        match &self.body {
            Body::Held(body) => (!body.is_empty()).then(|| body.clone()),
            Body::Live { .. } => self.real().get_retry_buffer(),
        }
    }

    // --- the answer ---

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, _: bool) -> Result<()> {
        self.real_mut().write_response_header(head).await
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, _: bool) -> Result<()> {
        self.real_mut().write_response_header_ref(head).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.real_mut().write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.real_mut().write_response_trailers(trailers).await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        self.pulse.beat();
        self.catch_up().await?;
        if let Some(opening) = self.pulse.opening() {
            self.flow.open(opening);
        }
        let tasks = self.flow.pass(tasks, Instant::now()).map_err(|why| self.hollow(why))?;
        if tasks.is_empty() {
            return Ok(false);
        }
        if tasks.iter().any(|task| matches!(task, HttpTask::Body(Some(_), _))) {
            self.pulse.comments_only(false);
        }
        if self.flow.is_paced() {
            self.flow.queue(tasks, Instant::now());
            return self.write_in_turn().await;
        }
        let written = self.real_mut().response_duplex_vec(tasks).await;
        self.pulse.beat();
        written
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.real().response_written()
    }

    async fn finish(&mut self) -> Result<()> {
        self.real_mut().finish_body().await
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    async fn shutdown(&mut self, _code: u32, _ctx: &str) {
        self.real_mut().shutdown().await;
    }

    // --- all else goes through ---

    fn req_header(&self) -> &RequestHeader {
        self.real().req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.real_mut().req_header_mut()
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.real_mut().set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.real().get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.real_mut().set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.real().get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.real_mut().set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.real().get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.real().request_summary()
    }

    fn body_bytes_sent(&self) -> usize {
        self.real().body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.real().body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.real().digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.real_mut().digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.real().client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.real().server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.real().to_h1_raw()
    }

    fn take_custom_message_reader(&mut self) -> Option<MessageReader> {
        None
    }

    fn restore_custom_message_reader(&mut self, _reader: MessageReader) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _w: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
