//! The tree in the notation it was read from.

use core::fmt;

use mptcp_model::wire::Ecn;
use sim_core::Duration;

use super::ast::{
    Action, AddressRef, BodySpec, Call, Code, Direction, Endpoints, Event, Expression, Field, IcmpSpec,
    IpSpec, OptionsSpec, PacketSpec, Quoted, Script, SequenceRange, Setting, Shell, TcpSpec, Time,
};
use super::option::{
    CapableSpec, DataNumberSpec, DssSpec, HmacSpec, JoinAckHmac, KeyRef, OptionSpec, TokenSpec, Width,
};
use super::parse::{CAPABLE_FLAGS, ICMP, RESET_FLAGS, flag_letters};

/// Items with something between them.
fn separated<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T], between: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

/// ` name=value`, if there is one.
fn assigned<T: fmt::Display>(f: &mut fmt::Formatter<'_>, name: &str, value: Option<T>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {name}={value}"))
}

fn hex(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}

/// Seconds, without zeros that say nothing.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0.as_nanos() / 1_000_000_000, self.0.as_nanos() % 1_000_000_000);
        write!(f, "{whole}")?;
        if rest == 0 {
            return Ok(());
        }
        write!(f, ".{}", format!("{rest:09}").trim_end_matches('0'))
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for setting in &self.settings {
            writeln!(f, "{setting}")?;
        }
        if let Some(init) = &self.init {
            writeln!(f, "{init}")?;
        }
        self.events.iter().try_for_each(|event| writeln!(f, "{event}"))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tolerance(span) => write!(f, "--tolerance_usecs={}", span.as_micros()),
            Self::LocalIp(address) => write!(f, "--local_ip={address}"),
            Self::RemoteIp(address) => write!(f, "--remote_ip={address}"),
            Self::StrictSegments => f.write_str("--strict_segments"),
            Self::TimestampTick(span) => write!(f, "--tcp_ts_tick_usecs={}", span.as_micros()),
            Self::TimestampEchoScaled => f.write_str("--tcp_ts_ecr_scaled"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.time, self.action)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Absolute(at) => write!(f, "{}", Seconds(at)),
            Self::Relative(at) => write!(f, "+{}", Seconds(at)),
            Self::AbsoluteRange(from, to) => write!(f, "{}~{}", Seconds(from), Seconds(to)),
            Self::RelativeRange(from, to) => write!(f, "+{}~+{}", Seconds(from), Seconds(to)),
            Self::AbsoluteBlocking(from, to) => write!(f, "{}...{}", Seconds(from), Seconds(to)),
            Self::RelativeBlocking(from, to) => write!(f, "+{}...{}", Seconds(from), Seconds(to)),
            Self::Any => f.write_str("*"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet(packet) => packet.fmt(f),
            Self::Call(call) => call.fmt(f),
            Self::Shell(shell) => shell.fmt(f),
            Self::Code(code) => code.fmt(f),
        }
    }
}

impl fmt::Display for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{{{}}}%", self.text)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        separated(f, &self.arguments, ", ")?;
        write!(f, ") = {}", self.result)?;
        if let Some(errno) = &self.errno {
            write!(f, " {errno}")?;
        }
        self.note.as_ref().map_or(Ok(()), |note| write!(f, " ({note})"))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ellipsis => f.write_str("..."),
            Self::Integer { value, hex: true } if *value < 0 => write!(f, "-{:#x}", -value),
            Self::Integer { value, hex: true } => write!(f, "{value:#x}"),
            Self::Integer { value, hex: false } => write!(f, "{value}"),
            Self::Text(text) => {
                f.write_str("\"")?;
                for c in text.chars() {
                    match c {
                        '\n' => f.write_str("\\n")?,
                        '\t' => f.write_str("\\t")?,
                        '\r' => f.write_str("\\r")?,
                        '\0' => f.write_str("\\0")?,
                        '"' | '\\' => write!(f, "\\{c}")?,
                        c => write!(f, "{c}")?,
                    }
                }
                f.write_str("\"")
            }
            Self::Name(name) => f.write_str(name),
            Self::Macro(name, arguments) => {
                write!(f, "{name}(")?;
                separated(f, arguments, ", ")?;
                f.write_str(")")
            }
            Self::Or(parts) => separated(f, parts, "|"),
            Self::Array(items) => {
                f.write_str("[")?;
                separated(f, items, ", ")?;
                f.write_str("]")
            }
            Self::Struct(fields) => {
                f.write_str("{")?;
                separated(f, fields, ", ")?;
                f.write_str("}")
            }
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            f.write_str(name)?;
            if let Some(count) = &self.count {
                write!(f, "({count})")?;
            }
            f.write_str("=")?;
        }
        self.value.fmt(f)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inbound => "<",
            Self::Outbound => ">",
        })
    }
}

