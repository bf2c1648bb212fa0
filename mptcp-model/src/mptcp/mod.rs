//! A connection as a socket sees it: plain TCP with one flow, or Multipath TCP (RFC 8684) with several,
//! told apart by [`Mode`]. The connection owns its subflows, cuts the stream into mappings, puts received
//! data in order, runs scheduler and path manager, and writes the options of every segment.
//!
//! Positions in the two data streams count from 0; data sequence numbers exist only in options.
//!
//! Both versions are spoken: 0 (RFC 6824) and 1 (RFC 8684). Left out so far: opportunistic retransmission.

mod close;
pub(crate) mod cookie;
mod draws;
mod events;
mod fallback;
mod fast_open;
mod handshake;
mod info;
mod input;
pub mod machine;
mod oot;
mod oot_send;
mod oot_window;
mod options;
mod paths;
mod predicted;
mod readiness;
mod receive;
mod reinject;
mod send;
mod subflow;
mod timers;
mod transmit;
mod watched;

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sim_core::{Duration, Instant};

pub use self::close::ReadOutcome;
pub use self::draws::Draws;
use self::events::Happened;
pub use self::events::SocketEvents;
use self::fallback::InfiniteMapping;
pub use self::info::{ConnectionInfo, SubflowInfo};
use self::machine::Turn;
pub use self::readiness::Readiness;
pub use self::receive::Integrity;
use self::receive::StreamReceiver;
use self::send::SendStream;
pub use self::subflow::Subflow;
pub(crate) use self::subflow::{Role, Stage};
pub(crate) use self::transmit::Outlet;
use crate::config::{MptcpConfig, TcpConfig};
use crate::congestion::{CongestionControl, PathView};
use crate::crypto::{self, Version};
use crate::path_manager::{
    CloseReason, Endpoint, PathAction, PathEvent, PathManager, Side, SubflowId, SubflowView,
};
use crate::scheduler::{Scheduler, SchedulerView};
use crate::tcp::{Flow, FlowParams, SynOptions};
use crate::wire::{IpHeader, Packet, Payload, Seq, TcpSegment};

/// Makes the congestion control of a new subflow.
pub type CongestionFactory = Arc<dyn Fn() -> Box<dyn CongestionControl> + Send + Sync>;
/// Makes the scheduler of a new connection.
pub type SchedulerFactory = Arc<dyn Fn() -> Box<dyn Scheduler> + Send + Sync>;
/// Makes the path manager of a new connection.
pub type PathManagerFactory = Arc<dyn Fn() -> Box<dyn PathManager> + Send + Sync>;

/// What the application writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The pattern of this seed; 0 is all zeros.
    Pattern(u32),
    /// These octets, over and over.
    Literal(bytes::Bytes),
}

impl Content {
    /// `len` octets from `position` on.
    #[inline(always)]
    pub(crate) fn payload(&self, position: u64, len: u32) -> Payload {
        match self {
            Self::Pattern(seed) => Payload::pattern(*seed, position, len),
            Self::Literal(octets) => literal_payload(octets, position, len),
        }
    }
}

/// How a socket is set up.
#[derive(Clone)]
pub struct SocketOptions {
    /// Settings of TCP.
    pub tcp: Arc<TcpConfig>,
    /// Settings of MPTCP; `None` for a plain TCP socket.
    pub mptcp: Option<Arc<MptcpConfig>>,
    /// Congestion control.
    pub congestion: CongestionFactory,
    /// Scheduler.
    pub scheduler: SchedulerFactory,
    /// Path manager.
    pub path_manager: PathManagerFactory,
    /// What the application writes.
    pub content: Content,
}

impl fmt::Debug for SocketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketOptions")
            .field("tcp", &self.tcp)
            .field("mptcp", &self.mptcp)
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}

/// Whether a connection speaks MPTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// TCP: never asked for more, or fell back.
    Plain,
    /// MP_CAPABLE offered, not yet answered.
    Offered,
    /// MPTCP.
    Multipath,
}

