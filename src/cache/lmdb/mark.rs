//! What is known of an entry without looking at it.
//!
//! Why fixed bytes: it is read for every entry when the store is opened or purged.

use super::Labels;

/// Times, labels and length of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Its place in the order of use; each is used once.
    pub(super) age: u64,
    /// When it is good no longer, milliseconds from the epoch.
    pub(super) expires: u64,
    pub(super) labels: Labels,
    /// Bytes.
    pub(super) length: u64,
}

// === impl Mark ===

impl Mark {
    /// Reads what [`Mark::bytes`] wrote; `None` for anything else.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 40] = bytes.try_into().ok()?;
        let (numbers, _) = bytes.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let mut next = || numbers.next();
        let (age, expires) = (next()?, next()?);
        let labels = Labels { tenant: next()?, model: next()? };
        Some(Self { age, expires, labels, length: next()? })
    }

    pub(super) fn bytes(&self) -> [u8; 40] {
        let Self { age, expires, labels, length } = self;
        let mut bytes = [0; 40];
        let numbers = [age, expires, &labels.tenant, &labels.model, length];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }
}
