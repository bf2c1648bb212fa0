//! Reading and closing: what the application does with the socket, DATA_FIN and its acknowledgment
//! (RFC 8684, section 3.3.3), the end of subflows, MP_FASTCLOSE and resets (sections 3.5 and 3.6).

use sim_core::{Duration, Instant};

use super::machine::{Event, Step};
use super::receive::ReadMeasure;
use super::subflow::Bare;
use super::{Connection, Happened, Mode, Role, SocketError, Stage, State};
use crate::crypto::Version;
use crate::path_manager::{CloseReason, PathEvent, ResetReason};
use crate::tcp::{OutputDue, TcpState};
use crate::wire::mptcp::{TCPRST_TRANSIENT, reset_reason};
use crate::wire::options::ParsedOptions;
use crate::wire::{MpOption, TcpSegment};

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOutcome {
    /// Octets read.
    pub len: u64,
    /// The end of the stream was reached: nothing will follow.
    pub end: bool,
}

impl Connection {
    /// Read up to `most` octets.
    pub fn read(&mut self, now: Instant, most: u64) -> ReadOutcome {
        let len = self.recv.unread.min(most);
        if len > 0 {
            match self.mode {
                Mode::Multipath => self.read_multipath(now, len),
                _ => self.read_plain(now, len),
            }
        }
        ReadOutcome { len, end: self.recv.unread == 0 && (self.recv.fin_done || self.error.is_some()) }
    }

    /// Whether an ACK is to leave at once.
    pub(crate) fn ack_due(&self) -> bool {
        self.subflows.iter().any(|subflow| subflow.flow.recv.ack_now)
    }

    fn read_plain(&mut self, now: Instant, len: u64) {
        self.recv.unread -= len;
        let Some(subflow) = self.subflows.first_mut() else { return };
        let flow = &mut subflow.flow;
        let share = flow.recv.unread_truesize * len / (self.recv.unread + len);
        flow.note_read(now, len, share);
        let all_read = self.recv.unread == 0 && flow.recv.ooo_bytes == 0;
        let space = flow.recv.space();
        flow.ack_after_read(all_read, space);
    }

    fn read_multipath(&mut self, now: Instant, len: u64) {
        let subflows = &self.subflows;
        let follow = self.recv.read(now, len, || {
            // A join is no socket before its third ACK.
            let live = subflows.iter().filter(|subflow| {
                subflow.stage != Stage::Gone && subflow.flow.state() != TcpState::SynReceived
            });
            let receivers = live.map(|subflow| &subflow.flow.recv);
            ReadMeasure::of(receivers.map(|recv| (recv.rtt(), recv.scaling_ratio)))
        });
        // What waits for a gap keeps the memory in use (`rx_empty` in `mptcp_cleanup_rbuf`).
        let all_read = self.recv.unread == 0 && self.recv.ooo_bytes == 0;
        let space = self.recv.space();
        let shared = self.out_of_tree && self.options.tcp.adv_win_scale.is_some();
        if shared && follow.is_some() {
            self.follow_buffer();
        }
        for subflow in &mut self.subflows {
            if subflow.stage == Stage::Gone || !subflow.flow.is_synchronized() {
                continue;
            }
            if let Some(copied) = follow.filter(|_| !shared) {
                subflow.flow.recv.grow_buffer(copied);
            }
            subflow.flow.ack_after_read(all_read, space);
        }
    }

    /// No more will be written: a DATA_FIN, or a FIN, follows the data (`shutdown(SHUT_WR)`).
    pub fn shutdown_write(&mut self, now: Instant) {
        if self.write_shut {
            return;
        }
        self.write_shut = true;
        if self.state == State::Opening && self.mode == Mode::Offered {
            return;
        }
        self.queue_data_fin(now);
    }

    pub(crate) fn queue_data_fin(&mut self, now: Instant) {
        if self.mode != Mode::Multipath {
            if let Some(subflow) = self.subflows.first_mut() {
                subflow.flow.close_send();
            }
            self.advance(Event::Close);
            return;
        }
        if !self.advance(Event::Close) {
            return;
        }
        self.send.fin_queued = true;
        if !self.out_of_tree {
            self.forget_opening_joins();
        }
        self.check_data_fin_send(now);
    }

