//! The pool as a whole, with hosts that are ill in every way: who gets how much, and when again.
//!
//! Why simulated: paused time makes a minute of fifty requests a second one tenth of a second, and
//! the same one each time.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use super::tests::pool;
use super::{Blame, Host, Outcome, Upstream};

/// What a host does with one request.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// It answers, the first byte after so long.
    Answer(Duration),
    /// It answers 500.
    Fail,
    /// It refuses the connection.
    Refuse,
    /// It takes the request, and that is all.
    Hang,
}

/// What the first one of three hosts does, by the time since the start; the others are well.
type Illness = fn(Duration) -> Act;

/// When an attempt began, and at which host.
type Attempts = Vec<(Duration, String)>;

const RATE: u64 = 50;
const FIRST_BYTE: Duration = Duration::from_millis(300);
const HALF: Duration = Duration::from_secs(20);

/// Until twenty requests have come.
const LEARNT: Duration = Duration::from_millis(20 * 1000 / RATE);

/// Requests at a steady rate for so long, each tried at up to three hosts.
async fn run(up: &Upstream, illness: Illness, time: Duration) -> Attempts {
    let start = Instant::now();
    let attempts = Mutex::new(Vec::new());
    let request = async |nth: u64| {
        sleep_until(start + Duration::from_millis(nth * 1000 / RATE)).await;
        let mut tried: Vec<Arc<Host>> = Vec::new();
        while tried.len() < 3 {
            let mut load = up.pick(&tried, 0).await.expect("a host is never missing").load;
            let label = load.host().label.clone();
            let act = if label == "127.0.0.1:80" { illness(start.elapsed()) } else { well() };
            attempts.lock().push((start.elapsed(), label));
            let outcome = acted(act).await;
            load.report(outcome);
            if matches!(outcome, Outcome::Good { .. }) {
                return sleep(Duration::from_millis(100)).await;
            }
            tried.push(Arc::clone(load.host()));
        }
        panic!("three hosts failed one request");
    };
    let all = time.as_millis() as u64 * RATE / 1000;
    futures_util::future::join_all((0..all).map(request)).await;
    attempts.into_inner()
}

async fn acted(act: Act) -> Outcome {
    match act {
        Act::Answer(first_byte) => {
            sleep(first_byte).await;
            Outcome::Good { first_byte }
        }
        Act::Fail => {
            sleep(Duration::from_millis(50)).await;
            Outcome::Failed(Blame::Status)
        }
        Act::Refuse => Outcome::Failed(Blame::Connect),
        Act::Hang => {
            sleep(FIRST_BYTE).await;
            Outcome::Failed(Blame::Timeout)
        }
    }
}

/// The part of the first host in a span of time.
fn share(attempts: &Attempts, from: Duration, to: Duration) -> f64 {
    let within = || attempts.iter().filter(|(at, _)| (from..to).contains(at));
    let its = within().filter(|(_, label)| label == "127.0.0.1:80").count();
    its as f64 / within().count() as f64
}

/// A tenth of a second, more or less: prompts differ.
fn well() -> Act {
    Act::Answer(Duration::from_millis(fastrand::u64(50..150)))
}

fn third() -> Act {
    if fastrand::u8(..10) < 3 { Act::Fail } else { well() }
}

#[tokio::test(start_paused = true)]
async fn who_is_ill_gets_little_and_who_is_well_again_its_share() {
    let table: [(&str, Illness); 4] = [
        ("10x slow", |at| if at < HALF { Act::Answer(Duration::from_secs(1)) } else { well() }),
        ("hangs", |at| if at < HALF { Act::Hang } else { well() }),
        ("30 % 500s", |at| if at < HALF { third() } else { well() }),
        ("down", |at| if at < HALF { Act::Refuse } else { well() }),
    ];
    for (name, illness) in table {
        for seed in 0..10 {
            fastrand::seed(seed);
            let attempts = run(&pool(3, ""), illness, 2 * HALF).await;
            let ill = share(&attempts, LEARNT, HALF);
            let again = share(&attempts, HALF + Duration::from_secs(10), 2 * HALF);
            assert!(ill < 0.05, "{name}, seed {seed}: {ill} while ill");
            assert!((0.25..0.42).contains(&again), "{name}, seed {seed}: {again} when well");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn equal_hosts_share_fairly_although_their_requests_differ() {
    for balance in ["least-busy", "round-robin"] {
        fastrand::seed(3);
        let up = pool(3, &format!("balance = '{balance}'"));
        let attempts = run(&up, |_| well(), HALF).await;
        for host in ["127.0.0.1:80", "127.0.0.2:80", "127.0.0.3:80"] {
            let its = attempts.iter().filter(|(_, label)| label == host).count();
            let share = its as f64 / attempts.len() as f64;
            assert!((0.28..0.39).contains(&share), "{balance}, {host}: {share}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_flaps_gets_little_in_each_bad_half_and_its_share_in_each_good_one() {
    let flaps: Illness = |at| match at.as_secs() / HALF.as_secs() % 2 {
        0 => Act::Refuse,
        _ => well(),
    };
    for seed in 0..10 {
        fastrand::seed(seed);
        let attempts = run(&pool(3, ""), flaps, 6 * HALF).await;
        for round in [0, 2, 4] {
            let begin = round * HALF;
            let ill = share(&attempts, begin + LEARNT, begin + HALF);
            let well = begin + HALF + Duration::from_secs(10);
            let again = share(&attempts, well, begin + 2 * HALF);
            assert!(ill < 0.05, "seed {seed}, round {round}: {ill} while ill");
            assert!((0.25..0.42).contains(&again), "seed {seed}, round {round}: {again} when well");
        }
    }
}

/// Nothing but who is out keeps turns from the ill one; its window alone must find it out.
#[tokio::test(start_paused = true)]
async fn a_third_of_500s_is_found_out_in_a_round_too() {
    for seed in 0..10 {
        fastrand::seed(seed);
        let up = pool(3, "balance = 'round-robin'");
        let attempts = run(&up, |_| third(), 2 * HALF).await;
        let ill = share(&attempts, Duration::from_secs(2), 2 * HALF);
        assert!(ill < 0.05, "seed {seed}: {ill}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_answers_nothing_but_400_is_never_left_out() {
    fastrand::seed(1);
    let up = pool(3, "");
    // A 400 is an answer; that all of them come soon makes the host no better than twice as quick.
    let attempts = run(&up, |_| Act::Answer(Duration::from_millis(60)), HALF).await;
    let its = share(&attempts, LEARNT, HALF);
    assert!((0.25..0.5).contains(&its), "{its}");
    assert!(up.hosts().iter().all(|host| host.view().state.name() == "up"));
}
