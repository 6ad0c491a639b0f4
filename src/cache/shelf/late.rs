//! Keys whose lookup has just failed.
//!
//! Why: a request looks twice, before and after it is clear that nobody else asks the same. If the
//! store hangs it must not wait twice.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::cache::Key;

/// The last of them, the newest at the end.
#[derive(Debug, Default)]
pub(super) struct Late(Mutex<VecDeque<(Key, Instant)>>);

/// So many are remembered.
const MOST: usize = 64;

// === impl Late ===

impl Late {
    pub(super) fn note(&self, key: Key) {
        let mut keys = self.0.lock();
        if keys.len() == MOST {
            keys.pop_front();
        }
        keys.push_back((key, Instant::now()));
    }

    /// Whether this one failed less than `ago` ago.
    pub(super) fn knows(&self, key: &Key, ago: Duration) -> bool {
        let keys = self.0.lock();
        let mut newest = keys.iter().rev().take_while(|(_, at)| at.elapsed() < ago);
        newest.any(|(known, _)| known == key)
    }
}
