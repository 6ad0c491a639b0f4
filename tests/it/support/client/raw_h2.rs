//! HTTP/2 frame by frame: bodies in parts, one stream reset, or the whole connection dropped.

use std::net::SocketAddr;

use ::h2::client::{self, ResponseFuture, SendRequest};
use ::h2::{Reason, SendStream};
use bytes::Bytes;
use http::Request;
use http::uri::Authority;
use tokio::task::JoinSet;

use super::answer::{NoAnswer, Reading};
use super::{absolute, connect};
use crate::support::lever::Lever;
use crate::support::within;

/// One connection by prior knowledge (h2c).
pub(crate) struct RawH2 {
    sender: SendRequest<Bytes>,
    authority: Authority,
    lever: Lever,
    driver: JoinSet<()>,
}

/// One stream: its way out, and its answer to come.
pub(crate) struct Stream {
    send: SendStream<Bytes>,
    answer: ResponseFuture,
}

// === impl RawH2 ===

impl RawH2 {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let socket = connect(addr).await;
        let lever = Lever::on(&socket);
        let (sender, connection) = client::handshake(socket).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async { drop(connection.await) });
        Self { sender, authority: addr.to_string().parse().unwrap(), lever, driver }
    }

    /// Sends a head and what there is of the body; the stream stays open for more.
    pub(crate) async fn begin(&mut self, request: Request<Bytes>) -> Stream {
        let (head, body) = request.into_parts();
        let head = absolute(Request::from_parts(head, ()), &self.authority);
        let mut sender = within("room for a stream", self.sender.clone().ready()).await.unwrap();
        let (answer, send) = sender.send_request(head, false).unwrap();
        let mut stream = Stream { send, answer };
        stream.send_more(body, false);
        stream
    }

    /// Sends a whole request.
    pub(crate) async fn send(&mut self, request: Request<Bytes>) -> Stream {
        let mut stream = self.begin(request).await;
        stream.send_more(Bytes::new(), true);
        stream
    }

    /// Closes the connection with a FIN; no GOAWAY.
    pub(crate) async fn fin(mut self) {
        self.lever.half_close();
        self.driver.shutdown().await;
        self.lever.drain();
    }

    /// Closes the connection with a RST.
    pub(crate) async fn reset(mut self) {
        self.lever.arm_reset();
        self.driver.shutdown().await;
    }
}

// === impl Stream ===

impl Stream {
    /// Sends more of the body, perhaps its end.
    pub(crate) fn send_more(&mut self, bytes: Bytes, end: bool) {
        self.send.send_data(bytes, end).unwrap();
    }

    /// Waits for the head of the answer.
    pub(crate) async fn head(&mut self) -> Result<Reading, NoAnswer> {
        let head = within("the head of an answer", &mut self.answer).await;
        Ok(Reading::h2(head.map_err(NoAnswer::because)?))
    }

    /// `RST_STREAM` with CANCEL: this stream is over, the connection is not.
    pub(crate) fn reset(&mut self) {
        self.send.send_reset(Reason::CANCEL);
    }
}
