//! The error queue of a socket (`recvmsg` with `MSG_ERRQUEUE`), and what fills it: `SO_TIMESTAMPING`, `MSG_ZEROCOPY`,
//! and errors of ICMP about a SYN. On Linux 6.18 sockets of MPTCP know the call, and nothing ever comes to their queue.
//!
//! Left out: times of data that is read in parts, which are those of the last that arrived; statistics with timestamps (`OPT_STATS`), and the address that errors come with.

use std::collections::VecDeque;

use sim_core::Instant;

use super::calls::Flags;
use super::{Errno, Fd, PlainOption, Socket, Sockets, State};
use crate::host::Host;
use crate::mptcp::Connection;
pub use crate::tcp::watch::ErrorEntry;
use crate::tcp::watch::{OPT_ID, TX_ACK, TX_SCHED, TX_SOFTWARE, WriteNotes};

/// `SO_EE_ORIGIN_ICMP`, `SO_EE_ORIGIN_ICMP6`
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;
/// All bits of `SO_TIMESTAMPING` (`SOF_TIMESTAMPING_MASK` of Linux 6.18).
const KNOWN: i64 = (1 << 19) - 1;
/// `SOF_TIMESTAMPING_SOFTWARE`: times of the kernel's clock are told.
const SOFTWARE: i64 = 1 << 4;
/// `SOF_TIMESTAMPING_RX_SOFTWARE`
const RX_SOFTWARE: i64 = 1 << 3;
/// `SOF_TIMESTAMPING_OPT_STATS`
const OPT_STATS: i64 = 1 << 12;
/// `SOF_TIMESTAMPING_OPT_ID_TCP`
const OPT_ID_TCP: i64 = 1 << 16;
/// Bits that a message may choose for itself (`SOF_TIMESTAMPING_TX_RECORD_MASK`), hardware and completion included.
const RECORD: u32 = 1 | TX_SOFTWARE | TX_SCHED | TX_ACK | 1 << 18;

/// A message from the error queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorMessage {
    /// The entry; without its time, if the socket does not want to know it.
    pub entry: ErrorEntry,
    /// Octets read of the packet.
    pub len: u32,
    /// There were more (`MSG_TRUNC`).
    pub truncated: bool,
}

impl Sockets {
    /// `recvmsg` with `MSG_ERRQUEUE` and room for `most` octets; never waits.
    ///
    /// # Errors
    /// EAGAIN if the queue is empty, EBADF.
    pub fn read_error(&mut self, host: &mut Host, fd: Fd, most: u64) -> Result<ErrorMessage, Errno> {
        let socket = self.get(fd)?;
        let tells_times = socket.timestamping() & SOFTWARE != 0;
        let State::Connection(id) = socket.state else { return Err(Errno::Again) };
        let mut found = None;
        host.configure_later(id, |connection| {
            if connection.watch().is_some() {
                found = connection.watch_mut().and_then(|watch| watch.errors.pop_front());
            }
        });
        let mut entry = found.ok_or(Errno::Again)?;
        if matches!(entry.origin, ORIGIN_ICMP | ORIGIN_ICMP6) {
            // The error is told by this (`sock_dequeue_err_skb`).
            self.get_mut(fd)?.error_told = true;
        }
        entry.at = entry.at.filter(|_| tells_times);
        let len = u32::try_from(most).unwrap_or(u32::MAX).min(entry.len);
        Ok(ErrorMessage { entry, len, truncated: len < entry.len })
    }
}

impl Sockets {
    /// When the last data arrived, if the socket is to tell (`SCM_TIMESTAMPING` of what is read).
    #[must_use]
    pub fn received_at(&self, host: &Host, fd: Fd) -> Option<Instant> {
        let asked = self.get(fd).ok()?.timestamping();
        let told = asked & SOFTWARE != 0 && asked & RX_SOFTWARE != 0;
        let connection = self.connection(host, fd).filter(|_| told)?;
        connection.subflows().iter().map(|subflow| subflow.flow.recv.last_data()).max()
    }

    /// Whether reads tell how much is left (`TCP_INQ`).
    #[must_use]
    pub fn tells_left(&self, fd: Fd) -> bool {
        self.get(fd).is_ok_and(|socket| socket.numbers.get(&PlainOption::Inq).is_some_and(|on| *on != 0))
    }
}

/// Whether the error queue holds something, and how many entries were ever added.
pub(super) fn state_of(connection: &Connection) -> (bool, u64) {
    connection.watch().map_or((false, 0), |watch| (!watch.errors.is_empty(), watch.told))
}

