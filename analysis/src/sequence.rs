//! The course of a connection over time, packet by packet: data-level and subflow-level time sequence,
//! acknowledgments, window edge, reinjections and retransmissions, goodput, octets sent and in flight, round-trip
//! times.
//!
//! Points are kept per packet, at most [`LIMIT`] a view; later packets are left out and counted. Export is as
//! charts and in the format of xplot.

use std::fmt::Write as _;

use crate::plot::{Chart, Line};
use crate::reconstruct::Novelty;
use crate::trace::FlowDirection;
use crate::vantage::{Kept, Taken, View, Watch};

/// The most points of a view.
pub const LIMIT: usize = 4_000_000;

/// What one packet adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Time, in nanoseconds.
    pub nanos: u64,
    /// Index of the flow.
    pub flow: u32,
    /// Side that sent it, 0 the initiator.
    pub side: u8,
    /// Whether it carries again what had been sent, usually on another subflow.
    pub reinjection: bool,
    /// Whether it carries again what its subflow had sent.
    pub retransmission: bool,
    /// Octets of payload.
    pub len: u32,
    /// Octets of the stream of the subflow before and with it, if it has payload.
    pub stream: i64,
    /// Octets of the subflow in flight, after it.
    pub flight: u64,
    /// Octets of the other side that its ACK covers, on the subflow, and the window it announces.
    pub acked: (u64, u64),
    /// Round-trip time of what it acknowledges, in nanoseconds.
    pub rtt: Option<u64>,
    /// Data offset and length.
    pub data: Option<(i64, i64)>,
    /// DATA_ACK, as an offset in the data of the other side.
    pub data_ack: Option<i64>,
    /// Data offset up to which the other side may send.
    pub edge: Option<i64>,
}

/// Records points while a capture is read.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Kept<Point>);

impl Recorder {
    /// The points of a view, in order.
    #[must_use]
    pub fn points(&self, view: usize) -> &[Point] {
        self.0.of(view)
    }

    /// Points beyond the limit.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.0.left_out()
    }
}

impl Watch for Recorder {
    fn packet(&mut self, taken: &Taken<'_>) {
        let Some((segment, tcp)) = taken.tcp() else { return };
        let (view, seen) = (taken.view, taken.seen);
        if tcp.flags.rst() {
            return;
        }
        let Some(points) = self.0.room(view, LIMIT) else { return };
        let flow = &seen.flows()[segment.flow.index()];
        let window = flow.announced_window(segment.direction);
        points.push(Point {
            nanos: taken.packet.nanos,
            flow: segment.flow.index() as u32,
            side: segment.side as u8,
            reinjection: segment.reinjection,
            retransmission: segment.novelty == Novelty::Retransmission,
            len: tcp.payload_len,
            stream: segment.offset - 1 + i64::from(tcp.payload_len),
            flight: flow.in_flight(segment.direction),
            acked: (flow.acknowledged(segment.direction.opposite()), window),
            rtt: segment.rtt,
            data: segment.data,
            data_ack: segment.data_ack,
            edge: segment.data_ack.map(|ack| ack.saturating_add_unsigned(window)),
        });
    }
}

/// Subflows that get a time sequence of their own.
const SUBFLOWS_DRAWN: usize = 8;

fn megabytes(octets: i64) -> f64 {
    octets as f64 / 1e6
}

/// One direction of a connection to be drawn.
#[derive(Clone, Copy, Debug)]
pub struct Course<'a> {
    view: &'a View,
    points: &'a [Point],
    /// Flows of the connection, in order.
    flows: &'a [crate::reconstruct::FlowId],
    side: u8,
}

impl<'a> Course<'a> {
    /// The course of the data that `side` of a connection with `flows` sent.
    #[must_use]
    pub const fn new(
        view: &'a View,
        points: &'a [Point],
        flows: &'a [crate::reconstruct::FlowId],
        side: usize,
    ) -> Self {
        Self { view, points, flows, side: side as u8 }
    }

    /// Points of the connection with the number of the flow in it.
    fn own(&self) -> impl Iterator<Item = (usize, &'a Point)> {
        self.points.iter().filter_map(|point| {
            let number = self.flows.iter().position(|flow| flow.index() == point.flow as usize)?;
            Some((number, point))
        })
    }

    fn seconds(&self, nanos: u64) -> f64 {
        nanos.saturating_sub(self.view.start()) as f64 / 1e9
    }

