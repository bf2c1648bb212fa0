//! One TCP flow, each direction by itself: numbering from the initial sequence number, what is new and what
//! was sent again, acknowledgments, round-trip times, data in flight, windows.
//!
//! Offsets count from the SYN at 0, so the first octet of data is 1. Of a flow whose SYN was not seen, the
//! first sequence number seen is 1 and lower ones are negative.

use std::collections::VecDeque;
use std::net::SocketAddr;

use mptcp_model::wire::{Seq, TcpFlags};

use super::ConnectionId;
use super::holes::{Holes, Passage};
use super::mapping::Mappings;
use crate::histogram::Histogram;
use crate::trace::{FlowDirection, SegmentView};

/// A TCP flow: one use of a pair of addresses and ports.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Who opened it, or sent its first packet if that was not seen.
    pub client: SocketAddr,
    /// The other side.
    pub server: SocketAddr,
    /// Index of the interface of its first packet.
    pub interface: usize,
    /// The connection it belongs to; a plain TCP flow has one of its own.
    pub connection: ConnectionId,
    /// Whether its client is the responder of the connection.
    pub reversed: bool,
    /// Whether a SYN was seen.
    pub from_start: bool,
    /// Whether MP_JOIN was seen.
    pub join: bool,
    /// Handshake.
    pub handshake: Handshake,
    /// First and last packet, in nanoseconds.
    pub time: (u64, u64),
    /// Whether its use for the connection has been decided.
    pub(super) settled: bool,
    pub(super) halves: [Half; 2],
}

/// What was seen of a handshake; times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// First SYN.
    pub syn: Option<u64>,
    /// SYNs without ACK.
    pub syns: u64,
    /// First SYN/ACK.
    pub syn_ack: Option<u64>,
    /// First packet of the client with ACK and without SYN.
    pub ack: Option<u64>,
    /// Random numbers of MP_JOIN, of client and server.
    pub nonces: [Option<u32>; 2],
    /// Address ids of MP_JOIN, of client and server.
    pub address_ids: [Option<u8>; 2],
    /// Whether MP_JOIN asked for a backup, by client and server.
    pub backup: [bool; 2],
    /// Whether the HMAC of client and server are right; `None` if not seen or keys or nonces are missing.
    pub authentic: [Option<bool>; 2],
}

/// How a segment stands to those before it in its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// Takes no room in the sequence space.
    Empty,
    /// Has octets beyond all before.
    New,
    /// Nothing that had not been sent before.
    Retransmission,
    /// Fills a hole, and was sent before what made it.
    OutOfOrder,
    /// One octet, or none, below what is next: a probe of the peer.
    Probe,
}

/// One direction of a flow.
#[derive(Clone, Debug, Default)]
pub struct Half {
    base: Option<Seq>,
    /// The sequence number that mappings count from, as far as known.
    ssn_base: Option<Seq>,
    holes: Holes,
    /// Cumulative acknowledgment by the other side.
    pub(super) acknowledged: i64,
    pub(super) mappings: Mappings,
    outstanding: VecDeque<(i64, u64)>,
    timestamps: VecDeque<(u32, u64)>,
    last_data: Option<u64>,
    burst: u64,
    /// When the acknowledgment last advanced, or data was sent with none outstanding.
    pub(super) progress: u64,
    /// The window announced last, in octets.
    window: u64,
    /// Window shift of its SYN.
    pub(super) scale: Option<u8>,
    /// What was counted.
    pub counts: HalfCounts,
}

/// Counters of one direction of a flow.
#[derive(Clone, Debug, Default)]
pub struct HalfCounts {
    /// Packets.
    pub packets: u64,
    /// Octets of IP packets.
    pub ip_octets: u64,
    /// Packets with payload.
    pub data_packets: u64,
    /// Octets of payload, repetitions included.
    pub payload: u64,
    /// Octets of payload beyond all before, or in holes.
    pub new_payload: u64,
    /// Segments whose octets had all been sent before (SYN and FIN count as octets).
    pub retransmissions: u64,
    /// Octets of payload in them.
    pub retransmitted: u64,
    /// Retransmissions of what had been acknowledged already.
    pub after_ack: u64,
    /// SACK blocks of the other side that told of duplicates (RFC 2883).
    pub duplicates_reported: u64,
    /// Segments that fill a hole and were sent before what made it.
    pub out_of_order: u64,
    /// Keep-alives and window probes.
    pub probes: u64,
    /// Packets without payload, SYN, FIN and RST.
    pub pure_acks: u64,
    /// Acknowledgments that repeat the last one while data is in flight.
    pub duplicate_acks: u64,
    /// Packets with SYN.
    pub syns: u64,
    /// Packets with FIN.
    pub fins: u64,
    /// Packets with RST.
    pub resets: u64,
    /// MPTCP options by subtype, one a packet.
    pub options: [u64; 16],
    /// Octets of payload without a mapping, on a subflow that uses mappings.
    pub unmapped: u64,
    /// First packet with payload, in nanoseconds.
    pub first_data: Option<u64>,
    /// Last packet with payload, in nanoseconds.
    pub last_data: Option<u64>,
    /// From data to the acknowledgment that covers it (Karn's rule), in nanoseconds.
    pub rtt: Histogram,
    /// From a timestamp to its first echo, in nanoseconds.
    pub rtt_timestamps: Histogram,
    /// Octets in flight after each packet with new data.
    pub flight: Histogram,
    /// Window announced, in octets, by packet.
    pub window: Histogram,
    /// Packets that announced a window of 0.
    pub zero_windows: u64,
    /// Packets with payload in a row, less than a millisecond apart.
    pub bursts: Histogram,
}

