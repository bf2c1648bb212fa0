//! What an application wants to know of its data, as Linux keeps it: which octets are to be timed
//! (`SO_TIMESTAMPING`), which buffers were lent (`MSG_ZEROCOPY`), where records end (`MSG_EOR`), and the entries of
//! the error queue that tell of them. A flow has a watch only when something was asked for.
//!
//! Left out: timestamps of hardware, statistics with timestamps (`OPT_STATS`).

use std::collections::VecDeque;

use sim_core::Instant;

use super::Flow;
use super::sendq::TxSeg;
use super::urgent::Urgent;
use crate::config::FrameMemory;

/// `SOF_TIMESTAMPING_TX_SOFTWARE`: when the driver took the packet.
pub(crate) const TX_SOFTWARE: u32 = 1 << 1;
/// `SOF_TIMESTAMPING_OPT_ID`
pub(crate) const OPT_ID: u32 = 1 << 7;
/// `SOF_TIMESTAMPING_TX_SCHED`: when the packet came to the queue of the device.
pub(crate) const TX_SCHED: u32 = 1 << 8;
/// `SOF_TIMESTAMPING_TX_ACK`: when the data was acknowledged.
pub(crate) const TX_ACK: u32 = 1 << 9;
/// `SOF_TIMESTAMPING_OPT_TSONLY`
pub(crate) const OPT_TSONLY: u32 = 1 << 11;

/// `SCM_TSTAMP_SND`, `SCM_TSTAMP_SCHED`, `SCM_TSTAMP_ACK`
const SND: u32 = 0;
const SCHED: u32 = 1;
const ACK: u32 = 2;
const ENOMSG: u32 = 42;
const ORIGIN_TIMESTAMPING: u8 = 4;
const ORIGIN_ZEROCOPY: u8 = 5;
/// `SO_EE_CODE_ZEROCOPY_COPIED`
const COPIED: u8 = 1;

/// Pieces of memory in one buffer (`MAX_SKB_FRAGS`), and octets of each.
const PIECES: u32 = 17;
const PIECE: u32 = 4096;
/// Octets that calls may lend as one (`msg_zerocopy_realloc`).
const LOAN_LIMIT: u64 = 1 << 19;

/// An entry of the error queue (`struct sock_extended_err`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorEntry {
    /// `ee_errno`
    pub errno: u32,
    /// `ee_origin`
    pub origin: u8,
    /// `ee_type`
    pub kind: u8,
    /// `ee_code`
    pub code: u8,
    /// `ee_info`
    pub info: u32,
    /// `ee_data`
    pub data: u32,
    /// Octets of the packet that comes with it.
    pub len: u32,
    /// The time, if it tells one.
    pub at: Option<Instant>,
}

impl ErrorEntry {
    /// An error of ICMP that quotes so many octets of a segment, with the number that Linux gives it
    /// (`icmp_err_convert`, `icmpv6_err_convert`).
    pub(crate) const fn of_icmp(ipv4: bool, kind: u8, code: u8, quoted: u32) -> Self {
        const NET: u32 = 101;
        const REFUSED: u32 = 111;
        const HOST: u32 = 113;
        let errno = match (ipv4, code) {
            (true, 0 | 6 | 9 | 11) | (false, 0) => NET,
            (true, 2) => 92,
            (true, 3) | (false, 4) => REFUSED,
            (true, 5) => 95,
            (true, 7) => 112,
            (true, 8) => 64,
            // Prohibited by policy.
            (false, 1 | 5 | 6) => 13,
            _ => HOST,
        };
        let origin = if ipv4 { 2 } else { 3 };
        Self { errno, origin, kind, code, info: 0, data: 0, len: quoted, at: None }
    }
}

/// What a write asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteNotes {
    /// The buffers are lent: octets of those not yet taken.
    pub(crate) lent: Option<VecDeque<u32>>,
    /// It is the first part of the write.
    pub(crate) begins: bool,
    /// What is not taken now is taken later.
    pub(crate) waits: bool,
    /// The write ends a record (`MSG_EOR`).
    pub(crate) ends_record: bool,
    /// The last octet is urgent (`MSG_OOB`).
    pub(crate) urgent: bool,
    /// Which times to tell of the last octet.
    pub(crate) times: u32,
}

/// Writes whose buffers are told back together (`struct ubuf_info_msgzc`).
#[derive(Clone, Copy, Debug)]
struct Loan {
    first: u32,
    calls: u32,
    octets: u64,
    start: u64,
    end: u64,
    /// A write goes on.
    open: bool,
    copied: bool,
}

