//! What a caller may do: all limits are asked at once, before anything goes upstream, and every
//! answer tells what is left of them.
//!
//! Why after the body for some: what a call may cost in tokens stands in it. Who has no limit of
//! tokens is refused before a byte of the body is read.

use std::fmt;
use std::time::Duration;

use http::header::HeaderName;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::Edge;
use super::ctx::Ctx;
use crate::limit::{Ask, Caller, Denied, KeyId, Level, Permit, Standing, What};
use crate::refusal::Refusal;
use crate::route::plain_path;
use crate::user::User;
use crate::wire::cost::Cost;
use metered::Metered;

pub(super) mod metered;

/// What one request was allowed.
#[derive(Default)]
pub(super) struct Allowance {
    permit: Option<Permit>,
    /// What is left of the caller's limits.
    standing: Option<Standing>,
    /// The estimate of what it will cost, where tokens are limited.
    pub(super) cost: Option<Cost>,
    /// The answer's tokens, as they go by.
    pub(super) metered: Option<Metered>,
}

impl Edge {
    /// Lets a request in, unless that would be too much for a limit; also says how fast its streams
    /// may go.
    pub(super) async fn may(&self, session: &Session, ctx: &mut Ctx) -> Result<(), Refusal> {
        ctx.stage("may");
        let path = session.req_header().uri.path();
        let path = plain_path(path);
        let user = ctx.caller.user.as_deref();
        let level = user.map_or(0, |user| user.level);
        let key = user.map(|user| KeyId(user.place));
        let caller = Caller { key, client: ctx.visit.client, level };
        // An embedding has no text.
        let answers = !path.ends_with("/embeddings");
        let usual = || user.filter(|_| answers).map_or(0, |user| user.mean.get());
        let tokens = ctx.allowance.cost.map_or(0, |cost| cost.total(usual()));
        let pace = self.paces.of(&path, level, user.and_then(|user| user.pace));
        match self.limiter.admit(Ask { caller, path: &path, tokens }).await {
            Ok(permit) => {
                ctx.allowance.standing = permit.standing();
                ctx.allowance.permit = Some(permit);
                ctx.caller.pace = pace;
                Ok(())
            }
            Err(denied) => {
                ctx.allowance.standing = Some(denied.standing);
                Err(refusal(&denied, tokens))
            }
        }
    }
}

fn refusal(denied: &Denied, tokens: u64) -> Refusal {
    let wait = denied.retry_after;
    match denied.what {
        What::Requests(rate) => Refusal::requests(&rate, wait),
        What::Tokens(rate) => Refusal::tokens(&rate, wait),
        What::TooLarge(rate) => Refusal::too_many_tokens(&rate, tokens),
        What::InFlight(most) => Refusal::in_flight(most.get()),
    }
}

// === impl Allowance ===

impl Allowance {
    /// The request is over, and this is what it cost: what its host told, else what was read in it
    /// and what went out; nothing when no host took it. `ended`: its answer is whole.
    pub(super) fn settle(&mut self, user: Option<&User>, was_taken: bool, ended: bool) {
        let (Some(permit), Some(cost)) = (&mut self.permit, self.cost) else { return };
        let Some(metered) = self.metered.take() else {
            return permit.settle(if was_taken { cost.prompt } else { 0 });
        };
        let spent = metered.finish();
        if let Some(user) = user.filter(|_| ended && spent.completion() > 0) {
            user.mean.add(spent.completion());
        }
        permit.settle(spent.total(cost.prompt));
    }

    /// Tells what is left, in the headers that OpenAI tells it in (API reference, "Rate limits");
    /// what the host says of its own limits is no business of a caller who has some here.
    pub(super) fn tell(&self, head: &mut ResponseHeader) -> Result<()> {
        let Some(standing) = &self.standing else { return Ok(()) };
        let theirs = |name: &&HeaderName| name.as_str().starts_with("x-ratelimit-");
        let theirs: Vec<HeaderName> = head.headers.keys().filter(theirs).cloned().collect();
        for name in theirs {
            head.remove_header(&name);
        }
        if let Some(requests) = &standing.requests {
            level(head, requests, &REQUESTS)?;
        }
        if let Some(tokens) = &standing.tokens {
            level(head, tokens, &TOKENS)?;
        }
        Ok(())
    }
}

type Names = [HeaderName; 3];

const REQUESTS: Names = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const TOKENS: Names = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

fn level(head: &mut ResponseHeader, level: &Level, names: &Names) -> Result<()> {
    let [limit, remaining, reset] = names;
    head.insert_header(limit.clone(), level.limit)?;
    head.insert_header(remaining.clone(), level.remaining)?;
    head.insert_header(reset.clone(), Reset(level.reset).to_string())
}

/// A time as OpenAI writes it: `20ms`, `1s`, `6m0s`, `1h0m0s`; rounded up.
struct Reset(Duration);

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_nanos().div_ceil(1_000_000);
        let seconds = millis.div_ceil(1_000);
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        match seconds {
            _ if millis < 1_000 => write!(f, "{millis}ms"),
            0..60 => write!(f, "{seconds}s"),
            60..3_600 => write!(f, "{minutes}m{}s", seconds % 60),
            _ => write!(f, "{hours}h{minutes}m{}s", seconds % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_as_openai_writes_it() {
        for (nanos, expected) in [
            (0, "0ms"),
            (1, "1ms"),
            (20_000_000, "20ms"),
            (999_000_001, "1s"),
            (1_000_000_001, "2s"),
            (360_000_000_000, "6m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (90_061_000_000_000, "25h1m1s"),
        ] {
            assert_eq!(Reset(Duration::from_nanos(nanos)).to_string(), expected, "{nanos}");
        }
    }
}
