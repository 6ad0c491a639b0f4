//! What openai-forward would have said of a host that gave no answer.
//!
//! Why here: only the error tells a connection that took too long from an answer that did, and only
//! the attempt knows at which base URL.

use pingora::{Error, ErrorType};

use crate::config::Refusals;
use crate::edge::ctx::Ctx;
use crate::pool::{Host, Upstream};
use crate::refusal::{Failed, Older, Refusal};

impl Ctx {
    /// The refusal with the words of openai-forward, where they are asked for and it had any.
    pub(in crate::edge) fn in_older_words(
        &self,
        refusal: Refusal,
        error: &Error,
        upstream: Option<&Upstream>,
    ) -> Refusal {
        let wanted = self.visit.refusals == Refusals::OpenaiForward && refusal.older.is_none();
        let (Some(aim), Some(upstream)) = (self.aim.as_ref().filter(|_| wanted), upstream) else {
            return refusal;
        };
        // Before any attempt it was the first one that had no address.
        let tried = self.attempts.load.as_ref().map(|load| &**load.host());
        let Some(host) = tried.or(upstream.hosts().first().map(|host| &**host)) else {
            return refusal;
        };
        let (base, slow) = (base(host), is_connecting(error.etype()));
        let url = format!("{base}{}", aim.rest);
        let failed = match refusal.code {
            "upstream_broken" => Failed::Disconnected,
            "upstream_timeout" if slow => Failed::ConnectTimeout { url: &url },
            "upstream_unreachable" => Failed::NotConnected { host: &host.label, unknown: false },
            "upstream_unresolved" => Failed::NotConnected { host: &host.label, unknown: true },
            _ => return refusal,
        };
        refusal.as_of_old(Older::upstream(&failed, &base))
    }
}

fn base(host: &Host) -> String {
    let scheme = if host.tls { "https" } else { "http" };
    format!("{scheme}://{}{}", host.authority, host.base_path)
}

fn is_connecting(etype: &ErrorType) -> bool {
    matches!(etype, ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout)
}
