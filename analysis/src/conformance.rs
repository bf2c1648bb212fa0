//! Goes through a capture and reports what violates RFC 8684 or RFC 6824, with packet number and the id of the
//! check.
//!
//! A finding says what the packets show; whether sender, box or capture is at fault is for the reader. What
//! needs a handshake, a key or octets that were not captured is not checked. Ids name the groups of checks:
//! wire formats (WIRE), set-up (CAP), joins (JOIN), data signals (DSS), addresses (ADDR), fallback (FB),
//! malformed input (MAL).

mod window;

use std::collections::BTreeMap;
use std::fmt;

use mptcp_model::crypto::{Version, dss_checksum};
use mptcp_model::wire::{Dss, DssMapping, MpOption, Sum};
use serde::{Deserialize, Serialize};

use crate::reconstruct::{FlowId, Notice, Novelty, Protocol, Reconstruction, Segment};
use crate::trace::SegmentView;
use crate::vantage::{Taken, Watch};

use window::Windows;

/// A violation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Index of the view.
    pub view: usize,
    /// Number of the packet.
    pub packet: u64,
    /// Id of the check.
    pub check: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "packet {}: {}: {}", self.packet, self.check, self.what)
    }
}

/// Watches a capture and gathers findings.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    findings: Vec<Finding>,
    counts: BTreeMap<String, u64>,
    /// Subflows that carried unmapped data already.
    unmapped: Vec<(usize, FlowId)>,
    windows: Windows,
}

/// The most findings kept of one check; all are counted.
const KEPT: u64 = 100;

