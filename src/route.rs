//! Which route a path belongs to: the longest prefix that ends at a segment border. Pure.
//!
//! Why the border: a plain string prefix would let `/p.1:19102/x` or `/openaix` reach hosts and
//! paths that nobody configured, with a real key in hand.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Kind, Route as Section};

/// All routes, longest prefix first.
#[derive(Debug)]
pub struct Routes(Vec<Route>);

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its place in the configuration, for per-route state of others.
    pub index: usize,
    /// `/` or `/name`, as configured.
    pub prefix: Arc<str>,
    /// Index of its upstream.
    pub upstream: usize,
    /// How it is treated.
    pub kind: Kind,
    /// How its streams are treated.
    pub streaming: Streaming,
}

/// How the streams of a route are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streaming {
    /// After so much silence a comment goes out.
    pub keepalive: Option<Duration>,
    /// It may go out before the host has answered.
    pub before: bool,
    /// How long a stream that says nothing yet is held back.
    pub hold: Option<Duration>,
}

// === impl Routes ===

impl Routes {
    /// Orders the routes of the configuration.
    #[must_use]
    pub fn build(sections: &[Section]) -> Self {
        let mut routes: Vec<Route> = sections
            .iter()
            .enumerate()
            .map(|(index, section)| Route {
                index,
                prefix: section.prefix.as_str().into(),
                upstream: section.upstream,
                kind: section.kind,
                streaming: Streaming {
                    keepalive: section.keepalive,
                    before: section.keepalive_before,
                    hold: section.hold,
                },
            })
            .collect();
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        Self(routes)
    }

    /// All prefixes, by [`Route::index`].
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        let mut routes: Vec<&Route> = self.0.iter().collect();
        routes.sort_by_key(|route| route.index);
        routes.into_iter().map(|route| &*route.prefix)
    }

    /// The route of `path` (without query), and the rest of the path behind its prefix: empty, or
    /// beginning with `/`, byte for byte as it came.
    #[must_use]
    pub fn find<'p>(&self, path: &'p str) -> Option<(&Route, &'p str)> {
        self.0.iter().find_map(|route| {
            let rest = match &*route.prefix {
                "/" => path,
                prefix => path.strip_prefix(prefix)?,
            };
            (rest.is_empty() || rest.starts_with('/')).then_some((route, rest))
        })
    }
}

/// Why a path is not taken at all: it could mean another path to whoever reads it next.
///
/// # Errors
/// A half sentence for people, to stand behind "the path of the request".
pub fn refuse_path(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("does not begin with `/`");
    }
    if !path.contains(['%', '.', '\\']) {
        return Ok(());
    }
    let decoded = percent_decoded(path.as_bytes());
    if decoded.iter().any(|byte| *byte < b' ' || *byte == 0x7f) {
        return Err("contains a control character");
    }
    let mut segments = decoded.split(|byte| matches!(byte, b'/' | b'\\'));
    if segments.any(|segment| segment == b".." || segment == b".") {
        return Err("contains a `.` or `..` segment");
    }
    Ok(())
}

/// A path as whoever reads it next may understand it: decoded, and every run of `/` one. For what is
/// decided by path without being part of it: `/v1/%63hat` must not have a limit of its own.
#[must_use]
pub fn plain_path(path: &str) -> Cow<'_, str> {
    if !path.contains('%') && !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut plain = percent_decoded(path.as_bytes());
    plain.dedup_by(|next, last| *next == b'/' && *last == b'/');
    Cow::Owned(String::from_utf8_lossy(&plain).into_owned())
}

/// A path in which every run of `/` is one, and none is at its end; `None` if it is so already.
#[must_use]
pub fn merged(path: &str) -> Option<String> {
    let is_so = !path.contains("//") && (path.len() < 2 || !path.ends_with('/'));
    if is_so || !path.starts_with('/') {
        return None;
    }
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    let merged: String = segments.flat_map(|segment| ["/", segment]).collect();
    Some(if merged.is_empty() { "/".to_owned() } else { merged })
}

