//! The arguments of system calls as values.

use std::net::{IpAddr, SocketAddr};

use mptcp_model::socket::PollEvents;

use crate::script::ast::{Expression, Field};
use crate::units::Complaint;

/// Constants of system calls, with their values in Linux.
const CONSTANTS: [(&str, i64); 198] = [
    ("AF_UNSPEC", 0),
    ("AF_INET", 2),
    ("AF_INET6", 10),
    ("PF_INET", 2),
    ("PF_INET6", 10),
    ("SOCK_STREAM", 1),
    ("SOCK_DGRAM", 2),
    ("SOCK_NONBLOCK", 0o4000),
    ("SOCK_CLOEXEC", 0o2_000_000),
    ("IPPROTO_IP", 0),
    ("IPPROTO_TCP", 6),
    ("IPPROTO_IPV6", 41),
    ("IPPROTO_MPTCP", 262),
    ("INADDR_ANY", 0),
    ("SHUT_RD", 0),
    ("SHUT_WR", 1),
    ("SHUT_RDWR", 2),
    ("F_GETFL", 3),
    ("F_SETFL", 4),
    ("O_RDONLY", 0),
    ("O_WRONLY", 1),
    ("O_RDWR", 2),
    ("O_CREAT", 0o100),
    ("O_NONBLOCK", 0o4000),
    ("SIOCINQ", 0x541b),
    ("FIONREAD", 0x541b),
    ("SIOCOUTQ", 0x5411),
    ("TIOCOUTQ", 0x5411),
    ("MSG_OOB", 1),
    ("MSG_PEEK", 2),
    ("MSG_TRUNC", 0x20),
    ("MSG_DONTWAIT", 0x40),
    ("MSG_EOR", 0x80),
    ("MSG_WAITALL", 0x100),
    ("MSG_ERRQUEUE", 0x2000),
    ("MSG_NOSIGNAL", 0x4000),
    ("MSG_MORE", 0x8000),
    ("MSG_ZEROCOPY", 0x0400_0000),
    ("MSG_FASTOPEN", 0x2000_0000),
    ("POLLIN", 0x1),
    ("POLLPRI", 0x2),
    ("POLLOUT", 0x4),
    ("POLLERR", 0x8),
    ("POLLHUP", 0x10),
    ("POLLNVAL", 0x20),
    ("POLLRDNORM", 0x40),
    ("POLLRDBAND", 0x80),
    ("POLLWRNORM", 0x100),
    ("POLLWRBAND", 0x200),
    ("POLLRDHUP", 0x2000),
    ("EPOLLIN", 0x1),
    ("EPOLLPRI", 0x2),
    ("EPOLLOUT", 0x4),
    ("EPOLLERR", 0x8),
    ("EPOLLHUP", 0x10),
    ("EPOLLRDNORM", 0x40),
    ("EPOLLWRNORM", 0x100),
    ("EPOLLRDHUP", 0x2000),
    ("EPOLLONESHOT", 1 << 30),
    ("EPOLLET", 1 << 31),
    ("EPOLL_CTL_ADD", 1),
    ("EPOLL_CTL_DEL", 2),
    ("EPOLL_CTL_MOD", 3),
    ("SOL_SOCKET", 1),
    ("SOL_TCP", 6),
    ("SOL_IP", 0),
    ("SOL_IPV6", 41),
    ("SOL_MPTCP", 284),
    ("SO_REUSEADDR", 2),
    ("SO_ERROR", 4),
    ("SO_SNDBUF", 7),
    ("SO_RCVBUF", 8),
    ("SO_KEEPALIVE", 9),
    ("SO_LINGER", 13),
    ("SO_REUSEPORT", 15),
    ("SO_RCVTIMEO", 20),
    ("SO_SNDTIMEO", 21),
    ("SO_TIMESTAMPING", 37),
    ("SO_MARK", 36),
    ("SO_PROTOCOL", 38),
    ("SO_ZEROCOPY", 60),
    ("SO_MAX_PACING_RATE", 47),
    ("TCP_NODELAY", 1),
    ("TCP_MAXSEG", 2),
    ("TCP_CORK", 3),
    ("TCP_KEEPIDLE", 4),
    ("TCP_KEEPINTVL", 5),
    ("TCP_KEEPCNT", 6),
    ("TCP_SYNCNT", 7),
    ("TCP_LINGER2", 8),
    ("TCP_DEFER_ACCEPT", 9),
    ("TCP_WINDOW_CLAMP", 10),
    ("TCP_INFO", 11),
    ("TCP_QUICKACK", 12),
    ("TCP_CONGESTION", 13),
    ("TCP_MD5SIG", 14),
    ("TCP_USER_TIMEOUT", 18),
    ("TCP_FASTOPEN", 23),
    ("TCP_TIMESTAMP", 24),
    ("TCP_NOTSENT_LOWAT", 25),
    ("TCP_FASTOPEN_CONNECT", 30),
    ("TCP_FASTOPEN_KEY", 33),
    ("TCP_FASTOPEN_NO_COOKIE", 34),
    ("TCP_INQ", 36),
    ("MPTCP_INFO", 1),
    ("MPTCP_TCPINFO", 2),
    ("MPTCP_SUBFLOW_ADDRS", 3),
    ("MPTCP_FULL_INFO", 4),
    ("IP_TOS", 1),
    ("IP_MTU_DISCOVER", 10),
    ("IP_RECVERR", 11),
    ("IP_FREEBIND", 15),
    ("IPV6_TCLASS", 67),
    ("SO_TYPE", 3),
    ("SO_PRIORITY", 12),
    ("SO_RCVLOWAT", 18),
    ("SO_ACCEPTCONN", 30),
    ("SO_DOMAIN", 39),
    ("SO_BUSY_POLL", 46),
    ("IP_TTL", 2),
    ("IP_PMTUDISC_DONT", 0),
    ("IP_PMTUDISC_WANT", 1),
    ("IP_PMTUDISC_DO", 2),
    ("IP_PMTUDISC_PROBE", 3),
    ("TCP_CM_INQ", 36),
    ("IPTOS_LOWDELAY", 0x10),
    ("EPERM", 1),
    ("ENOENT", 2),
    ("EINTR", 4),
    ("EBADF", 9),
    ("EEXIST", 17),
    ("ENOTSOCK", 88),
    ("EMSGSIZE", 90),
    ("EAFNOSUPPORT", 97),
    ("EADDRINUSE", 98),
    ("EADDRNOTAVAIL", 99),
    ("ECONNABORTED", 103),
    ("EISCONN", 106),
    ("EALREADY", 114),
    ("EFAULT", 14),
    ("ENOMEM", 12),
    ("EPIPE", 32),
    ("EAGAIN", 11),
    ("EINVAL", 22),
    ("ECONNRESET", 104),
    ("ENOTCONN", 107),
    ("ETIMEDOUT", 110),
    ("ECONNREFUSED", 111),
    ("EHOSTUNREACH", 113),
    ("EINPROGRESS", 115),
    ("ENETUNREACH", 101),
    ("ENOPROTOOPT", 92),
    ("EOPNOTSUPP", 95),
    ("EPROTONOSUPPORT", 93),
    ("MSG_CTRUNC", 8),
    ("EPOLLEXCLUSIVE", 1 << 28),
    ("SO_OOBINLINE", 10),
    ("SO_TIMESTAMP", 29),
    ("SCM_TIMESTAMPING", 37),
    ("SCM_TSTAMP_SND", 0),
    ("SCM_TSTAMP_SCHED", 1),
    ("SCM_TSTAMP_ACK", 2),
    ("SOF_TIMESTAMPING_TX_HARDWARE", 1),
    ("SOF_TIMESTAMPING_TX_SOFTWARE", 2),
    ("SOF_TIMESTAMPING_RX_HARDWARE", 4),
    ("SOF_TIMESTAMPING_RX_SOFTWARE", 8),
    ("SOF_TIMESTAMPING_SOFTWARE", 16),
    ("SOF_TIMESTAMPING_SYS_HARDWARE", 32),
    ("SOF_TIMESTAMPING_RAW_HARDWARE", 64),
    ("SOF_TIMESTAMPING_OPT_ID", 128),
    ("SOF_TIMESTAMPING_TX_SCHED", 256),
    ("SOF_TIMESTAMPING_TX_ACK", 512),
    ("SOF_TIMESTAMPING_OPT_CMSG", 1024),
    ("SOF_TIMESTAMPING_OPT_TSONLY", 2048),
    ("SOF_TIMESTAMPING_OPT_STATS", 4096),
    ("SOF_TIMESTAMPING_OPT_PKTINFO", 8192),
    ("SOF_TIMESTAMPING_OPT_TX_SWHW", 16384),
    ("SOF_TIMESTAMPING_BIND_PHC", 32768),
    ("SOF_TIMESTAMPING_OPT_ID_TCP", 65536),
    ("SOF_TIMESTAMPING_OPT_RX_FILTER", 131_072),
    ("SO_EE_ORIGIN_NONE", 0),
    ("SO_EE_ORIGIN_LOCAL", 1),
    ("SO_EE_ORIGIN_ICMP", 2),
    ("SO_EE_ORIGIN_ICMP6", 3),
    ("SO_EE_ORIGIN_TXSTATUS", 4),
    ("SO_EE_ORIGIN_TIMESTAMPING", 4),
    ("SO_EE_ORIGIN_ZEROCOPY", 5),
    ("SO_EE_CODE_ZEROCOPY_COPIED", 1),
    ("ENOMSG", 42),
    ("ENOBUFS", 105),
    ("ESPIPE", 29),
    ("SPLICE_F_MOVE", 1),
    ("SPLICE_F_NONBLOCK", 2),
    ("SPLICE_F_MORE", 4),
    ("SPLICE_F_GIFT", 8),
    ("IPV6_RECVERR", 25),
    ("IPV6_MTU_DISCOVER", 23),
    ("NULL", 0),
];