/// What one segment meant for its direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) offset: i64,
    pub(super) novelty: Novelty,
    /// Whether the cumulative acknowledgment of the other direction advanced.
    pub(super) advanced: bool,
    /// Round-trip time of data of the other direction that it acknowledges, in nanoseconds.
    pub(super) rtt: Option<u64>,
}

/// Packets closer than this belong to one burst, in nanoseconds.
const BURST_GAP: u64 = 1_000_000;
/// Without timestamps, data that comes later than this after the hole it fills was sent again (as Wireshark
/// has it), in nanoseconds.
const REORDERING: u64 = 3_000_000;
/// Timestamps and segments waiting for their acknowledgment.
const WAITING: usize = 1 << 16;

impl Flow {
    pub(super) fn new(client: SocketAddr, server: SocketAddr, interface: usize, nanos: u64) -> Self {
        Self {
            client,
            server,
            interface,
            connection: ConnectionId(u32::MAX),
            reversed: false,
            from_start: false,
            join: false,
            handshake: Handshake::default(),
            time: (nanos, nanos),
            settled: false,
            halves: [Half::default(), Half::default()],
        }
    }

    /// The counters of a direction.
    #[must_use]
    pub const fn counts(&self, direction: FlowDirection) -> &HalfCounts {
        &self.halves[direction as usize].counts
    }

    /// The initial sequence numbers of client and server, of those whose SYN was seen.
    #[must_use]
    pub fn initial_numbers(&self) -> [Option<u32>; 2] {
        [0, 1].map(|side| {
            let half = &self.halves[side];
            half.base.filter(|_| half.scale_known()).map(|base| base.0)
        })
    }

    /// Octets the other side has acknowledged in a direction.
    #[must_use]
    pub fn acknowledged(&self, direction: FlowDirection) -> u64 {
        (self.halves[direction as usize].acknowledged - 1).max(0).unsigned_abs()
    }

    /// Octets sent in a direction and not acknowledged.
    #[must_use]
    pub fn in_flight(&self, direction: FlowDirection) -> u64 {
        let half = &self.halves[direction as usize];
        (half.holes.highest().unwrap_or(1) - half.acknowledged.max(1)).max(0).unsigned_abs()
    }

    /// The window the sender of a direction announced last, in octets.
    #[must_use]
    pub const fn announced_window(&self, direction: FlowDirection) -> u64 {
        self.halves[direction as usize].window
    }

    /// Whether `segment` begins another flow between the same ports.
    pub(super) fn begins_anew(&self, segment: &SegmentView<'_>, direction: FlowDirection) -> bool {
        let half = &self.halves[direction as usize];
        segment.flags.syn()
            && !segment.flags.ack()
            && half.base.is_some_and(|base| !self.from_start || base != segment.seq)
    }

    /// Takes a segment into account.
    pub(super) fn step(
        &mut self,
        nanos: u64,
        direction: FlowDirection,
        segment: &SegmentView<'_>,
        options: &TcpFacts,
    ) -> Step {
        self.time.1 = nanos;
        let flags = segment.flags;
        if flags.syn() {
            self.from_start = true;
            let handshake = &mut self.handshake;
            if flags.ack() {
                handshake.syn_ack.get_or_insert(nanos);
            } else {
                handshake.syn.get_or_insert(nanos);
                handshake.syns += 1;
            }
        } else if direction == FlowDirection::ClientToServer && flags.ack() && self.from_start {
            self.handshake.ack.get_or_insert(nanos);
        }
        let scaled = self.halves[0].scale.is_some() && self.halves[1].scale.is_some();
        let [first, second] = &mut self.halves;
        let (sent, back) = match direction {
            FlowDirection::ClientToServer => (first, second),
            FlowDirection::ServerToClient => (second, first),
        };
        let window_before = sent.window;
        let (offset, novelty) = sent.sent(nanos, segment, options, scaled);
        let (mut advanced, mut rtt) = (false, None);
        if flags.ack() {
            let same_window = window_before == sent.window;
            let pure = novelty == Novelty::Empty && !flags.rst();
            (advanced, rtt) = back.acked(nanos, segment, options, pure && same_window, &mut sent.counts);
        }
        Step { offset, novelty, advanced, rtt }
    }
}

