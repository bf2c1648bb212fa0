//! `setsockopt` and `getsockopt` of scripts.

use mptcp_model::socket::{Errno, Linger, OptionValue, PlainOption, Progress, SocketOption};
use sim_core::Duration;

use super::Runner;
use super::calls::check;
use super::words::{constant, length, member, members, number, optional};
use crate::script::ast::{Call, Expression};
use crate::units::Complaint;

/// The options that are simulated: level, name, option.
const OPTIONS: [(&str, &str, SocketOption); 45] = [
    ("SOL_SOCKET", "SO_REUSEADDR", SocketOption::ReuseAddress),
    ("SOL_SOCKET", "SO_ERROR", SocketOption::Error),
    ("SOL_SOCKET", "SO_SNDBUF", SocketOption::SendBuffer),
    ("SOL_SOCKET", "SO_RCVBUF", SocketOption::ReceiveBuffer),
    ("SOL_SOCKET", "SO_KEEPALIVE", SocketOption::Keepalive),
    ("SOL_SOCKET", "SO_LINGER", SocketOption::Linger),
    ("SOL_SOCKET", "SO_SNDTIMEO", SocketOption::SendTimeout),
    ("SOL_SOCKET", "SO_RCVTIMEO", SocketOption::ReceiveTimeout),
    ("SOL_TCP", "TCP_NODELAY", SocketOption::NoDelay),
    ("SOL_TCP", "TCP_CORK", SocketOption::Cork),
    ("SOL_TCP", "TCP_MAXSEG", SocketOption::MaxSegment),
    ("SOL_TCP", "TCP_USER_TIMEOUT", SocketOption::UserTimeout),
    ("SOL_TCP", "TCP_KEEPIDLE", SocketOption::KeepaliveIdle),
    ("SOL_TCP", "TCP_KEEPINTVL", SocketOption::KeepaliveInterval),
    ("SOL_TCP", "TCP_KEEPCNT", SocketOption::KeepaliveCount),
    ("SOL_TCP", "TCP_SYNCNT", SocketOption::SynCount),
    ("SOL_TCP", "TCP_CONGESTION", SocketOption::Congestion),
    ("SOL_TCP", "TCP_FASTOPEN", SocketOption::FastOpen),
    ("SOL_TCP", "TCP_FASTOPEN_CONNECT", SocketOption::FastOpenConnect),
    ("SOL_TCP", "TCP_FASTOPEN_NO_COOKIE", SocketOption::FastOpenNoCookie),
    ("SOL_TCP", "TCP_FASTOPEN_KEY", SocketOption::FastOpenKey),
    ("SOL_SOCKET", "SO_TYPE", SocketOption::Plain(PlainOption::Type)),
    ("SOL_SOCKET", "SO_PROTOCOL", SocketOption::Plain(PlainOption::Protocol)),
    ("SOL_SOCKET", "SO_ACCEPTCONN", SocketOption::Plain(PlainOption::AcceptsConnections)),
    ("SOL_SOCKET", "SO_PRIORITY", SocketOption::Plain(PlainOption::Priority)),
    ("SOL_SOCKET", "SO_MARK", SocketOption::Plain(PlainOption::Mark)),
    ("SOL_SOCKET", "SO_BUSY_POLL", SocketOption::Plain(PlainOption::BusyPoll)),
    ("SOL_SOCKET", "SO_REUSEPORT", SocketOption::Plain(PlainOption::ReusePort)),
    ("SOL_SOCKET", "SO_RCVLOWAT", SocketOption::Plain(PlainOption::ReceiveLowWater)),
    ("SOL_SOCKET", "SO_ZEROCOPY", SocketOption::Plain(PlainOption::ZeroCopy)),
    ("SOL_SOCKET", "SO_OOBINLINE", SocketOption::Plain(PlainOption::UrgentInline)),
    ("SOL_SOCKET", "SO_TIMESTAMPING", SocketOption::Plain(PlainOption::Timestamping)),
    ("SOL_TCP", "TCP_LINGER2", SocketOption::Plain(PlainOption::Linger2)),
    ("SOL_TCP", "TCP_DEFER_ACCEPT", SocketOption::Plain(PlainOption::DeferAccept)),
    ("SOL_TCP", "TCP_WINDOW_CLAMP", SocketOption::Plain(PlainOption::WindowClamp)),
    ("SOL_TCP", "TCP_QUICKACK", SocketOption::Plain(PlainOption::QuickAck)),
    ("SOL_TCP", "TCP_NOTSENT_LOWAT", SocketOption::Plain(PlainOption::NotSentLowWater)),
    ("SOL_TCP", "TCP_INQ", SocketOption::Plain(PlainOption::Inq)),
    ("SOL_IP", "IP_TOS", SocketOption::Plain(PlainOption::Tos)),
    ("SOL_IPV6", "IPV6_TCLASS", SocketOption::Plain(PlainOption::Tos)),
    ("SOL_IP", "IP_TTL", SocketOption::Plain(PlainOption::Ttl)),
    ("SOL_IP", "IP_FREEBIND", SocketOption::Plain(PlainOption::FreeBind)),
    ("SOL_IP", "IP_RECVERR", SocketOption::Plain(PlainOption::ReceiveErrors)),
    ("SOL_IPV6", "IPV6_RECVERR", SocketOption::Plain(PlainOption::ReceiveErrors)),
    ("SOL_IP", "IP_MTU_DISCOVER", SocketOption::Plain(PlainOption::MtuDiscover)),
];

