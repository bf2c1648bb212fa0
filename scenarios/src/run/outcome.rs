//! What a run brought: flow by flow, link by link.

use std::net::SocketAddr;

use mptcp_model::host::HostStats;
use mptcp_model::mptcp::{ConnectionInfo, Integrity, SubflowInfo};
use mptcp_model::net::middlebox::Counters;
use mptcp_model::path_manager::CloseReason;
use sim_core::{Direction, Duration, Instant, LinkStats};

use crate::datagram::Reception;
use crate::program::Record;
use crate::scenario::{Port, Protocol};

/// An end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowEnd {
    /// The end that connects.
    Client,
    /// The end that accepts.
    Server,
}

impl FlowEnd {
    /// `client` or `server`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// All flows were finished.
    FlowsFinished,
    /// The duration was over.
    Duration,
    /// Nothing could happen any more, though flows were not finished.
    Idle,
    /// The caller asked for it.
    Interrupted,
    /// Time did not pass any more: packets go round over links that take no time.
    Standstill,
}

/// One end of a flow after the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndOutcome {
    /// Name of its host.
    pub host: String,
    /// What its program did.
    pub record: Record,
    /// Its connection at the end of the run, if there was one.
    pub connection: Option<ConnectionInfo>,
    /// Verification of what it received.
    pub integrity: Integrity,
}

/// A subflow after the run. Times and the reason of its end are those of the end that opened it.
#[derive(Clone, Debug, PartialEq)]
pub struct SubflowOutcome {
    /// Address and port of the client.
    pub client: SocketAddr,
    /// Address and port of the server.
    pub server: SocketAddr,
    /// Opened with MP_JOIN.
    pub joined: bool,
    /// Who opened it.
    pub opened_by: FlowEnd,
    /// When the SYN was sent.
    pub opened_at: Instant,
    /// When the TCP handshake was complete.
    pub established_at: Option<Instant>,
    /// Why it ended, if it had.
    pub closed: Option<CloseReason>,
    /// Marked backup.
    pub backup: bool,
    /// Bytes of payload received in order by the server.
    pub to_server: u64,
    /// Bytes of payload received in order by the client.
    pub to_client: u64,
    /// Share of what the receiver of the flow received, 0 to 1.
    pub share: f64,
    /// Segments retransmitted by client and server.
    pub retransmitted_segments: u64,
    /// Bytes retransmitted by client and server.
    pub retransmitted_bytes: u64,
}

/// The datagrams of a UDP flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatagramOutcome {
    /// Those the socket of the sender took.
    pub sent: u64,
    /// Those it refused, with ECONNREFUSED after an ICMP port unreachable, or without a route.
    pub refused: u64,
    /// What the receiver counted.
    pub reception: Reception,
}

impl DatagramOutcome {
    /// Those that were sent and did not arrive, on their way at the end of the run included.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.reception.delivered)
    }
}

/// A flow after the run.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowOutcome {
    /// Name.
    pub name: String,
    /// Protocol asked for.
    pub protocol: Protocol,
    /// The client.
    pub client: EndOutcome,
    /// The server.
    pub server: EndOutcome,
    /// The end that received more, whom the figures below are about.
    pub receiver: FlowEnd,
    /// Bits received per second from connect() to the last byte received.
    pub goodput_bps: Option<f64>,
    /// Bits received per second from the first to the last byte received.
    pub goodput_from_first_byte_bps: Option<f64>,
    /// From connect() to the last byte received.
    pub completion: Option<Duration>,
    /// Subflows in order of their opening.
    pub subflows: Vec<SubflowOutcome>,
    /// Both programs ended and both ends of the connection are closed.
    pub finished: bool,
    /// Of a UDP flow, what became of its datagrams.
    pub datagrams: Option<DatagramOutcome>,
    /// What arrived and was not what was sent; empty in every correct run.
    pub violations: Vec<String>,
}

/// One direction of a link after the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkOutcome {
    /// Name of the link.
    pub link: String,
    /// Direction.
    pub direction: Direction,
    /// Counters.
    pub stats: LinkStats,
}

