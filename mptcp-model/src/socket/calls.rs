//! Calls that may block: accept, connect, read, write, close with a linger time, poll, epoll_wait.

use std::net::SocketAddr;

use sim_core::{Duration, Instant};

use super::{Errno, Fd, File, PollEntry, Socket, Sockets, State};
use crate::host::{Host, SocketId};
use crate::mptcp::Connection;
use crate::tcp::urgent::Urgent;

/// Flags of one read or write (`MSG_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Return at once (`MSG_DONTWAIT`).
    pub dont_wait: bool,
    /// Leave what is read in the buffer (`MSG_PEEK`).
    pub peek: bool,
    /// Read all that was asked for (`MSG_WAITALL`).
    pub wait_all: bool,
    /// More will be written: hold back what does not fill a segment (`MSG_MORE`).
    pub more: bool,
    /// The last octet ends a record: what follows begins a segment (`MSG_EOR`).
    pub ends_record: bool,
    /// Lend the buffers, if `SO_ZEROCOPY` is set (`MSG_ZEROCOPY`).
    pub zero_copy: bool,
    /// Times to tell of the last octet, instead of those of the socket (`SO_TIMESTAMPING` in a control message).
    pub times: Option<u32>,
    /// Urgent data (`MSG_OOB`).
    pub urgent: bool,
    /// There is no memory where the data is said to be (`NULL`).
    pub no_memory: bool,
    /// Connect to this address, with data in the SYN if possible (`MSG_FASTOPEN`).
    pub fast_open: Option<SocketAddr>,
}

/// A call that may block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `accept4`; returns the new descriptor.
    Accept {
        /// The listener.
        fd: Fd,
        /// `SOCK_NONBLOCK` for the new socket.
        nonblocking: bool,
    },
    /// `connect`; without an address (`AF_UNSPEC`) it disconnects.
    Connect {
        /// The socket.
        fd: Fd,
        /// Where to.
        to: Option<SocketAddr>,
    },
    /// `read`, `recv` and the like; returns the number of octets.
    Read {
        /// The socket.
        fd: Fd,
        /// Octets at most.
        len: u64,
        /// Flags.
        flags: Flags,
    },
    /// `write`, `send` and the like; returns the number of octets.
    Write {
        /// The socket.
        fd: Fd,
        /// Octets.
        len: u64,
        /// Flags.
        flags: Flags,
    },
    /// `sendmsg` and `writev`; returns the number of octets.
    SendMessage {
        /// The socket.
        fd: Fd,
        /// Octets of each buffer.
        buffers: Vec<u64>,
        /// Flags.
        flags: Flags,
    },
    /// `splice` between a pipe and a socket or another pipe; returns the number of octets.
    Splice {
        /// Where from.
        from: Fd,
        /// Where to.
        to: Fd,
        /// Octets at most.
        len: u64,
        /// Flags: whether to wait for the pipe, and whether more follows.
        flags: Flags,
    },
    /// `close`
    Close {
        /// The descriptor.
        fd: Fd,
    },
    /// `poll`; returns how many entries have events.
    Poll {
        /// What to look for.
        entries: Vec<PollEntry>,
        /// How long; `None` is for ever.
        timeout: Option<Duration>,
    },
    /// `epoll_wait`; returns how many entries have events.
    EpollWait {
        /// The epoll descriptor.
        fd: Fd,
        /// Entries at most.
        most: usize,
        /// How long; `None` is for ever.
        timeout: Option<Duration>,
    },
}

/// A call that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    call: Call,
    /// Octets moved so far.
    moved: u64,
    /// When it returns whatever happened; `None` is never.
    pub deadline: Option<Instant>,
    /// The events found by `poll` and `epoll_wait`.
    pub found: Vec<PollEntry>,
    /// A connection that lingers.
    lingering: Option<SocketId>,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It returned a number or an error; with the events found by `poll` and `epoll_wait`.
    Done(Result<u64, Errno>, Vec<PollEntry>),
    /// It waits.
    Blocked(Pending),
}