impl Checker {
    /// The findings in order of packets, at most 100 of each check.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How often each check failed.
    #[must_use]
    pub const fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }

    fn find(&mut self, view: usize, packet: u64, check: &str, what: String) {
        let count = self.counts.entry(check.to_owned()).or_insert(0);
        *count += 1;
        if *count <= KEPT {
            self.findings.push(Finding { view, packet, check: check.to_owned(), what });
        }
    }

    fn notice(&mut self, view: usize, packet: u64, segment: &Segment, notice: &Notice) {
        let (check, what) = match notice {
            Notice::WrongJoinHmac { acknowledgment: false } => {
                ("JOIN-10", "wrong HMAC in SYN/ACK with MP_JOIN".into())
            }
            Notice::WrongJoinHmac { acknowledgment: true } => {
                ("JOIN-11", "wrong HMAC in third ACK of a join".into())
            }
            Notice::WrongAddAddrHmac { address } => {
                ("ADDR-04", format!("wrong HMAC in ADD_ADDR of {address}"))
            }
            Notice::WrongFastCloseKey => ("MAL-38", "MP_FASTCLOSE without the receiver's key".into()),
            Notice::AnotherKey => ("CAP-25", "MP_CAPABLE with another key than before".into()),
            Notice::MappingConflict { known, announced } => (
                "DSS-03",
                format!(
                    "subflow octets {} to {} mapped to data {}, before to {}",
                    announced.start,
                    announced.start + announced.len,
                    announced.data,
                    known.data + announced.start - known.start
                ),
            ),
            Notice::MappingOutside { announced } => (
                "DSS-04",
                format!(
                    "mapping of subflow octets {} to {} on a segment at {}",
                    announced.start,
                    announced.start + announced.len,
                    segment.offset
                ),
            ),
            Notice::DataNumberImplausible => ("DSS-08", "data sequence number far from all data".into()),
            Notice::DataAckBeyond(octets) => ("DSS-10", format!("DATA_ACK {octets} beyond the data sent")),
            Notice::Unmapped(octets) => {
                // Data may precede its mapping; one finding a subflow is enough.
                if segment.novelty != Novelty::New || self.unmapped.contains(&(view, segment.flow)) {
                    return;
                }
                self.unmapped.push((view, segment.flow));
                ("DSS-21", format!("{octets} octets without a mapping"))
            }
            Notice::BeyondDataFin(octets) => {
                ("MAL-27", format!("{octets} octets of data after the DATA_FIN"))
            }
            Notice::AnotherDataFin => ("MAL-26", "DATA_FIN at another place than the first".into()),
            Notice::IllegalOption { subtype: 2, len } => {
                ("MAL-17", format!("DSS of {len} octets contradicts its flags"))
            }
            Notice::IllegalOption { subtype: subtype @ 9..=15, .. } => {
                ("MAL-41", format!("subtype {subtype}"))
            }
            Notice::IllegalOption { subtype, len } => {
                ("WIRE-37", format!("subtype {subtype} with impossible length {len}"))
            }
        };
        self.find(view, packet, check, what);
    }

    fn option(
        &mut self,
        view: usize,
        packet: u64,
        version: Option<Version>,
        tcp: &SegmentView<'_>,
        option: &MpOption,
    ) {
        let (syn, ack, data) = (tcp.flags.syn(), tcp.flags.ack(), tcp.payload_len > 0);
        match option {
            MpOption::Capable { version, flags, .. } => {
                let len = option.wire_len();
                let legal = match (version, syn, ack) {
                    (0, true, _) => len == 12,
                    (_, true, false) => len == 4,
                    (_, true, true) => len == 12,
                    (0, false, _) => len == 20,
                    (_, false, _) => len == 20 || data,
                };
                if !legal {
                    let kind = if syn { "SYN" } else { "ACK" };
                    self.find(view, packet, "WIRE-39", format!("MP_CAPABLE of {len} octets on this {kind}"));
                }
                if flags & 0x40 != 0 {
                    self.find(view, packet, "CAP-07", "MP_CAPABLE with the extensibility flag".into());
                }
                if flags & 0x01 == 0 {
                    self.find(view, packet, "CAP-08", "MP_CAPABLE without the HMAC flag".into());
                }
            }
            MpOption::JoinSyn { .. } if !syn || ack => {
                self.find(view, packet, "WIRE-09", "MP_JOIN of a SYN on another packet".into());
            }
            MpOption::JoinSynAck { .. } if !syn || !ack => {
                self.find(view, packet, "WIRE-10", "MP_JOIN of a SYN/ACK on another packet".into());
            }
            MpOption::JoinAck { .. } if syn || !ack => {
                self.find(view, packet, "WIRE-11", "MP_JOIN of a third ACK on another packet".into());
            }
            MpOption::Prio { address_id: Some(_), .. } if version == Some(Version::V1) => {
                self.find(view, packet, "WIRE-18", "MP_PRIO with an address id in version 1".into());
            }
            MpOption::TcpRst { .. } if !tcp.flags.rst() => {
                self.find(view, packet, "FB-16", "MP_TCPRST without RST".into());
            }
            MpOption::AddAddr { nibble, hmac, .. } => {
                let legal = match version {
                    Some(Version::V0) => hmac.is_none() && matches!(nibble, 4 | 6),
                    Some(Version::V1) => hmac.is_some() == (nibble & 1 == 0),
                    None => true,
                };
                if !legal {
                    self.find(view, packet, "ADDR-19", "ADD_ADDR in a form of the other version".into());
                }
            }
            _ => {}
        }
    }

    /// Presence and value of the checksum of a mapping.
    fn checksum(
        &mut self,
        view: usize,
        packet: u64,
        seen: &Reconstruction,
        segment: &Segment,
        tcp: &SegmentView<'_>,
        dss: &Dss,
    ) {
        let Some(mapping) = dss.mapping else { return };
        let connection = seen.connection_of(segment.flow);
        let first = connection.first_flow().map(|flow| &seen.flows()[flow.index()]);
        let negotiated = first.is_some_and(|flow| {
            // Only the handshake of the first subflow tells.
            !flow.join && flow.handshake.syn.is_some() && flow.handshake.syn_ack.is_some()
        });
        if negotiated && mapping.len > 0 {
            let wanted = connection.checksum.contains(&true);
            if wanted != mapping.checksum.is_some() {
                let what =
                    if wanted { "mapping without checksum" } else { "checksum that was not negotiated" };
                self.find(view, packet, "DSS-15", what.into());
            }
        }
        let whole = u32::from(mapping.len).saturating_sub(u32::from(dss.data_fin)) == tcp.payload_len;
        let captured = tcp.payload.len() == tcp.payload_len as usize;
        let (Some(checksum), Some((base, true))) =
            (mapping.checksum, connection.streams[segment.side].base())
        else {
            return;
        };
        if mapping.len == 0 || !whole || !captured {
            return;
        }
        let near = base.wrapping_add(connection.streams[segment.side].highest().cast_unsigned());
        let DssMapping { dsn, ssn, len, .. } = mapping;
        if dss_checksum(dsn.expand(near), ssn, len, Sum::of(tcp.payload).fold()) != checksum {
            self.find(view, packet, "DSS-13", "wrong checksum".into());
        }
    }
}

impl Watch for Checker {
    fn packet(&mut self, taken: &Taken<'_>) {
        let Some((segment, tcp)) = taken.tcp() else { return };
        let (view, seen) = (taken.view, taken.seen);
        let number = taken.packet.number;
        for notice in seen.notices() {
            self.notice(view, number, segment, notice);
        }
        if let Some(octets) = self.windows.segment(view, seen, segment, tcp) {
            self.find(
                view,
                number,
                "DSS-12",
                format!("data {octets} octets beyond the window of the connection"),
            );
        }
        if segment.subtypes == 0 {
            return;
        }
        let connection = seen.connection_of(segment.flow);
        for option in seen.options() {
            self.option(view, number, connection.version, tcp, option);
        }
        if tcp.flags.syn() && segment.subtypes & 0b11 == 0b11 {
            self.find(view, number, "CAP-21", "MP_CAPABLE and MP_JOIN in one SYN".into());
        }
        if let Some(dss) = &segment.dss {
            self.checksum(view, number, seen, segment, tcp, dss);
        }
        if let Protocol::Fallback(cause, since) = connection.protocol
            && number > since
            && cause != crate::reconstruct::Fallback::InfiniteMapping
            && !tcp.flags.syn()
        {
            self.find(view, number, "FB-05", format!("MPTCP option after the fallback of packet {since}"));
        }
    }
}
