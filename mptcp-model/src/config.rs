//! Settings of a host's TCP and MPTCP stack, named after the Linux sysctls they stand for, and the
//! profiles that choose their defaults. What `linux-upstream`, `linux-oot` and `rfc` do differently
//! stands here and nowhere else.

use sim_core::{Duration, Instant};

/// Which stack a host resembles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Linux 6.18 with the upstream MPTCP v1 implementation.
    #[default]
    LinuxUpstream,
    /// The out-of-tree MPTCP v0.96 on Linux 5.4.
    LinuxOot,
    /// The letter of RFC 9293, 6298, 5681 and 8684, where Linux departs from it.
    Rfc,
}

/// How a larger packet that passes is searched for (RFC 4821).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MtuProbing {
    /// From the beginning (`tcp_mtu_probing` 2), not only when nothing long seems to pass.
    pub always: bool,
    /// Octets of a segment to begin with, without options (`tcp_base_mss`).
    pub base_mss: u16,
    /// Octets of the least segment to fall back to (`tcp_mtu_probe_floor`).
    pub floor: u16,
    /// The search is over when fewer octets are left (`tcp_probe_threshold`).
    pub threshold: u16,
    /// When it begins anew (`tcp_probe_interval`).
    pub interval: Duration,
}

impl Default for MtuProbing {
    fn default() -> Self {
        Self { always: false, base_mss: 1024, floor: 48, threshold: 8, interval: Duration::from_secs(600) }
    }
}

/// How memory is charged for a received frame (`skb->truesize`). The share of payload in it decides how much window
/// a buffer backs, and how fast the window grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameMemory {
    /// As from a network device: rounded to cache lines.
    Network,
    /// As from a TUN device, by which packet scripts send: rounded to a power of two.
    Tun,
}

