//! The receiving half of a flow: reassembly, SACK blocks, the decision when to acknowledge (delayed,
//! quick and compressed ACKs as in Linux), the advertised window and its growth (`rcv_ssthresh`, dynamic
//! right-sizing of the buffer).

use std::collections::VecDeque;

use sim_core::{Duration, Instant};

use super::{Flow, TcpState};
use crate::config::{FrameMemory, TcpConfig};
use crate::wire::{DssMapping, Payload, SackBlocks, Seq, TcpSegment};

/// Buffer space as the owner of the receive buffer sees it, in bytes of window.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveSpace {
    /// Free space.
    pub free: u64,
    /// Space of the whole buffer.
    pub full: u64,
}

impl ReceiveSpace {
    /// No space, for segments without data.
    pub(crate) const NONE: Self = Self { free: 0, full: 0 };
}

/// A piece of data as it arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Stream offset of the first octet.
    pub start: u64,
    /// The octets.
    pub payload: Payload,
    /// Mapping announced by the segment.
    pub map: Option<DssMapping>,
    /// Truesize charged to the receive buffer.
    pub truesize: u32,
}

impl Arrival {
    pub(crate) fn end(&self) -> u64 {
        self.start + u64::from(self.payload.len())
    }
}

const ATO_MIN: Duration = Duration::from_millis(40);
const MAX_QUICKACKS: u32 = 16;

/// Receiver state.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) irs: Seq,
    pub(crate) rcv_nxt: u64,
    /// Offset at the last ACK sent (`rcv_wup`).
    pub(crate) rcv_wup: u64,
    /// Window advertised, counted from `rcv_wup`.
    pub(crate) rcv_wnd: u64,
    pub(crate) ssthresh: u64,
    pub(crate) window_clamp: u64,
    /// Receive buffer in bytes of memory (`sk_rcvbuf`).
    pub(crate) rcvbuf: u64,
    rmem_max: u64,
    /// Share of memory that is payload, in 1/256 (`scaling_ratio`).
    pub(crate) scaling_ratio: u32,
    /// That share is a setting (`tcp_adv_win_scale`).
    pub(crate) fixed_ratio: bool,
    pub(crate) ooo: VecDeque<Arrival>,
    pub(crate) ooo_bytes: u64,
    ranges: Vec<(u64, u64)>,
    sacks: [(u64, u64); 4],
    num_sacks: usize,
    dsack: Option<(u64, u64)>,
    /// What an ACK reports that leaves before the list of blocks changes (`tcp_sack_compress_send_ack`).
    flushed: Option<SackBlocks>,
    /// A compressed ACK leaves before a block at this place of the list, or behind it, begins or grows.
    blocks_expected: usize,
    pub(crate) fin_at: Option<u64>,
    /// Memory of data in order and not yet read by the application.
    pub(crate) unread_truesize: u64,
    pub(crate) unread: u64,

    // Timestamps (RFC 7323).
    pub(crate) ts_recent: u32,
    // ACK policy.
    rcv_mss: u32,
    /// Payload of the segments asked for (`advmss`).
    pub(crate) advmss: u32,
    quick: u32,
    pingpong: bool,
    ato: Duration,
    pub(crate) last_data: Instant,
    pub(crate) ack_now: bool,
    ack_scheduled: bool,
    pushed: u8,
    pub(crate) delack: Option<Instant>,
    compressed: Option<Instant>,
    compressed_count: u8,
    dup_acks: u8,
    dup_acks_at: u64,

    // Right-sizing.
    rtt_us8: u64,
    rtt_tsecr: u32,
    /// A smaller sample of the RTT counts at once.
    latches_rtt: bool,
    /// End and start of the window whose arrival is timed (`rcv_rtt_est.seq` and `time`).
    rtt_window: Option<(u64, Instant)>,
    drs_copied: u64,
    pub(crate) drs_space: u64,
    drs_mark: u64,
    drs_time: Instant,
}

/// Memory the kernel charges for the frame of a segment: the frame with its headers (those of IPv4) and room before
/// them, rounded up, and what describes it. Gives the 2176 octets measured for full frames of a network device.
#[inline]
pub(crate) fn truesize(memory: FrameMemory, segment: &TcpSegment) -> u32 {
    const HEADERS: u32 = 20 + 20;
    const ETHERNET: u32 = 14;
    const HEADROOM: u32 = 64;
    // `struct skb_shared_info` and `struct sk_buff`.
    const SHARED: u32 = 320;
    const BUFFER: u32 = 256;
    // The least head of a buffer (`skb_small_head_cache`).
    const SMALL_HEAD: u32 = 640;
    let frame = HEADROOM + HEADERS + segment.options.len() as u32 + segment.payload.len();
    match memory {
        FrameMemory::Network => (frame + ETHERNET).next_multiple_of(64) + SHARED + BUFFER,
        FrameMemory::Tun => match frame.next_multiple_of(64) + SHARED {
            ..=SMALL_HEAD => SMALL_HEAD + BUFFER,
            larger => larger.next_power_of_two() + BUFFER,
        },
    }
}

