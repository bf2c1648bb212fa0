//! Calls of applications: listen, accept, connect, read, write, shutdown, close, abort.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use sim_core::Instant;

use super::demux::FlowKey;
use super::routing::NoRoute;
use super::{Host, Kind, Listener, SocketId};
use crate::mptcp::{Connection, ReadOutcome, SocketError, SocketOptions};
use crate::path_manager::SubflowId;

/// First and last ephemeral port (`ip_local_port_range`).
pub(super) const EPHEMERAL: (u16, u16) = (32_768, 60_999);

impl Host {
    /// Listen on `local`; an unspecified address means any. At most `backlog` connections wait to be
    /// accepted.
    ///
    /// # Errors
    /// [`SocketError::AddressInUse`] if another listener has the address, and
    /// [`SocketError::AddressNotAvailable`] if it is not this host's.
    pub fn listen(
        &mut self,
        options: SocketOptions,
        local: SocketAddr,
        backlog: usize,
    ) -> Result<SocketId, SocketError> {
        if !local.ip().is_unspecified() && !self.routing.is_local(local.ip()) {
            return Err(SocketError::AddressNotAvailable);
        }
        let taken = self
            .sockets
            .iter()
            .any(|socket| matches!(&socket.kind, Kind::Listener(listener) if listener.local == local));
        if taken {
            return Err(SocketError::AddressInUse);
        }
        let listener =
            Listener { local, options, backlog, ready: VecDeque::new(), pending: 0, cookie_sent: None };
        let owner = self.current_owner;
        Ok(self.add_socket(Kind::Listener(Box::new(listener)), owner))
    }

    /// The next connection waiting at a listener.
    pub fn accept(&mut self, listener: SocketId) -> Option<SocketId> {
        let owner = self.current_owner;
        let entry = self.sockets.get_mut(listener.0 as usize)?;
        let Kind::Listener(listener) = &mut entry.kind else { return None };
        let socket = listener.ready.pop_front()?;
        let accepted = self.sockets.get_mut(socket.0 as usize)?;
        accepted.parent = None;
        accepted.owner = owner;
        Some(socket)
    }

    /// Open a connection to `remote`, from `local` or from where routing says.
    ///
    /// # Errors
    /// [`SocketError::NetworkUnreachable`] or [`SocketError::HostUnreachable`] without a route,
    /// [`SocketError::AddressNotAvailable`] if `local` is not this host's, or no port is left.
    pub fn connect(
        &mut self,
        now: Instant,
        options: SocketOptions,
        local: Option<SocketAddr>,
        remote: SocketAddr,
    ) -> Result<SocketId, SocketError> {
        self.connect_with(now, options, local, remote, |_, _| {})
    }

    /// As [`connect`](Self::connect), with something to be done before the SYN leaves.
    pub(super) fn connect_with(
        &mut self,
        now: Instant,
        options: SocketOptions,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        prepare: impl FnOnce(&mut Connection, u16),
    ) -> Result<SocketId, SocketError> {
        let bound = local.map(|local| local.ip()).filter(|address| !address.is_unspecified());
        if bound.is_some_and(|address| !self.routing.is_local(address)) {
            return Err(SocketError::AddressNotAvailable);
        }
        let route = match bound {
            Some(address) => self.routing.lookup(Some(address), remote.ip()),
            None => self.routing.connect(remote.ip()),
        }
        .map_err(unreachable)?;
        let port = match local.map(|local| local.port()).filter(|&port| port != 0) {
            Some(port) => port,
            None => self.ephemeral_port(route.source, remote).ok_or(SocketError::AddressNotAvailable)?,
        };
        let local = SocketAddr::new(route.source, port);
        let key = FlowKey::new(local, remote);
        if self.flows.contains_key(&key) {
            return Err(SocketError::AddressInUse);
        }
        let mss = self.mss(now, route.interface, remote.ip());
        let stream = self.connection_stream();
        let mut connection = Connection::connect(options, now, local, remote, mss, stream);
        connection.set_local_addresses(self.local_addresses(), self.backup_addresses());
        if connection.offers_multipath() && self.expects_blackhole(now, connection.blackhole_timeout()) {
            self.stats.capable_syn_disabled += 1;
            connection.offer_nothing();
        }
        prepare(&mut connection, mss);
        let owner = self.current_owner;
        let socket = self.add_socket(Kind::Connection(Box::new(connection)), owner);
        self.register_token(socket);
        self.bind_flow(key, socket, 0);
        self.activate(socket);
        Ok(socket)
    }