/// Settings of the TCP layer.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpConfig {
    /// Take the short way for the usual segments of a transfer. It changes no result, only what the
    /// simulation costs.
    pub header_prediction: bool,
    /// Offer and accept SACK (`tcp_sack`).
    pub sack: bool,
    /// Offer and accept timestamps (`tcp_timestamps`).
    pub timestamps: bool,
    /// Offer and accept window scaling (`tcp_window_scaling`).
    pub window_scaling: bool,
    /// Receive buffer in bytes: least, initial, most (`tcp_rmem`).
    pub rmem: [u32; 3],
    /// Largest receive buffer a socket may ask for, in bytes (`net.core.rmem_max`); bounds the window scale
    /// from below.
    pub core_rmem_max: u32,
    /// Largest receive window before data arrives, in bytes; 64 KiB before Linux 6.11.
    pub initial_window_limit: u32,
    /// Logarithm of the part of the receive buffer that is kept for overhead, 1 / 2^n (`tcp_adv_win_scale`,
    /// Linux before 6.6); `None` learns it from what arrives, as later kernels do.
    pub adv_win_scale: Option<u8>,
    /// Send buffer in bytes: least, initial, most (`tcp_wmem`).
    pub wmem: [u32; 3],
    /// Lower bound of the variance term of the RTO (`tcp_rto_min_us`; RFC 6298 asks for an RTO of 1 s).
    pub rto_min: Duration,
    /// Upper bound of the RTO.
    pub rto_max: Duration,
    /// RTO before the first sample (RFC 6298, section 2.1).
    pub rto_initial: Duration,
    /// Retransmissions of a SYN before giving up, those with linear timeouts apart (`tcp_syn_retries`).
    pub syn_retries: u8,
    /// SYN timeouts that do not back off (`tcp_syn_linear_timeouts`).
    pub syn_linear_timeouts: u8,
    /// Retransmissions of a SYN/ACK before giving up (`tcp_synack_retries`).
    pub synack_retries: u8,
    /// Retransmissions of data before giving up (`tcp_retries2`).
    pub retries: u8,
    /// Initial congestion window in segments (RFC 6928).
    pub initial_cwnd: u32,
    /// Initial slow-start threshold in segments; `None` is unbounded.
    pub initial_ssthresh: Option<u32>,
    /// Shortest delayed-ACK timeout (`TCP_DELACK_MIN`).
    pub delack_min: Duration,
    /// Longest delayed-ACK timeout (`TCP_DELACK_MAX`).
    pub delack_max: Duration,
    /// Whether a receiver tells of what came twice (`tcp_dsack`, RFC 2883).
    pub dsack: bool,
    /// Whether receive buffers grow with what arrives (`tcp_moderate_rcvbuf`).
    pub moderate_rcvbuf: bool,
    /// ECN (`tcp_ecn`, RFC 3168): 0 is off, 1 asks for it, 2 grants it to those that ask.
    pub ecn: u8,
    /// Fast Open (`tcp_fastopen`, RFC 7413).
    pub fast_open: FastOpenConfig,
    /// SYN cookies (`tcp_syncookies`, RFC 4987, section 3.6): 0 is none, 1 answers so while more requests are under
    /// way than the listener may have, 2 answers any.
    pub syn_cookies: u8,
    /// Nagle's algorithm (off with `TCP_NODELAY`).
    pub nagle: bool,
    /// Hold back what does not fill a segment, for 200 ms or one RTO at most (`TCP_CORK`).
    pub cork: bool,
    /// Largest segment to announce and to send (`TCP_MAXSEG`).
    pub user_mss: Option<u16>,
    /// How long sent data may stay without an acknowledgment before the flow is given up
    /// (`TCP_USER_TIMEOUT`, RFC 5482); zero leaves that to `retries`.
    pub user_timeout: Duration,
    /// What a received frame takes of the receive buffer.
    pub frame_memory: FrameMemory,
    /// Differentiated services codepoint of the packets of IPv4 (`IP_TOS`).
    pub dscp: u8,
    /// Time to live of the packets (`IP_TTL`).
    pub ttl: u8,
    /// Packets are not to be fragmented on the way, and errors that say so are heeded (`IP_MTU_DISCOVER`).
    pub path_mtu_discovery: bool,
    /// Searching for a larger packet that passes (`tcp_mtu_probing`, RFC 4821); `None` is off.
    pub mtu_probing: Option<MtuProbing>,
    /// Errors that a synchronised flow would only note are told to the application, once each (`IP_RECVERR`).
    pub tells_soft_errors: bool,
    /// Octets not yet sent above which no more are taken from the application (`TCP_NOTSENT_LOWAT`).
    pub not_sent_low_water: Option<u32>,
    /// Probes of an idle connection (`SO_KEEPALIVE`); `None` is off.
    pub keepalive: Option<Keepalive>,
    /// Restart from the initial window after an idle RTO (`tcp_slow_start_after_idle`).
    pub slow_start_after_idle: bool,
    /// F-RTO (`tcp_frto`, RFC 5682).
    pub frto: bool,
    /// Tail loss probe (`tcp_early_retrans`, RFC 8985).
    pub tail_loss_probe: bool,
    /// Initial degree of reordering in segments (`tcp_reordering`).
    pub reordering: u32,
    /// The reordering window stays a quarter of the least round trip (`tcp_recovery`, bit 1).
    pub static_reordering_window: bool,
    /// It stays even with `reordering` segments selectively acknowledged (`tcp_recovery`, bit 2).
    pub no_dup_thresh: bool,
    /// In recovery with less in flight than the threshold, send no more than was just delivered until a
    /// retransmission is acknowledged (Linux before 5.14; conservation as RFC 6937 has it), instead of making
    /// up for what was not sent.
    pub prr_conserves: bool,
    /// Whether the window limits the sender is what the largest flight of a window showed, and in slow start only
    /// whether that was half the window (Linux before 6.1), instead of once seen for the rest of the window.
    pub usage_by_flight: bool,
    /// Compressed ACKs of out-of-order data: most of them in a row (`tcp_comp_sack_nr`); 0 is off.
    pub comp_sack_segments: u8,
    /// Longest delay of a compressed ACK (`tcp_comp_sack_delay_ns`).
    pub comp_sack_delay: Duration,
    /// How much later than it is due a compressed ACK may leave, and does on an idle host
    /// (`tcp_comp_sack_slack_ns`, since Linux 5.8).
    pub comp_sack_slack: Duration,
    /// A compressed ACK leaves at once before a SACK block that stands behind so many others begins or grows
    /// (`TCP_SACK_BLOCKS_EXPECTED`, 2 since Linux 5.8; before, only when the list of four overflowed).
    pub comp_sack_blocks: u8,
    /// The receiver takes a smaller sample of the round-trip time for its measure at once (Linux 6.16 and later),
    /// instead of averaging.
    pub receiver_rtt_latches: bool,
    /// Time spent in TIME_WAIT (`TCP_TIMEWAIT_LEN`).
    pub time_wait: Duration,
    /// Time an orphaned flow stays in FIN_WAIT_2 (`tcp_fin_timeout`).
    pub fin_timeout: Duration,
    /// An orphaned flow whose FIN is acknowledged is reset instead of staying there (`TCP_LINGER2` below zero).
    pub no_fin_wait: bool,
    /// Connections of a listener open with their first data; until a SYN/ACK was repeated so often, their third ACKs
    /// are passed over (`TCP_DEFER_ACCEPT`). Zero is off.
    pub defer_accept: u8,
    /// Bound of the window to announce, in bytes (`TCP_WINDOW_CLAMP`).
    pub window_clamp: Option<u32>,
    /// Largest amount handed down at once, in bytes (`gso_max_size`); bounds bursts.
    pub gso_max: u32,
    /// Least number of segments in a burst (`tcp_min_tso_segs`).
    pub min_burst: u32,
    /// A burst smaller than it may be is filled with what was written later (Linux 6.9).
    pub grows_bursts: bool,
    /// A small burst waits for a larger one only if the next ACK is expected within a millisecond (Linux 6.18), not
    /// within half a round trip.
    pub defers_briefly: bool,
    /// A FIN alone leaves even if the congestion window is full (kernels before Linux 6.9).
    pub fin_is_free: bool,
    /// Tick of coarse timers (1 / HZ): they expire on a tick, and the later the coarser, as on the timer wheel
    /// of Linux. `None` makes them exact.
    pub timer_tick: Option<Duration>,
    /// Keep what `tcpi_delivery_rate` is computed from, at some cost for each segment, for flows whose congestion
    /// control does without.
    pub rate_samples: bool,
    /// Pace every flow at 2 (slow start) or 1.2 times `cwnd / srtt`, as with the `fq` queue discipline.
    pub pacing: bool,
    /// Upper bound of the congestion window in segments.
    pub cwnd_clamp: u32,
}

