//! The base URL of a host, read strictly.
//!
//! Why by hand: a lenient parser drops a fragment or a bad port in silence, and the call goes to
//! another place than the one that was written.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::config::Host;

/// What is wrong with a URL, and the fix.
type Wrong = (&'static str, String);

/// Reads `http(s)://HOST[:PORT][/PATH]`.
pub(super) fn host(url: &str) -> Result<Host, Wrong> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| no_scheme(url))?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => {
            return Err(wrong("is neither http nor https", "http://... or https://..."));
        }
    };
    plain(rest)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = split(authority)?;
    let base_path = match path.trim_end_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    };
    Ok(Host { tls, host, port: port.unwrap_or(if tls { 443 } else { 80 }), base_path })
}

/// Refuses what does not belong into a base URL.
fn plain(rest: &str) -> Result<(), Wrong> {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte);
    if rest.contains('@') {
        Err(wrong("has a user or a password", "drop it; keys go into upstream.keys"))
    } else if rest.contains('?') {
        Err(wrong("has a query", "drop it; the query of each request is kept"))
    } else if rest.contains('#') {
        Err(wrong("has a fragment", "drop it; a host never sees a fragment"))
    } else if !rest.bytes().all(fits) {
        let fix = "a URL without spaces, quotes and letters beyond ASCII";
        Err(wrong("has a character that a URL cannot have", fix))
    } else {
        Ok(())
    }
}

fn wrong(what: &'static str, fix: &str) -> Wrong {
    (what, fix.to_owned())
}

fn no_scheme(url: &str) -> Wrong {
    ("has no http:// or https://", format!("\"http://{}\"", url.trim_start_matches('/')))
}

fn split(authority: &str) -> Result<(String, Option<u16>), Wrong> {
    let (name, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or(("", "")),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let fits = if authority.starts_with('[') { is_v6 } else { is_name };
    if !fits(name) {
        let fix = "a name or an address, like \"http://10.0.0.11:8000\"";
        return Err(wrong("has no proper host", fix));
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        digits => Some(digits.and_then(number).ok_or_else(bad_port)?),
    };
    Ok((name.to_ascii_lowercase(), port))
}

fn bad_port() -> Wrong {
    wrong("has no proper port", "a port from 1 to 65535 after the \":\", or none")
}

fn number(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port > 0)
}

fn is_v6(name: &str) -> bool {
    name.parse::<Ipv6Addr>().is_ok()
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    // A name that ends in digits is an address (no domain does), so it must be a whole one.
    let address = last.bytes().all(|byte| byte.is_ascii_digit());
    !last.is_empty() && name.bytes().all(fits) && (!address || name.parse::<Ipv4Addr>().is_ok())
}

impl fmt::Display for Host {
    /// The base URL; the scheme's own port is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.tls { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://")?;
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.base_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls() {
        for (url, shown) in [
            ("http://10.0.0.11:8000", "http://10.0.0.11:8000"),
            ("HTTPS://API.Example.com:443/", "https://api.example.com"),
            ("https://h:80/v1/", "https://h:80/v1"),
            ("http://[::1]:8080/a/b", "http://[::1]:8080/a/b"),
            ("http://gpu_1", "http://gpu_1"),
        ] {
            let read = host(url).unwrap();
            assert_eq!(read.to_string(), shown);
            assert_eq!(host(shown), Ok(read), "{url}");
        }
    }

    #[test]
    fn what_is_no_base_url() {
        for url in [
            "",
            "h:8000",
            "//h",
            "ftp://h",
            "http://",
            "http://:80",
            "http:///v1",
            "http://h:",
            "http://h:0",
            "http://h:99999",
            "http://h:+80",
            "http://h:8a",
            "http://me@h",
            "http://h/?q",
            "http://h#f",
            "http://a b",
            "http://[::1",
            "http://[h]",
            "http://[::1]80",
            "http://::1",
            "http://10.0.0.300",
            "http://10.0.0",
            "http://h/a b",
            "http://ümlaut",
            "http://.",
        ] {
            assert!(host(url).is_err(), "{url}: {:?}", host(url));
        }
    }
}
