//! The short way of a connection for the segments its flows predict: data with or under a mapping, and
//! acknowledgments, on a confirmed subflow in the middle of the conversation. Signals, DATA_FIN, checksums,
//! stale subflows and whatever else is rare take the long way of `input`.

use sim_core::Instant;

use super::subflow::RxMap;
use super::{Attention, Connection, Happened, Mode, Stage};
use crate::tcp::input::Surroundings;
use crate::tcp::{ReceiveSpace, receive_truesize};
use crate::wire::options::UsualOptions;
use crate::wire::{DataNumber, DssMapping, TcpSegment};

impl Connection {
    /// Handles a segment that is one of the usual two, without CE in its IP header. What is now due depends on the
    /// answer; `None`, and nothing done, if it is another.
    #[inline]
    pub(crate) fn handle_predicted(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
    ) -> Option<Attention> {
        match segment.payload.len() {
            0 => self.handle_predicted_ack(now, index, segment),
            len => self.handle_predicted_data(now, index, segment, len),
        }
    }

    /// Handles data of `len` octets, if it is predicted; `None`, and nothing done, if it is not.
    #[inline(never)]
    fn handle_predicted_data(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
        len: u32,
    ) -> Option<Attention> {
        let options = segment.options.usual(true)?;
        if !self.predicts(index, &options) {
            return None;
        }
        let (multipath, unread) = (self.mode == Mode::Multipath, self.recv.unread);
        let flow = &mut self.subflows[index].flow;
        if !flow.predicts_data(segment, &options, len) {
            return None;
        }
        let truesize = receive_truesize(flow.config.frame_memory, options.len.into(), len);
        let space = match (flow.recv.fixed_ratio, multipath) {
            (true, true) => self.recv.space(),
            (true, false) => flow.recv.space(),
            // Nobody asks.
            (false, _) => ReceiveSpace::NONE,
        };
        let start = flow.take_predicted_data(now, segment, &options, len, truesize, space);
        if multipath {
            let granted = flow.granted_window();
            self.take_predicted_data_ack(now, &options, granted);
            if let Some(position) = self.predicted_position(index, start, len, &options) {
                self.deliver_at(position, len, &segment.payload, truesize);
            } else {
                self.deliver_unpredicted(now, index, start, segment, truesize);
            }
        } else {
            self.take_plain(index, start, &segment.payload, truesize);
            self.note_writable();
        }
        if self.recv.unread > unread {
            self.events.note(Happened::READABLE);
        }
        let subflow = &mut self.subflows[index];
        if !subflow.flow.recv.ack_now {
            subflow.check_ack(now, &self.recv, multipath, self.out_of_tree);
        }
        if self.send.has_pending() | self.send.fin_queued {
            self.push_pending(now);
        }
        let flow = &self.subflows[index].flow;
        if !flow.recv.ack_now && self.has_nothing_to_send() {
            return Some(Attention::Deadline(flow.next_deadline()));
        }
        self.run_path_manager(now);
        Some(Attention::Any)
    }

    /// The same for an acknowledgment without data.
    #[inline(never)]
    fn handle_predicted_ack(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
    ) -> Option<Attention> {
        let options = segment.options.usual(false)?;
        if !self.predicts(index, &options) || !self.subflows[index].flow.predicts_ack(segment, &options) {
            return None;
        }
        self.take_predicted_ack(now, index, segment, &options);
        self.run_path_manager(now);
        Some(Attention::Any)
    }

    /// Whether a segment with these options may be predicted on a subflow as far as MPTCP goes.
    #[inline(always)]
    fn predicts(&self, index: usize, options: &UsualOptions) -> bool {
        let subflow = &self.subflows[index];
        match self.mode {
            Mode::Multipath => {
                options.has_dss()
                    && subflow.stage == Stage::Confirmed
                    && !(subflow.stale | subflow.potentially_failed | self.checksum | self.out_of_tree)
                    && self.recv.fin_at.is_none()
            }
            Mode::Plain => !options.has_dss() && !self.orphaned,
            Mode::Offered => false,
        }
    }

