//! The words of `ip address`, `ip rule`, `ip route`, `ip link` and `ip mptcp`, as far as a simulated host
//! obeys them. Every type prints in the form it was read from.
//!
//! Left out: route types other than unicast, route metrics other than `metric`, selectors of rules other
//! than `from`, `to` and `iif`. A leading `ip` or `ip mptcp` is accepted and dropped in commands.

mod command;
mod endpoint;
mod routing;

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;

use crate::units::Complaint;
pub use command::{Command, Multipath};
pub(crate) use endpoint::FLAGS;
pub use endpoint::{EndpointWords, Flag};
pub use routing::{Route, Rule, TABLE_MAIN};

/// An address with the length of its network prefix, such as `10.0.1.2/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// Length of the network prefix: at most 32 (IPv4) or 128 (IPv6).
    pub prefix: u8,
}

/// A host prefix (`/32`, `/128`).
const fn full_prefix(address: &IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => (address.to_bits() as u128) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Cidr {
    /// Whether `address` is of the same family and in the same network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && (self.prefix == 0
                || (bits(self.address) ^ bits(address)) >> (128 - u32::from(self.prefix)) == 0)
    }
}

impl FromStr for Cidr {
    type Err = Complaint;
    fn from_str(text: &str) -> Result<Self, Complaint> {
        let wrong = |what: &str| {
            Complaint::new(
                format!("\"{text}\" {what}"),
                "write an address and a prefix length, such as \"10.0.1.2/24\" or \"fd00::1/64\"",
            )
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong("is not an IP address"))?;
        let Some(prefix) = prefix else { return Err(wrong("has no prefix length")) };
        match prefix.parse() {
            Ok(prefix) if prefix <= full_prefix(&address) => Ok(Self { address, prefix }),
            _ => Err(wrong("has a wrong prefix length")),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Reads the words of a text one by one.
struct Words<'a> {
    text: &'a str,
    words: std::iter::Peekable<std::str::SplitWhitespace<'a>>,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, words: text.split_whitespace().peekable() }
    }

    fn word(&mut self, after: &str, what: &str) -> Result<&'a str, Complaint> {
        self.words.next().ok_or_else(|| {
            Complaint::new(format!("\"{}\" ends after \"{after}\"", self.text), format!("add {what}"))
        })
    }

    fn parse<T: FromStr>(&mut self, after: &str, what: &str) -> Result<T, Complaint> {
        let word = self.word(after, what)?;
        word.parse().map_err(|_| {
            Complaint::new(format!("\"{word}\" after \"{after}\" is not valid"), format!("write {what}"))
        })
    }

    fn unknown(&self, word: &str, known: &[&str]) -> Complaint {
        let help = match mptcp_model::suggest::closest(word, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("words here: {}", known.join(", ")),
        };
        Complaint::new(format!("unexpected \"{word}\" in \"{}\"", self.text), help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_ip_are_read_and_printed_alike() {
        for text in [
            "endpoint add 10.0.2.2 id 5 subflow dev c1",
            "endpoint add 10.0.10.2 id 7 signal port 5002",
            "endpoint delete id 5",
            "endpoint delete id 0 10.0.1.2",
            "endpoint change id 5 nobackup",
            "endpoint flush",
            "limits set subflows 2 add_addr_accepted 2",
            "link down c0",
            "link multipath c1 backup",
            "address add 10.0.3.2/24 dev c2",
            "route add default via 10.0.1.1 dev c0 table 101",
            "rule delete priority 32765 from 10.0.1.2 lookup 101",
        ] {
            assert_eq!(text.parse::<Command>().map(|c| c.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("32765:\tfrom 10.0.1.2 lookup main".parse::<Rule>().unwrap().table, 254);
        assert_eq!("ip link set c0 down".parse::<Command>().unwrap().to_string(), "link down c0");
        assert_eq!(
            "ip mptcp limits set subflow 1".parse::<Command>().unwrap().to_string(),
            "limits set subflows 1"
        );
    }

    #[test]
    fn misspelt_words_get_a_suggestion() {
        let complaint = "endpoint add 10.0.0.1 subflw".parse::<Command>().unwrap_err();
        assert_eq!(complaint.help, "did you mean \"subflow\"?");
        let complaint = "endpiont flush".parse::<Command>().unwrap_err();
        assert_eq!(complaint.help, "did you mean \"endpoint\"?");
    }

    #[test]
    fn commands_that_change_nothing_are_refused() {
        for text in ["limits set", "endpoint change id 5"] {
            let complaint = text.parse::<Command>().unwrap_err();
            assert!(complaint.message.ends_with("changes nothing"), "{complaint}");
        }
    }

    // PM-13
    #[test]
    fn flags_the_kernel_refuses_are_refused() {
        for text in [
            "endpoint add 10.0.0.1 signal fullmesh",
            "endpoint add 10.0.0.1 subflow port 80",
            "endpoint add 10.0.0.1 id 0",
        ] {
            assert!(text.parse::<Command>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_prefix_contains_its_network_only() {
        let v4: Cidr = "10.0.1.2/24".parse().unwrap();
        assert!(v4.contains("10.0.1.77".parse().unwrap()));
        assert!(!v4.contains("10.0.2.2".parse().unwrap()));
        assert!(!v4.contains("fd00::1".parse().unwrap()));
        let v6: Cidr = "fd00:1::2/64".parse().unwrap();
        assert!(v6.contains("fd00:1::ffff".parse().unwrap()));
        assert!(!v6.contains("fd00:2::1".parse().unwrap()));
        assert!("10.0.1.2/33".parse::<Cidr>().is_err() && "10.0.1.2".parse::<Cidr>().is_err());
    }
}
