//! Leaving MPTCP for TCP on a connection in progress (RFC 8684, section 3.7): data or acknowledgments without
//! options, failed checksums, MP_FAIL and the infinite mapping.
//!
//! A connection may fall back while its one subflow is the initial one, no other ever carried data and
//! nothing was sent twice on it: then the stream is the payload of that subflow in both directions. If it
//! may not, the subflow is reset. What a subflow received after a failed checksum is kept until the
//! infinite mapping, which acts retroactively, or the reset.

use sim_core::{Duration, Instant};

use super::machine::{Step, Turn};
use super::{Connection, Happened, Stage};
use crate::path_manager::CloseReason;
use crate::tcp::{Arrival, Flow, Mapping, OutputDue, Plan, TcpState};
use crate::wire::mptcp::reset_reason;
use crate::wire::{DataNumber, Dss, DssMapping, MpOption};

/// How long the answer to MP_FAIL may take (`TCP_RTO_MAX` of Linux, TIME-06).
const FAIL_TIMEOUT: Duration = Duration::from_secs(120);

/// The infinite mapping this side announces, until data sent after it is acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InfiniteMapping {
    /// Position in the stream that it starts at.
    data: u64,
    /// Offset in the subflow of that position.
    start: u64,
    /// It is announced until more than this offset is acknowledged.
    until: u64,
    /// Upstream announces it once, on the first data after an MP_FAIL: where that data ends, once it was sent.
    once: Option<Option<u64>>,
}

impl Connection {
    /// Continue as plain TCP (FB-05): the stream goes on in the order of the initial subflow, joins under way
    /// and announcements are forgotten.
    pub(crate) fn fall_back(&mut self) {
        self.turn(Turn::FellBack);
        self.send.timer = None;
        self.close_timer = None;
        self.announced.clear();
        self.path_actions.clear();
        self.path_wake = None;
        let rest: Vec<u32> =
            self.send.fragments.iter().skip(self.send.pending).map(|part| part.len - part.sent).collect();
        self.send.fragments.clear();
        self.send.pending = 0;
        for subflow in self.subflows.iter_mut().skip(1).filter(|subflow| subflow.stage != Stage::Gone) {
            if !self.out_of_tree && !subflow.initiated && subflow.flow.state() == TcpState::SynReceived {
                // A request, which is refused when its third ACK comes.
                continue;
            }
            subflow.step(Step::Ended);
            if subflow.flow.state() == TcpState::SynSent {
                subflow.flow.finish(CloseReason::Normal);
            } else {
                subflow.flow.abort();
            }
        }
        let initial = &mut self.subflows[0];
        initial.step(Step::Plain);
        initial.answer_timer = None;
        initial.signals.clear();
        // From now on the buffer of the flow is the one that counts.
        let recv = &mut initial.flow.recv;
        recv.unread = self.recv.unread;
        recv.unread_truesize = self.recv.unread_truesize;
        for len in rest {
            initial.flow.append(len, Mapping::default());
        }
        initial.flow.mark_push();
        if self.send.fin_queued {
            initial.flow.close_send();
        }
        // What waited for a DATA_ACK waits no longer, and nothing else may come that says so.
        self.note_writable();
    }

    /// Whether both directions are contiguous on the initial subflow, of which everything before offset
    /// `undelivered` went into the stream (FB-13).
    fn may_fall_back(&self, index: usize, undelivered: u64) -> bool {
        let alone = self.subflows.iter().skip(1).all(|other| {
            other.stage == Stage::Gone
                || matches!(other.flow.state(), TcpState::SynSent | TcpState::SynReceived)
        });
        self.fallback_allowed && alone && self.is_whole(index, undelivered)
    }

    /// Whether subflow `index` is the initial one, and both streams are what it carried.
    fn is_whole(&self, index: usize, undelivered: u64) -> bool {
        let received = self.recv.next - u64::from(self.recv.fin_done);
        let pending = self.send.fragments.get(self.send.pending);
        let handed_down = pending.map_or(self.send.written, |part| part.start + u64::from(part.sent));
        index == 0
            && self.subflows[0].stage != Stage::Gone
            && self.recv.ooo_bytes == 0
            && received + 1 == undelivered
            && self.subflows[0].flow.queue.write_end == handed_down + 1
    }

