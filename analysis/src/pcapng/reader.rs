//! Reads capture files as a stream: pcap (both byte orders, microseconds and nanoseconds) and pcapng
//! (both byte orders, several sections and interfaces, any time resolution), each plain or gzipped.
//!
//! A file that ends in the middle of a record is read up to there, see
//! [`CaptureReader::truncated`]. Nothing in a file makes the reader panic, and no length field makes
//! it reserve more than 64 MiB. Name resolution, statistics and unknown blocks are skipped.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::{
    BYTE_ORDER_MAGIC, Direction, ENHANCED_PACKET, EPB_FLAGS, IF_NAME, IF_TSOFFSET, IF_TSRESOL,
    INTERFACE_DESCRIPTION, LinkType, OBSOLETE_PACKET, OPT_END, SECTION_HEADER, SIMPLE_PACKET,
};

/// Why a capture could not be read on. `packet` is the number of the packet, from 1, that would have
/// come next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The first octets are of no known format.
    #[error("not a pcap or pcapng file (it begins with {0:08x})")]
    UnknownFormat(u32),
    /// Reading failed.
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
    pub fn ip(&self) -> Option<(&'a [u8], u32, Option<Direction>)> {
        let (offset, direction) = self.link.ip_offset(self.data)?;
        let wire_len = self.original_len.saturating_sub(offset as u32);
        Some((&self.data[offset..], wire_len, self.direction.or(direction)))
    }
}

/// A capture being read.
pub struct CaptureReader {
    input: Box<dyn BufRead>,
    format: Format,
    order: Order,
    interfaces: Vec<CapturedInterface>,
    /// Index of the section's first interface: numbers in blocks count from there.
    section_start: usize,
    block: Vec<u8>,
    packets: u64,
    truncated: bool,
    finished: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Pcap,
    Pcapng,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    const fn u16(self, octets: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(octets),
            Self::Big => u16::from_be_bytes(octets),
        }
    }

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
}

/// Ticks per second, and seconds to add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    ticks_per_second: u128,
    offset_seconds: i64,
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
    fn nanos(self, ticks: u64) -> u64 {
        let nanos = (u128::from(ticks) * 1_000_000_000 / self.ticks_per_second) as i128
            + i128::from(self.offset_seconds) * 1_000_000_000;
        nanos.clamp(0, i128::from(u64::MAX)) as u64
    }
}

/// No block of a sane capture is longer; libpcap's own limit for a packet is 256 KiB.
const MAX_BLOCK: usize = 64 << 20;

