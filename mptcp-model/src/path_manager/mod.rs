//! Path managers decide which subflows exist and which addresses are announced. They see events
//! (those of the Netlink interface of both Linux lines and of the SMAPP controllers) and answer with
//! actions; the connection acts.

use core::fmt;

pub mod endpoints;
pub mod fullmesh;
pub mod kernel;
pub mod ndiffports;
pub mod none;
pub mod registry;

pub use endpoints::EndpointTable;
pub use kernel::KernelPathManager;
use std::net::{IpAddr, SocketAddr};

use sim_core::{Duration, Instant};

/// Number of a subflow within its connection, in order of creation; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubflowId(pub u32);

/// Which end opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Sent the first SYN.
    Client,
    /// Answered it.
    Server,
}

/// What MP_TCPRST said (RFC 8684, section 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetReason {
    /// The reason, one of [`reset_reason`](crate::wire::mptcp::reset_reason) or another number.
    pub code: u8,
    /// The T flag: the path may be tried again later.
    pub transient: bool,
}

/// Why a subflow ended or failed to open, with the errno Linux reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// FINs exchanged, or closed by the local path manager (0).
    Normal,
    /// RST received (ECONNRESET), with its MP_TCPRST if there was one.
    Reset(Option<ResetReason>),
    /// SYN answered by RST (ECONNREFUSED).
    Refused,
    /// Retries exhausted (ETIMEDOUT).
    TimedOut,
    /// ICMP host unreachable (EHOSTUNREACH).
    HostUnreachable,
    /// ICMP network unreachable, or no local route (ENETUNREACH).
    NetUnreachable,
    /// ICMP protocol unreachable (ENOPROTOOPT).
    ProtocolUnreachable,
    /// ICMP source route failed (EOPNOTSUPP).
    SourceRouteFailed,
    /// ICMPv6 prohibited by policy (EACCES).
    Prohibited,
    /// MPTCP handshake failed: HMAC, missing option, protocol error (EPROTO).
    Protocol,
}

/// A subflow as a path manager sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubflowView {
    /// Its number.
    pub id: SubflowId,
    /// Local address and port.
    pub local: SocketAddr,
    /// Remote address and port.
    pub remote: SocketAddr,
    /// Id of the local address; 0 is the address of the initial subflow.
    pub local_id: u8,
    /// Id of the remote address.
    pub remote_id: u8,
    /// Opened by this host.
    pub initiated: bool,
    /// Established on both sides (fourth ACK seen, or HMAC verified).
    pub established: bool,
    /// Marked backup by either side.
    pub backup: bool,
}

/// What a path manager may know of its connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionView<'a> {
    /// Which end this host is.
    pub side: Side,
    /// Local address and port of the initial subflow.
    pub initial_local: SocketAddr,
    /// Remote address and port of the initial subflow.
    pub initial_remote: SocketAddr,
    /// The peer asked not to open subflows to its initial address (C flag).
    pub peer_denies_join: bool,
    /// Live subflows in id order, those being opened included.
    pub subflows: &'a [SubflowView],
    /// Addresses of this host on interfaces that are up.
    pub local_addresses: &'a [IpAddr],
    /// Those of them whose interface serves as backup.
    pub backup_addresses: &'a [IpAddr],
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathEvent {
    /// The connection is confirmed on this side: subflows may be opened and addresses announced.
    Established,
    /// The initial subflow is established here, but the peer has not confirmed it. Out-of-tree stacks only,
    /// where addresses are announced at once.
    Opened,
    /// ADD_ADDR accepted from the peer (HMAC verified in v1); the connection sends the echo itself, before
    /// the actions are executed.
    AnnounceReceived {
        /// Address id.
        id: u8,
        /// Address and port (the port of the initial subflow when none was given).
        address: SocketAddr,
    },
    /// The peer echoed our ADD_ADDR of this id, or its repetitions are exhausted.
    AnnounceDone {
        /// Address id.
        id: u8,
    },
    /// REMOVE_ADDR of one id from the peer. The connection closes the subflows of that remote id itself.
    RemoveReceived {
        /// Address id.
        id: u8,
    },
    /// A subflow (also the initial one) is established.
    SubflowEstablished(SubflowView),
    /// A subflow ended, or could not be opened.
    SubflowClosed {
        /// The subflow as it was.
        subflow: SubflowView,
        /// Why.
        reason: CloseReason,
    },
    /// MP_PRIO from the peer.
    PriorityReceived {
        /// The subflow meant.
        subflow: SubflowId,
        /// New backup flag.
        backup: bool,
    },
    /// A retransmission timeout; the new timeout value.
    RetransmissionTimeout {
        /// Where.
        subflow: SubflowId,
        /// The RTO after backing off.
        rto: Duration,
    },
    /// An address of this host came up.
    LocalAddressUp(IpAddr),
    /// The interface of an address became a backup, or a regular one again.
    LocalAddressPriority {
        /// The address.
        address: IpAddr,
        /// New backup flag.
        backup: bool,
    },
    /// An address of this host went away.
    LocalAddressDown(IpAddr),
    /// `ip mptcp endpoint add`.
    EndpointAdded(Endpoint),
    /// `ip mptcp endpoint delete`.
    EndpointRemoved(Endpoint),
    /// `ip mptcp endpoint change`: the flags after the change.
    EndpointChanged(Endpoint),
    /// The timer asked for by [`PathAction::WakeAt`].
    Wake,
}

