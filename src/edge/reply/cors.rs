//! Pages of other origins: what a browser asks before it calls, and what it must read in an answer
//! (Fetch standard, "CORS protocol").
//!
//! Why no `*` in an answer: a browser that sends credentials does not take it, so the origin is
//! named, and caches are told that it is (`Vary`).

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use http::{Method, StatusCode};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use crate::config::Cors;

/// Where a request comes from, as far as an answer must speak of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::edge) enum Origin {
    /// Nothing is said.
    #[default]
    Unsaid,
    /// No page, or one that may not call.
    Other,
    /// A page that may call.
    Allowed(HeaderValue),
}

/// What a page may do.
const METHODS: [Method; 7] = [
    Method::DELETE,
    Method::GET,
    Method::HEAD,
    Method::OPTIONS,
    Method::PATCH,
    Method::POST,
    Method::PUT,
];
const WRITTEN: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

/// What the answer to a preflight depends on.
const ASKED: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/// How long a browser need not ask again, seconds.
const MAX_AGE: &str = "600";

// === impl Origin ===

impl Origin {
    pub(in crate::edge) fn of(cors: &Cors, headers: &HeaderMap) -> Self {
        if *cors == Cors::Off {
            return Self::Unsaid;
        }
        let origin = headers.get(ORIGIN);
        match origin.filter(|origin| origin.to_str().is_ok_and(|origin| cors.allows(origin))) {
            Some(origin) => Self::Allowed(origin.clone()),
            None => Self::Other,
        }
    }

    /// What every answer says of it; what the host says of origins is meant for itself.
    pub(in crate::edge) fn complete(&self, head: &mut ResponseHeader) -> Result<()> {
        if *self == Self::Unsaid {
            return Ok(());
        }
        head.remove_header(&ACCESS_CONTROL_ALLOW_ORIGIN);
        head.remove_header(&ACCESS_CONTROL_ALLOW_CREDENTIALS);
        if !varies(&head.headers) {
            head.append_header(VARY, "Origin")?;
        }
        if let Self::Allowed(origin) = self {
            head.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())?;
            head.insert_header(ACCESS_CONTROL_ALLOW_CREDENTIALS, "true")?;
        }
        Ok(())
    }

    /// The answer to a browser that asks whether a page may call: head and body; `None` for any
    /// other request.
    pub(in crate::edge) fn preflight(
        &self,
        request: &RequestHeader,
    ) -> Result<Option<(ResponseHeader, &'static str)>> {
        let headers = &request.headers;
        let asks = request.method == Method::OPTIONS && headers.contains_key(ORIGIN);
        let Some(method) = headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|_| asks) else {
            return Ok(None);
        };
        let words = match self {
            Self::Unsaid => return Ok(None),
            Self::Other => "Disallowed CORS origin",
            Self::Allowed(_) if METHODS.iter().all(|known| method != known.as_str()) => {
                "Disallowed CORS method"
            }
            Self::Allowed(_) => "OK",
        };
        let status = if words == "OK" { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        let mut head = ResponseHeader::build(status, Some(9))?;
        head.insert_header(CONTENT_TYPE, "text/plain; charset=utf-8")?;
        head.insert_header(VARY, ASKED)?;
        head.insert_header(ACCESS_CONTROL_ALLOW_METHODS, WRITTEN)?;
        head.insert_header(ACCESS_CONTROL_MAX_AGE, MAX_AGE)?;
        if let Some(wanted) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            head.insert_header(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone())?;
        }
        Ok(Some((head, words)))
    }
}

fn varies(headers: &HeaderMap) -> bool {
    let values = headers.get_all(VARY).iter().filter_map(|value| value.to_str().ok());
    let mut names = values.flat_map(|value| value.split(',')).map(str::trim);
    names.any(|name| name == "*" || name.eq_ignore_ascii_case("origin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build(method, b"/v1/models", None).unwrap();
        for (name, value) in headers {
            request.insert_header(*name, *value).unwrap();
        }
        request
    }

    fn asked(cors: &Cors, headers: &[(&'static str, &str)]) -> Option<(u16, &'static str)> {
        let request = request(Method::OPTIONS, headers);
        let answer = Origin::of(cors, &request.headers).preflight(&request).unwrap();
        answer.map(|(head, words)| (head.status.as_u16(), words))
    }

    #[test]
    fn a_browser_is_told_what_a_page_may_do() {
        let these = Cors::These(vec!["https://a.example".to_owned()]);
        let from = |origin, method| [("origin", origin), ("access-control-request-method", method)];
        for (cors, headers, expected) in [
            (&Cors::Off, from("https://a.example", "POST"), None),
            (&Cors::Any, from("https://b.example", "POST"), Some((200, "OK"))),
            (&Cors::Any, from("null", "DELETE"), Some((200, "OK"))),
            (&Cors::Any, from("https://b.example", "TRACE"), Some((400, "Disallowed CORS method"))),
            (&these, from("https://a.example", "PUT"), Some((200, "OK"))),
            (&these, from("https://b.example", "PUT"), Some((400, "Disallowed CORS origin"))),
        ] {
            assert_eq!(asked(cors, &headers), expected, "{cors:?} {headers:?}");
        }
        assert_eq!(asked(&Cors::Any, &[("origin", "https://a.example")]), None);
        assert_eq!(asked(&Cors::Any, &[("access-control-request-method", "GET")]), None);
    }

    #[test]
    fn an_answer_names_the_origin_and_says_so_to_caches() {
        let request = request(Method::GET, &[("origin", "https://a.example")]);
        let mut head = ResponseHeader::build(200, None).unwrap();
        head.insert_header(VARY, "Accept").unwrap();
        head.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, "*").unwrap();
        for _ in 0..2 {
            Origin::of(&Cors::Any, &request.headers).complete(&mut head).unwrap();
        }
        assert_eq!(head.headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        assert_eq!(head.headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        let vary: Vec<_> = head.headers.get_all(VARY).iter().collect();
        assert_eq!(vary, ["Accept", "Origin"]);
        // A page that may not call reads nothing, whatever the host allows.
        Origin::Other.complete(&mut head).unwrap();
        assert!(!head.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    }
}
