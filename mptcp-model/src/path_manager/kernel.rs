//! The in-kernel path manager of upstream Linux 6.18 (`net/mptcp/pm_kernel.c`, RFC 8684 sections 3.2
//! and 3.4): endpoints with the flags `signal`, `subflow`, `backup` and `fullmesh`, and limits.
//!
//! The kernel collects events and serves them in a worker that runs when the packet has been handled;
//! there a received ADD_ADDR comes before the establishment it caused. So [`PathEvent::Established`]
//! asks for a wake-up at the same instant, and whatever comes first, the wake-up or another event,
//! does the work.
//!
//! The connection is expected to deliver [`PathEvent::RemoveReceived`] before it closes the subflows
//! concerned, to deliver no events once it is closing, and to give a join without local address the
//! id of the endpoint that routing happens to choose.
//!
//! Left out: implicit and laminar endpoints; binding a subflow to the device of its endpoint. One
//! oddity is not imitated: the kernel uses an announced address although subflow endpoints have filled
//! the limit of subflows; here the limit holds.

use std::net::{IpAddr, SocketAddr};

use sim_core::Instant;

use super::endpoints::insert;
use super::{ConnectionView, Endpoint, Limits, PathAction, PathEvent, PathManager, SubflowId, SubflowView};

/// Endpoints and limits, and what one connection has used of them. Names follow `struct mptcp_pm_data`.
#[derive(Clone, Debug)]
pub struct KernelPathManager {
    /// In the order of the kernel's list.
    endpoints: Vec<Endpoint>,
    limits: Limits,
    /// Complement of `id_avail_bitmap`: endpoint ids that have been used.
    used: IdSet,
    /// Endpoint ids that have been announced and not withdrawn (`anno_list`).
    announced: IdSet,
    /// Id of the endpoint with the address of the initial subflow, else 0.
    mpc_endpoint_id: u8,
    mpc_endpoint_accounted: bool,
    /// Established, but not served yet.
    established_pending: bool,
    established: bool,
    add_addr_signaled: u8,
    local_addr_used: u8,
    add_addr_accepted: u8,
    accept_addr: bool,
}

