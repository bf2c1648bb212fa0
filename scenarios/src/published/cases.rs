//! The cases. Numbers in the descriptions are rates of equilibrium for LIA in packets per second.

use super::network::{LIKE_OUT_OF_TREE, Network, PACKET_BITS, Path};
use super::{Case, Parameter, ParameterError, Range, Values};

type Written = Result<Network, ParameterError>;

const fn number(name: &'static str, meaning: &'static str, min: f64, max: f64, default: f64) -> Parameter {
    Parameter { name, meaning, range: Range::Number { min, max, default } }
}

const ALGORITHM: Parameter = Parameter {
    name: "algorithm",
    meaning: "congestion control of the multipath users; the others are TCP Reno, or wVegas beside wVegas",
    range: Range::Algorithm("lia"),
};

const DURATION: Parameter = number("duration", "seconds of sending", 1.0, 10_000.0, 120.0);

const PRODUCTS: Parameter = number(
    "queue",
    "length of every queue in bandwidth-delay products, at least 10 packets",
    0.01,
    100.0,
    1.0,
);

/// Who shares links with `algorithm`: delay-based users cannot live beside loss-based ones.
fn rival(algorithm: &str) -> &'static str {
    if algorithm == "wvegas" { "wvegas" } else { "reno" }
}

fn over(links: impl Into<Vec<usize>>, rtt: f64) -> Path {
    Path { links: links.into(), rtt }
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "coupled-bottleneck",
        title: "A multipath user and TCP flows at one bottleneck",
        description: "All subflows of m and the flows tcp share the link bn (Wischik et al., NSDI 2011).\n\
                      A coupled m takes as much as one tcp, an uncoupled one as much as its subflows.",
        parameters: &[
            ALGORITHM,
            number("subflows", "subflows of m", 1.0, 8.0, 2.0),
            number("rivals", "TCP flows", 0.0, 100.0, 1.0),
            number("rate", "packets per second of the link", 10.0, 1e6, 1000.0),
            number("rtt", "round-trip time in ms", 1.0, 5000.0, 100.0),
            number("queue", "packets in the queue", 1.0, 1e6, 100.0),
            DURATION,
        ],
        write: shared,
    },
    Case {
        name: "lossy-paths",
        title: "Wi-Fi and 3G with fixed loss",
        description: "m has a subflow on each of two paths without limit of rate, tcp1 and tcp2 have one each\n\
                      (Wischik et al., NSDI 2011). m takes what TCP takes on the better path.",
        parameters: &[
            ALGORITHM,
            number("loss1", "loss on the first path in per cent", 0.0, 50.0, 4.0),
            number("rtt1", "its round-trip time in ms", 1.0, 5000.0, 10.0),
            number("loss2", "loss on the second path in per cent", 0.0, 50.0, 1.0),
            number("rtt2", "its round-trip time in ms", 1.0, 5000.0, 100.0),
            DURATION,
        ],
        write: lossy,
    },
    Case {
        name: "torus",
        title: "Five flows on five links in a ring",
        description: "Flow i has a subflow on link i and one on the next; link C has a rate of its own (Wischik et\n\
                      al., NSDI 2011). Jain's index of the five rates, and the loss of A over that of C.",
        parameters: &[
            ALGORITHM,
            number("rate", "packets per second of the links", 10.0, 1e6, 1000.0),
            number("c", "packets per second of link C", 10.0, 1e6, 100.0),
            number("rtt", "round-trip time in ms", 1.0, 5000.0, 100.0),
            DURATION,
        ],
        write: torus,
    },
    Case {
        name: "detour-triangle",
        title: "Three links, three flows with a detour each",
        description: "Each flow has a path over one link and a path over the other two (Wischik et al., NSDI 2011).\n\
                      Least efficient with an even split: two thirds of a link for each.",
        parameters: &[
            ALGORITHM,
            number("rate", "packets per second of the links", 10.0, 1e6, 1000.0),
            number("rtt", "round-trip time of the paths over one link in ms", 1.0, 5000.0, 100.0),
            number("detour", "round-trip time of the detours in ms", 1.0, 5000.0, 100.0),
            number("queue", "packets in every queue", 1.0, 1e6, 100.0),
            number("users", "users of each of the three kinds", 1.0, 100.0, 1.0),
            DURATION,
        ],
        write: triangle,
    },
    Case {
        name: "rtt-mismatch",
        title: "A slow long path and a fast short one, with one TCP on each",
        description: "m uses both links, s1 and s2 one each (Wischik et al., NSDI 2011).",
        parameters: &[
            ALGORITHM,
            number("rate1", "packets per second of the first link", 10.0, 1e6, 250.0),
            number("rtt1", "its round-trip time in ms", 1.0, 5000.0, 500.0),
            number("rate2", "packets per second of the second link", 10.0, 1e6, 500.0),
            number("rtt2", "its round-trip time in ms", 1.0, 5000.0, 50.0),
            PRODUCTS,
            DURATION,
        ],
        write: parallel,
    },
    Case {
        name: "two-links",
        title: "Two equal links, one TCP on each, a multipath user over both",
        description: "All three should get the same (Wischik et al., NSDI 2011).",
        parameters: &[
            ALGORITHM,
            number("rate1", "packets per second of the first link", 10.0, 1e6, 1000.0),
            number("rtt1", "its round-trip time in ms", 1.0, 5000.0, 100.0),
            number("rate2", "packets per second of the second link", 10.0, 1e6, 1000.0),
            number("rtt2", "its round-trip time in ms", 1.0, 5000.0, 100.0),
            PRODUCTS,
            DURATION,
        ],
        write: parallel,
    },
    Case {
        name: "olia-a",
        title: "OLIA, scenario A: an upgrade that helps nobody",
        description: "Users a have a private path through the server's access and one through the shared access\n\
                      point, users b only the latter (Khalili et al., CoNEXT 2012). Rate of b over c2.",
        parameters: OLIA,
        write: |values| olia(values, true),
    },
    Case {
        name: "olia-b",
        title: "OLIA, scenario B: two providers",
        description: "Blue users have paths through X and through T, red ones through T and, once upgraded, also\n\
                      through X and T in series (Khalili et al., CoNEXT 2012). Both lose by it under LIA.",
        parameters: &[
            ALGORITHM,
            number("users", "users of each colour", 1.0, 100.0, 15.0),
            number("x", "capacity of X in Mbit/s", 0.1, 1e4, 27.0),
            number("t", "capacity of T in Mbit/s", 0.1, 1e4, 36.0),
            number("upgraded", "1 if red users have two paths, else 0", 0.0, 1.0, 1.0),
            DURATION,
        ],
        write: olia_b,
    },
    Case {
        name: "olia-c",
        title: "OLIA, scenario C: multipath users and TCP users at an access point",
        description: "Users a have the access points 1 and 2, users b only the second (Khalili et al., CoNEXT\n\
                      2012). Rates of a over c1 and of b over c2.",
        parameters: OLIA,
        write: |values| olia(values, false),
    },
    Case {
        name: "wvegas-fairness",
        title: "wVegas users at one bottleneck",
        description: "m has two subflows, the users v one each; all get the same and keep 10 packets each in a deep\n\
                      queue (Cao, Xu and Fu, ICNP 2012).",
        parameters: &[
            Parameter {
                name: "drain",
                meaning: "whether windows are cut when the queueing delay doubles",
                range: Range::Choice(&["true", "false"]),
            },
            number("rivals", "users v", 1.0, 100.0, 3.0),
            number("rate", "packets per second of the link", 10.0, 1e6, 1000.0),
            number("rtt", "round-trip time in ms", 1.0, 5000.0, 100.0),
            DURATION,
        ],
        write: wvegas,
    },
    Case {
        name: "fat-tree",
        title: "Permutation traffic in a fat tree",
        description: "Each host sends to one other host and receives from one; each subflow takes a core switch\n\
                      chosen at random, as ECMP would (Raiciu et al., SIGCOMM 2011). Rates over the interface's.",
        parameters: &[
            ALGORITHM,
            number("k", "ports of a switch; k^3 / 4 hosts", 2.0, 16.0, 4.0),
            number("subflows", "subflows of a flow", 1.0, 8.0, 8.0),
            number("rate", "Mbit/s of every link", 1.0, 1e5, 100.0),
            number("queue", "packets in every queue", 1.0, 1e6, 100.0),
            number(
                "random",
                "per cent of every queue, its last places, that are filled at random",
                0.0,
                100.0,
                50.0,
            ),
            number("permutation", "number of the permutation and the choice of paths", 0.0, 1e6, 1.0),
            Parameter {
                name: "acks",
                meaning: "whether ACKs share the links with the data of others, or go straight back",
                range: Range::Choice(&["shared", "straight"]),
            },
            number("duration", "seconds of sending", 1.0, 10_000.0, 6.0),
        ],
        write: fat_tree,
    },
    Case {
        name: "responsiveness",
        title: "A competing TCP arrives and leaves",
        description: "m has two links of its own; tcp joins the first at one third of the run and leaves at two\n\
                      thirds. How fast m gives way and comes back.",
        parameters: &[
            ALGORITHM,
            number("rate", "packets per second of each link", 10.0, 1e6, 1000.0),
            number("rtt", "round-trip time in ms", 1.0, 5000.0, 100.0),
            DURATION,
        ],
        write: responsiveness,
    },
    Case {
        name: "rtt-unfairness",
        title: "Two single-path flows of different round-trip time at one bottleneck",
        description: "near and far share a link; Reno gives them rates in inverse proportion to the round-trip time\n\
                      or worse, CUBIC less unequal ones.",
        parameters: &[
            ALGORITHM,
            number("rate", "packets per second of the link", 10.0, 1e6, 1000.0),
            number("near", "round-trip time of near in ms", 1.0, 5000.0, 50.0),
            number("far", "round-trip time of far in ms", 1.0, 5000.0, 200.0),
            number("queue", "packets in the queue", 1.0, 1e6, 50.0),
            DURATION,
        ],
        write: unfairness,
    },
    Case {
        name: "kernel-bottleneck",
        title: "The shared bottleneck measured on the out-of-tree kernel",
        description: "m has two subflows over a link of 5 Mbit/s, 50 ms and a queue of 31250 bytes, tcp is one Reno\n\
                      flow. The kernel spoke version 0 of MPTCP, as is done here.",
        parameters: KERNEL,
        write: |values| kernel(values, Measured::Bottleneck),
    },
    Case {
        name: "kernel-two-paths",
        title: "Two paths measured on the out-of-tree kernel",
        description: "5 Mbit/s and 40 ms beside 2.5 Mbit/s and 100 ms, queues of one bandwidth-delay product.\n\
                      The kernel spoke version 0 of MPTCP, as is done here.",
        parameters: KERNEL,
        write: |values| kernel(values, Measured::TwoPaths),
    },
    Case {
        name: "kernel-random-loss",
        title: "Two paths with random loss measured on the out-of-tree kernel",
        description: "Two paths of 8 Mbit/s and 60 ms with large queues and losses of 1 % and 0.5 %.\n\
                      The kernel spoke version 0 of MPTCP, as is done here.",
        parameters: &[
            ALGORITHM,
            ARITHMETIC,
            Parameter {
                name: "losses",
                meaning: "drawn anew with each seed, or the same ones as in the measured runs",
                range: Range::Choice(&["random", "measured"]),
            },
            DURATION,
        ],
        write: |values| kernel(values, Measured::RandomLoss),
    },
    Case {
        name: "single-flow-response",
        title: "One flow under random loss",
        description: "What Mathis et al. (1997), Padhye et al. (1998) and RFC 9438 give formulas for.",
        parameters: &[
            Parameter { range: Range::Algorithm("reno"), ..ALGORITHM },
            number("loss", "loss in per cent", 0.0, 50.0, 1.0),
            Parameter {
                name: "losses",
                meaning: "each packet by itself, or evenly spaced as the formulas have it",
                range: Range::Choice(&["random", "even"]),
            },
            number("rtt", "round-trip time in ms", 1.0, 5000.0, 100.0),
            DURATION,
        ],
        write: response,
    },
];

