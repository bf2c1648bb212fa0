//! Keys, tokens, initial data sequence numbers, HMACs and the data checksum of Multipath TCP: SHA-1
//! in version 0 (RFC 6824, sections 3.1 to 3.4), SHA-256 in version 1 (RFC 8684, same sections).
//!
//! Keys and nonces are integers whose big-endian octets stand on the wire. Drawing them at random is
//! the host's business. Nothing here runs in constant time: the secrets are simulated ones.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use siphasher::sip::SipHasher24;

use crate::wire::field;

/// Version of Multipath TCP, as negotiated by MP_CAPABLE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// RFC 6824, SHA-1.
    V0,
    /// RFC 8684, SHA-256.
    V1,
}

impl Version {
    /// The version nibble of MP_CAPABLE.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V0 => 0,
            Self::V1 => 1,
        }
    }

    /// The version of a nibble, if it is a known one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::V0),
            1 => Some(Self::V1),
            _ => None,
        }
    }
}

/// The cookie of TCP Fast Open (RFC 7413, section 4.1.2) for a client at `client`, as Linux makes it: SipHash-2-4
/// of both addresses.
#[must_use]
pub fn fast_open_cookie(key: &[u8; 16], client: IpAddr, server: IpAddr) -> [u8; 8] {
    let mut octets = Vec::with_capacity(32);
    for address in [client, server] {
        match address {
            IpAddr::V4(address) => octets.extend(address.octets()),
            IpAddr::V6(address) => octets.extend(address.octets()),
        }
    }
    SipHasher24::new_with_key(key).hash(&octets).to_le_bytes()
}

/// A whole HMAC: 20 octets in version 0, 32 in version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    len: u8,
    octets: [u8; 32],
}

impl Hash {
    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }

    /// The leftmost 64 bits, as a SYN/ACK with MP_JOIN carries them.
    #[must_use]
    pub fn leftmost_64(&self) -> u64 {
        field::be64(&self.octets, 0)
    }

    /// The leftmost 160 bits, as the third ACK of a join carries them; all of a SHA-1 HMAC.
    #[must_use]
    pub fn leftmost_160(&self) -> [u8; 20] {
        let mut out = [0; 20];
        out.copy_from_slice(&self.octets[..20]);
        out
    }

    /// The rightmost 64 bits, as ADD_ADDR carries them.
    #[must_use]
    pub fn rightmost_64(&self) -> u64 {
        field::be64(&self.octets, usize::from(self.len) - 8)
    }
}

/// Token and initial data sequence number of one key, from one hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyMaterial {
    /// First 32 bits of the hash of the key.
    pub token: u32,
    /// Last 64 bits of the hash of the key. The first octet of data is number `idsn + 1`: the key
    /// exchange takes one number.
    pub idsn: u64,
}

/// Token and IDSN of `key`.
#[must_use]
pub fn key_material(version: Version, key: u64) -> KeyMaterial {
    let hash = match version {
        Version::V0 => hash(&Sha1::digest(key.to_be_bytes())),
        Version::V1 => hash(&Sha256::digest(key.to_be_bytes())),
    };
    KeyMaterial { token: (hash.leftmost_64() >> 32) as u32, idsn: hash.rightmost_64() }
}

/// The token that names a connection in MP_JOIN: the first 32 bits of the hash of the key.
#[must_use]
pub fn token(version: Version, key: u64) -> u32 {
    key_material(version, key).token
}

/// The initial data sequence number: the last 64 bits of the hash of the key.
#[must_use]
pub fn idsn(version: Version, key: u64) -> u64 {
    key_material(version, key).idsn
}

/// The HMAC that authenticates a join, from the point of view of the host that sends it: `local` is
/// the sender of the HMAC. The key is `local_key` followed by `remote_key`, the message
/// `local_nonce` followed by `remote_nonce`.
#[must_use]
pub fn join_hmac(
    version: Version,
    local_key: u64,
    remote_key: u64,
    local_nonce: u32,
    remote_nonce: u32,
) -> Hash {
    let message = (u64::from(local_nonce) << 32) | u64::from(remote_nonce);
    hmac(version, local_key, remote_key, &message.to_be_bytes())
}

