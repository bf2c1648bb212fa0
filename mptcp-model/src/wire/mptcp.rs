//! MPTCP options of RFC 6824 (version 0) and RFC 8684 (version 1).
//!
//! Every length either version allows is parsed; which version, and whether the packet that carries
//! the option may carry it, is for the connection to judge. An option of impossible length becomes
//! [`MpOption::Unknown`] and is re-emitted octet for octet. Reserved bits are ignored on receipt and
//! sent as zero; of what real stacks send, that changes only the third ACK of a join of the
//! out-of-tree Linux line, whose lowest reserved bit may have either value. The experimental
//! subtype 15 and the unassigned ones are not interpreted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

use super::field;

/// One MPTCP option (RFC 6824 and RFC 8684). Whether a form is legal depends on the packet that
/// carries it; a known subtype with an impossible length is `Unknown`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MpOption {
    /// MP_CAPABLE, subtype 0: lengths 4 (v1 SYN), 12, 20, 22 and 24.
    Capable {
        /// Version nibble.
        version: u8,
        /// Flags A (0x80) to H (0x01).
        flags: u8,
        /// Key of the sender; absent in the v1 SYN.
        sender_key: Option<u64>,
        /// Key of the receiver, in the third ACK and with data.
        receiver_key: Option<u64>,
        /// v1, with data: length of the first mapping.
        data_len: Option<u16>,
        /// v1, with data and checksums.
        checksum: Option<u16>,
    },
    /// MP_JOIN on a SYN, length 12.
    JoinSyn {
        /// B flag.
        backup: bool,
        /// Address id of the source address.
        address_id: u8,
        /// Token of the receiver.
        token: u32,
        /// Random number of the sender.
        nonce: u32,
    },
    /// MP_JOIN on a SYN/ACK, length 16.
    JoinSynAck {
        /// B flag.
        backup: bool,
        /// Address id of the source address.
        address_id: u8,
        /// Leftmost 64 bits of the HMAC.
        hmac: u64,
        /// Random number of the sender.
        nonce: u32,
    },
    /// MP_JOIN on the third ACK, length 24: leftmost 160 bits of the HMAC.
    JoinAck {
        /// Truncated HMAC.
        hmac: [u8; 20],
    },
    /// DSS, subtype 2.
    Dss(Dss),
    /// ADD_ADDR, subtype 3. v1 without echo carries an HMAC; v0 and echoes do not.
    AddAddr {
        /// The nibble after the subtype: in v1 the E flag (bit 0), in v0 the IP version (4 or 6).
        nibble: u8,
        /// Address id.
        address_id: u8,
        /// Address.
        address: IpAddr,
        /// Port, if given.
        port: Option<u16>,
        /// v1: rightmost 64 bits of the HMAC.
        hmac: Option<u64>,
    },
    /// REMOVE_ADDR, subtype 4.
    RemoveAddr {
        /// Address ids.
        ids: AddressIds,
    },
    /// MP_PRIO, subtype 5: length 3, or 4 with an address id (v0).
    Prio {
        /// B flag.
        backup: bool,
        /// v0: the address meant.
        address_id: Option<u8>,
    },
    /// MP_FAIL, subtype 6.
    Fail {
        /// Data sequence number of the failed mapping.
        dsn: u64,
    },
    /// MP_FASTCLOSE, subtype 7.
    FastClose {
        /// Key of the receiver of the option.
        receiver_key: u64,
    },
    /// MP_TCPRST, subtype 8 (v1).
    TcpRst {
        /// Flags U, V, W, T (T is bit 0).
        flags: u8,
        /// Reason (RFC 8684, section 3.6).
        reason: u8,
    },
    /// Any other subtype, or an impossible length: the octets after kind and length.
    Unknown {
        /// Subtype, 0 to 15; 15 also if the option has no body.
        subtype: u8,
        /// The octets after kind and length.
        body: Bytes,
    },
}

