//! The program at an end of a flow: connects or accepts at its time, then goes through its steps with a
//! blocking socket, as a script would, and notes what happened when. Data is read in the steps that
//! read and nowhere else: closing with data unread is an abort, as in Linux.
//!
//! Left out: timeouts of sockets, programs that serve several clients at once.

use core::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use mptcp_model::host::{self, Host, SocketId};
use mptcp_model::mptcp::{ConnectionInfo, SocketError, SocketEvents, SocketOptions};
use sim_core::{Duration, Instant, Rate};

use crate::application::{Step, WRITE};

/// Connections that may wait to be accepted.
const BACKLOG: usize = 8;

/// What ended the steps of a program early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramError {
    /// When.
    pub at: Instant,
    /// The call that failed: `connect`, `listen`, or a step.
    pub during: String,
    /// How.
    pub error: SocketError,
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} at {}", self.during, self.error, self.at)
    }
}

impl std::error::Error for ProgramError {}

/// One step as it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRecord {
    /// The step.
    pub step: Step,
    /// When it began.
    pub begin: Instant,
    /// When it was done; `None` if it was not.
    pub end: Option<Instant>,
}

/// What a program did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// When the client called `connect()`.
    pub connect_begin: Option<Instant>,
    /// When `connect()` or `accept()` returned a connection.
    pub connected: Option<Instant>,
    /// When the first data was read.
    pub first_rx: Option<Instant>,
    /// When the last data was read.
    pub last_rx: Option<Instant>,
    /// Bytes written.
    pub sent: u64,
    /// Bytes read.
    pub received: u64,
    /// Whether the end of the peer's data was read.
    pub end_read: bool,
    /// Steps begun, in order.
    pub steps: Vec<StepRecord>,
    /// What the steps [`Step::Snapshot`] saw.
    pub snapshots: Vec<(Instant, ConnectionInfo)>,
    /// What ended the steps early.
    pub error: Option<ProgramError>,
    /// When the program ended, its socket closed.
    pub finished: Option<Instant>,
}

/// What a program is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Waiting for its start.
    Idle,
    /// Waiting for `connect()` or `accept()`.
    Opening,
    /// Between two steps.
    Next,
    Send {
        left: u64,
    },
    Rate {
        done: u64,
        total: u64,
        write: u64,
        rate: Rate,
        since: Instant,
    },
    SendUntil(Instant),
    /// `u64::MAX` reads to the end.
    Recv {
        left: u64,
    },
    SleepUntil(Instant),
    Over,
}

/// Whether a step can go on now.
enum Turn {
    Done,
    Blocked,
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Client { start: Instant, bind: Option<SocketAddr>, remote: SocketAddr },
    Server { local: SocketAddr },
}

/// The program at one end of a flow.
#[derive(Debug)]
pub struct Program {
    role: Role,
    options: SocketOptions,
    steps: Arc<[Step]>,
    listener: Option<SocketId>,
    socket: Option<SocketId>,
    /// The socket was closed or aborted.
    closed: bool,
    next: usize,
    doing: Doing,
    wake: Option<Instant>,
    record: Record,
}

impl Program {
    /// A client that connects to `remote` at `start`, from `bind` if that is given, then does `steps`.
    #[must_use]
    pub fn client(
        options: SocketOptions,
        start: Instant,
        bind: Option<SocketAddr>,
        remote: SocketAddr,
        steps: Vec<Step>,
    ) -> Self {
        Self::new(Role::Client { start, bind, remote }, options, steps, Some(start))
    }

    /// A server that listens on `local` from the beginning, accepts one connection and does `steps` with it.
    #[must_use]
    pub fn server(options: SocketOptions, local: SocketAddr, steps: Vec<Step>) -> Self {
        Self::new(Role::Server { local }, options, steps, None)
    }

    fn new(role: Role, options: SocketOptions, steps: Vec<Step>, wake: Option<Instant>) -> Self {
        Self {
            role,
            options,
            steps: steps.into(),
            listener: None,
            socket: None,
            closed: false,
            next: 0,
            doing: Doing::Idle,
            wake,
            record: Record::default(),
        }
    }

