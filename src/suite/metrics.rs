//! Values of metrics in what was measured.

use analysis::statistics::{convergence_time, friendliness, jain_index, throughput_ratio};
use scenarios::Scenario;
use scenarios::scenario::Protocol;

use super::document::{Kind, Metric};
use crate::measure::{FlowMeasure, Measured};

/// Bits of a packet of 1500 bytes.
const PACKET_BITS: f64 = 12_000.0;
/// Payload of a full segment: with timestamps, and with MPTCP a mapping.
const TCP_PAYLOAD: f64 = 1448.0;
const MPTCP_PAYLOAD: f64 = 1428.0;
/// Samples of [`crate::measure::STEP`] in a step of a convergence time.
const STEPS: usize = 20;

/// One run with its scenario.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) measured: &'a Measured,
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

impl<'a> Seen<'a> {
    fn flows(self, patterns: &'a [String]) -> impl Iterator<Item = (&'a FlowMeasure, Protocol)> {
        let flows = self.measured.flows.iter().zip(&self.scenario.flows);
        flows
            .filter(move |(flow, _)| patterns.iter().any(|pattern| matches(pattern, &flow.name)))
            .map(|(flow, spec)| (flow, spec.protocol))
    }

    /// Rate of payload as packets of 1500 bytes per second.
    fn packets(rate: f64, protocol: Protocol) -> f64 {
        let payload = if protocol == Protocol::Mptcp { MPTCP_PAYLOAD } else { TCP_PAYLOAD };
        rate * 1500.0 / payload / PACKET_BITS
    }

    /// Rates of flows, or of one subflow of each.
    fn rates(self, patterns: &'a [String], subflow: Option<usize>) -> Vec<f64> {
        self.flows(patterns)
            .map(|(flow, protocol)| {
                let rate = match subflow {
                    None => flow.rate,
                    Some(number) => flow.subflows.get(number).map_or(0.0, |subflow| subflow.rate),
                };
                Self::packets(rate, protocol)
            })
            .collect()
    }

    fn mean(self, patterns: &'a [String], subflow: Option<usize>) -> Option<f64> {
        let rates = self.rates(patterns, subflow);
        (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
    }

    fn convergence(self, metric: &'a Metric, from: f64) -> Option<f64> {
        let mut steps: Vec<(f64, f64)> = Vec::new();
        for (flow, _) in self.flows(&metric.flows) {
            let inside: Vec<_> = flow.series.iter().filter(|(at, _)| *at > from).collect();
            for (number, chunk) in inside.chunks_exact(STEPS).enumerate() {
                let rate = chunk.iter().map(|(_, rate)| rate).sum::<f64>() / STEPS as f64;
                match steps.get_mut(number) {
                    Some(step) => step.1 += rate,
                    None => steps.push((chunk[0].0 - from, rate)),
                }
            }
        }
        let later = &steps[steps.len() / 2..];
        let target = later.iter().map(|(_, rate)| rate).sum::<f64>() / later.len().max(1) as f64;
        // A run that never settles counts with its length.
        let end = steps.last()?.0;
        Some(convergence_time(&steps, target, 0.3, 0.0).unwrap_or(end))
    }

    /// The value of a metric; `against` is the second run, if the metric has one.
    pub(super) fn value(self, metric: &'a Metric, from: f64, against: Option<Self>) -> Option<f64> {
        match metric.kind {
            Kind::Ratio => {
                throughput_ratio(self.mean(&metric.flows, metric.subflow)?, self.mean(&metric.to, None)?)
            }
            Kind::Jain => jain_index(&self.rates(&metric.flows, None)),
            Kind::Share => {
                let sum = |patterns| self.rates(patterns, None).iter().sum::<f64>();
                let (own, others) = (sum(&metric.flows), sum(&metric.to));
                throughput_ratio(own * 100.0, own + others)
            }
            Kind::Rate => Some(self.mean(&metric.flows, metric.subflow)? / metric.per),
            Kind::Window => {
                let number = metric.subflow?;
                let windows: Vec<_> = self
                    .flows(&metric.flows)
                    .filter_map(|(flow, _)| flow.subflows.get(number).map(|subflow| subflow.cwnd))
                    .collect();
                (!windows.is_empty()).then(|| windows.iter().sum::<f64>() / windows.len() as f64)
            }
            Kind::LossRatio => {
                let [first, second] = metric.links.as_slice() else { return None };
                throughput_ratio(self.measured.loss(first)?, self.measured.loss(second)?)
            }
            Kind::Friendliness => {
                friendliness(self.mean(&metric.flows, None)?, against?.mean(&metric.flows, None)?)
            }
            Kind::Convergence => self.convergence(metric, from),
        }
    }
}
