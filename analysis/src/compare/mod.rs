//! Compares a real run with its simulated counterpart, aspect by aspect.
//!
//! Both sides are [`Results`]: analyses of captures made by the same code, results of the flows and
//! counters of the links. Each aspect becomes one [`Row`]; the case passes if no row fails. Cases
//! that are no yardstick are shown with all verdicts `info`, but for those in which an MP_FAIL tells
//! where the fault is that the kernel does not get over: they are judged up to it, that is by the
//! handshakes and by the signalling of each direction up to its first MP_FAIL.
//!
//! What is compared. *Protocol*, per host, subflow and direction: SYN parameters, outcome of every
//! handshake and join, the sequence of signalling events, the sets of option layouts and of DSS
//! forms, ICMP messages. *Figures*: goodput, completion, share of each subflow, time of each join;
//! retransmissions and drops are shown for information.
//!
//! # Canonical forms
//!
//! Two runs of one kernel differ in what scheduling noise, application start-up and segmentation
//! decide. These rules take that out before anything is compared, and nothing else:
//!
//! 1. **Subflows are matched by addresses**, the server's port, and order among equals, not by
//!    position: several joins leave back to back within some 20 us, in either order. Client ports are
//!    ephemeral.
//! 2. **Events are compared per subflow and direction.** Events of different subflows, and of the two
//!    directions, within some milliseconds have no fixed order.
//! 3. **Times, tokens, keys, nonces, DSNs and payload lengths are left out**; of payload, whether there
//!    is any. What is kept: TCP flags, kind, option length, versions, ids, echo, backup, addresses,
//!    ports, reasons.
//! 4. **PSH is left out of the flags**: it marks the end of a burst, and bursts follow the ACK clock.
//! 5. **Equal events in a row count once.** A kernel repeats MP_CAPABLE on each segment of its first
//!    burst, options on retransmissions, DATA_FIN in up to three copies after close().
//! 6. **Of DATA_FIN, only the first of a direction counts, and neither its flags nor whether it came
//!    with data**: whether the last mapping travels on this subflow is the scheduler's doing, and a
//!    standalone one precedes it if data is still queued.
//! 7. **After the first RST of a direction no more RST are compared**: one answers each segment in
//!    flight, their number is the window's.
//! 8. **Layouts and DSS forms of less than 1 % of the packets of their direction may be absent on the
//!    other side**: they belong to moments that need not recur, such as a standalone DATA_FIN that a
//!    full queue dropped. In short exchanges nothing is that rare. What matters of them are events.
//! 9. **Layouts with SACK may be absent on one side**: they need a loss or reordering.
//! 10. **Counts of layouts are compared only for SYN, SYN/ACK and FIN**, as elsewhere they count data;
//!     RST see rule 7.
//!
//! Join times may differ by one round trip, as start-up of the application moves everything
//! after it; the tolerances of the figures are in [`Tolerances`].

mod canonical;
pub mod distributions;
mod figures;
mod protocol;
pub mod sides;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::groundtruth::{GroundTruth, Results};
use crate::table::{Align, Table};

/// The outcome of one row, or of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Within tolerance.
    Pass,
    /// Outside.
    Fail,
    /// Shown, not judged.
    Info,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::Info => "info",
        })
    }
}

/// One aspect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What is compared.
    pub aspect: String,
    /// Its value in the real run.
    pub real: String,
    /// Its value in the simulated run.
    pub simulated: String,
    /// The outcome.
    pub verdict: Verdict,
    /// What difference is allowed; empty for none.
    pub tolerance: String,
    /// Where the difference is.
    pub note: String,
}

/// Differences allowed in figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tolerances {
    /// Relative difference of goodput and completion.
    pub goodput: f64,
    /// Difference of a subflow's share, 0 to 1.
    pub share: f64,
    /// Difference of a completion time that is always allowed, in seconds: start-up of the
    /// applications differs by some milliseconds.
    pub start_up_s: f64,
    /// Relative difference of the mean window of a sender over a single path.
    pub window: f64,
    /// Relative difference of its number of loss episodes.
    pub loss_episodes: f64,
}

