//! Sockets as applications know them: file descriptors over a [`Host`], with calls that may block and the
//! error numbers of Linux.
//!
//! Calls that cannot block are methods of [`Sockets`]. Those that can are a [`Call`]: [`Sockets::begin`]
//! carries it out or gives a [`Pending`] call, which [`Sockets::resume`] tries again whenever the host has
//! seen something; [`Pending::deadline`] says when it ends by itself. A caller that never resumes a call is a
//! thread that sleeps for ever; nothing here keeps time.
//!
//! Left out: datagram and raw sockets. Octets have no contents: reads and writes count.

mod calls;
mod errno;
mod error_queue;
mod mptcp;
mod options;
mod pipe;
mod plain;
mod poll;
mod tcp_info;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sim_core::{Duration, Instant};

pub use self::calls::{Call, Flags, Pending, Progress};
pub use self::errno::Errno;
pub use self::error_queue::{ErrorEntry, ErrorMessage};
pub use self::mptcp::{MptcpInfo, OPTION_NUMBERS, SubflowData};
pub use self::options::{Linger, OptionValue, SocketOption};
pub use self::plain::PlainOption;
pub use self::poll::{EpollChange, PollEntry, PollEvents};
pub use self::tcp_info::TcpInfo;
use crate::config::Keepalive;
use crate::host::{Host, SocketId};
use crate::mptcp::{Connection, SocketOptions};

/// A file descriptor.
pub type Fd = i32;

/// What a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `IPPROTO_TCP`
    Tcp,
    /// `IPPROTO_MPTCP`
    Mptcp,
}

#[derive(Clone, Debug)]
enum State {
    Fresh,
    Listening(SocketId),
    Connection(SocketId),
}

#[derive(Clone, Debug)]
struct Socket {
    state: State,
    bound: Option<SocketAddr>,
    nonblocking: bool,
    /// `connect` was called and its outcome not yet told.
    connecting: bool,
    read_shut: bool,
    write_shut: bool,
    /// An error that no call has reported yet.
    pending_error: Option<Errno>,
    /// The error of the connection was reported.
    error_told: bool,
    /// How many errors that its connection outlived were told.
    soft_errors_told: u32,
    /// How often a write that may not wait found no room.
    found_no_room: u64,
    reuse_address: bool,
    linger: Option<Linger>,
    /// Where the first write connects to.
    deferred: Option<SocketAddr>,
    keepalive: Keepalive,
    send_timeout: Duration,
    receive_timeout: Duration,
    /// Options that are a number and were set.
    numbers: BTreeMap<PlainOption, i64>,
    options: SocketOptions,
}

#[derive(Clone, Debug)]
enum File {
    Socket(Box<Socket>),
    /// Watched descriptors with the events asked for, the user's data, and edge-triggered state.
    Epoll(Vec<poll::Watch>),
    Pipe(pipe::PipeEnd),
}

/// The open files of one process.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    files: BTreeMap<Fd, File>,
    /// Octets in each pipe.
    pipes: BTreeMap<u32, u64>,
    next_pipe: u32,
}