    /// Once all data was handed down, the DATA_FIN goes out on every subflow
    /// (`mptcp_check_send_data_fin`).
    pub(crate) fn check_data_fin_send(&mut self, now: Instant) {
        let send = &mut self.send;
        if !send.fin_queued || send.nxt != send.written || send.has_pending() {
            return;
        }
        send.nxt += 1;
        if self.out_of_tree {
            self.send_data_fin(true);
            if self.send.timer.is_none() {
                self.reset_send_timer(now);
            }
            return;
        }
        self.ack_all_subflows();
        if self.send.timer.is_none() {
            self.restart_send_timer(now);
        }
    }

    /// Every subflow acknowledges, with what the DSS has to say (`mptcp_send_ack`).
    pub(crate) fn ack_all_subflows(&mut self) {
        for subflow in &mut self.subflows {
            let listens = subflow.stage != Stage::Gone && !subflow.retired;
            if listens && subflow.flow.is_synchronized() {
                subflow.flow.due.add(OutputDue::BARE_ACK);
            }
        }
    }

    /// The peer acknowledged our DATA_FIN (`mptcp_check_data_fin_ack`).
    pub(crate) fn data_fin_acked(&mut self) {
        self.send.fin_acked = true;
        self.send.timer = None;
        match self.state {
            State::FinWait1 => {
                self.advance(Event::FinAcked);
                if self.out_of_tree {
                    self.oot_fin_acked();
                }
            }
            State::Closing | State::LastAck => self.finish_connection(Event::FinAcked),
            _ => {}
        }
    }

    /// The DATA_FIN of the peer may be next. Upstream Linux finds out in its worker, after the ACKs that the
    /// segment made due and the DATA_ACK it brought.
    #[inline]
    pub(crate) fn check_data_fin(&mut self, index: usize) {
        if self.recv.fin_at.is_none() || self.recv.fin_done {
            return;
        }
        if self.out_of_tree {
            if !self.waits_for_own_fin() && self.recv.take_fin() {
                self.data_fin_received(index);
            }
        } else {
            self.work_due = true;
        }
    }

    /// What a segment left for later (`mptcp_worker`): the acknowledgment of the DATA_FIN, that of the peer, and its
    /// FINs on subflows, which are answered while the connection is open. Returns whether there was something.
    pub(super) fn work(&mut self, now: Instant) -> bool {
        if !std::mem::take(&mut self.work_due) {
            return false;
        }
        self.recv.changed();
        for subflow in &mut self.subflows {
            // What follows the FINs and the resets of all subflows.
            let flow = &mut subflow.flow;
            if flow.fin_sent && std::mem::take(&mut flow.ack_after_fin) {
                flow.due.add(OutputDue::BARE_ACK);
            }
            if subflow.bare_reset == Bare::Follows {
                subflow.bare_reset = Bare::Due;
                subflow.flow.due.add(OutputDue::RESET);
            }
        }
        if self.mode != Mode::Multipath {
            return true;
        }
        if self.send.fin_enabled() && self.send.una > self.send.written {
            self.data_fin_acked();
        }
        if self.recv.fin_at.is_some() && self.recv.take_fin() {
            self.data_fin_received(0);
        }
        for index in 0..self.subflows.len() {
            let subflow = &self.subflows[index];
            if self.state == State::Established
                && subflow.stage != Stage::Gone
                && !subflow.retired
                && subflow.flow.state() == TcpState::CloseWait
            {
                self.subflow_fin(now, index);
            }
        }
        true
    }

    fn data_fin_received(&mut self, index: usize) {
        self.events.note(Happened::READABLE);
        if self.out_of_tree {
            return self.oot_data_fin_received(index);
        }
        match self.state {
            State::FinWait2 => {
                self.finish_connection(Event::FinReceived);
                for subflow in self.subflows.iter_mut().filter(|subflow| !subflow.retired) {
                    subflow.flow.ack_after_fin = true;
                }
                self.work_due = true;
                return;
            }
            _ => {
                self.advance(Event::FinReceived);
            }
        }
        self.ack_all_subflows();
    }

    /// Both directions are done by `event`: close the subflows.
    pub(super) fn finish_connection(&mut self, event: Event) {
        let passive = self.state == State::LastAck;
        self.advance(event);
        self.close_timer = None;
        self.forget_opening_joins();
        if self.out_of_tree && passive {
            // The other end closed first; each FIN of it is answered.
            self.answer_fins();
        } else {
            self.close_subflows();
        }
    }

