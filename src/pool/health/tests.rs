//! Health by table and by chance: when a host is left out, and that it always comes back.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const EJECT: Eject = Eject { after: 3, first: SECOND, most: Duration::from_secs(30) };
const RULES: Rules = Rules { eject: EJECT, fall: 3, rise: 2 };

/// Others that may be used and did well.
const WELL: Peers = Peers { usable: true, tally: Tally { failed: 0, all: 40 } };
const ALONE: Peers = Peers { usable: false, tally: Tally { failed: 0, all: 0 } };

/// What happens to a host: `.` an answer, a letter for each failure, a digit for seconds that
/// pass, `r` a rest of five seconds, `+` and `-` probes.
fn live(story: &str, peers: Peers) -> (Health, Instant) {
    let mut now = Instant::now();
    let mut health = Health::new(RULES, now);
    for step in story.chars() {
        match step {
            '0'..='9' => now += step.to_digit(10).unwrap() * SECOND,
            'r' => health.rest(5 * SECOND, now),
            '+' | '-' => health.probed(step == '+', now),
            _ => attempt(&mut health, step, peers, now),
        }
    }
    (health, now)
}

fn attempt(health: &mut Health, step: char, peers: Peers, now: Instant) {
    let epoch = health.begin();
    let blame = match step {
        'c' => Some(Blame::Connect),
        't' => Some(Blame::Timeout),
        'b' => Some(Blame::Reset),
        's' => Some(Blame::Status),
        _ => None,
    };
    let after = match blame {
        None => health.good(epoch, now),
        Some(blame) => {
            health.failed((epoch, false), blame, peers, now);
            epoch
        }
    };
    health.end(after);
}

#[test]
fn when_a_host_is_left_out() {
    use Standing::{Down, Due, Ejected, Up};
    for (story, expected) in [
        ("", Up),
        ("..........", Up),
        ("c", Ejected),
        ("tb", Up),
        ("tbs", Ejected),
        (".ss.s", Ejected),
        (".ss.s1.", Up),
        ("ss..................s", Up),
        ("ss.................s", Ejected),
        ("..s..s..s", Ejected),
        ("....................s........s........s", Ejected),
        ("....................s.........s.........s", Up),
        ("c1", Due),
        ("c1c1", Ejected),
        ("c1c2", Due),
        ("c1c2c3", Ejected),
        ("c1c2c4", Due),
        ("c1.", Up),
        ("c1.s", Up),
        ("c1.sss", Ejected),
        ("---", Down),
        ("--+--", Up),
        ("---+", Down),
        ("---++", Up),
        ("c++", Due),
        ("c---99++", Due),
        ("c---", Down),
    ] {
        let (health, now) = live(story, WELL);
        assert_eq!(health.standing(now), expected, "{story:?}");
    }
}

#[test]
fn the_last_host_is_never_left_out_and_all_that_fail_alike_stay() {
    for story in ["ccccc", "tbstbstbs", "ssssssssssssssssssss"] {
        let (health, now) = live(story, ALONE);
        assert_eq!(health.standing(now), Standing::Up, "{story}");
    }
    let alike = Peers { usable: true, tally: Tally { failed: 15, all: 40 } };
    for (peers, expected) in [(alike, Standing::Up), (WELL, Standing::Ejected)] {
        let (health, now) = live("s..s..s", peers);
        assert_eq!(health.standing(now), expected, "{peers:?}");
    }
}

#[test]
fn each_time_out_is_twice_as_long_up_to_the_most_and_all_well_forgets_it() {
    let mut now = Instant::now();
    let mut health = Health::new(RULES, now);
    let mut out = |health: &mut Health| {
        let epoch = health.begin();
        let out = health.failed((epoch, false), Blame::Connect, WELL, now).unwrap();
        assert_eq!(health.due(now), Some(now + out));
        now += out;
        assert_eq!(health.standing(now), Standing::Due);
        out.as_secs()
    };
    assert_eq!([(); 7].map(|()| out(&mut health)), [1, 2, 4, 8, 16, 30, 30]);
    let good = |health: &mut Health| {
        let epoch = health.begin();
        health.good(epoch, Instant::now());
    };
    (0..19).for_each(|_| good(&mut health));
    assert_eq!(out(&mut health), 30, "not quite well yet");
    (0..20).for_each(|_| good(&mut health));
    assert_eq!(out(&mut health), 1);
}

