//! Wire formats: IPv4, IPv6, TCP with every option, MPTCP options of both versions, ICMP and UDP.
//!
//! A [`Packet`] is a struct; octets exist only for captures, for boxes that work on bytes and in
//! tests. `parse` and `emit` are exact inverses on everything a real stack sends. Parsing takes any
//! bytes and never panics.
//!
//! The types of a packet are in [`packet`], [`options`], [`mptcp`] and [`payload`]; [`parse`] and the
//! `emit` methods of [`Packet`] are the codec; every type prints itself in the manner of tcpdump.
//! Fragments, IPv4 options and IPv6 extension headers are not modelled.

pub mod checksum;
mod describe;
mod emit;
pub(crate) mod field;
pub mod mptcp;
pub mod options;
pub mod packet;
pub mod parse;
mod pattern;
pub mod payload;
pub mod seq;
mod simulated;

pub use checksum::Sum;
pub use mptcp::{AddressIds, DataNumber, Dss, DssMapping, MpOption};
pub use options::{OptionSpan, ParsedOptions, SackBlocks, TcpOption, TcpOptions};
pub use packet::{Body, Ecn, IcmpMessage, IpHeader, Packet, TcpFlags, TcpSegment, UdpDatagram};
pub use parse::{WireError, verify_checksums};
pub use payload::Payload;
pub use seq::Seq;
