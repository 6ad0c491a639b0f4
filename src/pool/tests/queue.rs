//! The queue: order, bounds, honest refusals; no slot is ever lost.

use std::pin::Pin;

use super::*;

type Picking<'u> = Pin<Box<dyn Future<Output = Result<Pick, NoHost>> + Send + 'u>>;

/// A pick that waits.
fn waiting(up: &Upstream) -> Picking<'_> {
    let mut picking: Picking<'_> = Box::pin(up.pick(&[], 0));
    assert!(picking.as_mut().now_or_never().is_none(), "it did not wait");
    picking
}

/// A pick that need not wait.
fn place(up: &Upstream) -> Load {
    up.pick(&[], 0).now_or_never().expect("there is a place").unwrap().load
}

fn is_granted(picking: &mut Picking<'_>) -> Option<Load> {
    picking.as_mut().now_or_never().map(|pick| pick.unwrap().load)
}

#[tokio::test(start_paused = true)]
async fn who_comes_first_goes_first_and_who_leaves_is_gone() {
    let up = pool(1, "max_in_flight = 1");
    let held = place(&up);
    let mut line: Vec<_> = (0..4).map(|_| waiting(&up)).collect();
    assert_eq!(up.queued(), 4);
    drop(line.remove(1));
    assert_eq!(up.queued(), 3);
    drop(held);
    for left in (0..3).rev() {
        let held = is_granted(&mut line[0]).expect("it is its turn");
        assert!(line[1..].iter_mut().all(|later| is_granted(later).is_none()));
        assert_eq!((up.queued(), up.hosts()[0].in_flight()), (left, 1));
        drop(line.remove(0));
        drop(held);
    }
    assert_eq!(up.hosts()[0].in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slot_on_its_way_to_one_who_left_goes_to_the_next() {
    let up = pool(1, "max_in_flight = 1");
    let held = place(&up);
    let (first, mut second) = (waiting(&up), waiting(&up));
    drop(held);
    assert_eq!((up.queued(), up.hosts()[0].in_flight()), (1, 1), "granted, not yet seen");
    drop(first);
    assert_eq!(up.queued(), 0);
    drop(is_granted(&mut second).expect("the slot was lost"));
    assert_eq!(up.hosts()[0].in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_jumps_the_queue_and_nobody_blocks_it() {
    let up = pool(2, "max_in_flight = 1\nbalance = 'round-robin'");
    let (one, two) = (place(&up), place(&up));
    let tried = [Arc::clone(one.host())];
    let mut picky: Picking<'_> = Box::pin(up.pick(&tried, 0));
    assert!(is_granted(&mut picky).is_none());
    let mut plain = waiting(&up);
    drop(one);
    assert!(is_granted(&mut picky).is_none(), "it has tried that host");
    let plain = is_granted(&mut plain).expect("who cannot use it does not keep it from others");
    assert_eq!(plain.host().label, tried[0].label);
    let _later = waiting(&up);
    drop(two);
    assert!(is_granted(&mut picky).is_some());
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_in_size_and_in_time() {
    let up = pool(1, "max_in_flight = 1\nqueue = { size = 2, wait = '3s' }");
    // One that took two seconds is what the first guess stands on.
    let past = place(&up);
    tokio::time::advance(2 * SECOND).await;
    drop(past);
    let _held = place(&up);
    let (first, _second) = (waiting(&up), waiting(&up));
    let full = up.pick(&[], 0).await.unwrap_err();
    assert_eq!(full, NoHost::QueueFull { retry_after: 6 * SECOND });
    let begun = tokio::time::Instant::now();
    let slow = first.await.unwrap_err();
    assert_eq!(begun.elapsed(), 3 * SECOND);
    assert_eq!(slow, NoHost::QueueSlow { retry_after: 4 * SECOND }, "behind the one that is left");

    let up = pool(1, "max_in_flight = 1\nqueue = { size = 0, wait = '3s' }");
    let _held = place(&up);
    assert_eq!(up.pick(&[], 0).await.unwrap_err(), NoHost::QueueFull { retry_after: 3 * SECOND });
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_ends_wakes_who_waits_and_a_long_one_is_told() {
    let up = pool(1, "queue = { size = 9, wait = '10s' }");
    let mut busy = place(&up);
    busy.report(Outcome::Busy { rest: Some(4 * SECOND) });
    let begun = tokio::time::Instant::now();
    assert!(up.pick(&[], 0).await.is_ok());
    assert_eq!(begun.elapsed(), 4 * SECOND);
    busy.report(Outcome::Busy { rest: Some(11 * SECOND) });
    let refused = up.pick(&[], 0).await.unwrap_err();
    assert_eq!(refused, NoHost::Resting { retry_after: 11 * SECOND });
    assert_eq!(begun.elapsed(), 4 * SECOND, "it did not wait in vain");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_may_be_tried_again_wakes_who_waits() {
    let up = pool(2, "max_in_flight = 1\nbalance = 'round-robin'");
    let (_one, mut two) = (place(&up), place(&up));
    let line = [waiting(&up)];
    let begun = tokio::time::Instant::now();
    // The ejection comes after the wait began, and is not known to it.
    two.report(Outcome::Failed(Blame::Connect));
    drop(two);
    let [first] = line;
    let trial = first.await.unwrap().load;
    assert_eq!((begun.elapsed(), states(&up)), (SECOND, vec!["up", "trial"]));
    let mut next = waiting(&up);
    drop(trial);
    assert!(is_granted(&mut next).is_some(), "a trial that said nothing is another one's");
}

/// What one of a hundred does: how long it waits before it leaves, how long it holds its slot.
fn lives() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let patience = prop_oneof![3 => Just(1_000_000), 1 => 0..900_u64];
    proptest::collection::vec((patience, 1..60_u64), 100)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Four slots, a hundred who wait, leaving at random: order kept, no slot lost.
    #[test]
    fn a_hundred_wait_for_four_slots(lives in lives()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (order, patient) = runtime.block_on(async {
            let up = pool(2, "max_in_flight = 2\nqueue = { size = 100, wait = '1h' }");
            let served = parking_lot::Mutex::new(Vec::new());
            let one = async |(at, (patience, hold)): (usize, (u64, u64))| {
                let patience = Duration::from_millis(patience);
                let Ok(pick) = tokio::time::timeout(patience, up.pick(&[], 0)).await else { return };
                served.lock().push(at);
                assert!(up.hosts().iter().all(|host| host.in_flight() <= 2));
                tokio::time::sleep(Duration::from_millis(hold)).await;
                drop(pick);
            };
            let all = lives.iter().copied().enumerate().map(one);
            futures_util::future::join_all(all).await;
            assert_eq!(up.queued(), 0);
            assert!(up.hosts().iter().all(|host| host.in_flight() == 0));
            let _slots = [place(&up), place(&up), place(&up), place(&up)];
            drop(waiting(&up));
            let patient = lives.iter().filter(|life| life.0 == 1_000_000).count();
            (served.into_inner(), patient)
        });
        prop_assert!(order.is_sorted(), "{:?}", order);
        prop_assert!(order.len() >= patient, "{} of {} were served", order.len(), patient);
    }
}

/// Four slots in a rush: what the refused are told is true within a fifth.
#[tokio::test(start_paused = true)]
async fn retry_after_is_true_within_a_fifth() {
    fastrand::seed(9);
    let up = pool(2, "max_in_flight = 2\nqueue = { size = 40, wait = '1h' }");
    let job = async |delay: Duration| {
        tokio::time::sleep(delay).await;
        let pick = up.pick(&[], 0).await.map_err(|none| none.retry_after().unwrap())?;
        let hold = Duration::from_millis(800 + fastrand::u64(..400));
        tokio::time::sleep(hold).await;
        drop(pick);
        Ok::<(), Duration>(())
    };
    // Forty-four come at once, then four and a bit more each second, so that some are refused.
    let rush = (0..44).map(|_| job(Duration::ZERO));
    let stream = (0..300).map(|at| job(Duration::from_millis(500 + 200 * at)));
    let ends = futures_util::future::join_all(rush.chain(stream)).await;
    let told: Vec<f64> =
        ends.into_iter().filter_map(Result::err).map(|wait| wait.as_secs_f64()).collect();
    // Forty wait and each second four slots come free: 41 places from now.
    let truth = 41.0 / 4.0;
    let honest = told.iter().filter(|told| (**told / truth - 1.0).abs() <= 0.2).count();
    assert!(
        told.len() > 20 && 10 * honest >= 9 * told.len(),
        "{honest} of {}: {told:?}",
        told.len()
    );
}

/// Many threads, everybody leaves at any moment: nothing hangs, nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_lose_no_slot_either() {
    let up = Arc::new(pool(2, "max_in_flight = 2\nqueue = { size = 1000, wait = '1h' }"));
    let mut tasks = tokio::task::JoinSet::new();
    for nth in 0..1000 {
        let up = Arc::clone(&up);
        tasks.spawn(async move {
            let mut picking: Picking<'_> = Box::pin(up.pick(&[], 0));
            for _ in 0..nth % 7 {
                if let Some(mut load) = is_granted(&mut picking) {
                    tokio::task::yield_now().await;
                    assert!(load.host().in_flight() <= 2);
                    load.report(good(Duration::from_millis(1)));
                    return;
                }
                tokio::task::yield_now().await;
            }
            if nth % 3 == 0 {
                drop(picking.await.unwrap());
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!((up.queued(), up.hosts()[0].in_flight(), up.hosts()[1].in_flight()), (0, 0, 0));
}
