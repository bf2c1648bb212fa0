//! Whole connections through middleboxes: what a box does to a stream of a real host.

#[expect(dead_code, reason = "the harness of the stack's tests serves for the set-up only")]
#[path = "stack/pair.rs"]
mod pair;

use std::collections::BTreeMap;

use mptcp_model::mptcp::Mode;
use mptcp_model::net::InterfaceId;
use mptcp_model::net::middlebox::{Chain, Counters, Direction, registry};
use mptcp_model::parameters::Parameters;
use mptcp_model::path_manager::CloseReason;
use mptcp_model::wire::{Body, MpOption, Packet, verify_checksums};
use pair::{Pair, Setup};
use sim_core::random::Streams;
use sim_core::{Duration, Instant};

/// Two hosts with a chain of boxes in the middle of each wire.
struct Through {
    pair: Pair,
    chains: Vec<Chain>,
    flying: BTreeMap<(Instant, u64), Flying>,
    order: u64,
    /// What left the boxes.
    log: Vec<(usize, Direction, Packet)>,
    to_send: u64,
    shut: bool,
}

struct Flying {
    wire: usize,
    direction: Direction,
    packet: Packet,
    /// Whether the boxes are behind it.
    past_boxes: bool,
}

impl Through {
    fn new(setup: &Setup, to_send: u64) -> Self {
        let chains = (0..setup.wires).map(|_| Chain::new()).collect();
        let pair = Pair::new(setup);
        Self { pair, chains, flying: BTreeMap::new(), order: 0, log: Vec::new(), to_send, shut: false }
    }

    /// Puts a box on a wire, on the server's side of those that are there.
    fn put(&mut self, wire: usize, name: &str, parameters: &Parameters) {
        let stream = Streams::new(11).stream(&format!("box:{wire}:{name}"));
        let element = registry::create(name, parameters, stream).unwrap_or_else(|error| panic!("{error}"));
        self.chains[wire].push(name, element);
    }

    /// Half of the wire's delay lies before the boxes, half behind.
    fn launch(&mut self, wire: usize, direction: Direction, packet: Packet, past_boxes: bool) {
        self.order += 1;
        let at = self.pair.now + Duration::from_nanos(self.pair.delay[wire].as_nanos() / 2);
        self.flying.insert((at, self.order), Flying { wire, direction, packet, past_boxes });
    }

    fn flush(&mut self) {
        let now = self.pair.now;
        loop {
            let mut busy = false;
            while let Some((interface, packet)) = self.pair.client.poll_transmit(now) {
                busy = true;
                self.launch(usize::from(interface.0), Direction::Forward, packet, false);
            }
            while let Some((interface, packet)) = self.pair.server.poll_transmit(now) {
                busy = true;
                self.launch(usize::from(interface.0), Direction::Backward, packet, false);
            }
            while self.pair.client.poll_event().is_some() {
                busy = true;
            }
            while let Some(event) = self.pair.server.poll_event() {
                busy = true;
                if event.socket == self.pair.listener {
                    self.pair.accepted = self.pair.server.accept(event.socket);
                }
            }
            if self.to_send > 0
                && let Ok(written) = self.pair.client.write(now, self.pair.socket, self.to_send)
            {
                self.to_send -= written;
                busy |= written > 0;
            }
            if self.to_send == 0 && !self.shut {
                self.shut = true;
                self.pair.client.shutdown_write(now, self.pair.socket);
                busy = true;
            }
            if let Some(accepted) = self.pair.accepted
                && let Ok(outcome) = self.pair.server.read(now, accepted, u64::MAX)
            {
                self.pair.read += outcome.len;
                busy |= outcome.len > 0;
                self.pair.server_end |= outcome.end;
            }
            if !busy {
                return;
            }
        }
    }

