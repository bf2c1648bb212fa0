//! Connection-level reassembly and the shared receive buffer (RFC 8684, section 3.3.1): positions in the
//! stream count from 0, the octet with data sequence number IDSN + 1.

use std::collections::VecDeque;

use sim_core::{Duration, Instant};

use crate::config::{FrameMemory, TcpConfig};
use crate::tcp::{ReceiveSpace, Receiver, TailRoom, fixed_ratio_buffer};
use crate::wire::Payload;

/// Frames that fit one buffer when those of one mapping are merged (`skb_try_coalesce`).
pub(super) const MERGED_FRAMES: usize = 18;
/// Memory that each of them but the first gives back: its descriptor.
pub(super) const MERGED_GAIN: u32 = 256;

/// Reassembly of the data stream.
#[derive(Debug)]
pub(crate) struct StreamReceiver {
    /// Next position expected: the DATA_ACK.
    pub(crate) next: u64,
    pub(crate) unread: u64,
    pub(crate) unread_truesize: u64,
    /// Right edge advertised so far.
    pub(crate) window_end: u64,
    pub(super) rcvbuf: u64,
    /// Share of memory that is payload, in 1/256 (`scaling_ratio`): what the subflows had when space was last
    /// measured, the least of them.
    ratio: u64,
    /// Memory of what waits out of order.
    ooo_truesize: u64,
    pub(crate) ooo_bytes: u64,
    /// Position of the DATA_FIN.
    pub(crate) fin_at: Option<u64>,
    pub(crate) fin_done: bool,
    /// Frames that follow each other are merged here, not before, as those of mappings with checksums are.
    pub(super) merges: bool,
    ranges: VecDeque<(u64, u64)>,
    pub(crate) duplicate_bytes: u64,
    pub(crate) ooo_arrivals: u64,
    drs_copied: u64,
    drs_time: Instant,
    /// RTT of the last measurement.
    drs_rtt: Duration,
    /// Segment size to count with where the share of payload is a setting.
    fixed_mss: Option<u64>,
    tail_room: TailRoom,
    pub(super) rcvbuf_max: u64,
    drs_space: u64,
    /// Counts what may have changed the window that is to be offered.
    version: u64,
}

/// The window field that left on a subflow last, and how often the connection had seen a change by then.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offered {
    version: u64,
    field: u16,
}

/// What the subflows contribute to the measuring of receive space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadMeasure {
    /// Largest receiver RTT.
    pub(crate) rtt: Duration,
    /// Least share of memory that is payload, in 1/256.
    pub(crate) scaling_ratio: u32,
}

impl ReadMeasure {
    /// Of subflows with these round trips and shares.
    pub(crate) fn of(subflows: impl Iterator<Item = (Duration, u32)>) -> Self {
        let none = Self { rtt: Duration::ZERO, scaling_ratio: 255 };
        subflows.fold(none, |all, (rtt, ratio)| Self {
            rtt: all.rtt.max(rtt),
            scaling_ratio: all.scaling_ratio.min(ratio),
        })
    }
}

impl StreamReceiver {
    pub(crate) fn new(config: &TcpConfig) -> Self {
        Self {
            next: 0,
            fin_at: None,
            fin_done: false,
            window_end: 0,
            ranges: VecDeque::new(),
            ooo_bytes: 0,
            unread: 0,
            unread_truesize: 0,
            tail_room: TailRoom::new(config.frame_memory, 40),
            duplicate_bytes: 0,
            ooo_arrivals: 0,
            rcvbuf: u64::from(config.rmem[1]),
            rcvbuf_max: config.rcvbuf_max(),
            fixed_mss: None,
            ratio: 128,
            ooo_truesize: 0,
            merges: config.frame_memory == FrameMemory::Network,
            drs_space: 14_480,
            drs_copied: 0,
            drs_time: Instant::ZERO,
            drs_rtt: Duration::ZERO,
            version: 1,
        }
    }

    /// Something happened that may change the window that is to be offered on any subflow.
    #[inline(always)]
    pub(super) const fn changed(&mut self) {
        self.version += 1;
    }

    /// Measures from now on how much is read in a round trip, taking it for `window` octets at first
    /// (`mptcp_rcv_space_init`).
    pub(super) fn start_right_sizing(&mut self, now: Instant, window: u64) {
        self.drs_space = window;
        self.drs_time = now;
    }

