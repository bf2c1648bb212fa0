//! Steps of programs, commands to hosts and link changes, in small scenarios.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use mptcp_model::mptcp::{Mode, SocketError};
use mptcp_model::path_manager::CloseReason;
use scenarios::Scenario;
use scenarios::layout::Layout;
use scenarios::run::{FlowEnd, FlowOutcome, Network, RunOutcome, StopReason};
use sim_core::{Direction, DropReason, Instant, PortId};

/// A client and a server joined by `paths` links, with a subflow endpoint on each path but the first.
/// `top` goes before the hosts, `rest` behind the links.
fn document(paths: usize, top: &str, rest: &str) -> String {
    let mut text = format!("title = \"test\"\nduration = \"30 s\"\n{top}\n");
    for (host, number) in [("client", 1), ("server", 2)] {
        let letter = &host[..1];
        writeln!(text, "[hosts.{host}]").unwrap();
        if host == "client" {
            // The server answers by the network of the client's address.
            let rules: Vec<_> =
                (0..paths).map(|path| format!("from 10.0.{path}.1 lookup {}", path + 1)).collect();
            let routes: Vec<_> = (0..paths)
                .map(|path| format!("default via 10.0.{path}.2 dev c{path} table {}", path + 1))
                .collect();
            writeln!(text, "rules = {rules:?}\nroutes = {routes:?}").unwrap();
        }
        writeln!(text, "[hosts.{host}.interfaces]").unwrap();
        for path in 0..paths {
            writeln!(text, "{letter}{path} = {{ addresses = [\"10.0.{path}.{number}/24\"] }}").unwrap();
        }
        writeln!(text, "[hosts.{host}.mptcp]\nlimits = {{ subflows = 4, add_addr_accepted = 4 }}").unwrap();
        if host == "client" {
            writeln!(text, "endpoints = [").unwrap();
            for path in 1..paths {
                let id = path + 4;
                writeln!(text, "  {{ address = \"10.0.{path}.1\", id = {id}, flags = [\"subflow\"] }},")
                    .unwrap();
            }
            writeln!(text, "]").unwrap();
        }
    }
    for path in 0..paths {
        let (rate, delay) = (10, 10 * (path + 1));
        writeln!(
            text,
            "[[links]]\nname = \"p{path}\"\na = \"client:c{path}\"\nb = \"server:s{path}\"\n\
             rate = \"{rate} Mbit/s\"\ndelay = \"{delay} ms\"\nqueue = \"2 BDP\""
        )
        .unwrap();
    }
    text + rest
}

fn flow(application: &str) -> String {
    format!("[[flows]]\nname = \"f\"\nfrom = \"client\"\nto = \"10.0.0.2\"\n{application}\n")
}

fn steps(client: &[&str], server: &[&str]) -> String {
    flow(&format!("client = {client:?}\nserver = {server:?}"))
}

