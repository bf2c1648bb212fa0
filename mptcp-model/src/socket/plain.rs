//! Socket options that are a number with a default, a range and, for some, an effect on packets or calls. The
//! table holds what Linux 6.18 answers, for TCP and for MPTCP sockets.
//!
//! Left out: options whose effect is not modelled.

use sim_core::{Duration, Instant};

use super::{Errno, Protocol, Socket, SocketOption, State};
use crate::host::Host;
use crate::mptcp::Mode;

/// An option that is a number, by its name in Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlainOption {
    /// `SO_TYPE`
    Type,
    /// `SO_PROTOCOL`
    Protocol,
    /// `SO_ACCEPTCONN`
    AcceptsConnections,
    /// `SO_PRIORITY`
    Priority,
    /// `SO_MARK`
    Mark,
    /// `SO_BUSY_POLL` in microseconds.
    BusyPoll,
    /// `SO_REUSEPORT`
    ReusePort,
    /// `SO_RCVLOWAT`: octets that a read waits for.
    ReceiveLowWater,
    /// `SO_ZEROCOPY`
    ZeroCopy,
    /// `SO_TIMESTAMPING`: bits of `SOF_TIMESTAMPING_...`.
    Timestamping,
    /// `SO_OOBINLINE`: urgent data is data.
    UrgentInline,
    /// `TCP_LINGER2`: seconds in FIN_WAIT_2 after the application closed.
    Linger2,
    /// `TCP_DEFER_ACCEPT`: seconds that a listener waits for data after the third ACK.
    DeferAccept,
    /// `TCP_WINDOW_CLAMP` in bytes.
    WindowClamp,
    /// `TCP_QUICKACK`
    QuickAck,
    /// `TCP_NOTSENT_LOWAT`: octets not yet sent above which nothing more is taken.
    NotSentLowWater,
    /// `TCP_INQ`
    Inq,
    /// `IP_TOS`
    Tos,
    /// `IP_TTL`
    Ttl,
    /// `IP_FREEBIND`
    FreeBind,
    /// `IP_RECVERR`: errors of ICMP are told to the application of an open connection; there is no queue of them.
    ReceiveErrors,
    /// `IP_MTU_DISCOVER`
    MtuDiscover,
}

/// Who has an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Users {
    All,
    /// MPTCP refuses to set it, and has the default.
    ReadOnlyForMptcp,
    /// MPTCP knows it neither way: the error of setting it.
    TcpOnly(Errno),
}

struct Rule {
    initial: i64,
    /// The value kept for a number given.
    take: fn(i64) -> Result<i64, Errno>,
    users: Users,
}

const fn any(value: i64) -> Result<i64, Errno> {
    Ok(value)
}

const fn switch(value: i64) -> Result<i64, Errno> {
    Ok((value != 0) as i64)
}

const fn bit(value: i64) -> Result<i64, Errno> {
    if value == 0 || value == 1 { Ok(value) } else { Err(Errno::Invalid) }
}

const fn refused(_: i64) -> Result<i64, Errno> {
    Err(Errno::OptionUnknown)
}

/// `SOCK_MIN_RCVBUF / 2`
const LEAST_CLAMP: i64 = 1152;

/// How often a SYN/ACK is repeated within so many seconds, and the seconds that this takes (`secs_to_retrans`).
fn deferral(seconds: i64) -> (u8, i64) {
    let (mut repeated, mut timeout, mut period) = (0_u8, 1, 0);
    while repeated < u8::MAX && period < seconds {
        repeated += 1;
        period += timeout;
        timeout = (timeout * 2).min(120);
    }
    (repeated, period)
}

