//! One direction of a link: admission, what is inside, and counters.

use super::config::{DirectionConfig, LinkChange, QueueLimit};
use super::impairment::Impairments;
use super::in_order::{Entered, InOrder};
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
    frames: InOrder,
    serializer: Serializer,
    delay: Duration,
    overhead: u32,
    /// Whether the direction is up, loses and copies nothing and keeps the order of its frames.
    plain: bool,
    /// Where it ends.
    pub(crate) to: (NodeId, PortId),
    /// Up to this, what waits is nothing new: it has been as much before, and no limit or mark is near.
    calm: Backlog,
    /// The packet that arrives next, as far as it was looked at.
    pub(crate) upcoming: Upcoming,
    /// In place of `frames`, if delay is random or frames are copied.
    staged: Option<Box<Staged>>,
    pub(crate) stats: LinkStats,

    // What only some packets touch.
    up: bool,
    /// Whether an accepted frame may be lost or doubled.
    impaired: bool,
    /// Whether the frame in transmission counts as waiting.
    counts_in_service: bool,
    pub(crate) direction: Direction,
    /// So many frames waiting refuse the next one.
    full_at: u32,
    /// Most octets that may wait; the largest number is no limit.
    max_bytes: u64,
    /// Packets that wait when the next one is marked; the largest number marks none.
    mark_at: u32,
    /// Last places of the queue in which chance decides.
    random_places: u32,
    /// Where it begins.
    pub(crate) from: (NodeId, PortId),
    pub(crate) link: LinkId,
    impairments: Box<Impairments>,
}

/// A packet that was looked at before its arrival, so that it is in the cache when it comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upcoming {
    /// [`NO_SLOT`] if there is none.
    pub(crate) slot: u32,
    pub(crate) digest: u64,
}

