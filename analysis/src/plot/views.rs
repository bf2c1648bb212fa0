//! The charts of a run, from its samples.

use crate::series::{ConnectionSample, SubflowSample};

use super::chart::{Chart, Line};

const TIME: &str = "time (s)";

/// Data received per interval: every subflow and, if there are several, their connection.
#[must_use]
pub fn goodput(title: &str, subflows: &[SubflowSample], connections: &[ConnectionSample]) -> Chart {
    let mut lines = subflow_lines(subflows, |sample| Some(sample.goodput_mbit_s.0));
    lines.retain(carries_anything);
    if lines.len() > 1 {
        let mut totals = connection_lines(connections, |sample| sample.goodput_mbit_s.0);
        totals.retain(carries_anything);
        lines.extend(totals);
    }
    chart(title, "goodput (Mbit/s)", lines)
}

/// Congestion window of every subflow that sent data, and its slow start threshold where set.
#[must_use]
pub fn windows(title: &str, subflows: &[SubflowSample]) -> Chart {
    let senders = senders(subflows);
    let mut lines = Vec::new();
    let windows = subflow_lines(&senders, |sample| Some(f64::from(sample.cwnd_segments)));
    let thresholds = subflow_lines(&senders, |sample| sample.ssthresh_segments.map(f64::from));
    for (mut window, mut threshold) in windows.into_iter().zip(thresholds) {
        threshold.label = format!("{} ssthresh", window.label);
        threshold.secondary = true;
        window.label.push_str(" cwnd");
        lines.push(window);
        if threshold.points.iter().any(|point| point.1.is_finite()) {
            lines.push(threshold);
        }
    }
    chart(title, "window (segments)", lines)
}

/// Data acknowledged since the start: every subflow that sent data, and the connection.
#[must_use]
pub fn cumulative_bytes(title: &str, subflows: &[SubflowSample], connections: &[ConnectionSample]) -> Chart {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let mut lines = subflow_lines(&senders(subflows), |sample| Some(megabytes(sample.acked_bytes)));
    let mut totals = connection_lines(connections, |sample| megabytes(sample.dsn_acked_bytes));
    totals.retain(carries_anything);
    lines.extend(totals);
    chart(title, "data acknowledged (MB)", lines)
}

/// Segments in flight on every subflow that sent data.
#[must_use]
pub fn in_flight(title: &str, subflows: &[SubflowSample]) -> Chart {
    let lines = subflow_lines(&senders(subflows), |sample| Some(f64::from(sample.in_flight_segments)));
    chart(title, "in flight (segments)", lines)
}

/// Smoothed round-trip time of every subflow that sent data.
#[must_use]
pub fn round_trip_times(title: &str, subflows: &[SubflowSample]) -> Chart {
    let lines = subflow_lines(&senders(subflows), |sample| sample.srtt_ms.map(|srtt| srtt.0));
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

fn carries_anything(line: &Line) -> bool {
    line.points.iter().any(|&(_, y)| y > 0.0)
}

/// The samples of subflow ends that had data acknowledged.
fn senders(subflows: &[SubflowSample]) -> Vec<SubflowSample> {
    let sent = |sample: &SubflowSample| {
        subflows
            .iter()
            .rev()
            .find(|other| same_subflow(other, sample))
            .is_some_and(|last| last.acked_bytes > 0)
    };
    let mut verdicts: Vec<(&SubflowSample, bool)> = Vec::new();
    let mut kept = Vec::new();
    for sample in subflows {
        let known = verdicts.iter().find(|(other, _)| same_subflow(other, sample)).map(|&(_, sends)| sends);
        let sends = known.unwrap_or_else(|| {
            let sends = sent(sample);
            verdicts.push((sample, sends));
            sends
        });
        if sends {
            kept.push(sample.clone());
        }
    }
    kept
}

fn same_subflow(a: &SubflowSample, b: &SubflowSample) -> bool {
    a.subflow == b.subflow && a.connection == b.connection && a.host == b.host
}

/// One line per subflow end, in order of appearance; colours from 1.
fn subflow_lines(samples: &[SubflowSample], value: impl Fn(&SubflowSample) -> Option<f64>) -> Vec<Line> {
    let mut lines: Vec<(&SubflowSample, Line)> = Vec::new();
    for sample in samples {
        let position = lines.iter().position(|(first, _)| same_subflow(first, sample)).unwrap_or_else(|| {
            let colour = lines.len() + 1;
            lines.push((sample, Line { colour, ..Line::default() }));
            lines.len() - 1
        });
        lines[position].1.points.push((sample.time_s.0, value(sample).unwrap_or(f64::NAN)));
    }
    let several_connections = lines.iter().any(|(first, _)| first.connection != lines[0].0.connection);
    let several_hosts = lines.iter().any(|(first, _)| first.host != lines[0].0.host);
    let label = |first: &SubflowSample| {
        let mut label = String::new();
        if several_connections {
            label = format!("{} ", first.connection);
        }
        label.push_str(&format!("subflow {}", first.subflow));
        if several_hosts {
            label.push_str(&format!(" ({})", first.host));
        }
        label
    };
    let labels: Vec<_> = lines.iter().map(|(first, _)| label(first)).collect();
    lines.into_iter().zip(labels).map(|((_, line), label)| Line { label, ..line }).collect()
}

/// One black line per connection end.
fn connection_lines(samples: &[ConnectionSample], value: impl Fn(&ConnectionSample) -> f64) -> Vec<Line> {
    let mut lines: Vec<(&ConnectionSample, Line)> = Vec::new();
    for sample in samples {
        let same =
            |first: &ConnectionSample| first.connection == sample.connection && first.host == sample.host;
        let position = lines.iter().position(|(first, _)| same(first)).unwrap_or_else(|| {
            let label = format!("connection {}", sample.connection);
            lines.push((sample, Line { label, ..Line::default() }));
            lines.len() - 1
        });
        lines[position].1.points.push((sample.time_s.0, value(sample)));
    }
    lines.into_iter().map(|(_, line)| line).collect()
}
