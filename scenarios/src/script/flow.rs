//! Which connection a packet belongs to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use mptcp_model::wire::{MpOption, Packet, Seq, TcpSegment};

use super::ast::{AddressRef, Endpoints, OptionsSpec, TcpSpec};
use super::environment::{Environment, token};
use super::option::{OptionSpec, TokenSpec};
use crate::units::Complaint;

/// One TCP connection or subflow.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) stack: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) peer_isn: Seq,
    /// The script sent something on it.
    pub(super) heard: bool,
    pub(super) stack_isn: Option<Seq>,
    /// Timestamps of the stack: as in the script, as on the wire.
    pub(super) timestamps: BTreeMap<u32, u32>,
    pub(super) peer_nonce: Option<u32>,
    pub(super) stack_nonce: Option<u32>,
    pub(super) session: usize,
    /// More than SYNs has come from the peer, or the stack has reset it: another SYN begins another flow.
    pub(super) settled: bool,
    /// Sequence number of the last segment of the stack.
    pub(super) last_sent: Seq,
}

impl Flow {
    /// Initial sequence number of the stack; 0 before it sent one.
    pub(super) fn stack_isn(&self) -> Seq {
        self.stack_isn.unwrap_or_default()
    }
}

/// The ends of a packet: at the stack, at the peer.
pub(super) fn ends(packet: &Packet, segment: &TcpSegment, outbound: bool) -> (SocketAddr, SocketAddr) {
    let source = SocketAddr::new(packet.ip.src, segment.src_port);
    let destination = SocketAddr::new(packet.ip.dst, segment.dst_port);
    if outbound { (source, destination) } else { (destination, source) }
}

impl Environment {
    /// The flow an inbound segment belongs to, made by a SYN where there is none. It becomes the current
    /// one.
    ///
    /// # Errors
    /// A name without an address in a packet that opens nothing, or a token of no connection.
    pub(super) fn inbound_flow(
        &mut self,
        endpoints: Option<&Endpoints>,
        tcp: &TcpSpec,
    ) -> Result<usize, Complaint> {
        let opens = tcp.flags.syn() && !tcp.flags.ack();
        let (peer, stack) = match endpoints {
            Some(endpoints) => (
                self.end(endpoints.source.as_ref(), opens, true)?,
                self.end(endpoints.destination.as_ref(), opens, false)?,
            ),
            None => (None, None),
        };
        let known = if endpoints.is_some() { self.find(stack, peer) } else { self.current };
        let index = match known {
            Some(index) if !(opens && self.flows[index].settled) => index,
            _ => {
                let session = match join_token(tcp) {
                    Some(token) => self.session_of(token)?,
                    None => self.open_session(),
                };
                let stack = stack.unwrap_or(self.setup.local);
                let port = self.session(session).and_then(|session| session.ports.get(&stack).copied());
                let stack = SocketAddr::new(stack, port.unwrap_or(self.setup.port));
                let peer = SocketAddr::new(peer.unwrap_or(self.setup.remote), self.next_port);
                self.next_port = self.next_port.checked_add(1).unwrap_or(49_152);
                self.add_flow(stack, peer, session)
            }
        };
        self.current = Some(index);
        Ok(index)
    }

    /// The address of one end of an inbound packet.
    ///
    /// A new name is bound by these rules. In a SYN, at the stack: the first local address, if that has no
    /// name, else the next after it. In a SYN, at the peer: the first remote address, if there was no
    /// connection yet or the name ends with `0`, else the next after it. In other packets: the end of the
    /// current connection, if that has no name.
    fn end(
        &mut self,
        reference: Option<&AddressRef>,
        opens: bool,
        at_peer: bool,
    ) -> Result<Option<IpAddr>, Complaint> {
        let Some(reference) = reference else { return Ok(None) };
        if reference.value.is_none() && self.address(&reference.name).is_none() {
            let first = if at_peer { self.setup.remote } else { self.setup.local };
            let initial = !at_peer || self.flows.is_empty() || reference.name.ends_with('0');
            let current = self.current_connection().map(|(stack, peer)| if at_peer { peer } else { stack });
            let address = match current.map(|end| end.ip()) {
                _ if opens && initial && self.name_of(first).is_none() => Some(first),
                _ if opens => Some(self.fresh_address(first)),
                current => current.filter(|address| self.name_of(*address).is_none()),
            };
            if let Some(address) = address {
                self.bind_address(&reference.name, address);
            }
        }
        self.resolve(reference).map(Some)
    }

