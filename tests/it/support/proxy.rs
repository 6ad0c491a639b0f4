//! An HTTP proxy as firms run them: CONNECT tunnels, absolute-form requests, perhaps a password.
//!
//! Why its own book: whether aifd dials a proxy once or five times, and what it tells it, can be
//! seen nowhere else. It alone knows the hosts by name, so that a test sees who looked them up.
//! The trap: a tunnel is counted when it is made, not when it is used.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::http1::{Body, Head, Taken, take_head};

/// Where each `host:port` really is.
type Names = Arc<HashMap<String, SocketAddr>>;

/// What the proxy does with whoever comes.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// Relays all.
    Relay,
    /// Relays what brings this `Proxy-Authorization`; to others a 407.
    Demand(&'static str),
    /// Answers with exactly these bytes, then closes.
    SayAndClose(Bytes),
    /// Takes the connection and never says a word.
    Hang,
}

/// What the proxy saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book {
    /// Connections from clients.
    pub(crate) connections: usize,
    /// Targets of the tunnels that were made.
    pub(crate) tunnels: Vec<String>,
    /// Targets of the requests that were relayed without one.
    pub(crate) relayed: Vec<String>,
    /// Every `Proxy-Authorization`.
    pub(crate) presented: Vec<String>,
}

/// A listening proxy; it ends, with all its connections, when it is dropped.
pub(crate) struct Proxy {
    addr: SocketAddr,
    book: Arc<Mutex<Book>>,
    _acceptor: JoinSet<()>,
}

/// One connection from a client, and what it has sent that is not used yet.
struct Visit<R> {
    client: R,
    inbox: BytesMut,
    book: Arc<Mutex<Book>>,
    names: Names,
}

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\nvia: 1.1 proxy\r\n\r\n";
const BAD_GATEWAY: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n";
const WHO_ARE_YOU: &[u8] = b"HTTP/1.1 407 Proxy Authentication Required\r\n\
    proxy-authenticate: Basic realm=\"proxy\"\r\ncontent-length: 0\r\n\r\n";

// === impl Proxy ===

impl Proxy {
    /// With names for some hosts; every other target is a 502.
    pub(crate) async fn start(manner: Manner, names: &[(&str, SocketAddr)]) -> Self {
        let names = names.iter().map(|(name, addr)| ((*name).to_owned(), *addr)).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let book = Arc::new(Mutex::new(Book::default()));
        let mut acceptor = JoinSet::new();
        let blank = Visit {
            client: (),
            inbox: BytesMut::new(),
            book: Arc::clone(&book),
            names: Arc::new(names),
        };
        acceptor.spawn(accept(listener, blank, manner));
        Self { addr, book, _acceptor: acceptor }
    }

    /// As a key of an upstream, with a login or without.
    pub(crate) fn key(&self, login: &str) -> String {
        format!("proxy = \"http://{login}{}\"", self.addr)
    }

    /// All that is known by now.
    pub(crate) fn book(&self) -> Book {
        self.book.lock().clone()
    }
}

async fn accept(listener: TcpListener, blank: Visit<()>, manner: Manner) {
    let mut open = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        client.set_nodelay(true).unwrap();
        blank.book.lock().connections += 1;
        let visit = blank.with(client);
        let manner = manner.clone();
        // An error means that somebody left: that is the end of this connection and no more.
        open.spawn(async { drop(visit.serve(manner).await) });
        while open.try_join_next().is_some() {}
    }
}

/// Authority and path of an absolute-form target.
fn split(target: &str) -> (&str, &str) {
    let rest = target.strip_prefix("http://").unwrap();
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}

