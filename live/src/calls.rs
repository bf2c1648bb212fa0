//! System calls of scripts: from their arguments to the kernel, and the check of what they return.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use scenarios::script::ast::{Call, Expression};
use scenarios::script::run::message::{Control, Data, Message, buffers};
use scenarios::script::run::words::{
    address, constant, events, length, member, members, number, optional, vector_length,
};
use scenarios::units::Complaint;

use crate::sys::{self, Returned};
use crate::values::{control, option_value, socket_address, word};

/// A call ready to be made; it may wait.
pub(crate) type Job = Box<dyn FnOnce() -> Returned + Send>;

/// What arguments may leave to the harness.
pub(crate) struct Caller<'a> {
    /// Descriptors of the kernel by those of the script.
    pub(crate) fds: &'a BTreeMap<i64, c_int>,
    pub(crate) ipv6: bool,
    pub(crate) remote: IpAddr,
    pub(crate) port: u16,
}

fn text(wrong: Complaint) -> String {
    wrong.to_string()
}

impl Caller<'_> {
    fn fd(&self, expression: &Expression) -> Result<c_int, String> {
        Ok(self.fds.get(&number(expression).map_err(text)?).copied().unwrap_or(-1))
    }

    fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.remote, self.port)
    }

    /// The call with its arguments as the kernel wants them.
    pub(crate) fn prepare(&self, call: &Call) -> Result<Job, String> {
        let arguments = &call.arguments;
        let number = |index: usize| -> Result<i64, String> {
            arguments.get(index).map_or(Ok(0), |argument| number(argument).map_err(text))
        };
        let int = |index: usize| number(index).map(|value| value as c_int);
        let len = |index: usize| length(&arguments[index]).map(|len| len as usize).map_err(text);
        let fd = |index: usize| self.fd(&arguments[index]);
        Ok(match call.name.as_str() {
            "socket" => {
                let domain = if self.ipv6 { libc::AF_INET6 } else { libc::AF_INET };
                let (kind, protocol) = (int(1)?, int(2)?);
                Box::new(move || sys::socket(domain, kind, protocol))
            }
            "bind" => {
                let stated = address(&arguments[1]).map_err(text)?.flatten();
                let anywhere: IpAddr = match self.ipv6 {
                    true => Ipv6Addr::UNSPECIFIED.into(),
                    false => Ipv4Addr::UNSPECIFIED.into(),
                };
                let stated = stated.unwrap_or(SocketAddr::new(anywhere, self.port));
                let (fd, octets) = (fd(0)?, socket_address(self.ipv6, Some(stated)));
                Box::new(move || sys::bind(fd, &octets))
            }
            "connect" => {
                let to = address(&arguments[1]).map_err(text)?.unwrap_or(Some(self.peer()));
                let (fd, octets) = (fd(0)?, socket_address(self.ipv6, to));
                Box::new(move || sys::connect(fd, &octets))
            }
            "listen" => {
                let (fd, backlog) = (fd(0)?, int(1)?);
                Box::new(move || sys::listen(fd, backlog))
            }
            "accept" => {
                let fd = fd(0)?;
                Box::new(move || sys::accept(fd))
            }
            "close" => {
                let fd = fd(0)?;
                Box::new(move || sys::close(fd))
            }
            "shutdown" => {
                let (fd, how) = (fd(0)?, int(1)?);
                Box::new(move || sys::shutdown(fd, how))
            }
            "read" | "write" | "send" | "recv" | "recvfrom" | "sendto" if has_no_buffer(&arguments[1]) => {
                let (fd, len) = (fd(0)?, len(2)?);
                let reads = matches!(call.name.as_str(), "read" | "recv" | "recvfrom");
                let flags = if arguments.len() > 3 { int(3)? } else { 0 };
                let to = self.destination(flags, arguments.get(4))?;
                Box::new(move || sys::without_buffer(fd, len, flags, reads, &to))
            }
            "read" => {
                let (fd, len) = (fd(0)?, len(2)?);
                Box::new(move || sys::read(fd, len))
            }
            "readv" => {
                let (fd, len) = (fd(0)?, vector_length(&arguments[1]).map_err(text)? as usize);
                Box::new(move || sys::read(fd, len))
            }
            "recv" | "recvfrom" => {
                let (fd, len, flags) = (fd(0)?, len(2)?, int(3)?);
                Box::new(move || sys::receive(fd, len, flags))
            }
            "recvmsg" => {
                let (fd, flags) = (fd(0)?, int(2)?);
                let message = Message::read(&arguments[1], self.ipv6).map_err(text)?;
                let lens = sizes(&message.buffers);
                let with_control = message.control.is_some();
                Box::new(move || sys::receive_message(fd, &lens, flags, with_control))
            }
            "write" => {
                let (fd, len) = (fd(0)?, len(2)?);
                Box::new(move || {
                    let sent = sys::send(fd, len, 0, &[]);
                    if sent.errno == libc::ENOTSOCK { sys::write(fd, len) } else { sent }
                })
            }
            "send" => {
                let (fd, len, flags) = (fd(0)?, len(2)?, int(3)?);
                Box::new(move || sys::send(fd, len, flags, &[]))
            }
            "writev" => {
                let (fd, lens) = (fd(0)?, sizes(&buffers(&arguments[1]).map_err(text)?));
                Box::new(move || sys::send_message(fd, &lens, 0, &[], None))
            }
            "sendto" => {
                let (fd, len, flags) = (fd(0)?, len(2)?, int(3)?);
                let to = self.destination(flags, arguments.get(4))?;
                Box::new(move || sys::send(fd, len, flags, &to))
            }
            "sendmsg" => {
                let (fd, flags) = (fd(0)?, int(2)?);
                let message = Message::read(&arguments[1], self.ipv6).map_err(text)?;
                let name = members(&arguments[1]).and_then(|fields| member(fields, "msg_name"));
                let to = self.destination(flags, name)?;
                let lens = sizes(&message.buffers);
                let control = match &message.control.unwrap_or_default()[..] {
                    [] => None,
                    [Control { level, kind, data: Data::Number(value) }] => {
                        Some((*level as c_int, *kind as c_int, *value as u32))
                    }
                    _ => return Err("of control messages, one with a number can be sent".to_owned()),
                };
                Box::new(move || sys::send_message(fd, &lens, flags, &to, control))
            }
            "pipe" => Box::new(sys::pipe),
            "splice" => {
                let (from, to, len, flags) = (fd(0)?, fd(2)?, len(4)?, int(5)? as u32);
                if [1, 3]
                    .iter()
                    .any(|at| optional(&arguments[*at]).is_ok_and(|of| of.is_some_and(|at| at != 0)))
                {
                    return Err("neither end has an offset".to_owned());
                }
                Box::new(move || sys::splice(from, to, len, flags))
            }
            "sendfile" => {
                let (fd, from, len) = (fd(0)?, fd(1)?, len(3)?);
                Box::new(move || sys::send_file(fd, from, len))
            }
            "open" => Box::new(sys::open_zeros),
            "fcntl" => {
                let (fd, command, argument) = (fd(0)?, int(1)?, int(2)?);
                Box::new(move || sys::fcntl(fd, command, argument))
            }
            "ioctl" => {
                let (fd, command) = (fd(0)?, number(1)? as u64);
                Box::new(move || sys::ioctl_number(fd, command))
            }
            "setsockopt" => {
                let (level, name) = (number(1)?, number(2)?);
                let value = match &arguments[3] {
                    Expression::Ellipsis => vec![0; len(4)?],
                    stated => option_value(level, name, stated)?,
                };
                let fd = fd(0)?;
                Box::new(move || sys::set_option(fd, level as c_int, name as c_int, &value))
            }
            "getsockopt" => {
                let (fd, level, name) = (fd(0)?, int(1)?, int(2)?);
                Box::new(move || sys::option(fd, level, name))
            }
            "poll" => {
                let (entries, timeout) = (self.entries(&arguments[0])?, int(2)?);
                Box::new(move || sys::poll(&entries, timeout))
            }
            "epoll_create" => Box::new(sys::epoll_create),
            "epoll_ctl" => {
                let (epoll, operation, fd) = (fd(0)?, int(1)?, fd(2)?);
                let fields = members(&arguments[3]).unwrap_or_default();
                let wanted = member(fields, "events").map(events).transpose().map_err(text)?.flatten();
                let wanted = wanted.map_or(0, |events| events.0);
                Box::new(move || sys::epoll_ctl(epoll, operation, fd, wanted, 0))
            }
            "epoll_wait" => {
                let (epoll, most, timeout) = (fd(0)?, len(2)?, int(3)?);
                Box::new(move || sys::epoll_wait(epoll, most, timeout))
            }
            other => return Err(format!("`{other}` is not made here")),
        })
    }

    /// Where data goes that opens its connection.
    fn destination(&self, flags: c_int, stated: Option<&Expression>) -> Result<Vec<u8>, String> {
        if flags & libc::MSG_FASTOPEN == 0 {
            return Ok(Vec::new());
        }
        let stated = stated.map(address).transpose().map_err(text)?.flatten();
        Ok(socket_address(self.ipv6, stated.unwrap_or(Some(self.peer()))))
    }

    fn entries(&self, list: &Expression) -> Result<Vec<(c_int, i16)>, String> {
        let Expression::Array(items) = list else { return Err("poll without entries".to_owned()) };
        let entry = |item: &Expression| {
            let fields = members(item)?;
            let events = events(member(fields, "events")?).ok()??;
            Some((self.fd(member(fields, "fd")?).ok()?, events.0 as i16))
        };
        let entries = items.iter().map(|item| entry(item).ok_or_else(|| format!("`{item}` is no entry")));
        entries.collect()
    }
}

