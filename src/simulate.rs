//! One simulated run with everything that watches it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::ops::ControlFlow;
use std::path::Path;

use analysis::pcapng::CaptureObserver;
use analysis::trace::{HostAnalysis, TraceObserver};
use scenarios::Scenario;
use scenarios::build::Network;
use scenarios::layout::Layout;
use scenarios::run::{RunOutcome, StopReason};
use scenarios::scenario::HostKind;

use crate::failure::Failure;
use crate::progress::ProgressBar;
use crate::samples::Samples;
use crate::{capture, report};

/// What a run brought.
#[derive(Debug)]
pub(crate) struct Simulated {
    pub(crate) outcome: RunOutcome,
    pub(crate) samples: Samples,
    /// What each end host saw, if that was asked for.
    pub(crate) analysis: BTreeMap<String, HostAnalysis>,
}

/// What to watch besides time series.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watch<'a> {
    /// Capture to this file.
    pub(crate) capture: Option<&'a Path>,
    /// Analyse the packets of every end host.
    pub(crate) analyse: bool,
}

/// Runs `scenario`. What the simulated network does not do is told on standard error.
///
/// # Errors
/// If the network cannot be built or the capture not written.
pub(crate) fn simulate(scenario: &Scenario, watch: Watch<'_>) -> Result<Simulated, Failure> {
    let layout = Layout::of(scenario);
    let capture = watch.capture.map(|path| capturing(scenario, &layout, path)).transpose()?;
    let trace = watch.analyse.then(|| analysing(scenario, &layout));
    let mut network =
        Network::build(scenario, (capture, trace)).map_err(|error| build_failure(scenario, &error))?;
    for warning in network.warnings() {
        report(&[format!("warning: {}: {warning}\n", scenario.name)]);
    }
    let bar = ProgressBar::new(&scenario.name, scenario.duration);
    let mut samples = Samples::default();
    let outcome = network.run(&mut samples, &mut |progress| {
        bar.advance(progress.now);
        ControlFlow::Continue(())
    });
    drop(bar);
    if outcome.stop == StopReason::Standstill {
        return Err(Failure::message(
            format!(
                "{}: time stands still at {}: packets go round over links that take no time",
                scenario.name, outcome.ended_at
            ),
            "give a link on their way a rate or a delay".to_owned(),
        ));
    }
    let (capture, trace) = network.into_observer();
    if let (Some(capture), Some(path)) = (capture, watch.capture) {
        capture.finish().map_err(|error| Failure::io("write", path, &error))?;
    }
    for failure in &outcome.command_failures {
        report(&[format!(
            "warning: {}: at {} on {}: {}: {}\n",
            scenario.name, failure.at, failure.host, failure.command, failure.error
        )]);
    }
    Ok(Simulated { outcome, samples, analysis: trace.map(TraceObserver::finish).unwrap_or_default() })
}

fn build_failure(scenario: &Scenario, error: &scenarios::build::BuildError) -> Failure {
    Failure::message(format!("{}: {error}", scenario.name), None)
}

fn capturing(
    scenario: &Scenario,
    layout: &Layout,
    path: &Path,
) -> Result<CaptureObserver<BufWriter<File>>, Failure> {
    let file = File::create(path).map(|file| BufWriter::with_capacity(1 << 18, file));
    file.and_then(|file| capture::observer(scenario, layout, file))
        .map_err(|error| Failure::io("write", path, &error))
}

/// Observes the captured interfaces of end hosts.
fn analysing(scenario: &Scenario, layout: &Layout) -> TraceObserver {
    let mut observer = TraceObserver::new();
    for port in &scenario.capture.interfaces {
        let is_host = scenario.host(&port.host).is_some_and(|host| host.kind == HostKind::Host);
        if let Some(port) = layout.port(&port.host, &port.interface).filter(|_| is_host) {
            observer.observe(port.node, port.port, &port.host, &port.interface);
        }
    }
    observer
}
