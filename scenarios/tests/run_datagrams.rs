//! UDP traffic in small scenarios.

use std::ops::ControlFlow;

use scenarios::Scenario;
use scenarios::run::{DatagramOutcome, Network, RunOutcome, StopReason};
use sim_core::{Bytes, Direction, Duration};

/// A client and a server behind a router; `link` describes the link to the server, `flows` the flows.
fn document(link: &str, flows: &str) -> String {
    format!(
        r#"
title = "test"
duration = "30 s"
[hosts.client]
routes = ["default via 10.0.1.1 dev c0"]
[hosts.client.interfaces]
c0 = {{ addresses = ["10.0.1.2/24", "fd00:1::2/64"] }}
[hosts.router]
kind = "router"
[hosts.router.interfaces]
r0 = {{ addresses = ["10.0.1.1/24", "fd00:1::1/64"] }}
r1 = {{ addresses = ["10.0.9.1/24", "fd00:9::1/64"] }}
[hosts.server]
routes = ["default via 10.0.9.1 dev s0"]
[hosts.server.interfaces]
s0 = {{ addresses = ["10.0.9.2/24", "10.0.9.3/24", "fd00:9::2/64"] }}
[[links]]
name = "near"
a = "client:c0"
b = "router:r0"
delay = "1 ms"
[[links]]
name = "far"
a = "router:r1"
b = "server:s0"
{link}
{flows}
"#
    )
}

fn flow(rate_limited: &str) -> String {
    format!(
        "[[flows]]\nname = \"cross\"\nfrom = \"client\"\nto = \"server\"\nport = 9\nprotocol = \"udp\"\n\
         rate_limited = {{ {rate_limited} }}\n"
    )
}