/// An octet whose times are told (`tskey`).
#[derive(Clone, Copy, Debug)]
struct Key {
    at: u64,
    times: u32,
    /// Octets of the buffer it left in.
    len: u32,
}

/// What is kept for an application that wants to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    pub(crate) notes: Option<WriteNotes>,
    /// `SO_TIMESTAMPING`, and the octet that has number 0.
    pub(crate) timestamping: u32,
    pub(crate) key_base: u64,
    /// Everything before was acknowledged, whole buffers at a time.
    pub(crate) freed: u64,
    /// Entries added to the error queue so far, and those not yet read.
    pub(crate) told: u64,
    pub(crate) errors: VecDeque<ErrorEntry>,
    records: VecDeque<u64>,
    loans: VecDeque<Loan>,
    next_loan: u32,
    /// Where the last buffer with lent pieces begins, and how many it has.
    pieces: (u64, u32),
    keys: VecDeque<Key>,
    /// Offset behind the last urgent octet sent, and whether a probe told of it just now.
    pub(super) urgent_end: u64,
    pub(super) urgent_probed: bool,
    /// The urgent octet that the peer announced last.
    pub(crate) urgent: Option<(u64, Urgent)>,
}

impl Watch {
    pub(crate) fn tell(&mut self, entry: ErrorEntry) {
        self.told += 1;
        if entry.origin == ORIGIN_ZEROCOPY
            && let Some(last) = self.errors.back_mut()
            && last.origin == ORIGIN_ZEROCOPY
            && last.data.wrapping_add(1) == entry.info
        {
            // `skb_zerocopy_notify_extend`
            last.data = entry.data;
            return;
        }
        self.errors.push_back(entry);
    }

    fn tell_time(&mut self, now: Instant, key: Key, info: u32, len: u32) {
        let has = |bit: u32| self.timestamping & bit != 0;
        let data = if has(OPT_ID) { key.at.wrapping_sub(self.key_base) as u32 } else { 0 };
        let len = if has(OPT_TSONLY) { 0 } else { len };
        self.tell(ErrorEntry {
            errno: ENOMSG,
            origin: ORIGIN_TIMESTAMPING,
            kind: 0,
            code: 0,
            info,
            data,
            len,
            at: Some(now),
        });
    }

    /// The first loan, of which the SYN carries `sent` octets.
    pub(crate) fn lend_with_syn(&mut self, octets: u64, sent: u64, open: bool) {
        self.next_loan = 1;
        let loan = Loan { first: 0, calls: 1, octets, start: 1, end: 1 + sent, open, copied: true };
        self.loans.push_back(loan);
    }

    /// Buffers that nothing uses any more are told back.
    fn return_loans(&mut self) {
        while let Some(loan) = self.loans.front().copied().filter(|loan| !loan.open && loan.end <= self.freed)
        {
            self.loans.pop_front();
            self.tell(ErrorEntry {
                errno: 0,
                origin: ORIGIN_ZEROCOPY,
                kind: 0,
                code: if loan.copied { COPIED } else { 0 },
                info: loan.first,
                data: loan.first.wrapping_add(loan.calls - 1),
                len: 0,
                at: None,
            });
        }
    }

    fn tell_acknowledged(&mut self, now: Instant, una: u64) {
        while let Some(key) = self.keys.front().copied().filter(|key| key.at < una) {
            self.keys.pop_front();
            if key.times & TX_ACK != 0 {
                self.tell_time(now, key, ACK, key.len);
            }
        }
    }

    /// The buffer that ends at `end` was acknowledged as a whole.
    #[cold]
    pub(super) fn buffer_freed(&mut self, now: Instant, end: u64) {
        self.tell_acknowledged(now, end);
        self.freed = end;
        self.return_loans();
    }

    /// The flow ended: nothing is kept any more.
    pub(super) fn flow_ended(&mut self) {
        self.freed = u64::MAX;
        for loan in &mut self.loans {
            loan.open = false;
        }
        self.return_loans();
    }

    /// Whether what lies before and after `boundary`, from `start` to `end`, may not become one buffer.
    pub(super) fn separates(&self, start: u64, boundary: u64, end: u64) -> bool {
        self.records.contains(&boundary) || self.loans.iter().any(|loan| loan.start < end && start < loan.end)
    }

    pub(super) fn has_keys(&self, start: u64, end: u64) -> bool {
        self.keys.iter().any(|key| (start..end).contains(&key.at))
    }

