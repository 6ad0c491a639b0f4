//! How many connections to one host are kept while nobody uses them.
//!
//! Why our own count: Pingora bounds the idle connections to all hosts together, and whether one is
//! kept is asked of the peer before its request has begun, when nobody knows how many will be idle
//! at its end. So each connection is counted while it is used ([`Line`]) and until it is closed
//! ([`Bell`], which Pingora rings). One that is given back while enough are idle is shut down; Pingora
//! sees the end of it at once, and takes it out of its pool.
//!
//! The traps: a socket's number is free for another one as soon as it is closed, so one is shut down
//! under the lock that its closing needs as well. And until Pingora has looked, the pool may still
//! hand one out that was shut down: that attempt ends before a byte of it was sent, and goes again
//! a moment later. (Over h2 Pingora may look first; a broken pipe there is a reason to connect anew.)

use std::collections::HashMap;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use pingora::upstreams::peer::{HttpPeer, Tracer, Tracing};
use pingora::{Error, ErrorType, Result};
use socket2::SockRef;

/// The connections to one host.
#[derive(Debug)]
pub(super) struct Idle {
    most: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_socket: HashMap<RawFd, Connection>,
    /// How many of them nobody uses; those that were shut down not among them.
    idle: usize,
    /// Counted from the start.
    made: u64,
}

#[derive(Debug)]
struct Connection {
    nth: u64,
    /// Requests on it: one, or several over h2.
    users: usize,
    /// Its end will be told of. Only then may it be touched.
    has_bell: bool,
    shut: bool,
}

/// Which connection: its socket, and which one there.
type Name = (RawFd, u64);

/// The connection that an attempt made, `None` for one that was closed before anybody counted it.
/// Written and read under the lock of the connections.
type Made = Arc<OnceLock<Option<Name>>>;

/// The connection of one attempt, in use until this is dropped.
#[derive(Debug)]
pub(in crate::edge) struct Line {
    idle: Arc<Idle>,
    made: Made,
    using: Option<Name>,
    was_shut: bool,
}

/// Tells of the end of the connection that an attempt made, if it made one.
#[derive(Debug, Clone)]
struct Bell {
    idle: Arc<Idle>,
    made: Made,
}

// === impl Idle ===

impl Idle {
    pub(super) fn up_to(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// For an attempt at this host, which will use the peer.
    pub(super) fn line(self: &Arc<Self>, peer: &mut HttpPeer) -> Line {
        let made = Made::default();
        let bell = Bell { idle: Arc::clone(self), made: Arc::clone(&made) };
        peer.options.tracer = Some(Tracer(Box::new(bell)));
        Line { idle: Arc::clone(self), made, using: None, was_shut: false }
    }

    /// Another request on a connection, `new` for whoever made it; `None` when it was shut down.
    fn begin(&self, socket: RawFd, new: Option<&Made>) -> Option<Name> {
        let mut open = self.open.lock();
        let Open { by_socket, idle, made } = &mut *open;
        *made += 1;
        let fresh = Connection { nth: *made, users: 0, has_bell: false, shut: false };
        let connection = by_socket.entry(socket).or_insert(fresh);
        if connection.shut {
            return None;
        }
        if connection.users == 0 && connection.nth != *made {
            *idle = idle.saturating_sub(1);
        }
        connection.users += 1;
        let name = (socket, connection.nth);
        connection.has_bell |= new.is_some_and(|made| made.set(Some(name)).is_ok());
        Some(name)
    }

    /// One request less on a connection.
    fn end(&self, (socket, nth): Name) {
        let mut open = self.open.lock();
        let Open { by_socket, idle, .. } = &mut *open;
        let Some(connection) = by_socket.get_mut(&socket).filter(|it| it.nth == nth) else {
            return;
        };
        connection.users -= 1;
        if connection.users > 0 {
            return;
        }
        if !connection.has_bell {
            by_socket.remove(&socket);
        } else if *idle < self.most {
            *idle += 1;
        } else {
            connection.shut = true;
            shut(socket);
        }
    }

    /// The connection that an attempt made is about to be closed.
    fn closes(&self, made: &Made) {
        let mut open = self.open.lock();
        let Some((socket, nth)) = *made.get_or_init(|| None) else { return };
        let Open { by_socket, idle, .. } = &mut *open;
        if by_socket.get(&socket).is_some_and(|it| it.nth == nth)
            && let Some(connection) = by_socket.remove(&socket)
            && connection.users == 0
            && !connection.shut
        {
            *idle = idle.saturating_sub(1);
        }
    }
}

fn shut(socket: RawFd) {
    #[expect(unsafe_code, reason = "it is open: whoever closes it waits for the lock we hold")]
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    // One that the host has closed in the meantime is what we want.
    let _ = SockRef::from(&socket).shutdown(Shutdown::Both);
}

// === impl Line ===

impl Line {
    /// The attempt has got this connection.
    ///
    /// # Errors
    /// When it has been shut down a moment ago.
    pub(in crate::edge) fn connected(&mut self, socket: RawFd, reused: bool) -> Result<()> {
        self.using = self.idle.begin(socket, (!reused).then_some(&self.made));
        self.was_shut = self.using.is_none();
        match self.was_shut {
            true => {
                let why = "enough idle connections are kept";
                Err(Error::explain(ErrorType::ConnectionClosed, why).into_up())
            }
            false => Ok(()),
        }
    }

