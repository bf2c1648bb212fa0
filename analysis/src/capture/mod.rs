//! Reading of capture files as a stream, in memory that does not grow with the file: pcap (both byte
//! orders, microseconds and nanoseconds, Kuznetzov's variant) and pcapng (both byte orders, several
//! sections and interfaces, any time resolution), each plain or gzipped.
//!
//! A file that ends in the middle of a record is read up to there, see
//! [`CaptureReader::truncated`]. Nothing in a file makes the reader panic, and no length field makes
//! it reserve memory for octets that are not there. Name resolution, statistics, decryption secrets
//! and unknown blocks are skipped.

mod input;
pub mod link;
mod pcap;
mod pcapng;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use input::Input;
pub use link::LinkType;

/// Which way a packet crossed the captured interface, seen from its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received by the owner.
    Inbound,
    /// Sent by the owner.
    Outbound,
}

/// Why a capture could not be read on. `packet` is the number of the packet, from 1, that would have
/// come next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The first octets are of no known format.
    #[error("not a pcap or pcapng file (it begins with {0:08x})")]
    UnknownFormat(u32),
    /// There is nothing in the file.
    #[error("not a pcap or pcapng file (it has fewer than 4 octets)")]
    Empty,
    /// The file cannot be opened or read at all.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// Reading failed later, or the compressed data is damaged.
    #[error("packet {packet}: {error}")]
    Io {
        /// Packet number.
        packet: u64,
        /// What failed.
        #[source]
        error: io::Error,
    },
    /// A record contradicts the format.
    #[error("packet {packet}: {what}")]
    Malformed {
        /// Packet number.
        packet: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// An interface as described by the file. A pcap file has exactly one, without a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedInterface {
    /// `if_name`, empty if not given.
    pub name: String,
    /// Link type of its frames.
    pub link: LinkType,
    snap_len: u32,
    clock: Clock,
}

/// One captured frame, borrowed until the next is read.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Number of the packet in the file, from 1.
    pub number: u64,
    /// Capture time in nanoseconds since the zero of the file's clock (for most captures the Unix
    /// epoch). 0 if the block carries none.
    pub nanos: u64,
    /// Index into [`CaptureReader::interfaces`].
    pub interface: usize,
    /// Name of the interface, empty if not given.
    pub interface_name: &'a str,
    /// Link type.
    pub link: LinkType,
    /// Direction, if recorded.
    pub direction: Option<Direction>,
    /// Length of the frame on the wire in octets.
    pub original_len: u32,
    /// What was captured of it.
    pub data: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The octets from the IP header on, their length on the wire and the direction (from the link
    /// header where the record has none). `None` if this is no IP packet.
    #[must_use]
    #[inline]
    pub fn ip(&self) -> Option<(&'a [u8], u32, Option<Direction>)> {
        let (offset, direction) = self.link.ip_offset(self.data)?;
        let wire_len = self.original_len.saturating_sub(offset as u32);
        Some((&self.data[offset..], wire_len, self.direction.or(direction)))
    }
}

/// A capture being read.
pub struct CaptureReader {
    input: Input,
    format: Format,
    order: Order,
    interfaces: Vec<CapturedInterface>,
    /// Index of the section's first interface: numbers in blocks count from there.
    section_start: usize,
    packets: u64,
    finished: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Pcap(pcap::Variant),
    Pcapng,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

/// Where a packet stands in the record at the front of the input.
struct Record {
    interface: usize,
    nanos: u64,
    direction: Option<Direction>,
    original_len: u32,
    start: usize,
    end: usize,
}

/// Ticks per second, and seconds to add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    ticks_per_second: u128,
    offset_seconds: i64,
}

/// No block of a sane capture is longer; libpcap's own limit for a packet is 256 KiB.
const MAX_BLOCK: usize = 64 << 20;

const PCAPNG_MAGIC: u32 = 0x0a0d_0d0a;

