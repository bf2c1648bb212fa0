//! Segment arrival (RFC 9293, section 3.10.7): the handshake, acceptability, PAWS, RST and SYN checks
//! (RFC 5961), FIN and the closing states. Acknowledgments go on to `recovery`, data to `receive`.

use sim_core::{Duration, Instant};

use super::receive::{Arrival, ReceiveSpace};
use super::{Flow, OutputDue, SynOptions, TcpState, XmitTimer};
use crate::congestion::{CaState, PathView};
use crate::path_manager::CloseReason;
use crate::wire::DssMapping;
use crate::wire::options::ParsedOptions;
use crate::wire::{Seq, TcpSegment};

/// What a segment did, for the owner of the flow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// The segment belongs to the flow: its options may be believed.
    pub acceptable: bool,
    /// The handshake completed with this segment.
    pub established: bool,
    /// The peer's FIN is in order: no more data will come.
    pub fin: bool,
    /// The flow was reset.
    pub reset: bool,
    /// New data of this side was acknowledged.
    pub acked: bool,
}

/// Context of a segment that the flow cannot know by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    /// Arrival.
    pub now: Instant,
    /// This flow's index in `paths`.
    pub me: usize,
    /// All flows of the connection, for coupled congestion control.
    pub paths: &'a [PathView],
    /// Space of the buffer the data goes to.
    pub space: ReceiveSpace,
    /// Mapping announced by the segment.
    pub map: Option<DssMapping>,
}

impl Flow {
    /// The millisecond clock of timestamps.
    pub(crate) fn ts_clock(&self, now: Instant) -> u32 {
        (now.as_nanos() / 1_000_000) as u32
    }

    /// A round-trip sample out of an echoed timestamp.
    pub(crate) fn ts_sample(&self, now: Instant, ecr: u32) -> Option<Duration> {
        let delta = self.ts_clock(now).wrapping_sub(ecr.wrapping_sub(self.params.ts_offset));
        (delta < u32::MAX / 2).then(|| Duration::from_millis(u64::from(delta.max(1))))
    }

    pub(crate) fn take_syn(&mut self, irs: Seq, window: u16, options: SynOptions, passive: bool) {
        let recv = &mut self.recv;
        recv.irs = irs;
        recv.rcv_nxt = 1;
        recv.rcv_wup = 1;
        // A size of nothing says nothing.
        self.set_peer_mss(options.mss.filter(|mss| *mss > 0).unwrap_or(536).min(self.path_mss));
        let space = self.recv.window_clamp;
        if self.mtu_probe.is_some() && !passive {
            self.begin_mtu_search();
            self.sync_mss();
        }
        self.sack_ok &= options.sack;
        self.ts_ok &= options.timestamp.is_some();
        self.settle_options();
        let recv = &mut self.recv;
        recv.ts_recent = options.timestamp.unwrap_or(0);
        match options.window_scale.filter(|_| self.config.window_scaling) {
            Some(scale) => self.snd_wscale = scale.min(14),
            None => {
                self.snd_wscale = 0;
                self.rcv_wscale = 0;
                self.scales = false;
                recv.window_clamp = recv.window_clamp.min(65_535);
            }
        }
        // The window of a SYN is never scaled (RFC 7323, section 2.2).
        self.snd_wnd = u64::from(window);
        self.max_window = self.snd_wnd;
        self.snd_wl1 = 0;
        if passive {
            // The SYN/ACK offers whole segments of the size announced here, whatever that of the peer. What it
            // can say without scale limits the bound of the window, not the window (TCP-04,
            // `tcp_select_initial_window`).
            let mss = u64::from(self.params.mss.saturating_sub(self.timestamp_octets()).max(1));
            let initial = space.min(u64::from(self.config.initial_window_limit));
            let recv = &mut self.recv;
            recv.rcv_wnd = initial / mss * mss;
            recv.ssthresh = recv.rcv_wnd.min(recv.window_clamp);
        }
    }

