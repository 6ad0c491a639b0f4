//! The head of a request leaves in one packet with as much of its body as is at hand.
//!
//! Why: Pingora flushes the head and then the body, so a host is woken twice for one request, and
//! each packet pays for the way through the kernel. Between the two we hold the socket's output
//! back (`TCP_CORK`, tcp(7)); the kernel lets it go by itself after 200 ms.
//!
//! The trap: nothing tells a hook that the body was written. But the two halves of Pingora's proxy
//! take turns in one task, the client's half first; so when that half had nothing more to read in
//! one turn, all it had read is written by the next.

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::Poll;

use socket2::SockRef;

/// The connection whose output is held back, if any.
#[derive(Debug)]
pub(in crate::edge) struct Cork(AtomicI32);

const NONE: RawFd = -1;

// === impl Cork ===

impl Cork {
    pub(super) fn out() -> Self {
        Self(AtomicI32::new(NONE))
    }

    /// Holds the output of `socket` back. It must stay open until [`Cork::pull_next`] or
    /// [`Cork::forget`].
    pub(in crate::edge) fn put_in(&self, socket: RawFd) {
        set(socket, true);
        self.0.store(socket, Ordering::Relaxed);
    }

    pub(super) fn is_in(&self) -> bool {
        self.0.load(Ordering::Relaxed) != NONE
    }

    /// Lets the output go when its task has its next turn.
    pub(super) async fn pull_next(&self) {
        next_turn().await;
        let socket = self.0.swap(NONE, Ordering::Relaxed);
        if socket != NONE {
            set(socket, false);
        }
    }

    /// The attempt is over; its socket may be closed by now.
    pub(super) fn forget(&self) {
        self.0.store(NONE, Ordering::Relaxed);
    }
}

/// Unlike tokio's `yield_now` it does not let every other request go first.
async fn next_turn() {
    let mut asked = false;
    std::future::poll_fn(|cx| {
        if asked {
            return Poll::Ready(());
        }
        asked = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn set(socket: RawFd, corked: bool) {
    #[expect(unsafe_code, reason = "Pingora hands out the number of a socket that it keeps open")]
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    // A socket without a cork sends at once, which is right too.
    let _ = SockRef::from(&socket).set_tcp_cork(corked);
}
