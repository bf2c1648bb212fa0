//! Packets.

use std::net::IpAddr;

use mptcp_model::wire::{Ecn, TcpFlags};

use super::cursor::{Cursor, Result};
use super::options;
use crate::script::ast::{
    AddressRef, BodySpec, Direction, Endpoints, IcmpKind, IcmpSpec, IpSpec, OptionsSpec, PacketSpec, Quoted,
    SequenceRange, TcpSpec,
};

pub(super) fn packet(cursor: &mut Cursor<'_>) -> Result<PacketSpec> {
    let direction = if cursor.eat("<") {
        Direction::Inbound
    } else if cursor.eat(">") {
        Direction::Outbound
    } else {
        return Err(cursor.found("a packet begins with `<` or `>`"));
    };
    let mut ip = IpSpec::default();
    let mut quoted = None;
    while cursor.eat("[") {
        if cursor.eat_word("udp") {
            quoted = Some(Quoted::Udp { len: parenthesised(cursor)? });
            cursor.expect("]", "the quoted packet ends")?;
        } else if cursor.peek().is_some_and(|c| c.is_ascii_digit()) {
            quoted = Some(Quoted::Tcp(range(cursor)?));
            cursor.expect("]", "the quoted segment ends")?;
        } else {
            ip_info(cursor, &mut ip)?;
        }
    }
    let endpoints = endpoints(cursor)?;
    cursor.skip();
    let start = cursor.offset();
    let body = if cursor.eat_word("icmp") {
        BodySpec::Icmp(icmp(cursor, quoted)?)
    } else if quoted.is_some() {
        return Err(cursor.found("only an ICMP error quotes a packet: write `icmp`"));
    } else if cursor.eat_word("udp") {
        BodySpec::Udp { len: parenthesised(cursor)? }
    } else {
        BodySpec::Tcp(tcp(cursor)?)
    };
    if let BodySpec::Tcp(TcpSpec { window: None, .. }) = body
        && direction == Direction::Inbound
    {
        return Err(cursor.error_at(start, "an inbound segment without a window", "add `win N`"));
    }
    Ok(PacketSpec { direction, ip, endpoints, body })
}

fn parenthesised(cursor: &mut Cursor<'_>) -> Result<u16> {
    cursor.expect("(", "the length stands in parentheses")?;
    let len = cursor.number_u16("octets of data")?;
    cursor.expect(")", "the length ends")?;
    Ok(len)
}

/// After `[`.
fn ip_info(cursor: &mut Cursor<'_>, ip: &mut IpSpec) -> Result<()> {
    loop {
        cursor.skip();
        let start = cursor.offset();
        match cursor.word() {
            Some("ect0") => ip.ecn = Some(Ecn::Ect0),
            Some("ect1") => ip.ecn = Some(Ecn::Ect1),
            Some("ce") => ip.ecn = Some(Ecn::Ce),
            Some("noecn") => ip.ecn = Some(Ecn::NotEct),
            Some("tos") => ip.tos = Some(cursor.number_u8("the type of service")?),
            Some(other) => {
                let known = ["ect0", "ect1", "ce", "noecn", "tos"];
                return Err(cursor.unknown(start, "word for an IP header", other, &known));
            }
            None => return Err(cursor.found("write `ect0`, `ect1`, `ce`, `noecn` or `tos N`")),
        }
        if cursor.eat("]") {
            return Ok(());
        }
        cursor.expect(",", "words for an IP header end with `]`")?;
    }
}

fn endpoints(cursor: &mut Cursor<'_>) -> Result<Option<Endpoints>> {
    let source = optional_address(cursor)?;
    let start = cursor.offset();
    let destination = if cursor.eat(">") { optional_address(cursor)? } else { None };
    if cursor.offset() != start && source.is_none() && destination.is_none() {
        return Err(cursor.found("name an address on one side: `addr[caddr0] > addr[saddr0]`"));
    }
    Ok((source.is_some() || destination.is_some()).then_some(Endpoints { source, destination }))
}

