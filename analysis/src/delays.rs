//! One-way delays: the packets of two vantage points matched with each other, one by one.
//!
//! A packet is recognised by its TCP fields: sequence and acknowledgment number, flags, window, length and time
//! stamps. Flows are matched by addresses and ports, else by the initial sequence numbers of both sides, so that
//! address translation between the two points does no harm. Packets that cannot be told apart (the same fields, as with
//! repeated acknowledgments) are matched in their order if both points saw equally many, else they are left out and
//! counted as *ambiguous*. What one point saw and the other did not is counted too: *lost* if the point nearer to
//! the sender saw it.
//!
//! Which point is nearer to the client follows from the packets of both directions, whatever the clocks say: the sum of
//! both delays is positive. Clocks are taken as they are. The *offset* of the second clock against the first is
//! estimated as NTP does (RFC 5905, section 8), from the flow with the shortest round trip: half the difference of
//! the least delays of its two directions, which is right as far as the path is symmetric. Only if a
//! packet would have arrived before it was sent, clocks differ for certain, and the estimate is taken off; the result
//! says so.
//!
//! Left out: clocks that drift, boxes that change sequence numbers, and of each view packets beyond [`LIMIT`].

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::histogram::{Histogram, Quantiles};
use crate::plot::{Chart, Line};
use crate::reconstruct::{Flow, Reconstruction};
use crate::table::{Align, Table};
use crate::trace::FlowDirection;
use crate::vantage::{Kept, Taken, View, Watch};

/// The most packets of a view that are matched.
pub const LIMIT: usize = 8_000_000;

/// Clocks further apart than this, some decades, are as far apart as this, in nanoseconds.
const FARTHEST: i64 = 1 << 60;

/// What tells a packet of a flow and direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Print {
    seq: u32,
    ack: u32,
    flags: u16,
    window: u16,
    len: u32,
    timestamps: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Passed {
    flow: u32,
    client: bool,
    print: Print,
    nanos: u64,
}

/// Remembers the packets of a capture while it is read.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Kept<Passed>);

impl Recorder {
    /// Packets beyond the limit.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.0.left_out()
    }
}

impl Watch for Recorder {
    fn packet(&mut self, taken: &Taken<'_>) {
        let Some((segment, tcp)) = taken.tcp() else { return };
        let Some(all) = self.0.room(taken.view, LIMIT) else { return };
        let word =
            |option: &[u8], at: usize| Some(u32::from_be_bytes(option.get(at..at + 4)?.try_into().ok()?));
        let timestamps = crate::trace::options::split(tcp.options)
            .find(|option| option.first() == Some(&8))
            .and_then(|option| word(option, 2).zip(word(option, 6)));
        let print = Print {
            seq: tcp.seq.0,
            ack: tcp.ack.0,
            flags: tcp.flags.0,
            window: tcp.window,
            len: tcp.payload_len,
            timestamps,
        };
        let client = segment.direction == FlowDirection::ClientToServer;
        all.push(Passed { flow: segment.flow.index() as u32, client, print, nanos: taken.packet.nanos });
    }
}

/// The delays between two views.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delays {
    /// The view nearer to the clients.
    pub near: String,
    /// The other view.
    pub far: String,
    /// How far the clock of `far` is ahead of that of `near`, in milliseconds, if the shortest path is
    /// symmetric.
    pub clock_offset_ms: f64,
    /// Whether it has been taken off the delays.
    pub corrected: bool,
    /// Flows that both views saw, in the order of `near`.
    pub flows: Vec<FlowDelays>,
}

/// The delays of one flow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowDelays {
    /// Number of the flow in `near`, and in `far`.
    pub flow: [usize; 2],
    /// Address and port of the client, as `near` saw it.
    pub client: String,
    /// Address and port of the server, as `near` saw it.
    pub server: String,
    /// From client to server, then from server to client.
    pub directions: [WayDelays; 2],
}

/// The delays of one direction of a flow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WayDelays {
    /// Packets that both views saw.
    pub matched: u64,
    /// Packets that only the view nearer to the sender saw.
    pub lost: u64,
    /// Packets that only the view nearer to the receiver saw.
    pub unsent: u64,
    /// Packets that could not be told apart.
    pub ambiguous: u64,
    /// Delays in milliseconds.
    pub delay_ms: Option<Quantiles>,
    /// Points of their cumulative distribution: milliseconds, part of the packets.
    #[serde(skip)]
    pub distribution: Vec<(f64, f64)>,
}

/// A view of a capture and what was remembered of it.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// The view.
    pub view: &'a View,
    /// Its index in its capture.
    pub index: usize,
    /// What watched its capture.
    pub recorder: &'a Recorder,
}

/// Differences of time, far minus near, by direction; and what was not matched.
#[derive(Debug, Default)]
struct Matched {
    differences: Vec<i64>,
    only_near: u64,
    only_far: u64,
    ambiguous: u64,
}