    pub(super) fn ends_record(&self, end: u64) -> bool {
        self.records.contains(&end)
    }

    /// Of the keys in one buffer the last counts, with all times asked for (`tcp_skb_collapse_tstamp`).
    pub(super) fn merge_keys(&mut self, start: u64, end: u64) {
        let inside = |key: &Key| (start..end).contains(&key.at);
        let times = self.keys.iter().filter(|key| inside(key)).fold(0, |times, key| times | key.times);
        let Some(last) = self.keys.iter().rfind(|key| inside(key)).map(|key| key.at) else { return };
        self.keys.retain(|key| !inside(key) || key.at == last);
        if let Some(key) = self.keys.iter_mut().find(|key| key.at == last) {
            key.times = times;
        }
    }
}

impl Flow {
    /// Where the buffer begins that a write may go on in.
    fn open_tail(&self) -> Option<u64> {
        self.queue.unsent.back().filter(|tail| self.burst_end <= tail.start).map(|tail| tail.start)
    }

    /// A write begins to lend its buffers: alone, or with the one before, if it goes on in the same buffer.
    fn begin_loan(&mut self, octets: u64) {
        let tail = self.open_tail();
        let start = self.queue.write_end;
        let Some(watch) = &mut self.watch else { return };
        let number = watch.next_loan;
        watch.next_loan = number.wrapping_add(1);
        if let (Some(tail), Some(loan)) = (tail, watch.loans.back_mut())
            && loan.end > tail
            && loan.octets + octets <= LOAN_LIMIT
            && loan.calls < u32::from(u16::MAX) - 1
            && loan.first.wrapping_add(loan.calls) == number
        {
            loan.calls += 1;
            loan.octets += octets;
            loan.open = true;
            return;
        }
        let loan = Loan { first: number, calls: 1, octets, start, end: start, open: true, copied: false };
        watch.loans.push_back(loan);
    }

    /// The write took nothing (`net_zcopy_put_abort`).
    fn abort_loan(&mut self, octets: u64) {
        let Some(watch) = &mut self.watch else { return };
        watch.next_loan = watch.next_loan.wrapping_sub(1);
        if let Some(loan) = watch.loans.back_mut() {
            loan.calls -= 1;
            loan.octets -= octets;
            loan.open = false;
            if loan.calls == 0 {
                watch.loans.pop_back();
            }
        }
    }

    /// Begins a write of `octets` with these notes.
    pub(crate) fn begin_watched(&mut self, notes: &WriteNotes, octets: u64) {
        if notes.lent.is_some() && notes.begins {
            self.begin_loan(octets);
        }
    }

    /// Room for a write in the buffer at the tail, as `plain_tail_room`, and how much of `left` octets fits a new one;
    /// each is less where pieces of memory run out. 0 in the first place asks for a new buffer.
    pub(crate) fn watched_room(&self, notes: &WriteNotes, size_goal: u32, left: u32) -> (u32, u32) {
        let room = self.plain_tail_room(size_goal);
        let Some(watch) = &self.watch else { return (room, left) };
        let room = if watch.ends_record(self.queue.write_end) { 0 } else { room };
        let Some(lent) = &notes.lent else { return (room.min(left), left) };
        let tail = self.open_tail();
        let loan = watch.loans.back();
        // A buffer belongs to one loan (`skb_zerocopy_iter_stream`).
        let foreign = |tail: u64| {
            let mut earlier = watch.loans.iter().rev().skip(1);
            loan.is_some_and(|loan| loan.end <= tail || loan.start >= tail)
                && earlier.any(|loan| loan.end > tail)
        };
        let used = tail.filter(|tail| watch.pieces.0 == *tail).map_or(0, |_| watch.pieces.1);
        let fits = |used: u32, most: u32| {
            let (mut octets, mut pieces) = (0, used);
            for len in lent {
                if octets >= most {
                    break;
                }
                let here = (*len).min(most - octets);
                let free = (PIECES - pieces.min(PIECES)) * PIECE;
                octets += here.min(free);
                pieces += here.div_ceil(PIECE);
                if here > free || pieces >= PIECES {
                    break;
                }
            }
            octets
        };
        let room = match tail {
            Some(tail) if room > 0 && !foreign(tail) => fits(used, room.min(left)),
            _ => 0,
        };
        (room, fits(0, left))
    }