    /// Whether this side waits neither for a window nor for the end of the connection.
    #[inline]
    fn has_nothing_to_send(&self) -> bool {
        let idle = match self.mode {
            Mode::Multipath => self.send.una == self.send.nxt && !self.send.has_pending(),
            _ => self.subflows[0].is_at_rest(),
        };
        idle && !self.send.fin_queued && self.path_events.is_empty()
    }

    #[inline(always)]
    fn take_predicted_ack(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
        options: &UsualOptions,
    ) {
        let subflow = &self.subflows[index];
        let me = subflow.view.unwrap_or(0);
        if subflow.view.is_some() {
            subflow.flow.write_window_view(&mut self.views[me]);
        }
        let around = Surroundings { now, me, paths: &self.views, space: ReceiveSpace::NONE, map: None };
        let multipath = self.mode == Mode::Multipath;
        let flow = &mut self.subflows[index].flow;
        let asks = multipath || !flow.is_predicted(segment);
        flow.take_predicted_ack(&around, segment, options);
        let asks = asks && flow.recv.may_delay_ack();
        if multipath {
            let granted = flow.granted_window();
            self.take_predicted_data_ack(now, options, granted);
        } else {
            self.note_writable();
        }
        if asks {
            self.acknowledge_if_due(now, index);
        }
        self.push_pending(now);
        self.refresh_view(index);
    }

    /// The DATA_ACK of a segment on a subflow with this window.
    #[inline(always)]
    fn take_predicted_data_ack(&mut self, now: Instant, options: &UsualOptions, window: u64) {
        let expected = self.keys.local_base.wrapping_add(self.send.una);
        if options.acks_other(expected) | self.send.reinject_later {
            self.take_data_ack_with(now, options.data_ack(), window);
        } else {
            self.send.window_end = self.send.window_end.max(self.send.una + window);
        }
    }

    /// Position of data in order on its subflow, by the mapping it brings or the one in force, if that is plain.
    #[inline(always)]
    fn predicted_position(
        &mut self,
        index: usize,
        start: u64,
        len: u32,
        options: &UsualOptions,
    ) -> Option<u64> {
        let octets = u64::from(len);
        let map = &mut self.subflows[index].rx_map;
        let known = options.map_len == 0
            || (map.start as u32 == options.ssn && map.wire_len == options.map_len && map.len > 0);
        let offset = start.wrapping_sub(map.start);
        if known && start >= map.start && offset + octets <= map.len && map.checksum.is_none() {
            return Some(map.data + offset);
        }
        let position = options.dsn.wrapping_sub(self.keys.remote_base);
        let begins = options.ssn == start as u32
            && options.ssn != 0
            && octets <= u64::from(options.map_len)
            && position < 1 << 63;
        if !begins {
            return None;
        }
        // A mapping that begins with this segment.
        *map = RxMap {
            start,
            len: u64::from(options.map_len),
            data: position,
            checksum: None,
            wire_len: options.map_len,
        };
        self.use_long_ack = true;
        Some(position)
    }

    /// Data on its subflow that its mapping does not explain at once.
    #[cold]
    fn deliver_unpredicted(
        &mut self,
        now: Instant,
        index: usize,
        start: u64,
        segment: &TcpSegment,
        truesize: u32,
    ) {
        let brought = segment.options.usual(true).filter(|options| options.map_len > 0);
        let map = brought.map(|options| DssMapping {
            dsn: DataNumber::Long(options.dsn),
            ssn: options.ssn,
            len: options.map_len,
            checksum: None,
        });
        let arrival = crate::tcp::Arrival { start, payload: segment.payload.clone(), map, truesize };
        self.deliver_mapped(now, index, &arrival);
    }
}