    /// Runs until the server has read the end of the stream, at most `limit` of simulated time.
    fn run(&mut self, limit: Duration) {
        let end = self.pair.now + limit;
        let mut leaving = Vec::new();
        self.flush();
        while !self.pair.server_end {
            let timers = [self.pair.client.poll_timeout(), self.pair.server.poll_timeout()];
            let boxes = self.chains.iter().map(Chain::poll_timeout);
            let flying = self.flying.keys().next().map(|key| key.0);
            let next = timers.into_iter().chain(boxes).flatten().chain(flying).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.pair.now = self.pair.now.max(next);
            let now = self.pair.now;
            while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= now) {
                let Flying { wire, direction, packet, past_boxes } = entry.remove();
                if past_boxes {
                    let host = match direction {
                        Direction::Forward => &mut self.pair.server,
                        Direction::Backward => &mut self.pair.client,
                    };
                    host.handle_packet(now, InterfaceId(wire as u16), &packet);
                    self.flush();
                } else {
                    self.chains[wire].handle(now, direction, packet, &mut leaving);
                    self.leave(wire, &mut leaving);
                }
            }
            for wire in 0..self.chains.len() {
                self.chains[wire].handle_timeout(now, &mut leaving);
                self.leave(wire, &mut leaving);
            }
            self.pair.client.handle_timeout(now);
            self.pair.server.handle_timeout(now);
            self.flush();
        }
    }

    fn leave(&mut self, wire: usize, leaving: &mut Vec<(Direction, Packet)>) {
        for (direction, packet) in leaving.drain(..) {
            let mut octets = Vec::new();
            packet.emit(&mut octets);
            assert_eq!(verify_checksums(&octets), Ok(()), "a box made {packet:?}");
            self.log.push((wire, direction, packet.clone()));
            self.launch(wire, direction, packet, true);
        }
    }

    fn modes(&self) -> (Mode, Mode) {
        (self.pair.connection().mode(), self.pair.server_connection().mode())
    }

    fn counters(&self, wire: usize) -> Counters {
        *self.chains[wire].counters().next().expect("a box").1
    }

    #[track_caller]
    fn arrived_intact(&self, total: u64) {
        assert_eq!(self.pair.read, total, "octets read by {}", self.pair.now);
        assert_eq!(self.pair.server_connection().integrity().corrupted, 0);
        assert!(self.pair.server_end, "the end of the stream arrives");
    }

    fn mptcp_options(&self, direction: Direction) -> impl Iterator<Item = (usize, MpOption)> + '_ {
        self.log.iter().filter(move |(_, way, _)| *way == direction).flat_map(|(wire, _, packet)| {
            let options: Vec<_> = match &packet.body {
                Body::Tcp(segment) => segment.options.mptcp().collect(),
                _ => Vec::new(),
            };
            options.into_iter().map(move |option| (*wire, option))
        })
    }
}

const TOTAL: u64 = 400_000;

/// A transfer over `wires` wires with one box on wire `at`.
fn transfer(wires: usize, at: usize, name: &str, parameters: Parameters) -> Through {
    let mut through = Through::new(&Setup { wires, ..Setup::default() }, TOTAL);
    through.put(at, name, &parameters);
    through.run(Duration::from_secs(120));
    through
}

fn parameters() -> Parameters {
    Parameters::new()
}

/// A box that must not end MPTCP.
#[track_caller]
fn harmless(wires: usize, name: &str, parameters: Parameters) -> Through {
    let through = transfer(wires, 0, name, parameters);
    through.arrived_intact(TOTAL);
    assert_eq!(through.modes(), (Mode::Multipath, Mode::Multipath));
    through
}

#[test]
fn split_segments_need_their_mapping_only_once() {
    // MBOX-13
    for wires in [1, 2] {
        for keep in ["all", "first"] {
            let through = harmless(wires, "split", parameters().with("size", 500.0).with("options", keep));
            assert!(through.counters(0).changed > 100);
        }
    }
}

#[test]
fn a_mapping_on_the_last_piece_only_means_tcp() {
    // MBOX-13, FB-03
    let through = transfer(2, 0, "split", parameters().with("size", 500.0).with("options", "last"));
    through.arrived_intact(TOTAL);
    assert_eq!(through.modes(), (Mode::Plain, Mode::Plain));
}

#[test]
fn lost_mappings_of_merged_segments_are_sent_again() {
    // MBOX-14
    for wires in [1, 2] {
        for keep in ["first", "last"] {
            let through = harmless(wires, "coalesce", parameters().with("options", keep));
            assert!(through.counters(0).held > through.counters(0).released, "some are merged");
        }
    }
}