    /// Offset on a subflow of the first octet that did not go into the stream, when nothing is being
    /// delivered.
    fn undelivered(&self, index: usize) -> u64 {
        let subflow = &self.subflows[index];
        subflow.unverified.first().map_or(subflow.flow.recv.rcv_nxt, |held| held.start)
    }

    /// Fall back and tell the peer by an infinite mapping, on every segment until data sent from now on is
    /// acknowledged (FB-09).
    fn fall_back_announcing(&mut self, once: bool) {
        let data = self.send.una.min(self.send.written);
        self.fall_back();
        let initial = &mut self.subflows[0];
        let until = initial.flow.snd_nxt;
        self.infinite = Some(InfiniteMapping { data, start: data + 1, until, once: once.then_some(None) });
        initial.step(Step::Announce);
        initial.flow.due.set(OutputDue::BARE_ACK, !once);
    }

    /// The DSS of a segment of a connection that fell back: the infinite mapping while it is unacknowledged.
    pub(super) fn infinite_dss(&mut self, plan: &Plan) -> Option<Dss> {
        let infinite = self.infinite.as_mut()?;
        let initial = &mut self.subflows[0];
        let mut announced = Some((infinite.data, infinite.start));
        let over = match &mut infinite.once {
            None => initial.flow.snd_una > infinite.until,
            Some(Some(end)) if initial.flow.snd_una >= *end => true,
            Some(end) => {
                // Only the data itself says so; until then, ACKs are those of MPTCP.
                if plan.len == 0 {
                    if end.is_some() {
                        return None;
                    }
                    announced = None;
                } else if plan.start < infinite.until || end.is_some_and(|end| plan.start >= end) {
                    return None;
                } else {
                    end.get_or_insert(plan.start + u64::from(plan.len));
                    announced = Some((plan.start - 1, plan.start));
                }
                false
            }
        };
        if over {
            initial.step(Step::Acknowledged);
            self.infinite = None;
            return None;
        }
        let mapping = announced.map(|(data, start)| DssMapping {
            dsn: self.data_number(self.keys.local_base.wrapping_add(data)),
            ssn: start as u32,
            len: 0,
            checksum: self.checksum.then_some(0),
        });
        let ack = self.keys.remote_base.wrapping_add(self.recv.next);
        let data_ack = if self.use_long_ack { DataNumber::Long(ack) } else { DataNumber::Short(ack as u32) };
        Some(Dss { data_fin: false, data_ack: Some(data_ack), mapping })
    }

    /// An infinite mapping arrived (FB-11). Returns whether the subflow lives on.
    pub(super) fn take_infinite_mapping(&mut self, now: Instant, index: usize, undelivered: u64) -> bool {
        let held = self.subflows[index].unverified.first().map(|held| held.start);
        let undelivered = held.unwrap_or(undelivered);
        if self.out_of_tree && self.is_whole(index, undelivered) {
            // The out-of-tree kernel leaves the others without a word (`mptcp_sub_force_close_all`).
            for other in self.subflows.iter_mut().skip(1).filter(|other| other.stage != Stage::Gone) {
                other.step(Step::Ended);
                other.flow.finish(CloseReason::Normal);
            }
            self.fall_back_with_held();
            return true;
        }
        if self.may_fall_back(index, undelivered) {
            self.fall_back_with_held();
            return true;
        }
        self.refuse_subflow(now, index, reset_reason::MPTCP)
    }

    /// Fall back, and deliver what waits since a checksum failed.
    fn fall_back_with_held(&mut self) {
        let held = std::mem::take(&mut self.subflows[0].unverified);
        self.fall_back();
        for arrival in &held {
            self.deliver_plain(0, arrival);
            self.events.note(Happened::READABLE);
        }
    }

    /// Data arrived that no mapping covers: the stream continues as TCP if it can (FB-04), else the subflow
    /// is reset, because a box took the mapping away or it is wrong (MBOX-05, DSS-04).
    pub(super) fn unmapped(&mut self, now: Instant, index: usize, arrival: &Arrival) {
        if self.subflows[index].unverified.is_empty() && self.may_fall_back(index, arrival.start) {
            self.fall_back();
            self.deliver_plain(index, arrival);
        } else {
            let reason = if arrival.map.is_none() { reset_reason::MIDDLEBOX } else { reset_reason::MPTCP };
            self.refuse_subflow(now, index, reason);
        }
    }