fn optional_address(cursor: &mut Cursor<'_>) -> Result<Option<AddressRef>> {
    if cursor.peek_word() == Some("addr") { address(cursor).map(Some) } else { Ok(None) }
}

/// `addr[name]`, `addr[name=inet_addr("10.0.0.1")]`.
pub(super) fn address(cursor: &mut Cursor<'_>) -> Result<AddressRef> {
    if !cursor.eat_word("addr") {
        return Err(cursor.found("write an address: `addr[name]`"));
    }
    cursor.expect("[", "the name of the address stands in brackets")?;
    let Some(name) = cursor.word() else { return Err(cursor.found("write the name of an address")) };
    let mut value = None;
    if cursor.eat("=") {
        cursor.skip();
        let start = cursor.offset();
        let function = cursor.word().unwrap_or_default();
        cursor.expect("(", "the address stands in parentheses and quotes")?;
        cursor.expect("\"", "the address stands in quotes")?;
        let len = cursor.rest().find('"').unwrap_or_default();
        let text = &cursor.rest()[..len];
        let parsed: Option<IpAddr> = match function {
            "inet_addr" => text.parse().ok().map(IpAddr::V4),
            "inet6_addr" => text.parse().ok().map(IpAddr::V6),
            other => return Err(cursor.unknown(start, "function", other, &["inet_addr", "inet6_addr"])),
        };
        if parsed.is_none() {
            return Err(cursor.found("`inet_addr` takes an IPv4 address, `inet6_addr` an IPv6 address"));
        }
        value = parsed;
        cursor.advance(len + 1);
        cursor.expect(")", "the address ends")?;
    }
    cursor.expect("]", "the address ends")?;
    Ok(AddressRef { name: name.to_owned(), value })
}

/// `first:last(len)`
fn range(cursor: &mut Cursor<'_>) -> Result<SequenceRange> {
    cursor.skip();
    let start = cursor.offset();
    let first = cursor.number_u32("the first sequence number")?;
    cursor.expect(":", "sequence numbers are `first:last(length)`")?;
    let last = cursor.number_u32("the sequence number after the data")?;
    cursor.expect("(", "the length stands in parentheses")?;
    let len = cursor.number_u32("octets of data")?;
    cursor.expect(")", "the length ends")?;
    // An IP packet has room for less than 64 KiB; super-segments of a stack may be as long.
    if len > u32::from(u16::MAX) {
        return Err(cursor.error_at(
            start,
            format!("{len} octets in one packet"),
            "a packet carries at most 65535",
        ));
    }
    if first.wrapping_add(len) != last {
        return Err(cursor.error_at(
            start,
            format!("`{first}:{last}({len})` does not add up"),
            format!("write `{first}:{}({len})`", first.wrapping_add(len)),
        ));
    }
    Ok(SequenceRange { first, len })
}

const FLAGS: [(char, TcpFlags); 9] = [
    ('S', TcpFlags::SYN),
    ('F', TcpFlags::FIN),
    ('P', TcpFlags::PSH),
    ('R', TcpFlags::RST),
    ('U', TcpFlags::URG),
    ('E', TcpFlags::ECE),
    ('W', TcpFlags::CWR),
    ('A', TcpFlags::AE),
    ('.', TcpFlags::ACK),
];

/// The letters of `flags` as scripts write them; `-` if there are none.
pub(in crate::script) fn flag_letters(flags: TcpFlags) -> String {
    let letters: String =
        FLAGS.iter().filter(|(_, flag)| flags.contains(*flag)).map(|(letter, _)| letter).collect();
    if letters.is_empty() { "-".to_owned() } else { letters }
}

