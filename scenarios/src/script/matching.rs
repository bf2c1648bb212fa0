//! Comparing a packet that the stack sent with an outbound line.

use core::fmt;

use mptcp_model::wire::{Body, Packet, Seq, TcpSegment};

use super::ast::{BodySpec, Direction, IcmpSpec, OptionsSpec, PacketSpec, TcpSpec};
use super::describe::describe;
use super::environment::Environment;
use super::flow::ends;
use super::option_match;
use super::parse::flag_letters;

/// Why a packet is not the one expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mismatch {
    /// The packet of the script.
    pub expected: String,
    /// The packet that was seen, in the notation of scripts.
    pub seen: String,
    /// What differs, one sentence each; never empty.
    pub differences: Vec<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}\n    seen {}", self.expected, self.seen)?;
        self.differences.iter().try_for_each(|difference| write!(f, "\n    {difference}"))
    }
}

impl PacketSpec {
    /// Compares this line with a packet that the stack sent. If they agree, names that occur for the first
    /// time take the values of the packet; if not, nothing changes.
    ///
    /// # Errors
    /// What differs.
    pub fn check(&self, seen: &Packet, environment: &mut Environment) -> Result<(), Box<Mismatch>> {
        let mut trial = environment.clone();
        let mut differences = Vec::new();
        if self.direction == Direction::Inbound {
            differences.push("an inbound line expects nothing: write `>`".to_owned());
        }
        self.check_ip(seen, &mut differences);
        let mut learnt = None;
        match (&self.body, &seen.body) {
            (BodySpec::Tcp(tcp), Body::Tcp(segment)) => {
                learnt = self.check_tcp(tcp, seen, segment, &mut trial, &mut differences);
            }
            (BodySpec::Udp { len }, Body::Udp(datagram)) => {
                differ(&mut differences, "length", u32::from(*len), datagram.payload.len());
            }
            (BodySpec::Icmp(IcmpSpec { kind, mtu, .. }), Body::Icmp(message)) => {
                let (kind, code) = kind.numbers(seen.ip.is_ipv4());
                differ(&mut differences, "ICMP type", kind, message.kind);
                differ(&mut differences, "ICMP code", code, message.code);
                if let Some(mtu) = mtu {
                    differ(&mut differences, "mtu", *mtu, message.rest);
                }
            }
            _ => differences.push("a packet of another protocol".to_owned()),
        }
        if differences.is_empty() {
            if let (Some(index), Body::Tcp(segment)) = (learnt, &seen.body) {
                trial.note_outbound(index, segment);
            }
            *environment = trial;
            return Ok(());
        }
        // The trial knows names and numbers that this very packet brought.
        Err(Box::new(Mismatch {
            expected: self.to_string(),
            seen: describe(seen, Direction::Outbound, &trial)
                .map_or_else(|| format!("{:?}", seen.body), |spec| spec.to_string()),
            differences,
        }))
    }

    fn check_ip(&self, seen: &Packet, differences: &mut Vec<String>) {
        if let Some(ecn) = self.ip.ecn
            && ecn != seen.ip.ecn
        {
            differences.push(format!("ECN field: expected {ecn:?}, seen {:?}", seen.ip.ecn));
        }
        let tos = (seen.ip.dscp << 2) | seen.ip.ecn as u8;
        if let Some(expected) = self.ip.tos
            && expected != tos
        {
            differences.push(format!("tos: expected {expected:#04x}, seen {tos:#04x}"));
        }
    }

    /// The flow of the segment, if it has one.
    fn check_tcp(
        &self,
        tcp: &TcpSpec,
        seen: &Packet,
        segment: &TcpSegment,
        environment: &mut Environment,
        differences: &mut Vec<String>,
    ) -> Option<usize> {
        let before = environment.current_connection();
        let known = environment.flows.len();
        let Some(index) = environment.outbound_flow(seen, segment) else {
            let (stack, peer) = ends(seen, segment, true);
            differences.push(format!("connection: {stack} and {peer} have none"));
            return None;
        };
        let flow = &mut environment.flows[index];
        if segment.flags.syn() {
            flow.stack_isn.get_or_insert(segment.seq);
        }
        let (stack, peer) = (flow.stack, flow.peer);
        // Before the peer said its number, nothing is relative to it.
        let peer_isn = if flow.heard { flow.peer_isn } else { Seq::default() };
        let stack_isn = flow.stack_isn();
        match &self.endpoints {
            Some(endpoints) => {
                differences.extend(environment.bind_endpoints(endpoints, seen.ip.src, seen.ip.dst));
            }
            // Without names, of the connection last spoken of; a SYN may open another.
            None if index < known && before.is_some_and(|current| current != (stack, peer)) => {
                let (stack_before, peer_before) = before.unwrap_or((stack, peer));
                differences.push(format!(
                    "connection: expected {stack_before} > {peer_before}, seen {stack} > {peer}"
                ));
            }
            None => {}
        }
        environment.current = Some(index);
        if tcp.flags != segment.flags {
            let (expected, seen) = (flag_letters(tcp.flags), flag_letters(segment.flags));
            differences.push(format!("flags: expected {expected}, seen {seen}"));
        }
        differ(differences, "sequence number", tcp.range.first, segment.seq.distance_from(stack_isn));
        differ(differences, "length", tcp.range.len, segment.payload.len());
        if let Some(ack) = tcp.ack {
            let seen = if segment.flags.ack() { segment.ack.distance_from(peer_isn) } else { segment.ack.0 };
            differ(differences, "ack", ack, seen);
        }
        if let Some(window) = tcp.window {
            differ(differences, "win", window, segment.window);
        }
        if let Some(urgent) = tcp.urgent {
            differ(differences, "urg", urgent, segment.urgent);
        }
        if let OptionsSpec::List(list) = &tcp.options {
            option_match::check(list, tcp, segment, environment, index, differences);
        }
        Some(index)
    }
}

fn differ<T: PartialEq + fmt::Display>(differences: &mut Vec<String>, what: &str, expected: T, seen: T) {
    if expected != seen {
        differences.push(format!("{what}: expected {expected}, seen {seen}"));
    }
}
