//! UDP (RFC 768) for applications: sockets that are bound, sockets that are connected, and what a Linux host
//! answers when no socket wants a datagram: ICMP port unreachable (RFC 1122, section 4.1.3.1), as often as the
//! limits of `icmp_ratelimit` and `icmp_msgs_per_sec` allow.
//!
//! A datagram goes to the connected socket of its two ends, else to one bound to its address, else to one bound
//! to its port only. An ICMP error about a datagram is told once to its connected socket, if it is one that
//! Linux takes for final: sockets that are not connected never hear of it (`udp(7)`).
//!
//! Left out: fragments (a datagram that does not fit the interface is refused with EMSGSIZE, though Linux would
//! fragment it), broadcast and multicast, the receive buffer (applications read at once), UDP-Lite.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use sim_core::Instant;

use super::sockets::{EPHEMERAL, unreachable};
use super::{Host, HostEvent, Kind, SocketId};
use crate::mptcp::{SocketError, SocketEvents};
use crate::net::icmp::{self, IcmpError};
use crate::wire::{Body, IcmpMessage, IpHeader, Packet, Payload, UdpDatagram};

/// Octets of the UDP header.
pub const HEADER: u32 = 8;

/// A datagram as it is read from a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddr,
    /// Its data.
    pub payload: Payload,
}

#[derive(Debug)]
pub(super) struct UdpSocket {
    local: SocketAddr,
    remote: Option<SocketAddr>,
    inbox: VecDeque<Datagram>,
    error: Option<SocketError>,
    /// IPv4 identification of the next datagram: a connected socket of Linux counts its own.
    next_id: u16,
}

impl UdpSocket {
    /// How well the socket fits a datagram; `None` if not at all.
    fn fit(&self, local: SocketAddr, remote: SocketAddr) -> Option<u8> {
        let any = self.local.ip().is_unspecified() && self.local.is_ipv4() == local.is_ipv4();
        if self.local.port() != local.port() || !(any || self.local.ip() == local.ip()) {
            return None;
        }
        match self.remote {
            Some(peer) => (peer == remote).then_some(2),
            None => Some(u8::from(!any)),
        }
    }
}

impl Host {
    /// A UDP socket that receives what is sent to `local`; an unspecified address means any of the host's.
    ///
    /// # Errors
    /// [`SocketError::AddressNotAvailable`] if the address is not this host's, [`SocketError::AddressInUse`] if
    /// another socket is bound to it.
    pub fn bind_datagram(&mut self, local: SocketAddr) -> Result<SocketId, SocketError> {
        if !local.ip().is_unspecified() && !self.routing.is_local(local.ip()) {
            return Err(SocketError::AddressNotAvailable);
        }
        if !self.is_port_free(local) {
            return Err(SocketError::AddressInUse);
        }
        Ok(self.add_datagram_socket(local, None))
    }

    /// A UDP socket from `source`, or from where routing says, to `remote`, with a port of its own.
    ///
    /// # Errors
    /// [`SocketError::NetworkUnreachable`] or [`SocketError::HostUnreachable`] without a route,
    /// [`SocketError::AddressNotAvailable`] if `source` is not this host's or no port is left.
    pub fn connect_datagram(
        &mut self,
        source: Option<IpAddr>,
        remote: SocketAddr,
    ) -> Result<SocketId, SocketError> {
        if source.is_some_and(|address| !self.routing.is_local(address)) {
            return Err(SocketError::AddressNotAvailable);
        }
        let route = match source {
            Some(address) => self.routing.lookup(Some(address), remote.ip()),
            None => self.routing.connect(remote.ip()),
        };
        let source = route.map_err(unreachable)?.source;
        let (first, last) = EPHEMERAL;
        let range = u64::from(last - first) + 1;
        let number = self.sockets.len();
        let drawn = self.streams.stream(&format!("host:{}:udp:{number}:port", self.name)).below(range) as u16;
        let port = (0..range as u16)
            .map(|step| first + ((u32::from(drawn) + u32::from(step)) % range as u32) as u16)
            .find(|port| self.is_port_free(SocketAddr::new(source, *port)))
            .ok_or(SocketError::AddressNotAvailable)?;
        Ok(self.add_datagram_socket(SocketAddr::new(source, port), Some(remote)))
    }

    fn is_port_free(&self, local: SocketAddr) -> bool {
        let sockets = self.datagram_ports.get(&local.port()).map_or(&[][..], Vec::as_slice);
        !sockets.iter().filter_map(|socket| self.datagram_socket(*socket)).any(|other| {
            other.local.is_ipv4() == local.is_ipv4()
                && (other.local.ip() == local.ip()
                    || other.local.ip().is_unspecified()
                    || local.ip().is_unspecified())
        })
    }

