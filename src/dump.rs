//! `mptcp-sim dump`: one line a packet, in the manner of tcpdump or as a packet script.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use analysis::capture::{CaptureError, CaptureReader, Direction, Frame};
use clap::Args;
use mptcp_model::wire::{Body, Packet, WireError};
use scenarios::script::ast::{Action, Direction as Way, Event, Time};
use scenarios::script::{Environment, Position, Setup, record};
use sim_core::Duration;
use sim_core::random::Streams;

use crate::failure::Failure;
use crate::print;

/// Arguments of `dump`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DumpArguments {
    /// Capture file, pcap or pcapng, gzipped or not
    #[arg(value_name = "CAPTURE")]
    pub(crate) capture: PathBuf,
    /// Write packet-script notation: `<` came in, `>` went out; of a capture without directions, the sender of
    /// the first packet is the one whose packets go out
    #[arg(long)]
    pub(crate) script: bool,
    /// Only packets of interfaces whose names begin with this, such as `client:`
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub(crate) interface: String,
    /// Stop after so many packets
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

/// Lines gathered before they are printed, in octets.
const CHUNK: usize = 1 << 16;

/// Prints the packets of a capture. Damage ends the capture early, with a comment that says where.
///
/// # Errors
/// If the file is no capture, or standard output cannot be written.
pub(crate) fn dump(arguments: &DumpArguments) -> Result<(), Failure> {
    let path = &arguments.capture;
    let mut reader = CaptureReader::open(path).map_err(|error| match error {
        CaptureError::Unreadable(error) | CaptureError::Io { error, .. } => Failure::io("read", path, &error),
        other => Failure::message(
            format!("{}: {other}", path.display()),
            "captures are pcap or pcapng files, gzipped or not".to_owned(),
        ),
    })?;
    let mut lines = Lines::new();
    let mut text = String::new();
    loop {
        let frame = match reader.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(error) => {
                let _ = writeln!(text, "// {error}; the rest is not read");
                break;
            }
        };
        if arguments.count.is_some_and(|count| frame.number > count) {
            break;
        }
        if frame.interface_name.starts_with(&arguments.interface) {
            let line = if arguments.script { lines.script(&frame) } else { lines.plain(&frame) };
            text.push_str(&line);
            text.push('\n');
        }
        if text.len() >= CHUNK {
            print(&text)?;
            text.clear();
        }
    }
    if reader.truncated() {
        let _ = writeln!(text, "// the file ends in the middle of packet {}", reader.packets() + 1);
    }
    print(&text)
}

/// What lines depend on that came before.
struct Lines {
    start: Option<u64>,
    /// The host whose packets go out, by address, if the capture does not tell.
    local: BTreeMap<std::net::IpAddr, Way>,
    environment: Environment,
}

impl Lines {
    fn new() -> Self {
        // Nothing is drawn at random: all numbers are in the capture.
        let environment = Environment::new(Setup::default(), Streams::new(0));
        Self { start: None, local: BTreeMap::new(), environment }
    }

    fn since_start(&mut self, frame: &Frame<'_>) -> u64 {
        frame.nanos.saturating_sub(*self.start.get_or_insert(frame.nanos))
    }

    fn plain(&mut self, frame: &Frame<'_>) -> String {
        let nanos = self.since_start(frame);
        let mut line = format!("{:>6} {}.{:09}", frame.number, nanos / 1_000_000_000, nanos % 1_000_000_000);
        if !frame.interface_name.is_empty() {
            let _ = write!(line, " {}", frame.interface_name);
        }
        match frame.ip().map(|(octets, _, direction)| (parse(octets), direction)) {
            None => line.push_str(" not IP"),
            Some((parsed, direction)) => {
                line.push_str(match direction {
                    Some(Direction::Inbound) => " In ",
                    Some(Direction::Outbound) => " Out ",
                    None => " ",
                });
                match parsed {
                    Ok((packet, cut)) => {
                        let _ = write!(line, "{packet}");
                        if cut > 0 {
                            let _ = write!(line, " + {cut} not captured");
                        }
                    }
                    Err(error) => {
                        let _ = write!(line, "{error}");
                    }
                }
            }
        }
        line
    }

    fn script(&mut self, frame: &Frame<'_>) -> String {
        let at = Duration::from_nanos(self.since_start(frame));
        let Some((octets, _, direction)) = frame.ip() else {
            return format!("// packet {}: not IP", frame.number);
        };
        let (packet, cut) = match parse(octets) {
            Ok(parsed) => parsed,
            Err(error) => return format!("// packet {}: {error}", frame.number),
        };
        let way = match direction {
            Some(Direction::Inbound) => Way::Inbound,
            Some(Direction::Outbound) => Way::Outbound,
            None => self.way(&packet),
        };
        // What is missing of a payload still counts in its length.
        let packet = whole(packet, cut);
        match record(&packet, way, &mut self.environment) {
            Some(spec) => Event {
                position: Position::default(),
                time: Time::Absolute(at),
                action: Action::Packet(spec),
            }
            .to_string(),
            None => format!("// packet {}: no words for {packet}", frame.number),
        }
    }

    /// Without a direction in the capture: the side of the first sender goes out.
    fn way(&mut self, packet: &Packet) -> Way {
        if let Some(&way) = self.local.get(&packet.ip.src) {
            return way;
        }
        let way = match self.local.get(&packet.ip.dst) {
            Some(Way::Outbound) => Way::Inbound,
            Some(Way::Inbound) | None => Way::Outbound,
        };
        self.local.insert(packet.ip.src, way);
        self.local.insert(packet.ip.dst, if way == Way::Outbound { Way::Inbound } else { Way::Outbound });
        way
    }
}

fn parse(octets: &[u8]) -> Result<(Packet, usize), WireError> {
    Packet::parse_captured(octets)
}

/// The packet with zeros for the octets of its payload that were not captured.
fn whole(mut packet: Packet, cut: usize) -> Packet {
    if let (Body::Tcp(segment), true) = (&mut packet.body, cut > 0) {
        let len = u64::from(segment.payload.len()) + cut as u64;
        segment.payload = mptcp_model::wire::Payload::pattern(0, 0, u32::try_from(len).unwrap_or(u32::MAX));
    }
    packet
}
