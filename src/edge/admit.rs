//! Who calls, from where, and whether they may come in.
//!
//! The trap: nothing that a request says of itself is believed, except `X-Forwarded-For` as far as
//! it was written by proxies that the configuration trusts.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, SEC_WEBSOCKET_PROTOCOL};
use http::{Method, Version};
use ipnet::IpNet;
use pingora::proxy::Session;

use super::ctx::Ctx;
use super::reply::cors::Origin;
use super::{Edge, reply, steer};
use crate::config::{Refusals, UnknownKeys};
use crate::refusal::Refusal;

pub(super) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub(super) const API_KEY: HeaderName = HeaderName::from_static("api-key");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How browsers hand a key to a realtime websocket (OpenAI's realtime guide).
pub(super) const WEBSOCKET_KEY: &str = "openai-insecure-api-key.";

/// What is next for a request.
enum Way {
    /// The cache, and then a host.
    On,
    /// A canned answer.
    Canned,
    /// Nothing: it is answered.
    Over,
}

impl Edge {
    /// Sets what Pingora leaves infinite, and notes where the request came from.
    pub(super) fn greet(&self, session: &mut Session, ctx: &mut Ctx) {
        ctx.stage("greet");
        let keepalive = self.server.keepalive.max(Duration::from_secs(1)).as_secs();
        match session.req_header().version {
            // Without chunks the end of an answer is the end of the connection.
            Version::HTTP_10 => session.set_keepalive(None),
            _ if session.get_keepalive() == Some(0) => session.set_keepalive(Some(keepalive)),
            _ => {}
        }
        session.set_write_timeout(Some(self.server.write_timeout));
        session.set_read_timeout(Some(self.server.read_timeout));
        let peer = session.client_addr().and_then(|address| address.as_inet()).map(SocketAddr::ip);
        let trusted = &self.server.trusted_proxies;
        ctx.visit.client = client_address(peer, &session.req_header().headers, trusted);
        ctx.visit.origin = Origin::of(&self.server.cors, &session.req_header().headers);
        ctx.visit.refusals = self.server.refusals;
        if self.server.merge_slashes
            && let Err(error) = steer::merge_slashes(session.req_header_mut())
        {
            log::debug!("{}: the path stays as it came: {error}", ctx.visit.id);
        }
    }

    /// The stages before anything goes upstream; true when the request is answered already.
    pub(super) async fn answered_here(
        &self,
        session: &mut Session,
        ctx: &mut Ctx,
    ) -> pingora::Result<bool> {
        let admitted = match ctx.errand {
            None => self.admitted(session, ctx).await,
            Some(_) => self.run_errand(session, ctx).map(|()| Way::On),
        };
        match admitted {
            Ok(Way::On) => self.recalled(session, ctx).await,
            Ok(Way::Canned) => self.canned(session, ctx).await,
            Ok(Way::Over) => Ok(true),
            Err(refusal) => reply::refuse(session, ctx, refusal).await,
        }
    }

    async fn admitted(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Way, Refusal> {
        ctx.stage("admit");
        if reply::preflight(session, ctx).await {
            return Ok(Way::Over);
        }
        let limits_first = self.server.refusals == Refusals::OpenaiForward;
        if !limits_first {
            self.check_address(ctx)?;
        }
        if reply::own_endpoint(session, ctx).await {
            return Ok(Way::Over);
        }
        let canned = self.is_canned(session.req_header());
        let aimed = if canned { Ok(()) } else { self.aim(session, ctx) };
        let known = self.who(session, ctx);
        if !known.as_ref().is_err_and(Refusal::is_flood) {
            self.begin_entry(session, ctx);
        }
        known?;
        aimed?;
        let by_tokens = ctx.caller.user.as_ref().is_some_and(|user| user.tokens_limited);
        if !by_tokens {
            self.may(session, ctx).await?;
        }
        if limits_first {
            self.check_address(ctx)?;
        }
        match canned {
            true => self.hear_canned(session, ctx).await?,
            false => self.hear(session, ctx).await?,
        }
        if by_tokens {
            self.may(session, ctx).await?;
        }
        Ok(if canned { Way::Canned } else { Way::On })
    }

    fn check_address(&self, ctx: &Ctx) -> Result<(), Refusal> {
        let inside = |nets: &[IpNet]| {
            ctx.visit.client.is_some_and(|client| nets.iter().any(|net| net.contains(&client)))
        };
        let allow = &self.access.allow_ips;
        let barred = !allow.is_empty() && !inside(allow) || inside(&self.access.deny_ips);
        if barred { Err(Refusal::address()) } else { Ok(()) }
    }

    fn who(&self, session: &Session, ctx: &mut Ctx) -> Result<(), Refusal> {
        let headers = &session.req_header().headers;
        if headers.get_all(AUTHORIZATION).iter().count() > 1 {
            return Err(Refusal::ambiguous_key());
        }
        let known = credentials(headers)
            .find_map(|(header, key)| self.users.find(key).map(|user| (header, user)));
        if let Some((header, user)) = known {
            ctx.caller.key_header = Some(header);
            ctx.caller.user = Some(user);
            return Ok(());
        }
        if let Some(wait) = self.shield.as_ref().and_then(|it| it.refuses(ctx.visit.client)) {
            return Err(Refusal::flood(wait));
        }
        match self.access.unknown_keys {
            UnknownKeys::Pass => Ok(()),
            UnknownKeys::Lend => {
                let place = credentials(headers).next().map_or(AUTHORIZATION, |(place, _)| place);
                ctx.caller.key_header = Some(place);
                ctx.caller.lent = true;
                Ok(())
            }
            UnknownKeys::Refuse if credentials(headers).next().is_some() => {
                Err(Refusal::unknown_key())
            }
            UnknownKeys::Refuse => Err(Refusal::no_key()),
        }
    }

    fn begin_entry(&self, session: &Session, ctx: &mut Ctx) {
        let Some(log) = &self.chat_log else { return };
        let Some(aim) = &ctx.aim else { return };
        if aim.is_logged() && session.req_header().method == Method::POST {
            ctx.entry = log.begin(ctx.visit.call(session, aim));
            if let (Some(entry), Some(user)) = (&mut ctx.entry, &ctx.caller.user) {
                entry.by(&user.name);
            }
        }
    }
}

/// Every key in the request with the header it stands in, the likeliest first.
fn credentials(headers: &HeaderMap) -> impl Iterator<Item = (HeaderName, &[u8])> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    let plain = |name: HeaderName| {
        let value = headers.get(&name)?.as_bytes().trim_ascii();
        (!value.is_empty()).then_some((name, value))
    };
    let socket = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .find_map(|item| item.trim_ascii().strip_prefix(WEBSOCKET_KEY.as_bytes()))
        .map(|key| (AUTHORIZATION, key));
    let bearer = bearer.map(|key| (AUTHORIZATION, key));
    [bearer, plain(X_API_KEY), plain(API_KEY), socket].into_iter().flatten()
}

/// The token of `Bearer TOKEN` (RFC 6750, scheme in any case); spaces inside stay part of it.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

/// The address of the client: the rightmost one that no trusted proxy has.
fn client_address(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    // Behind a unix socket only local processes can stand: the one there is our own front.
    let believed = peer.map_or(!trusted.is_empty(), is_trusted);
    if !believed {
        return peer;
    }
    let listed: Vec<&[u8]> = headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .collect();
    let mut client = peer;
    for item in listed.iter().rev() {
        let Some(address) = std::str::from_utf8(item).ok().and_then(|s| s.trim().parse().ok())
        else {
            break;
        };
        client = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn keys_are_found_where_clients_put_them() {
        for (name, value, expected) in [
            ("authorization", "Bearer fk-1", Some("fk-1")),
            ("authorization", "bearer  fk-1 ", Some("fk-1")),
            ("authorization", "Bearer a b,c", Some("a b,c")),
            ("authorization", "Basic Zm9v", None),
            ("authorization", "Bearer", None),
            ("authorization", "Bearer ", None),
            ("x-api-key", "fk-1", Some("fk-1")),
            ("api-key", " fk-1", Some("fk-1")),
            ("api-key", "", None),
            ("sec-websocket-protocol", "realtime, openai-insecure-api-key.fk-1", Some("fk-1")),
        ] {
            let map = headers(&[(name, value)]);
            let found = credentials(&map).next().map(|(_, key)| key);
            assert_eq!(found, expected.map(str::as_bytes), "{name}: {value}");
        }
    }

    #[test]
    fn the_client_is_the_last_one_nobody_vouches_for() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (peer, forwarded, expected) in [
            ("1.2.3.4", "9.9.9.9", "1.2.3.4"),
            ("10.0.0.1", "9.9.9.9", "9.9.9.9"),
            ("10.0.0.1", "6.6.6.6, 9.9.9.9", "9.9.9.9"),
            ("10.0.0.1", "6.6.6.6, 10.0.0.2", "6.6.6.6"),
            ("10.0.0.1", "6.6.6.6, nonsense", "10.0.0.1"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("::1", "2001:db8::1", "2001:db8::1"),
        ] {
            let map = headers(&[("x-forwarded-for", forwarded)]);
            let found = client_address(Some(ip(peer)), &map, &trusted);
            assert_eq!(found, Some(ip(expected)), "{peer} {forwarded}");
        }
        let map = headers(&[("x-forwarded-for", "9.9.9.9")]);
        assert_eq!(client_address(None, &map, &[]), None);
        assert_eq!(client_address(None, &map, &trusted), Some(ip("9.9.9.9")));
    }
}