/// The truncated HMAC of a SYN/ACK with MP_JOIN; arguments as for [`join_hmac`].
#[must_use]
pub fn join_hmac_synack(
    version: Version,
    local_key: u64,
    remote_key: u64,
    local_nonce: u32,
    remote_nonce: u32,
) -> u64 {
    join_hmac(version, local_key, remote_key, local_nonce, remote_nonce).leftmost_64()
}

/// The truncated HMAC of the third ACK of a join; arguments as for [`join_hmac`].
#[must_use]
pub fn join_hmac_ack(
    version: Version,
    local_key: u64,
    remote_key: u64,
    local_nonce: u32,
    remote_nonce: u32,
) -> [u8; 20] {
    join_hmac(version, local_key, remote_key, local_nonce, remote_nonce).leftmost_160()
}

/// The truncated HMAC of an ADD_ADDR of version 1 (RFC 8684, section 3.4.1), where `local` is the
/// host that announces the address. A missing port counts as port 0, as the RFC and upstream Linux
/// have it; v0.96 of the out-of-tree line leaves it out when it speaks version 1.
#[must_use]
pub fn add_addr_hmac(
    local_key: u64,
    remote_key: u64,
    address_id: u8,
    address: IpAddr,
    port: Option<u16>,
) -> u64 {
    let (message, end) = add_addr_message(address_id, address, port);
    hmac(Version::V1, local_key, remote_key, &message[..end + 2]).rightmost_64()
}

/// As [`add_addr_hmac`], but as v0.96 of the out-of-tree line sends it: a missing port is left out.
#[must_use]
pub fn add_addr_hmac_out_of_tree(
    local_key: u64,
    remote_key: u64,
    address_id: u8,
    address: IpAddr,
    port: Option<u16>,
) -> u64 {
    let (message, end) = add_addr_message(address_id, address, port);
    let end = if port.is_some() { end + 2 } else { end };
    hmac(Version::V1, local_key, remote_key, &message[..end]).rightmost_64()
}

/// Id, address and port, and where the port begins.
fn add_addr_message(address_id: u8, address: IpAddr, port: Option<u16>) -> ([u8; 19], usize) {
    let mut message = [0; 19];
    message[0] = address_id;
    let end = match address {
        IpAddr::V4(v4) => {
            message[1..5].copy_from_slice(&v4.octets());
            5
        }
        IpAddr::V6(v6) => {
            message[1..17].copy_from_slice(&v6.octets());
            17
        }
    };
    message[end..end + 2].copy_from_slice(&port.unwrap_or(0).to_be_bytes());
    (message, end)
}

/// The checksum of a mapping (RFC 8684, section 3.3): over the 64-bit `dsn` even where the wire
/// carries 32 bits of it, the relative subflow sequence number, the length with a DATA_FIN counted,
/// two zero octets and the data. `payload_sum` is the folded ones'-complement sum of the data, 0 if
/// there is none.
#[must_use]
pub const fn dss_checksum(dsn: u64, ssn: u32, len: u16, payload_sum: u16) -> u16 {
    let mut sum = (dsn >> 32) + (dsn & 0xffff_ffff) + ssn as u64 + len as u64 + payload_sum as u64;
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

fn hmac(version: Version, local_key: u64, remote_key: u64, message: &[u8]) -> Hash {
    // RFC 2104 fills a key up with zeros to the block of both hash functions.
    let mut key = [0; 64];
    key[..8].copy_from_slice(&local_key.to_be_bytes());
    key[8..16].copy_from_slice(&remote_key.to_be_bytes());
    match version {
        Version::V0 => {
            let mut mac = Hmac::<Sha1>::new(&key.into());
            mac.update(message);
            hash(&mac.finalize().into_bytes())
        }
        Version::V1 => {
            let mut mac = Hmac::<Sha256>::new(&key.into());
            mac.update(message);
            hash(&mac.finalize().into_bytes())
        }
    }
}

/// `octets` are the 20 of SHA-1 or the 32 of SHA-256.
fn hash(octets: &[u8]) -> Hash {
    let mut out = Hash { len: octets.len() as u8, octets: [0; 32] };
    out.octets[..octets.len()].copy_from_slice(octets);
    out
}
