//! Suites of measurements: TOML that says which scenarios run, what is measured in them and what is expected.

use std::path::Path;

use serde::Deserialize;

use crate::failure::Failure;

/// A suite as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suite {
    /// Short name.
    pub(crate) name: String,
    /// Replications of each test, at least 2.
    pub(crate) seeds: u32,
    /// Seed of the first replication; the others follow.
    #[serde(default = "one")]
    pub(crate) first_seed: u64,
    /// Probability with which an interval covers the mean.
    #[serde(default = "level")]
    pub(crate) level: f64,
    /// Probability with which a run of the suite that differs from the baseline by no more than is allowed fails
    /// nevertheless.
    #[serde(default = "false_alarms")]
    pub(crate) false_alarms: f64,
    /// Relative difference from the baseline that counts as none.
    #[serde(default = "allowed")]
    pub(crate) allowed: f64,
    pub(crate) tests: Vec<Test>,
}

/// A scenario that runs, and what is measured in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Test {
    pub(crate) name: String,
    /// A file beside the suite, or the name of a built-in scenario.
    pub(crate) scenario: String,
    /// As `--set`.
    #[serde(default)]
    pub(crate) set: Vec<String>,
    /// Window in seconds of the run.
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Replications of this test, if not those of the suite.
    pub(crate) seeds: Option<u32>,
    /// Whether published values are to be those of the fluid too.
    #[serde(default = "yes")]
    pub(crate) fluid: bool,
    pub(crate) metrics: Vec<Metric>,
}

/// What is measured and expected.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Flows by name, or by the beginning of a name with `*`.
    #[serde(default)]
    pub(crate) flows: Vec<String>,
    /// Those they are compared with.
    #[serde(default)]
    pub(crate) to: Vec<String>,
    /// Links by name, for losses.
    #[serde(default)]
    pub(crate) links: Vec<String>,
    /// Number of a subflow, from 0.
    pub(crate) subflow: Option<usize>,
    /// What rates are divided by, in packets of 1500 bytes per second.
    #[serde(default = "unit")]
    pub(crate) per: f64,
    /// Overrides of a second run with which the rate is compared (friendliness).
    #[serde(default)]
    pub(crate) against: Vec<String>,
    /// Value in the literature, and its kind.
    pub(crate) published: Option<f64>,
    pub(crate) tag: Option<String>,
    /// How far a published value may be missed.
    pub(crate) tolerance: Option<Tolerance>,
    /// Absolute bounds of the mean.
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    /// Why the value is missed, if it is.
    #[serde(default)]
    pub(crate) note: String,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Mean rate of `flows` over that of `to`.
    Ratio,
    /// Jain's index of the rates of `flows`.
    Jain,
    /// Part of `flows` in the rates of `flows` and `to`, in per cent.
    Share,
    /// Mean rate of `flows`, or of one subflow of them.
    Rate,
    /// Mean window of a subflow of `flows`, in segments.
    Window,
    /// Loss of the first link over that of the second.
    LossRatio,
    /// Rate of `flows` over their rate in a second run.
    Friendliness,
    /// Seconds from the beginning of the window until the rate of `flows` in steps of ten seconds stays within
    /// 30 % of its mean in the second half.
    Convergence,
}

/// How far a published value may be missed.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tolerance {
    Relative(f64),
    Absolute(f64),
    Factor(f64),
}

const fn one() -> u64 {
    1
}

const fn unit() -> f64 {
    1.0
}

const fn level() -> f64 {
    0.95
}

const fn false_alarms() -> f64 {
    0.001
}

const fn yes() -> bool {
    true
}

const fn allowed() -> f64 {
    0.1
}

impl Metric {
    /// Bounds of the mean: those given, within those of the tolerance.
    pub(crate) fn bounds(&self) -> (f64, f64) {
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        if let (Some(value), Some(tolerance)) = (self.published, self.tolerance) {
            (low, high) = match tolerance {
                Tolerance::Relative(part) => (value - part * value.abs(), value + part * value.abs()),
                Tolerance::Absolute(span) => (value - span, value + span),
                Tolerance::Factor(factor) => (value / factor, value * factor),
            };
        }
        (self.min.map_or(low, |min| min.max(low)), self.max.map_or(high, |max| max.min(high)))
    }

    fn fault(&self) -> Option<&'static str> {
        let one_flow = !self.flows.is_empty();
        match self.kind {
            Kind::Ratio | Kind::Share if !one_flow || self.to.is_empty() => Some("needs flows and to"),
            Kind::LossRatio if self.links.len() != 2 => Some("needs two links"),
            Kind::Window if !one_flow || self.subflow.is_none() => Some("needs flows and subflow"),
            Kind::Friendliness if !one_flow || self.against.is_empty() => Some("needs flows and against"),
            Kind::Jain | Kind::Rate | Kind::Convergence if !one_flow => Some("needs flows"),
            _ if self.published.is_some() && self.tolerance.is_none() && self.min.or(self.max).is_none() => {
                Some("has a published value, but neither tolerance nor bounds")
            }
            _ => None,
        }
    }
}

impl Suite {
    /// Level of the interval of one difference from the baseline: all values of the suite together fail by luck with
    /// the probability of `false_alarms` at most (Bonferroni).
    pub(crate) fn level_of_difference(&self) -> f64 {
        let values: usize = self.tests.iter().map(|test| test.metrics.len()).sum();
        1.0 - self.false_alarms / values.max(1) as f64
    }

    /// Reads a suite; `name` is what errors call the text.
    ///
    /// # Errors
    /// If it is no suite, or asks for something that cannot be.
    pub(crate) fn parse(text: &str, name: &str) -> Result<Self, Failure> {
        let help = "docs/fairness.md describes suites";
        let suite: Self = crate::source::toml_text(text, name, help)?;
        let wrong = |what: String| Err(Failure::message(format!("{name}: {what}"), None));
        if suite.tests.is_empty() {
            return wrong("tests: there must be at least one".to_owned());
        }
        if !(suite.level > 0.0 && suite.level < 1.0) {
            return wrong(format!("level: {} must be above 0 and below 1", suite.level));
        }
        if !(suite.false_alarms > 0.0 && suite.false_alarms < 1.0) {
            return wrong(format!("false_alarms: {} must be above 0 and below 1", suite.false_alarms));
        }
        if suite.allowed.is_nan() || suite.allowed < 0.0 {
            return wrong(format!("allowed: {} must be 0 or more", suite.allowed));
        }
        let mut names = std::collections::BTreeSet::new();
        for test in &suite.tests {
            if !(2..=1000).contains(&test.seeds.unwrap_or(suite.seeds)) {
                return wrong(format!("{}: seeds must be from 2 to 1000", test.name));
            }
            if !(test.from >= 0.0 && test.to > test.from && test.to <= 1e6) {
                return wrong(format!("{}: from must be below to, both in seconds", test.name));
            }
            for metric in &test.metrics {
                let place = format!("{}, {}", test.name, metric.name);
                if let Some(fault) = metric.fault() {
                    return wrong(format!("{place}: {fault}"));
                }
                if metric.per.is_nan() || metric.per <= 0.0 {
                    return wrong(format!("{place}: per must be above 0"));
                }
                if !names.insert((&test.name, &metric.name)) {
                    return wrong(format!("{place}: this name is taken"));
                }
            }
        }
        Ok(suite)
    }

    /// Reads the suite in a file.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), or if there is no such file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        Self::parse(&crate::source::read(path)?, &path.display().to_string())
    }
}
