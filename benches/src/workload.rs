//! The workloads by name, with their usual size.

use core::fmt;
use std::str::FromStr;

use mptcp_model::wire::Packet;
use sim_core::{Agenda, Duration, Observer};

use crate::network::Network;
use crate::{dumbbell, fat_tree, two_paths};

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One TCP flow through a dumbbell with a core of 1 Gbit/s and a round trip of 10 ms.
    W1,
    /// Many TCP flows through the same dumbbell.
    W2,
    /// One MPTCP connection over two links between two hosts.
    W3,
    /// A fat tree of 16 hosts at 1 Gbit/s, MPTCP connections of 8 subflows.
    W4a,
    /// A fat tree of 128 hosts at 100 Mbit/s, MPTCP connections of 8 subflows.
    W4b,
    /// Many TCP flows through a dumbbell with a round trip of 100 ms.
    W5,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::W1, Self::W2, Self::W3, Self::W4a, Self::W4b, Self::W5];

    /// Name, as `W4a`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::W1 => "W1",
            Self::W2 => "W2",
            Self::W3 => "W3",
            Self::W4a => "W4a",
            Self::W4b => "W4b",
            Self::W5 => "W5",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No workload has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWorkload(String);

impl fmt::Display for UnknownWorkload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no workload `{}`; workloads:", self.0)?;
        Kind::ALL.iter().try_for_each(|kind| write!(f, " {kind}"))
    }
}

impl core::error::Error for UnknownWorkload {}

impl FromStr for Kind {
    type Err = UnknownWorkload;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name));
        known.ok_or_else(|| UnknownWorkload(name.to_owned()))
    }
}

/// A workload of some size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What is simulated.
    pub kind: Kind,
    /// For how long.
    pub span: Duration,
    /// TCP flows of W2 and W5; the others have as many as they have.
    pub flows: u32,
}

impl Workload {
    /// The usual size.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        let (seconds, flows) = match kind {
            Kind::W1 => (10, 1),
            Kind::W2 | Kind::W5 => (10, 100),
            Kind::W3 => (30, 1),
            Kind::W4a => (1, 16),
            Kind::W4b => (1, 128),
        };
        Self { kind, span: Duration::from_secs(seconds), flows }
    }

    /// The network, before anything has happened in it, with nobody who watches.
    #[must_use]
    pub fn build<A: Agenda>(&self) -> Network<A> {
        self.build_with(())
    }

    /// The network, before anything has happened in it, watched by `observer`.
    #[must_use]
    pub fn build_with<A: Agenda, O: Observer<Packet>>(&self, observer: O) -> Network<A, O> {
        match self.kind {
            Kind::W1 => dumbbell::build(1, &dumbbell::SHORT, observer),
            Kind::W2 => dumbbell::build(self.flows, &dumbbell::SHORT, observer),
            Kind::W3 => two_paths::build(observer),
            Kind::W4a => fat_tree::build(4, 1_000_000_000, observer),
            Kind::W4b => fat_tree::build(8, 100_000_000, observer),
            Kind::W5 => dumbbell::build(self.flows, &dumbbell::LONG, observer),
        }
    }
}
