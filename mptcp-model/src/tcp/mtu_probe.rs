//! Looking for the largest packet that the path lets through without being told (RFC 4821; `tcp_mtu_probe`): between
//! what has passed and what the link allows, a segment of the middle size leaves as a probe. Acknowledged, its size
//! is that of all; lost, what was too long is sent again and the window stays. With `tcp_mtu_probing` 1 the search
//! begins when nothing has been acknowledged for a while.
//!
//! Left out: segments of at most half the largest window (`tcp_bound_to_half_wnd`).

use sim_core::{Duration, Instant};

use super::{Flow, Plan, TcpState};
use crate::config::MtuProbing;
use crate::congestion::CaState;

/// How long nothing is acknowledged before the path is suspected (`tcp_retries1` of 3, `tcp_model_timeout`).
const SUSPICIOUS: Duration = Duration::from_secs(3);
/// Least segment (`tcp_min_snd_mss`), options included.
const LEAST: u16 = 48;
/// Least window to probe with, in segments.
const LEAST_WINDOW: u32 = 11;

/// The search. Sizes are of packets, in octets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MtuProbe {
    settings: MtuProbing,
    enabled: bool,
    /// What has passed, or is believed to.
    low: u16,
    high: u16,
    /// Size of the probe under way, and where it begins and ends.
    probe: Option<(u16, u64, u64)>,
    /// Largest segment that both ends allow, options included.
    clamp: u16,
    /// When the search began last.
    began: Instant,
    /// Whether a probe is due is asked once whenever new data may leave: when, after how many segments received, with
    /// how much written.
    asked: (Instant, u64, u64),
}

/// What may be sent, as far as the search is concerned.
pub(super) enum Verdict {
    /// A probe.
    Probe(Plan),
    /// Nothing, so that a probe can follow.
    Wait,
    /// What is usual.
    Usual,
}

impl MtuProbe {
    pub(super) fn new(settings: MtuProbing, now: Instant) -> Self {
        Self {
            settings,
            enabled: settings.always,
            low: 0,
            high: 0,
            probe: None,
            clamp: 0,
            began: now,
            asked: (Instant::ZERO, 0, 0),
        }
    }

    /// A router said how much passes.
    pub(super) fn limit(&mut self, mtu: u16) {
        self.high = self.high.min(mtu);
    }

    /// What is sent again makes a probe inconclusive.
    pub(super) fn give_up(&mut self) {
        self.probe = None;
    }
}

impl Flow {
    /// Octets of the headers of IP and TCP without options.
    const fn base_headers(&self) -> u16 {
        if self.params.local.is_ipv4() { 40 } else { 60 }
    }

    /// The largest segment is known (`tcp_mtup_init`); `ts_ok` still holds what was offered.
    pub(super) fn begin_mtu_search(&mut self) {
        let (headers, options) = (self.base_headers(), self.timestamp_octets());
        let clamp = self.peer_mss;
        let Some(search) = &mut self.mtu_probe else { return };
        if search.clamp == 0 {
            search.clamp = clamp;
        }
        search.low = search.settings.base_mss + headers + options;
        search.high = search.clamp + headers;
        search.probe = None;
    }

    /// Segments fit what is known to pass (`tcp_sync_mss`).
    pub(super) fn sync_mss(&mut self) {
        let headers = self.base_headers();
        let Some(search) = self.mtu_probe.as_ref().filter(|search| search.enabled) else { return };
        let passes = search.low.saturating_sub(headers).max(LEAST);
        let most = search.clamp.min(self.path_mss).min(passes);
        self.set_peer_mss(most);
    }

    /// Whether a probe is due before new data (`tcp_mtu_probe`).
    #[cold]
    pub(super) fn probe_mtu(&mut self, now: Instant) -> Verdict {
        let (headers, options) = (self.base_headers(), self.timestamp_octets());
        let asked = (now, self.stats.segs_in, self.queue.write_end);
        let Some(search) = self.mtu_probe.as_deref_mut() else { return Verdict::Usual };
        if std::mem::replace(&mut search.asked, asked) == asked {
            return Verdict::Usual;
        }
        let (low, high, threshold) = (search.low, search.high, search.settings.threshold);
        if !search.enabled
            || search.probe.is_some()
            || self.ca_state != CaState::Open
            || self.window.cwnd < LEAST_WINDOW
            || self.recv.has_sacks()
            || self.queue.unsent.is_empty()
        {
            return Verdict::Usual;
        }
        let middle = u16::midpoint(low, high);
        if middle > high || high.saturating_sub(low) < threshold {
            self.search_again(now);
            return Verdict::Usual;
        }
        let size = u64::from(middle - headers - options);
        let mss = self.segment_mss - options;
        let needed = size + u64::from(self.reordering + 1) * u64::from(mss);
        if self.queue.write_end - self.snd_nxt < needed || self.snd_wnd < needed {
            return Verdict::Usual;
        }
        if self.snd_nxt + needed > self.snd_una + self.snd_wnd {
            return Verdict::Wait;
        }
        let in_flight = self.queue.in_flight();
        if in_flight + 2 > self.window.cwnd {
            return if in_flight == 0 { Verdict::Usual } else { Verdict::Wait };
        }
        if (self.paced && self.pace_until > now) || !self.gather_probe(size as u32) {
            return Verdict::Usual;
        }
        let Some(chunk) = self.queue.unsent.front().copied() else { return Verdict::Usual };
        let end = chunk.start + size;
        self.burst_start = chunk.start;
        self.burst_end = end;
        self.burst_push = chunk.push && u64::from(chunk.len) == size;
        if self.watch.is_some() {
            self.note_burst(now, size as u32);
        }
        // It takes the place of two segments.
        self.window.cwnd -= 1;
        if let Some(search) = &mut self.mtu_probe {
            search.probe = Some((middle, chunk.start, end));
        }
        let mut plan = Plan::NONE;
        self.next_of_burst(now, size as u32, &mut plan);
        Verdict::Probe(plan)
    }

