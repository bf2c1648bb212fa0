//! Distribution of data as the out-of-tree kernel does it (`mptcp_output.c`, `mptcp_sched.c`): whole segments,
//! each remembered with the subflows that carried it; after a timeout of a subflow, what it holds goes to others
//! and the subflow is potentially failed (DSS-24); the oldest segment goes to a faster subflow when the window or
//! the buffer blocks, and slower ones that hold it are halved (SCHED-05); a timeout of the connection sends the
//! oldest segment again, and the first DATA_ACK after it all the others (DSS-22).
//!
//! Nagle's algorithm works on the connection's segments, not on those of subflows.

use std::collections::VecDeque;

use sim_core::{Duration, Instant};
use smallvec::SmallVec;

use super::send::TIMEOUT_MIN;
use super::{Connection, Mode, SocketError, Stage};
use crate::congestion::CaState;
use crate::scheduler::{Fill, Request, SchedulerView};
use crate::tcp::Plan;
use crate::wire::TcpSegment;
use crate::wire::options::ParsedOptions;

/// Largest timeout of the connection (`TCP_RTO_MAX`).
const TIMEOUT_MAX: Duration = Duration::from_secs(120);
/// Timeouts after which a connection without an application is given up (`tcp_orphan_retries`).
const ORPHAN_RETRIES: u32 = 8;
/// Overhead of a segment in the send buffer, in bytes.
pub(super) const SEGMENT_OVERHEAD: u64 = 832;

/// A piece of the stream and the subflows that carried it (`path_mask`).
#[derive(Clone, Copy, Debug)]
struct Held {
    start: u64,
    end: u64,
    mask: u64,
}

const fn bit(index: usize) -> u64 {
    1 << (index & 63)
}

/// Queues of the connection.
#[derive(Debug, Default)]
pub(crate) struct OotSend {
    /// Sent and not acknowledged by the peer, in order.
    outstanding: VecDeque<Held>,
    /// To be sent again on another subflow, in order (`reinject_queue`).
    again: VecDeque<Held>,
    /// Timeouts of the connection in a row, and the timeout they led to.
    timeouts: u32,
    timeout: Duration,
    /// A timeout struck and nothing was acknowledged since.
    lost: bool,
    /// Segments sent again so far.
    retransmissions: u64,
    /// End of the last segment that was not full (`snd_sml`).
    small_end: u64,
}

/// What makes segments due to be handed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The application writes: each segment is pushed when it is full, until no window has room.
    Write,
    /// An acknowledgment, a new subflow or a timer: one push.
    Room,
}

/// Segments that one push hands to a subflow whose window has room for `room`: half of them, rounded up, but two if
/// there is room for two. So kernel v0.96 was measured with its schedulers but `roundrobin`, on several thousand
/// ACKs: of the 10 segments of a new subflow 5 leave, with the next ACK of any subflow 3 more; in slow start an ACK
/// of two segments lets two leave, and two more leave before the next one is looked at. What an ACK of two adds
/// to the window in congestion avoidance is used with the next ACK, too. (`mptcp_is_temp_unavailable` compares what
/// is queued on the subflow with what its window leaves.)
const fn part_of_room(room: u32) -> u32 {
    if room <= 2 { room } else { room.div_ceil(2) }
}

/// Where the next segment comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    New,
    Again,
    /// The oldest one outstanding, out of turn.
    Oldest,
}

type Views = SmallVec<[SchedulerView; 8]>;