impl CaptureReader {
    /// Opens a file, gzipped or not (told by its content, not its name).
    ///
    /// # Errors
    /// If it cannot be read or is no capture.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let file = File::open(path).map_err(|error| CaptureError::Io { packet: 1, error })?;
        Self::new(BufReader::with_capacity(1 << 16, file))
    }

    /// Reads from `input`, gzipped or not.
    ///
    /// # Errors
    /// If it cannot be read or is no capture.
    pub fn new(mut input: impl BufRead + 'static) -> Result<Self, CaptureError> {
        let gzipped = input
            .fill_buf()
            .map_err(|error| CaptureError::Io { packet: 1, error })?
            .starts_with(&[0x1f, 0x8b]);
        let input: Box<dyn BufRead> = if gzipped {
            Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(input)))
        } else {
            Box::new(input)
        };
        let mut reader = Self {
            input,
            format: Format::Pcapng,
            order: Order::Little,
            interfaces: Vec::new(),
            section_start: 0,
            block: Vec::new(),
            packets: 0,
            truncated: false,
            finished: false,
        };
        reader.read_file_header()?;
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
        self.truncated
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
            Format::Pcap => self.next_pcap(),
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
                    data: &self.block[record.start..record.end],
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

    fn read_file_header(&mut self) -> Result<(), CaptureError> {
        let mut magic = [0; 4];
        if !self.fill(&mut magic)? {
            return Err(CaptureError::UnknownFormat(0));
        }
        let big = u32::from_be_bytes(magic);
        if big == SECTION_HEADER {
            self.format = Format::Pcapng;
            return self.read_section_header();
        }
        let (order, clock) = match (big, big.swap_bytes()) {
            (0xa1b2_c3d4, _) => (Order::Big, Clock::MICROSECONDS),
            (0xa1b2_3c4d, _) => (Order::Big, Clock::NANOSECONDS),
            (_, 0xa1b2_c3d4) => (Order::Little, Clock::MICROSECONDS),
            (_, 0xa1b2_3c4d) => (Order::Little, Clock::NANOSECONDS),
            _ => return Err(CaptureError::UnknownFormat(big)),
        };
        let mut header = [0; 20];
        if !self.fill(&mut header)? {
            return Err(self.malformed("the file header is cut"));
        }
        self.format = Format::Pcap;
        self.order = order;
        // The upper half of the word holds the frame check sequence length.
        let link = LinkType(order.u32([header[16], header[17], header[18], header[19]]) as u16);
        let snap_len = order.u32([header[12], header[13], header[14], header[15]]);
        self.interfaces.push(CapturedInterface { name: String::new(), link, snap_len, clock });
        Ok(())
    }

    fn next_pcap(&mut self) -> Result<Option<Record>, CaptureError> {
        let mut header = [0; 16];
        if !self.fill(&mut header)? {
            return Ok(None);
        }
        let word = |at: usize| self.order.u32([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (seconds, fraction, captured, original_len) = (word(0), word(4), word(8) as usize, word(12));
        if captured > MAX_BLOCK {
            return Err(self.malformed("impossible captured length"));
        }
        if !self.fill_block(captured)? {
            return Ok(None);
        }
        let clock = self.interfaces[0].clock;
        let nanos = u64::from(seconds) * 1_000_000_000 + clock.nanos(u64::from(fraction));
        Ok(Some(Record { interface: 0, nanos, direction: None, original_len, start: 0, end: captured }))
    }

    fn next_pcapng(&mut self) -> Result<Option<Record>, CaptureError> {
        loop {
            let mut kind = [0; 4];
            if !self.fill(&mut kind)? {
                return Ok(None);
            }
            if u32::from_be_bytes(kind) == SECTION_HEADER {
                self.read_section_header()?;
                continue;
            }
            let mut len = [0; 4];
            if !self.fill(&mut len)? {
                self.truncated = true;
                return Ok(None);
            }
            let len = self.order.u32(len) as usize;
            if len < 12 || !len.is_multiple_of(4) || len > MAX_BLOCK {
                return Err(self.malformed("impossible block length"));
            }
            // The body and the repeated length.
            if !self.fill_block(len - 8)? {
                self.truncated = true;
                return Ok(None);
            }
            self.block.truncate(len - 12);
            let record = match self.order.u32(kind) {
                INTERFACE_DESCRIPTION => {
                    self.interface_description()?;
                    None
                }
                ENHANCED_PACKET => Some(self.enhanced_packet()?),
                OBSOLETE_PACKET => Some(self.obsolete_packet()?),
                SIMPLE_PACKET => Some(self.simple_packet()?),
                _ => None,
            };
            if record.is_some() {
                return Ok(record);
            }
        }
    }

    /// Reads the rest of a section header, whose type has been read.
    fn read_section_header(&mut self) -> Result<(), CaptureError> {
        let mut start = [0; 8];
        if !self.fill(&mut start)? {
            self.truncated = true;
            return Ok(());
        }
        let magic = [start[4], start[5], start[6], start[7]];
        self.order = if u32::from_le_bytes(magic) == BYTE_ORDER_MAGIC {
            Order::Little
        } else if u32::from_be_bytes(magic) == BYTE_ORDER_MAGIC {
            Order::Big
        } else {
            return Err(self.malformed("section header without byte-order magic"));
        };
        let len = self.order.u32([start[0], start[1], start[2], start[3]]) as usize;
        if len < 28 || !len.is_multiple_of(4) || len > MAX_BLOCK {
            return Err(self.malformed("impossible length of a section header"));
        }
        self.section_start = self.interfaces.len();
        if !self.fill_block(len - 12)? {
            self.truncated = true;
        }
        Ok(())
    }

    fn interface_description(&mut self) -> Result<(), CaptureError> {
        let (Some(link), Some(snap_len)) = (self.word16(0), self.word32(4)) else {
            return Err(self.malformed("interface description too short"));
        };
        let mut interface = CapturedInterface {
            name: String::new(),
            link: LinkType(link),
            snap_len,
            clock: Clock::MICROSECONDS,
        };
        for (code, value) in options(self.order, self.block.get(8..).unwrap_or_default()) {
            match (code, value) {
                (IF_NAME, name) => {
                    String::from_utf8_lossy(name).trim_end_matches('\0').clone_into(&mut interface.name);
                }
                (IF_TSRESOL, &[octet, ..]) => match Clock::resolution(octet) {
                    Some(ticks_per_second) => interface.clock.ticks_per_second = ticks_per_second,
                    None => return Err(self.malformed("time resolution finer than 128 bits can count")),
                },
                (IF_TSOFFSET, &[a, b, c, d, e, f, g, h]) => {
                    interface.clock.offset_seconds = self.order.u64([a, b, c, d, e, f, g, h]).cast_signed();
                }
                _ => {}
            }
        }
        self.interfaces.push(interface);
        Ok(())
    }

    fn enhanced_packet(&mut self) -> Result<Record, CaptureError> {
        let words = [self.word32(0), self.word32(4), self.word32(8), self.word32(12), self.word32(16)];
        let [Some(interface), Some(high), Some(low), Some(captured), Some(original_len)] = words else {
            return Err(self.malformed("packet block too short"));
        };
        let mut record = self.record(interface, high, low, captured, original_len)?;
        let after = record.end.next_multiple_of(4);
        for (code, value) in options(self.order, self.block.get(after..).unwrap_or_default()) {
            if let (EPB_FLAGS, &[a, b, c, d]) = (code, value) {
                record.direction = match self.order.u32([a, b, c, d]) & 3 {
                    1 => Some(Direction::Inbound),
                    2 => Some(Direction::Outbound),
                    _ => None,
                };
            }
        }
        Ok(record)
    }

    fn obsolete_packet(&mut self) -> Result<Record, CaptureError> {
        let words = [self.word32(4), self.word32(8), self.word32(12), self.word32(16)];
        let (Some(interface), [Some(high), Some(low), Some(captured), Some(original_len)]) =
            (self.word16(0), words)
        else {
            return Err(self.malformed("packet block too short"));
        };
        self.record(u32::from(interface), high, low, captured, original_len)
    }

    fn simple_packet(&mut self) -> Result<Record, CaptureError> {
        let Some(original_len) = self.word32(0) else {
            return Err(self.malformed("packet block too short"));
        };
        let Some(interface) = self.interfaces.get(self.section_start) else {
            return Err(self.malformed("packet of an interface that was not described"));
        };
        let snap_len = if interface.snap_len == 0 { u32::MAX } else { interface.snap_len };
        let captured = (self.block.len() - 4).min(original_len.min(snap_len) as usize);
        let (start, end) = (4, 4 + captured);
        Ok(Record { interface: self.section_start, nanos: 0, direction: None, original_len, start, end })
    }

    fn record(
        &self,
        interface: u32,
        high: u32,
        low: u32,
        captured: u32,
        original_len: u32,
    ) -> Result<Record, CaptureError> {
        let interface = self.section_start.saturating_add(interface as usize);
        let Some(described) = self.interfaces.get(interface) else {
            return Err(self.malformed("packet of an interface that was not described"));
        };
        let end = (captured as usize).saturating_add(20);
        if end > self.block.len() {
            return Err(self.malformed("captured length beyond the block"));
        }
        let nanos = described.clock.nanos(u64::from(high) << 32 | u64::from(low));
        Ok(Record { interface, nanos, direction: None, original_len, start: 20, end })
    }

    fn word16(&self, at: usize) -> Option<u16> {
        Some(self.order.u16(self.block.get(at..at + 2)?.try_into().ok()?))
    }

    fn word32(&self, at: usize) -> Option<u32> {
        Some(self.order.u32(self.block.get(at..at + 4)?.try_into().ok()?))
    }

    fn malformed(&self, what: &'static str) -> CaptureError {
        CaptureError::Malformed { packet: self.packets + 1, what }
    }

    /// Fills `octets`; false at the end of the input, which counts as truncated if part was there.
    fn fill(&mut self, octets: &mut [u8]) -> Result<bool, CaptureError> {
        let mut filled = 0;
        while filled < octets.len() {
            match self.input.read(&mut octets[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A gzip stream that was cut.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.truncated = true;
                    break;
                }
                Err(error) => return Err(CaptureError::Io { packet: self.packets + 1, error }),
            }
        }
        self.truncated |= 0 < filled && filled < octets.len();
        Ok(filled == octets.len())
    }

    /// Reads `len` octets into the block buffer; false if the input ends before.
    fn fill_block(&mut self, len: usize) -> Result<bool, CaptureError> {
        let mut block = std::mem::take(&mut self.block);
        // Grow in steps, so that a false length in a short file costs no memory.
        block.clear();
        let mut complete = true;
        while block.len() < len && complete {
            let from = block.len();
            block.resize(len.min(from + (1 << 20)), 0);
            complete = self.fill(&mut block[from..])?;
        }
        self.block = block;
        self.truncated |= !complete;
        Ok(complete)
    }
}

struct Record {
    interface: usize,
    nanos: u64,
    direction: Option<Direction>,
    original_len: u32,
    start: usize,
    end: usize,
}

/// The options of a block, up to the end mark or the first that does not fit.
fn options(order: Order, octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        let (header, tail) = rest.split_first_chunk::<4>()?;
        let code = order.u16([header[0], header[1]]);
        let len = usize::from(order.u16([header[2], header[3]]));
        if code == OPT_END {
            return None;
        }
        let value = tail.get(..len)?;
        rest = tail.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((code, value))
    })
}
