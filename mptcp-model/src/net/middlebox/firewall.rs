//! A stateful firewall (RFC 2979, RFC 7857): it lets connections out, lets in only what belongs to them,
//! forgets them when they are idle, may check sequence numbers and may know only some TCP options.
//!
//! Left out: rules by application, limits on the number of connections, fragments. Packets that are not
//! TCP pass outwards, and inwards if `other_inbound` says so.

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;
use sim_core::{Duration, Instant};

use super::flow::{FlowKey, refusal, segment, segment_mut, seq_end, shifted};
use super::{Direction, Middlebox, Output, Verdict};
use crate::wire::{Packet, Seq, TcpOptions, TcpSegment};

/// Why a connection from outside is refused.
const UNSOLICITED: &str = "unsolicited";

/// What happens to a packet that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It vanishes.
    Drop,
    /// It vanishes and its sender gets a reset.
    Reset,
}

/// What happens to TCP options that are not in the list of known ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionPolicy {
    /// They pass.
    Allow,
    /// All but these kinds become NOPs. NOP and the end of the list always pass.
    Blank(Vec<u8>),
    /// A packet with any kind but these is dropped.
    Drop(Vec<u8>),
}

/// The options of RFC 9293, RFC 7323 and RFC 2018: what an old firewall knows.
pub const CLASSIC_OPTIONS: [u8; 5] = [2, 3, 4, 5, 8];

/// Configuration of a [`Firewall`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirewallConfig {
    /// Ports of the near side that may be called from the far side.
    pub open_ports: Vec<u16>,
    /// A connection without packets for so long is forgotten.
    pub idle_timeout: Duration,
    /// The same before the handshake is complete and after both FINs or a reset.
    pub transitory_timeout: Duration,
    /// Whether segments outside the window of their receiver are refused.
    pub check_sequence: bool,
    /// Whether a packet from the near side in the middle of an unknown connection opens it (as
    /// `nf_conntrack_tcp_loose`), or is refused.
    pub pick_up: bool,
    /// What refused packets meet with.
    pub refusal: Refusal,
    /// Options.
    pub options: OptionPolicy,
    /// Whether packets that are not TCP may come in.
    pub other_inbound: bool,
}

impl Default for FirewallConfig {
    fn default() -> Self {
        Self {
            open_ports: Vec::new(),
            idle_timeout: Duration::from_secs(7440),
            transitory_timeout: Duration::from_secs(240),
            check_sequence: true,
            pick_up: false,
            refusal: Refusal::Drop,
            options: OptionPolicy::Allow,
            other_inbound: true,
        }
    }
}

/// Why packets were refused, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirewallStats {
    /// A connection from the far side that is not allowed.
    pub unsolicited: u64,
    /// In the middle of a connection that is not known, perhaps any more.
    pub unknown: u64,
    /// Outside the window.
    pub out_of_window: u64,
    /// With an option that is not known.
    pub options: u64,
    /// Connections forgotten because they were idle.
    pub expired: u64,
}

/// The firewall; the near side is the protected one.
#[derive(Debug)]
pub struct Firewall {
    config: FirewallConfig,
    flows: FxHashMap<FlowKey, Tracked>,
    stats: FirewallStats,
}

/// A connection.
#[derive(Clone, Copy, Debug)]
struct Tracked {
    last: Instant,
    ends: [End; 2],
    reset: bool,
}

/// What is known of the end that sends in one direction.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    /// Whether a SYN or, of a connection picked up, anything came from it.
    seen: bool,
    /// Whether it has sent an ACK without SYN.
    acked: bool,
    fin: bool,
    /// The number after the last it sent.
    end: Seq,
    /// The end of the window it offers.
    edge: Option<Seq>,
    /// The largest window it offered.
    window: u32,
    shift: Option<u8>,
}

enum Reason {
    Unsolicited,
    Unknown,
    OutOfWindow,
    Options,
}

impl Firewall {
    /// A firewall that knows no connection.
    #[must_use]
    pub fn new(config: FirewallConfig) -> Self {
        Self { config, flows: FxHashMap::default(), stats: FirewallStats::default() }
    }

    /// What was refused so far.
    #[must_use]
    pub const fn stats(&self) -> &FirewallStats {
        &self.stats
    }

    /// Judges a segment and keeps track of its connection.
    fn judge(
        &mut self,
        now: Instant,
        direction: Direction,
        flow: FlowKey,
        segment: &TcpSegment,
    ) -> Result<(), Reason> {
        if let OptionPolicy::Drop(known) = &self.config.options
            && segment.options.positions().any(|span| span.kind > 1 && !known.contains(&span.kind))
        {
            return Err(Reason::Options);
        }
        if let Some(tracked) = self.flows.get(&flow)
            && now.saturating_since(tracked.last) >= tracked.timeout(&self.config)
        {
            self.flows.remove(&flow);
            self.stats.expired += 1;
        }
        let opens = segment.flags.syn() && !segment.flags.ack() && !segment.flags.rst();
        if opens && self.flows.get(&flow).is_some_and(Tracked::is_over) {
            self.flows.remove(&flow);
        }
        let config = &self.config;
        let tracked = match self.flows.entry(flow) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let is_outbound = direction == Direction::Forward;
                let picked_up = config.pick_up && is_outbound && !segment.flags.rst();
                if !opens && !picked_up {
                    return Err(Reason::Unknown);
                }
                if !is_outbound && !config.open_ports.contains(&flow.near.port()) {
                    return Err(Reason::Unsolicited);
                }
                unknown.insert(Tracked { last: now, ends: Default::default(), reset: false })
            }
        };
        if config.check_sequence && !tracked.in_window(direction, segment) {
            return Err(Reason::OutOfWindow);
        }
        tracked.observe(now, direction, segment);
        Ok(())
    }
}

