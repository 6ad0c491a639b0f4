//! A cache on disk under an aifd that is killed again and again: what it still has is whole and right.

use fastrand::Rng;
use serde_json::json;
use tokio::task::JoinSet;

use super::{said, told};
use crate::support::client::Client;
use crate::support::house::{Conf, keyed};
use crate::support::openai::{chat_answer, chat_stream, post};
use crate::support::process::Site;
use crate::support::upstream::{Reply, Upstream};

const LIVES: usize = 50;
const ON_DISK: &str =
    "cache.store = \"lmdb\"\ncache.default = true\ncache.size = \"4MiB\"\ncache.answer = \"64KiB\"";

/// The one right answer to a question, up to 12 KiB of it.
fn right(question: u64) -> String {
    format!("{question} ").repeat(Rng::with_seed(question).usize(1..2000))
}

/// Answers in one piece or in many.
async fn upstream() -> Upstream {
    Upstream::start(|seen: &_| {
        let asked = seen.json();
        let said = right(asked["seed"].as_u64().unwrap());
        let words: Vec<&str> = said.split_inclusive(' ').collect();
        let pieces: Vec<String> = words.chunks(100).map(<[&str]>::concat).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        match asked["stream"] == true {
            true => Reply::sse(chat_stream(&pieces)),
            false => Reply::json(200, &chat_answer(&said)),
        }
    })
    .await
}

/// Asks questions until the connection dies, with the process or because it is killed now.
async fn ask(mut client: Client, mut questions: Vec<u64>, stream: bool) -> (usize, Vec<u64>) {
    let (mut hits, mut answered) = (0, Vec::new());
    while let Some(question) = questions.pop() {
        let body = json!({"model": "m", "messages": [], "seed": question, "stream": stream});
        let sent = client.send(keyed(post("/v1/chat/completions", &body))).await;
        let Ok(answering) = sent else { break };
        let answer = answering.finish().await;
        if answer.ended.is_cut() {
            break;
        }
        assert_eq!(said(&answer), right(question), "{question}: {}", told(&answer));
        hits += usize::from(told(&answer) == "hit");
        answered.push(question);
    }
    (hits, answered)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_leave_nothing_that_is_torn_or_wrong() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let up = upstream().await;
    let site = Site::of(&Conf::to(&up).with(ON_DISK));
    let (mut known, mut next, mut hits) = (Vec::new(), 0, 0);
    for _ in 0..LIVES {
        let process = site.serve(&[]).await;
        let mut asking = JoinSet::new();
        for nth in 0..4 {
            let old = (0..4).filter_map(|_| random.choice(&known).copied());
            // Old ones are asked first, from the end.
            let questions: Vec<u64> = (next..next + 6).chain(old).collect();
            next += 6;
            let client = Client::h1(process.addr()).await;
            asking.spawn(ask(client, questions, nth % 2 == 0));
        }
        // Somebody is done, so the others are in the middle of it.
        let mut done = vec![asking.join_next().await.unwrap().unwrap()];
        process.signal("KILL");
        done.extend(asking.join_all().await);
        process.ended().await;
        for (its, answered) in done {
            hits += its;
            known.extend(answered);
        }
    }
    assert!(hits > LIVES, "seed {seed}: {hits} hits");
}
