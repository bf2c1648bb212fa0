//! Loss, duplication and jitter of a direction: the dice and their state.

use super::Direction;
use super::config::{DirectionConfig, Jitter, JitterShape, Loss};
use crate::observer::DropReason;
use crate::packet::Packet;
use crate::random::{LazyStream, SplitMix64, Stream, Streams, unit_f64_from};
use crate::time::Duration;

/// What happens to accepted frames. Loss, duplication and jitter draw from streams of their own, so
/// that switching one on leaves the others' luck as it was.
#[derive(Clone, Debug)]
pub(super) struct Impairments {
    losses: Vec<LossState>,
    loss_stream: LazyStream,
    random_drop: f64,
    random_drop_stream: LazyStream,
    duplication: f64,
    duplication_stream: LazyStream,
    jitter: Option<Jitter>,
    jitter_stream: LazyStream,
}

/// A way to lose frames, with its state.
#[derive(Clone, Debug)]
enum LossState {
    Bernoulli {
        p: f64,
    },
    SplitMix {
        generator: SplitMix64,
        p: f64,
    },
    GilbertElliott {
        bad: bool,
        turning: [f64; 2],
        loss: [f64; 2],
    },
    EveryNth {
        n: u64,
        accepted: u64,
    },
    /// Sorted; `passed` indices are below the present one.
    List {
        frames: Vec<u64>,
        passed: usize,
    },
}

impl Impairments {
    pub(super) fn new(config: &DirectionConfig, streams: &Streams, link: &str, direction: Direction) -> Self {
        let stream = |what: &str| streams.lazy_stream(&format!("link:{link}:{}:{what}", direction.name()));
        Self {
            losses: config.loss.iter().map(LossState::new).collect(),
            loss_stream: stream("loss"),
            random_drop: config.random_drop.map_or(0.0, |drop| drop.probability),
            random_drop_stream: stream("random-drop"),
            duplication: config.duplication,
            duplication_stream: stream("duplication"),
            jitter: config.jitter,
            jitter_stream: stream("jitter"),
        }
    }

    /// Other ways to lose frames; the random stream goes on.
    pub(super) fn set_loss(&mut self, losses: &[Loss]) {
        self.losses = losses.iter().map(LossState::new).collect();
    }

    /// Whether an accepted frame may be lost or doubled.
    pub(super) const fn active(&self) -> bool {
        !self.losses.is_empty() || self.duplication > 0.0
    }

    /// Whether, and why, the accepted frame of this index is lost. All ways are asked.
    pub(super) fn loses<P: Packet>(&mut self, index: u64, packet: &P) -> Option<DropReason> {
        let mut verdict = None;
        for loss in &mut self.losses {
            let lost = loss.loses(index, packet, self.loss_stream.get());
            verdict = verdict.or(lost.then(|| loss.reason()));
        }
        verdict
    }

    /// Whether a frame is refused that would take one of the last places, `part` of the way to the last one.
    pub(super) fn refuses(&mut self, part: f64) -> bool {
        self.random_drop_stream.get().bernoulli((self.random_drop * part).min(1.0))
    }

    /// Whether an accepted frame arrives twice.
    pub(super) fn duplicates(&mut self) -> bool {
        self.duplication > 0.0 && self.duplication_stream.get().bernoulli(self.duplication)
    }

    /// The extra delay of a frame.
    pub(super) fn jitter(&mut self) -> Duration {
        let Some(jitter) = self.jitter else { return Duration::ZERO };
        let stream = self.jitter_stream.get();
        match jitter.shape {
            JitterShape::Uniform { low, high } => stream.span_between(low, high),
            JitterShape::Normal { mean, sd } => {
                Duration::from_secs_f64(stream.normal(mean.as_secs_f64(), sd.as_secs_f64()))
            }
            JitterShape::Exponential { mean } => {
                Duration::from_secs_f64(stream.exponential(mean.as_secs_f64()))
            }
        }
    }
}

impl LossState {
    fn new(config: &Loss) -> Self {
        match *config {
            Loss::Bernoulli { p } => Self::Bernoulli { p },
            Loss::SplitMix { seed, p } => Self::SplitMix { generator: SplitMix64(seed), p },
            Loss::GilbertElliott { good_to_bad, bad_to_good, loss_good, loss_bad } => Self::GilbertElliott {
                bad: false,
                turning: [good_to_bad, bad_to_good],
                loss: [loss_good, loss_bad],
            },
            Loss::EveryNth { n } => Self::EveryNth { n, accepted: 0 },
            Loss::List { ref frames } => {
                let mut frames = frames.clone();
                frames.sort_unstable();
                Self::List { frames, passed: 0 }
            }
        }
    }

    const fn reason(&self) -> DropReason {
        match self {
            Self::Bernoulli { .. } | Self::SplitMix { .. } | Self::GilbertElliott { .. } => {
                DropReason::RandomLoss
            }
            Self::EveryNth { .. } | Self::List { .. } => DropReason::LossList,
        }
    }

    fn loses<P: Packet>(&mut self, index: u64, packet: &P, stream: &mut Stream) -> bool {
        match self {
            Self::Bernoulli { p } => stream.bernoulli(*p),
            Self::SplitMix { generator, p } => {
                packet.shows_loss_draw() && unit_f64_from(generator.next_u64()) < *p
            }
            Self::GilbertElliott { bad, turning, loss } => {
                let state = usize::from(*bad);
                let lost = stream.bernoulli(loss[state]);
                *bad ^= stream.bernoulli(turning[state]);
                lost
            }
            Self::EveryNth { n, accepted } => {
                *accepted += 1;
                accepted.checked_rem(*n) == Some(0)
            }
            Self::List { frames, passed } => {
                while frames.get(*passed).is_some_and(|&frame| frame < index) {
                    *passed += 1;
                }
                frames.get(*passed) == Some(&index)
            }
        }
    }
}