impl KernelPathManager {
    /// A manager for one connection; `endpoints` in the order of
    /// [`EndpointTable::as_slice`](super::EndpointTable::as_slice).
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>, limits: Limits) -> Self {
        Self {
            endpoints,
            limits,
            used: IdSet::default(),
            announced: IdSet::default(),
            mpc_endpoint_id: 0,
            mpc_endpoint_accounted: false,
            established_pending: false,
            established: false,
            add_addr_signaled: 0,
            local_addr_used: 0,
            add_addr_accepted: 0,
            accept_addr: limits.subflows > 0 && limits.add_addr_accepted > 0,
        }
    }

    /// Id under which the peer knows an endpoint.
    fn local_id(&self, endpoint_id: u8) -> u8 {
        if endpoint_id == self.mpc_endpoint_id { 0 } else { endpoint_id }
    }

    /// The peer sets the C flag and no address of it would be accepted: one announced address is used
    /// all the same, with the subflow endpoints, which are not to be spent on the initial address.
    fn c_flag_case(&self, round: &Round<'_>) -> bool {
        round.view.peer_denies_join
            && self.local_addr_used == 0
            && self.limits.add_addr_accepted == 0
            && self.may_open(round)
    }

    fn may_open(&self, round: &Round<'_>) -> bool {
        round.extra_subflows() < usize::from(self.limits.subflows)
    }

    /// Finds the endpoint of the initial subflow, once.
    fn set_up_mpc_endpoint(&mut self, round: &mut Round<'_>) {
        if self.mpc_endpoint_accounted {
            return;
        }
        self.mpc_endpoint_accounted = true;
        let initial = round.view.initial_local;
        let Some(endpoint) = self.endpoints.iter().find(|endpoint| matches(endpoint, initial)) else {
            return;
        };
        self.used.insert(endpoint.id);
        self.mpc_endpoint_id = endpoint.id;
        if endpoint.backup {
            round.actions.push(PathAction::SetBackup { subflow: INITIAL, backup: true });
        }
    }

    /// Announces the next address, then opens what subflow endpoints and limits allow.
    fn create_subflow_or_signal_addr(&mut self, round: &mut Round<'_>) {
        self.set_up_mpc_endpoint(round);
        let mut first = self.signal_next(round).filter(|endpoint| endpoint.subflow);
        if self.c_flag_case(round) {
            return;
        }
        let subflow_endpoints = self.endpoints.iter().filter(|endpoint| endpoint.subflow).count();
        while usize::from(self.local_addr_used) < subflow_endpoints && self.may_open(round) {
            let Some(endpoint) = first.take().or_else(|| self.select_local_address()) else { break };
            self.used.insert(endpoint.id);
            let local_id = self.local_id(endpoint.id);
            if local_id != 0 {
                self.local_addr_used += 1;
            }
            if endpoint.fullmesh {
                self.join_every_remote(round, &endpoint, local_id);
            } else if !round.view.peer_denies_join
                && same_family(endpoint.address, round.view.initial_remote.ip())
            {
                round.open(Some(&endpoint), local_id, round.view.initial_remote, 0);
            }
        }
    }

    fn signal_next(&mut self, round: &mut Round<'_>) -> Option<Endpoint> {
        let signal_endpoints = self.endpoints.iter().filter(|endpoint| endpoint.signal).count();
        if usize::from(self.add_addr_signaled) >= signal_endpoints {
            return None;
        }
        let unused = |endpoint: &&Endpoint| endpoint.signal && !self.used.contains(endpoint.id);
        let endpoint = *self.endpoints.iter().find(unused)?;
        self.used.insert(endpoint.id);
        self.announced.insert(endpoint.id);
        self.add_addr_signaled += 1;
        round.actions.push(PathAction::Announce {
            id: self.local_id(endpoint.id),
            address: endpoint.address,
            port: endpoint.port,
        });
        Some(endpoint)
    }

    fn select_local_address(&self) -> Option<Endpoint> {
        let unused = |endpoint: &&Endpoint| endpoint.subflow && !self.used.contains(endpoint.id);
        self.endpoints.iter().find(unused).copied()
    }

    /// Joins from a fullmesh endpoint to every remote address in use, except those it is joined to.
    fn join_every_remote(&self, round: &mut Round<'_>, endpoint: &Endpoint, local_id: u8) {
        let mut unavailable = IdSet::default();
        let mut remotes = Vec::new();
        for path in round.paths() {
            remotes.push((path.remote, path.remote_id));
            if path.local_id == local_id {
                unavailable.insert(path.remote_id);
            }
        }
        for (remote, remote_id) in remotes {
            if (round.view.peer_denies_join && remote_id == 0)
                || unavailable.contains(remote_id)
                || !same_family(endpoint.address, remote.ip())
            {
                continue;
            }
            unavailable.insert(remote_id);
            round.open(Some(endpoint), local_id, remote, remote_id);
            if !self.may_open(round) {
                break;
            }
        }
    }

    fn add_addr_received(&mut self, round: &mut Round<'_>, id: u8, remote: SocketAddr) {
        let initial = round.view.initial_remote;
        let c_flag_case = id != 0 && self.c_flag_case(round);
        let refused = if id == 0 { remote != initial } else { !self.accept_addr && !c_flag_case };
        if refused {
            return;
        }
        self.set_up_mpc_endpoint(round);
        let other_port = remote.port() != initial.port();
        let in_use = round
            .live()
            .any(|other| other.remote.ip() == remote.ip() && (!other_port || other.remote == remote));
        if in_use || !self.may_open(round) {
            return;
        }
        let before = round.opened.len();
        self.join_from_locals(round, id, remote, c_flag_case);
        if round.opened.len() > before {
            if id != 0 {
                self.add_addr_accepted += 1;
            }
            if self.add_addr_accepted >= self.limits.add_addr_accepted || !self.may_open(round) {
                self.accept_addr = false;
            }
        }
    }

    /// Joins to an announced address: from the fullmesh endpoints; if there are none, from wherever
    /// routing leads, or in the C-flag case from the subflow endpoints.
    fn join_from_locals(&mut self, round: &mut Round<'_>, id: u8, remote: SocketAddr, c_flag_case: bool) {
        let before = round.opened.len();
        for index in 0..self.endpoints.len() {
            let endpoint = self.endpoints[index];
            if !endpoint.fullmesh || !same_family(endpoint.address, remote.ip()) {
                continue;
            }
            let local_id = self.local_id(endpoint.id);
            if c_flag_case && endpoint.subflow {
                self.used.insert(endpoint.id);
                self.local_addr_used += u8::from(local_id != 0);
            }
            round.open(Some(&endpoint), local_id, remote, id);
            if !self.may_open(round) {
                return;
            }
        }
        if round.opened.len() > before {
            return;
        }
        if !c_flag_case {
            if same_family(round.view.initial_local.ip(), remote.ip()) {
                round.open(None, 0, remote, id);
            }
            return;
        }
        while let Some(endpoint) = self.select_local_address() {
            self.used.insert(endpoint.id);
            if endpoint.id == self.mpc_endpoint_id || !same_family(endpoint.address, remote.ip()) {
                continue;
            }
            self.local_addr_used += 1;
            round.open(Some(&endpoint), endpoint.id, remote, id);
            if !self.may_open(round) {
                return;
            }
        }
    }

    fn remove_received(&mut self, round: &Round<'_>, id: u8) {
        // As in the kernel, nothing is given back if the subflows had ended before.
        if id != 0 && self.add_addr_accepted > 0 && round.live().any(|subflow| subflow.remote_id == id) {
            self.add_addr_accepted -= 1;
            self.accept_addr |= self.add_addr_accepted < self.limits.add_addr_accepted;
        }
    }

    fn endpoint_added(&mut self, round: &mut Round<'_>, endpoint: Endpoint) {
        if !self.endpoints.iter().any(|other| other.id == endpoint.id) {
            insert(&mut self.endpoints, endpoint);
        }
        if self.established {
            if matches(&endpoint, round.view.initial_local) {
                self.mpc_endpoint_id = endpoint.id;
            }
            self.create_subflow_or_signal_addr(round);
        }
    }

    fn endpoint_removed(&mut self, round: &mut Round<'_>, endpoint: &Endpoint) {
        if endpoint.id == 0 {
            if matches(endpoint, round.view.initial_local) {
                round.actions.push(PathAction::Withdraw { id: 0 });
                round.close_local_id(0);
                self.make_available(0);
            }
            return;
        }
        self.endpoints.retain(|other| other.id != endpoint.id);
        let id = self.local_id(endpoint.id);
        let has_subflow = round.live().any(|subflow| matches(endpoint, subflow.local));
        let was_announced = self.announced.remove(endpoint.id);
        if was_announced {
            self.used.remove(endpoint.id);
            self.add_addr_signaled -= 1;
        }
        if was_announced || has_subflow {
            round.actions.push(PathAction::Withdraw { id });
        }
        if has_subflow {
            round.close_local_id(id);
        }
        if endpoint.subflow {
            self.make_available(id);
        }
        if self.mpc_endpoint_id == endpoint.id {
            self.mpc_endpoint_id = 0;
        }
    }

    fn endpoint_changed(&mut self, round: &mut Round<'_>, endpoint: Endpoint) {
        let Some(stored) = self.endpoints.iter_mut().find(|other| other.id == endpoint.id) else { return };
        let before = core::mem::replace(stored, endpoint);
        if before.backup != endpoint.backup {
            // The kernel sends MP_PRIO on the first subflow of the address only.
            let first = round.live().find(|other| other.established && matches(&endpoint, other.local));
            if let Some(SubflowView { id, .. }) = first.copied() {
                round.actions.push(PathAction::SetBackup { subflow: id, backup: endpoint.backup });
            }
        }
        if before.fullmesh != endpoint.fullmesh && endpoint.subflow {
            let id = self.local_id(endpoint.id);
            round.close_local_id(id);
            self.make_available(id);
            if self.established {
                self.create_subflow_or_signal_addr(round);
            }
        }
    }

    /// The endpoint known to the peer as `local_id` may be used again.
    fn make_available(&mut self, local_id: u8) {
        let endpoint_id = if local_id == 0 { self.mpc_endpoint_id } else { local_id };
        if self.used.remove(endpoint_id) && local_id != 0 {
            self.local_addr_used = self.local_addr_used.saturating_sub(1);
        }
    }
}