/// Whether a call is to be given no memory (`NULL`).
fn has_no_buffer(expression: &Expression) -> bool {
    optional(expression).is_ok_and(|address| address.is_some())
}

fn sizes(lens: &[u64]) -> Vec<usize> {
    lens.iter().map(|len| *len as usize).collect()
}

/// What results are compared with besides what is written in the call.
pub(crate) struct Expected {
    /// Sockets are of IPv6.
    pub(crate) ipv6: bool,
    /// When the script began, in nanoseconds of the wall clock.
    pub(crate) began: i64,
    /// How far off a time may be, in nanoseconds.
    pub(crate) tolerance: u64,
}

/// Whether a call returned what the script says.
pub(crate) fn check(call: &Call, returned: &Returned, around: &Expected) -> Result<(), String> {
    let Some(expected) = optional(&call.result).map_err(text)? else { return Ok(()) };
    let errno = call.errno.as_deref().map(|name| if name == "EWOULDBLOCK" { "EAGAIN" } else { name });
    let agrees = returned.result == expected
        && (expected >= 0 || errno.is_none_or(|name| constant(name) == Some(returned.errno.into())));
    if !agrees {
        let reason = match returned.result {
            ..0 => format!(": {}", std::io::Error::from_raw_os_error(returned.errno)),
            _ => String::new(),
        };
        return Err(format!("returned {}{reason}, expected {expected}", returned.result));
    }
    if returned.result < 0 {
        return Ok(());
    }
    match call.name.as_str() {
        "getsockopt" => check_option(call, &returned.written),
        "ioctl" => {
            let stated = call.arguments.get(2).map(optional).transpose().map_err(text)?.flatten();
            compare(stated, word(&returned.written, 0).map(i64::from))
        }
        "poll" => check_poll(call, &returned.written),
        "recvmsg" => {
            let message = Message::read(&call.arguments[1], around.ipv6).map_err(text)?;
            let found = &returned.message;
            let seen: Vec<_> = found
                .control
                .iter()
                .map(|(level, kind, octets)| control((*level, *kind), octets, around.began))
                .collect();
            message.check(found.flags.into(), &seen, around.tolerance).map_err(text)
        }
        "epoll_wait" => {
            let fields = call.arguments.get(1).and_then(members).unwrap_or_default();
            let stated = member(fields, "events").map(events).transpose().map_err(text)?.flatten();
            compare(
                stated.map(|events| events.0.into()),
                word(&returned.written, 0).map(|bits| (bits as u32).into()),
            )
        }
        _ => Ok(()),
    }
}

