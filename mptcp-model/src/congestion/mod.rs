//! Congestion control. The sender counts its window in segments, as Linux does, and asks the
//! algorithm on every event; the algorithm changes the [`Window`] and nothing else. A coupled
//! algorithm sees all subflows of its connection as a slice of [`PathView`].

pub mod balia;
pub mod bbr;
pub mod coupled;
mod coupling;
pub mod cubic;
pub mod dctcp;
pub mod ewtcp;
pub mod hystart;
pub mod lia;
pub mod olia;
pub mod registry;
pub mod reno;
#[cfg(test)]
mod tests;
pub mod vegas;
pub mod wvegas;

use core::fmt;

use sim_core::{Duration, Instant};

pub use coupling::Arithmetic;
pub use registry::{Algorithm, CreateError, UnknownAlgorithm, create, find, list, names};

pub use crate::parameters::{Kind, Parameter, Parameters, Value};

/// The congestion window of one flow, in segments of the sender's MSS, as in Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Congestion window (`snd_cwnd`), at least 1.
    pub cwnd: u32,
    /// Fraction counter of linear growth (`snd_cwnd_cnt`).
    pub cwnd_cnt: u32,
    /// Slow-start threshold (`snd_ssthresh`); [`Window::INFINITE_SSTHRESH`] until the first loss.
    pub ssthresh: u32,
    /// Upper bound (`snd_cwnd_clamp`).
    pub clamp: u32,
}

impl Window {
    /// Threshold of a flow that has not seen a loss.
    pub const INFINITE_SSTHRESH: u32 = 0x7fff_ffff;

    /// Whether the flow is in slow start.
    #[must_use]
    pub const fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }
}

/// State of the loss-recovery machine (`icsk_ca_state`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CaState {
    /// Nothing suspicious.
    #[default]
    Open,
    /// Duplicate ACKs or SACKs seen.
    Disorder,
    /// ECN reduction in progress.
    Cwr,
    /// Fast recovery.
    Recovery,
    /// Recovery after a retransmission timeout.
    Loss,
}

/// Why the window is reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Loss found by SACK, RACK or duplicate ACKs.
    Loss,
    /// ECN echo.
    Ecn,
    /// Retransmission timeout.
    Timeout,
}

/// One acknowledgment, as seen by congestion control.
#[derive(Clone, Copy, Debug)]
pub struct AckEvent {
    /// Arrival.
    pub now: Instant,
    /// Segments newly delivered (cumulatively or selectively acknowledged).
    pub delivered: u32,
    /// Segments newly acknowledged cumulatively; 0 in recovery for most ACKs.
    pub acked: u32,
    /// Round-trip time measured by this ACK, if it gave a valid sample.
    pub rtt: Option<Duration>,
    /// Segments in flight before this ACK.
    pub prior_in_flight: u32,
    /// Segments in flight after this ACK.
    pub in_flight: u32,
    /// Whether the window limited sending in the last round (RFC 9438, section 5.8; RFC 7661).
    pub cwnd_limited: bool,
    /// State after this ACK.
    pub state: CaState,
    /// Highest stream offset sent so far (`snd_nxt`), to mark rounds.
    pub snd_nxt: u64,
    /// First unacknowledged stream offset (`snd_una`).
    pub snd_una: u64,
}

/// What the segments that an ACK delivered say of the rate of the path
/// (draft-cheng-iccrg-delivery-rate-estimation), with the state of the sender that a model of the path needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateSample {
    /// Segments delivered when the newest segment delivered now was sent.
    pub prior_delivered: u64,
    /// Segments delivered since then.
    pub delivered: u64,
    /// How long that took; `None` if the ACK gave no valid sample.
    pub interval: Option<Duration>,
    /// The application, not the network, limited what was sent.
    pub app_limited: bool,
    /// Segments found lost by this ACK.
    pub losses: u32,
    /// The receiver may have waited before it sent the ACK.
    pub ack_delayed: bool,
    /// Segments delivered in all.
    pub total_delivered: u64,
    /// Segments found lost in all.
    pub total_lost: u64,
    /// When a segment was delivered last.
    pub delivered_at: Instant,
    /// When pacing allows the next segment; in the past if it does now.
    pub next_send: Instant,
    /// Smoothed round-trip time; zero before the first sample.
    pub srtt: Duration,
    /// Payload of a full segment in bytes.
    pub mss: u32,
}