/// State of a connection (RFC 8684, appendix D; TCP's own states in plain mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Handshake of the initial subflow.
    Opening,
    /// Open.
    Established,
    /// DATA_FIN sent.
    FinWait1,
    /// DATA_FIN acknowledged.
    FinWait2,
    /// DATA_FIN received.
    CloseWait,
    /// DATA_FINs crossed.
    Closing,
    /// DATA_FIN received, then sent.
    LastAck,
    /// Over; subflows may linger.
    Closed,
}

/// Why a socket failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketError {
    /// ECONNREFUSED.
    ConnectionRefused,
    /// ECONNRESET.
    ConnectionReset,
    /// ETIMEDOUT.
    TimedOut,
    /// ENETUNREACH.
    NetworkUnreachable,
    /// EHOSTUNREACH.
    HostUnreachable,
    /// ENOPROTOOPT: ICMP says that the protocol is not spoken there.
    ProtocolUnreachable,
    /// EOPNOTSUPP: ICMP says that a source route failed.
    SourceRouteFailed,
    /// EACCES: ICMPv6 says that it is prohibited.
    Prohibited,
    /// EPIPE: written after the writing side was shut down.
    BrokenPipe,
    /// ENOTCONN.
    NotConnected,
    /// EADDRINUSE.
    AddressInUse,
    /// EADDRNOTAVAIL.
    AddressNotAvailable,
    /// EMSGSIZE: a datagram larger than the interface carries.
    MessageTooLong,
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectionRefused => "connection refused (ECONNREFUSED)",
            Self::ConnectionReset => "connection reset by peer (ECONNRESET)",
            Self::TimedOut => "connection timed out (ETIMEDOUT)",
            Self::NetworkUnreachable => "network is unreachable (ENETUNREACH)",
            Self::HostUnreachable => "no route to host (EHOSTUNREACH)",
            Self::ProtocolUnreachable => "protocol not available (ENOPROTOOPT)",
            Self::SourceRouteFailed => "operation not supported (EOPNOTSUPP)",
            Self::Prohibited => "permission denied (EACCES)",
            Self::BrokenPipe => "broken pipe (EPIPE)",
            Self::NotConnected => "not connected (ENOTCONN)",
            Self::AddressInUse => "address already in use (EADDRINUSE)",
            Self::AddressNotAvailable => "cannot assign requested address (EADDRNOTAVAIL)",
            Self::MessageTooLong => "message too long (EMSGSIZE)",
        })
    }
}

impl std::error::Error for SocketError {}

impl From<CloseReason> for SocketError {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Refused => Self::ConnectionRefused,
            CloseReason::TimedOut => Self::TimedOut,
            CloseReason::HostUnreachable => Self::HostUnreachable,
            CloseReason::NetUnreachable => Self::NetworkUnreachable,
            CloseReason::ProtocolUnreachable => Self::ProtocolUnreachable,
            CloseReason::SourceRouteFailed => Self::SourceRouteFailed,
            CloseReason::Prohibited => Self::Prohibited,
            CloseReason::Normal | CloseReason::Reset(_) | CloseReason::Protocol => Self::ConnectionReset,
        }
    }
}

/// What a segment may have changed for the owner of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Something may be due to be sent, and any deadline may have moved.
    Any,
    /// Nothing is to be sent; the earliest deadline that may be new.
    Deadline(Instant),
}

/// Counters of a connection, named as in `nstat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionStats {
    /// Octets retransmitted at connection level.
    pub reinjected_bytes: u64,
    /// Connection-level timeouts that retransmitted.
    pub retransmits: u64,
    /// Octets received more than once.
    pub duplicate_bytes: u64,
    /// Subflows marked stale.
    pub stale_subflows: u64,
    /// Joins that failed their authentication.
    pub join_hmac_failures: u64,
    /// ADD_ADDR with a wrong HMAC.
    pub add_addr_hmac_failures: u64,
    /// Data without a mapping.
    pub unmapped_bytes: u64,
    /// Checksum errors.
    pub checksum_errors: u64,
    /// Data beyond the window, dropped.
    pub out_of_window_bytes: u64,
    /// SYNs received with an MP_CAPABLE that was taken (`MPCapableSYNRX`).
    pub capable_syn_received: u64,
    /// Passive opens whose third ACK brought no keys (`MPCapableFallbackACK`).
    pub capable_fallback_ack: u64,
}