    fn add_datagram_socket(&mut self, local: SocketAddr, remote: Option<SocketAddr>) -> SocketId {
        let number = self.sockets.len();
        let next_id = self.streams.stream(&format!("host:{}:udp:{number}:id", self.name)).next_u32() as u16;
        let socket = UdpSocket { local, remote, inbox: VecDeque::new(), error: None, next_id };
        let owner = self.current_owner;
        let id = self.add_socket(Kind::Datagram(Box::new(socket)), owner);
        self.datagram_ports.entry(local.port()).or_default().push(id);
        id
    }

    fn datagram_socket(&self, socket: SocketId) -> Option<&UdpSocket> {
        match self.sockets.get(socket.0 as usize).map(|socket| &socket.kind) {
            Some(Kind::Datagram(socket)) => Some(socket),
            _ => None,
        }
    }

    fn datagram_socket_mut(&mut self, socket: SocketId) -> Option<&mut UdpSocket> {
        match self.sockets.get_mut(socket.0 as usize).map(|socket| &mut socket.kind) {
            Some(Kind::Datagram(socket)) => Some(socket),
            _ => None,
        }
    }

    /// Address and port of a UDP socket.
    #[must_use]
    pub fn datagram_name(&self, socket: SocketId) -> Option<SocketAddr> {
        self.datagram_socket(socket).map(|socket| socket.local)
    }

    /// Send a datagram from a connected socket.
    ///
    /// # Errors
    /// The error an earlier datagram met with, once; [`SocketError::NotConnected`],
    /// [`SocketError::MessageTooLong`] if it does not fit the interface, and what routing says.
    pub fn send_datagram(&mut self, socket: SocketId, payload: Payload) -> Result<(), SocketError> {
        let entry = self.datagram_socket_mut(socket).ok_or(SocketError::NotConnected)?;
        if let Some(error) = entry.error.take() {
            return Err(error);
        }
        let (local, remote) = (entry.local, entry.remote.ok_or(SocketError::NotConnected)?);
        let mut ip = IpHeader::new(local.ip(), remote.ip());
        if ip.is_ipv4() {
            ip.id = entry.next_id;
        }
        let datagram = UdpDatagram { src_port: local.port(), dst_port: remote.port(), payload };
        let packet = Packet { ip, body: Body::Udp(datagram) };
        let interface = match self.routing.lookup(Some(local.ip()), remote.ip()) {
            Ok(decision) => decision.interface,
            Err(error) => {
                self.stats.out_no_routes += 1;
                return Err(unreachable(error));
            }
        };
        let mtu = self.interfaces.get(usize::from(interface.0)).map(|interface| interface.mtu);
        if mtu.is_some_and(|mtu| packet.wire_len() > usize::from(mtu)) {
            return Err(SocketError::MessageTooLong);
        }
        if let Some(entry) = self.datagram_socket_mut(socket) {
            entry.next_id = entry.next_id.wrapping_add(1);
        }
        self.stats.udp_out_datagrams += 1;
        self.outbox.push(interface, packet);
        Ok(())
    }

    /// The next datagram that waits at a socket.
    pub fn receive_datagram(&mut self, socket: SocketId) -> Option<Datagram> {
        self.datagram_socket_mut(socket)?.inbox.pop_front()
    }

    fn find_datagram_socket(&self, local: SocketAddr, remote: SocketAddr) -> Option<SocketId> {
        let sockets = self.datagram_ports.get(&local.port())?;
        let fits = sockets.iter().filter_map(|&id| Some((self.datagram_socket(id)?.fit(local, remote)?, id)));
        fits.max_by_key(|(fit, _)| *fit).map(|(_, id)| id)
    }

    pub(super) fn handle_udp(&mut self, now: Instant, packet: &Packet, datagram: &UdpDatagram) {
        if !self.routing.is_local(packet.ip.dst) {
            return;
        }
        let local = SocketAddr::new(packet.ip.dst, datagram.dst_port);
        let from = SocketAddr::new(packet.ip.src, datagram.src_port);
        let Some(socket) = self.find_datagram_socket(local, from) else {
            self.stats.udp_no_ports += 1;
            return self.port_unreachable(now, packet);
        };
        self.stats.udp_in_datagrams += 1;
        let owner = self.sockets[socket.0 as usize].owner;
        let Some(entry) = self.datagram_socket_mut(socket) else { return };
        entry.inbox.push_back(Datagram { from, payload: datagram.payload.clone() });
        let events = SocketEvents { readable: true, ..SocketEvents::default() };
        self.events.push_back(HostEvent { socket, owner, events });
    }

    fn port_unreachable(&mut self, now: Instant, packet: &Packet) {
        let kind = IcmpError::PortUnreachable;
        if !icmp::may_report(packet) || !self.icmp_limiter.allows(now, kind, packet.ip.src) {
            return;
        }
        let Some(error) = icmp::error(packet, kind, packet.ip.dst, self.next_icmp_id) else { return };
        self.next_icmp_id = self.next_icmp_id.wrapping_add(1);
        if let Some(interface) = self.route(&error) {
            self.stats.icmp_out_unreachable += 1;
            self.outbox.push(interface, error);
        }
    }

