//! From packets to sockets: established flows, joins by token, listeners; what nobody wants is answered
//! with a reset (RFC 9293, section 3.10.7.1). ICMP errors find their flow by the packet they quote.

use std::net::{IpAddr, SocketAddr};

use sim_core::Instant;

use super::syn_cookies::Room;
use super::{Host, HostEvent, Kind, Listener, Socket, SocketId};
use crate::mptcp::{Attention, Connection, Draws, SocketError, State};
use crate::net::icmp::IcmpError;
use crate::path_manager::CloseReason;
use crate::wire::mptcp::reset_reason;
use crate::wire::{
    Body, Ecn, IcmpMessage, IpHeader, MpOption, Packet, Payload, Seq, TcpFlags, TcpOptions, TcpSegment,
};

/// Identity of a flow at a host: whole words, which are compared as they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlowKey {
    local: u128,
    remote: u128,
    ports: u32,
}

/// Keys drawn again because of their tokens (`MPTCP_TOKEN_MAX_RETRIES`, TIME-17).
const KEY_RETRIES: u8 = 4;
/// Flows remembered outside the table.
const RECENT: usize = 16;

/// An address as a number, one of IPv4 as it is mapped into IPv6 (RFC 4291, section 2.5.5.2).
#[inline(always)]
const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => 0xffff_0000_0000 | address.to_bits() as u128,
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl FlowKey {
    pub(super) const fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self::of(local.ip(), local.port(), remote.ip(), remote.port())
    }

    /// The flow that a segment is for.
    #[inline(always)]
    const fn to(packet: &Packet, segment: &TcpSegment) -> Self {
        Self::of(packet.ip.dst, segment.dst_port, packet.ip.src, segment.src_port)
    }

    #[inline(always)]
    const fn of(local: IpAddr, local_port: u16, remote: IpAddr, remote_port: u16) -> Self {
        let ports = (local_port as u32) << 16 | remote_port as u32;
        Self { local: bits(local), remote: bits(remote), ports }
    }
}

/// A flow of IPv4 by its ends as they stand in the headers of its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    local: u32,
    remote: u32,
    ports: u32,
}

impl Ends {
    #[inline(always)]
    fn of(packet: &Packet, segment: &TcpSegment) -> Option<Self> {
        let (IpAddr::V4(local), IpAddr::V4(remote)) = (packet.ip.dst, packet.ip.src) else { return None };
        Some(Self {
            local: u32::from_ne_bytes(local.octets()),
            remote: u32::from_ne_bytes(remote.octets()),
            ports: u32::from(segment.src_port) | u32::from(segment.dst_port) << 16,
        })
    }

    /// Where the flow stands among the recent ones: flows of one connection differ in their addresses or in their
    /// ports, usually in the low bits of one octet. The product has the sum of the octets in its highest.
    #[inline(always)]
    const fn slot(self) -> usize {
        ((self.local ^ self.remote ^ self.ports).wrapping_mul(0x0101_0101) >> 24) as usize % RECENT
    }
}

/// The flows of IPv4 found last, by [`Ends::slot`].
#[derive(Clone, Copy, Debug)]
pub(super) struct RecentFlows([(Ends, SocketId, u32); RECENT]);

impl RecentFlows {
    /// No packet is from nowhere to nowhere.
    pub(super) const NONE: Self =
        Self([(Ends { local: 0, remote: 0, ports: 0 }, SocketId(u32::MAX), 0); RECENT]);
}

impl Host {
    pub(super) fn bind_flow(&mut self, key: FlowKey, socket: SocketId, subflow: u32) {
        self.flows.insert(key, (socket, subflow));
        // An earlier flow between the same ends may be remembered.
        self.recent = RecentFlows::NONE;
        if let Some(entry) = self.sockets.get_mut(socket.0 as usize) {
            entry.bound.push(key);
        }
    }

    #[inline(always)]
    pub(super) fn handle_tcp(&mut self, now: Instant, packet: &Packet, segment: &TcpSegment) {
        let flow = self.find_flow(packet, segment);
        if !flow.is_some_and(|flow| self.handle_predicted(now, packet, segment, flow)) {
            self.handle_unpredicted(now, packet);
        }
    }

