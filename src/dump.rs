//! `mptcp-sim dump`: one line a packet, in the manner of tcpdump or as a packet script with its system calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use analysis::capture::{CaptureReader, Direction, Frame};
use clap::{Args, ValueEnum};
use mptcp_model::wire::{Body, Packet, WireError};
use scenarios::script::ast::Direction as Way;
use scenarios::script::{Environment, Setup, record};
use sim_core::Duration;
use sim_core::random::Streams;

use crate::calls::{self, Line, Recorded};
use crate::failure::Failure;
use crate::{print, report};

/// Arguments of `dump`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DumpArguments {
    /// Capture file, pcap or pcapng, gzipped or not
    #[arg(value_name = "CAPTURE")]
    pub(crate) capture: PathBuf,
    /// Write a packet script with the system calls of the first connection: `<` came in, `>` went out
    #[arg(long)]
    pub(crate) script: bool,
    /// Whose script it is, if the capture has no directions; of a capture with interfaces of several hosts (named
    /// `HOST:INTERFACE`), only those of this one are read
    #[arg(long, value_enum, value_name = "SIDE", default_value_t = Side::Client)]
    pub(crate) side: Side,
    /// Only packets of interfaces whose names begin with this, such as `client:`
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub(crate) interface: String,
    /// Stop after so many packets
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// The sender of the first packet.
    Client,
    /// Its receiver.
    Server,
}

/// Lines gathered before they are printed, in octets.
const CHUNK: usize = 1 << 16;

/// Prints the packets of a capture. Damage ends the capture early, with a comment that says where.
///
/// # Errors
/// If the file is no capture, or standard output cannot be written.
pub(crate) fn dump(arguments: &DumpArguments) -> Result<(), Failure> {
    let mut reader = open(&arguments.capture)?;
    let mut lines = Lines::new(arguments.side);
    let (mut text, mut script) = (String::new(), Vec::new());
    let (mut found, mut interfaces) = (false, BTreeSet::new());
    let interface = match &arguments.interface[..] {
        "" if arguments.script => host_of(&mut open(&arguments.capture)?, arguments.side).unwrap_or_default(),
        given => given.to_owned(),
    };
    loop {
        let frame = match reader.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(error) => {
                let comment = format!("// {error}; the rest is not read");
                if arguments.script {
                    script.push(Line::Comment(comment));
                } else {
                    let _ = writeln!(text, "{comment}");
                }
                break;
            }
        };
        if arguments.count.is_some_and(|count| frame.number > count) {
            break;
        }
        if !frame.interface_name.starts_with(&interface) {
            if !found && !interfaces.contains(frame.interface_name) {
                interfaces.insert(frame.interface_name.to_owned());
            }
        } else {
            found = true;
            if arguments.script {
                script.push(lines.script(&frame));
            } else {
                text.push_str(&lines.plain(&frame));
                text.push('\n');
            }
        }
        if text.len() >= CHUNK {
            print(&text)?;
            text.clear();
        }
    }
    if arguments.script {
        text = calls::script(script);
    }
    if reader.truncated() {
        let _ = writeln!(text, "// the file ends in the middle of packet {}", reader.packets() + 1);
    }
    if !found && !interfaces.is_empty() {
        let names: Vec<_> = interfaces.into_iter().collect();
        report(&[format!(
            "warning: no interface begins with {interface}; there are: {}\n",
            names.join(", ")
        )]);
    }
    print(&text)
}

fn open(path: &std::path::Path) -> Result<CaptureReader, Failure> {
    CaptureReader::open(path).map_err(|error| Failure::capture(path, error))
}

/// Of a capture with interfaces of several hosts, the prefix of those of one side, as the first SYN or SYN/ACK tells.
fn host_of(reader: &mut CaptureReader, side: Side) -> Option<String> {
    while let Ok(Some(frame)) = reader.next_frame() {
        let Some(Ok((packet, _))) = frame.ip().map(|(octets, ..)| parse(octets)) else { continue };
        let Body::Tcp(segment) = &packet.body else { continue };
        if segment.flags.syn() && segment.flags.ack() == (side == Side::Server) {
            let (host, _) = frame.interface_name.split_once(':')?;
            return Some(format!("{host}:"));
        }
    }
    None
}

/// What lines depend on that came before.
struct Lines {
    start: Option<u64>,
    /// The way of the first packet.
    first: Way,
    /// The host whose packets go out, by address, if the capture does not tell.
    local: BTreeMap<std::net::IpAddr, Way>,
    environment: Environment,
}

impl Lines {
    fn new(side: Side) -> Self {
        // Nothing is drawn at random: all numbers are in the capture.
        let environment = Environment::new(Setup::default(), Streams::new(0));
        let first = if side == Side::Client { Way::Outbound } else { Way::Inbound };
        Self { start: None, first, local: BTreeMap::new(), environment }
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

    fn script(&mut self, frame: &Frame<'_>) -> Line {
        let at = Duration::from_nanos(self.since_start(frame));
        let Some((octets, _, direction)) = frame.ip() else {
            return Line::Comment(format!("// packet {}: not IP", frame.number));
        };
        let (packet, cut) = match parse(octets) {
            Ok(parsed) => parsed,
            Err(error) => return Line::Comment(format!("// packet {}: {error}", frame.number)),
        };
        let way = match direction {
            Some(Direction::Inbound) => Way::Inbound,
            Some(Direction::Outbound) => Way::Outbound,
            None => self.way(&packet),
        };
        // What is missing of a payload still counts in its length.
        let packet = whole(packet, cut);
        match record(&packet, way, &mut self.environment) {
            Some(spec) => Line::Packet(Box::new(Recorded::new(at, &packet, spec))),
            None => Line::Comment(format!("// packet {}: no words for {packet}", frame.number)),
        }
    }

    /// Without a direction in the capture: that of the first packet tells.
    fn way(&mut self, packet: &Packet) -> Way {
        if let Some(&way) = self.local.get(&packet.ip.src) {
            return way;
        }
        let way = match self.local.get(&packet.ip.dst) {
            Some(Way::Outbound) => Way::Inbound,
            Some(Way::Inbound) => Way::Outbound,
            None => self.first,
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
