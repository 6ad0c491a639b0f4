//! The client's side of an errand: an answer goes into a fill, and its last reader is its client.
//!
//! Why a session of our own: to Pingora an errand is a request like any other, so retries, deadlines,
//! proxies and the pool work for it as they are.
//! The trap: only an end that Pingora writes is one. A sink that is dropped before has broken off.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session as SessionCustom;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};

use crate::cache::fill::{End, Head, Writer};
use crate::edge::tap::MessageReader;

/// The session.
pub(super) struct Sink {
    request: RequestHeader,
    writer: Arc<Writer>,
    /// Ends when the last reader has left. It stays here: whoever watches a client polls for a moment
    /// and comes again when woken, and what was waited for must not be forgotten in between.
    leaving: Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>,
    written: Option<Box<ResponseHeader>>,
    sent: usize,
}

/// A piece is a slice of the buffer it was read into; from this size on it may keep it, bytes.
const WORTH_ITS_BUFFER: usize = 16 * 1024;

// === impl Sink ===

impl Sink {
    pub(super) fn new(request: RequestHeader, writer: Arc<Writer>) -> Self {
        let leaving = {
            let writer = Arc::clone(&writer);
            Mutex::new(Box::pin(async move { writer.deserted().await }) as _)
        };
        Self { request, writer, leaving, written: None, sent: 0 }
    }

    fn head(&mut self, head: Box<ResponseHeader>) {
        if !head.status.is_informational() {
            self.writer.head(Head { status: head.status, headers: head.headers.clone() });
            self.written = Some(head);
        }
    }

    fn body(&mut self, data: Bytes) {
        self.sent += data.len();
        let small = data.len() < WORTH_ITS_BUFFER;
        self.writer.push(if small { Bytes::copy_from_slice(&data) } else { data });
    }

    /// Takes one task; true at the end of the answer.
    fn take(&mut self, task: HttpTask) -> Result<bool> {
        match task {
            HttpTask::Header(head, end) => {
                self.head(head);
                Ok(end)
            }
            HttpTask::Body(data, end) | HttpTask::UpgradedBody(data, end) => {
                self.body(data.unwrap_or_default());
                Ok(end)
            }
            HttpTask::Trailer(_) | HttpTask::Done => Ok(true),
            HttpTask::Failed(error) => Err(error),
        }
    }

    fn left() -> Box<Error> {
        Error::explain(ErrorType::ConnectionClosed, "nobody waits for it any more").into_down()
    }
}

#[async_trait]
impl SessionCustom for Sink {
    // --- the request, which is in memory ---

    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        Ok(None)
    }

    async fn read_body_or_idle(&mut self, _: bool) -> Result<Option<Bytes>> {
        if !self.writer.is_deserted() {
            self.leaving.get_mut().await;
        }
        Err(Self::left())
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        Ok(())
    }

    fn is_body_done(&mut self) -> bool {
        true
    }

    fn is_body_empty(&mut self) -> bool {
        true
    }

    fn enable_retry_buffering(&mut self) {}

    fn retry_buffer_truncated(&self) -> bool {
        false
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        None
    }

    // --- the answer ---

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, _: bool) -> Result<()> {
        self.head(head);
        Ok(())
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, _: bool) -> Result<()> {
        self.head(Box::new(head.clone()));
        Ok(())
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.body(data);
        if end {
            self.writer.end(End::Whole);
        }
        Ok(())
    }

    async fn write_trailers(&mut self, _: HeaderMap) -> Result<()> {
        Ok(())
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut over = false;
        for task in tasks {
            over |= self.take(task)?;
        }
        if over {
            self.writer.end(End::Whole);
            return Ok(true);
        }
        self.writer.room().await;
        if self.writer.is_deserted() { Err(Self::left()) } else { Ok(false) }
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    async fn shutdown(&mut self, _: u32, _: &str) {}

    fn body_bytes_sent(&self) -> usize {
        self.sent
    }

    // --- what it has not ---

    fn set_read_timeout(&mut self, _: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, _: Option<Duration>) {}

    fn get_write_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_total_drain_timeout(&mut self, _: Option<Duration>) {}

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        None
    }

    fn request_summary(&self) -> String {
        format!("an errand, {} {}", self.request.method, self.request.uri.path())
    }

    fn body_bytes_read(&self) -> usize {
        0
    }

    fn digest(&self) -> Option<&Digest> {
        None
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        None
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }

    fn take_custom_message_reader(&mut self) -> Option<MessageReader> {
        None
    }

    fn restore_custom_message_reader(&mut self, _: MessageReader) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
