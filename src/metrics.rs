//! Every metric's name, in one registry per server.
//!
//! Why handles: a label lookup hashes and locks, so what a request touches is resolved once per
//! route at start. Labels come from the configuration alone, so their number is bounded.

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// The registry and what hangs in it.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    in_flight: IntGaugeVec,
    first_token: HistogramVec,
    duration: HistogramVec,
    bytes: IntCounterVec,
    attempts: IntCounterVec,
    host_in_flight: IntGaugeVec,
    host_up: IntGaugeVec,
    queue_length: IntGaugeVec,
    refused: IntCounterVec,
    limit_counters: IntGauge,
    cache_requests: IntCounterVec,
    cache_errors: IntCounterVec,
    cache_entries: IntGauge,
    cache_bytes: IntGauge,
    log_records: IntGauge,
    log_bytes: IntGauge,
    log_dropped: IntCounter,
}

/// What one route counts.
#[derive(Debug, Clone)]
pub struct RouteMetrics {
    /// Requests under way.
    pub in_flight: IntGauge,
    /// Seconds to the first content of a stream.
    pub first_token: Histogram,
    /// Seconds from arrival to the last byte.
    pub duration: Histogram,
    /// Bytes of request bodies.
    pub bytes_in: IntCounter,
    /// Bytes of response bodies.
    pub bytes_out: IntCounter,
    classes: [IntCounter; 6],
}

/// What one host counts.
#[derive(Debug, Clone)]
pub struct HostMetrics {
    /// Attempts that got an answer's head.
    pub answered: IntCounter,
    /// Attempts that did not.
    pub failed: IntCounter,
    in_flight: IntGauge,
    up: IntGauge,
}

/// The state of the chat log, read when the metrics are.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogState {
    /// Records that wait for the disk.
    pub records: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Records lost since the start.
    pub dropped: u64,
}

/// Status classes; the last one is a request that ended without a status.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];

/// Seconds, from a cache hit to a long answer.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