const OLIA: &[Parameter] = &[
    ALGORITHM,
    number("n1", "users a", 1.0, 100.0, 10.0),
    number("n2", "users b", 1.0, 100.0, 10.0),
    number("c1", "Mbit/s for each user a", 0.01, 1e4, 1.0),
    number("c2", "Mbit/s for each user b", 0.01, 1e4, 1.0),
    number("rtt", "round-trip time in ms", 1.0, 5000.0, 150.0),
    PRODUCTS,
    DURATION,
];

/// Packets of a bandwidth-delay product, at least 10.
fn product(rate: f64, rtt: f64) -> u32 {
    ((rate * rtt / PACKET_BITS + 0.5) as u32).max(10)
}

fn shared(values: &Values<'_>) -> Written {
    let algorithm = values.algorithm()?;
    let rtt = values.number("rtt")? / 1e3;
    let mut network = Network::new(values.number("duration")?);
    let link = network.link("bn", values.number("rate")? * PACKET_BITS, values.count("queue")?);
    let path = over([link], rtt);
    network.user("m", algorithm, vec![path.clone(); values.count("subflows")? as usize]);
    match values.count("rivals")? {
        0 => {}
        rivals => network.users("tcp", rivals, rival(algorithm), vec![path]),
    }
    Ok(network)
}

