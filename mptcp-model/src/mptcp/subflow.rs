//! A subflow: a TCP flow with what MPTCP adds to it.

use std::collections::VecDeque;

use sim_core::Instant;

use super::Content;
use super::receive::{MERGED_FRAMES, MERGED_GAIN, Offered, StreamReceiver};
use crate::path_manager::{SubflowId, SubflowView};
use crate::scheduler::SchedulerView;
use crate::tcp::{Arrival, Flow, Mapping, Receiver};
use crate::wire::options::UsualOptions;
use crate::wire::{IpHeader, MpOption};

/// How a subflow came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The initial one, opened with MP_CAPABLE or as plain TCP.
    Initial,
    /// Joined.
    Join,
}

/// Steps of the MPTCP handshake of a subflow, where TCP's own states do not tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// SYN exchange.
    Opening,
    /// The third ACK was sent or received; the peer has not confirmed it (PRE_ESTABLISHED).
    Unconfirmed,
    /// Data may flow.
    Confirmed,
    /// A checksum failed and MP_FAIL was sent; what arrives waits for the infinite mapping.
    Failing,
    /// TCP again: the infinite mapping is being announced.
    Infinite,
    /// Over.
    Gone,
}

/// The second reset of a subflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bare {
    /// There is none.
    Never,
    /// It follows the first.
    Follows,
    /// The first left.
    Due,
}

/// A mapping received, in stream offsets and stream positions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RxMap {
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) data: u64,
    pub(crate) checksum: Option<u16>,
    /// Length as on the wire, for the checksum.
    pub(crate) wire_len: u16,
}

impl RxMap {
    /// Whether it holds for `len` octets from `start` on, which come with these options, and needs no checksum.
    #[inline(always)]
    pub(super) fn covers(&self, start: u64, len: u32, options: &UsualOptions) -> bool {
        let in_force = options.map_len == 0
            || (self.start as u32 == options.ssn && self.wire_len == options.map_len && self.len > 0);
        in_force
            && start >= self.start
            && start - self.start + u64::from(len) <= self.len
            && self.checksum.is_none()
    }
}

/// One subflow.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Subflow {
    // What every packet touches comes first.
    pub(crate) id: SubflowId,
    pub(crate) role: Role,
    pub(crate) stage: Stage,
    /// No progress for several timeouts of the connection.
    pub(crate) stale: bool,
    /// Its end was reported and its data given to others.
    pub(crate) retired: bool,
    /// Marked by this host, and by the peer.
    pub(crate) backup: bool,
    pub(crate) peer_backup: bool,
    pub(crate) local_id: u8,
    pub(crate) remote_id: u8,
    /// MP_TCPRST reason and MP_FASTCLOSE of a reset.
    pub(crate) reset_reason: Option<u8>,
    /// A second reset, without MPTCP options, follows the first.
    pub(crate) bare_reset: Bare,
    pub(crate) fastclose: bool,
    /// A timeout struck and nothing was acknowledged since (out-of-tree kernel, DSS-24).
    pub(crate) potentially_failed: bool,
    pub(crate) ip_id: u16,
    /// What left last with the window of the connection.
    pub(super) offered: Offered,
    /// What the IP headers of its packets have in common.
    pub(crate) header: IpHeader,
    /// Source and destination port of its packets.
    pub(crate) ports: (u16, u16),
    /// When the third ACK of a join, or MP_FAIL, is sent again.
    pub(crate) answer_timer: Option<Instant>,
    /// Index of its view among those given to congestion control.
    pub(crate) view: Option<usize>,
    /// Options that leave on ACKs of their own.
    pub(crate) signals: VecDeque<MpOption>,
    /// The TCP flow.
    pub flow: Flow,
    pub(crate) rx_map: RxMap,
    /// Pieces of a mapping whose checksum is not yet verified, or all that arrived since one failed.
    pub(crate) unverified: Vec<Arrival>,

    // What only some packets touch.
    pub(crate) initiated: bool,
    pub(crate) local_nonce: u32,
    pub(crate) remote_nonce: u32,
    pub(crate) stale_count: u8,
    pub(crate) stale_at: Instant,
    /// Position after what it carried last, while nothing of it is acknowledged.
    pub(crate) carried_to: Option<u64>,
    /// A DATA_ACK came with an acknowledgment of its data: what follows need not be in order (SCHED-04).
    pub(crate) data_acked: bool,
    /// Its data before this offset was given to others.
    pub(crate) reinjected_to: u64,
    /// When it last had others give way (penalisation).
    pub(crate) penalised_at: Instant,
    pub(crate) answer_tries: u8,
    /// When waiting for the answer to MP_FAIL ends.
    pub(crate) answer_until: Instant,
    /// Data sequence number of a mapping whose checksum failed.
    pub(crate) failed_dsn: Option<u64>,
    /// The third ACK with both keys left.
    pub(crate) keys_sent: bool,
    /// When the last acknowledgment without any MPTCP option arrived.
    pub(crate) stripped_at: Option<Instant>,
    /// When it was begun, and when TCP's handshake was complete.
    pub(crate) opened_at: Instant,
    pub(crate) established_at: Option<Instant>,
}

