//! From an inbound line to the packet to inject.

use std::net::SocketAddr;

use mptcp_model::crypto;
use mptcp_model::wire::mptcp::ADD_ADDR_ECHO;
use mptcp_model::wire::{
    AddressIds, Body, Dss, DssMapping, Ecn, IcmpMessage, IpHeader, MpOption, Packet, Payload, SackBlocks,
    Seq, TcpFlags, TcpOption, TcpOptions, TcpSegment, UdpDatagram,
};

use super::ast::{BodySpec, Direction, IcmpKind, IcmpSpec, IpSpec, OptionsSpec, PacketSpec, Quoted, TcpSpec};
use super::environment::{Environment, token};
use super::flow::unknown_key;
use super::option::{CapableSpec, DssSpec, HmacSpec, JoinAckHmac, OptionSpec, TokenSpec};
use super::view::{View, to_wire};
use crate::units::Complaint;

/// Kinds of the options that are not interpreted by the stack (RFC 2385, RFC 7413, RFC 6994).
pub(super) const MD5: u8 = 19;
pub(super) const FAST_OPEN: u8 = 34;
pub(super) const EXPERIMENT: u8 = 254;
/// The experiment of RFC 7413.
pub(super) const FAST_OPEN_MAGIC: [u8; 2] = [0xf9, 0x89];

impl PacketSpec {
    /// The packet that this line injects; variables get values as needed.
    ///
    /// # Errors
    /// A line for an outbound packet, a variable without a value, or options for which a header has no
    /// room.
    pub fn build(&self, environment: &mut Environment) -> Result<Packet, Complaint> {
        if self.direction == Direction::Outbound {
            return Err(Complaint::new("an outbound packet cannot be injected", "write `<`"));
        }
        match &self.body {
            BodySpec::Tcp(tcp) => self.segment(tcp, environment),
            BodySpec::Udp { len } => {
                let setup = environment.setup;
                let datagram = UdpDatagram {
                    src_port: environment.next_port,
                    dst_port: setup.port,
                    payload: data(0, u32::from(*len)),
                };
                let ip = self.ip.header(setup.remote, setup.local);
                Ok(Packet { ip, body: Body::Udp(datagram) })
            }
            BodySpec::Icmp(icmp) => self.icmp(icmp, environment),
        }
    }

    fn segment(&self, tcp: &TcpSpec, environment: &mut Environment) -> Result<Packet, Complaint> {
        let OptionsSpec::List(list) = &tcp.options else {
            return Err(Complaint::new("`<...>` in a packet to inject", "write the options it carries"));
        };
        let index = environment.inbound_flow(self.endpoints.as_ref(), tcp)?;
        let mut options = TcpOptions::new();
        for spec in list {
            let option = Builder { environment, flow: index, tcp }.option(spec)?;
            if !options.push(&option) {
                return Err(Complaint::new(
                    format!("no room for `{spec}`: a TCP header carries 40 octets of options"),
                    "leave an option out",
                ));
            }
        }
        let flow = &mut environment.flows[index];
        flow.heard = true;
        let of_syns = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ECE.0 | TcpFlags::CWR.0);
        flow.settled |= tcp.flags.without(of_syns) != TcpFlags::default();
        let acked = tcp.ack.map_or(Seq::default(), |ack| flow.stack_isn().wrapping_add(ack));
        let segment = TcpSegment {
            src_port: flow.peer.port(),
            dst_port: flow.stack.port(),
            seq: flow.peer_isn.wrapping_add(tcp.range.first),
            ack: acked,
            flags: tcp.flags,
            window: tcp.window.unwrap_or_default(),
            urgent: tcp.urgent.unwrap_or_default(),
            options,
            payload: data(tcp.range.first, tcp.range.len),
        };
        let ip = self.ip.header(flow.peer.ip(), flow.stack.ip());
        Ok(Packet { ip, body: Body::Tcp(segment) })
    }

    fn icmp(&self, icmp: &IcmpSpec, environment: &Environment) -> Result<Packet, Complaint> {
        let Some(flow) = environment.current.and_then(|index| environment.flows.get(index)) else {
            return Err(Complaint::new("an ICMP error before any connection", "open one first"));
        };
        let ip = IpHeader::new(flow.stack.ip(), flow.peer.ip());
        let quoted = match icmp.quoted {
            Some(Quoted::Udp { len }) => {
                let (src_port, dst_port) = (flow.stack.port(), flow.peer.port());
                Body::Udp(UdpDatagram { src_port, dst_port, payload: data(0, u32::from(len)) })
            }
            segment => {
                let (seq, len) = match segment {
                    Some(Quoted::Tcp(range)) => (flow.stack_isn().wrapping_add(range.first), range.len),
                    _ => (flow.last_sent, 0),
                };
                Body::Tcp(TcpSegment {
                    src_port: flow.stack.port(),
                    dst_port: flow.peer.port(),
                    seq,
                    ack: Seq::default(),
                    flags: TcpFlags::ACK,
                    window: 0,
                    urgent: 0,
                    options: TcpOptions::EMPTY,
                    payload: data(0, len),
                })
            }
        };
        let mut octets = Vec::new();
        // The IP header and the first 64 bits of what it carries (RFC 792).
        let ip_len = if ip.is_ipv4() { 20 } else { 40 };
        Packet { ip, body: quoted }.emit_headers(&mut octets, 0);
        octets.truncate(ip_len + 8);
        let (kind, code) = icmp.kind.numbers(ip.is_ipv4());
        let message = IcmpMessage { kind, code, rest: icmp.mtu.unwrap_or_default(), data: octets.into() };
        let ip = self.ip.header(flow.peer.ip(), flow.stack.ip());
        Ok(Packet { ip, body: Body::Icmp(Box::new(message)) })
    }
}

