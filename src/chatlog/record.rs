//! What one line of the log says, while the call is still going on.
//!
//! Why plain values: the edge hands over what it knows and the writer thread does the rest.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use tokio::time::Instant;

use super::api::Api;
use super::capture::Capture;

/// A call as it came in.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its request id.
    pub id: String,
    /// When its head had arrived, for people.
    pub time: Timestamp,
    /// The same moment, for durations.
    pub arrived: Instant,
    /// The address of the client; `None` on a unix socket.
    pub client: Option<IpAddr>,
    /// The HTTP method.
    pub method: Method,
    /// The path. A query is cut off: clients put keys into it.
    pub path: String,
    /// The prefix of the route.
    pub route: Arc<str>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The whole answer went to the client.
    Done,
    /// The client left before that.
    ClientLeft,
    /// The upstream broke off its answer.
    UpstreamCut,
    /// There was no answer to pass on.
    Error,
    /// This proxy said no.
    Refused,
    /// Nobody said how: a panic, a task that was cancelled.
    Aborted,
}

/// Everything about one call.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) call: Call,
    /// What its path leads to, when that is one of the paths that are told apart.
    pub(super) api: Option<Api>,
    pub(super) key: Option<String>,
    pub(super) body: Option<Bytes>,
    pub(super) body_bytes: u64,
    pub(super) model: Option<String>,
    pub(super) stream: bool,
    pub(super) upstream: Option<String>,
    pub(super) attempts: u32,
    pub(super) status: Option<u16>,
    pub(super) capture: Capture,
    pub(super) ttft: Option<Duration>,
    pub(super) duration: Duration,
    pub(super) ended: Option<Ended>,
    pub(super) error: Option<String>,
}

// === impl Ended ===

impl Ended {
    /// As the log writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::ClientLeft => "client_left",
            Self::UpstreamCut => "upstream_cut",
            Self::Error => "error",
            Self::Refused => "refused",
            Self::Aborted => "aborted",
        }
    }
}

// === impl Record ===

impl Record {
    pub(super) fn new(mut call: Call, api: Option<Api>) -> Self {
        let path = call.path.find('?').unwrap_or(call.path.len());
        call.path.truncate(path);
        Self {
            call,
            api,
            key: None,
            body: None,
            body_bytes: 0,
            model: None,
            stream: false,
            upstream: None,
            attempts: 0,
            status: None,
            capture: Capture::default(),
            ttft: None,
            duration: Duration::ZERO,
            ended: None,
            error: None,
        }
    }

    /// Stops the clock, once.
    pub(super) fn close(&mut self, ended: Ended) {
        if self.ended.is_none() {
            self.ended = Some(ended);
            self.duration = self.call.arrived.elapsed();
        }
    }

    /// Its id as openai-forward writes one: 32 hexadecimal digits.
    pub(super) fn uid(&self) -> &str {
        let id = &self.call.id;
        id.strip_prefix("req_").unwrap_or(id)
    }

    /// Whether the client got a whole answer that says what was asked for.
    pub(super) fn succeeded(&self) -> bool {
        let good = self.status.is_some_and(|status| (200..300).contains(&status));
        good && self.ended == Some(Ended::Done)
    }

    /// The memory it holds, bytes.
    pub(super) fn weight(&self) -> usize {
        let call = &self.call;
        let texts = [&call.id, &call.path];
        let asked = [&self.key, &self.model, &self.upstream, &self.error];
        size_of::<Self>()
            + texts.iter().map(|text| text.len()).sum::<usize>()
            + asked.into_iter().flatten().map(String::len).sum::<usize>()
            + self.body.as_ref().map_or(0, Bytes::len)
            + self.capture.weight()
    }
}
