//! The ledger: requests as they stood on the wire, faults, and how the upstream itself ends.

use std::time::Duration;

use crate::support::client::{Client, Farewell, RawH1, RawH2};
use crate::support::openai::get;
use crate::support::upstream::{End, Reply, Upstream};
use crate::support::{promptly, refused_addr};

#[tokio::test]
async fn a_request_is_kept_byte_for_byte() {
    let up = Upstream::start(|_| Reply::sse(["a"])).await;
    let mut client = RawH1::connect(up.addr()).await;
    client
        .send(
            "PoST //a%2Fb/../c?q=%zz&x=|& HTTP/1.1\r\nX-B: 1\r\nHost:  h:1 \r\nx-a:\r\nX-B: two words\r\n\
             transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n00A\r\n0123456789\r\n0\r\nx-t: 1\r\n\r\n",
        )
        .await;
    client.answer().await.unwrap();

    let seen = &up.seen(1).await[0];
    assert_eq!((&*seen.method, &*seen.target), ("PoST", "//a%2Fb/../c?q=%zz&x=|&"));
    assert_eq!((seen.authority.as_deref(), &seen.body[..]), (Some("h:1"), &b"abc0123456789"[..]));
    let names: Vec<_> = seen.headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["X-B", "Host", "x-a", "X-B", "transfer-encoding"]);
    assert_eq!((seen.header("X-A"), seen.header("x-c")), (Some(""), None));
    assert_eq!(seen.values("x-b"), ["1", "two words"]);
    assert!(seen.at.elapsed().as_secs() < 10 && seen.whole);
}

#[tokio::test]
async fn http2_requests_are_kept_too() {
    let up = Upstream::start_h2c(|_| Reply::sse(["a"])).await;
    let mut client = RawH2::connect(up.addr()).await;
    let request = http::Request::put("/a%2Fb//?q=1").header("x-b", "1").header("x-b", "");
    let request = request.body("body".into()).unwrap();
    client.send(request).await.head().await.unwrap();
    let seen = &up.seen(1).await[0];
    assert_eq!((&*seen.method, &*seen.target), ("PUT", "/a%2Fb//?q=1"));
    assert_eq!((seen.values("x-b"), &seen.body[..]), (vec!["1", ""], &b"body"[..]));
    assert_eq!(seen.version, http::Version::HTTP_2);
}

#[tokio::test]
async fn a_body_reads_the_same_wherever_it_is_cut() {
    let wire = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\nb\r\n\r\n345678901\r\n0\r\n\r\n";
    let up = Upstream::start(|seen| Reply::bytes(200, "text/plain", seen.body.clone())).await;
    for cut in 1..wire.len() {
        let mut client = RawH1::connect(up.addr()).await;
        client.send(&wire[..cut]).await;
        tokio::task::yield_now().await;
        client.send(&wire[cut..]).await;
        assert_eq!(client.answer().await.unwrap().text(), "ab\r\n345678901", "cut at {cut}");
    }
    assert_eq!(up.faults(), Vec::<String>::new());
}

#[tokio::test]
async fn what_no_proxy_may_send_is_a_fault() {
    let table = [
        ("both lengths", "content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("two lengths", "content-length: 1\r\ncontent-length: 1\r\n\r\n"),
        ("a signed length", "content-length: +1\r\n\r\n"),
        ("an odd coding", "transfer-encoding: gzip, chunked\r\n\r\n"),
        ("a folded header", "a: b\r\n c: d\r\n\r\n"),
        ("a bare line feed", "a: b\nc: d\r\n\r\n"),
        ("a spaced name", "a : b\r\n\r\n"),
        ("no colon", "abc\r\n\r\n"),
        ("a bad chunk size", "transfer-encoding: chunked\r\n\r\n0x1\r\n"),
        ("a long chunk", "transfer-encoding: chunked\r\n\r\n1\r\nab\r\n"),
    ];
    for (what, wire) in table {
        let up = Upstream::start(|_| Reply::silence()).await;
        let mut client = RawH1::connect(up.addr()).await;
        client.send(format!("POST / HTTP/1.1\r\n{wire}")).await;
        assert_eq!(client.until_end().await.0, "", "{what}");
        assert_eq!(up.faults().len(), 1, "{what}: {:?}", up.faults());
    }
}

#[tokio::test]
#[should_panic(expected = "while waiting for 5 whole requests: [\"connection 1: not a version")]
async fn a_fault_fails_the_next_wait() {
    let up = Upstream::start(|_| Reply::silence()).await;
    drop(RawH2::connect(up.addr()).await.send(get("/")).await);
    up.seen(5).await;
}

#[tokio::test]
#[should_panic(expected = "the script panicked")]
async fn a_script_that_panics_fails_the_next_wait() {
    let up = Upstream::start(|seen| panic!("no answer to {}", seen.target)).await;
    let mut client = Client::h1(up.addr()).await;
    assert!(client.send(get("/")).await.is_err());
    up.idle().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "in vain for 1 clients to leave; the upstream knows Book")]
async fn a_wait_in_vain_says_what_it_waited_for() {
    let up = Upstream::start(|_| Reply::silence()).await;
    up.gone(1).await;
}

#[tokio::test]
#[should_panic(expected = "a snail: never within 1ms, but [1s, 1s, 1s, 1s, 1s]")]
async fn a_bound_that_is_never_kept_is_a_fault() {
    let mut times = [2, 0].map(Duration::from_millis).into_iter();
    let measure = async || times.next().expect("no third try after a good one");
    promptly(Duration::from_millis(1), "one good time of two", measure).await;
    promptly(Duration::from_millis(1), "a snail", async || Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_stopped_upstream_is_gone_and_may_come_back() {
    let mut up = Upstream::start(|_| Reply::sse(["a"]).hang()).await;
    let mut client = RawH1::connect(up.addr()).await;
    client.send("GET / HTTP/1.1\r\n\r\n").await;
    client.head().await.unwrap();
    up.stop().await;
    assert!(matches!(up.idle().await[0].end, Some(End::Broken { .. })));
    assert_eq!((client.until_end().await.1, up.open_connections()), (Farewell::Fin, 0));
    tokio::net::TcpStream::connect(up.addr()).await.unwrap_err();

    let back = Upstream::start_at(&up.addr().to_string(), |_| Reply::sse(["b"])).await;
    assert_eq!(back.port(), up.port());
    assert_eq!(Client::h1(back.addr()).await.ask(get("/")).await.events(), ["b"]);
}

#[tokio::test]
async fn a_refused_address_refuses() {
    let refused = tokio::net::TcpStream::connect(refused_addr().await).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}
