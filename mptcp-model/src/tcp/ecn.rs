//! Explicit Congestion Notification (RFC 3168) of one flow: its negotiation, ECT(0) on new data, the echo of CE until
//! the sender has answered with CWR, and the reduction that an echo asks for (TCP-21).
//!
//! Left out: Accurate ECN (RFC 9768), and routers that mark.

use sim_core::Instant;

use super::recovery::Tally;
use super::{Flow, Plan, PlanKind, TcpState};
use crate::congestion::{CaState, Cause, PathView};
use crate::wire::{Ecn, TcpFlags, TcpSegment};

/// Both flags, with which a SYN asks.
const BOTH: TcpFlags = TcpFlags(TcpFlags::ECE.0 | TcpFlags::CWR.0);

/// What a flow knows of ECN.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EcnState {
    /// Both ends agreed.
    pub(crate) ok: bool,
    /// A segment came with an ECN field.
    pub(crate) seen: bool,
    /// Segments that came with CE.
    pub(crate) received_ce: u64,
    /// The segment in hand came with CE.
    pub(crate) marked: bool,
    /// ACKs echo until the peer says that it has reduced its window.
    demand_cwr: bool,
    /// The next new data says that the window was reduced.
    queue_cwr: bool,
}

impl Flow {
    /// The flags of ECN on a segment that leaves, and its ECN field (RFC 3168, section 6.1).
    #[inline]
    pub(crate) fn ecn_marks(&mut self, plan: &Plan) -> (TcpFlags, Ecn) {
        let plain = TcpFlags::default();
        match plan.kind {
            // A SYN that is repeated does not ask again (section 6.1.1.1).
            PlanKind::Syn if self.config.ecn == 1 && !plan.retransmission => (BOTH, Ecn::NotEct),
            PlanKind::SynAck if self.ecn.ok => (TcpFlags::ECE, Ecn::NotEct),
            PlanKind::Syn | PlanKind::SynAck => (plain, Ecn::NotEct),
            _ if !self.ecn.ok => (plain, Ecn::NotEct),
            PlanKind::Reset if self.reset_bare => (plain, Ecn::NotEct),
            _ => {
                let echo = if self.ecn.demand_cwr { TcpFlags::ECE } else { plain };
                if plan.len == 0 || plan.retransmission {
                    return (echo, Ecn::NotEct);
                }
                let cwr = std::mem::take(&mut self.ecn.queue_cwr);
                (if cwr { echo.with(TcpFlags::CWR) } else { echo }, Ecn::Ect0)
            }
        }
    }

    /// The peer's SYN or SYN/ACK: do both ends agree?
    pub(crate) fn negotiate_ecn(&mut self, flags: TcpFlags) {
        let asked = TcpFlags(flags.0 & BOTH.0);
        self.ecn.ok = match self.state {
            TcpState::SynSent => self.config.ecn == 1 && flags.ack() && asked == TcpFlags::ECE,
            _ => matches!(self.config.ecn, 1 | 2) && asked == BOTH,
        };
    }

    /// Data arrived (`tcp_ecn_accept_cwr`, `tcp_data_ecn_check`). A mark of data that is not `new` says nothing.
    pub(super) fn take_ecn_of_data(&mut self, segment: &TcpSegment, new: bool) {
        if !self.ecn.ok {
            return;
        }
        if segment.flags.contains(TcpFlags::CWR) {
            self.ecn.demand_cwr = false;
            // The sender's window may be as small as one segment.
            self.recv.ack_immediately();
        }
        if self.ecn.marked && new {
            self.ecn.seen = true;
            if !self.ecn.demand_cwr {
                self.ecn.demand_cwr = true;
                self.recv.enter_quickack(2);
            }
        }
    }

    /// Whether an acknowledgment echoes congestion.
    pub(super) fn echoes_congestion(&self, segment: &TcpSegment) -> bool {
        self.ecn.ok && segment.flags.contains(TcpFlags::ECE) && !segment.flags.syn()
    }

    /// The window is reduced: the peer is to know.
    pub(super) fn queue_cwr(&mut self) {
        self.ecn.queue_cwr = self.ecn.ok;
    }

    /// An echo asks for a reduction, once per window (`tcp_enter_cwr`).
    pub(super) fn enter_cwr(&mut self, now: Instant, tally: &Tally, me: usize, paths: &[PathView]) {
        if !tally.echo_congestion {
            return;
        }
        self.prior_ssthresh = 0;
        if self.ca_state < CaState::Cwr {
            self.undo_marker = 0;
            self.init_reduction(now, Cause::Loss, me, paths);
            self.set_ca_state(CaState::Cwr);
        }
    }
}
