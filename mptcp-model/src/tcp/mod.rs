//! One TCP flow (RFC 9293) as Linux runs it: SACK scoreboard, RACK-TLP (RFC 8985), PRR (RFC 6937),
//! RTO (RFC 6298) with F-RTO (RFC 5682), limited by send and receive buffers that tune themselves.
//!
//! A flow is a plain state machine. It decides *what* to send as a [`Plan`]; whoever owns it (a socket,
//! or an MPTCP connection) writes the options and the header. Streams are counted with 64-bit offsets:
//! 0 is the SYN, 1 the first octet of data, as the relative sequence numbers of MPTCP mappings are.
//!
//! Left out: Accurate ECN.

mod burst;
pub(crate) mod chrono;
mod collapse;
mod due;
mod ecn;
pub(crate) mod fast_open;
mod info;
pub(crate) mod input;
mod keepalive;
mod limits;
mod mtu_probe;
mod output;
mod path_mtu;
mod predicted;
mod rack;
pub(crate) mod rate;
mod receive;
mod recovery;
mod rto_stats;
pub mod rtt;
mod scoreboard;
pub(crate) mod sendq;
mod timers;
mod undo;
pub(crate) mod urgent;
mod usage;
pub(crate) mod watch;
mod write;

use std::net::SocketAddr;

use sim_core::{Duration, Instant};

pub(crate) use self::due::OutputDue;
pub use self::info::FlowInfo;
use self::rate::RateSampler;
pub use self::receive::{Arrival, ReceiveSpace};
pub(crate) use self::receive::{Receiver, TailRoom, fixed_ratio_buffer, truesize_of as receive_truesize_of};
use self::rtt::RttEstimator;
pub use self::sendq::Mapping;
use self::sendq::SendQueue;
use crate::config::TcpConfig;
use crate::congestion::{CaState, CongestionControl, PathView, Window};
use crate::path_manager::CloseReason;
use crate::wire::{Seq, TcpFlags};

/// State of a flow (RFC 9293, section 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    /// SYN sent.
    SynSent,
    /// SYN received, SYN/ACK sent.
    SynReceived,
    /// Open.
    Established,
    /// FIN sent.
    FinWait1,
    /// FIN acknowledged.
    FinWait2,
    /// FIN received.
    CloseWait,
    /// FINs crossed.
    Closing,
    /// FIN received, then sent.
    LastAck,
    /// Both FINs exchanged; waiting for stragglers.
    TimeWait,
    /// Nothing left.
    Closed,
}

/// What a flow wants sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanKind {
    /// SYN of the active side.
    Syn,
    /// SYN/ACK of the passive side.
    SynAck,
    /// Data, or a FIN with or without data.
    Data,
    /// A segment without data.
    Ack,
    /// A zero-window probe: one octet before the window, without data.
    Probe,
    /// A reset.
    Reset,
}

/// One segment to be sent, without options.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What it is.
    pub kind: PlanKind,
    /// Stream offset of the sequence number.
    pub start: u64,
    /// Octets of payload.
    pub len: u32,
    /// Mapping of the payload; `len` 0 without one.
    pub map: Mapping,
    /// Flags.
    pub flags: TcpFlags,
    /// Stream offset of the first segment of the burst this one is handed down in: the segments of a
    /// burst carry the same options (WIRE-40).
    pub burst_start: u64,
    /// A retransmission.
    pub retransmission: bool,
}

impl Plan {
    /// A place for one.
    pub(crate) const NONE: Self = Self {
        kind: PlanKind::Ack,
        start: 0,
        len: 0,
        map: Mapping { data: 0, start: 0, len: 0, sum: 0 },
        flags: TcpFlags(0),
        burst_start: 0,
        retransmission: false,
    };
}

/// What asking for the next segment gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    /// Nothing.
    Nothing,
    /// The segments of a burst, which [`Flow::next_of_burst`] gives; there may be more.
    Burst,
    /// A segment; there may be more.
    Segment,
    /// A segment that no other follows.
    Last,
}