/// Settings of TCP Fast Open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastOpenConfig {
    /// What is allowed (`tcp_fastopen`): 1 to send data in a SYN, 2 to take it, 4 and 0x200 the same without a
    /// cookie, 0x400 to take it at listeners that did not ask for it.
    pub allowed: u32,
    /// Key of the cookies given out (`tcp_fastopen_key`).
    pub key: [u8; 16],
    /// How many connections of a listener may be open without a third ACK (`TCP_FASTOPEN`).
    pub backlog: u32,
    /// `connect` waits for the first data (`TCP_FASTOPEN_CONNECT`).
    pub on_connect: bool,
    /// No cookie is asked for (`TCP_FASTOPEN_NO_COOKIE`).
    pub without_cookie: bool,
}

impl Default for FastOpenConfig {
    fn default() -> Self {
        Self { allowed: 1, key: [0; 16], backlog: 0, on_connect: false, without_cookie: false }
    }
}

impl FastOpenConfig {
    /// Whether data may be sent in a SYN.
    #[must_use]
    pub const fn sends(&self) -> bool {
        self.allowed & 1 != 0
    }

    /// Whether data may be sent without a cookie.
    #[must_use]
    pub const fn sends_without_cookie(&self) -> bool {
        self.without_cookie || self.allowed & 4 != 0
    }

    /// Whether a listener takes part.
    #[must_use]
    pub const fn listens(&self) -> bool {
        self.allowed & 2 != 0 && (self.backlog > 0 || self.allowed & 0x400 != 0)
    }

    /// Whether data is taken from a SYN without a cookie.
    #[must_use]
    pub const fn takes_without_cookie(&self) -> bool {
        self.without_cookie || self.allowed & 0x200 != 0
    }
}

/// Probes of an idle connection (RFC 9293, section 3.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe (`TCP_KEEPIDLE`).
    pub idle: Duration,
    /// Time between probes (`TCP_KEEPINTVL`).
    pub interval: Duration,
    /// Probes without an answer before the connection is given up (`TCP_KEEPCNT`).
    pub probes: u8,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), probes: 9 }
    }
}

