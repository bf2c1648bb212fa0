//! Samples of the rate at which the path delivers (draft-cheng-iccrg-delivery-rate-estimation), taken for congestion controls
//! that model it and by nobody else. Each transmission notes how much had been delivered when it left; when it is
//! acknowledged, what was delivered since, over the longer of the time in which that was sent and the time in which
//! it was acknowledged, is a rate that the path has shown.

use std::collections::VecDeque;

use sim_core::{Duration, Instant};

/// State of a flow when a segment left.
#[derive(Clone, Copy, Debug)]
struct Departure {
    sent_at: Instant,
    /// When the first segment of the flight left that this one belongs to.
    flight_began: Instant,
    delivered: u64,
    delivered_at: Instant,
    app_limited: bool,
}

/// What the newest of the segments delivered by an ACK says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delivery {
    /// Segments delivered when it was sent, and since.
    pub(super) prior_delivered: u64,
    pub(super) delivered: u64,
    /// How long that took; `None` without a valid sample.
    pub(super) interval: Option<Duration>,
    pub(super) app_limited: bool,
}

/// A rate for `TCP_INFO`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    /// Segments delivered.
    pub(crate) delivered: u64,
    pub(crate) interval: Duration,
    pub(crate) app_limited: bool,
}

/// Takes the samples of one flow.
#[derive(Debug, Default)]
pub(crate) struct RateSampler {
    /// Transmissions in their order, from number `first` on; those delivered or sent anew are gone.
    departures: VecDeque<Option<Departure>>,
    first: u32,
    flight_began: Instant,
    pub(super) delivered_at: Instant,
    /// The application had nothing more to send until so much is delivered.
    app_limited_until: Option<u64>,
    /// The last rate that the path showed, or a higher one that the application's data allowed.
    shown: Option<Shown>,
    /// The newest segment delivered by this ACK.
    newest: Option<(u32, Departure)>,
}

impl RateSampler {
    /// Transmission number `order` leaves; `idle` is whether nothing was outstanding, `delivered` the count so far.
    pub(super) fn sent(&mut self, now: Instant, order: u32, idle: bool, delivered: u64) {
        if idle {
            self.flight_began = now;
            self.delivered_at = now;
        }
        if self.departures.is_empty() {
            self.first = order;
        }
        // Numbers in between were given to segments of the handshake.
        while order.wrapping_sub(self.first) as usize > self.departures.len() {
            self.departures.push_back(None);
        }
        self.departures.push_back(Some(Departure {
            sent_at: now,
            flight_began: self.flight_began,
            delivered,
            delivered_at: self.delivered_at,
            app_limited: self.app_limited_until.is_some(),
        }));
    }

