//! Packets of a capture as lines of a script: what a script would bind when it runs (initial numbers, keys,
//! random numbers, addresses) is learnt from the packets themselves.
//!
//! Keys and addresses get names when they first occur, with their value there. Of MPTCP version 0, and of a
//! flow whose SYN was not captured, numbers stay absolute.

use mptcp_model::crypto::Version;
use mptcp_model::wire::{Body, MpOption, Packet, Seq, TcpSegment};

use super::ast::{AddressRef, BodySpec, Direction, Endpoints, OptionsSpec, PacketSpec};
use super::describe::describe;
use super::environment::Environment;
use super::flow::ends;
use super::option::{KeyRef, OptionSpec};

/// The next packet of a capture as a script would state it. `None` if the language has no words for it.
pub fn record(packet: &Packet, direction: Direction, environment: &mut Environment) -> Option<PacketSpec> {
    let flow = match &packet.body {
        Body::Tcp(segment) => environment.learn(packet, segment, direction),
        _ => None,
    };
    let mut spec = describe(packet, direction, environment)?;
    spec.endpoints = Some(Endpoints {
        source: Some(environment.named(packet.ip.src)),
        destination: Some(environment.named(packet.ip.dst)),
    });
    if let BodySpec::Tcp(tcp) = &mut spec.body
        && let OptionsSpec::List(options) = &mut tcp.options
    {
        let session = flow.and_then(|flow| environment.flows.get(flow)).map_or(0, |flow| flow.session);
        for option in options {
            match option {
                OptionSpec::Capable(capable) => {
                    for key in &mut capable.keys {
                        environment.name_key(key, session);
                    }
                }
                OptionSpec::FastClose(Some(key)) => environment.name_key(key, session),
                OptionSpec::AddAddress { address, .. } => {
                    if let Some(value) = address.value {
                        *address = environment.named(value);
                    }
                }
                _ => {}
            }
        }
    }
    Some(spec)
}

impl Environment {
    /// Notes what a segment binds; the flow it belongs to, if its SYN was seen.
    fn learn(&mut self, packet: &Packet, segment: &TcpSegment, direction: Direction) -> Option<usize> {
        let outbound = direction == Direction::Outbound;
        let (stack, peer) = ends(packet, segment, outbound);
        let opens = segment.flags.syn() && !segment.flags.ack();
        let isn = segment.seq;
        let known = self.flow_between(stack, peer).filter(|&flow| {
            let flow = &self.flows[flow];
            let first = if outbound {
                flow.stack_isn
            } else {
                Some(flow.peer_isn).filter(|_| !opens || flow.settled)
            };
            !opens || first.is_none_or(|first| first == isn)
        });
        let flow = match known {
            Some(flow) => flow,
            None if segment.flags.syn() => {
                let joined = segment.options.mptcp().find_map(|option| match option {
                    MpOption::JoinSyn { token, .. } => Some(token),
                    _ => None,
                });
                let session = joined.and_then(|seen| {
                    self.sessions.iter().rposition(|session| {
                        let keys = [session.mine, session.theirs].into_iter().flatten();
                        keys.into_iter().any(|key| super::environment::token(key) == seen)
                    })
                });
                let session = session.unwrap_or_else(|| self.open_session());
                self.add_flow(stack, peer, session)
            }
            None => return None,
        };
        if segment.flags.syn() {
            let known = &mut self.flows[flow];
            if outbound {
                known.stack_isn = Some(isn);
            } else {
                known.peer_isn = isn;
            }
            if opens {
                // Until the answer comes, nothing is relative to it.
                let other = segment.ack;
                if outbound {
                    known.peer_isn = other;
                } else {
                    known.stack_isn = Some(other);
                }
            } else {
                let other = Seq(segment.ack.0.wrapping_sub(1));
                if outbound {
                    known.peer_isn = other;
                } else {
                    known.stack_isn = Some(other);
                }
            }
        }
        let session = self.flows[flow].session;
        for option in segment.options.mptcp() {
            match option {
                MpOption::Capable { version, sender_key, receiver_key, .. }
                    if version == Version::V1.number() =>
                {
                    let session = &mut self.sessions[session];
                    let (mine, theirs) =
                        if outbound { (receiver_key, sender_key) } else { (sender_key, receiver_key) };
                    session.mine = session.mine.or(mine);
                    session.theirs = session.theirs.or(theirs);
                }
                MpOption::JoinSyn { nonce, .. } | MpOption::JoinSynAck { nonce, .. } => {
                    let flow = &mut self.flows[flow];
                    if outbound {
                        flow.stack_nonce = Some(nonce);
                    } else {
                        flow.peer_nonce = Some(nonce);
                    }
                }
                _ => {}
            }
        }
        Some(flow)
    }

    /// A reference to an address: with its value where it occurs first.
    fn named(&mut self, address: std::net::IpAddr) -> AddressRef {
        if let Some(name) = self.name_of(address) {
            return AddressRef { name: name.to_owned(), value: None };
        }
        let name = (0..).map(|number| format!("host{number}")).find(|name| self.address(name).is_none());
        let name = name.unwrap_or_default();
        self.bind_address(&name, address);
        AddressRef { name, value: Some(address) }
    }

    /// Gives a key without a name one.
    fn name_key(&mut self, key: &mut KeyRef, session: usize) {
        let Some(value) = key.value else { return };
        let name = (0..).map(|number| format!("key{number}")).find(|name| self.key(name).is_none());
        key.name = name.unwrap_or_default();
        // A new name takes any value.
        let _ = self.outbound_key(key, value, session);
    }
}