/// Settings of the MPTCP layer.
#[derive(Clone, Debug, PartialEq)]
pub struct MptcpConfig {
    /// Protocol version offered: 0 (RFC 6824) or 1 (RFC 8684).
    pub version: u8,
    /// DSS checksums (`net.mptcp.checksum_enabled`).
    pub checksum: bool,
    /// Allow joins to the initial address and port (`allow_join_initial_addr_port`); off sets the C flag.
    pub allow_join_initial_addr_port: bool,
    /// Interval of ADD_ADDR repetition (`add_addr_timeout`); zero disables repetition.
    pub add_addr_timeout: Duration,
    /// Repetitions of an ADD_ADDR that is not echoed.
    pub add_addr_retries: u8,
    /// SYN retransmissions that still carry MP_CAPABLE (`syn_retrans_before_tcp_fallback`).
    pub syn_retrans_before_tcp_fallback: u8,
    /// Connection-level timeouts without progress after which a subflow is stale (`stale_loss_cnt`).
    pub stale_loss_cnt: u8,
    /// How long a connection lives without subflows, and after its application closed it (`close_timeout`).
    pub close_timeout: Duration,
    /// How long active opens go without MP_CAPABLE after SYNs with it vanished and one without was answered
    /// (`blackhole_timeout`); doubles up to 64 times with each further event. Zero never does.
    pub blackhole_timeout: Duration,
    /// The habits of the out-of-tree kernel: 32-bit data sequence numbers, a mapping for each segment, a DSS
    /// besides MP_CAPABLE and addresses, DATA_FIN with FIN on one subflow, MP_FASTCLOSE on an ACK.
    pub out_of_tree: bool,
    /// The oldest segment goes out on a much faster subflow, too, when the window or the buffer blocks it
    /// (out-of-tree schedulers `minrtt`, `blest` and `ecf`).
    pub opportunistic_retransmission: bool,
    /// Slower subflows that hold the oldest segment are halved then.
    pub penalisation: bool,
}

impl TcpConfig {
    /// The defaults of a profile.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        let linux = Self {
            header_prediction: true,
            sack: true,
            timestamps: true,
            window_scaling: true,
            rmem: [4096, 131_072, 6_291_456],
            core_rmem_max: 4_194_304,
            initial_window_limit: u32::MAX,
            adv_win_scale: None,
            wmem: [4096, 16_384, 4_194_304],
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(120),
            rto_initial: Duration::from_secs(1),
            syn_retries: 6,
            syn_linear_timeouts: 4,
            synack_retries: 5,
            retries: 15,
            initial_cwnd: 10,
            initial_ssthresh: None,
            delack_min: Duration::from_millis(40),
            delack_max: Duration::from_millis(200),
            dsack: true,
            moderate_rcvbuf: true,
            ecn: 2,
            fast_open: FastOpenConfig::default(),
            syn_cookies: 1,
            nagle: true,
            cork: false,
            user_mss: None,
            user_timeout: Duration::ZERO,
            frame_memory: FrameMemory::Network,
            dscp: 0,
            ttl: 64,
            path_mtu_discovery: true,
            mtu_probing: None,
            tells_soft_errors: false,
            not_sent_low_water: None,
            keepalive: None,
            slow_start_after_idle: true,
            frto: true,
            tail_loss_probe: true,
            reordering: 3,
            static_reordering_window: false,
            no_dup_thresh: false,
            prr_conserves: false,
            usage_by_flight: false,
            comp_sack_segments: 44,
            comp_sack_delay: Duration::from_millis(1),
            comp_sack_slack: Duration::from_micros(100),
            comp_sack_blocks: 2,
            receiver_rtt_latches: true,
            time_wait: Duration::from_secs(60),
            fin_timeout: Duration::from_secs(60),
            no_fin_wait: false,
            defer_accept: 0,
            window_clamp: None,
            gso_max: 65_536,
            min_burst: 2,
            grows_bursts: true,
            defers_briefly: true,
            fin_is_free: false,
            timer_tick: Some(Duration::from_millis(4)),
            rate_samples: false,
            pacing: false,
            cwnd_clamp: u32::MAX,
        };
        match profile {
            Profile::LinuxUpstream => linux,
            // The reference captures come from a kernel with HZ=1000.
            Profile::LinuxOot => Self {
                syn_linear_timeouts: 0,
                core_rmem_max: 212_992,
                initial_window_limit: 65_535,
                adv_win_scale: Some(1),
                prr_conserves: true,
                usage_by_flight: true,
                grows_bursts: false,
                defers_briefly: false,
                fin_is_free: true,
                comp_sack_slack: Duration::ZERO,
                comp_sack_blocks: 4,
                receiver_rtt_latches: false,
                timer_tick: Some(Duration::from_millis(1)),
                ..linux
            },
            Profile::Rfc => Self {
                syn_linear_timeouts: 0,
                syn_cookies: 0,
                rto_min: Duration::from_secs(1),
                comp_sack_segments: 0,
                timer_tick: None,
                time_wait: Duration::from_secs(240),
                ..linux
            },
        }
    }
}