    fn establish(&mut self, now: Instant, options: &ParsedOptions) {
        self.state = TcpState::Established;
        if self.passive {
            // The timeouts were those of the request.
            self.rtt.forget_backoff();
        }
        self.judge_handshake(options);
        if self.mtu_probe.is_some() {
            self.begin_mtu_search();
        }
        // The SYN or SYN/ACK.
        self.delivered += 1;
        self.rto_stats.repaired(now);
        self.retries = 0;
        self.sndbuf = self.sndbuf.max(self.wanted_sndbuf()).min(self.sndbuf_max());
        self.recv.guess_mss(self.mss_now(0));
        let advertised = u32::from(self.params.mss.saturating_sub(self.timestamp_octets()));
        let first = if self.recv.fixed_ratio { self.mss_now(0) } else { advertised };
        self.recv.start_right_sizing(now, (10 * u64::from(first)).min(self.recv.ssthresh));
        if self.recv.fixed_ratio {
            self.recv.settle(advertised);
        } else {
            self.recv.advmss = advertised;
            self.recv.reserve_segment();
        }
        let view = self.path_view(0);
        let path = PathView { mss: self.mss_now(0), ..view };
        self.cc.on_established(now, &mut self.window, &path);
        self.last_send = now;
        self.recv.last_data = now;
        self.cwnd_stamp = now;
        self.start_keepalive(now);
        self.update_pacing_rate();
    }

    /// What a handshake that had to be repeated means for the start (RFC 6298, section 5.7; `tcp_init_transfer`): a
    /// longer timeout if it gave no sample, and a window of one segment if it was repeated twice and no timestamp
    /// says that the first try arrived.
    fn judge_handshake(&mut self, options: &ParsedOptions) {
        let echo = options.timestamps.filter(|_| self.ts_ok).map(|(_, ecr)| ecr);
        let spurious = self.retrans_stamp.take().zip(echo).is_some_and(|(stamp, echo)| {
            let echo = echo.wrapping_sub(self.params.ts_offset);
            echo.wrapping_sub(self.ts_clock(stamp)).cast_signed() < 0
        });
        if self.rtt.srtt().is_zero() && !self.fast_open.child {
            self.rtt.set_rto(self.config.rto_initial * 3);
        }
        if self.stats.retransmitted > 1 && !spurious {
            self.window.cwnd = 1;
        }
    }

    /// A segment arrived: all but its data and FIN, which [`take_data`](Self::take_data) takes if it is acceptable.
    pub(crate) fn handle_segment(
        &mut self,
        around: &Surroundings<'_>,
        segment: &TcpSegment,
        options: &ParsedOptions,
    ) -> Outcome {
        self.stats.segs_in += 1;
        let outcome = match self.state {
            TcpState::Closed => Outcome::default(),
            TcpState::SynSent => self.handle_in_syn_sent(around.now, segment, options),
            _ => self.handle_synchronized(around, segment, options),
        };
        if outcome.acceptable {
            self.due.add(OutputDue::PUSH);
        }
        outcome
    }

