//! Segment arrival at a connection: DSS, and the delivery of data by its mapping. Handshakes stand in
//! `handshake`, what the options of addresses, priorities and resets do in `paths` and `close`.

use sim_core::Instant;

use super::machine::Event;
use super::subflow::RxMap;
use super::{Connection, Happened, Mode, Role, Stage, State};
use crate::crypto;
use crate::path_manager::CloseReason;
use crate::tcp::input::Surroundings;
use crate::tcp::{Arrival, ReceiveSpace};
use crate::wire::checksum::Sum;
use crate::wire::mptcp::reset_reason;
use crate::wire::options::ParsedOptions;
use crate::wire::{DataNumber, Dss, DssMapping, MpOption, Payload, TcpSegment};

impl Connection {
    /// As [`handle_segment`](Self::handle_segment), of a segment with CE in its IP header.
    pub(crate) fn handle_marked_segment(&mut self, now: Instant, index: usize, segment: &TcpSegment) {
        self.subflows[index].flow.ecn.marked = true;
        self.subflows[index].flow.ecn.received_ce += 1;
        self.handle_segment(now, index, segment);
        self.subflows[index].flow.ecn.marked = false;
    }

    /// A segment for subflow `index` arrived that was not [predicted](Self::handle_predicted).
    #[inline(never)]
    pub(crate) fn handle_segment(&mut self, now: Instant, index: usize, segment: &TcpSegment) {
        self.recv.changed();
        let parsed = segment.options.parse_all();
        let was_active = self.subflows[index].is_active();
        if self.out_of_tree && self.mode == Mode::Multipath {
            self.take_data_ack_first(now, index, segment, &parsed);
        }
        let was = self.subflows[index].flow.state();
        let flow = &self.subflows[index].flow;
        let predicted = self.mode != Mode::Multipath
            && if segment.payload.is_empty() {
                flow.is_predicted(segment)
            } else {
                flow.takes_fast_path(segment)
            };
        let map = self.announced_mapping(index, segment, &parsed);
        // Only data asks for space.
        let space = if segment.payload.is_empty() { ReceiveSpace::NONE } else { self.receive_space(index) };
        // Without anything outstanding, nothing of what congestion control sees can change.
        let changes_view = !self.subflows[index].flow.queue.sent.is_empty();
        let me = if changes_view { self.refresh_view(index) } else { self.view_of(index) };
        let mut deliveries = std::mem::take(&mut self.deliveries);
        let around = Surroundings { now, me, paths: &self.views, space, map };
        let mut outcome = self.subflows[index].flow.handle_segment(&around, segment, &parsed);
        let refused = outcome.acceptable && self.refuses_data(index, segment);
        if outcome.acceptable && !outcome.reset && !segment.flags.syn() && !refused {
            if (!segment.payload.is_empty() || segment.flags.fin()) && !predicted {
                self.transmit_recovery(now, index);
                self.push_before_data(now, index, &parsed);
            } else if self.subflows[index].stage == Stage::Unconfirmed {
                // What confirms the keys is an option, which is looked at after the acknowledgment.
                self.transmit_recovery(now, index);
            }
            if self.subflows[index].flow.ends_run_of_marks(segment) {
                let plan = self.subflows[index].flow.bare_ack();
                self.leave(index, &plan, now);
            }
            let around = Surroundings { now, me, paths: &self.views, space, map };
            outcome.fin = self.subflows[index].flow.take_data(&around, segment, &mut deliveries);
        }
        if self.out_of_tree && !deliveries.is_empty() | !segment.payload.is_empty() {
            self.spread_window(index);
        }
        if outcome.reset {
            self.take_reset(now, index, segment, &parsed);
        } else if outcome.acceptable {
            self.subflows[index].potentially_failed = false;
            let mut alive = true;
            if outcome.established {
                alive = self.subflow_synchronized(now, index, segment);
            }
            if alive && self.mode == Mode::Multipath && !self.out_of_tree {
                alive = self.check_confirmation(now, index, segment, &parsed);
            }
            if alive && self.mode == Mode::Multipath {
                if parsed_mptcp(&parsed) {
                    let undelivered = deliveries
                        .first()
                        .map_or(self.subflows[index].flow.recv.rcv_nxt, |arrival| arrival.start);
                    alive = self.take_options(now, index, segment, &parsed, undelivered);
                } else if segment.payload.is_empty() {
                    self.subflows[index].stripped_at = Some(now);
                }
            }
            if alive && self.mode == Mode::Multipath && self.out_of_tree {
                alive = self.check_confirmation(now, index, segment, &parsed);
            }
            if alive {
                self.deliver(now, index, &mut deliveries);
                if refused {
                    self.refuse_data(now, index);
                } else if self.mode != Mode::Multipath {
                    self.plain_progress(outcome.fin);
                } else if outcome.fin && !self.out_of_tree {
                    self.work_due = true;
                } else if outcome.fin && !self.stays_half_closed() {
                    self.subflow_fin(now, index);
                }
                if !(predicted && segment.payload.is_empty()) {
                    self.acknowledge_if_due(now, index);
                }
                self.revive(index);
            }
            if self.mode == Mode::Multipath {
                if !self.out_of_tree || outcome.acked || self.subflows[index].is_active() != was_active {
                    self.push_pending(now);
                } else if self.send.fin_queued {
                    self.check_data_fin_send(now);
                }
            }
        }
        deliveries.clear();
        self.deliveries = deliveries;
        if changes_view {
            self.refresh_view(index);
        }
        let state = self.subflows[index].flow.state();
        if state != was {
            self.subflow_state_changed(now, index);
        }
        self.run_path_manager(now);
    }

