//! Socket options: what each changes in the stack, and what it reads back.

use std::sync::Arc;

use sim_core::{Duration, Instant};

use super::{Errno, Fd, PlainOption, Protocol, Socket, Sockets, State};
use crate::config::{Keepalive, TcpConfig};
use crate::congestion;
use crate::host::Host;
use crate::mptcp::Connection;

/// `SO_LINGER`: how long `close` waits; zero resets the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linger {
    /// The time.
    pub time: Duration,
}

/// An option, by its name in Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketOption {
    /// `SO_REUSEADDR`
    ReuseAddress,
    /// `SO_ERROR`: the error not yet reported; reading it reports it.
    Error,
    /// `SO_SNDBUF` in bytes; reads back twice what was set.
    SendBuffer,
    /// `SO_RCVBUF` in bytes; reads back twice what was set.
    ReceiveBuffer,
    /// `SO_KEEPALIVE`
    Keepalive,
    /// `SO_LINGER`
    Linger,
    /// `SO_SNDTIMEO`
    SendTimeout,
    /// `SO_RCVTIMEO`
    ReceiveTimeout,
    /// `TCP_NODELAY`
    NoDelay,
    /// `TCP_CORK`
    Cork,
    /// `TCP_MAXSEG` in bytes.
    MaxSegment,
    /// `TCP_USER_TIMEOUT` in milliseconds.
    UserTimeout,
    /// `TCP_KEEPIDLE` in seconds.
    KeepaliveIdle,
    /// `TCP_KEEPINTVL` in seconds.
    KeepaliveInterval,
    /// `TCP_KEEPCNT`
    KeepaliveCount,
    /// `TCP_SYNCNT`: repetitions of a SYN.
    SynCount,
    /// `TCP_CONGESTION`
    Congestion,
    /// `TCP_FASTOPEN`: how many connections of a listener may be open without a third ACK.
    FastOpen,
    /// `TCP_FASTOPEN_CONNECT`
    FastOpenConnect,
    /// `TCP_FASTOPEN_NO_COOKIE`
    FastOpenNoCookie,
    /// One that is a number.
    Plain(PlainOption),
    /// `TCP_FASTOPEN_KEY`: 16 octets as 32 hexadecimal digits.
    FastOpenKey,
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// A number or a switch.
    Number(i64),
    /// On or off, with a time in seconds or exact.
    Linger(Option<Linger>),
    /// A span.
    Time(Duration),
    /// A name.
    Text(String),
}

impl OptionValue {
    fn number(&self) -> Result<i64, Errno> {
        match self {
            Self::Number(number) => Ok(*number),
            _ => Err(Errno::Invalid),
        }
    }

    fn time(&self) -> Result<Duration, Errno> {
        match self {
            Self::Time(time) => Ok(*time),
            _ => Err(Errno::Invalid),
        }
    }
}

/// Seconds of an option that takes from 1 to 32767 of them.
fn seconds(number: i64) -> Result<Duration, Errno> {
    u64::try_from(number)
        .ok()
        .filter(|number| (1..=32_767).contains(number))
        .map(Duration::from_secs)
        .ok_or(Errno::Invalid)
}

