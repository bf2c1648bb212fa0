//! Each capture of the reference set in which path management happens, event by event: the names
//! say which. The events and the joins, with their ids and order, are those on the wire.

use super::super::{CloseReason, Side};
use super::*;

const A1: &str = "10.0.0.1";
const A2: &str = "192.168.0.1";
const B1: &str = "10.0.1.2";
const B2: &str = "192.168.1.2";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// From the output of `ip mptcp endpoint`, without the device.
fn endpoint(text: &str) -> Endpoint {
    let mut words = text.split(' ');
    let address = ip(words.next().unwrap());
    assert_eq!(words.next(), Some("id"));
    let id = words.next().unwrap().parse().unwrap();
    let flags: Vec<_> = words.collect();
    let has = |flag| flags.contains(&flag);
    Endpoint {
        id,
        address,
        port: None,
        signal: has("signal"),
        subflow: has("subflow"),
        backup: has("backup"),
        fullmesh: has("fullmesh"),
    }
}

/// A connection that executes actions and remembers them as text.
struct Connection {
    manager: KernelPathManager,
    side: Side,
    local: SocketAddr,
    remote: SocketAddr,
    denies_join: bool,
    subflows: Vec<SubflowView>,
    next: u32,
    /// A wake-up was asked for.
    wake: bool,
}

impl Connection {
    fn new(side: Side, local: &str, remote: &str, limits: (u8, u8), endpoints: &[&str]) -> Self {
        let (local, remote) = match side {
            Side::Client => (SocketAddr::new(ip(local), 40_000), SocketAddr::new(ip(remote), 5001)),
            Side::Server => (SocketAddr::new(ip(local), 5001), SocketAddr::new(ip(remote), 40_000)),
        };
        let limits = Limits { add_addr_accepted: limits.0, subflows: limits.1 };
        let endpoints = endpoints.iter().map(|text| endpoint(text)).collect();
        let mut connection = Self {
            manager: KernelPathManager::new(endpoints, limits),
            side,
            local,
            remote,
            denies_join: false,
            subflows: Vec::new(),
            next: 0,
            wake: false,
        };
        connection.add_subflow(local, 0, remote, 0, true);
        connection
    }

    /// The client of the two-path topology.
    fn client(limits: (u8, u8), endpoints: &[&str]) -> Self {
        Self::new(Side::Client, A1, B1, limits, endpoints)
    }

    fn add_subflow(
        &mut self,
        local: SocketAddr,
        local_id: u8,
        remote: SocketAddr,
        remote_id: u8,
        established: bool,
    ) -> SubflowId {
        let id = SubflowId(self.next);
        self.next += 1;
        self.subflows.push(SubflowView {
            id,
            local,
            remote,
            local_id,
            remote_id,
            initiated: self.side == Side::Client,
            established,
            backup: false,
        });
        id
    }

