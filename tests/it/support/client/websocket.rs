//! A real websocket client, for what an OpenAI realtime session does on the wire.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::connect;
use crate::support::within;

/// One open websocket.
pub(crate) struct WebSocket(WebSocketStream<TcpStream>);

// === impl WebSocket ===

impl WebSocket {
    /// Asks for an upgrade with these headers; a refusal gives its status.
    pub(crate) async fn open(
        addr: SocketAddr,
        target: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let mut request = format!("ws://{addr}{target}").into_client_request().unwrap();
        for &(name, value) in headers {
            request.headers_mut().append(name, value.parse().unwrap());
        }
        match within("an upgrade", client_async(request, connect(addr).await)).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(refusal)) => Err(refusal.status().as_u16()),
            Err(other) => panic!("neither an upgrade nor a refusal: {other}"),
        }
    }

    /// Sends a message and waits for the next one.
    pub(crate) async fn say(&mut self, message: Message) -> Message {
        self.0.send(message).await.unwrap();
        within("a message", self.0.next()).await.unwrap().unwrap()
    }

    /// Says goodbye and waits for the other side's.
    pub(crate) async fn close(mut self) {
        self.0.close(None).await.unwrap();
        while within("a goodbye", self.0.next()).await.is_some() {}
    }
}