impl Sockets {
    /// `setsockopt`
    ///
    /// # Errors
    /// EINVAL for a value out of range, ENOPROTOOPT if the socket has no such option to set, EBADF.
    pub fn set_option(
        &mut self,
        now: Instant,
        host: &mut Host,
        fd: Fd,
        option: SocketOption,
        value: &OptionValue,
    ) -> Result<(), Errno> {
        let protocol = self.protocol(fd)?;
        let socket = self.get_mut(fd)?;
        if option.unknown_to(protocol) && !socket.fell_back(host) {
            return Err(Errno::OptionUnknown);
        }
        match option {
            SocketOption::Plain(option) => return socket.set_plain(now, host, option, value.number()?),
            SocketOption::ReuseAddress => socket.reuse_address = value.number()? != 0,
            SocketOption::Error => {
                let mptcp = protocol == Protocol::Mptcp;
                return Err(if mptcp { Errno::NotSupported } else { Errno::OptionUnknown });
            }
            SocketOption::Linger => match value {
                OptionValue::Linger(linger) => socket.linger = *linger,
                _ => return Err(Errno::Invalid),
            },
            SocketOption::SendTimeout => socket.send_timeout = value.time()?,
            SocketOption::ReceiveTimeout => socket.receive_timeout = value.time()?,
            SocketOption::Congestion => {
                let OptionValue::Text(name) = value else { return Err(Errno::Invalid) };
                let name = name.clone();
                let parameters = congestion::Parameters::new();
                congestion::create(&name, &parameters).map_err(|_| Errno::NoEntry)?;
                socket.options.congestion = Arc::new(move || {
                    congestion::create(&name, &parameters).expect("it was created once when it was chosen")
                });
            }
            SocketOption::FastOpen => {
                // `net.core.somaxconn`
                let backlog = u32::try_from(value.number()?).map_err(|_| Errno::Invalid)?.min(4096);
                socket.change_tcp(now, host, move |tcp| tcp.fast_open.backlog = backlog);
            }
            SocketOption::FastOpenConnect => {
                let on = value.number()?;
                if !(0..=1).contains(&on) {
                    return Err(Errno::Invalid);
                }
                if !socket.options.tcp.fast_open.sends() {
                    return Err(Errno::NotSupported);
                }
                if !matches!(socket.state, State::Fresh) {
                    return Err(Errno::Invalid);
                }
                socket.change_tcp(now, host, move |tcp| tcp.fast_open.on_connect = on != 0);
            }
            SocketOption::FastOpenNoCookie => {
                let on = value.number()?;
                if !(0..=1).contains(&on) || matches!(socket.state, State::Connection(_)) {
                    return Err(Errno::Invalid);
                }
                socket.change_tcp(now, host, move |tcp| tcp.fast_open.without_cookie = on != 0);
            }
            SocketOption::FastOpenKey => {
                let OptionValue::Text(digits) = value else { return Err(Errno::Invalid) };
                let key = u128::from_str_radix(digits, 16).map_err(|_| Errno::Invalid)?.to_be_bytes();
                socket.change_tcp(now, host, move |tcp| tcp.fast_open.key = key);
            }
            SocketOption::NoDelay | SocketOption::Cork => {
                let on = value.number()? != 0;
                let cork = option == SocketOption::Cork;
                if let (State::Connection(id), true) = (&socket.state, on && !cork) {
                    host.configure(now, *id, Connection::push_small);
                }
                socket.change_tcp(now, host, move |tcp| if cork { tcp.cork = on } else { tcp.nagle = !on });
            }
            SocketOption::MaxSegment => {
                let mss = value.number()?;
                if mss != 0 && !(88..=32_767).contains(&mss) {
                    return Err(Errno::Invalid);
                }
                let mss = u16::try_from(mss).ok().filter(|mss| *mss > 0);
                socket.change_tcp(now, host, move |tcp| tcp.user_mss = mss);
            }
            SocketOption::UserTimeout => {
                let millis = u64::try_from(value.number()?).map_err(|_| Errno::Invalid)?;
                let timeout = Duration::from_millis(millis);
                socket.change_tcp(now, host, move |tcp| tcp.user_timeout = timeout);
            }
            SocketOption::SynCount => {
                let count = u8::try_from(value.number()?).ok().filter(|count| (1..=127).contains(count));
                let count = count.ok_or(Errno::Invalid)?;
                socket.change_tcp(now, host, move |tcp| tcp.syn_retries = count);
            }
            SocketOption::SendBuffer => {
                let bytes = buffer(value.number()?, 4608);
                socket.change_tcp(now, host, move |tcp| tcp.wmem = [bytes; 3]);
                if let State::Connection(id) = socket.state {
                    host.configure(now, id, |connection| connection.set_sndbuf(bytes));
                }
            }
            SocketOption::ReceiveBuffer => {
                let bytes = buffer(value.number()?, 2304);
                socket.change_tcp(now, host, move |tcp| {
                    tcp.rmem = [bytes; 3];
                    tcp.core_rmem_max = bytes;
                });
                if let State::Connection(id) = socket.state {
                    host.configure_later(id, |connection| connection.set_rcvbuf(bytes));
                }
            }
            SocketOption::Keepalive
            | SocketOption::KeepaliveIdle
            | SocketOption::KeepaliveInterval
            | SocketOption::KeepaliveCount => socket.set_keepalive(now, host, option, value.number()?)?,
        }
        Ok(())
    }

