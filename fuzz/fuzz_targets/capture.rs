//! Any octets as a capture file, through everything that reads captures: reconstruction, checker, figures, matching
//! with itself, report. Seeds: `analysis/tests/damaged` and `analysis/tests/fixtures`, which ordinary tests read too.
//!
//! `cargo +nightly fuzz run capture fuzz/corpus/capture analysis/tests/damaged analysis/tests/fixtures`

#![no_main]

use std::io::Cursor;

use analysis::capture::CaptureReader;
use analysis::conformance::Checker;
use analysis::delays::{self, Point};
use analysis::html::{self, Part};
use analysis::intervals::Intervals;
use analysis::reconstruct::{Captured, Reconstruction, Segment};
use analysis::sequence::Recorder;
use analysis::vantage::{Watch, read_from};
use libfuzzer_sys::fuzz_target;

struct All {
    checker: Checker,
    points: Recorder,
    passed: delays::Recorder,
    intervals: Intervals,
}

impl Watch for All {
    fn packet(&mut self, view: usize, seen: &Reconstruction, packet: &Captured<'_>, segment: Option<&Segment>) {
        self.checker.packet(view, seen, packet, segment);
        self.points.packet(view, seen, packet, segment);
        self.passed.packet(view, seen, packet, segment);
        self.intervals.packet(view, seen, packet, segment);
    }
}

fuzz_target!(|octets: &[u8]| {
    let Ok(mut reader) = CaptureReader::new(Cursor::new(octets.to_vec())) else { return };
    let mut watch = All {
        checker: Checker::default(),
        points: Recorder::default(),
        passed: delays::Recorder::default(),
        intervals: Intervals::new(1.0),
    };
    let Ok((views, warnings)) = read_from(&mut reader, "fuzz", &mut watch) else { return };
    let reports: Vec<_> = views.iter().map(|view| analysis::metrics::report("fuzz", view, &warnings)).collect();
    let passed = &watch.passed;
    let twice = views.iter().enumerate().chain(views.iter().enumerate());
    let between: Vec<_> = twice.map(|(index, view)| Point { view, index, recorder: passed }).collect();
    let found = delays::delays(&between[..between.len().min(4)]);
    for delays in &found {
        let _ = delays.to_string();
    }
    for (index, (view, report)) in views.iter().zip(&reports).enumerate() {
        let _ = report.to_string();
        let _ = watch.intervals.rows("fuzz", view, index);
    }
    // Drawing is slow: of small captures only.
    if octets.len() < 4096 {
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
        let _ = html::page(&parts, &found, "fuzz");
    }
});