impl PlainOption {
    const fn rule(self) -> Rule {
        const fn rule(initial: i64, take: fn(i64) -> Result<i64, Errno>, users: Users) -> Rule {
            Rule { initial, take, users }
        }
        /// `TCP_FIN_TIMEOUT_MAX` in seconds.
        const LONGEST: i64 = 120;
        match self {
            Self::Type => rule(1, refused, Users::ReadOnlyForMptcp),
            Self::Protocol | Self::AcceptsConnections => rule(0, refused, Users::ReadOnlyForMptcp),
            Self::Priority | Self::Mark => rule(0, any, Users::All),
            Self::NotSentLowWater => rule(0, any, Users::All),
            Self::BusyPoll => {
                rule(0, |value| if value < 0 { Err(Errno::Invalid) } else { Ok(value) }, Users::All)
            }
            Self::UrgentInline => rule(0, switch, Users::ReadOnlyForMptcp),
            Self::ReusePort | Self::FreeBind => rule(0, switch, Users::All),
            Self::ReceiveLowWater => {
                rule(1, |value| Ok(if value < 0 { i32::MAX as i64 } else { value.max(1) }), Users::All)
            }
            Self::ZeroCopy => rule(0, bit, Users::ReadOnlyForMptcp),
            Self::Inq => rule(0, bit, Users::All),
            Self::Timestamping => rule(0, any, Users::All),
            Self::Linger2 => rule(
                60,
                |value| {
                    Ok(if value < 0 {
                        -1
                    } else if value == 0 {
                        60
                    } else {
                        value.min(LONGEST)
                    })
                },
                Users::TcpOnly(Errno::OptionUnknown),
            ),
            Self::DeferAccept => rule(0, |value| Ok(deferral(value).1), Users::All),
            Self::WindowClamp => rule(
                0,
                |value| Ok(if value == 0 { 0 } else { value.max(LEAST_CLAMP) }),
                Users::TcpOnly(Errno::OptionUnknown),
            ),
            Self::QuickAck => rule(1, switch, Users::TcpOnly(Errno::OptionUnknown)),
            // The field of ECN is the stack's.
            Self::Tos => rule(0, |value| Ok(value & 0xfc), Users::All),
            Self::Ttl => rule(
                64,
                |value| match value {
                    -1 => Ok(64),
                    1..=255 => Ok(value),
                    _ => Err(Errno::Invalid),
                },
                Users::TcpOnly(Errno::NotSupported),
            ),
            Self::ReceiveErrors => rule(0, switch, Users::TcpOnly(Errno::NotSupported)),
            Self::MtuDiscover => rule(
                1,
                |value| if (0..=5).contains(&value) { Ok(value) } else { Err(Errno::Invalid) },
                Users::TcpOnly(Errno::NotSupported),
            ),
        }
    }
}

