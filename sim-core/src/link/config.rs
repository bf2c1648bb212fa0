//! What a link is like, and what may change about it during a run.

use core::fmt;

use crate::time::Duration;
use crate::units::{Bytes, Rate};

/// Both directions of a link.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkConfig {
    /// From the first end to the second.
    pub ab: DirectionConfig,
    /// From the second end to the first.
    pub ba: DirectionConfig,
}

impl LinkConfig {
    /// The same in both directions.
    #[must_use]
    pub fn symmetric(direction: DirectionConfig) -> Self {
        Self { ab: direction.clone(), ba: direction }
    }
}

/// One direction of a link. The default is a perfect wire: infinitely fast, no delay, no loss.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DirectionConfig {
    /// Transmission rate; `None` is infinitely fast.
    pub rate: Option<Rate>,
    /// Octets each frame has in addition to [`Packet::wire_len`](crate::Packet::wire_len), for example
    /// 14 of an Ethernet header. They take transmission time and queue space.
    pub overhead: Bytes,
    /// Propagation delay.
    pub delay: Duration,
    /// How much may wait.
    pub queue: QueueLimit,
    /// Drops before the queue is full.
    pub random_drop: Option<RandomDrop>,
    /// A packet that finds so many waiting and is [capable](crate::Packet::ecn_capable) of it is marked as having met
    /// congestion (RFC 3168), by the queue as it is, not by its average (RFC 8257, section 3.1).
    pub mark_at: Option<u32>,
    /// Ways to lose a frame; it is lost if any of them says so, and each is asked about every frame the
    /// queue accepts.
    pub loss: Vec<Loss>,
    /// Probability that a frame arrives twice. The copy takes no transmission time and arrives just
    /// behind the original, or with a jitter of its own.
    pub duplication: f64,
    /// Random delay in addition to `delay`.
    pub jitter: Option<Jitter>,
}

/// Limits of a drop-tail queue. A frame is refused if what waits would, with it, exceed a limit; the
/// default is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueLimit {
    /// Packets that may wait.
    pub packets: Option<u32>,
    /// Octets that may wait, frame overhead included.
    pub bytes: Option<Bytes>,
    /// Whether the frame in transmission counts as well. An idle link refuses nothing either way.
    pub counts_in_service: bool,
}

impl QueueLimit {
    /// No limit.
    pub const UNLIMITED: Self = Self { packets: None, bytes: None, counts_in_service: false };

    /// At most `packets` packets waiting.
    #[must_use]
    pub const fn packets(packets: u32) -> Self {
        Self { packets: Some(packets), ..Self::UNLIMITED }
    }

    /// At most `bytes` octets waiting.
    #[must_use]
    pub const fn bytes(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes), ..Self::UNLIMITED }
    }
}

/// Frames that would take one of the last places of a queue limited in packets are refused at random, the later the
/// place the likelier: random early detection (Floyd and Jacobson, 1993; RFC 2309) of the queue as it is, not of its
/// average. In a queue that only refuses what does not fit, the moments at which flows of equal rhythm send
/// decide which of them loses; chance makes losses proportional to rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomDrop {
    /// The number of last places.
    pub places: u32,
    /// Probability of being refused at the last place; it rises to that linearly.
    pub probability: f64,
}

/// A way to lose frames.
#[derive(Clone, Debug, PartialEq)]
pub enum Loss {
    /// Each frame independently with probability `p`.
    Bernoulli {
        /// Probability.
        p: f64,
    },
    /// The reference link emulator's loss: one SplitMix64 draw `x` for each frame the queue accepts, in
    /// queue order, lost if `(x >> 11) * 2^-53 < p`. Only packets that
    /// [show it](crate::Packet::shows_loss_draw) cost a draw.
    SplitMix {
        /// First state of the generator.
        seed: u64,
        /// Probability.
        p: f64,
    },
    /// Gilbert-Elliott: two states, with a loss probability each. A frame meets the state as its
    /// predecessor left it; the state may change after each frame. The link starts in the good state.
    GilbertElliott {
        /// Probability of good turning bad.
        good_to_bad: f64,
        /// Probability of bad turning good.
        bad_to_good: f64,
        /// Loss probability in the good state.
        loss_good: f64,
        /// Loss probability in the bad state.
        loss_bad: f64,
    },
    /// Each n-th frame that the queue accepts; 0 loses none.
    EveryNth {
        /// The period.
        n: u64,
    },
    /// The frames of these indices: 0 is the first frame offered to the direction, refused ones count.
    List {
        /// The indices, in any order.
        frames: Vec<u64>,
    },
}