const UNIQUE: &str = "metric names are literals, used once";

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::new(),
            requests: counters("requests_total", "Requests by status class", &["route", "class"]),
            in_flight: gauges("requests_in_flight", "Requests under way", &["route"]),
            first_token: histograms(
                "time_to_first_token_seconds",
                "Until a stream's first content",
            ),
            duration: histograms("request_duration_seconds", "From arrival to the last byte"),
            bytes: counters("body_bytes_total", "Bytes of bodies", &["route", "direction"]),
            attempts: counters(
                "upstream_attempts_total",
                "Attempts at upstream hosts",
                &["upstream", "host", "result"],
            ),
            host_in_flight: gauges(
                "upstream_in_flight",
                "Attempts under way at a host",
                &["upstream", "host"],
            ),
            host_up: gauges(
                "upstream_host_up",
                "1 for a host in use, 0 for one that is left out",
                &["upstream", "host"],
            ),
            queue_length: gauges(
                "upstream_queue_length",
                "Requests that wait for a place at a host",
                &["upstream"],
            ),
            refused: counters("refused_total", "Answers of aifd's own, by their code", &["code"]),
            limit_counters: gauge("limit_counters", "Counters that limits have in memory"),
            cache_requests: counters(
                "cache_requests_total",
                "Requests that could be answered from the cache, by what they were",
                &["result"],
            ),
            cache_errors: counters(
                "cache_store_errors_total",
                "Lookups and writes that the store of the cache did not do",
                &["what"],
            ),
            cache_entries: gauge("cache_entries", "Answers in the cache"),
            cache_bytes: gauge("cache_bytes", "Bytes that the answers in the cache take"),
            log_records: gauge("chat_log_queue_records", "Records that wait for the disk"),
            log_bytes: gauge("chat_log_queue_bytes", "Bytes that wait for the disk"),
            log_dropped: log_dropped(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&self) {
        let all: [Box<dyn prometheus::core::Collector>; 18] = [
            Box::new(self.requests.clone()),
            Box::new(self.in_flight.clone()),
            Box::new(self.first_token.clone()),
            Box::new(self.duration.clone()),
            Box::new(self.bytes.clone()),
            Box::new(self.attempts.clone()),
            Box::new(self.host_in_flight.clone()),
            Box::new(self.host_up.clone()),
            Box::new(self.queue_length.clone()),
            Box::new(self.refused.clone()),
            Box::new(self.limit_counters.clone()),
            Box::new(self.cache_requests.clone()),
            Box::new(self.cache_errors.clone()),
            Box::new(self.cache_entries.clone()),
            Box::new(self.cache_bytes.clone()),
            Box::new(self.log_records.clone()),
            Box::new(self.log_bytes.clone()),
            Box::new(self.log_dropped.clone()),
        ];
        for collector in all {
            self.registry.register(collector).expect(UNIQUE);
        }
    }

    /// The handles of one route; `name` is its prefix, or `none` for requests without one.
    #[must_use]
    pub fn route(&self, name: &str) -> RouteMetrics {
        RouteMetrics {
            in_flight: self.in_flight.with_label_values(&[name]),
            first_token: self.first_token.with_label_values(&[name]),
            duration: self.duration.with_label_values(&[name]),
            bytes_in: self.bytes.with_label_values(&[name, "in"]),
            bytes_out: self.bytes.with_label_values(&[name, "out"]),
            classes: CLASSES.map(|class| self.requests.with_label_values(&[name, class])),
        }
    }

    /// The handles of one host.
    #[must_use]
    pub fn host(&self, upstream: &str, host: &str) -> HostMetrics {
        HostMetrics {
            answered: self.attempts.with_label_values(&[upstream, host, "answered"]),
            failed: self.attempts.with_label_values(&[upstream, host, "failed"]),
            in_flight: self.host_in_flight.with_label_values(&[upstream, host]),
            up: self.host_up.with_label_values(&[upstream, host]),
        }
    }

    /// Counts an answer of aifd's own; `code` is one of a few literals.
    pub fn refused(&self, code: &'static str) {
        self.refused.with_label_values(&[code]).inc();
    }

    /// Notes how many counters the limiter has.
    pub fn note_limits(&self, counters: usize) {
        self.limit_counters.set(i64::try_from(counters).unwrap_or(i64::MAX));
    }

    /// Takes over what the cache did, by result, and what it holds.
    pub fn note_cache(&self, served: [(&str, u64); 3], entries: u64, bytes: u64) {
        for (result, count) in served {
            let counter = self.cache_requests.with_label_values(&[result]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        self.cache_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.cache_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Takes over what the store of the cache did not do.
    pub fn note_cache_errors(&self, lost: [(&str, u64); 3]) {
        for (what, count) in lost {
            let counter = self.cache_errors.with_label_values(&[what]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }

    /// Takes over how many requests wait for an upstream.
    pub fn note_queue(&self, upstream: &str, waiting: usize) {
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        self.queue_length.with_label_values(&[upstream]).set(waiting);
    }

    /// Takes over the chat log's own figures.
    pub fn note_log(&self, state: LogState) {
        self.log_records.set(i64::try_from(state.records).unwrap_or(i64::MAX));
        self.log_bytes.set(i64::try_from(state.bytes).unwrap_or(i64::MAX));
        let known = self.log_dropped.get();
        self.log_dropped.inc_by(state.dropped.saturating_sub(known));
    }

    /// All of it in Prometheus' text format 0.0.4.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        let written = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        match written {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }
}

// === impl RouteMetrics ===

impl RouteMetrics {
    /// Counts one finished request; `None` when no status was ever sent.
    pub fn finished(&self, status: Option<u16>) {
        let class = match status {
            Some(status @ 100..=599) => usize::from(status / 100 - 1),
            _ => CLASSES.len() - 1,
        };
        self.classes[class].inc();
    }
}

// === impl HostMetrics ===

impl HostMetrics {
    /// Takes over the host's own figures.
    pub fn note(&self, in_flight: usize, up: bool) {
        self.in_flight.set(i64::try_from(in_flight).unwrap_or(i64::MAX));
        self.up.set(i64::from(up));
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("aifd_{name}"), help)
}

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(opts(name, help), labels).expect(UNIQUE)
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(opts(name, help), labels).expect(UNIQUE)
}

fn log_dropped() -> IntCounter {
    let help = "Records that were lost because the queue was full or the disk failed";
    IntCounter::new("aifd_chat_log_dropped_total", help).expect(UNIQUE)
}

fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::with_opts(opts(name, help)).expect(UNIQUE)
}

fn histograms(name: &str, help: &str) -> HistogramVec {
    let opts = HistogramOpts::new(format!("aifd_{name}"), help).buckets(SECONDS.to_vec());
    HistogramVec::new(opts, &["route"]).expect(UNIQUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_request_is_counted_in_its_class() {
        let metrics = Metrics::default();
        let route = metrics.route("/");
        for status in [Some(200), Some(204), Some(404), Some(999), None] {
            route.finished(status);
        }
        let text = metrics.text();
        for line in [
            r#"aifd_requests_total{class="2xx",route="/"} 2"#,
            r#"aifd_requests_total{class="4xx",route="/"} 1"#,
            r#"aifd_requests_total{class="none",route="/"} 2"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn log_drops_only_grow() {
        let metrics = Metrics::default();
        metrics.note_log(LogState { records: 1, bytes: 2, dropped: 3 });
        metrics.note_log(LogState { records: 0, bytes: 0, dropped: 3 });
        assert!(metrics.text().contains("aifd_chat_log_dropped_total 3"));
    }
}