/// A call cannot go on: `None`, or it returns.
pub(super) type Step = Option<Result<u64, Errno>>;

impl Sockets {
    /// Carry out a call as far as possible.
    pub fn begin(&mut self, now: Instant, host: &mut Host, call: Call) -> Progress {
        let timeout = match &call {
            Call::Poll { timeout, .. } | Call::EpollWait { timeout, .. } => *timeout,
            Call::Connect { fd, .. } | Call::Write { fd, .. } | Call::SendMessage { fd, .. } => {
                self.timeout(*fd, |socket| socket.send_timeout)
            }
            Call::Accept { fd, .. } | Call::Read { fd, .. } => {
                self.timeout(*fd, |socket| socket.receive_timeout)
            }
            Call::Splice { from, to, .. } => {
                let sends = self.timeout(*to, |socket| socket.send_timeout);
                sends.or(self.timeout(*from, |socket| socket.receive_timeout))
            }
            Call::Close { fd } => {
                self.get(*fd).ok().and_then(|socket| socket.linger).map(|linger| linger.time)
            }
        };
        let deadline = timeout.map(|timeout| now + timeout);
        self.resume(now, host, Pending { call, moved: 0, deadline, found: Vec::new(), lingering: None })
    }

    fn timeout(&self, fd: Fd, of: impl Fn(&Socket) -> Duration) -> Option<Duration> {
        self.get(fd).ok().map(of).filter(|timeout| !timeout.is_zero())
    }

    /// Try a waiting call again.
    pub fn resume(&mut self, now: Instant, host: &mut Host, mut pending: Pending) -> Progress {
        let step = match pending.call.clone() {
            Call::Accept { fd, nonblocking } => self.accept(host, fd, nonblocking),
            Call::Connect { fd, to } => self.connect(now, host, fd, to),
            Call::Read { fd, len, flags } => self.read(now, host, fd, len, flags, &mut pending.moved),
            Call::Write { fd, len, flags } => self.write(now, host, fd, &[len], flags, &mut pending.moved),
            Call::SendMessage { fd, buffers, flags } => {
                self.write(now, host, fd, &buffers, flags, &mut pending.moved)
            }
            Call::Splice { from, to, len, flags } => {
                self.splice(now, host, (from, to), len, flags, &mut pending.moved)
            }
            Call::Close { fd } => self.close(now, host, fd, &mut pending.lingering),
            Call::Poll { entries, .. } => {
                pending.found = self.poll(host, &entries);
                let count = pending.found.iter().filter(|entry| entry.found.any()).count();
                (count > 0).then_some(Ok(count as u64))
            }
            Call::EpollWait { fd, most, .. } => match self.epoll_poll(host, fd, most) {
                Ok(found) if found.is_empty() => None,
                Ok(found) => {
                    pending.found = found;
                    Some(Ok(pending.found.len() as u64))
                }
                Err(error) => Some(Err(error)),
            },
        };
        let expired = pending.deadline.is_some_and(|deadline| deadline <= now);
        match step {
            Some(result) => Progress::Done(result, pending.found),
            None if expired => Progress::Done(self.expire(&pending), pending.found),
            None => Progress::Blocked(pending),
        }
    }

    /// What a call returns whose time is up.
    fn expire(&mut self, pending: &Pending) -> Result<u64, Errno> {
        match pending.call {
            Call::Poll { .. } | Call::EpollWait { .. } | Call::Close { .. } => Ok(0),
            Call::Connect { .. } => Err(Errno::InProgress),
            _ if pending.moved > 0 => Ok(pending.moved),
            _ => Err(Errno::Again),
        }
    }

