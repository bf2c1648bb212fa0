//! The words of `ip mptcp endpoint add`.

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;

use super::Words;
use crate::units::Complaint;

/// The words after `ip mptcp endpoint add`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointWords {
    /// Address.
    pub address: IpAddr,
    /// Id, 1 to 255; the host chooses when not given.
    pub id: Option<u8>,
    /// Port, only with `signal`.
    pub port: Option<u16>,
    /// Interface the endpoint is bound to.
    pub dev: Option<String>,
    /// Flags, in the order in which `ip mptcp` prints them.
    pub flags: Vec<Flag>,
}

/// Flags of an MPTCP endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// Announce the address (ADD_ADDR).
    Signal,
    /// Open a subflow from it.
    Subflow,
    /// As backup.
    Backup,
    /// To every known address of the peer.
    Fullmesh,
}

/// Names of the endpoint flags.
pub(crate) const FLAGS: [(&str, Flag); 4] = [
    ("signal", Flag::Signal),
    ("subflow", Flag::Subflow),
    ("backup", Flag::Backup),
    ("fullmesh", Flag::Fullmesh),
];

impl Flag {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Subflow => "subflow",
            Self::Backup => "backup",
            Self::Fullmesh => "fullmesh",
        }
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        FLAGS.iter().find(|(name, _)| *name == word).map(|(_, flag)| *flag)
    }
}

impl EndpointWords {
    pub(super) fn read(words: &mut Words<'_>) -> Result<Self, Complaint> {
        let address = words.parse("add", "an IP address")?;
        let mut endpoint = Self { address, id: None, port: None, dev: None, flags: Vec::new() };
        while let Some(word) = words.words.next() {
            match word {
                "id" => endpoint.id = Some(words.parse(word, "an id from 1 to 255")?),
                "port" => endpoint.port = Some(words.parse(word, "a port")?),
                "dev" => endpoint.dev = Some(words.word(word, "an interface")?.to_owned()),
                other => match Flag::of(other) {
                    Some(flag) => endpoint.flags.push(flag),
                    None => {
                        let known = ["id", "port", "dev", "signal", "subflow", "backup", "fullmesh"];
                        return Err(words.unknown(other, &known));
                    }
                },
            }
        }
        endpoint.flags.sort_unstable();
        endpoint.flags.dedup();
        Ok(endpoint)
    }

    /// What the kernel would refuse about the flags, port and id.
    pub(crate) fn check(&self) -> Result<(), Complaint> {
        let has = |flag| self.flags.contains(&flag);
        if self.id == Some(0) {
            return Err(Complaint::new("endpoint id 0 is the initial subflow's", "use an id from 1 to 255"));
        }
        if has(Flag::Signal) && has(Flag::Fullmesh) {
            return Err(Complaint::new(
                "flags signal and fullmesh exclude each other",
                "use \"signal\" on the announcing host and \"fullmesh\" on the one that opens subflows",
            ));
        }
        if self.port.is_some() && !has(Flag::Signal) {
            return Err(Complaint::new("a port needs the flag signal", "add \"signal\" or remove the port"));
        }
        if self.port == Some(0) {
            return Err(Complaint::new("port 0 is not a port", "use a port from 1 to 65535"));
        }
        Ok(())
    }
}

impl FromStr for EndpointWords {
    type Err = Complaint;
    fn from_str(text: &str) -> Result<Self, Complaint> {
        Self::read(&mut Words::new(text))
    }
}

impl fmt::Display for EndpointWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(id) = self.id {
            write!(f, " id {id}")?;
        }
        for flag in &self.flags {
            write!(f, " {}", flag.name())?;
        }
        if let Some(port) = self.port {
            write!(f, " port {port}")?;
        }
        if let Some(dev) = &self.dev {
            write!(f, " dev {dev}")?;
        }
        Ok(())
    }
}