    /// An ICMP error about a datagram that was sent from `local` to `remote`.
    pub(super) fn datagram_unreachable(
        &mut self,
        message: &IcmpMessage,
        (local, remote): (SocketAddr, SocketAddr),
        error: SocketError,
    ) {
        let is_final = if local.is_ipv4() {
            matches!(message.code, 2 | 3 | 6..=10 | 13..=15)
        } else {
            matches!(message.code, 1 | 4..=6)
        };
        let socket = self.find_datagram_socket(local, remote);
        if let Some(entry) = socket.filter(|_| is_final).and_then(|socket| self.datagram_socket_mut(socket))
            && entry.remote.is_some()
        {
            entry.error = Some(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use sim_core::random::Streams;

    use super::*;
    use crate::net::InterfaceAddress;

    const NOW: Instant = Instant::ZERO;

    fn host(name: &str, address: &str) -> Host {
        let mut host = Host::new(name, Streams::new(1));
        let address: InterfaceAddress = InterfaceAddress::new(address.parse().unwrap(), 24).unwrap();
        host.add_interface("eth0", 1500, &[address]);
        host
    }

    fn end(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Hand every packet of `from` to `to`, and return them.
    fn deliver(from: &mut Host, to: &mut Host, now: Instant) -> Vec<Packet> {
        let mut packets = Vec::new();
        while let Some((interface, packet)) = from.poll_transmit(now) {
            to.handle_packet(now, interface, &packet);
            packets.push(packet);
        }
        packets
    }

    fn pair() -> (Host, Host, SocketId) {
        let (mut a, b) = (host("a", "10.0.0.1"), host("b", "10.0.0.2"));
        let socket = a.connect_datagram(None, end("10.0.0.2:9")).unwrap();
        (a, b, socket)
    }

    #[test]
    fn a_datagram_reaches_the_socket_that_fits_best() {
        let (mut a, mut b, socket) = pair();
        let from = a.datagram_name(socket).unwrap();
        let any = b.bind_datagram(end("0.0.0.0:9")).unwrap();
        a.send_datagram(socket, Payload::pattern(7, 0, 100)).unwrap();
        let sent = deliver(&mut a, &mut b, NOW);
        assert_eq!((sent.len(), sent[0].wire_len()), (1, 128));
        assert!(sent[0].ip.dont_fragment);
        let event = b.poll_event().unwrap();
        assert!(event.socket == any && event.events.readable);
        let received = b.receive_datagram(any).unwrap();
        assert_eq!(received, Datagram { from, payload: Payload::pattern(7, 0, 100) });
        assert_eq!(b.receive_datagram(any), None);
        assert_eq!(b.bind_datagram(end("10.0.0.2:9")), Err(SocketError::AddressInUse));
        assert_eq!(b.bind_datagram(end("10.0.0.3:9")), Err(SocketError::AddressNotAvailable));
        // Identifications follow one another.
        a.send_datagram(socket, Payload::Empty).unwrap();
        let (_, next) = a.poll_transmit(NOW).unwrap();
        assert_eq!(next.ip.id, sent[0].ip.id.wrapping_add(1));
    }

    #[test]
    fn a_closed_port_answers_and_the_next_send_fails_once() {
        let (mut a, mut b, socket) = pair();
        a.send_datagram(socket, Payload::pattern(7, 0, 1000)).unwrap();
        deliver(&mut a, &mut b, NOW);
        let answers = deliver(&mut b, &mut a, NOW);
        let Body::Icmp(message) = &answers[0].body else { panic!("{answers:?}") };
        assert_eq!((message.kind, message.code), (3, 3));
        assert_eq!((answers[0].wire_len(), answers[0].ip.dscp), (576, 0x30));
        assert_eq!((b.stats().udp_no_ports, b.stats().icmp_out_unreachable), (1, 1));
        assert_eq!(a.send_datagram(socket, Payload::pattern(7, 0, 1)), Err(SocketError::ConnectionRefused));
        assert_eq!(a.send_datagram(socket, Payload::pattern(7, 0, 1)), Ok(()));
    }

    #[test]
    fn a_flood_to_a_closed_port_gets_six_answers_at_once() {
        let (mut a, mut b, socket) = pair();
        for _ in 0..20 {
            a.send_datagram(socket, Payload::pattern(7, 0, 10)).unwrap();
        }
        deliver(&mut a, &mut b, NOW);
        assert_eq!((b.stats().udp_no_ports, b.stats().icmp_out_unreachable), (20, 6));
    }

    #[test]
    fn what_does_not_fit_the_interface_is_refused() {
        let (mut a, _, socket) = pair();
        assert_eq!(a.send_datagram(socket, Payload::pattern(7, 0, 1472)), Ok(()));
        assert_eq!(a.send_datagram(socket, Payload::pattern(7, 0, 1473)), Err(SocketError::MessageTooLong));
        assert_eq!(a.connect_datagram(None, end("192.0.2.1:9")), Err(SocketError::NetworkUnreachable));
    }
}
