//! Packets of the kernel: what the script says of them, and what the peer does when they come.

use std::time;
use std::time::Duration as Span;

use mptcp_model::wire::{Body, Ecn as Field, Packet};
use scenarios::script::ast::{AddressRef, BodySpec, Endpoints, OptionsSpec, TcpSpec};
use scenarios::script::option::{HmacSpec, TokenSpec};
use scenarios::script::{Direction, OptionSpec, PacketSpec, describe};
use sim_core::{Duration, Instant};

use super::{Conversation, Step};
use crate::peer::Arrival;
use crate::theme::{Fate, Theme};

impl Conversation {
    /// The kernel sent a packet: it goes into the script, and the peer may answer.
    pub(super) fn seen(&mut self, at: Instant, packet: &Packet) -> Result<(), String> {
        let Body::Tcp(segment) = &packet.body else { return Ok(()) };
        let joins = self.choice.theme == Theme::Paths && self.opened && segment.flags.syn();
        let joins = joins && !segment.flags.ack() && self.note_join(packet);
        let subflow = self.subflow_of(packet);
        self.learn(at, packet, subflow)?;
        if joins {
            self.join_seen(segment, subflow);
            return Ok(());
        }
        if segment.flags.syn() {
            return self.syn_seen(packet, segment, subflow);
        }
        let early = self.opened && self.fast_open.is_some();
        if !self.peers[subflow].open && !early {
            return Ok(());
        }
        if subflow == 0 && self.circumstances.active && self.peers[0].multipath {
            // The third ACK says whether it is MPTCP.
            self.peers[0].multipath = segment.options.mptcp().next().is_some() || segment.flags.rst();
        }
        if self.random.bernoulli(self.loss) && segment.flags.0 & 4 == 0 {
            return Ok(());
        }
        let spec = describe(packet, Direction::Outbound, &self.environment);
        let Some(PacketSpec { body: BodySpec::Tcp(tcp), .. }) = spec else { return Ok(()) };
        let range = (tcp.range.first, tcp.range.first + tcp.range.len);
        let size = 40 + segment.options.len() as u32 + tcp.range.len;
        match self.habit.fate(&mut self.themed, at, range, size, self.rtt) {
            Fate::Comes => self.arrived(subflow, &tcp),
            Fate::Late(after) => self.plan(after, Step::Arrives(subflow, tcp)),
            Fate::Lost => {}
            Fate::TooLarge => {
                if let Some(mtu) = self.habit.mtu.filter(|_| self.habit.tells) {
                    let (first, end) = range;
                    let len = tcp.range.len;
                    let text = format!("< [{first}:{end}({len})] icmp unreachable frag_needed mtu {mtu}");
                    self.plan(self.rtt / 2, Step::Packet(text));
                }
            }
        }
        Ok(())
    }

    /// A segment of the kernel has come to the peer, which may answer.
    pub(super) fn arrived(&mut self, subflow: usize, tcp: &TcpSpec) {
        if self.choice.theme == Theme::Paths {
            self.announced(subflow, tcp);
        }
        let arrival = self.peers[subflow].receive(tcp, &mut self.data);
        let jitter = if self.random.bernoulli(0.05) { self.span(0, 30) } else { Duration::ZERO };
        match arrival {
            Arrival::Nothing => {}
            Arrival::InOrder
                if self.habit.stretch.is_some_and(|most| self.unacknowledged[subflow] + 1 < most) =>
            {
                self.unacknowledged[subflow] += 1;
                if self.unacknowledged[subflow] == 1 {
                    self.plan(self.rtt + Duration::from_millis(25), Step::DelayedAck(subflow));
                }
            }
            Arrival::InOrder
                if self.habit.stretch.is_none()
                    && self.random.bernoulli(0.4)
                    && self.unacknowledged[subflow] == 0 =>
            {
                self.unacknowledged[subflow] += 1;
                self.plan(self.rtt + Duration::from_millis(25), Step::DelayedAck(subflow));
            }
            Arrival::InOrder | Arrival::Other => {
                self.unacknowledged[subflow] = 0;
                let text = self.peers[subflow].ack(&self.data, None);
                if !self.random.bernoulli(self.loss / 2.0) {
                    self.plan(self.rtt + jitter, Step::Packet(text));
                }
            }
        }
    }