/// Rate that no window here reaches.
const AMPLE: f64 = 1e9;

fn lossy(values: &Values<'_>) -> Written {
    let algorithm = values.algorithm()?;
    let mut network = Network::new(values.number("duration")?);
    let mut paths = Vec::new();
    for number in ["1", "2"] {
        let link = network.link(&format!("p{number}"), AMPLE, 10_000);
        network.links[link].loss = values.number(&format!("loss{number}"))? / 100.0;
        paths.push(over([link], values.number(&format!("rtt{number}"))? / 1e3));
    }
    network.user("m", algorithm, paths.clone());
    for (index, path) in paths.into_iter().enumerate() {
        network.user(&format!("tcp{}", index + 1), rival(algorithm), vec![path]);
    }
    Ok(network)
}

fn torus(values: &Values<'_>) -> Written {
    let algorithm = values.algorithm()?;
    let rtt = values.number("rtt")? / 1e3;
    let mut network = Network::new(values.number("duration")?);
    let mut links = Vec::new();
    for name in ["A", "B", "C", "D", "E"] {
        let rate = values.number(if name == "C" { "c" } else { "rate" })? * PACKET_BITS;
        links.push(network.link(name, rate, product(rate, rtt)));
    }
    for index in 0..5 {
        let paths = [index, (index + 1) % 5].map(|link| over([links[link]], rtt));
        network.user(&format!("f{}", index + 1), algorithm, paths.to_vec());
    }
    Ok(network)
}

