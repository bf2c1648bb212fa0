//! A box that limits what a handshake may negotiate: it clamps the maximum segment size and blanks the
//! options window scale, timestamps and SACK permitted on SYNs.

use sim_core::Instant;

use super::filter::OptionSet;
use super::flow::segment_mut;
use super::options::{OptionAction, edit};
use super::{Direction, Matcher, Middlebox, Output, Verdict};
use crate::wire::{Packet, TcpOptions};

/// What is left of a handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// Largest MSS in octets that passes; `None` for any. A SYN without the option gets none.
    pub mss: Option<u16>,
    /// Whether window scale is blanked.
    pub no_window_scale: bool,
    /// Whether timestamps are blanked.
    pub no_timestamps: bool,
    /// Whether SACK permitted is blanked.
    pub no_sack: bool,
}

/// Edits SYNs and SYN/ACKs that its filter chooses.
#[derive(Debug)]
pub struct HandshakeEditor {
    matcher: Matcher,
    limits: HandshakeLimits,
}

const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const TIMESTAMPS: u8 = 8;

impl HandshakeEditor {
    /// Applies `limits` to what `matcher` chooses, as far as it has SYN.
    #[must_use]
    pub const fn new(matcher: Matcher, limits: HandshakeLimits) -> Self {
        Self { matcher, limits }
    }
}

impl Middlebox for HandshakeEditor {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        mut packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let mut changed = false;
        if self.matcher.matches(now, direction, &packet)
            && let Some(segment) = segment_mut(&mut packet)
            && segment.flags.syn()
        {
            let HandshakeLimits { mss, no_window_scale, no_timestamps, no_sack } = self.limits;
            let options = &mut segment.options;
            changed = mss.is_some_and(|mss| clamp(options, mss));
            for (wanted, kind) in
                [(no_window_scale, WINDOW_SCALE), (no_timestamps, TIMESTAMPS), (no_sack, SACK_PERMITTED)]
            {
                changed |= wanted && edit(options, OptionSet::Kind(kind), OptionAction::Blank);
            }
        }
        out.push(Output::now(direction, packet));
        if changed { Verdict::Changed } else { Verdict::Passed }
    }
}

fn clamp(options: &mut TcpOptions, limit: u16) -> bool {
    let Some(span) = options.positions().find(|span| span.kind == MSS && span.len == 4) else { return false };
    let value = &mut options.as_bytes_mut()[span.start + 2..span.start + 4];
    if u16::from_be_bytes([value[0], value[1]]) <= limit {
        return false;
    }
    value.copy_from_slice(&limit.to_be_bytes());
    true
}
