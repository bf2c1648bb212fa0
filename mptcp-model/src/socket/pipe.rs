//! Pipes, and `splice` between them and sockets.
//!
//! Left out: what a pipe holds counts in octets, not in pages, so that many small segments fill it later than on
//! Linux; offsets of files.

use sim_core::Instant;

use super::calls::{Flags, Step};
use super::poll::PollEvents;
use super::{Errno, Fd, File, Sockets};
use crate::host::Host;

/// Octets that a pipe holds: 16 pages.
const ROOM: u64 = 65_536;

/// One end of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PipeEnd {
    pipe: u32,
    writes: bool,
}

impl Sockets {
    /// `pipe`: the ends to read from and to write to.
    pub fn pipe(&mut self) -> (Fd, Fd) {
        let pipe = self.next_pipe;
        self.next_pipe += 1;
        self.pipes.insert(pipe, 0);
        let read = self.open(File::Pipe(PipeEnd { pipe, writes: false }));
        (read, self.open(File::Pipe(PipeEnd { pipe, writes: true })))
    }

    /// The end behind a descriptor, if it is one of a pipe.
    pub(super) fn pipe_end(&self, fd: Fd) -> Option<PipeEnd> {
        match self.files.get(&fd) {
            Some(File::Pipe(end)) => Some(*end),
            _ => None,
        }
    }

    fn held(&self, end: PipeEnd) -> u64 {
        self.pipes.get(&end.pipe).copied().unwrap_or(0)
    }

    fn other_end_is_open(&self, end: PipeEnd) -> bool {
        let other = PipeEnd { writes: !end.writes, ..end };
        self.files.values().any(|file| matches!(file, File::Pipe(found) if *found == other))
    }

    /// Reads from or writes to an end of a pipe.
    pub(super) fn use_pipe(&mut self, end: PipeEnd, len: u64, writes: bool, waits: bool) -> Step {
        if end.writes != writes {
            return Some(Err(Errno::BadFd));
        }
        let open = self.other_end_is_open(end);
        let held = self.held(end);
        let moved = match writes {
            true if !open => return Some(Err(Errno::BrokenPipe)),
            true => len.min(ROOM - held),
            false => len.min(held),
        };
        if moved == 0 && len > 0 {
            if !writes && !open {
                return Some(Ok(0));
            }
            return (!waits).then_some(Err(Errno::Again));
        }
        self.pipes.insert(end.pipe, if writes { held + moved } else { held - moved });
        Some(Ok(moved))
    }

    pub(super) fn pipe_events(&self, end: PipeEnd) -> PollEvents {
        let (held, open) = (self.held(end), self.other_end_is_open(end));
        let none = PollEvents::default();
        let when = |holds: bool, events: PollEvents| if holds { events } else { none };
        let (ready, gone) = if end.writes {
            (when(held < ROOM, PollEvents::OUT.with(PollEvents::WRNORM)), PollEvents::ERR)
        } else {
            (when(held > 0, PollEvents::IN.with(PollEvents::RDNORM)), PollEvents::HUP)
        };
        ready.with(when(!open, gone))
    }

    /// `splice` of up to `len` octets.
    pub(super) fn splice(
        &mut self,
        now: Instant,
        host: &mut Host,
        (from, to): (Fd, Fd),
        len: u64,
        flags: Flags,
        moved: &mut u64,
    ) -> Step {
        for fd in [from, to] {
            if !self.files.contains_key(&fd) {
                return Some(Err(Errno::BadFd));
            }
        }
        let (source, sink) = (self.pipe_end(from), self.pipe_end(to));
        if source.is_some_and(|end| end.writes) || sink.is_some_and(|end| !end.writes) {
            return Some(Err(Errno::BadFd));
        }
        if len == 0 {
            return Some(Ok(0));
        }
        match (source, sink) {
            (None, None) => Some(Err(Errno::Invalid)),
            (Some(source), Some(sink)) if source.pipe == sink.pipe => Some(Err(Errno::Invalid)),
            (Some(source), None) => {
                let held = self.held(source);
                if held == 0 && *moved == 0 {
                    let over = !self.other_end_is_open(source);
                    return if over { Some(Ok(0)) } else { flags.dont_wait.then_some(Err(Errno::Again)) };
                }
                // Whether a socket waits is its own choice.
                let (before, len) = (*moved, (held + *moved).min(len));
                let flags = Flags { dont_wait: false, ..flags };
                let step = self.write(now, host, to, &[len], flags, moved);
                self.pipes.insert(source.pipe, held - (*moved - before));
                step
            }
            (_, Some(sink)) => {
                let room = ROOM - self.held(sink);
                if !self.other_end_is_open(sink) {
                    return Some(Err(Errno::BrokenPipe));
                }
                if room == 0 {
                    return flags.dont_wait.then_some(Err(Errno::Again));
                }
                let step = match source {
                    Some(source) => self.use_pipe(source, len.min(room), false, !flags.dont_wait),
                    // Whether a socket waits is its own choice (`tcp_splice_read`).
                    None => self.read(now, host, from, len.min(room), Flags::default(), moved),
                };
                if let Some(Ok(read)) = step {
                    self.pipes.insert(sink.pipe, self.held(sink) + read);
                }
                step
            }
        }
    }
}
