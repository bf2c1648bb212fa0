//! System calls of scripts: from their arguments to the socket layer, and the check of what they return.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mptcp_model::socket::{Call as SocketCall, EpollChange, Errno, Fd, Flags, PollEntry, Progress};
use sim_core::Duration;

use super::message;
use super::words::{self, constant, length, member, members, number, optional};
use super::{Failure, Opened, Runner, Variant};
use crate::script::Position;
use crate::script::ast::{Call, Expression};
use crate::units::Complaint;

/// What a call became: done and checked already, or in the hands of the socket layer.
pub(super) type Begun = Result<Option<Progress>, Complaint>;

impl Runner<'_> {
    /// Carries out a call as far as it goes. `None` if its result was checked here.
    pub(super) fn begin(&mut self, call: &Call) -> Begun {
        let arguments = &call.arguments;
        let now = self.now;
        match call.name.as_str() {
            "socket" => self.socket(call),
            "bind" => {
                let fd = self.fd(&arguments[0])?;
                let address = match words::address(&arguments[1])? {
                    Some(Some(address)) => address,
                    _ => SocketAddr::new(self.unspecified(), self.setup.port),
                };
                let bound = self.sockets.bind(&self.stack.host, fd, address);
                immediate(call, bound.map(|()| 0))
            }
            "listen" => {
                let fd = self.fd(&arguments[0])?;
                let backlog = usize::try_from(number(&arguments[1])?).unwrap_or(0);
                let result = self.sockets.listen(&mut self.stack.host, fd, backlog);
                immediate(call, result.map(|()| 0))
            }
            "accept" => {
                let fd = self.fd(&arguments[0])?;
                self.hand_over(SocketCall::Accept { fd, nonblocking: false })
            }
            "connect" => {
                let fd = self.fd(&arguments[0])?;
                let to = match words::address(&arguments[1])? {
                    Some(to) => to,
                    None => Some(self.peer()),
                };
                self.hand_over(SocketCall::Connect { fd, to })
            }
            "close" => {
                let script_fd = number(&arguments[0])?;
                match self.fds.remove(&script_fd) {
                    Some(Opened::Socket(fd)) => self.hand_over(SocketCall::Close { fd }),
                    Some(Opened::File) => immediate(call, Ok(0)),
                    None => immediate(call, Err(Errno::BadFd)),
                }
            }
            "shutdown" => {
                let fd = self.fd(&arguments[0])?;
                let how = number(&arguments[1])?;
                let ways = (how != 1, how != 0);
                let result = self.sockets.shutdown(now, &mut self.stack.host, fd, ways);
                immediate(call, result.map(|()| 0))
            }
            "read" => self.read(arguments, length(&arguments[2])?, None),
            "readv" => self.read(arguments, words::vector_length(&arguments[1])?, None),
            "recv" | "recvfrom" => self.read(arguments, length(&arguments[2])?, arguments.get(3)),
            "recvmsg" => self.receive_message(call),
            "write" => self.write(arguments, length(&arguments[2])?, None),
            "writev" => {
                let fd = self.fd(&arguments[0])?;
                let buffers = message::buffers(&arguments[1])?;
                self.hand_over(SocketCall::SendMessage { fd, buffers, flags: Flags::default() })
            }
            "send" => self.write(arguments, length(&arguments[2])?, arguments.get(3)),
            "sendto" => self.write_to(arguments, length(&arguments[2])?, &arguments[3], arguments.get(4)),
            "sendmsg" => self.send_message(arguments),
            "sendfile" => {
                let (fd, len) = (self.fd(&arguments[0])?, length(&arguments[3])?);
                self.hand_over(SocketCall::Write { fd, len, flags: Flags::default() })
            }
            "open" => {
                let fd = number(&call.result)?;
                self.fds.insert(fd, Opened::File);
                Ok(None)
            }
            "pipe" => self.pipe(call),
            "splice" => {
                let (from, to) = (self.fd(&arguments[0])?, self.fd(&arguments[2])?);
                for at in [1, 3] {
                    if optional(&arguments[at])?.is_some_and(|offset| offset != 0) {
                        return Err(Complaint::new("pipes and sockets have no offset", "write NULL"));
                    }
                }
                let len = length(&arguments[4])?;
                let bits = optional(&arguments[5])?.unwrap_or_default();
                let has = |name| constant(name).is_some_and(|bit| bits & bit != 0);
                let (dont_wait, more) = (has("SPLICE_F_NONBLOCK"), has("SPLICE_F_MORE"));
                let flags = Flags { dont_wait, more, ..Flags::default() };
                self.hand_over(SocketCall::Splice { from, to, len, flags })
            }
            "fcntl" => self.fcntl(call),
            "ioctl" => self.ioctl(call),
            "poll" => self.poll(call),
            "setsockopt" => self.set_option(call),
            "getsockopt" => self.get_option(call),
            "epoll_create" => {
                let fd = self.sockets.epoll_create();
                self.fds.insert(number(&call.result)?, Opened::Socket(fd));
                Ok(None)
            }
            "epoll_ctl" => self.epoll_ctl(call),
            "epoll_wait" => {
                let fd = self.fd(&arguments[0])?;
                let most = usize::try_from(number(&arguments[2])?).unwrap_or(0);
                let timeout = timeout(number(&arguments[3])?);
                self.hand_over(SocketCall::EpollWait { fd, most, timeout })
            }
            other => Err(Complaint::new(format!("`{other}` is not simulated"), "leave the call out")),
        }
    }

    pub(super) fn hand_over(&mut self, call: SocketCall) -> Begun {
        Ok(Some(self.sockets.begin(self.now, &mut self.stack.host, call)))
    }

    /// The descriptor behind the number of the script.
    pub(super) fn fd(&self, expression: &Expression) -> Result<Fd, Complaint> {
        match self.fds.get(&number(expression)?) {
            Some(Opened::Socket(fd)) => Ok(*fd),
            Some(Opened::File) => Err(Complaint::new(format!("{expression} is a file"), "use a socket")),
            // Nothing has this number, so EBADF follows.
            None => Ok(-1),
        }
    }

    fn unspecified(&self) -> IpAddr {
        match self.variant {
            Variant::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
            Variant::Mapped | Variant::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// Where `connect(fd, ..., ...)` goes, in the family of the sockets.
    pub(super) fn peer(&self) -> SocketAddr {
        let ip = match (self.variant, self.setup.remote) {
            (Variant::Mapped, IpAddr::V4(address)) => address.to_ipv6_mapped().into(),
            (_, address) => address,
        };
        SocketAddr::new(ip, self.setup.port)
    }

    fn socket(&mut self, call: &Call) -> Begun {
        const IPPROTO_MPTCP: i64 = 262;
        let kind = number(&call.arguments[1])?;
        let nonblocking = kind & constant("SOCK_NONBLOCK").unwrap_or_default() != 0;
        let protocol = number(&call.arguments[2])?;
        if kind & 0xf != 1 || !matches!(protocol, 0 | 6 | IPPROTO_MPTCP) {
            return Err(Complaint::new(
                "only stream sockets with IPPROTO_TCP and IPPROTO_MPTCP are simulated",
                "open one of these",
            ));
        }
        let mptcp = protocol == IPPROTO_MPTCP;
        if mptcp && !self.stack.mptcp_enabled() {
            return immediate(call, Err(Errno::OptionUnknown));
        }
        let fd = self.sockets.socket(self.stack.socket_options(mptcp), nonblocking);
        self.fds.insert(number(&call.result)?, Opened::Socket(fd));
        Ok(None)
    }

    fn read(&mut self, arguments: &[Expression], len: u64, flags: Option<&Expression>) -> Begun {
        let fd = self.fd(&arguments[0])?;
        let flags = Flags { no_memory: has_no_memory(arguments)?, ..message_flags(flags, &RECEIVE_FLAGS)? };
        self.hand_over(SocketCall::Read { fd, len, flags })
    }

    fn write(&mut self, arguments: &[Expression], len: u64, flags: Option<&Expression>) -> Begun {
        let fd = self.fd(&arguments[0])?;
        let flags = Flags { no_memory: has_no_memory(arguments)?, ..message_flags(flags, &SEND_FLAGS)? };
        self.hand_over(SocketCall::Write { fd, len, flags })
    }

    /// `sendto`, which connects if its flags say so.
    fn write_to(
        &mut self,
        arguments: &[Expression],
        len: u64,
        flags: &Expression,
        to: Option<&Expression>,
    ) -> Begun {
        let fd = self.fd(&arguments[0])?;
        let fast_open = constant("MSG_FASTOPEN").unwrap_or_default();
        let bits = optional(flags)?.unwrap_or_default();
        if bits & fast_open == 0 {
            return self.write(arguments, len, Some(flags));
        }
        let no_memory = has_no_memory(arguments)?;
        let rest = Expression::Integer { value: i128::from(bits & !fast_open), hex: true };
        let flags = message_flags(Some(&rest), &SEND_FLAGS)?;
        let to = match to.map(words::address).transpose()?.flatten() {
            Some(Some(address)) => address,
            _ => self.peer(),
        };
        self.hand_over(SocketCall::Write {
            fd,
            len,
            flags: Flags { fast_open: Some(to), no_memory, ..flags },
        })
    }

    fn fcntl(&mut self, call: &Call) -> Begun {
        const O_RDWR: u64 = 2;
        const O_NONBLOCK: u64 = 0o4000;
        let fd = self.fd(&call.arguments[0])?;
        let command = number(&call.arguments[1])?;
        if Some(command) == constant("F_GETFL") {
            let flags = self.sockets.is_nonblocking(fd).map(|on| O_RDWR | if on { O_NONBLOCK } else { 0 });
            return immediate(call, flags);
        }
        if Some(command) != constant("F_SETFL") {
            return Err(Complaint::new("only F_GETFL and F_SETFL are simulated", "use these"));
        }
        let flags = call.arguments.get(2).map(length).transpose()?.unwrap_or_default();
        let result = self.sockets.set_nonblocking(fd, flags & O_NONBLOCK != 0);
        immediate(call, result.map(|()| 0))
    }

    fn ioctl(&mut self, call: &Call) -> Begun {
        let fd = self.fd(&call.arguments[0])?;
        let command = number(&call.arguments[1])?;
        let queued = self.sockets.queued(&self.stack.host, fd);
        let of = |(to_read, to_send): (u64, u64)| match command {
            command if Some(command) == constant("SIOCINQ") => Some(to_read),
            command if Some(command) == constant("SIOCOUTQ") => Some(to_send),
            _ => None,
        };
        match queued {
            Err(error) => immediate(call, Err(error)),
            Ok(queued) => {
                let seen = of(queued)
                    .ok_or_else(|| Complaint::new("only SIOCINQ and SIOCOUTQ are simulated", "use these"))?;
                if let Some(expected) = call.arguments.get(2).map(optional).transpose()?.flatten()
                    && u64::try_from(expected) != Ok(seen)
                {
                    return Err(Complaint::new(format!("found {seen}"), format!("expected {expected}")));
                }
                immediate(call, Ok(0))
            }
        }
    }

    fn pipe(&mut self, call: &Call) -> Begun {
        let numbers = match &call.arguments[0] {
            Expression::Array(items) => items.iter().map(number).collect::<Result<Vec<_>, _>>()?,
            _ => Vec::new(),
        };
        let [read, write] = numbers[..] else {
            return Err(Complaint::new("a pipe has two ends", "write their numbers: [5, 6]"));
        };
        let ends = self.sockets.pipe();
        self.fds.insert(read, Opened::Socket(ends.0));
        self.fds.insert(write, Opened::Socket(ends.1));
        immediate(call, Ok(0))
    }

    fn poll(&mut self, call: &Call) -> Begun {
        let Expression::Array(items) = &call.arguments[0] else {
            return Err(Complaint::new("poll without entries", "write [{fd=3, events=POLLIN}]"));
        };
        let mut entries = Vec::new();
        for item in items {
            let fields = members(item)
                .ok_or_else(|| Complaint::new(format!("`{item}` is no entry"), "write {fd=N, events=E}"))?;
            let missing = || Complaint::new(format!("`{item}` lacks fd or events"), "write {fd=N, events=E}");
            let script_fd = member(fields, "fd").ok_or_else(missing)?;
            let fd = if number(script_fd)? < 0 { -1 } else { self.fd(script_fd)?.max(0) };
            let wanted = words::events(member(fields, "events").ok_or_else(missing)?)?.unwrap_or_default();
            entries.push(PollEntry { fd, wanted, ..PollEntry::default() });
        }
        let timeout = timeout(number(&call.arguments[2])?);
        self.hand_over(SocketCall::Poll { entries, timeout })
    }

    fn epoll_ctl(&mut self, call: &Call) -> Begun {
        let epoll = self.fd(&call.arguments[0])?;
        let change = match number(&call.arguments[1])? {
            1 => EpollChange::Add,
            2 => EpollChange::Delete,
            3 => EpollChange::Modify,
            _ => return Err(Complaint::new("unknown operation", "use EPOLL_CTL_ADD, _MOD or _DEL")),
        };
        let fd = self.fd(&call.arguments[2])?;
        let fields = members(&call.arguments[3]).unwrap_or_default();
        let wanted = member(fields, "events").map(words::events).transpose()?.flatten().unwrap_or_default();
        let data = user_data(fields)?.unwrap_or_default();
        let entry = PollEntry { fd, wanted, data, ..PollEntry::default() };
        let result = self.sockets.epoll_ctl(epoll, change, entry);
        immediate(call, result.map(|()| 0))
    }

    /// A call returned: is it what the script says?
    pub(super) fn returned(
        &mut self,
        call: &Call,
        position: Position,
        result: &Result<u64, Errno>,
        found: &[PollEntry],
    ) -> Result<(), Failure> {
        let wrong = |message: String| self.failure(position, format!("`{call}`: {message}"));
        if call.name == "accept"
            && let Ok(fd) = *result
        {
            // The number of a descriptor is the script's to choose.
            return match number(&call.result) {
                Ok(script_fd) if script_fd >= 0 => {
                    self.fds.insert(script_fd, Opened::Socket(Fd::try_from(fd).unwrap_or(-1)));
                    Ok(())
                }
                _ => Err(wrong("accepted a connection".to_owned())),
            };
        }
        check(call, *result).map_err(|complaint| wrong(complaint.to_string()))?;
        match call.name.as_str() {
            "poll" => check_poll(call, found),
            "recvmsg" if result.is_ok() => self.check_received(call),
            "epoll_wait" => check_epoll(call, found),
            _ => Ok(()),
        }
        .map_err(|complaint| wrong(complaint.to_string()))
    }
}

pub(super) fn immediate(call: &Call, result: Result<u64, Errno>) -> Begun {
    check(call, result)?;
    Ok(None)
}

/// Whether a result is as stated.
pub(super) fn check(call: &Call, result: Result<u64, Errno>) -> Result<(), Complaint> {
    let Some(expected) = optional(&call.result)? else { return Ok(()) };
    let stated = match &call.errno {
        Some(errno) => format!("{expected} {errno}"),
        None => expected.to_string(),
    };
    let agrees = match (result, call.errno.as_deref()) {
        (Ok(value), None) => i64::try_from(value) == Ok(expected),
        (Err(error), Some(errno)) => {
            let errno = if errno == "EWOULDBLOCK" { "EAGAIN" } else { errno };
            expected == -1 && error.name() == errno
        }
        (Err(_), None) => expected == -1,
        (Ok(_), Some(_)) => false,
    };
    if agrees {
        return Ok(());
    }
    let seen = match result {
        Ok(value) => value.to_string(),
        Err(error) => format!("-1 {error}"),
    };
    Err(Complaint::new(format!("returned {seen}"), format!("expected {stated}")))
}

fn check_poll(call: &Call, found: &[PollEntry]) -> Result<(), Complaint> {
    let Expression::Array(items) = &call.arguments[0] else { return Ok(()) };
    for (item, entry) in items.iter().zip(found) {
        let stated = members(item).and_then(|fields| member(fields, "revents"));
        let Some(expected) = stated.map(words::events).transpose()?.flatten() else { continue };
        if expected != entry.found {
            return Err(Complaint::new(
                format!("revents {:#x}", entry.found.0),
                format!("expected {:#x}", expected.0),
            ));
        }
    }
    Ok(())
}

fn check_epoll(call: &Call, found: &[PollEntry]) -> Result<(), Complaint> {
    let items = match &call.arguments[1] {
        Expression::Array(items) => &items[..],
        other => std::slice::from_ref(other),
    };
    for (item, entry) in items.iter().zip(found) {
        let Some(fields) = members(item) else { continue };
        let stated = member(fields, "events").map(words::events).transpose()?.flatten();
        if stated.is_some_and(|expected| expected != entry.found) {
            return Err(Complaint::new(format!("events {:#x}", entry.found.0), format!("expected `{item}`")));
        }
        if user_data(fields)?.is_some_and(|expected| expected != entry.data) {
            return Err(Complaint::new(format!("data {}", entry.data), format!("expected `{item}`")));
        }
    }
    Ok(())
}

/// The data of an epoll event: one of the members of its union.
fn user_data(fields: &[crate::script::ast::Field]) -> Result<Option<u64>, Complaint> {
    for name in ["fd", "u32", "u64", "ptr"] {
        if let Some(value) = member(fields, name) {
            return Ok(optional(value)?.map(|number| number as u64));
        }
    }
    Ok(None)
}

/// Milliseconds; a negative number is for ever.
fn timeout(millis: i64) -> Option<Duration> {
    u64::try_from(millis).ok().map(Duration::from_millis)
}

/// Whether a call is given a number where its data should be; `...` and vectors are memory.
fn has_no_memory(arguments: &[Expression]) -> Result<bool, Complaint> {
    match arguments.get(1) {
        None | Some(Expression::Array(_) | Expression::Text(_)) => Ok(false),
        Some(address) => Ok(optional(address)?.is_some()),
    }
}

/// Flags of a write that are simulated.
pub(super) const SEND_FLAGS: [&str; 6] =
    ["MSG_DONTWAIT", "MSG_OOB", "MSG_MORE", "MSG_EOR", "MSG_ZEROCOPY", "MSG_NOSIGNAL"];
/// Flags of a read that are.
pub(super) const RECEIVE_FLAGS: [&str; 5] =
    ["MSG_DONTWAIT", "MSG_OOB", "MSG_PEEK", "MSG_WAITALL", "MSG_NOSIGNAL"];

/// The flags of a read or write, all of which must be known.
pub(super) fn message_flags(flags: Option<&Expression>, known: &[&str]) -> Result<Flags, Complaint> {
    let Some(mut bits) = flags.map(optional).transpose()?.flatten() else { return Ok(Flags::default()) };
    let mut has = |name: &str| {
        let bit = constant(name).filter(|_| known.contains(&name)).unwrap_or_default();
        let set = bits & bit != 0;
        bits &= !bit;
        set
    };
    let flags = Flags {
        dont_wait: has("MSG_DONTWAIT"),
        peek: has("MSG_PEEK"),
        wait_all: has("MSG_WAITALL"),
        more: has("MSG_MORE"),
        ends_record: has("MSG_EOR"),
        zero_copy: has("MSG_ZEROCOPY"),
        times: None,
        urgent: has("MSG_OOB"),
        no_memory: false,
        fast_open: None,
    };
    has("MSG_NOSIGNAL");
    if bits != 0 {
        return Err(Complaint::new(
            format!("flags {bits:#x} are not simulated"),
            format!("here, {} are", known.join(", ")),
        ));
    }
    Ok(flags)
}
