//! Sending what is due: each subflow is asked what it wants to send, and the segment is written with its
//! options, the shared window and the IP header.

use sim_core::Instant;

use super::{Connection, Content, Mode, Stage};
use crate::tcp::{Plan, PlanKind, Push};
use crate::wire::{MpOption, Packet, Payload, Seq, TcpFlags, TcpOptions};

/// What the window that leaves with a segment of MPTCP has to do with others, as Linux 6.18 shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    /// With a DSS: it is the connection's, and binds it.
    Shared,
    /// With a handshake: it is the subflow's, which takes nothing of it back.
    Kept,
    /// With a signal: it is the subflow's as it is now.
    Own,
}

impl Offer {
    fn with(options: &TcpOptions) -> Self {
        let mut offer = Self::Own;
        for option in options.mptcp() {
            match option {
                MpOption::Dss(_) => return Self::Shared,
                MpOption::Capable { .. } | MpOption::JoinAck { .. } => offer = Self::Kept,
                _ => {}
            }
        }
        offer
    }
}

/// Octets that one packet has room for.
const MOST_OCTETS: u32 = u16::MAX as u32;

/// Where the packets of a connection go.
pub(crate) trait Outlet {
    /// The subflow of this index sends a packet, which `write` makes of whatever it was.
    fn send(&mut self, subflow: usize, write: impl FnOnce(&mut Packet));
}

/// Collects them.
impl Outlet for Vec<Packet> {
    fn send(&mut self, _: usize, write: impl FnOnce(&mut Packet)) {
        let mut packet = Packet::blank();
        write(&mut packet);
        self.push(packet);
    }
}

impl Connection {
    /// Gives every packet that is due to `out`.
    pub(crate) fn transmit(&mut self, now: Instant, out: &mut impl Outlet) {
        for (index, packet) in self.left.drain(..) {
            out.send(index, |place| *place = packet);
        }
        loop {
            let extra = self.dss_room();
            let mut grew = false;
            for index in 0..self.subflows.len() {
                if self.subflows[index].is_at_rest() {
                    continue;
                }
                let mss = self.subflows[index].flow.mss_now(extra);
                let mut plan = Plan::NONE;
                while self.next_plan(index, now, mss, &mut plan) {
                    out.send(index, |packet| self.write_packet(packet, index, &plan, now));
                }
                grew |= std::mem::take(&mut self.subflows[index].flow.sndbuf_grew);
            }
            if grew {
                self.sync_sndbuf();
                self.note_writable();
                if self.out_of_tree && !self.send.has_pending() {
                    // What waits was pushed with the ACK. Upstream, a larger buffer takes more only with the next ACK
                    // or write (`subflow_write_space`).
                    self.push_pending(now);
                }
            } else if !self.work(now) {
                return;
            }
        }
    }

    /// What an acknowledgment makes a subflow send again leaves before the data that came with it is looked at.
    pub(super) fn transmit_recovery(&mut self, now: Instant, index: usize) {
        let mss = self.segment_size(index);
        let mut plan = Plan::NONE;
        while self.subflows[index].flow.poll_recovery(now, mss, &mut plan) {
            self.leave(index, &plan, now);
        }
    }

    /// What was just handed down leaves at once.
    pub(super) fn transmit_pushed(&mut self, now: Instant) {
        for index in 0..self.subflows.len() {
            let mss = self.segment_size(index);
            let mut plan = Plan::NONE;
            while self.subflows[index].flow.poll_push(now, mss, Push::Pending, &mut plan) {
                self.leave(index, &plan, now);
            }
        }
    }

    /// A segment leaves before what else the event that is looked at makes due.
    pub(super) fn leave(&mut self, index: usize, plan: &Plan, now: Instant) {
        let mut packet = Packet::blank();
        self.write_packet(&mut packet, index, plan, now);
        self.left.push((index, packet));
    }

    /// What a subflow sends next, if anything, after what `plan` was; becomes the plan.
    #[inline]
    pub(super) fn next_plan(&mut self, index: usize, now: Instant, mss: u32, plan: &mut Plan) -> bool {
        let subflow = &mut self.subflows[index];
        if subflow.flow.goes_on_after(plan) {
            subflow.flow.continue_burst(now, mss, plan);
            return true;
        }
        if subflow.stage == Stage::Gone && !subflow.flow.reset_due {
            return false;
        }
        if subflow.flow.is_synchronized() && !subflow.signals.is_empty() {
            // Address signalling has ACKs of its own.
            *plan = subflow.flow.bare_ack();
            return true;
        }
        subflow.flow.poll_send(now, mss, plan)
    }