/// The number of a constant.
pub fn constant(name: &str) -> Option<i64> {
    CONSTANTS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// The value of an expression; `None` for `...`.
pub fn optional(expression: &Expression) -> Result<Option<i64>, Complaint> {
    Ok(Some(match expression {
        Expression::Ellipsis => return Ok(None),
        Expression::Integer { value, .. } => i64::try_from(*value)
            .map_err(|_| Complaint::new(format!("{value} is too large"), "use 63 bits"))?,
        Expression::Name(name) => constant(name).ok_or_else(|| {
            Complaint::new(format!("unknown constant `{name}`"), "use the name or the number of another")
        })?,
        Expression::Or(parts) => {
            let mut bits = 0;
            for part in parts {
                bits |= number(part)?;
            }
            bits
        }
        Expression::Macro(name, arguments) if matches!(name.as_str(), "htons" | "htonl" | "ntohs") => {
            let [argument] = &arguments[..] else { return Err(not_a_number(expression)) };
            return optional(argument);
        }
        Expression::Array(items) => {
            let [item] = &items[..] else { return Err(not_a_number(expression)) };
            return optional(item);
        }
        _ => return Err(not_a_number(expression)),
    }))
}

/// The value of an expression that must be a number.
pub fn number(expression: &Expression) -> Result<i64, Complaint> {
    optional(expression)?.ok_or_else(|| not_a_number(expression))
}

/// A number of octets.
pub fn length(expression: &Expression) -> Result<u64, Complaint> {
    u64::try_from(number(expression)?).map_err(|_| not_a_number(expression))
}

fn not_a_number(expression: &Expression) -> Complaint {
    Complaint::new(format!("`{expression}` where a number should be"), "write a number or a constant")
}

/// The members of a structure, if it is one.
pub fn members(expression: &Expression) -> Option<&[Field]> {
    match expression {
        Expression::Struct(fields) => Some(fields),
        Expression::Array(items) => match &items[..] {
            [Expression::Struct(fields)] => Some(fields),
            _ => None,
        },
        _ => None,
    }
}

/// A member by name.
pub fn member<'a>(fields: &'a [Field], name: &str) -> Option<&'a Expression> {
    fields.iter().find(|field| field.name.as_deref() == Some(name)).map(|field| &field.value)
}

