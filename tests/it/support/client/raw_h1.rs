//! HTTP/1.1 by hand: exactly these bytes out, exactly this end.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::answer::{Answer, Ended, NoAnswer};
use super::connect;
use crate::support::http1::{Body, Head, Taken, take_head};
use crate::support::lever::Lever;
use crate::support::within;

/// One connection, byte by byte.
pub(crate) struct RawH1 {
    io: TcpStream,
    lever: Lever,
    inbox: BytesMut,
}

/// How the other side hung up.
#[derive(Debug, PartialEq)]
pub(crate) enum Farewell {
    Fin,
    Reset,
}

// === impl RawH1 ===

impl RawH1 {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let io = connect(addr).await;
        Self { lever: Lever::on(&io), io, inbox: BytesMut::new() }
    }

    /// Sends these bytes.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("room to send in", self.io.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Reads one head, 1xx included: its status and its headers as they stood on the wire.
    pub(crate) async fn head(&mut self) -> Result<(u16, Head), NoAnswer> {
        loop {
            if let Some(head) = take_head(&mut self.inbox).map_err(NoAnswer)? {
                let status = head.start.split(' ').nth(1).and_then(|word| word.parse().ok());
                let odd = || NoAnswer(format!("not a status line: {:?}", head.start));
                return Ok((status.ok_or_else(odd)?, head));
            }
            if let Err(farewell) = self.fill().await {
                return Err(NoAnswer(format!("{farewell:?} after {:?}", self.inbox)));
            }
        }
    }

    /// Reads whatever comes next, one read's worth; `Err` at the end.
    pub(crate) async fn next_bytes(&mut self) -> Result<Bytes, Farewell> {
        if self.inbox.is_empty() {
            self.fill().await?;
        }
        Ok(self.inbox.split().freeze())
    }

    /// Reads one whole answer (1xx heads are passed over), by the framing of its head.
    pub(crate) async fn answer(&mut self) -> Result<Answer, NoAnswer> {
        let (status, head) = loop {
            match self.head().await? {
                (100..=199, _) => {}
                last => break last,
            }
        };
        let mut body = Body::of_answer(&head, status).map_err(NoAnswer)?;
        let mut pieces = Vec::new();
        let ended = loop {
            match body.take(&mut self.inbox) {
                Ok(Taken::Piece(piece)) => pieces.push((Instant::now(), piece)),
                Ok(Taken::Over) => break Ended::Whole,
                Err(why) => break Ended::Cut(why),
                Ok(Taken::Hungry) => match (self.fill().await, &body) {
                    (Ok(()), _) => {}
                    (Err(Farewell::Fin), Body::UntilClose) => break Ended::Whole,
                    (Err(farewell), _) => break Ended::Cut(format!("{farewell:?}")),
                },
            }
        };
        Ok(Answer::new((status, header_map(&head)), pieces, ended))
    }

    /// Reads until the other side hangs up: all that came, and how it hung up.
    pub(crate) async fn until_end(&mut self) -> (Bytes, Farewell) {
        loop {
            if let Err(farewell) = self.fill().await {
                return (self.inbox.split().freeze(), farewell);
            }
        }
    }

    /// Sends FIN; reading goes on.
    pub(crate) fn half_close(&self) {
        self.lever.half_close();
    }

    /// Leaves with a FIN, as a process that closes its socket.
    pub(crate) fn fin(self) {
        self.lever.half_close();
        self.lever.drain();
    }

    /// Leaves with a RST, as a process that is killed with bytes unread.
    pub(crate) fn reset(self) {
        self.lever.arm_reset();
    }

    async fn fill(&mut self) -> Result<(), Farewell> {
        match within("bytes from the other side", self.io.read_buf(&mut self.inbox)).await {
            Ok(1..) => Ok(()),
            Ok(0) => Err(Farewell::Fin),
            Err(_) => Err(Farewell::Reset),
        }
    }
}

fn header_map(head: &Head) -> HeaderMap {
    let pair = |(name, value): &(String, Bytes)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_bytes(value).unwrap())
    };
    head.headers.iter().map(pair).collect()
}