impl Connection {
    /// The DATA_ACK of a segment comes before its acknowledgment (`mptcp_handle_options` in
    /// `tcp_validate_incoming`): what there is room for leaves with the windows as the last segment left them,
    /// and before anything that this one finds lost. What the acknowledgment makes room for follows if it is
    /// cumulative (`tcp_check_space`), otherwise with the next segment of any subflow.
    pub(super) fn take_data_ack_first(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
        options: &ParsedOptions,
    ) {
        let Some(number) = options.dss.as_ref().and_then(|dss| dss.data_ack) else { return };
        let flow = &mut self.subflows[index].flow;
        flow.queue.rank = None;
        if !flow.validates(segment, options) {
            return;
        }
        let window = u64::from(segment.window) << flow.snd_wscale;
        // `mptcp_become_fully_estab`.
        let acks_data = segment.ack.to_offset(flow.params.iss, flow.snd_nxt) > 1;
        self.subflows[index].data_acked |= acks_data;
        self.subflows[index].potentially_failed = false;
        self.take_data_ack_with(now, number, window);
        self.push_pending(now);
        for index in 0..self.subflows.len() {
            let subflow = &self.subflows[index];
            if subflow.flow.queue.unsent.is_empty() || subflow.flow.fin_wanted || !subflow.signals.is_empty()
            {
                continue;
            }
            self.subflows[index].flow.queue.rank_below();
            let mss = self.segment_size(index);
            let mut plan = Plan::NONE;
            while self.next_plan(index, now, mss, &mut plan) {
                self.leave(index, &plan, now);
            }
        }
    }