/// Poll events by name or number.
pub fn events(expression: &Expression) -> Result<Option<PollEvents>, Complaint> {
    Ok(optional(expression)?.map(|bits| PollEvents(bits as u32)))
}

/// Octets of a vector of buffers: `[{..., 100}, {..., 200}]`.
pub fn vector_length(expression: &Expression) -> Result<u64, Complaint> {
    super::message::buffers(expression).map(|buffers| buffers.iter().sum())
}

/// A socket address; `None` for `...`, and `Some(None)` for `AF_UNSPEC`.
pub fn address(expression: &Expression) -> Result<Option<Option<SocketAddr>>, Complaint> {
    let Some(fields) = members(expression) else {
        optional(expression)?;
        return Ok(None);
    };
    let family = member(fields, "sa_family").or_else(|| member(fields, "sin6_family"));
    if family.map(optional).transpose()?.flatten() == constant("AF_UNSPEC") {
        return Ok(Some(None));
    }
    let port = member(fields, "sin_port").or_else(|| member(fields, "sin6_port"));
    let port = port.map(number).transpose()?.and_then(|port| u16::try_from(port).ok());
    let ip = member(fields, "sin_addr").or_else(|| member(fields, "sin6_addr"));
    let ip: Option<IpAddr> = match ip {
        Some(Expression::Macro(name, arguments)) if matches!(name.as_str(), "inet_addr" | "inet6_addr") => {
            match &arguments[..] {
                [Expression::Text(text)] => text.parse().ok(),
                _ => None,
            }
        }
        Some(Expression::Name(name)) if name == "INADDR_ANY" => Some(IpAddr::from([0, 0, 0, 0])),
        Some(Expression::Macro(name, _)) if name == "htonl" => Some(IpAddr::from([0, 0, 0, 0])),
        _ => None,
    };
    match ip.zip(port) {
        Some((ip, port)) => Ok(Some(Some(SocketAddr::new(ip, port)))),
        None => Err(Complaint::new(
            format!("`{expression}` is not an address"),
            "write {sa_family=AF_INET, sin_port=htons(N), sin_addr=inet_addr(\"A\")} or `...`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_have_one_value_each() {
        for (index, (name, _)) in CONSTANTS.iter().enumerate() {
            assert!(CONSTANTS[..index].iter().all(|(other, _)| other != name), "{name}");
        }
    }
}