fn percent_decoded(path: &[u8]) -> Vec<u8> {
    let hex = |byte: u8| (byte as char).to_digit(16);
    let mut decoded = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        let pair = (path[at] == b'%' && at + 2 < path.len())
            .then(|| hex(path[at + 1]).zip(hex(path[at + 2])))
            .flatten();
        match pair {
            Some((high, low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            None => {
                decoded.push(path[at]);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn routes(prefixes: &[&str]) -> Routes {
        let sections: Vec<Section> = prefixes
            .iter()
            .enumerate()
            .map(|(upstream, prefix)| Section {
                prefix: (*prefix).to_owned(),
                upstream,
                kind: Kind::Openai,
                keepalive: None,
                keepalive_before: false,
                hold: None,
            })
            .collect();
        Routes::build(&sections)
    }

    #[test]
    fn the_longest_prefix_at_a_border_wins() {
        let table = routes(&["/", "/openai", "/openai/azure", "/p"]);
        for (path, prefix, rest) in [
            ("/v1/models", "/", "/v1/models"),
            ("/openai", "/openai", ""),
            ("/openai/", "/openai", "/"),
            ("/openai/v1//x%2Fy/", "/openai", "/v1//x%2Fy/"),
            ("/openaix/v1", "/", "/openaix/v1"),
            ("/openai/azure/v1", "/openai/azure", "/v1"),
            ("/openai/azurex", "/openai", "/azurex"),
            ("/p.1:19102/x", "/", "/p.1:19102/x"),
            ("/p@evil/x", "/", "/p@evil/x"),
            ("/p//x", "/p", "//x"),
        ] {
            let (route, found) = table.find(path).unwrap();
            assert_eq!((&*route.prefix, found), (prefix, rest), "{path}");
        }
        assert!(routes(&["/p"]).find("/p.1:19102/x").is_none());
        assert!(routes(&["/p"]).find("/").is_none());
    }

    #[test]
    fn paths_that_mean_two_things_are_refused() {
        for good in ["/", "/v1/models", "/a.b/..c", "/a%2Fb", "/@x", "/v1//x/", "/100%", "/%zz"] {
            assert_eq!(refuse_path(good), Ok(()), "{good}");
        }
        for bad in ["", "*", "x", "/..", "/a/../b", "/a/%2e%2E/b", "/a/..%2fb", "/.", "/a\\..\\b"] {
            assert!(refuse_path(bad).is_err(), "{bad}");
        }
        assert!(refuse_path("/a%00b").is_err() && refuse_path("/a%0d%0ab").is_err());
    }

    #[test]
    fn a_path_has_one_plain_form() {
        for (path, plain) in [
            ("/v1/chat", "/v1/chat"),
            ("/v1/%63hat", "/v1/chat"),
            ("//v1///chat/", "/v1/chat/"),
            ("/v1%2fchat", "/v1/chat"),
            ("/v1/%", "/v1/%"),
            ("/v1/%ff", "/v1/\u{fffd}"),
        ] {
            assert_eq!(plain_path(path), plain);
        }
    }

    #[test]
    fn slashes_are_merged_and_none_is_left_at_the_end() {
        for (path, expected) in [
            ("/", None),
            ("/v1/models", None),
            ("*", None),
            ("//", Some("/")),
            ("/v1/", Some("/v1")),
            ("//v1///models/", Some("/v1/models")),
            ("/a%2F%2Fb//", Some("/a%2F%2Fb")),
        ] {
            assert_eq!(merged(path).as_deref(), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_merged_stays_so(path in "[/a]{1,9}") {
            let path = format!("/{path}");
            prop_assert_eq!(merged(&path).and_then(|path| merged(&path)), None);
        }

        #[test]
        fn prefix_and_rest_are_the_path(path in "(/[a-z.%]{0,3}){1,5}", prefix in "/[a-z]{1,3}") {
            let table = routes(&[&prefix]);
            let covered = path == prefix || path.starts_with(&format!("{prefix}/"));
            let found = table.find(&path).map(|(_, rest)| format!("{prefix}{rest}"));
            prop_assert_eq!(found, covered.then_some(path));
        }

        #[test]
        fn any_text_is_judged_without_a_panic(path in ".{0,40}") {
            let _ = refuse_path(&path);
            let _ = routes(&["/", "/a"]).find(&path);
        }
    }
}
