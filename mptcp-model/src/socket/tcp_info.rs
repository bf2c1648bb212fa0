//! `TCP_INFO`: the fields of `struct tcp_info` that the model knows, by their names.

use sim_core::{Duration, Instant};

use crate::congestion::CaState;
use crate::tcp::chrono::Limit;
use crate::tcp::{Flow, TcpState, XmitTimer};

/// A view of one flow as `TCP_INFO` gives it.
#[derive(Clone, Copy, Debug)]
pub struct TcpInfo<'a> {
    flow: &'a Flow,
    now: Instant,
}

/// Constants that go with the fields.
const CONSTANTS: [(&str, i64); 24] = [
    ("TCP_ESTABLISHED", 1),
    ("TCP_SYN_SENT", 2),
    ("TCP_SYN_RECV", 3),
    ("TCP_FIN_WAIT1", 4),
    ("TCP_FIN_WAIT2", 5),
    ("TCP_TIME_WAIT", 6),
    ("TCP_CLOSE", 7),
    ("TCP_CLOSE_WAIT", 8),
    ("TCP_LAST_ACK", 9),
    ("TCP_LISTEN", 10),
    ("TCP_CLOSING", 11),
    ("TCP_CA_Open", 0),
    ("TCP_CA_Disorder", 1),
    ("TCP_CA_CWR", 2),
    ("TCP_CA_Recovery", 3),
    ("TCP_CA_Loss", 4),
    ("TCPI_OPT_TIMESTAMPS", 1),
    ("TCPI_OPT_SACK", 2),
    ("TCPI_OPT_WSCALE", 4),
    ("TCPI_OPT_ECN", 8),
    ("TCPI_OPT_ECN_SEEN", 16),
    ("TCPI_OPT_SYN_DATA", 32),
    ("TCPI_OPT_TFO_CHILD", 128),
    ("TCP_INFINITE_SSTHRESH", 0x7fff_ffff),
];

impl<'a> TcpInfo<'a> {
    /// The view of `flow` at `now`.
    #[must_use]
    pub const fn new(flow: &'a Flow, now: Instant) -> Self {
        Self { flow, now }
    }