    /// All charts of the course, each with a name for its file. Those without points are left out.
    #[must_use]
    pub fn charts(&self, title: &str) -> Vec<(String, Chart)> {
        let mut charts = vec![
            ("sequence".to_owned(), self.time_sequence(title)),
            ("goodput".to_owned(), self.goodput(title)),
            ("bytes".to_owned(), self.cumulative(title)),
            ("flight".to_owned(), self.in_flight(title)),
            ("rtt".to_owned(), self.round_trips(title)),
            ("rtt-cdf".to_owned(), self.rtt_distribution(title)),
        ];
        for number in 0..self.flows.len().min(SUBFLOWS_DRAWN) {
            charts.push((format!("subflow{number}-sequence"), self.subflow_sequence(title, number)));
        }
        charts.retain(|(_, chart)| !chart.lines.is_empty());
        charts
    }

    fn lines(&self) -> Vec<Line> {
        let label = |flow: &crate::reconstruct::FlowId| {
            let flow = &self.view.reconstruction.flows()[flow.index()];
            format!("{} > {}", flow.client, flow.server)
        };
        let lines = self.flows.iter().enumerate();
        lines
            .map(|(number, flow)| Line { label: label(flow), colour: number + 1, ..Line::default() })
            .collect()
    }

    /// Data against time: a line for each subflow, the window edge and reinjections as lines of their own.
    #[must_use]
    pub fn time_sequence(&self, title: &str) -> Chart {
        let mut lines = self.lines();
        let mut edge = Line { label: "window edge".into(), secondary: true, ..Line::default() };
        let mut acked = Line { label: "DATA_ACK".into(), ..Line::default() };
        let mut again = Line { label: "reinjected".into(), colour: 6, points_only: true, ..Line::default() };
        for (number, point) in self.own() {
            let t = self.seconds(point.nanos);
            if point.side == self.side {
                if let Some((data, len)) = point.data {
                    lines[number].points.push((t, megabytes(data + len)));
                    if point.reinjection {
                        again.points.push((t, megabytes(data + len)));
                    }
                }
            } else {
                if let Some(ack) = point.data_ack {
                    acked.points.push((t, megabytes(ack)));
                }
                if let Some(right) = point.edge {
                    edge.points.push((t, megabytes(right)));
                }
            }
        }
        lines.extend([acked, edge, again]);
        self.chart(title, "data (MB)", lines)
    }

    /// Octets of the stream of one subflow against time: what was sent, acknowledgments, the window edge, and
    /// retransmissions as marks.
    #[must_use]
    pub fn subflow_sequence(&self, title: &str, number: usize) -> Chart {
        let mut sent = self.lines().swap_remove(number);
        let title = format!("{title}, {}", sent.label);
        sent.label = "sent".into();
        let mut acked = Line { label: "ACK".into(), ..Line::default() };
        let mut edge = Line { label: "window edge".into(), secondary: true, ..Line::default() };
        let mut again = Line { label: "sent again".into(), colour: 6, points_only: true, ..Line::default() };
        for (_, point) in self.own().filter(|(own, _)| *own == number) {
            let t = self.seconds(point.nanos);
            if point.side == self.side {
                if point.len > 0 {
                    let line = if point.retransmission { &mut again } else { &mut sent };
                    line.points.push((t, megabytes(point.stream)));
                }
            } else {
                let (ack, window) = point.acked;
                acked.points.push((t, megabytes(ack.cast_signed())));
                edge.points.push((t, megabytes((ack + window).cast_signed())));
            }
        }
        if sent.points.is_empty() {
            return Chart::default();
        }
        self.chart(&title, "octets of the subflow (MB)", vec![sent, acked, edge, again])
    }

    /// Octets sent since the start, each once: by subflow and of the connection.
    #[must_use]
    pub fn cumulative(&self, title: &str) -> Chart {
        let mut lines = self.lines();
        let mut whole = Line { label: "connection".into(), ..Line::default() };
        let mut sums = vec![0; lines.len()];
        let mut all = 0;
        for (number, point) in self.own().filter(|(_, point)| point.side == self.side) {
            let t = self.seconds(point.nanos);
            if point.len > 0 && !point.retransmission {
                sums[number] += i64::from(point.len);
                lines[number].points.push((t, megabytes(sums[number])));
            }
            if let Some((_, len)) = point.data.filter(|_| !point.reinjection && !point.retransmission) {
                all += len;
                whole.points.push((t, megabytes(all)));
            }
        }
        lines.push(whole);
        self.chart(title, "sent (MB)", lines)
    }

    /// Octets sent and not acknowledged, by subflow.
    #[must_use]
    pub fn in_flight(&self, title: &str) -> Chart {
        let mut lines = self.lines();
        for (number, point) in self.own() {
            if point.side == self.side && point.len > 0 {
                lines[number].points.push((self.seconds(point.nanos), point.flight as f64 / 1e3));
            }
        }
        self.chart(title, "in flight (kB)", lines)
    }

