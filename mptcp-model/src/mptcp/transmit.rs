//! Sending what is due: each subflow is asked what it wants to send, and the segment is written with its
//! options, the shared window and the IP header.

use sim_core::Instant;

use super::{Connection, Content, Mode, Stage};
use crate::tcp::{OutputDue, Plan, PlanKind, Polled, Push};
use crate::wire::{DataNumber, Dss, DssMapping, MpOption, Packet, Payload, Seq, TcpFlags, TcpOptions};

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
    /// Gives every packet that is due to `out`, after [those that left before](Self::hand_over_left).
    #[inline]
    pub(crate) fn transmit(&mut self, now: Instant, out: &mut impl Outlet) {
        loop {
            let mut grew = false;
            for index in 0..self.subflows.len() {
                grew |= self.transmit_subflow(index, now, out);
            }
            if grew {
                self.sync_sndbuf();
                self.note_writable();
                if self.out_of_tree && !self.send.has_pending() {
                    // What waits was pushed with the ACK. Upstream, a larger buffer takes more only with the next ACK
                    // or write (`subflow_write_space`).
                    self.push_pending(now);
                }
            } else if !(self.work_due && self.work(now)) {
                return;
            }
        }
    }

    /// Gives what is due on a subflow to `out`. Returns whether its send buffer grew.
    #[inline(always)]
    fn transmit_subflow(&mut self, index: usize, now: Instant, out: &mut impl Outlet) -> bool {
        let Some(subflow) = self.subflows.get_mut(index).filter(|subflow| !subflow.is_at_rest()) else {
            return false;
        };
        let mut plan = Plan::NONE;
        let speaks = subflow.signals.is_empty() && subflow.stage != Stage::Gone;
        let (mut polled, mss) = if speaks && subflow.flow.poll_bare_ack(&mut plan) {
            (Polled::Last, 0)
        } else {
            let mss = self.segment_size(index);
            (self.poll_subflow(index, now, mss, &mut plan), mss)
        };
        while polled != Polled::Nothing {
            loop {
                if polled == Polled::Burst {
                    self.subflows[index].flow.next_of_burst(now, mss, &mut plan);
                }
                out.send(index, |packet| self.write_packet(packet, index, &plan, now));
                if polled != Polled::Burst || self.subflows[index].flow.burst_is_over() {
                    break;
                }
            }
            if polled == Polled::Last {
                break;
            }
            polled = self.poll_subflow(index, now, mss, &mut plan);
        }
        std::mem::take(&mut self.subflows[index].flow.sndbuf_grew)
    }

    /// Whether packets left while an event was looked at.
    #[inline]
    pub(crate) const fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// Gives them to `out`. Inlined, though rare: no pointer to `out` is to stay, so that it need not lie in memory.
    #[inline(always)]
    pub(crate) fn hand_over_left(&mut self, out: &mut impl Outlet) {
        for (index, packet) in self.left.drain(..) {
            out.send(index, |place| *place = packet);
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
        // The event may change more.
        self.recv.changed();
        self.left.push((index, packet));
    }

    /// What a subflow sends next, if anything, after what `plan` was; becomes the plan.
    pub(super) fn next_plan(&mut self, index: usize, now: Instant, mss: u32, plan: &mut Plan) -> bool {
        let flow = &self.subflows[index].flow;
        let goes_on = flow.goes_on_after(plan);
        let polled = if goes_on { Polled::Burst } else { self.poll_subflow(index, now, mss, plan) };
        if polled == Polled::Burst {
            self.subflows[index].flow.next_of_burst(now, mss, plan);
        }
        polled != Polled::Nothing
    }

    /// What a subflow sends next, if anything, with no burst going on; becomes the plan.
    #[inline]
    fn poll_subflow(&mut self, index: usize, now: Instant, mss: u32, plan: &mut Plan) -> Polled {
        let subflow = &mut self.subflows[index];
        if subflow.stage == Stage::Gone && !subflow.flow.due.has(OutputDue::RESET) {
            return Polled::Nothing;
        }
        if !subflow.signals.is_empty() && subflow.flow.is_synchronized() {
            // Address signalling has ACKs of its own.
            *plan = subflow.flow.bare_ack();
            return Polled::Segment;
        }
        subflow.flow.poll_send(now, mss, plan)
    }

    /// Makes `packet` the packet of a plan. What it was does not matter.
    pub(crate) fn write_packet(&mut self, packet: &mut Packet, index: usize, plan: &Plan, now: Instant) {
        if !self.write_usual_packet(packet, index, plan, now) {
            self.write_any_packet(packet, index, plan, now);
        }
    }

    /// A packet with an acknowledgment that has nothing but timestamps among its options, and in MPTCP a DSS without
    /// checksum and DATA_FIN; false, and nothing done, if it has.
    #[inline(always)]
    fn write_usual_packet(&mut self, packet: &mut Packet, index: usize, plan: &Plan, now: Instant) -> bool {
        let multipath = self.mode != Mode::Plain;
        let Some(subflow) = self.subflows.get_mut(index) else { return false };
        let flow = &mut subflow.flow;
        let usual = matches!(plan.kind, PlanKind::Data | PlanKind::Ack | PlanKind::Probe)
            && subflow.stage == Stage::Confirmed
            && !(self.out_of_tree | flow.ecn.ok | flow.ecn.urgent | self.checksum)
            && subflow.signals.is_empty()
            && flow.ts_ok
            && !flow.recv.has_sacks()
            && !(multipath && self.send.fin_enabled());
        if !usual {
            return false;
        }
        let segment = packet.segment_mut();
        let clock = flow.ts_clock(now).wrapping_add(flow.params.ts_offset);
        let scale = flow.rcv_wscale;
        segment.window = if multipath {
            let acked = self.keys.remote_base.wrapping_add(self.recv.next);
            let data_ack =
                if self.use_long_ack { DataNumber::Long(acked) } else { DataNumber::Short(acked as u32) };
            let map = &plan.map;
            let mapping = (map.len > 0).then(|| DssMapping {
                dsn: DataNumber::Long(self.keys.local_base.wrapping_add(map.data)),
                ssn: (map.start as u32).wrapping_sub(self.syn_octets),
                len: map.len as u16,
                checksum: None,
            });
            let dss = Dss { data_fin: false, data_ack: Some(data_ack), mapping };
            segment.options.set_timestamps_and_dss(clock, flow.recv.ts_recent, &dss);
            self.recv.window_field(&mut flow.recv, &mut subflow.offered, scale)
        } else {
            segment.options.set_timestamps(clock, flow.recv.ts_recent);
            let space = flow.recv.space();
            (flow.recv.select_window(space, scale) >> scale).min(65_535) as u16
        };
        (segment.src_port, segment.dst_port) = subflow.ports;
        segment.seq = flow.snd_seq(plan.start);
        segment.ack = Seq::from_offset(flow.recv.irs, flow.recv.rcv_nxt);
        segment.flags = plan.flags;
        segment.urgent = 0;
        flow.stats.segs_out += 1;
        flow.recv.note_ack_sent();
        subflow.ip_id = subflow.ip_id.wrapping_add(1);
        Self::write_payload(&self.options.content, &mut segment.payload, plan);
        packet.ip = subflow.header;
        if subflow.header.is_ipv4() {
            packet.ip.id = subflow.ip_id;
        }
        true
    }

    /// As [`write_packet`](Self::write_packet), whatever the plan is.
    #[inline(never)]
    fn write_any_packet(&mut self, packet: &mut Packet, index: usize, plan: &Plan, now: Instant) {
        self.recv.changed();
        let segment = packet.segment_mut();
        segment.options = self.options_of(index, plan, now);
        let offer = if self.out_of_tree { Offer::Shared } else { Offer::with(&segment.options) };
        segment.window = self.window_field(index, plan, offer);
        Self::write_payload(&self.options.content, &mut segment.payload, plan);
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
        (segment.src_port, segment.dst_port) = subflow.ports;
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

    /// What a segment carries, written where it lies.
    #[inline(always)]
    fn write_payload(content: &Content, payload: &mut Payload, plan: &Plan) {
        let offset = if plan.map.len > 0 {
            plan.map.data + (plan.start - plan.map.start)
        } else {
            plan.start.saturating_sub(1)
        };
        match (plan.len, content) {
            (0, _) => payload.become_pattern(0, 0, 0),
            (1..=MOST_OCTETS, Content::Pattern(seed)) => {
                payload.become_pattern(*seed, offset, plan.len as u16);
            }
            (len, _) => *payload = content.payload(offset, len),
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
        let window = if offer == Offer::Own {
            flow.recv.fresh_window(space, scale)
        } else {
            self.recv.offer_shared(&mut flow.recv, scale, self.out_of_tree)
        };
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