impl Tracked {
    fn is_over(&self) -> bool {
        self.reset || self.ends.iter().all(|end| end.fin)
    }

    fn timeout(&self, config: &FirewallConfig) -> Duration {
        let established = self.ends.iter().all(|end| end.seen) && self.ends.iter().any(|end| end.acked);
        if established && !self.is_over() { config.idle_timeout } else { config.transitory_timeout }
    }

    /// Whether a segment is one its receiver could accept, or an old one it would acknowledge. The
    /// four bounds are those of van Rooij, "Real stateful TCP packet filtering in IP Filter" (2001).
    fn in_window(&self, direction: Direction, segment: &TcpSegment) -> bool {
        let (sender, receiver) = (&self.ends[direction.index()], &self.ends[direction.reverse().index()]);
        if segment.flags.syn() || !sender.seen || !receiver.seen {
            return true;
        }
        let above = receiver.edge.is_none_or(|edge| !edge.before(seq_end(segment)));
        let oldest = shifted(sender.end, -(receiver.window.max(1).min(i32::MAX as u32).cast_signed()));
        let below = !segment.seq.before(oldest);
        let acks_sent = !segment.flags.ack() || !receiver.end.before(segment.ack);
        above && below && acks_sent
    }

    fn observe(&mut self, now: Instant, direction: Direction, segment: &TcpSegment) {
        self.last = now;
        self.reset |= segment.flags.rst();
        let both_scale = self.ends.iter().all(|end| end.shift.is_some());
        let sender = &mut self.ends[direction.index()];
        let end = seq_end(segment);
        if segment.flags.syn() {
            sender.shift = segment.options.parse_all().window_scale.map(|shift| shift.min(14));
        }
        if !sender.seen || segment.flags.syn() || sender.end.before(end) {
            sender.end = end;
        }
        sender.seen = true;
        sender.fin |= segment.flags.fin();
        if segment.flags.ack() && !segment.flags.rst() {
            let shift = if both_scale && !segment.flags.syn() { sender.shift.unwrap_or(0) } else { 0 };
            let window = u32::from(segment.window) << shift;
            let edge = segment.ack.wrapping_add(window.max(1));
            if sender.edge.is_none_or(|old| old.before(edge)) {
                sender.edge = Some(edge);
            }
            sender.acked |= !segment.flags.syn();
            sender.window = sender.window.max(window);
        } else if segment.flags.syn() {
            sender.window = u32::from(segment.window);
        }
    }
}

impl Middlebox for Firewall {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        mut packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let (Some(flow), Some(arrived)) = (FlowKey::of(&packet, direction), segment(&packet)) else {
            if direction == Direction::Backward && !self.config.other_inbound {
                self.stats.unsolicited += 1;
                return Verdict::Dropped(UNSOLICITED);
            }
            out.push(Output::now(direction, packet));
            return Verdict::Passed;
        };
        if let Err(reason) = self.judge(now, direction, flow, arrived) {
            let (counter, why, may_reset) = match reason {
                Reason::Unsolicited => (&mut self.stats.unsolicited, UNSOLICITED, true),
                Reason::Unknown => (&mut self.stats.unknown, "unknown", true),
                Reason::OutOfWindow => (&mut self.stats.out_of_window, "out_of_window", false),
                Reason::Options => (&mut self.stats.options, "options", true),
            };
            *counter += 1;
            if may_reset && self.config.refusal == Refusal::Reset {
                out.extend(refusal(&packet).map(|reset| Output::now(direction.reverse(), reset)));
            }
            return Verdict::Dropped(why);
        }
        let blanked = match (&self.config.options, segment_mut(&mut packet)) {
            (OptionPolicy::Blank(known), Some(segment)) => blank_others(&mut segment.options, known),
            _ => false,
        };
        out.push(Output::now(direction, packet));
        if blanked { Verdict::Changed } else { Verdict::Passed }
    }

    fn details(&self) -> Vec<(&'static str, u64)> {
        let FirewallStats { unsolicited, unknown, out_of_window, options, expired } = self.stats;
        vec![
            ("unsolicited", unsolicited),
            ("unknown", unknown),
            ("out_of_window", out_of_window),
            ("options", options),
            ("expired", expired),
        ]
    }
}

/// Replaces all options but the known kinds by NOPs.
fn blank_others(options: &mut TcpOptions, known: &[u8]) -> bool {
    let old = *options;
    let mut changed = false;
    for span in old.positions().filter(|span| span.kind > 1 && !known.contains(&span.kind)) {
        options.as_bytes_mut()[span.start..span.start + span.len].fill(1);
        changed = true;
    }
    changed
}
