//! What an application can do with a connection now, and the settings that it may change while it is open.

use std::sync::Arc;

use super::{Connection, Mode, SocketError, State};
use crate::config::TcpConfig;
use crate::path_manager::SubflowId;
use crate::tcp::{OutputDue, TcpState};
use crate::wire::{IpHeader, TcpSegment};

/// What calls would do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// The handshake is not complete.
    pub opening: bool,
    /// Octets that can be read.
    pub readable: u64,
    /// The peer will send nothing more.
    pub ended: bool,
    /// The peer said so itself.
    pub finished: bool,
    /// A third of the send buffer is free.
    pub writable: bool,
    /// Neither direction is open.
    pub closed: bool,
    /// The error that ended the connection.
    pub error: Option<SocketError>,
}

/// What a socket's settings put into the headers of its packets. Those for IPv4 say nothing of IPv6.
pub(super) fn mark(header: &mut IpHeader, tcp: &TcpConfig) {
    if header.src.is_ipv4() {
        (header.dscp, header.ttl, header.dont_fragment) = (tcp.dscp, tcp.ttl, tcp.path_mtu_discovery);
    }
}

impl Connection {
    /// Whether a third ACK is passed over because data is to come first (`tcp_check_req`).
    pub(crate) fn defers(&mut self, segment: &TcpSegment) -> bool {
        let flow = &mut self.subflows[0].flow;
        let flags = segment.flags;
        let bare = flags.ack() && !flags.syn() && !flags.fin() && !flags.rst() && segment.payload.is_empty();
        let exact = segment.seq.to_offset(flow.recv.irs, flow.recv.rcv_nxt) == 1
            && segment.ack.to_offset(flow.params.iss, flow.snd_nxt) == 1;
        let defers = bare && exact && flow.passive && flow.retries < flow.config.defer_accept;
        flow.deferred |= defers;
        defers
    }

    /// Bound of the window announced, in octets (`TCP_WINDOW_CLAMP`).
    pub(crate) fn window_clamp(&self) -> u64 {
        self.subflows[0].flow.recv.window_clamp
    }

    /// Change it.
    pub(crate) fn set_window_clamp(&mut self, octets: u32) {
        self.recv.changed();
        self.subflows[0].flow.recv.set_user_clamp(u64::from(octets));
    }

