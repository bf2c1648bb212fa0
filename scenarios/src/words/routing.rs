//! The words of `ip rule` and `ip route`.

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;

use super::{Cidr, Words, full_prefix};
use crate::units::Complaint;

/// Number of the table `main`.
pub const TABLE_MAIN: u32 = 254;

fn table(word: &str) -> Result<u32, Complaint> {
    match word {
        "local" => Ok(255),
        "main" => Ok(TABLE_MAIN),
        "default" => Ok(253),
        number => number.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
            Complaint::new(
                format!("\"{word}\" is not a routing table"),
                "write a number from 1, or main, local, default",
            )
        }),
    }
}

fn print_table(number: u32) -> String {
    match number {
        255 => "local".to_owned(),
        TABLE_MAIN => "main".to_owned(),
        253 => "default".to_owned(),
        number => number.to_string(),
    }
}

/// A policy rule: `priority 32765 from 10.0.1.2 lookup 1`. The three rules every host has (local at 0,
/// main at 32766, default at 32767) need not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Order of evaluation, lowest first. Rules without one get the next number below the lowest used so
    /// far, starting at 32765, as in Linux.
    pub priority: Option<u32>,
    /// Source prefix; `None` for all.
    pub from: Option<Cidr>,
    /// Destination prefix; `None` for all.
    pub to: Option<Cidr>,
    /// Interface the packet came in by.
    pub iif: Option<String>,
    /// Table to look up.
    pub table: u32,
}

/// A prefix written with or without length; `all`, `any` and `default` are `None`.
fn prefix(word: &str) -> Result<Option<Cidr>, Complaint> {
    if matches!(word, "all" | "any" | "default") {
        return Ok(None);
    }
    match word.parse::<IpAddr>() {
        Ok(address) => Ok(Some(Cidr { address, prefix: full_prefix(&address) })),
        Err(_) => word.parse().map(Some),
    }
}

fn print_prefix(prefix: &Cidr) -> String {
    if prefix.prefix == full_prefix(&prefix.address) {
        prefix.address.to_string()
    } else {
        prefix.to_string()
    }
}

impl FromStr for Rule {
    type Err = Complaint;
    fn from_str(text: &str) -> Result<Self, Complaint> {
        let mut words = Words::new(text);
        let mut rule = Self { priority: None, from: None, to: None, iif: None, table: 0 };
        let known = ["priority", "from", "to", "iif", "lookup", "table"];
        while let Some(word) = words.words.next() {
            match word {
                "from" => rule.from = prefix(words.word(word, "a source address or \"all\"")?)?,
                "to" => rule.to = prefix(words.word(word, "a destination address or \"all\"")?)?,
                "iif" => rule.iif = Some(words.word(word, "an interface")?.to_owned()),
                "lookup" | "table" => rule.table = table(words.word(word, "a table number")?)?,
                "priority" | "pref" => rule.priority = Some(words.parse(word, "a priority")?),
                other => match other.strip_suffix(':').and_then(|number| number.parse().ok()) {
                    Some(priority) => rule.priority = Some(priority),
                    None => return Err(words.unknown(other, &known)),
                },
            }
        }
        if rule.table == 0 {
            return Err(Complaint::new(
                format!("\"{text}\" names no table"),
                "add \"lookup N\", as in \"from 10.0.1.2 lookup 1\"",
            ));
        }
        Ok(rule)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(priority) = self.priority {
            write!(f, "priority {priority} ")?;
        }
        write!(f, "from {}", self.from.as_ref().map_or_else(|| "all".to_owned(), print_prefix))?;
        if let Some(to) = &self.to {
            write!(f, " to {}", print_prefix(to))?;
        }
        if let Some(iif) = &self.iif {
            write!(f, " iif {iif}")?;
        }
        write!(f, " lookup {}", print_table(self.table))
    }
}

/// A route: `default via 10.0.1.1 dev c0 table 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination prefix; `None` is the default route.
    pub destination: Option<Cidr>,
    /// Next hop; `None` for destinations on the link.
    pub via: Option<IpAddr>,
    /// Interface; found from the next hop when not given.
    pub dev: Option<String>,
    /// Preferred source address.
    pub src: Option<IpAddr>,
    /// Metric, lower first.
    pub metric: u32,
    /// Table.
    pub table: u32,
}

impl FromStr for Route {
    type Err = Complaint;
    fn from_str(text: &str) -> Result<Self, Complaint> {
        let mut words = Words::new(text);
        let destination = prefix(words.word("", "a destination such as \"default\" or \"10.0.9.0/24\"")?)?;
        let mut route = Self { destination, via: None, dev: None, src: None, metric: 0, table: TABLE_MAIN };
        let known = ["via", "dev", "table", "src", "metric", "scope", "proto"];
        while let Some(word) = words.words.next() {
            match word {
                "via" => route.via = Some(words.parse(word, "the address of a next hop")?),
                "dev" => route.dev = Some(words.word(word, "an interface")?.to_owned()),
                "table" => route.table = table(words.word(word, "a table number")?)?,
                "src" => route.src = Some(words.parse(word, "an address of this host")?),
                "metric" => route.metric = words.parse(word, "a number")?,
                "scope" | "proto" => {
                    words.word(word, "a word")?;
                }
                other => return Err(words.unknown(other, &known)),
            }
        }
        if route.via.is_none() && route.dev.is_none() {
            return Err(Complaint::new(
                format!("\"{text}\" leads nowhere"),
                "add \"via ADDRESS\" or \"dev INTERFACE\"",
            ));
        }
        Ok(route)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.destination {
            None => f.write_str("default")?,
            Some(destination) => write!(f, "{destination}")?,
        }
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(dev) = &self.dev {
            write!(f, " dev {dev}")?;
        }
        if let Some(src) = self.src {
            write!(f, " src {src}")?;
        }
        if self.metric != 0 {
            write!(f, " metric {}", self.metric)?;
        }
        if self.table != TABLE_MAIN {
            write!(f, " table {}", print_table(self.table))?;
        }
        Ok(())
    }
}
