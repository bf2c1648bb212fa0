//! What can be seen of a connection from outside, as `MPTCP_FULL_INFO` of Linux shows it. Reading
//! changes nothing.
//!
//! Left out: the limits of the path manager.

use std::net::SocketAddr;

use sim_core::Instant;

use super::{Connection, ConnectionStats, Mode, Role, SocketError, Stage, State};
use crate::path_manager::CloseReason;
use crate::tcp::{FlowInfo, TcpState};

/// State of a subflow at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubflowInfo {
    /// Number in the connection, in order of creation.
    pub id: u32,
    /// Local address and port.
    pub local: SocketAddr,
    /// Remote address and port.
    pub remote: SocketAddr,
    /// Id of the local address.
    pub local_id: u8,
    /// Id of the remote address.
    pub remote_id: u8,
    /// Opened with MP_JOIN.
    pub joined: bool,
    /// Opened by this host.
    pub initiated: bool,
    /// The MPTCP handshake is complete and the subflow has not ended.
    pub established: bool,
    /// Marked backup by either side.
    pub backup: bool,
    /// Without progress for so long that others are preferred.
    pub stale: bool,
    /// When its SYN was sent or received.
    pub opened_at: Instant,
    /// When its TCP handshake was complete here.
    pub established_at: Option<Instant>,
    /// Why it ended, if it has.
    pub closed: Option<CloseReason>,
    /// The TCP flow.
    pub flow: FlowInfo,
}

/// State of a connection at one instant. Positions count octets of the stream from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Whether MPTCP is spoken.
    pub mode: Mode,
    /// State.
    pub state: State,
    /// The error that ended it.
    pub error: Option<SocketError>,
    /// Octets accepted from the application.
    pub bytes_written: u64,
    /// Octets sent at least once.
    pub bytes_sent: u64,
    /// Octets acknowledged by the peer.
    pub bytes_acked: u64,
    /// Octets received in order, read or not.
    pub bytes_received: u64,
    /// Octets received in order that the application has not read.
    pub unread_bytes: u64,
    /// Octets in the send buffer that no subflow has been given, or that have not left it in plain TCP.
    pub unsent_bytes: u64,
    /// Octets waiting out of order.
    pub out_of_order_bytes: u64,
    /// Window announced by the peer beyond what it acknowledged.
    pub send_window: u64,
    /// Window announced to the peer beyond what arrived.
    pub receive_window: u64,
    /// Counters.
    pub stats: ConnectionStats,
    /// Subflows in order of creation, those that ended included.
    pub subflows: Vec<SubflowInfo>,
}

impl Connection {
    /// State of the connection as `MPTCP_FULL_INFO` would show it.
    #[must_use]
    pub fn info(&self) -> ConnectionInfo {
        let subflows: Vec<_> = self.subflows.iter().map(super::Subflow::info).collect();
        let plain =
            self.subflows.first().filter(|_| self.mode != Mode::Multipath).map(|first| first.flow.info());
        let written = self.send.written;
        let (sent, send_window, receive_window) = match &plain {
            Some(flow) => (written - flow.not_sent.min(written), flow.send_window, flow.receive_window),
            None => (
                self.send.nxt.min(written),
                self.send.window_end.saturating_sub(self.send.una),
                self.recv.window_end.saturating_sub(self.recv.next),
            ),
        };
        ConnectionInfo {
            mode: self.mode,
            state: self.state,
            error: self.error,
            bytes_written: written,
            bytes_sent: sent,
            bytes_acked: self.bytes_acked().min(written),
            bytes_received: match &plain {
                Some(flow) => flow.stats.bytes_received,
                None => self.recv.next - u64::from(self.recv.fin_done),
            },
            unread_bytes: self.recv.unread,
            unsent_bytes: written - sent,
            out_of_order_bytes: match &plain {
                Some(flow) => flow.out_of_order_bytes,
                None => self.recv.ooo_bytes,
            },
            send_window,
            receive_window,
            stats: self.stats(),
            subflows,
        }
    }

    /// Whether the connection is over at this end, stragglers that TIME_WAIT waits for aside.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let over = |state| matches!(state, TcpState::TimeWait | TcpState::Closed);
        self.state == State::Closed && self.subflows.iter().all(|subflow| over(subflow.flow.state()))
    }
}

impl super::Subflow {
    /// State of the subflow as `MPTCP_FULL_INFO` would show it.
    #[must_use]
    pub fn info(&self) -> SubflowInfo {
        SubflowInfo {
            id: self.id.0,
            local: self.flow.local(),
            remote: self.flow.remote(),
            local_id: self.local_id,
            remote_id: self.remote_id,
            joined: self.role == Role::Join,
            initiated: self.initiated,
            established: self.stage == Stage::Confirmed,
            backup: self.is_backup(),
            stale: self.stale,
            opened_at: self.join_syn_at,
            established_at: self.established_at,
            closed: self.flow.closed_by,
            flow: self.flow.info(),
        }
    }
}