    /// The flow that a segment is for.
    #[inline(always)]
    fn find_flow(&mut self, packet: &Packet, segment: &TcpSegment) -> Option<(SocketId, u32)> {
        let recent = Ends::of(packet, segment).and_then(|ends| {
            let (known, socket, subflow) = self.recent.0[ends.slot()];
            (known == ends).then_some((socket, subflow))
        });
        recent.or_else(|| self.look_up(packet))
    }

    /// The flow of a segment that is none of the recent ones; it then is one.
    #[inline(never)]
    fn look_up(&mut self, packet: &Packet) -> Option<(SocketId, u32)> {
        let Body::Tcp(segment) = &packet.body else { return None };
        let &(socket, subflow) = self.flows.get(&FlowKey::to(packet, segment))?;
        if let Some(ends) = Ends::of(packet, segment) {
            self.recent.0[ends.slot()] = (ends, socket, subflow);
        }
        Some((socket, subflow))
    }

    /// Hands a segment to its flow if that predicted it; false if not.
    #[inline(always)]
    fn handle_predicted(
        &mut self,
        now: Instant,
        packet: &Packet,
        segment: &TcpSegment,
        (socket, subflow): (SocketId, u32),
    ) -> bool {
        let Some(entry) = self.sockets.get_mut(socket.0 as usize) else { return false };
        let Kind::Connection(connection) = &mut entry.kind else { return false };
        if connection.is_gone(subflow) || packet.ip.ecn == Ecn::Ce {
            return false;
        }
        let Some(attention) = connection.handle_predicted(now, subflow as usize, segment) else {
            return false;
        };
        if connection.has_events() {
            if entry.parent.is_some() || !connection.has_usual_events() {
                self.attend(now, socket, attention);
                return true;
            }
            let events = connection.take_events();
            let owner = entry.owner;
            self.events.push_with(|| HostEvent { socket, owner, events });
        }
        match attention {
            Attention::Any if !entry.queued => {
                entry.queued = true;
                self.active.push_back(socket);
            }
            Attention::Deadline(at) if at < entry.armed => self.arm(socket, at),
            _ => {}
        }
        true
    }

    /// Hands a segment to its flow, or to whoever wants it.
    #[inline(never)]
    fn handle_unpredicted(&mut self, now: Instant, packet: &Packet) {
        let Body::Tcp(segment) = &packet.body else { return };
        let flow = self.find_flow(packet, segment);
        if !flow.is_some_and(|flow| self.handle_in_flow(now, packet, segment, flow)) {
            self.handle_stray(now, packet, segment);
        }
    }

    /// Hands a segment to its flow; false if that is over.
    pub(super) fn handle_in_flow(
        &mut self,
        now: Instant,
        packet: &Packet,
        segment: &TcpSegment,
        (socket, subflow): (SocketId, u32),
    ) -> bool {
        let Some(connection) = self.connection(socket).filter(|known| !known.is_gone(subflow)) else {
            return false;
        };
        if connection.state() == State::Opening
            && (self.defers(socket, segment) || self.overflows(socket, segment))
        {
            return true;
        }
        let Some(connection) = self.connection_mut(socket) else { return true };
        if packet.ip.ecn == Ecn::Ce {
            connection.handle_marked_segment(now, subflow as usize, segment);
        } else {
            connection.handle_segment(now, subflow as usize, segment);
        }
        self.attend(now, socket, Attention::Any);
        true
    }

    /// What a segment did to a connection has consequences.
    #[inline(never)]
    fn attend(&mut self, now: Instant, socket: SocketId, attention: Attention) {
        if self.connection(socket).is_some_and(Connection::has_events) {
            self.note_blackhole(now, socket);
            self.collect_events(socket);
        }
        match attention {
            Attention::Any => self.activate(socket),
            Attention::Deadline(at) => self.arm(socket, at),
        }
    }

    /// Whether the third ACK of a connection is passed over because data is to come first (`TCP_DEFER_ACCEPT`).
    #[cold]
    fn defers(&mut self, socket: SocketId, segment: &TcpSegment) -> bool {
        let waits = self.sockets.get(socket.0 as usize).is_some_and(|entry| entry.parent.is_some());
        waits && self.connection_mut(socket).is_some_and(|connection| connection.defers(segment))
    }

