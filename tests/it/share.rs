//! How much an ill host gets of three, over real sockets, and when it has its share again.
//!
//! The same and more stands in simulated time beside the pool; here the rest of the way is in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::support::house::{Conf, House, keyed};
use crate::support::openai::{chat, chat_answer, post};
use crate::support::upstream::{Reply, Seen, Upstream};
use crate::support::{Deaf, within};

const LEARNT: usize = 20;
const AFTERWARDS: usize = 300;
const AT_ONCE: usize = 4;

fn well() -> Reply {
    Reply::json(200, &chat_answer("well")).delay(Duration::from_millis(10))
}

/// So many requests, a few at a time; every one has this status.
async fn ask(house: &House, requests: usize, statuses: &[u16]) {
    let calls = (0..requests).map(|_| async {
        let body = chat("m", false, "hi");
        let answer = house.ask(keyed(post("/v1/chat/completions", &body))).await;
        assert!(statuses.contains(&answer.status), "{}", answer.text());
    });
    stream::iter(calls).buffer_unordered(AT_ONCE).for_each(async |()| {}).await;
}

fn count(hosts: &[Upstream]) -> Vec<usize> {
    hosts.iter().map(|up| up.ledger().len()).collect()
}

/// The part of the first host since `before`.
fn share(hosts: &[Upstream], before: &[usize]) -> f64 {
    let grown: Vec<_> = count(hosts).iter().zip(before).map(|(now, then)| now - then).collect();
    grown[0] as f64 / grown.iter().sum::<usize>() as f64
}

async fn three(first: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (Vec<Upstream>, House) {
    let hosts = vec![
        Upstream::start(first).await,
        Upstream::start(|_| well()).await,
        Upstream::start(|_| well()).await,
    ];
    let urls: Vec<String> = hosts.iter().map(Upstream::url).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let conf = Conf::to_hosts(&urls).upstream("timeouts = { first_byte = \"300ms\" }");
    (hosts, House::start(conf).await)
}

/// One of three is ill and gets little, then it is well and soon has its share.
async fn falls_ill_and_recovers(illness: fn() -> Reply) {
    let healed = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&healed);
    let (hosts, house) = three(move |_| match is_well.load(Ordering::Acquire) {
        true => well(),
        false => illness(),
    })
    .await;
    ask(&house, LEARNT, &[200]).await;
    let before = count(&hosts);
    ask(&house, AFTERWARDS, &[200]).await;
    let its = share(&hosts, &before);
    assert!(its < 0.05, "{its} while ill");
    healed.store(true, Ordering::Release);
    within("its share again", async {
        let mut its = 0.0;
        while !(0.2..0.5).contains(&its) {
            let before = count(&hosts);
            ask(&house, 100, &[200]).await;
            its = share(&hosts, &before);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_ten_times_as_slow() {
    let slow = || Reply::json(200, &chat_answer("slow")).delay(Duration::from_millis(100));
    falls_ill_and_recovers(slow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_takes_requests_and_hangs() {
    falls_ill_and_recovers(Reply::silence).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_fails_a_third_of_its_requests() {
    falls_ill_and_recovers(|| match fastrand::u8(..10) {
        0..3 => Reply::json(500, &json!({"error": {}})),
        _ => well(),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_nothing_but_400_is_never_left_out() {
    let (hosts, house) =
        three(|_| Reply::json(400, &json!({"error": {}})).delay(Duration::from_millis(10))).await;
    ask(&house, AFTERWARDS, &[200, 400]).await;
    let its = share(&hosts, &[0; 3]);
    assert!((0.2..0.5).contains(&its), "{its}");
    assert_eq!(house.status().await["upstreams"][0]["hosts"][0]["state"], "up");
}

#[tokio::test]
async fn a_host_that_takes_no_connection_is_left_at_its_connect_timeout() {
    let (deaf, up) = (Deaf::start().await, Upstream::start(|_| well()).await);
    let conf = Conf::to_hosts(&[&format!("http://{}", deaf.addr), &up.url()]);
    let house = House::start(conf.upstream(
        "balance = \"round-robin\"\ntimeouts = { connect = \"100ms\" }\neject.after = 2",
    ))
    .await;
    ask(&house, 20, &[200]).await;
    let status = house.status().await;
    assert_eq!(status["upstreams"][0]["hosts"][0]["state"], "ejected", "{status}");
    assert_eq!(up.ledger().len(), 20);
}
