//! What there is for each key: which limits it has, what it has under way, and its counters.
//!
//! Why in one place: at a million keys nothing of a key is in any cache, and every further place that
//! is looked at costs more than all the counting. A place under way comes back when it drops, since a
//! request can end in a dozen ways, and every one of them drops it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::KeyId;
use super::slot::Slot;

/// All keys.
#[derive(Debug, Clone)]
pub(super) struct Keys(Arc<[Desk]>);

/// The way in for one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door<'a> {
    keys: &'a Keys,
    key: KeyId,
    most: NonZeroUsize,
}

/// One request under way.
#[derive(Debug)]
pub(super) struct Place {
    keys: Keys,
    key: KeyId,
}

/// One key, in a pair of cache lines; in this order, so that what is looked at first, the lock of the
/// slot too, lies in the first of them and brings the other one along.
#[derive(Debug)]
#[repr(C, align(128))]
struct Desk {
    /// The number of its limits.
    own: u32,
    under_way: AtomicU32,
    slot: Mutex<Slot>,
}

// === impl Keys ===

impl Keys {
    /// From the numbers of their limits.
    pub(super) fn of(own: impl Iterator<Item = u32>) -> Self {
        let desk = |own| Desk { own, under_way: AtomicU32::new(0), slot: Mutex::default() };
        Self(own.map(desk).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn own(&self, key: KeyId) -> Option<usize> {
        self.desk(key).map(|desk| desk.own as usize)
    }

    pub(super) fn slot(&self, key: KeyId) -> Option<&Mutex<Slot>> {
        self.desk(key).map(|desk| &desk.slot)
    }

    /// Some of the slots, or all.
    pub(super) fn slots(&self, from: usize, most: usize) -> impl Iterator<Item = &Mutex<Slot>> {
        self.0.iter().skip(from).take(most).map(|desk| &desk.slot)
    }

    pub(super) fn under_way(&self, key: KeyId) -> usize {
        self.desk(key).map_or(0, |desk| desk.under_way.load(Ordering::Relaxed) as usize)
    }

    pub(super) fn door(&self, key: KeyId, most: NonZeroUsize) -> Door<'_> {
        Door { keys: self, key, most }
    }

    fn desk(&self, key: KeyId) -> Option<&Desk> {
        self.0.get(key.0 as usize)
    }
}

// === impl Door ===

impl Door<'_> {
    /// Takes a place.
    ///
    /// # Errors
    /// As many as may be are under way: their number.
    pub(super) fn enter(self) -> Result<Place, NonZeroUsize> {
        let Self { keys, key, most } = self;
        let under_way = &keys.desk(key).ok_or(most)?.under_way;
        let one_more =
            |now: u32| ((now as usize) < most.get()).then(|| now.checked_add(1)).flatten();
        match under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(Place { keys: keys.clone(), key }),
            Err(_) => Err(most),
        }
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(desk) = self.keys.desk(self.key) {
            desk.under_way.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_pair_of_cache_lines() {
        assert_eq!(size_of::<Desk>(), 128);
    }
}