impl PathManager for KernelPathManager {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn accepts_join(&self, view: &ConnectionView<'_>) -> bool {
        let extra = view.subflows.iter().filter(|subflow| subflow.id != INITIAL).count();
        extra < usize::from(self.limits.subflows)
    }

    fn on_event(
        &mut self,
        now: Instant,
        event: &PathEvent,
        view: &ConnectionView<'_>,
        actions: &mut Vec<PathAction>,
    ) {
        let mut round = Round { view, actions, opened: Vec::new(), closed: Vec::new() };
        match *event {
            PathEvent::Established => {
                self.established = true;
                if !self.endpoints.is_empty() {
                    self.established_pending = true;
                    round.actions.push(PathAction::WakeAt(now));
                }
                return;
            }
            PathEvent::AnnounceReceived { id, address } => self.add_addr_received(&mut round, id, address),
            PathEvent::RemoveReceived { id } => self.remove_received(&round, id),
            PathEvent::AnnounceDone { .. } => self.established_pending |= self.established,
            PathEvent::SubflowEstablished(subflow) => {
                self.established_pending |= self.established && subflow.id != INITIAL;
            }
            PathEvent::SubflowClosed { subflow, .. } => {
                round.closed.push(subflow.id);
                self.established_pending |= self.established;
            }
            PathEvent::EndpointAdded(endpoint) => self.endpoint_added(&mut round, endpoint),
            PathEvent::EndpointRemoved(endpoint) => self.endpoint_removed(&mut round, &endpoint),
            PathEvent::EndpointChanged(endpoint) => self.endpoint_changed(&mut round, endpoint),
            PathEvent::Wake => {}
            PathEvent::Opened
            | PathEvent::PriorityReceived { .. }
            | PathEvent::RetransmissionTimeout { .. }
            | PathEvent::LocalAddressUp(_)
            | PathEvent::LocalAddressPriority { .. }
            | PathEvent::LocalAddressDown(_) => return,
        }
        if core::mem::take(&mut self.established_pending) {
            self.create_subflow_or_signal_addr(&mut round);
        }
    }
}