impl fmt::Display for PacketSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.direction, self.ip)?;
        if let BodySpec::Icmp(IcmpSpec { quoted: Some(quoted), .. }) = &self.body {
            match quoted {
                Quoted::Tcp(range) => write!(f, " [{range}]")?,
                Quoted::Udp { len } => write!(f, " [udp ({len})]")?,
            }
        }
        if let Some(endpoints) = &self.endpoints {
            write!(f, " {endpoints}")?;
        }
        match &self.body {
            BodySpec::Tcp(tcp) => write!(f, " {tcp}"),
            BodySpec::Udp { len } => write!(f, " udp ({len})"),
            BodySpec::Icmp(icmp) => write!(f, " {icmp}"),
        }
    }
}

impl fmt::Display for IpSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tos) = self.tos {
            write!(f, " [tos {tos:#04x}]")?;
        }
        match self.ecn {
            None => Ok(()),
            Some(Ecn::NotEct) => f.write_str(" [noecn]"),
            Some(Ecn::Ect0) => f.write_str(" [ect0]"),
            Some(Ecn::Ect1) => f.write_str(" [ect1]"),
            Some(Ecn::Ce) => f.write_str(" [ce]"),
        }
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(f, "{source} ")?;
        }
        f.write_str(">")?;
        self.destination.as_ref().map_or(Ok(()), |destination| write!(f, " {destination}"))
    }
}

impl fmt::Display for AddressRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            None => write!(f, "addr[{}]", self.name),
            Some(address) => {
                let function = if address.is_ipv4() { "inet_addr" } else { "inet6_addr" };
                write!(f, "addr[{}={function}(\"{address}\")]", self.name)
            }
        }
    }
}

impl fmt::Display for SequenceRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}({})", self.first, self.first.wrapping_add(self.len), self.len)
    }
}

impl fmt::Display for TcpSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", flag_letters(self.flags), self.range)?;
        if let Some(ack) = self.ack {
            write!(f, " ack {ack}")?;
        }
        if let Some(window) = self.window {
            write!(f, " win {window}")?;
        }
        if let Some(urgent) = self.urgent {
            write!(f, " urg {urgent}")?;
        }
        match &self.options {
            OptionsSpec::Any => f.write_str(" <...>"),
            OptionsSpec::List(list) if list.is_empty() => Ok(()),
            OptionsSpec::List(list) => {
                f.write_str(" <")?;
                separated(f, list, ",")?;
                f.write_str(">")
            }
        }
    }
}

impl fmt::Display for IcmpSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("icmp")?;
        for (kind, code, _) in ICMP.iter().filter(|(.., kind)| *kind == self.kind) {
            write!(f, " {kind}")?;
            if !code.is_empty() {
                write!(f, " {code}")?;
            }
        }
        self.mtu.map_or(Ok(()), |mtu| write!(f, " mtu {mtu}"))
    }
}

/// `flags[flag_b, flag_h]`, or a number where there are none.
fn flags(f: &mut fmt::Formatter<'_>, flags: u8, names: &[(&str, u8)]) -> fmt::Result {
    let set: Vec<_> = names.iter().filter(|(_, bit)| flags & bit != 0).map(|(name, _)| *name).collect();
    if set.is_empty() {
        return write!(f, " flags {flags:#x}");
    }
    f.write_str(" flags[")?;
    separated(f, &set, ", ")?;
    f.write_str("]")
}

