//! How clients and upstreams are spoken to: unix sockets, TLS, h2, IPv6, names, reuse, patience.

use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use pingora::protocols::l4::ext::get_tcp_info;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::certs::Certs;
use crate::support::client::{Client, Farewell, RawH1, WebSocket};
use crate::support::house::{Conf, House, KEY, UPSTREAM_KEY, keyed};
use crate::support::openai::{chat, chat_answer, chat_stream, get, post};
use crate::support::upstream::{Reply, Seen, Upstream};
use crate::support::within;

fn hello(_: &Seen) -> Reply {
    Reply::json(200, &chat_answer("hello"))
}

#[tokio::test]
async fn a_unix_socket_is_for_its_owner_and_group() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("aifd.sock");
    // What a process that died has left does not stop the next one.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let up = Upstream::start(hello).await;
    let listen = format!("server.listen = [\"unix:{}\", \"127.0.0.1:0\"]", path.display());
    let house = House::start(Conf::to(&up).with(&listen)).await;
    let mut client = Client::unix(&path).await;
    for _ in 0..2 {
        assert_eq!(client.ask(keyed(post("/v1/x", &chat("m", false, "hi")))).await.status, 200);
    }
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(Client::h1(house.addr_of(1)).await.ask(keyed(get("/v1/x"))).await.status, 200);
    assert_eq!(house.log().await[0]["client"], "unix");
}

#[tokio::test]
async fn clients_speak_tls_with_h2_or_http_1() {
    let certs = Certs::new();
    let up = Upstream::start(|_| Reply::sse(chat_stream(&["a"]))).await;
    let tls = format!(
        "server.tls = {{ cert = {:?}, key = {:?} }}\nserver.listen = [\"127.0.0.1:0\", \"http://127.0.0.1:0\"]",
        certs.cert_file(),
        certs.key_file()
    );
    let house = House::start(Conf::to(&up).with(&tls)).await;
    for alpn in [vec!["h2"], vec!["http/1.1"], vec![], vec!["h2", "http/1.1"]] {
        let mut client = Client::tls(house.addr(), &certs, &alpn).await.unwrap();
        let answer = client.ask(keyed(post("/v1/x", &chat("m", true, "hi")))).await;
        assert_eq!((answer.status, answer.events().len()), (200, 3), "{alpn:?}");
    }
    let mut plain = Client::h1(house.addr_of(1)).await;
    assert_eq!(plain.ask(keyed(get("/v1/x"))).await.status, 200);
}

