//! The fairness gate must notice controllers that are not what they are called. Each mutant takes the place of one
//! registered algorithm; the table says what it does and which test of the built-in suite notices it.

use mptcp_model::congestion::{
    self, AckEvent, CongestionControl, CreateError, Parameters, PathView, Window, lia,
};
use sim_core::{Duration, Instant};

use super::*;
use crate::fairness::fairness_suite;

/// An algorithm with something changed.
#[derive(Debug)]
struct Mutant {
    base: Box<dyn CongestionControl>,
    /// How often each ACK counts.
    repeat: u32,
    /// The threshold after a loss, from the window before and what the algorithm says.
    after_loss: fn(u32, u32) -> u32,
    /// Growth in congestion avoidance instead of the algorithm's, in segments for one acknowledged.
    increase: Option<fn(usize, &[PathView]) -> f64>,
    credit: f64,
}

impl Mutant {
    fn of(name: &str, parameters: &Parameters) -> Result<Self, CreateError> {
        let base = congestion::create(name, parameters)?;
        Ok(Self { base, repeat: 1, after_loss: |_, own| own, increase: None, credit: 0.0 })
    }
}

impl CongestionControl for Mutant {
    fn name(&self) -> &'static str {
        self.base.name()
    }

    fn on_established(&mut self, now: Instant, window: &mut Window, path: &PathView) {
        self.base.on_established(now, window, path);
    }

    fn on_ack(&mut self, window: &mut Window, ack: &AckEvent, me: usize, paths: &[PathView]) {
        let Some(increase) = self.increase.filter(|_| !window.in_slow_start() && paths.len() > 1) else {
            for _ in 0..self.repeat {
                self.base.on_ack(window, ack, me, paths);
            }
            return;
        };
        if ack.cwnd_limited {
            self.credit += increase(me, paths) * f64::from(ack.delivered);
            let whole = self.credit as u32;
            self.credit -= f64::from(whole);
            window.cwnd = window.cwnd.saturating_add(whole).min(window.clamp);
        }
    }

    fn on_rtt_sample(&mut self, window: &mut Window, ack: &AckEvent, rtt: Duration) {
        self.base.on_rtt_sample(window, ack, rtt);
    }

    fn ssthresh(
        &mut self,
        window: &Window,
        cause: congestion::Cause,
        now: Instant,
        me: usize,
        paths: &[PathView],
    ) -> u32 {
        self.credit = 0.0;
        let own = self.base.ssthresh(window, cause, now, me, paths);
        (self.after_loss)(window.cwnd, own).max(1)
    }

    fn on_state_change(&mut self, window: &mut Window, old: congestion::CaState, new: congestion::CaState) {
        self.base.on_state_change(window, old, new);
    }

    fn is_coupled(&self) -> bool {
        self.base.is_coupled()
    }
}

type Made = Result<Box<dyn CongestionControl>, CreateError>;

/// A constructor that makes `$name` with some fields of [`Mutant`] changed, and all others as they are.
macro_rules! mutant {
    ($name:literal, $($field:ident : $value:expr),+) => {
        |name: &str, parameters: &Parameters| -> Made {
            if name == $name {
                Ok(Box::new(Mutant { $($field: $value,)+ ..Mutant::of(name, parameters)? }))
            } else {
                congestion::create(name, parameters)
            }
        }
    };
}

/// One algorithm under the name of another.
macro_rules! impostor {
    ($name:literal, $other:literal, $parameters:expr) => {
        |name: &str, parameters: &Parameters| -> Made {
            if name == $name {
                congestion::create($other, &$parameters)
            } else {
                congestion::create(name, parameters)
            }
        }
    };
}

/// LIA's alpha over the total window without the cap of Reno's growth.
fn uncapped(_me: usize, paths: &[PathView]) -> f64 {
    let total: f64 = paths.iter().map(|path| f64::from(path.cwnd)).sum();

    lia::alpha(paths).unwrap_or(0.0) / total
}

/// What Reno grows by.
fn uncoupled(me: usize, paths: &[PathView]) -> f64 {
    1.0 / f64::from(paths[me].cwnd.max(1))
}

/// LIA with twice its growth.
fn twice_lia(me: usize, paths: &[PathView]) -> f64 {
    2.0 * lia::increase(me, paths)
}