/// Random delay on top of the propagation delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter {
    /// How it is distributed.
    pub shape: JitterShape,
    /// Whether a frame may overtake another. If not, a frame arrives no earlier than its predecessor.
    pub reorders: bool,
}

/// A distribution of delays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum JitterShape {
    /// Each value from `low` to `high` with equal probability.
    Uniform {
        /// The least.
        low: Duration,
        /// The greatest.
        high: Duration,
    },
    /// Normal; negative values count as zero.
    Normal {
        /// Mean before truncation.
        mean: Duration,
        /// Standard deviation before truncation.
        sd: Duration,
    },
    /// Exponential.
    Exponential {
        /// Mean.
        mean: Duration,
    },
}

/// A change of one direction of a link while the simulation runs.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkChange {
    /// Another rate. The frame in transmission ends as it began; those waiting go at the new rate.
    SetRate(Option<Rate>),
    /// Another propagation delay for frames whose transmission has not begun. They arrive no earlier
    /// than the frames before them, unless the direction's jitter reorders.
    SetDelay(Duration),
    /// Other queue limits. What waits already is not dropped.
    SetQueue(QueueLimit),
    /// Other ways to lose frames that arrive from now on.
    SetLoss(Vec<Loss>),
    /// The direction carries frames again.
    Up,
    /// The direction refuses arriving frames; those inside are still delivered.
    Down,
}

/// Why a configuration makes no sense.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A probability outside `[0, 1]`.
    Probability {
        /// Which one.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// A uniform jitter whose least value exceeds the greatest.
    JitterRange {
        /// The least.
        low: Duration,
        /// The greatest.
        high: Duration,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probability { what, value } => {
                write!(f, "the probability of {what} is {value}; it must be from 0 to 1")
            }
            Self::JitterRange { low, high } => {
                write!(f, "the least jitter, {low}, exceeds the greatest, {high}")
            }
        }
    }
}

impl core::error::Error for ConfigError {}

impl DirectionConfig {
    /// Checks the values that types do not.
    ///
    /// # Errors
    ///
    /// A probability outside `[0, 1]` (NaN included), or an empty range of jitter.
    pub fn validate(&self) -> Result<(), ConfigError> {
        probability("duplication", self.duplication)?;
        probability("random drops", self.random_drop.map_or(0.0, |drop| drop.probability))?;
        if let Some(Jitter { shape: JitterShape::Uniform { low, high }, .. }) = self.jitter
            && low > high
        {
            return Err(ConfigError::JitterRange { low, high });
        }
        self.loss.iter().try_for_each(Loss::validate)
    }
}

impl LinkChange {
    /// Checks the values that types do not.
    ///
    /// # Errors
    ///
    /// A loss probability outside `[0, 1]` (NaN included).
    pub fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::SetLoss(loss) => loss.iter().try_for_each(Loss::validate),
            Self::SetRate(_) | Self::SetDelay(_) | Self::SetQueue(_) | Self::Up | Self::Down => Ok(()),
        }
    }
}

impl Loss {
    fn validate(&self) -> Result<(), ConfigError> {
        match *self {
            Self::Bernoulli { p } | Self::SplitMix { p, .. } => probability("loss", p),
            Self::GilbertElliott { good_to_bad, bad_to_good, loss_good, loss_bad } => {
                probability("good turning bad", good_to_bad)?;
                probability("bad turning good", bad_to_good)?;
                probability("loss in the good state", loss_good)?;
                probability("loss in the bad state", loss_bad)
            }
            Self::EveryNth { .. } | Self::List { .. } => Ok(()),
        }
    }
}

fn probability(what: &'static str, value: f64) -> Result<(), ConfigError> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(ConfigError::Probability { what, value }) }
}
