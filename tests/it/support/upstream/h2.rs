//! The upstream's HTTP/2: one task a stream, and each of them hears when its client leaves.
//!
//! Why orders: a stream must know that its frames are on the wire before it breaks anything, and
//! only the connection's own task can flush or hang up.
//! The trap: `RST_STREAM` throws away what is still queued, so every frame is flushed first.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use ::h2::server::{self, SendResponse};
use ::h2::{Reason, RecvStream, SendStream};
use bytes::{Bytes, BytesMut};
use http::{Request, Response, Version};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::ledger::Seen;
use super::script::{Framing, Reply};
use super::steps::{Step, Stop};
use super::{Caller, Leave, Left, Role, Wire};

/// What a stream asks of its connection.
enum Order {
    /// Tell me when all that was queued is written.
    Flush(oneshot::Sender<()>),
    /// Hang up.
    HangUp,
}

/// What the streams of one connection share.
#[derive(Clone)]
struct Shared {
    role: Arc<Role>,
    orders: mpsc::UnboundedSender<Order>,
    /// Set when it is we who hang up, so that no client is blamed.
    ours: Arc<AtomicBool>,
}

/// One stream's way out.
struct Stream {
    shared: Shared,
    respond: SendResponse<Bytes>,
    /// There once the head is sent.
    body: Option<SendStream<Bytes>>,
    sent: usize,
}

/// Serves one connection to its end.
pub(super) async fn serve(io: Box<dyn Wire>, caller: Caller) {
    let Ok(mut connection) = server::handshake(io).await else {
        return caller.role.ledger.fault("no HTTP/2 preface".to_owned());
    };
    let (orders, mut inbox) = mpsc::unbounded_channel();
    let shared = Shared { role: caller.role.clone(), orders, ours: Arc::default() };
    let mut streams = JoinSet::new();
    let mut request = 0;
    loop {
        tokio::select! {
            // In this order: polling the connection first is what flushes it.
            biased;
            next = connection.accept() => {
                let Some(Ok((head, respond))) = next else { break };
                request += 1;
                let seen = seen(&head, caller.connection.number, request);
                streams.spawn(exchange(seen, head.into_body(), shared.clone().stream(respond)));
            }
            Some(order) = inbox.recv() => match order {
                Order::Flush(done) => drop(done.send(())),
                Order::HangUp => {
                    shared.ours.store(true, Ordering::SeqCst);
                    break;
                }
            },
        }
    }
    // The streams hear of it, those too that wait to be flushed; they write it down, and end.
    drop((connection, inbox));
    while streams.join_next().await.is_some() {}
}

async fn exchange(seen: Seen, body: RecvStream, mut stream: Stream) {
    let ticket = stream.shared.role.ledger.begins(seen);
    let played = match read_body(body).await {
        Ok(body) => {
            let seen = ticket.whole(body);
            let reply = (stream.shared.role.script)(&seen);
            stream.play(reply, &seen.method).await
        }
        Err(Left) => Err(Left),
    };
    match played {
        Ok(Leave::Stay) => ticket.answered(),
        Ok(Leave::Close) => {
            ticket.answered();
            stream.hang_up();
        }
        Ok(Leave::Cut) => {
            ticket.broken();
            stream.hang_up();
            // To let go of the stream now would send `RST_STREAM` ahead of the FIN.
            let _ = stream.listening(pending::<()>()).await;
        }
        Ok(Leave::Reset) => {
            ticket.broken();
            stream.reset();
        }
        Err(Left) if stream.shared.ours.load(Ordering::SeqCst) => ticket.broken(),
        Err(Left) => ticket.client_gone(stream.sent),
    }
}

async fn read_body(mut body: RecvStream) -> Result<Bytes, Left> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|_| Left)?;
        let _ = body.flow_control().release_capacity(piece.len());
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

fn seen(head: &Request<RecvStream>, connection: usize, request: usize) -> Seen {
    let uri = head.uri();
    let text = |value: &http::HeaderValue| Bytes::copy_from_slice(value.as_bytes());
    let headers = head.headers().iter().map(|(name, value)| (name.to_string(), text(value)));
    Seen {
        method: head.method().to_string(),
        target: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        version: Version::HTTP_2,
        authority: uri.authority().map(ToString::to_string),
        headers: headers.collect(),
        body: Bytes::new(),
        whole: false,
        connection,
        request,
        at: Instant::now(),
    }
}

