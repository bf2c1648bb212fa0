//! Middleboxes placed by scenarios: what they do to flows, and what the outcome says of it.

use std::ops::ControlFlow;

use mptcp_model::mptcp::Mode;
use scenarios::Scenario;
use scenarios::run::{BoxOutcome, FlowEnd, Network, RunOutcome};

/// A client with two paths to a server, each through a router of its own; then `rest`.
fn document(rest: &str) -> String {
    format!(
        r#"
title = "test"
duration = "60 s"
[hosts.client]
rules = ["from 10.0.1.2 lookup 1", "from 10.0.2.2 lookup 2"]
routes = ["default via 10.0.1.1 dev c0 table 1", "default via 10.0.2.1 dev c1 table 2", "default via 10.0.1.1 dev c0"]
[hosts.client.interfaces]
c0 = {{ addresses = ["10.0.1.2/24"] }}
c1 = {{ addresses = ["10.0.2.2/24"] }}
[hosts.client.mptcp]
limits = {{ subflows = 4, add_addr_accepted = 4 }}
endpoints = [{{ address = "10.0.2.2", id = 1, flags = ["subflow"] }}]
[hosts.router]
kind = "router"
[hosts.router.interfaces]
r0 = {{ addresses = ["10.0.1.1/24"] }}
r1 = {{ addresses = ["10.0.2.1/24"] }}
r2 = {{ addresses = ["10.0.9.1/24"] }}
[hosts.server]
routes = ["default via 10.0.9.1 dev s0"]
[hosts.server.interfaces]
s0 = {{ addresses = ["10.0.9.2/24"] }}
[hosts.server.mptcp]
limits = {{ subflows = 4, add_addr_accepted = 4 }}
[[links]]
name = "p1"
a = "client:c0"
b = "router:r0"
rate = "10 Mbit/s"
delay = "10 ms"
[[links]]
name = "p2"
a = "client:c1"
b = "router:r1"
rate = "10 Mbit/s"
delay = "20 ms"
[[links]]
name = "srv"
a = "router:r2"
b = "server:s0"
{rest}
"#
    )
}

const BULK: &str =
    "[[flows]]\nname = \"f\"\nfrom = \"client\"\nto = \"server\"\nbulk = { bytes = \"1 MB\" }\n";

/// `more` are keys of the box besides its name.
fn placed(more: &str) -> String {
    document(&format!("[[boxes]]\nname = \"it\"\n{more}\n{BULK}"))
}

