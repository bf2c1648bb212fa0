//! A box that randomises initial sequence numbers, as the firewalls of the time of predictable ones
//! do: all numbers of a flow are shifted, in both directions. MPTCP counts relative to the SYN and must
//! not notice. Older boxes forget the SACK blocks.

use rustc_hash::FxHashMap;
use sim_core::Instant;
use sim_core::random::Stream;

use super::alg::map_sack;
use super::flow::{FlowKey, segment_mut};
use super::{Direction, Middlebox, Output, Verdict};
use crate::wire::Packet;

/// Shifts the sequence numbers of every flow whose SYN it sees.
#[derive(Debug)]
pub struct IsnRewriter {
    rewrite_sack: bool,
    stream: Stream,
    /// By direction.
    flows: FxHashMap<FlowKey, [u32; 2]>,
}

impl IsnRewriter {
    /// Draws the offsets from `stream`; `rewrite_sack` says whether SACK blocks are shifted too.
    #[must_use]
    pub fn new(rewrite_sack: bool, stream: Stream) -> Self {
        Self { rewrite_sack, stream, flows: FxHashMap::default() }
    }
}

impl Middlebox for IsnRewriter {
    fn handle(
        &mut self,
        _now: Instant,
        direction: Direction,
        mut packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let mut verdict = Verdict::Passed;
        if let Some(flow) = FlowKey::of(&packet, direction)
            && let Some(segment) = segment_mut(&mut packet)
        {
            if segment.flags.syn() && !segment.flags.ack() && !self.flows.contains_key(&flow) {
                self.flows.insert(flow, [self.stream.next_u32(), self.stream.next_u32()]);
            }
            if let Some(offsets) = self.flows.get(&flow) {
                let own = offsets[direction.index()];
                let back = offsets[direction.reverse().index()].wrapping_neg();
                segment.seq = segment.seq.wrapping_add(own);
                if segment.flags.ack() {
                    segment.ack = segment.ack.wrapping_add(back);
                    if self.rewrite_sack {
                        map_sack(&mut segment.options, |seq| seq.wrapping_add(back));
                    }
                }
                verdict = Verdict::Changed;
            }
        }
        out.push(Output::now(direction, packet));
        verdict
    }
}