impl Socket {
    /// Sets an option of the table.
    pub(super) fn set_plain(
        &mut self,
        now: Instant,
        host: &mut Host,
        option: PlainOption,
        value: i64,
    ) -> Result<(), Errno> {
        let rule = option.rule();
        if self.options.mptcp.is_some() {
            match rule.users {
                Users::All => {}
                Users::ReadOnlyForMptcp => return Err(Errno::NotSupported),
                Users::TcpOnly(_) if self.fell_back(host) => {}
                Users::TcpOnly(error) => return Err(error),
            }
        }
        let mut value = (rule.take)(value)?;
        if option == PlainOption::ReceiveLowWater {
            // More than half of the largest buffer could never be met (`tcp_set_rcvlowat`).
            value = value.min(i64::from(self.options.tcp.rmem[2] / 2));
        }
        if option == PlainOption::Timestamping {
            self.check_timestamping(host, value)?;
        }
        if option == PlainOption::WindowClamp && value == 0 && !matches!(self.state, State::Fresh) {
            return Err(Errno::Invalid);
        }
        let before = self.numbers.insert(option, value).unwrap_or(0);
        let octet = u8::try_from(value).unwrap_or(0);
        match option {
            PlainOption::Timestamping | PlainOption::ZeroCopy => self.watch_sending(now, host, before),
            PlainOption::Tos => self.change_tcp(now, host, move |tcp| tcp.dscp = octet >> 2),
            PlainOption::Ttl => self.change_tcp(now, host, move |tcp| tcp.ttl = octet),
            PlainOption::ReceiveErrors => {
                self.change_tcp(now, host, move |tcp| tcp.tells_soft_errors = value != 0);
            }
            PlainOption::MtuDiscover => {
                self.change_tcp(now, host, move |tcp| tcp.path_mtu_discovery = value != 0);
            }
            PlainOption::NotSentLowWater => {
                // 0 leaves it to the host, where it is off.
                let octets = u32::try_from(value).ok().filter(|octets| *octets > 0);
                self.change_tcp(now, host, move |tcp| tcp.not_sent_low_water = octets);
            }
            PlainOption::Linger2 => {
                let time = u64::try_from(value).ok().map(Duration::from_secs);
                self.change_tcp(now, host, move |tcp| {
                    tcp.no_fin_wait = time.is_none();
                    tcp.fin_timeout = time.unwrap_or(tcp.fin_timeout);
                });
            }
            PlainOption::DeferAccept => {
                let repeated = deferral(value).0;
                self.change_tcp(now, host, move |tcp| tcp.defer_accept = repeated);
            }
            PlainOption::WindowClamp => {
                let octets = u32::try_from(value).ok().filter(|octets| *octets > 0);
                self.change_tcp(now, host, move |tcp| tcp.window_clamp = octets);
                if let (State::Connection(id), Some(octets)) = (&self.state, octets) {
                    host.configure(now, *id, |connection| connection.set_window_clamp(octets));
                }
            }
            PlainOption::QuickAck => {
                if let State::Connection(id) = self.state {
                    host.configure(now, id, |connection| connection.set_quickack(value != 0));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads an option of the table.
    pub(super) fn plain(&self, host: &Host, option: PlainOption) -> Result<i64, Errno> {
        let rule = option.rule();
        let mptcp = self.options.mptcp.is_some();
        if mptcp && matches!(rule.users, Users::TcpOnly(_)) && !self.fell_back(host) {
            return Err(Errno::NotSupported);
        }
        let kept = self.numbers.get(&option).copied().unwrap_or(rule.initial);
        Ok(match (option, &self.state) {
            (PlainOption::Protocol, _) => {
                if mptcp {
                    262
                } else {
                    6
                }
            }
            (PlainOption::AcceptsConnections, state) => i64::from(matches!(state, State::Listening(_))),
            (PlainOption::WindowClamp, State::Connection(id)) => host
                .connection(*id)
                .map_or(kept, |connection| i64::try_from(connection.window_clamp()).unwrap_or(i64::MAX)),
            (PlainOption::QuickAck, State::Connection(id)) => {
                let first = host.connection(*id).and_then(|connection| connection.subflows().first());
                first.map_or(kept, |subflow| i64::from(!subflow.flow.is_interactive()))
            }
            _ => kept,
        })
    }

    /// Whether options of TCP and IP go to the TCP that an MPTCP socket has become (`__mptcp_tcp_fallback`).
    pub(super) fn fell_back(&self, host: &Host) -> bool {
        let State::Connection(id) = self.state else { return false };
        self.options.mptcp.is_some()
            && host.connection(id).is_some_and(|connection| connection.mode() == Mode::Plain)
    }

    /// Octets that a read of `len` waits for (`sock_rcvlowat`).
    pub(super) fn read_target(&self, len: u64) -> u64 {
        let low = self.numbers.get(&PlainOption::ReceiveLowWater).copied().unwrap_or(1);
        u64::try_from(low).unwrap_or(1).min(len).max(1)
    }
}

impl SocketOption {
    /// Whether a protocol knows the option only as something to read, or not at all.
    pub(super) const fn unknown_to(self, protocol: Protocol) -> bool {
        matches!(protocol, Protocol::Mptcp) && matches!(self, Self::SynCount | Self::UserTimeout)
    }
}
