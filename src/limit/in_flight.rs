//! Requests that a key has under way.
//!
//! Why a value that gives its place back when it drops: a request can end in a dozen ways, and every
//! one of them drops it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::KeyId;

/// How many requests each key has under way.
#[derive(Debug, Clone)]
pub(super) struct InFlight(Arc<[AtomicUsize]>);

/// The way in for one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door<'a> {
    rooms: &'a InFlight,
    key: KeyId,
    most: NonZeroUsize,
}

/// One request under way.
#[derive(Debug)]
pub(super) struct Place {
    rooms: InFlight,
    key: KeyId,
}

// === impl InFlight ===

impl InFlight {
    pub(super) fn of(keys: usize) -> Self {
        Self((0..keys).map(|_| AtomicUsize::new(0)).collect())
    }

    pub(super) fn door(&self, key: KeyId, most: NonZeroUsize) -> Door<'_> {
        Door { rooms: self, key, most }
    }

    pub(super) fn of_key(&self, key: KeyId) -> usize {
        self.0.get(key.0 as usize).map_or(0, |held| held.load(Ordering::Relaxed))
    }
}

// === impl Door ===

impl Door<'_> {
    /// Takes a place.
    ///
    /// # Errors
    /// As many as may be are under way: their number.
    pub(super) fn enter(self) -> Result<Place, NonZeroUsize> {
        let Self { rooms, key, most } = self;
        let held = rooms.0.get(key.0 as usize).ok_or(most)?;
        let one_more = |held| (held < most.get()).then_some(held + 1);
        match held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(Place { rooms: rooms.clone(), key }),
            Err(_) => Err(most),
        }
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.rooms.0[self.key.0 as usize].fetch_sub(1, Ordering::Relaxed);
    }
}
