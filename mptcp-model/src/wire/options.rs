//! TCP options (RFC 9293, RFC 7323, RFC 2018), MPTCP options included.
//!
//! A segment keeps its options as they stand on the wire (at most 40 octets, NOPs and all), so that
//! order, padding and unknown kinds survive; [`TcpOption`] is the typed view of one of them. Kinds
//! other than those of the RFCs named and kind 30 are not interpreted: TCP Fast Open, MD5 and AO are
//! [`TcpOption::Unknown`].

use core::fmt;

use bytes::Bytes;

use super::checksum::Sum;
use super::field;
use super::mptcp::{DataNumber, Dss, DssMapping, MpOption, dss};
use super::seq::Seq;

/// Kinds (IANA registry of TCP option kinds).
pub(crate) mod kind {
    pub(crate) const END: u8 = 0;
    pub(crate) const NOP: u8 = 1;
    pub(crate) const MSS: u8 = 2;
    pub(crate) const WINDOW_SCALE: u8 = 3;
    pub(crate) const SACK_PERMITTED: u8 = 4;
    pub(crate) const SACK: u8 = 5;
    pub(crate) const TIMESTAMPS: u8 = 8;
    pub(crate) const MPTCP: u8 = 30;
}

/// The options of a segment, as on the wire.
///
/// Reading obeys RFC 9293, section 3.1: kind 0 ends the list, kind 1 is padding. An option whose
/// length is below 2 or beyond the end stops the reading; those before it stay valid.
#[derive(Clone, Copy, Eq)]
pub struct TcpOptions {
    len: u8,
    /// Zeros after the first `len`.
    octets: [u8; 40],
}

/// Up to four SACK blocks in wire order: left edge, right edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    len: u8,
    blocks: [(Seq, Seq); 4],
}

/// Where an option stands in the octets of a segment's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionSpan {
    /// Offset of the kind octet.
    pub start: usize,
    /// Octets, kind and length included; 1 for NOP and the end of the list.
    pub len: usize,
    /// Kind.
    pub kind: u8,
}

/// What the receive path of TCP needs of the options, read in one pass. Of an option that occurs
/// twice the last one counts, as in Linux; an option of impossible length counts as absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParsedOptions {
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Window shift as on the wire; values above 14 are for the receiver to clamp.
    pub window_scale: Option<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// SACK blocks.
    pub sack: SackBlocks,
    /// Timestamp value and echo reply.
    pub timestamps: Option<(u32, u32)>,
    /// Data Sequence Signal.
    pub dss: Option<Dss>,
    /// Whether there is an MPTCP option of a subtype other than DSS; [`TcpOptions::iter`] has it.
    pub mptcp_other: bool,
}

/// What stands behind [timestamps](TcpOptions::usual_timestamps): at most a DSS without DATA_FIN, at the place where
/// [`TcpOptions::set_timestamps_and_dss`] puts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UsualOptions {
    /// Octets of all options: 12 without a DSS.
    pub(crate) len: u8,
    /// DATA_ACK, if there is a DSS, and whether it has 64 bits.
    pub(crate) data_ack: u64,
    pub(crate) long_ack: bool,
    /// Mapping of the DSS; `len` 0 without one.
    pub(crate) dsn: u64,
    pub(crate) ssn: u32,
    pub(crate) map_len: u16,
}

impl UsualOptions {
    /// Whether there is a DSS.
    pub(crate) const fn has_dss(&self) -> bool {
        self.len > 12
    }

    /// Whether the DATA_ACK differs from this number.
    #[inline(always)]
    pub(crate) const fn acks_other(&self, number: u64) -> bool {
        let kept = if self.long_ack { u64::MAX } else { u32::MAX as u64 };
        (self.data_ack ^ number) & kept != 0
    }

    /// The DATA_ACK as it was written.
    #[inline]
    pub(crate) const fn data_ack(&self) -> DataNumber {
        if self.long_ack { DataNumber::Long(self.data_ack) } else { DataNumber::Short(self.data_ack as u32) }
    }
}