impl fmt::Display for OptionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndOfList => f.write_str("eol"),
            Self::Nop => f.write_str("nop"),
            Self::Mss(mss) => write!(f, "mss {mss}"),
            Self::WindowScale(shift) => write!(f, "wscale {shift}"),
            Self::SackOk => f.write_str("sackOK"),
            Self::Sack(blocks) => {
                f.write_str("sack")?;
                blocks.iter().try_for_each(|(left, right)| write!(f, " {left}:{right}"))
            }
            Self::Timestamps { val, ecr } => write!(f, "TS val {val} ecr {ecr}"),
            Self::FastOpen { experimental, cookie } => {
                f.write_str(if *experimental { "FOEXP" } else { "FO" })?;
                if !cookie.is_empty() {
                    f.write_str(" ")?;
                }
                hex(f, cookie)
            }
            Self::Md5(None) => f.write_str("md5"),
            Self::Md5(Some(digest)) => {
                f.write_str("md5 ")?;
                hex(f, digest)
            }
            Self::Capable(capable) => capable.fmt(f),
            Self::JoinSyn { backup, address_id, nonce, token } => {
                write!(f, "mp_join_syn backup={}", u8::from(*backup))?;
                assigned(f, "address_id", *address_id)?;
                assigned(f, "rand", *nonce)?;
                write!(f, " token={token}")
            }
            Self::JoinSynAck { backup, address_id, nonce, hmac } => {
                write!(f, "mp_join_syn_ack backup={}", u8::from(*backup))?;
                assigned(f, "address_id", *address_id)?;
                assigned(f, "rand", *nonce)?;
                write!(f, " sender_hmac={hmac}")
            }
            Self::JoinAck { hmac: JoinAckHmac::Auto } => f.write_str("mp_join_ack sender_hmac=auto"),
            Self::JoinAck { hmac: JoinAckHmac::Value(octets) } => {
                f.write_str("mp_join_ack sender_hmac=")?;
                hex(f, octets)
            }
            Self::Dss(dss) => dss.fmt(f),
            Self::AddAddress { address_id, address, port, hmac } => {
                f.write_str("add_address")?;
                assigned(f, "address_id", *address_id)?;
                write!(f, " {address}")?;
                assigned(f, "port", *port)?;
                match hmac {
                    Some(hmac) => write!(f, " hmac={hmac}"),
                    None => f.write_str(" addr_echo"),
                }
            }
            Self::RemoveAddress(ids) => {
                f.write_str("remove_address address_id=[")?;
                separated(f, ids, ",")?;
                f.write_str("]")
            }
            Self::Prio { backup, address_id } => {
                write!(f, "mp_prio backup={}", u8::from(*backup))?;
                assigned(f, "address_id", *address_id)
            }
            Self::Fail { dsn } => write!(f, "mp_fail dsn8={dsn}"),
            Self::FastClose(None) => f.write_str("mp_fastclose"),
            Self::FastClose(Some(key)) => write!(f, "mp_fastclose {key}"),
            Self::Reset { reason, flags: 0 } => write!(f, "mp_reset {reason}"),
            Self::Reset { reason, flags: set } => {
                write!(f, "mp_reset {reason}")?;
                flags(f, *set, &RESET_FLAGS)
            }
            Self::Other { kind, body } => {
                write!(f, "kind {kind}")?;
                if !body.is_empty() {
                    f.write_str(" ")?;
                }
                hex(f, body)
            }
        }
    }
}

impl fmt::Display for CapableSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mpcapable v{}", self.version)?;
        flags(f, self.flags, &CAPABLE_FLAGS)?;
        if self.keys.is_empty() {
            f.write_str(" nokey")?;
        } else {
            f.write_str(" key[")?;
            separated(f, &self.keys, ", ")?;
            f.write_str("]")?;
        }
        if let Some(len) = self.data_len {
            write!(f, " mpcdatalen {len}")?;
        }
        if self.checksum { f.write_str(" csum") } else { Ok(()) }
    }
}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.value.map_or(Ok(()), |value| write!(f, "={value}"))
    }
}

impl fmt::Display for TokenSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Hash(name) => write!(f, "sha256_32({name})"),
            Self::Value(value) => write!(f, "{value}"),
        }
    }
}

impl fmt::Display for HmacSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Value(value) => write!(f, "{value:#x}"),
        }
    }
}

impl fmt::Display for DssSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dss")?;
        for (name, number) in [("dack", self.data_ack), ("dsn", self.dsn)] {
            let Some(DataNumberSpec { width, value }) = number else { continue };
            write!(f, " {name}{}", if width == Width::Four { 4 } else { 8 })?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        assigned(f, "ssn", self.ssn)?;
        assigned(f, "dll", self.data_len)?;
        if self.no_checksum {
            f.write_str(" nocs")?;
        }
        if self.fin { f.write_str(" fin") } else { Ok(()) }
    }
}