    /// Whether the third ACK of a connection is dropped because its listener has more than it may that nobody
    /// accepted (`sk_acceptq_is_full` in `tcp_v4_syn_recv_sock`).
    #[cold]
    fn overflows(&mut self, socket: SocketId, segment: &TcpSegment) -> bool {
        let flags = segment.flags;
        let parent = self.sockets.get(socket.0 as usize).and_then(|entry| entry.parent);
        let Some(parent) = parent.filter(|_| flags.ack() && !flags.syn() && !flags.rst()) else {
            return false;
        };
        let Some(Kind::Listener(listener)) = self.sockets.get(parent.0 as usize).map(|entry| &entry.kind)
        else {
            return false;
        };
        let full = listener.ready.len() >= listener.backlog;
        self.stats.listen_overflows += u64::from(full);
        full
    }

    /// A segment without a flow.
    #[cold]
    #[inline(never)]
    fn handle_stray(&mut self, now: Instant, packet: &Packet, segment: &TcpSegment) {
        let key = FlowKey::to(packet, segment);
        let local = SocketAddr::new(packet.ip.dst, segment.dst_port);
        let remote = SocketAddr::new(packet.ip.src, segment.src_port);
        if !self.routing.is_local(packet.ip.dst) {
            return;
        }
        let flags = segment.flags;
        if flags.rst() {
            return;
        }
        let mut reason = None;
        if flags.syn() && !flags.ack() {
            match self.handle_syn(now, local, remote, key, segment) {
                Ok(()) => return,
                Err(why) => reason = why,
            }
        } else if flags.ack() && self.take_cookie(now, packet, segment, key) {
            return;
        }
        self.refuse(packet, segment, reason);
    }

    /// A SYN without a flow: a join by its token, or a request for a listener. An error refuses it, with the
    /// reason for MP_TCPRST if a socket was there to give one.
    ///
    /// # Errors
    /// `None` without a listener.
    fn handle_syn(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        key: FlowKey,
        segment: &TcpSegment,
    ) -> Result<(), Option<u8>> {
        let capable = segment.options.mptcp().any(|option| matches!(option, MpOption::Capable { .. }));
        // CAP-21: a SYN with both options has neither.
        let join = segment.options.mptcp().filter(|_| !capable).find_map(|option| match option {
            MpOption::JoinSyn { token, .. } => Some(token),
            _ => None,
        });
        let listener = self.find_listener(local).ok_or(None)?;
        if segment.flags.fin() {
            // What ends at once is not begun (`tcp_rcv_state_process`).
            return Ok(());
        }
        match self.room(listener, join.is_some()) {
            Room::Request => {}
            Room::Cookie => {
                self.answer_with_cookie(now, local, remote, segment, listener);
                return Ok(());
            }
            Room::None => {
                // Dropped, not refused: the peer tries again (TCP-01, CAP-27).
                self.stats.listen_overflows += 1;
                return Ok(());
            }
        }
        match join {
            Some(token) => {
                let silent = self.gives_no_reasons(listener);
                self.handle_join(now, local, remote, key, segment, token)
                    .map_err(|reason| reason.filter(|_| !silent))
            }
            None => {
                self.handle_request(now, local, remote, key, segment, listener);
                Ok(())
            }
        }
    }

    /// Version 0 has no option for the reason of a reset.
    fn gives_no_reasons(&self, listener: SocketId) -> bool {
        match &self.sockets[listener.0 as usize].kind {
            Kind::Listener(listener) => listener
                .options
                .mptcp
                .as_ref()
                .is_some_and(|config| config.version == 0 || config.out_of_tree),
            _ => false,
        }
    }

    pub(super) fn find_listener(&self, local: SocketAddr) -> Option<SocketId> {
        let matches = |listener: &Listener, exact: bool| {
            let bound = listener.local;
            bound.port() == local.port()
                && if exact {
                    bound.ip() == local.ip()
                } else {
                    // `::` takes IPv4 as well (`net.ipv6.bindv6only` is 0).
                    bound.ip().is_unspecified() && (bound.is_ipv6() || local.is_ipv4())
                }
        };
        // A listener bound to the address goes before one bound to any.
        [true, false]
            .into_iter()
            .find_map(|exact| {
                self.sockets.iter().position(|socket| match &socket.kind {
                    Kind::Listener(listener) => matches(listener, exact),
                    _ => false,
                })
            })
            .map(|index| SocketId(index as u32))
    }