impl Receiver {
    pub(crate) fn new(config: &TcpConfig, mss: u16) -> Self {
        let rcvbuf = u64::from(config.rmem[1]);
        let mut receiver = Self {
            irs: Seq(0),
            rcv_nxt: 0,
            rcv_wup: 0,
            rcv_wnd: 0,
            ssthresh: 0,
            window_clamp: 0,
            rcvbuf,
            rmem_max: u64::from(config.rmem[2]),
            scaling_ratio: 256 - (256 >> config.adv_win_scale.unwrap_or(1).min(8)),
            fixed_ratio: config.adv_win_scale.is_some(),
            ooo: VecDeque::new(),
            ooo_bytes: 0,
            ranges: Vec::new(),
            sacks: [(0, 0); 4],
            num_sacks: 0,
            dsack: None,
            flushed: None,
            blocks_expected: usize::from(config.comp_sack_blocks),
            fin_at: None,
            unread_truesize: 0,
            unread: 0,
            ts_recent: 0,
            rcv_mss: 536,
            advmss: u32::from(mss),
            quick: 0,
            pingpong: false,
            ato: Duration::ZERO,
            last_data: Instant::ZERO,
            ack_now: false,
            ack_scheduled: false,
            pushed: 0,
            delack: None,
            compressed: None,
            compressed_count: 0,
            dup_acks: 0,
            dup_acks_at: 0,
            rtt_us8: 0,
            rtt_tsecr: 0,
            latches_rtt: config.receiver_rtt_latches,
            rtt_window: None,
            drs_copied: 0,
            drs_space: 0,
            drs_mark: 0,
            drs_time: Instant::ZERO,
        };
        receiver.window_clamp = receiver.window_of(rcvbuf);
        // Whole segments (`tcp_select_initial_window`); the field of a SYN holds no more than 64 KiB.
        let initial = receiver.window_clamp.min(u64::from(config.initial_window_limit));
        let mss = u64::from(mss);
        receiver.rcv_wnd = initial / mss * mss;
        receiver.ssthresh = receiver.rcv_wnd;
        receiver
    }

    /// Window that `memory` bytes of buffer can back.
    pub(crate) fn window_of(&self, memory: u64) -> u64 {
        (memory * u64::from(self.scaling_ratio)) >> 8
    }

    fn memory_for(&self, window: u64) -> u64 {
        (window << 8) / u64::from(self.scaling_ratio.max(1))
    }

    /// Scale to ask for: such that the largest buffer fits (`tcp_select_initial_window`).
    pub(crate) fn wanted_scale(&self, config: &TcpConfig) -> u8 {
        if !config.window_scaling {
            return 0;
        }
        let space = u64::from(config.rmem[2].max(config.core_rmem_max));
        let bits = 64 - space.leading_zeros() as i32;
        (bits - 16).clamp(0, 14) as u8
    }

    /// Own buffer space (`tcp_space`, `tcp_full_space`).
    pub(crate) fn space(&self) -> ReceiveSpace {
        let used = self.unread_truesize + self.ooo_memory();
        ReceiveSpace {
            free: self.window_of(self.rcvbuf.saturating_sub(used)),
            full: self.window_of(self.rcvbuf),
        }
    }

    fn ooo_memory(&self) -> u64 {
        // Nearly always; a division is dear.
        if self.ooo_bytes == 0 {
            return 0;
        }
        (self.ooo_bytes << 8) / u64::from(self.scaling_ratio.max(1))
    }

    /// Current right edge relative to `rcv_nxt` (`tcp_receive_window`).
    pub(crate) fn receive_window(&self) -> u64 {
        (self.rcv_wup + self.rcv_wnd).saturating_sub(self.rcv_nxt)
    }

    pub(crate) fn cancel_timers(&mut self) {
        self.delack = None;
        self.compressed = None;
        self.ack_scheduled = false;
        self.ack_now = false;
    }

