//! `proxy`: the URL of an HTTP proxy, whose login is a secret.
//!
//! The trap: the whole text may hold a password, so no message here repeats any part of it.

use super::host::host;
use super::secret;
use crate::config::findings::Findings;
use crate::config::{Host, Proxy};
use crate::secret::{DOTS, Secret};

const FORM: &str = "a URL like \"http://user:password@10.0.0.1:3128\"";

/// `Some(None)` when there is nothing wrong with having none.
pub(super) fn proxy(
    key: &str,
    said: Option<&str>,
    findings: &mut Findings<'_>,
) -> Option<Option<Proxy>> {
    let Some(said) = said else { return Some(None) };
    if said.is_empty() {
        findings.wrong(key);
        return None;
    }
    let url = secret::resolve(key, said, findings)?;
    match read(&url) {
        Ok(proxy) => Some(Some(proxy)),
        Err(what) => {
            findings.fault(key, what, FORM);
            None
        }
    }
}

fn read(url: &Secret) -> Result<Proxy, &'static str> {
    let text = url.expose();
    let (scheme, rest) = text.split_once("://").ok_or("has no http://")?;
    if !scheme.eq_ignore_ascii_case("http") {
        return Err("is not http: a proxy is spoken to in clear text");
    }
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, rest),
    };
    let plain = format!("http://{}", place.trim_end_matches('/'));
    let read = host(&plain).map_err(|(what, _)| what)?;
    if !read.base_path.is_empty() {
        return Err("has a path");
    }
    if read.port == 80 && !plain.ends_with(":80") {
        return Err("has no port");
    }
    let login = login.map(|login| decoded(login).ok_or("has no proper user and password"));
    Ok(Proxy {
        shown: shown(url, &read, login.is_some()),
        login: login.transpose()?.map(Secret::new),
        host: read.host,
        port: read.port,
    })
}

/// Where it came from, or the URL without its login.
fn shown(url: &Secret, read: &Host, login: bool) -> String {
    if url.origin() != DOTS {
        return url.origin().to_owned();
    }
    let port = if read.port == 80 { ":80" } else { "" };
    let place = format!("{read}{port}");
    match login {
        true => place.replacen("//", &format!("//{DOTS}@"), 1),
        false => place,
    }
}

/// `user:password` without its percent signs.
fn decoded(login: &str) -> Option<String> {
    if !login.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut bytes = Vec::with_capacity(login.len() + 1);
    let mut rest = login.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => 16 * hex(rest.next()?)? + hex(rest.next()?)?,
            byte => byte,
        });
    }
    if !login.contains(':') {
        bytes.push(b':');
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.starts_with(':') && !text.contains(char::is_control)).then_some(text)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_is_read_and_never_shown() {
        for (url, place, login, shown) in [
            ("http://h:3128", ("h", 3128), None, "http://h:3128"),
            ("HTTP://H:80/", ("h", 80), None, "http://h:80"),
            ("http://u:p@h:1", ("h", 1), Some("u:p"), "http://••••@h:1"),
            ("http://u@[::1]:80", ("::1", 80), Some("u:"), "http://••••@[::1]:80"),
            ("http://u%40x:p%2f%3a@h:1", ("h", 1), Some("u@x:p/:"), "http://••••@h:1"),
            ("http://u:a@b@h:1", ("h", 1), Some("u:a@b"), "http://••••@h:1"),
        ] {
            let proxy = read(&Secret::new(url)).unwrap();
            assert_eq!((proxy.host.as_str(), proxy.port), place, "{url}");
            assert_eq!(proxy.login.as_ref().map(Secret::expose), login, "{url}");
            assert_eq!(proxy.shown, shown, "{url}");
            assert!(!format!("{proxy:?}").contains("a@b"));
        }
        let proxy = read(&Secret::from_origin("http://u:p@h:1", "env:PROXY")).unwrap();
        assert_eq!(proxy.shown, "env:PROXY");
    }

    #[test]
    fn what_is_no_proxy() {
        for url in [
            "h:3128",
            "https://h:3128",
            "socks5://h:1080",
            "http://h",
            "http://u:p@h",
            "http://h:1/path",
            "http://h:1?q",
            "http://:p@h:1",
            "http://u:%zz@h:1",
            "http://u:%0a@h:1",
            "http://u:%f@h:1",
            "http://u:a b@h:1",
            "http://u:p@h :1",
        ] {
            assert!(read(&Secret::new(url)).is_err(), "{url}");
        }
    }
}