    fn handle_join(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        key: FlowKey,
        segment: &TcpSegment,
        token: u32,
    ) -> Result<(), Option<u8>> {
        let Some(&socket) = self.tokens.get(&token) else {
            self.stats.join_no_token += 1;
            return Err(Some(reset_reason::MPTCP));
        };
        let Ok(route) = self.routing.lookup(Some(local.ip()), remote.ip()) else { return Ok(()) };
        let mss = self.mss(now, route.interface, remote.ip());
        let refusal = Err(Some(reset_reason::PROHIBITED));
        let Some(connection) = self.connection_mut(socket) else { return refusal };
        let local_id = connection.own_id(local.ip());
        let Some(index) = connection.accept_join(now, local, remote, mss, segment, local_id) else {
            return refusal;
        };
        self.bind_flow(key, socket, index as u32);
        self.activate(socket);
        Ok(())
    }

    fn handle_request(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        key: FlowKey,
        segment: &TcpSegment,
        listener: SocketId,
    ) {
        let Ok(route) = self.routing.lookup(Some(local.ip()), remote.ip()) else { return };
        let mss = self.mss(now, route.interface, remote.ip());
        let owner = self.sockets[listener.0 as usize].owner;
        let stream = self.connection_stream();
        let Kind::Listener(entry) = &mut self.sockets[listener.0 as usize].kind else { return };
        entry.pending += 1;
        let options = entry.options.clone();
        let mut connection = Connection::accept(options, now, local, remote, mss, segment, stream);
        connection.set_local_addresses(self.local_addresses(), self.backup_addresses());
        let answer = connection.options.tcp.fast_open.answer(segment, local.ip(), remote.ip());
        Self::answer_fast_open(&mut connection, answer, segment);
        let socket = self.add_socket(Kind::Connection(Box::new(connection)), owner);
        self.sockets[socket.0 as usize].parent = Some(listener);
        self.register_token(socket);
        self.bind_flow(key, socket, 0);
        self.collect_events(socket);
        self.activate(socket);
    }

    pub(super) fn connection_stream(&mut self) -> Draws {
        let number = self.connections_made;
        self.connections_made += 1;
        let stream = self.streams.stream(&format!("host:{}:connection:{number}", self.name));
        Draws::new(std::mem::take(&mut self.given_numbers), stream)
    }

    pub(super) fn add_socket(&mut self, kind: Kind, owner: u32) -> SocketId {
        let id = SocketId(self.sockets.len() as u32);
        self.sockets.push(Socket {
            kind,
            owner,
            parent: None,
            armed: Instant::FAR_FUTURE,
            queued: false,
            bound: Vec::new(),
            routes: Vec::new(),
        });
        id
    }

    /// Make a connection known by its token (KEY-08). If another has the token, a new key is drawn; in the end
    /// the connection is TCP (KEY-03).
    pub(super) fn register_token(&mut self, socket: SocketId) {
        for _ in 0..=KEY_RETRIES {
            let Some(connection) = self.connection_mut(socket).filter(|known| known.offers_multipath())
            else {
                return;
            };
            let token = connection.local_token();
            if *self.tokens.entry(token).or_insert(socket) == socket {
                return;
            }
            if let Some(connection) = self.connection_mut(socket) {
                connection.redraw_key();
            }
        }
        self.stats.token_fallbacks += 1;
        if let Some(connection) = self.connection_mut(socket) {
            connection.offer_nothing();
        }
    }

    /// Nobody wants this segment: a reset (TCP-20), with MP_TCPRST for a join that a socket refused (JOIN-08).
    fn refuse(&mut self, packet: &Packet, segment: &TcpSegment, reason: Option<u8>) {
        let mut options = TcpOptions::new();
        if let Some(reason) = reason {
            let added = options.push_mptcp(&MpOption::TcpRst { flags: 0, reason });
            debug_assert!(added, "an empty option field has room");
        }
        let flags = segment.flags;
        let len = segment.payload.len() + u32::from(flags.syn()) + u32::from(flags.fin());
        let (seq, ack, reply) = if flags.ack() {
            (segment.ack, Seq(0), TcpFlags::RST)
        } else {
            (Seq(0), segment.seq.wrapping_add(len), TcpFlags::RST.with(TcpFlags::ACK))
        };
        let packet = Packet {
            ip: IpHeader {
                src: packet.ip.dst,
                dst: packet.ip.src,
                ttl: 64,
                dscp: 0,
                ecn: Ecn::NotEct,
                dont_fragment: true,
                id: 0,
                flow_label: 0,
            },
            body: Body::Tcp(TcpSegment {
                src_port: segment.dst_port,
                dst_port: segment.src_port,
                seq,
                ack,
                flags: reply,
                window: 0,
                urgent: 0,
                options,
                payload: Payload::Empty,
            }),
        };
        self.stats.resets_sent += 1;
        if let Some(interface) = self.route(&packet) {
            self.outbox.push(interface, packet);
        }
    }