/// Timers that share one slot, as in Linux (`icsk_pending`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XmitTimer {
    Retransmit,
    LossProbe,
    Reorder,
    Persist,
}

/// What an acknowledgment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repair {
    /// What is lost.
    Lost,
    /// New data, by which F-RTO finds out whether anything is.
    NewData,
}

/// On whose behalf new data leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    /// As much as may, but a small burst may wait for a larger one.
    Pending,
    /// The same, and no small segment waits for an earlier one (Nagle).
    Forced,
    /// One burst, while a write goes on.
    Burst,
    /// One segment, whatever the windows.
    Probe,
}

/// RACK state (RFC 8985).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rack {
    /// The transmission that was delivered last, of those sent last.
    pub(crate) xmit_time: Instant,
    pub(crate) order: u32,
    pub(crate) rtt: Duration,
    pub(crate) advanced: bool,
    pub(crate) reo_wnd_steps: u32,
    pub(crate) reo_wnd_persist: u32,
    pub(crate) last_delivered: u64,
    /// A DSACK came that the reordering window does not know of yet.
    pub(crate) dsack_seen: bool,
}

/// Counters of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Segments received.
    pub segs_in: u64,
    /// Segments sent.
    pub segs_out: u64,
    /// Segments with data received.
    pub data_segs_in: u64,
    /// Octets of payload received in order.
    pub bytes_received: u64,
    /// Segments with data sent.
    pub data_segs_out: u64,
    /// Octets of payload sent, retransmissions included.
    pub bytes_sent: u64,
    /// Octets acknowledged by the peer.
    pub bytes_acked: u64,
    /// Octets of payload retransmitted.
    pub bytes_retrans: u64,
    /// Segments retransmitted.
    pub retransmitted: u64,
    /// Segments that arrived out of order.
    pub out_of_order: u64,
    /// Duplicate SACKs received.
    pub dsacks: u64,
    /// Retransmission timeouts.
    pub timeouts: u64,
    /// Fast recovery episodes.
    pub recoveries: u64,
    /// Tail loss probes sent.
    pub loss_probes: u64,
    /// Reductions undone because they were spurious.
    pub undone: u64,
}

/// Identity and initial values of a flow.
#[derive(Clone, Copy, Debug)]
pub struct FlowParams {
    /// Local address and port.
    pub local: SocketAddr,
    /// Remote address and port.
    pub remote: SocketAddr,
    /// Initial send sequence number.
    pub iss: Seq,
    /// Offset of the timestamp clock.
    pub ts_offset: u32,
    /// MSS to announce: MTU minus 40 (IPv4) or 60 (IPv6).
    pub mss: u16,
}

/// Options of the peer's SYN.
#[derive(Clone, Copy, Debug, Default)]
pub struct SynOptions {
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Window scale.
    pub window_scale: Option<u8>,
    /// SACK permitted.
    pub sack: bool,
    /// Timestamp value.
    pub timestamp: Option<u32>,
}