#[test]
fn rewritten_initial_sequence_numbers_do_not_matter() {
    // MBOX-10
    for rewrites_sack in [true, false] {
        let mut through = Through::new(&Setup::default(), TOTAL);
        through.put(0, "isn-rewriter", &parameters().with("sack", rewrites_sack));
        through.put(0, "drop", &parameters().with("packets", "data").with("every", 30.0));
        through.run(Duration::from_secs(120));
        through.arrived_intact(TOTAL);
        assert_eq!(through.modes(), (Mode::Multipath, Mode::Multipath));
    }
}

#[test]
fn both_subflows_pass_through_nats() {
    // JOIN-14, MBOX-25, NET-17: both appear as addresses the client does not have
    let mut through = Through::new(&Setup::default(), TOTAL);
    through.put(0, "nat", &parameters().with("pool", "203.0.113.1").with("preserve_ports", false));
    through.put(1, "nat", &parameters().with("pool", "203.0.113.2").with("preserve_ports", false));
    through.pair.server.routing.add_route("203.0.113.2 dev s1 table 1".parse().unwrap()).unwrap();
    through.run(Duration::from_secs(120));
    through.arrived_intact(TOTAL);
    assert_eq!(through.modes(), (Mode::Multipath, Mode::Multipath));
    for (wire, address) in [(0, "203.0.113.1"), (1, "203.0.113.2")] {
        let sources = through.log.iter().filter(|(on, way, _)| *on == wire && *way == Direction::Forward);
        assert!(sources.clone().count() > 20);
        assert!(sources.clone().all(|(_, _, packet)| packet.ip.src.to_string() == address));
    }
    let ids: Vec<_> = through
        .mptcp_options(Direction::Forward)
        .filter_map(|(_, option)| match option {
            MpOption::JoinSyn { address_id, .. } => Some(address_id),
            _ => None,
        })
        .collect();
    assert_eq!(ids, [2]);
}

#[test]
fn restricted_handshakes_leave_a_working_connection() {
    // TCP-02, MBOX-23
    for given in [
        parameters().with("mss", 800.0),
        parameters().with("no_window_scale", true),
        parameters().with("no_timestamps", true),
        parameters().with("no_sack", true),
    ] {
        harmless(2, "handshake", given.clone());
        harmless(1, "handshake", given);
    }
}

#[test]
fn a_shrunken_window_slows_one_subflow_and_breaks_nothing() {
    // MBOX-24
    for wires in [1, 2] {
        let through = harmless(wires, "window", parameters().with("largest", 8192.0));
        assert!(through.counters(0).changed > 0);
    }
}

#[test]
fn boxes_that_only_watch_move_or_delay_are_harmless() {
    // MBOX-16, MBOX-20, MBOX-21, MBOX-29, MBOX-31, NET-19
    harmless(2, "proactive-ack", parameters().with("delay", 0.005));
    harmless(2, "resequence", parameters());
    harmless(2, "options", parameters().with("action", "repeat"));
    harmless(2, "options", parameters().with("action", "move-last"));
    harmless(2, "bleach", parameters().with("dscp", 0.0).with("urgent", true));
    harmless(2, "firewall", parameters());
}

#[test]
fn resequencing_hides_reordering_behind_a_loss() {
    // MBOX-31
    let mut through = Through::new(&Setup { wires: 1, ..Setup::default() }, TOTAL);
    through.put(0, "drop", &parameters().with("packets", "data").with("skip", 50.0).with("limit", 1.0));
    through.put(0, "resequence", &parameters().with("wait", 0.1));
    through.run(Duration::from_secs(120));
    through.arrived_intact(TOTAL);
    let held = through.chains[0].counters().last().expect("two boxes").1.held;
    assert!(held > 0, "what follows the loss waits");
}