/// Keys and what follows from them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) local: u64,
    pub(crate) remote: Option<u64>,
    pub(crate) local_token: u32,
    pub(crate) remote_token: u32,
    /// Data sequence number of position 0, of each direction.
    pub(crate) local_base: u64,
    pub(crate) remote_base: u64,
}

impl Keys {
    /// A new own key; none is zero (KEY-01).
    fn draw(&mut self, rng: &mut Draws, version: Version) {
        self.local = 0;
        while self.local == 0 {
            self.local = rng.next_u64();
        }
        self.derive(version);
    }

    /// Token and first data sequence number of the own key.
    pub(crate) fn derive(&mut self, version: Version) {
        let material = crypto::key_material(version, self.local);
        self.local_token = material.token;
        self.local_base = material.idsn.wrapping_add(1);
    }
}

/// An ADD_ADDR not yet echoed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announcement {
    pub(crate) id: u8,
    pub(crate) address: IpAddr,
    pub(crate) port: Option<u16>,
    pub(crate) resend_at: Option<Instant>,
    pub(crate) tries: u8,
}

/// A connection.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Connection {
    // What every packet touches comes first.
    pub(crate) subflows: Vec<Subflow>,
    pub(crate) events: Happened,
    pub(crate) side: Side,
    pub(crate) mode: Mode,
    pub(crate) state: State,
    pub(crate) version: Version,
    pub(crate) checksum: bool,
    /// Habits of the out-of-tree kernel ([`MptcpConfig::out_of_tree`]).
    pub(crate) out_of_tree: bool,
    /// DATA_ACKs carry 64 bits, because the peer sent data with a 64-bit number (DSS-06).
    pub(crate) use_long_ack: bool,
    pub(crate) coupled: bool,
    pub(crate) write_shut: bool,
    /// The application reads no more (`shutdown(SHUT_RD)`).
    pub(crate) read_shut: bool,
    /// The application closed the socket: nobody reads any more.
    pub(crate) orphaned: bool,
    /// Something that arrived is to be looked at once the ACKs due have left.
    pub(crate) work_due: bool,
    /// No other subflow was ever joined, and nothing retransmitted at this level (FB-13).
    pub(crate) fallback_allowed: bool,
    pub(crate) peer_syn_octets: u32,
    /// Octets of data in the SYN of the first subflow, which no subflow sequence number counts: of this end, and
    /// of the peer.
    pub(crate) syn_octets: u32,
    pub(crate) path_wake: Option<Instant>,
    pub(crate) close_timer: Option<Instant>,
    pub(crate) views: Vec<PathView>,
    /// Packets that left while an event was looked at, before what else it makes due.
    pub(crate) left: Vec<(usize, Packet)>,
    pub(crate) path_events: VecDeque<PathEvent>,
    pub(crate) path_actions: Vec<PathAction>,
    pub(crate) announced: Vec<Announcement>,
    pub(crate) scheduler: Box<dyn Scheduler>,
    /// Where what it sees is written.
    pub(crate) scheduler_views: Vec<SchedulerView>,
    pub(crate) infinite: Option<InfiniteMapping>,
    pub(crate) integrity: Integrity,
    pub(crate) options: SocketOptions,
    pub(crate) recv: StreamReceiver,
    pub(crate) send: SendStream,
    pub(crate) keys: Keys,

    // What only some packets touch.
    pub(crate) peer_denies_join: bool,
    /// SYNs with MP_CAPABLE had no answer, and it was left out.
    pub(crate) capable_dropped: bool,
    /// Whether the SYN/ACK answered a SYN without, or one with MP_CAPABLE.
    pub(crate) blackholed: Option<bool>,
    pub(crate) path_manager: Box<dyn PathManager>,
    /// Ids of addresses announced so far.
    pub(crate) local_ids: Vec<(u8, IpAddr)>,
    pub(crate) remote_addresses: Vec<(u8, SocketAddr)>,
    pub(crate) path_manager_started: bool,
    /// Addresses of this host on interfaces that are up.
    pub(crate) local_addresses: Vec<IpAddr>,
    pub(crate) backup_addresses: Vec<IpAddr>,
    pub(crate) closing: oot::OotClose,
    pub(crate) oot_send: oot_send::OotSend,
    pub(crate) error: Option<SocketError>,
    /// The last error that the connection outlived and the application wanted to hear of, and how many there were.
    pub(crate) soft_error: Option<(u32, SocketError)>,
    pub(crate) rng: Draws,
    pub(crate) stats: ConnectionStats,
    pub(crate) deliveries: Vec<crate::tcp::Arrival>,
}

