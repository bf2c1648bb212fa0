//! `fullmesh` of the out-of-tree kernel: the client joins every pair of own and remote addresses once the
//! connection is confirmed, and both ends announce their addresses. Addresses are numbered from 2 in the
//! order they came up and keep no number when they go; id 0 is the initial subflow alone. Changes of
//! addresses take effect after half a second, as the kernel's worker sees them.
//!
//! A pair without a route is tried once more after a second.
//!
//! Left out: several subflows for each pair (`num_subflows`), the retry of failed joins
//! (`create_on_err`), duplicate address detection.

use std::net::{IpAddr, SocketAddr};

use sim_core::{Duration, Instant};

use super::{CloseReason, ConnectionView, PathAction, PathEvent, PathManager, Side, SubflowView};

/// Delay of the worker that serves address changes.
const WORKER: Duration = Duration::from_millis(500);
/// When a pair without a route is tried again (`MPTCP_SUBFLOW_RETRY_DELAY`).
const RETRY: Duration = Duration::from_secs(1);
/// Most remote addresses remembered (ADDR-20).
const REMOTE_MAX: usize = 8;

/// What became of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Up,
    Down,
    Priority(bool),
}

/// Every own address with every remote one.
#[derive(Clone, Debug, Default)]
pub struct FullMesh {
    /// Own addresses with their numbers.
    own: Vec<(u8, IpAddr)>,
    last_id: u8,
    /// Addresses of the peer with their ids.
    remote: Vec<(u8, SocketAddr)>,
    established: bool,
    started: bool,
    /// Address changes that the worker has not seen, and when it will.
    changes: Vec<(Instant, IpAddr, Change)>,
    /// Pairs that had no route, and whether they are still to be tried again.
    unreachable: Vec<(IpAddr, SocketAddr, bool)>,
    retry_at: Option<Instant>,
}

impl FullMesh {
    /// The manager of a new connection.
    #[must_use]
    pub fn new() -> Self {
        Self { last_id: 1, ..Self::default() }
    }

