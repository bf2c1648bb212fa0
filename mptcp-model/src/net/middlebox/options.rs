//! Boxes that remove, blank, zero, repeat or reorder TCP options.

use std::collections::BTreeMap;

use sim_core::Instant;

use super::filter::{MPTCP, Matcher, OptionSet, Subtype};
use super::flow::{FlowKey, segment_mut};
use super::{Direction, Middlebox, Output, Verdict};
use crate::wire::{Packet, TcpOptions};

/// What happens to an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionAction {
    /// Its octets become NOPs; the header keeps its length.
    Blank,
    /// It is taken out and the others move together, without NOPs but at the end.
    Remove,
    /// Its value becomes zeros. Kind and length stay, and so do subtype and first nibble of an MPTCP
    /// option and the flags of a DSS, so that the option is still read as what it was.
    Zero,
    /// It is repeated in the next segment of the flow and direction that has none of its kind and room
    /// for it.
    Repeat,
    /// It moves behind all other options.
    MoveLast,
}

/// A box that edits the options of chosen segments.
#[derive(Debug)]
pub struct OptionEditor {
    matcher: Matcher,
    options: OptionSet,
    action: OptionAction,
    /// Options to be repeated.
    pending: BTreeMap<(FlowKey, Direction), TcpOptions>,
}

impl OptionEditor {
    /// Applies `action` to those `options` of the segments `matcher` chooses.
    #[must_use]
    pub const fn new(matcher: Matcher, options: OptionSet, action: OptionAction) -> Self {
        Self { matcher, options, action, pending: BTreeMap::new() }
    }

    /// Appends what an earlier segment left to be repeated.
    fn repeat(&mut self, flow: FlowKey, direction: Direction, options: &mut TcpOptions) -> bool {
        let Some(repeated) = self.pending.get(&(flow, direction)) else { return false };
        if self.options.occurs_in(options) {
            return false;
        }
        let mut longer = *options;
        longer.pad();
        if !append(&mut longer, repeated.as_bytes()) {
            return false;
        }
        longer.pad();
        *options = longer;
        self.pending.remove(&(flow, direction));
        true
    }
}

impl Middlebox for OptionEditor {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        mut packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let chosen = self.matcher.matches(now, direction, &packet);
        let flow = FlowKey::of(&packet, direction);
        let mut changed = false;
        if let (Some(segment), Some(flow)) = (segment_mut(&mut packet), flow) {
            changed = !self.pending.is_empty() && self.repeat(flow, direction, &mut segment.options);
            if chosen && !changed {
                if self.action == OptionAction::Repeat {
                    let mut copy = TcpOptions::new();
                    for octets in each(&segment.options).filter(|octets| self.options.contains(octets)) {
                        let _fits = append(&mut copy, octets);
                    }
                    if !copy.is_empty() {
                        self.pending.insert((flow, direction), copy);
                    }
                } else {
                    changed = edit(&mut segment.options, self.options, self.action);
                }
            }
        }
        out.push(Output::now(direction, packet));
        if changed { Verdict::Changed } else { Verdict::Passed }
    }
}

const NOP: u8 = 1;

/// Applies `action` to the options of the set; whether there were any. [`OptionAction::Repeat`] does
/// nothing here.
pub(crate) fn edit(options: &mut TcpOptions, set: OptionSet, action: OptionAction) -> bool {
    if !set.occurs_in(options) {
        return false;
    }
    let old = *options;
    match action {
        OptionAction::Repeat => return false,
        OptionAction::Blank | OptionAction::Zero => {
            for span in old.positions() {
                let range = span.start..span.start + span.len;
                let octets = &mut options.as_bytes_mut()[range];
                if !set.contains(octets) {
                    continue;
                }
                if action == OptionAction::Blank {
                    octets.fill(NOP);
                } else {
                    let kept = kept_when_zeroed(octets).min(octets.len());
                    octets[kept..].fill(0);
                }
            }
        }
        OptionAction::Remove | OptionAction::MoveLast => {
            let mut packed = TcpOptions::new();
            let kept = each(&old).filter(|octets| !set.contains(octets));
            let moved = each(&old).filter(|octets| action == OptionAction::MoveLast && set.contains(octets));
            for octets in kept.chain(moved) {
                // Without its NOPs the list is never longer than it was.
                let _fits = append(&mut packed, octets);
            }
            packed.pad();
            *options = packed;
        }
    }
    true
}

fn kept_when_zeroed(octets: &[u8]) -> usize {
    match octets {
        [MPTCP, _, third, ..] if third >> 4 == Subtype::Dss as u8 => 4,
        [MPTCP, ..] => 3,
        _ => 2,
    }
}

/// The octets of each option but NOPs and the end of the list.
fn each(options: &TcpOptions) -> impl Iterator<Item = &[u8]> {
    options
        .positions()
        .filter(|span| span.kind > NOP)
        .map(|span| &options.as_bytes()[span.start..span.start + span.len])
}

/// Appends octets; false and unchanged if they do not fit.
fn append(options: &mut TcpOptions, octets: &[u8]) -> bool {
    let mut all = [0; TcpOptions::MAX];
    let len = options.len();
    let Some(free) = all.get_mut(len..len + octets.len()) else { return false };
    free.copy_from_slice(octets);
    all[..len].copy_from_slice(options.as_bytes());
    match TcpOptions::from_bytes(&all[..len + octets.len()]) {
        Some(longer) => {
            *options = longer;
            true
        }
        None => false,
    }
}
