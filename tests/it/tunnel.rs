//! Upstreams behind an HTTP proxy: tunnels and relayed requests, reused, refused, hung; and who
//! gets to see its login.
//!
//! Hosts have names that nobody but the proxy knows: whoever looks one up here gets nowhere.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Version};
use tokio_tungstenite::tungstenite::Message;

use crate::support::certs::Certs;
use crate::support::client::{Answer, Client, WebSocket};
use crate::support::house::{Conf, House, KEY, UPSTREAM_KEY, keyed};
use crate::support::openai::{chat, chat_answer, chat_stream, get, post};
use crate::support::process::Site;
use crate::support::proxy::{Manner, Proxy};
use crate::support::refused_addr;
use crate::support::upstream::{Reply, Seen, Upstream};

/// A login as it stands in a URL, and what a proxy must get of it (the pair of RFC 7617, 2).
const LOGIN: &str = "Aladdin:open%20sesame@";
const AUTHORIZATION: &str = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";

const NAME: &str = "gpu.invalid";

/// One of the four things that can be behind a proxy.
#[derive(Debug, Clone, Copy)]
struct Kind {
    scheme: &'static str,
    alpn: &'static [&'static str],
    http: &'static str,
    version: Version,
}

const KINDS: [Kind; 4] = [
    Kind { scheme: "https", alpn: &["h2", "http/1.1"], http: "auto", version: Version::HTTP_2 },
    Kind { scheme: "https", alpn: &["http/1.1"], http: "auto", version: Version::HTTP_11 },
    Kind { scheme: "http", alpn: &[], http: "2", version: Version::HTTP_2 },
    Kind { scheme: "http", alpn: &[], http: "auto", version: Version::HTTP_11 },
];

// === impl Kind ===