fn triangle(values: &Values<'_>) -> Written {
    let algorithm = values.algorithm()?;
    let rtt = values.number("rtt")? / 1e3;
    let rate = values.number("rate")? * PACKET_BITS;
    let mut network = Network::new(values.number("duration")?);
    let detour = values.number("detour")? / 1e3;
    let (queue, users) = (values.count("queue")?, values.count("users")?);
    let links = ["A", "B", "C"].map(|name| network.link(name, rate, queue));
    for index in 0..3 {
        let detour = over([links[(index + 1) % 3], links[(index + 2) % 3]], detour);
        let paths = vec![over([links[index]], rtt), detour];
        network.users(&format!("f{}", index + 1), users, algorithm, paths);
    }
    Ok(network)
}

fn parallel(values: &Values<'_>) -> Written {
    let algorithm = values.algorithm()?;
    let queue = values.number("queue")?;
    let mut network = Network::new(values.number("duration")?);
    let mut paths = Vec::new();
    for number in ["1", "2"] {
        let rate = values.number(&format!("rate{number}"))? * PACKET_BITS;
        let rtt = values.number(&format!("rtt{number}"))? / 1e3;
        paths.push(over([network.link(&format!("p{number}"), rate, product(rate, rtt * queue))], rtt));
    }
    network.user("m", algorithm, paths.clone());
    for (index, path) in paths.into_iter().enumerate() {
        network.user(&format!("s{}", index + 1), rival(algorithm), vec![path]);
    }
    Ok(network)
}

/// Scenario A if the users `a` have their own path through the server's access in series with the shared
/// access point, else scenario C.
fn olia(values: &Values<'_>, in_series: bool) -> Written {
    let algorithm = values.algorithm()?;
    let (n1, n2) = (values.count("n1")?, values.count("n2")?);
    let rtt = values.number("rtt")? / 1e3;
    let mut network = Network::new(values.number("duration")?);
    let rates = [values.number("c1")? * 1e6 * f64::from(n1), values.number("c2")? * 1e6 * f64::from(n2)];
    let queue = rtt * values.number("queue")?;
    let own = network.link("own", rates[0], product(rates[0], queue));
    let shared = network.link("shared", rates[1], product(rates[1], queue));
    let through = if in_series { over([own, shared], rtt) } else { over([shared], rtt) };
    network.users("a", n1, algorithm, vec![over([own], rtt), through]);
    network.users("b", n2, rival(algorithm), vec![over([shared], rtt)]);
    Ok(network)
}

