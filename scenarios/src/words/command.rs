//! Commands to a host: `ip mptcp`, `ip link`, `ip address`, `ip route` and `ip rule`, as far as they change something.

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;

use super::{Cidr, EndpointWords, Route, Rule, Words};
use crate::units::Complaint;

/// Use of an interface by the out-of-tree stack (`ip link set dev X multipath ...`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Multipath {
    /// Used.
    On,
    /// Not used.
    Off,
    /// Used as backup.
    Backup,
}

/// Something done to a host during the run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// `endpoint add ADDRESS [id N] [FLAG ...] [port P] [dev D]`.
    EndpointAdd(EndpointWords),
    /// `endpoint delete id N [ADDRESS]`.
    EndpointDelete {
        /// Id; 0 closes subflows of the initial address.
        id: u8,
        /// Needed with id 0.
        address: Option<IpAddr>,
    },
    /// `endpoint change id N [no]backup [no]fullmesh`.
    EndpointChange {
        /// Id.
        id: u8,
        /// New backup flag, if it changes.
        backup: Option<bool>,
        /// New fullmesh flag, if it changes.
        fullmesh: Option<bool>,
    },
    /// `endpoint flush`.
    EndpointFlush,
    /// `limits set [subflows N] [add_addr_accepted N]`.
    Limits {
        /// New limit of extra subflows.
        subflows: Option<u8>,
        /// New limit of accepted addresses.
        add_addr_accepted: Option<u8>,
    },
    /// `link up DEV`, `link down DEV`.
    Link {
        /// Interface.
        dev: String,
        /// Whether it is used from now on. Its routes vanish when it goes down and, except for those of
        /// its networks, do not come back by themselves.
        up: bool,
    },
    /// `link multipath DEV on|off|backup`.
    LinkMultipath {
        /// Interface.
        dev: String,
        /// New use.
        mode: Multipath,
    },
    /// `address add CIDR dev DEV`, `address delete CIDR dev DEV`.
    Address {
        /// Interface.
        dev: String,
        /// Address.
        address: Cidr,
        /// Whether it is added.
        add: bool,
    },
    /// `route add ROUTE`, `route delete ROUTE`.
    Route {
        /// The route.
        route: Route,
        /// Whether it is added.
        add: bool,
    },
    /// `rule add RULE`, `rule delete RULE`.
    Rule {
        /// The rule.
        rule: Rule,
        /// Whether it is added.
        add: bool,
    },
}

/// Whether a verb adds or deletes.
fn verb(words: &mut Words<'_>, object: &str) -> Result<bool, Complaint> {
    match words.word(object, "\"add\" or \"delete\"")? {
        "add" => Ok(true),
        "delete" | "del" => Ok(false),
        other => Err(words.unknown(other, &["add", "delete"])),
    }
}

fn remaining(words: &mut Words<'_>) -> String {
    words.words.by_ref().collect::<Vec<_>>().join(" ")
}

fn endpoint_command(words: &mut Words<'_>) -> Result<Command, Complaint> {
    match words.word("endpoint", "\"add\", \"delete\", \"change\" or \"flush\"")? {
        "add" => {
            let endpoint = EndpointWords::read(words)?;
            endpoint.check()?;
            Ok(Command::EndpointAdd(endpoint))
        }
        "delete" | "del" => {
            if words.words.peek() == Some(&"id") {
                words.words.next();
            }
            let id = words.parse("id", "an endpoint id from 0 to 255")?;
            let address = match words.words.next() {
                Some(word) => Some(word.parse().map_err(|_| words.unknown(word, &["ADDRESS"]))?),
                None => None,
            };
            if id == 0 && address.is_none() {
                return Err(Complaint::new(
                    "endpoint id 0 needs an address",
                    "write \"endpoint delete id 0 ADDRESS\"",
                ));
            }
            Ok(Command::EndpointDelete { id, address })
        }
        "change" => {
            if words.words.peek() == Some(&"id") {
                words.words.next();
            }
            let id = words.parse("id", "an endpoint id from 1 to 255")?;
            let (mut backup, mut fullmesh) = (None, None);
            for word in words.words.by_ref().collect::<Vec<_>>() {
                match word {
                    "backup" => backup = Some(true),
                    "nobackup" => backup = Some(false),
                    "fullmesh" => fullmesh = Some(true),
                    "nofullmesh" => fullmesh = Some(false),
                    other => {
                        return Err(words.unknown(other, &["backup", "nobackup", "fullmesh", "nofullmesh"]));
                    }
                }
            }
            if backup.is_none() && fullmesh.is_none() {
                return Err(Complaint::new(
                    format!("\"{}\" changes nothing", words.text),
                    "add \"backup\", \"nobackup\", \"fullmesh\" or \"nofullmesh\"",
                ));
            }
            Ok(Command::EndpointChange { id, backup, fullmesh })
        }
        "flush" => Ok(Command::EndpointFlush),
        other => Err(words.unknown(other, &["add", "delete", "change", "flush"])),
    }
}