    /// What it did so far.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Its connection, once there is one.
    #[must_use]
    pub const fn socket(&self) -> Option<SocketId> {
        self.socket
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.doing == Doing::Over
    }

    fn fail(&mut self, now: Instant, during: String, error: SocketError, host: &mut Host) {
        self.record.error = Some(ProgramError { at: now, during, error });
        self.end(now, host);
    }

    fn end(&mut self, now: Instant, host: &mut Host) {
        if let (Some(socket), false) = (self.socket, self.closed) {
            host.close(now, socket);
            self.closed = true;
        }
        self.wake = None;
        self.doing = Doing::Over;
        self.record.finished = Some(now);
    }

    fn open(&mut self, now: Instant, host: &mut Host) {
        self.wake = None;
        self.doing = Doing::Opening;
        let (opened, during) = match self.role {
            Role::Client { bind, remote, .. } => {
                self.record.connect_begin = Some(now);
                let socket = host.connect(now, self.options.clone(), bind, remote);
                self.socket = socket.as_ref().ok().copied();
                (socket, "connect")
            }
            Role::Server { local } => {
                let listener = host.listen(self.options.clone(), local, BACKLOG);
                self.listener = listener.as_ref().ok().copied();
                (listener, "listen")
            }
        };
        if let Err(error) = opened {
            self.fail(now, during.to_owned(), error, host);
        }
    }

    fn accept(&mut self, now: Instant, listener: SocketId, host: &mut Host) {
        while self.socket.is_none() {
            let Some(socket) = host.accept(listener) else { return };
            self.socket = Some(socket);
            self.connected(now, host);
        }
    }

    fn connected(&mut self, now: Instant, host: &mut Host) {
        self.record.connected = Some(now);
        self.doing = Doing::Next;
        self.advance(now, host);
    }

    /// Go on until a step blocks or nothing is left.
    fn advance(&mut self, now: Instant, host: &mut Host) {
        loop {
            let result = match self.doing {
                Doing::Idle | Doing::Opening | Doing::Over => return,
                Doing::Next => match self.steps.get(self.next).copied() {
                    None => return self.end(now, host),
                    Some(step) => {
                        self.record.steps.push(StepRecord { step, begin: now, end: None });
                        self.begin(now, step, host)
                    }
                },
                _ => self.go_on(now, host),
            };
            match result {
                Ok(Turn::Blocked) => return,
                Ok(Turn::Done) => {
                    if let Some(record) = self.record.steps.last_mut() {
                        record.end = Some(now);
                    }
                    self.next += 1;
                    self.wake = None;
                    self.doing = Doing::Next;
                }
                Err(error) => {
                    let during = self.steps.get(self.next).map_or_else(String::new, Step::to_string);
                    return self.fail(now, during, error, host);
                }
            }
        }
    }

    fn begin(&mut self, now: Instant, step: Step, host: &mut Host) -> Result<Turn, SocketError> {
        let socket = self.open_socket();
        self.doing = match step {
            Step::Send(bytes) => Doing::Send { left: bytes.0 },
            Step::SendRate { bytes, rate, write } => {
                Doing::Rate { done: 0, total: bytes.0, write: write.0.max(1), rate, since: now }
            }
            Step::SendUntil(at) => Doing::SendUntil(at),
            Step::SendFor(span) => Doing::SendUntil(now + span),
            Step::Recv(bytes) => Doing::Recv { left: bytes.0 },
            Step::RecvEof => Doing::Recv { left: u64::MAX },
            Step::Sleep(span) => Doing::SleepUntil(now + span),
            Step::SleepUntil(at) => Doing::SleepUntil(at),
            Step::Shutwr => {
                host.shutdown_write(now, socket?);
                return Ok(Turn::Done);
            }
            Step::Close => {
                if let Ok(socket) = socket {
                    host.close(now, socket);
                    self.closed = true;
                }
                return Ok(Turn::Done);
            }
            Step::Disconnect => {
                host.abort(socket?);
                self.closed = true;
                return Ok(Turn::Done);
            }
            Step::Snapshot => {
                if let Some(connection) = self.socket.and_then(|socket| host.connection(socket)) {
                    self.record.snapshots.push((now, connection.info()));
                }
                return Ok(Turn::Done);
            }
        };
        self.go_on(now, host)
    }

