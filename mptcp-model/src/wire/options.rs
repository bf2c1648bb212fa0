//! TCP options and the MPTCP options inside them.
//!
//! A segment keeps its options as they stand on the wire (at most 40 octets, NOPs and all), so that
//! order, padding and unknown kinds survive; [`TcpOption`] is the typed view of one of them.

use std::net::IpAddr;

use super::seq::Seq;

/// The options of a segment, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    len: u8,
    octets: [u8; 40],
}

/// Up to four SACK blocks in wire order: left edge, right edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    len: u8,
    blocks: [(Seq, Seq); 4],
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
        body: bytes::Bytes,
    },
}

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
        body: bytes::Bytes,
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