/// A TCP flow.
#[derive(Debug)]
#[repr(C)]
pub struct Flow {
    // Both ways, then what is received, then what is sent: each packet touches few cache lines.
    pub(crate) state: TcpState,
    pub(crate) ts_ok: bool,
    pub(crate) sack_ok: bool,
    /// Both ends scale, be it by nothing.
    pub(crate) scales: bool,
    pub(crate) snd_wscale: u8,
    pub(crate) rcv_wscale: u8,
    pub(crate) retries: u8,
    /// Keepalive probes without an answer.
    pub(crate) keepalive_probes: u8,
    /// Opened by the peer.
    pub(crate) passive: bool,
    /// The application closed a socket of TCP.
    pub(crate) orphaned: bool,
    /// The third ACK came, and data is waited for (`TCP_DEFER_ACCEPT`).
    pub(crate) deferred: bool,
    /// The owner decides when a small segment waits, and an idle flow keeps its window (subflows of the
    /// out-of-tree kernel).
    pub(crate) subordinate: bool,
    pub(crate) due: OutputDue,
    /// A bare ACK follows the FIN, as upstream Linux sends it on an active close.
    pub(crate) ack_after_fin: bool,
    /// One more ACK follows the one that is due.
    pub(crate) ack_besides: bool,
    /// The reset answers an acknowledgment and carries none.
    pub(crate) reset_bare: bool,
    /// What is queued leaves even if it fills no segment (`TCP_NAGLE_PUSH`).
    pub(crate) push_small: bool,
    pub(crate) fin_wanted: bool,
    pub(crate) fin_sent: bool,
    /// The owner waits for room in the send buffer.
    pub(crate) wants_space: bool,
    /// `snd_wnd` is not what the peer said last on this flow, but what it granted the connection.
    pub(crate) wnd_shared: bool,
    pub(crate) sndbuf_grew: bool,
    /// Chunks of data without mappings stay apart as well: MPTCP handed them down.
    pub(crate) chunks_apart: bool,
    /// The send window held data back when it was tried last.
    window_limited: bool,
    pub(crate) frto: bool,
    pub(crate) ca_state: CaState,
    /// Which segment leaves whatever the window, where one is due.
    pub(crate) forced: Forced,
    /// What repairs, where that is due.
    repair: Repair,
    pub(crate) is_cwnd_limited: bool,
    /// Data was written: was the flow idle before?
    idle_check_due: bool,
    pub(crate) burst_push: bool,
    paced: bool,
    /// The algorithm controls by the rate of delivery.
    by_rate: bool,
    /// The peer's FIN came while ours waited for its turn.
    fins_cross: bool,
    pub(crate) tlp_retrans: bool,
    pub(crate) peer_mss: u16,
    /// What both ends take: segments with their options are no larger.
    pub(crate) segment_mss: u16,
    /// Payload of a segment without options but timestamps; see [`settle_options`](Self::settle_options).
    full_mss: u32,
    /// Segment size that the path lets through, as far as known (RFC 1191).
    pub(crate) path_mss: u16,
    /// That of the first link.
    link_mss: u16,
    pub(crate) config: std::sync::Arc<TcpConfig>,
    pub(crate) snd_una: u64,
    pub(crate) snd_nxt: u64,
    /// Send window in bytes, scaled.
    pub(crate) snd_wnd: u64,
    /// Offset of the segment that last updated the window.
    pub(crate) snd_wl1: u64,
    pub(crate) xmit_timer: Option<(Instant, XmitTimer)>,
    pub(crate) state_timer: Option<Instant>,
    /// Pacing allows the next burst then.
    pub(crate) pace_until: Instant,
    /// When to send what pacing held back.
    pub(crate) pace_timer: Instant,
    pub(crate) last_ack_received: Instant,
    /// Increases with each packet received (`rcv_tstamp` in ticks would be too coarse).
    pub(crate) received_at: Instant,
    pub(crate) ecn: ecn::EcnState,
    pub(crate) stats: FlowStats,
    pub(crate) chrono: chrono::Chrono,
    pub(crate) params: FlowParams,
    pub(crate) recv: Receiver,
    pub(crate) rtt: RttEstimator,
    pub(crate) queue: SendQueue,
    pub(crate) cc: Box<dyn CongestionControl>,
    pub(crate) window: Window,
    pub(crate) max_window: u64,
    pub(crate) pacing_rate: u64,
    /// Nothing was received that was sent after this (`lsndtime`).
    pub(crate) last_send: Instant,
    pub(crate) burst_start: u64,
    pub(crate) burst_end: u64,
    pub(crate) sndbuf: u64,
    /// What the size goal was computed from last, MSS and largest window, and the goal.
    goal: ((u32, u64), u32),
    /// For an algorithm that goes by it, or for `TCP_INFO`.
    pub(crate) rate: Option<Box<RateSampler>>,
    /// What the application wants to know of its data.
    pub(crate) watch: Option<Box<watch::Watch>>,
    /// The search for a larger packet.
    mtu_probe: Option<Box<mtu_probe::MtuProbe>>,
    /// When a segment sent last armed the loss probe, and for when.
    pub(crate) probe_armed: (Instant, Instant),
    /// Bursts of new data that the last ACK let go.
    bursts: u32,
    pub(crate) max_packets_out: u32,
    pub(crate) cwnd_used: u32,
    pub(crate) reordering: u32,
    pub(crate) cwnd_usage_seq: u64,
    pub(crate) cwnd_stamp: Instant,
    pub(crate) delivered: u64,
    /// Bytes acknowledged since the last loss and between the last two (for OLIA).
    pub(crate) acked_since_loss: u64,
    pub(crate) tlp_high_seq: u64,
    pub(crate) rack: Rack,

