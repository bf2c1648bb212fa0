//! The short way of a connection for the segments its flows predict: data with or under a mapping, and
//! acknowledgments, on a confirmed subflow in the middle of the conversation. Signals, DATA_FIN, checksums,
//! stale subflows and whatever else is rare take the long way of `input`.

use sim_core::Instant;

use super::subflow::RxMap;
use super::{Attention, Connection, Happened, Mode, Stage};
use crate::tcp::ReceiveSpace;
use crate::wire::TcpSegment;
use crate::wire::options::UsualOptions;

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
        match (segment.payload.len(), self.mode) {
            (0, _) => self.handle_predicted_ack(now, index, segment),
            (len, Mode::Multipath) => self.handle_mapped_data(now, index, segment, len),
            (len, Mode::Plain) => self.handle_plain_data(now, index, segment, len),
            (_, Mode::Offered) => None,
        }
    }

    /// Handles data of `len` octets of a connection that sends nothing itself, if it is predicted: under a mapping that
    /// it brings or that is in force, with no news in its DATA_ACK.
    #[inline(never)]
    fn handle_mapped_data(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
        len: u32,
    ) -> Option<Attention> {
        let options = segment.options.usual(true)?;
        if !options.has_dss() || !self.predicts_mapped(index) || !self.awaits_data_only(&options) {
            return None;
        }
        let Self { subflows, send, recv, .. } = self;
        let subflow = &mut subflows[index];
        let flow = &mut subflow.flow;
        let start = flow.recv.rcv_nxt;
        let known = subflow.rx_map.covers(start, len, &options);
        let position = if known {
            subflow.rx_map.data + (start - subflow.rx_map.start)
        } else {
            new_position(start, len, &options, self.keys.remote_base)?
        };
        let is_beyond = position > recv.next && position + u64::from(len) > recv.window_end;
        if is_beyond {
            return None;
        }
        // Only such a receiver asks.
        let space = if flow.recv.fixed_ratio { recv.space() } else { ReceiveSpace::NONE };
        let truesize = flow.take_predicted_data(now, segment, len, space)?;
        send.window_end = send.window_end.max(send.una + flow.granted_window());
        if !known {
            subflow.rx_map = RxMap {
                start,
                len: u64::from(options.map_len),
                data: position,
                checksum: None,
                wire_len: options.map_len,
            };
            self.use_long_ack = true;
        }
        self.integrity.check_new(position, &segment.payload, recv.next);
        let unread = recv.unread;
        recv.insert(position, len.into(), truesize.into());
        if recv.unread > unread {
            self.events.note(Happened::READABLE);
        }
        if !flow.recv.ack_now {
            subflow.check_ack(now, recv, true, false);
        }
        let (rests, deadline) = (!subflow.flow.recv.ack_now, subflow.flow.recv.next_deadline());
        Some(self.attention(now, rests, deadline))
    }

    /// The same for data of a connection without MPTCP.
    #[inline(never)]
    fn handle_plain_data(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
        len: u32,
    ) -> Option<Attention> {
        let options = segment.options.usual(true)?;
        let flow = &mut self.subflows[index].flow;
        if options.has_dss() || self.orphaned {
            return None;
        }
        let space = if flow.recv.fixed_ratio { flow.recv.space() } else { ReceiveSpace::NONE };
        let start = flow.recv.rcv_nxt;
        let truesize = flow.take_predicted_data(now, segment, len, space)?;
        self.take_plain(index, start, &segment.payload, truesize);
        self.note_writable();
        self.events.note(Happened::READABLE);
        let subflow = &mut self.subflows[index];
        if !subflow.flow.recv.ack_now {
            subflow.check_ack(now, &self.recv, false, self.out_of_tree);
        }
        if self.send.fin_queued {
            self.push_pending(now);
        }
        let flow = &self.subflows[index].flow;
        let (rests, deadline) = (flow.is_at_rest() && !self.send.fin_queued, flow.recv.next_deadline());
        Some(self.attention(now, rests, deadline))
    }

    /// What is due when data arrived: nothing at present on a flow that rests. It may have set the `deadline` of its
    /// acknowledgment; whatever else it waits for, it waited for before.
    #[inline(always)]
    fn attention(&mut self, now: Instant, rests: bool, deadline: Instant) -> Attention {
        if rests && self.path_events.is_empty() {
            return Attention::Deadline(deadline);
        }
        self.run_path_manager(now);
        Attention::Any
    }

    /// Handles an acknowledgment without data, if it is predicted; `None`, and nothing done, if it is not.
    #[inline(never)]
    fn handle_predicted_ack(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
    ) -> Option<Attention> {
        let options = segment.options.usual(false)?;
        let predicted = match self.mode {
            Mode::Multipath => options.has_dss() && self.predicts_mapped(index),
            Mode::Plain => !options.has_dss() && !self.orphaned,
            Mode::Offered => false,
        };
        if !predicted {
            return None;
        }
        let multipath = self.mode == Mode::Multipath;
        let subflow = &mut self.subflows[index];
        let flow = &mut subflow.flow;
        let me = subflow.view.unwrap_or(0);
        if subflow.view.is_some() {
            flow.write_window_view(&mut self.views[me]);
        }
        let asks = multipath || !flow.is_predicted(segment);
        if !flow.take_predicted_ack(now, segment, me, &self.views) {
            return None;
        }
        let asks = asks && flow.recv.may_delay_ack();
        if multipath {
            let granted = flow.granted_window();
            self.take_predicted_data_ack(now, &options, granted);
        } else {
            self.note_writable();
        }
        if asks {
            self.acknowledge_if_due(now, index);
        }
        self.push_pending(now);
        self.refresh_view(index);
        self.run_path_manager(now);
        Some(Attention::Any)
    }

    /// Whether a segment with a DSS may be predicted on a subflow.
    #[inline(always)]
    fn predicts_mapped(&self, index: usize) -> bool {
        let subflow = &self.subflows[index];
        subflow.stage == Stage::Confirmed
            && !(subflow.stale | subflow.potentially_failed | self.checksum | self.out_of_tree)
            && self.recv.fin_at.is_none()
    }

    /// Whether this side has nothing to send and nothing that waits for an acknowledgment, and a segment with these
    /// options acknowledges no more of it.
    #[inline(always)]
    fn awaits_data_only(&self, options: &UsualOptions) -> bool {
        let send = &self.send;
        send.una == send.nxt
            && !(send.has_pending() | send.fin_queued | send.reinject_later)
            && !options.acks_other(self.keys.local_base.wrapping_add(send.una))
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
}

/// Position of data in order on its subflow that begins a mapping.
#[inline(always)]
fn new_position(start: u64, len: u32, options: &UsualOptions, remote_base: u64) -> Option<u64> {
    let position = options.dsn.wrapping_sub(remote_base);
    let begins = options.ssn == start as u32
        && options.ssn != 0
        && len <= u32::from(options.map_len)
        && position < 1 << 63;
    begins.then_some(position)
}