#[test]
fn a_trial_is_one_request_and_old_reports_tell_nothing() {
    let start = Instant::now();
    let mut health = Health::new(RULES, start);
    let old = health.begin();
    let first = health.begin();
    assert!(health.failed((first, false), Blame::Connect, WELL, start).is_some());
    assert_eq!(health.good(old, start), old, "it began before");
    assert_eq!(health.failed((old, false), Blame::Timeout, WELL, start), None);
    let now = start + SECOND;
    assert_eq!(health.standing(now), Standing::Due);
    let trial = health.begin();
    assert_eq!(health.standing(now), Standing::Trial);
    health.end(old);
    assert_eq!(health.standing(now), Standing::Trial);
    health.end(trial);
    assert_eq!(health.standing(now), Standing::Due, "one that said nothing tried nothing");
    let trial = health.begin();
    let after = health.good(trial, now);
    assert_eq!(health.standing(now), Standing::Up);
    assert_eq!(health.failed((after, true), Blame::Reset, ALONE, now), None);
    assert!(health.doubt(now) > 0.3, "it broke off in the end");
}

#[test]
fn an_ejection_ends_early_when_many_went_elsewhere() {
    let (mut health, since) = live("c1c2c4c8c", WELL);
    for _ in 0..PASSED {
        assert_eq!(health.standing(since + EARLY), Standing::Ejected);
        health.pass();
    }
    assert_eq!(health.standing(since + EARLY - SECOND / 10), Standing::Ejected);
    assert_eq!(health.standing(since + EARLY), Standing::Due);
}

#[test]
fn a_rest_is_as_long_as_the_longest_that_was_asked_for() {
    let (mut health, now) = live("r", WELL);
    health.rest(SECOND, now);
    assert_eq!(health.standing(now), Standing::Resting(now + 5 * SECOND));
    assert_eq!((health.due(now), health.since(now)), (Some(now + 5 * SECOND), now));
    assert_eq!(health.standing(now + 5 * SECOND), Standing::Up);
    health.rest(Duration::MAX, now);
    assert_eq!(health.due(now), Some(now + LONGEST));
    assert_eq!(live("ccr", WELL).0.tally(), live("cc", WELL).0.tally(), "it is no failure");
}

proptest! {
    /// Whatever happens to three hosts, one is up; and whoever is out is due within the most.
    #[test]
    fn one_is_always_up_and_all_come_back(
        story in proptest::collection::vec((0..3_usize, "[.ctbs]", 0..4_u32), 1..200),
    ) {
        let mut now = Instant::now();
        let mut hosts: Vec<Health> = (0..3).map(|_| Health::new(RULES, now)).collect();
        for (at, step, seconds) in story {
            let is_up = |health: &Health| health.standing(now) == Standing::Up;
            let others = || hosts.iter().enumerate().filter(|(other, _)| *other != at);
            let peers = Peers {
                usable: others().any(|(_, health)| is_up(health)),
                tally: others().fold(Tally::default(), |sum, (_, one)| sum.and(one.tally())),
            };
            let step = step.chars().next().unwrap();
            attempt(&mut hosts[at], step, peers, now);
            prop_assert!(hosts.iter().any(is_up), "none is left");
            for health in &hosts {
                let late = health.standing(now + EJECT.most);
                prop_assert!(matches!(late, Standing::Up | Standing::Due), "{:?}", late);
            }
            now += seconds * SECOND / 2;
        }
    }
}