impl CaptureReader {
    /// Opens a file, gzipped or not (told by its content, not its name).
    ///
    /// # Errors
    /// If it cannot be read or is no capture.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let file = File::open(path).map_err(CaptureError::Unreadable)?;
        Self::new(BufReader::with_capacity(1 << 16, file))
    }

    /// Reads from `input`, gzipped or not.
    ///
    /// # Errors
    /// If it cannot be read or is no capture.
    pub fn new(mut input: impl BufRead + 'static) -> Result<Self, CaptureError> {
        let gzipped = input.fill_buf().map_err(CaptureError::Unreadable)?.starts_with(&[0x1f, 0x8b]);
        let source: Box<dyn Read> =
            if gzipped { Box::new(MultiGzDecoder::new(input)) } else { Box::new(input) };
        let mut reader = Self {
            input: Input::new(source),
            format: Format::Pcapng,
            order: Order::Little,
            interfaces: Vec::new(),
            section_start: 0,
            packets: 0,
            finished: false,
        };
        let magic = match reader.take(4)? {
            Some(&[a, b, c, d]) => u32::from_be_bytes([a, b, c, d]),
            _ => return Err(CaptureError::Empty),
        };
        if magic == PCAPNG_MAGIC {
            reader.input.keep();
        } else {
            reader.pcap_header(magic)?;
        }
        Ok(reader)
    }

    /// The interfaces described so far; pcapng may add more between packets.
    #[must_use]
    pub fn interfaces(&self) -> &[CapturedInterface] {
        &self.interfaces
    }

    /// Whether the file ended in the middle of a record. Meaningful after the last frame.
    #[must_use]
    pub const fn truncated(&self) -> bool {
        self.input.truncated()
    }

    /// Number of frames read so far.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// The next frame, `None` at the end of the file. After an error the reader is at its end.
    ///
    /// # Errors
    /// If reading fails or a record contradicts the format.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        if self.finished {
            return Ok(None);
        }
        let record = match self.format {
            Format::Pcap(variant) => self.next_pcap(variant),
            Format::Pcapng => self.next_pcapng(),
        };
        match record {
            Ok(Some(record)) => {
                self.packets += 1;
                let interface = &self.interfaces[record.interface];
                Ok(Some(Frame {
                    number: self.packets,
                    nanos: record.nanos,
                    interface: record.interface,
                    interface_name: &interface.name,
                    link: interface.link,
                    direction: record.direction,
                    original_len: record.original_len,
                    data: &self.input.taken()[record.start..record.end],
                }))
            }
            Ok(None) => {
                self.finished = true;
                Ok(None)
            }
            Err(error) => {
                self.finished = true;
                Err(error)
            }
        }
    }

    /// The next `len` octets; `None` if the input ends before.
    #[inline]
    fn take(&mut self, len: usize) -> Result<Option<&[u8]>, CaptureError> {
        let packet = self.packets + 1;
        self.input.take(len).map_err(|error| CaptureError::Io { packet, error })
    }

    const fn malformed(&self, what: &'static str) -> CaptureError {
        CaptureError::Malformed { packet: self.packets + 1, what }
    }
}

impl Order {
    #[inline]
    const fn u16(self, octets: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(octets),
            Self::Big => u16::from_be_bytes(octets),
        }
    }

    #[inline]
    const fn u32(self, octets: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(octets),
            Self::Big => u32::from_be_bytes(octets),
        }
    }

    const fn u64(self, octets: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(octets),
            Self::Big => u64::from_be_bytes(octets),
        }
    }

    #[inline]
    fn word16(self, octets: &[u8], at: usize) -> Option<u16> {
        Some(self.u16(octets.get(at..at + 2)?.try_into().ok()?))
    }

    #[inline]
    fn word32(self, octets: &[u8], at: usize) -> Option<u32> {
        Some(self.u32(octets.get(at..at + 4)?.try_into().ok()?))
    }
}

impl Clock {
    const MICROSECONDS: Self = Self { ticks_per_second: 1_000_000, offset_seconds: 0 };
    const NANOSECONDS: Self = Self { ticks_per_second: 1_000_000_000, offset_seconds: 0 };

    /// `if_tsresol`: a negative power of 10, or of 2 if the highest bit is set.
    fn resolution(octet: u8) -> Option<u128> {
        let exponent = u32::from(octet & 0x7f);
        if octet & 0x80 == 0 { 10u128.checked_pow(exponent) } else { 1u128.checked_shl(exponent) }
    }

    /// Nanoseconds; times outside the range of `u64` end at its limits.
    #[inline]
    fn nanos(self, ticks: u64) -> u64 {
        match self {
            Self::NANOSECONDS => ticks,
            Self::MICROSECONDS => ticks.saturating_mul(1_000),
            _ => {
                let nanos = (u128::from(ticks) * 1_000_000_000 / self.ticks_per_second) as i128
                    + i128::from(self.offset_seconds) * 1_000_000_000;
                nanos.clamp(0, i128::from(u64::MAX)) as u64
            }
        }
    }
}