    /// The earlier deadline; [`Instant::FAR_FUTURE`] is none.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Instant {
        let delack = self.delack.unwrap_or(Instant::FAR_FUTURE);
        delack.min(self.compressed.unwrap_or(Instant::FAR_FUTURE))
    }

    /// SACK blocks for the next ACK, at most `most`.
    pub(crate) fn sack_blocks(&self, most: usize) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        if let Some(flushed) = &self.flushed {
            flushed.iter().take(most).all(|(start, end)| blocks.push(start, end));
            return blocks;
        }
        let wire = |offset| Seq::from_offset(self.irs, offset);
        let dsack = self.dsack.iter().copied();
        let mut all = dsack.chain(self.sacks[..self.num_sacks].iter().copied()).take(most);
        all.all(|(start, end)| blocks.push(wire(start), wire(end)));
        blocks
    }

    /// Whether data waits for an ACK that is not yet due ([`Flow::check_ack`] decides).
    pub(crate) const fn may_delay_ack(&self) -> bool {
        self.ack_scheduled && !self.ack_now
    }

    /// The next ACK reports a duplicate (RFC 2883).
    pub(crate) fn note_duplicate(&mut self, start: u64, end: u64) {
        self.dsack = Some((start, end));
        self.enter_quickack(MAX_QUICKACKS);
    }

    /// When data arrived last.
    pub(crate) const fn last_data(&self) -> Instant {
        self.last_data
    }

    pub(crate) fn has_sacks(&self) -> bool {
        self.num_sacks > 0 || self.dsack.is_some()
    }

    /// A segment arrived beyond a hole (`tcp_sack_new_ofo_skb`): the block that grew, or a new one, goes first
    /// (RFC 2018, section 4). What is held back of an ACK leaves before that if the list gets long.
    fn note_sack(&mut self, start: u64, end: u64) {
        let touches = |block: &(u64, u64), of: (u64, u64)| of.0 <= block.1 && block.0 <= of.1;
        let held = &self.sacks[..self.num_sacks];
        let place = held.iter().position(|block| touches(block, (start, end)));
        if self.compressed_count > 0 && place.unwrap_or(self.num_sacks) >= self.blocks_expected {
            self.flushed = Some(self.sack_blocks(4));
            self.compressed = None;
            self.compressed_count = 0;
            self.ack_now = true;
        }
        let mut first =
            place.map_or((start, end), |at| (self.sacks[at].0.min(start), self.sacks[at].1.max(end)));
        let (mut others, mut kept) = ([(0, 0); 4], 0);
        for (at, block) in self.sacks[..self.num_sacks].iter().enumerate() {
            if Some(at) == place {
                continue;
            }
            if touches(block, first) {
                first = (first.0.min(block.0), first.1.max(block.1));
            } else if kept < 3 {
                others[kept] = *block;
                kept += 1;
            }
        }
        self.sacks[0] = first;
        self.sacks[1..=kept].copy_from_slice(&others[..kept]);
        self.num_sacks = kept + 1;
    }

    fn drop_old_sacks(&mut self) {
        let mut kept = 0;
        for i in 0..self.num_sacks {
            if self.sacks[i].1 > self.rcv_nxt {
                self.sacks[kept] = self.sacks[i];
                kept += 1;
            }
        }
        self.num_sacks = kept;
    }

    /// Queue data beyond a hole. Returns false if nothing of it is new.
    fn insert_out_of_order(&mut self, arrival: Arrival) -> bool {
        let (mut start, mut end) = (arrival.start, arrival.end());
        let (first, last) = (start, end);
        // Ranges are sorted and disjoint; most arrivals touch the last one.
        let at = self.ranges.partition_point(|&(_, e)| e < start);
        let mut stop = at;
        while stop < self.ranges.len() && self.ranges[stop].0 <= end {
            stop += 1;
        }
        if stop > at && self.ranges[at].0 <= start && end <= self.ranges[at].1 {
            self.dsack = Some((start, end));
            self.note_sack(start, end);
            return false;
        }
        self.note_overlap(start, end);
        if stop > at {
            start = start.min(self.ranges[at].0);
            end = end.max(self.ranges[stop - 1].1);
            self.ranges[at] = (start, end);
            self.ranges.drain(at + 1..stop);
        } else {
            self.ranges.insert(at, (start, end));
        }
        self.note_sack(first, last);
        self.ooo_bytes += u64::from(arrival.payload.len());
        let index = self.ooo.partition_point(|other| other.start <= arrival.start);
        self.ooo.insert(index, arrival);
        true
    }

    /// A segment out of order repeats parts of others (`tcp_data_queue_ofo`): the end of the one before, or all of
    /// one that it covers, or the start of the next.
    fn note_overlap(&mut self, start: u64, end: u64) {
        let next = self.ooo.partition_point(|other| other.start <= start);
        if let Some(before) = next.checked_sub(1).and_then(|index| self.ooo.get(index))
            && before.end() > start
        {
            let covered = before.start == start;
            self.dsack = Some((start, if covered { before.end() } else { before.end().min(end) }));
        }
        for other in self.ooo.range(next..).take_while(|other| other.start < end) {
            let (from, to) = (other.start, other.end().min(end));
            self.dsack = Some(match self.dsack {
                Some((low, high)) if from <= high && low <= to => (low.min(from), high.max(to)),
                _ => (from, to),
            });
        }
    }

    /// A FIN at `at`, on a segment that began at `start`, arrived beyond a hole: it is reported as data is.
    pub(crate) fn note_fin_out_of_order(&mut self, start: u64, at: u64) {
        let (mut start, mut end) = (start, at + 1);
        self.ranges.retain(|&(s, e)| {
            let touches = s <= end && start <= e;
            if touches {
                (start, end) = (start.min(s), end.max(e));
            }
            !touches
        });
        let index = self.ranges.partition_point(|&(s, _)| s < start);
        self.ranges.insert(index, (start, end));
        self.note_sack(start, end);
        self.ack_scheduled = true;
    }

    /// What is in order now needs no report.
    pub(crate) fn drop_old_ranges(&mut self) {
        let nxt = self.rcv_nxt;
        self.ranges.retain(|&(_, end)| end > nxt);
        self.drop_old_sacks();
    }

    /// The next piece of queued data that is now in order, trimmed to what is new.
    fn pop_in_order(&mut self) -> Option<Arrival> {
        while let Some(front) = self.ooo.front() {
            if front.start > self.rcv_nxt {
                return None;
            }
            let mut arrival = self.ooo.pop_front()?;
            self.ooo_bytes -= u64::from(arrival.payload.len());
            if arrival.start < self.rcv_nxt {
                // What came in order came twice (`tcp_ofo_queue`).
                let (from, to) = (arrival.start, arrival.end().min(self.rcv_nxt));
                self.dsack = Some(match self.dsack {
                    Some((low, high)) if from <= high && low <= to => (low.min(from), high.max(to)),
                    _ => (from, to),
                });
            }
            if arrival.end() <= self.rcv_nxt {
                continue;
            }
            trim_front(&mut arrival, self.rcv_nxt);
            return Some(arrival);
        }
        None
    }

    fn quickacks_wanted(&mut self, most: u32) {
        let count = (self.rcv_wnd / (2 * u64::from(self.rcv_mss))).max(2).min(u64::from(most)) as u32;
        self.quick = self.quick.max(count);
    }

    pub(crate) fn enter_quickack(&mut self, most: u32) {
        // The first data asks for all there may be, whatever else it means.
        self.quickacks_wanted(if self.ato.is_zero() { MAX_QUICKACKS } else { most });
        self.pingpong = false;
        self.ato = ATO_MIN;
    }

    fn in_quickack(&self) -> bool {
        self.quick > 0 && !self.pingpong
    }

    /// Data is about to leave: the conversation is interactive (`tcp_event_data_sent`).
    pub(crate) fn note_data_sent(&mut self, now: Instant) {
        if self.ack_scheduled_or_recent(now) {
            self.pingpong = true;
        }
    }

    fn ack_scheduled_or_recent(&self, now: Instant) -> bool {
        !self.ato.is_zero() && now.saturating_since(self.last_data) < self.ato
    }

    /// An ACK left: counters start anew (`tcp_event_ack_sent`).
    pub(crate) fn note_ack_sent(&mut self) {
        // Later kernels count only those for new data (`tcp_dec_quickack_mode`).
        if self.ack_scheduled || self.fixed_ratio {
            self.quick = self.quick.saturating_sub(1);
        }
        self.ack_now = false;
        self.ack_scheduled = false;
        self.pushed = 0;
        self.delack = None;
        self.compressed = None;
        self.compressed_count = 0;
        self.dsack = None;
        self.flushed = None;
    }

    /// Data arrived in order (`tcp_event_data_recv`).
    fn note_data(&mut self, now: Instant, len: u32, truesize: u32, psh: bool, rto: Duration) {
        self.ack_scheduled = true;
        if len >= self.rcv_mss {
            if len != self.rcv_mss && !self.fixed_ratio {
                let ratio = ((u64::from(len) << 8) / u64::from(truesize)).max(1) as u32;
                if ratio != self.scaling_ratio {
                    self.scaling_ratio = ratio;
                    self.set_window_clamp();
                }
            }
            self.rcv_mss = len.min(self.advmss);
            if psh && !self.fixed_ratio {
                self.pushed |= 1;
            }
        } else if psh {
            self.pushed = if self.pushed & 1 != 0 { 3 } else { 1 };
        }
        self.measure_window(now);
        if self.ato.is_zero() {
            self.quickacks_wanted(MAX_QUICKACKS);
            self.ato = ATO_MIN;
        } else {
            let gap = now.saturating_since(self.last_data);
            if gap <= ATO_MIN / 2 {
                self.ato = self.ato / 2 + ATO_MIN / 2;
            } else if gap < self.ato {
                self.ato = (self.ato / 2 + gap).min(rto);
            } else if gap > rto {
                self.quickacks_wanted(MAX_QUICKACKS);
            }
        }
        self.last_data = now;
    }

    /// Grow the bound of the window by two segments for each one received, while the buffer allows
    /// (`tcp_grow_window`).
    fn grow_window(&mut self, len: u32, truesize: u32, space: ReceiveSpace) {
        let free = if self.fixed_ratio {
            space.free
        } else {
            // Later kernels look at the buffer of the subflow itself, which hands its data on at once.
            let used = self.unread_truesize + self.ooo_memory() + u64::from(truesize);
            self.window_of(self.rcvbuf.saturating_sub(used))
        };
        let room = self.window_clamp.min(free).saturating_sub(self.ssthresh);
        if room == 0 {
            return;
        }
        let charged = self.window_of(u64::from(truesize));
        let mut grow = 0;
        if charged <= u64::from(len) {
            grow = 2 * u64::from(self.advmss);
        } else {
            // Small segments: only if the buffer would still do at a fraction of its size.
            let (mut memory, mut window) = (charged, self.window_of(self.rmem_max) / 2);
            while self.ssthresh <= window {
                if memory <= u64::from(len) {
                    grow = 2 * u64::from(self.rcv_mss);
                    break;
                }
                memory >>= 1;
                window >>= 1;
            }
        }
        if grow > 0 {
            self.ssthresh += room.min(grow.max(2 * u64::from(len)));
            self.quick |= 1;
        }
    }

    /// RTT of the receiver, from the timestamps echoed (`tcp_rcv_rtt_measure_ts`).
    pub(crate) fn measure_rtt(&mut self, now_ms: u32, tsecr: u32, len: u32) {
        if tsecr == 0 || tsecr == self.rtt_tsecr {
            return;
        }
        self.rtt_tsecr = tsecr;
        let ms = now_ms.wrapping_sub(tsecr);
        if len < self.rcv_mss || ms > i32::MAX as u32 {
            return;
        }
        let us = u64::from(ms.max(1)) * 1000;
        let older = self.rtt_us8;
        self.rtt_us8 = if older == 0 || (self.latches_rtt && us << 3 < older) {
            us << 3
        } else if self.latches_rtt && self.unread > 0 {
            // The application is late, not the data.
            older
        } else {
            older - (older >> 3) + us
        };
    }

    /// A window takes no less than a round trip to arrive (`tcp_rcv_rtt_measure`).
    fn measure_window(&mut self, now: Instant) {
        if let Some((end, start)) = self.rtt_window {
            if self.rcv_nxt < end {
                return;
            }
            let us8 = now.saturating_since(start).as_micros().max(1) << 3;
            self.rtt_us8 = if self.rtt_us8 == 0 { us8 } else { self.rtt_us8.min(us8) };
        }
        self.rtt_window = Some((self.rcv_nxt + self.rcv_wnd, now));
    }

    /// The segment size of the peer before any came (`tcp_initialize_rcv_mss`).
    pub(crate) fn guess_mss(&mut self, mss: u32) {
        let hint = self.advmss.min(mss).min(u32::try_from(self.rcv_wnd / 2).unwrap_or(u32::MAX));
        self.rcv_mss = hint.clamp(88, 536);
    }

    /// Timeout of delayed ACKs (`icsk_ack.ato`).
    pub(crate) const fn ato(&self) -> Duration {
        self.ato
    }

    /// Estimate of the segment size of the peer (`icsk_ack.rcv_mss`).
    pub(crate) const fn rcv_mss(&self) -> u32 {
        self.rcv_mss
    }

    pub(crate) fn rtt(&self) -> Duration {
        Duration::from_micros(self.rtt_us8 >> 3)
    }

    /// The application read `len` octets in total so far: once per RTT, make the buffer hold twice what was
    /// read in the last one (`tcp_rcv_space_adjust`).
    pub(crate) fn adjust_space(&mut self, now: Instant, len: u64) {
        self.drs_copied += len;
        if self.drs_space == 0 {
            return;
        }
        let rtt = self.rtt();
        if rtt.is_zero() || now.saturating_since(self.drs_time) < rtt {
            return;
        }
        let copied = self.drs_copied - self.drs_mark;
        if copied > self.drs_space {
            self.grow_buffer(copied);
        }
        self.drs_mark = self.drs_copied;
        self.drs_time = now;
    }

    pub(crate) fn start_right_sizing(&mut self, now: Instant, initial: u64) {
        self.drs_space = initial;
        self.drs_time = now;
        self.drs_mark = self.drs_copied;
    }

    /// Start with a buffer that is not yet grown, for segments of `mss` octets.
    pub(crate) fn settle(&mut self, mss: u32) {
        self.advmss = mss;
        self.window_clamp = self.window_of(self.rcvbuf);
        self.ssthresh = self.rcv_wnd;
        self.reserve_segment();
    }

    /// What the buffer backs has changed (`tcp_set_window_clamp`): what was offered already counts as granted.
    fn set_window_clamp(&mut self) {
        self.window_clamp = self.window_of(self.rcvbuf);
        self.ssthresh = self.ssthresh.max(self.rcv_wnd).min(self.window_clamp);
    }

    /// One segment of the buffer is not offered at first (`tcp_init_buffer_space`).
    pub(crate) fn reserve_segment(&mut self) {
        let mss = u64::from(self.advmss);
        let full = self.window_of(self.rcvbuf);
        self.window_clamp = self.window_clamp.min(full);
        if self.window_clamp > 2 * mss && self.window_clamp + mss > full {
            self.window_clamp = (2 * mss).max(full - mss);
        }
        self.ssthresh = self.ssthresh.min(self.window_clamp);
    }

    /// Let the buffer back twice `copied`, plus the growth of the sender's rate (`tcp_rcvbuf_grow`).
    pub(crate) fn grow_buffer(&mut self, copied: u64) {
        let old = self.drs_space.max(1);
        self.drs_space = copied;
        let rcvbuf = if self.fixed_ratio {
            fixed_ratio_buffer(copied, old, u64::from(self.advmss), u64::from(self.scaling_ratio))
        } else {
            let mut window = copied << 1;
            if copied > old {
                window += (window * (copied - old) / old) << 1;
            }
            if let Some(last) = self.ranges.last() {
                window += last.1 - self.rcv_nxt.min(last.1);
            }
            self.memory_for(window)
        };
        let rcvbuf = rcvbuf.min(self.rmem_max);
        if rcvbuf > self.rcvbuf {
            self.rcvbuf = rcvbuf;
            self.window_clamp = self.window_of(rcvbuf);
        }
    }

    /// The window to advertise now (`tcp_select_window`); never moves the right edge left.
    pub(crate) fn select_window(&mut self, space: ReceiveSpace, scale: u8) -> u64 {
        let current = self.receive_window();
        let window = self.new_window(space, scale);
        let window = if window < current { round_up(current, 1u64 << scale) } else { window };
        self.offer_window(window, scale)
    }

    /// As [`select_window`](Self::select_window), but with no regard to what this subflow offered before: the
    /// edge that must not move left is the connection's, as the captures of upstream Linux show.
    pub(crate) fn fresh_window(&mut self, space: ReceiveSpace, scale: u8) -> u64 {
        let window = self.new_window(space, scale);
        self.offer_window(window, scale)
    }

    fn offer_window(&mut self, window: u64, scale: u8) -> u64 {
        let most = if scale == 0 { 65_535 } else { 65_535u64 << scale };
        self.rcv_wnd = window.min(most);
        self.rcv_wup = self.rcv_nxt;
        self.rcv_wnd
    }

    /// `__tcp_select_window`.
    pub(crate) fn new_window(&self, space: ReceiveSpace, scale: u8) -> u64 {
        let full = self.window_clamp.max(1).min(space.full);
        let mss = u64::from(self.rcv_mss).min(full);
        let unit = 1u64 << scale;
        let mut free = space.free;
        if free < full >> 1 {
            free &= !(unit - 1);
            if free < space.full >> 4 || free < mss {
                return 0;
            }
        }
        free = free.min(self.ssthresh);
        if scale > 0 {
            round_up(free, unit)
        } else {
            let window = self.rcv_wnd;
            if window + mss <= free || window > free {
                free / mss.max(1) * mss
            } else if mss == full && free > window + (full >> 1) {
                free
            } else {
                window
            }
        }
    }

    /// Whether reading by the application should send an ACK at once (`tcp_cleanup_rbuf`).
    pub(crate) fn ack_on_read(&self, all_read: bool) -> bool {
        self.ack_scheduled
            && (self.rcv_nxt - self.rcv_wup > u64::from(self.rcv_mss)
                || (all_read && (self.pushed & 2 != 0 || (self.pushed & 1 != 0 && !self.pingpong))))
    }
}

