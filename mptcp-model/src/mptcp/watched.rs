//! Writes to a plain stream of which the application wants to know what becomes of them, or that end records: as
//! `write_plain`, with an eye on where buffers begin and end (`tcp_sendmsg_locked`).

use sim_core::Instant;

use super::{Connection, Mode, State};
use crate::tcp::urgent::Urgent;
use crate::tcp::watch::{ErrorEntry, Watch, WriteNotes};
use crate::tcp::{Flow, Mapping, TcpState};

impl Connection {
    /// The watch of a socket of TCP, made if there is none.
    pub(crate) fn watch_mut(&mut self) -> Option<&mut Watch> {
        let first = self.subflows.first_mut()?;
        Some(first.flow.watch.get_or_insert_default())
    }

    /// The watch, if there is one.
    pub(crate) fn watch(&self) -> Option<&Watch> {
        self.subflows.first()?.flow.watch.as_deref()
    }

    /// Octets that can be read before the urgent one, if that is among those that can; and what became of it.
    pub(crate) fn urgent_mark(&self) -> (Option<u64>, Option<Urgent>) {
        let Some((flow, watch)) =
            self.subflows.first().and_then(|first| Some((&first.flow, first.flow.watch.as_deref()?)))
        else {
            return (None, None);
        };
        let Some((at, state)) = watch.urgent.filter(|_| self.mode == Mode::Plain) else {
            return (None, None);
        };
        let copied = copied_to(flow, self.recv.unread);
        ((at >= copied && at < copied + self.recv.unread).then(|| at - copied), Some(state))
    }

    /// The urgent octet is read beside the stream.
    pub(crate) fn read_urgent(&mut self) {
        if let Some((_, state)) = self.watch_mut().and_then(|watch| watch.urgent.as_mut()) {
            *state = Urgent::Read;
        }
    }

    /// Something was read: the urgent octet may lie behind.
    pub(crate) fn pass_urgent(&mut self) {
        let unread = self.recv.unread;
        let Some(first) = self.subflows.first_mut() else { return };
        if let Some(mut watch) = first.flow.watch.take() {
            watch.read_to(copied_to(&first.flow, unread));
            first.flow.watch = Some(watch);
        }
    }

    /// What the next write asks for.
    pub(crate) fn announce_write(&mut self, notes: WriteNotes) {
        if self.mode == Mode::Plain
            && let Some(watch) = self.watch_mut()
        {
            watch.notes = Some(notes);
        }
    }

    /// The SYN takes along `sent` octets of a write that lends `len`; it goes on, or not.
    pub(crate) fn lend_with_syn(&mut self, len: u64, sent: u64, open: bool) {
        if let Some(watch) = self.watch_mut() {
            watch.lend_with_syn(len, sent, open);
        }
    }

    /// An error of ICMP about the SYN of a socket of TCP goes into the error queue: of IPv4 always, of IPv6 if that was
    /// asked for (`ip_icmp_error`, `ipv6_icmp_error`).
    pub(crate) fn tell_icmp(&mut self, (ipv4, kind, code): (bool, u8, u8), quoted: u32) {
        let Some(first) = self.subflows.first() else { return };
        let opening = self.mode == Mode::Plain && first.flow.state() == TcpState::SynSent;
        if opening
            && self.options.mptcp.is_none()
            && (ipv4 || first.flow.config.tells_soft_errors)
            && let Some(watch) = self.watch_mut()
        {
            watch.tell(ErrorEntry::of_icmp(ipv4, kind, code, quoted));
        }
    }

    /// A write to a flow with a watch.
    pub(super) fn write_watched(&mut self, now: Instant, len: u64) -> u64 {
        if self.state == State::Opening {
            return 0;
        }
        let flow = &mut self.subflows[0].flow;
        let mut notes = flow.watch.as_mut().and_then(|watch| watch.notes.take()).unwrap_or_default();
        let mss = flow.mss_now(0);
        let goal = flow.size_goal(mss);
        flow.begin_watched(&notes, len);
        let mut accepted = 0;
        while accepted < len {
            let flow = &mut self.subflows[0].flow;
            let left = (len - accepted).min(u64::from(goal)) as u32;
            let (room, fresh) = flow.watched_room(&notes, goal, left);
            if room == 0 && (!flow.has_send_memory() || flow.holds_back()) {
                break;
            }
            let taken = if room > 0 {
                if accepted == 0 {
                    flow.reopen_tail();
                }
                let taken = left.min(room);
                flow.extend_tail(taken, 0);
                taken
            } else {
                if notes.lent.is_some() && flow.plain_tail_room(goal) > 0 {
                    // Its pieces ran out, or it belongs to another loan.
                    flow.mark_push();
                }
                flow.append(fresh, Mapping::default());
                fresh
            };
            flow.note_taken(&mut notes, taken);
            accepted += u64::from(taken);
            if accepted < len && !notes.urgent && self.subflows[0].flow.plain_tail_room(goal) == 0 {
                self.push_full_chunk(now, mss);
            }
        }
        let flow = &mut self.subflows[0].flow;
        if accepted > 0 && !self.send.more_follows {
            flow.mark_push();
        }
        flow.end_watched(&notes, accepted, len);
        self.send.written += accepted;
        accepted
    }
}

/// Offset of the first octet that was not read yet; a FIN counts in `rcv_nxt` when it is marked as taken.
const fn copied_to(flow: &Flow, unread: u64) -> u64 {
    let fin = matches!(flow.recv.fin_at, Some(u64::MAX)) as u64;
    flow.recv.rcv_nxt - fin - unread
}
