//! Poll events (`tcp_poll`, `mptcp_poll`) and epoll.

use super::{Errno, Fd, File, Sockets, State, error_queue};
use crate::host::Host;
use crate::mptcp::Connection;
use crate::tcp::urgent::Urgent;

/// A set of poll events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PollEvents(pub u32);

impl PollEvents {
    /// `POLLIN`
    pub const IN: Self = Self(0x1);
    /// `POLLPRI`
    pub const PRI: Self = Self(0x2);
    /// `POLLOUT`
    pub const OUT: Self = Self(0x4);
    /// `POLLERR`
    pub const ERR: Self = Self(0x8);
    /// `POLLHUP`
    pub const HUP: Self = Self(0x10);
    /// `POLLNVAL`
    pub const NVAL: Self = Self(0x20);
    /// `POLLRDNORM`
    pub const RDNORM: Self = Self(0x40);
    /// `POLLWRNORM`
    pub const WRNORM: Self = Self(0x100);
    /// `POLLRDHUP`
    pub const RDHUP: Self = Self(0x2000);
    /// `EPOLLONESHOT`
    pub const ONE_SHOT: Self = Self(1 << 30);
    /// `EPOLLET`
    pub const EDGE: Self = Self(1 << 31);

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there is any event.
    #[must_use]
    pub const fn any(self) -> bool {
        self.0 != 0
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn add(&mut self, when: bool, events: Self) {
        if when {
            self.0 |= events.0;
        }
    }
}

/// One entry of `poll`, or of what `epoll_wait` found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PollEntry {
    /// Descriptor; negative ones are passed over.
    pub fd: Fd,
    /// Events asked for.
    pub wanted: PollEvents,
    /// Events found.
    pub found: PollEvents,
    /// What the application gave with the descriptor (epoll only).
    pub data: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    pub(super) entry: PollEntry,
    /// Told, and nothing new since.
    told: PollEvents,
    told_stamp: u64,
    /// How often a write had found no room.
    told_space: u64,
    disarmed: bool,
}

/// What `epoll_ctl` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpollChange {
    /// `EPOLL_CTL_ADD`
    Add,
    /// `EPOLL_CTL_MOD`
    Modify,
    /// `EPOLL_CTL_DEL`
    Delete,
}

impl Sockets {
    /// Events of one descriptor, whether asked for or not.
    fn events(&self, host: &Host, fd: Fd) -> PollEvents {
        let mut events = PollEvents::default();
        if let Some(end) = self.pipe_end(fd) {
            return self.pipe_events(end);
        }
        let Ok(socket) = self.get(fd) else { return PollEvents::NVAL };
        let input = PollEvents::IN.with(PollEvents::RDNORM);
        let output = PollEvents::OUT.with(PollEvents::WRNORM);
        match socket.state {
            State::Fresh => {
                events = output.with(PollEvents::HUP);
                events.add(socket.read_shut, input.with(PollEvents::RDHUP));
            }
            State::Listening(id) => events.add(host.has_ready(id), input),
            State::Connection(id) => {
                let Some(connection) = host.connection(id) else { return PollEvents::NVAL };
                let readiness = connection.readiness();
                let ended = readiness.ended || socket.read_shut;
                let both_shut = ended && socket.write_shut;
                events.add(readiness.closed || both_shut, PollEvents::HUP);
                events.add(ended, input.with(PollEvents::RDHUP));
                if !readiness.opening {
                    let (mark, urgent) = connection.urgent_mark();
                    let beside = mark == Some(0) && !socket.has_urgent_inline();
                    let readable = readiness.readable - u64::from(beside);
                    events.add(readable >= socket.read_target(u64::MAX), input);
                    events.add(urgent == Some(Urgent::Here), PollEvents::PRI);
                    let write_shut = socket.write_shut || readiness.closed;
                    events.add(write_shut || readiness.writable, output);
                }
                events.add(readiness.error.is_some() && !socket.error_told, PollEvents::ERR);
                let soft = connection.soft_error.is_some_and(|(count, _)| count != socket.soft_errors_told);
                events.add(soft || error_queue::state_of(connection).0, PollEvents::ERR);
            }
        }
        events.add(socket.pending_error.is_some(), PollEvents::ERR);
        events
    }