/// Buffer for twice the `copied` octets of the last RTT and sixteen segments, more if it was not `old` as
/// before; each segment with its headers such that the share of payload is met (`tcp_rcv_space_adjust` before
/// Linux 6.6).
pub(crate) fn fixed_ratio_buffer(copied: u64, old: u64, mss: u64, ratio: u64) -> u64 {
    /// Room for headers (`MAX_TCP_HEADER`) and the descriptors of a buffer.
    const OVERHEAD: u64 = 256 + 576;
    let mut window = (copied << 1) + 16 * mss;
    window += (window * copied.saturating_sub(old) / old.max(1)) << 1;
    let mut memory = mss + OVERHEAD;
    while (memory * ratio) >> 8 < mss {
        memory += 128;
    }
    window / mss.max(1) * memory
}

/// The next multiple of `unit`, a power of two.
const fn round_up(value: u64, unit: u64) -> u64 {
    (value + unit - 1) & !(unit - 1)
}

fn trim_front(arrival: &mut Arrival, to: u64) {
    if to > arrival.start {
        let cut = (to - arrival.start) as u32;
        arrival.payload = arrival.payload.slice(cut, arrival.payload.len() - cut);
        arrival.start = to;
    }
}

impl Flow {
    /// Queue the payload of a segment; pieces that are now in order are handed to `deliver`. `space` is
    /// the space of the buffer the data goes to.
    pub(crate) fn receive_data(
        &mut self,
        now: Instant,
        mut arrival: Arrival,
        psh: bool,
        space: ReceiveSpace,
        deliver: &mut Vec<Arrival>,
    ) {
        let rto = self.rtt.rto();
        let recv = &mut self.recv;
        let len = arrival.payload.len();
        let window_end = recv.rcv_nxt + recv.receive_window();
        if arrival.end() <= recv.rcv_nxt {
            // Old data: acknowledge at once, with a DSACK.
            if self.sack_ok {
                recv.dsack = Some((arrival.start, arrival.end()));
            }
            recv.enter_quickack(MAX_QUICKACKS);
            recv.ack_now = true;
            return;
        }
        if arrival.start >= window_end {
            recv.enter_quickack(MAX_QUICKACKS);
            recv.ack_now = true;
            return;
        }
        if arrival.start > recv.rcv_nxt {
            self.stats.out_of_order += 1;
            let truesize = arrival.truesize;
            if arrival.end() > window_end {
                let keep = (window_end - arrival.start) as u32;
                arrival.payload = arrival.payload.slice(0, keep);
            }
            recv.ack_scheduled = true;
            let new = recv.insert_out_of_order(arrival);
            if new && len >= 128 {
                recv.grow_window(len, truesize, space);
            }
            if !recv.fixed_ratio {
                // What waits behind the hole has its room besides (`tcp_data_queue_ofo`).
                recv.grow_buffer(recv.drs_space);
            }
            return;
        }
        if arrival.start < recv.rcv_nxt {
            if self.sack_ok {
                recv.dsack = Some((arrival.start, recv.rcv_nxt));
            }
            recv.ack_now = true;
            trim_front(&mut arrival, recv.rcv_nxt);
        }
        if arrival.end() > window_end {
            let keep = (window_end - arrival.start) as u32;
            arrival.payload = arrival.payload.slice(0, keep);
        }
        let truesize = arrival.truesize;
        recv.rcv_nxt = arrival.end();
        self.stats.bytes_received += u64::from(arrival.payload.len());
        deliver.push(arrival);
        let had_hole = !recv.ranges.is_empty();
        if had_hole {
            while let Some(piece) = recv.pop_in_order() {
                recv.rcv_nxt = piece.end();
                self.stats.bytes_received += u64::from(piece.payload.len());
                deliver.push(piece);
            }
            recv.drop_old_ranges();
            // The last hole was filled: tell the sender at once (RFC 5681, section 4.2).
            recv.ack_now |= recv.ranges.is_empty();
        }
        recv.note_in_order(now, len, truesize, psh, rto, space);
    }

