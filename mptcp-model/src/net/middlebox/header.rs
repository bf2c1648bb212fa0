//! A box that bleaches header fields: ECN, DSCP, the urgent flag. MPTCP must not care.

use sim_core::Instant;

use super::flow::segment_mut;
use super::{Direction, Matcher, Middlebox, Output, Verdict};
use crate::wire::{Ecn, Packet, TcpFlags};

/// Which fields a [`Bleacher`] clears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BleachedFields {
    /// The ECN field of the IP header.
    pub ecn: bool,
    /// The DSCP, which becomes this value (6 bits); `None` to leave it.
    pub dscp: Option<u8>,
    /// The urgent flag and pointer.
    pub urgent: bool,
}

/// Clears header fields of chosen packets.
#[derive(Debug)]
pub struct Bleacher {
    matcher: Matcher,
    fields: BleachedFields,
}

impl Bleacher {
    /// Clears `fields` of what `matcher` chooses.
    #[must_use]
    pub const fn new(matcher: Matcher, fields: BleachedFields) -> Self {
        Self { matcher, fields }
    }
}

impl Middlebox for Bleacher {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        mut packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let mut changed = false;
        if self.matcher.matches(now, direction, &packet) {
            let BleachedFields { ecn, dscp, urgent } = self.fields;
            if ecn {
                changed |= packet.ip.ecn != Ecn::NotEct;
                packet.ip.ecn = Ecn::NotEct;
            }
            if let Some(dscp) = dscp {
                changed |= packet.ip.dscp != dscp & 0x3f;
                packet.ip.dscp = dscp & 0x3f;
            }
            if let Some(segment) = segment_mut(&mut packet).filter(|_| urgent) {
                changed |= segment.flags.contains(TcpFlags::URG) || segment.urgent != 0;
                segment.flags = segment.flags.without(TcpFlags::URG);
                segment.urgent = 0;
            }
        }
        out.push(Output::now(direction, packet));
        if changed { Verdict::Changed } else { Verdict::Passed }
    }
}
