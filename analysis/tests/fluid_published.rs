//! The fluid solver against values published with the algorithms, or derived in closed form from their
//! equations: one row per value. A value counts as met within 1 % or half a unit of its last printed
//! digit, whichever is more; a row may allow more and must then say why.

use analysis::fluid::scenarios::{
    Contest, Groups, Ring, Sizes, detour_triangle, lossy_paths, olia_a, olia_b, olia_c, parallel_links,
    shared_bottleneck, torus,
};
use analysis::fluid::{Algorithm, Equilibrium, LossModel, Network, Options, solve};
use analysis::statistics::jain_index;

use Algorithm::{Balia, Coupled, Cubic, Ewtcp, Lia, Olia, Reno};

/// Packets of 1500 octets per second in 1 Mbit/s.
const MBIT: f64 = 1e6 / 12_000.0;

struct Row {
    source: &'static str,
    what: String,
    printed: &'static str,
    computed: f64,
    /// A wider tolerance, and why.
    excuse: Option<(f64, &'static str)>,
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn add(&mut self, source: &'static str, what: impl Into<String>, printed: &'static str, computed: f64) {
        self.0.push(Row { source, what: what.into(), printed, computed, excuse: None });
    }

    #[track_caller]
    fn check(&self) {
        let mut report = String::new();
        let mut misses = 0;
        for Row { source, what, printed, computed, excuse } in &self.0 {
            let value: f64 = printed.parse().unwrap();
            let decimals = printed.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            let half_unit = 0.5 * 10_f64.powi(-(decimals as i32));
            let part = excuse.map_or(0.01, |(part, _)| part);
            let met = (computed - value).abs() <= (part * value.abs()).max(half_unit * (1.0 + 1e-9));
            misses += usize::from(!met);
            let mark = if met { "  " } else { "! " };
            let note = excuse.map_or("", |(_, note)| note);
            report += &format!("{mark}{source:34} {what:44} {printed:>8} {computed:12.4} {note}\n");
        }
        println!("{report}");
        assert_eq!(misses, 0, "\n{report}");
    }
}

fn solved(network: &Network) -> Equilibrium {
    solved_with(network, &Options::default())
}

fn solved_with(network: &Network, options: &Options) -> Equilibrium {
    solve(network, options).unwrap_or_else(|error| panic!("{error}"))
}

/// Rates of the multipath user and of its rivals.
fn contest(contest: &Contest) -> (Equilibrium, f64, Vec<f64>) {
    let equilibrium = solved(&contest.network);
    let multipath = equilibrium.rate(contest.multipath);
    let rivals = contest.rivals.iter().map(|&user| equilibrium.rate(user)).collect();
    (equilibrium, multipath, rivals)
}

fn subflow_rates(equilibrium: &Equilibrium, user: usize) -> Vec<f64> {
    equilibrium.users[user].subflows.iter().map(|subflow| subflow.rate).collect()
}

const NSDI: &str = "Wischik et al. 2011";

#[test]
fn a_shared_bottleneck_is_divided_evenly_by_coupled_algorithms() {
    let mut rows = Rows::default();
    for algorithm in [Lia, Olia, Balia, Ewtcp, Coupled] {
        for subflows in [2, 3] {
            let (_, multipath, rivals) = contest(&shared_bottleneck(algorithm, subflows, 1000.0, 0.1));
            let what = format!("{algorithm:?}, {subflows} subflows, ratio to TCP");
            rows.add("Wischik et al. 2011", what, "1.00", multipath / rivals[0]);
        }
    }
    for (subflows, expected) in [(2, "2.00"), (3, "3.00")] {
        let (_, multipath, rivals) = contest(&shared_bottleneck(Reno, subflows, 1000.0, 0.1));
        rows.add(NSDI, format!("uncoupled, {subflows} subflows"), expected, multipath / rivals[0]);
    }
    rows.check();
}

#[test]
fn wifi_and_3g_with_fixed_loss() {
    let source = "Wischik et al. 2011";
    let mut rows = Rows::default();
    let paths = [(0.04, 0.01), (0.01, 0.1)];
    let run = |algorithm| contest(&lossy_paths(algorithm, &paths));
    let (equilibrium, total, tcp) = run(Lia);
    rows.add(source, "TCP on WiFi", "707", tcp[0]);
    rows.add(source, "TCP on 3G", "141", tcp[1]);
    rows.add(source, "LIA total", "707", total);
    rows.add(source, "LIA on WiFi", "566", subflow_rates(&equilibrium, 0)[0]);
    rows.add(source, "LIA on 3G", "141", subflow_rates(&equilibrium, 0)[1]);
    rows.add(source, "EWTCP total", "424", run(Ewtcp).1);
    let (equilibrium, total, _) = run(Coupled);
    rows.add(source, "COUPLED total", "141", total);
    rows.add(source, "COUPLED share of 3G", "1.00", equilibrium.users[0].subflows[1].share);
    let (equilibrium, total, _) = run(Balia);
    rows.add("Peng et al. 2016", "Balia total", "707", total);
    rows.add("Peng et al. 2016", "Balia on WiFi", "668", subflow_rates(&equilibrium, 0)[0]);
    rows.add("Peng et al. 2016", "Balia on 3G", "39.5", subflow_rates(&equilibrium, 0)[1]);
    rows.add(source, "uncoupled total", "849", run(Reno).1);
    rows.check();
}

#[test]
fn fixed_losses_of_two_paths() {
    let source = "Peng et al. 2016, equations";
    let mut rows = Rows::default();
    type Case = (Algorithm, [(f64, f64); 2], [&'static str; 3]);
    let cases: [Case; 4] = [
        (Balia, [(0.01, 0.1), (0.02, 0.1)], ["107.6", "33.8", "141.4"]),
        (Lia, [(0.01, 0.1), (0.02, 0.1)], ["94.3", "47.1", "141.4"]),
        (Balia, [(0.01, 0.05), (0.01, 0.1)], ["238.6", "44.3", "282.8"]),
        (Lia, [(0.01, 0.05), (0.01, 0.1)], ["188.6", "94.3", "282.8"]),
    ];
    for (algorithm, paths, [first, second, total]) in cases {
        let (equilibrium, sum, _) = contest(&lossy_paths(algorithm, &paths));
        let rates = subflow_rates(&equilibrium, 0);
        rows.add(source, format!("{algorithm:?} {paths:?} first"), first, rates[0]);
        rows.add(source, format!("{algorithm:?} {paths:?} second"), second, rates[1]);
        rows.add(source, format!("{algorithm:?} {paths:?} total"), total, sum);
    }
    rows.check();
}

#[test]
fn torus_with_one_narrow_link() {
    let source = "Wischik et al. 2011";
    let mut rows = Rows::default();
    let mut run = |algorithm, name: &str, c: f64, [jain, ratio, wide, narrow]: [&'static str; 4]| {
        let Ring { network, links, users } = torus(algorithm, 1000.0, c, 0.1);
        let equilibrium = solved(&network);
        let rates: Vec<_> = users.iter().map(|&user| equilibrium.rate(user)).collect();
        let loss = |link: usize| equilibrium.link(links[link]).unwrap().loss;
        rows.add(source, format!("{name}, C = {c}, Jain"), jain, jain_index(&rates).unwrap());
        rows.add(source, format!("{name}, C = {c}, p_A/p_C"), ratio, loss(0) / loss(2));
        if (algorithm, c) == (Balia, 500.0) {
            rows.0.last_mut().unwrap().excuse =
                Some((0.02, "the only symmetric zero of the drift has 0.640"));
        }
        for user in [0, 3, 4] {
            rows.add(source, format!("{name}, C = {c}, flow {user}"), wide, rates[user]);
        }
        for user in [1, 2] {
            rows.add(source, format!("{name}, C = {c}, flow {user} over C"), narrow, rates[user]);
        }
    };
    for (algorithm, name) in [
        (Lia, "LIA"),
        (Olia, "OLIA"),
        (Balia, "Balia"),
        (Ewtcp, "EWTCP"),
        (Coupled, "COUPLED"),
        (Reno, "Reno"),
    ] {
        run(algorithm, name, 1000.0, ["1.00", "1.00", "1000", "1000"]);
    }
    run(Lia, "LIA", 500.0, ["0.9966", "0.34", "943", "835"]);
    run(Ewtcp, "EWTCP", 500.0, ["0.9818", "0.25", "1000", "750"]);
    run(Balia, "Balia", 500.0, ["1.0", "0.63", "901", "899"]);
    run(Lia, "LIA", 100.0, ["0.9874", "0.047", "896", "706"]);
    run(Ewtcp, "EWTCP", 100.0, ["0.9326", "0.010", "1000", "550"]);
    run(Coupled, "COUPLED", 100.0, ["1.0", "1.00", "820", "820"]);
    run(Olia, "OLIA", 100.0, ["1.0", "1.00", "820", "820"]);
    run(Balia, "Balia", 100.0, ["0.9975", "0.043", "853", "770"]);
    run(Reno, "uncoupled", 100.0, ["0.9326", "0.010", "1000", "550"]);
    rows.check();
}

#[test]
fn detours_of_two_hops() {
    let mut rows = Rows::default();
    for (algorithm, expected) in [(Ewtcp, "8.485"), (Lia, "9.0"), (Coupled, "12.0"), (Olia, "12.0")] {
        let Ring { network, users, .. } = detour_triangle(algorithm, 12.0 * MBIT, 0.1);
        let rate = solved(&network).rate(users[0]) / MBIT;
        rows.add("Wischik et al. 2011", format!("{algorithm:?}, Mbit/s"), expected, rate);
    }
    rows.check();
}

#[test]
fn two_links_with_a_tcp_each() {
    let mut rows = Rows::default();
    let (_, multipath, tcp) = contest(&parallel_links(Lia, &[(250.0, 0.5), (500.0, 0.05)]));
    let source = "Wischik et al. 2011";
    rows.add(source, "RTT 500 and 50 ms, LIA, S1", "125", tcp[0]);
    rows.add(source, "RTT 500 and 50 ms, LIA, S2", "312.5", tcp[1]);
    rows.add(source, "RTT 500 and 50 ms, LIA, M", "312.5", multipath);
    let equal = [(1000.0, 0.1), (1000.0, 0.1)];
    let (_, multipath, tcp) = contest(&parallel_links(Lia, &equal));
    rows.add(NSDI, "equal links, LIA, M", "667", multipath);
    rows.add(NSDI, "equal links, LIA, first TCP", "667", tcp[0]);
    rows.add(NSDI, "equal links, LIA, second TCP", "667", tcp[1]);
    let (_, multipath, tcp) = contest(&parallel_links(Reno, &equal));
    rows.add(NSDI, "equal links, uncoupled, M", "1000", multipath);
    rows.add(NSDI, "equal links, uncoupled, first TCP", "500", tcp[0]);
    rows.add(NSDI, "equal links, uncoupled, second TCP", "500", tcp[1]);
    rows.check();
}

/// Sizes with `c2` of 1 Mbit/s.
fn sizes(c1_to_c2: f64, n1_to_n2: u32) -> Sizes {
    Sizes { n1: 10 * n1_to_n2, n2: 10, c1: c1_to_c2 * MBIT, c2: MBIT, rtt: 0.15 }
}

fn floor_of_one() -> Options {
    Options { window_floor: 1.0, ..Options::default() }
}

#[test]
fn scenario_a_upgrading_hurts_others() {
    let source = "Khalili et al. 2012, scenario A";
    let mut rows = Rows::default();
    let table = [
        (0.75, 1, ["0.750", "0.812", "0.655"]),
        (0.75, 2, ["0.587", "0.668", "0.401"]),
        (0.75, 3, ["0.486", "0.562", "0.275"]),
        (1.0, 1, ["0.739", "0.796", "0.586"]),
        (1.0, 2, ["0.590", "0.652", "0.361"]),
        (1.5, 2, ["0.619", "0.644", "0.343"]),
    ];
    for (c, n, expected) in table {
        for (algorithm, expected) in [Lia, Balia, Reno].into_iter().zip(expected) {
            let Groups { network, first, second } = olia_a(algorithm, sizes(c, n));
            let equilibrium = solved(&network);
            let what = format!("{algorithm:?}, C1/C2 {c}, N1/N2 {n}");
            rows.add(source, format!("{what}, type 2"), expected, equilibrium.rate(second) / MBIT);
            rows.add(source, format!("{what}, type 1"), "1.000", equilibrium.rate(first) / (c * MBIT));
        }
        for algorithm in [Olia, Coupled] {
            let Groups { network, second, .. } = olia_a(algorithm, sizes(c, n));
            let rate = solved(&network).rate(second) / MBIT;
            rows.add(source, format!("{algorithm:?} without probing, {c}, {n}"), "1.000", rate);
        }
        let probing = ["0.92", "0.84", "0.76"][n as usize - 1];
        let Groups { network, second, .. } = olia_a(Olia, sizes(c, n));
        let rate = solved_with(&network, &floor_of_one()).rate(second) / MBIT;
        rows.add(source, format!("OLIA, 1 MSS of probing, {c}, {n}"), probing, rate);
    }
    rows.check();
}

#[test]
fn scenario_b_both_groups_lose_when_red_upgrades_under_lia() {
    let source = "Khalili et al. 2012, scenario B";
    let mut rows = Rows::default();
    let mut run = |algorithm, upgraded, [blue, red, aggregate]: [&'static str; 3]| {
        let Groups { network, first, second } =
            olia_b(algorithm, 15, 27.0 * MBIT, 36.0 * MBIT, 0.15, upgraded);
        let equilibrium = solved(&network);
        let rates = (equilibrium.rate(first) / MBIT, equilibrium.rate(second) / MBIT);
        let what = format!("{algorithm:?}, {}", if upgraded { "upgraded" } else { "red single-path" });
        rows.add(source, format!("{what}, blue"), blue, rates.0);
        rows.add(source, format!("{what}, red"), red, rates.1);
        rows.add(source, format!("{what}, aggregate"), aggregate, 15.0 * (rates.0 + rates.1));
    };
    run(Lia, false, ["2.55", "1.65", "63.0"]);
    run(Lia, true, ["1.98", "1.61", "53.9"]);
    run(Olia, false, ["2.1", "2.1", "63"]);
    run(Olia, true, ["2.1", "2.1", "63"]);
    rows.check();
}

#[test]
fn scenario_c_multipath_users_beside_tcp() {
    let source = "Khalili et al. 2012, scenario C";
    let mut rows = Rows::default();
    let table = [
        (1.0, 1, ["1.296", "0.704"], ["1.246", "0.754"], ["1.333", "0.667"]),
        (1.0, 2, ["1.217", "0.566"], ["1.193", "0.614"], ["1.250", "0.500"]),
        (1.5, 1, ["1.175", "0.737"], ["1.156", "0.766"], ["1.222", "0.667"]),
        (2.0, 1, ["1.117", "0.765"], ["1.114", "0.772"], ["1.167", "0.667"]),
        (2.0, 2, ["1.088", "0.647"], ["1.092", "0.634"], ["1.125", "0.500"]),
        (0.5, 2, ["1.484", "0.516"], ["1.414", "0.586"], ["1.500", "0.500"]),
    ];
    for (c, n, lia, balia, ewtcp) in table {
        for (algorithm, [multi, single]) in [(Lia, lia), (Balia, balia), (Ewtcp, ewtcp)] {
            let Groups { network, first, second } = olia_c(algorithm, sizes(c, n));
            let equilibrium = solved(&network);
            let what = format!("{algorithm:?}, C1/C2 {c}, N1/N2 {n}");
            rows.add(source, format!("{what}, multi"), multi, equilibrium.rate(first) / (c * MBIT));
            rows.add(source, format!("{what}, single"), single, equilibrium.rate(second) / MBIT);
        }
    }
    // 1 + probing and 1 - (N1/N2) probing, where probing is 1 packet in 150 ms of 83.3 packets/s
    for (c, n, multi, single) in [
        (1.0, 1, "1.080", "0.920"),
        (1.0, 2, "1.080", "0.840"),
        (1.5, 1, "1.053", "0.920"),
        (2.0, 1, "1.040", "0.920"),
        (2.0, 2, "1.040", "0.840"),
    ] {
        let Groups { network, first, second } = olia_c(Olia, sizes(c, n));
        let equilibrium = solved_with(&network, &floor_of_one());
        let what = format!("OLIA, 1 MSS of probing, {c}, {n}");
        rows.add(source, format!("{what}, multi"), multi, equilibrium.rate(first) / (c * MBIT));
        rows.add(source, format!("{what}, single"), single, equilibrium.rate(second) / MBIT);
    }
    rows.check();
}

#[test]
fn lia_of_scenarios_a_and_c_is_the_closed_form() {
    // A: z + n z^2 / (1 + 2 z^2) = C2/C1, type 2 = z C1/C2. C: z^3 + n z^2 + z = C2/C1, multi = 1 + z^2.
    let root = |f: &dyn Fn(f64) -> f64| {
        let (mut low, mut high) = (0.0, 10.0);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if f(middle) < 0.0 { low = middle } else { high = middle }
        }
        low
    };
    for c in [0.75, 1.0, 1.25, 1.5, 2.0, 3.0] {
        for n in [1, 2, 3, 5] {
            let crowd = f64::from(n);
            let a = root(&|z| z + crowd * z * z / (1.0 + 2.0 * z * z) - 1.0 / c);
            let Groups { network, second, .. } = olia_a(Lia, sizes(c, n));
            let rate = solved(&network).rate(second) / MBIT;
            assert!((rate - a * c).abs() < 1e-6, "scenario A, {c}, {n}: {rate}");
            let z = root(&|z| z * z * z + crowd * z * z + z - 1.0 / c);
            let Groups { network, first, second } = olia_c(Lia, sizes(c, n));
            let equilibrium = solved(&network);
            let (multi, single) = (equilibrium.rate(first) / (c * MBIT), equilibrium.rate(second) / MBIT);
            assert!((multi - 1.0 - z * z).abs() < 1e-6, "scenario C, {c}, {n}: {multi}");
            assert!((single - c * z * (1.0 + z * z)).abs() < 1e-6, "scenario C, {c}, {n}: {single}");
        }
    }
}

#[test]
fn friendliness_follows_the_order_of_the_balia_paper() {
    let single = |algorithm| {
        let Groups { network, second, .. } = olia_c(algorithm, sizes(1.0, 1));
        solved(&network).rate(second)
    };
    let [coupled, olia, balia, lia, ewtcp] = [Coupled, Olia, Balia, Lia, Ewtcp].map(single);
    assert!(coupled >= olia * (1.0 - 1e-4) && olia > balia && balia > lia && lia > ewtcp);
}

#[test]
fn weighted_vegas() {
    let source = "Cao et al. 2012";
    let mut rows = Rows::default();
    let ideal = Algorithm::IDEAL_WVEGAS;
    for (rtt, subflows) in [(0.01, 2), (0.1, 3), (0.3, 1)] {
        let shared = shared_bottleneck(ideal, subflows, 1000.0, rtt);
        let (equilibrium, multipath, rivals) = contest(&shared);
        let what = format!("one link, {subflows} subflows, RTT {rtt}");
        rows.add(source, format!("{what}, ratio to Vegas"), "1.00", multipath / rivals[0]);
        let queued = equilibrium.links[0].queueing * equilibrium.links[0].load;
        rows.add(source, format!("{what}, packets queued"), "20", queued);
    }
    let linux = shared_bottleneck(Algorithm::LINUX_WVEGAS, 2, 1000.0, 0.1);
    for subflow in &contest(&linux).0.users[0].subflows {
        rows.add(source, "alpha of each of two", "5.0", subflow.rate * subflow.queueing);
    }

    let Ring { network, links, users } = torus(ideal, 1000.0, 100.0, 0.1);
    let equilibrium = solved(&network);
    let rates: Vec<_> = users.iter().map(|&user| equilibrium.rate(user)).collect();
    for (flow, rate) in rates.iter().enumerate() {
        rows.add(source, format!("torus, C = 100, flow {flow}"), "820", *rate);
    }
    rows.add(source, "torus, Jain", "1.0", jain_index(&rates).unwrap());
    rows.add(source, "torus, ms of queue at A", "12.2", equilibrium.link(links[0]).unwrap().queueing * 1e3);
    let floored = Algorithm::WVegas { total_alpha: 10.0, min_alpha: 2.0, whole: false };
    let Ring { network, links, .. } = torus(floored, 1000.0, 100.0, 0.1);
    let at_c = solved(&network).link(links[2]).copied().unwrap();
    rows.add(source, "torus, at least 2 each, ms at C", "40", at_c.queueing * 1e3);
    rows.add(source, "torus, at least 2 each, packets at C", "4", at_c.queueing * at_c.load);

    let mismatch = [(250.0, 0.5), (500.0, 0.05)];
    let (_, multipath, rivals) = contest(&parallel_links(ideal, &mismatch));
    rows.add(source, "RTT 500 and 50 ms, S1", "250", rivals[0]);
    rows.add(source, "RTT 500 and 50 ms, S2", "250", rivals[1]);
    rows.add(source, "RTT 500 and 50 ms, M", "250", multipath);
    let (equilibrium, multipath, rivals) = contest(&parallel_links(Algorithm::LINUX_WVEGAS, &mismatch));
    let kernel = "out-of-tree kernel, shares >= 2";
    rows.add(kernel, "RTT 500 and 50 ms, S1", "208", rivals[0]);
    rows.add(kernel, "RTT 500 and 50 ms, S2", "278", rivals[1]);
    rows.add(kernel, "RTT 500 and 50 ms, M", "264", multipath);
    rows.add(kernel, "RTT 500 and 50 ms, M on 1", "42", subflow_rates(&equilibrium, 0)[0]);
    rows.add(kernel, "RTT 500 and 50 ms, M on 2", "222", subflow_rates(&equilibrium, 0)[1]);
    rows.check();
}

#[test]
fn single_paths_with_evenly_spaced_losses() {
    let mut rows = Rows::default();
    let mut run = |source, algorithm, loss: f64, expected, windows: bool| {
        let options = Options { loss_model: LossModel::Periodic, ..Options::default() };
        let path = lossy_paths(algorithm, &[(loss, 0.1)]);
        let subflow = solved_with(&path.network, &options).users[0].subflows[0];
        let value = if windows { subflow.window } else { subflow.rate };
        rows.add(source, format!("{algorithm:?}, p = {loss}"), expected, value);
    };
    for (loss, rate) in [(1e-4, "1225"), (1e-3, "387"), (1e-2, "122")] {
        run("Mathis et al. 1997", Reno, loss, rate, false);
    }
    for (loss, window) in [(1e-4, "187"), (1e-5, "1054"), (1e-6, "5926"), (1e-7, "33325")] {
        run("RFC 9438, section 5", Cubic, loss, window, true);
    }
    run("RFC 9438, section 4.3", Cubic, 1e-2, "12.2", true);
    rows.check();
}