/// A box after the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxOutcome {
    /// Name.
    pub name: String,
    /// Name in the registry.
    pub kind: String,
    /// Where it stands.
    pub at: Port,
    /// What it did.
    pub counters: Counters,
    /// Packets it dropped, by reason.
    pub drops: Vec<(&'static str, u64)>,
    /// What it counts of its own.
    pub details: Vec<(&'static str, u64)>,
}

/// A command to a host that failed, as it would have on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandFailure {
    /// When.
    pub at: Instant,
    /// Name of the host.
    pub host: String,
    /// The command.
    pub command: String,
    /// Why.
    pub error: String,
}

/// A run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOutcome {
    /// Flows in the order of the scenario.
    pub flows: Vec<FlowOutcome>,
    /// Links in the order of the scenario, both directions of each.
    pub links: Vec<LinkOutcome>,
    /// Boxes in the order of the scenario.
    pub boxes: Vec<BoxOutcome>,
    /// Counters of end hosts by name.
    pub hosts: Vec<(String, HostStats)>,
    /// Commands that failed.
    pub command_failures: Vec<CommandFailure>,
    /// Events handled.
    pub events: u64,
    /// Digest of every packet delivered.
    pub digest: u64,
    /// Simulated time at the end.
    pub ended_at: Instant,
    /// Why it ended.
    pub stop: StopReason,
}

impl RunOutcome {
    /// Whether everything that arrived was what had been sent.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.flows.iter().all(|flow| flow.violations.is_empty())
    }
}

impl FlowOutcome {
    /// The end that received more.
    #[must_use]
    pub const fn receiver(&self) -> &EndOutcome {
        match self.receiver {
            FlowEnd::Client => &self.client,
            FlowEnd::Server => &self.server,
        }
    }

    /// Bytes the receiver's program read.
    #[must_use]
    pub const fn bytes_received(&self) -> u64 {
        self.receiver().record.received
    }

    /// Subflows opened with MP_JOIN, those that failed included.
    pub fn joins(&self) -> impl Iterator<Item = &SubflowOutcome> {
        self.subflows.iter().filter(|subflow| subflow.joined)
    }

    /// Segments retransmitted on subflows, by both ends.
    #[must_use]
    pub fn retransmitted_segments(&self) -> u64 {
        self.subflows.iter().map(|subflow| subflow.retransmitted_segments).sum()
    }

    /// Bytes sent again at connection level, by both ends.
    #[must_use]
    pub fn reinjected_bytes(&self) -> u64 {
        let of = |end: &EndOutcome| end.connection.as_ref().map_or(0, |info| info.stats.reinjected_bytes);
        of(&self.client) + of(&self.server)
    }

    /// What ended a program early, client first.
    pub fn errors(&self) -> impl Iterator<Item = (FlowEnd, &crate::program::ProgramError)> {
        let of = |end, outcome: &'_ EndOutcome| outcome.record.error.is_some().then_some(end);
        [of(FlowEnd::Client, &self.client), of(FlowEnd::Server, &self.server)]
            .into_iter()
            .flatten()
            .filter_map(|end| Some((end, self.end(end).record.error.as_ref()?)))
    }

    /// An end.
    #[must_use]
    pub const fn end(&self, end: FlowEnd) -> &EndOutcome {
        match end {
            FlowEnd::Client => &self.client,
            FlowEnd::Server => &self.server,
        }
    }