    /// The same in the out-of-tree kernel, which starts with the window it offered first
    /// (`mptcp_init_buffer_space`) and counts in segments of `mss` octets.
    pub(super) fn start_fixed_sizing(&mut self, now: Instant, window: u64, mss: u64) {
        self.start_right_sizing(now, window);
        self.fixed_mss = Some(mss);
    }

    /// The application chooses the size of the buffer.
    pub(super) fn fix_buffer(&mut self, bytes: u64) {
        self.changed();
        self.rcvbuf = bytes;
        self.rcvbuf_max = bytes;
    }

    pub(crate) fn space(&self) -> ReceiveSpace {
        let used = self.unread_truesize + self.ooo_truesize;
        ReceiveSpace {
            free: (self.rcvbuf.saturating_sub(used) * self.ratio) >> 8,
            full: (self.rcvbuf * self.ratio) >> 8,
        }
    }

    /// The window that leaves on a subflow, with `part` of the buffer behind it: its right edge is the connection's, the
    /// same on all subflows (`mptcp_set_rwin`). The out-of-tree kernel offers what the field can say and no less.
    #[inline(always)]
    pub(super) fn offer_shared(&mut self, part: &mut Receiver, scale: u8, rounds_up: bool) -> u64 {
        let window = part.fresh_window(self.space(), scale);
        let edge = self.next + window;
        if edge > self.window_end {
            self.window_end = edge;
            self.changed();
            return window;
        }
        let most = if scale == 0 { 65_535 } else { 65_535u64 << scale };
        let mut window = (self.window_end - self.next).min(most);
        if rounds_up {
            window = window.next_multiple_of(1 << scale).min(most);
            self.window_end = self.next + window;
        }
        part.rcv_wnd = window;
        window
    }

    /// The window field of a segment with a DSS: as [`offer_shared`](Self::offer_shared), or once more what left on the
    /// subflow last, where nothing happened since.
    #[inline(always)]
    pub(super) fn window_field(&mut self, part: &mut Receiver, offered: &mut Offered, scale: u8) -> u16 {
        if offered.version != self.version {
            let window = self.offer_shared(part, scale, false);
            *offered = Offered { version: self.version, field: (window >> scale).min(65_535) as u16 };
        }
        debug_assert_eq!((part.rcv_wup, offered.field), (part.rcv_nxt, self.field_anew(part, scale)));
        offered.field
    }

    /// The same, worked out without a change.
    fn field_anew(&self, part: &Receiver, scale: u8) -> u16 {
        let most = 65_535_u64 << scale;
        let own = part.new_window(self.space(), scale).min(most);
        let window = own.max(self.window_end.saturating_sub(self.next)).min(most);
        (window >> scale).min(65_535) as u16
    }

    /// Data at position `start`. Returns the octets that are now in order.
    pub(crate) fn insert(&mut self, start: u64, len: u64, truesize: u64) -> u64 {
        self.changed();
        let end = start + len;
        if end <= self.next {
            self.duplicate_bytes += len;
            return 0;
        }
        if start > self.next {
            self.ooo_arrivals += 1;
            let (held, merged) = (self.ooo_bytes, self.ranges.back().is_some_and(|last| last.1 == start));
            self.insert_range(start, end);
            if self.ooo_bytes > held {
                self.ooo_truesize += self.merged(truesize, merged);
            }
            return 0;
        }
        let (before, mut moved) = (self.next, 0);
        self.duplicate_bytes += self.next - start;
        self.next = end;
        while let Some(&(s, e)) = self.ranges.front() {
            if s > self.next {
                break;
            }
            self.ranges.pop_front();
            let overlap = self.next.min(e) - s;
            self.duplicate_bytes += overlap;
            let truesize = self.ooo_truesize * (e - s) / self.ooo_bytes;
            self.ooo_truesize -= truesize;
            moved += truesize;
            self.ooo_bytes -= e - s;
            self.next = self.next.max(e);
        }
        let gained = self.next - before;
        let truesize =
            if gained == len { self.tail_room.charge(self.unread, len, truesize) } else { truesize };
        self.unread_truesize += moved + self.merged(truesize, self.unread > 0);
        self.unread += gained;
        gained
    }

    /// Memory of a frame of `truesize` that may be merged with the one before.
    #[inline]
    const fn merged(&self, truesize: u64, merged: bool) -> u64 {
        // One in so many begins a buffer.
        const GAIN: u64 = MERGED_GAIN as u64 * (MERGED_FRAMES as u64 - 1) / MERGED_FRAMES as u64;
        if merged && self.merges { truesize.saturating_sub(GAIN) } else { truesize }
    }