    fn handle_in_syn_sent(&mut self, now: Instant, segment: &TcpSegment, options: &ParsedOptions) -> Outcome {
        let flags = segment.flags;
        if flags.ack() {
            let ack = segment.ack.to_offset(self.params.iss, self.snd_nxt);
            if ack < 1 || ack > self.snd_nxt as i64 || self.snd_nxt == 0 {
                if !flags.rst() {
                    self.answer_with_reset(ack.max(0) as u64);
                }
                if self.retries == 0 && self.xmit_timer.is_some() {
                    // The reset, be it the peer's, clears the way for the SYN, which goes again at once.
                    let soon = self.config.timer_tick.unwrap_or(Duration::from_millis(1)) * 2;
                    self.xmit_timer = Some((self.config.expiry(now, soon), XmitTimer::Retransmit));
                }
                return Outcome::default();
            }
        }
        if flags.rst() {
            if flags.ack() {
                self.finish(CloseReason::Refused);
                return Outcome { reset: true, acceptable: true, ..Outcome::default() };
            }
            return Outcome::default();
        }
        if !flags.syn() {
            return Outcome::default();
        }
        let offered = (self.rcv_wscale, self.recv.window_clamp);
        self.take_syn(segment.seq, segment.window, SynOptions::from_parsed(options), false);
        self.negotiate_ecn(flags);
        if !flags.ack() {
            // Simultaneous open (RFC 9293, figure 8). Linux scales its windows as it offered, whatever the peer's SYN
            // lacks.
            (self.rcv_wscale, self.recv.window_clamp) = offered;
            self.state = TcpState::SynReceived;
            self.due.add(OutputDue::HANDSHAKE);
            if self.fast_open.octets == 0 {
                // The SYN/ACK stands for the SYN, and is not its repetition.
                self.queue.sent.clear();
                self.snd_nxt = 0;
            }
            return Outcome { acceptable: true, ..Outcome::default() };
        }
        self.snd_una = segment.ack.to_offset(self.params.iss, self.snd_nxt).max(1) as u64;
        if let Some(first) = self.queue.sent.pop_front() {
            self.queue.retrans_out = 0;
            self.queue.lost_out = 0;
            let una = self.snd_una;
            self.queue.sent.retain(|seg| seg.end() > una);
            if self.watch.is_some() {
                self.note_syn_acknowledged(now);
            }
            if !first.flags.has(super::sendq::SegFlags::EVER_RETRANS) {
                let rtt = now.saturating_since(first.sent_at);
                self.rtt.sample_min(now, rtt);
                self.rtt.sample(rtt, 1, 1);
            } else if let Some(sample) =
                options.timestamps.filter(|_| self.ts_ok).and_then(|(_, ecr)| self.ts_sample(now, ecr))
            {
                self.rtt.sample_min(now, sample);
                self.rtt.sample(sample, 1, 1);
            }
        }
        self.xmit_timer = None;
        self.received_at = now;
        let timed_out = self.retries > 0;
        self.establish(now, options);
        if timed_out && !self.sack_ok {
            // The timeout was a loss like any other; without SACK it is over when more than the SYN is acknowledged
            // (`tcp_is_non_sack_preventing_reopen`).
            self.ca_state = CaState::Loss;
            self.high_seq = self.snd_nxt;
            self.frto = self.config.frto;
        }
        self.take_fast_open_answer(now, segment);
        self.recv.ack_now = true;
        Outcome { acceptable: true, established: true, acked: true, ..Outcome::default() }
    }

    /// PAWS (RFC 7323, section 5.3).
    fn is_outdated(&self, options: &ParsedOptions) -> bool {
        let timestamps = options.timestamps.filter(|_| self.ts_ok);
        timestamps.is_some_and(|(val, _)| self.recv.ts_recent.wrapping_sub(val).cast_signed() > 0)
    }

    /// Offsets of the first number of a segment and of the one after its last, SYN and FIN counted.
    fn span_of(&self, segment: &TcpSegment) -> (i64, i64) {
        let start = segment.seq.to_offset(self.recv.irs, self.recv.rcv_nxt);
        let flags = segment.flags;
        let end = start + i64::from(segment.payload.len()) + i64::from(flags.fin()) + i64::from(flags.syn());
        (start, end)
    }

    /// Acceptability (RFC 9293, section 3.10.7.4; Linux `tcp_sequence`).
    fn is_in_window(&self, start: i64, end: i64) -> bool {
        let window_end = self.recv.rcv_nxt as i64 + self.recv.receive_window() as i64;
        end >= self.recv.rcv_wup as i64 && start <= window_end
    }

