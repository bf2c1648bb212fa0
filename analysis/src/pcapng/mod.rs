//! Capture files: writing pcapng, reading pcap and pcapng.
//!
//! The format is that of draft-ietf-opsawg-pcapng; what is written needs no clock, so one run gives
//! one sequence of octets. Left out when writing: interface statistics, decryption secrets, packets
//! without an interface (simple packet blocks).

pub mod link;
pub mod observer;
pub mod reader;
pub mod writer;

pub use link::LinkType;
pub use observer::CaptureObserver;
pub use reader::{CaptureError, CaptureReader, CapturedInterface, Frame};
pub use writer::{
    Interface, LinkLayer, MacAddr, NameRecord, PacketRecord, PcapngFile, PcapngWriter, Section,
};

/// Which way a packet crossed the captured interface, seen from its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received by the owner.
    Inbound,
    /// Sent by the owner.
    Outbound,
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const NAME_RESOLUTION: u32 = 4;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;
const SHB_HARDWARE: u16 = 2;
const SHB_OS: u16 = 3;
const SHB_USER_APPLICATION: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;
const EPB_FLAGS: u16 = 2;