    /// Makes the first chunk as long as a probe; false if what follows it may not be put into one buffer with it
    /// (`tcp_can_coalesce_send_queue_head`).
    fn gather_probe(&mut self, size: u32) -> bool {
        let unsent = &self.queue.unsent;
        let Some(first) = unsent.front() else { return false };
        let (start, mut octets) = (first.start, 0);
        for chunk in unsent {
            if size - octets <= chunk.len {
                break;
            }
            octets += chunk.len;
            let end = chunk.start + u64::from(chunk.len);
            let apart = self.watch.as_ref().is_some_and(|watch| watch.separates(start, end, end + 1));
            if chunk.map.len > 0
                || apart
                || self.watch.as_ref().is_some_and(|watch| watch.has_keys(start, end))
            {
                return false;
            }
        }
        let unsent = &mut self.queue.unsent;
        while unsent[0].len < size && unsent.len() > 1 {
            let moved = (size - unsent[0].len).min(unsent[1].len);
            unsent[0].len += moved;
            if moved == unsent[1].len {
                unsent[0].push |= unsent[1].push;
                unsent.remove(1);
            } else {
                // Its end, and so PSH, stays with the rest.
                unsent[1].start += u64::from(moved);
                unsent[1].len -= moved;
            }
        }
        unsent[0].len >= size
    }

    /// What was acknowledged may hold the probe (`tcp_mtup_probe_success`).
    #[cold]
    pub(super) fn check_probe_success(&mut self, now: Instant) {
        let (headers, options) = (self.base_headers(), self.timestamp_octets());
        let mss = self.segment_mss - options;
        let una = self.snd_una;
        let Some(search) = &mut self.mtu_probe else { return };
        let Some((size, ..)) = search.probe.filter(|(.., end)| *end <= una) else { return };
        search.low = size;
        search.probe = None;
        self.prior_ssthresh = self.current_ssthresh();
        let packet = u64::from(mss + headers + options);
        let cwnd = u64::from(self.window.cwnd) * packet / u64::from(size);
        self.window.cwnd = cwnd.max(1) as u32;
        self.window.cwnd_cnt = 0;
        self.cwnd_stamp = now;
        self.window.ssthresh = self.current_ssthresh();
        self.sync_mss();
    }

    /// Whether what was found lost is the probe: then it was too long, and is sent again as segments, and the window
    /// is not reduced (`tcp_mtup_probe_failed`).
    #[cold]
    pub(super) fn probe_failed(&mut self) -> bool {
        let una = self.snd_una;
        let Some(search) = &mut self.mtu_probe else { return false };
        let Some((size, ..)) = search.probe.filter(|(_, start, _)| *start == una) else { return false };
        search.high = size - 1;
        search.probe = None;
        self.window.cwnd += 1;
        self.repeat_too_long();
        true
    }

    /// The search is over; after a while it begins anew (`tcp_mtu_check_reprobe`).
    fn search_again(&mut self, now: Instant) {
        let headers = self.base_headers();
        let mss = self.segment_mss;
        let Some(search) = &mut self.mtu_probe else { return };
        if now.saturating_since(search.began) < search.settings.interval {
            return;
        }
        search.probe = None;
        search.high = search.clamp + headers;
        search.low = mss + headers;
        search.began = now;
    }

    /// The retransmission timer expired: is the path one that lets nothing long through, and does not tell
    /// (`tcp_mtu_probing`, RFC 4821, section 7.7)?
    #[cold]
    pub(super) fn suspect_path(&mut self, now: Instant) {
        let silent = self.first_timeout.is_some_and(|since| now.saturating_since(since) >= SUSPICIOUS);
        if !silent || self.retries == 0 || matches!(self.state, TcpState::SynSent | TcpState::SynReceived) {
            return;
        }
        let (headers, options) = (self.base_headers(), self.timestamp_octets());
        let Some(search) = &mut self.mtu_probe else { return };
        if search.enabled {
            let settings = &search.settings;
            let mss = search.low.saturating_sub(headers + options) >> 1;
            let mss = mss.min(settings.base_mss).max(settings.floor).max(LEAST);
            search.low = mss + headers + options;
        } else {
            search.enabled = true;
            search.began = now;
        }
        self.sync_mss();
    }
}
