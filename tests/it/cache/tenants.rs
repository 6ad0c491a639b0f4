//! Nobody gets another tenant's answer, however the requests are written, ordered and dressed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderName, Request};
use tokio::task::JoinSet;

use super::{ON, said, told};
use crate::support::client::Client;
use crate::support::house::{Conf, House};
use crate::support::openai::{chat_answer, chat_stream};
use crate::support::upstream::{Reply, Upstream};

/// Secrets, and whose answers each may see.
const KEYS: [(&str, &str); 5] = [
    ("fk-ann-0123456789", "ann"),
    ("fk-bob-0123456789", "group"),
    ("fk-cid-0123456789", "group"),
    ("fk-dee-0123456789", "dee"),
    // Called as the group is.
    ("fk-gee-0123456789", "g"),
];

const TABLES: &str = "[[key]]\nname = \"bob\"\nsecret = \"fk-bob-0123456789\"\ncache_group = \"g\"\n\
    [[key]]\nname = \"cid\"\nsecret = \"fk-cid-0123456789\"\ncache_group = \"g\"\n\
    [[key]]\nname = \"dee\"\nsecret = \"fk-dee-0123456789\"\n\
    [[key]]\nname = \"g\"\nsecret = \"fk-gee-0123456789\"\n";

const PLACES: [&str; 3] = ["authorization", "x-api-key", "api-key"];

/// Headers that might be taken for a sign of who asks; each names somebody else.
const DRESS: [(&str, &str); 6] = [
    ("x-forwarded-for", "10.0.0.9"),
    ("cookie", "key=ann; session=1"),
    ("openai-organization", "g"),
    ("x-cache-group", "g"),
    ("x-user", "ann"),
    ("x-request-id", "req-of-another"),
];

/// What is asked: three questions, and two that differ by a field that openai-forward forgets.
const QUESTIONS: [&str; 5] = [
    "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]",
    "\"messages\":[{\"role\":\"user\",\"content\":\"b\"}]",
    "\"messages\":[{\"role\":\"user\",\"content\":\"c\"}]",
    "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"temperature\":1",
    "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"stop\":\"x\"",
];

/// One request and what it means.
struct Ask {
    tenant: &'static str,
    question: usize,
    request: Request<Bytes>,
}

/// One request of all that could be made.
fn any(random: &mut Rng) -> Ask {
    let (secret, tenant) = KEYS[random.usize(0..KEYS.len())];
    let question = random.usize(0..QUESTIONS.len());
    let mut members = vec![
        "\"model\":\"m\"".to_owned(),
        QUESTIONS[question].to_owned(),
        format!("\"stream\":{}", random.bool()),
    ];
    if random.bool() {
        members.push(format!("\"user\":\"{}\"", random.u8(..)));
    }
    random.shuffle(&mut members);
    let between = [",", ", ", ",\n  "][random.usize(0..3)];
    let body = format!("{{{}}}", members.join(between));
    let place = PLACES[random.usize(0..PLACES.len())];
    let said =
        if place == "authorization" { format!("Bearer {secret}") } else { secret.to_owned() };
    let mut request = Request::post("/v1/chat/completions").header(place, said);
    for (name, value) in DRESS.iter().filter(|_| random.bool()) {
        request = request.header(HeaderName::from_static(name), *value);
    }
    Ask { tenant, question, request: request.body(body.into()).unwrap() }
}

/// Says something that it has never said before; of a stream, in its first piece.
async fn unique() -> Upstream {
    let calls = AtomicU64::new(0);
    Upstream::start(move |seen: &_| {
        let nth = calls.fetch_add(1, Ordering::Relaxed);
        let said = format!("answer {nth}");
        let stream = seen.json()["stream"] == true;
        if stream {
            Reply::sse(chat_stream(&[&said]))
        } else {
            Reply::json(200, &chat_answer(&said))
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_never_share_an_answer() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let up = unique().await;
    let house = House::start(Conf::to(&up).with(ON).table(TABLES)).await;
    let (addr, mut asking) = (house.addr(), JoinSet::new());
    for client in 0..8 {
        let asks: Vec<Ask> = (0..60).map(|_| any(&mut random)).collect();
        asking.spawn(async move {
            let mut client =
                if client % 2 == 0 { Client::h1(addr).await } else { Client::h2c(addr).await };
            let mut seen = Vec::new();
            for Ask { tenant, question, request } in asks {
                let answer = client.ask(request).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                seen.push((said(&answer), (tenant, question)));
            }
            seen
        });
    }
    let mut whose: HashMap<String, HashSet<_>> = HashMap::new();
    for (answer, who) in asking.join_all().await.into_iter().flatten() {
        whose.entry(answer).or_default().insert(who);
    }
    let shared = whose.iter().find(|(_, who)| who.len() > 1);
    assert_eq!(shared, None, "seed {seed}: one answer for two questions or two tenants");
    // And each tenant asked each question once, so all that could be shared was.
    let asked: HashSet<_> = whose.values().flatten().collect();
    assert_eq!(whose.len(), asked.len(), "seed {seed}");
    assert_eq!(up.ledger().len(), asked.len(), "seed {seed}");
}

#[tokio::test]
async fn whoever_brings_a_hosts_key_has_a_cache_of_its_own() {
    let up = unique().await;
    let conf = Conf::to(&up).with(ON).with("access.unknown_keys = \"pass\"");
    let house = House::start(conf).await;
    let (mut client, mut heard) = (house.client().await, Vec::new());
    let credentials = [
        ("authorization", "Bearer sk-one"),
        ("authorization", "Bearer sk-two"),
        ("x-api-key", "Bearer sk-one"),
        ("authorization", "Basic sk-one"),
        ("x-nothing", ""),
    ];
    for (name, value) in credentials.into_iter().chain(credentials) {
        let body = "{\"model\":\"m\",\"messages\":[]}";
        let request = Request::post("/v1/chat/completions").header(name, value);
        let answer = client.ask(request.body(body.into()).unwrap()).await;
        heard.push((told(&answer).to_owned(), said(&answer)));
    }
    let (first, again) = heard.split_at(credentials.len());
    for ((one, said), (other, repeated)) in first.iter().zip(again) {
        assert_eq!((one.as_str(), other.as_str(), said), ("miss", "hit", repeated));
    }
    assert_eq!(first.iter().collect::<HashSet<_>>().len(), credentials.len());
}

#[tokio::test]
async fn all_who_are_lent_a_key_share() {
    let up = unique().await;
    let conf = Conf::to(&up).with(ON).with("access.unknown_keys = \"lend\"");
    let house = House::start(conf).await;
    let mut client = house.client().await;
    for (value, expected) in [("Bearer sk-one", "miss"), ("Bearer sk-two", "hit"), ("", "hit")] {
        let body = "{\"model\":\"m\",\"messages\":[]}";
        let request = Request::post("/v1/chat/completions").header("authorization", value);
        let answer = client.ask(request.body(body.into()).unwrap()).await;
        assert_eq!((told(&answer), said(&answer).as_str()), (expected, "answer 0"));
    }
    // A forward key is somebody of its own.
    let mine = house.ask(super::ask(false)).await;
    assert_eq!(told(&mine), "miss");
}
