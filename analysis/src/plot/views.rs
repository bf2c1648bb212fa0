//! The charts of a run, from its samples.

use std::collections::BTreeMap;

use crate::series::{ConnectionSample, SubflowSample};

use super::chart::{Chart, Line};

const TIME: &str = "time (s)";
/// So many lines differ in colour, dashes or marks. A chart that would have more of several connections shows these
/// instead of their subflows, if it can.
const CROWDED: usize = 12;

/// Data received per interval: every subflow and, if there are several, their connection. With very many subflows,
/// connections only.
#[must_use]
pub fn goodput(title: &str, subflows: &[SubflowSample], connections: &[ConnectionSample]) -> Chart {
    let mut subflows = ends(subflows);
    subflows.retain(|end| end.iter().any(|sample| sample.goodput_mbit_s.0 > 0.0));
    let lines = lines(&subflows, |sample| Some(sample.goodput_mbit_s.0));
    let lines = with_totals(&subflows, lines, connections, |sample| sample.goodput_mbit_s.0);
    chart(title, "goodput (Mbit/s)", lines)
}

/// Congestion window of every subflow that sent data, and its slow start threshold where set and not too many.
#[must_use]
pub fn windows(title: &str, subflows: &[SubflowSample]) -> Chart {
    let senders = senders(subflows);
    let mut both = Vec::new();
    let windows = lines(&senders, |sample| Some(f64::from(sample.cwnd_segments)));
    let thresholds = lines(&senders, |sample| sample.ssthresh_segments.map(f64::from));
    for (mut window, mut threshold) in windows.into_iter().zip(thresholds) {
        threshold.label = format!("{} ssthresh", window.label);
        threshold.secondary = true;
        window.label.push_str(" cwnd");
        both.push(window);
        if senders.len() <= CROWDED && threshold.points.iter().any(|point| point.1.is_finite()) {
            both.push(threshold);
        }
    }
    chart(title, "window (segments)", both)
}

/// Data acknowledged since the start: every subflow that sent data, and the connection. With very many subflows,
/// connections only.
#[must_use]
pub fn cumulative_bytes(title: &str, subflows: &[SubflowSample], connections: &[ConnectionSample]) -> Chart {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let subflows = senders(subflows);
    let lines = lines(&subflows, |sample| Some(megabytes(sample.acked_bytes)));
    let lines = with_totals(&subflows, lines, connections, |sample| megabytes(sample.dsn_acked_bytes));
    chart(title, "data acknowledged (MB)", lines)
}

/// Segments in flight on every subflow that sent data.
#[must_use]
pub fn in_flight(title: &str, subflows: &[SubflowSample]) -> Chart {
    let lines = lines(&senders(subflows), |sample| Some(f64::from(sample.in_flight_segments)));
    chart(title, "in flight (segments)", lines)
}

/// Smoothed round-trip time of every subflow that sent data.
#[must_use]
pub fn round_trip_times(title: &str, subflows: &[SubflowSample]) -> Chart {
    let lines = lines(&senders(subflows), |sample| sample.srtt_ms.map(|srtt| srtt.0));
    chart(title, "smoothed round-trip time (ms)", lines)
}

fn chart(title: &str, y_label: &str, lines: Vec<Line>) -> Chart {
    Chart {
        title: title.to_owned(),
        x_label: TIME.to_owned(),
        y_label: y_label.to_owned(),
        lines,
        stacked: false,
    }
}

/// The samples of one end of a subflow or connection, in order of time; at least one.
type End<'a, T> = Vec<&'a T>;

/// What is sampled at an end.
trait Sample {
    /// Names of connection and host, and the subflow.
    fn end(&self) -> (&str, &str, Option<u32>);
    fn time_s(&self) -> f64;
}

impl Sample for SubflowSample {
    fn end(&self) -> (&str, &str, Option<u32>) {
        (&self.connection, &self.host, Some(self.subflow))
    }
    fn time_s(&self) -> f64 {
        self.time_s.0
    }
}

impl Sample for ConnectionSample {
    fn end(&self) -> (&str, &str, Option<u32>) {
        (&self.connection, &self.host, None)
    }
    fn time_s(&self) -> f64 {
        self.time_s.0
    }
}

/// Samples by end, in order of appearance.
fn ends<T: Sample>(samples: &[T]) -> Vec<End<'_, T>> {
    let mut ends: Vec<End<'_, T>> = Vec::new();
    let mut places = BTreeMap::new();
    for sample in samples {
        let place = *places.entry(sample.end()).or_insert_with(|| {
            ends.push(Vec::new());
            ends.len() - 1
        });
        ends[place].push(sample);
    }
    ends
}

/// The subflow ends that had data acknowledged.
fn senders(subflows: &[SubflowSample]) -> Vec<End<'_, SubflowSample>> {
    let mut ends = ends(subflows);
    ends.retain(|end| end.last().is_some_and(|last| last.acked_bytes > 0));
    ends
}

/// One line for each end; colours from 1. Labels say as much as it takes to tell the ends apart.
fn lines<T: Sample>(ends: &[End<'_, T>], value: impl Fn(&T) -> Option<f64>) -> Vec<Line> {
    let differ = |part: fn(&T) -> &str| ends.iter().any(|end| part(end[0]) != part(ends[0][0]));
    let several_connections = differ(|sample| sample.end().0);
    let several_hosts = differ(|sample| sample.end().1);
    let label = |sample: &T| {
        let (connection, host, subflow) = sample.end();
        let mut label = match subflow {
            None => format!("connection {connection}"),
            Some(subflow) if several_connections => format!("{connection} subflow {subflow}"),
            Some(subflow) => format!("subflow {subflow}"),
        };
        if several_hosts {
            label.push_str(&format!(" ({host})"));
        }
        label
    };
    let line = |(index, end): (usize, &End<'_, T>)| Line {
        label: label(end[0]),
        colour: index + 1,
        points: end.iter().map(|sample| (sample.time_s(), value(sample).unwrap_or(f64::NAN))).collect(),
        ..Line::default()
    };
    ends.iter().enumerate().map(line).collect()
}

/// Adds the connections that have several of these subflows: in black, or if there are several in colours of their
/// own. If that is too much to be read, the connections alone.
fn with_totals(
    subflows: &[End<'_, SubflowSample>],
    mut of_subflows: Vec<Line>,
    connections: &[ConnectionSample],
    value: impl Fn(&ConnectionSample) -> f64,
) -> Vec<Line> {
    let mut ends = ends(connections);
    ends.retain(|end| end.iter().any(|sample| value(sample) > 0.0));
    let several = ends.len() > 1;
    let has = |end: &End<'_, ConnectionSample>, least: usize| {
        let (connection, host, _) = end[0].end();
        let own = subflows.iter().map(|subflow| subflow[0].end());
        own.filter(|own| (own.0, own.1) == (connection, host)).take(least).count() == least
    };
    let totals = ends.iter().filter(|end| has(end, 2)).count();
    if several && of_subflows.len() + totals > CROWDED {
        ends.retain(|end| has(end, 1));
        return lines(&ends, |sample| Some(value(sample)));
    }
    ends.retain(|end| has(end, 2));
    let mut totals = lines(&ends, |sample| Some(value(sample)));
    if let [only] = totals.as_mut_slice() {
        only.colour = 0;
    }
    for (index, total) in totals.iter_mut().enumerate().filter(|(_, total)| total.colour > 0) {
        total.colour = of_subflows.len() + index + 1;
    }
    of_subflows.append(&mut totals);
    of_subflows
}