    fn number(&mut self, address: IpAddr) -> u8 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(2);
        self.own.push((self.last_id, address));
        self.last_id
    }

    /// The connection is up here: number and announce what there is.
    fn start(&mut self, view: &ConnectionView<'_>, actions: &mut Vec<PathAction>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        for &address in view.local_addresses {
            let id = self.number(address);
            if address != view.initial_local.ip() {
                actions.push(PathAction::Announce { id, address, port: None });
            }
        }
        self.remote.insert(0, (0, view.initial_remote));
    }

    /// Joins every pair that has no subflow.
    fn join(&self, view: &ConnectionView<'_>, actions: &mut Vec<PathAction>) {
        if view.side == Side::Server || !self.established {
            return;
        }
        for &(remote_id, remote) in &self.remote {
            for &(local_id, address) in &self.own {
                let there = |local: IpAddr, to: SocketAddr| local == address && to == remote;
                let exists = view.subflows.iter().any(|subflow| there(subflow.local.ip(), subflow.remote));
                let given_up = self.unreachable.iter().any(|&(own, to, _)| (own, to) == (address, remote));
                if !exists && !given_up && address.is_ipv4() == remote.is_ipv4() {
                    actions.push(create(view, (address, local_id), (remote, remote_id)));
                }
            }
        }
    }

    fn lose(&mut self, address: IpAddr, view: &ConnectionView<'_>, actions: &mut Vec<PathAction>) {
        let Some(position) = self.own.iter().position(|&(_, own)| own == address) else { return };
        let (id, _) = self.own.remove(position);
        let id = if address == view.initial_local.ip() { 0 } else { id };
        for subflow in view.subflows.iter().filter(|subflow| subflow.local.ip() == address) {
            actions.push(PathAction::CloseSubflow(subflow.id));
        }
        actions.push(PathAction::Withdraw { id });
    }

    fn note_change(&mut self, now: Instant, address: IpAddr, change: Change, actions: &mut Vec<PathAction>) {
        self.changes.push((now + WORKER, address, change));
        if change == Change::Down {
            // A pair with an address that returns is a new one.
            self.unreachable.retain(|&(own, ..)| own != address);
        }
        self.wake(actions);
    }

    /// Asks to be woken for what is due first.
    fn wake(&self, actions: &mut Vec<PathAction>) {
        let change = self.changes.first().map(|&(at, ..)| at);
        let at = change.into_iter().chain(self.retry_at).min();
        actions.extend(at.map(PathAction::WakeAt));
    }

    /// A subflow could not be opened for lack of a route.
    fn note_unreachable(&mut self, now: Instant, subflow: &SubflowView, actions: &mut Vec<PathAction>) {
        let (own, to) = (subflow.local.ip(), subflow.remote);
        if self.unreachable.iter().any(|&(known, remote, _)| (known, remote) == (own, to)) {
            return;
        }
        self.unreachable.push((own, to, true));
        self.retry_at.get_or_insert(now + RETRY);
        self.wake(actions);
    }

    /// Tries the pairs that had no route, for the last time.
    fn retry(&mut self, view: &ConnectionView<'_>, actions: &mut Vec<PathAction>) {
        self.retry_at = None;
        for (own, to, due) in &mut self.unreachable {
            let local = self.own.iter().find(|(_, address)| address == own);
            let remote = self.remote.iter().find(|(_, address)| address == to);
            if let (true, Some(&(local_id, _)), Some(&(remote_id, _))) = (std::mem::take(due), local, remote)
            {
                actions.push(create(view, (*own, local_id), (*to, remote_id)));
            }
        }
    }

    fn work(&mut self, now: Instant, view: &ConnectionView<'_>, actions: &mut Vec<PathAction>) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry(view, actions);
        }
        while let Some(&(at, address, change)) = self.changes.first() {
            if at > now {
                break;
            }
            self.changes.remove(0);
            let known = self.own.iter().any(|&(_, own)| own == address);
            match change {
                Change::Up if known => {}
                Change::Up => {
                    let id = self.number(address);
                    actions.push(PathAction::Announce { id, address, port: None });
                    self.join(view, actions);
                }
                Change::Down => self.lose(address, view, actions),
                Change::Priority(backup) => {
                    let from = view.subflows.iter().filter(|subflow| subflow.local.ip() == address);
                    actions.extend(from.map(|subflow| PathAction::SetBackup { subflow: subflow.id, backup }));
                }
            }
        }
        self.wake(actions);
    }
}

/// A join from an own address with its number to one of the peer.
fn create(
    view: &ConnectionView<'_>,
    (local, local_id): (IpAddr, u8),
    (remote, remote_id): (SocketAddr, u8),
) -> PathAction {
    PathAction::CreateSubflow {
        local: Some(local),
        local_id,
        local_port: None,
        remote,
        remote_id,
        backup: view.backup_addresses.contains(&local),
    }
}

