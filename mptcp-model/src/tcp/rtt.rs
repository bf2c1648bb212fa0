//! Round-trip time estimation and the retransmission timeout (RFC 6298) in the form Linux gives them:
//! microseconds, the variance bounded from below by `rto_min`, its decay once per round trip.

use sim_core::{Duration, Instant};

/// Round-trip time estimator of one flow.
#[derive(Clone, Debug)]
pub struct RttEstimator {
    /// Smoothed RTT in 1/8 microseconds; 0 before the first sample.
    srtt_us8: u32,
    mdev_us4: u32,
    mdev_max_us4: u32,
    rttvar_us4: u32,
    /// Stream offset at which the current measuring round ends.
    round_end: u64,
    rto_min_us: u32,
    min: WindowedMin,
    /// RTO including back-off.
    rto: Duration,
    rto_max: Duration,
    backoff: u32,
}

/// Smallest RTT of the last 300 s (`tcp_min_rtt_wlen`), by two sub-windows.
#[derive(Clone, Debug)]
struct WindowedMin {
    best: Duration,
    best_at: Instant,
}

const MIN_RTT_WINDOW: Duration = Duration::from_secs(300);

impl RttEstimator {
    /// An estimator without samples.
    #[must_use]
    pub fn new(rto_initial: Duration, rto_min: Duration, rto_max: Duration) -> Self {
        Self {
            srtt_us8: 0,
            mdev_us4: 0,
            mdev_max_us4: 0,
            rttvar_us4: 0,
            round_end: 0,
            rto_min_us: rto_min.as_micros() as u32,
            min: WindowedMin { best: Duration::MAX, best_at: Instant::ZERO },
            rto: rto_initial,
            rto_max,
            backoff: 0,
        }
    }

    /// A sample for the smallest RTT only.
    pub fn sample_min(&mut self, now: Instant, rtt: Duration) {
        let Self { min, .. } = self;
        if rtt <= min.best || now.saturating_since(min.best_at) > MIN_RTT_WINDOW {
            *min = WindowedMin { best: rtt, best_at: now };
        }
    }

    /// A sample; `snd_una` and `snd_nxt` mark the rounds.
    #[inline(always)]
    pub fn sample(&mut self, rtt: Duration, snd_una: u64, snd_nxt: u64) {
        let us = (rtt.as_micros().min(u64::from(u32::MAX >> 4)) as u32).max(1);
        if self.srtt_us8 == 0 {
            self.srtt_us8 = us << 3;
            self.mdev_us4 = us << 1;
            self.rttvar_us4 = self.mdev_us4.max(self.rto_min_us);
            self.mdev_max_us4 = self.rttvar_us4;
            self.round_end = snd_nxt;
        } else {
            let error = i64::from(us) - i64::from(self.srtt_us8 >> 3);
            self.srtt_us8 = (i64::from(self.srtt_us8) + error).max(1) as u32;
            let quarter = i64::from(self.mdev_us4 >> 2);
            let change = if error < 0 {
                // A falling RTT must not inflate the variance (RFC 6298 would count it fully).
                let over = -error - quarter;
                if over > 0 { over >> 3 } else { over }
            } else {
                error - quarter
            };
            self.mdev_us4 = (i64::from(self.mdev_us4) + change).max(0) as u32;
            if self.mdev_us4 > self.mdev_max_us4 {
                self.mdev_max_us4 = self.mdev_us4;
                self.rttvar_us4 = self.rttvar_us4.max(self.mdev_max_us4);
            }
            if snd_una > self.round_end {
                if self.mdev_max_us4 < self.rttvar_us4 {
                    self.rttvar_us4 -= (self.rttvar_us4 - self.mdev_max_us4) >> 2;
                }
                self.round_end = snd_nxt;
                self.mdev_max_us4 = self.rto_min_us;
            }
        }
        self.backoff = 0;
        self.rto = self.base_rto();
    }