    /// Decide whether the data received is acknowledged now or later (`__tcp_ack_snd_check`): the second full
    /// segment is, if nothing waits to be read (`copied`) or the window in `space` still grows.
    pub(crate) fn check_ack(&mut self, now: Instant, space: ReceiveSpace, copied: bool) {
        let recv = &mut self.recv;
        if !recv.ack_scheduled || recv.ack_now {
            return;
        }
        let more_than_one = recv.rcv_nxt - recv.rcv_wup > u64::from(recv.rcv_mss);
        let opens = |recv: &Receiver| recv.new_window(space, self.rcv_wscale) >= recv.rcv_wnd;
        if recv.in_quickack() || (more_than_one && (copied || opens(recv))) {
            recv.ack_now = true;
            return;
        }
        let srtt = self.rtt.srtt();
        if recv.ranges.is_empty() {
            recv.delay_ack(now, &self.config, srtt);
        } else {
            recv.acknowledge_out_of_order(now, &self.config, self.sack_ok, srtt);
        }
    }

    /// Whether everything up to the FIN has arrived and the FIN is next.
    pub(crate) fn fin_reached(&self) -> bool {
        self.recv.fin_at == Some(self.recv.rcv_nxt)
    }

    /// Whether ACKs wait for what is sent in answer (`inet_csk_in_pingpong_mode`).
    pub(crate) const fn is_interactive(&self) -> bool {
        self.recv.pingpong
    }

