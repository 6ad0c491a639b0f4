//! The shield: who floods aifd without a known key is turned away before anything else is done.
//!
//! Why not the limiter: this costs the same however many addresses there are. It may count one
//! address for another and refuse too early, so it is asked for unknown keys alone, never for a
//! known one.

use std::net::IpAddr;
use std::time::Duration;

use pingora_limits::rate::Rate as Sketch;

use crate::config::Rate;
use crate::limit::Who;

/// So many requests without a known key for each address.
pub(super) struct Shield {
    rate: Rate,
    sketch: Sketch,
}

// === impl Shield ===

impl Shield {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, sketch: Sketch::new(rate.period()) }
    }

    /// Counts a request; when it is one too many, how long to wait. Clients of a unix socket are one.
    pub(super) fn refuses(&self, client: Option<IpAddr>) -> Option<Duration> {
        let seen = self.sketch.observe(&client.map(Who::address), 1);
        let over = u64::try_from(seen).is_ok_and(|seen| seen > self.rate.amount);
        over.then(|| self.rate.period())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Unit;

    #[test]
    fn each_address_has_its_own_count() {
        let shield = Shield::new(Rate { amount: 2, multiple: 1, unit: Unit::Hour });
        let hour = Some(Duration::from_secs(3_600));
        for (client, expected) in [
            ("10.0.0.1", None),
            ("10.0.0.1", None),
            ("10.0.0.1", hour),
            ("::ffff:10.0.0.1", hour),
            ("10.0.0.2", None),
            ("2001:db8:1:1::1", None),
            ("2001:db8:1:1::2", None),
            ("2001:db8:1:1:9::", hour),
            ("2001:db8:1:2::1", None),
        ] {
            assert_eq!(shield.refuses(client.parse().ok()), expected, "{client}");
        }
    }
}
