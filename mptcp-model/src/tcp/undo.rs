//! Reductions that were not needed are undone: by the echoed timestamp (Eifel, RFC 3522), by DSACK (RFC 3708), or
//! because F-RTO (RFC 5682) finds that a timeout was spurious.

use sim_core::Instant;

use super::rack::REO_WND_PERSIST;
use super::recovery::Tally;
use super::sendq::SegFlags;
use super::{Flow, Repair};
use crate::congestion::CaState;

impl Flow {
    pub(super) fn init_undo(&mut self) {
        self.undo_marker = self.snd_una;
        let probes = u32::from(self.tlp_high_seq != 0 && self.tlp_retrans);
        let out = self.queue.retrans_out + probes;
        self.undo_retrans = if out > 0 { out as i32 } else { -1 };
    }

    /// Whether the ACK answers a segment sent before the first retransmission (Eifel, RFC 3522).
    pub(super) fn answered_original(&self, tally: &Tally) -> bool {
        let (Some(stamp), Some(echo)) = (self.retrans_stamp, tally.echo) else { return false };
        echo.wrapping_sub(self.ts_clock(stamp)).cast_signed() < 0
    }

    pub(super) fn may_undo(&self, tally: &Tally) -> bool {
        self.undo_marker != 0 && (self.undo_retrans == 0 || self.answered_original(tally))
    }

    pub(super) fn undo(&mut self, now: Instant, unmark: bool) {
        if unmark {
            for index in 0..self.queue.sent.len() {
                let seg = &mut self.queue.sent[index];
                seg.flags.0 &= !SegFlags::LOST;
            }
            self.queue.lost_out = 0;
            self.queue.judge_again(self.snd_una);
        }
        if self.prior_ssthresh != 0 {
            self.window.cwnd = self.cc.undo_cwnd(&self.window, self.prior_cwnd);
            if self.prior_ssthresh > self.window.ssthresh {
                self.window.ssthresh = self.prior_ssthresh;
                self.withdraw_cwr();
            }
        }
        self.cwnd_stamp = now;
        self.undo_marker = 0;
        self.rack.advanced = true;
        self.stats.undone += 1;
    }

    /// Recovery is complete; was it needed? Returns whether the state is kept until `high_seq` is passed.
    pub(super) fn try_undo_recovery(&mut self, now: Instant, tally: &Tally) -> bool {
        if self.may_undo(tally) {
            self.undo(now, false);
        } else if self.rack.reo_wnd_persist > 0 {
            self.rack.reo_wnd_persist -= 1;
        }
        if self.snd_una == self.high_seq && !self.sack_ok {
            // Hold the state until above high_seq, to avoid false fast retransmits (RFC 6582, section 4).
            return true;
        }
        self.set_ca_state(CaState::Open);
        false
    }

    pub(super) fn try_undo_partial(&mut self, now: Instant, prior_una: u64, tally: &Tally) -> bool {
        if self.undo_marker != 0 && self.answered_original(tally) {
            self.note_reordering(prior_una);
            if self.queue.retrans_out > 0 {
                return true;
            }
            self.undo(now, true);
            self.try_keep_open();
        }
        false
    }

    pub(super) fn try_undo_dsack(&mut self) -> bool {
        if self.undo_marker != 0 && self.undo_retrans == 0 {
            self.rack.reo_wnd_persist = (self.rack.reo_wnd_persist + 1).min(REO_WND_PERSIST);
            let stamp = self.cwnd_stamp;
            self.undo(stamp, false);
            return true;
        }
        false
    }

    pub(super) fn try_undo_loss(&mut self, now: Instant, frto_undo: bool, tally: &Tally) -> bool {
        if !frto_undo && !self.may_undo(tally) {
            return false;
        }
        self.undo(now, true);
        self.retries = 0;
        if frto_undo || self.sack_ok {
            self.set_ca_state(CaState::Open);
            self.retrans_stamp = None;
        }
        true
    }

    /// In `Loss`: F-RTO decides whether the timeout was spurious (`tcp_process_loss`).
    pub(super) fn process_loss(&mut self, now: Instant, dup_ack: bool, tally: &mut Tally) {
        let recovered = self.snd_una >= self.high_seq;
        if tally.una_advanced && self.try_undo_loss(now, false, tally) {
            return;
        }
        if self.frto {
            if tally.orig_acked && self.try_undo_loss(now, true, tally) {
                return;
            }
            if self.snd_nxt > self.high_seq {
                if tally.data_sacked || dup_ack {
                    self.frto = false;
                }
            } else if tally.una_advanced && !recovered {
                self.high_seq = self.snd_nxt;
                if self.can_send_new() {
                    // Step 2b: try new data.
                    self.repair_by(Repair::NewData);
                    return;
                }
                self.frto = false;
            }
        }
        if recovered {
            self.try_undo_recovery(now, tally);
            return;
        }
        if self.snd_nxt > self.high_seq && dup_ack {
            // A duplicate ACK means that new data of step 2b arrived.
            self.add_reno_sack(true, tally);
        } else if tally.una_advanced {
            self.reset_reno_sack();
        }
        self.repair_by(Repair::Lost);
    }
}
