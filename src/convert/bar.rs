//! How far it is, on a terminal and for what takes a while.

use std::io;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Less than this is done before a bar could be read, bytes.
const LARGE: u64 = 16 << 20;

pub(super) struct Bar(ProgressBar);

// === impl Bar ===

impl Bar {
    /// A bar over so many bytes; it stays away from what is no terminal.
    pub(super) fn new(bytes: u64) -> Self {
        if bytes < LARGE {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
        let form = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        bar.set_style(ProgressStyle::with_template(form).expect("the form has no fault"));
        Self(bar)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// Lets something be said without the bar in between.
    pub(super) fn aside(&self, say: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.0.suspend(say)
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