    /// The newest flow between two addresses, the current one first.
    fn find(&self, stack: Option<IpAddr>, peer: Option<IpAddr>) -> Option<usize> {
        let fits = |index: &usize| {
            self.flows.get(*index).is_some_and(|flow| {
                stack.is_none_or(|address| flow.stack.ip() == address)
                    && peer.is_none_or(|address| flow.peer.ip() == address)
            })
        };
        self.current.filter(fits).or_else(|| (0..self.flows.len()).rev().find(fits))
    }

    /// The flow an outbound segment belongs to; a SYN of the stack makes one.
    pub(super) fn outbound_flow(&mut self, packet: &Packet, segment: &TcpSegment) -> Option<usize> {
        let (stack, peer) = ends(packet, segment, true);
        let opens = segment.flags.syn() && !segment.flags.ack();
        let known = self.flow_between(stack, peer);
        match known {
            Some(index) => {
                let flow = &self.flows[index];
                if !(opens && flow.settled && flow.stack_isn != Some(segment.seq)) {
                    return Some(index);
                }
            }
            None if !opens => return None,
            None => {}
        }
        let token_seen = segment.options.mptcp().find_map(|option| match option {
            MpOption::JoinSyn { token, .. } => Some(token),
            _ => None,
        });
        let session = match token_seen {
            Some(seen) => self
                .sessions
                .iter()
                .position(|session| session.mine.is_some_and(|key| token(key) == seen))
                .or(self.current_session()),
            None => None,
        };
        let session = session.unwrap_or_else(|| self.open_session());
        Some(self.add_flow(stack, peer, session))
    }

    /// The newest flow with these ends.
    pub(super) fn flow_between(&self, stack: SocketAddr, peer: SocketAddr) -> Option<usize> {
        self.flows.iter().rposition(|flow| flow.stack == stack && flow.peer == peer)
    }

    fn current_session(&self) -> Option<usize> {
        self.current.and_then(|index| self.flows.get(index)).map(|flow| flow.session)
    }

    fn session_of(&mut self, token: &TokenSpec) -> Result<usize, Complaint> {
        if let TokenSpec::Hash(name) = token {
            let key = self.key(name).ok_or_else(|| unknown_key(name))?;
            let of = |session: &super::environment::Session| {
                session.theirs == Some(key) || session.mine == Some(key)
            };
            if let Some(index) = self.sessions.iter().rposition(of) {
                return Ok(index);
            }
        }
        // A wrong token is the point of some scripts.
        Ok(self.current_session().unwrap_or_else(|| self.open_session()))
    }

    pub(super) fn add_flow(&mut self, stack: SocketAddr, peer: SocketAddr, session: usize) -> usize {
        let peer_isn = Seq(self.random.next_u32());
        // The initial addresses have id 0.
        if let Some(session) = self.sessions.get_mut(session)
            && session.ids.is_empty()
        {
            session.ids.insert(stack.ip(), 0);
            session.ids.insert(peer.ip(), 0);
        }
        self.flows.push(Flow {
            stack,
            peer,
            peer_isn,
            heard: false,
            stack_isn: None,
            timestamps: BTreeMap::new(),
            peer_nonce: None,
            stack_nonce: None,
            session,
            settled: false,
            last_sent: Seq::default(),
        });
        self.flows.len() - 1
    }

    /// Whether the addresses of an outbound packet are those that the names stand for; new names take
    /// them. Otherwise what is wrong.
    pub(super) fn bind_endpoints(
        &mut self,
        endpoints: &Endpoints,
        source: IpAddr,
        destination: IpAddr,
    ) -> Option<String> {
        for (what, reference, seen) in
            [("source", &endpoints.source, source), ("destination", &endpoints.destination, destination)]
        {
            let Some(reference) = reference else { continue };
            let expected = reference.value.or(self.address(&reference.name));
            match expected {
                Some(expected) if expected != seen => {
                    return Some(format!(
                        "{what}: expected addr[{}] = {expected}, seen {seen}",
                        reference.name
                    ));
                }
                _ => self.bind_address(&reference.name, seen),
            }
        }
        None
    }

    /// The segment of an outbound packet was as expected: note what later lines refer to.
    pub(super) fn note_outbound(&mut self, index: usize, segment: &TcpSegment) {
        let flow = &mut self.flows[index];
        flow.last_sent = segment.seq;
        flow.settled |= segment.flags.rst();
    }
}

pub(super) fn unknown_key(name: &str) -> Complaint {
    Complaint::new(
        format!("key `{name}` is not known yet"),
        "use the name of a key that an earlier packet carried",
    )
}

/// The token of the join in a SYN.
fn join_token(tcp: &TcpSpec) -> Option<&TokenSpec> {
    let OptionsSpec::List(list) = &tcp.options else { return None };
    list.iter().find_map(|option| match option {
        OptionSpec::JoinSyn { token, .. } => Some(token),
        _ => None,
    })
}