#[test]
fn options_stripped_early_mean_tcp_and_an_intact_stream() {
    // MBOX-01, MBOX-02, MBOX-03, MBOX-04, MBOX-08
    for wires in [1, 2] {
        for packets in ["syn", "syn-ack", "first-ack", "data", "first-ack, data, ack, fin"] {
            for action in ["blank", "remove"] {
                let given = parameters().with("packets", packets).with("action", action);
                let through = transfer(wires, 0, "options", given);
                through.arrived_intact(TOTAL);
                assert_eq!(through.modes(), (Mode::Plain, Mode::Plain), "{packets} {action}");
            }
        }
        for options in ["blank", "drop"] {
            let through = transfer(wires, 0, "firewall", parameters().with("options", options));
            through.arrived_intact(TOTAL);
            assert_eq!(through.modes(), (Mode::Plain, Mode::Plain), "{options}");
        }
        let through = transfer(wires, 0, "syn-proxy", parameters());
        through.arrived_intact(TOTAL);
        assert_eq!(through.modes(), (Mode::Plain, Mode::Plain), "MBOX-28");
    }
}

#[test]
fn mappings_lost_in_the_middle_are_sent_on_the_other_subflow() {
    // DSS-25, MBOX-05, MBOX-06
    for given in [
        parameters().with("packets", "data"),
        parameters().with("packets", "ack").with("direction", "backward"),
    ] {
        for wire in [0, 1] {
            let through = transfer(2, wire, "options", given.clone().with("start", 0.1));
            through.arrived_intact(TOTAL);
            assert!(through.counters(wire).changed > 0);
        }
    }
}

#[test]
fn mappings_lost_in_the_middle_of_a_lone_subflow_mean_tcp() {
    // MBOX-05, FB-04: the receiver falls back at once; the sender when its data is acknowledged by TCP alone
    for action in ["blank", "remove"] {
        let given = parameters().with("packets", "data").with("action", action).with("start", 0.1);
        let through = transfer(1, 0, "options", given);
        assert!(through.counters(0).changed > 0);
        through.arrived_intact(TOTAL);
        assert_eq!(through.modes(), (Mode::Plain, Mode::Plain));
    }
}

#[test]
fn data_acks_lost_in_the_middle_of_a_lone_subflow_mean_tcp() {
    // MBOX-06, FB-03: the sender falls back and says so by an infinite mapping, which the receiver obeys
    let given = parameters().with("packets", "ack").with("direction", "backward").with("start", 0.06);
    let through = transfer(1, 0, "options", given);
    through.arrived_intact(TOTAL);
    assert_eq!(through.modes(), (Mode::Plain, Mode::Plain));
    assert!(infinite_mappings(&through, Direction::Forward) > 0);
    assert_eq!(through.pair.connection().stats().retransmits, 0, "nothing was sent twice");
}

fn infinite_mappings(through: &Through, direction: Direction) -> usize {
    let infinite = |option: &MpOption| match option {
        MpOption::Dss(dss) => dss.mapping.is_some_and(|mapping| mapping.len == 0),
        _ => false,
    };
    through.mptcp_options(direction).filter(|(_, option)| infinite(option)).count()
}

fn failures(through: &Through, direction: Direction) -> Vec<u64> {
    let dsn = |option| match option {
        MpOption::Fail { dsn } => Some(dsn),
        _ => None,
    };
    through.mptcp_options(direction).filter_map(|(_, option)| dsn(option)).collect()
}

fn with_checksums(wires: usize) -> Setup {
    let mut setup = Setup { wires, ..Setup::default() };
    setup.client_config.checksum = true;
    setup.server_config.checksum = true;
    setup
}

#[test]
fn a_failed_checksum_on_a_lone_subflow_means_tcp() {
    // DSS-16, FSM-20, FB-12, FB-08, FB-09, MBOX-11, MAL-30; reference case f5 up to MP_FAIL
    for skip in [5.0, 20.0, 50.0] {
        let mut through = Through::new(&with_checksums(1), TOTAL);
        let once = parameters().with("min_payload", 900.0).with("every", 1.0).with("skip", skip);
        through.put(0, "payload", &once.with("limit", 1.0));
        through.run(Duration::from_secs(20));
        assert_eq!(through.modes(), (Mode::Plain, Mode::Plain), "skip {skip}");
        assert_eq!(through.pair.read, TOTAL, "TCP delivers what the box made of it");
        assert!(through.pair.server_end);
        let corrupted = through.pair.server_connection().integrity().corrupted;
        assert!((1..=1460).contains(&corrupted), "only one segment was changed, not {corrupted} octets");
        assert_eq!(failures(&through, Direction::Backward).len(), 1, "the receiver complains");
        assert_eq!(failures(&through, Direction::Forward).len(), 1, "the sender answers in kind");
        assert!(infinite_mappings(&through, Direction::Forward) > 0);
    }
}

