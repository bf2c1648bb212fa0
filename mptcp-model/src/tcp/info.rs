//! What can be seen of a flow from outside, as `TCP_INFO` of Linux shows it. Reading changes nothing.
//!
//! Left out: fields of `TCP_INFO` about what is not modelled (ECN, Fast Open, pacing statistics).

use sim_core::Duration;

use super::{Flow, FlowStats, TcpState};
use crate::congestion::{CaState, Window};

/// State of a flow at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowInfo {
    /// TCP state.
    pub state: TcpState,
    /// State of loss recovery.
    pub ca_state: CaState,
    /// Congestion window in segments.
    pub cwnd: u32,
    /// Slow-start threshold in segments; `None` before the first loss.
    pub ssthresh: Option<u32>,
    /// Smoothed round-trip time; `None` before the first sample, as the two below.
    pub srtt: Option<Duration>,
    /// Mean deviation of the round-trip time.
    pub rttvar: Option<Duration>,
    /// Least round-trip time of the last minutes.
    pub min_rtt: Option<Duration>,
    /// Retransmission timeout, backed off.
    pub rto: Duration,
    /// Largest payload of a segment with timestamps, in bytes.
    pub mss: u32,
    /// Segments taken to be in the network.
    pub in_flight: u32,
    /// Segments sent and not acknowledged.
    pub unacked: u32,
    /// Segments selectively acknowledged.
    pub sacked: u32,
    /// Segments taken to be lost.
    pub lost: u32,
    /// Segments retransmitted and not acknowledged.
    pub retrans: u32,
    /// Bytes in the send buffer that have not been sent.
    pub not_sent: u64,
    /// Window announced by the peer, in bytes.
    pub send_window: u64,
    /// Window announced to the peer, in bytes.
    pub receive_window: u64,
    /// Bytes in the out-of-order queue.
    pub out_of_order_bytes: u64,
    /// Counters.
    pub stats: FlowStats,
}

impl Flow {
    /// State of the flow as `TCP_INFO` would show it.
    #[must_use]
    pub fn info(&self) -> FlowInfo {
        let sampled = !self.rtt.srtt().is_zero();
        FlowInfo {
            state: self.state,
            ca_state: self.ca_state,
            cwnd: self.window.cwnd,
            ssthresh: (self.window.ssthresh < Window::INFINITE_SSTHRESH).then_some(self.window.ssthresh),
            srtt: sampled.then(|| self.rtt.srtt()),
            rttvar: sampled.then(|| self.rtt.mean_deviation()),
            min_rtt: self.rtt.min_rtt(),
            rto: self.rtt.rto(),
            mss: self.mss_now(0),
            in_flight: self.queue.in_flight(),
            unacked: self.queue.packets_out(),
            sacked: self.queue.sacked_out,
            lost: self.queue.lost_out,
            retrans: self.queue.retrans_out,
            not_sent: self.queue.write_end.saturating_sub(self.snd_nxt.max(1)),
            send_window: self.snd_wnd,
            receive_window: self.recv.receive_window(),
            out_of_order_bytes: self.recv.ooo_bytes,
            stats: self.stats,
        }
    }
}
