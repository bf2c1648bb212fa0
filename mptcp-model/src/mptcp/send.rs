//! The sending half of a connection: the send buffer as fragments, their distribution to subflows by the
//! scheduler, and retransmission at connection level (RFC 8684, section 3.3.6), in the order upstream
//! Linux does it.

use std::collections::VecDeque;

use sim_core::{Duration, Instant};

use super::oot_send::{Due, SEGMENT_OVERHEAD};
use super::{Connection, Happened, Mode, Stage, State, Subflow};
use crate::scheduler::{Request, SchedulerView};
use crate::tcp::{Mapping, Plan, Push};

/// Octets of a page, in which fragments lie one behind the other (`SKB_FRAG_PAGE_ORDER`).
const PAGE: u32 = 32_768;
/// Header of a fragment (`mptcp_data_frag`), and what must be left of a page for another one besides.
const HEADER: u32 = 40;
const LEAST: u32 = 32;
/// `TCP_RTO_MIN`, the least connection-level timeout (TIME-02).
pub(super) const TIMEOUT_MIN: Duration = Duration::from_millis(200);

/// A fragment of the send buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment {
    pub(crate) start: u64,
    pub(crate) len: u32,
    /// Octets handed to a subflow already.
    pub(crate) sent: u32,
}

/// Send buffer of the connection. Positions count from 0; a DATA_FIN takes the position after the last octet.
#[derive(Debug)]
pub(crate) struct SendStream {
    pub(crate) fin_queued: bool,
    pub(crate) fin_acked: bool,
    /// The application waits for room.
    pub(crate) starved: bool,
    /// The application said that it will write more: what it wrote is no end (`MSG_MORE`).
    pub(crate) more_follows: bool,
    /// Everything unacknowledged is sent again with the next DATA_ACK.
    pub(crate) reinject_later: bool,
    /// Size of a segment where each has a buffer of its own (out-of-tree kernel); 0 where fragments have.
    pub(crate) segment: u32,
    pub(crate) timer: Option<Instant>,
    pub(crate) una: u64,
    pub(crate) nxt: u64,
    /// Octets accepted from the application.
    pub(crate) written: u64,
    /// Right edge the peer allows.
    pub(crate) window_end: u64,
    pub(crate) fragments: VecDeque<Fragment>,
    /// Index of the first fragment not handed down completely.
    pub(crate) pending: usize,
    pub(crate) burst: i64,
    pub(crate) sndbuf: u64,
    pub(crate) timeout: Duration,
    pub(crate) recovery: Option<u64>,
    /// Octets of the current page in use.
    page: u32,
    pub(crate) fin_retries: u32,
}

impl SendStream {
    pub(crate) fn new(sndbuf: u64) -> Self {
        Self {
            una: 0,
            nxt: 0,
            written: 0,
            window_end: 0,
            fragments: VecDeque::new(),
            page: PAGE,
            pending: 0,
            burst: 0,
            sndbuf,
            fin_queued: false,
            fin_acked: false,
            recovery: None,
            timer: None,
            timeout: TIMEOUT_MIN,
            fin_retries: 0,
            segment: 0,
            reinject_later: false,
            starved: false,
            more_follows: false,
        }
    }

    /// Bytes charged to the send buffer.
    pub(crate) fn memory(&self) -> u64 {
        let first = self.fragments.front().map_or(self.written, |fragment| fragment.start);
        let overhead = if self.segment == 0 { u64::from(HEADER) } else { SEGMENT_OVERHEAD };
        (self.written - first) + self.fragments.len() as u64 * overhead
    }

    /// The DATA_FIN is announced on every segment once all data was handed down (`mptcp_data_fin_enabled`).
    pub(crate) fn fin_enabled(&self) -> bool {
        self.fin_queued && !self.fin_acked && self.nxt == self.written + 1
    }

    /// Octets written and handed to no subflow yet.
    pub(crate) const fn not_sent(&self) -> u64 {
        self.written.saturating_sub(self.nxt)
    }

    pub(crate) fn has_pending(&self) -> bool {
        self.pending < self.fragments.len()
    }

    /// Room in the last fragment, which may be a new one: it grows while something is pending and its page has room
    /// (`mptcp_frag_can_collapse_to`). A page that nothing holds any more begins anew.
    fn fragment_room(&mut self) -> u32 {
        if !self.has_pending() || self.page >= PAGE {
            if self.fragments.is_empty() || self.page + HEADER + LEAST > PAGE {
                self.page = 0;
            }
            self.page = self.page.next_multiple_of(8) + HEADER;
            self.fragments.push_back(Fragment { start: self.written, len: 0, sent: 0 });
        }
        PAGE - self.page
    }