impl Connection {
    fn new(options: SocketOptions, side: Side, mut rng: Draws) -> Self {
        let congestion = (options.congestion)();
        let coupled = congestion.is_coupled();
        let mode = if options.mptcp.is_some() { Mode::Offered } else { Mode::Plain };
        let version = options
            .mptcp
            .as_ref()
            .and_then(|config| Version::from_number(config.version))
            .unwrap_or(Version::V1);
        let mut keys = Keys::default();
        if options.mptcp.is_some() {
            keys.draw(&mut rng, version);
        }
        Self {
            side,
            mode,
            state: State::Opening,
            version,
            keys,
            checksum: options.mptcp.as_ref().is_some_and(|config| config.checksum),
            out_of_tree: options.mptcp.as_ref().is_some_and(|config| config.out_of_tree),
            use_long_ack: false,
            peer_denies_join: false,
            syn_octets: 0,
            peer_syn_octets: 0,
            capable_dropped: false,
            blackholed: None,
            fallback_allowed: true,
            infinite: None,
            subflows: Vec::new(),
            views: Vec::new(),
            coupled,
            send: SendStream::new(u64::from(options.tcp.wmem[1])),
            recv: StreamReceiver::new(&options.tcp),
            integrity: Integrity::default(),
            scheduler: (options.scheduler)(),
            scheduler_views: Vec::new(),
            path_manager: (options.path_manager)(),
            path_events: VecDeque::new(),
            path_actions: Vec::new(),
            path_wake: None,
            announced: Vec::new(),
            local_ids: Vec::new(),
            remote_addresses: Vec::new(),
            path_manager_started: false,
            local_addresses: Vec::new(),
            backup_addresses: Vec::new(),
            closing: oot::OotClose::default(),
            work_due: false,
            oot_send: oot_send::OotSend::default(),
            left: Vec::new(),
            events: Happened::default(),
            error: None,
            soft_error: None,
            orphaned: false,
            write_shut: false,
            read_shut: false,
            close_timer: None,
            rng,
            stats: ConnectionStats::default(),
            deliveries: Vec::new(),
            options,
        }
    }

    /// An active open from `local` to `remote`. `mss` is the MTU of the way out less the IP and TCP headers.
    #[must_use]
    pub fn connect(
        options: SocketOptions,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        mss: u16,
        rng: impl Into<Draws>,
    ) -> Self {
        let mut connection = Self::new(options, Side::Client, rng.into());
        let params = connection.flow_params(local, remote, mss);
        let flow = Flow::connect(
            Arc::clone(&connection.options.tcp),
            params,
            (connection.options.congestion)(),
            now,
        );
        connection.add_subflow(flow, Role::Initial, true, (0, 0), now);
        connection
    }

    /// A passive open: `segment` is the SYN.
    #[must_use]
    pub fn accept(
        options: SocketOptions,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        mss: u16,
        segment: &TcpSegment,
        rng: impl Into<Draws>,
    ) -> Self {
        let mut connection = Self::new(options, Side::Server, rng.into());
        let params = connection.flow_params(local, remote, mss);
        let parsed = segment.options.parse_all();
        let flow = Flow::accept(
            Arc::clone(&connection.options.tcp),
            params,
            (connection.options.congestion)(),
            now,
            segment.seq,
            segment.window,
            SynOptions::from_parsed(&parsed),
        );
        connection.add_subflow(flow, Role::Initial, false, (0, 0), now);
        connection.subflows[0].flow.negotiate_ecn(segment.flags);
        connection.take_capable_syn(segment);
        connection.fit_first_window(0);
        connection
    }

    pub(crate) fn flow_params(&mut self, local: SocketAddr, remote: SocketAddr, mss: u16) -> FlowParams {
        FlowParams { local, remote, iss: Seq(self.rng.next_u32()), ts_offset: self.rng.next_u32(), mss }
    }

