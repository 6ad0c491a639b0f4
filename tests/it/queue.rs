//! The queue over real sockets: a hundred wait for four slots, and some of them leave.

use serde_json::{Value, json};

use crate::cache::ON;
use crate::support::client::RawH1;
use crate::support::house::{Conf, House, keyed, wire_post};
use crate::support::openai::{chat, chat_answer, post};
use crate::support::upstream::{Gate, Reply, Upstream};

const SLOTS: usize = 4;
const WAITING: usize = 100;

fn head_and_body(nth: usize) -> String {
    let body = json!({"model": "m", "user": nth.to_string(), "seed": nth});
    wire_post("/v1/chat/completions", &body.to_string())
}

/// Waits until so many are at the host and in the queue.
async fn until(house: &House, at_host: usize, queued: usize) {
    let wanted = |status: &Value| {
        let up = &status["upstreams"][0];
        up["hosts"][0]["in_flight"] == at_host && up["queued"] == queued
    };
    house.status_is(&format!("{at_host} at the host, {queued} queued"), wanted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_wait_in_order_and_who_leaves_costs_nobody_a_slot() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    for cache in ["", ON] {
        a_hundred_wait(cache, seed).await;
    }
}

async fn a_hundred_wait(cache: &str, seed: u64) {
    let gate = Gate::new();
    let step = gate.clone();
    let up = Upstream::start(move |_| Reply::json(200, &chat_answer("x")).wait_for(&step)).await;
    let conf = Conf::to(&up).upstream(&format!(
        "max_in_flight = {SLOTS}\nqueue = {{ size = {WAITING}, wait = \"5m\" }}"
    ));
    let house = House::start(conf.with(cache)).await;
    let mut clients = Vec::new();
    for nth in 0..SLOTS + WAITING {
        let mut client = RawH1::connect(house.addr()).await;
        client.send(head_and_body(nth)).await;
        until(&house, SLOTS.min(nth + 1), (nth + 1).saturating_sub(SLOTS)).await;
        clients.push((nth, client));
    }
    let refused = house.ask(keyed(post("/v1/chat/completions", &chat("m", false, "hi")))).await;
    let wait = refused.header("retry-after").map(|wait| wait.parse::<u64>().unwrap());
    assert!(refused.status == 503 && wait >= Some(1), "{}", refused.text());

    let mut chance = fastrand::Rng::with_seed(seed);
    let (leaving, mut staying): (Vec<_>, Vec<_>) =
        clients.into_iter().partition(|(nth, _)| *nth >= SLOTS && chance.bool());
    for (nth, client) in leaving {
        if nth % 2 == 0 { client.fin() } else { client.reset() }
    }
    until(&house, SLOTS, staying.len() - SLOTS).await;

    // One slot at a time, so that who comes next is who was next.
    for done in 1..=staying.len() {
        gate.step();
        up.begun((SLOTS + done).min(staying.len())).await;
    }
    for (nth, client) in &mut staying {
        assert_eq!(client.answer().await.unwrap().status, 200, "seed {seed}, {nth}");
    }
    let order: Vec<Value> = up.idle().await.iter().map(|e| e.seen.json()["user"].clone()).collect();
    // The first ones came side by side.
    let expected: Vec<Value> = staying.iter().map(|(nth, _)| json!(nth.to_string())).collect();
    assert_eq!(order[SLOTS..], expected[SLOTS..], "seed {seed}");
    until(&house, 0, 0).await;
}
