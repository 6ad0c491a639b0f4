//! A tunnel by what the proxy says, word for word.

use super::*;

const LOGIN: &str = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";

fn tunnel(login: bool) -> Tunnel {
    Tunnel::new("gpu:443", login.then(|| HeaderValue::from_static(LOGIN)))
}

/// What comes of a tunnel whose proxy says this and closes.
async fn dig(tunnel: &Tunnel, said: &[u8]) -> Result<Vec<u8>> {
    let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
    theirs.write_all(said).await.unwrap();
    theirs.shutdown().await.unwrap();
    tunnel.dig(&mut ours).await
}

#[test]
fn the_request_on_the_wire() {
    assert_eq!(tunnel(false).request(), b"CONNECT gpu:443 HTTP/1.1\r\nHost: gpu:443\r\n\r\n");
    let request = String::from_utf8(tunnel(true).request()).unwrap();
    assert!(request.ends_with(&format!("\r\nProxy-Authorization: {LOGIN}\r\n\r\n")), "{request}");
}

#[tokio::test]
async fn what_the_target_says_first_may_come_with_the_proxys_last_byte() {
    for (said, rest) in [
        ("HTTP/1.1 200 Connection established\r\nvia: 1.1 proxy\r\n\r\n", ""),
        ("HTTP/1.0 204\r\n\r\n", ""),
        ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello\r\n\r\n", "hello\r\n\r\n"),
    ] {
        let dug = dig(&tunnel(false), said.as_bytes()).await.unwrap();
        assert_eq!(dug, rest.as_bytes(), "{said}");
    }
}

#[tokio::test]
async fn what_the_proxy_will_not_do_is_said() {
    let endless = "x".repeat(HEAD_MOST + 1);
    for (login, said, words) in [
        (false, "HTTP/1.1 407 Who are you\r\n\r\n", "asks for a login (407)"),
        (true, "HTTP/1.1 407 Who are you\r\n\r\n", "does not accept the login"),
        (true, "HTTP/1.1 502 Bad Gateway\r\n\r\n", "refused the tunnel (502)"),
        (true, "HTTP/1.1 302 Found\r\n\r\n", "(302)"),
        (true, "HTTP/1.1 100 Continue\r\n\r\n", "broke off"),
        (true, "HTTP/1.1 200", "broke off"),
        (true, "", "broke off"),
        (true, "SSH-2.0-x\r\n\r\n", "no HTTP/1 head"),
        (true, &endless, "an endless head"),
    ] {
        let error = dig(&tunnel(login), said.as_bytes()).await.unwrap_err();
        assert_eq!(error.etype(), &ErrorType::ConnectProxyFailure, "{error}");
        let text = format!("{error} {error:?}");
        assert!(text.contains(words) && !text.contains("QWxh"), "{text}");
    }
}

#[test]
fn the_status_of_a_head() {
    for (head, expected) in [
        ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
        ("HTTP/1.0 407 \r\n\r\n", Some(407)),
        ("HTTP/1.1 204\r\n\r\n", Some(204)),
        ("HTTP/1.1 2000 OK\r\n\r\n", None),
        ("HTTP/1.1 +20 OK\r\n\r\n", None),
        ("HTTP/2 200\r\n\r\n", None),
        ("HTTP/1.1 \r\n\r\n", None),
        ("\r\n\r\n", None),
    ] {
        assert_eq!(status(head.as_bytes()), expected, "{head:?}");
    }
}