    /// The entries with what was found; errors and hang-ups are always told.
    pub(super) fn poll(&self, host: &Host, entries: &[PollEntry]) -> Vec<PollEntry> {
        let always = PollEvents::ERR.with(PollEvents::HUP).with(PollEvents::NVAL);
        entries
            .iter()
            .map(|entry| {
                let found = if entry.fd < 0 { PollEvents::default() } else { self.events(host, entry.fd) };
                PollEntry { found: found.and(entry.wanted.with(always)), ..*entry }
            })
            .collect()
    }

    /// `epoll_ctl`
    ///
    /// # Errors
    /// EEXIST, ENOENT, EBADF, and EINVAL if `epoll` is not an epoll descriptor.
    pub fn epoll_ctl(&mut self, epoll: Fd, change: EpollChange, entry: PollEntry) -> Result<(), Errno> {
        if !self.files.contains_key(&entry.fd) {
            return Err(Errno::BadFd);
        }
        let watched = match self.files.get_mut(&epoll) {
            Some(File::Epoll(watched)) => watched,
            Some(_) => return Err(Errno::Invalid),
            None => return Err(Errno::BadFd),
        };
        let known = watched.iter().position(|watch| watch.entry.fd == entry.fd);
        let fresh =
            Watch { entry, told: PollEvents::default(), told_stamp: 0, told_space: 0, disarmed: false };
        match (change, known) {
            (EpollChange::Add, Some(_)) => return Err(Errno::Exists),
            (EpollChange::Add, None) => watched.push(fresh),
            (_, None) => return Err(Errno::NoEntry),
            (EpollChange::Modify, Some(index)) => watched[index] = fresh,
            (EpollChange::Delete, Some(index)) => {
                watched.remove(index);
            }
        }
        Ok(())
    }

    /// The watched descriptors that have events, at most `most`.
    pub(super) fn epoll_poll(&mut self, host: &Host, fd: Fd, most: usize) -> Result<Vec<PollEntry>, Errno> {
        let mut watched = match self.files.get(&fd) {
            Some(File::Epoll(watched)) => watched.clone(),
            Some(_) => return Err(Errno::Invalid),
            None => return Err(Errno::BadFd),
        };
        let mut ready = Vec::new();
        for watch in &mut watched {
            let [entry] = self.poll(host, &[watch.entry])[..] else { continue };
            let edge = watch.entry.wanted.and(PollEvents::EDGE).any();
            let (stamp, space) = self.activity(host, entry.fd);
            watch.told = watch.told.and(entry.found);
            let room = entry.found.and(PollEvents::OUT).any() && space != watch.told_space;
            let news = !edge || entry.found != watch.told || stamp != watch.told_stamp || room;
            if entry.found.any() && news && !watch.disarmed && ready.len() < most {
                watch.disarmed = watch.entry.wanted.and(PollEvents::ONE_SHOT).any();
                (watch.told, watch.told_stamp, watch.told_space) = (entry.found, stamp, space);
                ready.push(entry);
            }
        }
        self.files.insert(fd, File::Epoll(watched));
        Ok(ready)
    }

    /// Grows with everything that wakes an edge-triggered waiter: data that arrived, entries of the error queue; and
    /// how often a write found no room, since only then is a waiter woken when there is some.
    fn activity(&self, host: &Host, fd: Fd) -> (u64, u64) {
        let stamp = self.connection(host, fd).map_or(0, |connection: &Connection| {
            let told = error_queue::state_of(connection).1;
            connection.info().bytes_received + told + u64::from(connection.readiness().ended)
        });
        (stamp, self.get(fd).map_or(0, |socket| socket.found_no_room))
    }
}