/// Payload octets are arbitrary.
const fn data(first: u32, len: u32) -> Payload {
    Payload::pattern(0, first as u64, len)
}

impl IpSpec {
    fn header(&self, source: std::net::IpAddr, destination: std::net::IpAddr) -> IpHeader {
        let mut ip = IpHeader::new(source, destination);
        if let Some(tos) = self.tos {
            ip.dscp = tos >> 2;
            ip.ecn = Ecn::from_bits(tos);
        }
        ip.ecn = self.ecn.unwrap_or(ip.ecn);
        ip
    }
}

impl IcmpKind {
    /// Type and code.
    pub(super) const fn numbers(self, is_ipv4: bool) -> (u8, u8) {
        match (self, is_ipv4) {
            (Self::NetUnreachable, true) => (3, 0),
            (Self::HostUnreachable, true) => (3, 1),
            (Self::ProtocolUnreachable, true) => (3, 2),
            (Self::PortUnreachable, true) => (3, 3),
            (Self::FragmentationNeeded, true) => (3, 4),
            (Self::SourceRouteFailed, true) => (3, 5),
            (Self::Prohibited, true) => (3, 13),
            (Self::TimeExceeded, true) => (11, 0),
            (Self::NetUnreachable, false) => (1, 0),
            (Self::Prohibited, false) => (1, 1),
            (Self::HostUnreachable, false) => (1, 3),
            (Self::PortUnreachable, false) => (1, 4),
            (Self::SourceRouteFailed, false) => (1, 5),
            (Self::FragmentationNeeded, false) => (2, 0),
            (Self::TimeExceeded, false) => (3, 0),
            (Self::ProtocolUnreachable, false) => (4, 1),
        }
    }
}

/// Length, DATA_FIN counted, and relative subflow sequence number of a mapping that states neither.
pub(super) fn mapping_defaults(dss: &DssSpec, tcp: &TcpSpec) -> (u32, u16) {
    let len = tcp.range.len.saturating_add(u32::from(dss.fin));
    // A DATA_FIN alone has subflow sequence number 0 (RFC 8684, section 3.3.3).
    let ssn = if tcp.range.len == 0 { 0 } else { tcp.range.first };
    (ssn, u16::try_from(len).unwrap_or(u16::MAX))
}

/// Makes the options of one segment.
struct Builder<'a> {
    environment: &'a mut Environment,
    flow: usize,
    tcp: &'a TcpSpec,
}

