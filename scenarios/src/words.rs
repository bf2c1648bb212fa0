//! The words of `ip address`, `ip rule`, `ip route`, `ip link` and `ip mptcp`, as far as a simulated host
//! obeys them. Every type prints in the form it was read from.
//!
//! Left out: route types other than unicast, route metrics other than `metric`, selectors of rules other
//! than `from`, `to` and `iif`. A leading `ip` or `ip mptcp` is accepted and dropped in commands.

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;

use crate::units::Complaint;

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
    fn read(words: &mut Words<'_>) -> Result<Self, Complaint> {
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
