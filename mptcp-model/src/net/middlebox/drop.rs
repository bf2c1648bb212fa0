//! A box that drops what its filter chooses: SYNs with unknown options, the n-th join, pure ACKs with
//! ADD_ADDR.

use sim_core::Instant;

use super::{Direction, Matcher, Middlebox, Output, Verdict};
use crate::wire::Packet;

/// Drops chosen packets.
#[derive(Debug)]
pub struct Dropper {
    matcher: Matcher,
}

impl Dropper {
    /// Drops what `matcher` chooses.
    #[must_use]
    pub const fn new(matcher: Matcher) -> Self {
        Self { matcher }
    }
}

impl Middlebox for Dropper {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        if self.matcher.matches(now, direction, &packet) {
            return Verdict::Dropped("filter");
        }
        out.push(Output::now(direction, packet));
        Verdict::Passed
    }
}