    /// Decide whether the data received is acknowledged now or later.
    #[inline(never)]
    pub(super) fn acknowledge_if_due(&mut self, now: Instant, index: usize) {
        let subflow = &mut self.subflows[index];
        if subflow.flow.recv.may_delay_ack() {
            subflow.check_ack(now, &self.recv, self.mode == Mode::Multipath, self.out_of_tree);
        }
    }

    /// The mapping a segment announces, by DSS or by MP_CAPABLE with data.
    #[inline]
    fn announced_mapping(
        &self,
        index: usize,
        segment: &TcpSegment,
        parsed: &ParsedOptions,
    ) -> Option<DssMapping> {
        if let Some(dss) = &parsed.dss {
            return dss.mapping;
        }
        if !parsed.mptcp_other || segment.payload.is_empty() || self.subflows[index].role != Role::Initial {
            return None;
        }
        segment.options.mptcp().find_map(|option| match option {
            // The third ACK may have been lost: this segment then brings the key.
            MpOption::Capable { sender_key: Some(key), data_len: Some(len), checksum, .. } => {
                // Keys are not looked at again once both are known.
                let known = self.keys.remote.map(|_| self.keys.remote_base);
                let base = known.unwrap_or_else(|| crypto::idsn(self.version, key).wrapping_add(1));
                Some(DssMapping { dsn: DataNumber::Long(base), ssn: 1, len, checksum })
            }
            _ => None,
        })
    }

    /// DSS and the other MPTCP options of a segment, whose data in order starts at offset `undelivered`.
    /// Returns whether the subflow lives on.
    fn take_options(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
        parsed: &ParsedOptions,
        undelivered: u64,
    ) -> bool {
        if let Some(dss) = &parsed.dss {
            if dss.mapping.is_some_and(|mapping| mapping.len == 0) {
                return self.take_infinite_mapping(now, index, undelivered);
            }
            self.take_dss(now, index, dss);
        } else if parsed.mptcp_other
            && !segment.payload.is_empty()
            && self.subflows[index].role == Role::Initial
        {
            // MP_CAPABLE with data: answers carry 64 bits (DSS-06).
            self.use_long_ack = !self.out_of_tree;
        }
        if parsed.mptcp_other && !segment.flags.syn() {
            return self.take_signals(now, index, segment, undelivered);
        }
        true
    }