#[test]
fn a_lost_mp_fail_is_sent_again() {
    // FB-10: it travels on pure ACKs
    let mut through = Through::new(&with_checksums(1), TOTAL);
    let once = parameters().with("min_payload", 900.0).with("every", 1.0).with("skip", 20.0);
    through.put(0, "payload", &once.with("limit", 1.0));
    through.put(0, "drop", &parameters().with("carrying", "mp_fail").with("limit", 2.0));
    through.run(Duration::from_secs(60));
    assert_eq!(through.modes(), (Mode::Plain, Mode::Plain));
    assert_eq!(through.pair.read, TOTAL);
}

#[test]
fn an_unanswered_mp_fail_resets_the_subflow_after_two_minutes() {
    // FB-10, TIME-06
    let mut through = Through::new(&with_checksums(1), TOTAL);
    let once = parameters().with("min_payload", 900.0).with("every", 1.0).with("skip", 20.0);
    through.put(0, "payload", &once.with("limit", 1.0));
    through.put(0, "drop", &parameters().with("carrying", "mp_fail"));
    let closed = |through: &Through| through.pair.server_connection().subflows()[0].info().closed;
    through.run(Duration::from_secs(115));
    assert_eq!(closed(&through), None);
    through.run(Duration::from_secs(10));
    assert_eq!(closed(&through), Some(CloseReason::Protocol));
    assert!(through.pair.read < TOTAL);
}

#[test]
fn a_failed_checksum_on_one_of_several_subflows_resets_it() {
    // DSS-16, FB-07, MAL-30; reference case f6
    let mut through = Through::new(&with_checksums(2), TOTAL);
    let once = parameters().with("min_payload", 900.0).with("every", 1.0).with("skip", 5.0);
    through.put(1, "payload", &once.with("limit", 1.0));
    through.run(Duration::from_secs(60));
    through.arrived_intact(TOTAL);
    assert_eq!(through.modes(), (Mode::Multipath, Mode::Multipath));
    let reset = through.log.iter().find_map(|(wire, _, packet)| match &packet.body {
        Body::Tcp(segment) if segment.flags.rst() => {
            Some((*wire, segment.options.mptcp().collect::<Vec<_>>()))
        }
        _ => None,
    });
    let (wire, options) = reset.expect("a reset");
    assert_eq!(wire, 1);
    assert!(
        matches!(options[..], [MpOption::Fail { .. }, MpOption::TcpRst { flags: 0, reason: 6 }]),
        "{options:?}"
    );
}

#[test]
fn a_gateway_in_front_of_a_lone_subflow_means_tcp() {
    // MBOX-12: with checksums by MP_FAIL, without because a segment crosses the end of a mapping
    for checksum in [true, false] {
        for growth in [3.0, -3.0] {
            let setup = if checksum { with_checksums(1) } else { Setup { wires: 1, ..Setup::default() } };
            let mut through = Through::new(&setup, TOTAL);
            let once = parameters().with("packets", "data").with("skip", 20.0).with("limit", 1.0);
            through.put(0, "gateway", &once.with("direction", "forward").with("growth", growth));
            through.run(Duration::from_secs(60));
            assert_eq!(through.modes(), (Mode::Plain, Mode::Plain), "checksum {checksum} growth {growth}");
            assert_eq!(through.pair.read as i64, TOTAL as i64 + growth as i64, "checksum {checksum}");
            assert!(through.pair.server_end, "later data passes");
        }
    }
}