    pub(super) fn close_subflows(&mut self) {
        for subflow in &mut self.subflows {
            if subflow.stage != Stage::Gone {
                subflow.flow.close_send();
            }
        }
    }

    /// A connection that is being closed takes no new subflow: a join under way is forgotten, and whatever
    /// answers it meets a reset (JOIN-21).
    pub(super) fn forget_opening_joins(&mut self) {
        let over = self.state == State::Closed;
        for subflow in &mut self.subflows {
            if subflow.stage == Stage::Opening && (subflow.initiated || over) {
                subflow.step(Step::Ended);
                subflow.flow.finish(CloseReason::Normal);
            }
        }
    }

    /// Whether this is TCP below a socket of MPTCP: it turned in the middle, or its request was answered without
    /// MPTCP. A passive open of TCP has a socket of TCP.
    pub(super) fn turned(&self) -> bool {
        let asked =
            self.options.mptcp.is_some() && self.subflows.first().is_some_and(|first| first.initiated);
        self.mode == Mode::Plain && (self.keys.remote.is_some() || asked) && !self.out_of_tree
    }

    /// The application closes the socket. Unread data means an abort (CLOSE-17).
    pub fn close(&mut self, now: Instant) {
        if self.orphaned {
            return;
        }
        // What arrived before a connection turned TCP in the middle is forgotten without a reset: Linux no longer
        // finds it in the queue of the connection.
        let turned = self.turned();
        if self.recv.unread > 0 && !turned {
            if self.mode != Mode::Multipath {
                // What nobody read is gone when the reset leaves.
                self.subflows[0].flow.recv.unread_truesize = 0;
            }
            self.abort();
            self.orphaned = true;
            return;
        }
        let dropped = turned && std::mem::take(&mut self.recv.unread) > 0;
        self.orphaned = true;
        if self.state == State::Opening {
            let initial = &mut self.subflows[0].flow;
            if initial.state() == TcpState::SynReceived && !initial.passive {
                // Both sides open: the FIN follows the SYN/ACK (`tcp_close_state`).
                initial.close_send();
            } else {
                self.abort();
            }
            return;
        }
        self.shutdown_write(now);
        if self.mode != Mode::Multipath {
            let flow = &mut self.subflows[0].flow;
            // The socket of a connection that turned keeps that of the flow while it ends.
            flow.orphaned = !turned || dropped;
            if flow.config.no_fin_wait && flow.state() == TcpState::FinWait2 {
                return self.abort();
            }
        }
        if self.mode == Mode::Multipath && self.state != State::Closed && !self.out_of_tree {
            // Whatever is still to be sent, an orphan lives no longer (`mptcp_start_tout_timer`).
            self.close_timer = Some(now + self.close_timeout());
        }
    }

    /// How long a connection lives that lost its subflows or its application.
    fn close_timeout(&self) -> Duration {
        self.options.mptcp.as_ref().map_or(Duration::ZERO, |config| config.close_timeout)
    }

    /// Nobody came back in time: an error for the application, or MP_FASTCLOSE if it is gone.
    pub(super) fn close_timeout_passed(&mut self) {
        self.close_timer = None;
        if self.orphaned {
            self.abort();
        } else {
            self.fail(SocketError::TimedOut);
        }
    }

    /// There is a subflow again; an orphan's time goes on.
    pub(super) fn stop_close_timer(&mut self) {
        if !self.orphaned {
            self.close_timer = None;
        }
    }

    /// Reset the connection: MP_FASTCLOSE on a RST of every subflow (CLOSE-12), or a plain RST.
    pub fn abort(&mut self) {
        let multipath = self.mode == Mode::Multipath;
        let carrier = self.begin_fastclose();
        for index in 0..self.subflows.len() {
            let subflow = &mut self.subflows[index];
            if subflow.stage == Stage::Gone || carrier == Some(index) {
                continue;
            }
            if matches!(subflow.flow.state(), TcpState::TimeWait) {
                continue;
            }
            subflow.fastclose = multipath;
            subflow.flow.abort();
            subflow.step(Step::Ended);
            if subflow.flow.state() == TcpState::SynSent {
                subflow.flow.finish(CloseReason::Normal);
            }
        }
        self.advance(Event::Over);
        self.send.timer = None;
        self.close_timer = None;
        self.announced.clear();
        self.rebuild_views();
    }