#[tokio::test]
async fn upstreams_speak_tls_with_h2_or_http_1() {
    let certs = Certs::new();
    for (alpn, http, version) in [
        (vec!["h2", "http/1.1"], "auto", Version::HTTP_2),
        (vec!["http/1.1"], "auto", Version::HTTP_11),
        (vec!["h2", "http/1.1"], "1.1", Version::HTTP_11),
        (vec!["h2"], "2", Version::HTTP_2),
    ] {
        let up = Upstream::start_tls(&alpn, &certs, |_| Reply::sse(chat_stream(&["a"]))).await;
        let host = format!("https://localhost:{}", up.port());
        let conf = Conf::to_hosts(&[&host])
            .upstream(&format!("http = \"{http}\"\nca = {:?}", certs.ca_file()));
        let house = House::start(conf).await;
        for _ in 0..3 {
            let answer = house.ask(post("/v1/x", &chat("m", true, "hi"))).await;
            assert_eq!((answer.status, answer.events().len()), (200, 3), "{alpn:?} {http}");
        }
        let seen = up.ledger();
        assert!(seen.iter().all(|entry| entry.seen.version == version), "{alpn:?} {http}");
        assert_eq!(seen[0].seen.authority, Some(format!("localhost:{}", up.port())));
        assert_eq!(up.connections(), 1, "{alpn:?} {http}: connections are reused");
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_refused() {
    let (certs, others) = (Certs::new(), Certs::new());
    let wrong_name = Certs::for_names(&["elsewhere.example"]);
    for (served, trusted) in [(&certs, &others), (&wrong_name, &wrong_name)] {
        let up = Upstream::start_tls(&["http/1.1"], served, hello).await;
        let host = format!("https://localhost:{}", up.port());
        let ca = format!("ca = {:?}", trusted.ca_file());
        let house = House::start(Conf::to_hosts(&[&host]).upstream(&ca)).await;
        let answer = house.ask(get("/v1/models")).await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.json()["error"]["code"], "upstream_tls");
        assert!(up.ledger().is_empty(), "a key went to a host that nobody vouches for");
    }
}

#[tokio::test]
async fn hosts_are_names_and_addresses_of_both_kinds() {
    let up = Upstream::start_at("[::1]:0", hello).await;
    let house = House::start(Conf::to_hosts(&[&format!("http://[::1]:{}", up.port())])).await;
    assert_eq!(house.ask(get("/v1/models")).await.status, 200);
    assert_eq!(up.ledger()[0].seen.authority, Some(format!("[::1]:{}", up.port())));

    let up = Upstream::start(hello).await;
    let house = House::start(Conf::to_hosts(&[&format!("http://localhost:{}", up.port())])).await;
    // The name may stand for ::1 first, where nobody listens: then the next address is tried.
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(house.ask(get("/v1/models")).await.status);
    }
    assert_eq!(statuses.last(), Some(&200), "{statuses:?}");
    let listen = "server.listen = [\"[::1]:0\"]";
    let house = House::start(Conf::to(&up).with(listen)).await;
    assert_eq!(house.ask(get("/v1/models")).await.status, 200);
}

#[tokio::test]
async fn connections_are_kept_and_reused_on_both_sides() {
    let up = Upstream::start(hello).await;
    let house = House::before(&up).await;
    let mut client = house.client().await;
    for _ in 0..20 {
        assert_eq!(client.ask(keyed(post("/v1/x", &chat("m", false, "hi")))).await.status, 200);
    }
    assert_eq!((up.connections(), up.ledger().len()), (1, 20));
}

#[tokio::test]
async fn two_upstreams_on_one_host_never_share_a_connection() {
    let up = Upstream::start(hello).await;
    let house = House::start(Conf::to(&up).table(&format!(
        "[[upstream]]\nname = \"two\"\nhosts = [\"{}\"]\n\
         [[route]]\nprefix = \"/\"\nupstream = \"up\"\n\
         [[route]]\nprefix = \"/two\"\nupstream = \"two\"\n",
        up.url()
    )))
    .await;
    for path in ["/v1/models", "/two/v1/models", "/v1/models", "/two/v1/models"] {
        assert_eq!(house.ask(get(path)).await.status, 200);
    }
    assert_eq!(up.connections(), 2);
    let keys: Vec<_> =
        up.ledger().iter().map(|e| e.seen.header("authorization").is_some()).collect();
    assert_eq!(keys, [true, false, true, false]);
}

#[tokio::test]
async fn idle_and_slow_connections_are_closed() {
    let up = Upstream::start(hello).await;
    let conf = "server.keepalive = \"1s\"\nserver.read_timeout = \"300ms\"";
    let house = House::start(Conf::to(&up).with(conf)).await;
    let mut raw = RawH1::connect(house.addr()).await;
    raw.send(format!("GET /v1/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n")).await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
    assert_eq!(raw.until_end().await.1, Farewell::Fin, "an idle connection stays for ever");
    // Half a head, and then silence.
    let mut raw = RawH1::connect(house.addr()).await;
    raw.send("GET /v1/x HTTP/1.1\r\nHo").await;
    raw.until_end().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let up = Upstream::start(|_| {
        Reply::bytes(200, "application/octet-stream", vec![7; 64 * 1024 * 1024])
    })
    .await;
    let house = House::start(Conf::to(&up).with("server.write_timeout = \"300ms\"")).await;
    let mut raw = RawH1::connect(house.addr()).await;
    raw.send(format!("GET /v1/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n")).await;
    assert_eq!(raw.head().await.unwrap().0, 200);
    up.gone(1).await;
    house.status_is("nothing under way", |status| status["in_flight"] == 0).await;
}

