//! Turns, levels and rests of keys.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn keys(names: &[&str]) -> Arc<Keys> {
    leveled(&names.iter().map(|name| (*name, None)).collect::<Vec<_>>())
}

fn leveled(keys: &[(&str, Option<&[u32]>)]) -> Arc<Keys> {
    let key = |(name, levels): &(&str, Option<&[u32]>)| UpstreamKey {
        secret: Secret::new(*name),
        levels: levels.map(<[u32]>::to_vec),
    };
    Keys::of(&keys.iter().map(key).collect::<Vec<_>>())
}

fn next(keys: &Arc<Keys>) -> String {
    next_of(keys, 0)
}

fn next_of(keys: &Arc<Keys>, level: u32) -> String {
    keys.lend(level).unwrap().unwrap().secret().expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn turns_go_on_at_another_upstream_and_rests_do_not() {
    let one = keys(&["a", "b", "c"]);
    let other = one.elsewhere();
    assert_eq!([next(&one), next(&other), next(&one), next(&other)], ["a", "b", "c", "a"]);
    one.lend(0).unwrap().unwrap().rest(Duration::from_secs(60), Why::Refused);
    assert_eq!((one.resting(), other.resting()), (1, 0));
    assert_eq!([next(&one), next(&one), next(&other)], ["c", "a", "b"]);
}

#[test]
fn each_level_has_turns_of_its_own() {
    let keys = leveled(&[
        ("a", Some(&[0, 1])),
        ("b", Some(&[1])),
        ("c", Some(&[2])),
        ("d", Some(&[0])),
        ("e", None),
    ]);
    let mut said = Vec::new();
    for level in [1, 0, 1, 2, 7, 0, 1, 2, 1, 0, 7, 0] {
        said.push(format!("{level}{}", next_of(&keys, level)));
    }
    let expected = ["1a", "0a", "1b", "2c", "7e", "0d", "1e", "2e", "1a", "0e", "7e", "0a"];
    assert_eq!(said, expected);
    assert_eq!([0, 1, 2, 7].map(|level| keys.of_level(level).0), [3, 3, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_level_without_a_key_is_refused_and_a_rest_holds_for_all_levels() {
    let keys = leveled(&[("a", Some(&[0, 1])), ("b", Some(&[1]))]);
    assert_eq!(keys.check(2), Err(NoKey::ForLevel));
    assert_eq!(keys.lend(2).unwrap_err(), NoKey::ForLevel);
    keys.lend(0).unwrap().unwrap().rest(SECOND, Why::Busy);
    let resting = NoKey::AllRest { why: Why::Busy, left: SECOND };
    assert_eq!(keys.check(0), Err(resting));
    assert_eq!([(); 3].map(|()| next_of(&keys, 1)), ["b", "b", "b"]);
    assert_eq!((keys.of_level(0), keys.of_level(1), keys.of_level(2)), ((1, 0), (2, 1), (0, 0)));
}

#[tokio::test(start_paused = true)]
async fn who_rests_is_left_out_and_is_next_when_awake() {
    let keys = keys(&["a", "b", "c"]);
    assert_eq!([(); 4].map(|()| next(&keys)), ["a", "b", "c", "a"]);
    let b = keys.lend(0).unwrap().unwrap();
    b.rest(10 * SECOND, Why::Busy);
    b.rest(SECOND, Why::Busy);
    assert_eq!([(); 3].map(|()| next(&keys)), ["c", "a", "c"]);
    assert_eq!(keys.resting(), 1);
    tokio::time::advance(10 * SECOND).await;
    assert_eq!([(); 3].map(|()| next(&keys)), ["b", "a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn when_all_rest_the_reason_is_that_of_the_first_to_wake() {
    let keys = keys(&["a", "b"]);
    let leases = [(); 2].map(|()| keys.lend(0).unwrap().unwrap());
    leases[0].rest(Why::Refused.usual(), Why::Refused);
    assert_eq!(keys.check(0), Ok(()));
    leases[1].rest(7 * SECOND, Why::Busy);
    let expected = NoKey::AllRest { why: Why::Busy, left: 7 * SECOND };
    assert_eq!(keys.check(0), Err(expected));
    assert_eq!(keys.lend(0).unwrap_err(), expected);
    leases[1].rest(Why::Quota.usual(), Why::Quota);
    let refused = keys.check(0).unwrap_err();
    assert!(matches!(refused, NoKey::AllRest { why: Why::Refused, .. }), "{refused:?}");
}

#[test]
fn without_keys_none_is_lent() {
    assert!(keys(&[]).lend(0).unwrap().is_none());
    assert!(!format!("{:?}", keys(&["sk-1"]).lend(0)).contains("sk-1"));
}

proptest! {
    /// Nobody who rests is lent, and a key that does not rest is never refused.
    #[test]
    fn rests_are_kept(steps in proptest::collection::vec((0..3_usize, 0..5_u32), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let keys = keys(&["a", "b", "c"]);
            let mut until = [Instant::now(); 3];
            for (at, seconds) in steps {
                Lease { keys: Arc::clone(&keys), at }.rest(seconds * SECOND, Why::Busy);
                until[at] = until[at].max(Instant::now() + seconds * SECOND);
                let awake = until.iter().any(|until| *until <= Instant::now());
                match keys.lend(0) {
                    Ok(lease) => prop_assert!(until[lease.unwrap().at] <= Instant::now()),
                    Err(_) => prop_assert!(!awake),
                }
                tokio::time::advance(SECOND).await;
            }
            Ok(())
        })?;
    }
}