/// The head as its target's host is to get it.
fn origin_form(head: &Head) -> Bytes {
    let mut words = head.start.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let mut wire = format!("{method} {} HTTP/1.1\r\n", split(target).1).into_bytes();
    for (name, value) in &head.headers {
        if !name.eq_ignore_ascii_case("proxy-authorization") {
            wire.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
    }
    wire.extend_from_slice(b"\r\n");
    wire.into()
}

// === impl Visit ===

impl<R> Visit<R> {
    /// The same one with another client.
    fn with<C>(&self, client: C) -> Visit<C> {
        let (book, names) = (Arc::clone(&self.book), Arc::clone(&self.names));
        Visit { client, inbox: BytesMut::new(), book, names }
    }
}

impl<R: AsyncRead + Unpin> Visit<R> {
    /// The next head, written down; `None` when the client has left.
    async fn head(&mut self) -> std::io::Result<Option<Head>> {
        loop {
            if let Some(head) = take_head(&mut self.inbox).unwrap() {
                let shown = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                let mut book = self.book.lock();
                book.presented.extend(head.values("proxy-authorization").map(shown));
                return Ok(Some(head));
            }
            if self.client.read_buf(&mut self.inbox).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Passes a request's body on; chunks are made anew.
    async fn body(&mut self, head: &Head, host: &mut OwnedWriteHalf) -> std::io::Result<()> {
        let mut body = Body::of_request(head).unwrap();
        let chunked = matches!(body, Body::Chunked(_));
        loop {
            match body.take(&mut self.inbox).unwrap() {
                Taken::Piece(piece) if chunked => {
                    let size = format!("{:x}\r\n", piece.len());
                    host.write_all(&[size.as_bytes(), &piece, b"\r\n"].concat()).await?;
                }
                Taken::Piece(piece) => host.write_all(&piece).await?,
                Taken::Over if chunked => return host.write_all(b"0\r\n\r\n").await,
                Taken::Over => return Ok(()),
                Taken::Hungry if self.client.read_buf(&mut self.inbox).await? == 0 => return Ok(()),
                Taken::Hungry => {}
            }
        }
    }
}

impl Visit<TcpStream> {
    async fn serve(mut self, manner: Manner) -> std::io::Result<()> {
        while let Some(head) = self.head().await? {
            match &manner {
                Manner::Hang => std::future::pending().await,
                Manner::SayAndClose(answer) => return self.client.write_all(answer).await,
                Manner::Demand(wanted) if !head.says("proxy-authorization", wanted) => {
                    self.client.write_all(WHO_ARE_YOU).await?;
                }
                Manner::Relay | Manner::Demand(_) => return self.relay(head).await,
            }
        }
        Ok(())
    }

    async fn relay(mut self, head: Head) -> std::io::Result<()> {
        let target = head.start.split(' ').nth(1).unwrap();
        let tunnel = head.start.starts_with("CONNECT ");
        let authority = if tunnel { target } else { split(target).0 };
        let Some(addr) = self.names.get(authority) else {
            return self.client.write_all(BAD_GATEWAY).await;
        };
        let mut host = TcpStream::connect(addr).await?;
        host.set_nodelay(true)?;
        if !tunnel {
            return self.pass_on(head, host).await;
        }
        self.book.lock().tunnels.push(target.to_owned());
        self.client.write_all(ESTABLISHED).await?;
        host.write_all(&self.inbox).await?;
        copy_bidirectional(&mut self.client, &mut host).await.map(drop)
    }

    /// Absolute-form requests to one host: heads change, all else is as it came.
    async fn pass_on(self, first: Head, host: TcpStream) -> std::io::Result<()> {
        let Self { client, inbox, book, names } = self;
        let (client, mut back) = client.into_split();
        let mut visit = Visit { client, inbox, book, names };
        let (mut answers, mut onward) = host.into_split();
        let requests = async {
            let mut next = Some(first);
            while let Some(head) = next {
                let target = head.start.split(' ').nth(1).unwrap().to_owned();
                visit.book.lock().relayed.push(target);
                onward.write_all(&origin_form(&head)).await?;
                visit.body(&head, &mut onward).await?;
                next = visit.head().await?;
            }
            Ok(())
        };
        tokio::select! {
            over = requests => over,
            over = copy(&mut answers, &mut back) => over.map(drop),
        }
    }
}