impl Sockets {
    /// No file is open; descriptors begin at 3.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn open(&mut self, file: File) -> Fd {
        let fd = (3..).find(|fd| !self.files.contains_key(fd)).unwrap_or(Fd::MAX);
        self.files.insert(fd, file);
        fd
    }

    /// `socket`: speaks MPTCP if `options` has settings for it.
    pub fn socket(&mut self, options: SocketOptions, nonblocking: bool) -> Fd {
        self.open(File::Socket(Box::new(Socket::new(options, nonblocking))))
    }

    /// `epoll_create`
    pub fn epoll_create(&mut self) -> Fd {
        self.open(File::Epoll(Vec::new()))
    }

    fn get(&self, fd: Fd) -> Result<&Socket, Errno> {
        match self.files.get(&fd) {
            Some(File::Socket(socket)) => Ok(socket),
            Some(_) => Err(Errno::NotSocket),
            None => Err(Errno::BadFd),
        }
    }

    fn get_mut(&mut self, fd: Fd) -> Result<&mut Socket, Errno> {
        match self.files.get_mut(&fd) {
            Some(File::Socket(socket)) => Ok(socket),
            Some(_) => Err(Errno::NotSocket),
            None => Err(Errno::BadFd),
        }
    }

    /// The connection behind a descriptor.
    #[must_use]
    pub fn connection<'a>(&self, host: &'a Host, fd: Fd) -> Option<&'a Connection> {
        match self.get(fd).ok()?.state {
            State::Connection(id) => host.connection(id),
            _ => None,
        }
    }

    /// `bind`
    ///
    /// # Errors
    /// EINVAL if it is bound already, EADDRNOTAVAIL if the address is not the host's.
    pub fn bind(&mut self, host: &Host, fd: Fd, address: SocketAddr) -> Result<(), Errno> {
        let socket = self.get_mut(fd)?;
        if socket.bound.is_some() || !matches!(socket.state, State::Fresh) {
            return Err(Errno::Invalid);
        }
        if !address.ip().is_unspecified() && !host.routing.is_local(address.ip()) {
            return Err(Errno::AddressNotAvailable);
        }
        socket.bound = Some(address);
        Ok(())
    }

    /// `listen`
    ///
    /// # Errors
    /// EINVAL for a connection, EADDRINUSE if another socket listens there.
    pub fn listen(&mut self, host: &mut Host, fd: Fd, backlog: usize) -> Result<(), Errno> {
        let socket = self.get_mut(fd)?;
        match socket.state {
            State::Fresh => {}
            State::Listening(_) => return Ok(()),
            State::Connection(_) => return Err(Errno::Invalid),
        }
        let local = socket.bound.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
        // Linux takes one more than was asked for.
        let id = host.listen(socket.options.clone(), local, backlog.saturating_add(1))?;
        socket.state = State::Listening(id);
        Ok(())
    }

    /// `shutdown`: stop reading, stop writing.
    ///
    /// # Errors
    /// ENOTCONN if there is no connection.
    pub fn shutdown(
        &mut self,
        now: Instant,
        host: &mut Host,
        fd: Fd,
        (read, write): (bool, bool),
    ) -> Result<(), Errno> {
        let socket = self.get_mut(fd)?;
        let id = match socket.state {
            State::Connection(id) => id,
            State::Listening(id) if read => {
                host.close(now, id);
                socket.state = State::Fresh;
                return Ok(());
            }
            _ => {
                // It fails, and takes effect all the same (`inet_shutdown`).
                socket.read_shut |= read;
                socket.write_shut |= write;
                return Err(Errno::NotConnected);
            }
        };
        let readiness = host.connection(id).map(Connection::readiness).unwrap_or_default();
        if readiness.closed {
            return Err(Errno::NotConnected);
        }
        socket.read_shut |= read;
        if read {
            host.configure_later(id, Connection::shutdown_read);
        }
        if readiness.opening {
            // A handshake under way is given up (`tcp_disconnect`).
            host.abort(id);
            socket.state = State::Fresh;
            if socket.options.mptcp.is_none() {
                socket.pending_error = Some(Errno::ConnectionReset);
            }
        } else if write {
            socket.write_shut = true;
            host.shutdown_write(now, id);
        }
        Ok(())
    }

    /// `fcntl(F_GETFL)`: whether calls return at once.
    ///
    /// # Errors
    /// EBADF.
    pub fn is_nonblocking(&self, fd: Fd) -> Result<bool, Errno> {
        self.get(fd).map(|socket| socket.nonblocking)
    }

    /// `fcntl(F_SETFL)`
    ///
    /// # Errors
    /// EBADF.
    pub fn set_nonblocking(&mut self, fd: Fd, nonblocking: bool) -> Result<(), Errno> {
        self.get_mut(fd).map(|socket| socket.nonblocking = nonblocking)
    }

    /// Octets that wait to be read (`ioctl(SIOCINQ)`), and that are in the send buffer (`SIOCOUTQ`).
    ///
    /// # Errors
    /// EINVAL if it is a listener.
    pub fn queued(&self, host: &Host, fd: Fd) -> Result<(u64, u64), Errno> {
        if matches!(self.get(fd)?.state, State::Listening(_)) {
            return Err(Errno::Invalid);
        }
        Ok(self.connection(host, fd).map_or((0, 0), |connection| {
            let mark =
                connection.urgent_mark().0.filter(|_| !self.get(fd).is_ok_and(Socket::has_urgent_inline));
            let readable = mark.unwrap_or(connection.readable_bytes());
            (readable, connection.bytes_written().saturating_sub(connection.bytes_acked()))
        }))
    }
}

impl Socket {
    fn new(options: SocketOptions, nonblocking: bool) -> Self {
        Self {
            state: State::Fresh,
            bound: None,
            nonblocking,
            connecting: false,
            read_shut: false,
            write_shut: false,
            pending_error: None,
            error_told: false,
            soft_errors_told: 0,
            found_no_room: 0,
            reuse_address: false,
            linger: None,
            deferred: None,
            keepalive: Keepalive::default(),
            send_timeout: Duration::ZERO,
            receive_timeout: Duration::ZERO,
            numbers: BTreeMap::new(),
            options,
        }
    }

    /// Whether urgent data is read with the rest (`SO_OOBINLINE`).
    fn has_urgent_inline(&self) -> bool {
        self.numbers.get(&PlainOption::UrgentInline).is_some_and(|on| *on != 0)
    }

    /// What only an end of retries would tell; reading it forgets it (`sk_err_soft`).
    fn take_soft_error(&self, host: &mut Host) -> Option<Errno> {
        let State::Connection(id) = self.state else { return None };
        host.take_soft_error(id).map(Errno::from)
    }

    /// The error to report, once (`sock_error`).
    fn take_error(&mut self, host: &Host) -> Option<Errno> {
        if let Some(error) = self.pending_error.take() {
            return Some(error);
        }
        let State::Connection(id) = self.state else { return None };
        let connection = host.connection(id)?;
        if let Some((count, error)) = connection.soft_error
            && count != self.soft_errors_told
        {
            self.soft_errors_told = count;
            return Some(error.into());
        }
        let error = connection.error().filter(|_| !self.error_told)?;
        self.error_told = true;
        Some(error.into())
    }
}

#[cfg(test)]
mod tests;
