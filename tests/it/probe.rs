//! Active probes: who fails them gets no requests, whoever passes them again does, and a probe
//! tells a host nothing that it need not know.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use aifd::server::Stop;
use http::Version;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::certs::Certs;
use crate::support::house::{Conf, House};
use crate::support::openai::{chat, chat_answer, post};
use crate::support::promptly;
use crate::support::upstream::{Reply, Seen, Upstream};

const OFTEN: &str = "health = { path = \"/health?deep=1\", every = \"200ms\", fall = 2, rise = 2 }";
/// Once, and then not again for as long as a test lasts.
const ONCE: &str = "health = { path = \"/health\", every = \"10m\", fall = 1, rise = 1 }";
const TURNS: &str = "balance = \"round-robin\"";

/// What a host says of itself; it answers every request well, whatever that is. 0 is silence.
#[derive(Clone)]
struct Mood(Arc<AtomicU16>);

impl Mood {
    fn of(status: u16) -> Self {
        Self(Arc::new(AtomicU16::new(status)))
    }

    fn turn(&self, status: u16) {
        self.0.store(status, Ordering::Relaxed);
    }

    fn script(&self) -> impl Fn(&Seen) -> Reply + Send + Sync + 'static {
        let mood = self.clone();
        move |seen| match mood.0.load(Ordering::Relaxed) {
            _ if !is_probe(seen) => Reply::json(200, &chat_answer("hello")),
            0 => Reply::silence(),
            status => Reply::json(status, &json!({"status": "as it is"})),
        }
    }
}

fn is_probe(seen: &Seen) -> bool {
    seen.target.starts_with("/health")
}

/// How many requests went to a host.
fn requests(up: &Upstream) -> usize {
    up.ledger().iter().filter(|entry| !is_probe(&entry.seen)).count()
}

async fn ask(house: &House) -> u16 {
    house.ask(post("/v1/chat/completions", &chat("m", false, "hi"))).await.status
}

async fn states_are(house: &House, states: &[&str]) {
    let shown = |status: &Value| {
        let hosts = status["upstreams"][0]["hosts"].as_array().unwrap().clone();
        hosts.iter().map(|host| host["state"].clone()).collect::<Value>()
    };
    house.status_is(&format!("{states:?}"), |status| shown(status) == json!(states)).await;
}