impl Subflow {
    /// Its number.
    #[must_use]
    pub const fn id(&self) -> SubflowId {
        self.id
    }

    /// When its first SYN was due.
    #[must_use]
    pub const fn opened_at(&self) -> Instant {
        self.opened_at
    }

    /// When the handshake of TCP was complete.
    #[must_use]
    pub const fn established_at(&self) -> Option<Instant> {
        self.established_at
    }

    /// Marked backup by either side (PRIO-05).
    #[must_use]
    pub const fn is_backup(&self) -> bool {
        self.backup || self.peer_backup
    }

    /// Whether it may carry data (`__mptcp_subflow_active`).
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        let joined = self.role == Role::Initial || self.stage == Stage::Confirmed;
        joined && self.stage != Stage::Gone && self.flow.can_send()
    }

    /// Whether it has nothing to send and nothing to tell the connection.
    #[inline]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.flow.is_at_rest() & self.signals.is_empty() & !self.flow.sndbuf_grew
    }

    /// Decides when the data received, which goes to the buffer of the connection or to its own, is acknowledged.
    #[inline(always)]
    pub(super) fn check_ack(
        &mut self,
        now: Instant,
        shared: &StreamReceiver,
        multipath: bool,
        out_of_tree: bool,
    ) {
        // What waits for a checksum or for the application, which is about to read and lets the ACK go then, is not
        // copied; what the connection keeps out of order is.
        let waits = shared.unread > 0 || !self.unverified.is_empty();
        let copied = multipath && (out_of_tree || !waits);
        let space = |own: &Receiver| if multipath { shared.space() } else { own.space() };
        self.flow.check_ack(now, space, copied);
    }

    /// Keep data until its mapping is complete; until then it fills the buffer of the subflow.
    pub(crate) fn hold(&mut self, mut piece: Arrival) {
        if !self.unverified.len().is_multiple_of(MERGED_FRAMES) {
            piece.truesize = piece.truesize.saturating_sub(MERGED_GAIN);
        }
        let recv = &mut self.flow.recv;
        recv.unread += u64::from(piece.payload.len());
        recv.unread_truesize += u64::from(piece.truesize);
        self.unverified.push(piece);
    }

    /// What was kept.
    pub(crate) fn release(&mut self) -> Vec<Arrival> {
        let recv = &mut self.flow.recv;
        (recv.unread, recv.unread_truesize) = (0, 0);
        std::mem::take(&mut self.unverified)
    }

    /// Maps up to `len` octets from position `data` to it, whose segments take `mss`, as far as the connection's window up
    /// to `window_end` allows; `summed` is what they are cut from, where checksums are in use. Returns how many
    /// (`mptcp_sendmsg_frag`).
    #[inline(always)]
    pub(super) fn hand_down(
        &mut self,
        mss: u32,
        data: u64,
        len: u32,
        window_end: u64,
        summed: Option<&Content>,
    ) -> u32 {
        let flow = &mut self.flow;
        let goal = flow.size_goal(mss);
        let room = flow.tail_room(data, goal);
        if room.is_none() {
            // The tail keeps its mapping; what follows goes into a new one.
            flow.mark_push();
        }
        let room = room.unwrap_or(0);
        let most = if room > 0 { room } else { goal };
        let window = window_end.saturating_sub(data);
        let len = u64::from(len.min(most)).min(window) as u32;
        if flow.snd_wnd < window {
            // The window is the connection's: what one subflow was granted counts on all (`mptcp_check_allowed_size`).
            flow.snd_wnd = window;
            flow.wnd_shared = true;
        }
        if len == 0 {
            return 0;
        }
        let sum = match summed {
            None => 0,
            Some(content) => {
                let tail = flow.tail_map().filter(|_| room > 0);
                let (start, total) = tail.map_or((data, len), |map| (map.data, map.len + len));
                content.payload(start, total).sum()
            }
        };
        if room > 0 {
            flow.extend_tail(len, sum);
        } else {
            let start = flow.queue.write_end;
            flow.append(len, Mapping { data, start, len, sum });
        }
        len
    }

    /// What a scheduler may know of it; `extra` octets of each segment go to the DSS.
    pub(crate) fn scheduler_view(&self, index: usize, extra: u32) -> SchedulerView {
        let mut view = SchedulerView::default();
        self.write_view(&mut view, index, extra);
        view
    }

    /// Writes the same over a view where it is: a copy would wait for each field to be stored.
    #[inline(always)]
    pub(crate) fn write_view(&self, view: &mut SchedulerView, index: usize, extra: u32) {
        let flow = &self.flow;
        view.index = index;
        view.backup = self.is_backup();
        view.pacing_rate = flow.pacing_rate;
        view.srtt = flow.rtt.srtt();
        view.mss = flow.mss_now(extra);
        view.in_loss = flow.in_loss();
        view.potentially_failed = self.potentially_failed;
        view.cwnd = flow.window.cwnd;
        view.ssthresh = flow.window.ssthresh;
        view.in_flight = flow.queue.in_flight();
        view.rttvar = flow.rtt.mean_deviation();
        (view.used, view.out_of_order) = (false, false);
        self.update_room(view);
    }

    /// What data handed down changes of a view.
    #[inline]
    pub(crate) fn update_room(&self, view: &mut SchedulerView) {
        let flow = &self.flow;
        view.queued = flow.send_memory();
        view.memory_room = flow.sndbuf.saturating_sub(view.queued);
        view.has_memory = view.memory_room > 0;
        view.cwnd_room = view.cwnd.saturating_sub(view.in_flight + flow.unsent_segments(view.mss));
        view.outstanding = flow.queue.write_end - flow.snd_una.min(flow.queue.write_end);
    }

    /// The room of a view for a scheduler that lets one segment more wait on the subflow while its window is not full
    /// (`mptcp_rr_is_available`).
    pub(crate) fn room_and_one(&self, view: &SchedulerView) -> u32 {
        match view.cwnd.saturating_sub(view.in_flight) {
            0 => 0,
            room => (room + 1).saturating_sub(self.flow.unsent_segments(view.mss)),
        }
    }

    /// Whether its first flight, which has to be in order, was followed by something else than `start`.
    #[inline]
    pub(crate) fn is_out_of_order(&self, start: u64) -> bool {
        self.is_first_flight() && self.carried_to.is_some_and(|end| end != start)
    }

    /// Whether nothing of its data is known to be acknowledged.
    #[inline]
    pub(crate) const fn is_first_flight(&self) -> bool {
        !self.data_acked && self.flow.snd_una <= 1
    }

    pub(crate) fn view(&self) -> SubflowView {
        SubflowView {
            id: self.id,
            local: self.flow.local(),
            remote: self.flow.remote(),
            local_id: self.local_id,
            remote_id: self.remote_id,
            initiated: self.initiated,
            established: self.stage == Stage::Confirmed,
            backup: self.is_backup(),
        }
    }
}
