//! The upstream's HTTP/1.1: every byte is ours, and the read side is never left alone.
//!
//! Why no library: none sends half a chunk. The trap: waiting and writing both listen, so bytes of
//! a next request (or an unread body) may arrive meanwhile; they wait in `inbox`.

use std::future::pending;
use std::pin::pin;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use http::Version;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role as WsRole;

use super::ledger::{Seen, Ticket};
use super::script::{Framing, Reply};
use super::steps::{Step, Stop};
use super::{Caller, Leave, Left, Wire};
use crate::support::http1::{Body, Head, Taken, take_head};

use text::{head_text, piece_on_wire, seen, start_line};

mod text;

/// The two halves of a connection and what has come in but is not used yet.
struct Line {
    read: ReadHalf<Box<dyn Wire>>,
    write: WriteHalf<Box<dyn Wire>>,
    inbox: BytesMut,
    /// Bytes of the present answer's body that were written.
    sent: usize,
}

/// Serves one connection to its end.
pub(super) async fn serve(io: Box<dyn Wire>, caller: Caller) {
    let (read, write) = tokio::io::split(io);
    let mut line = Line { read, write, inbox: BytesMut::new(), sent: 0 };
    let mut request = 0;
    let leave = loop {
        request += 1;
        match line.exchange(&caller, request).await {
            Ok(Leave::Stay) => {}
            Ok(leave) => break leave,
            Err(Left) => break Leave::Cut,
        }
    };
    match leave {
        Leave::Close => drop(line.write.shutdown().await),
        Leave::Reset => caller.lever.arm_reset(),
        Leave::Stay | Leave::Cut => {}
    }
}

// === impl Line ===

impl Line {
    /// One request and its answer.
    async fn exchange(&mut self, caller: &Caller, request: usize) -> Result<Leave, Left> {
        let head = self.head(caller).await?;
        let read = seen(&head, caller.connection.number, request);
        let (seen, body) = read.map_err(|why| caller.fault(&why))?;
        let expects = head.says("expect", "100-continue");
        let closes = head.says("connection", "close") || seen.version == Version::HTTP_10;
        let ticket = caller.role.ledger.begins(seen);
        self.sent = 0;

        let played = if caller.role.early {
            let played = self.play(&head, (caller.role.script)(&ticket.seen()), &ticket).await;
            if matches!(played, Ok(Leave::Stay)) {
                self.body(caller, body, &ticket, false).await?;
            }
            played
        } else {
            let seen = self.body(caller, body, &ticket, expects).await?;
            self.play(&head, (caller.role.script)(&seen), &ticket).await
        };
        match played {
            Ok(Leave::Stay) if closes => Ok(Leave::Close),
            played => played,
        }
    }

    async fn head(&mut self, caller: &Caller) -> Result<Head, Left> {
        loop {
            match take_head(&mut self.inbox) {
                Ok(Some(head)) => return Ok(head),
                Ok(None) => fill(&mut self.read, &mut self.inbox).await?,
                Err(why) => return Err(caller.fault(&why)),
            }
        }
    }

    async fn body(
        &mut self,
        caller: &Caller,
        mut body: Body,
        ticket: &Ticket,
        expects: bool,
    ) -> Result<Seen, Left> {
        let mut whole = BytesMut::new();
        if expects {
            let go_on = self.write("HTTP/1.1 100 Continue\r\n\r\n").await;
            go_on.inspect_err(|Left| ticket.client_gone(0))?;
        }
        loop {
            match body.take(&mut self.inbox) {
                Ok(Taken::Piece(piece)) => whole.extend_from_slice(&piece),
                Ok(Taken::Over) => return Ok(ticket.whole(whole.freeze())),
                Ok(Taken::Hungry) => fill(&mut self.read, &mut self.inbox)
                    .await
                    .inspect_err(|Left| ticket.client_gone(self.sent))?,
                Err(why) => return Err(caller.fault(&why)),
            }
        }
    }

