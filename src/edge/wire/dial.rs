//! A new connection to a host, straight or through a tunnel, given up when the client leaves.
//!
//! Why our own: Pingora lets us make the connection ([`L4Connect`]) and does the rest, pooling, TLS
//! and h2, as with its own. Only the TLS handshake is out of our sight; the connect timeout bounds it.
//! The trap: Pingora's `connection_timeout` does not cover this, its `total_connection_timeout`
//! does; `wire::limit` sets both.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::{Error, ErrorType, Result};
use tokio::net::TcpStream;

use super::tunnel::Tunnel;
use crate::edge::tap::lend::Lent;

/// How one attempt gets a connection if the pool has none.
#[derive(Debug)]
pub(super) struct Dial {
    /// The client, when it can be watched.
    pub(super) client: Option<Lent>,
    pub(super) tunnel: Option<Arc<Tunnel>>,
}

#[async_trait]
impl L4Connect for Dial {
    async fn connect(&self, address: &PeerAddr) -> Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::InternalError, "a host is reached over TCP");
        };
        let made = self.make(*address);
        match &self.client {
            Some(client) => client.unless_left(made).await?,
            None => made.await,
        }
    }
}

// === impl Dial ===

impl Dial {
    async fn make(&self, address: SocketAddr) -> Result<Stream> {
        let reached = TcpStream::connect(address).await;
        let socket = reached.map_err(|error| self.not_reached(error, address))?;
        match &self.tunnel {
            Some(tunnel) => tunnel.through(socket).await,
            None => Ok(Stream::from(socket)),
        }
    }

    fn not_reached(&self, error: io::Error, address: SocketAddr) -> Box<Error> {
        let etype = match error.kind() {
            ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => ErrorType::ConnectNoRoute,
            ErrorKind::TimedOut => ErrorType::ConnectTimedout,
            _ => ErrorType::ConnectError,
        };
        let who = if self.tunnel.is_some() { "the proxy" } else { "the host" };
        Error::because(etype, format!("{who} is not reached at {address}"), error)
    }
}
