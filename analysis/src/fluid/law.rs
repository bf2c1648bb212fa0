//! Algorithms as price laws: which signal (loss probability, or queueing delay) holds a window still.
//!
//! For an algorithm that grows by `I(w)` per acknowledged packet and gives up `D(w)` per lost one, the drift
//! of the window is `x (I - p D)`, with the fluid limit's `1 - p = 1`; it is zero at `p = I(w) / D(w)`.
//! Rates follow from losses only through an implicit equation, sometimes an ambiguous one (Balia),
//! sometimes a set (OLIA, the fully coupled algorithm); losses follow from rates by these closed forms.

/// A congestion control algorithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Algorithm {
    /// Reno on every subflow by itself ("uncoupled" with several): `I = 1/w`, `D = w/2`.
    Reno,
    /// CUBIC on every subflow by itself, by its response function (RFC 9438, section 5), but never below
    /// Reno's window (section 4.3).
    Cubic,
    /// LIA (RFC 6356, section 3): `I = min(max(w/rtt^2) / (sum w/rtt)^2, 1/w)`, `D = w/2`.
    Lia,
    /// OLIA (Khalili et al. 2012, at rest, where its second term is zero on every path in
    /// use): `I = (w/rtt^2) / (sum w/rtt)^2`, `D = w/2`.
    Olia,
    /// Balia (Peng et al. 2016; draft-walid-mptcp-congestion-control):
    /// `I = x / (rtt (sum x)^2) (1+A)/2 (4+A)/5`, `D = w/2 min(A, 1.5)` with `A = max(x) / x`.
    Balia,
    /// EWTCP with a weight of 1/n^2 (Wischik et al. 2011): `I = 1/(n^2 w)`, `D = w/2`.
    Ewtcp,
    /// The fully coupled algorithm (Wischik et al. 2011): `I = 1/w_total`, `D = w_total/2`.
    Coupled,
    /// Vegas on every subflow by itself, keeping `alpha` packets queued.
    Vegas {
        /// Packets in queues, above 0.
        alpha: f64,
    },
    /// wVegas (Cao et al. 2012): the subflows together keep `total_alpha` packets queued, each in
    /// proportion to its rate, but at least `min_alpha`.
    WVegas {
        /// Packets in queues of the whole connection, above 0; 10 in the out-of-tree kernel.
        total_alpha: f64,
        /// Least share of a subflow, at least 0; 2 in the kernel, 0 in theory.
        min_alpha: f64,
        /// Whether shares are rounded down to whole packets, as in the kernel.
        whole: bool,
    },
}

impl Algorithm {
    /// wVegas without lower limit, whose equilibrium is proportionally fair.
    pub const IDEAL_WVEGAS: Self = Self::WVegas { total_alpha: 10.0, min_alpha: 0.0, whole: false };
    /// wVegas with the constants and the rounding of the out-of-tree kernel.
    pub const LINUX_WVEGAS: Self = Self::WVegas { total_alpha: 10.0, min_alpha: 2.0, whole: true };

    /// What the algorithm listens to.
    #[must_use]
    pub const fn signal(&self) -> Signal {
        match self {
            Self::Vegas { .. } | Self::WVegas { .. } => Signal::Delay,
            _ => Signal::Loss,
        }
    }

    /// Whether the law leaves the division among equally good paths open.
    pub(super) const fn is_degenerate(&self) -> bool {
        matches!(self, Self::Coupled | Self::Olia | Self::WVegas { .. })
    }
}

/// What congestion is told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The probability that a packet is lost.
    Loss,
    /// Seconds a packet waits in queues.
    Delay,
}

/// Which window stands for a loss probability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LossModel {
    /// Reno keeps `sqrt(2/p)` packets: the zero of the drift, as in the papers on coupled algorithms.
    #[default]
    Drift,
    /// Reno keeps `sqrt(3/(2p))` packets, the mean of a sawtooth with evenly spaced losses (Mathis et al.
    /// 1997; RFC 9438, section 5). Every window at a given loss is smaller by sqrt(4/3); ratios are equal.
    Periodic,
}