    /// Works the reply off and writes down how it ended.
    async fn play(&mut self, head: &Head, reply: Reply, ticket: &Ticket) -> Result<Leave, Left> {
        let method = head.start.split(' ').next().unwrap();
        for step in reply.steps(method) {
            let played = match step {
                Step::WebSocket => self.echo(head).await,
                step => self.step(step, &reply, method).await,
            };
            match played {
                Ok(None) => {}
                Ok(Some(leave @ (Leave::Stay | Leave::Close))) => {
                    ticket.answered();
                    return Ok(leave);
                }
                Ok(Some(leave)) => {
                    ticket.broken();
                    return Ok(leave);
                }
                Err(Left) => {
                    ticket.client_gone(self.sent);
                    return Err(Left);
                }
            }
        }
        unreachable!("the last step of a reply ends it")
    }

    async fn step(
        &mut self,
        step: Step,
        reply: &Reply,
        method: &str,
    ) -> Result<Option<Leave>, Left> {
        match step {
            Step::Wait(time) => self.listening(sleep(time)).await?,
            Step::Pass(gate) => self.listening(gate.pass()).await?,
            Step::Interim(status) => self.write(start_line(status) + "\r\n").await?,
            Step::Head => self.write(head_text(reply, method)).await?,
            Step::HeadCut(bytes) => {
                let mut head = head_text(reply, method);
                head.truncate(bytes);
                self.write(head).await?;
            }
            Step::Piece { declared, bytes } => {
                let size = bytes.len();
                self.write(piece_on_wire(reply.framing, declared, bytes)).await?;
                self.sent += size;
            }
            Step::Stop(stop) => return self.stop(stop, reply, method).await.map(Some),
            Step::WebSocket => unreachable!("played by echo"),
        }
        Ok(None)
    }

    async fn stop(&mut self, stop: Stop, reply: &Reply, method: &str) -> Result<Leave, Left> {
        let terminated = reply.framing == Framing::Chunked && reply.has_body(method);
        if terminated && matches!(stop, Stop::Whole | Stop::Close) {
            self.write("0\r\n\r\n").await?;
        }
        match stop {
            Stop::Whole => Ok(Leave::Stay),
            Stop::Close => Ok(Leave::Close),
            Stop::Cut => Ok(Leave::Cut),
            Stop::Reset => Ok(Leave::Reset),
            Stop::Hang => self.listening(pending()).await,
        }
    }

    /// Waits for `done` with an ear on the client.
    async fn listening<T>(&mut self, done: impl Future<Output = T>) -> Result<T, Left> {
        listening(&mut self.read, &mut self.inbox, done).await
    }

    async fn write(&mut self, bytes: impl Into<Bytes>) -> Result<(), Left> {
        let bytes = bytes.into();
        let write = async {
            self.write.write_all(&bytes).await?;
            self.write.flush().await
        };
        let written = listening(&mut self.read, &mut self.inbox, write).await?;
        written.map_err(|_| Left)
    }

    /// 101, then every message back until the client says goodbye.
    async fn echo(&mut self, head: &Head) -> Result<Option<Leave>, Left> {
        let key = head.values("sec-websocket-key").next().unwrap_or_default();
        let accept = derive_accept_key(key);
        let upgrade = "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept:";
        self.write(format!("{}{upgrade} {accept}\r\n\r\n", start_line(101))).await?;
        let io = tokio::io::join(&mut self.read, &mut self.write);
        let early = self.inbox.split().to_vec();
        let mut socket =
            WebSocketStream::from_partially_read(io, early, WsRole::Server, None).await;
        while let Some(message) = socket.next().await {
            let message = message.map_err(|_| Left)?;
            if message.is_text() || message.is_binary() {
                self.sent += message.len();
                socket.send(message).await.map_err(|_| Left)?;
            }
        }
        Ok(Some(Leave::Close))
    }
}

async fn listening<T>(
    read: &mut ReadHalf<Box<dyn Wire>>,
    inbox: &mut BytesMut,
    done: impl Future<Output = T>,
) -> Result<T, Left> {
    let mut done = pin!(done);
    loop {
        tokio::select! {
            biased;
            out = &mut done => return Ok(out),
            heard = fill(read, inbox) => heard?,
        }
    }
}

/// Reads some more; FIN and RST are both `Left`.
async fn fill(read: &mut ReadHalf<Box<dyn Wire>>, inbox: &mut BytesMut) -> Result<(), Left> {
    match read.read_buf(inbox).await {
        Ok(1..) => Ok(()),
        Ok(0) | Err(_) => Err(Left),
    }
}