fn olia_b(values: &Values<'_>) -> Written {
    const RTT: f64 = 0.15;
    let algorithm = values.algorithm()?;
    let users = values.count("users")?;
    let mut network = Network::new(values.number("duration")?);
    let rates = [values.number("x")? * 1e6, values.number("t")? * 1e6];
    let x = network.link("X", rates[0], product(rates[0], RTT));
    let t = network.link("T", rates[1], product(rates[1], RTT));
    network.users("blue", users, algorithm, vec![over([x], RTT), over([t], RTT)]);
    if values.count("upgraded")? == 1 {
        network.users("red", users, algorithm, vec![over([t], RTT), over([x, t], RTT)]);
    } else {
        network.users("red", users, rival(algorithm), vec![over([t], RTT)]);
    }
    Ok(network)
}

fn wvegas(values: &Values<'_>) -> Written {
    let rtt = values.number("rtt")? / 1e3;
    let rivals = values.count("rivals")?;
    let mut network = Network::new(values.number("duration")?);
    let link = network.link("bn", values.number("rate")? * PACKET_BITS, 30 * (rivals + 1));
    // Nobody is to lose anything here.
    network.links[link].random_places = 0;
    let path = over([link], rtt);
    network.user("m", "wvegas", vec![path.clone(); 2]);
    network.users("v", rivals, "wvegas", vec![path]);
    let drain = values.word("drain")?;
    for users in &mut network.users {
        users.parameters = format!("congestion_parameters = {{ drain = {drain} }}\n");
    }
    Ok(network)
}

fn responsiveness(values: &Values<'_>) -> Written {
    let algorithm = values.algorithm()?;
    let rtt = values.number("rtt")? / 1e3;
    let rate = values.number("rate")? * PACKET_BITS;
    let duration = values.number("duration")?;
    let mut network = Network::new(duration);
    let links = ["p1", "p2"].map(|name| network.link(name, rate, product(rate, rtt)));
    network.user("m", algorithm, links.map(|link| over([link], rtt)).to_vec());
    network.user("tcp", rival(algorithm), vec![over([links[0]], rtt)]);
    if let Some(tcp) = network.users.last_mut() {
        (tcp.start, tcp.until) = (duration / 3.0, duration * 2.0 / 3.0);
    }
    Ok(network)
}

fn unfairness(values: &Values<'_>) -> Written {
    let algorithm = values.algorithm()?;
    let mut network = Network::new(values.number("duration")?);
    let link = network.link("bn", values.number("rate")? * PACKET_BITS, values.count("queue")?);
    for name in ["near", "far"] {
        let rtt = values.number(name)? / 1e3;
        network.user(name, algorithm, vec![over([link], rtt)]);
    }
    Ok(network)
}

const ARITHMETIC: Parameter = Parameter {
    name: "arithmetic",
    meaning: "that of the kernel or that of the papers",
    range: Range::Choice(&["linux", "exact"]),
};

const KERNEL: &[Parameter] = &[ALGORITHM, ARITHMETIC, DURATION];

/// What the losses of the measured runs were drawn from, the same for all of them, on the first and the second path.
const MEASURED_LOSSES: [u64; 2] = [11, 12];

/// The measured networks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measured {
    Bottleneck,
    TwoPaths,
    RandomLoss,
}

fn kernel(values: &Values<'_>, measured: Measured) -> Written {
    let algorithm = values.algorithm()?;
    let mut network = Network::new(values.number("duration")?);
    network.defaults = LIKE_OUT_OF_TREE;
    network.ethernet = true;
    // Frames there left their pipe 10 to 60 us late.
    network.jitter = Some(50e-6);
    // Rate in bit/s, queue in bytes, loss, round-trip time in seconds.
    let links: &[(f64, u32, f64, f64)] = match measured {
        Measured::Bottleneck => &[(5e6, 31_250, 0.0, 0.05)],
        Measured::TwoPaths => &[(5e6, 25_000, 0.0, 0.04), (2.5e6, 31_250, 0.0, 0.1)],
        Measured::RandomLoss => &[(8e6, 240_000, 0.01, 0.06), (8e6, 240_000, 0.005, 0.06)],
    };
    let mut paths = Vec::new();
    for (index, &(rate, queue, loss, rtt)) in links.iter().enumerate() {
        let link = network.link(&format!("p{}", index + 1), rate, 0);
        network.links[link].queue = format!("{queue} B");
        network.links[link].random_places = 0;
        network.links[link].loss = loss;
        if measured == Measured::RandomLoss && values.word("losses")? == "measured" {
            network.links[link].splitmix_seed = MEASURED_LOSSES.get(index).copied();
        }
        paths.push(over([link], rtt));
    }
    if measured == Measured::Bottleneck {
        paths.push(paths[0].clone());
    }
    network.user("m", algorithm, paths.clone());
    if values.word("arithmetic")? == "linux"
        && let Some(user) = network.users.last_mut()
    {
        user.parameters = match algorithm {
            // As of v0.90.
            "lia" => "congestion_parameters = { arithmetic = \"linux-us\" }\n".to_owned(),
            "olia" | "balia" | "wvegas" => "congestion_parameters = { arithmetic = \"linux\" }\n".to_owned(),
            _ => String::new(),
        };
    }
    if measured == Measured::Bottleneck {
        network.user("tcp", "reno", vec![paths[0].clone()]);
        if let Some(tcp) = network.users.last_mut() {
            tcp.start = 1.0;
        }
    }
    Ok(network)
}