/// Options that MPTCP sockets do not have, as on Linux.
const UNKNOWN_TO_MPTCP: [(&str, &str); 1] = [("SOL_TCP", "TCP_MD5SIG")];

impl Runner<'_> {
    pub(super) fn set_option(&mut self, call: &Call) -> Result<Option<Progress>, Complaint> {
        let fd = self.fd(&call.arguments[0])?;
        let (level, name) = (number(&call.arguments[1])?, number(&call.arguments[2])?);
        let is = |known: &(&str, &str)| is_option(*known, level, name);
        if UNKNOWN_TO_MPTCP.iter().any(is) && self.speaks_mptcp(call) {
            check(call, Err(Errno::OptionUnknown))?;
            return Ok(None);
        }
        let option = find(call, level, name)?;
        let value = value(option, &call.arguments[3])?;
        let statistics = constant("SOF_TIMESTAMPING_OPT_STATS").unwrap_or_default()
            | constant("SOF_TIMESTAMPING_OPT_TSONLY").unwrap_or_default();
        if let (SocketOption::Plain(PlainOption::Timestamping), OptionValue::Number(bits)) = (option, &value)
            && bits & statistics == statistics
        {
            return Err(Complaint::new("SOF_TIMESTAMPING_OPT_STATS is not simulated", "leave it out"));
        }
        let result = self.sockets.set_option(self.now, &mut self.stack.host, fd, option, &value);
        check(call, result.map(|()| 0))?;
        Ok(None)
    }

    fn speaks_mptcp(&self, call: &Call) -> bool {
        let fd = self.fd(&call.arguments[0]);
        fd.is_ok_and(|fd| self.sockets.protocol(fd) == Ok(mptcp_model::socket::Protocol::Mptcp))
    }

    pub(super) fn get_option(&mut self, call: &Call) -> Result<Option<Progress>, Complaint> {
        let fd = self.fd(&call.arguments[0])?;
        let (level, name) = (number(&call.arguments[1])?, number(&call.arguments[2])?);
        let option = find(call, level, name)?;
        let seen = match self.sockets.option(&mut self.stack.host, fd, option) {
            Ok(seen) => seen,
            Err(error) => {
                check(call, Err(error))?;
                return Ok(None);
            }
        };
        check(call, Ok(0))?;
        let expected = &call.arguments[3];
        let differs =
            |seen: String| Complaint::new(format!("the value is {seen}"), format!("expected `{expected}`"));
        match (option, seen) {
            (SocketOption::Error, OptionValue::Text(errno)) => {
                let Some(expected) = optional(expected)? else { return Ok(None) };
                let number = constant(&errno).unwrap_or_default();
                if number != expected {
                    return Err(differs(if errno.is_empty() { "0".to_owned() } else { errno }));
                }
            }
            (_, OptionValue::Number(seen)) => {
                if optional(expected)?.is_some_and(|expected| expected != seen) {
                    return Err(differs(seen.to_string()));
                }
            }
            (_, OptionValue::Text(seen)) => {
                let stated = match expected {
                    Expression::Text(text) => Some(text.trim_end_matches('\0')),
                    _ => None,
                };
                if stated != Some(seen.as_str()) && *expected != Expression::Ellipsis {
                    return Err(differs(seen));
                }
            }
            (_, seen) => {
                if *expected != Expression::Ellipsis && value(option, expected)? != seen {
                    return Err(differs(format!("{seen:?}")));
                }
            }
        }
        Ok(None)
    }
}