    /// Open a subflow of a connection from `local`, port 0 meaning any, to `remote`.
    ///
    /// # Errors
    /// [`SocketError::AddressNotAvailable`] if `local` is not this host's or no port is left,
    /// [`SocketError::AddressInUse`] if the four-tuple is, [`SocketError::NetworkUnreachable`] or
    /// [`SocketError::HostUnreachable`] without a route, [`SocketError::NotConnected`] without a connection.
    pub(crate) fn open_subflow(
        &mut self,
        now: Instant,
        socket: SocketId,
        local: SocketAddr,
        remote: SocketAddr,
        backup: bool,
    ) -> Result<SubflowId, SocketError> {
        if !self.routing.is_local(local.ip()) {
            return Err(SocketError::AddressNotAvailable);
        }
        let route = self.routing.lookup(Some(local.ip()), remote.ip()).map_err(unreachable)?;
        let port = match local.port() {
            0 => self.ephemeral_port(local.ip(), remote).ok_or(SocketError::AddressNotAvailable)?,
            port => port,
        };
        let local = SocketAddr::new(local.ip(), port);
        let key = FlowKey::new(local, remote);
        if self.flows.contains_key(&key) {
            return Err(SocketError::AddressInUse);
        }
        let mss = self.mss(now, route.interface, remote.ip());
        let connection = self.connection_mut(socket).ok_or(SocketError::NotConnected)?;
        let ids = connection.ids_between(local.ip(), remote);
        let id = connection.open_subflow(now, local, remote, mss, ids, backup);
        self.bind_flow(key, socket, id.0);
        self.call_returns(now, socket);
        Ok(id)
    }

    /// A free ephemeral port for a flow from `source` to `remote`.
    pub(super) fn ephemeral_port(&mut self, source: IpAddr, remote: SocketAddr) -> Option<u16> {
        let (first, last) = EPHEMERAL;
        for _ in first..=last {
            let port = self.next_port;
            self.next_port = if port >= last { first } else { port + 1 };
            if !self.flows.contains_key(&FlowKey::new(SocketAddr::new(source, port), remote)) {
                return Some(port);
            }
        }
        None
    }

    /// Write up to `len` octets of the connection's content. Returns how many were accepted.
    ///
    /// # Errors
    /// [`SocketError::NotConnected`] for anything but a connection, and the error that ended it.
    pub fn write(&mut self, now: Instant, socket: SocketId, len: u64) -> Result<u64, SocketError> {
        let connection = self.connection_mut(socket).ok_or(SocketError::NotConnected)?;
        let written = connection.write(now, len);
        self.call_returns(now, socket);
        written
    }

    /// Whether there is room for what is written now; if not, the event that there is will follow.
    ///
    /// # Errors
    /// [`SocketError::NotConnected`] for anything but a connection.
    pub fn poll_writable(&mut self, socket: SocketId) -> Result<bool, SocketError> {
        Ok(self.connection_mut(socket).ok_or(SocketError::NotConnected)?.poll_writable())
    }

    /// Read up to `most` octets.
    ///
    /// # Errors
    /// [`SocketError::NotConnected`] for anything but a connection; the error that ended the connection,
    /// once everything before it was read.
    pub fn read(&mut self, now: Instant, socket: SocketId, most: u64) -> Result<ReadOutcome, SocketError> {
        let connection = self.connection_mut(socket).ok_or(SocketError::NotConnected)?;
        let outcome = connection.read(now, most);
        if let (0, Some(error)) = (outcome.len, connection.error()) {
            return Err(error);
        }
        // All that reading can make due is an ACK.
        if connection.ack_due() {
            self.call_returns(now, socket);
        }
        Ok(outcome)
    }