    /// The socket, unless it was closed.
    fn open_socket(&self) -> Result<SocketId, SocketError> {
        self.socket.filter(|_| !self.closed).ok_or(SocketError::NotConnected)
    }

    fn go_on(&mut self, now: Instant, host: &mut Host) -> Result<Turn, SocketError> {
        match self.doing {
            Doing::Send { mut left } => {
                while left > 0 {
                    let (accepted, all) = self.write(now, left.min(WRITE.0), host)?;
                    left -= accepted;
                    self.doing = Doing::Send { left };
                    if !all {
                        return Ok(Turn::Blocked);
                    }
                }
                Ok(Turn::Done)
            }
            Doing::Rate { mut done, total, write, rate, since } => loop {
                let due = since + time_of(done, rate);
                if due > now {
                    self.wake = Some(due);
                    return Ok(Turn::Blocked);
                }
                if done == total {
                    return Ok(Turn::Done);
                }
                let (accepted, all) = self.write(now, write.min(total - done), host)?;
                done += accepted;
                self.doing = Doing::Rate { done, total, write, rate, since };
                if !all {
                    return Ok(Turn::Blocked);
                }
            },
            Doing::SendUntil(end) => {
                if now >= end {
                    return Ok(Turn::Done);
                }
                while self.write(now, WRITE.0, host)?.1 {}
                self.wake = Some(end);
                Ok(Turn::Blocked)
            }
            Doing::Recv { left } => self.recv(now, left, host),
            Doing::SleepUntil(end) if now < end => {
                self.wake = Some(end);
                Ok(Turn::Blocked)
            }
            Doing::SleepUntil(_) | Doing::Idle | Doing::Opening | Doing::Next | Doing::Over => Ok(Turn::Done),
        }
    }

    /// Write once the socket polls writable; how much was accepted, and whether that was all.
    fn write(&mut self, now: Instant, len: u64, host: &mut Host) -> Result<(u64, bool), SocketError> {
        let socket = self.open_socket()?;
        if !host.poll_writable(socket)? {
            return Ok((0, false));
        }
        let accepted = host.write(now, socket, len)?;
        self.record.sent += accepted;
        Ok((accepted, accepted == len))
    }

    fn recv(&mut self, now: Instant, mut left: u64, host: &mut Host) -> Result<Turn, SocketError> {
        let socket = self.open_socket()?;
        while left > 0 {
            let outcome = host.read(now, socket, left)?;
            if outcome.len > 0 {
                self.record.first_rx.get_or_insert(now);
                self.record.last_rx = Some(now);
                self.record.received += outcome.len;
                if left < u64::MAX {
                    left -= outcome.len;
                }
                self.doing = Doing::Recv { left };
            }
            if outcome.end {
                self.record.end_read = true;
                return Ok(Turn::Done);
            }
            if outcome.len == 0 {
                return Ok(Turn::Blocked);
            }
        }
        Ok(Turn::Done)
    }
}

/// How long `bytes` take at `rate`.
pub(crate) fn time_of(bytes: u64, rate: Rate) -> Duration {
    let nanos = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(rate.as_bps());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl host::Application for Program {
    fn start(&mut self, now: Instant, host: &mut Host) {
        match self.role {
            Role::Client { start, .. } if start > now => {}
            Role::Client { .. } | Role::Server { .. } => self.open(now, host),
        }
    }

    fn on_event(&mut self, now: Instant, socket: SocketId, events: SocketEvents, host: &mut Host) {
        if Some(socket) == self.listener {
            self.accept(now, socket, host);
        } else if Some(socket) == self.socket {
            if self.doing != Doing::Opening {
                self.advance(now, host);
            } else if events.connected {
                self.connected(now, host);
            } else if events.failed {
                let error = host.connection(socket).and_then(mptcp_model::mptcp::Connection::error);
                self.closed = true;
                self.fail(now, "connect".to_owned(), error.unwrap_or(SocketError::NotConnected), host);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.wake
    }

    fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        if self.wake.is_none_or(|wake| wake > now) {
            return;
        }
        self.wake = None;
        if self.doing == Doing::Idle {
            self.open(now, host);
        } else {
            self.advance(now, host);
        }
    }
}