    /// Whether a segment of an established flow passes all that is looked at before its acknowledgment
    /// (`tcp_validate_incoming`).
    pub(crate) fn validates(&self, segment: &TcpSegment, options: &ParsedOptions) -> bool {
        let flags = segment.flags;
        let (start, end) = self.span_of(segment);
        self.is_synchronized()
            && flags.ack()
            && !(flags.rst() || flags.syn())
            && !self.is_outdated(options)
            && self.is_in_window(start, end)
    }

    /// Whether a segment brings data not seen yet to a flow that has sent its FIN, or is about to.
    pub(crate) fn is_new_behind_fin(&self, segment: &TcpSegment) -> bool {
        let (start, _) = self.span_of(segment);
        (matches!(self.state, TcpState::FinWait1 | TcpState::FinWait2)
            || self.state == TcpState::Established && self.fin_wanted)
            && start + i64::from(segment.payload.len()) > self.recv.rcv_nxt as i64
    }

    /// Whether a reset has the number of the peer's FIN, which some send after it (`tcp_reset_check`).
    const fn resets_behind_fin(&self, start: i64) -> bool {
        start + 1 == self.recv.rcv_nxt as i64
            && matches!(self.state, TcpState::CloseWait | TcpState::LastAck | TcpState::Closing)
    }

    fn handle_synchronized(
        &mut self,
        around: &Surroundings<'_>,
        segment: &TcpSegment,
        options: &ParsedOptions,
    ) -> Outcome {
        let now = around.now;
        let flags = segment.flags;
        let len = segment.payload.len();
        let (start, end) = self.span_of(segment);
        let rcv_nxt = self.recv.rcv_nxt as i64;

        if self.is_outdated(options) && !flags.rst() {
            self.answer_invalid(now, len > 0 || flags.fin());
            return Outcome::default();
        }
        let timestamps = options.timestamps.filter(|_| self.ts_ok);
        if !(self.is_in_window(start, end) || flags.rst() && self.resets_behind_fin(start)) {
            if !flags.rst() {
                if flags.syn() && self.state == TcpState::SynReceived {
                    self.due.add(OutputDue::HANDSHAKE);
                } else if self.state == TcpState::TimeWait {
                    self.state_timer = Some(now + self.config.time_wait);
                    self.recv.ack_immediately();
                } else {
                    if len > 0 && start >= 0 && start < rcv_nxt {
                        // Our ACK was lost: say what came twice (`tcp_send_dupack`).
                        self.recv.note_duplicate(start as u64, end.min(rcv_nxt) as u64);
                    }
                    self.answer_invalid(now, len > 0 || flags.fin());
                }
            }
            return Outcome::default();
        }
        if flags.rst() {
            if start == rcv_nxt || self.resets_behind_fin(start) || self.recv.highest_sack() == Some(start) {
                let reason = if self.state == TcpState::SynReceived && self.passive {
                    CloseReason::Refused
                } else {
                    CloseReason::Reset(None)
                };
                self.finish(reason);
                return Outcome { reset: true, acceptable: true, ..Outcome::default() };
            }
            // Inside the window but not exact: challenge (RFC 5961, section 3).
            self.answer_invalid(now, false);
            return Outcome::default();
        }
        // The SYN/ACK of a simultaneous open says nothing new but that it arrived.
        let crossed = self.state == TcpState::SynReceived
            && (flags.syn() && flags.ack() && start == 0 && len == 0)
            && segment.ack.to_offset(self.params.iss, self.snd_nxt) == self.snd_nxt as i64;
        if flags.syn() && !crossed {
            if self.state == TcpState::SynReceived && start == 0 {
                self.due.add(OutputDue::HANDSHAKE);
            } else {
                self.answer_invalid(now, false);
            }
            return Outcome::default();
        }
        if !flags.ack() {
            return Outcome::default();
        }
        let mut outcome = Outcome { acceptable: true, ..Outcome::default() };
        self.received_at = now;
        if let Some((val, ecr)) = timestamps {
            // RFC 7323, section 4.3: remember the timestamp of the segment that covers the last ACK sent.
            // What a wrong or an old acknowledgment says is not believed.
            let ack = segment.ack.to_offset(self.params.iss, self.snd_una);
            let current = (self.snd_una as i64..=self.snd_nxt as i64).contains(&ack);
            if start <= self.recv.rcv_wup as i64 && (current || self.state == TcpState::SynReceived) {
                self.recv.ts_recent = val;
            }
            if len > 0 {
                let clock = self.ts_clock(now);
                self.recv.measure_rtt(clock, ecr.wrapping_sub(self.params.ts_offset), len);
            }
        }
        let mut handshake_rtt = None;
        if self.state == TcpState::SynReceived {
            let ack = segment.ack.to_offset(self.params.iss, self.snd_nxt);
            if ack < 1 || ack > self.snd_nxt as i64 {
                self.answer_with_reset(ack.max(0) as u64);
                outcome.acceptable = false;
                return outcome;
            }
            let first = self.queue.sent.pop_front();
            self.queue.retrans_out = 0;
            self.queue.lost_out = 0;
            let once = first.filter(|first| !first.flags.has(super::sendq::SegFlags::EVER_RETRANS));
            let rtt = match once {
                Some(first) => Some(now.saturating_since(first.sent_at)),
                // Repeated, or not kept (`tcp_synack_rtt_meas`).
                None => timestamps.and_then(|(_, ecr)| self.ts_sample(now, ecr)),
            };
            if self.fast_open.child && ack > 1 {
                // Data that went along with the SYN/ACK tells better.
                handshake_rtt = rtt;
            } else if let Some(rtt) = rtt {
                self.rtt.sample_min(now, rtt);
                self.rtt.sample(rtt, 1, 1);
            }
            if !self.passive {
                // The SYN was delivered, and below the SYN/ACK is counted.
                self.delivered += 1;
            }
            self.snd_una = 1;
            self.xmit_timer = None;
            self.snd_wnd = u64::from(segment.window) << self.snd_wscale;
            // The socket of a passive open begins with the third ACK.
            let known = if self.passive { 0 } else { self.max_window };
            self.max_window = self.snd_wnd.max(known);
            self.snd_wl1 = start.max(0) as u64;
            self.establish(now, options);
            outcome.established = true;
            outcome.acked = true;
        }
        if !self.handle_ack(around, segment, options, start.max(0) as u64, &mut outcome) {
            outcome.acceptable = false;
            return outcome;
        }
        if let Some(rtt) = handshake_rtt.filter(|_| self.rtt.srtt().is_zero()) {
            self.rtt.sample_min(now, rtt);
            self.rtt.sample(rtt, 1, 1);
        }
        if crossed {
            self.recv.note_duplicate(0, 1);
            self.recv.ack_immediately();
        }
        outcome
    }