fn is_option((level, name): (&str, &str), level_seen: i64, name_seen: i64) -> bool {
    constant(level) == Some(level_seen) && constant(name) == Some(name_seen)
}

fn find(call: &Call, level: i64, name: i64) -> Result<SocketOption, Complaint> {
    let known = OPTIONS.iter().find(|(of, option, _)| is_option((of, option), level, name));
    known.map(|(.., option)| *option).ok_or_else(|| {
        let known: Vec<_> = OPTIONS.iter().map(|(_, name, _)| *name).collect();
        Complaint::new(
            format!("`{}` of `{}` is not simulated", call.arguments[2], call.arguments[1]),
            format!("simulated are {}", known.join(", ")),
        )
    })
}

fn value(option: SocketOption, expression: &Expression) -> Result<OptionValue, Complaint> {
    if option == SocketOption::FastOpenKey {
        return fast_open_key(expression).map(OptionValue::Text);
    }
    if let Expression::Text(text) = expression {
        return Ok(OptionValue::Text(text.trim_end_matches('\0').to_owned()));
    }
    let lacking = |what: &str| Complaint::new(format!("`{expression}` is no {what}"), "name both members");
    match option {
        SocketOption::Linger => {
            let fields = members(expression).unwrap_or_default();
            let both = (member(fields, "onoff").or(member(fields, "l_onoff")))
                .zip(member(fields, "linger").or(member(fields, "l_linger")));
            let (on, time) = both.ok_or_else(|| lacking("linger"))?;
            let time = Duration::from_secs(length(time)?);
            Ok(OptionValue::Linger((number(on)? != 0).then_some(Linger { time })))
        }
        SocketOption::SendTimeout | SocketOption::ReceiveTimeout => {
            let fields = members(expression).unwrap_or_default();
            let both = member(fields, "tv_sec").zip(member(fields, "tv_usec"));
            let (seconds, micros) = both.ok_or_else(|| lacking("timeval"))?;
            let micros = Duration::from_micros(length(micros)?);
            Ok(OptionValue::Time(Duration::from_secs(length(seconds)?) + micros))
        }
        _ => number(expression).map(OptionValue::Number),
    }
}

/// The key of cookies: 16 octets as text, or as numbers of 32 bits each.
fn fast_open_key(expression: &Expression) -> Result<String, Complaint> {
    let octets: Vec<u8> = match expression {
        Expression::Text(text) => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect(),
        Expression::Array(items) => {
            let mut octets = Vec::new();
            for item in items {
                let word = u32::try_from(number(item)?)
                    .map_err(|_| Complaint::new(format!("`{item}` is more than 32 bits"), "write less"))?;
                octets.extend(word.to_le_bytes());
            }
            octets
        }
        other => {
            return Err(Complaint::new(format!("`{other}` is no key"), "write 16 octets of text"));
        }
    };
    Ok(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}