fn read(text: &str) -> Scenario {
    Scenario::from_toml(text, "test.toml").unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn run(text: &str) -> RunOutcome {
    let mut network = Network::build(&read(text), ()).unwrap();
    let outcome = network.run(&mut (), &mut |_| ControlFlow::Continue(()));
    assert!(outcome.is_intact(), "{:?}", outcome.flows);
    outcome
}

fn only(outcome: &RunOutcome) -> &FlowOutcome {
    assert_eq!(outcome.flows.len(), 1);
    &outcome.flows[0]
}

fn ms(at: Option<Instant>) -> u64 {
    at.map_or(u64::MAX, |at| at.as_nanos() / 1_000_000)
}

#[test]
fn ports_are_numbered_in_the_order_of_links_and_macs_differ() {
    let scenario = read(&document(3, "", &steps(&["close"], &["close"])));
    let layout = Layout::of(&scenario);
    assert_eq!(layout.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["client", "server"]);
    let port = layout.port("client", "c2").unwrap();
    assert_eq!((port.port, port.outgoing, port.mtu), (PortId(2), Direction::AtoB, 1500));
    assert_eq!(layout.peer(port), layout.port("server", "s2"));
    assert_eq!(layout.port_at(port.node, port.port), Some(port));
    let mut macs: Vec<_> = layout.ports.iter().map(|port| port.mac).collect();
    macs.sort_unstable();
    macs.dedup();
    assert_eq!(macs.len(), 6);
    assert_eq!(layout, *Network::build(&scenario, ()).unwrap().layout());
}

#[test]
fn steps_take_the_time_they_say() {
    let client = ["sleep 300 ms", "send 5 B", "recv 7 B", "sleep_until 2 s", "shutwr", "recv_eof", "close"];
    let server = ["recv 5 B", "sleep 100 ms", "send 7 B", "recv_eof", "close"];
    let outcome = run(&document(1, "", &steps(&client, &server)));
    let flow = only(&outcome);
    let client = &flow.client.record;
    // One way takes 10 ms and the transmission of a small packet.
    assert_eq!((ms(client.connect_begin), ms(client.connected)), (0, 20));
    let ends: Vec<_> = client.steps.iter().map(|step| ms(step.end)).collect();
    assert_eq!(ends, [320, 320, 440, 2000, 2000, 2020, 2020]);
    assert_eq!((client.sent, client.received, ms(client.first_rx)), (5, 7, 440));
    assert_eq!((flow.server.record.sent, flow.server.record.received), (7, 5));
    assert_eq!((outcome.stop, ms(Some(outcome.ended_at))), (StopReason::FlowsFinished, 2100));
    assert!(flow.finished);
}

#[test]
fn a_blocking_send_is_done_when_the_last_byte_is_in_the_send_buffer() {
    let outcome = run(&document(1, "", &steps(&["send 2 MB", "shutwr", "recv_eof"], &["recv_eof", "close"])));
    let flow = only(&outcome);
    let send = flow.client.record.steps[0];
    let (accepted, received) = (ms(send.end), ms(flow.server.record.last_rx));
    assert!((500..received).contains(&accepted), "{accepted} {received}");
    assert_eq!(flow.bytes_received(), 2_000_000);
}

#[test]
fn rate_limited_writes_keep_their_rate() {
    let client = ["send_rate 500 kB at 2 Mbit/s", "shutwr", "recv_eof", "close"];
    let outcome = run(&document(1, "", &steps(&client, &["recv_eof", "close"])));
    let flow = only(&outcome);
    assert_eq!(ms(flow.client.record.steps[0].end), 2020);
    let goodput = flow.goodput_bps.unwrap();
    assert!((1.95e6..2.0e6).contains(&goodput), "{goodput}");
}

#[test]
fn sending_for_a_time_ends_with_it() {
    let outcome = run(&document(2, "", &flow("bulk = { time = \"2 s\", direction = \"download\" }")));
    let flow = only(&outcome);
    assert_eq!(flow.receiver, FlowEnd::Client);
    assert_eq!(ms(flow.server.record.steps[0].end) - ms(flow.server.record.connected), 2000);
    assert_eq!(flow.joins().filter(|join| join.established_at.is_some()).count(), 1);
    let shares: f64 = flow.subflows.iter().map(|subflow| subflow.share).sum();
    assert!((shares - 1.0).abs() < 1e-9);
}

#[test]
fn closing_with_data_unread_aborts() {
    // CLOSE-17
    let outcome =
        run(&document(1, "", &steps(&["send 20 kB", "recv_eof"], &["recv 5 B", "sleep 100 ms", "close"])));
    let flow = only(&outcome);
    let error = flow.client.record.error.clone().unwrap();
    assert_eq!((error.during.as_str(), error.error), ("recv_eof", SocketError::ConnectionReset));
    assert_eq!(flow.server.record.error, None);
    assert_eq!(flow.server.record.received, 5);
    assert!(flow.finished);
}

#[test]
fn disconnecting_aborts_and_ends_the_use_of_the_socket() {
    let outcome =
        run(&document(1, "", &steps(&["sleep 100 ms", "disconnect", "send 1 B"], &["recv_eof", "close"])));
    let flow = only(&outcome);
    assert_eq!(flow.client.record.error.as_ref().map(|error| error.error), Some(SocketError::NotConnected));
    assert_eq!(
        flow.server.record.error.as_ref().map(|error| error.error),
        Some(SocketError::ConnectionReset)
    );
}

#[test]
fn a_refused_connection_is_an_error_and_ends_the_flow() {
    // The server listens on its second address only.
    let outcome = run(&document(2, "", &(steps(&["send 5 B"], &["recv_eof"]) + "listen = \"10.0.1.2\"\n")));
    let flow = only(&outcome);
    let error = flow.client.record.error.clone().unwrap();
    assert_eq!((error.during.as_str(), error.error), ("connect", SocketError::ConnectionRefused));
    assert!(flow.finished && outcome.stop == StopReason::FlowsFinished);
    assert_eq!(flow.server.connection, None);
}

#[test]
fn a_program_that_waits_for_ever_ends_with_the_duration() {
    let outcome = run(&document(1, "", &steps(&["recv 5 B"], &["recv 5 B"])));
    assert!(matches!(outcome.stop, StopReason::Idle | StopReason::Duration));
    assert!(!only(&outcome).finished);
}

#[test]
fn a_snapshot_shows_the_connection_at_its_time() {
    let client = ["send 200 kB", "sleep 1 s", "snapshot", "close"];
    let outcome = run(&document(2, "", &steps(&client, &["recv_eof", "close"])));
    let (at, info) = &only(&outcome).client.record.snapshots[0];
    assert!(ms(Some(*at)) >= 1000);
    assert_eq!((info.mode, info.bytes_acked, info.subflows.len()), (Mode::Multipath, 200_000, 2));
    assert!(info.subflows.iter().all(|subflow| subflow.established && subflow.flow.srtt.is_some()));
}

#[test]
fn endpoint_commands_open_and_close_subflows_and_failures_are_told() {
    // PM-27
    let events = "[[events]]\nat = \"300 ms\"\nhost = \"client\"\ncommand = \"endpoint delete id 5\"\n\
                  [[events]]\nat = \"1 s\"\nhost = \"client\"\n\
                  command = \"endpoint add 10.0.1.1 id 9 subflow backup\"\n\
                  [[events]]\nat = \"1.5 s\"\nhost = \"client\"\ncommand = \"endpoint delete id 77\"\n";
    let client = ["send 5 B", "sleep 2 s", "send 5 B", "close"];
    let outcome = run(&document(2, "", &(steps(&client, &["recv_eof", "close"]) + events)));
    let flow = only(&outcome);
    let joins: Vec<_> =
        flow.joins().map(|join| (ms(Some(join.opened_at)), join.backup, join.closed)).collect();
    assert_eq!(joins.len(), 2, "{joins:?}");
    assert!(joins[0].0 < 100 && !joins[0].1 && joins[0].2.is_some(), "{joins:?}");
    assert_eq!((joins[1].0, joins[1].1), (1000, true));
    assert_eq!(outcome.command_failures.len(), 1);
    assert_eq!(outcome.command_failures[0].error, "no endpoint has id 77");
}

#[test]
fn an_interface_that_goes_down_carries_nothing_more_and_the_transfer_goes_on() {
    let events = "[[events]]\nat = \"500 ms\"\nhost = \"client\"\ncommand = \"link down c1\"\n";
    let outcome = run(&document(2, "", &(flow("bulk = { bytes = \"2 MB\" }") + events)));
    assert_eq!(only(&outcome).bytes_received(), 2_000_000);
    let second = outcome.links[2].stats.bytes_in.0;
    assert!((100_000..625_000).contains(&second), "{second}");
    // What the other end still sends finds no carrier.
    assert!(outcome.links[3].stats.drops(DropReason::LinkDown) > 0);
}

#[test]
fn a_link_that_goes_down_refuses_packets_and_the_other_carries_on() {
    let text = document(2, "", &flow("bulk = { bytes = \"2 MB\" }")).replacen(
        "[[flows]]",
        "changes = [{ at = \"400 ms\", state = \"down\" }]\n[[flows]]",
        1,
    );
    let outcome = run(&text);
    let refused: Vec<_> = outcome.links.iter().map(|link| link.stats.drops(DropReason::LinkDown)).collect();
    assert_eq!((outcome.links.len(), refused[0]), (4, 0));
    assert!(refused[2] > 0, "{refused:?}");
    assert_eq!(only(&outcome).bytes_received(), 2_000_000);
    assert!(only(&outcome).reinjected_bytes() > 0);
}

#[test]
fn two_flows_have_their_own_content_and_are_told_apart() {
    let flows = flow("bulk = { bytes = \"300 kB\" }")
        + &flow("bulk = { bytes = \"200 kB\" }\nprotocol = \"tcp\"\nstart = \"100 ms\"")
            .replace("\"f\"", "\"g\"");
    let outcome = run(&document(2, "", &flows));
    let got: Vec<_> = outcome.flows.iter().map(FlowOutcome::bytes_received).collect();
    assert_eq!(got, [300_000, 200_000]);
    let seeds: Vec<_> = outcome.flows.iter().map(|flow| flow.server.integrity.seed).collect();
    assert!(seeds[0].is_some() && seeds[1].is_some() && seeds[0] != seeds[1]);
    assert_eq!(outcome.flows[1].server.connection.as_ref().map(|info| info.mode), Some(Mode::Plain));
    assert_eq!(ms(outcome.flows[1].client.record.connect_begin), 100);
}

#[test]
fn lost_frames_are_those_listed() {
    let text = document(1, "", &flow("bulk = { bytes = \"200 kB\" }")).replacen(
        "[[flows]]",
        "ab = { loss = { frames = [20, 30] } }\n[[flows]]",
        1,
    );
    let outcome = run(&text);
    assert_eq!(outcome.links[0].stats.drops(DropReason::LossList), 2);
    assert!(only(&outcome).retransmitted_segments() >= 2);
}

#[test]
fn what_is_not_simulated_is_refused_with_its_key() {
    let build = |text: &str| Network::build(&read(text), ()).map(|_| ()).unwrap_err();
    let rule = document(1, "", &steps(&["close"], &["close"]))
        .replace("from 10.0.0.1 lookup 1", "from 10.0.0.1 to 10.0.0.2 lookup 1");
    assert_eq!(build(&rule).key, "hosts.client.rules[0]");
}

#[test]
fn a_run_can_be_broken_off() {
    let scenario = read(&document(1, "", &flow("bulk = { bytes = \"10 MB\" }")));
    let mut network = Network::build(&scenario, ()).unwrap();
    let outcome = network.run(&mut (), &mut |progress| {
        if progress.now >= Instant::from_nanos(1_000_000_000) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!((outcome.stop, ms(Some(outcome.ended_at))), (StopReason::Interrupted, 1000));
    assert!(!outcome.flows[0].finished && outcome.is_intact());
}

#[test]
fn a_join_that_no_router_forwards_fails_with_network_unreachable() {
    // JOIN-23, FSM-42, SYS-26, SYS-27
    for name in ["two-path-first-failure", "two-path-second-failure"] {
        let scenario = scenarios::library::get(name).unwrap().scenario().unwrap();
        let outcome = Network::build(&scenario, ()).unwrap().run(&mut (), &mut |_| ControlFlow::Continue(()));
        let joins: Vec<_> = only(&outcome).joins().map(|join| (join.established_at, join.closed)).collect();
        assert_eq!(joins, [(None, Some(CloseReason::NetUnreachable))], "{name}");
    }
}

#[test]
fn the_fullmesh_endpoint_uses_both_paths_of_the_testbed() {
    // SYS-28, SYS-29: the paper measured 13.4 Mbit/s.
    let scenario = scenarios::library::get("two-path").unwrap().scenario().unwrap();
    let outcome = Network::build(&scenario, ()).unwrap().run(&mut (), &mut |_| ControlFlow::Continue(()));
    let flow = only(&outcome);
    let goodput = flow.goodput_bps.unwrap();
    assert!((0.85 * 15e6..0.97 * 15e6).contains(&goodput), "{goodput}");
    assert_eq!(flow.joins().filter(|join| join.established_at.is_some()).count(), 1);
}

#[test]
fn a_network_that_takes_no_time_is_told_apart_from_a_long_run() {
    let text = r#"
        [hosts.a.interfaces]
        x = { addresses = ["10.0.0.1/24"] }
        [hosts.b.interfaces]
        x = { addresses = ["10.0.0.2/24"] }
        [[links]]
        name = "l"
        a = "a:x"
        b = "b:x"
        [[flows]]
        from = "a"
        to = "b"
        bulk = { time = "1 s" }
    "#;
    let outcome = run(text);
    assert_eq!((outcome.stop, ms(Some(outcome.ended_at))), (StopReason::Standstill, 0));
    assert_eq!(run(&text.replace("time = \"1 s\"", "bytes = \"1 MB\"")).stop, StopReason::FlowsFinished);
}

// TCP-21
#[test]
fn a_queue_that_marks_instead_of_dropping_is_heeded_by_hosts_with_ecn() {
    let marking = |ecn: u32| {
        let top = format!("[defaults.tcp]\ntcp_ecn = {ecn}");
        let text = document(2, &top, &flow("bulk = { time = \"10 s\" }"));
        run(&text.replace("queue = \"2 BDP\"", "queue = \"1000 packets\"\necn_threshold = 20"))
    };
    let sums = |outcome: &RunOutcome| {
        let resent: u64 = only(outcome).subflows.iter().map(|subflow| subflow.retransmitted_segments).sum();
        let forth = outcome.links.iter().filter(|link| link.direction == Direction::AtoB);
        let (marked, most) = forth.fold((0, 0), |(marked, most), link| {
            (marked + link.stats.marked, most.max(link.stats.max_backlog.packets))
        });
        (resent, marked, most)
    };
    let (resent, marked, most) = sums(&marking(1));
    assert_eq!(resent, 0);
    assert!(marked > 0);
    // Slow start goes beyond the threshold by what is under way when the first mark comes.
    assert!(most < 100, "{most} packets waited");
    let (_, unmarked, most) = sums(&marking(0));
    assert_eq!(unmarked, 0);
    assert!(most > 100, "without ECN nothing keeps the queue short: {most} packets waited");
}

#[test]
fn dctcp_keeps_the_queue_at_the_threshold_and_the_link_full() {
    let text = document(
        1,
        "[defaults.tcp]\ntcp_congestion_control = \"dctcp\"\n",
        &flow("bulk = { time = \"5 s\" }"),
    );
    let text =
        text.replace("rate = \"10 Mbit/s\"\ndelay = \"10 ms\"", "rate = \"100 Mbit/s\"\ndelay = \"1 ms\"");
    let outcome = run(&text.replace("queue = \"2 BDP\"", "queue = \"500 packets\"\necn_threshold = 20"));
    let link = outcome.links.iter().find(|link| link.direction == Direction::AtoB).unwrap();
    assert_eq!(link.stats.total_drops(), 0);
    // Reno would halve and let 17 packets of a round trip pass unused; marks here are few and each takes little.
    let marked = link.stats.marked as f64 / link.stats.packets_in as f64;
    assert!((0.001..0.2).contains(&marked), "{marked}");
    let goodput = only(&outcome).subflows[0].to_server as f64 * 8.0 / 5.0 / 1e6;
    assert!(goodput > 92.0, "{goodput} Mbit/s");
}
