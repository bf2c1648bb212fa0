//! Links. A link joins two ports; each of its two directions is a pipe of its own:
//!
//! ```text
//! arrival -> up? -> drop-tail queue -> transmitter (rate) -> loss -> propagation (delay, jitter) -> delivery
//! ```
//!
//! The queue limit counts the frames that *wait*, not the one in transmission, and a link with nothing
//! waiting and nothing in transmission refuses no frame; [`QueueLimit::counts_in_service`] chooses the
//! other convention. A link that is down refuses arriving frames and delivers those inside. A lost
//! frame has used its transmission time.
//!
//! Left out: bit errors, contention between stations of a shared medium, and the MTU, which is the
//! business of the nodes that can fragment or answer.

mod config;
mod direction;
mod impairment;
mod in_order;
mod serializer;
mod staged;
mod stats;

pub use config::{
    ConfigError, DirectionConfig, Jitter, JitterShape, LinkChange, LinkConfig, Loss, QueueLimit, RandomDrop,
};
pub(crate) use direction::{Admission, LinkDirection, Upcoming};
pub(crate) use in_order::Entered;
pub use stats::{Backlog, LinkStats};

/// A link, numbered from 0 in order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// A direction of a link, by the order in which its ends were named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the first end to the second.
    AtoB,
    /// From the second end to the first.
    BtoA,
}

impl Direction {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::AtoB, Self::BtoA];

    /// `ab` or `ba`, as in the names of random streams.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AtoB => "ab",
            Self::BtoA => "ba",
        }
    }

    /// The other direction.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::AtoB => Self::BtoA,
            Self::BtoA => Self::AtoB,
        }
    }
}