impl PathManager for FullMesh {
    fn name(&self) -> &'static str {
        "fullmesh"
    }

    fn accepts_join(&self, _: &ConnectionView<'_>) -> bool {
        true
    }

    fn address_id(&self, address: IpAddr) -> Option<u8> {
        self.own.iter().find(|&&(_, own)| own == address).map(|&(id, _)| id)
    }

    fn on_event(
        &mut self,
        now: Instant,
        event: &PathEvent,
        view: &ConnectionView<'_>,
        actions: &mut Vec<PathAction>,
    ) {
        match *event {
            PathEvent::Opened => self.start(view, actions),
            PathEvent::Established => {
                self.start(view, actions);
                self.established = true;
                self.join(view, actions);
            }
            PathEvent::AnnounceReceived { id, address } => {
                if let Some(known) = self.remote.iter_mut().find(|(known, _)| *known == id) {
                    known.1 = address;
                } else if self.remote.iter().all(|&(_, known)| known != address)
                    && self.remote.len() <= REMOTE_MAX
                {
                    self.remote.push((id, address));
                }
                self.join(view, actions);
            }
            PathEvent::RemoveReceived { id } => self.remote.retain(|&(known, _)| known != id || known == 0),
            PathEvent::LocalAddressUp(address) => self.note_change(now, address, Change::Up, actions),
            PathEvent::LocalAddressDown(address) => self.note_change(now, address, Change::Down, actions),
            PathEvent::LocalAddressPriority { address, backup } => {
                self.note_change(now, address, Change::Priority(backup), actions);
            }
            // One that was opened has a port.
            PathEvent::SubflowClosed { subflow, reason: CloseReason::NetUnreachable }
                if subflow.initiated && subflow.local.port() == 0 =>
            {
                self.note_unreachable(now, &subflow, actions);
            }
            PathEvent::Wake => self.work(now, view, actions),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path_manager::{SubflowId, SubflowView};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    struct Bed {
        manager: FullMesh,
        side: Side,
        subflows: Vec<SubflowView>,
        addresses: Vec<IpAddr>,
        backups: Vec<IpAddr>,
    }

    impl Bed {
        fn new(side: Side) -> Self {
            let initial = SubflowView {
                id: SubflowId(0),
                local: "10.0.1.2:40000".parse().unwrap(),
                remote: "10.0.9.2:5001".parse().unwrap(),
                local_id: 0,
                remote_id: 0,
                initiated: side == Side::Client,
                established: true,
                backup: false,
            };
            let addresses = vec![ip("10.0.1.2"), ip("10.0.2.2")];
            Self { manager: FullMesh::new(), side, subflows: vec![initial], addresses, backups: Vec::new() }
        }

        fn event(&mut self, millis: u64, event: PathEvent) -> Vec<PathAction> {
            let view = ConnectionView {
                side: self.side,
                initial_local: self.subflows[0].local,
                initial_remote: self.subflows[0].remote,
                peer_denies_join: false,
                subflows: &self.subflows,
                local_addresses: &self.addresses,
                backup_addresses: &self.backups,
            };
            let mut actions = Vec::new();
            self.manager.on_event(Instant::from_nanos(millis * 1_000_000), &event, &view, &mut actions);
            actions
        }
    }

    fn join(local: &str, local_id: u8, remote: &str, remote_id: u8) -> PathAction {
        PathAction::CreateSubflow {
            local: Some(ip(local)),
            local_id,
            local_port: None,
            remote: remote.parse().unwrap(),
            remote_id,
            backup: false,
        }
    }

    #[test]
    fn addresses_are_announced_at_once_and_joined_when_confirmed() {
        // PM-07; order and ids as in reference case o1-echo-two-by-two
        let mut bed = Bed::new(Side::Client);
        let announce = PathAction::Announce { id: 3, address: ip("10.0.2.2"), port: None };
        assert_eq!(bed.event(0, PathEvent::Opened), [announce]);
        let address = "10.0.10.2:5001".parse().unwrap();
        assert_eq!(bed.event(20, PathEvent::AnnounceReceived { id: 3, address }), []);
        assert_eq!(
            bed.event(500, PathEvent::Established),
            [
                join("10.0.2.2", 3, "10.0.9.2:5001", 0),
                join("10.0.1.2", 2, "10.0.10.2:5001", 3),
                join("10.0.2.2", 3, "10.0.10.2:5001", 3),
            ]
        );
        assert_eq!(bed.manager.address_id(ip("10.0.1.2")), Some(2));
    }

    #[test]
    fn a_backup_interface_marks_its_joins_and_its_subflows() {
        // PRIO-07; reference cases o1-mp-prio, o5-backup-bulk
        let mut bed = Bed::new(Side::Client);
        bed.backups.push(ip("10.0.2.2"));
        let actions = bed.event(0, PathEvent::Established);
        assert!(matches!(actions[1], PathAction::CreateSubflow { backup: true, .. }), "{actions:?}");
        let change = PathEvent::LocalAddressPriority { address: ip("10.0.1.2"), backup: true };
        assert_eq!(bed.event(800, change), [PathAction::WakeAt(Instant::from_nanos(1_300_000_000))]);
        let set = PathAction::SetBackup { subflow: SubflowId(0), backup: true };
        assert_eq!(bed.event(1_300, PathEvent::Wake), [set]);
    }

    #[test]
    fn no_more_than_eight_announced_addresses_are_joined() {
        // ADDR-20
        let mut bed = Bed::new(Side::Client);
        bed.addresses.pop();
        bed.event(0, PathEvent::Established);
        let joined: Vec<usize> = (1..=10)
            .map(|id| {
                let address = format!("10.0.20.{id}:5001").parse().unwrap();
                bed.event(10, PathEvent::AnnounceReceived { id, address }).len()
            })
            .collect();
        // Nothing is ever established here, so each round asks for all again.
        assert_eq!(joined, [1, 2, 3, 4, 5, 6, 7, 8, 8, 8]);
    }

    #[test]
    fn a_pair_without_a_route_is_tried_once_more_after_a_second() {
        // TIME-10
        let mut bed = Bed::new(Side::Client);
        bed.event(0, PathEvent::Established);
        let wanted = join("10.0.2.2", 3, "10.0.9.2:5001", 0);
        let unopened = SubflowView {
            id: SubflowId(u32::MAX),
            local: "10.0.2.2:0".parse().unwrap(),
            established: false,
            initiated: true,
            ..bed.subflows[0]
        };
        let closed = |reason| PathEvent::SubflowClosed { subflow: unopened, reason };
        let at = |millis: u64| PathAction::WakeAt(Instant::from_nanos(millis * 1_000_000));
        assert_eq!(bed.event(0, closed(CloseReason::HostUnreachable)), []);
        assert_eq!(bed.event(0, closed(CloseReason::NetUnreachable)), [at(1_000)]);
        // Meanwhile nothing else asks for it.
        let address = "10.0.10.2:5001".parse().unwrap();
        let others = bed.event(400, PathEvent::AnnounceReceived { id: 3, address });
        assert!(!others.is_empty() && !others.contains(&wanted), "{others:?}");
        let backup = PathEvent::LocalAddressPriority { address: ip("10.0.1.2"), backup: true };
        assert_eq!(bed.event(700, backup), [at(1_000)]);
        assert_eq!(bed.event(1_000, PathEvent::Wake), [wanted, at(1_200)]);
        assert_eq!(bed.event(1_000, closed(CloseReason::NetUnreachable)), [], "not a third time");
    }

    #[test]
    fn a_server_announces_and_opens_nothing() {
        // JOIN-07
        let mut bed = Bed::new(Side::Server);
        let announce = PathAction::Announce { id: 3, address: ip("10.0.2.2"), port: None };
        assert_eq!(bed.event(0, PathEvent::Established), [announce]);
    }

    #[test]
    fn a_lost_address_is_withdrawn_and_returns_under_a_new_id() {
        // ADDR-14; reference case o1-addr-down-up
        let mut bed = Bed::new(Side::Client);
        bed.event(0, PathEvent::Established);
        bed.addresses.pop();
        let at = |millis: u64| PathAction::WakeAt(Instant::from_nanos(millis * 1_000_000));
        assert_eq!(bed.event(500, PathEvent::LocalAddressDown(ip("10.0.2.2"))), [at(1_000)]);
        assert_eq!(bed.event(1_000, PathEvent::Wake), [PathAction::Withdraw { id: 3 }]);
        bed.event(1_200, PathEvent::LocalAddressUp(ip("10.0.2.2")));
        assert_eq!(
            bed.event(1_700, PathEvent::Wake),
            [
                PathAction::Announce { id: 4, address: ip("10.0.2.2"), port: None },
                join("10.0.2.2", 4, "10.0.9.2:5001", 0),
            ]
        );
    }
}