/// The TCP options of a segment, as far as a flow needs them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TcpFacts {
    pub(super) scale: Option<u8>,
    pub(super) timestamps: Option<(u32, u32)>,
    /// First SACK block, and whether there are others.
    pub(super) sack: Option<(Seq, Seq)>,
    pub(super) more_sack: Option<(Seq, Seq)>,
}

impl Half {
    /// The stream offset of a sequence number.
    pub(super) fn offset(&mut self, seq: Seq) -> i64 {
        let base = *self.base.get_or_insert(Seq(seq.0.wrapping_sub(1)));
        let near = self.holes.highest().unwrap_or(1);
        // `to_offset` counts from an unsigned offset; what lies before the base is negative.
        let near_seq = Seq(base.0.wrapping_add(near as u32));
        near + i64::from(seq.0.wrapping_sub(near_seq.0).cast_signed())
    }

    /// The stream offset that a subflow sequence number means. `hint` is the sequence number of the segment
    /// with the mapping: without a SYN, the lowest difference seen is taken for the initial number.
    pub(super) fn mapped_offset(&mut self, ssn: u32, hint: Seq) -> i64 {
        let guess = Seq(hint.0.wrapping_sub(ssn));
        let base = match self.ssn_base {
            Some(base) if !guess.before(base) => base,
            Some(base) if self.scale_known() => base,
            _ => guess,
        };
        self.ssn_base = Some(base);
        self.offset(base.wrapping_add(ssn))
    }

    /// Whether the SYN of this direction was seen.
    const fn scale_known(&self) -> bool {
        self.counts.syns > 0
    }

    fn sent(
        &mut self,
        nanos: u64,
        segment: &SegmentView<'_>,
        options: &TcpFacts,
        scaled: bool,
    ) -> (i64, Novelty) {
        let flags = segment.flags;
        let counts = &mut self.counts;
        counts.packets += 1;
        counts.syns += u64::from(flags.syn());
        counts.fins += u64::from(flags.fin());
        counts.resets += u64::from(flags.rst());
        if flags.syn() {
            self.base.get_or_insert(segment.seq);
            self.ssn_base = self.base;
            self.scale = options.scale.map(|scale| scale.min(14));
        }
        if !flags.rst() {
            let shift = if scaled && !flags.syn() { self.scale.unwrap_or(0) } else { 0 };
            self.window = u64::from(segment.window) << shift;
            self.counts.window.add(self.window);
            self.counts.zero_windows += u64::from(self.window == 0);
        }
        let len = segment.payload_len;
        let control = TcpFlags::SYN.with(TcpFlags::FIN).with(TcpFlags::RST);
        if len == 0 && !flags.intersects(control) {
            self.counts.pure_acks += 1;
        }
        // A RST often has a number of its own; it takes no room.
        if flags.rst() && self.base.is_none() {
            return (1, Novelty::Empty);
        }
        let offset = self.offset(segment.seq);
        let room = i64::from(len) + i64::from(flags.syn()) + i64::from(flags.fin());
        if let Some((value, _)) = options.timestamps
            && room > 0
        {
            self.remember_timestamp(value, nanos);
        }
        if len > 0 {
            self.count_data(nanos, len);
        }
        let highest = self.holes.highest();
        if len <= 1 && highest.is_some_and(|highest| offset == highest - 1) && !flags.intersects(control) {
            self.counts.probes += 1;
            return (offset, Novelty::Probe);
        }
        if room == 0 {
            return (offset, Novelty::Empty);
        }
        let timestamp = options.timestamps.map(|(value, _)| value);
        let passage = self.holes.pass(offset, offset + room, nanos, timestamp);
        let novelty = match passage {
            Passage::New(octets) => {
                self.counts.new_payload += octets.min(i64::from(len)).unsigned_abs();
                if self.outstanding.len() < WAITING {
                    self.outstanding.push_back((offset + room, nanos));
                }
                let flight = (offset + room - self.acknowledged).max(0).unsigned_abs();
                if flight <= u64::from(len) {
                    self.progress = nanos;
                }
                if len > 0 && self.counts.window.count() > 1 {
                    self.counts.flight.add(flight);
                }
                Novelty::New
            }
            Passage::Fills(hole, octets) => {
                self.counts.new_payload += octets.min(i64::from(len)).unsigned_abs();
                let later = match (timestamp, hole.timestamp) {
                    (Some(now), Some(then)) => now.wrapping_sub(then).cast_signed() > 0,
                    _ => nanos.saturating_sub(hole.nanos) > REORDERING,
                };
                if later { Novelty::Retransmission } else { Novelty::OutOfOrder }
            }
            Passage::Seen => Novelty::Retransmission,
        };
        match novelty {
            Novelty::Retransmission => {
                self.counts.retransmissions += 1;
                self.counts.retransmitted += u64::from(len);
                self.counts.after_ack += u64::from(offset + room <= self.acknowledged);
                // Karn's rule: nothing above it is measured.
                while self.outstanding.back().is_some_and(|&(end, _)| end >= offset + room) {
                    self.outstanding.pop_back();
                }
            }
            Novelty::OutOfOrder => self.counts.out_of_order += 1,
            _ => {}
        }
        (offset, novelty)
    }