    // What only some packets touch.
    /// Why the flow ended, once it is `Closed`.
    pub(crate) closed_by: Option<CloseReason>,
    /// Error noted by ICMP while opening.
    pub(crate) soft_error: Option<CloseReason>,
    /// End of the last segment sent that was smaller than the MSS (Minshall).
    pub(crate) snd_sml: u64,
    pub(crate) prior_cwnd: u32,
    pub(crate) prior_ssthresh: u32,
    pub(crate) prr_delivered: u32,
    pub(crate) prr_out: u32,
    pub(crate) high_seq: u64,
    pub(crate) undo_marker: u64,
    /// Retransmissions of this episode not yet proven needless; -1 is none outstanding.
    pub(crate) undo_retrans: i32,
    pub(crate) retrans_stamp: Option<Instant>,
    /// How often reordering was seen.
    pub(crate) reord_seen: u32,
    /// Segments left of a burst of retransmissions.
    rexmit_left: u32,
    /// Of `delivered`, by acknowledgments that echoed congestion.
    pub(crate) delivered_ce: u64,
    pub(crate) acked_between_losses: u64,
    /// When the retransmission timer expired first since the last progress.
    pub(crate) first_timeout: Option<Instant>,
    /// Data that the window holds back, and when that was first noticed by the persist timer.
    pub(crate) held_since: Option<(u64, Instant)>,
    /// When a segment that could not be accepted was answered.
    invalid_answered: Option<Instant>,
    pub(crate) rto_stats: rto_stats::RtoStats,
    pub(crate) fast_open: fast_open::FastOpen,
    pub(crate) reset_seq: u64,
}

/// A segment that leaves whatever the window says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forced {
    /// The first unacknowledged segment, after a timeout.
    Head,
    /// The last segment sent, as a tail loss probe.
    Tail,
    /// New data, as a tail loss probe.
    New,
    /// A zero-window probe.
    Probe,
}

