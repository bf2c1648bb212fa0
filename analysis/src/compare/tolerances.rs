//! Which differences of figures are allowed, and how far runs of the real system spread.

use serde::{Deserialize, Serialize};

/// Differences allowed in figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tolerances {
    /// Relative difference of goodput and completion.
    pub goodput: f64,
    /// Difference of a subflow's share, 0 to 1.
    pub share: f64,
    /// Difference of a completion time that is always allowed, in seconds: start-up of the
    /// applications differs by some milliseconds.
    pub start_up_s: f64,
    /// Difference of the time of a join, in round trips of its handshake.
    pub join_rtts: f64,
    /// Relative difference of the number of segments sent again.
    pub retransmissions: f64,
    /// Relative difference of a mean congestion window.
    pub cwnd: f64,
    /// Relative difference of the mean congestion window of a sender over a single path.
    pub window: f64,
    /// Relative difference of its number of loss episodes.
    pub loss_episodes: f64,
    /// Relative difference of one-way delays, if they are to be judged.
    pub delay: Option<f64>,
}

impl Default for Tolerances {
    /// 5 % of goodput, 5 points of share, 10 ms, 1 round trip, 30 % of retransmissions, 15 % of a window; over a single
    /// path 10 % of the window and 20 % of the loss episodes.
    fn default() -> Self {
        Self {
            goodput: 0.05,
            share: 0.05,
            start_up_s: 0.010,
            join_rtts: 1.0,
            retransmissions: 0.30,
            cwnd: 0.15,
            window: 0.10,
            loss_episodes: 0.20,
            delay: None,
        }
    }
}

/// How far repetitions of a case spread on the real system: the difference of the largest and the smallest value
/// divided by the median, by figure. What is not given is that of goodput.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spread {
    /// Of goodput.
    pub goodput: f64,
    /// Of shares.
    pub share: Option<f64>,
    /// Of join times.
    pub join: Option<f64>,
    /// Of segments sent again.
    pub retransmissions: Option<f64>,
    /// Of mean congestion windows.
    pub cwnd: Option<f64>,
}

/// From this spread on tolerances double.
const WIDE: f64 = 0.02;

impl Tolerances {
    /// For a case whose repetitions on the real system spread by `spread` in all figures: above 2 %, tolerances
    /// double.
    #[must_use]
    pub fn for_spread(spread: f64) -> Self {
        Self::default().widened(&Spread { goodput: spread, ..Spread::default() })
    }

    /// Doubled where the real system spreads by more than 2 %.
    #[must_use]
    pub fn widened(self, spread: &Spread) -> Self {
        let factor = |own: Option<f64>| if own.unwrap_or(spread.goodput) > WIDE { 2.0 } else { 1.0 };
        Self {
            goodput: self.goodput * factor(None),
            share: self.share * factor(spread.share),
            start_up_s: self.start_up_s,
            join_rtts: self.join_rtts * factor(spread.join),
            retransmissions: self.retransmissions * factor(spread.retransmissions),
            cwnd: self.cwnd * factor(spread.cwnd),
            window: self.window * factor(spread.cwnd),
            loss_episodes: self.loss_episodes * factor(spread.retransmissions),
            delay: self.delay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_double_figure_by_figure() {
        let tight = Tolerances::default();
        assert_eq!(Tolerances::for_spread(0.02), tight);
        let wide = Tolerances::for_spread(0.021);
        assert_eq!((wide.goodput, wide.share, wide.cwnd), (0.1, 0.1, 0.3));
        assert_eq!(wide.start_up_s, tight.start_up_s);
        let one = tight.widened(&Spread { retransmissions: Some(0.5), ..Spread::default() });
        assert_eq!(one, Tolerances { retransmissions: 0.6, loss_episodes: 0.4, ..tight });
        let other = tight.widened(&Spread { goodput: 0.1, share: Some(0.01), ..Spread::default() });
        assert_eq!((other.goodput, other.share, other.join_rtts), (0.1, 0.05, 2.0));
    }
}