    /// The same where each segment has a buffer of its own; one that left takes no more.
    fn segment_room(&mut self) -> u32 {
        match self.fragments.back() {
            Some(last) if last.len < self.segment && last.sent == 0 => self.segment - last.len,
            _ => {
                self.fragments.push_back(Fragment { start: self.written, len: 0, sent: 0 });
                self.segment
            }
        }
    }
}

impl Connection {
    /// Accept up to `len` octets from the application; less if the send buffer is full. The next
    /// [`writable`](super::SocketEvents::writable) event then tells when a third of it is free.
    pub fn write(&mut self, now: Instant, len: u64) -> Result<u64, super::SocketError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.write_shut || self.orphaned {
            return Err(super::SocketError::BrokenPipe);
        }
        let accepted = match self.mode {
            Mode::Multipath => self.write_fragments(len),
            // A Fast Open that waits for the third ACK.
            Mode::Offered => 0,
            _ => self.write_plain(now, len),
        };
        self.set_starved(accepted < len);
        if self.mode == Mode::Multipath {
            self.push(now, if accepted > 0 { Due::Write } else { Due::Room });
        }
        Ok(accepted)
    }

    /// As the kernel copies (`tcp_sendmsg_locked`): into chunks of the size goal, and what can leave leaves when a
    /// chunk is full.
    fn write_plain(&mut self, now: Instant, len: u64) -> u64 {
        if self.state == State::Opening || self.subflows.is_empty() {
            return 0;
        }
        if self.subflows[0].flow.watch.is_some() {
            return self.write_watched(now, len);
        }
        let mss = self.subflows[0].flow.mss_now(0);
        let goal = self.subflows[0].flow.size_goal(mss);
        let turned = self.turned();
        self.subflows[0].flow.chunks_apart = turned;
        let mut accepted = 0;
        while accepted < len {
            let flow = &mut self.subflows[0].flow;
            let left = (len - accepted).min(u64::from(goal)) as u32;
            // Below a socket of MPTCP a chunk that has left in part takes no more.
            let room = if turned && !flow.is_tail_whole() { 0 } else { flow.plain_tail_room(goal) };
            // Only another buffer asks for memory.
            if room == 0 && (!flow.has_send_memory() || flow.holds_back()) {
                break;
            }
            if room > 0 {
                if accepted == 0 {
                    flow.reopen_tail();
                }
                flow.extend_tail(left.min(room), 0);
                accepted += u64::from(left.min(room));
            } else {
                let start = if turned { flow.queue.write_end } else { 0 };
                flow.append(left, Mapping { start, ..Mapping::default() });
                accepted += u64::from(left);
            }
            if accepted < len && !turned && flow.plain_tail_room(goal) == 0 {
                self.push_full_chunk(now, mss);
            }
        }
        if !self.send.more_follows {
            self.subflows[0].flow.mark_push();
        }
        self.send.written += accepted;
        accepted
    }

    /// The chunk at the tail is full: half the largest window after the last PSH, everything is pushed; before that,
    /// one burst of a chunk that is the only one.
    pub(super) fn push_full_chunk(&mut self, now: Instant, mss: u32) {
        let flow = &mut self.subflows[0].flow;
        let push = if flow.push_is_due() {
            flow.mark_push();
            Push::Forced
        } else if flow.queue.unsent.len() == 1 {
            Push::Burst
        } else {
            return;
        };
        let mut plan = Plan::NONE;
        while self.subflows[0].flow.poll_push(now, mss, push, &mut plan) {
            self.leave(0, &plan, now);
            if push == Push::Burst && self.subflows[0].flow.burst_is_over() {
                return;
            }
        }
    }

    fn write_fragments(&mut self, len: u64) -> u64 {
        let send = &mut self.send;
        let mut accepted = 0;
        while accepted < len {
            // Room for one octet is room for a fragment (`sk_stream_memory_free`).
            let low = self.options.tcp.not_sent_low_water;
            // No more than to the mark itself (`mptcp_send_limit`).
            let limit = low.map_or(u64::MAX, |low| u64::from(low).saturating_sub(send.not_sent()));
            if send.memory() >= send.sndbuf || limit == 0 {
                break;
            }
            let left = (len - accepted).min(limit);
            let room = if send.segment == 0 { send.fragment_room() } else { send.segment_room() };
            let Some(last) = send.fragments.back_mut() else { break };
            let take = left.min(u64::from(room));
            if send.segment == 0 {
                send.page += take as u32;
            }
            last.len += take as u32;
            send.written += take;
            accepted += take;
        }
        accepted
    }

    /// Hand pending data to subflows, as the scheduler says (`__mptcp_push_pending`).
    #[inline]
    pub(crate) fn push_pending(&mut self, now: Instant) {
        self.push(now, Due::Room);
    }

    #[inline]
    fn push(&mut self, now: Instant, by: Due) {
        if self.mode == Mode::Multipath && self.out_of_tree {
            let due = self.send.has_pending() || self.has_reinjections() || self.send.starved;
            if due {
                self.distribute_oot(now, by);
            } else if self.send.fin_queued {
                self.check_data_fin_send(now);
            }
        } else if self.mode == Mode::Multipath && self.send.has_pending() {
            self.distribute(now);
        } else if self.send.fin_queued {
            self.check_data_fin_send(now);
        }
    }

    #[inline(never)]
    fn distribute(&mut self, now: Instant) {
        self.write_views();
        if let Some(index) = self.distribute_among() {
            self.subflows[index].flow.mark_push();
            if self.send.timer.is_none() {
                self.reset_send_timer(now);
            }
        }
        if self.send.fin_queued {
            self.check_data_fin_send(now);
        }
    }

    /// Writes what the scheduler may know of the subflows that can carry data.
    #[inline(always)]
    fn write_views(&mut self) {
        let extra = self.dss_octets();
        let views = &mut self.scheduler_views;
        let mut count = 0;
        for (index, subflow) in self.subflows.iter().enumerate() {
            if !subflow.stale && subflow.is_active() {
                if count == views.len() {
                    views.push(SchedulerView::default());
                }
                subflow.write_view(&mut views[count], index, extra);
                count += 1;
            }
        }
        views.truncate(count);
    }

    /// Hands pending data to subflows until the scheduler picks none. Returns the last one.
    #[inline(always)]
    fn distribute_among(&mut self) -> Option<usize> {
        let mut pushed: Option<usize> = None;
        let mut request = Request::default();
        while let Some(fragment) = self.send.fragments.get(self.send.pending) {
            // What is sent again lies before the edge even when nothing new does.
            let next = fragment.start + u64::from(fragment.sent);
            request.window = self.send.window_end.saturating_sub(next);
            request.connection_window = request.window;
            let Some(pick) = self.scheduler.pick(&request, &self.scheduler_views) else { break };
            let index = pick.index;
            self.send.burst = i64::from(pick.burst);
            if let Some(before) = pushed
                && before != index
            {
                self.subflows[before].flow.mark_push();
            }
            let Some(view) = self.scheduler_views.iter().position(|view| view.index == index) else { break };
            let copied = self.push_to(index, self.scheduler_views[view].mss, pick.exact);
            if copied == 0 {
                break;
            }
            pushed = Some(index);
            let copies = self.scheduler.copies();
            if pick.fills && self.send.burst <= 0 && !copies {
                break;
            }
            if copies {
                self.copy_to_others(index, next, copied);
                for view in &mut self.scheduler_views {
                    self.subflows[view.index].update_room(view);
                }
            } else {
                self.subflows[index].update_room(&mut self.scheduler_views[view]);
            }
        }
        pushed
    }

    /// Give one burst to a subflow (`__subflow_push_pending`). Returns the octets handed down.
    #[inline]
    fn push_to(&mut self, index: usize, mss: u32, exact: bool) -> u64 {
        let (send, subflow) = (&mut self.send, &mut self.subflows[index]);
        let summed = self.checksum.then_some(&self.options.content);
        let before = send.burst;
        while let Some(fragment) = send.fragments.get_mut(send.pending) {
            while fragment.sent < fragment.len {
                let most = if exact { send.burst.max(0) as u32 } else { u32::MAX };
                let len = (fragment.len - fragment.sent).min(most);
                let data = fragment.start + u64::from(fragment.sent);
                let done =
                    if len > 0 { subflow.hand_down(mss, data, len, send.window_end, summed) } else { 0 };
                if done == 0 {
                    return (before - send.burst) as u64;
                }
                fragment.sent += done;
                send.burst -= i64::from(done);
                send.nxt = send.nxt.max(data + u64::from(done));
            }
            send.pending += 1;
            if send.burst <= 0 || !subflow.flow.has_send_memory() || !subflow.is_active() {
                break;
            }
        }
        (before - send.burst) as u64
    }

    /// Map up to `len` octets from position `data` to a subflow whose segments take `mss`. Returns how many.
    pub(super) fn hand_down(&mut self, index: usize, mss: u32, data: u64, len: u32) -> u32 {
        let subflow = &mut self.subflows[index];
        if !self.out_of_tree {
            let summed = self.checksum.then_some(&self.options.content);
            return subflow.hand_down(mss, data, len, self.send.window_end, summed);
        }
        // Each segment has a mapping of its own.
        let window = self.send.window_end.saturating_sub(data);
        let len = u64::from(len.min(mss)).min(window) as u32;
        if len > 0 {
            let start = subflow.flow.queue.write_end;
            subflow.flow.append(len, Mapping { data, start, len, sum: 0 });
        }
        len
    }

    /// Payload of a full segment of a subflow.
    #[inline]
    pub(super) fn segment_size(&self, index: usize) -> u32 {
        self.subflows[index].flow.mss_now(self.dss_room())
    }

    /// Octets that the DSS of a data segment takes, padded (`mptcp_established_options_dss`).
    pub(crate) fn dss_room(&self) -> u32 {
        if self.mode != Mode::Multipath && self.infinite.is_none() {
            return 0;
        }
        self.dss_octets()
    }

    /// As [`dss_room`](Self::dss_room), of a connection that speaks MPTCP.
    #[inline]
    pub(super) fn dss_octets(&self) -> u32 {
        if self.out_of_tree {
            // Room for a checksum is kept in any case.
            return 20;
        }
        // A checksum takes the place of the padding.
        if self.use_long_ack { 28 } else { 24 }
    }

    /// DATA_ACK up to position `una`, with the window it grants.
    #[inline(always)]
    pub(crate) fn data_acked(&mut self, now: Instant, una: u64, window: u64) {
        let una = if una > self.send.nxt { self.send.una } else { una };
        // The window counts from the DATA_ACK it came with, which the faster path may have overtaken.
        self.send.window_end = self.send.window_end.max(una + window);
        if una > self.send.una {
            self.send.una = una;
            if self.out_of_tree {
                self.oot_data_acked(now);
            }
            self.clean_fragments(now);
            if self.send.fin_enabled() && una > self.send.written {
                if self.out_of_tree {
                    self.data_fin_acked();
                } else {
                    self.work_due = true;
                }
            }
        }
    }

    /// Free what is acknowledged (`__mptcp_clean_una`).
    fn clean_fragments(&mut self, now: Instant) {
        let send = &mut self.send;
        let mut cleaned = false;
        while let Some(first) = send.fragments.front_mut() {
            let end = first.start + u64::from(first.len);
            if end > send.una {
                if send.una > first.start {
                    let cut = (send.una - first.start) as u32;
                    first.start += u64::from(cut);
                    first.len -= cut;
                    first.sent = first.sent.saturating_sub(cut);
                    cleaned = true;
                }
                break;
            }
            send.fragments.pop_front();
            // While recovering, data can be acknowledged that is to be sent again.
            send.pending = send.pending.saturating_sub(1);
            cleaned = true;
        }
        if send.recovery.is_some_and(|end| send.una > end) {
            send.recovery = None;
        }
        if cleaned {
            if send.una >= send.nxt && !send.has_pending() && !send.fin_enabled() {
                send.timer = None;
                // A stopped timer forgets its time: what starts it next expires with the next tick
                // (`mptcp_stop_rtx_timer`).
                let forgets = !self.out_of_tree && self.options.tcp.timer_tick.is_some();
                send.timeout = if forgets { Duration::ZERO } else { TIMEOUT_MIN };
            } else {
                self.reset_send_timer(now);
            }
        }
        self.note_writable();
    }

    /// Whether the application waits for room (`SOCK_NOSPACE`), which all subflows see: theirs is the socket of the
    /// connection (`mptcp_sock_graft`).
    pub(crate) fn set_starved(&mut self, starved: bool) {
        self.send.starved = starved;
        for subflow in &mut self.subflows {
            subflow.flow.wants_space = starved;
        }
    }

    /// Tell the application when a third of the send buffer is free (`sk_stream_is_writeable`).
    pub(crate) fn note_writable(&mut self) {
        if !self.send.starved {
            return;
        }
        let (memory, buffer) = match self.mode {
            Mode::Multipath => (self.send.memory(), self.send.sndbuf),
            _ => match self.subflows.first() {
                Some(subflow) => (subflow.flow.send_memory(), subflow.flow.sndbuf),
                None => return,
            },
        };
        if buffer.saturating_sub(memory) >= memory >> 1 && self.is_low_enough(1) {
            self.set_starved(false);
            self.events.note(Happened::WRITABLE);
        }
    }

    /// The send buffer holds what the buffers of all subflows do, of those being joined too
    /// (`mptcp_propagate_sndbuf`).
    pub(crate) fn sync_sndbuf(&mut self) {
        let sum: u64 = self
            .subflows
            .iter()
            .filter(|subflow| subflow.stage != Stage::Gone && subflow.flow.can_send())
            .map(|subflow| subflow.flow.sndbuf)
            .sum();
        // `__mptcp_sync_sndbuf` starts from the least buffer.
        let least = if self.out_of_tree { 0 } else { u64::from(self.options.tcp.wmem[0]) };
        let sndbuf = (least + sum).min(u64::from(self.options.tcp.wmem[2]));
        if sndbuf > self.send.sndbuf {
            self.send.sndbuf = sndbuf;
            self.note_writable();
        }
    }

    /// `mptcp_reset_rtx_timer`: the longest remaining retransmission time of the subflows.
    pub(crate) fn reset_send_timer(&mut self, now: Instant) {
        if self.out_of_tree {
            self.send.timeout = self.oot_timeout_span().max(TIMEOUT_MIN);
            self.send.timer = Some(now + self.send.timeout);
            return;
        }
        let mut longest = Duration::ZERO;
        for subflow in &self.subflows {
            if subflow.stale_count > 0 || !subflow.is_active() {
                continue;
            }
            if let Some((at, _)) = subflow.flow.xmit_timer {
                longest = longest.max(at.saturating_since(now));
            }
        }
        self.send.timeout = longest.max(TIMEOUT_MIN);
        self.send.timer = Some(now + self.send.timeout);
    }

    /// Start the timer with the time it had last (`mptcp_reset_rtx_timer`).
    pub(crate) fn restart_send_timer(&mut self, now: Instant) {
        let span = self.send.timeout;
        self.send.timer =
            Some(if self.out_of_tree { now + span } else { self.options.tcp.expiry(now, span) });
    }

    /// The connection-level timer fired (`__mptcp_retrans`).
    pub(crate) fn send_timeout(&mut self, now: Instant) {
        self.send.timer = None;
        if self.leave_stripped_path(now) {
            if self.mode == Mode::Multipath && self.state != State::Closed && self.send.timer.is_none() {
                // The subflows that are left have to bring what those took along.
                self.reset_send_timer(now);
            }
            return;
        }
        if self.out_of_tree && self.oot_gives_up() {
            return;
        }
        if self.out_of_tree && !self.send.fragments.is_empty() {
            self.oot_timeout(now);
            self.push_pending(now);
            return;
        }
        let target = self.pick_retransmitter(now);
        let Some(&fragment) = self.send.fragments.front() else {
            if self.send.fin_enabled() {
                // Repeat the DATA_FIN, backing off (CLOSE-03).
                self.send.fin_retries += 1;
                if self.out_of_tree {
                    self.send_data_fin(false);
                } else {
                    self.ack_all_subflows();
                }
                // Upstream Linux waits once more as long as it did, then backs off.
                if self.out_of_tree || self.send.fin_retries > 1 {
                    let doublings = self.send.fin_retries - u32::from(!self.out_of_tree);
                    let span = TIMEOUT_MIN * (1u64 << doublings.min(9));
                    self.send.timeout = span.min(Duration::from_secs(120));
                }
                self.restart_send_timer(now);
            }
            return;
        };
        if let Some(index) = target {
            let mut done = 0;
            let limit = if self.checksum { fragment.len } else { fragment.sent };
            let mss = self.segment_size(index);
            while done < limit {
                let part = self.hand_down(index, mss, fragment.start + u64::from(done), limit - done);
                if part == 0 {
                    break;
                }
                done += part;
            }
            if done > 0 {
                self.subflows[index].flow.mark_push();
                self.fallback_allowed = false;
                self.stats.retransmits += 1;
                self.stats.reinjected_bytes += u64::from(done);
                if let Some(first) = self.send.fragments.front_mut() {
                    first.sent = first.sent.max(done);
                }
            }
        }
        self.push_pending(now);
        self.probe_window();
        if self.send.timer.is_none() {
            self.reset_send_timer(now);
        }
    }

    /// Everything sent is acknowledged and the window is closed: the octet before it goes out once more, so
    /// that the peer tells its window should the update have been lost (`mptcp_sendmsg_frag`, WND-06). Until
    /// it is acknowledged the subflow repeats it.
    fn probe_window(&mut self) {
        let send = &self.send;
        let closed = send.has_pending() && send.una == send.nxt && send.window_end <= send.nxt;
        let Some(data) = send.una.checked_sub(1).filter(|_| closed) else { return };
        let idle = |subflow: &Subflow| subflow.is_active() && subflow.flow.queues_empty();
        let Some(index) = self.subflows.iter().position(idle) else { return };
        let sum = if self.checksum { self.payload(data, 1).sum() } else { 0 };
        let flow = &mut self.subflows[index].flow;
        let start = flow.queue.write_end;
        flow.append(1, Mapping { data, start, len: 1, sum });
        flow.mark_push();
    }

    /// An idle subflow for retransmission (`mptcp_subflow_get_retrans`); those without progress become
    /// stale on the way.
    fn pick_retransmitter(&mut self, now: Instant) -> Option<usize> {
        let limit = self.options.mptcp.as_ref().map_or(4, |config| config.stale_loss_cnt);
        let (mut regular, mut backup) = (None, None);
        let mut least_stale = u8::MAX;
        for index in 0..self.subflows.len() {
            let subflow = &mut self.subflows[index];
            if !subflow.is_active() {
                continue;
            }
            if !subflow.flow.queues_empty() {
                if subflow.stale_count == 0 {
                    subflow.stale_at = subflow.flow.received_at;
                    subflow.stale_count = 1;
                } else if subflow.stale_at == subflow.flow.received_at {
                    subflow.stale_count = subflow.stale_count.saturating_add(1);
                    if limit > 0 && !subflow.stale && subflow.stale_count > limit {
                        self.mark_stale(index, limit, now);
                    }
                } else {
                    subflow.stale_count = 0;
                    subflow.stale = false;
                }
                least_stale = least_stale.min(self.subflows[index].stale_count);
            } else if subflow.is_backup() {
                backup = backup.or(Some(index));
            } else {
                regular = regular.or(Some(index));
            }
        }
        // A backup only when nothing moves anywhere else.
        regular.or(backup.filter(|_| least_stale > 1))
    }

    /// No progress for several timeouts: use other subflows, if there are any (SCHED-13).
    fn mark_stale(&mut self, index: usize, limit: u8, now: Instant) {
        let other =
            self.subflows.iter().enumerate().any(|(i, other)| {
                i != index && other.is_active() && !other.stale && other.stale_count < limit
            });
        if other {
            self.subflows[index].stale = true;
            self.stats.stale_subflows += 1;
            self.reinject_all();
            self.push_pending(now);
        }
    }

    /// A stale subflow received something: it may carry data again.
    pub(crate) fn revive(&mut self, index: usize) {
        let subflow = &mut self.subflows[index];
        if subflow.stale && subflow.stale_at != subflow.flow.received_at {
            subflow.stale = false;
            subflow.stale_count = 0;
        }
    }

    /// Everything unacknowledged is to be sent again (`__mptcp_retransmit_pending_data`). Returns whether
    /// there is anything.
    pub(crate) fn reinject_all(&mut self) -> bool {
        if self.send.fragments.is_empty() {
            return false;
        }
        self.fallback_allowed = false;
        self.send.recovery = Some(self.send.nxt);
        self.send.pending = 0;
        self.send.burst = 0;
        for fragment in &mut self.send.fragments {
            if fragment.sent == 0 {
                break;
            }
            self.stats.reinjected_bytes += u64::from(fragment.sent);
            fragment.sent = 0;
        }
        true
    }

    /// Subflows that can carry data at all.
    pub(crate) fn any_active(&self) -> bool {
        self.subflows.iter().any(|subflow| subflow.stage != Stage::Gone)
    }
}
