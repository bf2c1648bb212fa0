//! A box that rewrites payload without changing its length and repairs the TCP checksum.
//!
//! With a filter for data of at least 900 octets, every N-th, and the value 0x41 this is exactly the
//! `mangle` of the reference captures' link emulator.

use bytes::Bytes;
use sim_core::Instant;

use super::flow::segment_mut;
use super::{Direction, Matcher, Middlebox, Output, Verdict};
use crate::wire::{Packet, Payload};

/// Changes the last octet of the payload of chosen segments.
#[derive(Debug)]
pub struct PayloadRewriter {
    matcher: Matcher,
    xor: u8,
}

impl PayloadRewriter {
    /// Combines the last payload octet of what `matcher` chooses with `xor` by exclusive or.
    #[must_use]
    pub const fn new(matcher: Matcher, xor: u8) -> Self {
        Self { matcher, xor }
    }
}

impl Middlebox for PayloadRewriter {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        mut packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let mut verdict = Verdict::Passed;
        if self.matcher.matches(now, direction, &packet)
            && let Some(segment) = segment_mut(&mut packet)
        {
            let mut octets = Vec::with_capacity(segment.payload.len() as usize);
            segment.payload.write_to(&mut octets);
            if let Some(last) = octets.last_mut() {
                *last ^= self.xor;
                segment.payload = Payload::from(Bytes::from(octets));
                verdict = Verdict::Changed;
            }
        }
        out.push(Output::now(direction, packet));
        verdict
    }
}
