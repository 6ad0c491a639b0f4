//! A second handle on a TCP socket that somebody else reads and writes.
//!
//! Why: hyper, h2 and rustls swallow the socket, but only the socket can tell FIN from RST.
//! The trap: the kernel closes when the last handle goes, so the owner must be dropped too; and a
//! close with unread bytes is a RST, whatever was meant.

use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;

/// The handle: it changes how the socket ends, never what is read or written.
pub(crate) struct Lever(TcpStream);

// === impl Lever ===

impl Lever {
    /// A lever on `socket`, good for as long as it is held.
    pub(crate) fn on(socket: &tokio::net::TcpStream) -> Self {
        Self(socket.as_fd().try_clone_to_owned().unwrap().into())
    }

    /// Sends FIN now; reading goes on.
    pub(crate) fn half_close(&self) {
        // An error means that the other side was faster: the socket is closed already.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Throws away what has arrived, so that the close to come is a FIN and not a RST.
    pub(crate) fn drain(&self) {
        let mut waste = [0; 16 * 1024];
        while matches!((&self.0).read(&mut waste), Ok(1..)) {}
    }

    /// Makes the close to come a RST (`SO_LINGER` 0).
    pub(crate) fn arm_reset(&self) {
        let twin = self.0.try_clone().unwrap();
        tokio::net::TcpStream::from_std(twin).unwrap().set_zero_linger().unwrap();
    }
}
