//! Headers by table: what goes, what stays, what is rewritten.

use super::*;
use crate::config;
use crate::pool::Upstream;

fn host(url_host: &str, port: u16, base_path: &str) -> std::sync::Arc<Host> {
    let text = format!(
        "access.unknown_keys = 'pass'\n\
         [[upstream]]\nname = 'up'\nhosts = ['http://{url_host}:{port}{base_path}']\n"
    );
    let config = config::parse(&text, "test").unwrap();
    let upstream = Upstream::build(&config.upstreams[0]);
    upstream.hosts()[0].clone()
}

#[test]
fn a_location_never_names_the_upstream() {
    let host = host("10.0.0.11", 8000, "/base");
    for (given, prefix, seen) in [
        ("http://10.0.0.11:8000/base/v1/models", "/", Some("/v1/models")),
        ("http://10.0.0.11:8000/base/v1/models?a=b", "/local", Some("/local/v1/models?a=b")),
        ("https://10.0.0.11:8000/other", "/local", Some("/local/other")),
        ("http://10.0.0.11:8000", "/", Some("/")),
        ("http://10.0.0.11:80001/x", "/", None),
        ("http://10.0.0.11:8000.evil/x", "/", None),
        ("https://cdn.example/x", "/local", None),
        ("/base", "/local", Some("/local")),
        ("/base/x", "/", Some("/x")),
        ("/basement", "/local", Some("/local/basement")),
        ("//cdn.example/x", "/local", None),
        ("next", "/local", None),
    ] {
        assert_eq!(location(given, &host, prefix).as_deref(), seen, "{given}");
    }
}

#[test]
fn the_upstream_key_goes_where_the_clients_was() {
    for (place, expected) in
        [(AUTHORIZATION, "Bearer sk-up"), (X_API_KEY, "sk-up"), (API_KEY, "sk-up")]
    {
        let mut request = RequestHeader::build("POST", b"/", None).unwrap();
        for name in ["authorization", "x-api-key", "api-key"] {
            request.append_header(name, "fk-client").unwrap();
        }
        swap_key(&mut request, Some(&place), Some(&Secret::new("sk-up"))).unwrap();
        assert_eq!(request.headers.len(), 1, "{place}");
        assert_eq!(request.headers[&place], expected);
        assert!(request.headers[&place].is_sensitive());
    }
    let mut request = RequestHeader::build("POST", b"/", None).unwrap();
    request.append_header("authorization", "Bearer fk-client").unwrap();
    swap_key(&mut request, Some(&AUTHORIZATION), None).unwrap();
    assert!(request.headers.is_empty());
}

#[test]
fn a_key_among_websocket_protocols_is_taken_out() {
    for (given, left) in [
        ("realtime, openai-insecure-api-key.fk-1, v1", Some("realtime, v1")),
        ("openai-insecure-api-key.fk-1", None),
    ] {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.append_header("sec-websocket-protocol", given).unwrap();
        swap_key(&mut request, None, None).unwrap();
        let found = request.headers.get(SEC_WEBSOCKET_PROTOCOL);
        assert_eq!(found.map(|value| value.to_str().unwrap()), left);
    }
}

#[test]
fn http_1_0_gets_no_chunks() {
    for (version, kept) in [(Version::HTTP_10, false), (Version::HTTP_11, true)] {
        let mut response = ResponseHeader::build(200, None).unwrap();
        response.insert_header(TRANSFER_ENCODING, "chunked").unwrap();
        for_version(version, &mut response);
        assert_eq!(response.headers.contains_key(TRANSFER_ENCODING), kept);
    }
}