fn response(values: &Values<'_>) -> Written {
    let mut network = Network::new(values.number("duration")?);
    let link = network.link("p", AMPLE, 10_000);
    let loss = values.number("loss")? / 100.0;
    match values.word("losses")? {
        "even" if loss > 0.0 => network.links[link].every_nth = (1.0 / loss + 0.5) as u64,
        "even" => {}
        _ => network.links[link].loss = loss,
    }
    network.user("tcp", values.algorithm()?, vec![over([link], values.number("rtt")? / 1e3)]);
    Ok(network)
}

/// Delay of each hop of the fat tree.
const HOP: f64 = 20e-6;

fn fat_tree(values: &Values<'_>) -> Written {
    let algorithm = values.algorithm()?;
    let k = values.count("k")?;
    if !k.is_multiple_of(2) {
        return Err(values.error("k", "must be even"));
    }
    let (rate, queue) = (values.number("rate")? * 1e6, values.count("queue")?);
    let random_places = (f64::from(queue) * values.number("random")? / 100.0) as u32;
    let subflows = values.count("subflows")?;
    let half = k / 2;
    let hosts = k * half * half;
    let mut network = Network::new(values.number("duration")?);
    network.acks_apart = values.word("acks")? == "straight";
    let edge = |host: u32| format!("edge{}", host / half);
    let pod = |host: u32| host / (half * half);
    let mut links = std::collections::BTreeMap::new();
    let mut random = Random(u64::from(values.count("permutation")?));
    let destinations = random.derangement(hosts);
    for (host, destination) in (0..hosts).zip(destinations) {
        let mut paths = Vec::new();
        for _ in 0..subflows {
            let core = random.below(half * half);
            let mut stations = vec![format!("nic{host}"), edge(host)];
            if edge(host) != edge(destination) {
                stations.push(format!("agg{}x{}", pod(host), core / half));
                if pod(host) != pod(destination) {
                    stations.push(format!("core{core}"));
                    stations.push(format!("agg{}x{}", pod(destination), core / half));
                }
                stations.push(edge(destination));
            }
            stations.push(format!("nic{destination}"));
            let path: Vec<_> = stations
                .windows(2)
                .map(|pair| {
                    *links.entry((pair[0].clone(), pair[1].clone())).or_insert_with(|| {
                        let name = format!("{}-{}", pair[0], pair[1]);
                        let link = network.between(&name, &pair[0], &pair[1], rate, queue);
                        network.links[link].delay = HOP;
                        network.links[link].random_places = random_places;
                        link
                    })
                })
                .collect();
            // The sender's random delay, at most a tenth of this, keeps hosts out of step.
            let rtt = 2.0 * HOP * path.len() as f64 + 2.0 * PACKET_BITS / rate;
            paths.push(over(path, rtt));
        }
        network.user(&format!("h{host}"), if subflows > 1 { algorithm } else { "reno" }, paths);
    }
    Ok(network)
}

/// Steele's SplitMix64: which paths and destinations a numbered permutation has must never change.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, bound: u32) -> u32 {
        // The bias is below 2^-40 for the few hundred values here.
        (self.next() % u64::from(bound.max(1))) as u32
    }

    /// A random cyclic permutation of `0..count`, in which nobody sends to himself (Sattolo 1986).
    fn derangement(&mut self, count: u32) -> Vec<u32> {
        let mut order: Vec<_> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last as usize, self.below(last) as usize);
        }
        order
    }
}
