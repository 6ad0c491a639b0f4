//! Purging: Redis is told, sooner or later, and what was purged is deleted.
//!
//! Why it is owed until then: what an operator wants forgotten must not come back with Redis.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;

use super::lines::Lines;
use super::{Inner, Key, Labels, Redis, marks};
use crate::cache::Purge;
use crate::link::spawn;

/// So long the operator waits for a purge to be over.
const PURGE: Duration = Duration::from_secs(5);

/// Before Redis is told again of a purge that it did not take.
const AGAIN: Duration = Duration::from_secs(1);

impl Redis {
    /// Forgets, everywhere; how many entries were found and deleted within five seconds. Blocks.
    pub(in crate::cache) fn purge(&self, what: Purge<'_>) -> u64 {
        let Inner { queue, owed, shown, .. } = &*self.0;
        owed.fetch_add(1, Ordering::AcqRel);
        let goes = what.test();
        queue.forget(&goes);
        let (count, field) = (Arc::new(AtomicU64::new(0)), marks::field(what));
        let (tell, told) = channel();
        let (inner, counted) = (Arc::downgrade(&self.0), Arc::clone(&count));
        let sent = spawn(async move { Inner::purge(inner, field, goes, &counted, tell).await });
        if sent.is_err() || told.recv_timeout(PURGE) != Ok(()) {
            log::error!(
                "{shown} was not told of the purge yet; that is tried until it is done, and so long \
                 nothing is served from the cache here"
            );
            return 0;
        }
        // It may go on for long where there are many keys.
        let _ = told.recv_timeout(PURGE);
        count.load(Ordering::Relaxed)
    }
}

impl Inner {
    /// Tells Redis what was purged, however long that takes, and deletes it.
    async fn purge(
        store: Weak<Self>,
        field: Option<String>,
        goes: impl Fn(&Key, Labels) -> bool,
        count: &AtomicU64,
        tell: Sender<()>,
    ) {
        loop {
            let Some(link) = store.upgrade().map(|inner| Arc::clone(&inner.link)) else { return };
            link.reached().await;
            let field = field.clone();
            if link.call(|lines| lines.mark(field)).await.is_ok() {
                break;
            }
            sleep(AGAIN).await;
        }
        let Some(inner) = store.upgrade() else { return };
        let marks = inner.link.call(Lines::marks).await.ok().flatten();
        let marks = inner.note(marks);
        inner.owed.fetch_sub(1, Ordering::AcqRel);
        let _ = tell.send(());
        if let Some(marks) = marks {
            let _ = inner
                .link
                .call(|lines| async move { lines.sweep(&marks, goes, count).await })
                .await;
        }
        let _ = tell.send(());
    }
}