impl Upcoming {
    pub(crate) const NONE: Self = Self { slot: NO_SLOT, digest: 0 };
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
        let staged = match config.jitter {
            Some(jitter) => Some(Staged::new(jitter.reorders)),
            None => (config.duplication > 0.0).then(|| Staged::new(false)),
        };
        let impairments = Box::new(Impairments::new(config, streams, name, direction));
        let mut new = Self {
            frames: InOrder::default(),
            serializer: Serializer::new(config.rate),
            delay: config.delay,
            overhead: u32::try_from(config.overhead.0).unwrap_or(u32::MAX),
            plain: false,
            to,
            calm: Backlog::default(),
            upcoming: Upcoming::NONE,
            staged: staged.map(Box::new),
            stats: LinkStats::default(),
            up: true,
            impaired: impairments.active(),
            counts_in_service: false,
            direction,
            full_at: u32::MAX,
            max_bytes: u64::MAX,
            mark_at: config.mark_at.unwrap_or(u32::MAX),
            random_places: config.random_drop.map_or(0, |drop| drop.places),
            from,
            link,
            impairments,
        };
        new.set_limit(config.queue);
        new.assess();
        new
    }

    fn set_limit(&mut self, limit: QueueLimit) {
        self.counts_in_service = limit.counts_in_service;
        self.full_at = limit
            .packets
            .map_or(u32::MAX, |packets| packets.saturating_sub(u32::from(limit.counts_in_service)));
        self.max_bytes = limit.bytes.map_or(u64::MAX, |bytes| bytes.0);
    }

    /// Works out again when [`enter_calmly`](Self::enter_calmly) will do.
    fn assess(&mut self) {
        self.plain = self.up && !self.impaired && self.staged.is_none();
        let most = self.stats.max_backlog;
        let certain = self.full_at.saturating_sub(self.random_places);
        let bytes = match self.max_bytes {
            u64::MAX => most.bytes.0,
            // How much is in transmission takes a look.
            _ if self.counts_in_service => 0,
            limit => most.bytes.0.min(limit),
        };
        self.calm = Backlog { packets: most.packets.min(certain).min(self.mark_at), bytes: Bytes(bytes) };
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.up
    }

    /// Octets of the frame around `packet`.
    #[inline(always)]
    pub(crate) fn frame_len<P: Packet>(&self, packet: &P) -> u32 {
        packet.wire_len().saturating_add(self.overhead)
    }

    /// [Admits](Self::admit) and [enters](Self::enter) a frame that can only be transmitted or wait and makes no
    /// record; nearly all are such, and nobody has to look which frames still wait. Others do not enter.
    #[inline(always)]
    pub(crate) fn enter_calmly(&mut self, now: Instant, len: u32, parcel: u32) -> Entered {
        if !self.plain || !self.serializer.knows(len) || !self.frames.has_room() {
            return Entered::Not;
        }
        let frame = (parcel, len);
        let entered = self.frames.push_within(self.calm, now, &mut self.serializer, self.delay, frame);
        if entered != Entered::Not {
            self.count_offer(len);
        }
        entered
    }

    #[inline(always)]
    fn count_offer(&mut self, len: u32) {
        self.stats.packets_in += 1;
        self.stats.bytes_in += Bytes(len.into());
    }

    /// Counts a frame that was not taken in or will not arrive.
    pub(crate) const fn count(&mut self, reason: DropReason) {
        self.stats.count_drop(reason);
    }

    /// Whether a packet that comes now is marked if it can be.
    pub(crate) fn marks(&mut self, now: Instant) -> bool {
        if self.mark_at == u32::MAX {
            return false;
        }
        self.catch_up(now);
        self.serializer.busy_until() > now && self.backlog_now().packets >= self.mark_at
    }

    /// Decides about a frame; one that is let in must be [entered](Self::enter).
    pub(crate) fn admit<P: Packet>(
        &mut self,
        now: Instant,
        len: u32,
        packet: &P,
    ) -> Result<Admission, DropReason> {
        let index = self.stats.packets_in;
        self.count_offer(len);
        if !self.up {
            return Err(DropReason::LinkDown);
        }
        self.catch_up(now);
        if self.is_full(now, len) {
            return Err(DropReason::QueueFull);
        }
        if self.random_places > 0 && self.refuses_early(now) {
            return Err(DropReason::Aqm);
        }
        if !self.impaired {
            return Ok(Admission::Arrives);
        }
        if let Some(reason) = self.impairments.loses(index, packet) {
            return Ok(Admission::Lost(reason));
        }
        if self.impairments.duplicates() {
            self.stats.duplicates += 1;
            return Ok(Admission::ArrivesTwice);
        }
        Ok(Admission::Arrives)
    }

    fn is_full(&self, now: Instant, len: u32) -> bool {
        // Nothing waits behind a transmitter that is free.
        if self.serializer.busy_until() <= now {
            return false;
        }
        let backlog = self.backlog_now();
        if backlog.packets >= self.full_at {
            return true;
        }
        let in_service = match &self.staged {
            _ if !self.counts_in_service => 0,
            None => self.frames.last_begun_len(),
            Some(frames) => frames.last_begun_len(),
        };
        backlog.bytes.0 + u64::from(len) + u64::from(in_service) > self.max_bytes
    }

    /// Whether the next frame takes one of the places in which chance decides, and is refused.
    fn refuses_early(&mut self, now: Instant) -> bool {
        let in_service = u64::from(self.counts_in_service);
        let waiting = u64::from(self.backlog_now().packets) + in_service;
        let certain = (u64::from(self.full_at) + in_service).saturating_sub(self.random_places.into());
        if self.serializer.busy_until() <= now || waiting < certain {
            return false;
        }
        self.impairments.refuses((waiting - certain + 1) as f64 / f64::from(self.random_places))
    }

    /// Takes in a frame; `parcel` is [`NO_SLOT`] if lost, `copy` if there is none. Returns the
    /// direction's new wake-up if it has changed.
    pub(crate) fn enter(&mut self, now: Instant, len: u32, parcel: u32, copy: u32) -> Option<Instant> {
        let changed = match &mut self.staged {
            None => self.frames.push(now, &mut self.serializer, self.delay, (parcel, len)),
            Some(frames) => {
                let frame = Waiting { parcel, copy, len };
                frames.push(now, frame, &mut self.serializer, self.delay, &mut self.impairments);
                frames.rearm(&self.serializer)
            }
        };
        self.stats.note_backlog(self.backlog_now());
        self.assess();
        changed
    }

    /// Acts at its wake-up: the frame that arrives now, [`NO_SLOT`] if none does or it is lost, its length, and the next
    /// wake-up with the parcel that then arrives, [`NO_SLOT`] if that is not certain.
    #[inline(always)]
    pub(crate) fn act(&mut self, now: Instant) -> (u32, u32, Option<(Instant, u32)>) {
        match &mut self.staged {
            None => self.frames.pop(),
            Some(frames) => {
                let (parcel, len, next) =
                    frames.act(now, &mut self.serializer, self.delay, &mut self.impairments);
                (parcel, len, next.map(|at| (at, NO_SLOT)))
            }
        }
    }

    /// Counts a frame that has arrived.
    #[inline(always)]
    pub(crate) fn count_arrival(&mut self, len: u32) {
        self.stats.packets_out += 1;
        self.stats.bytes_out += Bytes(len.into());
    }

    /// What waits at `now`.
    pub(crate) fn backlog(&mut self, now: Instant) -> Backlog {
        self.catch_up(now);
        self.backlog_now()
    }

    /// Packets inside, lost ones not counted.
    pub(crate) fn packets(&self) -> usize {
        self.staged.as_ref().map_or_else(|| self.frames.packets(), |frames| frames.packets())
    }

    /// Applies a change. Returns the direction's new wake-up if it has changed.
    pub(crate) fn change(&mut self, now: Instant, change: &LinkChange) -> Option<Instant> {
        self.catch_up(now);
        let before = self.frames.next();
        // Frames in stages are planned when their transmission begins; none is in `frames` then.
        match change {
            LinkChange::SetRate(rate) => {
                self.serializer.set_rate(*rate);
                self.frames.replan_transmission(&mut self.serializer, self.delay);
            }
            LinkChange::SetDelay(delay) => {
                self.delay = *delay;
                self.frames.replan_arrival(&self.serializer, self.delay);
            }
            LinkChange::SetQueue(limit) => self.set_limit(*limit),
            LinkChange::SetLoss(loss) => {
                self.impairments.set_loss(loss);
                self.impaired = self.impairments.active();
            }
            LinkChange::Up => self.up = true,
            LinkChange::Down => self.up = false,
        }
        self.assess();
        match &mut self.staged {
            None => self.frames.next().filter(|_| self.frames.next() != before),
            Some(frames) => frames.rearm(&self.serializer),
        }
    }

    fn catch_up(&mut self, now: Instant) {
        match &mut self.staged {
            None => self.frames.catch_up(now),
            Some(frames) => {
                frames.catch_up(now, &mut self.serializer, self.delay, &mut self.impairments);
            }
        }
    }

    fn backlog_now(&self) -> Backlog {
        self.staged.as_ref().map_or_else(|| self.frames.backlog(), |frames| frames.backlog())
    }
}
