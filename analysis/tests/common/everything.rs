//! Everything that reads captures, on any octets: reconstruction, checker, figures, matching with itself, report. The
//! fuzz target and the tests of damaged files run it.

use std::io::Cursor;

use analysis::capture::CaptureReader;
use analysis::conformance::Checker;
use analysis::delays::{self, Point};
use analysis::html::{self, Part};
use analysis::intervals::Intervals;
use analysis::ladder::Ladder;
use analysis::sequence::Recorder;
use analysis::vantage::{Taken, Watch, read_from};

struct All {
    checker: Checker,
    points: Recorder,
    passed: delays::Recorder,
    intervals: Intervals,
}

impl Watch for All {
    fn packet(&mut self, taken: &Taken<'_>) {
        self.checker.packet(taken);
        self.points.packet(taken);
        self.passed.packet(taken);
        self.intervals.packet(taken);
    }
}

/// Reads `octets` as a capture and tells all that can be told. Drawing is slow, so figures are a choice.
pub(crate) fn read_everything(octets: Vec<u8>, draw: bool) {
    let Ok(mut reader) = CaptureReader::new(Cursor::new(octets)) else { return };
    let mut watch = All {
        checker: Checker::default(),
        points: Recorder::default(),
        passed: delays::Recorder::default(),
        intervals: Intervals::new(1.0),
    };
    let Ok((views, warnings)) = read_from(&mut reader, "any", &mut watch) else { return };
    let reports: Vec<_> =
        views.iter().map(|view| analysis::metrics::report("any", view, &warnings)).collect();
    let numbered = || views.iter().enumerate().take(4);
    let point = |(index, view)| Point { view, index, recorder: &watch.passed };
    let points: Vec<_> = numbered().chain(numbered()).map(point).collect();
    let found = delays::delays(&points);
    for delays in &found {
        let _ = delays.to_string();
    }
    for (index, (view, report)) in views.iter().zip(&reports).enumerate() {
        let _ = report.to_string();
        let _ = watch.intervals.rows("any", view, index);
        for (number, connection) in view.reconstruction.connections().iter().enumerate() {
            let _ = Ladder::new(view, number, connection).to_string();
        }
    }
    if draw {
        let parts: Vec<_> = views
            .iter()
            .zip(&reports)
            .enumerate()
            .map(|(index, (view, report))| Part {
                report,
                view,
                points: watch.points.points(index),
                findings: watch.checker.findings(),
            })
            .collect();
        let _ = html::page(&parts, &found, "any");
    }
}
