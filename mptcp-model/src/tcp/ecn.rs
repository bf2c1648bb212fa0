//! Explicit Congestion Notification (RFC 3168) of one flow: its negotiation, ECT(0) on new data, the echo of CE until
//! the sender has answered with CWR, and the reduction that an echo asks for (TCP-21). For an algorithm that goes by
//! marks (DCTCP, RFC 8257) all packets are ECT(0), and the echo says of each segment whether it was marked.
//!
//! Left out: Accurate ECN (RFC 9768); a listener grants ECN to an ECN-capable SYN, which Linux does only if its own algorithm
//! goes by marks.

use sim_core::Instant;

use super::recovery::Tally;
use super::{Flow, Plan, PlanKind, TcpState};
use crate::congestion::{CaState, Cause, CongestionControl, PathView};
use crate::wire::{Ecn, TcpFlags, TcpSegment};

/// Both flags, with which a SYN asks.
const BOTH: TcpFlags = TcpFlags(TcpFlags::ECE.0 | TcpFlags::CWR.0);

/// What a flow knows of ECN.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EcnState {
    /// The algorithm goes by marks (RFC 8257).
    pub(crate) by_marks: bool,
    /// Both ends agreed.
    pub(crate) ok: bool,
    /// A segment came with an ECN field.
    pub(crate) seen: bool,
    /// Segments that came with CE.
    pub(crate) received_ce: u64,
    /// The segment in hand came with CE.
    pub(crate) marked: bool,
    /// Urgent data is not acknowledged: asked with what else marks segments, as rare as this.
    pub(crate) urgent: bool,
    /// ACKs echo until the peer says that it has reduced its window.
    demand_cwr: bool,
    /// The next new data says that the window was reduced.
    queue_cwr: bool,
}

impl EcnState {
    pub(super) fn new(algorithm: &dyn CongestionControl) -> Self {
        Self { by_marks: algorithm.goes_by_marks(), ..Self::default() }
    }

    /// The ECN field of packets that are not new data: ECN-capable only for an algorithm that goes by marks.
    const fn of_all(&self) -> Ecn {
        if self.by_marks { Ecn::Ect0 } else { Ecn::NotEct }
    }
}

impl Flow {
    /// The flags of ECN on a segment that leaves, and its ECN field (RFC 3168, section 6.1).
    #[inline]
    pub(crate) fn ecn_marks(&mut self, plan: &Plan) -> (TcpFlags, Ecn) {
        let plain = TcpFlags::default();
        match plan.kind {
            // A SYN that is repeated does not ask again (section 6.1.1.1).
            PlanKind::Syn if self.asks_for_ecn() && !plan.retransmission => (BOTH, self.ecn.of_all()),
            PlanKind::Syn => (plain, self.ecn.of_all()),
            PlanKind::SynAck if self.ecn.ok => (TcpFlags::ECE, self.ecn.of_all()),
            PlanKind::SynAck => (plain, Ecn::NotEct),
            PlanKind::Reset if self.reset_bare || !self.ecn.ok => (plain, Ecn::NotEct),
            _ if !(self.ecn.ok | self.ecn.urgent) => (plain, Ecn::NotEct),
            _ if self.ecn.urgent && self.urgent_pointer(plan.start).is_some() => (TcpFlags::URG, Ecn::NotEct),
            _ if !self.ecn.ok => (plain, Ecn::NotEct),
            _ => {
                let echo = if self.ecn.demand_cwr { TcpFlags::ECE } else { plain };
                if plan.len == 0 || plan.retransmission {
                    return (echo, self.ecn.of_all());
                }
                let cwr = std::mem::take(&mut self.ecn.queue_cwr);
                (if cwr { echo.with(TcpFlags::CWR) } else { echo }, Ecn::Ect0)
            }
        }
    }

    fn asks_for_ecn(&self) -> bool {
        self.ecn.by_marks || self.config.ecn == 1
    }

    /// The peer's SYN or SYN/ACK: do both ends agree?
    pub(crate) fn negotiate_ecn(&mut self, flags: TcpFlags) {
        let asked = TcpFlags(flags.0 & BOTH.0);
        self.ecn.ok = match self.state {
            TcpState::SynSent => self.asks_for_ecn() && flags.ack() && asked == TcpFlags::ECE,
            _ => (self.ecn.by_marks || matches!(self.config.ecn, 1 | 2)) && asked == BOTH,
        };
    }

    /// Whether what is to be acknowledged already was marked where this segment is not, or the other way round: the ACK of
    /// it leaves first, with the echo of before (RFC 8257, section 3.2; `dctcp_ece_ack_update`).
    pub(crate) fn ends_run_of_marks(&self, segment: &TcpSegment) -> bool {
        self.ecn.by_marks
            && self.ecn.ok
            && !segment.payload.is_empty()
            && self.ecn.marked != self.ecn.demand_cwr
            && self.recv.delack.is_some()
    }

    /// Data arrived (`tcp_ecn_accept_cwr`, `tcp_data_ecn_check`). A mark of data that is not `new` says nothing.
    pub(super) fn take_ecn_of_data(&mut self, segment: &TcpSegment, new: bool) {
        if !self.ecn.ok {
            return;
        }
        if segment.flags.contains(TcpFlags::CWR) {
            self.ecn.demand_cwr &= self.ecn.by_marks;
            // The sender's window may be as small as one segment.
            self.recv.ack_immediately();
        }
        if !new {
            return;
        }
        if self.ecn.by_marks {
            self.ecn.seen = true;
            if self.ecn.marked != self.ecn.demand_cwr {
                self.recv.ack_immediately();
            }
            self.ecn.demand_cwr = self.ecn.marked;
        } else if self.ecn.marked {
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

    /// The reduction was for nothing and is not told (`tcp_ecn_withdraw_cwr`).
    pub(super) fn withdraw_cwr(&mut self) {
        self.ecn.queue_cwr = false;
    }

    /// An echo asks for a reduction, once per window (`tcp_enter_cwr`).
    pub(super) fn enter_cwr(&mut self, now: Instant, tally: &Tally, me: usize, paths: &[PathView]) {
        if !tally.echo_congestion {
            return;
        }
        self.prior_ssthresh = 0;
        if self.ca_state < CaState::Cwr {
            self.undo_marker = 0;
            self.init_reduction(now, Cause::Ecn, me, paths);
            self.set_ca_state(CaState::Cwr);
        }
    }
}