/// The subflow that opened the connection.
const INITIAL: SubflowId = SubflowId(0);

/// One pass of the worker: the connection as it will be when the actions are executed.
struct Round<'a> {
    view: &'a ConnectionView<'a>,
    actions: &'a mut Vec<PathAction>,
    opened: Vec<Path>,
    closed: Vec<SubflowId>,
}

/// The ends of a subflow.
#[derive(Clone, Copy)]
struct Path {
    local_id: u8,
    remote: SocketAddr,
    remote_id: u8,
}

impl Round<'_> {
    fn live(&self) -> impl Iterator<Item = &SubflowView> {
        self.view.subflows.iter().filter(|subflow| !self.closed.contains(&subflow.id))
    }

    fn paths(&self) -> impl Iterator<Item = Path> {
        let path =
            |&SubflowView { local_id, remote, remote_id, .. }: &_| Path { local_id, remote, remote_id };
        self.live().map(path).chain(self.opened.iter().copied())
    }

    fn extra_subflows(&self) -> usize {
        self.live().filter(|subflow| subflow.id != INITIAL).count() + self.opened.len()
    }

    fn open(&mut self, from: Option<&Endpoint>, local_id: u8, remote: SocketAddr, remote_id: u8) {
        self.opened.push(Path { local_id, remote, remote_id });
        self.actions.push(PathAction::CreateSubflow {
            local: from.map(|endpoint| endpoint.address),
            local_id,
            local_port: None,
            remote,
            remote_id,
            backup: from.is_some_and(|endpoint| endpoint.backup),
        });
    }

    fn close_local_id(&mut self, local_id: u8) {
        let closed: Vec<_> =
            self.live().filter(|subflow| subflow.local_id == local_id).map(|subflow| subflow.id).collect();
        self.actions.extend(closed.iter().copied().map(PathAction::CloseSubflow));
        self.closed.extend(closed);
    }
}

/// Whether `endpoint` stands for `address`; its port counts only if it has one.
fn matches(endpoint: &Endpoint, address: SocketAddr) -> bool {
    endpoint.address == address.ip() && endpoint.port.is_none_or(|port| port == address.port())
}

fn same_family(a: IpAddr, b: IpAddr) -> bool {
    a.to_canonical().is_ipv4() == b.to_canonical().is_ipv4()
}

/// A set of address ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct IdSet([u64; 4]);

impl IdSet {
    fn contains(&self, id: u8) -> bool {
        self.0[usize::from(id >> 6)] & (1 << (id & 63)) != 0
    }

    fn insert(&mut self, id: u8) {
        self.0[usize::from(id >> 6)] |= 1 << (id & 63);
    }

    /// Whether it was there.
    fn remove(&mut self, id: u8) -> bool {
        let present = self.contains(id);
        self.0[usize::from(id >> 6)] &= !(1 << (id & 63));
        present
    }
}

#[cfg(test)]
mod tests;
