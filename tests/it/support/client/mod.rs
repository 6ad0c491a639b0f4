//! The clients: a polite one for most tests, raw ones for those about bytes and about leaving.
//!
//! Why one connection each: keep-alive, reuse and hanging up are things that tests are about.
//! The trap: dropping a `Client` is a FIN only when nothing unread lies in its socket; the raw ones
//! end exactly as told.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Uri, header};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::certs::Certs;
use super::within;

mod answer;
mod raw_h1;
mod raw_h2;
mod websocket;

pub(crate) use answer::{Answer, Ended, NoAnswer, Reading};
pub(crate) use raw_h1::{Farewell, RawH1};
pub(crate) use raw_h2::RawH2;
pub(crate) use websocket::WebSocket;

/// One connection that speaks properly; dropped, it closes.
pub(crate) struct Client {
    sender: Sender,
    authority: Authority,
    /// The task that owns the socket.
    _driver: JoinSet<()>,
}

enum Sender {
    H1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

// === impl Client ===

impl Client {
    /// HTTP/1.1 in the clear.
    pub(crate) async fn h1(addr: SocketAddr) -> Self {
        Self::over_h1(TokioIo::new(connect(addr).await), &addr.to_string()).await
    }

    /// HTTP/2 in the clear, by prior knowledge.
    pub(crate) async fn h2c(addr: SocketAddr) -> Self {
        Self::over_h2(TokioIo::new(connect(addr).await), &addr.to_string()).await
    }

    /// HTTP/1.1 over a unix socket.
    pub(crate) async fn unix(path: &Path) -> Self {
        let socket = within("a unix connection", UnixStream::connect(path)).await.unwrap();
        Self::over_h1(TokioIo::new(socket), "localhost").await
    }

    /// TLS that trusts `ca` for `localhost`, then what ALPN settles on; what TLS says when it fails.
    pub(crate) async fn tls(addr: SocketAddr, ca: &Certs, alpn: &[&str]) -> Result<Self, String> {
        let name = ServerName::try_from("localhost").unwrap();
        let tls = TlsConnector::from(ca.client(alpn)).connect(name, connect(addr).await);
        let tls = within("a TLS handshake", tls).await.map_err(|e| e.to_string())?;
        let authority = format!("localhost:{}", addr.port());
        let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(match h2 {
            true => Self::over_h2(TokioIo::new(tls), &authority).await,
            false => Self::over_h1(TokioIo::new(tls), &authority).await,
        })
    }

    async fn over_h1(io: impl Read + Write + Send + Unpin + 'static, authority: &str) -> Self {
        let (sender, connection) = http1::handshake(io).await.unwrap();
        Self::driven(Sender::H1(sender), authority, connection)
    }

    async fn over_h2(io: impl Read + Write + Send + Unpin + 'static, authority: &str) -> Self {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        Self::driven(Sender::H2(sender), authority, connection)
    }

    fn driven<E: 'static>(
        sender: Sender,
        authority: &str,
        connection: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Self {
        let mut driver = JoinSet::new();
        // How it ended is told by the request that was under way.
        driver.spawn(async { drop(connection.await) });
        Self { sender, authority: authority.parse().unwrap(), _driver: driver }
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(&mut self, request: Request<Bytes>) -> Result<Reading, NoAnswer> {
        let request = request.map(Full::new);
        let what = format!("an answer to {} {}", request.method(), request.uri());
        let sent = match &mut self.sender {
            Sender::H1(sender) => {
                let request = with_host(request, &self.authority);
                // The connection may still be busy with the end of the answer before.
                within(what, async {
                    sender.ready().await?;
                    sender.send_request(request).await
                })
                .await
            }
            Sender::H2(sender) => {
                let request = absolute(request, &self.authority);
                within(what, sender.send_request(request)).await
            }
        };
        Ok(Reading::hyper(sent.map_err(NoAnswer::because)?))
    }

    /// Sends a request and reads its whole answer.
    pub(crate) async fn ask(&mut self, request: Request<Bytes>) -> Answer {
        self.send(request).await.unwrap().finish().await
    }
}

async fn connect(addr: SocketAddr) -> TcpStream {
    let socket = within("a connection", TcpStream::connect(addr)).await.unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

fn with_host<B>(mut request: Request<B>, authority: &Authority) -> Request<B> {
    let host = HeaderValue::from_str(authority.as_str()).unwrap();
    request.headers_mut().entry(header::HOST).or_insert(host);
    request
}

/// HTTP/2 takes scheme and authority from the URI.
fn absolute<B>(mut request: Request<B>, authority: &Authority) -> Request<B> {
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority.clone());
    *request.uri_mut() = Uri::from_parts(parts).unwrap();
    request
}
