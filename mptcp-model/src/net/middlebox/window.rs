//! A box that shrinks the receive window announced on one subflow, as some shapers do. Windows of MPTCP
//! belong to the connection (RFC 8684, section 3.3.4), so that a small one on one path meets a large
//! one on another.

use rustc_hash::FxHashMap;
use sim_core::Instant;

use super::flow::{FlowKey, segment_mut};
use super::{Direction, Matcher, Middlebox, Output, Verdict};
use crate::wire::Packet;

/// Limits the window of chosen segments.
#[derive(Debug)]
pub struct WindowShrinker {
    matcher: Matcher,
    limit: u32,
    /// Window shifts by direction of the announcing end, as offered on its SYN.
    shifts: FxHashMap<FlowKey, [Option<u8>; 2]>,
}

/// The largest shift (RFC 7323, section 2.3).
const MAX_SHIFT: u8 = 14;

impl WindowShrinker {
    /// No window of more than `limit` octets passes on what `matcher` chooses. Of a flow whose
    /// handshake it did not see, the box takes windows as unscaled.
    #[must_use]
    pub fn new(matcher: Matcher, limit: u32) -> Self {
        Self { matcher, limit, shifts: FxHashMap::default() }
    }
}

impl Middlebox for WindowShrinker {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        mut packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let chosen = self.matcher.matches(now, direction, &packet);
        let mut verdict = Verdict::Passed;
        if let Some(flow) = FlowKey::of(&packet, direction)
            && let Some(segment) = segment_mut(&mut packet)
        {
            if segment.flags.syn() {
                let offered = segment.options.parse_all().window_scale.map(|shift| shift.min(MAX_SHIFT));
                self.shifts.entry(flow).or_default()[direction.index()] = offered;
            }
            // A shift counts only if both ends offer one, and never on the SYN itself.
            let shift = match self.shifts.get(&flow) {
                Some([Some(forward), Some(backward)]) if !segment.flags.syn() => {
                    [*forward, *backward][direction.index()]
                }
                _ => 0,
            };
            let limit = u16::try_from(self.limit >> shift).unwrap_or(u16::MAX);
            if chosen && segment.window > limit {
                segment.window = limit;
                verdict = Verdict::Changed;
            }
        }
        out.push(Output::now(direction, packet));
        verdict
    }
}
