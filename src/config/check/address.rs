//! Rules of addresses: listeners and networks.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use crate::config::Listen;
use crate::config::findings::Findings;

/// Longest path of a unix socket that the kernel takes, bytes.
const SOCKET_PATH: usize = 107;

/// One entry of `server.listen`; a bare address is TLS when there is a certificate.
pub(super) fn listen(
    key: &str,
    said: &str,
    tls: bool,
    findings: &mut Findings<'_>,
) -> Option<Listen> {
    if let Some(path) = said.strip_prefix("unix:") {
        return unix(key, path, findings);
    }
    let (wants_tls, address) = match (said.strip_prefix("http://"), said.strip_prefix("https://")) {
        (Some(plain), _) => (false, plain),
        (_, Some(secure)) => (true, secure),
        _ => (tls, said),
    };
    let address = socket(key, address, findings)?;
    if wants_tls && !tls {
        let fix = "add tls = { cert = \"...\", key = \"...\" } to [server], or write http://";
        findings.fault(key, "needs a certificate", fix);
        return None;
    }
    Some(if wants_tls { Listen::Tls(address) } else { Listen::Plain(address) })
}

fn unix(key: &str, path: &str, findings: &mut Findings<'_>) -> Option<Listen> {
    if !path.starts_with('/') {
        findings.fault(key, "is not an absolute path", "a path like \"unix:/run/aifd.sock\"");
        return None;
    }
    if path.len() > SOCKET_PATH {
        let what = "is too long for a unix socket";
        findings.fault(key, what, format!("a path of at most {SOCKET_PATH} bytes"));
        return None;
    }
    Some(Listen::Unix(PathBuf::from(path)))
}

/// `IP:PORT`.
pub(super) fn socket(key: &str, said: &str, findings: &mut Findings<'_>) -> Option<SocketAddr> {
    let address = said.parse().ok();
    if address.is_none() {
        let fix = "IP:PORT, like \"0.0.0.0:8000\", \"127.0.0.1:8000\" or \"[::1]:8000\"";
        findings.fault(key, "is not an address and a port", fix);
    }
    address
}

/// Whether two listeners would fight for one place. Port 0 is a new port each time.
pub(super) fn clash(left: &Listen, right: &Listen) -> bool {
    match (address(left), address(right)) {
        (Some(left), Some(right)) => {
            let any = left.ip().is_unspecified() || right.ip().is_unspecified();
            let family = left.is_ipv4() == right.is_ipv4();
            left.port() == right.port()
                && left.port() != 0
                && (left.ip() == right.ip() || (any && family))
        }
        (None, None) => left == right,
        _ => false,
    }
}

fn address(listen: &Listen) -> Option<SocketAddr> {
    match listen {
        Listen::Plain(address) | Listen::Tls(address) => Some(*address),
        Listen::Unix(_) => None,
    }
}

/// A list of networks; a plain address is a network of one.
pub(super) fn nets(key: &str, said: &[String], findings: &mut Findings<'_>) -> Option<Vec<IpNet>> {
    let mut nets = Vec::with_capacity(said.len());
    for (at, text) in said.iter().enumerate() {
        let net = text.parse::<IpNet>().map(|net| net.trunc());
        match net.or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
            Ok(net) => nets.push(net),
            Err(_) => {
                let fix = "a network or an address, like \"10.0.0.0/8\" or \"192.168.1.7\"";
                findings.fault(&format!("{key}[{at}]"), "is not a network", fix);
            }
        }
    }
    (nets.len() == said.len()).then_some(nets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clashes() {
        let plain = |text: &str| Listen::Plain(text.parse().unwrap());
        let unix = |path: &str| Listen::Unix(path.into());
        for (left, right, expected) in [
            (plain("1.2.3.4:80"), plain("1.2.3.4:80"), true),
            (plain("0.0.0.0:80"), Listen::Tls("1.2.3.4:80".parse().unwrap()), true),
            (plain("1.2.3.4:80"), plain("1.2.3.4:81"), false),
            (plain("1.2.3.4:80"), plain("1.2.3.5:80"), false),
            (plain("[::1]:80"), plain("0.0.0.0:80"), false),
            (plain("127.0.0.1:0"), plain("127.0.0.1:0"), false),
            (unix("/a"), unix("/a"), true),
            (unix("/a"), plain("127.0.0.1:80"), false),
        ] {
            assert_eq!(clash(&left, &right), expected, "{left:?} {right:?}");
            assert_eq!(clash(&right, &left), expected, "{right:?} {left:?}");
        }
    }
}
