//! Bodies that are held: read whole, bounded one by one and together.
//!
//! Why a semaphore of bytes: what all requests hold is one bound, and who finds no room is told so
//! before it has sent its body.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pingora::ErrorType;
use pingora::proxy::Session;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::{Heard, content_length};
use crate::config::Server;
use crate::refusal::Refusal;

/// Memory for held bodies, shared by all requests.
pub(in crate::edge) struct Bodies(Arc<Semaphore>);

/// Bytes are counted in these, so that a semaphore can hold terabytes.
const UNIT: usize = 1024;

/// A body that came in one read keeps the buffer it was read into from this size on, bytes.
const WORTH_ITS_BUFFER: usize = 32 * 1024;

// === impl Bodies ===

impl Bodies {
    pub(in crate::edge) fn new(limits: &Server) -> Self {
        let units = (limits.body_memory / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(units)))
    }

    pub(super) async fn read(
        &self,
        session: &mut Session,
        limits: &Server,
    ) -> Result<Heard, Refusal> {
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
