//! The pool by its behaviour: turns, names, keys, the queue, and loads that come back.

use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// An upstream of so many hosts, none of which needs to be resolved.
pub(super) fn pool(hosts: usize, keys: &str) -> Upstream {
    let hosts: Vec<String> = (1..=hosts).map(|at| format!("http://127.0.0.{at}")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    upstream(&hosts, keys)
}

fn upstream(hosts: &[&str], keys: &str) -> Upstream {
    Upstream::build(&section(hosts, keys))
}

fn section(hosts: &[&str], keys: &str) -> config::Upstream {
    let text = format!(
        "access.unknown_keys = 'pass'\n[[upstream]]\nname = 'up'\nhosts = {hosts:?}\n{keys}\n"
    );
    let config = config::parse(&text, "test").unwrap_or_else(|faults| panic!("{faults}"));
    config.upstreams.into_iter().next().unwrap()
}

fn good(first_byte: Duration) -> Outcome {
    Outcome::Good { first_byte }
}

fn states(up: &Upstream) -> Vec<&'static str> {
    up.hosts().iter().map(|host| host.view().state.name()).collect()
}

#[tokio::test]
async fn hosts_and_keys_take_turns() {
    let turns = "balance = 'round-robin'\nkeys = ['a', 'b', 'c']";
    let up = upstream(&["http://127.0.0.1", "http://[::1]"], turns);
    let mut picked = Vec::new();
    for _ in 0..4 {
        let pick = up.pick(&[], 0).await.unwrap();
        let key = pick.key.unwrap().secret().expose().to_owned();
        picked.push(format!("{key} {}", pick.load.host().label));
    }
    assert_eq!(picked, ["a 127.0.0.1:80", "b [::1]:80", "c 127.0.0.1:80", "a [::1]:80"]);
    assert!(up.pick_keyless(&[]).await.unwrap().key.is_none());
    assert!(pool(1, "").pick(&[], 0).await.unwrap().key.is_none());
}

#[tokio::test]
async fn a_tried_host_is_left_out_and_none_left_is_an_error() {
    let up = pool(2, "");
    let first = up.pick(&[], 0).await.unwrap();
    let tried = [Arc::clone(first.load.host())];
    let second = up.pick(&tried, 0).await.unwrap();
    assert_ne!(first.address, second.address);
    let both = [Arc::clone(first.load.host()), Arc::clone(second.load.host())];
    assert_eq!(up.pick(&both, 0).await.unwrap_err(), NoHost::NoneLeft);
}

#[tokio::test]
async fn a_load_comes_back_when_it_is_dropped() {
    let up = pool(1, "");
    let picks = [up.pick(&[], 0).await.unwrap(), up.pick(&[], 0).await.unwrap()];
    assert_eq!(up.hosts()[0].in_flight(), 2);
    drop(picks);
    assert_eq!(up.hosts()[0].in_flight(), 0);
}

#[tokio::test]
async fn names_are_resolved_and_failures_are_answers() {
    let up = upstream(&["http://localhost"], "");
    let pick = up.pick(&[], 0).await.unwrap();
    assert!(pick.address.ip().is_loopback());
    up.hosts()[0].forget_address();
    assert!(up.pick(&[], 0).await.unwrap().address.ip().is_loopback());

    let up = upstream(&["http://does-not-exist.invalid", "http://127.0.0.1"], "");
    for _ in 0..2 {
        let pick = up.pick(&[], 0).await.unwrap();
        assert_eq!(pick.load.host().label, "127.0.0.1:80");
    }
    let up = upstream(&["http://does-not-exist.invalid"], "");
    assert_eq!(up.pick(&[], 0).await.unwrap_err(), NoHost::Unresolved);
    assert_eq!(up.hosts()[0].in_flight(), 0);
}

#[tokio::test]
async fn behind_a_proxy_only_its_name_is_resolved() {
    let hosts = ["https://gpu.invalid", "http://127.0.0.1:8000"];
    let through = |host: &str| {
        let (host, shown) = (host.to_owned(), String::new());
        let mut section = section(&hosts, "");
        section.proxy = Some(config::Proxy { host, port: 3128, login: None, shown });
        Upstream::build(&section)
    };
    for (host, written) in
        [("127.0.0.9", "127.0.0.9:3128"), ("::1", "[::1]:3128"), ("localhost", "localhost:3128")]
    {
        let up = through(host);
        let mut tried = Vec::new();
        for _ in hosts {
            let pick = up.pick(&tried, 0).await.unwrap();
            assert!(pick.address.ip().is_loopback() && pick.address.port() == 3128, "{host}");
            assert!(pick.load.host().with_proxy().ends_with(written), "{host}");
            tried.push(Arc::clone(pick.load.host()));
        }
    }
    let nowhere = through("proxy.invalid");
    assert_eq!(nowhere.pick(&[], 0).await.unwrap_err(), NoHost::Unresolved);
}