    /// Makes `packet` the packet of a plan. What it was does not matter.
    pub(crate) fn write_packet(&mut self, packet: &mut Packet, index: usize, plan: &Plan, now: Instant) {
        let segment = packet.segment_mut();
        let offer = if self.write_usual_options(&mut segment.options, index, plan, now) {
            Offer::Shared
        } else {
            segment.options = self.options_of(index, plan, now);
            if self.out_of_tree { Offer::Shared } else { Offer::with(&segment.options) }
        };
        segment.window = self.window_field(index, plan, offer);
        self.write_payload(&mut segment.payload, plan);
        let subflow = &mut self.subflows[index];
        let flow = &mut subflow.flow;
        let handshake = matches!(plan.kind, PlanKind::Syn | PlanKind::SynAck | PlanKind::Reset);
        let id = if handshake && plan.kind != PlanKind::Syn {
            0
        } else {
            subflow.ip_id = subflow.ip_id.wrapping_add(1);
            subflow.ip_id
        };
        let (marks, ecn) = flow.ecn_marks(plan);
        let urgent = if marks.contains(TcpFlags::URG) { flow.urgent_pointer(plan.start) } else { None };
        segment.src_port = flow.params.local.port();
        segment.dst_port = flow.params.remote.port();
        segment.seq = flow.snd_seq(plan.start);
        segment.ack =
            if plan.flags.ack() { Seq::from_offset(flow.recv.irs, flow.recv.rcv_nxt) } else { Seq(0) };
        segment.flags = plan.flags.with(marks);
        segment.urgent = urgent.unwrap_or(0);
        flow.note_sent(plan.kind);
        if plan.kind == PlanKind::Reset {
            flow.reset_sent();
        }
        packet.ip = subflow.header;
        packet.ip.id = if subflow.header.is_ipv4() { id } else { 0 };
        packet.ip.ecn = ecn;
    }

    /// The options of a segment that has nothing but timestamps, and a DSS in MPTCP, to carry; false if it has.
    #[inline]
    fn write_usual_options(&self, options: &mut TcpOptions, index: usize, plan: &Plan, now: Instant) -> bool {
        let subflow = &self.subflows[index];
        let flow = &subflow.flow;
        let usual = matches!(plan.kind, PlanKind::Data | PlanKind::Ack | PlanKind::Probe)
            && subflow.stage == Stage::Confirmed
            && !self.out_of_tree
            && subflow.signals.is_empty()
            && flow.ts_ok
            && !flow.recv.has_sacks();
        if !usual {
            return false;
        }
        let clock = flow.ts_clock(now).wrapping_add(flow.params.ts_offset);
        if self.mode == Mode::Plain {
            options.set_timestamps(clock, flow.recv.ts_recent);
            return true;
        }
        let dss = self.dss(plan, self.send.fin_enabled());
        options.set_timestamps_and_dss(clock, flow.recv.ts_recent, &dss)
    }

    /// What a segment carries, written where it lies.
    #[inline(always)]
    fn write_payload(&self, payload: &mut Payload, plan: &Plan) {
        let offset = if plan.map.len > 0 {
            plan.map.data + (plan.start - plan.map.start)
        } else {
            plan.start.saturating_sub(1)
        };
        match (plan.len, &self.options.content) {
            (0, _) => *payload = Payload::Empty,
            (1..=MOST_OCTETS, Content::Pattern(seed)) => {
                *payload = Payload::Pattern { seed: *seed, len: plan.len as u16, offset };
            }
            (len, _) => *payload = self.payload(offset, len),
        }
    }

    /// The window field; in MPTCP the right edge is the connection's, the same on all subflows
    /// (`mptcp_set_rwin`).
    fn window_field(&mut self, index: usize, plan: &Plan, offer: Offer) -> u16 {
        let space = self.receive_space(index);
        let flow = &mut self.subflows[index].flow;
        match plan.kind {
            PlanKind::Syn | PlanKind::SynAck => return flow.recv.rcv_wnd.min(65_535) as u16,
            PlanKind::Reset if flow.reset_bare => return 0,
            _ => {}
        }
        let scale = flow.rcv_wscale;
        // The options of a reset leave the window alone.
        if self.mode != Mode::Multipath || plan.kind == PlanKind::Reset || offer == Offer::Kept {
            let window = flow.recv.select_window(space, scale);
            return (window >> scale).min(65_535) as u16;
        }
        let mut window = flow.recv.fresh_window(space, scale);
        if offer == Offer::Own {
            return (window >> scale).min(65_535) as u16;
        }
        let edge = self.recv.next + window;
        if edge > self.recv.window_end {
            self.recv.window_end = edge;
        } else {
            let most = if scale == 0 { 65_535 } else { 65_535u64 << scale };
            window = (self.recv.window_end - self.recv.next).min(most);
            if self.out_of_tree {
                window = window.next_multiple_of(1 << scale).min(most);
                self.recv.window_end = self.recv.next + window;
            }
            flow.recv.rcv_wnd = window;
        }
        (window >> scale).min(65_535) as u16
    }

    /// Space of the buffer that data of a subflow goes to.
    pub(crate) fn receive_space(&self, index: usize) -> crate::tcp::ReceiveSpace {
        match self.mode {
            Mode::Multipath => self.recv.space(),
            _ => self.subflows[index].flow.recv.space(),
        }
    }
}
