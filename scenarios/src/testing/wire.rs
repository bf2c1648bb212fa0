//! What can be seen to be wrong on the wire: windows overrun, acknowledgments of what never came, options
//! that do not survive the codec, MPTCP after a fallback. Everything is judged from packets alone, at the
//! ports of the two hosts, as somebody with tcpdump there would.
//!
//! Left out: what the middleboxes between the hosts do, and SACK.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mptcp_model::crypto::{self, Version};
use mptcp_model::wire::{Body, DataNumber, MpOption, Packet, Seq, TcpFlags, TcpOption, TcpSegment};
use sim_core::{Instant, NodeId, Observer, PortId};

/// Findings that are kept; one bad packet is often followed by thousands.
const MOST_FINDINGS: usize = 8;

/// Checks every packet that two hosts send and receive.
#[derive(Debug)]
pub(super) struct WireChecks {
    hosts: [NodeId; 2],
    ends: [End; 2],
    broken: Vec<String>,
}

/// What one host has seen.
#[derive(Debug, Default)]
struct End {
    flows: BTreeMap<(SocketAddr, SocketAddr), Flow>,
    /// The first flow, while no other brought data: its data is the stream, mapped or not.
    lone: Option<(SocketAddr, SocketAddr)>,
    joined: bool,
    stream: Stream,
}

/// One flow as a host sees it.
#[derive(Debug, Default)]
struct Flow {
    /// Window scales of this host and of the peer, as announced in SYN or SYN/ACK.
    own_scale: Option<u8>,
    peer_scale: Option<u8>,
    /// Right edge that the peer has granted.
    edge: Option<Seq>,
    /// Send window by the rule of RFC 9293, section 3.10.7.4, with SND.WL1 and SND.UNA.
    window: u32,
    from: Option<(Seq, Seq)>,
    /// Initial sequence number of the peer.
    peer_isn: Option<Seq>,
    /// End of what this host sent.
    sent_to: Option<Seq>,
    /// An established segment went out without any MPTCP option: it is TCP for ever.
    plain: bool,
}

/// The data streams of the connection as a host sees them, in data sequence numbers.
#[derive(Debug, Default)]
struct Stream {
    /// The data sequence number after the peer's IDSN, by its key.
    base: Option<u64>,
    /// Octets received, as disjoint intervals.
    received: BTreeMap<u64, u64>,
    /// The last DATA_ACK sent.
    acked: Option<u64>,
    /// Right edge granted by the peer.
    edge: Option<u64>,
    /// The data sequence number after the own IDSN, by the own key.
    own_base: Option<u64>,
    /// Window of the handshake, which counts from there.
    first_window: u32,
    /// The last DATA_ACK of the peer, to expand short ones.
    peer_acked: Option<u64>,
}

impl WireChecks {
    pub(super) fn new(hosts: [NodeId; 2]) -> Self {
        Self { hosts, ends: [End::default(), End::default()], broken: Vec::new() }
    }

    /// What was found.
    pub(super) fn take_broken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.broken)
    }

    fn find(&mut self, at: Instant, packet: &Packet, what: &str) {
        if self.broken.len() < MOST_FINDINGS {
            self.broken.push(format!("{what} at {at}: {packet}"));
        }
    }
}

impl Observer<Packet> for WireChecks {
    fn sent(&mut self, at: Instant, node: NodeId, _port: PortId, packet: &Packet) {
        let Some(index) = self.hosts.iter().position(|&host| host == node) else { return };
        let Body::Tcp(segment) = &packet.body else { return };
        if !survives_the_codec(packet) {
            self.find(at, packet, "INV-05: not the same after emit and parse");
        }
        let end = &mut self.ends[index];
        let key = (
            SocketAddr::new(packet.ip.src, segment.src_port),
            SocketAddr::new(packet.ip.dst, segment.dst_port),
        );
        let flow = end.flows.entry(key).or_default();
        let mut found = flow.sends(segment);
        if !flow.plain {
            found.extend(end.stream.sends(segment));
        }
        for what in found {
            self.find(at, packet, what);
        }
    }

    fn received(&mut self, _at: Instant, node: NodeId, _port: PortId, packet: &Packet) {
        let Some(index) = self.hosts.iter().position(|&host| host == node) else { return };
        let Body::Tcp(segment) = &packet.body else { return };
        let end = &mut self.ends[index];
        let key = (
            SocketAddr::new(packet.ip.dst, segment.dst_port),
            SocketAddr::new(packet.ip.src, segment.src_port),
        );
        let lone = *end.lone.get_or_insert(key) == key;
        end.joined |= !lone && !segment.payload.is_empty();
        let flow = end.flows.entry(key).or_default();
        flow.receives(segment);
        end.stream.receives(segment, flow.window);
        if lone && !end.joined {
            end.stream.receives_unmapped(segment, flow.peer_isn);
        }
    }
}

