//! A new connection to a host, straight or through a tunnel, given up when the client leaves.
//!
//! Why our own: Pingora lets us make the connection ([`L4Connect`]) and does the rest, TLS, h2 and
//! pooling, as with its own. While it agrees on TLS nobody could stop it, so the connection is shut
//! down under it when the client leaves.
//! The trap: Pingora's `connection_timeout` does not cover this, its `total_connection_timeout`
//! does; `wire::limit` sets both.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::{Error, ErrorType, Result};
use socket2::SockRef;
use tokio::net::TcpStream;

use super::tunnel::Tunnel;
use crate::edge::tap::lend::Client;

/// How one attempt gets a connection if the pool has none.
#[derive(Debug)]
pub(super) struct Dial {
    /// The client, when it can be watched.
    pub(super) client: Option<Client>,
    pub(super) tunnel: Option<Arc<Tunnel>>,
    pub(super) tls: bool,
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
        let shutter = self.tls.then(|| SockRef::from(&socket).try_clone());
        let stream = match &self.tunnel {
            Some(tunnel) => tunnel.through(socket).await?,
            None => Stream::from(socket),
        };
        if let (Some(client), Some(Ok(shutter))) = (&self.client, shutter) {
            client.when_left(move || {
                // One that the host has closed in the meantime is what we want.
                let _ = shutter.shutdown(Shutdown::Both);
            });
        }
        Ok(stream)
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
