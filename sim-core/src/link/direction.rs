//! One direction of a link: admission, what is inside, and counters.

use super::config::{DirectionConfig, LinkChange, QueueLimit};
use super::impairment::Impairments;
use super::in_order::InOrder;
use super::serializer::Serializer;
use super::staged::{Staged, Waiting};
use super::stats::{Backlog, LinkStats};
use super::{Direction, LinkId};
use crate::node::{NodeId, PortId};
use crate::observer::DropReason;
use crate::packet::Packet;
use crate::pool::NO_SLOT;
use crate::random::Streams;
use crate::time::{Duration, Instant};
use crate::units::Bytes;

/// A direction of a link.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct LinkDirection {
    // What every packet touches comes first.
    inside: Inside,
    serializer: Serializer,
    delay: Duration,
    /// Where it ends.
    pub(crate) to: (NodeId, PortId),
    up: bool,
    /// Whether an accepted frame may be lost or doubled.
    impaired: bool,
    pub(crate) direction: Direction,
    /// Packets that wait when the next one is marked; the largest number marks none.
    mark_at: u32,
    /// Last places of the queue in which chance decides.
    random_places: u32,
    overhead: u32,
    pub(crate) stats: LinkStats,

    // What only some packets touch.
    limit: Limit,
    /// Where it begins.
    pub(crate) from: (NodeId, PortId),
    pub(crate) link: LinkId,
    impairments: Box<Impairments>,
}

/// What is inside. The rare kind is boxed, which keeps the common one within fewer cache lines.
#[derive(Clone, Debug)]
enum Inside {
    InOrder(InOrder),
    Staged(Box<Staged>),
}

/// [`QueueLimit`] without options: the largest number stands for no limit.
#[derive(Clone, Copy, Debug)]
struct Limit {
    packets: u64,
    bytes: u64,
    counts_in_service: bool,
}

impl From<QueueLimit> for Limit {
    fn from(limit: QueueLimit) -> Self {
        Self {
            packets: limit.packets.map_or(u64::MAX, u64::from),
            bytes: limit.bytes.map_or(u64::MAX, |bytes| bytes.0),
            counts_in_service: limit.counts_in_service,
        }
    }
}

/// The fate of a frame that the direction has let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It will arrive.
    Arrives,
    /// It will arrive twice.
    ArrivesTwice,
    /// It takes transmission time and is lost.
    Lost(DropReason),
}

