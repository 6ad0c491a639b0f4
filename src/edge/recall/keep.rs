//! What is kept of an answer that an errand brought.
//!
//! Why only now: until its last byte nobody knows whether an answer is whole.

use http::StatusCode;
use http::header::{CONTENT_ENCODING, HeaderMap};
use jiff::Timestamp;

use super::Wanted;
use crate::cache::fill::{Head, Piece, Writer};
use crate::cache::{Api, Chunk, Ending, Entry, Key, Shelf, is_whole_body, kept};
use crate::edge::relay;

/// Where an answer belongs.
pub(super) struct Order {
    key: Key,
    api: Api,
    model: String,
    tenant: String,
    epoch: u64,
    /// When it was asked for, milliseconds from the epoch.
    created: u64,
}

// === impl Order ===

impl Order {
    pub(super) fn of(wanted: &Wanted, epoch: u64) -> Self {
        Self {
            key: wanted.key,
            api: wanted.api,
            model: wanted.model.clone(),
            tenant: wanted.tenant.clone(),
            epoch,
            created: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0),
        }
    }
}

/// Keeps what came, if it is whole and good.
pub(super) async fn keep(shelf: &Shelf, writer: &Writer, order: Order) {
    let Some((head, pieces)) = writer.whole() else { return };
    let size: usize = pieces.iter().map(|piece| piece.data.len()).sum();
    let stream = relay::is_stream(&head.headers);
    if size > shelf.rules.answer || !is_good(&head, &pieces, &order, stream) {
        return;
    }
    let Order { key, api, model, tenant, epoch, created } = order;
    let status = head.status.as_u16();
    let (headers, chunks) = (kept(&head.headers), chunks(pieces));
    let entry = Entry { created, api, stream, status, headers, model, tenant, chunks };
    shelf.put(key, &entry, epoch).await;
}

fn is_good(head: &Head, pieces: &[Piece], order: &Order, stream: bool) -> bool {
    if head.status != StatusCode::OK || is_coded(&head.headers) {
        return false;
    }
    if !stream {
        let body = pieces.iter().map(|piece| &piece.data[..]).collect::<Vec<_>>().concat();
        return is_whole_body(order.api, head.status.as_u16(), &body);
    }
    let mut ending = Ending::new(usize::MAX);
    pieces.iter().for_each(|piece| ending.push(&piece.data));
    ending.is_whole()
}

fn is_coded(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity")
}

/// The pieces with the time since the first.
fn chunks(pieces: Vec<Piece>) -> Vec<Chunk> {
    let first = pieces.first().map(|piece| piece.at);
    let chunk = |piece: Piece| {
        let since = first.map_or(0, |first| (piece.at - first).as_millis());
        Chunk { at: u32::try_from(since).unwrap_or(u32::MAX), data: piece.data }
    };
    pieces.into_iter().map(chunk).collect()
}