/// One TCP option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpOption {
    /// End of the list (kind 0).
    EndOfList,
    /// Padding (kind 1).
    Nop,
    /// Maximum segment size (kind 2).
    Mss(u16),
    /// Window scale (kind 3).
    WindowScale(u8),
    /// SACK permitted (kind 4).
    SackPermitted,
    /// SACK blocks (kind 5).
    Sack(SackBlocks),
    /// Timestamps (kind 8).
    Timestamps {
        /// The sender's clock.
        val: u32,
        /// The last value received from the peer.
        ecr: u32,
    },
    /// Multipath TCP (kind 30).
    Mptcp(MpOption),
    /// A kind this model does not interpret, or a known kind with an impossible length: the octets
    /// after kind and length.
    Unknown {
        /// Option kind.
        kind: u8,
        /// The octets after kind and length.
        body: Bytes,
    },
}

impl TcpOptions {
    /// No options.
    pub const EMPTY: Self = Self { len: 0, octets: [0; 40] };

    /// The most octets of options a TCP header has room for.
    pub const MAX: usize = 40;

    /// No options.
    #[must_use]
    pub const fn new() -> Self {
        Self::EMPTY
    }

    /// The options in `octets`; `None` if there are more than 40.
    #[must_use]
    #[inline]
    pub fn from_bytes(octets: &[u8]) -> Option<Self> {
        let mut out = Self::EMPTY;
        out.octets.get_mut(..octets.len())?.copy_from_slice(octets);
        out.len = octets.len() as u8;
        Some(out)
    }