    /// The data and the FIN of a segment whose acknowledgment was `acceptable`. Data that is now in order is appended
    /// to `deliver`. Returns whether the peer has ended its stream.
    pub(crate) fn take_data(
        &mut self,
        around: &Surroundings<'_>,
        segment: &TcpSegment,
        deliver: &mut Vec<Arrival>,
    ) -> bool {
        let now = around.now;
        let flags = segment.flags;
        let len = segment.payload.len();
        let (start, end) = self.span_of(segment);
        let rcv_nxt = self.recv.rcv_nxt as i64;
        if len > 0 {
            self.stats.data_segs_in += 1;
            self.take_ecn_of_data(segment, start + i64::from(len) > rcv_nxt);
            if start < 0 {
                self.recv.ack_immediately();
                return false;
            }
            if self.watch.is_some() || flags.contains(crate::wire::TcpFlags::URG) {
                self.take_urgent(segment, start as u64);
            }
            if matches!(self.state, TcpState::Established | TcpState::FinWait1 | TcpState::FinWait2) {
                let arrival = Arrival {
                    start: start as u64,
                    payload: segment.payload.clone(),
                    map: around.map,
                    truesize: super::receive::truesize_of(self.config.frame_memory, segment),
                };
                self.receive_data(now, arrival, flags.psh(), around.space, deliver);
            }
        }
        if flags.fin() && self.recv.fin_at.is_none() {
            let at = start + i64::from(len);
            if at >= rcv_nxt {
                self.recv.fin_at = Some(at as u64);
            }
            if at > self.recv.rcv_nxt as i64 {
                self.recv.note_fin_out_of_order(start.max(0) as u64, at as u64);
            }
        }
        if self.fin_reached() {
            self.take_fin(now);
            return true;
        }
        if flags.fin() && end <= rcv_nxt {
            // A retransmitted FIN: our ACK was lost.
            if self.sack_ok && start >= 0 && self.state != TcpState::TimeWait {
                self.recv.note_duplicate(start as u64, end as u64);
            }
            self.recv.ack_immediately();
            if self.state == TcpState::TimeWait {
                self.state_timer = Some(now + self.config.time_wait);
            }
        }
        false
    }