/// What a path manager wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathAction {
    /// Open a subflow. The connection reports failure as [`PathEvent::SubflowClosed`].
    CreateSubflow {
        /// Source address; `None` lets routing choose.
        local: Option<IpAddr>,
        /// Id of the source address.
        local_id: u8,
        /// Source port; `None` for an ephemeral one.
        local_port: Option<u16>,
        /// Destination.
        remote: SocketAddr,
        /// Id of the destination address.
        remote_id: u8,
        /// Set the B flag.
        backup: bool,
    },
    /// Send ADD_ADDR and repeat it until echoed.
    Announce {
        /// Address id.
        id: u8,
        /// Address.
        address: IpAddr,
        /// Port, if another than that of the initial subflow.
        port: Option<u16>,
    },
    /// Send REMOVE_ADDR for one id.
    Withdraw {
        /// Address id.
        id: u8,
    },
    /// Close a subflow in the way of the profile (FIN in Linux upstream).
    CloseSubflow(SubflowId),
    /// Send MP_PRIO on a subflow.
    SetBackup {
        /// Which.
        subflow: SubflowId,
        /// New flag.
        backup: bool,
    },
    /// Call back with [`PathEvent::Wake`]; replaces an earlier request.
    WakeAt(Instant),
}

/// An endpoint as configured by `ip mptcp endpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Id, 1 to 255.
    pub id: u8,
    /// Address.
    pub address: IpAddr,
    /// Port, only with `signal`.
    pub port: Option<u16>,
    /// Announce it.
    pub signal: bool,
    /// Open a subflow from it.
    pub subflow: bool,
    /// Open or announce as backup.
    pub backup: bool,
    /// Open subflows from it to every known remote address.
    pub fullmesh: bool,
}

/// `ip mptcp limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Extra subflows of a connection (Linux default 2).
    pub subflows: u8,
    /// Announced addresses of the peer that may be used (Linux default 0).
    pub add_addr_accepted: u8,
}

/// Decides on subflows and announcements of one connection.
pub trait PathManager: fmt::Debug + Send {
    /// Name in the registry.
    fn name(&self) -> &'static str;

    /// Whether a join from the peer may be accepted now.
    fn accepts_join(&self, view: &ConnectionView<'_>) -> bool;

    /// Id under which a join to or from `address` of this host goes, if the manager numbers addresses.
    fn address_id(&self, address: IpAddr) -> Option<u8> {
        let _ = address;
        None
    }

    /// Something happened; what shall be done is appended to `actions`, in order.
    fn on_event(
        &mut self,
        now: Instant,
        event: &PathEvent,
        view: &ConnectionView<'_>,
        actions: &mut Vec<PathAction>,
    );
}
