//! The way of one attempt to its host: straight, through a tunnel, or by a proxy that relays.
//!
//! Why two ways through a proxy: TLS, h2 and websockets need a tunnel (RFC 9110, 9.3.6; RFC 6455,
//! 4.1), and many proxies make none to a plain host; for those they take the request itself, with an
//! absolute target (RFC 9112, 3.2.2).
//! The trap: to Pingora's pool every connection to a proxy looks the same. Its address must stay the
//! proxy's, or none is ever used again; so [`Way::mark`] alone keeps apart where they lead.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::PROXY_AUTHORIZATION;
use http::{HeaderValue, StatusCode};
use pingora::Result;
use pingora::http::RequestHeader;

use super::tunnel::{Tunnel, locked_out};
use crate::config::{HttpVersion, Upstream};
use crate::pool::Host;
use crate::secret::Secret;

/// How a connection gets to its host.
#[derive(Debug, Default)]
pub(in crate::edge) enum Way {
    #[default]
    Straight,
    Tunnel(Arc<Tunnel>),
    /// The proxy gets the request, with its own login if it has one.
    Relay(Option<HeaderValue>),
}

/// The proxy in front of all hosts of an upstream.
pub(super) struct Proxied {
    login: Option<HeaderValue>,
    /// In the order of the hosts.
    tunnels: Vec<Arc<Tunnel>>,
    /// No proxy relays h2 in clear text.
    h2_only: bool,
}

// === impl Proxied ===

impl Proxied {
    /// `None` without a proxy.
    pub(super) fn build(section: &Upstream, hosts: &[Arc<Host>]) -> Option<Self> {
        let login = section.proxy.as_ref()?.login.as_ref().map(basic);
        let tunnel = |host: &Arc<Host>| Arc::new(Tunnel::new(&host.label, login.clone()));
        let tunnels = hosts.iter().map(tunnel).collect();
        Some(Self { login, tunnels, h2_only: section.http == HttpVersion::Http2 })
    }

    /// The way to `host`; `upgrades`: the request would make something else of its connection.
    pub(super) fn way(&self, host: &Host, upgrades: bool) -> Way {
        match host.tls || self.h2_only || upgrades {
            true => Way::Tunnel(Arc::clone(&self.tunnels[host.at])),
            false => Way::Relay(self.login.clone()),
        }
    }
}

// === impl Way ===

impl Way {
    /// Sets the target; one that a proxy relays says the host too, and the proxy's login comes with
    /// it. A client's own `Proxy-Authorization` is gone by now: Pingora takes out what is for one hop
    /// only.
    pub(in crate::edge) fn aim(
        &self,
        request: &mut RequestHeader,
        host: &Host,
        target: &str,
    ) -> Result<()> {
        let Self::Relay(login) = self else {
            return request.set_raw_path(target.as_bytes());
        };
        request.set_raw_path(format!("http://{}{target}", host.authority).as_bytes())?;
        match login {
            Some(login) => request.insert_header(PROXY_AUTHORIZATION, login.clone()),
            None => Ok(()),
        }
    }

    /// Why an answer with this status is the proxy's own and not the host's; for the log.
    pub(in crate::edge) fn refused(&self, status: StatusCode) -> Option<&'static str> {
        match (self, status) {
            (Self::Relay(login), StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
                Some(locked_out(login.as_ref()))
            }
            _ => None,
        }
    }

    pub(super) fn tunnel(&self) -> Option<Arc<Tunnel>> {
        match self {
            Self::Tunnel(tunnel) => Some(Arc::clone(tunnel)),
            Self::Straight | Self::Relay(_) => None,
        }
    }

    /// What tells its connections from those of the other ways of the same upstream.
    pub(super) fn mark(&self, host: &Host) -> u64 {
        let at = host.at as u64 + 1;
        match self {
            Self::Straight => 0,
            Self::Tunnel(_) => at << 1 | 1,
            Self::Relay(_) => at << 1,
        }
    }
}

/// `Proxy-Authorization` for `user:password`; its `Debug` does not show it.
fn basic(login: &Secret) -> HeaderValue {
    let text = format!("Basic {}", BASE64_STANDARD.encode(login.expose()));
    let mut value = HeaderValue::try_from(text).expect("base64 is of letters that a header has");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{config, pool};

    #[test]
    fn a_login_is_base64_and_shows_itself_to_nobody() {
        // The pair of RFC 7617, 2.
        let login = basic(&Secret::new("Aladdin:open sesame"));
        assert_eq!(login, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let tunnel = Tunnel::new("gpu:443", Some(login.clone()));
        let shown = format!("{:?} {:?}", Way::Tunnel(Arc::new(tunnel)), Way::Relay(Some(login)));
        assert!(!shown.contains("QWxh"), "{shown}");
    }

    #[test]
    fn each_way_to_each_host_has_a_mark_of_its_own() {
        for (http, kinds) in
            [("1.1", "Relay Tunnel Tunnel Tunnel"), ("2", "Tunnel Tunnel Tunnel Tunnel")]
        {
            let text = format!(
                "access.unknown_keys = 'pass'\n[[upstream]]\nname = 'up'\nhttp = '{http}'\n\
                 hosts = ['http://a', 'https://b']\nproxy = 'http://p:1'\n"
            );
            let section = &config::parse(&text, "test").unwrap().upstreams[0];
            let upstream = pool::Upstream::build(section);
            let proxied = Proxied::build(section, upstream.hosts()).unwrap();
            let hosts = upstream.hosts().iter();
            let ways = hosts.flat_map(|host| [false, true].map(|up| (proxied.way(host, up), host)));
            let ways: Vec<_> = ways.collect();
            let kind =
                |(way, _): &(Way, _)| format!("{way:?}").split('(').next().unwrap().to_owned();
            assert_eq!(ways.iter().map(kind).collect::<Vec<_>>().join(" "), kinds);
            let marks: BTreeSet<u64> = ways.iter().map(|(way, host)| way.mark(host)).collect();
            assert_eq!(marks.len(), if http == "2" { 2 } else { 3 });
            assert!(!marks.contains(&Way::Straight.mark(&upstream.hosts()[0])));
        }
    }
}