/// The delays between all pairs of points that saw a flow both.
#[must_use]
pub fn delays(points: &[Point<'_>]) -> Vec<Delays> {
    let mut all = Vec::new();
    for (number, first) in points.iter().enumerate() {
        for second in &points[number + 1..] {
            all.extend(between(first, second));
        }
    }
    all
}

fn between(first: &Point<'_>, second: &Point<'_>) -> Option<Delays> {
    let pairs = same_flows(&first.view.reconstruction, &second.view.reconstruction);
    if pairs.is_empty() {
        return None;
    }
    let mut matched: Vec<([usize; 2], [Matched; 2])> = Vec::new();
    let (ours, theirs) = (grouped(first), grouped(second));
    for (a, b) in pairs {
        let ways = [true, false].map(|client| {
            let of = |groups: &Groups, flow: usize| groups.get(&(flow, client)).cloned().unwrap_or_default();
            compared(&of(&ours, a), &of(&theirs, b))
        });
        if ways.iter().any(|way| !way.differences.is_empty()) {
            matched.push(([a, b], ways));
        }
    }
    // The sum of both delays of a flow is positive, whatever the clocks, if the first view is nearer to the client.
    let towards = |ways: &[Matched; 2]| Some(ways[0].differences.first()? - ways[1].differences.first()?);
    let swap = matched.iter().find_map(|(_, ways)| towards(ways))? < 0;
    let (near, far) = if swap { (second, first) } else { (first, second) };
    let sign = if swap { -1 } else { 1 };
    // Shortest round trip, and the difference of clocks it tells.
    let trip = |ways: &[Matched; 2]| {
        let there = ways[0].differences.iter().map(|difference| sign * difference).min()?;
        let back = ways[1].differences.iter().map(|difference| -sign * difference).min()?;
        Some((there + back, (there - back) / 2))
    };
    let offset = matched.iter().filter_map(|(_, ways)| trip(ways)).min()?.1;
    let earliest = |client: bool| {
        let way = usize::from(!client);
        let delays = matched.iter().flat_map(|(_, ways)| &ways[way].differences);
        delays.map(|difference| if client { sign * difference } else { -sign * difference }).min()
    };
    let corrected = [true, false].into_iter().any(|client| earliest(client).is_some_and(|delay| delay < 0));
    let flows = matched.into_iter().map(|(numbers, ways)| {
        let flow = if swap { [numbers[1], numbers[0]] } else { numbers };
        let seen = &near.view.reconstruction.flows()[flow[0]];
        let [to_server, to_client] = &ways;
        let taken = if corrected { offset } else { 0 };
        let directions = [told(to_server, sign, taken, !swap), told(to_client, -sign, -taken, swap)];
        FlowDelays { flow, client: seen.client.to_string(), server: seen.server.to_string(), directions }
    });
    let mut flows: Vec<_> = flows.collect();
    flows.sort_by_key(|flow| flow.flow);
    Some(Delays {
        near: near.view.name.clone(),
        far: far.view.name.clone(),
        clock_offset_ms: offset as f64 / 1e6,
        corrected,
        flows,
    })
}

/// What is told of a direction. `sign` turns a difference into a delay, `offset` is taken off it, and
/// `from_first` tells whether the first view was nearer to the sender.
fn told(way: &Matched, sign: i64, offset: i64, from_first: bool) -> WayDelays {
    let mut histogram = Histogram::default();
    for difference in &way.differences {
        histogram.add((sign * difference - offset).max(0).unsigned_abs());
    }
    let (lost, unsent) =
        if from_first { (way.only_near, way.only_far) } else { (way.only_far, way.only_near) };
    WayDelays {
        matched: way.differences.len() as u64,
        lost,
        unsent,
        ambiguous: way.ambiguous,
        delay_ms: histogram.quantiles(1e6),
        distribution: histogram.distribution(1e6),
    }
}

type Groups = BTreeMap<(usize, bool), Vec<(Print, u64)>>;

/// The packets of a view by flow and direction.
fn grouped(point: &Point<'_>) -> Groups {
    let mut groups = Groups::new();
    for passed in point.recorder.0.of(point.index) {
        groups.entry((passed.flow as usize, passed.client)).or_default().push((passed.print, passed.nanos));
    }
    groups
}

/// Matches the packets of one direction; differences are the time of `theirs` less that of `ours`.
fn compared(ours: &[(Print, u64)], theirs: &[(Print, u64)]) -> Matched {
    let mut waiting: FxHashMap<Print, [Vec<u64>; 2]> = FxHashMap::default();
    for (side, packets) in [ours, theirs].into_iter().enumerate() {
        for (print, nanos) in packets {
            waiting.entry(*print).or_default()[side].push(*nanos);
        }
    }
    let mut matched = Matched::default();
    // In the order of the first view, so that nothing depends on the order of a hash table.
    for (print, _) in ours.iter().chain(theirs) {
        let Some([mine, other]) = waiting.remove(print) else { continue };
        if mine.len() == other.len() {
            let difference = |(mine, other): (&u64, &u64)| {
                other.wrapping_sub(*mine).cast_signed().clamp(-FARTHEST, FARTHEST)
            };
            matched.differences.extend(mine.iter().zip(&other).map(difference));
        } else if other.is_empty() {
            matched.only_near += mine.len() as u64;
        } else if mine.is_empty() {
            matched.only_far += other.len() as u64;
        } else {
            // So many at least did not come through.
            matched.ambiguous += mine.len().min(other.len()) as u64;
            matched.only_near += mine.len().saturating_sub(other.len()) as u64;
            matched.only_far += other.len().saturating_sub(mine.len()) as u64;
        }
    }
    matched
}

/// Pairs of flows that are the same.
fn same_flows(first: &Reconstruction, second: &Reconstruction) -> Vec<(usize, usize)> {
    let overlap = |a: &Flow, b: &Flow| a.initial_numbers() == b.initial_numbers();
    let ends = |flow: &Flow| -> (SocketAddr, SocketAddr) { (flow.client, flow.server) };
    let mut free: Vec<bool> = vec![true; second.flows().len()];
    let mut pairs = Vec::new();
    for (number, flow) in first.flows().iter().enumerate() {
        let known = flow.initial_numbers();
        let candidates = || second.flows().iter().enumerate().filter(|(index, _)| free[*index]);
        let same = candidates()
            .find(|(_, other)| ends(other) == ends(flow) && (overlap(flow, other) || known.contains(&None)))
            .or_else(|| {
                candidates().find(|(_, other)| known.iter().all(Option::is_some) && overlap(flow, other))
            })
            .or_else(|| {
                candidates()
                    .find(|(_, other)| ends(other) == ends(flow) && other.initial_numbers().contains(&None))
            });
        if let Some((index, _)) = same {
            free[index] = false;
            pairs.push((number, index));
        }
    }
    pairs
}

impl Delays {
    /// The cumulative distributions of the delays, a line for each flow and direction.
    #[must_use]
    pub fn chart(&self) -> Chart {
        let mut lines = Vec::new();
        for (number, flow) in self.flows.iter().enumerate() {
            let ways = [(&flow.client, &flow.server, false), (&flow.server, &flow.client, true)];
            for (way, (from, to, secondary)) in flow.directions.iter().zip(ways) {
                if way.distribution.len() > 1 {
                    lines.push(Line {
                        label: format!("{from} > {to}"),
                        colour: number + 1,
                        secondary,
                        points: way.distribution.clone(),
                        ..Line::default()
                    });
                }
            }
        }
        Chart {
            title: format!("One-way delays between {} and {}", self.near, self.far),
            x_label: "one-way delay (ms)".into(),
            y_label: "part of the packets".into(),
            lines,
            ..Chart::default()
        }
    }

    /// What is said of the clocks.
    #[must_use]
    pub fn clocks(&self) -> String {
        let what = if self.corrected {
            "taken off, as packets would have arrived before they were sent"
        } else {
            "not taken off"
        };
        let way = if self.clock_offset_ms < 0.0 { "behind" } else { "ahead" };
        let offset = self.clock_offset_ms.abs();
        format!("were the path symmetric, the clock of {} would be {offset:.3} ms {way}; {what}", self.far)
    }
}

impl std::fmt::Display for Delays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "one-way delays between {} and {}: {}", self.near, self.far, self.clocks())?;
        write!(f, "{}", self.table())
    }
}

impl Delays {
    /// The flows, two lines each.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&[
            ("  flow", Align::Left),
            ("way", Align::Left),
            ("matched", Align::Right),
            ("lost", Align::Right),
            ("ambiguous", Align::Right),
            ("delay ms min", Align::Right),
            ("median", Align::Right),
            ("p95", Align::Right),
            ("max", Align::Right),
        ]);
        for flow in &self.flows {
            for (number, (way, name)) in flow.directions.iter().zip(["c>s", "s>c"]).enumerate() {
                let label = format!("  {} {} > {}", flow.flow[0], flow.client, flow.server);
                let of = |of: fn(&Quantiles) -> f64| {
                    way.delay_ms.as_ref().map_or_else(String::new, |q| format!("{:.3}", of(q)))
                };
                table.row([
                    if number == 0 { label } else { String::new() },
                    name.to_owned(),
                    way.matched.to_string(),
                    way.lost.to_string(),
                    way.ambiguous.to_string(),
                    of(|q| q.min),
                    of(|q| q.median),
                    of(|q| q.p95),
                    of(|q| q.max),
                ]);
            }
        }
        table
    }
}