/// `C (3 + beta) / (4 (1 - beta))` of RFC 9438, section 5, with `C = 0.4` and `beta = 0.7`.
const CUBIC: f64 = 0.4 * 3.7 / (4.0 * 0.3);

impl LossModel {
    /// Logarithm of what a window under this model is multiplied with to be one under [`Self::Drift`].
    fn log_window_scale(self) -> f64 {
        match self {
            Self::Drift => 0.0,
            Self::Periodic => 0.5 * libm::log(4.0 / 3.0),
        }
    }
}

/// One subflow at one moment of the search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subflow {
    /// Logarithm of the window in packets.
    pub(super) log_window: f64,
    /// Round-trip time in seconds.
    pub(super) rtt: f64,
    /// wVegas with whole shares: the share.
    pub(super) alpha: f64,
}

/// The logarithm of the signal at which each subflow of one user rests.
///
/// `regular` in `[0, 1]` is how much of the logarithm is that of EWTCP (or of Vegas with equal shares),
/// a law with one answer; 0 is the algorithm itself.
pub(super) fn log_prices(
    algorithm: Algorithm,
    model: LossModel,
    regular: f64,
    subflows: &[Subflow],
    prices: &mut [f64],
) {
    let scale = if algorithm.signal() == Signal::Loss { model.log_window_scale() } else { 0.0 };
    let count = subflows.len() as f64;
    let windows = || subflows.iter().map(|subflow| libm::exp(subflow.log_window + scale));
    let rates = || windows().zip(subflows).map(|(window, subflow)| window / subflow.rtt);
    let total_window: f64 = windows().sum();
    let total_rate: f64 = rates().sum();
    let largest_rate = rates().fold(0.0, f64::max);
    let linked = windows()
        .zip(subflows)
        .map(|(window, subflow)| window / (subflow.rtt * subflow.rtt))
        .fold(0.0, f64::max)
        / (total_rate * total_rate);
    let log_reno = |log_window: f64| libm::log(2.0) - 2.0 * log_window;

    for (subflow, price) in subflows.iter().zip(prices) {
        let log_window = subflow.log_window + scale;
        let window = libm::exp(log_window);
        let log_rtt = libm::log(subflow.rtt);
        let log_rate = log_window - log_rtt;
        let own = match algorithm {
            Algorithm::Reno => log_reno(log_window),
            Algorithm::Cubic => {
                // Both response functions of the RFC are those of evenly spaced losses.
                let sawtooth = log_window - LossModel::Periodic.log_window_scale();
                let log_cubic = log_rtt + (0.25 * libm::log(CUBIC) - sawtooth) * (4.0 / 3.0);
                log_cubic.max(log_reno(log_window))
            }
            Algorithm::Ewtcp => log_reno(log_window + libm::log(count)),
            Algorithm::Coupled => log_reno(libm::log(total_window)),
            Algorithm::Lia => libm::log(2.0) + libm::log(linked).min(-log_window) - log_window,
            Algorithm::Olia => log_reno(libm::log(total_rate * subflow.rtt)),
            Algorithm::Balia => {
                let a = largest_rate / (window / subflow.rtt);
                let factor = (1.0 + a) * (4.0 + a) / (10.0 * a.min(1.5));
                log_reno(libm::log(total_rate * subflow.rtt)) + libm::log(factor)
            }
            Algorithm::Vegas { alpha } => libm::log(alpha) - log_rate,
            Algorithm::WVegas { whole: true, .. } => libm::log(subflow.alpha) - log_rate,
            Algorithm::WVegas { total_alpha, min_alpha, whole: false } => {
                let fair = libm::log(total_alpha / total_rate);
                if min_alpha > 0.0 { fair.max(libm::log(min_alpha) - log_rate) } else { fair }
            }
        };
        let plain = match algorithm {
            Algorithm::Vegas { .. } => own,
            Algorithm::WVegas { total_alpha, .. } => libm::log(total_alpha / count) - log_rate,
            Algorithm::Reno | Algorithm::Cubic => log_reno(log_window),
            _ => log_reno(log_window + libm::log(count)),
        };
        *price = regular * plain + (1.0 - regular) * own;
    }
}

