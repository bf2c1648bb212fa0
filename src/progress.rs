//! Progress on a terminal: simulated time and its rate. Silent if standard error is no terminal.

use indicatif::ProgressStyle;
use sim_core::{Duration, Instant};

/// A bar over simulated time.
#[derive(Debug)]
pub(crate) struct ProgressBar(indicatif::ProgressBar);

impl ProgressBar {
    /// A bar that is full when `duration` has been simulated.
    pub(crate) fn new(name: &str, duration: Duration) -> Self {
        let bar = indicatif::ProgressBar::new(milliseconds(Instant::ZERO + duration));
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {msg}");
        bar.set_style(style.expect("the template is well-formed"));
        bar.set_prefix(name.to_owned());
        Self(bar)
    }

    /// Shows that the run has come to `now`.
    pub(crate) fn advance(&self, now: Instant) {
        self.0.set_position(milliseconds(now));
        if self.0.is_hidden() {
            return;
        }
        let simulated = milliseconds(now) as f64 / 1e3;
        let elapsed = self.0.elapsed().as_secs_f64();
        if elapsed > 0.0 {
            self.0.set_message(format!("{simulated:.1} s simulated, {:.0} x real time", simulated / elapsed));
        }
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn milliseconds(at: Instant) -> u64 {
    at.as_nanos() / 1_000_000
}