/// The address ids of a REMOVE_ADDR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressIds {
    len: u8,
    ids: [u8; 37],
}

/// Data Sequence Signal (subtype 2): a DATA_ACK, a mapping, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dss {
    /// F: the mapping ends with a DATA_FIN.
    pub data_fin: bool,
    /// DATA_ACK.
    pub data_ack: Option<DataNumber>,
    /// Mapping.
    pub mapping: Option<DssMapping>,
}

/// A data sequence number as on the wire: its low 32 bits or all 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataNumber {
    /// 4 octets.
    Short(u32),
    /// 8 octets.
    Long(u64),
}

/// The mapping of a DSS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DssMapping {
    /// Data sequence number of the first octet.
    pub dsn: DataNumber,
    /// Relative subflow sequence number of the first octet.
    pub ssn: u32,
    /// Length, a DATA_FIN included; 0 is the infinite mapping.
    pub len: u16,
    /// Checksum, if negotiated.
    pub checksum: Option<u16>,
}

/// Subtypes, the high nibble of the third octet (RFC 8684, section 8.2).
mod subtype {
    pub(super) const CAPABLE: u8 = 0;
    pub(super) const JOIN: u8 = 1;
    pub(super) const DSS: u8 = 2;
    pub(super) const ADD_ADDR: u8 = 3;
    pub(super) const REMOVE_ADDR: u8 = 4;
    pub(super) const PRIO: u8 = 5;
    pub(super) const FAIL: u8 = 6;
    pub(super) const FASTCLOSE: u8 = 7;
    pub(super) const TCPRST: u8 = 8;
}

/// Flags of MP_CAPABLE (RFC 6824 and RFC 8684, section 3.1).
pub mod capable_flag {
    /// A: checksums are required.
    pub const CHECKSUM_REQUIRED: u8 = 0x80;
    /// B: extensibility; must be 0.
    pub const EXTENSIBILITY: u8 = 0x40;
    /// C, version 1: do not join this address and port.
    pub const NO_JOIN: u8 = 0x20;
    /// H: HMAC-SHA1 in version 0, HMAC-SHA256 in version 1.
    pub const HMAC_SHA: u8 = 0x01;
}

/// Reasons in MP_TCPRST (RFC 8684, section 3.6).
pub mod reset_reason {
    /// No reason given.
    pub const UNSPECIFIED: u8 = 0;
    /// An error in the processing of options.
    pub const MPTCP: u8 = 1;
    /// Lack of resources.
    pub const RESOURCES: u8 = 2;
    /// Administratively prohibited.
    pub const PROHIBITED: u8 = 3;
    /// Too much outstanding data.
    pub const OUTSTANDING: u8 = 4;
    /// Unacceptable performance.
    pub const PERFORMANCE: u8 = 5;
    /// Middlebox interference.
    pub const MIDDLEBOX: u8 = 6;
}

/// T of MP_TCPRST: the condition is transient.
pub const TCPRST_TRANSIENT: u8 = 0x01;

/// The third octet of a DSS, and the flags of the fourth.
pub(super) mod dss {
    pub(in crate::wire) const FIRST: u8 = super::subtype::DSS << 4;
    pub(in crate::wire) const DATA_ACK: u8 = 0x01;
    pub(in crate::wire) const LONG_ACK: u8 = 0x02;
    pub(in crate::wire) const FULL_ACK: u8 = DATA_ACK | LONG_ACK;
    pub(in crate::wire) const MAPPING: u8 = 0x04;
    pub(in crate::wire) const LONG_DSN: u8 = 0x08;
    pub(in crate::wire) const FULL_MAPPING: u8 = MAPPING | LONG_DSN;
    pub(in crate::wire) const DATA_FIN: u8 = 0x10;
}

/// B, the lowest bit of the third octet of MP_JOIN and MP_PRIO.
const BACKUP: u8 = 0x01;
/// E, the lowest bit of the third octet of ADD_ADDR in version 1.
pub const ADD_ADDR_ECHO: u8 = 0x01;