fn compare(stated: Option<i64>, seen: Option<i64>) -> Result<(), String> {
    match (stated, seen) {
        (Some(stated), Some(seen)) if stated != seen => Err(format!("found {seen}, expected {stated}")),
        _ => Ok(()),
    }
}

fn check_option(call: &Call, seen: &[u8]) -> Result<(), String> {
    let expected = &call.arguments[3];
    if let Expression::Ellipsis = expected {
        return Ok(());
    }
    let (level, name) =
        (number(&call.arguments[1]).map_err(text)?, number(&call.arguments[2]).map_err(text)?);
    let stated = option_value(level, name, expected)?;
    let trimmed = |octets: &[u8]| -> Vec<u8> {
        let end = octets.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
        octets[..end].to_vec()
    };
    if trimmed(&stated) == trimmed(seen) {
        Ok(())
    } else {
        Err(format!("the value is {seen:?}, not {stated:?}"))
    }
}

fn check_poll(call: &Call, found: &[u8]) -> Result<(), String> {
    let Expression::Array(items) = &call.arguments[0] else { return Ok(()) };
    for (item, seen) in items.iter().zip(found.chunks_exact(2)) {
        let stated = members(item).and_then(|fields| member(fields, "revents"));
        let stated = stated.map(events).transpose().map_err(text)?.flatten();
        let seen = u16::from_ne_bytes([seen[0], seen[1]]);
        compare(stated.map(|events| events.0.into()), Some(seen.into()))?;
    }
    Ok(())
}