impl Flow {
    fn new(
        config: std::sync::Arc<TcpConfig>,
        params: FlowParams,
        state: TcpState,
        cc: Box<dyn CongestionControl>,
        now: Instant,
    ) -> Self {
        let link_mss = params.mss;
        let mss = config.user_mss.map_or(params.mss, |most| most.min(params.mss));
        let params = FlowParams { mss, ..params };
        let peer_mss = config.user_mss.unwrap_or(536);
        let rtt = RttEstimator::new(config.rto_initial, config.rto_min, config.rto_max);
        let window = Window {
            cwnd: config.initial_cwnd.min(config.cwnd_clamp),
            cwnd_cnt: 0,
            ssthresh: config.initial_ssthresh.unwrap_or(Window::INFINITE_SSTHRESH),
            clamp: config.cwnd_clamp,
        };
        let recv = Receiver::new(&config, params.mss);
        let reordering = config.reordering;
        let controls = cc.controls();
        let ecn = ecn::EcnState::new(&*cc);
        // With samples of the rate, or a search for a larger packet, every acknowledgment takes the long way.
        let samples = controls || config.rate_samples || config.mtu_probing.is_some();
        let mut flow = Self {
            peer_mss: 0,
            segment_mss: 0,
            full_mss: 0,
            path_mss: u16::MAX,
            link_mss,
            sack_ok: config.sack,
            ts_ok: config.timestamps,
            snd_wscale: 0,
            rcv_wscale: recv.wanted_scale(&config),
            scales: config.window_scaling,
            queue: SendQueue { write_end: 1, ..SendQueue::default() },
            snd_una: 0,
            snd_nxt: 0,
            snd_wnd: 0,
            wnd_shared: false,
            max_window: 0,
            snd_wl1: 0,
            snd_sml: 0,
            fin_wanted: false,
            fin_sent: false,
            chunks_apart: false,
            fins_cross: false,
            last_send: now,
            burst_start: 0,
            burst_end: 0,
            burst_push: false,
            sndbuf: u64::from(config.wmem[1]),
            goal: ((0, 0), 0),
            subordinate: false,
            wants_space: false,
            push_small: false,
            window_limited: false,
            bursts: 0,
            sndbuf_grew: false,
            cc,
            window,
            ca_state: CaState::Open,
            prior_cwnd: 0,
            prior_ssthresh: 0,
            prr_delivered: 0,
            prr_out: 0,
            high_seq: 0,
            undo_marker: 0,
            undo_retrans: -1,
            retrans_stamp: None,
            frto: false,
            reordering,
            reord_seen: 0,
            rack: Rack { reo_wnd_steps: 1, ..Rack::default() },
            tlp_high_seq: 0,
            tlp_retrans: false,
            rexmit_left: 0,
            forced: Forced::Head,
            repair: Repair::Lost,
            idle_check_due: false,
            is_cwnd_limited: false,
            max_packets_out: 0,
            cwnd_usage_seq: 0,
            cwnd_used: 0,
            cwnd_stamp: now,
            delivered: 0,
            delivered_ce: 0,
            acked_since_loss: 0,
            acked_between_losses: 0,
            pacing_rate: u64::MAX,
            pace_until: Instant::ZERO,
            pace_timer: Instant::FAR_FUTURE,
            paced: config.pacing || controls,
            by_rate: controls,
            rate: samples.then(Box::default),
            rtt,
            recv,
            xmit_timer: None,
            probe_armed: (Instant::FAR_FUTURE, Instant::FAR_FUTURE),
            state_timer: None,
            first_timeout: None,
            held_since: None,
            keepalive_probes: 0,
            retries: 0,
            last_ack_received: now,
            invalid_answered: None,
            passive: state == TcpState::SynReceived,
            orphaned: false,
            deferred: false,
            received_at: now,
            ecn,
            chrono: chrono::Chrono::default(),
            rto_stats: rto_stats::RtoStats::default(),
            fast_open: fast_open::FastOpen::default(),
            watch: None,
            mtu_probe: config.mtu_probing.map(|settings| Box::new(mtu_probe::MtuProbe::new(settings, now))),
            due: OutputDue::HANDSHAKE,
            ack_after_fin: false,
            ack_besides: false,
            reset_seq: 0,
            reset_bare: false,
            stats: FlowStats::default(),
            closed_by: None,
            soft_error: None,
            config,
            params,
            state,
        };
        flow.set_peer_mss(peer_mss);
        flow
    }

    /// An active open: a SYN is due.
    #[must_use]
    pub fn connect(
        config: std::sync::Arc<TcpConfig>,
        params: FlowParams,
        cc: Box<dyn CongestionControl>,
        now: Instant,
    ) -> Self {
        Self::new(config, params, TcpState::SynSent, cc, now)
    }

