//! Writes pcapng: one section, one interface description block per captured port with nanosecond
//! time, enhanced packet blocks with direction, original length and an optional comment.
//!
//! Every block is put together in one reused buffer and handed to a [`Write`], so writing a packet
//! allocates nothing once the buffer has grown to the largest block. All integers are little-endian.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use sim_core::Instant;

use crate::capture::{Direction, LinkType};

use super::{
    BYTE_ORDER_MAGIC, ENHANCED_PACKET, EPB_FLAGS, IF_DESCRIPTION, IF_NAME, IF_TSRESOL, INTERFACE_DESCRIPTION,
    NAME_RESOLUTION, OPT_COMMENT, OPT_END, SECTION_HEADER, SHB_HARDWARE, SHB_OS, SHB_USER_APPLICATION,
};

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// The locally administered address `02:00:` followed by `number`, for ports that have none of
    /// their own.
    #[must_use]
    pub const fn derived(number: u32) -> Self {
        let [a, b, c, d] = number.to_be_bytes();
        Self([0x02, 0, a, b, c, d])
    }
}

/// What precedes the IP header in a captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkLayer {
    /// An Ethernet II header of 14 octets.
    Ethernet {
        /// Address of the captured port.
        local: MacAddr,
        /// Address of the port at the other end of the link.
        neighbour: MacAddr,
    },
    /// Nothing (LINKTYPE_RAW).
    RawIp,
}

impl LinkLayer {
    /// Octets of the link header.
    #[must_use]
    pub const fn header_len(self) -> usize {
        match self {
            Self::Ethernet { .. } => ETHERNET_HEADER,
            Self::RawIp => 0,
        }
    }

    const fn link_type(self) -> LinkType {
        match self {
            Self::Ethernet { .. } => LinkType::ETHERNET,
            Self::RawIp => LinkType::RAW,
        }
    }
}

/// One captured port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `if_name`.
    pub name: String,
    /// `if_description`; left out if empty.
    pub description: String,
    /// Link header of its frames.
    pub link: LinkLayer,
}

/// What the section header says about the origin of the capture; empty strings are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// `shb_hardware`.
    pub hardware: String,
    /// `shb_os`.
    pub os: String,
    /// `shb_userappl`.
    pub application: String,
    /// Comment of the section, for example the seed and the keys of the run.
    pub comment: String,
}

/// A name for an address, for the name resolution block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRecord {
    /// Address.
    pub address: IpAddr,
    /// Its name.
    pub name: String,
}

/// What is known of a packet besides its octets.
#[derive(Clone, Copy, Debug)]
pub struct PacketRecord<'a> {
    /// Index of the interface, in the order of [`PcapngWriter::add_interface`].
    pub interface: u32,
    /// When it was captured.
    pub at: Instant,
    /// Which way it went.
    pub direction: Direction,
    /// Length of the IP packet in octets, all of it.
    pub ip_len: u32,
    /// A comment shown by viewers.
    pub comment: Option<&'a str>,
}

const ETHERNET_HEADER: usize = 14;
/// Block type, block length, interface, time (two words), captured length, original length.
const ENHANCED_PACKET_HEADER: usize = 28;

/// Writes one pcapng section to `W`. `W` should be buffered; each block is one `write_all`.
#[derive(Debug)]
pub struct PcapngWriter<W: Write> {
    out: W,
    snap_len: u32,
    links: Vec<LinkLayer>,
    block: Vec<u8>,
    packets: u64,
}

