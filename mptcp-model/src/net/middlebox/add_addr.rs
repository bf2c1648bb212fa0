//! A box that rewrites the address in ADD_ADDR, as a NAT with too good intentions might. In version 1
//! its HMAC no longer fits (RFC 8684, section 3.4.1); in version 0 the peer joins the wrong address.

use std::net::IpAddr;

use sim_core::Instant;

use super::filter::{OptionSet, Subtype};
use super::flow::segment_mut;
use super::{Direction, Matcher, Middlebox, Output, Verdict};
use crate::wire::{MpOption, Packet, TcpOptions};

/// Replaces addresses in ADD_ADDR options of chosen segments.
#[derive(Debug)]
pub struct AddAddrRewriter {
    matcher: Matcher,
    address: IpAddr,
}

impl AddAddrRewriter {
    /// Puts `address` into every ADD_ADDR of its family of what `matcher` chooses.
    #[must_use]
    pub const fn new(matcher: Matcher, address: IpAddr) -> Self {
        Self { matcher, address }
    }
}

impl Middlebox for AddAddrRewriter {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        mut packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let changed = self.matcher.matches(now, direction, &packet)
            && segment_mut(&mut packet).is_some_and(|segment| rewrite(&mut segment.options, self.address));
        out.push(Output::now(direction, packet));
        if changed { Verdict::Changed } else { Verdict::Passed }
    }
}

fn rewrite(options: &mut TcpOptions, new: IpAddr) -> bool {
    let old = *options;
    let mut changed = false;
    for span in old.positions() {
        let octets = &old.as_bytes()[span.start..span.start + span.len];
        if !OptionSet::Subtype(Subtype::AddAddr).contains(octets) {
            continue;
        }
        let MpOption::AddAddr { address, .. } = MpOption::parse(&octets[2..]) else { continue };
        // Kind, length, subtype and address id come first.
        let at = span.start + 4;
        match (address, new) {
            (IpAddr::V4(_), IpAddr::V4(new)) => {
                options.as_bytes_mut()[at..at + 4].copy_from_slice(&new.octets());
            }
            (IpAddr::V6(_), IpAddr::V6(new)) => {
                options.as_bytes_mut()[at..at + 16].copy_from_slice(&new.octets());
            }
            _ => continue,
        }
        changed |= address != new;
    }
    changed
}
