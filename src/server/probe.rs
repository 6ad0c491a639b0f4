//! The active probes: every host of an upstream with `health` is asked again and again.
//!
//! Why a task for each host: one that hangs must not put off the question to another.
//! The trap: hosts that are asked in step answer in step, a hundred at a time, so every wait is
//! spread; and a wait counts from the last question, not from its answer.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::edge::Probe;

/// The first question comes no later than this, so that a host that was dead at start is soon known.
const SOON: Duration = Duration::from_secs(1);

/// Starts them all; they end when the set is dropped.
pub(super) fn start(probes: Vec<Probe>) -> JoinSet<()> {
    probes.into_iter().map(watch).collect()
}

async fn watch(probe: Probe) {
    let mut known = None;
    sleep(probe.every.min(SOON).mul_f64(fastrand::f64())).await;
    loop {
        let asked = Instant::now();
        let wrong = probe.ask().await.err();
        // A host that is down for an hour is told of once, not at every probe.
        if let Some(why) = &wrong
            && wrong != known
        {
            log::warn!("{}: a probe failed: {why}", probe.host.label);
        }
        probe.host.probed(wrong.is_none());
        known = wrong;
        sleep_until(asked + spread(probe.every)).await;
    }
}

/// A tenth more or less.
fn spread(every: Duration) -> Duration {
    every.mul_f64(0.9 + fastrand::f64() / 5.0)
}