/// What a coupled algorithm may know of one subflow. The slice is in subflow id order and holds only
/// subflows that can send.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PathView {
    /// Subflow id.
    pub id: u32,
    /// Congestion window in segments.
    pub cwnd: u32,
    /// Slow-start threshold in segments.
    pub ssthresh: u32,
    /// Smoothed round-trip time; zero before the first sample.
    pub srtt: Duration,
    /// Smallest round-trip time seen.
    pub min_rtt: Duration,
    /// Maximum segment size in bytes.
    pub mss: u32,
    /// State of loss recovery.
    pub state: CaState,
    /// Bytes acknowledged since the last loss, and between the last two (OLIA).
    pub acked_since_loss: u64,
    /// Bytes acknowledged between the last two losses (OLIA).
    pub acked_between_losses: u64,
}

/// A congestion control algorithm of one flow.
///
/// The sender calls, for each ACK: [`on_rtt_sample`](Self::on_rtt_sample) if there is one, then
/// [`on_ack`](Self::on_ack) when the state allows growth (not in recovery). On the first loss of an
/// episode it calls [`ssthresh`](Self::ssthresh) and reduces the window itself (PRR, or to 1 on a timeout).
pub trait CongestionControl: fmt::Debug + Send {
    /// Name in the registry, as in `net.ipv4.tcp_congestion_control`.
    fn name(&self) -> &'static str;

    /// The connection is established and the first data may be sent.
    fn on_established(&mut self, _now: Instant, _window: &mut Window, _path: &PathView) {}

    /// Grow the window. Not called in `Recovery` and `Cwr`.
    fn on_ack(&mut self, window: &mut Window, ack: &AckEvent, me: usize, paths: &[PathView]);

    /// A round-trip sample, before `on_ack` of the same ACK, in every state (`pkts_acked`).
    fn on_rtt_sample(&mut self, _window: &mut Window, _ack: &AckEvent, _rtt: Duration) {}

    /// The new slow-start threshold, in segments, at the start of a loss episode.
    fn ssthresh(&mut self, window: &Window, cause: Cause, now: Instant, me: usize, paths: &[PathView])
    -> u32;

    /// The state changes from `old` to `new` (`set_state`).
    fn on_state_change(&mut self, _window: &mut Window, _old: CaState, _new: CaState) {}

    /// The last reduction was spurious: the window to return to (`undo_cwnd`); `prior` is the window
    /// before the reduction.
    fn undo_cwnd(&mut self, window: &Window, prior: u32) -> u32 {
        window.cwnd.max(prior)
    }

    /// Sending resumes after idling (`CA_EVENT_TX_START`); `idle` is the time since the last send.
    fn on_transmit_start(&mut self, _window: &mut Window, _now: Instant, _idle: Duration) {}

    /// The window was reduced because sending resumes after idling for longer than the retransmission
    /// timeout (`CA_EVENT_CWND_RESTART`).
    fn on_cwnd_restart(&mut self, _window: &mut Window, _now: Instant) {}

    /// Whether the algorithm decides alone about window and pacing, from samples of the rate of delivery
    /// (`cong_control`). It is then asked by [`control`](Self::control) instead of `on_ack`, its flow is paced, and
    /// neither recovery (but for timeouts) nor idling changes its window.
    fn controls(&self) -> bool {
        false
    }

    /// An ACK in any state, for an algorithm that [controls](Self::controls). Returns whether the algorithm itself
    /// holds the flow back, so that samples of what is sent now say nothing of the path.
    fn control(&mut self, _window: &mut Window, _ack: &AckEvent, _sample: &RateSample) -> bool {
        false
    }

    /// The least segments of a burst (`min_tso_segs`); asked only of an algorithm that
    /// [controls](Self::controls).
    fn burst_floor(&self) -> u32 {
        2
    }

    /// Whether the algorithm goes by marks of congestion (`TCP_CONG_NEEDS_ECN`): its flow asks for ECN whatever the host
    /// is set to, sends every packet ECN-capable, and echoes exactly what was marked (RFC 8257).
    fn goes_by_marks(&self) -> bool {
        false
    }

    /// An ACK in any state, for an algorithm that [goes by marks](Self::goes_by_marks): segments delivered in all, and those of
    /// them that ACKs with an echo reported, with the stream offsets acknowledged and sent.
    fn on_delivered(&mut self, _delivered: u64, _marked: u64, _snd_una: u64, _snd_nxt: u64) {}

    /// Whether [`on_ack`](Self::on_ack) reads the slice of paths; if not, the sender passes an empty one.
    fn is_coupled(&self) -> bool {
        false
    }

    /// A pacing rate in bytes per second, if the algorithm sets one; asked only of an algorithm that
    /// [controls](Self::controls).
    fn pacing_rate(&self) -> Option<u64> {
        None
    }
}