#[tokio::test]
async fn a_websocket_is_relayed_with_its_key_swapped() {
    let up = Upstream::start(|_| Reply::websocket()).await;
    let house = House::before(&up).await;
    let bearer = format!("Bearer {KEY}");
    let headers = [("authorization", bearer.as_str())];
    let mut socket = WebSocket::open(house.addr(), "/v1/realtime?model=m", &headers).await.unwrap();
    for text in ["hello", "", &"long ".repeat(50_000)] {
        assert_eq!(socket.say(Message::text(text)).await, Message::text(text));
    }
    let binary = Message::binary(vec![0, 255, 10]);
    assert_eq!(socket.say(binary.clone()).await, binary);
    socket.close().await;
    // As browsers do it, which cannot set a header.
    let mut raw = RawH1::connect(house.addr()).await;
    raw.send(format!(
        "GET /v1/realtime?model=m HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{KEY}\r\n\r\n"
    ))
    .await;
    assert_eq!(raw.head().await.unwrap().0, 101);
    raw.fin();
    assert_eq!(up.ledger()[1].seen.header("sec-websocket-protocol"), Some("realtime"));
    for entry in up.ledger() {
        assert_eq!(entry.seen.values("authorization"), [format!("Bearer {UPSTREAM_KEY}")]);
        assert!(!format!("{:?}", entry.seen.headers).contains(KEY));
    }
    let refused = WebSocket::open(house.addr(), "/v1/realtime", &[]).await;
    assert_eq!(refused.err(), Some(401));
    house.status_is("nothing under way", |status| status["in_flight"] == 0).await;
}

#[tokio::test]
async fn a_websocket_whose_client_leaves_frees_the_upstream() {
    let up = Upstream::start(|_| Reply::websocket()).await;
    let house = House::before(&up).await;
    let bearer = format!("Bearer {KEY}");
    let headers = [("authorization", bearer.as_str())];
    let mut socket = WebSocket::open(house.addr(), "/v1/realtime", &headers).await.unwrap();
    socket.say(Message::text("hi")).await;
    drop(socket);
    tokio::time::timeout(Duration::from_secs(5), up.all_closed()).await.unwrap();
}

/// What a request brings, once it ends so, and how many packets with data have come by then.
async fn request_and_packets(host: &mut TcpStream, end: &str) -> (String, u32) {
    let mut request = Vec::new();
    while !(request.ends_with(end.as_bytes()) && request.windows(4).any(|at| at == b"\r\n\r\n")) {
        assert_ne!(within("a request", host.read_buf(&mut request)).await.unwrap(), 0);
    }
    let packets = get_tcp_info(host.as_raw_fd()).unwrap().tcpi_data_segs_in;
    (String::from_utf8(request).unwrap(), packets)
}

#[tokio::test]
async fn a_host_gets_head_and_body_in_one_packet() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let house = House::start(Conf::to_hosts(&[&url])).await;
    let (chat, upload) = (chat("m", false, "hi"), Bytes::from_static(b"a small upload"));
    let live = Request::post("/v1/files").header("content-type", "application/octet-stream");
    let requests = [
        (keyed(post("/v1/x", &chat)), chat.to_string()),
        (keyed(live.body(upload.clone()).unwrap()), String::from_utf8(upload.to_vec()).unwrap()),
        (keyed(get("/v1/models")), String::new()),
    ];
    let (mut client, mut host) = (house.client().await, None);
    for ((request, body), nth) in requests.into_iter().zip(1..) {
        let answering = async {
            let host = match &mut host {
                Some(host) => host,
                none => none.insert(within("a connection", listener.accept()).await.unwrap().0),
            };
            let (request, packets) = request_and_packets(host, &body).await;
            assert_eq!(packets, nth, "{request}");
            host.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        };
        let (answer, ()) = tokio::join!(client.ask(request), answering);
        assert_eq!(answer.status, 200);
    }
}
