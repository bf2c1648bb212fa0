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
//! forms, ICMP messages. *Figures*: goodput, completion, share of each subflow, time of each join, segments each host
//! sent again, the mean congestion window of each subflow over the samples in which it had data in flight, and the
//! counters of handshakes and signalling that the kernel keeps. Round-trip times, drops, queues and
//! other counters are shown for information.
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
//! 11. **Of the third ACK of a join the flags and the id are left out**: they are reserved there.
//! 12. **What was sent until an instant is a result**: amounts of such flows are held to the tolerance of the
//!     goodput, and whether all of it arrived is compared.
//! 13. **Where one subflow alone carries the DATA_FIN (out-of-tree kernel), on which is not compared**: of
//!     several with room the one with the least round-trip time takes the last data, and that is decided by
//!     microseconds or by what the windows hold at the end. The options of FINs are then those of all subflows.
//!
//! Join times may differ by one round trip, as start-up of the application moves everything
//! after it; the tolerances of the figures are in [`Tolerances`].

mod canonical;
pub mod counters;
mod figures;
mod judge;
mod protocol;
pub mod report;
pub mod sides;
mod tolerances;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use tolerances::{Spread, Tolerances};

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

/// What an aspect is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Structure: who spoke to whom, in which words and in which order.
    #[default]
    Protocol,
    /// A number.
    Figure,
}

/// One aspect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What it is about.
    #[serde(default)]
    pub kind: Kind,
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
    /// Of a figure both values, in bit/s, seconds, milliseconds, parts of 1 or things counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<[Option<f64>; 2]>,
}

/// A comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    compare_runs(std::slice::from_ref(truth), std::slice::from_ref(simulated), tolerances)
}

/// Compares several runs of one simulation with one or several of the real system. The structure of a simulated run
/// is right if it is that of one of the real runs, and an aspect of it fails if it is wrong in more than
/// half of the simulated runs.
///
/// Without any run on one side nothing is compared.
#[must_use]
pub fn compare_runs(truths: &[GroundTruth], simulated: &[Results], tolerances: &Tolerances) -> Comparison {
    let ([truth, ..], [_, ..]) = (truths, simulated) else {
        return Comparison {
            name: truths.first().map(|truth| truth.name.clone()).unwrap_or_default(),
            title: String::new(),
            verdict: Verdict::Info,
            note: "nothing to compare".into(),
            rows: Vec::new(),
        };
    };
    let until_fault = !truth.is_yardstick() && protocol::has_fault(&truth.results);
    let mut rows = structure(truths, simulated, until_fault);
    let of = |other: &Results| figures::figures(truth, other, tolerances);
    let mut figures: Vec<_> = simulated.iter().map(of).collect();
    for (_, more) in &mut figures {
        for row in more.drain(..) {
            if !rows.iter().any(|known| known.aspect == row.aspect) {
                rows.push(row);
            }
        }
    }
    let figures: Vec<_> = figures.into_iter().map(|(figures, _)| figures).collect();
    if let ([_], [only]) = (truths, figures.as_slice()) {
        rows.extend(only.iter().map(judge::Figure::row));
    } else {
        let real: Vec<_> = truths.iter().map(|real| of(&real.results).0).collect();
        rows.extend(judge::rows_of_several(&real, &figures));
    }
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

/// The rows of structure.
fn structure(truths: &[GroundTruth], simulated: &[Results], until_fault: bool) -> Vec<Row> {
    let rows_of = |truth: &GroundTruth, simulated: &Results| {
        let mut rows = Vec::new();
        protocol::compare(&truth.results, simulated, until_fault, &mut rows);
        rows
    };
    let mut all: Vec<Row> = Vec::new();
    // By aspect, how many simulated runs differ from every real one.
    let mut wrong: Vec<usize> = Vec::new();
    for run in simulated {
        let against: Vec<Vec<Row>> = truths.iter().map(|truth| rows_of(truth, run)).collect();
        for row in &against[0] {
            let at = all.iter().position(|known| known.aspect == row.aspect).unwrap_or_else(|| {
                all.push(row.clone());
                wrong.push(0);
                all.len() - 1
            });
            let agrees = |rows: &Vec<Row>| {
                rows.iter().any(|other| other.aspect == row.aspect && other.verdict != Verdict::Fail)
            };
            if !against.iter().any(agrees) {
                wrong[at] += 1;
                if all[at].verdict != Verdict::Fail {
                    all[at] = row.clone();
                }
            }
        }
    }
    if simulated.len() > 1 || truths.len() > 1 {
        for (row, wrong) in all.iter_mut().zip(wrong).filter(|(row, _)| row.verdict != Verdict::Info) {
            row.verdict = if wrong * 2 > simulated.len() { Verdict::Fail } else { Verdict::Pass };
            if wrong > 0 {
                let note = std::mem::take(&mut row.note);
                row.note = format!("in {wrong} of {} runs", simulated.len());
                if !note.is_empty() {
                    row.note.push_str(&format!(": {note}"));
                }
            }
        }
    }
    all
}

impl Row {
    /// Equal or not.
    fn exact(aspect: String, real: String, simulated: String) -> Self {
        let verdict = if real == simulated { Verdict::Pass } else { Verdict::Fail };
        Self {
            kind: Kind::Protocol,
            aspect,
            real,
            simulated,
            verdict,
            tolerance: String::new(),
            note: String::new(),
            values: None,
        }
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

    /// Of the judged rows of a kind, how many passed, and how many there are.
    #[must_use]
    pub fn passed(&self, kind: Kind) -> (usize, usize) {
        let judged = || self.rows.iter().filter(|row| row.kind == kind && row.verdict != Verdict::Info);
        (judged().filter(|row| row.verdict == Verdict::Pass).count(), judged().count())
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
        let colon = if self.title.is_empty() { "" } else { ": " };
        format!(
            "{}{colon}{}\n{note}{table}{}: {} pass, {} fail, {} info\n",
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