#[test]
fn a_join_path_that_does_not_work_harms_nothing() {
    // MBOX-07, MBOX-08, MBOX-09, MBOX-22, MBOX-28
    for (name, given) in [
        ("options", parameters().with("packets", "syn")),
        ("options", parameters().with("packets", "syn-ack")),
        ("options", parameters().with("packets", "first-ack")),
        ("options", parameters().with("packets", "syn").with("action", "zero")),
        ("drop", parameters().with("carrying", "mp_join").with("packets", "syn")),
        ("drop", parameters().with("carrying", "mptcp").with("packets", "first-ack, data, ack, fin")),
        ("syn-proxy", parameters()),
    ] {
        let through = transfer(2, 1, name, given.clone());
        through.arrived_intact(TOTAL);
        assert_eq!(through.modes(), (Mode::Multipath, Mode::Multipath), "{name} {given:?}");
        let carried = through.log.iter().any(|(wire, _, packet)| {
            matches!(&packet.body, Body::Tcp(segment) if *wire == 1 && !segment.payload.is_empty())
        });
        assert!(!carried, "{name} {given:?}: no data on the second path");
    }
}

#[test]
fn resets_end_a_subflow_only_if_their_number_is_exact() {
    // MBOX-19, TCP-19
    let chosen = parameters().with("packets", "data").with("skip", 20.0).with("limit", 1.0);
    for offset in [0.0, 1000.0] {
        let through = transfer(2, 1, "reset", chosen.clone().with("offset", offset));
        through.arrived_intact(TOTAL);
        assert_eq!(through.counters(1).released, 2);
    }
    let alone = transfer(1, 0, "reset", chosen.with("offset", 1000.0));
    alone.arrived_intact(TOTAL);
}

#[test]
fn rewritten_payload_is_delivered_unless_checksums_are_on() {
    // MBOX-11, MBOX-18; reference case f6
    let every = parameters().with("min_payload", 900.0).with("every", 10.0);
    let unnoticed = transfer(2, 1, "payload", every.clone());
    assert!(unnoticed.pair.server_connection().integrity().corrupted > 0);
    // One change only: two in one mapping may cancel in a ones' complement sum.
    for skip in [0.0, 5.0, 10.0, 15.0] {
        let mut setup = Setup::default();
        setup.client_config.checksum = true;
        setup.server_config.checksum = true;
        let mut through = Through::new(&setup, TOTAL);
        through.put(1, "payload", &every.clone().with("every", 1.0).with("skip", skip).with("limit", 1.0));
        through.run(Duration::from_secs(120));
        assert_eq!(through.counters(1).changed, 1);
        assert_eq!(through.pair.server_connection().stats().checksum_errors, 1);
        through.arrived_intact(TOTAL);
    }
}

#[test]
fn a_gateway_without_knowledge_of_mptcp_is_caught_by_checksums() {
    // MBOX-12
    let mut setup = Setup::default();
    setup.client_config.checksum = true;
    setup.server_config.checksum = true;
    let mut through = Through::new(&setup, TOTAL);
    let once = parameters().with("packets", "data").with("skip", 10.0).with("limit", 1.0);
    through.put(1, "gateway", &once.with("direction", "forward"));
    through.run(Duration::from_secs(120));
    assert!(through.counters(1).changed > 0);
    through.arrived_intact(TOTAL);
}

#[test]
fn an_announced_address_that_is_lost_or_altered_is_not_joined() {
    // MBOX-32, MBOX-33
    for (name, given, joins) in [
        ("bleach", parameters(), true),
        ("drop", parameters().with("carrying", "add_addr"), false),
        ("add-addr-rewriter", parameters().with("address", "10.0.2.77").with("direction", "backward"), false),
    ] {
        let setup = Setup { subflow_endpoints: false, signal_endpoints: true, ..Setup::default() };
        let mut through = Through::new(&setup, TOTAL);
        through.put(0, name, &given);
        through.run(Duration::from_secs(120));
        through.arrived_intact(TOTAL);
        let joined = through
            .mptcp_options(Direction::Forward)
            .any(|(_, option)| matches!(option, MpOption::JoinSyn { .. }));
        assert_eq!(joined, joins, "{name}");
    }
}