    fn take_dss(&mut self, now: Instant, index: usize, dss: &Dss) {
        if self.out_of_tree
            && let Some(number) = dss.data_ack
        {
            self.take_data_ack(now, index, number);
        }
        if let Some(mapping) = &dss.mapping
            && dss.data_fin
            && mapping.len > 0
        {
            if !self.recv.fin_done {
                self.closing.peer_fin_on = Some(index);
            }
            let start = self.remote_position(mapping.dsn);
            let at = start.map(|start| start + u64::from(mapping.len) - 1);
            if let Some(at) = at.filter(|&at| at >= self.recv.next) {
                // MAL-26: the first one counts.
                self.recv.fin_at.get_or_insert(at);
            }
            if mapping.ssn == 0 {
                self.check_data_fin(index);
            }
        }
        if let Some(number) = dss.data_ack
            && !self.out_of_tree
        {
            self.take_data_ack(now, index, number);
        }
    }

    /// What the DATA_ACK of a segment with data lets go leaves with the numbers of before (`__mptcp_check_push` in
    /// `mptcp_incoming_options`).
    fn push_before_data(&mut self, now: Instant, index: usize, parsed: &ParsedOptions) {
        let number = parsed.dss.as_ref().and_then(|dss| dss.data_ack);
        let Some(number) = number.filter(|_| self.mode == Mode::Multipath && !self.out_of_tree) else {
            return;
        };
        self.take_data_ack(now, index, number);
        if !self.send.has_pending() {
            return;
        }
        self.push_pending(now);
        self.transmit_pushed(now);
    }

    pub(super) fn take_data_ack(&mut self, now: Instant, index: usize, number: DataNumber) {
        let granted = self.subflows[index].flow.granted_window();
        self.take_data_ack_with(now, number, granted);
    }

    /// A DATA_ACK on a subflow that has this window.
    #[inline(never)]
    pub(super) fn take_data_ack_with(&mut self, now: Instant, number: DataNumber, window: u64) {
        let expected = self.keys.local_base.wrapping_add(self.send.una);
        let full = number.expand(expected);
        let position = full.wrapping_sub(self.keys.local_base);
        self.data_acked(now, position, window);
        // The out-of-tree kernel noted what the subflow held when it ended.
        if std::mem::take(&mut self.send.reinject_later) && !self.out_of_tree {
            self.reinject_all();
        }
    }

    /// Position in the stream of the peer's data sequence number, if it is not before the first.
    fn remote_position(&self, number: DataNumber) -> Option<u64> {
        let expected = self.keys.remote_base.wrapping_add(self.recv.next);
        let position = number.expand(expected).wrapping_sub(self.keys.remote_base);
        (position < 1 << 63).then_some(position)
    }

    /// Deliver data that is in order on its subflow.
    fn deliver(&mut self, now: Instant, index: usize, arrivals: &mut Vec<Arrival>) {
        if arrivals.is_empty() {
            if self.mode == Mode::Multipath {
                self.check_data_fin(index);
            }
            return;
        }
        let before = self.recv.unread;
        if let [arrival] = &arrivals[..] {
            // Nearly always: it need not move.
            self.deliver_arrival(now, index, arrival);
            arrivals.clear();
        }
        for arrival in arrivals.drain(..) {
            self.deliver_arrival(now, index, &arrival);
        }
        if self.recv.unread > before {
            self.events.note(Happened::READABLE);
        }
        if self.mode == Mode::Multipath {
            self.check_data_fin(index);
        }
    }

    fn deliver_arrival(&mut self, now: Instant, index: usize, arrival: &Arrival) {
        match (self.mode, self.subflows[index].stage) {
            (Mode::Plain | Mode::Offered, _) => self.deliver_plain(index, arrival),
            (Mode::Multipath, Stage::Failing) => self.subflows[index].unverified.push(arrival.clone()),
            // A reset is due: what followed the reason for it is not to be trusted.
            (Mode::Multipath, Stage::Gone) => {}
            (Mode::Multipath, _) => self.deliver_mapped(now, index, arrival),
        }
    }

    pub(super) fn deliver_plain(&mut self, index: usize, arrival: &Arrival) {
        self.take_plain(index, arrival.start, &arrival.payload, arrival.truesize);
    }