    pub(crate) fn add_subflow(
        &mut self,
        flow: Flow,
        role: Role,
        initiated: bool,
        ids: (u8, u8),
        now: Instant,
    ) -> usize {
        let id = SubflowId(self.subflows.len() as u32);
        let ip_id = self.rng.next_u32() as u16;
        let mut flow = flow;
        flow.wants_space = self.send.starved;
        let mut header = IpHeader::new(flow.local().ip(), flow.remote().ip());
        readiness::mark(&mut header, flow.settings());
        let ports = (flow.local().port(), flow.remote().port());
        self.subflows.push(Subflow {
            id,
            flow,
            role,
            stage: Stage::Opening,
            initiated,
            local_id: ids.0,
            remote_id: ids.1,
            local_nonce: 0,
            remote_nonce: 0,
            backup: false,
            peer_backup: false,
            stale: false,
            stale_count: 0,
            stale_at: now,
            potentially_failed: false,
            carried_to: None,
            data_acked: false,
            reinjected_to: 0,
            penalised_at: Instant::ZERO,
            answer_timer: None,
            answer_tries: 0,
            answer_until: now,
            failed_dsn: None,
            keys_sent: false,
            stripped_at: None,
            rx_map: subflow::RxMap::default(),
            offered: receive::Offered::default(),
            unverified: Vec::new(),
            signals: VecDeque::new(),
            reset_reason: None,
            fastclose: false,
            bare_reset: subflow::Bare::Never,
            ip_id,
            header,
            ports,
            view: None,
            opened_at: now,
            retired: false,
            established_at: None,
        });
        id.0 as usize
    }

    /// Mode.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// State.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Which end this is.
    #[must_use]
    pub const fn side(&self) -> Side {
        self.side
    }

    /// Whether a subflow is over, so that what still arrives for it belongs to nobody.
    #[must_use]
    pub fn is_gone(&self, subflow: u32) -> bool {
        self.subflows.get(subflow as usize).is_none_or(|subflow| subflow.stage == Stage::Gone)
    }

    /// Whether MPTCP is spoken or offered: the token must be known to joins.
    #[must_use]
    pub fn offers_multipath(&self) -> bool {
        self.mode != Mode::Plain
    }

    /// Another key, because the token of this one is taken. Nothing was sent yet.
    pub(crate) fn redraw_key(&mut self) {
        self.keys.draw(&mut self.rng, self.version);
    }

    /// TCP from the start, although MPTCP was asked for. Nothing was sent yet.
    pub(crate) fn offer_nothing(&mut self) {
        self.turn(Turn::Declined);
    }

    /// What the SYN/ACK of an active open tells of the way, once: whether SYNs with MP_CAPABLE are lost on it
    /// (CAP-26).
    pub(crate) const fn take_blackholed(&mut self) -> Option<bool> {
        self.blackholed.take()
    }

    /// First time for which a host expects SYNs with MP_CAPABLE to vanish again.
    pub(crate) fn blackhole_timeout(&self) -> Duration {
        self.options.mptcp.as_ref().map_or(Duration::ZERO, |config| config.blackhole_timeout)
    }

    /// Id under which this host announced `address`, or uses it on a subflow.
    #[must_use]
    pub fn address_id(&self, address: IpAddr) -> Option<u8> {
        if let Some(id) = self.path_manager.address_id(address) {
            return Some(id);
        }
        let announced = self.local_ids.iter().find(|&&(_, known)| known == address).map(|&(id, _)| id);
        announced.or_else(|| {
            let used = self.subflows.iter().find(|subflow| subflow.flow.local().ip() == address);
            used.map(|subflow| subflow.local_id)
        })
    }

    /// Token by which the peer joins this connection.
    #[must_use]
    pub const fn local_token(&self) -> u32 {
        self.keys.local_token
    }

    /// Subflows in order of creation, those that ended included.
    #[must_use]
    pub fn subflows(&self) -> &[Subflow] {
        &self.subflows
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        ConnectionStats { duplicate_bytes: self.recv.duplicate_bytes, ..self.stats }
    }

    /// Verification of what was received.
    #[must_use]
    pub const fn integrity(&self) -> &Integrity {
        &self.integrity
    }

    /// Octets accepted from the application.
    #[must_use]
    pub const fn bytes_written(&self) -> u64 {
        self.send.written
    }