    fn with_view<R>(&mut self, f: impl FnOnce(&mut KernelPathManager, &ConnectionView<'_>) -> R) -> R {
        let view = ConnectionView {
            side: self.side,
            initial_local: self.local,
            initial_remote: self.remote,
            peer_denies_join: self.denies_join,
            subflows: &self.subflows,
            local_addresses: &[],
            backup_addresses: &[],
        };
        f(&mut self.manager, &view)
    }

    fn accepts_join(&mut self) -> bool {
        self.with_view(|manager, view| manager.accepts_join(view))
    }

    /// Delivers one event and executes the actions; those other than wake-ups, as text.
    fn event(&mut self, event: PathEvent) -> Vec<String> {
        let mut actions = Vec::new();
        self.with_view(|manager, view| manager.on_event(Instant::ZERO, &event, view, &mut actions));
        let mut log = Vec::new();
        for action in actions {
            log.push(match action {
                PathAction::CreateSubflow { local, local_id, remote, remote_id, backup, .. } => {
                    let source = local.map_or("any".to_owned(), |local| local.to_string());
                    let port = 41_000 + self.next as u16;
                    let local = SocketAddr::new(local.unwrap_or(self.local.ip()), port);
                    self.add_subflow(local, local_id, remote, remote_id, false);
                    let flag = if backup { " backup" } else { "" };
                    format!("join {source} id {local_id} to {remote} id {remote_id}{flag}")
                }
                PathAction::Announce { id, address, port } => {
                    format!(
                        "announce {address} id {id}{}",
                        port.map_or(String::new(), |port| format!(" port {port}"))
                    )
                }
                PathAction::Withdraw { id } => format!("withdraw id {id}"),
                PathAction::CloseSubflow(id) => {
                    self.subflows.retain(|subflow| subflow.id != id);
                    format!("close {}", id.0)
                }
                PathAction::SetBackup { subflow, backup } => format!("backup {} {backup}", subflow.0),
                PathAction::WakeAt(at) => {
                    assert_eq!(at, Instant::ZERO, "the worker runs at once");
                    self.wake = true;
                    continue;
                }
            });
        }
        log
    }

    /// The connection is established and nothing else happens at that instant.
    fn established(&mut self) -> Vec<String> {
        assert_eq!(self.event(PathEvent::Established), NOTHING);
        if core::mem::take(&mut self.wake) { self.event(PathEvent::Wake) } else { Vec::new() }
    }

    fn announced(&mut self, id: u8, address: &str) -> Vec<String> {
        let address = SocketAddr::new(ip(address), self.remote.port());
        self.event(PathEvent::AnnounceReceived { id, address })
    }

    fn joined(&mut self, id: u32) -> Vec<String> {
        let subflow = self.subflows.iter_mut().find(|subflow| subflow.id.0 == id).unwrap();
        subflow.established = true;
        let subflow = *subflow;
        self.event(PathEvent::SubflowEstablished(subflow))
    }

    fn closed(&mut self, id: u32, reason: CloseReason) -> Vec<String> {
        let position = self.subflows.iter().position(|subflow| subflow.id.0 == id).unwrap();
        let subflow = self.subflows.remove(position);
        self.event(PathEvent::SubflowClosed { subflow, reason })
    }

    /// A join from the peer, on the server.
    fn accepted(&mut self, local: &str, local_id: u8, remote: &str, remote_id: u8) -> Vec<String> {
        assert!(self.accepts_join());
        let local = SocketAddr::new(ip(local), self.local.port());
        let id = self.add_subflow(local, local_id, SocketAddr::new(ip(remote), 42_000), remote_id, false);
        self.joined(id.0)
    }
}

const NOTHING: [&str; 0] = [];

// ---- captures -------------------------------------------------------------------------------------

// PM-15, SYS-28: without a fullmesh endpoint one join with the source chosen by routing; id 0.
#[test]
fn a1_an_announced_address_is_joined_from_the_address_routing_chooses() {
    let mut client = Connection::client((2, 2), &[]);
    assert_eq!(client.established(), NOTHING);
    assert_eq!(client.announced(1, B2), ["join any id 0 to 192.168.1.2:5001 id 1"]);
    assert_eq!(client.closed(1, CloseReason::NetUnreachable), NOTHING);
}

// PM-16
#[test]
fn a1_the_server_announces_its_signal_endpoint_when_established() {
    let mut server = Connection::new(Side::Server, B1, A1, (0, 2), &["192.168.1.2 id 1 signal"]);
    assert_eq!(server.established(), ["announce 192.168.1.2 id 1"]);
    assert_eq!(server.event(PathEvent::AnnounceDone { id: 1 }), NOTHING);
}

// PM-14
#[test]
fn a2_a_subflow_endpoint_joins_the_initial_remote_address_once() {
    let mut client = Connection::client((2, 2), &["192.168.0.1 id 1 subflow"]);
    assert_eq!(client.established(), ["join 192.168.0.1 id 1 to 10.0.1.2:5001 id 0"]);
    assert_eq!(client.closed(1, CloseReason::NetUnreachable), NOTHING, "used once");
}

// PM-15, SYS-28: A2 to B2 leaves before A2 to B1 although the connection was established first.
#[test]
fn a3_a_fullmesh_endpoint_joins_the_announced_address_and_then_the_initial_one() {
    let mut client = Connection::client((2, 2), &["192.168.0.1 id 1 subflow fullmesh"]);
    assert_eq!(client.event(PathEvent::Established), NOTHING);
    assert_eq!(
        client.announced(1, B2),
        ["join 192.168.0.1 id 1 to 192.168.1.2:5001 id 1", "join 192.168.0.1 id 1 to 10.0.1.2:5001 id 0"]
    );
    assert_eq!(client.event(PathEvent::Wake), NOTHING, "the work is done");
    assert_eq!(client.joined(1), NOTHING);
    assert_eq!(client.closed(2, CloseReason::NetUnreachable), NOTHING);
}

#[test]
fn a3_the_server_accepts_the_join() {
    let mut server = Connection::new(Side::Server, B1, A1, (0, 2), &["192.168.1.2 id 1 signal"]);
    assert_eq!(server.established(), ["announce 192.168.1.2 id 1"]);
    assert_eq!(server.accepted(B2, 1, A2, 1), NOTHING, "before the echo");
    assert_eq!(server.event(PathEvent::AnnounceDone { id: 1 }), NOTHING);
}

// PM-15: the endpoint with the address of the initial subflow has id 0.
#[test]
fn a4_both_fullmesh_endpoints_join_the_announced_address_and_the_second_the_initial_one() {
    let mut client =
        Connection::client((3, 3), &["10.0.0.1 id 1 subflow fullmesh", "192.168.0.1 id 2 subflow fullmesh"]);
    assert_eq!(client.event(PathEvent::Established), NOTHING);
    assert_eq!(
        client.announced(1, B2),
        [
            "join 10.0.0.1 id 0 to 192.168.1.2:5001 id 1",
            "join 192.168.0.1 id 2 to 192.168.1.2:5001 id 1",
            "join 192.168.0.1 id 2 to 10.0.1.2:5001 id 0",
        ]
    );
    assert_eq!(client.joined(2), NOTHING);
    assert_eq!(client.closed(3, CloseReason::NetUnreachable), NOTHING);
    assert_eq!(client.closed(1, CloseReason::NetUnreachable), NOTHING);
}

#[test]
fn a7_a_refused_join_is_not_repeated() {
    let mut client = Connection::client((2, 2), &["192.168.0.1 id 1 subflow fullmesh"]);
    assert_eq!(client.event(PathEvent::Established), NOTHING);
    assert_eq!(client.announced(1, B2).len(), 2);
    assert_eq!(client.closed(1, CloseReason::Refused), NOTHING);
    assert_eq!(client.closed(2, CloseReason::NetUnreachable), NOTHING);
}

// SYS-16
#[test]
fn b1_two_subflow_endpoints_join_back_to_back() {
    let endpoints = ["10.0.2.6 id 1 subflow", "10.0.3.6 id 2 subflow"];
    let mut client = Connection::new(Side::Client, "10.0.1.6", "10.0.4.7", (0, 2), &endpoints);
    assert_eq!(
        client.established(),
        ["join 10.0.2.6 id 1 to 10.0.4.7:5001 id 0", "join 10.0.3.6 id 2 to 10.0.4.7:5001 id 0"]
    );
}

#[test]
fn d2_a_backup_endpoint_joins_with_the_backup_flag() {
    let endpoints = ["10.0.2.2 id 1 subflow backup"];
    let mut client = Connection::new(Side::Client, "10.0.1.2", "10.0.9.2", (4, 4), &endpoints);
    assert_eq!(client.established(), ["join 10.0.2.2 id 1 to 10.0.9.2:5001 id 0 backup"]);
}

// PM-19
#[test]
fn g7_an_endpoint_added_later_is_announced_and_its_deletion_withdraws_it_and_closes_the_subflow() {
    let mut server = Connection::new(Side::Server, "10.0.9.2", "10.0.1.2", (4, 4), &[]);
    assert_eq!(server.established(), NOTHING);
    let signal = endpoint("10.0.10.2 id 7 signal");
    assert_eq!(server.event(PathEvent::EndpointAdded(signal)), ["announce 10.0.10.2 id 7"]);
    assert_eq!(server.event(PathEvent::AnnounceDone { id: 7 }), NOTHING);
    assert_eq!(server.accepted("10.0.10.2", 7, "10.0.1.2", 0), NOTHING);
    assert_eq!(server.event(PathEvent::EndpointRemoved(signal)), ["withdraw id 7", "close 1"]);

    let mut client = Connection::new(Side::Client, "10.0.1.2", "10.0.9.2", (4, 4), &[]);
    assert_eq!(client.established(), NOTHING);
    assert_eq!(client.announced(7, "10.0.10.2"), ["join any id 0 to 10.0.10.2:5001 id 7"]);
    assert_eq!(client.joined(1), NOTHING);
    assert_eq!(client.event(PathEvent::RemoveReceived { id: 7 }), NOTHING);
    assert_eq!(client.closed(1, CloseReason::Normal), NOTHING);
}

// PM-19
#[test]
fn g8_a_subflow_endpoint_added_later_joins_and_its_deletion_withdraws_its_id() {
    let mut client = Connection::new(Side::Client, "10.0.1.2", "10.0.9.2", (4, 4), &[]);
    assert_eq!(client.established(), NOTHING);
    let subflow = endpoint("10.0.2.2 id 5 subflow");
    let joins = client.event(PathEvent::EndpointAdded(subflow));
    assert_eq!(joins, ["join 10.0.2.2 id 5 to 10.0.9.2:5001 id 0"]);
    assert_eq!(client.joined(1), NOTHING);
    assert_eq!(client.event(PathEvent::EndpointRemoved(subflow)), ["withdraw id 5", "close 1"]);
    assert_eq!(client.event(PathEvent::EndpointAdded(subflow)), joins, "it may come back");
}

#[test]
fn g9_a_change_of_the_backup_flag_goes_out_on_the_subflow_of_the_endpoint() {
    // PRIO-07
    let mut client =
        Connection::new(Side::Client, "10.0.1.2", "10.0.9.2", (4, 4), &["10.0.2.2 id 5 subflow"]);
    assert_eq!(client.established(), ["join 10.0.2.2 id 5 to 10.0.9.2:5001 id 0"]);
    assert_eq!(client.joined(1), NOTHING);
    let backup = endpoint("10.0.2.2 id 5 subflow backup");
    assert_eq!(client.event(PathEvent::EndpointChanged(backup)), ["backup 1 true"]);
    assert_eq!(client.event(PathEvent::EndpointChanged(backup)), NOTHING);
    let normal = endpoint("10.0.2.2 id 5 subflow");
    assert_eq!(client.event(PathEvent::EndpointChanged(normal)), ["backup 1 false"]);
}

#[test]
fn g10_without_endpoints_nothing_happens() {
    for side in [Side::Client, Side::Server] {
        let mut host = Connection::new(side, "10.0.1.2", "10.0.9.2", (4, 4), &[]);
        assert_eq!(host.established(), NOTHING);
    }
}

// ---- limits ---------------------------------------------------------------------------------------

// PM-17, ADDR-08
#[test]
fn with_the_default_limits_announced_addresses_are_not_used() {
    let mut client = Connection::client((0, 2), &["192.168.0.1 id 1 subflow fullmesh"]);
    assert_eq!(client.established(), ["join 192.168.0.1 id 1 to 10.0.1.2:5001 id 0"]);
    assert_eq!(client.announced(1, B2), NOTHING);
}

// ADDR-08
#[test]
fn addresses_beyond_the_accepted_ones_are_not_used_until_one_is_removed() {
    let mut client = Connection::client((1, 4), &[]);
    assert_eq!(client.established(), NOTHING);
    assert_eq!(client.announced(1, B2), ["join any id 0 to 192.168.1.2:5001 id 1"]);
    assert_eq!(client.announced(2, "192.168.1.3"), NOTHING);
    assert_eq!(client.event(PathEvent::RemoveReceived { id: 1 }), NOTHING);
    assert_eq!(client.closed(1, CloseReason::Normal), NOTHING);
    assert_eq!(client.announced(2, "192.168.1.3"), ["join any id 0 to 192.168.1.3:5001 id 2"]);
}

// ADDR-09
#[test]
fn an_announced_address_that_a_subflow_leads_to_is_not_joined_again() {
    let mut client = Connection::client((4, 4), &[]);
    assert_eq!(client.established(), NOTHING);
    assert_eq!(client.announced(3, B1), NOTHING);
    let other_port = PathEvent::AnnounceReceived { id: 4, address: SocketAddr::new(ip(B1), 99) };
    assert_eq!(client.event(other_port), ["join any id 0 to 10.0.1.2:99 id 4"]);
    assert_eq!(client.announced(0, B2), NOTHING, "id 0 is the initial address");
}

// PM-17
#[test]
fn opened_and_accepted_subflows_count_against_one_limit() {
    // JOIN-19
    let mut client = Connection::client((4, 2), &["192.168.0.1 id 1 subflow", "172.16.0.1 id 2 subflow"]);
    assert_eq!(client.accepted(A1, 0, "10.9.9.9", 9), NOTHING, "not established yet");
    assert_eq!(client.established(), ["join 192.168.0.1 id 1 to 10.0.1.2:5001 id 0"]);
    assert!(!client.accepts_join());
    assert_eq!(client.announced(1, B2), NOTHING);
    assert_eq!(client.joined(2), NOTHING);
    assert_eq!(client.closed(1, CloseReason::Normal), ["join 172.16.0.1 id 2 to 10.0.1.2:5001 id 0"]);
}

#[test]
fn without_extra_subflows_nothing_is_opened_or_accepted_but_addresses_are_announced() {
    let mut host =
        Connection::client((4, 0), &["192.168.0.1 id 1 subflow fullmesh", "172.16.0.1 id 2 signal"]);
    assert_eq!(host.established(), ["announce 172.16.0.1 id 2"]);
    assert_eq!(host.announced(1, B2), NOTHING);
    assert!(!host.accepts_join());
}

// ---- endpoints ------------------------------------------------------------------------------------

// PM-16
#[test]
fn signal_endpoints_are_announced_one_after_the_echo_of_the_other() {
    let endpoints = ["192.168.1.2 id 1 signal", "172.16.1.2 id 2 signal", "172.17.1.2 id 3 signal"];
    let mut server = Connection::new(Side::Server, B1, A1, (0, 2), &endpoints);
    assert_eq!(server.established(), ["announce 192.168.1.2 id 1"]);
    assert_eq!(server.event(PathEvent::AnnounceDone { id: 1 }), ["announce 172.16.1.2 id 2"]);
    assert_eq!(server.event(PathEvent::AnnounceDone { id: 2 }), ["announce 172.17.1.2 id 3"]);
    assert_eq!(server.event(PathEvent::AnnounceDone { id: 3 }), NOTHING);
}

#[test]
fn an_endpoint_with_signal_and_subflow_does_both() {
    let mut client = Connection::client((2, 2), &["192.168.0.1 id 4 signal subflow"]);
    assert_eq!(
        client.established(),
        ["announce 192.168.0.1 id 4", "join 192.168.0.1 id 4 to 10.0.1.2:5001 id 0"]
    );
}

// PM-18
#[test]
fn a_failed_join_triggers_the_next_endpoint() {
    let endpoints = ["192.168.0.1 id 1 subflow", "172.16.0.1 id 2 subflow", "172.17.0.1 id 3 subflow"];
    let mut client = Connection::client((0, 1), &endpoints);
    assert_eq!(client.established(), ["join 192.168.0.1 id 1 to 10.0.1.2:5001 id 0"]);
    assert_eq!(client.closed(1, CloseReason::TimedOut), ["join 172.16.0.1 id 2 to 10.0.1.2:5001 id 0"]);
    assert_eq!(client.joined(2), NOTHING);
    assert_eq!(client.closed(2, CloseReason::Reset(None)), ["join 172.17.0.1 id 3 to 10.0.1.2:5001 id 0"]);
    assert_eq!(client.closed(3, CloseReason::Refused), NOTHING);
}

#[test]
fn the_endpoint_of_the_initial_address_is_not_joined_and_makes_it_a_backup_if_it_is_one() {
    let mut client =
        Connection::client((0, 2), &["10.0.0.1 id 1 subflow backup", "192.168.0.1 id 2 subflow"]);
    assert_eq!(client.established(), ["backup 0 true", "join 192.168.0.1 id 2 to 10.0.1.2:5001 id 0"]);
}

#[test]
fn endpoints_of_the_other_ip_version_are_passed_over() {
    let mut client = Connection::client((2, 2), &["2001:db8::1 id 1 subflow", "192.168.0.1 id 2 subflow"]);
    assert_eq!(client.established(), ["join 192.168.0.1 id 2 to 10.0.1.2:5001 id 0"]);
    assert_eq!(client.announced(1, "2001:db8:1::2"), NOTHING);
}

#[test]
fn fullmesh_switched_on_replaces_the_subflow_by_a_mesh() {
    let mut client = Connection::client((2, 3), &["192.168.0.1 id 1 subflow"]);
    assert_eq!(client.established(), ["join 192.168.0.1 id 1 to 10.0.1.2:5001 id 0"]);
    assert_eq!(client.announced(1, B2), ["join any id 0 to 192.168.1.2:5001 id 1"]);
    let fullmesh = endpoint("192.168.0.1 id 1 subflow fullmesh");
    assert_eq!(
        client.event(PathEvent::EndpointChanged(fullmesh)),
        [
            "close 1",
            "join 192.168.0.1 id 1 to 10.0.1.2:5001 id 0",
            "join 192.168.0.1 id 1 to 192.168.1.2:5001 id 1",
        ]
    );
}

// PM-19
#[test]
fn id_zero_is_removed_by_the_initial_address_only() {
    let mut client = Connection::client((2, 2), &["192.168.0.1 id 1 subflow"]);
    assert_eq!(client.established().len(), 1);
    let wrong = Endpoint { id: 0, ..endpoint("192.168.0.1 id 1") };
    assert_eq!(client.event(PathEvent::EndpointRemoved(wrong)), NOTHING);
    let initial = Endpoint { id: 0, ..endpoint("10.0.0.1 id 1") };
    assert_eq!(client.event(PathEvent::EndpointRemoved(initial)), ["withdraw id 0", "close 0"]);
}

// PM-19, ADDR-13
#[test]
fn the_endpoint_of_the_initial_address_goes_and_comes_back_as_id_zero() {
    let own = endpoint("10.0.0.1 id 3 subflow");
    let mut client = Connection::client((2, 2), &["10.0.0.1 id 3 subflow", "192.168.0.1 id 1 subflow"]);
    assert_eq!(client.established(), ["join 192.168.0.1 id 1 to 10.0.1.2:5001 id 0"]);
    assert_eq!(client.event(PathEvent::EndpointRemoved(own)), ["withdraw id 0", "close 0"]);
    let joins = client.event(PathEvent::EndpointAdded(own));
    assert_eq!(joins, ["join 10.0.0.1 id 0 to 10.0.1.2:5001 id 0"]);
}

// ---- C flag ---------------------------------------------------------------------------------------

#[test]
fn the_c_flag_keeps_joins_away_from_the_initial_remote_address() {
    // CAP-12, JOIN-18
    let mut client = Connection::client((2, 2), &["192.168.0.1 id 1 subflow fullmesh"]);
    client.denies_join = true;
    assert_eq!(client.event(PathEvent::Established), NOTHING);
    assert_eq!(client.announced(1, B2), ["join 192.168.0.1 id 1 to 192.168.1.2:5001 id 1"]);
    let mut client = Connection::client((2, 2), &["192.168.0.1 id 1 subflow"]);
    client.denies_join = true;
    assert_eq!(client.established(), NOTHING);
}

#[test]
fn with_the_c_flag_and_default_limits_one_announced_address_is_joined_from_the_subflow_endpoints() {
    // CAP-12
    let mut client = Connection::client((0, 2), &["192.168.0.1 id 1 subflow", "172.16.0.1 id 2 subflow"]);
    client.denies_join = true;
    assert_eq!(client.established(), NOTHING);
    assert_eq!(
        client.announced(1, B2),
        ["join 192.168.0.1 id 1 to 192.168.1.2:5001 id 1", "join 172.16.0.1 id 2 to 192.168.1.2:5001 id 1"]
    );
    assert_eq!(client.announced(2, "192.168.1.3"), NOTHING);
}
