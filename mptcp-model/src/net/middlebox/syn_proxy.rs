//! A box that answers SYNs itself and opens the connection to the server only when the client has
//! proved that it exists, as SYN proxies against floods do. The server's options are unknown when the
//! client is answered, so none but the MSS is offered: no MPTCP, no window scale, no timestamps.
//!
//! Left out: SYN cookies (the box keeps state), and the retransmission of the box's own SYN, which
//! relies on the client retransmitting its first packet.

use rustc_hash::FxHashMap;
use sim_core::Instant;
use sim_core::random::Stream;

use super::flow::{FlowKey, answer, segment, segment_mut};
use super::{Direction, Middlebox, Output, Verdict};
use crate::wire::{Packet, Payload, Seq, TcpFlags, TcpOptions};

/// Answers forward SYNs on behalf of the far side.
#[derive(Debug)]
pub struct SynProxy {
    mss: u16,
    stream: Stream,
    flows: FxHashMap<FlowKey, Flow>,
}

#[derive(Debug)]
struct Flow {
    /// Initial sequence number the box gave the client.
    own: Seq,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The client has been answered.
    Answered,
    /// The server has been called; packets of the client wait.
    Calling(Vec<Packet>),
    /// Both sides are joined: what to add to the server's sequence numbers.
    Joined(u32),
}

/// Window in the answer to the client.
const WINDOW: u16 = 29_200;

/// Packets of the client kept until the server has answered.
const MOST_WAITING: usize = 64;

impl SynProxy {
    /// Offers this MSS (octets) to both sides; draws sequence numbers from `stream`.
    #[must_use]
    pub fn new(mss: u16, stream: Stream) -> Self {
        Self { mss, stream, flows: FxHashMap::default() }
    }

    fn mss_option(&self) -> TcpOptions {
        let mut options = TcpOptions::new();
        let _fits = options.push_mss(self.mss);
        options
    }

    /// The answer to the SYN of a client.
    fn welcome(&mut self, flow: FlowKey, packet: &Packet) -> Option<Packet> {
        let syn = segment(packet)?;
        let fresh = Seq(self.stream.next_u32());
        let known = self.flows.entry(flow).or_insert(Flow { own: fresh, phase: Phase::Answered });
        if !matches!(known.phase, Phase::Answered) {
            *known = Flow { own: fresh, phase: Phase::Answered };
        }
        let own = known.own;
        let flags = TcpFlags::SYN.with(TcpFlags::ACK);
        let mut welcome = answer(packet, own, syn.seq.wrapping_add(1), flags)?;
        let segment = segment_mut(&mut welcome)?;
        segment.window = WINDOW;
        segment.options = self.mss_option();
        Some(welcome)
    }

    /// The SYN to the server, in the name of the client who sent `packet`.
    fn call(&self, packet: &Packet) -> Option<Packet> {
        let mut call = packet.clone();
        let segment = segment_mut(&mut call)?;
        segment.seq = segment.seq.wrapping_add(u32::MAX);
        segment.ack = Seq(0);
        segment.flags = TcpFlags::SYN;
        segment.payload = Payload::Empty;
        segment.options = self.mss_option();
        Some(call)
    }

    fn client_sent(&mut self, flow: FlowKey, mut packet: Packet, out: &mut Vec<Output>) -> Verdict {
        let Some(arrived) = segment(&packet) else { return Verdict::Dropped("not_tcp") };
        let (flags, ack) = (arrived.flags, arrived.ack);
        if flags.syn() && !flags.ack() {
            let welcome = self.welcome(flow, &packet);
            out.extend(welcome.map(|packet| Output::now(Direction::Backward, packet)));
            return Verdict::Dropped("answered");
        }
        let call = self.call(&packet);
        let Some(state) = self.flows.get_mut(&flow) else {
            out.push(Output::now(Direction::Forward, packet));
            return Verdict::Passed;
        };
        match &mut state.phase {
            Phase::Answered if !flags.ack() || flags.rst() || ack != state.own.wrapping_add(1) => {
                Verdict::Dropped("bad_answer")
            }
            Phase::Answered => {
                state.phase = Phase::Calling(vec![packet]);
                out.extend(call.map(|packet| Output::now(Direction::Forward, packet)));
                Verdict::Held
            }
            Phase::Calling(waiting) => {
                if waiting.len() < MOST_WAITING {
                    waiting.push(packet);
                    Verdict::Held
                } else {
                    Verdict::Dropped("full")
                }
            }
            Phase::Joined(shift) => {
                let shift = shift.wrapping_neg();
                if let Some(segment) = segment_mut(&mut packet) {
                    segment.ack = segment.ack.wrapping_add(shift);
                    super::alg::map_sack(&mut segment.options, |seq| seq.wrapping_add(shift));
                }
                out.push(Output::now(Direction::Forward, packet));
                Verdict::Changed
            }
        }
    }

    fn server_sent(&mut self, flow: FlowKey, mut packet: Packet, out: &mut Vec<Output>) -> Verdict {
        let (Some(state), Some(arrived)) = (self.flows.get_mut(&flow), segment_mut(&mut packet)) else {
            out.push(Output::now(Direction::Backward, packet));
            return Verdict::Passed;
        };
        match &mut state.phase {
            Phase::Joined(shift) => {
                arrived.seq = arrived.seq.wrapping_add(*shift);
                out.push(Output::now(Direction::Backward, packet));
                Verdict::Changed
            }
            Phase::Calling(waiting) if arrived.flags.syn() && arrived.flags.ack() => {
                let shift = state.own.distance_from(arrived.seq);
                let waiting = core::mem::take(waiting);
                state.phase = Phase::Joined(shift);
                for mut packet in waiting {
                    if let Some(segment) = segment_mut(&mut packet) {
                        segment.ack = segment.ack.wrapping_add(shift.wrapping_neg());
                    }
                    out.push(Output::now(Direction::Forward, packet));
                }
                Verdict::Dropped("answered")
            }
            Phase::Calling(_) if arrived.flags.rst() => {
                // Refused: the client learns it as a reset of the connection it has.
                arrived.seq = state.own.wrapping_add(1);
                self.flows.remove(&flow);
                out.push(Output::now(Direction::Backward, packet));
                Verdict::Changed
            }
            _ => Verdict::Dropped("unexpected"),
        }
    }
}

impl Middlebox for SynProxy {
    fn handle(
        &mut self,
        _now: Instant,
        direction: Direction,
        packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        match (FlowKey::of(&packet, direction), direction) {
            (Some(flow), Direction::Forward) => self.client_sent(flow, packet, out),
            (Some(flow), Direction::Backward) => self.server_sent(flow, packet, out),
            (None, _) => {
                out.push(Output::now(direction, packet));
                Verdict::Passed
            }
        }
    }
}