fn flags(cursor: &mut Cursor<'_>) -> Result<TcpFlags> {
    let help = "write a segment by its flags (`S F P R . U E W A`, `-` for none), `udp` or `icmp`";
    cursor.skip();
    let rest = cursor.rest();
    let run = &rest[..rest.find(char::is_whitespace).unwrap_or(rest.len())];
    let mut flags = TcpFlags::default();
    if run == "-" {
        cursor.advance(1);
        return Ok(flags);
    }
    let start = cursor.offset();
    for (at, letter) in run.char_indices() {
        let Some((_, flag)) = FLAGS.iter().find(|(known, _)| *known == letter) else {
            return Err(if at == 0 {
                cursor.found(help)
            } else {
                cursor.error_at(start + at, format!("unknown flag `{letter}`"), help)
            });
        };
        if flags.contains(*flag) {
            return Err(cursor.error_at(
                start + at,
                format!("flag `{letter}` twice"),
                "write each flag once",
            ));
        }
        flags = flags.with(*flag);
    }
    if run.is_empty() {
        return Err(cursor.found(help));
    }
    cursor.advance(run.len());
    Ok(flags)
}

fn tcp(cursor: &mut Cursor<'_>) -> Result<TcpSpec> {
    let flags = flags(cursor)?;
    let range = range(cursor)?;
    let ack = if cursor.eat_word("ack") {
        Some(cursor.number_u32("an acknowledgment number")?)
    } else if flags.ack() {
        return Err(cursor.found("a segment with flag `.` acknowledges: add `ack N`"));
    } else {
        None
    };
    let window = if cursor.eat_word("win") { Some(cursor.number_u16("a window")?) } else { None };
    let urgent = if cursor.eat_word("urg") { Some(cursor.number_u16("an urgent pointer")?) } else { None };
    let options = if cursor.eat("<") { options::options(cursor)? } else { OptionsSpec::List(Vec::new()) };
    Ok(TcpSpec { flags, range, ack, window, urgent, options })
}

/// What follows `icmp`.
pub(in crate::script) const ICMP: [(&str, &str, IcmpKind); 8] = [
    ("unreachable", "net_unreachable", IcmpKind::NetUnreachable),
    ("unreachable", "host_unreachable", IcmpKind::HostUnreachable),
    ("unreachable", "protocol_unreachable", IcmpKind::ProtocolUnreachable),
    ("unreachable", "port_unreachable", IcmpKind::PortUnreachable),
    ("unreachable", "frag_needed", IcmpKind::FragmentationNeeded),
    ("unreachable", "source_route_failed", IcmpKind::SourceRouteFailed),
    ("unreachable", "admin_prohibited", IcmpKind::Prohibited),
    ("time_exceeded", "", IcmpKind::TimeExceeded),
];

fn icmp(cursor: &mut Cursor<'_>, quoted: Option<Quoted>) -> Result<IcmpSpec> {
    cursor.skip();
    let start = cursor.offset();
    let kind = match cursor.word() {
        Some("time_exceeded") => IcmpKind::TimeExceeded,
        Some("unreachable") => {
            cursor.skip();
            let start = cursor.offset();
            let word = cursor.word().unwrap_or_default();
            let word = cursor.definitions.get(word).map_or(word, |value| value.trim());
            match ICMP.iter().find(|(_, code, _)| *code == word && !word.is_empty()) {
                Some((.., kind)) => *kind,
                None => {
                    let known: Vec<_> =
                        ICMP.iter().map(|(_, code, _)| *code).filter(|code| !code.is_empty()).collect();
                    return Err(cursor.unknown(start, "code of an ICMP error", word, &known));
                }
            }
        }
        other => {
            let other = other.unwrap_or_default();
            return Err(cursor.unknown(start, "ICMP message", other, &["unreachable", "time_exceeded"]));
        }
    };
    let mtu = if cursor.eat_word("mtu") { Some(cursor.number_u32("octets")?) } else { None };
    Ok(IcmpSpec { quoted, kind, mtu })
}