    fn insert_range(&mut self, mut start: u64, mut end: u64) {
        let len = end - start;
        // What travels on the path ahead continues the last range.
        if let Some(last) = self.ranges.back_mut()
            && last.1 <= start
        {
            if last.1 == start {
                last.1 = end;
            } else {
                self.ranges.push_back((start, end));
            }
            self.ooo_bytes += len;
            return;
        }
        let at = self.ranges.partition_point(|&(_, e)| e < start);
        let mut stop = at;
        let mut held = 0;
        while stop < self.ranges.len() && self.ranges[stop].0 <= end {
            held += self.ranges[stop].1 - self.ranges[stop].0;
            stop += 1;
        }
        if stop == at {
            self.ranges.insert(at, (start, end));
            self.ooo_bytes += len;
            return;
        }
        start = start.min(self.ranges[at].0);
        end = end.max(self.ranges[stop - 1].1);
        self.ranges[at] = (start, end);
        self.ranges.drain(at + 1..stop);
        let new = end - start - held;
        self.ooo_bytes += new;
        self.duplicate_bytes += len - new.min(len);
    }

    /// Whether everything before the DATA_FIN has arrived; it then counts as received.
    pub(crate) fn take_fin(&mut self) -> bool {
        if self.fin_done || self.fin_at != Some(self.next) {
            return false;
        }
        self.changed();
        self.fin_done = true;
        self.next += 1;
        true
    }

    /// The application read `len` octets. Returns the
    /// amount read in the last RTT if the buffers of the subflows should follow it
    /// (`mptcp_rcv_space_adjust`).
    pub(crate) fn read(
        &mut self,
        now: Instant,
        len: u64,
        measure: impl FnOnce() -> ReadMeasure,
    ) -> Option<u64> {
        self.changed();
        let freed =
            if len >= self.unread { self.unread_truesize } else { self.unread_truesize * len / self.unread };
        self.unread -= len;
        self.unread_truesize -= freed;
        self.drs_copied += len;
        let elapsed = now.saturating_since(self.drs_time);
        if elapsed < self.drs_rtt && self.fixed_mss.is_none() {
            return None;
        }
        let ReadMeasure { rtt, scaling_ratio } = measure();
        self.ratio = u64::from(scaling_ratio).max(1);
        self.drs_rtt = rtt;
        if rtt.is_zero() || elapsed < rtt {
            return None;
        }
        let copied = self.drs_copied;
        let grown = copied > self.drs_space && self.grow(copied);
        self.drs_copied = 0;
        self.drs_time = now;
        grown.then_some(copied)
    }

    /// Returns whether the subflows are to follow.
    fn grow(&mut self, copied: u64) -> bool {
        let old = self.drs_space.max(1);
        self.drs_space = copied;
        if let Some(mss) = self.fixed_mss {
            let wanted = fixed_ratio_buffer(copied, old, mss, self.ratio);
            self.rcvbuf = self.rcvbuf.max(wanted.min(self.rcvbuf_max));
            return true;
        }
        // `mptcp_rcvbuf_grow`; what waits out of order counts with the subflows only (Linux 6.18.14).
        let window = copied << 1;
        let window = window + ((window * (copied - old) / old) << 1);
        let wanted = ((window << 8) / self.ratio).min(self.rcvbuf_max);
        let grows = wanted > self.rcvbuf;
        self.rcvbuf = self.rcvbuf.max(wanted);
        grows
    }
}

/// Verification of the delivered stream: every octet must be the one the sender put at its position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Integrity {
    /// Pattern of the stream, learnt from the first data.
    pub seed: Option<u32>,
    /// Octets checked.
    pub verified: u64,
    /// Octets that were not what was sent at their position.
    pub corrupted: u64,
}

impl Integrity {
    /// Check what is new of `payload`, delivered at position `at` when `next` was the next one expected: of two contents
    /// for one position the first counts (MAL-23).
    #[inline(always)]
    pub(super) fn check_new(&mut self, at: u64, payload: &Payload, next: u64) {
        if at >= next {
            return self.check(at, payload);
        }
        let (known, len) = (next - at, u64::from(payload.len()));
        if known < len {
            self.check(next, &payload.slice(known as u32, (len - known) as u32));
        }
    }