impl Default for Tolerances {
    /// 5 % of goodput, 5 points of share, 10 ms, 10 % of a mean window, 20 % of loss episodes.
    fn default() -> Self {
        Self { goodput: 0.05, share: 0.05, start_up_s: 0.010, window: 0.10, loss_episodes: 0.20 }
    }
}

impl Tolerances {
    /// For a case whose repetitions on the real system spread by `spread`, the difference between the
    /// largest and the smallest goodput divided by the median: above 2 %, tolerances double.
    #[must_use]
    pub fn for_spread(spread: f64) -> Self {
        let tight = Self::default();
        if spread > 0.02 { Self { goodput: 0.10, share: 0.10, ..tight } } else { tight }
    }
}

/// A comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of the case.
    pub name: String,
    /// What the case is about.
    pub title: String,
    /// `Fail` if a row fails; `Info` if the case is no yardstick.
    pub verdict: Verdict,
    /// Why the case is not judged, or not to its end; empty if it is.
    pub note: String,
    /// All aspects.
    pub rows: Vec<Row>,
}

/// Compares `simulated` with `truth`.
#[must_use]
pub fn compare(truth: &GroundTruth, simulated: &Results, tolerances: &Tolerances) -> Comparison {
    let mut rows = Vec::new();
    let until_fault = !truth.is_yardstick() && protocol::has_fault(&truth.results);
    protocol::compare(&truth.results, simulated, until_fault, &mut rows);
    figures::compare(truth, simulated, tolerances, &mut rows);
    let mut note = String::new();
    if !truth.is_yardstick() {
        let why = truth.yardstick_why.as_deref().unwrap_or("no yardstick");
        note =
            if until_fault { format!("judged until MP_FAIL: {why}") } else { format!("not judged: {why}") };
        for row in rows.iter_mut().filter(|row| !(until_fault && protocol::is_before_fault(&row.aspect))) {
            row.verdict = Verdict::Info;
        }
    }
    let verdict = if rows.iter().any(|row| row.verdict == Verdict::Fail) {
        Verdict::Fail
    } else if truth.is_yardstick() || until_fault {
        Verdict::Pass
    } else {
        Verdict::Info
    };
    Comparison { name: truth.name.clone(), title: truth.title.clone(), verdict, note, rows }
}

impl Row {
    /// Equal or not.
    fn exact(aspect: String, real: String, simulated: String) -> Self {
        let verdict = if real == simulated { Verdict::Pass } else { Verdict::Fail };
        Self { aspect, real, simulated, verdict, tolerance: String::new(), note: String::new() }
    }

    fn info(aspect: String, real: String, simulated: String) -> Self {
        Self { verdict: Verdict::Info, ..Self::exact(aspect, real, simulated) }
    }

    fn judged(aspect: String, real: String, simulated: String, within: bool, tolerance: String) -> Self {
        let verdict = if within { Verdict::Pass } else { Verdict::Fail };
        Self { verdict, tolerance, ..Self::exact(aspect, real, simulated) }
    }

    fn with_note(mut self, note: String) -> Self {
        self.note = note;
        self
    }
}

impl Comparison {
    /// The number of rows with `verdict`.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text("real", "simulated"))
    }
}

impl Comparison {
    /// The comparison as a table, with names for the two sides.
    #[must_use]
    pub fn text(&self, first: &str, second: &str) -> String {
        let mut table = Table::new(&[
            ("aspect", Align::Left),
            (first, Align::Left),
            (second, Align::Left),
            ("verdict", Align::Left),
            ("tolerance", Align::Left),
            ("note", Align::Left),
        ]);
        for row in &self.rows {
            table.row([
                row.aspect.clone(),
                shortened(&row.real),
                shortened(&row.simulated),
                row.verdict.to_string(),
                row.tolerance.clone(),
                row.note.clone(),
            ]);
        }
        let note = if self.note.is_empty() { String::new() } else { format!("{}\n", self.note) };
        format!(
            "{}: {}\n{note}{table}{}: {} pass, {} fail, {} info\n",
            self.name,
            self.title,
            self.verdict,
            self.count(Verdict::Pass),
            self.count(Verdict::Fail),
            self.count(Verdict::Info)
        )
    }
}

/// Long values are cut in the table; JSON has them whole.
fn shortened(text: &str) -> String {
    const WIDTH: usize = 48;
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(WIDTH - 3).collect();
    short.push_str("...");
    short
}