impl MpOption {
    /// Reads an option from the octets after kind and length. Never fails: what is not a known
    /// subtype of a possible length is [`MpOption::Unknown`].
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        Self::parse_known(body).unwrap_or_else(|| Self::Unknown {
            subtype: body.first().map_or(15, |octet| octet >> 4),
            body: Bytes::copy_from_slice(body),
        })
    }

    fn parse_known(body: &[u8]) -> Option<Self> {
        let first = *body.first()?;
        let nibble = first & 0x0f;
        // Lengths count the octets of kind and length, as the RFCs do.
        let len = body.len() + 2;
        let option = match (first >> 4, len) {
            (subtype::CAPABLE, 4 | 12 | 20 | 22 | 24) => Self::Capable {
                version: nibble,
                flags: body[1],
                sender_key: (len >= 12).then(|| field::be64(body, 2)),
                receiver_key: (len >= 20).then(|| field::be64(body, 10)),
                data_len: (len >= 22).then(|| field::be16(body, 18)),
                checksum: (len == 24).then(|| field::be16(body, 20)),
            },
            (subtype::JOIN, 12) => Self::JoinSyn {
                backup: nibble & BACKUP != 0,
                address_id: body[1],
                token: field::be32(body, 2),
                nonce: field::be32(body, 6),
            },
            (subtype::JOIN, 16) => Self::JoinSynAck {
                backup: nibble & BACKUP != 0,
                address_id: body[1],
                hmac: field::be64(body, 2),
                nonce: field::be32(body, 10),
            },
            (subtype::JOIN, 24) => {
                let mut hmac = [0; 20];
                hmac.copy_from_slice(&body[2..]);
                Self::JoinAck { hmac }
            }
            (subtype::DSS, _) => Self::Dss(Dss::parse(body)?),
            (subtype::ADD_ADDR, 8 | 10 | 16 | 18 | 20 | 22 | 28 | 30) => parse_add_addr(nibble, body)?,
            (subtype::REMOVE_ADDR, 4..) => Self::RemoveAddr { ids: AddressIds::new(&body[1..])? },
            (subtype::PRIO, 3 | 4) => {
                Self::Prio { backup: nibble & BACKUP != 0, address_id: body.get(1).copied() }
            }
            (subtype::FAIL, 12) => Self::Fail { dsn: field::be64(body, 2) },
            (subtype::FASTCLOSE, 12) => Self::FastClose { receiver_key: field::be64(body, 2) },
            (subtype::TCPRST, 4) => Self::TcpRst { flags: nibble, reason: body[1] },
            _ => return None,
        };
        Some(option)
    }

    /// Octets on the wire, kind and length included.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        match self {
            Self::Capable { sender_key, receiver_key, data_len, checksum, .. } => {
                match (sender_key, receiver_key, data_len, checksum) {
                    (None, ..) => 4,
                    (_, None, ..) => 12,
                    (_, _, None, _) => 20,
                    (.., None) => 22,
                    _ => 24,
                }
            }
            Self::JoinSyn { .. } | Self::Fail { .. } | Self::FastClose { .. } => 12,
            Self::JoinSynAck { .. } => 16,
            Self::JoinAck { .. } => 24,
            Self::Dss(dss) => dss.wire_len(),
            Self::AddAddr { address, port, hmac, .. } => {
                let address = if address.is_ipv4() { 4 } else { 16 };
                4 + address + if port.is_some() { 2 } else { 0 } + if hmac.is_some() { 8 } else { 0 }
            }
            Self::RemoveAddr { ids } => 3 + ids.len(),
            Self::Prio { address_id, .. } => 3 + usize::from(address_id.is_some()),
            Self::TcpRst { .. } => 4,
            Self::Unknown { body, .. } => 2 + body.len(),
        }
    }

    /// Writes the option, kind and length included. Of an MP_CAPABLE, a field without those before
    /// it is left out.
    ///
    /// # Panics
    ///
    /// If `out` is not exactly [`Self::wire_len`] octets long, or that is more than 255.
    pub fn emit(&self, out: &mut [u8]) {
        let len = self.wire_len();
        assert!(out.len() == len && len <= 255, "an option needs a buffer of its own length");
        out[0] = super::options::kind::MPTCP;
        out[1] = len as u8;
        match self {
            Self::Capable { version, flags, sender_key, receiver_key, data_len, checksum } => {
                out[2] = (subtype::CAPABLE << 4) | (version & 0x0f);
                out[3] = *flags;
                let Some(sender_key) = sender_key else { return };
                field::put64(out, 4, *sender_key);
                let Some(receiver_key) = receiver_key else { return };
                field::put64(out, 12, *receiver_key);
                let Some(data_len) = data_len else { return };
                field::put16(out, 20, *data_len);
                let Some(checksum) = checksum else { return };
                field::put16(out, 22, *checksum);
            }
            Self::JoinSyn { backup, address_id, token, nonce } => {
                out[2] = (subtype::JOIN << 4) | u8::from(*backup);
                out[3] = *address_id;
                field::put32(out, 4, *token);
                field::put32(out, 8, *nonce);
            }
            Self::JoinSynAck { backup, address_id, hmac, nonce } => {
                out[2] = (subtype::JOIN << 4) | u8::from(*backup);
                out[3] = *address_id;
                field::put64(out, 4, *hmac);
                field::put32(out, 12, *nonce);
            }
            Self::JoinAck { hmac } => {
                out[2] = subtype::JOIN << 4;
                out[3] = 0;
                out[4..].copy_from_slice(hmac);
            }
            Self::Dss(dss) => dss.emit(out),
            Self::AddAddr { nibble, address_id, address, port, hmac } => {
                out[2] = (subtype::ADD_ADDR << 4) | (nibble & 0x0f);
                out[3] = *address_id;
                let mut end = match address {
                    IpAddr::V4(v4) => {
                        out[4..8].copy_from_slice(&v4.octets());
                        8
                    }
                    IpAddr::V6(v6) => {
                        out[4..20].copy_from_slice(&v6.octets());
                        20
                    }
                };
                if let Some(port) = port {
                    field::put16(out, end, *port);
                    end += 2;
                }
                if let Some(hmac) = hmac {
                    field::put64(out, end, *hmac);
                }
            }
            Self::RemoveAddr { ids } => {
                out[2] = subtype::REMOVE_ADDR << 4;
                out[3..].copy_from_slice(ids.as_slice());
            }
            Self::Prio { backup, address_id } => {
                out[2] = (subtype::PRIO << 4) | u8::from(*backup);
                if let Some(address_id) = address_id {
                    out[3] = *address_id;
                }
            }
            Self::Fail { dsn } => {
                out[2] = subtype::FAIL << 4;
                out[3] = 0;
                field::put64(out, 4, *dsn);
            }
            Self::FastClose { receiver_key } => {
                out[2] = subtype::FASTCLOSE << 4;
                out[3] = 0;
                field::put64(out, 4, *receiver_key);
            }
            Self::TcpRst { flags, reason } => {
                out[2] = (subtype::TCPRST << 4) | (flags & 0x0f);
                out[3] = *reason;
            }
            Self::Unknown { body, .. } => out[2..].copy_from_slice(body),
        }
    }
}