    /// No more will be written (`shutdown(SHUT_WR)`).
    pub fn shutdown_write(&mut self, now: Instant, socket: SocketId) {
        if let Some(connection) = self.connection_mut(socket) {
            connection.shutdown_write(now);
            self.call_returns(now, socket);
        }
    }

    /// Close a connection or a listener.
    pub fn close(&mut self, now: Instant, socket: SocketId) {
        let Some(entry) = self.sockets.get_mut(socket.0 as usize) else { return };
        match &mut entry.kind {
            Kind::Connection(connection) => {
                connection.close(now);
                self.call_returns(now, socket);
            }
            Kind::Listener(listener) => {
                let waiting: Vec<_> = listener.ready.drain(..).collect();
                entry.kind = Kind::Closed;
                self.forget_requests(now, socket);
                for socket in waiting {
                    if let Some(connection) = self.connection_mut(socket) {
                        connection.abandon();
                        self.activate(socket);
                    }
                }
            }
            Kind::Datagram(_) | Kind::Closed => {}
        }
    }

    /// The listener is gone: what has not completed its handshake is forgotten, and who goes on with it finds
    /// nobody (`inet_csk_listen_stop`).
    fn forget_requests(&mut self, now: Instant, listener: SocketId) {
        for index in 0..self.sockets.len() {
            let socket = SocketId(index as u32);
            if self.sockets[index].parent == Some(listener)
                && let Some(connection) = self.connection_mut(socket)
                && connection.state() == crate::mptcp::State::Opening
            {
                connection.forget_request(now);
                self.activate(socket);
            }
        }
    }

    /// What a call makes the stack send leaves before the next call.
    #[inline(never)]
    fn call_returns(&mut self, now: Instant, socket: SocketId) {
        if self.connection(socket).is_some_and(Connection::has_events) {
            self.collect_events(socket);
        }
        let Some(entry) = self.sockets.get_mut(socket.0 as usize) else { return };
        if entry.transmit(now, &self.routing, &mut self.stats, &mut self.outbox) {
            return;
        }
        match self.connection(socket) {
            // Whatever was queued before waits for its turn.
            Some(connection) if !connection.has_path_actions() && !self.is_active(socket) => {
                self.settle(now, socket);
            }
            _ => self.activate(socket),
        }
    }

    /// Change something about a connection; what may then be sent leaves before the next call.
    pub(crate) fn configure(&mut self, now: Instant, socket: SocketId, change: impl FnOnce(&mut Connection)) {
        if let Some(connection) = self.connection_mut(socket) {
            change(connection);
            self.call_returns(now, socket);
        }
    }

    /// Change something about a connection that makes nothing due.
    pub(crate) fn configure_later(&mut self, socket: SocketId, change: impl FnOnce(&mut Connection)) {
        if let Some(connection) = self.connection_mut(socket) {
            change(connection);
        }
    }

    /// Connections that a listener makes from now on have these options.
    pub(crate) fn change_listener(&mut self, socket: SocketId, options: &SocketOptions) {
        if let Some(Kind::Listener(listener)) =
            self.sockets.get_mut(socket.0 as usize).map(|entry| &mut entry.kind)
        {
            listener.options = options.clone();
        }
    }

    /// Whether a connection waits at a listener.
    #[must_use]
    pub fn has_ready(&self, listener: SocketId) -> bool {
        matches!(
            self.sockets.get(listener.0 as usize).map(|entry| &entry.kind),
            Some(Kind::Listener(listener)) if !listener.ready.is_empty()
        )
    }

    /// Reset a connection (`connect(AF_UNSPEC)`).
    pub(crate) fn disconnect(&mut self, socket: SocketId) {
        if let Some(connection) = self.connection_mut(socket) {
            connection.disconnect();
            self.activate(socket);
        }
    }

    /// Reset a connection (closing with linger 0).
    pub fn abort(&mut self, socket: SocketId) {
        if let Some(connection) = self.connection_mut(socket) {
            connection.abort();
            self.activate(socket);
        }
    }
}

/// What a call returns without a route.
pub(super) const fn unreachable(error: NoRoute) -> SocketError {
    match error {
        NoRoute::Host => SocketError::HostUnreachable,
        _ => SocketError::NetworkUnreachable,
    }
}