#[tokio::test]
async fn a_host_that_fails_its_probes_has_no_requests_until_it_passes_them_again() {
    let (mood, well) = (Mood::of(503), Mood::of(204));
    let sick = Upstream::start(mood.script()).await;
    let well = Upstream::start(well.script()).await;
    let hosts = [sick.url() + "/base", well.url()];
    let conf = Conf::to_hosts(&[&hosts[0], &hosts[1]]).upstream(OFTEN).upstream(TURNS);
    let house = House::start(conf).await;
    states_are(&house, &["down", "up"]).await;
    let metrics = house.admin_text("/metrics").await;
    for (up, is) in [(&sick, 0), (&well, 1)] {
        let line =
            format!("aifd_upstream_host_up{{host=\"{}\",upstream=\"up\"}} {is}\n", up.addr());
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    assert!(sick.ledger().len() >= 2, "down after one bad probe");
    for _ in 0..10 {
        assert_eq!(ask(&house).await, 200);
    }
    assert_eq!((requests(&sick), requests(&well)), (0, 10));
    mood.turn(302);
    states_are(&house, &["up", "up"]).await;
    for _ in 0..10 {
        assert_eq!(ask(&house).await, 200);
    }
    assert_eq!((requests(&sick), requests(&well)), (5, 15));
    let asked = sick.ledger().into_iter().find(|entry| is_probe(&entry.seen)).unwrap().seen;
    assert_eq!(asked.target, "/health?deep=1", "from the root, and with its query");
}

#[tokio::test]
async fn a_host_that_takes_a_probe_and_says_nothing_is_down() {
    let (mood, well) = (Mood::of(0), Mood::of(200));
    let hung = Upstream::start(mood.script()).await;
    let well = Upstream::start(well.script()).await;
    let conf = Conf::to_hosts(&[&hung.url(), &well.url()]).upstream(OFTEN).upstream(TURNS);
    let house = House::start(conf).await;
    states_are(&house, &["down", "up"]).await;
    assert_eq!((ask(&house).await, requests(&hung)), (200, 0));
    // Nor is a question left behind that nobody waits for.
    hung.gone(2).await;
    mood.turn(200);
    states_are(&house, &["up", "up"]).await;
}

#[tokio::test]
async fn hosts_that_are_all_down_are_asked_all_the_same() {
    let mood = Mood::of(500);
    let (one, two) = (Upstream::start(mood.script()).await, Upstream::start(mood.script()).await);
    let conf = Conf::to_hosts(&[&one.url(), &two.url()]).upstream(OFTEN).upstream(TURNS);
    let house = House::start(conf).await;
    states_are(&house, &["down", "down"]).await;
    for _ in 0..4 {
        assert_eq!(ask(&house).await, 200);
    }
    assert_eq!((requests(&one), requests(&two)), (2, 2));
    let alone = House::start(Conf::to(&one).upstream(OFTEN)).await;
    states_are(&alone, &["down"]).await;
    assert_eq!(ask(&alone).await, 200);
}

/// A host of one kind, how it is written, and what it is spoken to in.
async fn hosts(certs: &Certs, mood: &Mood) -> Vec<(Upstream, Conf, Version)> {
    let mut hosts = Vec::new();
    for (http, version) in [("1.1", Version::HTTP_11), ("2", Version::HTTP_2)] {
        let up = Upstream::start_as(http == "2", mood.script()).await;
        let conf = Conf::to(&up);
        hosts.push((up, conf, version));
    }
    for (alpn, version) in [("http/1.1", Version::HTTP_11), ("h2", Version::HTTP_2)] {
        let up = Upstream::start_tls(&[alpn], certs, mood.script()).await;
        let url = format!("https://localhost:{}", up.port());
        let conf = Conf::to_hosts(&[&url]).upstream(&format!("ca = {:?}", certs.ca_file()));
        hosts.push((up, conf, version));
    }
    hosts
}

#[tokio::test]
async fn a_probe_goes_the_way_of_the_requests_and_carries_no_key() {
    let (certs, mood) = (Certs::new(), Mood::of(200));
    for (up, conf, version) in hosts(&certs, &mood).await {
        mood.turn(503);
        let house = House::start(conf.upstream(OFTEN)).await;
        states_are(&house, &["down"]).await;
        mood.turn(200);
        states_are(&house, &["up"]).await;
        let seen = up.ledger().swap_remove(0).seen;
        assert_eq!((seen.method.as_str(), seen.version), ("GET", version));
        let name = if up.url().starts_with("https") { "localhost" } else { "127.0.0.1" };
        assert_eq!(seen.authority, Some(format!("{name}:{}", up.port())));
        let agent = format!("aifd/{} (probe)", env!("CARGO_PKG_VERSION"));
        assert_eq!(seen.header("user-agent"), Some(agent.as_str()));
        let mut names: Vec<_> =
            seen.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.retain(|name| !["host", "connection"].contains(&name.as_str()));
        names.sort_unstable();
        assert_eq!(names, ["accept", "user-agent"], "{version:?}");
    }
}

#[tokio::test]
async fn a_host_that_nobody_vouches_for_is_down() {
    let (certs, others) = (Certs::new(), Certs::new());
    let up = Upstream::start_tls(&["http/1.1"], &certs, Mood::of(200).script()).await;
    let url = format!("https://localhost:{}", up.port());
    let ca = format!("ca = {:?}", others.ca_file());
    let house = House::start(Conf::to_hosts(&[&url]).upstream(&ca).upstream(OFTEN)).await;
    states_are(&house, &["down"]).await;
    assert_eq!(up.ledger().len(), 0);
}

#[tokio::test]
async fn between_two_probes_no_connection_is_open() {
    let certs = Certs::new();
    for (up, conf, version) in hosts(&certs, &Mood::of(200)).await {
        let _house = House::start(conf.upstream(ONCE)).await;
        up.seen(1).await;
        up.all_closed().await;
        assert_eq!((up.connections(), up.ledger().len()), (1, 1), "{version:?}");
    }
}

#[tokio::test]
async fn the_end_of_the_house_waits_for_no_probe() {
    promptly(Duration::from_millis(200), "the end of an idle house", async || {
        let up = Upstream::start(Mood::of(0).script()).await;
        let house = House::start(Conf::to(&up).upstream(ONCE)).await;
        up.begun(1).await;
        let told = Instant::now();
        house.tell(Stop::Gently);
        house.log().await;
        let took = told.elapsed();
        up.gone(1).await;
        took
    })
    .await;
}