fn read(text: &str) -> Scenario {
    Scenario::from_toml(text, "test.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

fn run(text: &str) -> RunOutcome {
    let mut network = Network::build(&read(text), ()).unwrap();
    network.run(&mut (), &mut |_| ControlFlow::Continue(()))
}

fn only(outcome: &RunOutcome) -> &BoxOutcome {
    assert_eq!(outcome.boxes.len(), 1);
    &outcome.boxes[0]
}

fn mode(outcome: &RunOutcome) -> Option<Mode> {
    outcome.flows[0].end(FlowEnd::Server).connection.as_ref().map(|info| info.mode)
}

#[test]
fn a_box_that_blanks_the_option_of_the_syn_leaves_plain_tcp() {
    for (at, direction) in [
        ("at = \"router:r0\"\nnear = \"link\"", "forward"),
        ("at = \"router:r0\"", "backward"),
        ("at = \"router:r2\"", "forward"),
    ] {
        let outcome = run(&placed(&format!(
            "kind = \"options\"\n{at}\nparameters = {{ packets = \"syn\", direction = \"{direction}\" }}"
        )));
        assert_eq!(mode(&outcome), Some(Mode::Plain), "{at}");
        assert!(outcome.flows[0].finished && outcome.is_intact());
        let placed = only(&outcome);
        assert_eq!((placed.counters.changed, placed.counters.dropped), (1, 0), "{at}");
        assert!(placed.counters.seen > 700, "{placed:?}");
    }
    // The SYN does not come this way.
    let other = run(&placed(
        "kind = \"options\"\nat = \"router:r0\"\nparameters = { packets = \"syn\", direction = \"forward\" }",
    ));
    assert_eq!((mode(&other), only(&other).counters.changed), (Some(Mode::Multipath), 0));
}

#[test]
fn a_dropped_packet_has_a_reason() {
    let outcome = run(&placed(
        "kind = \"drop\"\nat = \"router:r0\"\nnear = \"link\"\n\
         parameters = { packets = \"data\", skip = 20, limit = 3 }",
    ));
    let placed = only(&outcome);
    assert_eq!((placed.counters.dropped, &placed.drops[..]), (3, &[("filter", 3)][..]));
    assert!(outcome.flows[0].retransmitted_segments() >= 3);
    assert!(outcome.flows[0].finished && outcome.is_intact());
}

#[test]
fn a_nat_hides_the_client_and_lets_nobody_in() {
    let nat = "[[boxes]]\nname = \"it\"\nkind = \"nat\"\nat = \"router:r2\"\n\
               parameters = { pool = \"10.0.9.1\", mapping = \"address-and-port\", filtering = \"address-and-port\" }\n";
    let outcome = run(&document(&format!("{nat}{BULK}")));
    assert_eq!(mode(&outcome), Some(Mode::Multipath));
    assert!(outcome.flows[0].finished && outcome.is_intact());
    let server = outcome.flows[0].server.connection.as_ref().unwrap();
    let remotes: Vec<String> =
        server.subflows.iter().map(|subflow| subflow.remote.ip().to_string()).collect();
    assert_eq!(remotes, ["10.0.9.1", "10.0.9.1"]);
    // Both ends speak of the same two subflows, whatever they call them.
    let subflows = &outcome.flows[0].subflows;
    let clients: Vec<String> = subflows.iter().map(|subflow| subflow.client.ip().to_string()).collect();
    assert_eq!(clients, ["10.0.1.2", "10.0.2.2"]);
    assert!(subflows.iter().all(|subflow| subflow.to_server > 0 && subflow.share > 0.0), "{subflows:?}");
    let placed = only(&outcome);
    let detail = |name: &str| placed.details.iter().find(|(known, _)| *known == name).unwrap().1;
    assert_eq!((detail("sessions"), detail("refused_inbound")), (2, 0));
    // From outside nobody comes in: datagrams for the address of the router are refused, with a reason.
    let inward = "[[flows]]\nname = \"in\"\nfrom = \"server\"\nto = \"10.0.9.1\"\nprotocol = \"udp\"\n\
                  rate_limited = { rate = \"1 Mbit/s\", bytes = \"14 kB\" }\n";
    let text = document(&format!("{nat}{inward}"))
        .replace("to = \"10.0.9.1\"", "to = \"client\"")
        .replace("pool = \"10.0.9.1\"", "pool = \"10.0.1.2\"");
    let outcome = run(&text);
    let placed = only(&outcome);
    assert_eq!((placed.counters.dropped, &placed.drops[..]), (10, &[("refused_inbound", 10)][..]));
    assert_eq!(outcome.flows[0].datagrams.as_ref().unwrap().lost(), 10);
}

#[test]
fn a_firewall_refuses_calls_from_outside() {
    let inward =
        "[[flows]]\nname = \"in\"\nfrom = \"server\"\nto = \"client\"\nbulk = { bytes = \"10 kB\" }\n";
    let firewall =
        "[[boxes]]\nkind = \"firewall\"\nat = \"router:r2\"\nparameters = { refusal = \"reset\" }\n";
    let outcome = run(&document(&format!("{firewall}{inward}")));
    assert_eq!(only(&outcome).drops, [("unsolicited", 1)]);
    assert!(outcome.flows[0].client.record.error.is_some());
    let open = firewall.replace("refusal = \"reset\"", "refusal = \"reset\", open_ports = \"5001\"");
    let outcome = run(&document(&format!("{open}{inward}")));
    assert_eq!(only(&outcome).drops, []);
    assert!(outcome.flows[0].finished && outcome.flows[0].client.record.error.is_none());
}

#[test]
fn a_box_that_waits_wakes_the_router() {
    // The last segment of each burst waits for a next one, and goes on when the time is up.
    // Plain TCP: of two mappings in one segment the second would be lost.
    let text = placed(
        "kind = \"coalesce\"\nat = \"router:r2\"\n\
         parameters = { packets = \"data\", direction = \"forward\", size = \"2900 B\", wait = \"2 ms\" }",
    );
    let outcome = run(&text.replace("bulk =", "protocol = \"tcp\"\nbulk ="));
    let placed = only(&outcome);
    assert!(placed.counters.held > 100 && placed.counters.released > 100, "{placed:?}");
    assert!(outcome.flows[0].finished && outcome.is_intact(), "{:?}", outcome.flows[0]);
}

#[test]
fn what_one_box_held_the_next_may_drop() {
    let boxes = "[[boxes]]\nkind = \"coalesce\"\nat = \"router:r2\"\n\
                 parameters = { packets = \"data\", direction = \"forward\", wait = \"2 ms\" }\n\
                 [[boxes]]\nname = \"drop\"\nkind = \"drop\"\nat = \"router:r2\"\n\
                 parameters = { packets = \"data\", direction = \"forward\", skip = 10, limit = 5 }\n";
    let text = document(&format!("{boxes}{BULK}")).replace("bulk =", "protocol = \"tcp\"\nbulk =");
    let outcome = run(&text);
    assert_eq!(outcome.boxes[1].drops, [("filter", 5)]);
    assert!(outcome.flows[0].finished && outcome.is_intact());
}

#[test]
fn boxes_at_one_interface_stand_in_the_order_of_the_file() {
    let boxes = "[[boxes]]\nname = \"first\"\nkind = \"drop\"\nat = \"router:r2\"\n\
                 parameters = { direction = \"forward\", packets = \"syn\", limit = 1 }\n\
                 [[boxes]]\nname = \"second\"\nkind = \"bleach\"\nat = \"router:r2\"\n";
    let outcome = run(&document(&format!("{boxes}{BULK}")));
    let [first, second] = &outcome.boxes[..] else { panic!("{:?}", outcome.boxes) };
    assert_eq!((first.name.as_str(), first.counters.dropped), ("first", 1));
    // One less forward, and what is dropped backward is none.
    assert_eq!(second.counters.seen, first.counters.seen - 1);
}

#[test]
fn the_same_seed_brings_the_same_packets() {
    let text = placed("kind = \"drop\"\nat = \"router:r0\"\nparameters = { probability = \"2 %\" }");
    let (one, two) = (run(&text), run(&text));
    assert!(one.boxes[0].counters.dropped > 5, "{:?}", one.boxes);
    assert_eq!((one.digest, &one.boxes), (two.digest, &two.boxes));
    let renamed = run(&text.replace("\"it\"", "\"other\""));
    assert_ne!(one.digest, renamed.digest);
}

#[test]
fn boxes_are_printed_and_read_back() {
    let text = placed(
        "kind = \"split\"\nat = \"router:r1\"\nnear = \"link\"\n\
         parameters = { size = \"700 B\", options = \"first\", start = \"500 ms\" }",
    );
    let scenario = read(&text);
    assert_eq!(Scenario::from_toml(&scenario.to_toml(), "test.toml").unwrap(), scenario);
    assert!(scenario.to_toml().contains("near = \"link\""));
}

#[test]
fn boxes_that_cannot_be_are_refused_when_the_file_is_read() {
    for (more, message) in [
        ("kind = \"natt\"\nat = \"router:r0\"", "there is no box \"natt\"; did you mean \"nat\"?"),
        ("kind = \"drop\"\nat = \"client:c0\"", "client is no router"),
        ("kind = \"drop\"\nat = \"router:r7\"", "no interface of router \"r7\""),
        ("kind = \"drop\"\nat = \"router\"", "names no interface"),
        ("kind = \"drop\"", "add at = \"router:r0\""),
        ("at = \"router:r0\"", "add kind = \"firewall\""),
        ("kind = \"nat\"\nat = \"router:r0\"", "at least one external address"),
        ("kind = \"drop\"\nat = \"router:r0\"\nnear = \"lnik\"", "did you mean \"link\"?"),
        (
            "kind = \"drop\"\nat = \"router:r0\"\nparameters = { packet = \"syn\" }",
            "did you mean \"packets\"?",
        ),
        (
            "kind = \"drop\"\nat = \"router:r0\"\nparameters = { packets = \"sin\" }",
            "a list of rst, syn, syn-ack",
        ),
        (
            "kind = \"drop\"\nat = \"router:r0\"\nparameters = { start = 3 }",
            "start: 3 is a bare number, which does not say what it counts",
        ),
        ("kind = \"drop\"\nat = \"router:r0\"\nparameters = { probability = \"150 %\" }", "probability"),
        (
            "kind = \"drop\"\nat = \"router:r0\"\n[[boxes]]\nname = \"it\"\nkind = \"drop\"\nat = \"router:r0\"",
            "two boxes \"it\"",
        ),
    ] {
        let errors = Scenario::from_toml(&placed(more), "test.toml").unwrap_err().to_string();
        assert!(errors.contains(message), "{message}: {errors}");
    }
}
