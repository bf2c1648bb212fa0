//! TCP flows as a box sees them, and the arithmetic of segments.

use std::net::SocketAddr;

use super::Direction;
use crate::wire::{Body, IpHeader, Packet, Payload, Seq, TcpFlags, TcpOptions, TcpSegment};

/// Addresses and ports of a TCP flow; equal for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// The end on the near side: the source of forward packets.
    pub near: SocketAddr,
    /// The end on the far side.
    pub far: SocketAddr,
}

impl FlowKey {
    /// The flow of a TCP packet that travels in `direction`.
    #[must_use]
    pub fn of(packet: &Packet, direction: Direction) -> Option<Self> {
        let Body::Tcp(segment) = &packet.body else { return None };
        Some(Self::between(
            direction,
            SocketAddr::new(packet.ip.src, segment.src_port),
            SocketAddr::new(packet.ip.dst, segment.dst_port),
        ))
    }

    /// The flow of packets from `src` to `dst` in `direction`.
    #[must_use]
    pub const fn between(direction: Direction, src: SocketAddr, dst: SocketAddr) -> Self {
        match direction {
            Direction::Forward => Self { near: src, far: dst },
            Direction::Backward => Self { near: dst, far: src },
        }
    }
}

/// The segment of a TCP packet.
pub(crate) fn segment_mut(packet: &mut Packet) -> Option<&mut TcpSegment> {
    match &mut packet.body {
        Body::Tcp(segment) => Some(segment),
        _ => None,
    }
}

/// The segment of a TCP packet.
pub(crate) fn segment(packet: &Packet) -> Option<&TcpSegment> {
    match &packet.body {
        Body::Tcp(segment) => Some(segment),
        _ => None,
    }
}

/// Sequence numbers a segment takes: its payload, SYN and FIN.
pub(crate) fn seq_len(segment: &TcpSegment) -> u32 {
    segment.payload.len() + u32::from(segment.flags.syn()) + u32::from(segment.flags.fin())
}

/// The sequence number after a segment.
pub(crate) fn seq_end(segment: &TcpSegment) -> Seq {
    segment.seq.wrapping_add(seq_len(segment))
}

/// `seq` moved by `offset`, in either direction.
pub(crate) const fn shifted(seq: Seq, offset: i32) -> Seq {
    seq.wrapping_add(offset.cast_unsigned())
}

/// Both payloads in a row; adjacent parts of a pattern stay a pattern.
pub(crate) fn joined(first: &Payload, second: &Payload) -> Payload {
    match (first, second) {
        (_, Payload::Empty) => first.clone(),
        (Payload::Empty, _) => second.clone(),
        (
            Payload::Pattern { seed, len, offset },
            Payload::Pattern { seed: next_seed, len: more, offset: next },
        ) if seed == next_seed
            && offset.wrapping_add(u64::from(*len)) == *next
            && len.checked_add(*more).is_some() =>
        {
            Payload::pattern(*seed, *offset, u32::from(*len) + u32::from(*more))
        }
        _ => {
            let mut octets = Vec::with_capacity((first.len() + second.len()) as usize);
            first.write_to(&mut octets);
            second.write_to(&mut octets);
            Payload::from(bytes::Bytes::from(octets))
        }
    }
}

/// A bare segment from the receiver of `packet` to its sender.
pub(crate) fn answer(packet: &Packet, seq: Seq, ack: Seq, flags: TcpFlags) -> Option<Packet> {
    let segment = segment(packet)?;
    Some(Packet {
        ip: IpHeader::new(packet.ip.dst, packet.ip.src),
        body: Body::Tcp(TcpSegment {
            src_port: segment.dst_port,
            dst_port: segment.src_port,
            seq,
            ack,
            flags,
            window: 0,
            urgent: 0,
            options: TcpOptions::EMPTY,
            payload: Payload::Empty,
        }),
    })
}

/// The reset that answers a segment for which there is no connection (RFC 9293, section 3.10.7.1);
/// none answers a reset.
pub(crate) fn refusal(packet: &Packet) -> Option<Packet> {
    let segment = segment(packet)?;
    if segment.flags.rst() {
        None
    } else if segment.flags.ack() {
        answer(packet, segment.ack, Seq(0), TcpFlags::RST)
    } else {
        answer(packet, Seq(0), seq_end(segment), TcpFlags::RST.with(TcpFlags::ACK))
    }
}