    /// The value of a constant that goes with the fields, such as `TCP_CA_Open`.
    #[must_use]
    pub fn constant(name: &str) -> Option<i64> {
        CONSTANTS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The value of a field such as `tcpi_snd_cwnd`, or of a constant such as `TCP_CA_Open`. Times are in the
    /// units of Linux: microseconds for round trips and the RTO, milliseconds for `last_...`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<i64> {
        if let Some(value) = Self::constant(name) {
            return Some(value);
        }
        let flow = self.flow;
        let stats = &flow.stats;
        let micros = |span: Duration| span.as_nanos() / 1_000;
        let millis_since = |at: Instant| self.now.saturating_since(at).as_nanos() / 1_000_000;
        // A SYN is a segment like any other to Linux.
        let syn_repeated = flow.state == TcpState::SynSent && flow.retries > 0;
        let value = match name.strip_prefix("tcpi_")? {
            "state" => state_number(flow.state),
            "ca_state" => match flow.ca_state {
                CaState::Open => 0,
                CaState::Disorder => 1,
                CaState::Cwr => 2,
                CaState::Recovery => 3,
                CaState::Loss => 4,
            },
            "retransmits" => match flow.xmit_timer {
                Some((_, XmitTimer::Persist)) => 0,
                _ => flow.retries.into(),
            },
            "backoff" => flow.rtt.backoff().into(),
            "options" | "rcv_wscale" if flow.state == TcpState::SynSent => 0,
            "options" => {
                let fast_open = &flow.fast_open;
                u64::from(flow.ts_ok)
                    | u64::from(flow.sack_ok) << 1
                    | u64::from(flow.scales) << 2
                    | u64::from(flow.ecn.ok) << 3
                    | u64::from(flow.ecn.seen) << 4
                    | u64::from(fast_open.accepted) << 5
                    | u64::from(fast_open.child) << 7
            }
            "fastopen_client_fail" => flow.fast_open.failure.into(),
            "snd_wscale" => flow.snd_wscale.into(),
            "rcv_wscale" => flow.rcv_wscale.into(),
            "rto" => in_ticks(flow.rtt.rto()),
            "ato" => in_ticks(flow.recv.ato()),
            // Nothing was announced to go by (`TCP_MIN_MSS`).
            "rcv_mss" if flow.state == TcpState::SynSent => 88,
            "rcv_mss" => flow.recv.rcv_mss().into(),
            "fackets" | "last_ack_sent" => 0,
            "pmtu" => flow.path_mtu().into(),
            "rcv_rtt" => micros(flow.recv.rtt()),
            "pacing_rate" => flow.pacing_rate,
            "busy_time" => flow.chrono.total(self.now, Limit::Busy) * 1_000,
            "rwnd_limited" => flow.chrono.total(self.now, Limit::Window) * 1_000,
            "sndbuf_limited" => flow.chrono.total(self.now, Limit::Buffer) * 1_000,
            "total_rto" | "rehash" => flow.rto_stats.total,
            "total_rto_recoveries" => flow.rto_stats.episodes,
            "total_rto_time" => flow.rto_stats.time(self.now).as_nanos() / 1_000_000,
            "snd_mss" => flow.mss_now(0).into(),
            "advmss" => flow.recv.advmss.into(),
            "unacked" => flow.queue.packets_out().into(),
            "sacked" => flow.queue.sacked_out.into(),
            "lost" => (if syn_repeated { 1 } else { flow.queue.lost_out }).into(),
            "retrans" => (if syn_repeated { 1 } else { flow.queue.retrans_out }).into(),
            "last_data_sent" => millis_since(flow.last_send),
            "last_data_recv" => millis_since(flow.recv.last_data()),
            "last_ack_recv" => millis_since(flow.last_ack_received),
            "rtt" => micros(flow.rtt.srtt()),
            "rttvar" => micros(flow.rtt.mean_deviation()),
            "min_rtt" => flow.rtt.min_rtt().map_or(u64::from(u32::MAX), micros),
            "snd_ssthresh" => flow.window.ssthresh.min(0x7fff_ffff).into(),
            "snd_cwnd" => flow.window.cwnd.into(),
            "reordering" => flow.reordering.into(),
            "reord_seen" => flow.reord_seen.into(),
            "rcv_ssthresh" => flow.recv.ssthresh,
            "rcv_space" => flow.recv.drs_space,
            "total_retrans" => stats.retransmitted,
            "bytes_acked" => flow.snd_una.saturating_sub(flow.passive.into()),
            // The FIN is an octet of the stream.
            "bytes_received" => stats.bytes_received + u64::from(flow.recv.fin_at == Some(u64::MAX)),
            "bytes_sent" => stats.bytes_sent,
            "bytes_retrans" => stats.bytes_retrans,
            "segs_out" => stats.segs_out,
            "segs_in" => stats.segs_in,
            "data_segs_in" => stats.data_segs_in,
            "data_segs_out" => stats.data_segs_out,
            "notsent_bytes" => flow.queue.write_end.saturating_sub(flow.snd_nxt.max(1)),
            "delivered" => flow.delivered,
            "delivered_ce" => flow.delivered_ce,
            "received_ce" => flow.ecn.received_ce,
            "delivery_rate" => flow.rate.as_ref()?.shown().map_or(0, |shown| {
                let octets = u128::from(shown.delivered) * u128::from(flow.mss_now(0)) * 1_000_000;
                (octets / u128::from(micros(shown.interval).max(1))) as u64
            }),
            "delivery_rate_app_limited" => {
                flow.rate.as_ref()?.shown().is_none_or(|shown| shown.app_limited).into()
            }
            "dsack_dups" => stats.dsacks,
            "rcv_ooopack" => stats.out_of_order,
            "snd_wnd" => flow.snd_wnd,
            "rcv_wnd" => flow.recv.receive_window(),
            "probes" => match flow.xmit_timer {
                Some((_, XmitTimer::Persist)) => flow.retries.into(),
                _ => flow.keepalive_probes.into(),
            },
            _ => return None,
        };
        i64::try_from(value).ok()
    }
}

/// Microseconds of a span that Linux keeps in ticks of 1 ms, which it rounds up to.
const fn in_ticks(span: Duration) -> u64 {
    span.as_nanos().div_ceil(1_000_000) * 1_000
}

const fn state_number(state: TcpState) -> u64 {
    match state {
        TcpState::Established => 1,
        TcpState::SynSent => 2,
        TcpState::SynReceived => 3,
        TcpState::FinWait1 => 4,
        TcpState::FinWait2 => 5,
        // What a descriptor still shows of TIME_WAIT.
        TcpState::TimeWait | TcpState::Closed => 7,
        TcpState::CloseWait => 8,
        TcpState::LastAck => 9,
        TcpState::Closing => 11,
    }
}