    fn accept(&mut self, host: &mut Host, fd: Fd, nonblocking: bool) -> Step {
        let listener = match self.get(fd) {
            Ok(socket) => socket.clone(),
            Err(error) => return Some(Err(error)),
        };
        let State::Listening(id) = listener.state else { return Some(Err(Errno::Invalid)) };
        let Some(accepted) = host.accept(id) else {
            return listener.nonblocking.then_some(Err(Errno::Again));
        };
        let socket = Socket {
            state: State::Connection(accepted),
            bound: None,
            linger: listener.linger,
            send_timeout: listener.send_timeout,
            receive_timeout: listener.receive_timeout,
            reuse_address: listener.reuse_address,
            numbers: listener.numbers,
            ..Socket::new(listener.options, nonblocking)
        };
        let fd = self.open(File::Socket(Box::new(socket)));
        Some(Ok(u64::from(fd.unsigned_abs())))
    }

    fn connect(&mut self, now: Instant, host: &mut Host, fd: Fd, to: Option<SocketAddr>) -> Step {
        let socket = match self.get_mut(fd) {
            Ok(socket) => socket,
            Err(error) => return Some(Err(error)),
        };
        let Some(to) = to else { return Some(socket.disconnect(now, host)) };
        let was_connecting = socket.connecting;
        match socket.state {
            State::Listening(_) => return Some(Err(Errno::IsConnected)),
            State::Fresh => {
                // Mapped addresses are IPv4 on the wire.
                let canonical =
                    |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
                let to = canonical(to);
                let fast_open = socket.options.tcp.fast_open;
                let fast = fast_open.on_connect && fast_open.sends();
                if fast && host.has_fast_open(&fast_open, to.ip()) {
                    // The SYN waits for the first data.
                    socket.deferred = Some(to);
                    return Some(Ok(0));
                }
                let bound = socket.bound.map(canonical);
                let opened = if fast {
                    host.connect_fast(now, socket.options.clone(), bound, to, 0).map(|(id, _)| id)
                } else {
                    host.connect(now, socket.options.clone(), bound, to)
                };
                match opened {
                    Ok(id) => socket.state = State::Connection(id),
                    Err(error) => return Some(Err(error.into())),
                }
                socket.connecting = true;
                socket.error_told = false;
                return socket.nonblocking.then_some(Err(Errno::InProgress));
            }
            State::Connection(_) if !was_connecting => return Some(Err(Errno::IsConnected)),
            State::Connection(_) => {}
        }
        let State::Connection(id) = socket.state else { return Some(Err(Errno::Invalid)) };
        let readiness = host.connection(id).map(Connection::readiness).unwrap_or_default();
        if let Some(error) = socket.take_error(host) {
            socket.connecting = false;
            socket.state = State::Fresh;
            return Some(Err(error));
        }
        if readiness.opening {
            return socket.nonblocking.then_some(Err(Errno::Already));
        }
        socket.connecting = false;
        if readiness.closed {
            socket.state = State::Fresh;
            // The error was told before.
            return Some(Err(Errno::ConnectionAborted));
        }
        Some(Ok(0))
    }