    /// `TCP_QUICKACK`
    pub(crate) fn set_quickack(&mut self, on: bool) {
        self.recv.pingpong = !on;
        if on && self.recv.ack_scheduled {
            self.recv.ack_now = true;
        }
    }

    /// The application read `len` octets whose memory was `truesize`.
    pub(crate) fn note_read(&mut self, now: Instant, len: u64, truesize: u64) {
        self.recv.unread -= len.min(self.recv.unread);
        self.recv.unread_truesize = self.recv.unread_truesize.saturating_sub(truesize);
        if self.recv.unread == 0 {
            self.recv.unread_truesize = 0;
        }
        self.recv.adjust_space(now, len);
    }

    /// An ACK is due because the application read (`tcp_cleanup_rbuf`): data was pushed, or the window
    /// doubled.
    pub(crate) fn ack_after_read(&mut self, all_read: bool, space: ReceiveSpace) {
        if self.state == TcpState::Closed {
            return;
        }
        if self.recv.ack_on_read(all_read) {
            self.recv.ack_now = true;
            return;
        }
        let current = self.recv.receive_window();
        if 2 * current <= self.recv.window_clamp {
            let new = self.recv.new_window(space, self.rcv_wscale);
            if new > 0 && new >= 2 * current {
                self.recv.ack_now = true;
            }
        }
    }
}

