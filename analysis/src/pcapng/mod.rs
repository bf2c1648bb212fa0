//! Writing of capture files in the format pcapng; [`crate::capture`] reads them.
//!
//! The format is that of draft-ietf-opsawg-pcapng; what is written needs no clock, so one run gives
//! one sequence of octets. Left out when writing: interface statistics, decryption secrets, packets
//! without an interface (simple packet blocks).

pub mod observer;
pub mod writer;

pub use observer::CaptureObserver;
pub use writer::{
    Interface, LinkLayer, MacAddr, NameRecord, PacketRecord, PcapngFile, PcapngWriter, Section,
};

pub(crate) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(crate) const INTERFACE_DESCRIPTION: u32 = 1;
pub(crate) const OBSOLETE_PACKET: u32 = 2;
pub(crate) const SIMPLE_PACKET: u32 = 3;
const NAME_RESOLUTION: u32 = 4;
pub(crate) const ENHANCED_PACKET: u32 = 6;
pub(crate) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

pub(crate) const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;
const SHB_HARDWARE: u16 = 2;
const SHB_OS: u16 = 3;
const SHB_USER_APPLICATION: u16 = 4;
pub(crate) const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
pub(crate) const IF_TSRESOL: u16 = 9;
pub(crate) const IF_TSOFFSET: u16 = 14;
pub(crate) const EPB_FLAGS: u16 = 2;