    /// The octets as on the wire.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.len()]
    }

    /// The octets in words of eight, the first one lowest, filled up with zeros.
    #[inline]
    pub(crate) fn words(&self) -> [u64; 5] {
        let (words, _) = self.octets.as_chunks::<8>();
        core::array::from_fn(|index| u64::from_le_bytes(words[index]))
    }

    /// The octets as on the wire, for boxes that rewrite them.
    #[must_use]
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        &mut self.octets[..len]
    }

    /// Number of octets, 0 to 40.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are no octets.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Octets left of the 40.
    #[must_use]
    #[inline]
    pub const fn remaining(&self) -> usize {
        Self::MAX - self.len as usize
    }

    /// The options one by one, NOPs and the end of the list included.
    pub fn iter(&self) -> impl Iterator<Item = TcpOption> + '_ {
        self.positions().map(|span| TcpOption::parse(&self.octets[span.start..span.start + span.len]))
    }

    /// Where each option stands, NOPs and the end of the list included.
    pub fn positions(&self) -> impl Iterator<Item = OptionSpan> + '_ {
        let octets = self.as_bytes();
        let mut start = 0;
        core::iter::from_fn(move || {
            let kind = *octets.get(start)?;
            let len = match kind {
                kind::END | kind::NOP => 1,
                _ => usize::from(*octets.get(start + 1)?),
            };
            if len > octets.len() - start || (len < 2 && kind > kind::NOP) {
                start = octets.len();
                return None;
            }
            let span = OptionSpan { start, len, kind };
            start = if kind == kind::END { octets.len() } else { start + len };
            Some(span)
        })
    }

    /// The MPTCP options, parsed.
    pub fn mptcp(&self) -> impl Iterator<Item = MpOption> + '_ {
        self.positions()
            .filter(|span| span.kind == kind::MPTCP)
            .map(|span| MpOption::parse(&self.octets[span.start + 2..span.start + span.len]))
    }

    /// Reads what the receive path needs in one pass.
    #[must_use]
    #[inline(always)]
    pub fn parse_all(&self) -> ParsedOptions {
        let mut parsed = ParsedOptions::default();
        let mut rest = self.as_bytes();
        // The layout of almost every segment of a Linux host: NOP NOP timestamps.
        if let [kind::NOP, kind::NOP, kind::TIMESTAMPS, 10, a, b, c, d, e, f, g, h, tail @ ..] = rest {
            let val = u32::from_be_bytes([*a, *b, *c, *d]);
            let ecr = u32::from_be_bytes([*e, *f, *g, *h]);
            parsed.timestamps = Some((val, ecr));
            if let Some(dss) = self.dss_at_its_place() {
                parsed.dss = Some(dss);
                return parsed;
            }
            rest = tail;
        }
        parsed.read_all(rest);
        parsed
    }

    /// Value and echo of the timestamps that usual options begin with.
    #[inline(always)]
    pub(crate) fn usual_timestamps(&self) -> (u32, u32) {
        (field::be32(&self.octets, 4), field::be32(&self.octets, 8))
    }

    /// Reads options of the usual layout, that of a segment with data if `maps`; `None` for all others.
    #[inline(always)]
    pub(crate) fn usual(&self, maps: bool) -> Option<UsualOptions> {
        const TIMESTAMPS: u32 = u32::from_be_bytes([kind::NOP, kind::NOP, kind::TIMESTAMPS, 10]);
        const ACK4: u32 = u32::from_be_bytes([kind::MPTCP, 8, dss::FIRST, dss::DATA_ACK]);
        const ACK8: u32 = u32::from_be_bytes([kind::MPTCP, 12, dss::FIRST, dss::FULL_ACK]);
        const MAP4: u32 =
            u32::from_be_bytes([kind::MPTCP, 22, dss::FIRST, dss::DATA_ACK | dss::FULL_MAPPING]);
        const MAP8: u32 =
            u32::from_be_bytes([kind::MPTCP, 26, dss::FIRST, dss::FULL_ACK | dss::FULL_MAPPING]);
        const NOPS: [u8; 2] = [kind::NOP; 2];
        let o = &self.octets;
        if field::be32(o, 0) != TIMESTAMPS {
            return None;
        }
        let len = self.len;
        let plain = UsualOptions { len, data_ack: 0, long_ack: false, dsn: 0, ssn: 0, map_len: 0 };
        let short = || u64::from(field::be32(o, 16));
        let long = || field::be64(o, 16);
        match field::be32(o, 12) {
            MAP4 if maps && len == 36 && o[34..36] == NOPS => Some(UsualOptions {
                data_ack: short(),
                dsn: field::be64(o, 20),
                ssn: field::be32(o, 28),
                map_len: u16::from_be_bytes([o[32], o[33]]),
                ..plain
            }),
            MAP8 if maps && len == 40 && o[38..] == NOPS => Some(UsualOptions {
                data_ack: long(),
                long_ack: true,
                dsn: field::be64(o, 24),
                ssn: field::be32(o, 32),
                map_len: u16::from_be_bytes([o[36], o[37]]),
                ..plain
            }),
            ACK4 if len == 20 => Some(UsualOptions { data_ack: short(), ..plain }),
            ACK8 if len == 24 => Some(UsualOptions { data_ack: long(), long_ack: true, ..plain }),
            0 if len == 12 => Some(plain),
            _ => None,
        }
    }

    /// Appends an option; false and unchanged if it does not fit.
    #[must_use]
    pub fn push(&mut self, option: &TcpOption) -> bool {
        match option {
            TcpOption::EndOfList => self.push_octets(&[kind::END]),
            TcpOption::Nop => self.push_nop(),
            TcpOption::Mss(mss) => self.push_mss(*mss),
            TcpOption::WindowScale(shift) => self.push_window_scale(*shift),
            TcpOption::SackPermitted => self.push_sack_permitted(),
            TcpOption::Sack(blocks) => self.push_sack(blocks),
            TcpOption::Timestamps { val, ecr } => self.push_timestamps(*val, *ecr),
            TcpOption::Mptcp(option) => self.push_mptcp(option),
            TcpOption::Unknown { kind, body } => match self.reserve(2 + body.len()) {
                Some(out) => {
                    out[0] = *kind;
                    out[1] = 2 + body.len() as u8;
                    out[2..].copy_from_slice(body);
                    true
                }
                None => false,
            },
        }
    }

    /// Appends a NOP; false and unchanged if it does not fit. So are all the following.
    #[must_use]
    #[inline]
    pub fn push_nop(&mut self) -> bool {
        self.push_octets(&[kind::NOP])
    }

    /// Appends a maximum segment size, in octets.
    #[must_use]
    #[inline]
    pub fn push_mss(&mut self, mss: u16) -> bool {
        let [high, low] = mss.to_be_bytes();
        self.push_octets(&[kind::MSS, 4, high, low])
    }

    /// Appends SACK permitted.
    #[must_use]
    #[inline]
    pub fn push_sack_permitted(&mut self) -> bool {
        self.push_octets(&[kind::SACK_PERMITTED, 2])
    }

    /// Appends a window scale.
    #[must_use]
    #[inline]
    pub fn push_window_scale(&mut self, shift: u8) -> bool {
        self.push_octets(&[kind::WINDOW_SCALE, 3, shift])
    }

    /// Appends timestamps: the own clock and the value echoed.
    #[must_use]
    #[inline]
    pub fn push_timestamps(&mut self, val: u32, ecr: u32) -> bool {
        let [a, b, c, d] = val.to_be_bytes();
        let [e, f, g, h] = ecr.to_be_bytes();
        self.push_octets(&[kind::TIMESTAMPS, 10, a, b, c, d, e, f, g, h])
    }

    /// Appends SACK blocks.
    #[must_use]
    #[inline]
    pub fn push_sack(&mut self, blocks: &SackBlocks) -> bool {
        let Some(out) = self.reserve(blocks.wire_len()) else { return false };
        out[0] = kind::SACK;
        out[1] = blocks.wire_len() as u8;
        for (out, (left, right)) in out[2..].chunks_exact_mut(8).zip(blocks.as_slice()) {
            field::put32(out, 0, left.0);
            field::put32(out, 4, right.0);
        }
        true
    }

    /// Appends an MPTCP option.
    #[must_use]
    #[inline]
    pub fn push_mptcp(&mut self, option: &MpOption) -> bool {
        match self.reserve(option.wire_len()) {
            Some(out) => {
                option.emit(out);
                true
            }
            None => false,
        }
    }

    /// Appends a DSS.
    #[must_use]
    #[inline]
    pub fn push_dss(&mut self, dss: &Dss) -> bool {
        match self.reserve(dss.wire_len()) {
            Some(out) => {
                dss.emit(out);
                true
            }
            None => false,
        }
    }

    /// Becomes NOP NOP timestamps, as in nearly every segment without MPTCP.
    #[inline(always)]
    pub(crate) fn set_timestamps(&mut self, val: u32, ecr: u32) {
        self.octets[..4].copy_from_slice(&[kind::NOP, kind::NOP, kind::TIMESTAMPS, 10]);
        self.octets[4..8].copy_from_slice(&val.to_be_bytes());
        self.octets[8..12].copy_from_slice(&ecr.to_be_bytes());
        self.octets[12..].fill(0);
        self.len = 12;
    }

    /// Becomes NOP NOP timestamps and a DSS without checksum, padded with NOPs: what nearly every segment carries, at fixed
    /// places. False, and no options at all, if the DSS has another layout.
    #[inline(always)]
    pub(crate) fn set_timestamps_and_dss(&mut self, val: u32, ecr: u32, dss: &Dss) -> bool {
        self.set_timestamps(val, ecr);
        let octets = &mut self.octets;
        let data_fin = if dss.data_fin { dss::DATA_FIN } else { 0 };
        let head = |len, flags| [kind::MPTCP, len, dss::FIRST, flags];
        self.len = match (dss.data_ack, dss.mapping) {
            (Some(DataNumber::Long(ack)), None) => {
                octets[12..16].copy_from_slice(&head(12, dss::FULL_ACK));
                octets[16..24].copy_from_slice(&ack.to_be_bytes());
                24
            }
            (Some(DataNumber::Short(ack)), None) => {
                octets[12..16].copy_from_slice(&head(8, dss::DATA_ACK));
                octets[16..20].copy_from_slice(&ack.to_be_bytes());
                20
            }
            (
                Some(DataNumber::Long(ack)),
                Some(DssMapping { dsn: DataNumber::Long(dsn), ssn, len, checksum: None }),
            ) => {
                octets[12..16].copy_from_slice(&head(26, dss::FULL_ACK | dss::FULL_MAPPING | data_fin));
                octets[16..24].copy_from_slice(&ack.to_be_bytes());
                octets[24..32].copy_from_slice(&dsn.to_be_bytes());
                octets[32..36].copy_from_slice(&ssn.to_be_bytes());
                octets[36..38].copy_from_slice(&len.to_be_bytes());
                octets[38..].copy_from_slice(&[kind::NOP, kind::NOP]);
                40
            }
            (
                Some(DataNumber::Short(ack)),
                Some(DssMapping { dsn: DataNumber::Long(dsn), ssn, len, checksum: None }),
            ) => {
                octets[12..16].copy_from_slice(&head(22, dss::DATA_ACK | dss::FULL_MAPPING | data_fin));
                octets[16..20].copy_from_slice(&ack.to_be_bytes());
                octets[20..28].copy_from_slice(&dsn.to_be_bytes());
                octets[28..32].copy_from_slice(&ssn.to_be_bytes());
                octets[32..34].copy_from_slice(&len.to_be_bytes());
                octets[34..36].copy_from_slice(&[kind::NOP, kind::NOP]);
                36
            }
            _ => {
                *self = Self::EMPTY;
                return false;
            }
        };
        true
    }

    /// Reads a DSS that stands where [`set_timestamps_and_dss`](Self::set_timestamps_and_dss) puts it.
    #[inline]
    fn dss_at_its_place(&self) -> Option<Dss> {
        let o = &self.octets;
        if o[12] != kind::MPTCP || o[14] != dss::FIRST {
            return None;
        }
        let mapping = |at: usize, flags: u8| {
            let mapping = DssMapping {
                dsn: DataNumber::Long(field::be64(o, at)),
                ssn: field::be32(o, at + 8),
                len: u16::from_be_bytes([o[at + 12], o[at + 13]]),
                checksum: None,
            };
            (flags & dss::DATA_FIN != 0, Some(mapping))
        };
        let flags = o[15];
        let without_fin = flags & !dss::DATA_FIN;
        let (data_ack, (data_fin, mapping)) = match (self.len, o[13]) {
            (24, 12) if flags == dss::FULL_ACK => (DataNumber::Long(field::be64(o, 16)), (false, None)),
            (20, 8) if flags == dss::DATA_ACK => (DataNumber::Short(field::be32(o, 16)), (false, None)),
            (40, 26) if without_fin == dss::FULL_ACK | dss::FULL_MAPPING && o[38..] == [kind::NOP; 2] => {
                (DataNumber::Long(field::be64(o, 16)), mapping(24, flags))
            }
            (36, 22) if without_fin == dss::DATA_ACK | dss::FULL_MAPPING && o[34..36] == [kind::NOP; 2] => {
                (DataNumber::Short(field::be32(o, 16)), mapping(20, flags))
            }
            _ => return None,
        };
        Some(Dss { data_fin, data_ack: Some(data_ack), mapping })
    }

    /// Appends NOPs up to a multiple of 4 octets.
    #[inline]
    pub fn pad(&mut self) {
        while !self.len.is_multiple_of(4) {
            self.octets[usize::from(self.len)] = kind::NOP;
            self.len += 1;
        }
    }

    /// The octets padded with NOPs to a multiple of 4 and then with zeros to 40, and their sum. Of
    /// fixed length, because that is faster than the right length.
    #[inline]
    pub(crate) fn padded(&self) -> ([u8; Self::MAX], u16) {
        let mut padded = *self;
        padded.pad();
        (padded.octets, Sum::of(&padded.octets).fold())
    }

    #[inline]
    fn push_octets<const N: usize>(&mut self, octets: &[u8; N]) -> bool {
        match self.reserve(N) {
            Some(out) => {
                out.copy_from_slice(octets);
                true
            }
            None => false,
        }
    }

    /// The next `count` octets, or `None` and no change.
    #[inline]
    fn reserve(&mut self, count: usize) -> Option<&mut [u8]> {
        let start = self.len();
        let out = self.octets.get_mut(start..start + count)?;
        self.len += count as u8;
        Some(out)
    }
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for TcpOptions {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Debug for TcpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

impl ParsedOptions {
    /// Takes over one option after the other.
    fn read_all(&mut self, mut rest: &[u8]) {
        while let [kind, tail @ ..] = rest {
            match *kind {
                kind::END => break,
                kind::NOP => {
                    rest = tail;
                    continue;
                }
                _ => {}
            }
            let Some(len) = tail.first().map(|len| usize::from(*len)) else { break };
            if len < 2 || len > rest.len() {
                break;
            }
            let (option, after) = rest.split_at(len);
            self.read(*kind, &option[2..]);
            rest = after;
        }
    }

    /// Takes over one option; `body` is what follows kind and length.
    #[inline]
    fn read(&mut self, kind: u8, body: &[u8]) {
        match (kind, body) {
            (kind::MPTCP, [first, ..]) if first >> 4 == 2 => self.dss = Dss::parse(body).or(self.dss),
            (kind::MPTCP, _) => self.mptcp_other = true,
            (kind::TIMESTAMPS, [a, b, c, d, e, f, g, h]) => {
                let val = u32::from_be_bytes([*a, *b, *c, *d]);
                let ecr = u32::from_be_bytes([*e, *f, *g, *h]);
                self.timestamps = Some((val, ecr));
            }
            (kind::SACK, _) => {
                if let Some(blocks) = SackBlocks::parse(body) {
                    self.sack = blocks;
                }
            }
            (kind::MSS, [high, low]) => self.mss = Some(u16::from_be_bytes([*high, *low])),
            (kind::WINDOW_SCALE, [shift]) => self.window_scale = Some(*shift),
            (kind::SACK_PERMITTED, []) => self.sack_permitted = true,
            _ => {}
        }
    }
}

impl TcpOption {
    /// `octets` is one whole option as [`TcpOptions::positions`] delimits it.
    fn parse(octets: &[u8]) -> Self {
        let (kind, body) = match octets {
            [] | [kind::END, ..] => return Self::EndOfList,
            [kind::NOP, ..] => return Self::Nop,
            [kind] => (*kind, &[][..]),
            [kind, _, body @ ..] => (*kind, body),
        };
        match (kind, body) {
            (kind::MSS, [high, low]) => Self::Mss(u16::from_be_bytes([*high, *low])),
            (kind::WINDOW_SCALE, [shift]) => Self::WindowScale(*shift),
            (kind::SACK_PERMITTED, []) => Self::SackPermitted,
            (kind::SACK, _) => match SackBlocks::parse(body) {
                Some(blocks) => Self::Sack(blocks),
                None => Self::Unknown { kind, body: Bytes::copy_from_slice(body) },
            },
            (kind::TIMESTAMPS, _) if body.len() == 8 => {
                Self::Timestamps { val: field::be32(body, 0), ecr: field::be32(body, 4) }
            }
            (kind::MPTCP, _) => Self::Mptcp(MpOption::parse(body)),
            _ => Self::Unknown { kind, body: Bytes::copy_from_slice(body) },
        }
    }

    /// Octets on the wire, kind and length included.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        match self {
            Self::EndOfList | Self::Nop => 1,
            Self::Mss(_) => 4,
            Self::WindowScale(_) => 3,
            Self::SackPermitted => 2,
            Self::Sack(blocks) => blocks.wire_len(),
            Self::Timestamps { .. } => 10,
            Self::Mptcp(option) => option.wire_len(),
            Self::Unknown { body, .. } => 2 + body.len(),
        }
    }
}