    fn count_data(&mut self, nanos: u64, len: u32) {
        self.counts.data_packets += 1;
        self.counts.payload += u64::from(len);
        self.counts.first_data.get_or_insert(nanos);
        self.counts.last_data = Some(nanos);
        if self.last_data.is_some_and(|last| nanos.saturating_sub(last) >= BURST_GAP) {
            self.counts.bursts.add(self.burst);
            self.burst = 0;
        }
        self.burst += 1;
        self.last_data = Some(nanos);
    }

    fn remember_timestamp(&mut self, value: u32, nanos: u64) {
        let newer =
            self.timestamps.back().is_none_or(|&(last, _)| value.wrapping_sub(last).cast_signed() > 0);
        if newer && self.timestamps.len() < WAITING {
            self.timestamps.push_back((value, nanos));
        }
    }

    /// The other side acknowledges; `repeats` if nothing else in its packet changed, `counts` are the other
    /// side's. Returns whether the acknowledgment advanced, and the round-trip time it tells.
    fn acked(
        &mut self,
        nanos: u64,
        segment: &SegmentView<'_>,
        options: &TcpFacts,
        repeats: bool,
        counts: &mut HalfCounts,
    ) -> (bool, Option<u64>) {
        if self.base.is_none() {
            // Nothing of this direction was captured; the acknowledgments alone tell its numbers.
            self.base = Some(Seq(segment.ack.0.wrapping_sub(1)));
            self.acknowledged = 1;
            return (false, None);
        }
        let ack = self.offset(segment.ack);
        if let Some((left, right)) = options.sack {
            let (left, right) = (self.offset(left), self.offset(right));
            let within = options.more_sack.is_some_and(|(outer_left, outer_right)| {
                self.offset(outer_left) <= left && right <= self.offset(outer_right)
            });
            self.counts.duplicates_reported += u64::from(left < right && (right <= ack || within));
        }
        if let Some((_, echo)) = options.timestamps {
            while let Some(&(value, sent)) = self.timestamps.front()
                && echo.wrapping_sub(value).cast_signed() >= 0
            {
                if value == echo {
                    self.counts.rtt_timestamps.add(nanos.saturating_sub(sent));
                }
                self.timestamps.pop_front();
            }
        }
        // Beyond what was sent, as the capture saw it: the capture has gaps, or the peer is wrong.
        if ack <= self.acknowledged {
            let outstanding = self.holes.highest().is_some_and(|highest| highest > ack);
            counts.duplicate_acks += u64::from(ack == self.acknowledged && repeats && outstanding);
            return (false, None);
        }
        self.acknowledged = ack;
        self.progress = nanos;
        self.holes.forget_below(ack);
        let mut sent_at = None;
        while let Some(&(end, at)) = self.outstanding.front()
            && end <= ack
        {
            sent_at = Some(at);
            self.outstanding.pop_front();
        }
        let rtt = sent_at.filter(|_| options.sack.is_none()).map(|at| nanos.saturating_sub(at));
        if let Some(rtt) = rtt {
            self.counts.rtt.add(rtt);
        }
        (true, rtt)
    }

    /// Ends what is still being counted.
    pub(super) fn finish(&mut self) {
        if self.burst > 0 {
            self.counts.bursts.add(self.burst);
            self.burst = 0;
        }
    }
}