    /// A segment that cannot be accepted is answered with an ACK, which tells the peer where the stream stands;
    /// twice in half a second only if it carries something, lest two hosts answer each other for ever
    /// (`tcp_oow_rate_limited`, `tcp_invalid_ratelimit`).
    pub(super) fn answer_invalid(&mut self, now: Instant, carries: bool) {
        const INTERVAL: Duration = Duration::from_millis(500);
        if !carries {
            if self.invalid_answered.is_some_and(|at| now.saturating_since(at) < INTERVAL) {
                return;
            }
            self.invalid_answered = Some(now);
        }
        self.recv.ack_immediately();
    }

    fn take_fin(&mut self, now: Instant) {
        self.recv.rcv_nxt += 1;
        self.recv.fin_at = Some(u64::MAX);
        let waited = self.recv.has_holes();
        self.recv.drop_old_ranges();
        // It waited behind the last hole, which is filled (RFC 5681, section 4.2).
        self.recv.ack_now |= waited && !self.recv.has_holes();
        if self.state == TcpState::Established && self.fin_wanted {
            // Our own FIN, which only waits for its turn, has closed this end: both do so at once.
            self.fins_cross = true;
            self.due.add(OutputDue::BARE_ACK);
        } else if self.state == TcpState::Established {
            // The application may close as well: its FIN takes the ACK along (`tcp_fin`).
            self.recv.expect_answer();
        } else {
            self.recv.ack_immediately();
        }
        match self.state {
            TcpState::Established => self.state = TcpState::CloseWait,
            TcpState::FinWait1 => self.state = TcpState::Closing,
            TcpState::FinWait2 => self.enter_time_wait(now),
            _ => {}
        }
    }

    pub(crate) fn enter_time_wait(&mut self, now: Instant) {
        self.state = TcpState::TimeWait;
        self.closed_by.get_or_insert(CloseReason::Normal);
        self.xmit_timer = None;
        self.state_timer = Some(now + self.config.time_wait);
    }

    /// Our FIN was acknowledged.
    pub(crate) fn fin_acked(&mut self, now: Instant) {
        match self.state {
            TcpState::FinWait1 if self.orphaned && self.config.no_fin_wait => {
                self.answer_with_reset(self.snd_nxt);
                self.finish(CloseReason::Normal);
            }
            TcpState::FinWait1 => {
                self.state = TcpState::FinWait2;
                if !self.probes_idle() {
                    self.state_timer = Some(now + self.config.fin_timeout);
                }
            }
            TcpState::Closing => self.enter_time_wait(now),
            TcpState::LastAck => self.finish(CloseReason::Normal),
            _ => {}
        }
    }
}

impl SynOptions {
    /// The options of a SYN.
    #[must_use]
    pub fn from_parsed(options: &ParsedOptions) -> Self {
        Self {
            mss: options.mss,
            window_scale: options.window_scale,
            sack: options.sack_permitted,
            timestamp: options.timestamps.map(|(val, _)| val),
        }
    }
}