    /// Hand down what can be sent (`mptcp_write_xmit`), with `by` telling what makes it due.
    pub(super) fn distribute_oot(&mut self, now: Instant, by: Due) {
        let extra = self.dss_room();
        let mut views: Views = self
            .subflows
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, subflow)| !subflow.stale && subflow.is_active())
            .map(|(index, subflow)| subflow.scheduler_view(index, extra))
            .collect();
        let fill = match self.scheduler.fill() {
            Fill::Half if by == Due::Write => Fill::All,
            fill => fill,
        };
        for view in &mut views {
            match fill {
                Fill::All => {}
                Fill::Half => view.cwnd_room = part_of_room(view.cwnd_room),
                Fill::OneMore => view.cwnd_room = self.subflows[view.index].room_and_one(view),
            }
        }
        let mut touched = 0;
        let copies = self.scheduler.copies();
        while let Some((source, index, held)) = self.next_segment(now, &mut views) {
            let len = (held.end - held.start) as u32;
            let done = u64::from(self.hand_down(index, self.segment_size(index), held.start, len));
            if done == 0 {
                break;
            }
            touched |= bit(index);
            self.note_handed_down(source, index, held, done);
            if copies && source == Source::New {
                self.copy_to_others(index, held.start, done);
                for view in &mut views {
                    *view = self.subflows[view.index].scheduler_view(view.index, extra);
                }
            } else if let Some(view) = views.iter_mut().find(|view| view.index == index) {
                let left = view.cwnd_room.saturating_sub(1);
                *view = self.subflows[index].scheduler_view(index, extra);
                match fill {
                    Fill::All => {}
                    Fill::Half => view.cwnd_room = view.cwnd_room.min(left),
                    Fill::OneMore => view.cwnd_room = self.subflows[index].room_and_one(view),
                }
            }
        }
        if touched != 0 {
            for (index, subflow) in self.subflows.iter_mut().enumerate() {
                if touched & bit(index) != 0 {
                    subflow.flow.mark_push();
                }
            }
            if self.send.timer.is_none() {
                self.reset_send_timer(now);
            }
        }
        self.check_data_fin_send(now);
    }

    /// The next segment and the subflow for it (`next_segment`).
    fn next_segment(&mut self, now: Instant, views: &mut Views) -> Option<(Source, usize, Held)> {
        let una = self.send.una;
        while self.oot_send.again.front().is_some_and(|held| held.end <= una) {
            self.oot_send.again.pop_front();
        }
        if let Some(&held) = self.oot_send.again.front() {
            let held = Held { start: held.start.max(una), ..held };
            let index = self.pick_for(now, views, Some(held))?;
            return Some((Source::Again, index, self.one_segment(index, held)));
        }
        let Some(&fragment) = self.send.fragments.get(self.send.pending) else {
            // Everything left; the application waits for room in the buffer.
            if !self.send.starved || self.send.memory() <= self.send.sndbuf * 2 / 3 {
                return None;
            }
            let index = self.pick_for(now, views, None)?;
            return self.overtake(now, index, false, views);
        };
        let start = fragment.start + u64::from(fragment.sent);
        let held = Held { start, end: fragment.start + u64::from(fragment.len), mask: 0 };
        let index = self.pick_for(now, views, Some(held))?;
        let held = self.one_segment(index, held);
        if held.end > self.send.window_end {
            return self.overtake(now, index, true, views);
        }
        (!self.nagle_waits(index, held)).then_some((Source::New, index, held))
    }

    fn one_segment(&self, index: usize, held: Held) -> Held {
        let mss = self.subflows[index].flow.mss_now(self.dss_octets());
        Held { end: held.end.min(held.start + u64::from(mss)), ..held }
    }

    /// Whether a segment that is not full waits for the one before it (RFC 9293, section 3.7.4, in the variant
    /// of Minshall).
    fn nagle_waits(&self, index: usize, held: Held) -> bool {
        let mss = u64::from(self.subflows[index].flow.mss_now(self.dss_octets()));
        let config = &self.options.tcp;
        held.end - held.start < mss
            && !self.send.fin_queued
            && (config.cork || config.nagle && self.oot_send.small_end > self.send.una)
    }

    /// The subflow that the scheduler picks for a segment, or for whatever comes.
    fn pick_for(&mut self, now: Instant, views: &mut Views, held: Option<Held>) -> Option<usize> {
        for view in views.iter_mut() {
            view.has_memory = true;
            let subflow = &self.subflows[view.index];
            view.potentially_failed = subflow.potentially_failed;
            view.used = held.is_some_and(|held| held.mask & bit(view.index) != 0);
            view.out_of_order = held.is_some_and(|held| subflow.is_out_of_order(held.start));
        }
        if let Some(held) = held
            && let Some(index) = self.answers_data_fin(held.end)
            && views.iter().any(|view| view.index == index && view.has_room() && !view.potentially_failed)
        {
            return Some(index);
        }
        let mss = views.first().map_or(0, |view| view.mss);
        let request = Request {
            window: u64::from(u32::MAX),
            connection_window: self.send.window_end.saturating_sub(self.send.una),
            segment: held.map_or(0, |held| (held.end - held.start).min(u64::from(mss)) as u32),
            queued: self.send.memory(),
            retransmissions: self.oot_send.retransmissions,
            now,
        };
        self.scheduler.pick(&request, views).map(|pick| pick.index)
    }

    /// The DATA_FIN answers that of the peer on the same subflow.
    fn answers_data_fin(&self, end: u64) -> Option<usize> {
        let last = self.send.fin_queued && self.recv.fin_done && end == self.send.written;
        self.closing.peer_fin_on.filter(|_| last)
    }

    /// The window, or with `window` unset the buffer, blocks subflow `index`: slower ones that hold the oldest
    /// segment are halved, and it takes that segment itself if they are much slower
    /// (`mptcp_rcv_buf_optimization`).
    fn overtake(
        &mut self,
        now: Instant,
        index: usize,
        window: bool,
        views: &mut Views,
    ) -> Option<(Source, usize, Held)> {
        let config = self.options.mptcp.as_ref()?;
        let (penalises, retransmits) = (config.penalisation, config.opportunistic_retransmission);
        if !self.scheduler.is_opportunistic() {
            return None;
        }
        let head = *self.oot_send.outstanding.front()?;
        let srtt = self.subflows[index].flow.rtt.srtt();
        let full = self.send.memory() >= self.send.sndbuf;
        let rested = now.saturating_since(self.subflows[index].penalised_at) >= srtt;
        if penalises && (window || full) && rested {
            self.penalise(now, index, head.mask);
        }
        if !retransmits || head.mask & bit(index) != 0 {
            return None;
        }
        let mut much_slower = false;
        for (other, subflow) in self.subflows.iter().enumerate().rev() {
            if other == index || head.mask & bit(other) == 0 || subflow.stage == Stage::Gone {
                continue;
            }
            if subflow.flow.window.cwnd <= 4 {
                much_slower = true;
                break;
            }
            much_slower = srtt * 4 < subflow.flow.rtt.srtt();
            if !much_slower {
                break;
            }
        }
        let start = head.start.max(self.send.una);
        let view = views.iter_mut().find(|view| view.index == index)?;
        view.out_of_order = self.subflows[index].is_out_of_order(start);
        (much_slower && view.has_room()).then_some((Source::Oldest, index, Held { start, ..head }))
    }

    fn penalise(&mut self, now: Instant, index: usize, mask: u64) {
        let srtt = self.subflows[index].flow.rtt.srtt();
        let mut halved = false;
        for (other, subflow) in self.subflows.iter_mut().enumerate() {
            let flow = &mut subflow.flow;
            let slower = other != index && mask & bit(other) != 0 && srtt < flow.rtt.srtt();
            if slower && subflow.stage != Stage::Gone && flow.ca_state == CaState::Open {
                let window = &mut flow.window;
                if window.cwnd >= window.ssthresh {
                    window.ssthresh = (window.ssthresh / 2).max(2);
                }
                window.cwnd = (window.cwnd / 2).max(1);
                halved = true;
            }
        }
        if halved {
            self.subflows[index].penalised_at = now;
        }
    }

    fn note_handed_down(&mut self, source: Source, index: usize, held: Held, done: u64) {
        let end = held.start + done;
        let subflow = &mut self.subflows[index];
        let mss = u64::from(subflow.flow.mss_now(0));
        if subflow.is_first_flight() {
            subflow.carried_to = Some(end);
        }
        match source {
            Source::New => {
                if done + 20 < mss {
                    self.oot_send.small_end = end;
                }
                self.oot_send.outstanding.push_back(Held { start: held.start, end, mask: bit(index) });
                self.advance_pending(end);
                self.send.nxt = self.send.nxt.max(end);
            }
            Source::Again => {
                if let Some(front) = self.oot_send.again.front_mut() {
                    front.start = end;
                    if front.start >= front.end {
                        self.oot_send.again.pop_front();
                    }
                }
                self.count_again(done);
            }
            Source::Oldest => {
                self.mark_carried(0, index);
                self.count_again(done);
            }
        }
    }

    fn count_again(&mut self, octets: u64) {
        self.oot_send.retransmissions += 1;
        self.fallback_allowed = false;
        self.stats.reinjected_bytes += octets;
    }

    /// Subflow `index` carried outstanding segment `at`; where all had it, the count starts anew.
    fn mark_carried(&mut self, at: usize, index: usize) {
        if let Some(held) = self.oot_send.outstanding.get_mut(at) {
            let again = held.mask & bit(index) != 0;
            held.mask = if again { bit(index) } else { held.mask | bit(index) };
        }
    }

    /// Everything before `end` was handed down.
    fn advance_pending(&mut self, end: u64) {
        while let Some(fragment) = self.send.fragments.get_mut(self.send.pending) {
            let sent = end.saturating_sub(fragment.start).min(u64::from(fragment.len)) as u32;
            fragment.sent = fragment.sent.max(sent);
            if fragment.sent < fragment.len {
                break;
            }
            self.send.pending += 1;
        }
    }

    /// What subflow `index` holds and has not yet been given to others goes to them as they have room; until
    /// an ACK arrives it gets nothing (`mptcp_reinject_data`).
    pub(super) fn reinject_from(&mut self, now: Instant, index: usize) {
        if self.mode != Mode::Multipath {
            return;
        }
        let una = self.send.una;
        let subflow = &mut self.subflows[index];
        subflow.potentially_failed = true;
        let from = subflow.reinjected_to;
        let flow = &subflow.flow;
        let sent = flow.queue.sent.iter().map(|seg| (seg.map, seg.start, seg.payload()));
        let unsent = flow.queue.unsent.iter().map(|chunk| (chunk.map, chunk.start, chunk.len));
        let pieces: Vec<(u64, u64)> = sent
            .chain(unsent)
            .filter(|&(map, start, _)| map.len > 0 && start >= from)
            .map(|(map, start, len)| {
                let data = map.data + (start - map.start);
                (data, data + u64::from(len))
            })
            .filter(|&(_, end)| end > una)
            .collect();
        subflow.reinjected_to = flow.queue.write_end;
        let another =
            self.subflows.iter().enumerate().any(|(i, other)| i != index && other.stage != Stage::Gone);
        if another || self.subflows[index].stage == Stage::Gone {
            for (start, end) in pieces {
                self.queue_again(Held { start, end, mask: bit(index) });
            }
        }
        self.push_pending(now);
    }

    /// In order, unless what is queued covers it.
    fn queue_again(&mut self, held: Held) {
        let queue = &mut self.oot_send.again;
        if queue.iter().any(|other| other.start <= held.start && held.end <= other.end) {
            return;
        }
        let at = queue.partition_point(|other| other.start < held.start);
        queue.insert(at, held);
    }

    /// Whether something is to be sent again.
    pub(super) fn has_reinjections(&self) -> bool {
        !self.oot_send.again.is_empty()
    }

    /// The peer acknowledged data up to `una`.
    pub(super) fn oot_data_acked(&mut self, now: Instant) {
        let una = self.send.una;
        while self.oot_send.outstanding.front().is_some_and(|held| held.end <= una) {
            self.oot_send.outstanding.pop_front();
        }
        self.oot_send.timeouts = 0;
        if std::mem::take(&mut self.oot_send.lost) {
            for at in 0..self.oot_send.outstanding.len() {
                if !self.send_outstanding(now, at) {
                    break;
                }
            }
        }
    }

    /// Send an outstanding segment again (`mptcp_retransmit_skb`). Returns whether a subflow took it.
    fn send_outstanding(&mut self, now: Instant, at: usize) -> bool {
        let Some(&held) = self.oot_send.outstanding.get(at) else { return false };
        let held = Held { start: held.start.max(self.send.una), ..held };
        let extra = self.dss_room();
        let active = self.subflows.iter().enumerate().rev().filter(|(_, subflow)| subflow.is_active());
        let mut views: Views = active.map(|(index, subflow)| subflow.scheduler_view(index, extra)).collect();
        let Some(index) = self.pick_for(now, &mut views, Some(held)) else { return false };
        let mss = self.segment_size(index);
        let done = self.hand_down(index, mss, held.start, (held.end - held.start) as u32);
        if done == 0 {
            return false;
        }
        if self.subflows[index].is_first_flight() {
            self.subflows[index].carried_to = Some(held.start + u64::from(done));
        }
        self.subflows[index].flow.mark_push();
        self.mark_carried(at, index);
        self.count_again(u64::from(done));
        true
    }

    /// The timer of the connection fired with data outstanding (`mptcp_meta_retransmit_timer`).
    pub(super) fn oot_timeout(&mut self, now: Instant) {
        self.oot_send.lost = true;
        self.oot_send.timeouts += 1;
        self.stats.retransmits += 1;
        let _: bool = self.send_outstanding(now, 0);
        // Without a subflow that lives nothing was measured yet.
        self.oot_send.timeout = (self.oot_send.timeout * 2).clamp(TIMEOUT_MIN, TIMEOUT_MAX);
        self.send.timeout = self.oot_send.timeout;
        self.send.timer = Some(now + self.send.timeout);
    }

    /// Whether the peer left so many timeouts in a row without a DATA_ACK that the connection ends, as a flow would
    /// (`tcp_write_timeout` on the connection): with an error, or with MP_FASTCLOSE if its application is gone.
    pub(super) fn oot_gives_up(&mut self) -> bool {
        let most = if self.orphaned { ORPHAN_RETRIES } else { u32::from(self.options.tcp.retries) };
        if self.oot_send.timeouts.max(self.send.fin_retries) < most {
            return false;
        }
        if !self.orphaned {
            self.fail(SocketError::TimedOut);
        }
        self.abort();
        true
    }

    /// The timeout of the connection is twice the longest of its subflows, and what it backed off to while
    /// nothing is acknowledged (`mptcp_set_rto`).
    pub(super) fn oot_timeout_span(&mut self) -> Duration {
        if self.oot_send.timeouts == 0 {
            let open = self.subflows.iter().filter(|subflow| subflow.is_active());
            let longest = open.map(|subflow| subflow.flow.rtt.rto()).max().unwrap_or(Duration::ZERO);
            self.oot_send.timeout = (longest * 2).min(TIMEOUT_MAX);
        }
        self.oot_send.timeout
    }
}

#[cfg(test)]
mod tests {
    use super::part_of_room;

    #[test]
    fn a_push_fills_half_the_room_but_two_places_both() {
        // As measured: 10 and then 5 places of a new subflow, 4 with an ACK of two in slow start, 3 with one in
        // congestion avoidance that adds a segment, 2 and 1 as a rule.
        let filled = [10, 5, 4, 3, 2, 1, 0].map(part_of_room);
        assert_eq!(filled, [5, 3, 2, 2, 2, 1, 0]);
    }
}