impl TcpConfig {
    /// What a receive buffer may grow to, in bytes.
    pub(crate) fn rcvbuf_max(&self) -> u64 {
        u64::from(self.rmem[if self.moderate_rcvbuf { 2 } else { 1 }])
    }

    /// When a timer set at `now` for `span` expires. The wheel has 63 slots of one tick, then 8 times coarser
    /// ones, and so on; a timer never expires early.
    #[must_use]
    #[inline]
    pub fn expiry(&self, now: Instant, span: Duration) -> Instant {
        /// The tick of a kernel with HZ=250, known to the compiler: divisions by it cost a multiplication.
        const USUAL: u64 = 4_000_000;
        if self.timer_tick == Some(Duration::from_nanos(USUAL)) && span.as_nanos() <= 62 * USUAL {
            // The first wheel.
            let slot = now.as_nanos() / USUAL + span.as_nanos().div_ceil(USUAL) + 1;
            return Instant::from_nanos(slot * USUAL);
        }
        self.late_expiry(now, span)
    }

    #[inline(never)]
    fn late_expiry(&self, now: Instant, span: Duration) -> Instant {
        let Some(tick) = self.timer_tick.map(|tick| tick.as_nanos().max(1)) else { return now + span };
        let base = now.as_nanos() / tick;
        let ticks = span.as_nanos().div_ceil(tick);
        let mut shift = 0;
        while shift < 24 && ticks >= 63 << shift {
            shift += 3;
        }
        let slot = ((base.saturating_add(ticks) >> shift) + 1) << shift;
        Instant::from_nanos(slot.saturating_mul(tick))
    }
}

impl MptcpConfig {
    /// The defaults of a profile.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        let upstream = Self {
            version: 1,
            checksum: false,
            allow_join_initial_addr_port: true,
            add_addr_timeout: Duration::from_secs(120),
            add_addr_retries: 3,
            syn_retrans_before_tcp_fallback: 2,
            stale_loss_cnt: 4,
            close_timeout: Duration::from_secs(60),
            blackhole_timeout: Duration::from_secs(3600),
            out_of_tree: false,
            opportunistic_retransmission: false,
            penalisation: false,
        };
        match profile {
            Profile::LinuxUpstream | Profile::Rfc => upstream,
            Profile::LinuxOot => Self {
                version: 0,
                checksum: true,
                add_addr_timeout: Duration::ZERO,
                blackhole_timeout: Duration::ZERO,
                out_of_tree: true,
                opportunistic_retransmission: true,
                penalisation: true,
                syn_retrans_before_tcp_fallback: 3,
                ..upstream
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_expire_on_ever_coarser_ticks() {
        // A SYN is repeated 1.03 s after the first one in the reference captures.
        let config = TcpConfig::new(Profile::LinuxUpstream);
        let at = |now: u64, span: u64| {
            config.expiry(Instant::from_nanos(now * 1_000_000), Duration::from_millis(span)).as_nanos()
                / 1_000_000
        };
        assert_eq!(at(0, 40), 44);
        assert_eq!(at(2, 40), 44);
        assert_eq!(at(0, 200), 204);
        assert_eq!(at(40, 1_000), 1_056);
        assert_eq!(at(0, 3_000), 3_072);
        let exact = TcpConfig { timer_tick: None, ..config };
        assert_eq!(exact.expiry(Instant::from_nanos(7), Duration::from_nanos(5)), Instant::from_nanos(12));
    }
}