    /// A passive open: a SYN with `options`, sequence number `irs` and window `window` arrived; a SYN/ACK
    /// is due.
    #[must_use]
    pub fn accept(
        config: std::sync::Arc<TcpConfig>,
        params: FlowParams,
        cc: Box<dyn CongestionControl>,
        now: Instant,
        irs: Seq,
        window: u16,
        options: SynOptions,
    ) -> Self {
        let mut flow = Self::new(config, params, TcpState::SynReceived, cc, now);
        flow.take_syn(irs, window, options, true);
        flow.stats.segs_in = 1;
        flow
    }

    /// State.
    #[must_use]
    pub const fn state(&self) -> TcpState {
        self.state
    }

    /// Local address and port.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.params.local
    }

    /// Remote address and port.
    #[must_use]
    pub const fn remote(&self) -> SocketAddr {
        self.params.remote
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> &FlowStats {
        &self.stats
    }

    /// Whether data may be sent (`tcp_can_send`).
    #[must_use]
    pub const fn can_send(&self) -> bool {
        (matches!(self.state, TcpState::Established | TcpState::CloseWait)
            || (self.fast_open.child && matches!(self.state, TcpState::SynReceived)))
            && !self.fin_wanted
    }

    /// Whether both queues are empty (`tcp_rtx_and_write_queues_empty`).
    #[must_use]
    pub fn queues_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the three-way handshake is complete.
    #[must_use]
    pub const fn is_synchronized(&self) -> bool {
        !matches!(self.state, TcpState::SynSent | TcpState::SynReceived | TcpState::Closed)
    }

    /// Bytes the send buffer is charged with (`sk_wmem_queued`).
    #[must_use]
    pub fn send_memory(&self) -> u64 {
        self.queue.memory(self.snd_una)
    }

    /// Octets accepted and not yet sent.
    pub(crate) const fn not_sent(&self) -> u64 {
        let sent = if self.snd_nxt > 1 { self.snd_nxt } else { 1 };
        self.queue.write_end.saturating_sub(sent)
    }

    /// Whether so much is not yet sent that no more is taken (`TCP_NOTSENT_LOWAT`).
    pub(crate) fn holds_back(&self) -> bool {
        self.config.not_sent_low_water.is_some_and(|low| self.not_sent() >= u64::from(low))
    }

    /// Whether the send buffer has room (`sk_stream_memory_free`).
    #[must_use]
    pub fn has_send_memory(&self) -> bool {
        self.send_memory() < self.sndbuf
    }

    /// Segments of `mss` octets that what was accepted and not yet sent will take.
    #[inline]
    pub(crate) fn unsent_segments(&self, mss: u32) -> u32 {
        /// Apart, for a division is dear, and a compiler that sees it makes it in advance.
        #[cold]
        fn several(unsent: u64, mss: u32) -> u32 {
            unsent.div_ceil(u64::from(mss)) as u32
        }
        let unsent = self.queue.write_end.saturating_sub(self.snd_nxt);
        let (mut count, mut octets) = (0, 0);
        while octets < unsent {
            if count == 8 {
                return several(unsent, mss);
            }
            count += 1;
            octets += u64::from(mss);
        }
        count
    }

    /// The peer takes segments of `mss` octets, as far as known.
    pub(crate) fn set_peer_mss(&mut self, mss: u16) {
        self.peer_mss = mss;
        self.segment_mss = mss.min(self.params.mss);
        self.settle_options();
    }

    /// Works out the payload of a full segment, once it is known how large segments are and whether they have timestamps.
    pub(crate) fn settle_options(&mut self) {
        /// `tcp_min_snd_mss`
        const LEAST: u16 = 48;
        self.full_mss = u32::from(self.segment_mss.max(LEAST) - self.timestamp_octets());
    }

    /// Octets that timestamps take of each segment, padded.
    pub(crate) const fn timestamp_octets(&self) -> u16 {
        if self.ts_ok { 12 } else { 0 }
    }

    /// Maximum payload of a segment without options but timestamps.
    pub(crate) fn mss_cache(&self) -> u32 {
        u32::from(self.segment_mss.saturating_sub(self.timestamp_octets()))
    }

    /// Maximum payload of a segment that carries `option_octets` besides the timestamps.
    #[must_use]
    #[inline]
    pub fn mss_now(&self, option_octets: u32) -> u32 {
        let mut options = option_octets;
        if self.sack_ok && self.recv.has_sacks() {
            options += self.sack_octets(options);
        }
        self.full_mss.saturating_sub(options).max(8)
    }

    /// Octets of the SACK option in a segment with `others` octets of options besides the timestamps
    /// (`tcp_established_options`).
    #[cold]
    fn sack_octets(&self, others: u32) -> u32 {
        /// Two NOPs, kind and length.
        const BASE: u32 = 4;
        let taken = others + u32::from(self.timestamp_octets());
        let room = 40_u32.saturating_sub(taken + BASE) / 8;
        match self.recv.sack_blocks(room.min(4) as usize).len() {
            0 => 0,
            blocks => BASE + 8 * blocks as u32,
        }
    }

    /// Largest amount worth collecting in one chunk (`size_goal`): whole segments, within the offload limit
    /// and half the largest window seen.
    pub(crate) fn size_goal(&mut self, mss: u32) -> u32 {
        // Asked for every segment, and a division is dear.
        let from = (mss, self.max_window);
        if self.goal.0 != from {
            self.goal = (from, self.compute_size_goal(mss));
        }
        self.goal.1
    }

    fn compute_size_goal(&self, mss: u32) -> u32 {
        const MAX_TCP_HEADER: u32 = 320;
        let limit = u64::from(self.config.gso_max.saturating_sub(MAX_TCP_HEADER));
        let half = if self.max_window > 536 { self.max_window >> 1 } else { self.max_window };
        let limit = if half > 0 { limit.min(half.max(68)) } else { limit } as u32;
        (limit / mss * mss).max(mss)
    }

    /// What a coupled algorithm may know of this flow.
    #[must_use]
    pub fn path_view(&self, id: u32) -> PathView {
        let mut view = PathView::default();
        self.write_path_view(&mut view, id);
        view
    }

    /// Writes the same over a view where it is: a copy would wait for each field to be stored.
    #[inline(always)]
    pub(crate) fn write_path_view(&self, view: &mut PathView, id: u32) {
        view.id = id;
        view.srtt = self.rtt.srtt();
        view.min_rtt = self.rtt.min_rtt().unwrap_or(Duration::ZERO);
        self.write_window_view(view);
        view.acked_since_loss = self.acked_since_loss;
        view.acked_between_losses = self.acked_between_losses;
    }

    /// What of it may have changed since the last acknowledgment or timeout: sending after a pause changes the window.
    #[inline(always)]
    pub(crate) fn write_window_view(&self, view: &mut PathView) {
        view.cwnd = self.window.cwnd;
        view.ssthresh = self.window.ssthresh;
        view.mss = u32::from(self.segment_mss);
        view.state = self.ca_state;
    }

    /// Wire form of a send offset.
    #[must_use]
    pub const fn snd_seq(&self, offset: u64) -> Seq {
        Seq::from_offset(self.params.iss, offset)
    }

    /// The settings it runs with.
    #[must_use]
    pub fn settings(&self) -> &TcpConfig {
        &self.config
    }

    /// End the flow: no timer, no data.
    pub(crate) fn finish(&mut self, reason: CloseReason) {
        self.state = TcpState::Closed;
        self.closed_by.get_or_insert(reason);
        self.xmit_timer = None;
        self.state_timer = None;
        self.recv.cancel_timers();
        self.due.end();
        self.queue = SendQueue::default();
        if let Some(watch) = &mut self.watch {
            watch.flow_ended();
        }
        self.rtt.reset_backoff();
    }
}