impl<W: Write> PcapngWriter<W> {
    /// Starts a section. Frames are cut to `snap_len` octets, link header included.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn new(out: W, section: &Section, snap_len: u32) -> io::Result<Self> {
        let mut writer =
            Self { out, snap_len, links: Vec::new(), block: Vec::with_capacity(2048), packets: 0 };
        writer.begin(SECTION_HEADER);
        writer.put_u32(BYTE_ORDER_MAGIC);
        writer.put_u16(1); // major version
        writer.put_u16(0); // minor version
        writer.block.extend_from_slice(&u64::MAX.to_le_bytes()); // section length not given
        writer.text_option(SHB_HARDWARE, &section.hardware);
        writer.text_option(SHB_OS, &section.os);
        writer.text_option(SHB_USER_APPLICATION, &section.application);
        writer.text_option(OPT_COMMENT, &section.comment);
        writer.option(OPT_END, &[]);
        writer.finish_block()?;
        Ok(writer)
    }

    /// Describes an interface and returns its index.
    ///
    /// # Errors
    /// If the output fails.
    pub fn add_interface(&mut self, interface: &Interface) -> io::Result<u32> {
        self.begin(INTERFACE_DESCRIPTION);
        self.put_u16(interface.link.link_type().0);
        self.put_u16(0);
        self.put_u32(self.snap_len);
        self.text_option(IF_NAME, &interface.name);
        self.text_option(IF_DESCRIPTION, &interface.description);
        self.option(IF_TSRESOL, &[9]);
        self.option(OPT_END, &[]);
        self.finish_block()?;
        self.links.push(interface.link);
        Ok(self.links.len() as u32 - 1)
    }

    /// Writes a name resolution block.
    ///
    /// # Errors
    /// If the output fails.
    pub fn add_names(&mut self, names: &[NameRecord]) -> io::Result<()> {
        self.begin(NAME_RESOLUTION);
        for NameRecord { address, name } in names {
            let name = prefix(name, 255).as_bytes();
            let (kind, octets) = match address {
                IpAddr::V4(v4) => (1, v4.octets().to_vec()),
                IpAddr::V6(v6) => (2, v6.octets().to_vec()),
            };
            self.put_u16(kind);
            self.put_u16((octets.len() + name.len() + 1) as u16);
            self.block.extend_from_slice(&octets);
            self.block.extend_from_slice(name);
            self.block.push(0);
            self.pad();
        }
        self.put_u32(0); // end of records
        self.finish_block()
    }

    /// Octets of the IP packet that fit under the snap length on `interface`; more are cut off.
    #[must_use]
    pub fn ip_budget(&self, interface: u32) -> usize {
        let link = self.links.get(interface as usize).map_or(0, |link| link.header_len());
        (self.snap_len as usize).saturating_sub(link)
    }

    /// Writes one packet. `emit` appends the octets of the IP packet, of which at least
    /// [`ip_budget`](Self::ip_budget) or all must be there; it must not touch what is in the buffer.
    ///
    /// # Errors
    /// If the interface does not exist (`InvalidInput`) or the output fails.
    pub fn write_packet(
        &mut self,
        record: &PacketRecord<'_>,
        emit: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<()> {
        let Some(&link) = self.links.get(record.interface as usize) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "packet for an unknown interface"));
        };
        self.begin(ENHANCED_PACKET);
        self.put_u32(record.interface);
        let nanos = record.at.as_nanos();
        self.put_u32((nanos >> 32) as u32);
        self.put_u32(nanos as u32);
        self.block.extend_from_slice(&[0; 8]); // lengths, below
        self.put_link_header(link, record.direction);
        emit(&mut self.block);
        let frame_end = self.block.len().min(ENHANCED_PACKET_HEADER + self.snap_len as usize);
        self.block.truncate(frame_end);
        let captured = (frame_end - ENHANCED_PACKET_HEADER) as u32;
        let original = (record.ip_len + link.header_len() as u32).max(captured);
        self.block[20..24].copy_from_slice(&captured.to_le_bytes());
        self.block[24..28].copy_from_slice(&original.to_le_bytes());
        self.set_ether_type(link);
        self.pad();
        let flags: u32 = match record.direction {
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        };
        self.option(EPB_FLAGS, &flags.to_le_bytes());
        if let Some(comment) = record.comment {
            self.text_option(OPT_COMMENT, comment);
        }
        self.option(OPT_END, &[]);
        self.packets += 1;
        self.finish_block()
    }

    /// Packets written.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Flushes and returns the output.
    ///
    /// # Errors
    /// If the output fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn put_link_header(&mut self, link: LinkLayer, direction: Direction) {
        if let LinkLayer::Ethernet { local, neighbour } = link {
            let (to, from) = match direction {
                Direction::Inbound => (local, neighbour),
                Direction::Outbound => (neighbour, local),
            };
            self.block.extend_from_slice(&to.0);
            self.block.extend_from_slice(&from.0);
            self.block.extend_from_slice(&ETHERTYPE_IPV4);
        }
    }

    /// The EtherType follows from the version nibble of what was emitted.
    fn set_ether_type(&mut self, link: LinkLayer) {
        if let LinkLayer::Ethernet { .. } = link {
            let ip = ENHANCED_PACKET_HEADER + ETHERNET_HEADER;
            if self.block.get(ip).is_some_and(|octet| octet >> 4 == 6) {
                self.block[ip - 2..ip].copy_from_slice(&ETHERTYPE_IPV6);
            }
        }
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.put_u32(kind);
        self.put_u32(0); // block length, in finish_block
    }

    fn finish_block(&mut self) -> io::Result<()> {
        let len = self.block.len() as u32 + 4;
        self.block[4..8].copy_from_slice(&len.to_le_bytes());
        self.put_u32(len);
        self.out.write_all(&self.block)
    }

    fn put_u16(&mut self, value: u16) {
        self.block.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.block.extend_from_slice(&value.to_le_bytes());
    }

    fn pad(&mut self) {
        let padded = self.block.len().next_multiple_of(4);
        self.block.resize(padded, 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.put_u16(code);
        self.put_u16(value.len() as u16);
        self.block.extend_from_slice(value);
        self.pad();
    }

    /// Text beyond 65535 octets is cut at a character.
    fn text_option(&mut self, code: u16, text: &str) {
        if !text.is_empty() {
            self.option(code, prefix(text, usize::from(u16::MAX)).as_bytes());
        }
    }
}

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];

/// `text`, cut to at most `limit` octets at a character boundary.
fn prefix(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A capture file that appears under its name only when it is complete: it is written beside it under
/// a temporary name and renamed by [`finish`](Self::finish). Dropped before, the partial file stays
/// under the temporary name.
#[derive(Debug)]
pub struct PcapngFile {
    out: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
}

impl PcapngFile {
    /// Opens the temporary file, `path` with `.part` appended.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".part");
        let temporary = PathBuf::from(temporary);
        let out = BufWriter::with_capacity(1 << 18, File::create(&temporary)?);
        Ok(Self { out, temporary, path: path.to_owned() })
    }

    /// Flushes and gives the file its name.
    ///
    /// # Errors
    /// If flushing or renaming fails.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()?;
        drop(self.out);
        std::fs::rename(&self.temporary, &self.path)
    }
}

impl Write for PcapngFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.out.write(octets)
    }

    fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        self.out.write_all(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
