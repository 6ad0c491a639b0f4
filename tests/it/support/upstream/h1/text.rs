//! What HTTP/1.1 looks like: a request read from its head, an answer written as text.

use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};
use http::{StatusCode, Version};
use tokio::time::Instant;

use crate::support::http1::{Body, Head};
use crate::support::upstream::ledger::Seen;
use crate::support::upstream::script::{Framing, Reply};

/// The request that a head announces, and the body that will follow it.
pub(super) fn seen(head: &Head, connection: usize, request: usize) -> Result<(Seen, Body), String> {
    let body = Body::of_request(head)?;
    let words: Vec<_> = head.start.split(' ').collect();
    let [method, target, version] = words[..] else {
        return Err(format!("not a request line: {:?}", head.start));
    };
    let version = match version {
        "HTTP/1.1" => Version::HTTP_11,
        "HTTP/1.0" => Version::HTTP_10,
        other => return Err(format!("not a version of ours: {other:?}")),
    };
    let host = head.values("host").next();
    let seen = Seen {
        method: method.to_owned(),
        target: target.to_owned(),
        version,
        authority: host.map(|host| String::from_utf8_lossy(host).into_owned()),
        headers: head.headers.clone(),
        body: Bytes::new(),
        whole: false,
        connection,
        request,
        at: Instant::now(),
    };
    Ok((seen, body))
}

pub(super) fn start_line(status: u16) -> String {
    let reason = StatusCode::from_u16(status).unwrap().canonical_reason().unwrap_or("Scripted");
    format!("HTTP/1.1 {status} {reason}\r\n")
}

pub(super) fn head_text(reply: &Reply, method: &str) -> String {
    let mut head = start_line(reply.status);
    for (name, value) in &reply.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    match reply.framing {
        Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
        Framing::Length if method == "HEAD" || reply.has_body(method) => {
            write!(head, "content-length: {}\r\n", reply.length()).unwrap();
        }
        Framing::Length | Framing::Close => {}
    }
    head + "\r\n"
}

/// A piece in its frame; one that is cut short keeps the size it should have had.
pub(super) fn piece_on_wire(framing: Framing, declared: usize, bytes: Bytes) -> Bytes {
    if framing != Framing::Chunked {
        return bytes;
    }
    let mut wire = BytesMut::from(format!("{declared:x}\r\n").as_bytes());
    wire.extend_from_slice(&bytes);
    if bytes.len() == declared {
        wire.extend_from_slice(b"\r\n");
    }
    wire.freeze()
}
