//! The receiving half of a flow: what arrives is put in order. What waits and is reported stands in `sack`, when an
//! ACK leaves in `ack_clock`, which window is offered in `buffer`.

mod ack_clock;
mod buffer;
mod sack;

use std::collections::VecDeque;

use sim_core::{Duration, Instant};

pub(crate) use self::buffer::{TailRoom, fixed_ratio_buffer, truesize, truesize_of};
use super::Flow;
use crate::config::TcpConfig;
use crate::wire::{DssMapping, Payload, SackBlocks, Seq};

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

const MAX_QUICKACKS: u8 = 16;

/// Receiver state.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Receiver {
    // What every packet touches comes first.
    pub(crate) irs: Seq,
    pub(crate) ts_recent: u32,
    pub(crate) rcv_nxt: u64,
    /// Offset at the last ACK sent (`rcv_wup`).
    pub(crate) rcv_wup: u64,
    /// Window advertised, counted from `rcv_wup`.
    pub(crate) rcv_wnd: u64,
    pub(crate) ssthresh: u64,
    pub(crate) window_clamp: u64,
    rcv_mss: u32,
    ack_scheduled: bool,
    pub(crate) ack_now: bool,
    pingpong: bool,
    /// `scaling_ratio` is a setting (`tcp_adv_win_scale`).
    pub(crate) fixed_ratio: bool,
    pushed: u8,
    dup_acks: u8,
    compressed_count: u8,
    reports_duplicates: bool,
    /// A smaller sample of the RTT counts at once.
    latches_rtt: bool,
    num_sacks: usize,
    dsack: Option<(u64, u64)>,
    pub(crate) fin_at: Option<u64>,
    pub(crate) delack: Option<Instant>,
    compressed: Option<Instant>,
    /// What an ACK reports that leaves before the list of blocks changes (`tcp_sack_compress_send_ack`).
    flushed: Option<SackBlocks>,
    ato: Duration,
    /// Share of memory that is payload, in 1/256 (`scaling_ratio`).
    pub(crate) scaling_ratio: u32,
    quick: u8,
    /// Receive buffer in bytes of memory (`sk_rcvbuf`).
    pub(crate) rcvbuf: u64,
    pub(crate) unread: u64,
    /// Memory of data in order and not yet read by the application.
    pub(crate) unread_truesize: u64,
    pub(crate) ooo_bytes: u64,
    pub(crate) last_data: Instant,
    /// Payload of the segments asked for (`advmss`).
    pub(crate) advmss: u32,
    rtt_tsecr: u32,
    rtt_us8: u64,
    /// End and start of the window whose arrival is timed (`rcv_rtt_est.seq` and `time`).
    rtt_window: Option<(u64, Instant)>,
    drs_copied: u64,
    pub(crate) drs_space: u64,
    drs_time: Instant,
    pub(crate) tail_room: TailRoom,
    ranges: Vec<(u64, u64)>,

    // What only some packets touch.
    rmem_max: u64,
    rcvbuf_max: u64,
    pub(crate) ooo: VecDeque<Arrival>,
    sacks: [(u64, u64); 4],
    /// A compressed ACK leaves before a block at this place of the list, or behind it, begins or grows.
    blocks_expected: usize,
    dup_acks_at: u64,
    drs_mark: u64,
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
            rcvbuf_max: config.rcvbuf_max(),
            scaling_ratio: 256 - (256 >> config.adv_win_scale.unwrap_or(1).min(8)),
            fixed_ratio: config.adv_win_scale.is_some(),
            ooo: VecDeque::new(),
            ooo_bytes: 0,
            ranges: Vec::new(),
            sacks: [(0, 0); 4],
            num_sacks: 0,
            dsack: None,
            reports_duplicates: config.sack && config.dsack,
            flushed: None,
            blocks_expected: usize::from(config.comp_sack_blocks),
            fin_at: None,
            unread_truesize: 0,
            tail_room: TailRoom::new(config.frame_memory, 12),
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
        receiver.window_clamp =
            receiver.window_of(rcvbuf).min(config.window_clamp.map_or(u64::MAX, u64::from));
        // Whole segments (`tcp_select_initial_window`); the field of a SYN holds no more than 64 KiB.
        let initial = receiver.window_clamp.min(u64::from(config.initial_window_limit));
        let mss = u64::from(mss);
        receiver.rcv_wnd = initial / mss * mss;
        receiver.ssthresh = receiver.rcv_wnd;
        receiver
    }
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
                recv.report_duplicate(arrival.start, arrival.end());
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
            if !recv.fixed_ratio {
                // Since Linux 6.17.
                recv.measure_mss(len, truesize, psh);
            }
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
                recv.report_duplicate(arrival.start, recv.rcv_nxt);
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

    /// Whether everything up to the FIN has arrived and the FIN is next.
    pub(crate) fn fin_reached(&self) -> bool {
        self.recv.fin_at == Some(self.recv.rcv_nxt)
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
}

impl Receiver {
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