/// An ADD_ADDR whose length is one of the possible ones. The length tells family, port and HMAC;
/// the nibble must agree: an HMAC goes with E = 0, no HMAC with E = 1 (version 1) or with the IP
/// version in the nibble (version 0).
fn parse_add_addr(nibble: u8, body: &[u8]) -> Option<MpOption> {
    let len = body.len() + 2;
    let has_hmac = matches!(len, 16 | 18 | 28 | 30);
    let has_port = matches!(len, 10 | 18 | 22 | 30);
    let is_ipv4 = len <= 18;
    let ip_version = if is_ipv4 { 4 } else { 6 };
    let echo = nibble & ADD_ADDR_ECHO != 0;
    let agrees = if has_hmac { !echo } else { echo || nibble == ip_version };
    if !agrees {
        return None;
    }
    let (address, end) = if is_ipv4 {
        (IpAddr::V4(Ipv4Addr::from(field::be32(body, 2))), 6)
    } else {
        let high = u128::from(field::be64(body, 2));
        let low = u128::from(field::be64(body, 10));
        (IpAddr::V6(Ipv6Addr::from((high << 64) | low)), 18)
    };
    Some(MpOption::AddAddr {
        nibble,
        address_id: body[1],
        address,
        port: has_port.then(|| field::be16(body, end)),
        hmac: has_hmac.then(|| field::be64(body, body.len() - 8)),
    })
}

