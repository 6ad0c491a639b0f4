//! A tunnel through an HTTP proxy: CONNECT, and what may go wrong with it.
//!
//! Why our own: Pingora speaks CONNECT to a unix socket and an IP address only.

use http::HeaderValue;
use pingora::protocols::l4::stream::Stream;
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// The way to one target through the proxy that the peer's address names.
#[derive(Debug)]
pub(in crate::edge) struct Tunnel {
    target: String,
    login: Option<HeaderValue>,
}

/// The longest head that a proxy may answer with, bytes.
const HEAD_MOST: usize = 8 * 1024;

/// What a 407 means, for whoever has to put it right.
pub(super) fn locked_out(login: Option<&HeaderValue>) -> &'static str {
    match login {
        Some(_) => "the proxy does not accept the login in `proxy` (407)",
        None => "the proxy asks for a login (407): write http://user:password@... into `proxy`",
    }
}

// === impl Tunnel ===

impl Tunnel {
    /// The way to `target` (`host:port`, resolved by the proxy). `login` is a whole value of
    /// `Proxy-Authorization`.
    pub(super) fn new(target: impl Into<String>, login: Option<HeaderValue>) -> Self {
        Self { target: target.into(), login }
    }

    fn request(&self) -> Vec<u8> {
        let target = &self.target;
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(login) = &self.login {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(login.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request
    }

    /// Makes the tunnel, on a new connection to the proxy.
    ///
    /// # Errors
    /// `ConnectProxyFailure`.
    pub(super) async fn through(&self, mut proxy: TcpStream) -> Result<Stream> {
        let rest = self.dig(&mut proxy).await?;
        let mut stream = Stream::from(proxy);
        stream.rewind(&rest);
        Ok(stream)
    }

    /// Asks for the tunnel. Gives back what came behind the proxy's word: it is the target's.
    async fn dig(&self, proxy: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<Vec<u8>> {
        let sent = proxy.write_all(&self.request()).await;
        sent.or_err(ErrorType::ConnectProxyFailure, BROKE_OFF)?;
        let mut inbox = Vec::new();
        loop {
            let end = read_head(proxy, &mut inbox).await?;
            let rest = inbox.split_off(end);
            match status(&inbox) {
                Some(100..=199) => inbox = rest,
                Some(200..=299) => return Ok(rest),
                Some(407) => return failed(locked_out(self.login.as_ref())),
                Some(status) => return failed(format!("the proxy refused the tunnel ({status})")),
                None => return failed("the proxy answered CONNECT with no HTTP/1 head"),
            }
        }
    }
}

/// Reads until the head at the front of `inbox` is whole: its length, the blank line included.
async fn read_head(proxy: &mut (impl AsyncRead + Unpin), inbox: &mut Vec<u8>) -> Result<usize> {
    loop {
        if let Some(at) = memchr::memmem::find(inbox, b"\r\n\r\n") {
            return Ok(at + 4);
        }
        if inbox.len() >= HEAD_MOST {
            return failed("the proxy answered CONNECT with an endless head");
        }
        let read = proxy.read_buf(inbox).await;
        if read.or_err(ErrorType::ConnectProxyFailure, BROKE_OFF)? == 0 {
            return failed(BROKE_OFF);
        }
    }
}

const BROKE_OFF: &str = "the proxy broke off without an answer to CONNECT";

fn failed<T>(why: impl Into<pingora::ImmutStr>) -> Result<T> {
    Error::e_explain(ErrorType::ConnectProxyFailure, why)
}

/// The status of a head, if it is one of HTTP/1.
fn status(head: &[u8]) -> Option<u16> {
    let line = str::from_utf8(head.split(|byte| *byte == b'\n').next()?).ok()?;
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let digits = rest.split([' ', '\r']).next()?;
    let is_status = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_status.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
