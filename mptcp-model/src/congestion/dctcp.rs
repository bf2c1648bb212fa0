//! DCTCP (RFC 8257; Alizadeh et al., SIGCOMM 2010) as Linux has it: the sender keeps an average `alpha` of the part of its segments
//! that met congestion, window by window, and gives up half of that part where Reno gives up half of the window. Losses
//! halve, and growth is Reno's.
//!
//! The receiver's part, an echo that says exactly which segments were marked, and ECT on every packet belong to the flow
//! (`tcp::ecn`), which asks [`goes_by_marks`](CongestionControl::goes_by_marks). A peer that refuses ECN makes this Reno.

use sim_core::Instant;

use super::{AckEvent, Cause, CongestionControl, PathView, Window, reno};

/// `alpha` of a path where every segment is marked (`DCTCP_MAX_ALPHA`).
const WHOLE: u32 = 1 << 10;
const WHOLE_SHIFT: u32 = 10;
/// Smallest threshold in segments.
const MIN_SSTHRESH: u32 = 2;

/// Parameters of [`Dctcp`]; the numbers of the default are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// A new window counts with a weight of 2 to the power of minus this (`dctcp_shift_g`). Default 4.
    pub shift_g: u32,
    /// `alpha` at the beginning, in parts of 1024 (`dctcp_alpha_on_init`). Default 1024.
    pub initial_alpha: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { shift_g: 4, initial_alpha: WHOLE }
    }
}

/// The `dctcp` algorithm of one flow.
#[derive(Clone, Copy, Debug)]
pub struct Dctcp {
    config: Config,
    /// Part of the segments that met congestion, in parts of 1024.
    alpha: u32,
    /// Segments delivered, and marked among them, when the window began.
    delivered: u64,
    marked: u64,
    /// End of the window as a stream offset.
    end_of_window: u64,
}

impl Default for Dctcp {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl Dctcp {
    /// A flow with these parameters.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, alpha: config.initial_alpha.min(WHOLE), delivered: 0, marked: 0, end_of_window: 0 }
    }

    /// RFC 8257, section 3.3.
    fn end_window(&mut self, delivered: u64, marked: u64) {
        let fading = self.alpha >> self.config.shift_g;
        self.alpha = if fading == 0 { 0 } else { self.alpha - fading };
        let part = (marked << (WHOLE_SHIFT - self.config.shift_g)) / delivered.max(1);
        self.alpha = (u64::from(self.alpha) + part).min(WHOLE.into()) as u32;
    }
}

impl CongestionControl for Dctcp {
    fn name(&self) -> &'static str {
        "dctcp"
    }

    fn on_established(&mut self, _now: Instant, _window: &mut Window, _path: &PathView) {
        *self = Self { delivered: self.delivered, marked: self.marked, ..Self::new(self.config) };
    }

    fn on_ack(&mut self, window: &mut Window, ack: &AckEvent, _me: usize, _paths: &[PathView]) {
        reno::grow(window, ack);
    }

    fn on_delivered(&mut self, delivered: u64, marked: u64, snd_una: u64, snd_nxt: u64) {
        if snd_una < self.end_of_window {
            return;
        }
        self.end_window(delivered - self.delivered, marked - self.marked);
        (self.delivered, self.marked, self.end_of_window) = (delivered, marked, snd_nxt);
    }

    fn ssthresh(
        &mut self,
        window: &Window,
        cause: Cause,
        _now: Instant,
        _me: usize,
        _paths: &[PathView],
    ) -> u32 {
        match cause {
            Cause::Ecn => {
                let less = (u64::from(window.cwnd) * u64::from(self.alpha)) >> (WHOLE_SHIFT + 1);
                (window.cwnd - less as u32).max(MIN_SSTHRESH)
            }
            Cause::Loss | Cause::Timeout => reno::halved(window),
        }
    }

    fn goes_by_marks(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::window;
    use super::*;

    fn threshold(flow: &mut Dctcp, cwnd: u32, cause: Cause) -> u32 {
        flow.ssthresh(&window(cwnd, 1), cause, Instant::ZERO, 0, &[])
    }

    #[test]
    fn alpha_is_the_average_of_the_marked_part_with_a_weight_of_a_sixteenth() {
        // RFC 8257, section 3.3: alpha = alpha * (1 - g) + g * M.
        let mut flow = Dctcp::default();
        let (mut exact, mut delivered, mut marked) = (1.0_f64, 0, 0);
        for (number, part) in [0, 20, 100, 100, 5, 0, 0, 50].into_iter().cycle().take(400).enumerate() {
            delivered += 100;
            marked += part;
            let offset = 1000 * (number as u64 + 1);
            flow.on_delivered(delivered, marked, offset, offset + 1000);
            exact = exact * 15.0 / 16.0 + part as f64 / 100.0 / 16.0;
            assert!((f64::from(flow.alpha) / 1024.0 - exact).abs() < 0.02, "{} for {exact}", flow.alpha);
        }
    }

    #[test]
    fn a_window_counts_when_all_of_it_is_acknowledged() {
        let mut flow = Dctcp::default();
        flow.on_delivered(1, 0, 1000, 9000);
        assert_eq!(flow.alpha, 960);
        flow.on_delivered(8, 8, 8999, 20_000);
        assert_eq!(flow.alpha, 960);
        flow.on_delivered(9, 8, 9000, 20_000);
        assert_eq!(flow.alpha, 900 + 64, "all marked but what came first: 8 of 8");
    }

    #[test]
    fn an_echo_takes_half_of_alpha_and_a_loss_half_of_the_window() {
        let mut flow = Dctcp::new(Config { initial_alpha: 512, ..Config::default() });
        assert_eq!(threshold(&mut flow, 100, Cause::Ecn), 75);
        assert_eq!(threshold(&mut flow, 100, Cause::Loss), 50);
        assert_eq!(threshold(&mut flow, 100, Cause::Timeout), 50);
        let mut flow = Dctcp::new(Config { initial_alpha: 0, ..Config::default() });
        assert_eq!(threshold(&mut flow, 100, Cause::Ecn), 100);
        assert_eq!(threshold(&mut flow, 1, Cause::Ecn), 2);
    }

    #[test]
    fn a_path_without_marks_is_forgotten() {
        let mut flow = Dctcp::default();
        for number in 1..200 {
            flow.on_delivered(number * 10, 0, number * 1000, number * 1000 + 1000);
        }
        assert_eq!(flow.alpha, 0);
    }
}
