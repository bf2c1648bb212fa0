//! The short way of a connection for the segments its flows predict: data with or under a mapping, and
//! acknowledgments, on a confirmed subflow in the middle of the conversation. Signals, DATA_FIN, checksums,
//! stale subflows and whatever else is rare take the long way of `input`.

use sim_core::Instant;

use super::subflow::RxMap;
use super::{Attention, Connection, Mode, Stage};
use crate::tcp::input::Surroundings;
use crate::tcp::{ReceiveSpace, receive_truesize};
use crate::wire::options::UsualOptions;
use crate::wire::{DataNumber, DssMapping, Payload, TcpSegment};

impl Connection {
    /// Handles a segment that is one of the usual two, without CE in its IP header. What is now due depends on the
    /// answer; `None`, and nothing done, if it is another.
    #[inline(always)]
    pub(crate) fn handle_predicted(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
    ) -> Option<Attention> {
        let options = segment.options.usual()?;
        let subflow = &self.subflows[index];
        let fits_mode = match self.mode {
            Mode::Multipath => {
                options.has_dss()
                    && subflow.stage == Stage::Confirmed
                    && !(subflow.stale | subflow.potentially_failed)
                    && self.recv.fin_at.is_none()
                    && !(self.checksum | self.out_of_tree)
            }
            Mode::Plain => !options.has_dss() && !self.orphaned,
            Mode::Offered => false,
        };
        if !fits_mode {
            return None;
        }
        let len = segment.payload.len();
        if len == 0 {
            if options.map_len > 0 || !subflow.flow.predicts_ack(segment, &options) {
                return None;
            }
            self.take_predicted_ack(now, index, segment, &options);
        } else {
            if !subflow.flow.predicts_data(segment, &options, len) {
                return None;
            }
            self.take_predicted_data(now, index, segment, &options, len);
            let flow = &self.subflows[index].flow;
            if !flow.recv.ack_now && self.has_nothing_to_send() {
                return Some(Attention::Deadline(flow.next_deadline()));
            }
        }
        self.run_path_manager(now);
        Some(Attention::Any)
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

    #[inline]
    fn take_predicted_ack(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
        options: &UsualOptions,
    ) {
        let me = self.refresh_view(index);
        let around = Surroundings { now, me, paths: &self.views, space: ReceiveSpace::NONE, map: None };
        let bare = self.mode != Mode::Multipath && self.subflows[index].flow.is_predicted(segment);
        self.subflows[index].flow.take_predicted_ack(&around, segment, options);
        if self.mode == Mode::Multipath {
            self.take_data_ack(now, index, options.data_ack);
        } else {
            self.note_writable();
        }
        if !bare {
            self.acknowledge_if_due(now, index);
        }
        self.push_pending(now);
        self.refresh_view(index);
    }

    #[inline]
    fn take_predicted_data(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
        options: &UsualOptions,
        len: u32,
    ) {
        let multipath = self.mode == Mode::Multipath;
        let flow = &mut self.subflows[index].flow;
        let truesize = receive_truesize(flow.config.frame_memory, options.len.into(), len);
        let space = match (flow.recv.fixed_ratio, multipath) {
            (true, true) => self.recv.space(),
            (true, false) => flow.recv.space(),
            // Nobody asks.
            (false, _) => ReceiveSpace::NONE,
        };
        let start = flow.take_predicted_data(now, segment, options, len, truesize, space);
        let before = self.recv.unread;
        if multipath {
            self.take_data_ack(now, index, options.data_ack);
            self.deliver_predicted(now, index, start, &segment.payload, truesize, options);
        } else {
            self.take_plain(index, start, &segment.payload, truesize);
        }
        if self.recv.unread > before {
            self.events.readable = true;
        }
        if !multipath {
            self.note_writable();
        }
        self.acknowledge_if_due(now, index);
        self.push_pending(now);
    }

    /// Data in order on its subflow, by the mapping it brings or the one in force.
    #[inline]
    fn deliver_predicted(
        &mut self,
        now: Instant,
        index: usize,
        start: u64,
        payload: &Payload,
        truesize: u32,
        options: &UsualOptions,
    ) {
        let len = u64::from(payload.len());
        let map = &mut self.subflows[index].rx_map;
        let known = options.map_len == 0
            || (map.start as u32 == options.ssn && map.wire_len == options.map_len && map.len > 0);
        let offset = start.wrapping_sub(map.start);
        let position = if known && start >= map.start && offset + len <= map.len && map.checksum.is_none() {
            Some(map.data + offset)
        } else {
            let position = options.dsn.wrapping_sub(self.keys.remote_base);
            let begins = options.ssn == start as u32
                && options.ssn != 0
                && len <= u64::from(options.map_len)
                && position < 1 << 63;
            if begins {
                // A mapping that begins with this segment.
                *map = RxMap {
                    start,
                    len: u64::from(options.map_len),
                    data: position,
                    checksum: None,
                    wire_len: options.map_len,
                };
                self.use_long_ack = true;
            }
            begins.then_some(position)
        };
        if let Some(position) = position {
            self.deliver_at(position, payload, truesize);
            return;
        }
        let map = (options.map_len > 0).then_some(DssMapping {
            dsn: DataNumber::Long(options.dsn),
            ssn: options.ssn,
            len: options.map_len,
            checksum: None,
        });
        let arrival = crate::tcp::Arrival { start, payload: payload.clone(), map, truesize };
        self.deliver_mapped(now, index, &arrival);
    }
}