impl Kind {
    async fn start(
        self,
        certs: &Certs,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Upstream {
        match self.scheme {
            "https" => Upstream::start_tls(self.alpn, certs, script).await,
            _ => Upstream::start_as(self.version == Version::HTTP_2, script).await,
        }
    }

    fn is_relayed(self) -> bool {
        self.scheme == "http" && self.version == Version::HTTP_11
    }

    /// Hosts `NAME` and these ports, behind this proxy.
    fn conf(self, certs: &Certs, hosts: &[&str], proxy: &str) -> Conf {
        let hosts: Vec<String> =
            hosts.iter().map(|host| format!("{}://{NAME}{host}", self.scheme)).collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let (http, ca) = (self.http, certs.ca_file());
        Conf::to_hosts(&hosts).upstream(&format!("{proxy}\nhttp = \"{http}\"\nca = {ca:?}"))
    }
}

/// The name on its usual ports, for whoever asks as a client of a proxy should.
fn names(up: &Upstream) -> [(&'static str, SocketAddr); 3] {
    ["gpu.invalid:443", "gpu.invalid:80", NAME].map(|name| (name, up.addr()))
}

/// Status and code of one of our own answers.
fn refusal(answer: &Answer) -> String {
    format!("{} {}", answer.status, answer.json()["error"]["code"].as_str().unwrap())
}

fn says(words: &'static str) -> Manner {
    Manner::SayAndClose(Bytes::from_static(words.as_bytes()))
}

#[tokio::test]
async fn requests_to_one_host_take_one_connection() {
    let certs = Certs::for_names(&[NAME]);
    for kind in KINDS {
        let up = kind.start(&certs, |_| Reply::sse(chat_stream(&["a"]))).await;
        let proxy = Proxy::start(Manner::Demand(AUTHORIZATION), &names(&up)).await;
        let house = House::start(kind.conf(&certs, &["/base/"], &proxy.key(LOGIN))).await;
        let [mut h1, mut h2] = [house.client().await, Client::h2c(house.addr()).await];
        for _ in 0..2 {
            for client in [&mut h1, &mut h2] {
                let mut request = keyed(post("/v1//a%2Fb?c=%20d", &chat("m", true, "hi")));
                let forged = "Basic Zm9yZ2Vk".parse().unwrap();
                request.headers_mut().insert("proxy-authorization", forged);
                let answer = client.ask(request).await;
                assert_eq!((answer.status, answer.events().len()), (200, 3), "{kind:?}");
            }
        }
        for seen in up.seen(4).await {
            assert_eq!((seen.version, seen.connection), (kind.version, 1), "{kind:?}");
            assert_eq!(seen.target, "/base/v1//a%2Fb?c=%20d", "{kind:?}");
            assert_eq!(seen.authority.as_deref(), Some(NAME), "{kind:?}");
            assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {UPSTREAM_KEY}")));
            assert_eq!(seen.header("proxy-authorization"), None, "{kind:?}");
        }
        let book = proxy.book();
        assert_eq!(book.connections, 1, "{kind:?}");
        if kind.is_relayed() {
            assert_eq!(book.relayed, ["http://gpu.invalid/base/v1//a%2Fb?c=%20d"; 4]);
            assert_eq!((book.tunnels, book.presented), (vec![], vec![AUTHORIZATION.into(); 4]));
        } else {
            let port = if kind.scheme == "https" { 443 } else { 80 };
            assert_eq!(book.tunnels, [format!("{NAME}:{port}")], "{kind:?}");
            assert_eq!(book.presented, [AUTHORIZATION], "{kind:?}");
        }
    }
}

#[tokio::test]
async fn probes_go_the_way_of_requests() {
    let certs = Certs::for_names(&[NAME]);
    for kind in KINDS {
        let up = kind.start(&certs, |_| Reply::json(503, &chat_answer("a"))).await;
        let proxy = Proxy::start(Manner::Demand(AUTHORIZATION), &names(&up)).await;
        let health = "health = { path = \"/health\", every = \"10m\", fall = 1 }";
        let conf = kind.conf(&certs, &["/base", ":1"], &proxy.key(LOGIN)).upstream(health);
        let house = House::start(conf).await;
        let seen = up.seen(1).await.remove(0);
        assert_eq!((seen.target.as_str(), seen.version), ("/health", kind.version), "{kind:?}");
        assert_eq!(seen.header("proxy-authorization"), None, "{kind:?}");
        house
            .status_is("both are down", |status| {
                let hosts = status["upstreams"][0]["hosts"].as_array().unwrap();
                hosts.iter().all(|host| host["state"] == "down")
            })
            .await;
        let relayed = proxy.book().relayed.contains(&format!("http://{NAME}/health"));
        assert_eq!(relayed, kind.is_relayed(), "{kind:?}");
    }
}

#[tokio::test]
async fn a_login_for_a_proxy_of_the_clients_goes_nowhere() {
    let up = Upstream::start(|_| Reply::json(200, &chat_answer("a"))).await;
    let house = House::before(&up).await;
    let mut request = get("/v1/models");
    request.headers_mut().insert("proxy-authorization", AUTHORIZATION.parse().unwrap());
    assert_eq!(house.ask(request).await.status, 200);
    assert_eq!(up.ledger()[0].seen.header("proxy-authorization"), None);
}

#[tokio::test]
async fn a_connection_to_one_host_is_never_used_for_another() {
    let certs = Certs::for_names(&[NAME]);
    for kind in KINDS {
        let one = kind.start(&certs, |_| Reply::json(200, &chat_answer("one"))).await;
        let other = kind.start(&certs, |_| Reply::json(200, &chat_answer("other"))).await;
        let known = [("gpu.invalid:8001", one.addr()), ("gpu.invalid:8002", other.addr())];
        let proxy = Proxy::start(Manner::Relay, &known).await;
        let conf = kind.conf(&certs, &[":8001", ":8002"], &proxy.key(""));
        let house = House::start(conf.upstream("balance = \"round-robin\"")).await;
        for _ in 0..6 {
            assert_eq!(house.ask(get("/v1/models")).await.status, 200, "{kind:?}");
        }
        for (up, name) in [(&one, "gpu.invalid:8001"), (&other, "gpu.invalid:8002")] {
            let seen = up.seen(3).await;
            assert!(seen.iter().all(|seen| seen.authority.as_deref() == Some(name)), "{kind:?}");
            assert_eq!((seen.len(), up.connections()), (3, 1), "{kind:?}");
        }
        assert_eq!(proxy.book().connections, 2, "{kind:?}");
    }
}

#[tokio::test]
async fn the_certificate_is_the_hosts_and_is_checked() {
    let (certs, others) = (Certs::for_names(&[NAME]), Certs::for_names(&[NAME]));
    let wrong_name = Certs::for_names(&["127.0.0.1", "elsewhere.example"]);
    for (served, trusted) in [(&certs, &others), (&wrong_name, &wrong_name)] {
        let up = KINDS[0].start(served, |_| Reply::json(200, &chat_answer("a"))).await;
        let proxy = Proxy::start(Manner::Relay, &names(&up)).await;
        let house = House::start(KINDS[0].conf(trusted, &[""], &proxy.key(""))).await;
        let answer = house.ask(get("/v1/models")).await;
        assert_eq!(refusal(&answer), "502 upstream_tls");
        assert!(up.ledger().is_empty() && !proxy.book().tunnels.is_empty());
    }
}

#[tokio::test]
async fn what_the_proxy_will_not_do_is_no_answer_of_the_hosts() {
    let certs = Certs::new();
    let unreachable = "502 upstream_unreachable";
    let gone = "504 upstream_timeout";
    for (kind, manner, login, expected) in [
        (KINDS[0], Manner::Demand(AUTHORIZATION), "", unreachable),
        (KINDS[3], Manner::Demand(AUTHORIZATION), "", unreachable),
        (KINDS[0], Manner::Demand(AUTHORIZATION), "Aladdin:wrong@", unreachable),
        (KINDS[3], Manner::Demand(AUTHORIZATION), "Aladdin:wrong@", unreachable),
        (KINDS[2], Manner::Relay, "", unreachable),
        (KINDS[0], says("SSH-2.0-x\r\n\r\n"), "", unreachable),
        (KINDS[3], says("SSH-2.0-x\r\n\r\n"), "", "502 upstream_broken"),
        (KINDS[0], Manner::Hang, "", gone),
        (KINDS[3], Manner::Hang, "", gone),
    ] {
        let proxy = Proxy::start(manner.clone(), &[]).await;
        // Short only where it must run out: a busy machine needs its time for the others.
        let times = match manner {
            Manner::Hang => "timeouts = { connect = \"200ms\", first_byte = \"200ms\" }",
            _ => "",
        };
        let conf = kind.conf(&certs, &[""], &proxy.key(login)).upstream(times);
        let house = House::start(conf.upstream("retry.backoff = \"0s\"")).await;
        let answer = house.ask(post("/v1/x", &chat("m", false, "hi"))).await;
        let case = format!("{kind:?} {manner:?}");
        assert_eq!(refusal(&answer), expected, "{case}");
        assert_eq!(answer.header("proxy-authenticate"), None, "{case}");
        assert_eq!(proxy.book().connections, 3, "attempts: three, unless configured: {case}");
        assert_eq!(house.log().await[0]["attempts"], 3, "{case}");
    }
}

#[tokio::test]
async fn an_upload_that_the_proxy_saw_is_not_sent_again() {
    let proxy = Proxy::start(says("HTTP/1.1 407 Who\r\ncontent-length: 0\r\n\r\n"), &[]).await;
    let house = House::start(KINDS[3].conf(&Certs::new(), &[""], &proxy.key(""))).await;
    let upload = Request::post("/v1/files").header("content-type", "application/octet-stream");
    let answer = house.ask(upload.body(Bytes::from(vec![7; 1 << 20])).unwrap()).await;
    assert_eq!(refusal(&answer), "502 upstream_unreachable");
    assert_eq!(proxy.book().connections, 1);
}

#[tokio::test]
async fn a_proxy_that_is_not_there() {
    for kind in KINDS {
        for (proxy, code) in [
            (refused_addr().await.to_string(), "502 upstream_unreachable"),
            ("proxy.invalid:3128".to_owned(), "502 upstream_unresolved"),
        ] {
            let key = format!("proxy = \"http://{proxy}\"");
            let house = House::start(kind.conf(&Certs::new(), &[""], &key)).await;
            let answer = house.ask(get("/v1/models")).await;
            assert_eq!(refusal(&answer), code, "{kind:?} {proxy}");
        }
    }
}

#[tokio::test]
async fn a_proxy_has_a_name_of_its_own() {
    let up = Upstream::start(|_| Reply::json(200, &chat_answer("a"))).await;
    let proxy = Proxy::start(Manner::Relay, &names(&up)).await;
    // The name may stand for ::1 first, where nobody listens: then the next address is tried.
    let key = proxy.key("").replace("127.0.0.1", "localhost");
    let house = House::start(KINDS[3].conf(&Certs::new(), &[""], &key)).await;
    assert_eq!(house.ask(get("/v1/models")).await.status, 200);
}

#[tokio::test]
async fn a_websocket_gets_a_tunnel_and_an_upload_is_relayed() {
    let up = Upstream::start(|seen| match seen.target.as_str() {
        "/v1/realtime" => Reply::websocket(),
        _ => Reply::json(200, &chat_answer("a")),
    })
    .await;
    let proxy = Proxy::start(Manner::Demand(AUTHORIZATION), &names(&up)).await;
    let house = House::start(KINDS[3].conf(&Certs::new(), &[""], &proxy.key(LOGIN))).await;
    let bearer = format!("Bearer {KEY}");
    let headers = [("authorization", bearer.as_str())];
    for _ in 0..2 {
        let mut socket = WebSocket::open(house.addr(), "/v1/realtime", &headers).await.unwrap();
        assert_eq!(socket.say(Message::text("hello")).await, Message::text("hello"));
        socket.close().await;
        let upload = Request::post("/v1/files").header("content-type", "application/octet-stream");
        let answer = house.ask(upload.body(Bytes::from(vec![7; 1 << 20])).unwrap()).await;
        assert_eq!(answer.status, 200);
    }
    assert!(up.seen(4).await.iter().filter(|seen| seen.body.len() == 1 << 20).count() == 2);
    let book = proxy.book();
    assert_eq!(book.tunnels, ["gpu.invalid:80"; 2]);
    assert_eq!(book.relayed, ["http://gpu.invalid/v1/files"; 2]);
    assert_eq!(book.connections, 3, "what is relayed takes one connection");
}

#[tokio::test]
async fn the_log_tells_what_is_wrong_and_never_the_login() {
    for kind in KINDS {
        let certs = Certs::new();
        let proxy = Proxy::start(Manner::Demand(AUTHORIZATION), &[]).await;
        let site = Site::of(&kind.conf(&certs, &[""], &proxy.key("Aladdin:wrong@")));
        let site = site.env("RUST_LOG", "trace");
        let mut process = site.serve(&[]).await;
        let answer = process.ask(post("/v1/x", &chat("m", false, "hi"))).await;
        assert_eq!(refusal(&answer), "502 upstream_unreachable", "{kind:?}");
        let wanted = |err: &str| {
            err.lines().any(|line| {
                line.contains(" WARN ")
                    && line.contains("gpu.invalid:")
                    && line.contains(" through the proxy 127.0.0.1:")
                    && line.contains("does not accept the login in `proxy` (407)")
            })
        };
        process.err("what is wrong", wanted).await;
        let status = process.admin_get("/status").await.text().to_owned();
        let said = process.stop().await;
        let shown = site.run(&["config"]).await;
        let log = std::fs::read_to_string(site.log_file()).unwrap();
        for text in [&said.out, &said.err, &shown.out, &shown.err, &log, &status, answer.text()] {
            for secret in ["Aladdin", "wrong", "QWxh", KEY, UPSTREAM_KEY] {
                assert!(!text.contains(secret), "{kind:?} {secret}: {text}");
            }
        }
        assert!(shown.out.contains("proxy = \"http://••••@127.0.0.1:"), "{}", shown.out);
        assert!(said.out.contains(" through http://••••@127.0.0.1:"), "{}", said.out);
    }
}