impl Builder<'_> {
    fn view(&self) -> View {
        View::of(self.environment, self.flow, Direction::Inbound)
    }

    fn peer(&self) -> SocketAddr {
        self.environment.flows[self.flow].peer
    }

    fn session(&mut self) -> &mut super::environment::Session {
        let session = self.environment.flows[self.flow].session;
        &mut self.environment.sessions[session]
    }

    fn option(&mut self, spec: &OptionSpec) -> Result<TcpOption, Complaint> {
        Ok(match spec {
            OptionSpec::EndOfList => TcpOption::EndOfList,
            OptionSpec::Nop => TcpOption::Nop,
            OptionSpec::Mss(mss) => TcpOption::Mss(*mss),
            OptionSpec::WindowScale(shift) => TcpOption::WindowScale(*shift),
            OptionSpec::SackOk => TcpOption::SackPermitted,
            OptionSpec::Sack(edges) => {
                let initial = self.view().receiver_isn;
                let mut blocks = SackBlocks::new();
                for (left, right) in edges {
                    if !blocks.push(initial.wrapping_add(*left), initial.wrapping_add(*right)) {
                        return Err(Complaint::new("more than four SACK blocks", "write at most four"));
                    }
                }
                TcpOption::Sack(blocks)
            }
            OptionSpec::Timestamps { val, ecr } => {
                let known = self.environment.flows[self.flow].timestamps.get(ecr);
                TcpOption::Timestamps { val: *val, ecr: known.copied().unwrap_or(*ecr) }
            }
            OptionSpec::FastOpen { experimental: false, cookie } => unknown(FAST_OPEN, cookie),
            OptionSpec::FastOpen { experimental: true, cookie } => {
                unknown(EXPERIMENT, &[&FAST_OPEN_MAGIC, cookie.as_slice()].concat())
            }
            OptionSpec::Md5(digest) => unknown(MD5, &digest.unwrap_or_default()),
            OptionSpec::Other { kind, body } => unknown(*kind, body),
            mptcp => TcpOption::Mptcp(self.mptcp(mptcp)?),
        })
    }

    fn mptcp(&mut self, spec: &OptionSpec) -> Result<MpOption, Complaint> {
        Ok(match spec {
            OptionSpec::Capable(capable) => self.capable(capable),
            OptionSpec::JoinSyn { backup, address_id, nonce, token: which } => {
                let token = match which {
                    TokenSpec::Value(value) => *value,
                    TokenSpec::Hash(name) => {
                        token(self.environment.key(name).ok_or_else(|| unknown_key(name))?)
                    }
                    TokenSpec::Auto => token(self.session().keys()?.1),
                };
                let address_id = self.source_id(*address_id);
                MpOption::JoinSyn { backup: *backup, address_id, token, nonce: self.nonce(*nonce) }
            }
            OptionSpec::JoinSynAck { backup, address_id, nonce, hmac } => {
                let nonce = self.nonce(*nonce);
                let hmac = match hmac {
                    HmacSpec::Value(value) => *value,
                    HmacSpec::Auto => self.view().join_syn_ack_hmac()?,
                };
                let address_id = self.source_id(*address_id);
                MpOption::JoinSynAck { backup: *backup, address_id, hmac, nonce }
            }
            OptionSpec::JoinAck { hmac } => MpOption::JoinAck {
                hmac: match hmac {
                    JoinAckHmac::Value(octets) => *octets,
                    JoinAckHmac::Auto => self.view().join_ack_hmac()?,
                },
            },
            OptionSpec::Dss(dss) => MpOption::Dss(self.dss(dss)?),
            OptionSpec::AddAddress { address_id, address, port, hmac } => {
                // A new name that the peer announces is another address of the peer.
                if hmac.is_some()
                    && address.value.is_none()
                    && self.environment.address(&address.name).is_none()
                {
                    let fresh = self.environment.fresh_address(self.environment.setup.remote);
                    self.environment.bind_address(&address.name, fresh);
                }
                let address = self.environment.resolve(address)?;
                let id = match address_id {
                    Some(id) => {
                        self.session().ids.insert(address, *id);
                        *id
                    }
                    None => self.session().id_of(address),
                };
                let hmac = match hmac {
                    None => None,
                    Some(HmacSpec::Value(value)) => Some(*value),
                    Some(HmacSpec::Auto) => Some(self.view().add_addr_hmac(id, address, *port)?),
                };
                let nibble = if hmac.is_some() { 0 } else { ADD_ADDR_ECHO };
                MpOption::AddAddr { nibble, address_id: id, address, port: *port, hmac }
            }
            OptionSpec::RemoveAddress(ids) => MpOption::RemoveAddr {
                ids: AddressIds::new(ids)
                    .ok_or_else(|| Complaint::new("remove_address without an id", "write 1 to 37 ids"))?,
            },
            OptionSpec::Prio { backup, address_id } => {
                MpOption::Prio { backup: *backup, address_id: *address_id }
            }
            OptionSpec::Fail { dsn } => {
                MpOption::Fail { dsn: self.view().receiver_idsn()?.wrapping_add(*dsn) }
            }
            OptionSpec::FastClose(key) => {
                let receiver_key = match key {
                    None => self.session().keys()?.1,
                    Some(key) => match key.value.or(self.environment.key(&key.name)) {
                        Some(value) => value,
                        None => return Err(unknown_key(&key.name)),
                    },
                };
                MpOption::FastClose { receiver_key }
            }
            OptionSpec::Reset { reason, flags } => MpOption::TcpRst { flags: *flags, reason: *reason },
            other => {
                return Err(Complaint::new(format!("`{other}` is not an MPTCP option"), "write another"));
            }
        })
    }

    fn capable(&mut self, spec: &CapableSpec) -> MpOption {
        let index = self.environment.flows[self.flow].session;
        let keys: Vec<u64> = spec.keys.iter().map(|key| self.environment.inbound_key(key, index)).collect();
        let len = self.tcp.range.len;
        let session = self.session();
        if let Some(&first) = keys.first()
            && session.mine.is_none()
            && session.theirs != Some(first)
        {
            session.mine = Some(first);
        }
        let mut checksum = None;
        if let Some(data_len) = spec.data_len {
            session.my_next = session.my_next.max(1 + u64::from(data_len));
            if spec.checksum {
                // All payloads of scripts are zeros, whose sum is 0.
                let dsn = session.mine.map_or(0, super::environment::idsn).wrapping_add(1);
                checksum = Some(crypto::dss_checksum(dsn, 1, data_len, data(1, len).sum()));
            }
        }
        MpOption::Capable {
            version: spec.version,
            flags: spec.flags,
            sender_key: keys.first().copied(),
            receiver_key: keys.get(1).copied(),
            data_len: spec.data_len,
            checksum,
        }
    }

    /// The peer's random number for this flow: as stated, as used before, or new.
    fn nonce(&mut self, stated: Option<u32>) -> u32 {
        let known = stated.or(self.environment.flows[self.flow].peer_nonce);
        let nonce = known.unwrap_or_else(|| self.environment.random.next_u32());
        self.environment.flows[self.flow].peer_nonce = Some(nonce);
        nonce
    }

    /// The id of the peer's address.
    fn source_id(&mut self, stated: Option<u8>) -> u8 {
        let address = self.peer().ip();
        match stated {
            Some(id) => {
                self.session().ids.insert(address, id);
                id
            }
            None => self.session().id_of(address),
        }
    }

    fn dss(&mut self, spec: &DssSpec) -> Result<Dss, Complaint> {
        let view = self.view();
        let len = self.tcp.range.len;
        let (default_ssn, default_len) = mapping_defaults(spec, self.tcp);
        let session = self.session();
        let data_ack = match spec.data_ack {
            None => None,
            Some(number) => {
                let value = number.value.unwrap_or(session.their_next);
                Some(to_wire(number.width, view.receiver_idsn()?, value))
            }
        };
        let mapping = match spec.dsn {
            None => None,
            Some(number) => {
                let value = number.value.unwrap_or(session.my_next);
                let (ssn, data_len) = (spec.ssn.unwrap_or(default_ssn), spec.data_len.unwrap_or(default_len));
                session.my_next = session.my_next.max(value.saturating_add(u64::from(data_len)));
                let initial = view.sender_idsn()?;
                let checksum = (!spec.no_checksum).then(|| {
                    crypto::dss_checksum(initial.wrapping_add(value), ssn, data_len, data(ssn, len).sum())
                });
                Some(DssMapping { dsn: to_wire(number.width, initial, value), ssn, len: data_len, checksum })
            }
        };
        Ok(Dss { data_fin: spec.fin, data_ack, mapping })
    }
}

fn unknown(kind: u8, body: &[u8]) -> TcpOption {
    TcpOption::Unknown { kind, body: body.to_vec().into() }
}
