//! A stream that begins before its host has answered, so that nobody on the way gives it up.
//!
//! Why an option: its status is 200 then, whatever comes. An answer that turns out to be something
//! else is told in an event, as an error in the middle of a stream would be.

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use pingora::http::ResponseHeader;
use serde_json::json;
use serde_json::value::RawValue;

/// How much of such an answer is told, bytes.
const MOST: usize = 64 * 1024;

/// How far it has come.
#[derive(Debug, Default)]
pub(super) enum Early {
    /// It begins when its host answers.
    #[default]
    No,
    /// It begins with this head at the first comment.
    Ready(Box<ResponseHeader>),
    /// It has begun, and nothing but comments is out.
    Begun,
    /// The host's answer is no stream.
    Told(Told),
}

/// An answer that is told in one event.
#[derive(Debug)]
pub(super) struct Told {
    status: StatusCode,
    body: BytesMut,
}

// === impl Told ===

impl Told {
    pub(super) fn new(status: StatusCode) -> Self {
        Self { status, body: BytesMut::new() }
    }

    pub(super) fn push(&mut self, piece: &Bytes) {
        let room = MOST - self.body.len();
        self.body.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// The event: the host's own JSON where a client would understand it.
    pub(super) fn event(&self) -> Bytes {
        let text = String::from_utf8_lossy(&self.body);
        let is_json = serde_json::from_str::<&RawValue>(&text).is_ok();
        let is_error = self.status.is_client_error() || self.status.is_server_error();
        let understood = is_json && (!is_error || text.contains("\"error\""));
        // No text of JSON holds a line end; between tokens it means nothing.
        let data = match understood {
            true => text.replace(['\n', '\r'], " "),
            false => {
                let code = self.status.as_u16();
                json!({"error": {"message": text, "type": "upstream_error", "code": code}})
                    .to_string()
            }
        };
        Bytes::from(format!("data: {data}\n\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told() {
        for (status, body, event) in [
            (429, "{\"error\":\n {\"code\": \"x\"}\r\n}", "{\"error\":  {\"code\": \"x\"}  }"),
            (200, "{\"choices\": []}", "{\"choices\": []}"),
            (
                422,
                "{\"detail\":1}",
                r#"{"error":{"code":422,"message":"{\"detail\":1}","type":"upstream_error"}}"#,
            ),
            (502, "<b>\n", r#"{"error":{"code":502,"message":"<b>\n","type":"upstream_error"}}"#),
            (503, "", r#"{"error":{"code":503,"message":"","type":"upstream_error"}}"#),
        ] {
            let mut told = Told::new(StatusCode::from_u16(status).unwrap());
            told.push(&Bytes::from(body));
            assert_eq!(told.event(), format!("data: {event}\n\n"), "{status} {body}");
        }
        let mut long = Told::new(StatusCode::OK);
        long.push(&vec![b'x'; 2 * MOST].into());
        assert!(long.event().len() < MOST + 1000);
    }
}