fn survives_the_codec(packet: &Packet) -> bool {
    let mut octets = Vec::new();
    packet.emit(&mut octets);
    let Ok(read) = Packet::parse(&octets) else { return false };
    match (&packet.body, &read.body) {
        (Body::Tcp(sent), Body::Tcp(read)) => {
            sent.options == read.options && sent.payload.same_octets(&read.payload) && sent.seq == read.seq
        }
        _ => false,
    }
}

fn window_scale(segment: &TcpSegment) -> Option<u8> {
    segment.options.iter().find_map(|option| match option {
        TcpOption::WindowScale(shift) => Some(shift.min(14)),
        _ => None,
    })
}

/// The data sequence number of the first octet of the stream whose sender has this key.
fn first_number(version: u8, key: u64) -> u64 {
    let version = Version::from_number(version).unwrap_or(Version::V1);
    crypto::idsn(version, key).wrapping_add(1)
}

impl Flow {
    /// The window a segment of the peer grants, in octets.
    fn peer_window(&self, segment: &TcpSegment) -> u32 {
        let shift = match (self.own_scale, self.peer_scale) {
            (Some(_), Some(shift)) if !segment.flags.syn() => shift,
            _ => 0,
        };
        u32::from(segment.window) << shift
    }

    fn receives(&mut self, segment: &TcpSegment) {
        if segment.flags.rst() {
            return;
        }
        // What acknowledges octets never sent came around a box that renumbers, and is not accepted.
        if segment.flags.contains(TcpFlags::ACK) && self.sent_to.is_some_and(|to| to.before(segment.ack)) {
            return;
        }
        // Of a SYN that is repeated, even with another number by a box on its way, the first that was answered counts.
        let answered = self.peer_isn.is_some() && self.sent_to.is_some();
        if segment.flags.syn() && self.peer_isn != Some(segment.seq) && !answered {
            self.peer_scale = window_scale(segment);
            self.peer_isn = Some(segment.seq);
        }
        let window = self.peer_window(segment);
        // Of segments that acknowledge nothing new, only later ones or a larger window count; the last one may have
        // been outside the own window, and not have counted.
        let (wl1, una) = self.from.unwrap_or((segment.seq, segment.ack));
        let news = self.from.is_none()
            || una.before(segment.ack)
            || wl1.before(segment.seq)
            || (una == segment.ack && window > self.window);
        if news {
            self.window = window;
            let una = if una.before(segment.ack) { segment.ack } else { una };
            // What acknowledges nothing yet says nothing of it.
            self.from = segment.flags.contains(TcpFlags::ACK).then_some((segment.seq, una));
        }
        if segment.flags.ack() {
            let edge = segment.ack.wrapping_add(self.peer_window(segment));
            if self.edge.is_none_or(|known| known.before(edge)) {
                self.edge = Some(edge);
            }
        } else if segment.flags.syn() && self.edge.is_none() {
            self.own_scale = None;
        }
    }

    fn sends(&mut self, segment: &TcpSegment) -> Vec<&'static str> {
        let mut found = Vec::new();
        let flags = segment.flags;
        let end = segment.seq.wrapping_add(segment.payload.len());
        if flags.rst() {
            return found;
        }
        if flags.syn() {
            self.own_scale = window_scale(segment);
            self.sent_to = Some(end.wrapping_add(1));
            return found;
        }
        let to = end.wrapping_add(u32::from(flags.fin()));
        if self.sent_to.is_none_or(|known| known.before(to)) {
            self.sent_to = Some(to);
        }
        let mptcp = segment.options.mptcp().next().is_some();
        // Subflows share what the connection was granted.
        if !mptcp && !segment.payload.is_empty() && self.edge.is_some_and(|edge| edge.before(end)) {
            found.push("INV-04: data beyond the window of the flow");
        }
        if self.plain && mptcp {
            found.push("INV-07: an MPTCP option after the fallback");
        }
        self.plain |= !mptcp && flags.contains(TcpFlags::ACK);
        found
    }
}

