//! What is given: links, paths and the users on them.

use super::Algorithm;

/// A link of a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub(super) usize);

/// A path of a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathId(pub(super) usize);

/// A user of a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserId(pub(super) usize);

/// How the signal of a link depends on its load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// No congestion: any load passes.
    Free,
    /// The load does not exceed the capacity; the signal is whatever holds it there and zero on a link
    /// that is not full (the complementary slackness of the optimisation view, Kelly 1997).
    Capacity {
        /// Packets per second, above 0.
        capacity: f64,
    },
    /// The signal is `(load / capacity)^exponent`, the smooth loss function of fluid models.
    Power {
        /// Packets per second, above 0; at this load every packet is lost (or waits for one second).
        capacity: f64,
        /// Above 0; large ones approach [`Law::Capacity`].
        exponent: f64,
    },
}

/// A link: a law of congestion, loss by chance and a standing delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    pub(super) law: Law,
    pub(super) loss: f64,
    pub(super) delay: f64,
}

impl Link {
    /// A link with this law.
    #[must_use]
    pub const fn new(law: Law) -> Self {
        Self { law, loss: 0.0, delay: 0.0 }
    }

    /// A link that carries at most `capacity` packets per second.
    #[must_use]
    pub const fn with_capacity(capacity: f64) -> Self {
        Self::new(Law::Capacity { capacity })
    }

    /// A link without limit that loses packets with probability `loss`.
    #[must_use]
    pub const fn lossy(loss: f64) -> Self {
        Self::new(Law::Free).with_loss(loss)
    }

    /// The same link with loss by chance, a probability in `[0, 1)`, added to that of congestion.
    /// Algorithms that listen to delay do not react to it.
    #[must_use]
    pub const fn with_loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// The same link with a standing queue: `delay` seconds are added to the round-trip time of
    /// every path over it.
    #[must_use]
    pub const fn with_standing_delay(self, delay: f64) -> Self {
        Self { delay, ..self }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    pub(super) links: Vec<LinkId>,
    pub(super) rtt: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct User {
    pub(super) algorithm: Algorithm,
    pub(super) paths: Vec<PathId>,
    pub(super) count: f64,
}

/// Links, paths and users. Nothing is checked before [`solve`](super::solve).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    pub(super) links: Vec<Link>,
    pub(super) paths: Vec<Path>,
    pub(super) users: Vec<User>,
}

impl Network {
    /// An empty network.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a link.
    pub fn link(&mut self, link: Link) -> LinkId {
        self.links.push(link);
        LinkId(self.links.len() - 1)
    }

    /// Adds a path over these links with a round-trip time of `rtt` seconds without queues. Any number
    /// of users may take it; each has a window of its own there.
    pub fn path(&mut self, links: impl Into<Vec<LinkId>>, rtt: f64) -> PathId {
        self.paths.push(Path { links: links.into(), rtt });
        PathId(self.paths.len() - 1)
    }

    /// Adds a user with one subflow on each of these paths (a path may be named more than once).
    pub fn user(&mut self, algorithm: Algorithm, paths: impl Into<Vec<PathId>>) -> UserId {
        self.users(1, algorithm, paths)
    }

    /// Adds `count` equal users, at least 1, which the result shows as one.
    pub fn users(&mut self, count: u32, algorithm: Algorithm, paths: impl Into<Vec<PathId>>) -> UserId {
        self.users.push(User { algorithm, paths: paths.into(), count: f64::from(count) });
        UserId(self.users.len() - 1)
    }
}
