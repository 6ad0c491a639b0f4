//! `store`: "memory" or the URL of a Redis, which may hold a password.
//!
//! The trap: as with a proxy, no message here repeats any part of the URL.

use super::host::host;
use super::secret;
use crate::config::LimitStore;
use crate::config::findings::Findings;
use crate::secret::{DOTS, Secret};

const FORM: &str = "a URL like \"redis://:password@10.0.0.5:6379/0\"";

pub(super) fn store(key: &str, said: &str, findings: &mut Findings<'_>) -> Option<LimitStore> {
    if said == "memory" {
        return Some(LimitStore::Memory);
    }
    if said.is_empty() {
        findings.wrong(key);
        return None;
    }
    let url = secret::resolve(key, said, findings)?;
    match read(&url) {
        Ok(url) => Some(LimitStore::Redis(url)),
        Err(what) => {
            findings.fault(key, what, FORM);
            None
        }
    }
}

/// The same URL, with how it may be shown.
fn read(url: &Secret) -> Result<Secret, &'static str> {
    let text = url.expose();
    let (scheme, rest) = text.split_once("://").ok_or("is neither \"memory\" nor a URL")?;
    if !matches!(scheme, "redis" | "rediss") {
        return Err("is neither redis:// nor rediss://");
    }
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, rest),
    };
    if !login.is_none_or(is_login) {
        return Err("has no proper user and password");
    }
    let read = host(&format!("http://{place}")).map_err(|(what, _)| what)?;
    let database = read.base_path.trim_start_matches('/');
    if !database.is_empty() && (!is_number(database) || database.parse::<i64>().is_err()) {
        return Err("has no proper number of a database after the host");
    }
    let shown = match login {
        _ if url.origin() != DOTS => url.origin().to_owned(),
        Some(_) => format!("{scheme}://{DOTS}@{place}"),
        None => text.to_owned(),
    };
    Ok(Secret::from_origin(text, shown))
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `user:password`, `:password`, with percent signs where a URL needs them.
fn is_login(login: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#\\@".contains(&byte);
    let digits =
        |part: &str| part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    login.bytes().all(plain) && login.split('%').skip(1).all(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_kept_and_its_login_is_not_shown() {
        for (url, shown) in [
            ("redis://10.0.0.5:6379/0", "redis://10.0.0.5:6379/0"),
            ("redis://h", "redis://h"),
            ("rediss://[::1]:6380/", "rediss://[::1]:6380/"),
            ("redis://:p%40ss@h:6379/15", "redis://••••@h:6379/15"),
            ("rediss://user:pass@h", "rediss://••••@h"),
        ] {
            let read = read(&Secret::new(url)).unwrap();
            assert_eq!((read.expose(), read.origin()), (url, shown));
        }
        let read = read(&Secret::from_origin("redis://u:p@h", "env:REDIS")).unwrap();
        assert_eq!(read.origin(), "env:REDIS");
    }

    #[test]
    fn what_is_no_store() {
        for url in [
            "Memory",
            "10.0.0.5:6379",
            "http://h:6379",
            "redis://",
            "redis://:6379",
            "redis://h:0",
            "redis://h/one",
            "redis://h/0/1",
            "redis://h/-1",
            "redis://h/99999999999999999999",
            "redis://h?db=1",
            "redis://a/b@h",
            "redis://a@b@h",
            "redis://:p%4@h",
            "redis://:a b@h",
            "redis://h #",
        ] {
            assert!(read(&Secret::new(url)).is_err(), "{url}");
        }
    }
}