    /// `octets` of a write were taken, up to the end of what is queued.
    pub(crate) fn note_taken(&mut self, notes: &mut WriteNotes, octets: u32) {
        let (end, tail) = (self.queue.write_end, self.queue.unsent.back().map_or(0, |tail| tail.start));
        let Some(watch) = &mut self.watch else { return };
        if let Some(loan) = watch.loans.back_mut()
            && (notes.lent.is_some() || loan.end > tail)
        {
            // Other octets in the same buffer hold it, too.
            loan.end = end;
        }
        let Some(lent) = &mut notes.lent else { return };
        if watch.pieces.0 != tail {
            watch.pieces = (tail, 0);
        }
        let mut left = octets;
        while let Some(first) = lent.front_mut() {
            let here = left.min(*first);
            watch.pieces.1 += here.div_ceil(PIECE);
            *first -= here;
            left -= here;
            if *first > 0 {
                break;
            }
            lent.pop_front();
        }
    }

    /// A part of a write ends that took `accepted` of `len` octets, before it is pushed.
    pub(crate) fn end_watched(&mut self, notes: &WriteNotes, accepted: u64, len: u64) {
        let end = self.queue.write_end;
        let tail = self.queue.unsent.back().map(|tail| tail.start);
        if notes.lent.is_some() && notes.begins && accepted == 0 {
            return self.abort_loan(len);
        }
        let over = accepted == len || !notes.waits;
        if notes.urgent && accepted > 0 {
            self.mark_urgent();
        }
        let una = self.snd_una;
        let Some(watch) = &mut self.watch else { return };
        if !over {
            return;
        }
        while watch.records.front().is_some_and(|record| *record <= una) {
            watch.records.pop_front();
        }
        if notes.ends_record && accepted == len {
            watch.records.push_back(end);
        }
        if notes.times & (TX_SOFTWARE | TX_SCHED | TX_ACK) != 0
            && let Some(tail) = tail
        {
            watch.keys.push_back(Key { at: end - 1, times: notes.times, len: 0 });
            watch.merge_keys(tail, end);
        }
        if notes.lent.is_some() {
            if let Some(loan) = watch.loans.back_mut() {
                loan.open = false;
            }
            watch.return_loans();
        }
    }

    /// A burst of new data leaves.
    #[cold]
    pub(super) fn note_burst(&mut self, now: Instant, mss: u32) {
        let (start, end) = (self.burst_start, self.burst_end);
        self.note_leaving(now, start, end, mss);
    }

    /// A segment leaves again.
    #[cold]
    pub(super) fn note_resent(&mut self, now: Instant, seg: &TxSeg) {
        self.note_leaving(now, seg.start, seg.start + u64::from(seg.len), u32::from(seg.len));
    }

    fn note_leaving(&mut self, now: Instant, start: u64, end: u64, mss: u32) {
        let headers = if self.params.local.is_ipv4() { 40 } else { 60 } + if self.ts_ok { 12 } else { 0 };
        let copies = self.config.frame_memory == FrameMemory::Tun;
        let Some(watch) = &mut self.watch else { return };
        for loan in &mut watch.loans {
            loan.copied |= copies && loan.start < end && start < loan.end;
        }
        for index in 0..watch.keys.len() {
            let Some(key) = watch.keys.get_mut(index).filter(|key| (start..end).contains(&key.at)) else {
                continue;
            };
            key.len = (end - start) as u32;
            let key = *key;
            if key.times & TX_SCHED != 0 {
                watch.tell_time(now, key, SCHED, headers + (end - start) as u32);
            }
            if key.times & TX_SOFTWARE != 0 {
                let first = start + (key.at - start) / u64::from(mss.max(1)) * u64::from(mss.max(1));
                watch.tell_time(now, key, SND, headers + (end - first).min(mss.into()) as u32);
            }
        }
    }

    /// The SYN was acknowledged, with or without the data it carried.
    #[cold]
    pub(super) fn note_syn_acknowledged(&mut self, now: Instant) {
        let una = self.snd_una;
        if let Some(watch) = &mut self.watch {
            watch.freed = una;
        }
        self.note_acknowledged(now);
    }

    /// Everything up to `snd_una` was acknowledged.
    #[cold]
    pub(super) fn note_acknowledged(&mut self, now: Instant) {
        let una = self.snd_una;
        self.urgent_acknowledged();
        if self.queue.sent.is_empty()
            && self.queue.unsent.is_empty()
            && let Some(watch) = &mut self.watch
        {
            watch.freed = watch.freed.max(una);
        }
        if let Some(watch) = &mut self.watch {
            watch.tell_acknowledged(now, una);
            watch.return_loans();
        }
    }
}
