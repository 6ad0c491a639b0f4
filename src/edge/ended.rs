//! How a request ended: from Pingora's error and the clock's cause to one word, one refusal.
//!
//! Why one place: the access line, the chat log, the metrics and the client must tell the same.

use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorSource, ErrorType};

use super::ctx::Ctx;
use super::tap::pulse::Cause;
use crate::chatlog::Ended;
use crate::config::Server;
use crate::pool::{Blame, Outcome};
use crate::refusal::Refusal;
use crate::retry::Failure;

mod older;

/// Whether a final answer's head has gone out (a `100 Continue` is not one).
pub(super) fn answered(session: &ServerSession) -> bool {
    session.response_written().is_some_and(|head| {
        !head.status.is_informational() || head.status == http::StatusCode::SWITCHING_PROTOCOLS
    })
}

impl Ctx {
    /// Whether something is out that no other answer could follow.
    pub(super) fn committed(&self, session: &ServerSession) -> bool {
        answered(session) && !self.has_comments_only()
    }

    /// Whether all that is out is a head of our own and comments.
    pub(super) fn has_comments_only(&self) -> bool {
        self.tap.pulse.as_ref().is_some_and(|pulse| pulse.has_comments_only())
    }

    pub(super) fn cause(&self) -> Option<Cause> {
        self.tap.pulse.as_ref().and_then(|pulse| pulse.cause())
    }

    /// What a broken attempt says of its host.
    pub(super) fn outcome(&self, error: &Error) -> Outcome {
        match (self.cause(), error.esource(), error.etype()) {
            (Some(Cause::FirstByte | Cause::Idle), ..) => Outcome::Failed(Blame::Timeout),
            // Said in a stream; after a refusal its key rests already, and the host is well.
            (Some(Cause::Hollow(Failure::Status(429))), ..) if self.answer.status == Some(200) => {
                Outcome::Busy { rest: None }
            }
            (Some(Cause::Hollow(Failure::Status(429))), ..) => Outcome::Neutral,
            (Some(Cause::Hollow(Failure::Status(_))), ..) => Outcome::Failed(Blame::Status),
            (Some(Cause::Hollow(_)), ..) => Outcome::Failed(Blame::Reset),
            (Some(_), ..) => Outcome::Neutral,
            (None, ErrorSource::Upstream, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => {
                Outcome::Failed(Blame::Timeout)
            }
            (None, ErrorSource::Upstream, _) => Outcome::Failed(Blame::Reset),
            (None, ..) => Outcome::Neutral,
        }
    }

    /// The word for it. `error` is what Pingora ended with, `answered` whether a head went out.
    pub(super) fn ended(&self, error: Option<&Error>, answered: bool) -> Ended {
        if let Some(code) = self.answer.refused {
            // A timeout or an unreachable host is our answer too, but not our decision.
            let decided = !code.starts_with("upstream_") && code != "internal_error";
            return if decided { Ended::Refused } else { Ended::Error };
        }
        match error {
            None => Ended::Done,
            Some(error) if self.is_clients(error) && self.has_all() => Ended::Done,
            Some(error) if self.is_clients(error) => Ended::ClientLeft,
            Some(_) if answered => Ended::UpstreamCut,
            Some(_) => Ended::Error,
        }
    }

    /// Whether the client's side ended it.
    pub(super) fn is_clients(&self, error: &Error) -> bool {
        match self.cause() {
            Some(cause) => cause == Cause::ClientLeft,
            None => *error.esource() == ErrorSource::Downstream,
        }
    }

    /// Whether the client has got a whole stream, although it left before the end of the answer.
    fn has_all(&self) -> bool {
        let unsent = self.tap.pulse.as_ref().is_some_and(|pulse| pulse.has_unsent());
        self.answer.is_done() && !unsent
    }

    /// What the client is told; `None` when there is nobody to tell.
    pub(super) fn refusal_for(
        &mut self,
        error: &Error,
        upstream: &str,
        limits: &Server,
    ) -> Option<Refusal> {
        if let Some(refusal) = self.tap.refusal.take() {
            return Some(refusal);
        }
        match self.cause() {
            Some(Cause::ClientLeft) => return None,
            Some(Cause::SlowBody) => return Some(Refusal::slow_body(limits.read_timeout)),
            Some(Cause::TooLarge) => return Some(Refusal::too_large(limits.max_upload)),
            Some(Cause::Hollow(_)) => return Some(Refusal::broken(upstream)),
            Some(cause) => return Some(Refusal::timeout(upstream, cause.words())),
            None => {}
        }
        match (error.esource(), error.etype()) {
            (ErrorSource::Downstream, ErrorType::InvalidHTTPHeader) => {
                Some(Refusal::unforwardable())
            }
            (ErrorSource::Downstream, _) => None,
            (ErrorSource::Upstream, etype) => Some(of_upstream(etype, upstream)),
            _ => Some(Refusal::internal()),
        }
    }
}

/// An error for the log: its kind, and what lies at the bottom of it. Pingora's own text says all that
/// lies between, twice.
pub(super) fn words(error: &Error) -> String {
    let (kind, root) = (error.etype().as_str(), error.root_cause());
    match root.downcast_ref::<Error>().map(|root| &root.context) {
        Some(Some(context)) => format!("{kind}: {}", context.as_str()),
        Some(None) => kind.to_owned(),
        None => format!("{kind}: {root}"),
    }
}

fn of_upstream(etype: &ErrorType, upstream: &str) -> Refusal {
    match etype {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => {
            Refusal::timeout(upstream, "no connection within its connect timeout")
        }
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::HandshakeError => {
            Refusal::untrusted(upstream)
        }
        ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::ConnectProxyFailure
        | ErrorType::BindError
        | ErrorType::SocketError => Refusal::unreachable(upstream),
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => {
            Refusal::timeout(upstream, Cause::Idle.words())
        }
        _ => Refusal::broken(upstream),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_in_few_words() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let inner = Error::because(ErrorType::ConnectRefused, "Fail to connect to h:1", refused);
        let outer = inner.more_context("Fail to connect to addr: h:1, scheme: HTTP");
        assert_eq!(words(&outer), "ConnectRefused: connection refused");
        let late = Error::explain(ErrorType::ConnectTimedout, "timeout 5s");
        assert_eq!(words(&late), "ConnectTimedout: timeout 5s");
        assert_eq!(words(&Error::new(ErrorType::ReadError)), "ReadError");
    }

    #[test]
    fn upstream_errors_have_their_status() {
        for (etype, status, code) in [
            (ErrorType::ConnectTimedout, 504, "upstream_timeout"),
            (ErrorType::ConnectRefused, 502, "upstream_unreachable"),
            (ErrorType::ConnectProxyFailure, 502, "upstream_unreachable"),
            (ErrorType::TLSHandshakeFailure, 502, "upstream_tls"),
            (ErrorType::InvalidHTTPHeader, 502, "upstream_broken"),
            (ErrorType::ConnectionClosed, 502, "upstream_broken"),
            (ErrorType::ReadTimedout, 504, "upstream_timeout"),
        ] {
            let refusal = of_upstream(&etype, "up");
            assert_eq!((refusal.status, refusal.code), (status, code), "{etype:?}");
        }
    }
}