fn limits_command(words: &mut Words<'_>) -> Result<Command, Complaint> {
    if words.words.peek() == Some(&"set") {
        words.words.next();
    }
    let (mut subflows, mut add_addr_accepted) = (None, None);
    while let Some(word) = words.words.next() {
        let slot = match word {
            "subflows" | "subflow" => &mut subflows,
            "add_addr_accepted" => &mut add_addr_accepted,
            other => return Err(words.unknown(other, &["subflows", "add_addr_accepted"])),
        };
        let limit: u8 = words.parse(word, "a number from 0 to 8")?;
        if limit > 8 {
            return Err(Complaint::new(format!("limit {limit} is above 8"), "write a number from 0 to 8"));
        }
        *slot = Some(limit);
    }
    if subflows.is_none() && add_addr_accepted.is_none() {
        return Err(Complaint::new(
            format!("\"{}\" changes nothing", words.text),
            "add \"subflows N\" or \"add_addr_accepted N\"",
        ));
    }
    Ok(Command::Limits { subflows, add_addr_accepted })
}

fn link_command(words: &mut Words<'_>) -> Result<Command, Complaint> {
    let mut all: Vec<&str> = words.words.by_ref().collect();
    if all.first() == Some(&"set") {
        all.remove(0);
    }
    if all.first() == Some(&"dev") {
        all.remove(0);
    }
    let mode = |word: &str| match word {
        "on" => Some(Multipath::On),
        "off" => Some(Multipath::Off),
        "backup" => Some(Multipath::Backup),
        _ => None,
    };
    let state = |word: &str| match word {
        "up" => Some(true),
        "down" => Some(false),
        _ => None,
    };
    if let [a, b] = all[..] {
        for (dev, word) in [(b, a), (a, b)] {
            if let Some(up) = state(word) {
                return Ok(Command::Link { dev: dev.to_owned(), up });
            }
        }
    }
    if let ["multipath", dev, word] | [dev, "multipath", word] = all[..]
        && let Some(mode) = mode(word)
    {
        return Ok(Command::LinkMultipath { dev: dev.to_owned(), mode });
    }
    Err(Complaint::new(
        format!("\"{}\" is not a link command", words.text),
        "write \"link up DEV\", \"link down DEV\" or \"link multipath DEV on|off|backup\"",
    ))
}

fn address_command(words: &mut Words<'_>) -> Result<Command, Complaint> {
    let add = verb(words, "address")?;
    let address = words.word("address", "an address with its prefix length")?.parse()?;
    match words.word("address", "\"dev INTERFACE\"")? {
        "dev" => {
            let dev = words.word("dev", "an interface")?.to_owned();
            Ok(Command::Address { dev, address, add })
        }
        other => Err(words.unknown(other, &["dev"])),
    }
}

impl FromStr for Command {
    type Err = Complaint;
    fn from_str(text: &str) -> Result<Self, Complaint> {
        let mut words = Words::new(text);
        for word in ["ip", "mptcp"] {
            if words.words.peek() == Some(&word) {
                words.words.next();
            }
        }
        let object = words.word("", "a command such as \"link down c0\"")?;
        let command = match object {
            "endpoint" => endpoint_command(&mut words),
            "limits" | "limit" => limits_command(&mut words),
            "link" => link_command(&mut words),
            "address" | "addr" => address_command(&mut words),
            "route" => {
                let add = verb(&mut words, object)?;
                Ok(Self::Route { route: remaining(&mut words).parse()?, add })
            }
            "rule" => {
                let add = verb(&mut words, object)?;
                Ok(Self::Rule { rule: remaining(&mut words).parse()?, add })
            }
            other => Err(words.unknown(other, &["endpoint", "limits", "link", "address", "route", "rule"])),
        }?;
        match words.words.next() {
            None => Ok(command),
            Some(extra) => Err(Complaint::new(
                format!("unexpected \"{extra}\" at the end of \"{text}\""),
                "one command a line; several commands are several events",
            )),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = |add: &bool| if *add { "add" } else { "delete" };
        match self {
            Self::EndpointAdd(endpoint) => write!(f, "endpoint add {endpoint}"),
            Self::EndpointDelete { id, address } => {
                write!(f, "endpoint delete id {id}")?;
                address.map_or(Ok(()), |address| write!(f, " {address}"))
            }
            Self::EndpointChange { id, backup, fullmesh } => {
                write!(f, "endpoint change id {id}")?;
                for (name, value) in [("backup", backup), ("fullmesh", fullmesh)] {
                    if let Some(value) = value {
                        write!(f, " {}{name}", if *value { "" } else { "no" })?;
                    }
                }
                Ok(())
            }
            Self::EndpointFlush => f.write_str("endpoint flush"),
            Self::Limits { subflows, add_addr_accepted } => {
                f.write_str("limits set")?;
                for (name, value) in [("subflows", subflows), ("add_addr_accepted", add_addr_accepted)] {
                    if let Some(value) = value {
                        write!(f, " {name} {value}")?;
                    }
                }
                Ok(())
            }
            Self::Link { dev, up } => write!(f, "link {} {dev}", if *up { "up" } else { "down" }),
            Self::LinkMultipath { dev, mode } => {
                let mode = match mode {
                    Multipath::On => "on",
                    Multipath::Off => "off",
                    Multipath::Backup => "backup",
                };
                write!(f, "link multipath {dev} {mode}")
            }
            Self::Address { dev, address, add } => write!(f, "address {} {address} dev {dev}", verb(add)),
            Self::Route { route, add } => write!(f, "route {} {route}", verb(add)),
            Self::Rule { rule, add } => write!(f, "rule {} {rule}", verb(add)),
        }
    }
}
