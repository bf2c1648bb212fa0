//! Timers of a connection: those of its flows, connection-level retransmission, the third ACK of joins,
//! repetition of ADD_ADDR, the wake-up of the path manager, and the wait for a new subflow.

use sim_core::Instant;

use super::{Connection, Mode, Stage, State};
use crate::path_manager::{CloseReason, PathEvent};

/// Repetitions of the third ACK of a join.
const THIRD_ACK_TRIES: u8 = 8;

impl Connection {
    /// When the connection wants to be woken.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = self.next_deadline();
        (next != Instant::FAR_FUTURE).then_some(next)
    }

    /// As [`poll_timeout`](Self::poll_timeout); [`Instant::FAR_FUTURE`] is never.
    #[inline]
    fn next_deadline(&self) -> Instant {
        let or_never = |at: Option<Instant>| at.unwrap_or(Instant::FAR_FUTURE);
        let mut next =
            or_never(self.send.timer).min(or_never(self.close_timer)).min(or_never(self.path_wake));
        for subflow in &self.subflows {
            if subflow.stage != Stage::Gone {
                next = next.min(subflow.flow.next_deadline()).min(or_never(subflow.answer_timer));
            }
        }
        for entry in &self.announced {
            next = next.min(or_never(entry.resend_at));
        }
        next
    }

    /// Whether nothing of it concerns its host, which wakes it at `armed`, and it is not over.
    #[inline(always)]
    pub(crate) fn is_settled(&self, armed: Instant) -> bool {
        let is_early = |at: Option<Instant>| at.is_some_and(|at| at < armed);
        if self.has_events() || self.has_path_actions() || self.state == State::Closed {
            return false;
        }
        if is_early(self.send.timer) || is_early(self.close_timer) || is_early(self.path_wake) {
            return false;
        }
        let early = self.subflows.iter().any(|subflow| {
            subflow.stage != Stage::Gone
                && (subflow.flow.is_due_before(armed) || is_early(subflow.answer_timer))
        });
        !early && !self.announced.iter().any(|entry| is_early(entry.resend_at))
    }

    /// Whatever is due at `now` happens; harmless when nothing is.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.recv.changed();
        for index in 0..self.subflows.len() {
            if self.subflows[index].stage == Stage::Gone {
                continue;
            }
            if self.subflows[index].flow.next_deadline() <= now {
                let me = self.refresh_view(index);
                let outcome = self.subflows[index].flow.handle_timeout(now, me, &self.views);
                self.refresh_view(index);
                if let Some(rto) = outcome.rto {
                    let subflow = self.subflows[index].id;
                    self.path_events.push_back(PathEvent::RetransmissionTimeout { subflow, rto });
                    if self.out_of_tree && self.mode == Mode::Multipath {
                        self.reinject_from(now, index);
                    }
                }
                self.subflow_state_changed(now, index);
            }
            let subflow = &mut self.subflows[index];
            if subflow.answer_timer.is_some_and(|at| at <= now) {
                match subflow.stage {
                    Stage::Failing => self.repeat_fail(now, index),
                    Stage::Confirmed => self.repeat_fastclose(now, index),
                    _ => self.repeat_third_ack(now, index),
                }
            }
        }
        if self.send.timer.is_some_and(|at| at <= now) {
            if self.mode == Mode::Multipath {
                self.send_timeout(now);
            } else {
                self.send.timer = None;
            }
        }
        if self.close_timer.is_some_and(|at| at <= now) {
            self.close_timeout_passed();
        }
        if self.announced.iter().any(|entry| entry.resend_at.is_some_and(|at| at <= now)) {
            self.repeat_announcements(now);
        }
        if self.path_wake.is_some_and(|at| at <= now) {
            self.path_wake = None;
            self.path_events.push_back(PathEvent::Wake);
        }
        self.run_path_manager(now);
    }

    /// Plans the next repetition of the third ACK of a join: after two smoothed round-trip times, as upstream
    /// Linux does without end (`schedule_3rdack_retransmission`), or after an RTO that doubles.
    pub(super) fn await_fourth_ack(&mut self, now: Instant, index: usize) {
        let subflow = &mut self.subflows[index];
        let rtt = &subflow.flow.rtt;
        subflow.answer_timer = Some(if self.out_of_tree {
            now + rtt.rto() * (1 << subflow.answer_tries.min(6))
        } else {
            let span = if rtt.srtt().is_zero() { self.options.tcp.rto_initial } else { rtt.srtt() * 2 };
            self.options.tcp.expiry(now, span)
        });
    }

    /// The fourth ACK has not come: send the third again (JOIN-03).
    fn repeat_third_ack(&mut self, now: Instant, index: usize) {
        let subflow = &mut self.subflows[index];
        subflow.answer_tries = subflow.answer_tries.saturating_add(1);
        if self.out_of_tree && subflow.answer_tries > THIRD_ACK_TRIES {
            subflow.reset_reason = Some(1);
            self.subflow_ended(now, index, CloseReason::TimedOut);
            return;
        }
        subflow.flow.recv.ack_immediately();
        self.await_fourth_ack(now, index);
    }
}
