//! Segment arrival at a connection: the MPTCP side of the handshakes, DSS, and the delivery of data by its
//! mapping. What the options of addresses, priorities and resets do stands in `paths` and `close`.

use sim_core::Instant;

use super::subflow::RxMap;
use super::{Attention, Connection, Mode, Role, Stage, State};
use crate::crypto;
use crate::path_manager::{CloseReason, PathEvent};
use crate::tcp::input::Surroundings;
use crate::tcp::{Arrival, Flow, Mapping, ReceiveSpace, SynOptions};
use crate::wire::checksum::Sum;
use crate::wire::options::ParsedOptions;
use crate::wire::{DataNumber, Dss, DssMapping, MpOption, Payload, TcpSegment};

impl Connection {
    /// A segment for subflow `index` arrived. What is now due depends on the answer.
    #[inline]
    pub fn handle_segment(&mut self, now: Instant, index: usize, segment: &TcpSegment) -> Attention {
        self.handle_predicted(now, index, segment).unwrap_or_else(|| {
            self.handle_any_segment(now, index, segment);
            Attention::Any
        })
    }

    #[inline(never)]
    fn handle_any_segment(&mut self, now: Instant, index: usize, segment: &TcpSegment) {
        let parsed = segment.options.parse_all();
        let was = self.subflows[index].flow.state();
        let map = self.announced_mapping(index, segment, &parsed);
        // Only data asks for space.
        let space = if segment.payload.is_empty() { ReceiveSpace::NONE } else { self.receive_space(index) };
        // Without anything outstanding, nothing of what congestion control sees can change.
        let changes_view = !self.subflows[index].flow.queue.sent.is_empty();
        let me = if changes_view { self.refresh_view(index) } else { self.view_of(index) };
        let mut deliveries = std::mem::take(&mut self.deliveries);
        let around = Surroundings { now, me, paths: &self.views, space, map };
        let outcome = self.subflows[index].flow.handle_segment(&around, segment, &parsed, &mut deliveries);
        if outcome.reset {
            self.take_reset(now, index, segment, &parsed);
        } else if outcome.acceptable {
            let mut alive = true;
            if outcome.established {
                alive = self.subflow_synchronized(now, index, segment);
            }
            if alive && parsed_mptcp(&parsed) && self.mode == Mode::Multipath {
                alive = self.take_options(now, index, segment, &parsed);
            }
            if alive && self.mode == Mode::Multipath {
                alive = self.check_confirmation(now, index, segment, &parsed);
            }
            if alive {
                self.deliver(now, index, &mut deliveries);
                if self.mode != Mode::Multipath {
                    self.plain_progress(now, index, outcome.fin);
                } else if outcome.fin {
                    self.subflow_fin(now, index);
                }
                self.acknowledge_if_due(now, index);
                self.revive(index);
            }
            if self.mode == Mode::Multipath {
                self.push_pending(now);
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
    #[inline]
    pub(super) fn acknowledge_if_due(&mut self, now: Instant, index: usize) {
        if self.subflows[index].flow.recv.may_delay_ack() {
            let space = self.receive_space(index);
            // A subflow hands its data to the connection at once.
            let copied = self.mode == Mode::Multipath;
            self.subflows[index].flow.check_ack(now, space, copied);
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

    /// The SYN of a passive open: does it offer MPTCP (CAP-07, CAP-08, CAP-09)?
    pub(crate) fn take_capable_syn(&mut self, segment: &TcpSegment) {
        let offer = segment.options.mptcp().find_map(|option| match option {
            MpOption::Capable { version, flags, sender_key: None, .. } => Some((version, flags)),
            _ => None,
        });
        match offer {
            Some((version, flags)) if self.mode == Mode::Offered && version >= 1 && flags & 0x5f == 0x01 => {
                self.checksum |= flags & 0x80 != 0;
                self.peer_denies_join = flags & 0x20 != 0;
                self.stats.capable_syn_received += 1;
            }
            _ => self.mode = Mode::Plain,
        }
    }

    /// TCP's handshake of a subflow is complete. Returns whether the subflow lives on.
    fn subflow_synchronized(&mut self, now: Instant, index: usize, segment: &TcpSegment) -> bool {
        let subflow = &mut self.subflows[index];
        subflow.established_at = Some(now);
        let initiated = subflow.initiated;
        let alive = match (subflow.role, initiated) {
            (Role::Initial, true) => {
                self.initial_synack(segment);
                true
            }
            (Role::Initial, false) => {
                self.initial_third_ack(segment);
                true
            }
            (Role::Join, true) => self.join_synack(now, index, segment),
            (Role::Join, false) => self.join_third_ack(now, index, segment),
        };
        self.rebuild_views();
        if alive && self.subflows[index].role == Role::Initial {
            self.state = State::Established;
            self.events.connected = true;
            self.events.writable = true;
            let flow = &self.subflows[index].flow;
            self.send.window_end = flow.snd_wnd;
            self.send.sndbuf = self.send.sndbuf.max(flow.sndbuf);
            // The window of the connection starts as that of its first subflow.
            self.recv.window_end = flow.recv.receive_window();
            if self.write_shut {
                self.queue_data_fin(now);
            }
        }
        alive
    }

    fn initial_synack(&mut self, segment: &TcpSegment) {
        if self.mode != Mode::Offered {
            return;
        }
        let number = self.version.number();
        let answer = segment.options.mptcp().find_map(|option| match option {
            MpOption::Capable { version, flags, sender_key: Some(key), receiver_key: None, .. }
                if version == number && flags & 0x5f == 0x01 =>
            {
                Some((flags, key))
            }
            _ => None,
        });
        match answer {
            Some((flags, key)) => {
                self.checksum |= flags & 0x80 != 0;
                self.peer_denies_join = flags & 0x20 != 0;
                self.set_remote_key(key);
                self.mode = Mode::Multipath;
                self.subflows[0].stage = Stage::Unconfirmed;
            }
            None => self.fall_back(),
        }
    }

    fn initial_third_ack(&mut self, segment: &TcpSegment) {
        if self.mode != Mode::Offered {
            return;
        }
        let local = self.keys.local;
        let keys = segment.options.mptcp().find_map(|option| match option {
            MpOption::Capable { sender_key: Some(sender), receiver_key: Some(receiver), .. }
                if receiver == local =>
            {
                Some(sender)
            }
            _ => None,
        });
        match keys {
            Some(key) => {
                self.set_remote_key(key);
                self.mode = Mode::Multipath;
                self.subflows[0].stage = Stage::Confirmed;
                self.path_events.push_back(PathEvent::SubflowEstablished(self.subflows[0].view()));
                self.path_manager_started = true;
                self.path_events.push_back(PathEvent::Established);
            }
            // CAP-18, CAP-25: without both keys it is TCP.
            None => {
                self.stats.capable_fallback_ack += 1;
                self.fall_back();
            }
        }
    }

    fn set_remote_key(&mut self, key: u64) {
        let material = crypto::key_material(self.version, key);
        self.keys.remote = Some(key);
        self.keys.remote_token = material.token;
        self.keys.remote_base = material.idsn.wrapping_add(1);
    }

    /// Continue as plain TCP (FB-05). What was mapped stays in the order of the initial subflow.
    pub(crate) fn fall_back(&mut self) {
        self.subflows[0].flow.wants_space = false;
        self.mode = Mode::Plain;
        self.send.timer = None;
        let rest: Vec<u32> =
            self.send.fragments.iter().skip(self.send.pending).map(|part| part.len - part.sent).collect();
        self.send.fragments.clear();
        self.send.pending = 0;
        let initial = &mut self.subflows[0];
        initial.stage = Stage::Confirmed;
        initial.signals.clear();
        for len in rest {
            initial.flow.append(len, Mapping::default());
        }
        initial.flow.mark_push();
        if self.send.fin_queued {
            initial.flow.close_send();
        }
    }

    fn join_synack(&mut self, now: Instant, index: usize, segment: &TcpSegment) -> bool {
        let (local_key, remote_key) = (self.keys.local, self.keys.remote.unwrap_or_default());
        let version = self.version;
        let subflow = &mut self.subflows[index];
        let answer = segment.options.mptcp().find_map(|option| match option {
            MpOption::JoinSynAck { backup, address_id, hmac, nonce } => {
                Some((backup, address_id, hmac, nonce))
            }
            _ => None,
        });
        let Some((backup, address_id, hmac, nonce)) = answer else {
            // JOIN-12: no fallback for a joining subflow.
            return self.refuse_subflow(now, index, 1);
        };
        let expected = crypto::join_hmac_synack(version, remote_key, local_key, nonce, subflow.local_nonce);
        if hmac != expected {
            self.stats.join_hmac_failures += 1;
            return self.refuse_subflow(now, index, 1);
        }
        subflow.remote_nonce = nonce;
        subflow.peer_backup = backup;
        subflow.remote_id = address_id;
        subflow.stage = Stage::Unconfirmed;
        // The third ACK is repeated until the fourth arrives (JOIN-03).
        subflow.third_ack_timer = Some(now + subflow.flow.rtt.rto());
        self.sync_sndbuf();
        true
    }

    fn join_third_ack(&mut self, now: Instant, index: usize, segment: &TcpSegment) -> bool {
        let subflow = &self.subflows[index];
        let expected = crypto::join_hmac_ack(
            self.version,
            self.keys.remote.unwrap_or_default(),
            self.keys.local,
            subflow.remote_nonce,
            subflow.local_nonce,
        );
        let valid = segment
            .options
            .mptcp()
            .any(|option| matches!(option, MpOption::JoinAck { hmac } if hmac == expected));
        if !valid {
            self.stats.join_hmac_failures += 1;
            return self.refuse_subflow(now, index, 1);
        }
        if self.state != State::Established || !self.may_accept_join(Some(index)) {
            return self.refuse_subflow(now, index, 3);
        }
        let subflow = &mut self.subflows[index];
        subflow.stage = Stage::Confirmed;
        // The fourth ACK tells the peer that it may send.
        subflow.flow.recv.ack_immediately();
        let view = subflow.view();
        self.close_timer = None;
        self.path_events.push_back(PathEvent::SubflowEstablished(view));
        self.sync_sndbuf();
        true
    }

    /// A passive join: the SYN was matched to this connection by its token (JOIN-08 to JOIN-10).
    pub fn accept_join(
        &mut self,
        now: Instant,
        local: std::net::SocketAddr,
        remote: std::net::SocketAddr,
        mss: u16,
        segment: &TcpSegment,
        local_id: u8,
    ) -> Option<usize> {
        let (backup, address_id, nonce) = segment.options.mptcp().find_map(|option| match option {
            MpOption::JoinSyn { backup, address_id, nonce, .. } => Some((backup, address_id, nonce)),
            _ => None,
        })?;
        if self.mode != Mode::Multipath || self.state != State::Established || !self.may_accept_join(None) {
            return None;
        }
        let params = self.flow_params(local, remote, mss);
        let parsed = segment.options.parse_all();
        let flow = Flow::accept(
            std::sync::Arc::clone(&self.options.tcp),
            params,
            (self.options.congestion)(),
            now,
            segment.seq,
            segment.window,
            SynOptions::from_parsed(&parsed),
        );
        let index = self.add_subflow(flow, Role::Join, false, (local_id, address_id), now);
        let own_nonce = self.rng.next_u32();
        let subflow = &mut self.subflows[index];
        subflow.remote_nonce = nonce;
        subflow.local_nonce = own_nonce;
        subflow.peer_backup = backup;
        Some(index)
    }

    /// Whether the subflow, or the connection, is now confirmed by the peer (`check_fully_established`).
    /// Returns whether the subflow lives on.
    fn check_confirmation(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
        parsed: &ParsedOptions,
    ) -> bool {
        let subflow = &mut self.subflows[index];
        match subflow.stage {
            Stage::Confirmed => {
                let repeats_join = subflow.role == Role::Join
                    && !subflow.initiated
                    && parsed.mptcp_other
                    && segment.options.mptcp().any(|option| matches!(option, MpOption::JoinAck { .. }));
                if repeats_join {
                    // JOIN-06
                    subflow.flow.recv.ack_immediately();
                }
                true
            }
            Stage::Unconfirmed if !segment.flags.syn() => {
                let acked = parsed.dss.is_some_and(|dss| dss.data_ack.is_some());
                let added = parsed.mptcp_other
                    && segment
                        .options
                        .mptcp()
                        .any(|option| matches!(option, MpOption::AddAddr { hmac: Some(_), .. }));
                if acked || added {
                    self.confirm(index);
                    return true;
                }
                if subflow.role == Role::Join {
                    return self.refuse_subflow(now, index, 1);
                }
                // Our keys did not arrive, or options are stripped: TCP (FB-01, FB-03).
                self.fall_back();
                true
            }
            _ => true,
        }
    }

    fn confirm(&mut self, index: usize) {
        let subflow = &mut self.subflows[index];
        subflow.stage = Stage::Confirmed;
        subflow.third_ack_timer = None;
        let view = subflow.view();
        self.path_events.push_back(PathEvent::SubflowEstablished(view));
        if subflow.role == Role::Initial && !self.path_manager_started {
            self.path_manager_started = true;
            self.path_events.push_back(PathEvent::Established);
        }
        self.close_timer = None;
        self.sync_sndbuf();
    }

    /// DSS and the other MPTCP options of a segment. Returns whether the subflow lives on.
    fn take_options(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
        parsed: &ParsedOptions,
    ) -> bool {
        if let Some(dss) = &parsed.dss {
            self.take_dss(now, index, dss);
        } else if parsed.mptcp_other
            && !segment.payload.is_empty()
            && self.subflows[index].role == Role::Initial
        {
            // MP_CAPABLE with data: answers carry 64 bits (DSS-06).
            self.use_long_ack = true;
        }
        if parsed.mptcp_other && !segment.flags.syn() {
            return self.take_signals(now, index, segment);
        }
        true
    }

    fn take_dss(&mut self, now: Instant, index: usize, dss: &Dss) {
        if let Some(mapping) = &dss.mapping
            && dss.data_fin
            && mapping.len > 0
        {
            let start = self.remote_position(mapping.dsn);
            let at = start.map(|start| start + u64::from(mapping.len) - 1);
            if let Some(at) = at.filter(|&at| at >= self.recv.next) {
                // MAL-26: the first one counts.
                self.recv.fin_at.get_or_insert(at);
            }
            if mapping.ssn == 0 {
                self.check_data_fin();
            }
        }
        if let Some(number) = dss.data_ack {
            self.take_data_ack(now, index, number);
        }
    }

    #[inline]
    pub(super) fn take_data_ack(&mut self, now: Instant, index: usize, number: DataNumber) {
        let expected = self.keys.local_base.wrapping_add(self.send.una);
        let full = number.expand(expected);
        let position = full.wrapping_sub(self.keys.local_base);
        let window = self.subflows[index].flow.snd_wnd;
        self.data_acked(now, position, window);
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
                self.check_data_fin();
            }
            return;
        }
        let before = self.recv.unread;
        if let [arrival] = &arrivals[..] {
            // Nearly always: it need not move.
            match self.mode {
                Mode::Multipath => self.deliver_mapped(now, index, arrival),
                _ => self.deliver_plain(index, arrival),
            }
            arrivals.clear();
        }
        for arrival in arrivals.drain(..) {
            match self.mode {
                Mode::Multipath => self.deliver_mapped(now, index, &arrival),
                _ => self.deliver_plain(index, &arrival),
            }
        }
        if self.recv.unread > before {
            self.events.readable = true;
        }
        if self.mode == Mode::Multipath {
            self.check_data_fin();
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
        recv.unread_truesize += u64::from(truesize);
        self.recv.next = position + len;
        self.recv.unread += len;
    }

    pub(super) fn deliver_mapped(&mut self, now: Instant, index: usize, arrival: &Arrival) {
        if let Some(mapping) = arrival.map {
            self.note_mapping(index, &mapping, arrival.start);
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
        if map.checksum.is_some() {
            self.hold_for_checksum(now, index, arrival, covered);
        } else {
            if covered == len {
                self.deliver_at(map.data + offset, &arrival.payload, arrival.truesize);
                return;
            }
            let payload = arrival.payload.slice(0, covered);
            self.deliver_at(map.data + offset, &payload, arrival.truesize);
        }
        if covered < len {
            let rest = Arrival {
                start: arrival.start + u64::from(covered),
                payload: arrival.payload.slice(covered, len - covered),
                map: None,
                truesize: 0,
            };
            self.deliver_mapped(now, index, &rest);
        }
    }

    fn note_mapping(&mut self, index: usize, mapping: &DssMapping, near: u64) {
        if mapping.ssn == 0 || mapping.len == 0 {
            return;
        }
        let start =
            (near as i64 + i64::from(mapping.ssn.wrapping_sub(near as u32).cast_signed())).max(0) as u64;
        let current = &self.subflows[index].rx_map;
        if current.start == start && current.wire_len == mapping.len && current.len > 0 {
            return;
        }
        // Data with a 64-bit number is answered in kind, a lone DATA_FIN is not (DSS-06).
        self.use_long_ack = matches!(mapping.dsn, DataNumber::Long(_));
        let Some(data) = self.remote_position(mapping.dsn) else { return };
        let end = data + u64::from(mapping.len);
        // A DATA_FIN counts in the length but is not data.
        let fin = self.recv.fin_at.is_some_and(|at| at + 1 == end);
        let subflow = &mut self.subflows[index];
        subflow.rx_map = RxMap {
            start,
            len: u64::from(mapping.len) - u64::from(fin),
            data,
            checksum: mapping.checksum,
            wire_len: mapping.len,
        };
        subflow.unverified.clear();
    }

    /// With checksums, a mapping is delivered once it is complete and verified (DSS-14).
    fn hold_for_checksum(&mut self, now: Instant, index: usize, arrival: &Arrival, covered: u32) {
        let subflow = &mut self.subflows[index];
        subflow.unverified.push((arrival.payload.slice(0, covered), arrival.truesize));
        let held: u64 = subflow.unverified.iter().map(|(payload, _)| u64::from(payload.len())).sum();
        let map = subflow.rx_map;
        if held < map.len {
            return;
        }
        let pieces = std::mem::take(&mut subflow.unverified);
        let mut sum = Sum::new();
        for (payload, _) in &pieces {
            sum = sum.payload(payload);
        }
        let dsn = self.keys.remote_base.wrapping_add(map.data);
        let expected = crypto::dss_checksum(dsn, map.start as u32, map.wire_len, sum.fold());
        if Some(expected) != map.checksum {
            self.stats.checksum_errors += 1;
            self.checksum_failed(now, index);
            return;
        }
        let mut at = map.data;
        for (payload, truesize) in &pieces {
            self.deliver_at(at, payload, *truesize);
            at += u64::from(payload.len());
        }
    }

    #[inline]
    pub(super) fn deliver_at(&mut self, position: u64, payload: &Payload, truesize: u32) {
        let len = u64::from(payload.len());
        if self.recv.fin_at.is_some_and(|fin| position + len > fin) {
            // MAL-27: nothing follows the DATA_FIN.
            self.stats.out_of_window_bytes += len;
            return;
        }
        self.integrity.check(position, payload);
        self.recv.insert(position, len, u64::from(truesize));
    }

    /// Data of a plain connection moved: buffers and the end of the stream.
    fn plain_progress(&mut self, now: Instant, index: usize, fin: bool) {
        if fin {
            self.recv.fin_done = true;
            self.events.readable = true;
            if self.state == State::Established {
                self.state = State::CloseWait;
            }
        }
        self.note_writable();
        if self.orphaned && self.recv.unread > 0 {
            // Nobody reads any more: data after close is answered with a reset.
            let flow = &mut self.subflows[index].flow;
            let seq = flow.snd_nxt;
            flow.answer_with_reset(seq);
            self.subflow_ended(now, index, CloseReason::Normal);
        }
    }
}

fn parsed_mptcp(parsed: &ParsedOptions) -> bool {
    parsed.dss.is_some() || parsed.mptcp_other
}