impl Receiver {
    /// Whether data waits behind a hole.
    #[inline]
    pub(crate) fn has_holes(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// `len` octets arrived in order: what that means for ACKs and for the window.
    #[inline]
    pub(crate) fn note_in_order(
        &mut self,
        now: Instant,
        len: u32,
        truesize: u32,
        psh: bool,
        rto: Duration,
        space: ReceiveSpace,
    ) {
        self.note_data(now, len, truesize, psh, rto);
        if len >= 128 {
            self.grow_window(len, truesize, space);
        }
    }

    fn acknowledge_out_of_order(&mut self, now: Instant, config: &TcpConfig, sack_ok: bool, srtt: Duration) {
        if !sack_ok || self.compressed_count >= config.comp_sack_segments {
            self.ack_now = true;
            return;
        }
        if self.dup_acks_at != self.rcv_nxt {
            self.dup_acks_at = self.rcv_nxt;
            self.dup_acks = 0;
        }
        // The first three duplicate ACKs leave at once, later ones are compressed (`tcp_ack_snd_check`).
        if self.dup_acks < 3 {
            self.dup_acks += 1;
            self.ack_now = true;
            return;
        }
        self.compressed_count += 1;
        if self.compressed.is_some() {
            return;
        }
        let rtt = if self.rtt_us8 > 0 && self.rtt() < srtt { self.rtt() } else { srtt };
        let rtt = if rtt.is_zero() { self.rtt() } else { rtt };
        self.compressed = Some(now + config.comp_sack_delay.min(rtt / 20) + config.comp_sack_slack);
    }

    fn delay_ack(&mut self, now: Instant, config: &TcpConfig, srtt: Duration) {
        let mut ato = self.ato;
        if ato > config.delack_min {
            let mut most = if self.pingpong || self.pushed & 1 != 0 {
                config.delack_max
            } else {
                Duration::from_millis(500)
            };
            if !srtt.is_zero() {
                most = most.min(srtt.max(config.delack_min));
            }
            ato = ato.min(most);
        }
        ato = ato.min(config.delack_max);
        match self.delack {
            Some(at) if at <= now + ato / 4 => self.ack_now = true,
            Some(at) => self.delack = Some(at.min(config.expiry(now, ato))),
            None => self.delack = Some(config.expiry(now, ato)),
        }
    }

    /// A timer of the receiver may have expired.
    pub(crate) fn handle_timeout(&mut self, now: Instant, rto: Duration) {
        if self.compressed.is_some_and(|at| at <= now) {
            self.compressed = None;
            if self.compressed_count > 0 {
                self.ack_now = true;
            }
        }
        if self.delack.is_some_and(|at| at <= now) {
            self.delack = None;
            if self.ack_scheduled {
                if self.pingpong {
                    self.pingpong = false;
                    self.ato = ATO_MIN;
                } else {
                    self.ato = (self.ato * 2).min(rto);
                }
                self.ack_now = true;
            }
        }
    }

    /// The ACK due waits for what the application sends in answer.
    pub(crate) fn expect_answer(&mut self) {
        self.pingpong = true;
        self.ack_scheduled = true;
    }

    /// The sender asks for an ACK at once.
    pub(crate) fn ack_immediately(&mut self) {
        self.ack_now = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;

    #[test]
    fn a_fixed_share_of_the_buffer_backs_the_window() {
        // TCP-24; kernel 5.4 shows `rcv_ssthresh` 64088 with 1448 and 64108 with 1428 octets a segment.
        for (mss, bound) in [(1448, 64_088), (1428, 64_108), (1460, 64_076)] {
            let mut receiver = Receiver::new(&TcpConfig::new(Profile::LinuxOot), 1460);
            receiver.settle(mss);
            assert_eq!((receiver.ssthresh, receiver.window_clamp), (bound, bound));
            receiver.note_data(Instant::ZERO, 1000, 1600, false, Duration::ZERO);
            assert_eq!(receiver.window_of(131_072), 65_536, "whatever arrives");
        }
    }

    fn established(profile: Profile) -> (Receiver, TcpConfig) {
        let config = TcpConfig::new(profile);
        let mut receiver = Receiver::new(&config, 1460);
        (receiver.rcv_nxt, receiver.rcv_wup, receiver.rcv_wnd, receiver.advmss) = (1, 1, 65_160, 1448);
        receiver.reserve_segment();
        (receiver, config)
    }

    fn beyond(receiver: &mut Receiver, config: &TcpConfig, segment: u64) {
        let payload = Payload::pattern(0, segment * 1000, 1000);
        let arrival = Arrival { start: 1 + segment * 1000, payload, map: None, truesize: 1664 };
        receiver.insert_out_of_order(arrival);
        if !receiver.ack_now {
            receiver.acknowledge_out_of_order(Instant::ZERO, config, true, Duration::from_millis(40));
        }
    }

    fn blocks(receiver: &Receiver) -> Vec<(u64, u64)> {
        let offset = |seq: Seq| seq.to_offset(receiver.irs, receiver.rcv_nxt) as u64 / 1000;
        receiver.sack_blocks(4).iter().map(|(start, end)| (offset(start), offset(end))).collect()
    }

    /// What the kernel charges for a frame of 1514 octets.
    const FRAME: u32 = 2176;

    /// Segments acknowledged one by one before the first ACK for two, when each takes 1.2 ms and is read at once.
    fn single_acks(receiver: &mut Receiver, len: u32) -> u32 {
        for count in 0.. {
            let now = Instant::ZERO + Duration::from_micros(1_200) * u64::from(count);
            receiver.rcv_nxt += u64::from(len);
            receiver.note_in_order(now, len, FRAME, false, Duration::from_millis(240), ReceiveSpace::NONE);
            if !receiver.in_quickack() {
                return count;
            }
            receiver.rcv_wup = receiver.rcv_nxt;
            receiver.note_ack_sent();
        }
        unreachable!("the budget of quick ACKs is finite")
    }

    #[test]
    fn the_first_segments_are_acknowledged_one_by_one_while_the_window_grows() {
        // Linux 6.18: all 16 reference captures of plain TCP and of a fallback show 24. A join whose first ACKs
        // were given the window 84096 of the other subflow shows 16.
        let (mut receiver, _) = established(Profile::LinuxUpstream);
        assert_eq!(receiver.ssthresh, 64_088);
        assert_eq!(single_acks(&mut receiver, 1448), 24);
        assert_eq!(receiver.ssthresh, 85_595, "what the buffer backs besides a segment");
        let (mut receiver, _) = established(Profile::LinuxUpstream);
        receiver.rcv_wnd = 84_096;
        assert_eq!(single_acks(&mut receiver, 1424), 16);
        assert_eq!(receiver.ssthresh, 84_096);
    }

    #[test]
    fn a_smaller_round_trip_counts_at_once_and_one_with_a_late_reader_not_at_all() {
        let measured = |profile, unread| {
            let (mut receiver, _) = established(profile);
            receiver.measure_rtt(50, 1, 1448);
            receiver.measure_rtt(90, 50, 1448);
            let least = receiver.rtt().as_micros();
            receiver.unread = unread;
            receiver.measure_rtt(170, 90, 1448);
            (least, receiver.rtt().as_micros())
        };
        assert_eq!(measured(Profile::LinuxUpstream, 0), (40_000, 45_000));
        assert_eq!(measured(Profile::LinuxUpstream, 1), (40_000, 40_000));
        assert_eq!(measured(Profile::LinuxOot, 0), (47_875, 51_890));
    }

    #[test]
    fn a_window_bounds_the_round_trip_from_above() {
        let (mut receiver, _) = established(Profile::LinuxUpstream);
        receiver.measure_rtt(50, 1, 1448);
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        receiver.measure_window(at(100));
        receiver.rcv_nxt += 65_159;
        receiver.measure_window(at(120));
        assert_eq!(receiver.rtt(), Duration::from_millis(49));
        receiver.rcv_nxt += 1;
        receiver.measure_window(at(121));
        assert_eq!(receiver.rtt(), Duration::from_millis(21));
    }

    #[test]
    fn a_held_ack_leaves_before_a_third_block_begins() {
        // `tcp_sack_compress_send_ack`: the segment that caused it is told of with the next ACK only.
        let (mut receiver, config) = established(Profile::LinuxUpstream);
        for segment in [1, 2, 3] {
            beyond(&mut receiver, &config, segment);
            assert!(receiver.ack_now, "the first three leave at once");
            receiver.note_ack_sent();
        }
        for segment in [4, 7] {
            beyond(&mut receiver, &config, segment);
            assert!(!receiver.ack_now && receiver.compressed.is_some(), "{segment} is held back");
        }
        beyond(&mut receiver, &config, 10);
        assert!(receiver.ack_now && receiver.compressed.is_none());
        assert_eq!(blocks(&receiver), [(7, 8), (1, 5)]);
        receiver.note_ack_sent();
        assert_eq!(blocks(&receiver), [(10, 11), (7, 8), (1, 5)]);
        beyond(&mut receiver, &config, 11);
        assert!(!receiver.ack_now, "the first block grows");
        beyond(&mut receiver, &config, 5);
        assert!(receiver.ack_now, "the third one does");
        assert_eq!(blocks(&receiver), [(10, 12), (7, 8), (1, 5)]);
        receiver.note_ack_sent();
        assert_eq!(blocks(&receiver), [(1, 6), (10, 12), (7, 8)]);
    }

    #[test]
    fn before_linux_5_8_a_held_ack_leaves_when_the_list_overflows() {
        let (mut receiver, config) = established(Profile::LinuxOot);
        for segment in [1, 2, 3, 5, 7, 9] {
            beyond(&mut receiver, &config, segment);
            if segment <= 3 {
                receiver.note_ack_sent();
            }
            assert!(!receiver.ack_now, "{segment}");
        }
        beyond(&mut receiver, &config, 11);
        assert!(receiver.ack_now);
        assert_eq!(blocks(&receiver), [(9, 10), (7, 8), (5, 6), (1, 4)]);
    }

    #[test]
    fn what_waits_behind_a_hole_has_its_room_besides() {
        let (mut receiver, _) = established(Profile::LinuxUpstream);
        receiver.drs_space = 14_480;
        receiver.ranges.push((200_001, 240_001));
        receiver.grow_buffer(receiver.drs_space);
        assert_eq!(receiver.rcvbuf, 2 * (2 * 14_480 + 240_000), "at half the memory for payload");
    }

    #[test]
    fn the_buffer_grows_by_what_was_read_and_by_how_much_more_that_was() {
        // TCP-24: 2 * 100000 + 16 * 1448, twice more for the doubling, in segments of 2920 bytes.
        assert_eq!(fixed_ratio_buffer(100_000, 100_000, 1448, 128), (223_168 / 1448) * 2920);
        assert_eq!(fixed_ratio_buffer(100_000, 50_000, 1448, 128), (223_168 * 3 / 1448) * 2920);
    }
}
