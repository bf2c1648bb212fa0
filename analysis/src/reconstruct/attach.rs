//! To which connection a flow belongs: by MP_CAPABLE it begins one, by the token of MP_JOIN it joins one. Of a
//! flow whose handshake was not captured, or whose token is not known, data sequence numbers near those of a
//! connection tell; else it has a connection of its own.

use mptcp_model::crypto::{Version, add_addr_hmac, join_hmac_ack, join_hmac_synack, key_material};
use mptcp_model::wire::{DataNumber, Dss, MpOption, mptcp::ADD_ADDR_ECHO};

use super::connection::{Announced, Connection, Fallback, Protocol};
use super::{ConnectionId, FlowId, Notice, Reconstruction};
use crate::trace::{FlowDirection, SegmentView};

/// Numbers of 64 bits this near belong together, in octets.
const NEAR: u64 = 1 << 26;
/// Numbers of 32 bits this near belong together if the ports agree too, in octets.
const NEAR_SHORT: u64 = 1 << 22;
/// Connections looked at, from the youngest.
const CANDIDATES: usize = 1024;

impl Reconstruction {
    /// Handles an MPTCP option other than DSS.
    pub(super) fn option(
        &mut self,
        flow: FlowId,
        direction: FlowDirection,
        nanos: u64,
        segment: &SegmentView<'_>,
        option: &MpOption,
    ) {
        match option {
            MpOption::Capable { version, flags, sender_key, receiver_key, .. } => {
                self.capable(flow, direction, segment, (*version, *flags), [*sender_key, *receiver_key]);
            }
            MpOption::JoinSyn { backup, address_id, token, nonce } if segment.flags.syn() => {
                let handshake = &mut self.flows[flow.index()].handshake;
                handshake.nonces[direction as usize] = Some(*nonce);
                handshake.address_ids[direction as usize] = Some(*address_id);
                handshake.backup[direction as usize] = *backup;
                self.flows[flow.index()].join = true;
                self.join(flow, *token, nanos);
            }
            MpOption::JoinSynAck { backup, address_id, hmac, nonce } => {
                let handshake = &mut self.flows[flow.index()].handshake;
                handshake.nonces[1] = Some(*nonce);
                handshake.address_ids[1] = Some(*address_id);
                handshake.backup[1] = *backup;
                self.flows[flow.index()].join = true;
                let seen = *hmac;
                self.authenticate(flow, 1, |version, keys, nonces| {
                    join_hmac_synack(version, keys[1], keys[0], nonces[1], nonces[0]) == seen
                });
            }
            MpOption::JoinAck { hmac } => {
                self.flows[flow.index()].join = true;
                let seen = *hmac;
                self.authenticate(flow, 0, |version, keys, nonces| {
                    join_hmac_ack(version, keys[0], keys[1], nonces[0], nonces[1]) == seen
                });
            }
            MpOption::AddAddr { nibble, address_id, address, port, hmac } => {
                let side = self.side(flow, direction);
                let connection = self.connection_of(flow);
                if connection.version == Some(Version::V1)
                    && nibble & ADD_ADDR_ECHO == 0
                    && let (Some(seen), [Some(first), Some(second)]) = (*hmac, connection.keys)
                {
                    let (local, remote) = if side == 0 { (first, second) } else { (second, first) };
                    if add_addr_hmac(local, remote, *address_id, *address, *port) != seen {
                        self.notices.push(Notice::WrongAddAddrHmac { address: *address });
                    }
                }
                let echo =
                    self.connection_of(flow).version != Some(Version::V0) && nibble & ADD_ADDR_ECHO != 0;
                let connection = self.connection_of_mut(flow);
                let known = connection
                    .announced
                    .iter()
                    .any(|known| (known.side, known.id, known.address) == (side, *address_id, *address));
                if !echo && !known && connection.announced.len() < 64 {
                    connection.announced.push(Announced {
                        side,
                        id: *address_id,
                        address: *address,
                        port: *port,
                        nanos,
                        joined: None,
                    });
                }
            }
            MpOption::FastClose { receiver_key } => {
                let side = self.side(flow, direction);
                let number = self.packets;
                let connection = self.connection_of_mut(flow);
                connection.fast_close.get_or_insert((number, side));
                match connection.keys[1 - side] {
                    Some(key) if key != *receiver_key => self.notices.push(Notice::WrongFastCloseKey),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn capable(
        &mut self,
        flow: FlowId,
        direction: FlowDirection,
        segment: &SegmentView<'_>,
        (version, flags): (u8, u8),
        keys: [Option<u64>; 2],
    ) {
        let side = self.side(flow, direction);
        let connection = self.flows[flow.index()].connection;
        let first = self.connections[connection.index()].first_flow() == Some(flow);
        if !first || self.flows[flow.index()].join {
            return;
        }
        let known = Version::from_number(version);
        let target = &mut self.connections[connection.index()];
        if segment.flags.syn() {
            target.checksum[side] |= flags & 0x80 != 0;
        }
        if target.protocol == Protocol::Tcp {
            target.protocol = Protocol::Offered;
        }
        let opens = segment.flags.syn() && !segment.flags.ack();
        if target.protocol == Protocol::Offered && !opens {
            target.protocol = Protocol::Mptcp;
        }
        if known.is_some() && target.version != known {
            target.version = known;
            for side in 0..2 {
                if let Some(key) = self.connections[connection.index()].keys[side].take() {
                    self.learn(connection, side, key);
                }
            }
        }
        for (side, key) in [(side, keys[0]), (1 - side, keys[1])] {
            let Some(key) = key else { continue };
            match self.connections[connection.index()].keys[side] {
                None => self.learn(connection, side, key),
                Some(known) if known != key => self.notices.push(Notice::AnotherKey),
                Some(_) => {}
            }
        }
    }

    /// The key of a side is known: its token and its first data sequence number follow.
    fn learn(&mut self, connection: ConnectionId, side: usize, key: u64) {
        let target = &mut self.connections[connection.index()];
        target.keys[side] = Some(key);
        let Some(version) = target.version else { return };
        let material = key_material(version, key);
        target.tokens[side] = Some(material.token);
        target.streams[side].begin_at(material.idsn.wrapping_add(1));
        let before = self.tokens.insert(material.token, (connection, side));
        // Joins that came first, as in a capture that is not in order.
        if let Some((orphan, _)) = before
            && orphan != connection
            && self.connections[orphan.index()].is_orphan()
        {
            let flows = std::mem::take(&mut self.connections[orphan.index()].flows);
            let events = std::mem::take(&mut self.connections[orphan.index()].events);
            for flow in flows {
                self.belongs(flow, connection, side == 0);
            }
            for event in events {
                self.connections[connection.index()].note(event);
            }
        }
    }

    /// The SYN of `flow` names the connection with `token`.
    fn join(&mut self, flow: FlowId, token: u32, nanos: u64) {
        let server = self.flows[flow.index()].server;
        let (connection, side) = match self.tokens.get(&token) {
            Some(&found) => found,
            None => {
                // Of a connection whose begin was not captured; other joins with this token belong to it too.
                let own = self.flows[flow.index()].connection;
                let target = &mut self.connections[own.index()];
                target.protocol = Protocol::Mptcp;
                target.tokens[1] = Some(token);
                self.tokens.insert(token, (own, 1));
                return;
            }
        };
        self.flows[flow.index()].settled = !self.connections[connection.index()].is_orphan();
        if self.flows[flow.index()].connection != connection {
            self.leave(flow);
            self.belongs(flow, connection, side == 0);
        }
        for announced in &mut self.connections[connection.index()].announced {
            if announced.side == side && announced.address == server.ip() {
                announced.joined.get_or_insert(nanos);
            }
        }
    }

    fn belongs(&mut self, flow: FlowId, connection: ConnectionId, reversed: bool) {
        let member = &mut self.flows[flow.index()];
        member.connection = connection;
        member.reversed = reversed;
        self.connections[connection.index()].flows.push(flow);
    }

    /// Takes a flow out of its connection, with its events.
    fn leave(&mut self, flow: FlowId) {
        let connection = self.flows[flow.index()].connection;
        self.connections[connection.index()].flows.retain(|&member| member != flow);
    }

    /// Finds the connection of a flow whose begin is not known, by its first data numbers.
    pub(super) fn settle(&mut self, flow: FlowId, direction: FlowDirection, dss: &Dss) {
        let numbers =
            [dss.mapping.filter(|mapping| mapping.len > 0).map(|mapping| mapping.dsn), dss.data_ack];
        if numbers == [None, None] {
            return;
        }
        let member = &mut self.flows[flow.index()];
        member.settled = true;
        let own = member.connection;
        if self.connections[own.index()].first_flow() == Some(flow) && member.from_start && !member.join {
            // It began with a handshake that offered MPTCP, or never should have a DSS.
            return;
        }
        if !self.connections[own.index()].is_orphan() {
            return;
        }
        let (client, server) = (member.client, member.server);
        let direction = direction as usize;
        let mut found = None;
        let youngest = self.connections.len().saturating_sub(CANDIDATES);
        for (index, candidate) in self.connections.iter().enumerate().skip(youngest).rev() {
            let Some(first) = candidate.first_flow().filter(|_| candidate.is_mptcp() && index != own.index())
            else {
                continue;
            };
            let first = &self.flows[first.index()];
            for reversed in [false, true] {
                let side = direction ^ usize::from(reversed);
                let ports =
                    if reversed { (server.port(), client.port()) } else { (client.port(), server.port()) };
                let same_port = ports.1 == first.server.port() || ports.0 == first.client.port();
                let near = |number: Option<DataNumber>, side: usize| {
                    number.is_some_and(|number| {
                        let limit = if number.is_long() { NEAR } else { NEAR_SHORT };
                        (number.is_long() || same_port)
                            && candidate.streams[side]
                                .distance(number)
                                .is_some_and(|distance| distance < limit)
                    })
                };
                if near(numbers[0], side) || (numbers[0].is_none() && near(numbers[1], 1 - side)) {
                    found = Some((ConnectionId(index as u32), reversed));
                }
            }
            if found.is_some() {
                break;
            }
        }
        if let Some((connection, reversed)) = found {
            self.leave(flow);
            self.belongs(flow, connection, reversed);
        }
        let id = self.flows[flow.index()].connection;
        let connection = &mut self.connections[id.index()];
        if connection.protocol == Protocol::Tcp {
            connection.protocol = Protocol::Mptcp;
        }
    }

    /// A SYN/ACK, or a SYN, without the option that was expected.
    pub(super) fn without_option(&mut self, flow: FlowId, number: u64, answer: bool) {
        let connection = self.connection_of_mut(flow);
        if connection.first_flow() != Some(flow) || connection.protocol != Protocol::Offered {
            return;
        }
        let cause = if answer { Fallback::SynAck } else { Fallback::Syn };
        connection.protocol = Protocol::Fallback(cause, number);
    }

    fn authenticate(
        &mut self,
        flow: FlowId,
        role: usize,
        right: impl Fn(Version, [u64; 2], [u32; 2]) -> bool,
    ) {
        let member = &self.flows[flow.index()];
        let connection = &self.connections[member.connection.index()];
        let keys = if member.reversed { [1, 0] } else { [0, 1] }.map(|side: usize| connection.keys[side]);
        let (Some(version), [Some(client), Some(server)], [Some(first), Some(second)]) =
            (connection.version, keys, member.handshake.nonces)
        else {
            return;
        };
        let authentic = right(version, [client, server], [first, second]);
        self.flows[flow.index()].handshake.authentic[role] = Some(authentic);
        if !authentic {
            self.notices.push(Notice::WrongJoinHmac { acknowledgment: role == 0 });
        }
    }

    /// The side of the connection that sends in a direction of a flow: 0 the initiator.
    #[must_use]
    pub fn side(&self, flow: FlowId, direction: FlowDirection) -> usize {
        direction as usize ^ usize::from(self.flows[flow.index()].reversed)
    }

    /// The connection of a flow.
    #[must_use]
    pub fn connection_of(&self, flow: FlowId) -> &Connection {
        &self.connections[self.flows[flow.index()].connection.index()]
    }

    pub(super) fn connection_of_mut(&mut self, flow: FlowId) -> &mut Connection {
        &mut self.connections[self.flows[flow.index()].connection.index()]
    }
}