    /// Which subflow a packet of the kernel belongs to.
    pub(super) fn subflow_of(&self, packet: &Packet) -> usize {
        if self.choice.theme == Theme::Paths {
            let way = (packet.ip.src, packet.ip.dst);
            return self.ways.iter().position(|known| *known == way).unwrap_or(0);
        }
        usize::from(self.peers.len() > 1 && packet.ip.dst != self.remote)
    }

    /// Notes a packet, with a name of its own for its clock.
    pub(super) fn learn(&mut self, at: Instant, packet: &Packet, subflow: usize) -> Result<(), String> {
        let Some(mut spec) = describe(packet, Direction::Outbound, &self.environment) else {
            return Err("a packet that the language has no words for".to_owned());
        };
        if let (BodySpec::Tcp(tcp), Body::Tcp(segment)) = (&mut spec.body, &packet.body) {
            if segment.flags.syn() {
                tcp.range.first = 0;
                if self.fast_open.is_none() || self.circumstances.active {
                    tcp.ack = segment.flags.ack().then_some(1);
                }
            }
            if !self.choice.windows {
                tcp.window = None;
            }
            self.name_values(&mut tcp.options, subflow);
        }
        if spec.ip.tos.is_none() && spec.ip.ecn.is_none() && self.circumstances.ecn.wanted {
            spec.ip.ecn = Some(Field::NotEct);
        }
        if self.choice.multipath {
            let end = |name: String| Some(AddressRef { name, value: None });
            let (source, destination) = if self.choice.theme == Theme::Paths {
                (self.name_of(packet.ip.src), self.name_of(packet.ip.dst))
            } else {
                ("host0".to_owned(), format!("peer{subflow}"))
            };
            spec.endpoints = Some(Endpoints { source: end(source), destination: end(destination) });
        }
        if let Err(wrong) = spec.check(packet, &mut self.environment) {
            return Err(format!("what was seen does not fit itself: {wrong}"));
        }
        self.lines.push((at, spec.to_string()));
        Ok(())
    }

    /// Clock values and keys have names in scripts.
    pub(super) fn name_values(&mut self, options: &mut OptionsSpec, subflow: usize) {
        let OptionsSpec::List(options) = options else { return };
        for option in options {
            match option {
                OptionSpec::Timestamps { val, .. } => *val = self.peers[subflow].name_clock_value(),
                OptionSpec::Capable(capable) => {
                    for key in &mut capable.keys {
                        if key.name == "unknown" {
                            "hkey".clone_into(&mut key.name);
                            key.value = None;
                        }
                    }
                }
                OptionSpec::JoinSynAck { nonce, hmac, .. } => (*nonce, *hmac) = (None, HmacSpec::Auto),
                OptionSpec::JoinSyn { nonce, token, .. } => {
                    (*nonce, *token) = (None, TokenSpec::Hash("pkey".to_owned()));
                }
                OptionSpec::AddAddress { address, .. } => {
                    if let Some(value) = address.value {
                        address.name = self.name_of(value);
                    }
                }
                _ => {}
            }
        }
    }

    pub(super) fn take_packets(&mut self) {
        while let Ok((seen, octets)) = self.network.packets().try_recv() {
            self.take(seen, &octets);
        }
    }

    pub(super) fn wait(&mut self, span: Span) {
        if let Ok((seen, octets)) = self.network.packets().recv_timeout(span) {
            self.take(seen, &octets);
        }
    }

    pub(super) fn take(&mut self, seen: time::Instant, octets: &[u8]) {
        let at = self.clock.at(seen);
        if let Ok(packet) = Packet::parse(octets)
            && packet.ip.is_ipv4()
            && matches!(packet.body, Body::Tcp(_))
        {
            self.inbox.push_back((at, packet));
        }
    }
}
