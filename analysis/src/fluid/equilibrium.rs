//! What the solver returns: a fixed point, or why there is none.

use super::network::{LinkId, PathId, UserId};

/// Why there is no solution.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FluidError {
    /// A number is out of its range or not finite.
    #[error("{what} is {value}; it must be {range}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// An identifier of another network, or a path without links or a user without paths.
    #[error("{what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// Nothing limits a subflow: no link of its path has a law of congestion or loss its algorithm reacts to.
    #[error("nothing limits subflow {subflow} of user {user}")]
    Unlimited {
        /// Index of the user.
        user: usize,
        /// Index of the subflow.
        subflow: usize,
    },
    /// Users of loss and users of delay in one network.
    #[error("loss-based and delay-based users cannot share a fluid network")]
    MixedSignals,
    /// The windows at their floor alone exceed the capacity of a link.
    #[error("the smallest windows alone load link {link} with {load} of {capacity} packets/s")]
    FloorExceedsCapacity {
        /// Index of the link.
        link: usize,
        /// Packets per second at the floor.
        load: f64,
        /// Packets per second that fit.
        capacity: f64,
    },
    /// The search ended without a solution.
    #[error(
        "no fixed point found: error {residual:e} with {regular:e} of the regular law, after {steps} steps"
    )]
    NotConverged {
        /// Largest error of any equation at the last attempt.
        residual: f64,
        /// How much of EWTCP's law was left in at the last attempt.
        regular: f64,
        /// Newton steps taken.
        steps: u32,
    },
}

/// One subflow at rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SubflowState {
    /// Its path.
    pub path: PathId,
    /// Packets in flight.
    pub window: f64,
    /// Packets per second.
    pub rate: f64,
    /// Part of the user's rate, 0 to 1.
    pub share: f64,
    /// Round-trip time in seconds with standing delays and, for delay-based users, queues.
    pub rtt: f64,
    /// Probability that a packet is lost.
    pub loss: f64,
    /// Seconds in queues (delay-based users; otherwise 0).
    pub queueing: f64,
}

/// One user at rest; of several equal ones, each.
#[derive(Clone, Debug, PartialEq)]
pub struct UserState {
    /// Packets per second over all subflows.
    pub rate: f64,
    /// Subflows in the order of the paths.
    pub subflows: Vec<SubflowState>,
}

/// One link at rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkState {
    /// Packets per second.
    pub load: f64,
    /// Probability of loss, by chance and by congestion.
    pub loss: f64,
    /// Seconds of queueing (delay-based users; otherwise 0).
    pub queueing: f64,
}

/// A fixed point.
#[derive(Clone, Debug, PartialEq)]
pub struct Equilibrium {
    /// Users in the order of their creation.
    pub users: Vec<UserState>,
    /// Links in the order of their creation.
    pub links: Vec<LinkState>,
    /// Largest error of any equation (differences of logarithms).
    pub residual: f64,
    /// Newton steps taken.
    pub steps: u32,
}

impl Equilibrium {
    /// A user of the network solved.
    #[must_use]
    pub fn user(&self, user: UserId) -> Option<&UserState> {
        self.users.get(user.0)
    }

    /// Packets per second of a user of the network solved; 0 for one of another network.
    #[must_use]
    pub fn rate(&self, user: UserId) -> f64 {
        self.user(user).map_or(0.0, |user| user.rate)
    }

    /// A link of the network solved.
    #[must_use]
    pub fn link(&self, link: LinkId) -> Option<&LinkState> {
        self.links.get(link.0)
    }
}