    /// What calls would do now.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let (memory, buffer) = match (self.mode, self.subflows.first()) {
            (Mode::Multipath, _) => (self.send.memory(), self.send.sndbuf),
            (_, Some(subflow)) => (subflow.flow.send_memory(), subflow.flow.sndbuf),
            (_, None) => (0, 0),
        };
        let closed = self.state == State::Closed;
        Readiness {
            opening: self.state == State::Opening,
            readable: self.recv.unread,
            // What was refused never had a stream that could end, nor does a reset end that of a connection that turned.
            ended: self.recv.fin_done || (closed && self.mode != Mode::Offered && !self.turned()),
            finished: self.recv.fin_done,
            writable: buffer.saturating_sub(memory) >= memory >> 1 && self.is_low_enough(1),
            closed,
            error: self.error,
        }
    }

    /// Whether so little is not yet sent that more may be taken (`tcp_stream_memory_free`); a waiter is woken
    /// (`wake` 1) when half of that is left.
    pub(crate) fn is_low_enough(&self, wake: u32) -> bool {
        let Some(low) = self.options.tcp.not_sent_low_water else { return true };
        let not_sent = match self.mode {
            Mode::Multipath => self.send.not_sent(),
            _ => self.subflows.first().map_or(0, |subflow| subflow.flow.not_sent()),
        };
        not_sent << wake < u64::from(low)
    }

    /// Whether a third of the send buffer is free or an error waits; if neither, the event
    /// [`writable`](super::SocketEvents::writable) tells when it is (`poll` for `POLLOUT`).
    pub fn poll_writable(&mut self) -> bool {
        let ready = self.error.is_some() || self.readiness().writable;
        if !ready {
            self.set_starved(true);
        }
        ready
    }

    /// Change the settings of every flow, those opened later included (`setsockopt`).
    pub fn change_tcp(&mut self, change: impl FnOnce(&mut TcpConfig)) {
        change(Arc::make_mut(&mut self.options.tcp));
        for subflow in &mut self.subflows {
            subflow.flow.config = Arc::clone(&self.options.tcp);
            subflow.flow.due.add(OutputDue::PUSH);
            mark(&mut subflow.header, &self.options.tcp);
        }
    }

    /// `TCP_QUICKACK`: acknowledge at once, or with what is sent in answer.
    pub(crate) fn set_quickack(&mut self, on: bool) {
        for subflow in &mut self.subflows {
            subflow.flow.set_quickack(on);
        }
    }

    /// `SO_SNDBUF`: the send buffer is of this size from now on.
    pub(crate) fn set_sndbuf(&mut self, bytes: u32) {
        for subflow in &mut self.subflows {
            subflow.flow.sndbuf = bytes.into();
        }
        self.send.sndbuf = bytes.into();
    }

    /// `SO_RCVBUF`: the receive buffer is of this size from now on and does not grow.
    pub(crate) fn set_rcvbuf(&mut self, bytes: u32) {
        for subflow in &mut self.subflows {
            subflow.flow.recv.fix_buffer(bytes.into());
        }
        self.recv.fix_buffer(bytes.into());
    }

    /// Size of the send buffer in bytes.
    #[must_use]
    pub fn sndbuf(&self) -> u64 {
        match (self.mode, self.subflows.first()) {
            (Mode::Plain, Some(subflow)) => subflow.flow.sndbuf,
            _ => self.send.sndbuf,
        }
    }

    /// Size of the receive buffer in bytes.
    #[must_use]
    pub fn rcvbuf(&self) -> u64 {
        match (self.mode, self.subflows.first()) {
            (Mode::Plain, Some(subflow)) => subflow.flow.recv.rcvbuf,
            _ => self.recv.rcvbuf,
        }
    }

    /// What is queued leaves even if it fills no segment, as when `TCP_NODELAY` is set.
    pub(crate) fn push_small(&mut self) {
        for subflow in &mut self.subflows {
            subflow.flow.push_small = true;
        }
    }

    /// Nothing more will be read (`shutdown(SHUT_RD)`).
    pub(crate) fn shutdown_read(&mut self) {
        self.read_shut = true;
    }

    /// What is written next is held back if it fills no segment (`MSG_MORE`), or is not any more.
    pub(crate) fn expect_more(&mut self, more: bool) {
        if self.mode == Mode::Multipath || self.turned() {
            // An MPTCP socket passes it to no subflow.
            return;
        }
        Arc::make_mut(&mut self.options.tcp).cork = more;
        for subflow in &mut self.subflows {
            // What is held back does not leave because of this.
            subflow.flow.config = Arc::clone(&self.options.tcp);
        }
        self.send.more_follows = more;
    }

    /// Change the settings of one subflow.
    pub(crate) fn change_subflow(&mut self, id: SubflowId, change: impl FnOnce(&mut TcpConfig)) {
        if let Some(subflow) = self.subflows.get_mut(id.0 as usize) {
            change(Arc::make_mut(&mut subflow.flow.config));
            subflow.flow.due.add(OutputDue::PUSH);
        }
    }

    /// Keepalive probes were switched on or off, or their times changed.
    pub fn restart_keepalive(&mut self, now: sim_core::Instant) {
        for subflow in &mut self.subflows {
            let open = matches!(subflow.flow.state(), TcpState::Established | TcpState::CloseWait);
            if open || subflow.flow.probes_idle() {
                subflow.flow.start_keepalive(now);
            }
        }
    }

    /// Whether everything written, and the FIN, was acknowledged (`close` with a linger time waits for it).
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        let waits = |state| matches!(state, TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck);
        let sending = matches!(self.state, State::FinWait1 | State::Closing | State::LastAck);
        !sending && !self.subflows.iter().any(|subflow| waits(subflow.flow.state()))
    }
}