impl LinkDirection {
    pub(crate) fn new(
        config: &DirectionConfig,
        streams: &Streams,
        name: &str,
        link: LinkId,
        direction: Direction,
        from: (NodeId, PortId),
        to: (NodeId, PortId),
    ) -> Self {
        let inside = match config.jitter {
            Some(jitter) => Inside::Staged(Box::new(Staged::new(jitter.reorders))),
            None if config.duplication > 0.0 => Inside::Staged(Box::new(Staged::new(false))),
            None => Inside::InOrder(InOrder::default()),
        };
        let impairments = Box::new(Impairments::new(config, streams, name, direction));
        Self {
            serializer: Serializer::new(config.rate),
            delay: config.delay,
            inside,
            limit: config.queue.into(),
            random_places: config.random_drop.map_or(0, |drop| drop.places),
            mark_at: config.mark_at.unwrap_or(u32::MAX),
            up: true,
            overhead: u32::try_from(config.overhead.0).unwrap_or(u32::MAX),
            to,
            from,
            link,
            direction,
            stats: LinkStats::default(),
            impaired: impairments.active(),
            impairments,
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.up
    }

    /// Octets of the frame around `packet`.
    #[inline(always)]
    pub(crate) fn frame_len<P: Packet>(&self, packet: &P) -> u32 {
        packet.wire_len().saturating_add(self.overhead)
    }

    /// Whether a packet that comes now is marked if it can be.
    #[inline(always)]
    pub(crate) fn marks(&mut self, now: Instant) -> bool {
        self.mark_at != u32::MAX && self.is_congested(now)
    }

    #[cold]
    fn is_congested(&mut self, now: Instant) -> bool {
        self.catch_up(now);
        self.serializer.busy_until() > now && self.backlog_now().packets >= self.mark_at
    }

    /// Decides about a frame; one that is let in must be [entered](Self::enter).
    #[inline(always)]
    pub(crate) fn admit<'p, P: Packet + 'p>(
        &mut self,
        now: Instant,
        len: u32,
        packet: impl FnOnce() -> &'p P,
    ) -> Result<Admission, DropReason> {
        let index = self.stats.packets_in;
        self.stats.packets_in += 1;
        self.stats.bytes_in += Bytes(len.into());
        if !self.up {
            return Err(self.count(DropReason::LinkDown));
        }
        self.catch_up(now);
        if self.is_full(now, len) {
            return Err(self.count(DropReason::QueueFull));
        }
        if self.random_places > 0 && self.refuses_early(now) {
            return Err(self.count(DropReason::Aqm));
        }
        if self.impaired {
            return Ok(self.decide_fate(index, packet()));
        }
        Ok(Admission::Arrives)
    }

    #[inline]
    fn is_full(&self, now: Instant, len: u32) -> bool {
        // Nothing waits behind a transmitter that is free.
        if self.serializer.busy_until() <= now {
            return false;
        }
        let backlog = self.backlog_now();
        let (mut packets, mut bytes) = (u64::from(backlog.packets) + 1, backlog.bytes.0 + u64::from(len));
        if self.limit.counts_in_service {
            packets += 1;
            bytes += u64::from(match &self.inside {
                Inside::InOrder(frames) => frames.last_begun_len(),
                Inside::Staged(frames) => frames.last_begun_len(),
            });
        }
        packets > self.limit.packets || bytes > self.limit.bytes
    }

    /// Whether the next frame takes one of the places in which chance decides, and is refused.
    fn refuses_early(&mut self, now: Instant) -> bool {
        let waiting = u64::from(self.backlog_now().packets) + u64::from(self.limit.counts_in_service);
        let certain = self.limit.packets.saturating_sub(u64::from(self.random_places));
        if self.serializer.busy_until() <= now || waiting < certain {
            return false;
        }
        self.impairments.refuses((waiting - certain + 1) as f64 / f64::from(self.random_places))
    }

    fn decide_fate<P: Packet>(&mut self, index: u64, packet: &P) -> Admission {
        if let Some(reason) = self.impairments.loses(index, packet) {
            return Admission::Lost(self.count(reason));
        }
        if self.impairments.duplicates() {
            self.stats.duplicates += 1;
            return Admission::ArrivesTwice;
        }
        Admission::Arrives
    }

    const fn count(&mut self, reason: DropReason) -> DropReason {
        self.stats.count_drop(reason);
        reason
    }

    /// Takes in a frame; `parcel` is [`NO_SLOT`] if lost, `copy` if there is none. Returns the
    /// direction's new wake-up if it has changed.
    #[inline(always)]
    pub(crate) fn enter(&mut self, now: Instant, len: u32, parcel: u32, copy: u32) -> Option<Instant> {
        let changed = match &mut self.inside {
            Inside::InOrder(frames) => frames.push(now, &mut self.serializer, self.delay, parcel, len),
            Inside::Staged(frames) => {
                let frame = Waiting { parcel, copy, len };
                frames.push(now, frame, &mut self.serializer, self.delay, &mut self.impairments);
                frames.rearm(&self.serializer)
            }
        };
        self.stats.note_backlog(self.backlog_now());
        changed
    }

    /// Acts at its wake-up: hands out the frame that arrives now, if one does and is not lost, and tells
    /// the next wake-up.
    #[inline(always)]
    pub(crate) fn act(&mut self, now: Instant) -> (Option<u32>, Option<Instant>) {
        let (arrived, next) = match &mut self.inside {
            Inside::InOrder(frames) => (frames.pop(), frames.next()),
            Inside::Staged(frames) => {
                frames.catch_up(now, &mut self.serializer, self.delay, &mut self.impairments);
                let arrived = frames.pop(now);
                frames.rearm(&self.serializer);
                (arrived, frames.next(&self.serializer))
            }
        };
        let arrived = arrived.filter(|&(parcel, _)| parcel != NO_SLOT);
        if let Some((_, len)) = arrived {
            self.stats.packets_out += 1;
            self.stats.bytes_out += Bytes(len.into());
        }
        (arrived.map(|(parcel, _)| parcel), next)
    }

    /// What waits at `now`.
    pub(crate) fn backlog(&mut self, now: Instant) -> Backlog {
        self.catch_up(now);
        self.backlog_now()
    }

    /// Packets inside, lost ones not counted.
    pub(crate) fn packets(&self) -> usize {
        match &self.inside {
            Inside::InOrder(frames) => frames.packets(),
            Inside::Staged(frames) => frames.packets(),
        }
    }

    /// Applies a change. Returns the direction's new wake-up if it has changed.
    pub(crate) fn change(&mut self, now: Instant, change: &LinkChange) -> Option<Instant> {
        self.catch_up(now);
        let before = match &self.inside {
            Inside::InOrder(frames) => frames.next(),
            Inside::Staged(_) => None,
        };
        match change {
            LinkChange::SetRate(rate) => {
                self.serializer.set_rate(*rate);
                // Frames of the other kind are planned when their transmission begins.
                if let Inside::InOrder(frames) = &mut self.inside {
                    frames.replan_transmission(&mut self.serializer, self.delay);
                }
            }
            LinkChange::SetDelay(delay) => {
                self.delay = *delay;
                if let Inside::InOrder(frames) = &mut self.inside {
                    frames.replan_arrival(&self.serializer, self.delay);
                }
            }
            LinkChange::SetQueue(limit) => self.limit = (*limit).into(),
            LinkChange::SetLoss(loss) => {
                self.impairments.set_loss(loss);
                self.impaired = self.impairments.active();
            }
            LinkChange::Up => self.up = true,
            LinkChange::Down => self.up = false,
        }
        match &mut self.inside {
            Inside::InOrder(frames) => frames.next().filter(|_| frames.next() != before),
            Inside::Staged(frames) => frames.rearm(&self.serializer),
        }
    }

    #[inline]
    fn catch_up(&mut self, now: Instant) {
        match &mut self.inside {
            Inside::InOrder(frames) => frames.catch_up(now),
            Inside::Staged(frames) => {
                frames.catch_up(now, &mut self.serializer, self.delay, &mut self.impairments);
            }
        }
    }

    #[inline]
    fn backlog_now(&self) -> Backlog {
        match &self.inside {
            Inside::InOrder(frames) => frames.backlog(),
            Inside::Staged(frames) => frames.backlog(),
        }
    }
}
