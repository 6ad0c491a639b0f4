//! Answers that are there already, or on their way for somebody else.
//!
//! Why everybody follows, also who came first: the call to a host belongs to all who wait for it, so
//! each of them may leave, be slow or be paced as if the others were not there.
//! [`canned`] answers are there for whoever measures how fast aifd is.
//! The trap: what is not understood in full goes its own way, as if there were no cache.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::Method;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap};
use pingora::Result;
use pingora::proxy::Session;

use self::follow::{Followed, Following};
use self::source::Source;
use super::Edge;
use super::admit::{API_KEY, X_API_KEY};
use super::ctx::{Caller, Ctx};
use crate::cache::{Api, Asked, Key, Shelf, Tenant};
use crate::config::Kind;

mod canned;
pub(super) mod errand;
mod follow;
mod keep;
mod sink;
mod source;

pub(super) use canned::Canned;

/// What one request asks of the cache.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    key: Key,
    api: Api,
    model: String,
    tenant: String,
    /// Not what is kept: the host shall be asked.
    fresh: bool,
}

/// The longest body that is looked up, bytes.
const BODY_MOST: usize = 1024 * 1024;

/// How much of an answer on its way is kept for who comes later or reads slowly, at least; bytes.
const KEPT_LEAST: usize = 4 * 1024 * 1024;

/// How often an answer is asked for that broke off before it began, or was refused for now: nobody
/// fails for a call that another began.
const TRIES: u32 = 2;

/// What `Cache-Control` of a request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    None,
    NoCache,
    NoStore,
}

impl Edge {
    /// What the cache is asked; `None` for a request that is none of its business.
    pub(super) fn wanted(&self, session: &Session, ctx: &Ctx) -> Option<Wanted> {
        let rules = &self.shelf.as_ref()?.rules;
        let request = session.req_header();
        let aim = ctx.aim.as_ref()?;
        let body = ctx.heard.body.as_ref().filter(|body| body.len() <= BODY_MOST)?;
        let path = aim.rest.split('?').next().unwrap_or_default();
        let control = control(&request.headers);
        if request.method != Method::POST
            || aim.kind != Kind::Openai
            || !rules.applies(path)
            || !ctx.heard.ask.caching.unwrap_or(rules.default)
            || control == Control::NoStore
        {
            return None;
        }
        let digest;
        let tenant = match &ctx.caller {
            Caller { user: Some(user), .. } => {
                Tenant::of_key(&user.name, user.cache_group.as_deref())
            }
            Caller { lent: true, .. } => Tenant::Lent,
            _ => {
                digest = credentials_digest(&request.headers);
                Tenant::Stranger(&digest)
            }
        };
        let api = Api::of_path(&aim.rest);
        let upstream = &self.upstreams[aim.upstream].name;
        let key =
            Key::of(&Asked { api, tenant, route: &aim.prefix, upstream, path: &aim.rest, body })?;
        Some(Wanted {
            key,
            api,
            model: ctx.heard.ask.model.clone().unwrap_or_default(),
            tenant: tenant.label(),
            fresh: control == Control::NoCache,
        })
    }

    /// Answers from the cache, or with others who ask the same; false when the request goes its own
    /// way.
    pub(super) async fn recalled(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        let (Some(shelf), Some(wanted)) = (&self.shelf, ctx.heard.wanted.take()) else {
            return Ok(false);
        };
        ctx.stage("recall");
        for tries in 1..=TRIES {
            let Some(source) = self.source(session, ctx, shelf, &wanted).await else { break };
            if tries == 1 {
                count(shelf, &source);
            }
            let may_again = tries < TRIES && source.is_anothers();
            let following = Following::new(source, ctx, may_again);
            match self.follow(session, ctx, following).await? {
                Followed::ToItsEnd => return Ok(true),
                Followed::BrokeOff => {}
                Followed::InVain => break,
            }
        }
        Ok(false)
    }

    /// Where the answer comes from; `None` if nobody can be sent for it.
    async fn source(
        &self,
        session: &Session,
        ctx: &Ctx,
        shelf: &Arc<Shelf>,
        wanted: &Wanted,
    ) -> Option<Source> {
        let puts = shelf.puts();
        if !wanted.fresh
            && let Some(entry) = shelf.get(wanted.key).await
        {
            return Some(Source::kept(entry, shelf.rules.replay));
        }
        let (most, stream) = (shelf.rules.answer.max(KEPT_LEAST), ctx.heard.ask.stream);
        let (reader, writer) = match shelf.rules.coalesce && !wanted.fresh {
            true => shelf.fills.join(wanted.key, most, stream),
            false => {
                let (reader, writer) = shelf.fills.begin(most, stream);
                (reader, Some(writer))
            }
        };
        let Some(writer) = writer else { return Some(Source::joined(reader)) };
        if !wanted.fresh
            && shelf.puts() != puts
            && let Some(entry) = shelf.get(wanted.key).await
        {
            // It came while this was on its way here.
            return Some(Source::kept(entry, shelf.rules.replay));
        }
        self.send(session, ctx, wanted, writer).then(|| Source::begun(reader))
    }
}

fn count(shelf: &Shelf, source: &Source) {
    let served = &shelf.served;
    let counter = match source.label() {
        "hit" => &served.hits,
        "coalesced" => &served.coalesced,
        _ => &served.misses,
    };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What stands for all that a host could know a caller by.
fn credentials_digest(headers: &HeaderMap) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("aifd answer cache, credentials 1");
    for name in [AUTHORIZATION, X_API_KEY, API_KEY] {
        for value in headers.get_all(&name) {
            hasher.update(&(value.len() as u64).to_le_bytes()).update(value.as_bytes());
        }
        // Where the next header begins.
        hasher.update(&u64::MAX.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn control(headers: &HeaderMap) -> Control {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let words = values.flat_map(|value| value.split(',')).map(str::trim);
    words.fold(Control::None, |said, word| match word {
        word if word.eq_ignore_ascii_case("no-store") => Control::NoStore,
        word if word.eq_ignore_ascii_case("no-cache") && said == Control::None => Control::NoCache,
        _ => said,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_wants_of_the_cache() {
        for (said, expected) in [
            (vec![], Control::None),
            (vec!["max-age=0"], Control::None),
            (vec!["No-Cache"], Control::NoCache),
            (vec!["no-cache, no-store"], Control::NoStore),
            (vec!["max-age=0", "a,no-store ", "no-cache"], Control::NoStore),
        ] {
            let mut headers = HeaderMap::new();
            for value in &said {
                headers.append(CACHE_CONTROL, value.parse().unwrap());
            }
            assert_eq!(control(&headers), expected, "{said:?}");
        }
    }
}