    /// Octets of a plain stream from offset `start` on.
    #[inline]
    pub(super) fn take_plain(&mut self, index: usize, start: u64, payload: &Payload, truesize: u32) {
        let position = start - 1;
        let len = u64::from(payload.len());
        self.integrity.check(position, payload);
        let recv = &mut self.subflows[index].flow.recv;
        recv.unread += len;
        recv.unread_truesize += recv.tail_room.charge(recv.unread - len, len, u64::from(truesize));
        self.recv.next = position + len;
        self.recv.unread += len;
    }

    pub(super) fn deliver_mapped(&mut self, now: Instant, index: usize, arrival: &Arrival) {
        let noted = arrival.map.map_or(Noted::InForce, |map| self.note_mapping(index, &map, arrival.start));
        if noted == Noted::Broken {
            // DSS-15
            self.refuse_subflow(now, index, reset_reason::MPTCP);
            return;
        }
        let map = self.subflows[index].rx_map;
        let offset = arrival.start.wrapping_sub(map.start);
        let len = arrival.payload.len();
        if arrival.start < map.start || offset >= map.len {
            self.stats.unmapped_bytes += u64::from(len);
            self.unmapped(now, index, arrival);
            return;
        }
        let covered = (map.len - offset).min(u64::from(len)) as u32;
        if noted == Noted::Conflicts && covered == len {
            // DSS-03
            self.unmapped(now, index, arrival);
            return;
        }
        if map.checksum.is_some() {
            self.hold_for_checksum(now, index, arrival, covered);
        } else {
            if covered == len {
                self.deliver_at(map.data + offset, len, &arrival.payload, arrival.truesize);
                return;
            }
            let payload = arrival.payload.slice(0, covered);
            self.deliver_at(map.data + offset, covered, &payload, arrival.truesize);
        }
        if covered < len {
            let rest = Arrival {
                start: arrival.start + u64::from(covered),
                payload: arrival.payload.slice(covered, len - covered),
                // What the mapping in force left over is for the one that did not fit it; upstream takes a segment
                // that crosses the end of a mapping for damaged (`mptcp_dss_corruption`).
                map: arrival.map.filter(|_| noted == Noted::Conflicts && self.out_of_tree),
                truesize: 0,
            };
            self.deliver_arrival(now, index, &rest);
        }
    }

    /// Takes the mapping of data at offset `near` into force, unless one in force says otherwise.
    fn note_mapping(&mut self, index: usize, mapping: &DssMapping, near: u64) -> Noted {
        if mapping.ssn == 0 || mapping.len == 0 {
            return Noted::InForce;
        }
        if mapping.checksum.is_some() != self.checksum {
            return Noted::Broken;
        }
        let shift = if index == 0 { self.peer_syn_octets } else { 0 };
        let ssn = mapping.ssn.wrapping_add(shift);
        let start = (near as i64 + i64::from(ssn.wrapping_sub(near as u32).cast_signed())).max(0) as u64;
        let current = &self.subflows[index].rx_map;
        if current.start == start && current.wire_len == mapping.len && current.len > 0 {
            return Noted::InForce;
        }
        let (current_start, current_len, shift) =
            (current.start, current.len, current.data.wrapping_sub(current.start));
        // Data with a 64-bit number is answered in kind, a lone DATA_FIN is not (DSS-06).
        self.use_long_ack = matches!(mapping.dsn, DataNumber::Long(_)) && !self.out_of_tree;
        let Some(data) = self.remote_position(mapping.dsn) else { return Noted::InForce };
        let end = data + u64::from(mapping.len);
        // A DATA_FIN counts in the length but is not data.
        let fin = self.recv.fin_at.is_some_and(|at| at + 1 == end);
        let len = u64::from(mapping.len) - u64::from(fin);
        if (start, len) == (current_start, current_len) && data.wrapping_sub(start) == shift {
            // Sent again with a DATA_FIN, or without.
            return Noted::InForce;
        }
        let within = near >= current_start && near < current_start + current_len;
        // Upstream takes no other mapping before the one in force ends, even if it says the same of the data.
        if within && (!self.out_of_tree || data.wrapping_sub(start) != shift || near < start) {
            return Noted::Conflicts;
        }
        let subflow = &mut self.subflows[index];
        subflow.rx_map = RxMap { start, len, data, checksum: mapping.checksum, wire_len: mapping.len };
        if start != current_start {
            subflow.release();
        }
        Noted::InForce
    }