#[tokio::test(start_paused = true)]
async fn what_is_reported_is_what_is_seen() {
    let up = pool(2, "balance = 'round-robin'");
    let mut first = up.pick(&[], 0).await.unwrap().load;
    let mut second = up.pick(&[], 0).await.unwrap().load;
    first.report(good(Duration::from_millis(250)));
    assert_eq!(up.hosts()[0].view().first_byte_ms, Some(250));
    second.report(Outcome::Failed(Blame::Connect));
    assert_eq!(states(&up), ["up", "ejected"]);
    tokio::time::advance(SECOND).await;
    let trial = up.pick(&[], 0).await.unwrap().load;
    assert_eq!((states(&up)[1], trial.host().label.as_str()), ("trial", "127.0.0.2:80"));
    drop(trial);
    assert_eq!(states(&up)[1], "ejected", "nothing was said, so nothing was tried");
    first.report(Outcome::Failed(Blame::Connect));
    assert_eq!(states(&up)[0], "up", "the last one is never left out");
    first.report(Outcome::Busy { rest: Some(SECOND) });
    assert_eq!(states(&up)[0], "resting");
    for _ in 0..3 {
        up.hosts()[0].probed(false);
        up.hosts()[1].probed(false);
    }
    assert_eq!(states(&up), ["resting", "down"]);
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_probes_fail_is_used_only_when_no_other_is_well() {
    let up = pool(2, "balance = 'round-robin'\nhealth = { path = '/', fall = 2, rise = 2 }");
    let picked = async || {
        let mut hosts = Vec::new();
        for _ in 0..4 {
            hosts.push(up.pick(&[], 0).await.unwrap().load.host().at);
        }
        hosts.sort_unstable();
        hosts
    };
    let [first, second] = up.hosts() else { panic!("two hosts") };
    first.probed(false);
    assert_eq!(picked().await, [0, 0, 1, 1], "one is not enough");
    first.probed(false);
    assert_eq!((picked().await, states(&up)), (vec![1; 4], vec!["down", "up"]));
    (0..2).for_each(|_| second.probed(false));
    assert_eq!((picked().await, states(&up)), (vec![0, 0, 1, 1], vec!["down", "down"]));
    // One that fails its requests as well comes after one that only fails its probes.
    let mut load = up.pick(&[Arc::clone(second)], 0).await.unwrap().load;
    load.report(Outcome::Failed(Blame::Connect));
    assert_eq!(states(&up), ["down", "down"], "the last ones are not left out");
    (0..2).for_each(|_| first.probed(true));
    assert_eq!((picked().await, states(&up)), (vec![0; 4], vec!["up", "down"]));
}

#[tokio::test(start_paused = true)]
async fn who_broke_off_in_the_middle_was_not_good_after_all() {
    let up = pool(2, "balance = 'round-robin'");
    for round in 0..3 {
        assert_eq!(states(&up), ["up", "up"], "{round}");
        let mut well = up.pick(&[], 0).await.unwrap().load;
        well.report(good(SECOND));
        let mut broken = up.pick(&[], 0).await.unwrap().load;
        broken.report(good(SECOND));
        broken.report(Outcome::Failed(Blame::Reset));
    }
    assert_eq!(states(&up), ["up", "ejected"]);
}

#[tokio::test(start_paused = true)]
async fn when_every_key_rests_the_reason_is_told() {
    let up = pool(1, "keys = ['a']");
    let key = up.pick(&[], 0).await.unwrap().key.unwrap();
    key.rest(Why::Quota.usual(), Why::Quota);
    let expected = NoHost::KeysResting { why: Why::Quota, retry_after: Why::Quota.usual() };
    assert_eq!(up.pick(&[], 0).await.unwrap_err(), expected);
    assert_eq!((up.hosts()[0].in_flight(), up.keys_resting()), (0, 1));
    assert!(up.pick_keyless(&[]).await.is_ok(), "who brings a key needs none of ours");
}

mod queue;