#[cfg(test)]
mod tests {
    use mptcp_model::congestion::{CaState, PathView, Window, balia, lia, olia};
    use sim_core::Duration;

    use super::*;

    fn view(window: u32, rtt: u64) -> PathView {
        PathView {
            id: 0,
            cwnd: window,
            ssthresh: Window::INFINITE_SSTHRESH,
            srtt: Duration::from_millis(rtt),
            min_rtt: Duration::from_millis(rtt),
            mss: 1448,
            state: CaState::Open,
            acked_since_loss: 0,
            acked_between_losses: 0,
        }
    }

    fn prices(algorithm: Algorithm, paths: &[PathView]) -> Vec<f64> {
        let subflows: Vec<_> = paths
            .iter()
            .map(|path| Subflow {
                log_window: libm::log(f64::from(path.cwnd)),
                rtt: path.srtt.as_nanos() as f64 * 1e-9,
                alpha: 0.0,
            })
            .collect();
        let mut prices = vec![0.0; paths.len()];
        log_prices(algorithm, LossModel::Drift, 0.0, &subflows, &mut prices);
        prices.into_iter().map(libm::exp).collect()
    }

    /// Growth per acknowledged packet and decrease per lost one of subflow `me`.
    type Step = fn(usize, &[PathView]) -> (f64, f64);

    #[test]
    fn prices_are_growth_over_decrease_of_the_packet_level_code() {
        let algorithms: [(Algorithm, Step); 3] = [
            (Algorithm::Lia, |me, paths| (lia::increase(me, paths), f64::from(paths[me].cwnd) / 2.0)),
            (Algorithm::Olia, |me, paths| (olia::increase(me, paths), f64::from(paths[me].cwnd) / 2.0)),
            (Algorithm::Balia, |me, paths| {
                (balia::increase(me, paths), f64::from(paths[me].cwnd) - balia::after_loss(me, paths))
            }),
        ];
        // The path with the largest window is the best one, so that OLIA is at rest.
        let at_rest = |mut paths: Vec<PathView>| {
            let largest = paths.iter().map(|path| path.cwnd).max();
            for path in &mut paths {
                path.acked_since_loss = if Some(path.cwnd) == largest { 1 << 40 } else { 1 };
            }
            paths
        };
        let networks = [
            vec![view(10, 100), view(10, 100)],
            vec![view(10, 50), view(10, 100)],
            vec![view(10, 50), view(40, 200)],
            vec![view(1, 10), view(100, 500)],
            vec![view(17, 30), view(90, 70), view(44, 300)],
            vec![view(12, 30)],
        ]
        .map(at_rest);
        for (algorithm, step) in algorithms {
            for paths in &networks {
                for (me, price) in prices(algorithm, paths).into_iter().enumerate() {
                    let (growth, decrease) = step(me, paths);
                    let expected = growth / decrease;
                    assert!((price / expected - 1.0).abs() < 1e-9, "{algorithm:?}: {price} and {expected}");
                }
            }
        }
    }

    #[test]
    fn alone_every_loss_based_algorithm_is_reno_but_cubic() {
        for algorithm in [
            Algorithm::Reno,
            Algorithm::Lia,
            Algorithm::Olia,
            Algorithm::Balia,
            Algorithm::Ewtcp,
            Algorithm::Coupled,
        ] {
            let price = prices(algorithm, &[view(20, 100)])[0];
            assert!((price / 0.005 - 1.0).abs() < 1e-9, "{algorithm:?}: {price}");
        }
    }
}