    /// `getsockopt`
    ///
    /// # Errors
    /// EBADF, EOPNOTSUPP if the socket does not know the option.
    pub fn option(&mut self, host: &mut Host, fd: Fd, option: SocketOption) -> Result<OptionValue, Errno> {
        let protocol = self.protocol(fd)?;
        let socket = self.get_mut(fd)?;
        if option.unknown_to(protocol) && !socket.fell_back(host) {
            return Err(Errno::NotSupported);
        }
        let tcp = &socket.options.tcp;
        let keepalive = socket.keepalive;
        let connection = match socket.state {
            State::Connection(id) => host.connection(id),
            State::Fresh | State::Listening(_) => None,
        };
        let number = |number: u64| OptionValue::Number(i64::try_from(number).unwrap_or(i64::MAX));
        Ok(match option {
            SocketOption::Plain(option) => OptionValue::Number(socket.plain(host, option)?),
            SocketOption::ReuseAddress => number(socket.reuse_address.into()),
            SocketOption::Linger => OptionValue::Linger(socket.linger),
            SocketOption::SendTimeout => OptionValue::Time(socket.send_timeout),
            SocketOption::ReceiveTimeout => OptionValue::Time(socket.receive_timeout),
            SocketOption::NoDelay => number((!tcp.nagle).into()),
            SocketOption::Cork => number(tcp.cork.into()),
            SocketOption::FastOpen => number(tcp.fast_open.backlog.into()),
            SocketOption::FastOpenConnect => number(tcp.fast_open.on_connect.into()),
            SocketOption::FastOpenNoCookie => number(tcp.fast_open.without_cookie.into()),
            SocketOption::FastOpenKey => {
                OptionValue::Text(format!("{:032x}", u128::from_be_bytes(tcp.fast_open.key)))
            }
            SocketOption::UserTimeout => number(tcp.user_timeout.as_nanos() / 1_000_000),
            SocketOption::SynCount => number(tcp.syn_retries.into()),
            SocketOption::SendBuffer => number(connection.map_or(tcp.wmem[1].into(), Connection::sndbuf)),
            SocketOption::ReceiveBuffer => number(connection.map_or(tcp.rmem[1].into(), Connection::rcvbuf)),
            SocketOption::Keepalive => number(tcp.keepalive.is_some().into()),
            SocketOption::KeepaliveIdle => number(keepalive.idle.as_nanos() / 1_000_000_000),
            SocketOption::KeepaliveInterval => number(keepalive.interval.as_nanos() / 1_000_000_000),
            SocketOption::KeepaliveCount => number(keepalive.probes.into()),
            SocketOption::Congestion => OptionValue::Text((socket.options.congestion)().name().to_owned()),
            SocketOption::MaxSegment => {
                let user = u64::from(tcp.user_mss.unwrap_or(536));
                let first = connection.and_then(|connection| connection.subflows().first());
                number(first.map_or(user, |subflow| subflow.flow.mss_now(0).into()))
            }
            SocketOption::Error => OptionValue::Text(
                socket
                    .take_error(host)
                    .or_else(|| socket.take_soft_error(host))
                    .map_or_else(String::new, |error| error.name().to_owned()),
            ),
        })
    }

    /// What a socket speaks (`SO_PROTOCOL`).
    ///
    /// # Errors
    /// EBADF.
    pub fn protocol(&self, fd: Fd) -> Result<Protocol, Errno> {
        let mptcp = self.get(fd)?.options.mptcp.is_some();
        Ok(if mptcp { Protocol::Mptcp } else { Protocol::Tcp })
    }
}

/// The kernel doubles what is asked for, to cover its own overhead, up to a bound (`net.core.wmem_max` and
/// `rmem_max`). A negative number is a very large one.
fn buffer(asked: i64, least: u32) -> u32 {
    const MOST: u32 = 4_194_304;
    (2 * u32::try_from(asked).unwrap_or(MOST).min(MOST)).max(least)
}

impl Socket {
    /// Change the settings of the socket and of its connection; what may now be sent is.
    pub(super) fn change_tcp(&mut self, now: Instant, host: &mut Host, change: impl Fn(&mut TcpConfig)) {
        change(Arc::make_mut(&mut self.options.tcp));
        match self.state {
            State::Fresh => {}
            State::Listening(id) => host.change_listener(id, &self.options),
            State::Connection(id) => host.configure(now, id, |connection| connection.change_tcp(&change)),
        }
    }

    fn set_keepalive(
        &mut self,
        now: Instant,
        host: &mut Host,
        option: SocketOption,
        number: i64,
    ) -> Result<(), Errno> {
        let mut on = self.options.tcp.keepalive.is_some();
        match option {
            SocketOption::Keepalive => on = number != 0,
            SocketOption::KeepaliveIdle => self.keepalive.idle = seconds(number)?,
            SocketOption::KeepaliveInterval => self.keepalive.interval = seconds(number)?,
            _ => {
                let probes = u8::try_from(number).ok().filter(|probes| (1..=127).contains(probes));
                self.keepalive.probes = probes.ok_or(Errno::Invalid)?;
            }
        }
        let settings: Option<Keepalive> = on.then_some(self.keepalive);
        self.change_tcp(now, host, move |tcp| tcp.keepalive = settings);
        if let State::Connection(id) = self.state {
            host.configure(now, id, |connection| connection.restart_keepalive(now));
        }
        Ok(())
    }
}