impl Stream {
    fn sends(&mut self, segment: &TcpSegment) -> Vec<&'static str> {
        let mut found = Vec::new();
        let dss = segment.options.mptcp().find_map(|option| match option {
            MpOption::Dss(dss) => Some(dss),
            MpOption::Capable { version, sender_key: Some(key), .. } => {
                // A SYN/ACK after a reset has another key.
                let number = first_number(version, key);
                if segment.flags.syn() {
                    self.own_base = Some(number);
                }
                self.own_base.get_or_insert(number);
                None
            }
            _ => None,
        });
        let Some(dss) = dss else { return found };
        if let (Some(number), Some(base)) = (dss.data_ack, self.base) {
            let ack = number.expand(self.acked.unwrap_or(base));
            if let Some(before) = self.acked
                && before.wrapping_sub(ack).cast_signed() > 0
            {
                found.push("INV-02: DATA_ACK goes back");
            }
            if self.is_beyond(base, ack) {
                found.push("INV-02: DATA_ACK of data that has not come");
            }
            self.acked = Some(ack);
        }
        if let Some(mapping) = dss.mapping
            && mapping.len > 0
            && !segment.payload.is_empty()
            && let (DataNumber::Long(dsn), Some(edge)) = (mapping.dsn, self.right_edge())
        {
            // Of the mapping, this segment carries at least its own octets.
            let last = dsn.wrapping_add(u64::from(segment.payload.len().min(u32::from(mapping.len))));
            if last.wrapping_sub(edge).cast_signed() > 0 {
                found.push("INV-04: data beyond the window of the connection");
            }
        }
        found
    }

    /// As far as the peer allows data.
    fn right_edge(&self) -> Option<u64> {
        let first = self.own_base?.wrapping_add(u64::from(self.first_window));
        Some(self.edge.filter(|edge| edge.wrapping_sub(first).cast_signed() > 0).unwrap_or(first))
    }

    /// Whether something before `ack` is missing.
    fn is_beyond(&self, base: u64, ack: u64) -> bool {
        let mut end = base;
        for (&start, &stop) in &self.received {
            if start > end {
                break;
            }
            end = end.max(stop);
        }
        ack > end
    }

    fn receives(&mut self, segment: &TcpSegment, window: u32) {
        let flags = segment.flags;
        for option in segment.options.mptcp() {
            match option {
                MpOption::Capable { version, sender_key: Some(key), data_len, .. } => {
                    let number = first_number(version, key);
                    if flags.syn() {
                        self.base = Some(number);
                    }
                    let dsn = *self.base.get_or_insert(number);
                    self.first_window = self.first_window.max(window);
                    if let Some(len) = data_len {
                        self.note_received(dsn, u64::from(len));
                    }
                }
                MpOption::Dss(dss) => {
                    if let Some(mapping) = dss.mapping
                        && mapping.len > 0
                    {
                        let near = self.acked.or(self.base).unwrap_or(0);
                        let dsn = mapping.dsn.expand(near);
                        // Splitters cut segments under one mapping: all of it may have come.
                        self.note_received(dsn, u64::from(mapping.len));
                    }
                    if let Some(number) = dss.data_ack
                        && flags.contains(TcpFlags::ACK)
                    {
                        let Some(near) = self.peer_acked.or(self.own_base) else { continue };
                        let ack = number.expand(near);
                        self.peer_acked = Some(ack);
                        let edge = ack.wrapping_add(u64::from(window));
                        if self.edge.is_none_or(|known| edge.wrapping_sub(known).cast_signed() > 0) {
                            self.edge = Some(edge);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Data of a lone flow whose mapping a box took away, with which the stream goes on after a fallback.
    fn receives_unmapped(&mut self, segment: &TcpSegment, peer_isn: Option<Seq>) {
        let (Some(base), Some(isn)) = (self.base, peer_isn) else { return };
        let mapped = segment.options.mptcp().any(|option| match option {
            MpOption::Dss(dss) => dss.mapping.is_some_and(|mapping| mapping.len > 0),
            MpOption::Capable { data_len, .. } => data_len.is_some(),
            _ => false,
        });
        if !mapped && !segment.payload.is_empty() {
            let offset = segment.seq.0.wrapping_sub(isn.0).wrapping_sub(1);
            self.note_received(base.wrapping_add(u64::from(offset)), u64::from(segment.payload.len()));
        }
    }

    fn note_received(&mut self, start: u64, len: u64) {
        let Some(mut end) = start.checked_add(len) else { return };
        let mut start = start;
        if let Some((&before, &stop)) = self.received.range(..=start).next_back()
            && stop >= start
        {
            start = before;
            end = end.max(stop);
        }
        let swallowed: Vec<_> = self.received.range(start..=end).map(|(&at, &stop)| (at, stop)).collect();
        for (at, stop) in swallowed {
            self.received.remove(&at);
            end = end.max(stop);
        }
        self.received.insert(start, end);
    }
}