    /// Put together what both ends know.
    pub(super) fn new(
        name: String,
        protocol: Protocol,
        [client, server]: [EndOutcome; 2],
        finished: bool,
        violations: Vec<String>,
    ) -> Self {
        let receiver =
            if client.record.received > server.record.received { FlowEnd::Client } else { FlowEnd::Server };
        let mut flow = Self {
            subflows: subflows(&client, &server),
            name,
            protocol,
            client,
            server,
            receiver,
            goodput_bps: None,
            goodput_from_first_byte_bps: None,
            completion: None,
            finished,
            datagrams: None,
            violations,
        };
        let bytes = |subflow: &SubflowOutcome| match receiver {
            FlowEnd::Client => subflow.to_client,
            FlowEnd::Server => subflow.to_server,
        };
        let total: u64 = flow.subflows.iter().map(bytes).sum();
        for subflow in &mut flow.subflows {
            subflow.share = if total == 0 { 0.0 } else { bytes(subflow) as f64 / total as f64 };
        }
        let record = &flow.receiver().record;
        let rate = |from: Option<Instant>| {
            let span = record.last_rx?.saturating_since(from?);
            (!span.is_zero()).then(|| record.received as f64 * 8.0 / span.as_secs_f64())
        };
        let begin = flow.client.record.connect_begin;
        let (goodput, from_first) = (rate(begin), rate(record.first_rx));
        flow.completion = record.last_rx.zip(begin).map(|(last, begin)| last.saturating_since(begin));
        (flow.goodput_bps, flow.goodput_from_first_byte_bps) = (goodput, from_first);
        flow
    }
}

/// The subflows as both ends saw them: of the same addresses, else, behind address translation, the first that can be
/// the same.
fn subflows(client: &EndOutcome, server: &EndOutcome) -> Vec<SubflowOutcome> {
    let of = |end: &EndOutcome| end.connection.as_ref().map_or_else(Vec::new, |info| info.subflows.clone());
    let (ours, mut theirs) = (of(client), of(server));
    let mut peers: Vec<Option<SubflowInfo>> = vec![None; ours.len()];
    for is_peer in [same_addresses, translated] {
        for (subflow, peer) in ours.iter().zip(&mut peers).filter(|(_, peer)| peer.is_none()) {
            let found = theirs.iter().position(|other| is_peer(subflow, other));
            *peer = found.map(|position| theirs.remove(position));
        }
    }
    let seen = ours.iter().zip(&peers).map(|(subflow, peer)| subflow_outcome(Some(subflow), peer.as_ref()));
    let unseen = theirs.iter().map(|subflow| subflow_outcome(None, Some(subflow)));
    let mut all: Vec<_> = seen.chain(unseen).flatten().collect();
    all.sort_by_key(|subflow| subflow.opened_at);
    all
}

fn same_addresses(subflow: &SubflowInfo, other: &SubflowInfo) -> bool {
    (other.remote, other.local) == (subflow.local, subflow.remote)
}

/// Whether two ends with other addresses can be those of one subflow: opened by one of them, initial both or joins with
/// the address id that its SYN carried, and one address as the other end knows it.
fn translated(subflow: &SubflowInfo, other: &SubflowInfo) -> bool {
    let (opener, accepter) = if subflow.initiated { (subflow, other) } else { (other, subflow) };
    opener.initiated != accepter.initiated
        && opener.joined == accepter.joined
        && (!opener.joined || opener.local_id == accepter.remote_id)
        && (opener.local == accepter.remote || opener.remote == accepter.local)
}

fn subflow_outcome(client: Option<&SubflowInfo>, server: Option<&SubflowInfo>) -> Option<SubflowOutcome> {
    let by_server = server.is_some_and(|subflow| subflow.initiated);
    let (opener, opened_by) =
        if by_server { (server?, FlowEnd::Server) } else { (client.or(server)?, FlowEnd::Client) };
    let both = || [client, server].into_iter().flatten();
    let received = |end: Option<&SubflowInfo>| end.map_or(0, |subflow| subflow.flow.stats.bytes_received);
    Some(SubflowOutcome {
        client: client.map(|subflow| subflow.local).or(server.map(|subflow| subflow.remote))?,
        server: client.map(|subflow| subflow.remote).or(server.map(|subflow| subflow.local))?,
        joined: opener.joined,
        opened_by,
        opened_at: opener.opened_at,
        established_at: opener.established_at,
        closed: opener.closed,
        backup: opener.backup,
        to_server: received(server),
        to_client: received(client),
        share: 0.0,
        retransmitted_segments: both().map(|subflow| subflow.flow.stats.retransmitted).sum(),
        retransmitted_bytes: both().map(|subflow| subflow.flow.stats.bytes_retrans).sum(),
    })
}
