//! TCP options in scripts, MPTCP options included.

use super::ast::AddressRef;

/// One option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionSpec {
    /// `eol`
    EndOfList,
    /// `nop`
    Nop,
    /// `mss N`
    Mss(u16),
    /// `wscale N`
    WindowScale(u8),
    /// `sackOK`
    SackOk,
    /// `sack a:b c:d`: edges relative to the initial sequence number of the receiver of the option.
    Sack(Vec<(u32, u32)>),
    /// `TS val N ecr N`: symbols for the values of the stack under test.
    Timestamps {
        /// The clock of the sender.
        val: u32,
        /// The value echoed.
        ecr: u32,
    },
    /// `FO` and `FO hex` (RFC 7413); `FOEXP` is the experimental form.
    FastOpen {
        /// Kind 254 with the magic number of the experiment.
        experimental: bool,
        /// The cookie; empty is a request.
        cookie: Vec<u8>,
    },
    /// `md5` (RFC 2385), with the digest if it matters.
    Md5(Option<[u8; 16]>),
    /// `mpcapable ...`
    Capable(CapableSpec),
    /// `mp_join_syn ...`
    JoinSyn {
        /// B flag.
        backup: bool,
        /// Address id; as known for the address when not given.
        address_id: Option<u8>,
        /// The sender's random number.
        nonce: Option<u32>,
        /// Which connection.
        token: TokenSpec,
    },
    /// `mp_join_syn_ack ...`
    JoinSynAck {
        /// B flag.
        backup: bool,
        /// Address id; as known for the address when not given.
        address_id: Option<u8>,
        /// The sender's random number.
        nonce: Option<u32>,
        /// Truncated HMAC.
        hmac: HmacSpec,
    },
    /// `mp_join_ack ...`
    JoinAck {
        /// Truncated HMAC.
        hmac: JoinAckHmac,
    },
    /// `dss ...`
    Dss(DssSpec),
    /// `add_address ...`
    AddAddress {
        /// Address id; found from the address when not given.
        address_id: Option<u8>,
        /// The address.
        address: AddressRef,
        /// The port.
        port: Option<u16>,
        /// The HMAC; `None` is an echo.
        hmac: Option<HmacSpec>,
    },
    /// `remove_address address_id=[N,...]`
    RemoveAddress(Vec<u8>),
    /// `mp_prio backup=N [address_id=N]`
    Prio {
        /// B flag.
        backup: bool,
        /// The address meant.
        address_id: Option<u8>,
    },
    /// `mp_fail dsn8=N`: relative to the initial data sequence number of the receiver of the option.
    Fail {
        /// Data sequence number.
        dsn: u64,
    },
    /// `mp_fastclose [name[=N]]`: the key of the receiver of the option, or this one.
    FastClose(Option<KeyRef>),
    /// `mp_reset N [flags[flag_t]]`
    Reset {
        /// Reason (RFC 8684, section 3.6).
        reason: u8,
        /// Flags U, V, W, T (T is bit 0).
        flags: u8,
    },
    /// `kind N hex`: any other option, or one of an impossible length. An extension of the language.
    Other {
        /// Option kind.
        kind: u8,
        /// Octets after kind and length.
        body: Vec<u8>,
    },
}

/// `mpcapable vN flags[...] KEYS [mpcdatalen N [csum]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapableSpec {
    /// Version nibble.
    pub version: u8,
    /// Flags A (0x80) to H (0x01).
    pub flags: u8,
    /// None, one or two keys in the order of the wire.
    pub keys: Vec<KeyRef>,
    /// Length of the first mapping.
    pub data_len: Option<u16>,
    /// Whether a checksum follows it. An extension of the language.
    pub checksum: bool,
}

/// A key variable: `skey` or `skey=2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRef {
    /// The variable.
    pub name: String,
    /// Its value, if the script fixes it.
    pub value: Option<u64>,
}

/// The token of a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSpec {
    /// `auto`: of the connection that was last spoken of.
    Auto,
    /// `sha256_32(name)`: of the connection with this key.
    Hash(String),
    /// A number.
    Value(u32),
}

/// A HMAC of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HmacSpec {
    /// `auto`: the right one.
    Auto,
    /// A number.
    Value(u64),
}

/// The HMAC of 160 bits in the third ACK of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinAckHmac {
    /// `auto`: the right one.
    Auto,
    /// 40 hexadecimal digits.
    Value([u8; 20]),
}

/// How many octets a data sequence number takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 4.
    Four,
    /// 8.
    Eight,
}

/// `dack4`, `dsn8=1`: a data sequence number relative to an initial one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataNumberSpec {
    /// Octets on the wire.
    pub width: Width,
    /// Value; unchecked, or taken from the flow, when not given.
    pub value: Option<u64>,
}

/// `dss [dackN[=N]] [dsnN[=N]] [ssn=N] [dll=N] [nocs] [fin]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DssSpec {
    /// DATA_ACK.
    pub data_ack: Option<DataNumberSpec>,
    /// Data sequence number. Without it the rest means nothing.
    pub dsn: Option<DataNumberSpec>,
    /// Relative subflow sequence number; that of the segment when not given.
    pub ssn: Option<u32>,
    /// Length; the payload and the DATA_FIN when not given.
    pub data_len: Option<u16>,
    /// Without a checksum field.
    pub no_checksum: bool,
    /// DATA_FIN.
    pub fin: bool,
}
