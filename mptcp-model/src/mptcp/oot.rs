//! What the out-of-tree kernel does in its own way at the end of a connection: one DATA_FIN on one subflow,
//! with the FIN of that subflow if nothing is outstanding, FINs of the others once it is acknowledged, and
//! MP_FASTCLOSE on an ACK that is repeated until a reset answers it (RFC 6824, section 3.5).

use sim_core::Instant;

use super::machine::Event;
use super::{Connection, Mode, Stage, State};
use crate::path_manager::CloseReason;
use crate::tcp::{OutputDue, Plan, PlanKind, TcpState};
use crate::wire::MpOption;

/// Repetitions of MP_FASTCLOSE (TIME-14).
const FASTCLOSE_TRIES: u8 = 3;

/// State of closing.
#[derive(Debug, Default)]
pub(crate) struct OotClose {
    /// Subflow that carries the DATA_FIN on a segment without data.
    carrier: Option<usize>,
    /// An ACK with the DATA_FIN is due there.
    ack_due: bool,
    /// It goes with the FIN of the carrier.
    combined: bool,
    peer_combined: bool,
    /// Subflow on which the peer sent its DATA_FIN.
    pub(super) peer_fin_on: Option<usize>,
    /// The DATA_FIN of the peer counts once our FIN left, which then carries the DATA_ACK from before.
    fin_goes_first: bool,
}

impl Connection {
    /// A DATA_FIN is due: on the last data if that has not left, else by itself, with FIN if nothing is
    /// outstanding and the peer, if it closed, did the same (`mptcp_combine_dfin`).
    pub(super) fn send_data_fin(&mut self, first: bool) {
        let unsent = self
            .subflows
            .iter()
            .any(|subflow| subflow.stage != Stage::Gone && !subflow.flow.queue.unsent.is_empty());
        if first && unsent {
            return;
        }
        let takes = |index: &usize| {
            let subflow = &self.subflows[*index];
            subflow.is_active() && !subflow.potentially_failed
        };
        // The peer's is answered where it came; otherwise the newest of the fastest.
        let answer = self.closing.peer_fin_on.filter(|_| self.recv.fin_done).filter(takes);
        let active = || (0..self.subflows.len()).rev().filter(|&index| self.subflows[index].is_active());
        let fastest = |indices: &mut dyn Iterator<Item = usize>| {
            indices
                .min_by_key(|&index| (self.subflows[index].is_backup(), self.subflows[index].flow.rtt.srtt()))
        };
        let index =
            answer.or_else(|| fastest(&mut active().filter(takes))).or_else(|| fastest(&mut active()));
        let Some(index) = index else { return };
        let closing = &mut self.closing;
        closing.carrier = Some(index);
        let flow = &mut self.subflows[index].flow;
        let outstanding = self.send.una < self.send.written;
        if first && !outstanding && (!self.recv.fin_done || closing.peer_combined) {
            closing.combined = true;
            flow.close_send();
        } else {
            closing.ack_due = true;
            flow.due.add(OutputDue::BARE_ACK);
        }
    }

    /// Whether a segment carries the DATA_FIN.
    pub(super) fn announces_fin(&mut self, index: usize, plan: &Plan) -> bool {
        if !self.send.fin_enabled() {
            return false;
        }
        let closing = &mut self.closing;
        if plan.map.len > 0 {
            return closing.carrier.is_none();
        }
        closing.carrier == Some(index)
            && if plan.flags.fin() {
                closing.combined
            } else {
                plan.kind == PlanKind::Ack && std::mem::take(&mut closing.ack_due)
            }
    }

    /// The DATA_FIN of the peer is in order; it came on subflow `index`.
    pub(super) fn oot_data_fin_received(&mut self, index: usize) {
        let flow = &mut self.subflows[index].flow;
        self.closing.peer_combined =
            !matches!(flow.state(), TcpState::Established | TcpState::FinWait1 | TcpState::FinWait2);
        flow.due.add(OutputDue::BARE_ACK);
        // A socket the application still has acknowledges the FIN besides.
        flow.ack_besides = self.closing.peer_combined && self.state == State::FinWait2 && !self.orphaned;
        match self.state {
            State::FinWait2 => self.finish_connection(Event::FinReceived),
            _ => {
                self.advance(Event::FinReceived);
            }
        }
    }

    /// Our DATA_FIN was acknowledged while the peer's is outstanding: every subflow is closed.
    pub(super) fn oot_fin_acked(&mut self) {
        self.forget_opening_joins();
        self.close_subflows();
        self.closing.fin_goes_first = self.subflows.iter().any(|subflow| {
            let flow = &subflow.flow;
            subflow.stage != Stage::Gone && flow.fin_wanted && !flow.fin_sent && flow.queue.unsent.is_empty()
        });
    }

    /// Whether the DATA_FIN of the peer waits for our FIN to leave.
    pub(super) const fn waits_for_own_fin(&self) -> bool {
        self.closing.fin_goes_first
    }

    /// A FIN left on subflow `index`.
    pub(super) fn fin_left(&mut self, index: usize) {
        if std::mem::take(&mut self.closing.fin_goes_first) {
            self.check_data_fin(index);
        }
    }

    /// Whether a FIN of the peer ends only its direction of the subflow: its stream ended, ours did not.
    pub(super) const fn stays_half_closed(&self) -> bool {
        self.out_of_tree && self.recv.fin_done && !self.send.fin_acked
    }

    /// Close the subflows that the peer closed.
    pub(super) fn answer_fins(&mut self) {
        for subflow in &mut self.subflows {
            if subflow.stage != Stage::Gone && subflow.flow.state() == TcpState::CloseWait {
                subflow.flow.close_send();
            }
        }
    }

    /// Abort with MP_FASTCLOSE on an ACK; gives the subflow that carries it, which waits for a reset.
    pub(super) fn begin_fastclose(&mut self) -> Option<usize> {
        let by_ack = self.out_of_tree || self.version == crate::crypto::Version::V0;
        if self.mode != Mode::Multipath || !by_ack {
            return None;
        }
        let receiver_key = self.keys.remote?;
        let index = self.subflows.iter().position(super::Subflow::is_active)?;
        let subflow = &mut self.subflows[index];
        subflow.fastclose = true;
        subflow.answer_tries = 0;
        subflow.answer_timer = None;
        subflow.signals.clear();
        subflow.signals.push_back(MpOption::FastClose { receiver_key });
        subflow.flow.queue.unsent.clear();
        subflow.flow.queue.write_end = subflow.flow.snd_nxt;
        Some(index)
    }

    /// MP_FASTCLOSE left, and is repeated after an RTO.
    pub(super) fn fastclose_left(&mut self, now: Instant, index: usize) {
        let subflow = &mut self.subflows[index];
        subflow.answer_timer = Some(now + subflow.flow.rtt.rto());
    }

    /// No reset answered MP_FASTCLOSE: again, and after three times a reset of our own.
    pub(super) fn repeat_fastclose(&mut self, now: Instant, index: usize) {
        let Some(receiver_key) = self.keys.remote else { return };
        let subflow = &mut self.subflows[index];
        subflow.answer_timer = None;
        subflow.answer_tries += 1;
        if subflow.answer_tries > FASTCLOSE_TRIES {
            subflow.flow.abort();
            subflow.flow.due.add(OutputDue::RESET);
            self.subflow_ended(now, index, CloseReason::TimedOut);
            return;
        }
        subflow.signals.push_back(MpOption::FastClose { receiver_key });
    }
}
