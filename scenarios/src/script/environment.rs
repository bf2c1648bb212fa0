//! The variables of a running script: keys, addresses, and what is known of every connection.
//!
//! *Mine* is what the script plays (the peer), *theirs* what the stack under test is.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use mptcp_model::crypto::{self, Version};
use sim_core::random::{Stream, Streams};

use super::ast::AddressRef;
use super::flow::Flow;
use super::option::KeyRef;
use crate::units::Complaint;

/// What a script is run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// First address of the stack under test.
    pub local: IpAddr,
    /// First address of the peer that the script plays.
    pub remote: IpAddr,
    /// Port of the side that listens.
    pub port: u16,
    /// Compare the data-level length of 64-bit mappings too. Off, because the established tool does not.
    pub check_data_len: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            local: IpAddr::from([192, 168, 0, 1]),
            remote: IpAddr::from([192, 0, 2, 1]),
            port: 8080,
            check_data_len: false,
        }
    }
}

/// One MPTCP connection: the keys and what depends on them.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    pub(super) mine: Option<u64>,
    pub(super) theirs: Option<u64>,
    /// Next data sequence number of each side, relative to its initial one.
    pub(super) my_next: u64,
    pub(super) their_next: u64,
    /// Address ids by address, of both sides.
    pub(super) ids: BTreeMap<IpAddr, u8>,
    /// Ports that came with announced addresses.
    pub(super) ports: BTreeMap<IpAddr, u16>,
}

#[derive(Clone, Copy, Debug)]
struct KeyVariable {
    value: u64,
    /// The connection it was last spoken of in.
    session: usize,
}

/// The variables of a running script.
#[derive(Clone, Debug)]
pub struct Environment {
    pub(super) setup: Setup,
    pub(super) random: Stream,
    keys: BTreeMap<String, KeyVariable>,
    addresses: BTreeMap<String, IpAddr>,
    pub(super) flows: Vec<Flow>,
    pub(super) sessions: Vec<Session>,
    /// The connection last spoken of, an index into `flows`.
    pub(super) current: Option<usize>,
    pub(super) next_port: u16,
}

/// The initial data sequence number of a key.
pub(super) fn idsn(key: u64) -> u64 {
    crypto::idsn(Version::V1, key)
}

/// The token of a key.
pub(super) fn token(key: u64) -> u32 {
    crypto::token(Version::V1, key)
}

impl Environment {
    /// No variables yet. Keys, random numbers and sequence numbers of the peer come from a stream of
    /// `streams`.
    #[must_use]
    pub fn new(setup: Setup, streams: Streams) -> Self {
        Self {
            setup,
            random: streams.stream("script"),
            keys: BTreeMap::new(),
            addresses: BTreeMap::new(),
            flows: Vec::new(),
            sessions: Vec::new(),
            current: None,
            next_port: 49_152,
        }
    }

    /// The value of a key variable.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<u64> {
        self.keys.get(name).map(|key| key.value)
    }

    /// The address behind a name.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<IpAddr> {
        self.addresses.get(name).copied()
    }

    /// Give a name to an address before a packet does.
    pub fn bind_address(&mut self, name: &str, address: IpAddr) {
        self.addresses.insert(name.to_owned(), address);
    }

    /// The connection last spoken of: its ends at the stack under test and at the peer.
    #[must_use]
    pub fn current_connection(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.current.and_then(|index| self.flows.get(index)).map(|flow| (flow.stack, flow.peer))
    }

    /// The name of an address.
    pub(super) fn name_of(&self, address: IpAddr) -> Option<&str> {
        self.addresses.iter().find(|(_, known)| **known == address).map(|(name, _)| name.as_str())
    }

    /// A reference to a key: by name if it has one.
    pub(super) fn key_ref(&self, value: u64) -> KeyRef {
        match self.keys.iter().find(|(_, key)| key.value == value) {
            Some((name, _)) => KeyRef { name: name.clone(), value: None },
            None => KeyRef { name: "unknown".to_owned(), value: Some(value) },
        }
    }

    /// The key of an inbound option: fixed, known, or new and random.
    pub(super) fn inbound_key(&mut self, key: &KeyRef, session: usize) -> u64 {
        let known = self.key(&key.name);
        let value = key.value.or(known).unwrap_or_else(|| self.random.next_u64());
        self.keys.insert(key.name.clone(), KeyVariable { value, session });
        value
    }

    /// Whether the key of an outbound option may be `seen`; a name that is new in this connection takes
    /// that value. Otherwise the value it must have.
    pub(super) fn outbound_key(&mut self, key: &KeyRef, seen: u64, session: usize) -> Result<(), u64> {
        let known = self.keys.get(&key.name).filter(|known| known.session == session);
        let expected = key.value.or(known.map(|known| known.value)).unwrap_or(seen);
        if expected != seen {
            return Err(expected);
        }
        self.keys.insert(key.name.clone(), KeyVariable { value: seen, session });
        Ok(())
    }

    pub(super) fn session(&self, index: usize) -> Option<&Session> {
        self.sessions.get(index)
    }

    /// A session for a new flow.
    pub(super) fn open_session(&mut self) -> usize {
        self.sessions.push(Session { my_next: 1, their_next: 1, ..Session::default() });
        self.sessions.len() - 1
    }

    /// Binds the address of an option, or gives the one its name has.
    ///
    /// # Errors
    /// A name without an address.
    pub(super) fn resolve(&mut self, reference: &AddressRef) -> Result<IpAddr, Complaint> {
        if let Some(value) = reference.value {
            self.bind_address(&reference.name, value);
            return Ok(value);
        }
        self.address(&reference.name).ok_or_else(|| {
            Complaint::new(
                format!("addr[{}] has no address yet", reference.name),
                format!("write addr[{}=inet_addr(\"...\")] where it occurs first", reference.name),
            )
        })
    }

    /// The address of a new name in a SYN: `first`, or the next after it that nobody has.
    pub(super) fn fresh_address(&self, first: IpAddr) -> IpAddr {
        let taken = |address: IpAddr| {
            self.addresses.values().any(|known| *known == address)
                || self.flows.iter().any(|flow| flow.peer.ip() == address || flow.stack.ip() == address)
        };
        let mut address = first;
        while taken(address) {
            address = match address {
                IpAddr::V4(v4) => IpAddr::V4(u32::from(v4).wrapping_add(1).into()),
                IpAddr::V6(v6) => IpAddr::V6(u128::from(v6).wrapping_add(1).into()),
            };
        }
        address
    }
}

impl Session {
    /// Both keys, mine first.
    ///
    /// # Errors
    /// Where the script has not exchanged them yet.
    pub(super) fn keys(&self) -> Result<(u64, u64), Complaint> {
        self.mine.zip(self.theirs).ok_or_else(|| {
            Complaint::new(
                "the keys of this connection are not known yet",
                "exchange them by mpcapable options first",
            )
        })
    }

    /// The id of an address: known, or one more than the highest; the initial address has 0.
    pub(super) fn id_of(&mut self, address: IpAddr) -> u8 {
        let next = self.ids.values().max().map_or(1, |highest| highest.saturating_add(1));
        *self.ids.entry(address).or_insert(next)
    }
}
