//! Timers of a flow: retransmission, loss probe, reordering and persist share one slot, as in Linux; the
//! receiver has those of its ACKs; TIME_WAIT and FIN_WAIT_2 have one. Deadlines are kept here and compared
//! when the owner's wake-up comes, so that re-arming costs nothing.

use sim_core::{Duration, Instant};

use super::{Flow, Forced, OutputDue, Repair, TcpState, XmitTimer};
use crate::congestion::{CaState, PathView};
use crate::path_manager::CloseReason;

/// What a timeout did, for the owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeoutOutcome {
    /// The retransmission timer expired: new RTO.
    pub rto: Option<Duration>,
    /// The flow ended.
    pub closed: bool,
}

impl Flow {
    /// When the flow wants to be woken.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = self.next_deadline();
        (next != Instant::FAR_FUTURE).then_some(next)
    }

    /// As [`poll_timeout`](Self::poll_timeout); [`Instant::FAR_FUTURE`] is never.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Instant {
        let xmit = self.xmit_timer.map_or(Instant::FAR_FUTURE, |(at, _)| at);
        let state = self.state_timer.unwrap_or(Instant::FAR_FUTURE);
        self.recv.next_deadline().min(xmit.min(state)).min(self.pace_timer)
    }

    /// Whether anything is due before `at`.
    #[inline]
    pub(crate) fn is_due_before(&self, at: Instant) -> bool {
        self.xmit_timer.is_some_and(|(due, _)| due < at)
            || self.state_timer.is_some_and(|due| due < at)
            || self.pace_timer < at
            || self.recv.is_due_before(at)
    }

    /// Whatever is due at `now` happens; harmless when nothing is.
    pub fn handle_timeout(&mut self, now: Instant, me: usize, paths: &[PathView]) -> TimeoutOutcome {
        let mut outcome = TimeoutOutcome::default();
        let rto = self.rtt.rto();
        self.recv.handle_timeout(now, rto);
        if self.pace_timer <= now {
            self.pace_timer = Instant::FAR_FUTURE;
            self.due.add(OutputDue::PUSH);
            if self.queue.lost_out > self.queue.retrans_out {
                self.repair_by(Repair::Lost);
            }
        }
        if self.state_timer.is_some_and(|at| at <= now) {
            self.state_timer = None;
            if matches!(self.state, TcpState::Established | TcpState::CloseWait) || self.probes_idle() {
                outcome.closed = self.keepalive_timeout(now);
                return outcome;
            }
            self.finish(CloseReason::Normal);
            outcome.closed = true;
            return outcome;
        }
        let Some((at, timer)) = self.xmit_timer else { return outcome };
        if at > now {
            return outcome;
        }
        self.xmit_timer = None;
        match timer {
            XmitTimer::Retransmit => outcome = self.retransmission_timeout(now, me, paths),
            XmitTimer::LossProbe => self.send_loss_probe(now),
            XmitTimer::Reorder => self.reorder_timeout(now, me, paths),
            XmitTimer::Persist => outcome = self.persist_timeout(now),
        }
        outcome
    }

    fn retransmission_timeout(&mut self, now: Instant, me: usize, paths: &[PathView]) -> TimeoutOutcome {
        let mut outcome = TimeoutOutcome::default();
        self.stats.timeouts += 1;
        if matches!(self.state, TcpState::SynSent | TcpState::SynReceived) {
            let most = if self.state == TcpState::SynSent {
                self.config.syn_retries.saturating_add(self.config.syn_linear_timeouts)
            } else {
                self.config.synack_retries
            };
            let given_up =
                self.state == TcpState::SynSent && self.user_timeout_left(now).is_some_and(Duration::is_zero);
            if self.retries >= most || given_up {
                self.finish(self.soft_error.unwrap_or(CloseReason::TimedOut));
                outcome.closed = true;
                return outcome;
            }
            if !self.passive {
                self.rto_stats.expired(now, self.retries == 0);
            }
            self.retries += 1;
            // The first timeouts of a SYN do not back off (`tcp_syn_linear_timeouts`).
            if self.state == TcpState::SynReceived || self.retries > self.config.syn_linear_timeouts {
                self.rtt.back_off();
            }
            // Not while data is waited for, but before that is given up (`syn_ack_recalc`).
            self.due.set(OutputDue::HANDSHAKE, !self.deferred || self.retries >= self.config.defer_accept);
            if !self.due.has(OutputDue::HANDSHAKE) {
                self.arm_rto(now);
            }
            outcome.rto = Some(self.rtt.rto());
            return outcome;
        }
        if self.queue.sent.is_empty() {
            return outcome;
        }
        let given_up = self.user_timeout_left(now).is_some_and(Duration::is_zero);
        if self.retries >= self.config.retries || given_up {
            self.finish(self.soft_error.unwrap_or(CloseReason::TimedOut));
            outcome.closed = true;
            return outcome;
        }
        if self.mtu_probe.is_some() {
            self.suspect_path(now);
        }
        self.enter_loss(now, me, paths);
        self.rto_stats.expired(now, self.retries == 0);
        if self.retries == 0 {
            self.first_timeout = Some(now);
        }
        self.retries += 1;
        self.burst_end = self.snd_nxt;
        self.force(Forced::Head);
        self.rtt.back_off();
        self.arm_rto(now);
        outcome.rto = Some(self.rtt.rto());
        outcome
    }

    pub(crate) fn arm_rto(&mut self, now: Instant) {
        let span = self.rtt.rto();
        // The user timeout is not overslept (`tcp_clamp_rto_to_user_timeout`).
        let span = self.user_timeout_left(now).map_or(span, |left| span.min(left));
        self.xmit_timer = Some((self.config.expiry(now, span), XmitTimer::Retransmit));
    }

    /// What is left of the user timeout, counted from the first retransmission; `None` without one.
    fn user_timeout_left(&self, now: Instant) -> Option<Duration> {
        let opening = self.state == TcpState::SynSent;
        if (self.retries == 0 && !opening) || self.config.user_timeout.is_zero() {
            return None;
        }
        // That of a SYN begins with the first one (`tcp_connect`).
        let since = if opening { self.last_send } else { self.retrans_stamp.or(self.first_timeout)? };
        Some(self.config.user_timeout.saturating_sub(now.saturating_since(since)))
    }

    /// Restart the timer after progress; a loss probe or reordering timer in its place does not postpone
    /// it (`tcp_rearm_rto`).
    pub(crate) fn rearm_rto(&mut self, now: Instant) {
        let Some(head) = self.queue.sent.front() else {
            self.xmit_timer = None;
            return;
        };
        let rto = self.rtt.rto();
        let from_head = matches!(self.xmit_timer, Some((_, XmitTimer::LossProbe | XmitTimer::Reorder)));
        let left = if from_head { (head.sent_at + rto).saturating_since(now) } else { rto };
        let at = self.config.expiry(now, left.max(Duration::from_micros(1)));
        self.xmit_timer = Some((at, XmitTimer::Retransmit));
    }

    pub(crate) fn set_xmit_timer(&mut self, now: Instant) {
        if self.queue.sent.is_empty() {
            self.xmit_timer = None;
        } else if !self.schedule_loss_probe(now, true) {
            self.rearm_rto(now);
        }
    }

    /// Arm the loss probe two round trips from now (`tcp_schedule_loss_probe`, RFC 8985, section 7.2).
    #[inline(never)]
    pub(crate) fn schedule_loss_probe(&mut self, now: Instant, advancing: bool) -> bool {
        let eligible = self.config.tail_loss_probe
            && self.sack_ok
            && !self.queue.sent.is_empty()
            && matches!(self.ca_state, CaState::Open | CaState::Cwr);
        if !eligible {
            return false;
        }
        let srtt = self.rtt.srtt();
        let mut timeout = if srtt.is_zero() {
            self.config.rto_initial
        } else if self.queue.packets_out() == 1 {
            srtt * 2 + self.config.rto_min
        } else {
            srtt * 2 + Duration::from_millis(2)
        };
        let rto = self.rtt.rto();
        let left = if advancing {
            rto
        } else {
            let head = self.queue.sent.front().map_or(now, |seg| seg.sent_at);
            (head + rto).saturating_since(now)
        };
        if !left.is_zero() {
            timeout = timeout.min(left);
        }
        self.xmit_timer = Some((self.config.expiry(now, timeout), XmitTimer::LossProbe));
        true
    }

    /// The probe timer fired (`tcp_send_loss_probe`).
    fn send_loss_probe(&mut self, now: Instant) {
        if self.tlp_high_seq == 0 && !self.queue.sent.is_empty() {
            self.tlp_retrans = false;
            if self.can_send_new() && self.window_allows_next() {
                self.force(Forced::New);
                let next = self.queue.unsent.front().map_or(0, |chunk| u64::from(chunk.len));
                self.tlp_high_seq = self.snd_nxt + next.min(u64::from(self.mss_now(0)));
            } else if self.room_again(self.queue.sent.len() - 1).is_some() {
                self.tlp_retrans = true;
                self.force(Forced::Tail);
                self.tlp_high_seq = self.snd_nxt;
            }
        }
        if self.due.has(OutputDue::FORCED) {
            self.stats.loss_probes += 1;
            self.rearm_after_probe(now);
        } else {
            // No probe leaves, and the timeout counts from when the data was sent.
            self.xmit_timer = Some((now, XmitTimer::LossProbe));
            self.rearm_rto(now);
        }
    }

    /// The retransmission timer starts anew with the probe.
    pub(crate) fn rearm_after_probe(&mut self, now: Instant) {
        self.xmit_timer = None;
        self.rearm_rto(now);
    }

    pub(crate) fn arm_persist(&mut self, now: Instant) {
        // The first probe after one RTO, then backing off (`tcp_probe0_base`, at least 200 ms).
        let mut rto = self.rtt.rto().max(self.config.rto_min).min(self.config.rto_max);
        let user_timeout = self.config.user_timeout;
        let head = self.queue.unsent.front().map_or(0, |chunk| chunk.start);
        let held = self.held_since.filter(|(held, _)| *held == head && !user_timeout.is_zero());
        if let Some((_, since)) = held {
            // `tcp_clamp_probe0_to_user_timeout`
            rto = rto.min(user_timeout.saturating_sub(now.saturating_since(since)));
        }
        self.xmit_timer = Some((self.config.expiry(now, rto), XmitTimer::Persist));
    }

    fn persist_timeout(&mut self, now: Instant) -> TimeoutOutcome {
        let waits = !self.queue.unsent.is_empty() || self.fin_waits();
        if !waits || !self.queue.sent.is_empty() {
            return TimeoutOutcome::default();
        }
        let head = self.queue.unsent.front().map_or(0, |chunk| chunk.start);
        let since = match self.held_since {
            Some((held, since)) if held == head => since,
            _ => now,
        };
        self.held_since = Some((head, since));
        let waited = now.saturating_since(since);
        let user_timeout = self.config.user_timeout;
        let given_up = !user_timeout.is_zero() && waited >= user_timeout;
        if given_up
            || self.retries >= self.config.retries
                && now.saturating_since(self.last_ack_received) > self.config.rto_max
        {
            self.finish(CloseReason::TimedOut);
            return TimeoutOutcome { closed: true, ..TimeoutOutcome::default() };
        }
        if self.window_allows_next() {
            // Not the window held it back: a corked segment leaves at last (`tcp_write_wakeup`).
            if let Some(head) = self.queue.unsent.front_mut() {
                head.push = true;
            }
            self.force(Forced::New);
            return TimeoutOutcome::default();
        }
        self.retries = self.retries.saturating_add(1);
        self.force(Forced::Probe);
        self.rtt.back_off();
        self.arm_persist(now);
        TimeoutOutcome::default()
    }
}
