//! Captures as points of view: of a file with the interfaces of several hosts, as the simulator writes them,
//! each host is a view of its own, since it shows every packet once.
//!
//! Interfaces belong to hosts if all names have the form `host:interface`; else the file is one view. Damage
//! ends a file early with a warning, and what was read until then counts.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::capture::{CaptureError, CaptureReader};
use crate::reconstruct::{Captured, Reconstruction, Segment};
use crate::trace::{PacketView, SegmentView, Transport};

/// What one host saw.
#[derive(Clone, Debug)]
pub struct View {
    /// Name of the host; of the file if that holds one view.
    pub name: String,
    /// Time of its first and last packet, in nanoseconds of the capture's clock.
    pub time: Option<(u64, u64)>,
    /// Octets of its IP packets on the wire.
    pub octets: u64,
    /// Packets that are not IP.
    pub not_ip: u64,
    /// ICMP messages that are errors, by type and code.
    pub icmp: std::collections::BTreeMap<(u8, u8), u64>,
    /// Names of its interfaces, by the index in the file.
    pub interfaces: Vec<(usize, String)>,
    /// Its flows and connections.
    pub reconstruction: Reconstruction,
}

/// What a reader of results should know about the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Number of the packet, if it is about one.
    pub packet: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.packet {
            Some(packet) => write!(f, "packet {packet}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// What is remembered of each view while a capture is read, up to a limit.
#[derive(Clone, Debug)]
pub(crate) struct Kept<T> {
    views: Vec<Vec<T>>,
    left_out: u64,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { views: Vec::new(), left_out: 0 }
    }
}

impl<T: Clone> Kept<T> {
    /// All of a view, in order.
    pub(crate) fn of(&self, view: usize) -> &[T] {
        self.views.get(view).map_or(&[], Vec::as_slice)
    }

    /// How many were beyond the limit.
    pub(crate) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Where the next of a view goes; nowhere if it has `limit` of them already, which counts as left out.
    pub(crate) fn room(&mut self, view: usize, limit: usize) -> Option<&mut Vec<T>> {
        if self.views.len() <= view {
            self.views.resize(view + 1, Vec::new());
        }
        let kept = &mut self.views[view];
        if kept.len() >= limit {
            self.left_out += 1;
            return None;
        }
        Some(kept)
    }
}

/// A packet that a view took.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'a> {
    /// Index of the view.
    pub view: usize,
    /// What the view has seen, up to this packet.
    pub seen: &'a Reconstruction,
    /// The packet.
    pub packet: &'a Captured<'a>,
    /// What it is in its flow, if it is TCP.
    pub segment: Option<&'a Segment>,
}

impl<'a> Taken<'a> {
    /// The segment with its header, if it is TCP.
    #[must_use]
    pub const fn tcp(&self) -> Option<(&'a Segment, &'a SegmentView<'a>)> {
        match (self.segment, &self.packet.packet.transport) {
            (Some(segment), Transport::Tcp(tcp)) => Some((segment, tcp)),
            _ => None,
        }
    }
}

/// What watches a capture while it is read.
pub trait Watch {
    /// A view took a packet.
    fn packet(&mut self, taken: &Taken<'_>);
}

/// Watches, or not.
impl<W: Watch> Watch for Option<W> {
    fn packet(&mut self, taken: &Taken<'_>) {
        if let Some(watch) = self {
            watch.packet(taken);
        }
    }
}

impl Watch for () {
    fn packet(&mut self, _: &Taken<'_>) {}
}

/// Reads a capture to its end, or to where it is damaged.
///
/// # Errors
/// If the file cannot be opened or is no capture.
pub fn read(path: &Path, watch: &mut impl Watch) -> Result<(Vec<View>, Vec<Warning>), CaptureError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    read_from(&mut CaptureReader::open(path)?, &name, watch)
}

/// As [`read`], of a capture that is open; `name` is that of the view if there is one only.
///
/// # Errors
/// None so far; damage is a warning.
pub fn read_from(
    reader: &mut CaptureReader,
    name: &str,
    watch: &mut impl Watch,
) -> Result<(Vec<View>, Vec<Warning>), CaptureError> {
    let mut views: Vec<View> = Vec::new();
    let mut warnings = Vec::new();
    // View of each interface of the file.
    let mut of_interface: Vec<Option<usize>> = Vec::new();
    let mut unknown_links = Vec::new();
    loop {
        let frame = match reader.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(CaptureError::Io { packet, error }) => {
                warnings
                    .push(Warning { packet: Some(packet), what: format!("{error}; the rest is not read") });
                break;
            }
            Err(CaptureError::Malformed { packet, what }) => {
                warnings
                    .push(Warning { packet: Some(packet), what: format!("{what}; the rest is not read") });
                break;
            }
            Err(other) => return Err(other),
        };
        if of_interface.len() <= frame.interface {
            of_interface.resize(frame.interface + 1, None);
        }
        let index = match of_interface[frame.interface] {
            Some(index) => index,
            None => {
                let host = frame.interface_name.split_once(':').map_or(name, |(host, _)| host);
                let index = views.iter().position(|view| view.name == host).unwrap_or_else(|| {
                    views.push(View::new(host));
                    views.len() - 1
                });
                views[index].interfaces.push((frame.interface, frame.interface_name.to_owned()));
                of_interface[frame.interface] = Some(index);
                if !frame.link.is_known() && !unknown_links.contains(&frame.link) {
                    unknown_links.push(frame.link);
                    let what = format!("link type {} is not known; its packets are not read", frame.link.0);
                    warnings.push(Warning { packet: Some(frame.number), what });
                }
                index
            }
        };
        let view = &mut views[index];
        view.time = Some((view.time.map_or(frame.nanos, |(first, _)| first), frame.nanos));
        let packet = frame.ip().and_then(|(octets, len, _)| Some((PacketView::parse(octets, len)?, len)));
        let Some((packet, wire_len)) = packet else {
            view.not_ip += 1;
            view.reconstruction.push_other();
            continue;
        };
        view.octets += u64::from(wire_len);
        if let Transport::Icmp { kind, code } = packet.transport {
            *view.icmp.entry((kind, code)).or_insert(0) += 1;
        }
        let (number, nanos, interface) = (frame.number, frame.nanos, frame.interface);
        let captured = Captured { number, nanos, interface, wire_len, packet };
        let segment = view.reconstruction.push(&captured);
        let (seen, segment) = (&view.reconstruction, segment.as_ref());
        watch.packet(&Taken { view: index, seen, packet: &captured, segment });
    }
    for view in &mut views {
        view.reconstruction.finish();
    }
    if reader.truncated() {
        let what = "the file ends in the middle of this packet".to_owned();
        warnings.push(Warning { packet: Some(reader.packets() + 1), what });
    }
    Ok((views, warnings))
}

impl View {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            time: None,
            octets: 0,
            not_ip: 0,
            icmp: std::collections::BTreeMap::new(),
            interfaces: Vec::new(),
            reconstruction: Reconstruction::new(),
        }
    }

    /// When its first packet was captured, in nanoseconds of the capture's clock.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.time.map_or(0, |(first, _)| first)
    }
}
