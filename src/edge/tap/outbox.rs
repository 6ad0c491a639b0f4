//! What the tap writes of its own accord, in steps that may be broken off at any point.
//!
//! Why: it is written while the tap waits for the client, and Pingora drops that wait whenever the
//! host sends something. What was not written by then goes out before anything else.
//! The trap: Pingora's h2 writer forgets what it has sent when it is dropped. A byte is sent whole or
//! not at all, so there each byte is a write of its own; it is comments and roles, not much.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::{HttpTask, ServerSession};

use super::flow::Overdue;

/// Written in order: the head first, if it is in.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    head: Option<Box<ResponseHeader>>,
    pieces: VecDeque<Bytes>,
}

// === impl Outbox ===

impl Outbox {
    pub(super) fn put(&mut self, overdue: Overdue) {
        let Overdue { head, pieces, .. } = overdue;
        self.head = head.or(self.head.take());
        self.pieces.extend(pieces);
    }

    /// Writes all of it. Dropping this future loses nothing and doubles nothing.
    pub(super) async fn write(&mut self, client: &mut ServerSession) -> Result<()> {
        if client.is_http2() {
            return self.write_bytes(client).await;
        }
        // HTTP/1 has a queue of its own that can be taken up again where it was left.
        if let Some(head) = self.head.take() {
            client.send_downstream_proxy_task(HttpTask::Header(head, false));
        }
        for piece in self.pieces.drain(..).filter(|piece| !piece.is_empty()) {
            client.send_downstream_proxy_task(HttpTask::Body(Some(piece), false));
        }
        finish_queue(client).await
    }

    async fn write_bytes(&mut self, client: &mut ServerSession) -> Result<()> {
        if let Some(head) = self.head.take() {
            // Never waits on h2.
            client.write_response_header(head).await?;
        }
        while let Some(piece) = self.pieces.front_mut() {
            if piece.is_empty() {
                self.pieces.pop_front();
                continue;
            }
            client.write_response_body(piece.slice(..1), false).await?;
            piece.advance(1);
        }
        Ok(())
    }
}

/// Writes what is left of an outbox that was dropped with its tap.
pub(in crate::edge) async fn finish_queue(client: &mut ServerSession) -> Result<()> {
    if client.has_pending_downstream_proxy_tasks() {
        client.write_downstream_proxy_tasks().await?;
    }
    Ok(())
}