impl Socket {
    fn timestamping(&self) -> i64 {
        self.numbers.get(&PlainOption::Timestamping).copied().unwrap_or(0)
    }

    /// Whether `SO_TIMESTAMPING` may be set so (`sock_set_timestamping`).
    pub(super) fn check_timestamping(&self, host: &Host, value: i64) -> Result<(), Errno> {
        let has = |bit: i64| value & bit != 0;
        let id = i64::from(OPT_ID);
        if value & !KNOWN != 0 || (has(OPT_ID_TCP) && !has(id)) {
            return Err(Errno::Invalid);
        }
        let open = match self.state {
            State::Connection(id) => host.connection(id).is_some_and(|found| !found.readiness().closed),
            _ => false,
        };
        if has(id) && self.timestamping() & id == 0 && !open && self.options.mptcp.is_none() {
            return Err(Errno::Invalid);
        }
        if has(OPT_STATS) && value & i64::from(crate::tcp::watch::OPT_TSONLY) == 0 {
            return Err(Errno::Invalid);
        }
        Ok(())
    }

    /// What `SO_TIMESTAMPING` and `SO_ZEROCOPY` change in the connection; `before` is the value there was.
    pub(super) fn watch_sending(&mut self, now: Instant, host: &mut Host, before: i64) {
        if self.options.mptcp.is_some() {
            return;
        }
        // Acknowledgments are looked at closely from now on.
        self.change_tcp(now, host, |tcp| tcp.header_prediction = false);
        let value = self.timestamping();
        let State::Connection(id) = self.state else { return };
        host.configure_later(id, |connection| {
            let Some(flow) = connection.subflows().first().map(|subflow| &subflow.flow) else { return };
            let base = if value & OPT_ID_TCP != 0 { flow.queue.write_end } else { flow.snd_una };
            if let Some(watch) = connection.watch_mut() {
                watch.timestamping = value as u32;
                if value & i64::from(OPT_ID) != 0 && before & i64::from(OPT_ID) == 0 {
                    watch.key_base = base;
                }
            }
        });
    }

    /// The SYN carries `sent` octets of `len` that a write with these flags lends.
    pub(super) fn lend_with_syn(&self, host: &mut Host, flags: &Flags, len: u64, sent: u64, waits: bool) {
        let State::Connection(id) = self.state else { return };
        if self.options.mptcp.is_none() && sent > 0 && self.lends(flags) {
            host.configure_later(id, |connection| connection.lend_with_syn(len, sent, waits && sent < len));
        }
    }

    fn lends(&self, flags: &Flags) -> bool {
        flags.zero_copy && self.numbers.get(&PlainOption::ZeroCopy).is_some_and(|on| *on != 0)
    }

    /// Tells the flow what the write asks for that comes next, with `moved` octets of it taken before.
    ///
    /// # Errors
    /// EINVAL if the times chosen are no such.
    pub(super) fn announce_write(
        &self,
        host: &mut Host,
        flags: &Flags,
        buffers: &[u64],
        moved: u64,
        waits: bool,
    ) -> Result<(), Errno> {
        if self.options.mptcp.is_some() {
            return Ok(());
        }
        let mut times = self.timestamping() as u32;
        if let Some(chosen) = flags.times {
            if chosen & !RECORD != 0 {
                return Err(Errno::Invalid);
            }
            times = times & !RECORD | chosen;
        }
        let lends = self.lends(flags);
        let State::Connection(id) = self.state else { return Ok(()) };
        let watched = host.connection(id).is_some_and(|connection| connection.watch().is_some());
        if !(watched || lends || flags.ends_record || flags.urgent || times != 0) {
            return Ok(());
        }
        let lent = lends.then(|| {
            let mut before = moved;
            let mut left = VecDeque::with_capacity(buffers.len());
            for len in buffers {
                let skipped = before.min(*len);
                before -= skipped;
                left.extend(u32::try_from(len - skipped).ok().filter(|len| *len > 0));
            }
            left
        });
        let notes = WriteNotes {
            lent,
            begins: moved == 0,
            waits,
            ends_record: flags.ends_record,
            urgent: flags.urgent,
            times,
        };
        let timestamping = self.timestamping() as u32;
        host.configure_later(id, |connection| {
            connection.announce_write(notes);
            if let Some(watch) = connection.watch_mut() {
                watch.timestamping = timestamping;
            }
        });
        Ok(())
    }
}
