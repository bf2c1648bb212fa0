//! Figures as rows: the value of one run against that of another, or the values of several runs against those of
//! several others.
//!
//! Several runs are compared by their medians and by the test of Kolmogorov and Smirnov: a figure fails if the medians
//! differ by more than is allowed and the test says that the samples differ (p below 1 %). With so few runs that
//! the test cannot say so (five against five are the fewest that can), the medians decide alone. What is allowed
//! doubles where the real runs spread by more than 2 % of their median.

use std::collections::BTreeMap;

use super::{Kind, Row, Verdict};
use crate::statistics::{estimate, kolmogorov_smirnov, median};

/// One figure of a real run and of a simulated one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) aspect: String,
    pub(super) form: Form,
    pub(super) allowed: Allowed,
    pub(super) real: Option<f64>,
    pub(super) simulated: Option<f64>,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Of bit/s.
    Mbit,
    /// Of seconds.
    Seconds,
    /// Of milliseconds.
    Millis,
    /// Of a part of 1.
    Percent,
    /// Of segments, to a tenth.
    Segments,
    /// Of things that are counted; what is allowed is rounded up.
    Count,
    /// Of things that are counted; what is allowed is not rounded.
    Episodes,
}

/// Which difference is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Allowed {
    /// A part of the real value, and something besides in the unit of the value.
    Difference { part: f64, slack: f64 },
    /// Any: shown for information.
    Any,
}

/// p-values below this tell that samples differ.
const SIGNIFICANT: f64 = 0.01;
/// Above this part of the median the spread of real runs doubles what is allowed.
const WIDE: f64 = 0.02;

impl Form {
    pub(super) fn text(self, value: Option<f64>) -> String {
        let Some(value) = value else { return "-".to_owned() };
        match self {
            Self::Mbit => format!("{:.3} Mbit/s", value / 1e6),
            Self::Seconds => format!("{value:.4} s"),
            Self::Millis => format!("{value:.1} ms"),
            Self::Percent => format!("{:.1} %", value * 100.0),
            Self::Segments => format!("{value:.1} segments"),
            Self::Count | Self::Episodes => format!("{value:.0}"),
        }
    }
}

impl Allowed {
    /// Whether `simulated` may stand for `real`.
    fn within(self, form: Form, factor: f64, real: Option<f64>, simulated: Option<f64>) -> bool {
        match (self, real, simulated) {
            (Self::Any, ..) => true,
            (Self::Difference { part, slack }, Some(real), Some(simulated)) => {
                let room = (part * real.abs() + slack) * factor;
                let room = if form == Form::Count { room.ceil() } else { room };
                (simulated - real).abs() <= room
            }
            (Self::Difference { .. }, real, simulated) => real == simulated,
        }
    }

    fn text(self, form: Form, factor: f64) -> String {
        let Self::Difference { part, slack } = self else { return String::new() };
        let mut parts = Vec::new();
        if part > 0.0 {
            parts.push(format!("{:.0} %", part * factor * 100.0));
        }
        if slack > 0.0 {
            let slack = slack * factor;
            parts.push(match form {
                Form::Percent => format!("{:.0} points", slack * 100.0),
                Form::Seconds => format!("{:.1} ms", slack * 1e3),
                other => other.text(Some(slack)),
            });
        }
        parts.join(" + ")
    }
}

impl Figure {
    /// The row of one run each.
    pub(super) fn row(&self) -> Row {
        self.judged(1.0, self.real, self.simulated, true)
    }

    fn judged(&self, factor: f64, real: Option<f64>, simulated: Option<f64>, default: bool) -> Row {
        let Self { aspect, form, allowed, .. } = self;
        let (first, second) = (form.text(real), form.text(simulated));
        let row = if *allowed == Allowed::Any {
            Row::info(aspect.clone(), first, second)
        } else {
            let within = !default || allowed.within(*form, factor, real, simulated);
            Row::judged(aspect.clone(), first, second, within, allowed.text(*form, factor))
        };
        let relative = !matches!(form, Form::Percent | Form::Seconds);
        let note = match (real, simulated) {
            (Some(a), Some(b)) if relative && a > 0.0 => format!("{:+.1} %", (b - a) / a * 100.0),
            _ => String::new(),
        };
        Row { kind: Kind::Figure, values: Some([real, simulated]), ..row.with_note(note) }
    }

    /// The row of several runs; `real` and `simulated` have a value for each run that has one.
    fn row_of_several(&self, real: &[f64], simulated: &[f64], runs: [usize; 2]) -> Row {
        let spread = spread(real);
        let factor = if spread > WIDE && self.allowed != Allowed::Any { 2.0 } else { 1.0 };
        let most = |values: &[f64], runs: usize| median(values).filter(|_| values.len() * 2 >= runs);
        let (a, b) = (most(real, runs[0]), most(simulated, runs[1]));
        let mut row = self.judged(factor, a, b, true);
        let test = kolmogorov_smirnov(real, simulated).filter(|_| real.len().min(simulated.len()) > 1);
        if let Some(test) = &test
            && row.verdict == Verdict::Fail
            && smallest_p(real.len(), simulated.len()) < SIGNIFICANT
            && test.p_value >= SIGNIFICANT
        {
            row.verdict = Verdict::Pass;
        }
        row.real = self.range(real, a);
        row.simulated = self.range(simulated, b);
        let mut notes = vec![std::mem::take(&mut row.note)];
        notes.extend(test.map(|test| format!("p {:.3}", test.p_value)));
        for (name, values) in [("real", real), ("simulated", simulated)] {
            if let Some(estimate) = estimate(values, 0.95).filter(|_| values.len() > 1)
                && estimate.half_width > 0.0
            {
                let (mean, half) =
                    (self.form.text(Some(estimate.mean)), self.form.text(Some(estimate.half_width)));
                notes.push(format!("{name} {mean} +- {half}"));
            }
        }
        notes.retain(|note| !note.is_empty());
        row.with_note(notes.join(", "))
    }