    /// With checksums, a mapping is delivered once it is complete and verified (DSS-14).
    fn hold_for_checksum(&mut self, now: Instant, index: usize, arrival: &Arrival, covered: u32) {
        let subflow = &mut self.subflows[index];
        let piece = Arrival { payload: arrival.payload.slice(0, covered), ..arrival.clone() };
        subflow.hold(piece);
        let held: u64 = subflow.unverified.iter().map(|piece| u64::from(piece.payload.len())).sum();
        let map = subflow.rx_map;
        if held < map.len {
            return;
        }
        let pieces = subflow.release();
        let mut sum = Sum::new();
        for piece in &pieces {
            sum = sum.payload(&piece.payload);
        }
        let dsn = self.keys.remote_base.wrapping_add(map.data);
        let expected = crypto::dss_checksum(dsn, map.start as u32, map.wire_len, sum.fold());
        if Some(expected) != map.checksum {
            self.stats.checksum_errors += 1;
            self.checksum_failed(now, index, pieces);
            return;
        }
        let mut at = map.data;
        for piece in &pieces {
            let len = piece.payload.len();
            self.deliver_at(at, len, &piece.payload, piece.truesize);
            at += u64::from(len);
        }
    }

    fn deliver_at(&mut self, position: u64, len: u32, payload: &Payload, truesize: u32) {
        let len = u64::from(len);
        if self.recv.fin_at.is_some_and(|fin| position + len > fin) {
            // MAL-27: nothing follows the DATA_FIN.
            self.stats.out_of_window_bytes += len;
            return;
        }
        // A DATA_ACK beside an older, larger window lets the peer send somewhat past the edge offered.
        if position > self.recv.next
            && position + len > self.recv.window_end
            && position + len > self.recv.next + self.recv.space().full
        {
            // DSS-08, MAL-20: acknowledged on the subflow and dropped, to come again at connection level.
            self.stats.out_of_window_bytes += len;
            return;
        }
        self.integrity.check_new(position, payload, self.recv.next);
        self.recv.insert(position, len, u64::from(truesize));
    }

    /// Data of a plain connection moved: buffers and the end of the stream.
    fn plain_progress(&mut self, fin: bool) {
        if fin {
            self.recv.fin_done = true;
            self.events.note(Happened::READABLE);
            if self.state == State::Established {
                self.advance(Event::FinReceived);
            }
        }
        self.note_writable();
    }

    /// Whether a segment of a plain connection, or of a subflow that was closed, brings new data that nobody is to read
    /// any more (`tcp_rcv_state_process`).
    fn refuses_data(&self, index: usize, segment: &TcpSegment) -> bool {
        let unread = self.mode != Mode::Multipath && self.read_shut && !self.turned();
        (unread || self.subflows[index].flow.orphaned)
            && !segment.payload.is_empty()
            && self.subflows[index].flow.is_new_behind_fin(segment)
    }

    /// Data after the close is answered with a reset. What came before can still be read.
    fn refuse_data(&mut self, now: Instant, index: usize) {
        let flow = &mut self.subflows[index].flow;
        let seq = flow.snd_una;
        flow.answer_with_reset(seq);
        let reason = if self.orphaned || self.mode == Mode::Multipath {
            CloseReason::Normal
        } else {
            CloseReason::Reset(None)
        };
        self.subflow_ended(now, index, reason);
    }
}

/// What became of the mapping of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Noted {
    /// It is in force, or is none of data.
    InForce,
    /// The one in force covers the same data otherwise, and stays (DSS-03).
    Conflicts,
    /// It has a checksum without need, or none where it must.
    Broken,
}

fn parsed_mptcp(parsed: &ParsedOptions) -> bool {
    parsed.dss.is_some() || parsed.mptcp_other
}
