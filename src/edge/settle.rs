//! How it ended: the last words to the client, the metrics, the chat log, the access line.
//!
//! Why here only: rooms return facts, and one place reports them. The tap comes out first, since
//! nothing may be written by hand while it is in.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use pingora::Error;
use pingora::proxy::{FailToProxy, Session};

use super::ctx::Ctx;
use super::ended::answered;
use super::tap::outbox;
use super::{Edge, reply};
use crate::chatlog::Ended;
use crate::metrics::{HostMetrics, RouteMetrics};
use crate::pool::Host;
use crate::refusal::Refusal;

/// How long an error event may take from h2's queue to the wire.
const LAST_EVENT: Duration = Duration::from_millis(50);

impl Edge {
    /// The last words to a client whose request failed.
    pub(super) async fn failed(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Ctx,
    ) -> FailToProxy {
        ctx.stage("failed");
        take_tap_out(session, ctx);
        let upstream = ctx.aim.as_ref().map(|aim| &self.upstreams[aim.upstream]);
        let name = upstream.map_or("none", |upstream| &upstream.name);
        log::debug!("{}: {error}", ctx.visit.id);
        let refusal = ctx.refusal_for(error, name, &self.server);
        let refusal = refusal.map(|refusal| ctx.in_older_words(refusal, error, upstream));
        if let Some(writer) = &ctx.errand {
            // Each of its readers has last words of his own.
            refusal.into_iter().for_each(|refusal| writer.refuse(refusal));
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        }
        let error_code = match refusal {
            None => 0,
            Some(refusal) if answered(&session.downstream_session) => {
                break_off(session, ctx, &refusal).await;
                refusal.status
            }
            Some(refusal) => {
                reply::write(session, ctx, &refusal).await;
                refusal.status
            }
        };
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    /// The end of every request.
    pub(super) async fn settle(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Ctx) {
        ctx.stage("settle");
        // Pingora has its connection back by now: it is idle, however long the log may take.
        ctx.attempts.line = None;
        take_tap_out(session, ctx);
        let ended = ctx.ended(error, answered(&session.downstream_session));
        self.count_host(ctx);
        if ctx.errand.is_some() {
            log::debug!("{}: an errand: {}", ctx.visit.id, ended.as_str());
            return;
        }
        ctx.settle_tokens(ended);
        self.count(session, ctx);
        access_line(session, ctx, ended);
        if let Some(mut entry) = ctx.entry.take() {
            entry.attempts(ctx.attempts.count);
            if ctx.heard.body.is_none() {
                entry.body_bytes(session.body_bytes_read() as u64);
            }
            if let Some(first_token) = ctx.answer.first_token {
                entry.ttft(first_token);
            }
            entry.end(ended).await;
        }
    }

    fn count(&self, session: &Session, ctx: &Ctx) {
        let counters = self.route_counters(ctx);
        counters.finished(ctx.answer.status);
        if let Some(code) = ctx.answer.refused {
            self.metrics.refused(code);
        }
        counters.duration.observe(ctx.visit.arrived.elapsed().as_secs_f64());
        counters.bytes_out.inc_by(ctx.answer.bytes);
        counters.bytes_in.inc_by(session.body_bytes_read() as u64);
        if let Some(first_token) = ctx.answer.first_token {
            counters.first_token.observe(first_token.as_secs_f64());
        }
    }

    fn count_host(&self, ctx: &Ctx) {
        if let (Some(aim), Some(load)) = (&ctx.aim, &ctx.attempts.load)
            && ctx.answer.refused.is_none()
            && ctx.answer.status.is_some()
        {
            self.host_counters(aim.upstream, load.host()).answered.inc();
        }
    }

    fn route_counters(&self, ctx: &Ctx) -> &RouteMetrics {
        ctx.aim.as_ref().map_or(&self.strays, |aim| &self.counters[aim.route])
    }

    pub(super) fn host_counters(&self, upstream: usize, host: &Host) -> &HostMetrics {
        &self.wires[upstream].hosts[host.at]
    }
}

impl Ctx {
    /// A call that no host took costs no tokens; one that a host took costs its prompt at least.
    fn settle_tokens(&mut self, ended: Ended) {
        let refused = self.answer.status.is_some_and(|status| status >= 400);
        let was_taken = self.attempts.begun.is_some() && !refused;
        self.allowance.settle(self.caller.user.as_deref(), was_taken, ended == Ended::Done);
    }
}

fn take_tap_out(session: &mut Session, ctx: &mut Ctx) {
    if let Some(handle) = ctx.tap.handle.take() {
        handle.take_out(session);
    }
}

/// An answer that breaks after its head: where no event is half out the client gets an error
/// event, and in any case no clean end.
async fn break_off(session: &mut Session, ctx: &mut Ctx, refusal: &Refusal) {
    if ctx.has_comments_only() {
        ctx.answer.begin(200, true);
        if let Some(entry) = &mut ctx.entry {
            entry.head(200, Some("text/event-stream"), None);
        }
    }
    if ctx.answer.is_at_event_border() {
        if let Err(error) = outbox::finish_queue(&mut session.downstream_session).await {
            log::debug!("{}: half a comment is out: {error}", ctx.visit.id);
            return;
        }
        let event = Bytes::from(refusal.event());
        if let Some(entry) = &mut ctx.entry {
            entry.error(refusal.code);
            entry.chunk(&event);
        }
        match session.write_response_body(Some(event), false).await {
            // The reset to come would overtake what waits in h2's own queue.
            Ok(()) if session.is_http2() => tokio::time::sleep(LAST_EVENT).await,
            Ok(()) => {}
            Err(error) => log::debug!("{}: no error event: {error}", ctx.visit.id),
        }
    }
}

/// One line a request, at info; at warn when the upstream failed. `path` is without its query,
/// which may hold keys.
fn access_line(session: &Session, ctx: &Ctx, ended: Ended) {
    let level = match ended {
        _ if ctx.answer.flood => log::Level::Debug,
        Ended::UpstreamCut | Ended::Error => log::Level::Warn,
        _ => log::Level::Info,
    };
    if !log::log_enabled!(target: ACCESS, level) {
        return;
    }
    let (request, answer) = (session.req_header(), &ctx.answer);
    log::log!(
        target: ACCESS,
        level,
        "{} {} {} key={} model={} host={} in={} out={} first={} total={} {}{}{} {}",
        request.method,
        harmless(request.uri.path()),
        Or(answer.status),
        ctx.caller.user.as_ref().map_or("-", |user| &user.name),
        harmless(ctx.heard.ask.model.as_deref().unwrap_or("-")),
        host(ctx),
        session.body_bytes_read(),
        answer.bytes,
        Or(answer.first_byte.map(Millis)),
        Millis(ctx.visit.arrived.elapsed()),
        ended.as_str(),
        if answer.refused.is_some() { ":" } else { "" },
        answer.refused.unwrap_or_default(),
        ctx.visit.id,
    );
}

/// Who answered.
fn host(ctx: &Ctx) -> &str {
    let host = ctx.attempts.load.as_ref().map(|load| &*load.host().label);
    host.or(ctx.answer.from.as_deref()).unwrap_or("-")
}

const ACCESS: &str = "aifd::access";

/// A value, or a dash.
struct Or<T>(Option<T>);

/// Milliseconds with one decimal.
struct Millis(Duration);

impl<T: fmt::Display> fmt::Display for Or<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0.as_micros() / 100;
        write!(f, "{}.{}ms", tenths / 10, tenths % 10)
    }
}

/// Text of a client, at most 200 characters of it, that cannot end a line or a field, nor
/// steer a terminal.
fn harmless(text: &str) -> Cow<'_, str> {
    let plain = text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
    match plain {
        true => Cow::Borrowed(text),
        false => {
            let shown = text.chars().take(LONGEST).flat_map(char::escape_debug).collect::<String>();
            Cow::Owned(shown.replace(' ', "\\u{20}"))
        }
    }
}

const LONGEST: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_text_cannot_forge_a_line() {
        for (text, shown) in [
            ("/v1/models", "/v1/models"),
            ("a\nb", "a\\nb"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("qwen host=x", "qwen\\u{20}host=x"),
            ("模型", "模型"),
        ] {
            assert_eq!(harmless(text), shown);
        }
        assert_eq!(harmless(&"x".repeat(1000)).len(), LONGEST);
    }

    #[test]
    fn a_value_or_a_dash() {
        assert_eq!(Or(Some(Millis(Duration::from_micros(12_345)))).to_string(), "12.3ms");
        assert_eq!(Or::<u16>(None).to_string(), "-");
    }
}