    /// Check `payload`, delivered at position `at`.
    #[inline(always)]
    pub(crate) fn check(&mut self, at: u64, payload: &Payload) {
        match payload {
            Payload::Empty => {}
            Payload::Pattern { seed, offset, len } => {
                let (expected, len) = (*self.seed.get_or_insert(*seed), u64::from(*len));
                self.verified += len;
                if expected != *seed || *offset != at {
                    self.corrupted += len;
                }
            }
            Payload::Literal(_) => {
                // Literal content has no pattern to hold it to.
                let Some(seed) = self.seed else { return };
                let len = u64::from(payload.len());
                self.verified += len;
                if !payload.same_octets(&Payload::pattern(seed, at, payload.len())) {
                    self.corrupted += len;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;

    #[test]
    fn out_of_order_data_waits_for_the_hole_and_duplicates_are_counted() {
        // DSS-07
        let mut stream = StreamReceiver::new(&TcpConfig::new(Profile::LinuxUpstream));
        assert_eq!(stream.insert(100, 100, 800), 0);
        assert_eq!(stream.insert(300, 100, 800), 0);
        assert_eq!(stream.insert(150, 100, 800), 0);
        assert_eq!(stream.ooo_bytes, 250);
        assert_eq!(stream.duplicate_bytes, 50);
        assert_eq!(stream.insert(0, 100, 800), 250);
        assert_eq!((stream.next, stream.unread, stream.ooo_bytes), (250, 250, 100));
        assert_eq!(stream.insert(0, 100, 800), 0);
        assert_eq!(stream.duplicate_bytes, 150);
        assert_eq!(stream.insert(250, 50, 800), 150);
        assert_eq!(stream.next, 400);
    }

    #[test]
    fn the_buffer_grows_by_what_was_read_in_the_longest_round_trip() {
        // WND-04
        let millis = Duration::from_millis;
        let measure = ReadMeasure::of([(millis(20), 128), (millis(400), 100), (millis(90), 200)].into_iter());
        assert_eq!((measure.rtt, measure.scaling_ratio), (millis(400), 100));
        let mut stream = StreamReceiver::new(&TcpConfig::new(Profile::LinuxUpstream));
        stream.read(Instant::ZERO + millis(1), 0, || measure);
        let start = stream.rcvbuf;
        let mut grown = Vec::new();
        for step in 1..=20 {
            stream.insert(step * 60_000 - 60_000, 60_000, 120_000);
            let at = Instant::ZERO + millis(1 + step * 50);
            if stream.read(at, 60_000, || measure).is_some() {
                grown.push(step * 50);
            }
        }
        assert_eq!(grown.first(), Some(&400), "{grown:?}");
        assert!(stream.rcvbuf > start * 4, "{start} {}", stream.rcvbuf);
    }

    #[test]
    fn what_waits_out_of_order_leaves_the_buffer_as_it_is() {
        // WND-04, `mptcp_rcvbuf_grow` as of Linux 6.18.14
        let mut stream = StreamReceiver::new(&TcpConfig::new(Profile::LinuxUpstream));
        stream.insert(100_000, 1_000, 2_000);
        assert_eq!((stream.rcvbuf, stream.space().free), (131_072, (131_072 - 2_000) / 2));
    }

    #[test]
    fn frames_that_follow_each_other_share_descriptors_whether_in_order_or_not() {
        // Ten full frames out of order: `ss -m` of Linux 6.18 shows 19456 octets.
        let mut stream = StreamReceiver::new(&TcpConfig::new(Profile::LinuxUpstream));
        for frame in 0..10 {
            stream.insert(5_000 + frame * 1_424, 1_424, 2_176);
        }
        assert!(stream.ooo_truesize.abs_diff(19_456) < 200, "{}", stream.ooo_truesize);
        let held = stream.ooo_truesize;
        stream.insert(0, 5_000, 7_000);
        assert_eq!((stream.ooo_truesize, stream.unread_truesize), (0, held + 7_000));
        stream.merges = false;
        stream.insert(50_000, 1_000, 2_000);
        stream.insert(51_000, 1_000, 2_000);
        assert_eq!(stream.ooo_truesize, 4_000);
    }

    #[test]
    fn octets_at_the_wrong_position_are_noticed() {
        // INV-01
        let mut check = Integrity::default();
        check.check(0, &Payload::pattern(7, 0, 10));
        assert_eq!((check.verified, check.corrupted), (10, 0));
        check.check(10, &Payload::pattern(7, 20, 10));
        assert_eq!(check.corrupted, 10);
        check.check(20, &Payload::pattern(8, 20, 10));
        assert_eq!(check.corrupted, 20);
    }
}