    /// The checksum of the mapping in force was wrong; `pieces` is its data (FB-07, FB-08).
    pub(super) fn checksum_failed(&mut self, now: Instant, index: usize, pieces: Vec<Arrival>) {
        let data = self.subflows[index].rx_map.data;
        let dsn = self.keys.remote_base.wrapping_add(data);
        let start = pieces.first().map_or(0, |piece| piece.start);
        if !self.may_fall_back(index, start) {
            self.subflows[index].failed_dsn = Some(dsn);
            self.refuse_subflow(now, index, reset_reason::MIDDLEBOX);
            return;
        }
        let subflow = &mut self.subflows[index];
        subflow.unverified = pieces;
        subflow.step(Step::ChecksumFailed);
        subflow.failed_dsn = Some(dsn);
        subflow.answer_tries = 0;
        subflow.answer_until = now + FAIL_TIMEOUT;
        subflow.answer_timer = Some(now + Self::fail_interval(&subflow.flow, 0));
        subflow.signals.push_back(MpOption::Fail { dsn });
    }

    /// Soon enough that the peer does not retransmit at connection level before it learns of the failure.
    fn fail_interval(flow: &Flow, tries: u8) -> Duration {
        let rto = flow.rtt.rto();
        (flow.rtt.srtt() * 2).clamp(Duration::from_millis(1), rto) * (1 << tries.min(6))
    }

    /// MP_FAIL was not answered yet: again, or a reset after two minutes (FB-10).
    pub(super) fn repeat_fail(&mut self, now: Instant, index: usize) {
        let subflow = &mut self.subflows[index];
        if now >= subflow.answer_until {
            self.refuse_subflow(now, index, reset_reason::MIDDLEBOX);
            return;
        }
        subflow.answer_tries = subflow.answer_tries.saturating_add(1);
        let wait = Self::fail_interval(&subflow.flow, subflow.answer_tries);
        subflow.answer_timer = Some((now + wait).min(subflow.answer_until));
        if let Some(dsn) = subflow.failed_dsn {
            subflow.signals.push_back(MpOption::Fail { dsn });
        }
    }

    /// MP_FAIL arrived on a segment that is no reset (FB-09). Returns whether the subflow lives on.
    pub(super) fn take_fail(&mut self, now: Instant, index: usize, undelivered: u64) -> bool {
        if self.subflows[index].stage == Stage::Failing {
            // The answer to ours, or both directions failed: either way both are TCP from here.
            self.fall_back_with_held();
            return true;
        }
        if !self.may_fall_back(index, undelivered) && !self.out_of_tree {
            // There is no way back to TCP: upstream leaves it at that (`mptcp_pm_mp_fail_received`).
            return true;
        }
        if !self.may_fall_back(index, undelivered) {
            return self.refuse_subflow(now, index, reset_reason::MIDDLEBOX);
        }
        // The mapping in force, which may be over (`mptcp_established_options_mp_fail`).
        let mapping = &self.subflows[index].rx_map;
        let position = if self.out_of_tree { self.recv.next } else { mapping.data };
        let dsn = self.keys.remote_base.wrapping_add(position);
        self.fall_back_announcing(!self.out_of_tree);
        self.subflows[0].signals.push_back(MpOption::Fail { dsn });
        true
    }

    /// Acknowledgments arrive, but without DATA_ACK, and nothing else moves: the path takes options away
    /// (FB-03, MBOX-06). Falls back, or resets such subflows. Returns whether it did.
    pub(super) fn leave_stripped_path(&mut self, now: Instant) -> bool {
        let una = self.send.una.min(self.send.written);
        let fin = self.send.fin_enabled();
        let stripped = |subflow: &super::Subflow| {
            let flow = &subflow.flow;
            subflow.stage != Stage::Gone
                && subflow.stripped_at == Some(flow.received_at)
                && (flow.queues_empty() || flow.snd_una > una + 1 || fin)
        };
        if !self.subflows.iter().any(stripped) {
            return false;
        }
        if self.may_fall_back(0, self.undelivered(0)) {
            self.fall_back_announcing(false);
            return true;
        }
        let broken: Vec<usize> = (0..self.subflows.len()).filter(|&i| stripped(&self.subflows[i])).collect();
        for index in broken {
            self.refuse_subflow(now, index, reset_reason::MIDDLEBOX);
        }
        true
    }
}