    /// Octets of the stream acknowledged by the peer.
    #[must_use]
    pub fn bytes_acked(&self) -> u64 {
        match self.mode {
            Mode::Multipath => self.send.una.min(self.send.written),
            _ => self.subflows.first().map_or(0, |subflow| subflow.flow.snd_una.saturating_sub(1)),
        }
    }

    /// Octets waiting out of order at connection level.
    #[must_use]
    pub const fn out_of_order_bytes(&self) -> u64 {
        self.recv.ooo_bytes
    }

    /// Octets the application may read now.
    #[must_use]
    pub const fn readable_bytes(&self) -> u64 {
        self.recv.unread
    }

    /// Take what happened since the last call.
    pub fn take_events(&mut self) -> SocketEvents {
        std::mem::take(&mut self.events).all()
    }

    /// Whether something happened since the events were taken.
    pub(crate) const fn has_events(&self) -> bool {
        self.events.has(u8::MAX)
    }

    /// Whether all that happened concerns the application alone.
    pub(crate) const fn has_usual_events(&self) -> bool {
        !self.events.has(Happened::CONNECTED | Happened::FAILED) && self.blackholed.is_none()
    }

    /// The error that ended the connection.
    #[must_use]
    pub const fn error(&self) -> Option<SocketError> {
        self.error
    }

    /// Whether nothing is left to do: every subflow is gone and no timer runs.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state == State::Closed && self.subflows.iter().all(|subflow| subflow.stage == Stage::Gone)
    }

    pub(crate) fn subflow_views(&self) -> Vec<SubflowView> {
        self.subflows
            .iter()
            .filter(|subflow| subflow.stage != Stage::Gone && !subflow.retired)
            .map(Subflow::view)
            .collect()
    }

    /// Rebuild the views of congestion control after a subflow came or went.
    pub(crate) fn rebuild_views(&mut self) {
        self.views.clear();
        for subflow in &mut self.subflows {
            subflow.view = None;
            let counts = subflow.stage != Stage::Gone && subflow.flow.is_synchronized();
            if self.coupled && counts {
                subflow.view = Some(self.views.len());
                self.views.push(subflow.flow.path_view(subflow.id.0));
            }
        }
    }

    /// Index of a subflow among the views; 0 if it has none.
    pub(crate) fn view_of(&self, index: usize) -> usize {
        self.subflows[index].view.unwrap_or(0)
    }

    #[inline]
    pub(crate) fn refresh_view(&mut self, index: usize) -> usize {
        let subflow = &self.subflows[index];
        let Some(view) = subflow.view else { return 0 };
        subflow.flow.write_path_view(&mut self.views[view], subflow.id.0);
        view
    }

    /// What the application wrote at `position`.
    #[inline(always)]
    pub(crate) fn payload(&self, position: u64, len: u32) -> Payload {
        self.options.content.payload(position, len)
    }

    /// An endpoint of the host was added, removed or changed.
    pub fn endpoint_event(&mut self, event: EndpointChange) {
        if self.mode == Mode::Multipath && self.state != State::Closed {
            self.path_events.push_back(match event {
                EndpointChange::Added(endpoint) => PathEvent::EndpointAdded(endpoint),
                EndpointChange::Removed(endpoint) => PathEvent::EndpointRemoved(endpoint),
                EndpointChange::Changed(endpoint) => PathEvent::EndpointChanged(endpoint),
            });
        }
    }
}

/// `len` octets from `position` of content that repeats.
#[cold]
fn literal_payload(octets: &bytes::Bytes, position: u64, len: u32) -> Payload {
    let size = octets.len() as u64;
    if size == 0 {
        return Payload::pattern(0, position, len);
    }
    let offset = (position % size) as usize;
    if offset + len as usize <= octets.len() {
        return Payload::Literal(Box::new(octets.slice(offset..offset + len as usize)));
    }
    let copy: Vec<u8> = (0..u64::from(len)).map(|i| octets[((position + i) % size) as usize]).collect();
    Payload::Literal(Box::new(copy.into()))
}

/// What `ip mptcp endpoint` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointChange {
    /// Added.
    Added(Endpoint),
    /// Deleted.
    Removed(Endpoint),
    /// Flags changed.
    Changed(Endpoint),
}