    fn base_rto(&self) -> Duration {
        let us = u64::from(self.srtt_us8 >> 3) + u64::from(self.rttvar_us4);
        Duration::from_micros(us).min(self.rto_max)
    }

    /// The timer expired: double the timeout (RFC 6298, section 5.5).
    pub fn back_off(&mut self) {
        self.backoff += 1;
        self.rto = (self.rto * 2).min(self.rto_max);
    }

    /// Forget the back-off, keeping the estimate (after spurious timeouts and on progress).
    pub fn reset_backoff(&mut self) {
        self.backoff = 0;
        if self.srtt_us8 != 0 {
            self.rto = self.base_rto();
        }
    }

    /// Forget the number of doublings, keeping the timeout.
    pub(crate) const fn forget_backoff(&mut self) {
        self.backoff = 0;
    }

    /// Number of doublings in force.
    #[must_use]
    pub const fn backoff(&self) -> u32 {
        self.backoff
    }

    /// Current timeout.
    #[must_use]
    pub const fn rto(&self) -> Duration {
        self.rto
    }

    /// Set the timeout of the handshake.
    pub fn set_rto(&mut self, rto: Duration) {
        self.rto = rto.min(self.rto_max);
    }

    /// Smoothed RTT; zero before the first sample.
    #[must_use]
    pub const fn srtt(&self) -> Duration {
        Duration::from_nanos(self.srtt_us8 as u64 * 125)
    }

    /// Smoothed RTT in 1/8 microseconds (`srtt_us`).
    #[must_use]
    pub const fn srtt_us8(&self) -> u32 {
        self.srtt_us8
    }

    /// Mean deviation (`rttvar` of `TCP_INFO`).
    #[must_use]
    pub const fn mean_deviation(&self) -> Duration {
        Duration::from_nanos(self.mdev_us4 as u64 * 250)
    }

    /// Smallest RTT; `None` before the first sample.
    #[must_use]
    pub fn min_rtt(&self) -> Option<Duration> {
        (self.min.best != Duration::MAX).then_some(self.min.best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimator() -> RttEstimator {
        RttEstimator::new(Duration::from_secs(1), Duration::from_millis(200), Duration::from_secs(120))
    }

    #[test]
    fn timeout_before_the_first_sample_is_one_second() {
        // TIME-01
        // TCP-08
        assert_eq!(estimator().rto(), Duration::from_secs(1));
    }

    #[test]
    fn first_sample_gives_srtt_plus_the_least_variance() {
        // TCP-08; reference captures: rto 212 ms with srtt 10.291 ms, in ticks of 4 ms.
        let mut rtt = estimator();
        rtt.sample(Duration::from_micros(10_291), 1, 1);
        assert_eq!(rtt.rto(), Duration::from_micros(210_291));
        assert_eq!(rtt.srtt(), Duration::from_micros(10_291));
        assert_eq!(rtt.mean_deviation(), Duration::from_nanos(5_145_500));
    }

    #[test]
    fn backing_off_doubles_up_to_the_bound_and_a_sample_ends_it() {
        // TIME-01, TCP-08
        let mut rtt = estimator();
        for _ in 0..12 {
            rtt.back_off();
        }
        assert_eq!(rtt.rto(), Duration::from_secs(120));
        rtt.sample(Duration::from_millis(100), 1, 1);
        assert_eq!(rtt.rto(), Duration::from_millis(300));
    }

    #[test]
    fn the_smallest_rtt_is_remembered() {
        let mut rtt = estimator();
        assert_eq!(rtt.min_rtt(), None);
        rtt.sample_min(Instant::ZERO, Duration::from_millis(30));
        rtt.sample_min(Instant::from_nanos(5), Duration::from_millis(20));
        rtt.sample_min(Instant::from_nanos(9), Duration::from_millis(25));
        assert_eq!(rtt.min_rtt(), Some(Duration::from_millis(20)));
    }
}