    /// `connect(AF_UNSPEC)`: as [`abort`](Self::abort); before an answer came, upstream Linux sends MP_FASTCLOSE all the
    /// same, with the key that it does not know yet.
    pub(crate) fn disconnect(&mut self) {
        let unanswered = self.mode == Mode::Offered
            && !self.out_of_tree
            && self.version == Version::V1
            && self.subflows[0].flow.state() == TcpState::SynSent;
        self.abort();
        if unanswered {
            let initial = &mut self.subflows[0];
            initial.fastclose = true;
            initial.flow.due.add(OutputDue::RESET);
            initial.flow.reset_seq = 0;
        }
    }

    /// The listener was closed before the handshake was complete: nothing is said.
    pub(crate) fn forget_request(&mut self, now: Instant) {
        self.orphaned = true;
        self.subflow_ended(now, 0, CloseReason::Normal);
    }

    /// The listener was closed before the connection was accepted: as [`abort`](Self::abort), and upstream Linux
    /// resets the first subflow once more, as the TCP flow that it also is (`inet_child_forget`).
    pub(crate) fn abandon(&mut self) {
        if self.mode == Mode::Multipath
            && !self.out_of_tree
            && let Some(initial) = self.subflows.first_mut()
        {
            initial.bare_reset = Bare::Follows;
            self.work_due = true;
        }
        self.abort();
    }

    /// The peer closed one subflow with a FIN: answer with ours; the connection lives on (CLOSE-05).
    pub(crate) fn subflow_fin(&mut self, now: Instant, index: usize) {
        self.subflows[index].flow.close_send();
        self.retire(now, index, CloseReason::Normal);
    }

    /// A subflow carries no more data of a connection that lives on: report it, and give what the peer has
    /// not acknowledged to others. Happens once.
    pub(crate) fn retire(&mut self, now: Instant, index: usize, reason: CloseReason) {
        let subflow = &mut self.subflows[index];
        if self.state == State::Closed || std::mem::replace(&mut subflow.retired, true) {
            return;
        }
        let view = subflow.view();
        self.path_events.push_back(PathEvent::SubflowClosed { subflow: view, reason });
        if self.send.reinject_later {
            return;
        }
        // A peer that fell back would take data sent again for new data.
        if self.leave_stripped_path(now) {
            return;
        }
        if !self.out_of_tree {
            self.reinject_all();
        }
        self.push_pending(now);
    }

    /// A RST arrived on a subflow, with or without MP_FASTCLOSE.
    pub(crate) fn take_reset(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
        parsed: &ParsedOptions,
    ) {
        let mut reason = self.subflows[index].flow.closed_by.unwrap_or(CloseReason::Reset(None));
        let mut fastclose = false;
        if parsed.mptcp_other && self.mode == Mode::Multipath {
            for option in segment.options.mptcp() {
                match option {
                    MpOption::FastClose { receiver_key } => fastclose |= receiver_key == self.keys.local,
                    MpOption::TcpRst { flags, reason: code } => {
                        let transient = flags & TCPRST_TRANSIENT != 0;
                        reason = CloseReason::Reset(Some(ResetReason { code, transient }));
                    }
                    _ => {}
                }
            }
        }
        if fastclose {
            self.fastclosed(now, Some(index));
            return;
        }
        self.subflows[index].flow.closed_by = Some(reason);
        self.subflow_ended(now, index, reason);
    }

    /// The peer aborted the connection, by a RST on a subflow or by an ACK (CLOSE-13): the subflows that are
    /// left are reset, and the application gets an error: EPIPE after the end of the stream, else
    /// ECONNRESET.
    pub(crate) fn fastclosed(&mut self, now: Instant, reset: Option<usize>) {
        if let Some(index) = reset {
            let why = ResetReason { code: reset_reason::UNSPECIFIED, transient: false };
            self.subflow_ended(now, index, CloseReason::Reset(Some(why)));
        }
        for other in 0..self.subflows.len() {
            let subflow = &mut self.subflows[other];
            if subflow.stage != Stage::Gone {
                subflow.reset_reason = Some(0);
                subflow.flow.abort();
                subflow.step(Step::Ended);
            }
        }
        let error = if self.state == State::CloseWait {
            SocketError::BrokenPipe
        } else {
            SocketError::ConnectionReset
        };
        self.fail(error);
        self.rebuild_views();
    }