/// Name, constructor, and the metric of the built-in suite that has to notice it.
const MUTANTS: &[(&str, CreateCongestion, &str)] = &[
    (
        "LIA without its cap",
        mutant!("lia", increase: Some(uncapped)),
        "random loss lia: long subflow / TCP on the long path",
    ),
    (
        "uncoupled increase under the name of LIA",
        mutant!("lia", increase: Some(uncoupled)),
        "bottleneck lia: m / tcp",
    ),
    (
        "LIA with twice its growth",
        mutant!("lia", increase: Some(twice_lia)),
        "random loss, unequal, lia: m / TCP on the better path",
    ),
    (
        "LIA that gives up an eighth on loss",
        mutant!("lia", after_loss: |cwnd, _| cwnd - cwnd / 8),
        "bottleneck lia: m / tcp",
    ),
    (
        "uncoupled Reno under the name of OLIA",
        impostor!("olia", "reno", Parameters::new()),
        "bottleneck olia: m / tcp",
    ),
    (
        "LIA under the name of OLIA",
        impostor!("olia", "lia", Parameters::new()),
        "random loss, unequal, olia: worse subflow / TCP on the worse path",
    ),
    (
        "Balia that gives up a quarter on loss",
        mutant!("balia", after_loss: |cwnd, _| cwnd - cwnd / 4),
        "random loss, unequal, balia: m / TCP on the better path",
    ),
    (
        "uncoupled increase under the name of Balia",
        mutant!("balia", increase: Some(uncoupled)),
        "bottleneck balia: m / tcp",
    ),
    (
        "EWTCP with the weight of a full TCP",
        mutant!("ewtcp", increase: Some(uncoupled)),
        "bottleneck ewtcp: m / tcp",
    ),
    (
        "EWTCP under the name of the fully coupled algorithm",
        impostor!("coupled", "ewtcp", Parameters::new()),
        "random loss, unequal, coupled: worse subflow / TCP on the worse path",
    ),
    ("Reno that grows twice a round trip", mutant!("reno", repeat: 2), "random loss reno: rate / Mathis"),
    (
        "Reno that gives up a quarter on loss",
        mutant!("reno", after_loss: |cwnd, _| cwnd - cwnd / 4),
        "random loss reno: rate / Mathis",
    ),
    (
        "CUBIC that keeps 0.85 of its window",
        impostor!("cubic", "cubic", Parameters::new().with("beta", 0.85)),
        "random loss cubic: window / RFC 9438",
    ),
    (
        "wVegas that keeps 40 segments queued",
        impostor!("wvegas", "wvegas", Parameters::new().with("total_alpha", 40.0)),
        "wvegas: window of v, segments",
    ),
    (
        "Reno under the name of wVegas",
        impostor!("wvegas", "reno", Parameters::new()),
        "wvegas: window of v, segments",
    ),
];

fn gate(suite: &Suite, create: CreateCongestion) -> Vec<Outcome> {
    run(suite, &Mode { directory: Path::new("."), create, fluid: false }, None).expect("the suite runs")
}

/// The part of the built-in suite that holds a test, with fewer seeds: mutants are far outside the bounds.
fn only(test: &str) -> Suite {
    let (mut suite, _) = fairness_suite(None).expect("the built-in suite is right");
    suite.tests.retain(|one| one.name == test);
    suite.seeds = 4;
    suite
}

#[test]
fn every_mutant_is_noticed_by_the_test_named_for_it() {
    let mut text = String::new();
    let mut escaped = 0;
    for &(what, create, key) in MUTANTS {
        let (test, _) = key.split_once(": ").expect("test and metric");
        let outcomes = gate(&only(test), create);
        let outcome = outcomes.iter().find(|one| one.key() == key).expect("the metric is in the suite");
        let noticed = outcome.verdict != Verdict::Pass;
        escaped += usize::from(!noticed);
        text += &format!("{what:55} {key:75} {:8.3} {:?}\n", outcome.estimate.mean, outcome.verdict);
    }
    println!("{text}");
    assert_eq!(escaped, 0, "\n{text}");
}

#[test]
fn the_suite_passes_with_the_algorithms_as_they_are_and_does_not_change_its_mind() {
    let suite = only("random loss reno");
    let [first, second] = [(); 2].map(|()| gate(&suite, congestion::create));
    assert!(first.iter().all(|one| one.verdict == Verdict::Pass), "{first:?}");
    assert_eq!(first[0].samples, second[0].samples);
}

#[test]
fn a_baseline_notices_what_the_bounds_let_pass() {
    let suite = only("random loss reno");
    let before = gate(&suite, congestion::create);
    let baseline = baseline(&suite, &before);
    let mode = |create| Mode { directory: Path::new("."), create, fluid: false };
    let same = run(&suite, &mode(congestion::create), Some(&baseline)).expect("it runs");
    assert!(same.iter().all(|one| one.verdict == Verdict::Pass), "{same:?}");
    let mut free = suite.clone();
    (free.tests[0].metrics[0].min, free.tests[0].metrics[0].max) = (None, None);
    let changed = run(&free, &mode(mutant!("reno", repeat: 2)), Some(&baseline)).expect("it runs");
    assert!(matches!(&changed[0].verdict, Verdict::Fail(why) if why.starts_with("was ")), "{changed:?}");
}
