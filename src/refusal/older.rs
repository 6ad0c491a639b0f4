//! How openai-forward said no, byte for byte, where it had words of its own.
//!
//! Why kept: programs that stood behind it read these bodies. All other refusals keep the shape of
//! OpenAI, which no program of its users can have expected to be another.

use serde::Serialize;

/// A status and a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Older {
    /// `{"detail": ...}`, as its web framework says what it did not serve.
    Detail {
        /// HTTP status.
        status: u16,
        /// The words.
        detail: String,
    },
    /// `{"error": ...}`, as its limiter said it.
    Limit(String),
}

/// How an attempt at a host failed: in the words of the HTTP client that openai-forward used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed<'a> {
    /// The connection broke before an answer.
    Disconnected,
    /// No connection in time; the whole URL of the request.
    ConnectTimeout {
        /// The URL that was asked for.
        url: &'a str,
    },
    /// No connection at all.
    NotConnected {
        /// `host:port`.
        host: &'a str,
        /// Its name means nothing to anybody.
        unknown: bool,
    },
}

#[derive(Serialize)]
struct Detail<'a> {
    detail: &'a str,
}

#[derive(Serialize)]
struct Error<'a> {
    error: &'a str,
}

// === impl Older ===

impl Older {
    pub(super) fn detail(status: u16, detail: impl Into<String>) -> Self {
        Self::Detail { status, detail: detail.into() }
    }

    /// No attempt at a host came to an answer; `base`: its base URL.
    #[must_use]
    pub fn upstream(failed: &Failed<'_>, base: &str) -> Self {
        let (class, words) = match failed {
            Failed::Disconnected => ("ServerDisconnectedError", "Server disconnected".to_owned()),
            Failed::ConnectTimeout { url } => {
                ("ConnectionTimeoutError", format!("Connection timeout to host {url}"))
            }
            Failed::NotConnected { host, unknown: false } => (
                "ClientConnectorError",
                format!("Cannot connect to host {host} ssl:default [Connection refused]"),
            ),
            Failed::NotConnected { host, unknown: true } => (
                "ClientConnectorDNSError",
                format!("Cannot connect to host {host} ssl:default [Name or service not known]"),
            ),
        };
        Self::detail(
            504,
            format!(
                "<class 'aiohttp.client_exceptions.{class}'>: {words} | \
                 Please check if your host can access [{base}] successfully?"
            ),
        )
    }

    /// HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Detail { status, .. } => *status,
            Self::Limit(_) => 429,
        }
    }

    /// The response body.
    #[must_use]
    pub fn body(&self) -> String {
        let body = match self {
            Self::Detail { detail, .. } => serde_json::to_string(&Detail { detail }),
            Self::Limit(error) => serde_json::to_string(&Error { error }),
        };
        body.expect("strings always serialize")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;

    fn assert_said(older: Option<&Older>, status: u16, body: &str) {
        let older = older.unwrap();
        assert_eq!((older.status(), &*older.body()), (status, body));
    }

    #[test]
    fn bodies_are_those_of_openai_forward() {
        for (refusal, status, body) in [
            (Refusal::address(), 403, r#"{"detail":"Forbidden Error"}"#),
            (Refusal::model(Some("gpt-4")), 403, r#"{"detail":"model: gpt-4 is not allowed"}"#),
            // Letters beyond ASCII stand as they are.
            (
                Refusal::model(Some("模\"型\u{1}")),
                403,
                r#"{"detail":"model: 模\"型\u0001 is not allowed"}"#,
            ),
            (Refusal::no_route("GET", "/x"), 404, r#"{"detail":"Not Found"}"#),
            (
                Refusal::requests(&"3 per 10 second", None),
                429,
                r#"{"error":"Rate limit exceeded: 3 per 10 second"}"#,
            ),
        ] {
            assert_said(refusal.older.as_deref(), status, body);
        }
        // What it let pass, it had no words for.
        for refusal in [Refusal::unknown_key(), Refusal::model(None), Refusal::bad_json("x")] {
            assert_eq!(refusal.older, None);
        }
    }

    #[test]
    fn a_host_that_does_not_answer_is_told_as_its_client_told_it() {
        let host = "127.0.0.1:9";
        for (failed, words) in [
            (Failed::Disconnected, "ServerDisconnectedError'>: Server disconnected"),
            (
                Failed::ConnectTimeout { url: "http://127.0.0.1:9/v1/x?a" },
                "ConnectionTimeoutError'>: Connection timeout to host http://127.0.0.1:9/v1/x?a",
            ),
            (
                Failed::NotConnected { host, unknown: false },
                "ClientConnectorError'>: Cannot connect to host 127.0.0.1:9 ssl:default [Connection refused]",
            ),
            (
                Failed::NotConnected { host, unknown: true },
                "ClientConnectorDNSError'>: Cannot connect to host 127.0.0.1:9 ssl:default [Name or service not known]",
            ),
        ] {
            let body = format!(
                "{{\"detail\":\"<class 'aiohttp.client_exceptions.{words} | \
                 Please check if your host can access [http://127.0.0.1:9] successfully?\"}}"
            );
            assert_said(Some(&Older::upstream(&failed, "http://127.0.0.1:9")), 504, &body);
        }
    }
}
