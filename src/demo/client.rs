//! The demo's client: plain HTTP/1.1 that keeps when each piece came.

use std::time::Duration;

use anyhow::Context;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A client of one address.
pub(super) struct Client {
    address: String,
}

/// An answer as it came.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head_after: Duration,
    pub(super) pieces: Vec<(Duration, Bytes)>,
}

// === impl Client ===

impl Client {
    /// `url` is `http://HOST:PORT`.
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        let address = url.strip_prefix("http://").context("the demo speaks plain http")?;
        Ok(Self { address: address.to_owned() })
    }

    pub(super) async fn post(&self, path: &str, key: &str, body: &Value) -> anyhow::Result<Reply> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = http::Request::post(path)
            .header(HOST, &self.address)
            .header(AUTHORIZATION, format!("Bearer {key}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;
        let exchange = async move {
            let start = Instant::now();
            let answer = sender.send_request(request).await?;
            let status = answer.status().as_u16();
            let head_after = start.elapsed();
            let mut body = answer.into_body();
            let mut pieces = Vec::new();
            while let Some(frame) = body.frame().await {
                if let Ok(piece) = frame?.into_data() {
                    pieces.push((start.elapsed(), piece));
                }
            }
            anyhow::Ok(Reply { status, head_after, pieces })
        };
        // The connection must be driven for the exchange to go on, and may end before it.
        let (connected, reply) = tokio::join!(connection, exchange);
        connected?;
        reply
    }
}

// === impl Reply ===

impl Reply {
    /// All pieces as one.
    pub(super) fn body(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|(_, piece)| piece.iter().copied()).collect()
    }
}