    pub(crate) fn fail(&mut self, error: SocketError) {
        self.error.get_or_insert(error);
        self.advance(Event::Over);
        self.send.timer = None;
        self.close_timer = None;
        self.announced.clear();
        self.events.note(Happened::FAILED);
        self.events.note(Happened::READABLE);
    }

    /// Refuse a subflow: a RST with MP_TCPRST `reason`. Always false: the subflow is gone.
    pub(crate) fn refuse_subflow(&mut self, now: Instant, index: usize, reason: u8) -> bool {
        let subflow = &mut self.subflows[index];
        subflow.reset_reason = Some(reason);
        subflow.flow.abort();
        subflow.flow.due.add(OutputDue::RESET);
        self.subflow_ended(now, index, CloseReason::Protocol);
        false
    }

    /// The TCP state of a subflow changed by itself: a timeout, a FIN, the end of TIME_WAIT.
    pub(crate) fn subflow_state_changed(&mut self, now: Instant, index: usize) {
        let subflow = &self.subflows[index];
        if subflow.stage == Stage::Gone {
            return;
        }
        match subflow.flow.state() {
            TcpState::Closed => {
                let reason = subflow.flow.closed_by.unwrap_or(CloseReason::Normal);
                self.subflow_ended(now, index, reason);
            }
            TcpState::TimeWait | TcpState::FinWait2 if self.mode != Mode::Multipath => {
                self.plain_state_changed(index);
            }
            TcpState::CloseWait if self.mode == Mode::Multipath && self.state == State::Closed => {
                self.subflow_fin(now, index);
            }
            TcpState::TimeWait if self.mode == Mode::Multipath => {
                self.retire(now, index, CloseReason::Normal);
                self.rebuild_views();
            }
            _ => {}
        }
    }

    fn plain_state_changed(&mut self, index: usize) {
        match self.subflows[index].flow.state() {
            TcpState::FinWait2 if self.state == State::FinWait1 => {
                self.advance(Event::FinAcked);
            }
            TcpState::TimeWait => {
                self.advance(Event::Over);
            }
            _ => {}
        }
    }

    /// A subflow ended. What it carried and the peer has not acknowledged goes to others.
    pub(crate) fn subflow_ended(&mut self, now: Instant, index: usize, reason: CloseReason) {
        let subflow = &mut self.subflows[index];
        if subflow.stage == Stage::Gone {
            return;
        }
        let view = subflow.view();
        // A request that came to nothing never was a subflow: nothing was sent on it.
        let request = subflow.role == Role::Join && !subflow.initiated && subflow.stage == Stage::Opening;
        // It may have been refused by a peer that fell back, which would take data sent again for new data: the
        // next DATA_ACK tells.
        let refused = subflow.role == Role::Join && subflow.stage == Stage::Unconfirmed;
        self.send.reinject_later |= refused && matches!(reason, CloseReason::Reset(_));
        subflow.step(Step::Ended);
        subflow.answer_timer = None;
        let error = SocketError::from(reason);
        let reset_due = subflow.flow.due.has(OutputDue::RESET);
        if self.out_of_tree {
            self.reinject_from(now, index);
        }
        let subflow = &mut self.subflows[index];
        subflow.flow.finish(reason);
        subflow.flow.due.set(OutputDue::RESET, reset_due);
        self.rebuild_views();
        if self.mode != Mode::Multipath {
            if view.local_id == 0 && self.subflows[index].role == Role::Initial {
                self.plain_ended(reason, error);
            }
            return;
        }
        if self.state == State::Closed {
            return;
        }
        if !request {
            self.retire(now, index, reason);
        }
        if !self.any_active() {
            // Break before make: the connection waits for a new subflow (JOIN-26, CLOSE-09).
            let wait = if self.orphaned { Duration::ZERO } else { self.close_timeout() };
            self.close_timer = Some(now + wait);
        }
    }

    fn plain_ended(&mut self, reason: CloseReason, error: SocketError) {
        let orderly = reason == CloseReason::Normal;
        // After a FIN of the peer, a reset only tells that writing is of no use (`tcp_reset`).
        let after_fin = self.recv.fin_done && matches!(reason, CloseReason::Reset(_));
        let error = if after_fin { SocketError::BrokenPipe } else { error };
        if orderly {
            self.advance(Event::Over);
        } else {
            self.fail(error);
        }
    }
}