    pub(super) fn read(
        &mut self,
        now: Instant,
        host: &mut Host,
        fd: Fd,
        len: u64,
        flags: Flags,
        moved: &mut u64,
    ) -> Step {
        if let Some(end) = self.pipe_end(fd) {
            return self.use_pipe(end, len, false, true);
        }
        let socket = match self.get_mut(fd) {
            Ok(socket) => socket,
            Err(error) => return Some(Err(error)),
        };
        let waits = !(socket.nonblocking || flags.dont_wait);
        if len == 0 && socket.options.mptcp.is_some() && !matches!(socket.state, State::Listening(_)) {
            // An MPTCP socket looks no further (`mptcp_recvmsg`).
            return Some(Ok(0));
        }
        let State::Connection(id) = socket.state else {
            let shut = socket.read_shut && matches!(socket.state, State::Fresh);
            return Some(if shut { Ok(0) } else { Err(Errno::NotConnected) });
        };
        let mut readiness = host.connection(id).map(Connection::readiness).unwrap_or_default();
        let (mark, urgent) = host.connection(id).map(Connection::urgent_mark).unwrap_or_default();
        let urgent_inline = socket.has_urgent_inline();
        if flags.urgent && socket.options.mptcp.is_none() {
            return Some(match urgent.filter(|_| !urgent_inline) {
                None | Some(Urgent::Read) => Err(Errno::Invalid),
                Some(Urgent::Awaited) => Err(Errno::Again),
                Some(Urgent::Here) => {
                    if !flags.peek {
                        host.configure_later(id, Connection::read_urgent);
                    }
                    Ok(len.min(1))
                }
            });
        }
        if mark == Some(0) && !urgent_inline {
            // It is not part of the stream.
            readiness.readable -= 1;
            if !flags.peek
                && let Err(error) = host.read(now, id, 1)
            {
                return Some(Err(error.into()));
            }
        }
        let mark = mark.filter(|before| *before > 0);
        readiness.readable = mark.unwrap_or(readiness.readable);
        if readiness.opening && readiness.error.is_none() {
            return (!waits).then_some(Err(Errno::Again));
        }
        let ends = readiness.finished || readiness.ended || readiness.error.is_some() || readiness.closed;
        let finishes = ends || mark.is_some();
        let enough = readiness.readable >= socket.read_target(len - *moved);
        if readiness.readable > 0 && (enough || finishes || !waits) {
            if flags.no_memory && len > 0 {
                return Some(Err(Errno::Fault));
            }
            if flags.peek {
                return Some(Ok(readiness.readable.min(len)));
            }
            let read = match host.read(now, id, (len - *moved).min(readiness.readable)) {
                Ok(outcome) => outcome.len,
                Err(error) => return Some(Err(error.into())),
            };
            *moved += read;
            if urgent.is_some() {
                host.configure_later(id, Connection::pass_urgent);
            }
            if *moved >= len || !flags.wait_all || !waits || mark.is_some() {
                return Some(Ok(*moved));
            }
        }
        if *moved > 0 && (readiness.ended || readiness.error.is_some()) {
            return Some(Ok(*moved));
        }
        if readiness.finished {
            return Some(Ok(0));
        }
        if let Some(error) = socket.take_error(host) {
            return Some(Err(error));
        }
        if readiness.ended || socket.read_shut {
            return Some(Ok(0));
        }
        if readiness.closed {
            return Some(Err(Errno::NotConnected));
        }
        (!waits).then_some(Err(Errno::Again))
    }

    pub(super) fn write(
        &mut self,
        now: Instant,
        host: &mut Host,
        fd: Fd,
        buffers: &[u64],
        flags: Flags,
        moved: &mut u64,
    ) -> Step {
        let len: u64 = buffers.iter().sum();
        if let Some(end) = self.pipe_end(fd) {
            return self.use_pipe(end, len, true, true);
        }
        let socket = match self.get_mut(fd) {
            Ok(socket) => socket,
            Err(error) => return Some(Err(error)),
        };
        let waits = !(socket.nonblocking || flags.dont_wait);
        if matches!(socket.state, State::Fresh)
            && let Some(to) = flags.fast_open.or(socket.deferred)
        {
            let octets = if flags.no_memory { 0 } else { len };
            return match socket.connect_fast(now, host, to, octets) {
                Ok(sent) => {
                    *moved = sent;
                    socket.lend_with_syn(host, &flags, len, sent, waits);
                    let result = if sent > 0 { Ok(sent) } else { Err(Errno::InProgress) };
                    (!waits).then_some(result)
                }
                Err(error) => Some(Err(error)),
            };
        }
        let State::Connection(id) = socket.state else { return Some(Err(Errno::BrokenPipe)) };
        let partial = |error: Errno, moved: u64| if moved > 0 { Ok(moved) } else { Err(error) };
        if *moved == 0
            && let Some(error) = socket.take_error(host)
        {
            return Some(Err(error));
        }
        let readiness = host.connection(id).map(Connection::readiness).unwrap_or_default();
        if readiness.opening {
            return (!waits).then_some(Err(Errno::Again));
        }
        if readiness.closed || socket.write_shut {
            return Some(partial(Errno::BrokenPipe, *moved));
        }
        if flags.no_memory && len > 0 {
            return Some(Err(Errno::Fault));
        }
        // A thread that waits for room is woken when a third of the buffer is free.
        if *moved > 0 && !readiness.writable {
            return None;
        }
        let corks = flags.more && !socket.options.tcp.cork;
        if corks {
            host.configure(now, id, |connection| connection.expect_more(true));
        }
        if let Err(error) = socket.announce_write(host, &flags, buffers, *moved, waits) {
            return Some(Err(error));
        }
        let written = host.write(now, id, len - *moved);
        if corks {
            // What was held back stays so until something else is sent.
            host.configure_later(id, |connection| connection.expect_more(false));
        }
        match written {
            Ok(written) => *moved += written,
            Err(error) => return Some(partial(error.into(), *moved)),
        }
        if *moved < len
            && let Ok(socket) = self.get_mut(fd)
        {
            socket.found_no_room += 1;
        }
        match *moved {
            all if all >= len => Some(Ok(all)),
            0 if !waits => Some(Err(Errno::Again)),
            some if !waits => Some(Ok(some)),
            _ => None,
        }
    }

