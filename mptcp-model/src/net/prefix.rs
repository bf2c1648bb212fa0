//! IP prefixes and interface addresses, in the text forms of `ip route` and `ip address`.

use core::fmt;
use core::str::FromStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 or IPv6 prefix. The bits beyond the length are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    len: u8,
}

/// Why a text or a pair of address and length is not a prefix or an interface address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrefixError {
    /// The part before the slash is not an address.
    #[error("`{0}` is not an IPv4 or IPv6 address")]
    Address(String),
    /// The part after the slash is not a number in range.
    #[error("prefix length `{len}` is not a number from 0 to {max}")]
    Length {
        /// As written.
        len: String,
        /// 32 or 128.
        max: u8,
    },
    /// The address has bits beyond the prefix length.
    #[error("{address}/{len} has bits beyond its length; the prefix is {masked}/{len}")]
    HostBits {
        /// As given.
        address: IpAddr,
        /// As given.
        len: u8,
        /// The address without them.
        masked: IpAddr,
    },
}

impl Prefix {
    /// All of IPv4.
    pub const DEFAULT_V4: Self = Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), len: 0 };
    /// All of IPv6.
    pub const DEFAULT_V6: Self = Self { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), len: 0 };

    /// The prefix `address/len`.
    ///
    /// # Errors
    /// If `len` is too long for the family, or `address` has bits beyond it.
    pub fn new(address: IpAddr, len: u8) -> Result<Self, PrefixError> {
        let prefix = Self::containing(address, len)?;
        if prefix.address != address {
            return Err(PrefixError::HostBits { address, len, masked: prefix.address });
        }
        Ok(prefix)
    }

    /// The prefix of length `len` that contains `address`.
    ///
    /// # Errors
    /// If `len` is too long for the family.
    pub fn containing(address: IpAddr, len: u8) -> Result<Self, PrefixError> {
        let max = family_bits(address);
        if len > max {
            return Err(PrefixError::Length { len: len.to_string(), max });
        }
        Ok(Self { address: masked(address, len), len })
    }

    /// The prefix of one address.
    #[must_use]
    pub const fn host(address: IpAddr) -> Self {
        Self { address, len: family_bits(address) }
    }

    /// The first address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Number of significant bits.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the length of a prefix is not a count of members")]
    pub const fn len(&self) -> u8 {
        self.len
    }

    /// Whether this is all of its family.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        self.len == 0
    }

    /// Whether this is one address.
    #[must_use]
    pub const fn is_host(&self) -> bool {
        self.len == family_bits(self.address)
    }

    /// Whether this is an IPv4 prefix.
    #[must_use]
    pub const fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether `address` is of this family and lies within.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.len) == self.address
    }

    /// The last address: in IPv4 the directed broadcast address.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() | !mask_v4(self.len))),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() | !mask_v6(self.len))),
        }
    }
}

/// An address as configured on an interface, with the length of its subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// The subnet.
    pub subnet: Prefix,
}

impl InterfaceAddress {
    /// `address` in a subnet of `len` bits.
    ///
    /// # Errors
    /// If `len` is too long for the family.
    pub fn new(address: IpAddr, len: u8) -> Result<Self, PrefixError> {
        Ok(Self { address, subnet: Prefix::containing(address, len)? })
    }
}

/// As `ip route` prints it: `10.0.0.0/24`, and a host without its length.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.len)
        }
    }
}

/// `10.0.0.1/24`.
impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.subnet.len)
    }
}

/// `10.0.0.0/24`, or an address alone for itself.
impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, len) = parse(text)?;
        Self::new(address, len)
    }
}

/// `10.0.0.1/24`, or an address alone in a subnet of its own.
impl FromStr for InterfaceAddress {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, len) = parse(text)?;
        Self::new(address, len)
    }
}

fn parse(text: &str) -> Result<(IpAddr, u8), PrefixError> {
    let (address, len) = match text.split_once('/') {
        Some((address, len)) => (address, Some(len)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| PrefixError::Address(address.to_owned()))?;
    let max = family_bits(address);
    let len = match len {
        None => max,
        Some(len) => match len.parse() {
            Ok(number) if number <= max => number,
            _ => return Err(PrefixError::Length { len: len.to_owned(), max }),
        },
    };
    Ok((address, len))
}

const fn family_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, len: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask_v4(len))),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask_v6(len))),
    }
}

pub(super) fn mask_v4(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
}

pub(super) fn mask_v6(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_print_as_they_were_written() {
        for text in ["10.0.0.0/24", "0.0.0.0/0", "192.168.0.1", "2001:db8::/32", "::/0", "2001:db8::1"] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), text);
        }
        assert_eq!("10.0.0.1/24".parse::<InterfaceAddress>().unwrap().to_string(), "10.0.0.1/24");
    }

    #[test]
    fn wrong_prefixes_say_what_is_wrong() {
        let message = |text: &str| text.parse::<Prefix>().unwrap_err().to_string();
        assert_eq!(message("10.0.0/24"), "`10.0.0` is not an IPv4 or IPv6 address");
        assert_eq!(message("10.0.0.0/33"), "prefix length `33` is not a number from 0 to 32");
        assert_eq!(message("::/129"), "prefix length `129` is not a number from 0 to 128");
        assert_eq!(message("10.0.0.0/"), "prefix length `` is not a number from 0 to 32");
        assert_eq!(
            message("10.0.0.1/24"),
            "10.0.0.1/24 has bits beyond its length; the prefix is 10.0.0.0/24"
        );
    }

    #[test]
    fn a_prefix_contains_its_first_and_last_address_and_no_other_family() {
        let prefix: Prefix = "10.0.0.0/24".parse().unwrap();
        assert!(prefix.contains("10.0.0.0".parse().unwrap()));
        assert!(prefix.contains(prefix.last()));
        assert_eq!(prefix.last().to_string(), "10.0.0.255");
        assert!(!prefix.contains("10.0.1.0".parse().unwrap()));
        assert!(!Prefix::DEFAULT_V4.contains("::1".parse().unwrap()));
        assert!(Prefix::DEFAULT_V6.contains("::1".parse().unwrap()));
        assert_eq!(Prefix::DEFAULT_V6.last().to_string(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    }
}
