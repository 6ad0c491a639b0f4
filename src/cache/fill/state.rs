//! What is there of an answer, and how far its readers have come.
//!
//! Why one place says what may go: who falls too far back loses the answer, and nobody else does;
//! both follow from what is let go here.

use std::collections::{BTreeMap, VecDeque};

use http::StatusCode;

use super::held::Share;
use super::{End, Head, Next, Piece, Via};
use crate::refusal::Refusal;

#[derive(Debug)]
pub(super) struct State {
    pub(super) head: Option<Head>,
    pieces: VecDeque<Piece>,
    /// Pieces that are gone; they were the first.
    gone: usize,
    /// Bytes of the pieces that are there.
    share: Share,
    /// Bytes that came.
    came: u64,
    /// Bytes that the quickest reader has taken.
    taken: u64,
    pub(super) end: Option<End>,
    pub(super) via: Via,
    /// Why there is no answer, or no whole one.
    pub(super) refusal: Option<Refusal>,
    /// How many readers have come so far: by the number of their next piece.
    places: BTreeMap<usize, usize>,
    pub(super) deserted: bool,
    /// The writer is gone: what it had to do with the answer is done.
    pub(super) over: bool,
}

/// Where one reader is.
#[derive(Debug, Default)]
pub(super) struct Place {
    has_head: bool,
    /// The next piece, counted from the first of all.
    next: usize,
    /// Bytes that it has read.
    taken: u64,
}

/// What the quickest reader may have left unread while all together hold too much, bytes.
pub(super) const UNREAD_LEAST: usize = 64 * 1024;

// === impl State ===

impl State {
    pub(super) fn of_one_reader(share: Share) -> Self {
        Self {
            head: None,
            pieces: VecDeque::new(),
            gone: 0,
            share,
            came: 0,
            taken: 0,
            end: None,
            via: Via::default(),
            refusal: None,
            places: BTreeMap::from([(0, 1)]),
            deserted: false,
            over: false,
        }
    }

    /// One more reader, from the start; false when the start is gone, or the answer is over, given
    /// up or no good. One that is whole can be joined until it is kept, or it would be fetched twice.
    pub(super) fn join(&mut self) -> bool {
        let goes_on = match self.end {
            None => !self.deserted,
            Some(End::Whole) => !self.over,
            Some(End::Broken) => false,
        };
        // Who asks again after a refusal must not meet the same one.
        let good = self.head.as_ref().is_none_or(|head| head.status == StatusCode::OK);
        let joins = goes_on && good && self.gone == 0;
        if joins {
            *self.places.entry(0).or_default() += 1;
        }
        joins
    }

    /// What comes next for a reader, if it is there; true beside it when the quickest has read on.
    pub(super) fn next(&mut self, place: &mut Place) -> Option<(Next, bool)> {
        if !place.has_head
            && let Some(head) = &self.head
        {
            place.has_head = true;
            return Some((Next::Head(head.clone()), false));
        }
        let Some(at) = place.next.checked_sub(self.gone) else {
            return Some((Next::End(End::Broken), false));
        };
        let Some(piece) = self.pieces.get(at).cloned() else {
            return self.end.map(|end| (Next::End(end), false));
        };
        self.leave(place);
        place.next += 1;
        place.taken += piece.data.len() as u64;
        *self.places.entry(place.next).or_default() += 1;
        let quickest = place.taken > self.taken;
        self.taken = self.taken.max(place.taken);
        Some((Next::Piece(piece), quickest))
    }

    /// A reader has gone from its place; true if it was the last one.
    pub(super) fn leave(&mut self, place: &Place) -> bool {
        if let Some(readers) = self.places.get_mut(&place.next) {
            *readers -= 1;
            if *readers == 0 {
                self.places.remove(&place.next);
            }
        }
        self.places.is_empty()
    }

    /// Takes a piece, and lets go of what is too much: of more than `most` bytes in any case; while
    /// all answers hold too much, of what every reader has.
    pub(super) fn push(&mut self, piece: Piece, most: usize) {
        self.share.add(piece.data.len());
        self.came += piece.data.len() as u64;
        self.pieces.push_back(piece);
        while self.share.bytes() > most && self.let_go() {}
        let slowest = self.places.keys().next().copied().unwrap_or(usize::MAX);
        while self.share.is_too_much() && self.gone < slowest && self.let_go() {}
    }

    fn let_go(&mut self) -> bool {
        let Some(oldest) = self.pieces.pop_front() else { return false };
        self.share.give_back(oldest.data.len());
        self.gone += 1;
        true
    }

    /// Whether more may come now, of an answer of which `most` bytes are kept.
    pub(super) fn has_room(&self, most: usize) -> bool {
        let half = most as u64 / 2;
        let unread = if self.share.is_too_much() { half.min(UNREAD_LEAST as u64) } else { half };
        self.deserted || self.came - self.taken <= unread
    }

    /// The whole answer from its start; `None` when it is not whole, or not all of it is there.
    pub(super) fn whole(&self) -> Option<(Head, Vec<Piece>)> {
        let whole = self.end == Some(End::Whole) && self.gone == 0;
        let head = self.head.as_ref().filter(|_| whole)?;
        Some((head.clone(), self.pieces.iter().cloned().collect()))
    }
}