    /// Whether the attempt ended before anything of it was sent, since its connection was shut.
    pub(in crate::edge) fn was_shut(&self) -> bool {
        self.was_shut
    }

    /// Whether connections to this host are for one request each.
    pub(in crate::edge) fn is_for_once(&self) -> bool {
        self.idle.most == 0
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(name) = self.using.take() {
            self.idle.end(name);
        }
    }
}

// === impl Bell ===

impl Tracing for Bell {
    fn on_connected(&self) {}

    fn on_disconnected(&self) {
        self.idle.closes(&self.made);
    }

    fn boxed_clone(&self) -> Box<dyn Tracing> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// One connection: our end, the host's, and the bell that rings before ours is closed.
    struct Wire {
        ours: UnixStream,
        hosts: UnixStream,
        bell: Tracer,
    }

    impl Wire {
        /// Made by an attempt, whose line it is.
        fn made(idle: &Arc<Idle>) -> (Self, Line) {
            let mut peer = HttpPeer::new(("127.0.0.1", 1), false, String::new());
            let line = idle.line(&mut peer);
            let (ours, hosts) = UnixStream::pair().unwrap();
            hosts.set_nonblocking(true).unwrap();
            (Self { ours, hosts, bell: peer.options.tracer.unwrap() }, line)
        }

        fn new(idle: &Arc<Idle>) -> (Self, Line) {
            let (wire, mut line) = Self::made(idle);
            line.connected(wire.ours.as_raw_fd(), false).unwrap();
            (wire, line)
        }

        /// Another attempt gets it out of the pool.
        fn again(&self, idle: &Arc<Idle>) -> (Line, Result<()>) {
            let (_, mut line) = Self::made(idle);
            let connected = line.connected(self.ours.as_raw_fd(), true);
            (line, connected)
        }

        /// Whether the host sees the end of it.
        fn is_shut(&mut self) -> bool {
            self.hosts.read(&mut [0]).is_ok_and(|read| read == 0)
        }

        fn close(self) {
            self.bell.0.on_disconnected();
        }
    }

    fn count(idle: &Idle) -> (usize, usize) {
        let open = idle.open.lock();
        (open.idle, open.by_socket.len())
    }

    #[test]
    fn as_many_as_may_be_are_kept_and_the_next_one_is_shut() {
        let idle = Idle::up_to(2);
        let (mut wires, lines): (Vec<_>, Vec<_>) = (0..4).map(|_| Wire::new(&idle)).unzip();
        assert_eq!(count(&idle), (0, 4));
        drop(lines);
        assert_eq!(count(&idle), (2, 4));
        let shut: Vec<bool> = wires.iter_mut().map(Wire::is_shut).collect();
        assert_eq!(shut, [false, false, true, true]);
        wires.into_iter().for_each(Wire::close);
        assert_eq!(count(&idle), (0, 0));
    }

    #[test]
    fn a_place_is_free_when_one_is_used_again_or_closed() {
        let idle = Idle::up_to(1);
        let (wire, line) = Wire::new(&idle);
        drop(line);
        let (again, connected) = wire.again(&idle);
        assert!(connected.is_ok() && count(&idle) == (0, 1));
        drop(again);
        assert_eq!(count(&idle), (1, 1));
        wire.close();
        let (mut wire, line) = Wire::new(&idle);
        drop(line);
        assert!(!wire.is_shut() && count(&idle) == (1, 1));
    }

    #[test]
    fn one_that_several_share_is_idle_after_the_last_of_them() {
        let idle = Idle::up_to(0);
        let (mut wire, first) = Wire::new(&idle);
        let (second, _) = wire.again(&idle);
        drop(first);
        assert!(!wire.is_shut());
        drop(second);
        assert!(wire.is_shut());
    }

    #[test]
    fn one_that_was_shut_is_refused_and_so_not_used() {
        let idle = Idle::up_to(0);
        let (wire, line) = Wire::new(&idle);
        drop(line);
        let (line, connected) = wire.again(&idle);
        let error = connected.unwrap_err();
        assert!(line.was_shut());
        assert_eq!(
            (error.etype(), error.esource().as_str()),
            (&ErrorType::ConnectionClosed, "Upstream")
        );
        drop(line);
        wire.close();
        assert_eq!(count(&idle), (0, 0));
    }

    /// Its number may be another socket's by the time the attempt ends.
    #[test]
    fn one_whose_end_was_told_or_never_will_be_is_not_touched() {
        let idle = Idle::up_to(0);
        let (wire, line) = Wire::new(&idle);
        wire.bell.0.on_disconnected();
        let (mut wire, mut ended) = (wire, line);
        drop(ended);
        assert!(!wire.is_shut(), "closed in use");

        // Over h2 others can be quicker than its maker, who may never come.
        (wire, ended) = Wire::made(&idle);
        let (other, _) = wire.again(&idle);
        drop((ended, other));
        assert!(!wire.is_shut(), "without a maker");

        (wire, ended) = Wire::made(&idle);
        wire.bell.0.on_disconnected();
        ended.connected(wire.ours.as_raw_fd(), false).unwrap();
        drop(ended);
        assert!(!wire.is_shut(), "closed before it was counted");
        assert_eq!(count(&idle), (0, 0));
    }
}