    /// Round-trip times of the data over time, by subflow.
    #[must_use]
    pub fn round_trips(&self, title: &str) -> Chart {
        let mut lines = self.lines();
        for (number, point) in self.own().filter(|(_, point)| point.side != self.side) {
            if let Some(rtt) = point.rtt {
                lines[number].points.push((self.seconds(point.nanos), rtt as f64 / 1e6));
            }
        }
        self.chart(title, "round-trip time (ms)", lines)
    }

    /// Data, each octet once, per interval of a hundredth of the time, stacked: the line of a subflow is the sum
    /// of its own goodput and that of those before it.
    #[must_use]
    pub fn goodput(&self, title: &str) -> Chart {
        const INTERVALS: usize = 100;
        let end = self.own().last().map_or(0, |(_, point)| point.nanos);
        let step = (self.seconds(end) / INTERVALS as f64).max(1e-6);
        let mut bits = vec![vec![0.0; INTERVALS + 1]; self.flows.len()];
        for (number, point) in self.own() {
            if point.side == self.side
                && let Some((_, len)) = point.data
                && !point.reinjection
                && !point.retransmission
            {
                let interval = ((self.seconds(point.nanos) / step) as usize).min(INTERVALS);
                bits[number][interval] += len as f64 * 8.0;
            }
        }
        let mut lines = self.lines();
        let mut below = vec![0.0; INTERVALS + 1];
        for (line, bits) in lines.iter_mut().zip(&bits) {
            for (interval, (below, bits)) in below.iter_mut().zip(bits).enumerate() {
                *below += bits / step / 1e6;
                line.points.push(((interval as f64 + 0.5) * step, *below));
            }
        }
        Chart { stacked: true, ..self.chart(title, "goodput, stacked (Mbit/s)", lines) }
    }

    /// The cumulative distribution of round-trip times of the data, a line for each subflow.
    #[must_use]
    pub fn rtt_distribution(&self, title: &str) -> Chart {
        let mut lines = self.lines();
        for (line, id) in lines.iter_mut().zip(self.flows) {
            let flow = &self.view.reconstruction.flows()[id.index()];
            let direction = if (self.side == 0) ^ flow.reversed {
                FlowDirection::ClientToServer
            } else {
                FlowDirection::ServerToClient
            };
            line.points = flow.counts(direction).rtt.distribution(1e6);
        }
        lines.retain(|line| line.points.len() > 1);
        Chart {
            title: title.to_owned(),
            x_label: "round-trip time (ms)".to_owned(),
            y_label: "part of the samples".to_owned(),
            lines,
            ..Chart::default()
        }
    }

    fn chart(&self, title: &str, y_label: &str, mut lines: Vec<Line>) -> Chart {
        lines.retain(|line| !line.points.is_empty());
        Chart {
            title: title.to_owned(),
            x_label: "time (s)".to_owned(),
            y_label: y_label.to_owned(),
            lines,
            stacked: false,
        }
    }

    /// The time sequence in the format of xplot: data as vertical lines, reinjections with a diamond, DATA_ACK
    /// and window edge as steps.
    #[must_use]
    pub fn xplot(&self, title: &str) -> String {
        const COLOURS: [&str; 6] = ["blue", "orange", "green", "magenta", "purple", "pink"];
        let mut text = format!("double unsigned\ntitle\n{title}\nxlabel\ntime\nylabel\ndata sequence\n");
        let mut last: [Option<(f64, i64)>; 2] = [None, None];
        for (number, point) in self.own() {
            let t = self.seconds(point.nanos);
            if point.side == self.side {
                if let Some((data, len)) = point.data {
                    let colour = COLOURS[number % COLOURS.len()];
                    let _ = writeln!(
                        text,
                        "{colour}\nline {t:.9} {} {t:.9} {}",
                        data.max(0),
                        (data + len).max(0)
                    );
                    if point.reinjection {
                        let _ = writeln!(text, "red\ndiamond {t:.9} {}", (data + len).max(0));
                    }
                }
                continue;
            }
            for ((value, last), colour) in
                [point.data_ack, point.edge].into_iter().zip(&mut last).zip(["white", "yellow"])
            {
                let Some(value) = value.map(|value| value.max(0)) else { continue };
                if let Some((before, level)) = *last {
                    let _ = writeln!(text, "{colour}\nline {before:.9} {level} {t:.9} {level}");
                    let _ = writeln!(text, "line {t:.9} {level} {t:.9} {value}");
                }
                *last = Some((t, value));
            }
        }
        text.push_str("go\n");
        text
    }
}
