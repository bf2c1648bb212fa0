//! RACK-TLP (RFC 8985): which segments are lost by the time of those that arrived, how much reordering is
//! allowed for, and what the answer to a tail loss probe tells.

use sim_core::{Duration, Instant};

use super::input::Surroundings;
use super::recovery::{MAX_REORDERING, Tally};
use super::sendq::{Resent, SegFlags};
use super::{Flow, Rack, Repair, XmitTimer};
use crate::congestion::{CaState, Cause, PathView};

/// Recoveries after which a widened reordering window is as at first (`TCP_RACK_RECOVERY_THRESH`).
pub(super) const REO_WND_PERSIST: u32 = 16;

impl Rack {
    /// Whether the newest delivered segment was sent after this one (RFC 8985, section 6.2 step 2).
    pub(super) fn sent_after(&self, sent_at: Instant, order: u32) -> bool {
        self.xmit_time > sent_at
            || (self.xmit_time == sent_at && self.order.wrapping_sub(order).cast_signed() > 0)
    }

    pub(super) fn sent_before(&self, sent_at: Instant, order: u32) -> bool {
        self.xmit_time < sent_at
            || (self.xmit_time == sent_at && self.order.wrapping_sub(order).cast_signed() < 0)
    }
}

impl Flow {
    pub(super) fn advance_rack(&mut self, now: Instant, order: u32, sent_at: Instant, retransmitted: bool) {
        let rtt = now.saturating_since(sent_at);
        if retransmitted && self.rtt.min_rtt().is_some_and(|min| rtt < min) {
            return;
        }
        self.rack.advanced = true;
        self.rack.rtt = rtt;
        if self.rack.sent_before(sent_at, order) {
            self.rack.xmit_time = sent_at;
            self.rack.order = order;
        }
    }

    /// A segment arrived at `low` after one that was sent later (`tcp_check_sack_reordering`).
    pub(super) fn note_reordering(&mut self, low: u64) {
        let highest = self.highest_sack();
        if low >= highest {
            return;
        }
        let mss = u64::from(self.mss_now(0)).max(1);
        let metric = highest - low;
        if metric > u64::from(self.reordering) * mss {
            self.reordering = (metric.div_ceil(mss) as u32).min(MAX_REORDERING);
        }
        self.reord_seen += 1;
    }

    /// RFC 8985, section 6.2 step 4: widen the window after a DSACK, narrow it after 16 recoveries. What an
    /// ACK without news says waits for the next that `delivered` something.
    pub(super) fn update_reo_wnd(&mut self, delivered: bool) {
        if !delivered || self.config.static_reordering_window {
            return;
        }
        let rack = &mut self.rack;
        if self.delivered <= rack.last_delivered {
            // Not a round trip since the last time.
            rack.dsack_seen = false;
        }
        if std::mem::take(&mut rack.dsack_seen) {
            rack.reo_wnd_steps = (rack.reo_wnd_steps + 1).min(255);
            rack.reo_wnd_persist = REO_WND_PERSIST;
            rack.last_delivered = self.delivered + u64::from(self.queue.packets_out());
        } else if rack.reo_wnd_persist == 0 {
            rack.reo_wnd_steps = 1;
        }
    }

    pub(super) fn reo_wnd(&self) -> Duration {
        if self.reord_seen == 0
            && (self.ca_state >= CaState::Recovery
                || (self.queue.sacked_out >= self.reordering && !self.config.no_dup_thresh))
        {
            return Duration::ZERO;
        }
        let min = self.rtt.min_rtt().unwrap_or(Duration::ZERO);
        (min * u64::from(self.rack.reo_wnd_steps) / 4).min(self.rtt.srtt())
    }

    /// Mark segments lost that were sent sufficiently before one that was delivered
    /// (`tcp_rack_detect_loss`). Returns how long until the next one would be.
    pub(super) fn rack_detect_loss(&mut self, now: Instant) -> Option<Duration> {
        let allowance = self.rack.rtt + self.reo_wnd();
        let rack = self.rack;
        let mut wait = None;
        // Original transmissions stand in the order of their sending.
        let mut index = self.queue.sent.partition_point(|seg| seg.start < self.queue.rack_hint);
        while index < self.queue.sent.len() {
            let seg = &self.queue.sent[index];
            let open = !seg.flags.has(SegFlags::SACKED | SegFlags::LOST | SegFlags::EVER_RETRANS);
            if open {
                if !rack.sent_after(seg.sent_at, seg.order) {
                    break;
                }
                let age = now.saturating_since(seg.sent_at);
                if age >= allowance {
                    self.queue.mark_lost(index);
                } else {
                    wait = Some(allowance - age);
                    break;
                }
            }
            self.queue.rack_hint = self.queue.sent[index].end();
            index += 1;
        }
        // Retransmissions stand in the order of theirs.
        while let Some(&Resent { start, order, rank }) = self.queue.retransmitted.front() {
            let index = self.queue.sent.partition_point(|seg| seg.start < start);
            let current = self.queue.sent.get(index).is_some_and(|seg| {
                seg.start == start
                    && seg.order == order
                    && !seg.flags.has(SegFlags::SACKED)
                    // What an undo took the mark of loss from counts as in flight, too.
                    && (seg.flags.has(SegFlags::RETRANS) || !seg.flags.has(SegFlags::LOST))
            });
            if current {
                let sent_at = self.queue.sent[index].sent_at;
                if !rack.sent_after(sent_at, rank) {
                    break;
                }
                let age = now.saturating_since(sent_at);
                if age < allowance {
                    let left = allowance - age;
                    wait = Some(wait.map_or(left, |other: Duration| other.max(left)));
                    break;
                }
                self.queue.mark_lost(index);
            }
            self.queue.retransmitted.pop_front();
        }
        wait
    }

    /// The reordering timer fired: look again (`tcp_rack_reo_timeout`).
    pub(crate) fn reorder_timeout(&mut self, now: Instant, me: usize, paths: &[PathView]) {
        let prior = self.queue.in_flight();
        let wait = self.rack_detect_loss(now);
        if prior != self.queue.in_flight() {
            if self.ca_state != CaState::Recovery {
                self.enter_recovery(now, false, me, paths);
                // A timer, not an ACK, started the episode: the window follows the flight.
                if !self.by_rate {
                    self.prr_reduce(1, 0, &Tally::default());
                }
            }
            self.repair_by(Repair::Lost);
        }
        match wait {
            Some(wait) => {
                self.xmit_timer = Some((self.config.expiry(now, wait), XmitTimer::Reorder));
            }
            None => self.rearm_rto(now),
        }
    }

    pub(super) fn process_tlp_ack(
        &mut self,
        now: Instant,
        ack: u64,
        tally: &Tally,
        around: &Surroundings<'_>,
    ) {
        if ack < self.tlp_high_seq {
            return;
        }
        if !self.tlp_retrans || tally.dsack_of_probe {
            self.tlp_high_seq = 0;
        } else if ack > self.tlp_high_seq {
            // The probe repaired a loss: reduce once (RFC 8985, section 7.4).
            self.init_reduction(now, Cause::Loss, around.me, around.paths);
            self.set_ca_state(CaState::Cwr);
            self.end_reduction(now);
            self.try_keep_open();
        } else if !tally.una_advanced && !tally.data_sacked && !tally.window_update {
            self.tlp_high_seq = 0;
        }
    }
}
