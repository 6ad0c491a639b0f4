//! What carries HTTP: TLS with ALPN, IPv6, unix sockets; and websockets, which it carries.

use std::net::SocketAddr;
use std::path::Path;

use http::Version;
use tokio::net::{TcpStream, UnixListener};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use crate::support::certs::Certs;
use crate::support::client::{Client, Ended, RawH1, WebSocket};
use crate::support::openai::get;
use crate::support::upstream::{End, Reply, Upstream};

#[tokio::test]
async fn tls_settles_on_what_both_ends_know() {
    let certs = Certs::new();
    let table: [(&[&str], &[&str], Version); 4] = [
        (&["h2", "http/1.1"], &["h2", "http/1.1"], Version::HTTP_2),
        (&["h2", "http/1.1"], &["http/1.1"], Version::HTTP_11),
        (&["http/1.1"], &["h2", "http/1.1"], Version::HTTP_11),
        (&["h2"], &[], Version::HTTP_11),
    ];
    for (server, client, version) in table {
        let up = Upstream::start_tls(server, &certs, |_| Reply::sse(["a"])).await;
        assert!(up.url().starts_with("https://127.0.0.1:"));
        let mut client = Client::tls(up.addr(), &certs, client).await.unwrap();
        assert_eq!(client.ask(get("/")).await.events(), ["a"]);
        assert_eq!(up.seen(1).await[0].version, version);
    }
}

#[tokio::test]
async fn a_cut_under_tls_is_a_cut() {
    let certs = Certs::new();
    for alpn in ["h2", "http/1.1"] {
        for reset in [false, true] {
            let script = move |_: &_| match reset {
                true => Reply::sse(["a"]).reset_after(4),
                false => Reply::sse(["a"]).cut_after(4),
            };
            let up = Upstream::start_tls(&[alpn], &certs, script).await;
            let mut client = Client::tls(up.addr(), &certs, &[alpn]).await.unwrap();
            let answer = client.ask(get("/")).await;
            assert!(answer.ended.is_cut(), "{alpn} {reset}: {answer:?}");
        }
        let up = Upstream::start_tls(&[alpn], &certs, |_| Reply::silence()).await;
        let mut client = Client::tls(up.addr(), &certs, &[alpn]).await.unwrap();
        tokio::select! {
            answer = client.send(get("/")) => panic!("{alpn}: {:?}", answer.map(|a| a.status)),
            _ = up.seen(1) => {}
        }
        drop(client);
        assert_eq!(up.gone(1).await[0].after_bytes, 0, "{alpn}");
    }
}

#[tokio::test]
async fn a_stranger_and_a_wrong_name_are_refused() {
    let (certs, stranger, elsewhere) = (Certs::new(), Certs::new(), Certs::for_names(&["a.test"]));
    let up = Upstream::start_tls(&[], &certs, |_| Reply::sse(["a"])).await;
    let told = Client::tls(up.addr(), &stranger, &[]).await.err();
    assert!(told.is_some_and(|why| why.contains("UnknownIssuer") || why.contains("BadSignature")));
    let up = Upstream::start_tls(&[], &elsewhere, |_| Reply::sse(["a"])).await;
    let told = Client::tls(up.addr(), &elsewhere, &[]).await.err();
    assert!(told.is_some_and(|why| why.contains("not valid for name")));
    for file in [certs.ca_file(), certs.cert_file(), certs.key_file()] {
        assert!(std::fs::read_to_string(file).unwrap().starts_with("-----BEGIN "));
    }
}

#[tokio::test]
async fn ipv6_is_an_address_like_any_other() {
    let up = Upstream::start_at("[::1]:0", |_| Reply::sse(["a"])).await;
    assert_eq!(up.url(), format!("http://[::1]:{}", up.port()));
    assert_eq!(Client::h1(up.addr()).await.ask(get("/")).await.events(), ["a"]);
}

#[tokio::test]
async fn a_unix_socket_carries_http() {
    let up = Upstream::start(|_| Reply::sse(["a"])).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("it.sock");
    let _bridge = bridge(&path, up.addr());
    let answer = Client::unix(&path).await.ask(get("/")).await;
    assert_eq!((answer.events(), answer.ended.clone()), (vec!["a"], Ended::Whole));
}

/// Takes one connection from a unix socket to a TCP one.
#[expect(clippy::unwrap_used, reason = "a part of one test")]
fn bridge(path: &Path, addr: SocketAddr) -> JoinSet<()> {
    let listener = UnixListener::bind(path).unwrap();
    let mut bridge = JoinSet::new();
    bridge.spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(addr).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    bridge
}

#[tokio::test]
async fn a_websocket_echoes_until_it_closes() {
    let up = Upstream::start(|_| Reply::websocket()).await;
    let key = [("authorization", "Bearer k")];
    let mut socket = WebSocket::open(up.addr(), "/v1/realtime?model=m", &key).await.unwrap();
    for message in [Message::text("hé"), Message::binary(vec![0, 255]), Message::text("")] {
        assert_eq!(socket.say(message.clone()).await, message);
    }
    socket.close().await;
    let entry = &up.idle().await[0];
    assert!(matches!(entry.end, Some(End::Answered { .. })), "{entry:?}");
    assert_eq!(entry.seen.header("authorization"), Some("Bearer k"));
    assert_eq!(entry.seen.target, "/v1/realtime?model=m");
}

#[tokio::test]
async fn a_websocket_that_breaks_off_is_a_client_gone() {
    let up = Upstream::start(|_| Reply::websocket()).await;
    let mut socket = WebSocket::open(up.addr(), "/", &[]).await.unwrap();
    socket.say(Message::text("12345")).await;
    drop(socket);
    assert_eq!(up.gone(1).await[0].after_bytes, 5);
}

#[tokio::test]
async fn a_refused_upgrade_gives_its_status() {
    let up = Upstream::start(|_| Reply::bytes(401, "text/plain", "no")).await;
    assert_eq!(WebSocket::open(up.addr(), "/", &[]).await.err(), Some(401));
    let mut plain = RawH1::connect(up.addr()).await;
    plain.send("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(plain.answer().await.unwrap().status, 401);
}