    fn range(&self, values: &[f64], median: Option<f64>) -> String {
        let text = self.form.text(median);
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if values.len() < 2 {
            return text;
        }
        let (low, high) = (self.form.text(Some(low)), self.form.text(Some(high)));
        let number = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
        format!("{text} ({} to {}, {} runs)", number(&low), number(&high), values.len())
    }
}

/// Difference of the largest and the smallest value, as a part of the median; 0 for less than two.
fn spread(values: &[f64]) -> f64 {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    median(values)
        .filter(|median| values.len() > 1 && *median > 0.0)
        .map_or(0.0, |median| (high - low) / median)
}

/// The least p-value the test can have for so many runs: 2 in the number of ways to mix them.
fn smallest_p(first: usize, second: usize) -> f64 {
    let ways: f64 = (1..=first).map(|i| (second + i) as f64 / i as f64).product();
    2.0 / ways
}

/// The rows of several real and simulated runs. `real` and `simulated` hold the figures of each run against
/// the same other one, so that equal aspects mean the same.
pub(super) fn rows_of_several(real: &[Vec<Figure>], simulated: &[Vec<Figure>]) -> Vec<Row> {
    let collect = |runs: &[Vec<Figure>]| {
        let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for figure in runs.iter().flatten() {
            values.entry(figure.aspect.clone()).or_default().extend(figure.simulated);
        }
        values
    };
    let (of_real, of_simulated) = (collect(real), collect(simulated));
    let mut seen = Vec::new();
    let mut rows = Vec::new();
    for figure in simulated.iter().flatten() {
        if seen.contains(&&figure.aspect) {
            continue;
        }
        seen.push(&figure.aspect);
        let of =
            |values: &BTreeMap<String, Vec<f64>>| values.get(&figure.aspect).cloned().unwrap_or_default();
        rows.push(figure.row_of_several(&of(&of_real), &of(&of_simulated), [real.len(), simulated.len()]));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(allowed: Allowed) -> Figure {
        Figure { aspect: "x".into(), form: Form::Mbit, allowed, real: None, simulated: None }
    }

    fn verdict(real: &[f64], simulated: &[f64]) -> Verdict {
        let figure = figure(Allowed::Difference { part: 0.05, slack: 0.0 });
        figure.row_of_several(real, simulated, [real.len(), simulated.len()]).verdict
    }

    #[test]
    fn the_least_p_value_is_that_of_samples_apart() {
        for (n, m) in [(2, 2), (3, 5), (5, 5), (4, 9)] {
            let low: Vec<f64> = (0..n).map(f64::from).collect();
            let high: Vec<f64> = (0..m).map(|i| f64::from(i) + 100.0).collect();
            let test = kolmogorov_smirnov(&low, &high).unwrap();
            assert!((test.p_value - smallest_p(low.len(), high.len())).abs() < 1e-12);
        }
        assert!(smallest_p(5, 5) < SIGNIFICANT && smallest_p(4, 5) > SIGNIFICANT);
    }

    #[test]
    fn few_runs_are_judged_by_their_medians_and_many_by_the_test_too() {
        let sample = |centre: f64, width: f64, n: i32| -> Vec<f64> {
            (0..n).map(|i| centre * (1.0 + width * (f64::from(i) / f64::from(n - 1) - 0.5))).collect()
        };
        assert_eq!(verdict(&sample(10e6, 0.01, 3), &sample(10.4e6, 0.01, 3)), Verdict::Pass);
        assert_eq!(verdict(&sample(10e6, 0.01, 3), &sample(10.8e6, 0.01, 3)), Verdict::Fail);
        // Twice as much where the real runs spread.
        assert_eq!(verdict(&sample(10e6, 0.03, 3), &sample(10.8e6, 0.01, 3)), Verdict::Pass);
        assert_eq!(verdict(&sample(10e6, 0.03, 3), &sample(11.2e6, 0.01, 3)), Verdict::Fail);
        // Eight runs that overlap widely.
        assert_eq!(verdict(&sample(10e6, 0.6, 8), &sample(11.5e6, 0.6, 8)), Verdict::Pass);
        assert_eq!(verdict(&sample(10e6, 0.1, 8), &sample(11.5e6, 0.1, 8)), Verdict::Fail);
    }

    #[test]
    fn what_is_allowed_of_a_count_is_rounded_up() {
        let allowed = Allowed::Difference { part: 0.3, slack: 0.0 };
        let within = |a: f64, b: f64| allowed.within(Form::Count, 1.0, Some(a), Some(b));
        assert!(within(14.0, 19.0) && !within(14.0, 20.0));
        assert!(within(2.0, 3.0) && !within(2.0, 4.0) && !within(0.0, 1.0));
    }
}