// === impl Shared ===

impl Shared {
    fn stream(self, respond: SendResponse<Bytes>) -> Stream {
        Stream { shared: self, respond, body: None, sent: 0 }
    }
}

// === impl Stream ===

impl Stream {
    /// Works the reply off.
    async fn play(&mut self, reply: Reply, method: &str) -> Result<Leave, Left> {
        for step in reply.steps(method) {
            match step {
                Step::Wait(time) => self.listening(sleep(time)).await?,
                Step::Pass(gate) => self.listening(gate.pass()).await?,
                Step::Interim(status) => {
                    let head = Response::builder().status(status).body(()).unwrap();
                    self.respond.send_informational(head).map_err(|_| Left)?;
                    self.flush().await?;
                }
                Step::Head => self.head(&reply, method).await?,
                Step::HeadCut(_) => {}
                Step::Piece { bytes, .. } => self.piece(bytes).await?,
                Step::Stop(stop) => return self.stop(stop).await,
                Step::WebSocket => panic!("a scripted websocket needs HTTP/1.1"),
            }
        }
        unreachable!("the last step of a reply ends it")
    }

    async fn head(&mut self, reply: &Reply, method: &str) -> Result<(), Left> {
        let mut head = Response::builder().status(reply.status);
        for (name, value) in &reply.headers {
            head = head.header(name, value);
        }
        if reply.framing == Framing::Length && (method == "HEAD" || reply.has_body(method)) {
            head = head.header("content-length", reply.length());
        }
        let sent = self.respond.send_response(head.body(()).unwrap(), false);
        self.body = Some(sent.map_err(|_| Left)?);
        self.flush().await
    }

    async fn piece(&mut self, mut bytes: Bytes) -> Result<(), Left> {
        while !bytes.is_empty() {
            let body = self.body.as_mut().expect("raw bytes need HTTP/1.1");
            body.reserve_capacity(bytes.len());
            let room = poll_fn(|cx| body.poll_capacity(cx)).await;
            let Some(Ok(room)) = room else {
                return Err(Left);
            };
            let now = bytes.split_to(room.min(bytes.len()));
            let size = now.len();
            body.send_data(now, false).map_err(|_| Left)?;
            self.flush().await?;
            self.sent += size;
        }
        Ok(())
    }

    async fn stop(&mut self, stop: Stop) -> Result<Leave, Left> {
        if matches!(stop, Stop::Whole | Stop::Close) {
            let body = self.body.as_mut().expect("raw bytes need HTTP/1.1");
            body.send_data(Bytes::new(), true).map_err(|_| Left)?;
            self.flush().await?;
        }
        match stop {
            Stop::Whole => Ok(Leave::Stay),
            Stop::Close => Ok(Leave::Close),
            Stop::Cut => Ok(Leave::Cut),
            Stop::Reset => Ok(Leave::Reset),
            Stop::Hang => self.listening(pending()).await,
        }
    }

    /// Waits until the connection has written all that was queued.
    async fn flush(&mut self) -> Result<(), Left> {
        let (done, told) = oneshot::channel();
        self.shared.orders.send(Order::Flush(done)).map_err(|_| Left)?;
        told.await.map_err(|_| Left)
    }

    fn hang_up(&self) {
        // No one to tell means that the connection is over already.
        let _ = self.shared.orders.send(Order::HangUp);
    }

    fn reset(&mut self) {
        match &mut self.body {
            Some(body) => body.send_reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    /// Waits for `done` with an ear on the client.
    async fn listening<T>(&mut self, done: impl Future<Output = T>) -> Result<T, Left> {
        let mut done = pin!(done);
        poll_fn(|cx| match done.as_mut().poll(cx) {
            Poll::Ready(out) => Poll::Ready(Ok(out)),
            Poll::Pending => self.poll_left(cx).map(Err),
        })
        .await
    }

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<Left> {
        let reset = match &mut self.body {
            Some(body) => body.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        reset.map(|_| Left)
    }
}