    fn take(&mut self, order: u32) -> Option<Departure> {
        let departure = self.departures.get_mut(order.wrapping_sub(self.first) as usize)?.take();
        while let Some(None) = self.departures.front() {
            self.departures.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        departure
    }

    /// The segment of this transmission is sent anew.
    pub(super) fn superseded(&mut self, order: u32) {
        self.take(order);
    }

    /// The segment of this transmission was cumulatively or selectively acknowledged.
    pub(super) fn acknowledged(&mut self, order: u32) {
        let Some(departure) = self.take(order) else { return };
        if self.newest.is_none_or(|(newest, _)| order.wrapping_sub(newest).cast_signed() > 0) {
            self.newest = Some((order, departure));
        }
    }

    /// The application has nothing more to send, or the algorithm holds the flow back: what is sent until
    /// `delivered` segments have arrived shows no more than that.
    pub(super) const fn limited(&mut self, delivered: u64) {
        self.app_limited_until = Some(delivered);
    }

    /// The end of an ACK that delivered `count` segments, `delivered` in all.
    pub(super) fn sample(&mut self, now: Instant, count: u32, delivered: u64, min_rtt: Duration) -> Delivery {
        if self.app_limited_until.is_some_and(|until| delivered > until) {
            self.app_limited_until = None;
        }
        if count > 0 {
            self.delivered_at = now;
        }
        let Some((_, newest)) = self.newest.take() else { return Delivery::default() };
        self.flight_began = newest.sent_at;
        let sending = newest.sent_at.saturating_since(newest.flight_began);
        let acknowledging = now.saturating_since(newest.delivered_at);
        let interval = sending.max(acknowledging);
        // Faster than light: ACKs of retransmissions or of data that was there before.
        let interval = (interval >= min_rtt && !interval.is_zero()).then_some(interval);
        let (count, app_limited) = (delivered - newest.delivered, newest.app_limited);
        if let Some(interval) = interval {
            self.show(Shown { delivered: count, interval, app_limited });
        }
        Delivery { prior_delivered: newest.delivered, delivered: count, interval, app_limited }
    }

    /// A rate that the application limited counts only if it is no lower (`tcp_rate_gen`).
    fn show(&mut self, shown: Shown) {
        let lower = self.shown.is_some_and(|old| {
            let product =
                |one: Shown, other: Shown| u128::from(one.delivered) * u128::from(other.interval.as_nanos());
            product(shown, old) < product(old, shown)
        });
        if !(shown.app_limited && lower) {
            self.shown = Some(shown);
        }
    }

    /// The rate for `TCP_INFO`.
    pub(crate) const fn shown(&self) -> Option<Shown> {
        self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    const RTT: Duration = Duration::from_millis(10);

    #[test]
    fn a_window_per_round_trip_shows_its_rate() {
        let mut sampler = RateSampler::default();
        for order in 1..=10 {
            sampler.sent(at(0), order, order == 1, 0);
        }
        // One ACK each millisecond from 10 ms on, each of which lets a segment go.
        let mut last = Delivery::default();
        for number in 1..=40_u32 {
            let now = at(9 + u64::from(number));
            sampler.acknowledged(number);
            last = sampler.sample(now, 1, u64::from(number), RTT);
            sampler.sent(now, 10 + number, false, u64::from(number));
        }
        assert_eq!((last.delivered, last.interval), (10, Some(RTT)));
        assert_eq!(sampler.departures.len(), 10, "what was delivered is forgotten");
    }

    #[test]
    fn acknowledgments_bunched_up_do_not_raise_the_rate() {
        let mut sampler = RateSampler::default();
        for order in 1..=10 {
            sampler.sent(at(u64::from(order)), order, order == 1, 0);
        }
        (1..=10).for_each(|order| sampler.acknowledged(order));
        let sample = sampler.sample(at(20), 10, 10, RTT);
        assert_eq!((sample.delivered, sample.interval), (10, Some(Duration::from_millis(19))));
    }

    #[test]
    fn a_retransmission_counts_as_what_was_sent_last() {
        let mut sampler = RateSampler::default();
        sampler.sent(at(0), 1, true, 0);
        sampler.sent(at(0), 2, false, 0);
        sampler.acknowledged(2);
        assert_eq!(sampler.sample(at(10), 1, 1, RTT).delivered, 1);
        sampler.superseded(1);
        sampler.sent(at(10), 3, false, 1);
        sampler.acknowledged(1);
        assert_eq!(sampler.sample(at(15), 0, 1, RTT).interval, None, "the original is gone");
        sampler.acknowledged(3);
        let sample = sampler.sample(at(20), 1, 2, RTT);
        assert_eq!((sample.prior_delivered, sample.delivered, sample.interval), (1, 1, Some(RTT)));
        assert!(sampler.departures.is_empty());
    }

    #[test]
    fn samples_are_marked_until_what_was_in_flight_has_arrived() {
        let mut sampler = RateSampler::default();
        sampler.limited(2);
        let mut marks = Vec::new();
        for order in 1..=4 {
            let now = at(20 * u64::from(order));
            sampler.sent(now, order, true, u64::from(order) - 1);
            sampler.acknowledged(order);
            marks.push(sampler.sample(now + RTT, 1, u64::from(order), RTT).app_limited);
        }
        assert_eq!(marks, [true, true, true, false]);
    }

    #[test]
    fn what_is_faster_than_the_round_trip_is_no_sample() {
        let mut sampler = RateSampler::default();
        sampler.sent(at(0), 1, true, 0);
        sampler.acknowledged(1);
        assert_eq!(sampler.sample(at(5), 1, 1, RTT).interval, None);
    }
}