    /// An ICMP error about one of our segments or datagrams (RFC 1122, section 4.2.3.9).
    pub(super) fn handle_icmp(&mut self, now: Instant, packet: &Packet, message: &IcmpMessage) {
        let is_ipv4 = packet.ip.src.is_ipv4();
        let Some(quoted) = quoted_flow(&message.data) else { return };
        if IcmpError::from_message(message, is_ipv4) == Some(IcmpError::TooBig(message.rest)) {
            if quoted.protocol == TCP {
                self.packet_too_big(now, &quoted, message.rest);
            }
            return;
        }
        // `icmp_err_convert`, `icmpv6_err_convert`
        let reason = match (is_ipv4, message.kind, message.code) {
            (true, 3, 0 | 6 | 9 | 11) | (false, 1, 0) => CloseReason::NetUnreachable,
            (true, 3, 2) => CloseReason::ProtocolUnreachable,
            (true, 3, 3) | (false, 1, 4) => CloseReason::Refused,
            (true, 3, 5) => CloseReason::SourceRouteFailed,
            (false, 1, 1 | 5 | 6) => CloseReason::Prohibited,
            (true, 3 | 11, _) | (false, 1 | 3, _) => CloseReason::HostUnreachable,
            _ => return,
        };
        // The way may be found again.
        let wavers = matches!((is_ipv4, message.kind, message.code), (true, 3, 0 | 1) | (false, 1, 0));
        self.stats.icmp_unreachable += 1;
        let Quoted { local, remote, .. } = quoted;
        if quoted.protocol == UDP {
            return self.datagram_unreachable(message, (local, remote), SocketError::from(reason));
        }
        let Some(&(socket, subflow)) = self.flows.get(&FlowKey::new(local, remote)) else { return };
        if let Some(connection) = self.connection_mut(socket)
            && connection.state() != State::Closed
            && connection.has_outstanding(subflow as usize, quoted.seq)
        {
            let quoted_segment = quoted.segment_len;
            connection.tell_icmp((is_ipv4, message.kind, message.code), quoted_segment);
            connection.unreachable(now, subflow as usize, reason, wavers || message.kind == 11);
            self.collect_events(socket);
            self.activate(socket);
        }
    }
}

/// IP protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The TCP segment or UDP datagram that an ICMP error quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quoted {
    protocol: u8,
    /// Its source.
    pub(super) local: SocketAddr,
    /// Its destination.
    pub(super) remote: SocketAddr,
    /// Sequence number of a segment.
    pub(super) seq: Seq,
    /// Octets quoted behind the header of IP.
    segment_len: u32,
}

fn quoted_flow(quote: &[u8]) -> Option<Quoted> {
    let (protocol, src, dst, header): (u8, IpAddr, IpAddr, &[u8]) = match quote.first()? >> 4 {
        4 => {
            let header = usize::from(quote[0] & 0x0f) * 4;
            let src: [u8; 4] = quote.get(12..16)?.try_into().ok()?;
            let dst: [u8; 4] = quote.get(16..20)?.try_into().ok()?;
            (*quote.get(9)?, src.into(), dst.into(), quote.get(header..)?)
        }
        6 => {
            let src: [u8; 16] = quote.get(8..24)?.try_into().ok()?;
            let dst: [u8; 16] = quote.get(24..40)?.try_into().ok()?;
            (*quote.get(6)?, src.into(), dst.into(), quote.get(40..)?)
        }
        _ => return None,
    };
    let port = |at: usize| Some(u16::from_be_bytes(header.get(at..at + 2)?.try_into().ok()?));
    let (local, remote) = (SocketAddr::new(src, port(0)?), SocketAddr::new(dst, port(2)?));
    let seq = Seq(u32::from_be_bytes(header.get(4..8)?.try_into().ok()?));
    matches!(protocol, TCP | UDP).then_some(Quoted {
        protocol,
        local,
        remote,
        seq,
        segment_len: header.len() as u32,
    })
}