impl SackBlocks {
    /// The most blocks the options of a segment have room for.
    pub const MAX: usize = 4;

    /// No blocks.
    #[must_use]
    pub const fn new() -> Self {
        Self { len: 0, blocks: [(Seq(0), Seq(0)); 4] }
    }

    /// Appends a block; false and unchanged if four are there.
    #[must_use]
    #[inline]
    pub fn push(&mut self, left: Seq, right: Seq) -> bool {
        match self.blocks.get_mut(usize::from(self.len)) {
            Some(block) => {
                *block = (left, right);
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// Keeps the first `count` blocks.
    pub fn truncate(&mut self, count: usize) {
        for block in self.blocks.iter_mut().take(usize::from(self.len)).skip(count) {
            *block = (Seq(0), Seq(0));
        }
        self.len = self.len.min(count.min(Self::MAX) as u8);
    }

    /// Number of blocks.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are no blocks.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The blocks in wire order.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[(Seq, Seq)] {
        &self.blocks[..usize::from(self.len)]
    }

    /// The blocks in wire order: left edge, right edge.
    pub fn iter(&self) -> impl Iterator<Item = (Seq, Seq)> + '_ {
        self.as_slice().iter().copied()
    }

    /// Octets of the SACK option with these blocks, kind and length included.
    #[must_use]
    #[inline]
    pub const fn wire_len(&self) -> usize {
        2 + 8 * self.len()
    }

    /// The blocks of an option; `None` unless there are 1 to 4 whole ones.
    #[inline]
    fn parse(body: &[u8]) -> Option<Self> {
        if !matches!(body.len(), 8 | 16 | 24 | 32) {
            return None;
        }
        let mut blocks = Self { len: (body.len() / 8) as u8, ..Self::new() };
        for (block, octets) in blocks.blocks.iter_mut().zip(body.chunks_exact(8)) {
            *block = (Seq(field::be32(octets, 0)), Seq(field::be32(octets, 4)));
        }
        Some(blocks)
    }
}