fn read(text: &str) -> Scenario {
    Scenario::from_toml(text, "test.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

#[track_caller]
fn error(text: &str) -> String {
    Scenario::from_toml(text, "test.toml").unwrap_err().to_string()
}

fn run(text: &str) -> RunOutcome {
    let mut network = Network::build(&read(text), ()).unwrap();
    network.run(&mut (), &mut |_| ControlFlow::Continue(()))
}

fn counted(outcome: &RunOutcome) -> &DatagramOutcome {
    outcome.flows[0].datagrams.as_ref().expect("a UDP flow")
}

#[test]
fn a_constant_rate_arrives_at_that_rate_with_the_delay_of_the_path() {
    let outcome = run(&document(
        "rate = \"10 Mbit/s\"\ndelay = \"5 ms\"",
        &flow("rate = \"4 Mbit/s\", time = \"2 s\""),
    ));
    assert_eq!(outcome.stop, StopReason::FlowsFinished);
    let datagrams = counted(&outcome);
    // 4 Mbit/s for 2 s are 1 MB: 714 datagrams of 1400 bytes and one of 400.
    assert_eq!((datagrams.sent, datagrams.refused, datagrams.lost()), (715, 0, 0));
    let reception = &datagrams.reception;
    assert_eq!((reception.delivered, reception.reordered, reception.duplicated), (715, 0, 0));
    // 1 ms and 5 ms on the way, and 1442 octets at 10 Mbit/s.
    let delay = Duration::from_micros(6_000) + Duration::from_nanos(1_442 * 800);
    assert_eq!((reception.delay_max, reception.delay_min), (delay, delay - Duration::from_micros(800)));
    let flow = &outcome.flows[0];
    assert_eq!((flow.server.record.received, flow.client.record.sent), (1_000_000, 1_000_000));
    let goodput = flow.goodput_bps.unwrap();
    assert!((3.95e6..=4e6).contains(&goodput), "{goodput}");
    assert!(outcome.is_intact() && flow.finished);
    let stats = &outcome.hosts.iter().find(|(name, _)| name == "server").unwrap().1;
    assert_eq!((stats.udp_in_datagrams, stats.udp_no_ports), (715, 0));
}

#[test]
fn bursts_keep_their_times() {
    let bursts =
        flow("rate = \"4 Mbit/s\", time = \"3 s\", write = \"500 B\", on = \"250 ms\", off = \"750 ms\"");
    let outcome = run(&document("rate = \"10 Mbit/s\"", &bursts));
    // Three bursts of 250 ms: 750 ms at 4 Mbit/s.
    assert_eq!(counted(&outcome).reception.delivered, 750);
    let last = outcome.flows[0].server.record.last_rx.unwrap();
    let begin = Duration::from_millis(2_249);
    let since = last.saturating_since(sim_core::Instant::ZERO);
    assert!(since > begin && since < begin + Duration::from_millis(3), "{since}");
}

#[test]
fn what_does_not_fit_the_bottleneck_is_lost_and_counted() {
    let outcome = run(&document(
        "rate = \"2 Mbit/s\"\nqueue = \"10 packets\"",
        &flow("rate = \"4 Mbit/s\", bytes = \"1 MB\""),
    ));
    let datagrams = counted(&outcome);
    let far = outcome.links.iter().find(|link| link.link == "far" && link.direction == Direction::AtoB);
    assert_eq!(datagrams.lost(), far.unwrap().stats.total_drops());
    assert!((0.40..0.55).contains(&(datagrams.lost() as f64 / datagrams.sent as f64)), "{datagrams:?}");
    // The last of a full queue waits for ten others and the one being sent: 1442 octets each at 2 Mbit/s.
    let most = Duration::from_millis(1) + Duration::from_micros(11 * 5_768);
    assert_eq!(datagrams.reception.delay_max, most);
}

#[test]
fn overtaking_and_copies_are_counted() {
    let outcome = run(&document(
        "rate = \"100 Mbit/s\"\njitter = \"20 ms\"\nreorder = true\nduplicate = \"10 %\"",
        &flow("rate = \"4 Mbit/s\", bytes = \"1 MB\""),
    ));
    let DatagramOutcome { sent, reception, .. } = counted(&outcome);
    assert_eq!(reception.delivered, *sent);
    let tenth = sent / 10;
    assert!((tenth / 2..tenth * 2).contains(&reception.duplicated), "{reception:?}");
    assert!(reception.reordered > sent / 4, "{reception:?}");
    // Delays are uniform over 20 ms: their differences are 20/3 ms on average.
    assert!((4.0..10.0).contains(&(reception.jitter.as_secs_f64() * 1e3)), "{reception:?}");
    assert!(outcome.is_intact());
}

#[test]
fn a_closed_port_answers_and_the_sender_hears_of_it() {
    let text = document(
        "rate = \"10 Mbit/s\"\ndelay = \"5 ms\"",
        &flow("rate = \"1 Mbit/s\", bytes = \"20 kB\", write = \"1 kB\"")
            .replace("port = 9", "port = 9\nlisten = \"10.0.9.3\""),
    );
    let outcome = run(&text);
    let datagrams = counted(&outcome);
    let of = |name: &str| &outcome.hosts.iter().find(|(host, _)| host == name).unwrap().1;
    let (server, client) = (of("server"), of("client"));
    assert_eq!(datagrams.reception.delivered, 0);
    assert_eq!(datagrams.sent + datagrams.refused, 20);
    assert_eq!(server.udp_no_ports, datagrams.sent);
    // Six answers at once, then one a second: the flow lasts 160 ms.
    assert_eq!((server.icmp_out_unreachable, client.icmp_unreachable), (6, 6));
    assert_eq!(datagrams.refused, 6);
    assert!(outcome.is_intact());
}

#[test]
fn a_flow_over_ipv6_arrives() {
    let text = document("", &flow("rate = \"4 Mbit/s\", bytes = \"1 MB\""))
        .replace("to = \"server\"", "to = \"fd00:9::2\"")
        .replace(
            "default via 10.0.1.1 dev c0\"",
            "default via 10.0.1.1 dev c0\", \"default via fd00:1::1 dev c0\"",
        )
        .replace(
            "default via 10.0.9.1 dev s0\"",
            "default via 10.0.9.1 dev s0\", \"default via fd00:9::1 dev s0\"",
        );
    assert_eq!(counted(&run(&text)).lost(), 0);
}

#[test]
fn cross_traffic_takes_its_share_of_a_tcp_flow() {
    let tcp = "[[flows]]\nname = \"bulk\"\nfrom = \"client\"\nto = \"server\"\nport = 80\nprotocol = \"tcp\"\n\
               bulk = { time = \"10 s\" }\n";
    let link = "rate = \"10 Mbit/s\"\ndelay = \"10 ms\"\nqueue = \"1 BDP\"";
    let alone = run(&document(link, tcp));
    let beside = run(&document(link, &format!("{}{tcp}", flow("rate = \"5 Mbit/s\", time = \"10 s\""))));
    let goodput = |outcome: &RunOutcome| outcome.flows.last().unwrap().goodput_bps.unwrap();
    assert!(goodput(&alone) > 9e6, "{}", goodput(&alone));
    assert!((3.5e6..5e6).contains(&goodput(&beside)), "{}", goodput(&beside));
}

#[test]
fn what_udp_cannot_do_is_refused_when_the_file_is_read() {
    let document = |rest: &str| document("", &flow(rest));
    for (text, message) in [
        (
            document("rate = \"1 Mbit/s\", bytes = \"1 kB\", direction = \"download\""),
            "exchange `from` and `to`",
        ),
        (document("rate = \"1 Mbit/s\", bytes = \"1 MB\", write = \"1473 B\""), "write at most \"1472 B\""),
        (
            document("rate = \"1 Mbit/s\", bytes = \"1 MB\", off = \"1 s\""),
            "silences without times of sending",
        ),
        (document("rate = \"1 Mbit/s\", bytes = \"1 MB\", on = \"0 s\""), "a burst of no time"),
        (
            document("rate = \"1 Mbit/s\", bytes = \"1 MB\", on = \"1 s\"").replace("\"udp\"", "\"tcp\""),
            "only UDP flows send in bursts",
        ),
    ] {
        let error = error(&text);
        assert!(error.contains(message), "{message}: {error}");
    }
}

#[test]
fn a_udp_flow_is_printed_and_read_back() {
    let text = document("", &flow("rate = \"4 Mbit/s\", time = \"2 s\", on = \"100 ms\""));
    let scenario = read(&text);
    let again = Scenario::from_toml(&scenario.to_toml(), "again.toml").unwrap();
    assert_eq!(scenario, again);
    assert_eq!(again.flows[0].application, scenario.flows[0].application);
    assert!(scenario.to_toml().contains("off = \"100 ms\""), "{}", scenario.to_toml());
    let bytes = match scenario.flows[0].application {
        scenarios::application::Application::RateLimited { bytes, .. } => bytes,
        _ => Bytes(0),
    };
    assert_eq!(bytes, Bytes(500_000));
}