impl Dss {
    /// The longest DSS, in octets.
    pub const MAX_WIRE_LEN: usize = 28;

    /// Reads a DSS from the octets after kind and length; `None` if the subtype is another or the
    /// length is not the one of its flags, with or without a checksum. The length bits of an absent
    /// number have no meaning, nor has F without a mapping.
    #[must_use]
    #[inline]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let &[first, flags, ..] = body else { return None };
        if first >> 4 != subtype::DSS {
            return None;
        }
        let rest = &body[2..];
        let (data_ack, rest) = match flags & (dss::DATA_ACK | dss::LONG_ACK) {
            dss::DATA_ACK => DataNumber::parse_short(rest)?,
            dss::FULL_ACK => DataNumber::parse_long(rest)?,
            _ => (None, rest),
        };
        let (dsn, rest) = match flags & (dss::MAPPING | dss::LONG_DSN) {
            dss::MAPPING => DataNumber::parse_short(rest)?,
            dss::FULL_MAPPING => DataNumber::parse_long(rest)?,
            _ => (None, rest),
        };
        let mapping = match (dsn, rest) {
            (None, []) => None,
            (Some(dsn), &[a, b, c, d, e, f]) => {
                let ssn = u32::from_be_bytes([a, b, c, d]);
                Some(DssMapping { dsn, ssn, len: u16::from_be_bytes([e, f]), checksum: None })
            }
            (Some(dsn), &[a, b, c, d, e, f, g, h]) => {
                let ssn = u32::from_be_bytes([a, b, c, d]);
                let checksum = Some(u16::from_be_bytes([g, h]));
                Some(DssMapping { dsn, ssn, len: u16::from_be_bytes([e, f]), checksum })
            }
            _ => return None,
        };
        Some(Self { data_fin: mapping.is_some() && flags & dss::DATA_FIN != 0, data_ack, mapping })
    }

    /// Octets on the wire, kind and length included: 4 to 28.
    #[must_use]
    #[inline]
    pub const fn wire_len(&self) -> usize {
        let ack = match self.data_ack {
            None => 0,
            Some(number) => number.wire_len(),
        };
        let mapping = match self.mapping {
            None => 0,
            Some(DssMapping { dsn, checksum, .. }) => {
                dsn.wire_len() + 6 + if checksum.is_some() { 2 } else { 0 }
            }
        };
        4 + ack + mapping
    }

    /// Writes the option, kind and length included. Without a mapping F is not sent: no number would
    /// say which octet it is.
    ///
    /// # Panics
    ///
    /// If `out` is not exactly [`Self::wire_len`] octets long.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) {
        let len = self.wire_len();
        assert!(out.len() == len, "an option needs a buffer of its own length");
        let mut flags = 0;
        let mut at = 4;
        if let Some(number) = self.data_ack {
            flags |= dss::DATA_ACK | if number.is_long() { dss::LONG_ACK } else { 0 };
            at = number.emit(out, at);
        }
        if let Some(DssMapping { dsn, ssn, len, checksum }) = self.mapping {
            flags |= dss::MAPPING
                | if dsn.is_long() { dss::LONG_DSN } else { 0 }
                | if self.data_fin { dss::DATA_FIN } else { 0 };
            at = dsn.emit(out, at);
            field::put32(out, at, ssn);
            field::put16(out, at + 4, len);
            if let Some(checksum) = checksum {
                field::put16(out, at + 6, checksum);
            }
        }
        out[0] = super::options::kind::MPTCP;
        out[1] = len as u8;
        out[2] = dss::FIRST;
        out[3] = flags;
    }
}