    fn close(&mut self, now: Instant, host: &mut Host, fd: Fd, lingering: &mut Option<SocketId>) -> Step {
        if let Some(id) = *lingering {
            let delivered = host.connection(id).is_none_or(Connection::is_delivered);
            return delivered.then_some(Ok(0));
        }
        let Some(file) = self.files.remove(&fd) else { return Some(Err(Errno::BadFd)) };
        for other in self.files.values_mut() {
            if let File::Epoll(watched) = other {
                watched.retain(|watch| watch.entry.fd != fd);
            }
        }
        let File::Socket(socket) = file else { return Some(Ok(0)) };
        match (socket.state, socket.linger) {
            (State::Fresh, _) => Some(Ok(0)),
            (State::Listening(id), _) => {
                host.close(now, id);
                Some(Ok(0))
            }
            (State::Connection(id), Some(linger)) if linger.time.is_zero() => {
                host.abort(id);
                Some(Ok(0))
            }
            (State::Connection(id), linger) => {
                host.close(now, id);
                if linger.is_some()
                    && host.connection(id).is_some_and(|connection| !connection.is_delivered())
                {
                    *lingering = Some(id);
                    return None;
                }
                Some(Ok(0))
            }
        }
    }
}

impl Socket {
    /// `sendto(MSG_FASTOPEN)`, or the first write after a `connect` that waited for it
    /// (`tcp_sendmsg_fastopen`). Returns the octets that the SYN carries.
    fn connect_fast(
        &mut self,
        now: Instant,
        host: &mut Host,
        to: SocketAddr,
        len: u64,
    ) -> Result<u64, Errno> {
        if !self.options.tcp.fast_open.sends() {
            return Err(Errno::NotSupported);
        }
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let bound = self.bound.map(canonical);
        let (id, sent) = host.connect_fast(now, self.options.clone(), bound, canonical(to), len)?;
        self.state = State::Connection(id);
        self.deferred = None;
        self.connecting = true;
        self.error_told = false;
        Ok(sent)
    }

    /// `connect(AF_UNSPEC)`: the connection is reset, the socket can be used again.
    fn disconnect(&mut self, now: Instant, host: &mut Host) -> Result<u64, Errno> {
        match self.state {
            State::Fresh => {}
            State::Listening(id) => host.close(now, id),
            State::Connection(id) => host.disconnect(id),
        }
        let bound = self.bound.map(|address| SocketAddr::new(address.ip(), 0));
        *self = Self {
            bound: bound.filter(|address| !address.ip().is_unspecified()),
            linger: self.linger,
            send_timeout: self.send_timeout,
            receive_timeout: self.receive_timeout,
            reuse_address: self.reuse_address,
            numbers: std::mem::take(&mut self.numbers),
            ..Self::new(self.options.clone(), self.nonblocking)
        };
        Ok(0)
    }
}