impl DataNumber {
    /// The low 32 bits of `number`.
    #[must_use]
    #[inline]
    pub const fn short(number: u64) -> Self {
        Self::Short(number as u32)
    }

    /// All of `number`, or its low 32 bits.
    #[must_use]
    #[inline]
    pub const fn new(number: u64, long: bool) -> Self {
        if long { Self::Long(number) } else { Self::short(number) }
    }

    /// Whether it has 64 bits.
    #[must_use]
    #[inline]
    pub const fn is_long(self) -> bool {
        matches!(self, Self::Long(_))
    }

    /// Octets on the wire: 4 or 8.
    #[must_use]
    #[inline]
    pub const fn wire_len(self) -> usize {
        if self.is_long() { 8 } else { 4 }
    }

    /// The 64-bit number meant. Of a short one, the number with these low bits that is nearest to
    /// `expected`, modulo 2^64; of two equally near, the lower.
    #[must_use]
    #[inline]
    pub const fn expand(self, expected: u64) -> u64 {
        match self {
            Self::Long(number) => number,
            Self::Short(low) => {
                let delta = low.wrapping_sub(expected as u32).cast_signed();
                expected.wrapping_add_signed(delta as i64)
            }
        }
    }

    /// A short number and the octets after it.
    #[inline]
    fn parse_short(octets: &[u8]) -> Option<(Option<Self>, &[u8])> {
        let (number, rest) = octets.split_first_chunk()?;
        Some((Some(Self::Short(u32::from_be_bytes(*number))), rest))
    }

    /// A long number and the octets after it.
    #[inline]
    fn parse_long(octets: &[u8]) -> Option<(Option<Self>, &[u8])> {
        let (number, rest) = octets.split_first_chunk()?;
        Some((Some(Self::Long(u64::from_be_bytes(*number))), rest))
    }

    /// Writes the number at `at` and returns the offset after it.
    #[inline]
    fn emit(self, out: &mut [u8], at: usize) -> usize {
        match self {
            Self::Short(number) => {
                field::put32(out, at, number);
                at + 4
            }
            Self::Long(number) => {
                field::put64(out, at, number);
                at + 8
            }
        }
    }
}

impl AddressIds {
    /// The most ids that fit in the options of one segment.
    pub const MAX: usize = 37;

    /// These ids; `None` unless there are 1 to 37 of them.
    #[must_use]
    pub fn new(ids: &[u8]) -> Option<Self> {
        if ids.is_empty() || ids.len() > Self::MAX {
            return None;
        }
        let mut out = Self { len: ids.len() as u8, ids: [0; Self::MAX] };
        out.ids[..ids.len()].copy_from_slice(ids);
        Some(out)
    }

    /// One id.
    #[must_use]
    pub const fn single(id: u8) -> Self {
        let mut ids = [0; Self::MAX];
        ids[0] = id;
        Self { len: 1, ids }
    }

    /// Adds an id; false and unchanged if 37 are there.
    #[must_use]
    pub fn push(&mut self, id: u8) -> bool {
        let len = self.len();
        if len == Self::MAX {
            return false;
        }
        self.ids[len] = id;
        self.len += 1;
        true
    }

    /// The ids in wire order.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.ids[..self.len()]
    }

    /// The ids in wire order.
    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        self.as_slice().iter().copied()
    }

    /// Number of ids, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always an id")]
    pub const fn len(&self) -> usize {
        self.len as usize
    }
}
