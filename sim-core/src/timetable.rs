//! Changes of links that are planned for a certain instant.

use std::collections::BTreeMap;

use crate::link::{Direction, LinkChange, LinkId};
use crate::time::Instant;

/// A planned change.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) link: LinkId,
    /// Both directions if none is named.
    pub(crate) direction: Option<Direction>,
    pub(crate) change: LinkChange,
}

/// The planned changes by instant, then by the order of being planned.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timetable {
    changes: BTreeMap<(Instant, u64), Planned>,
}

impl Timetable {
    pub(crate) fn add(&mut self, at: Instant, order: u64, planned: Planned) {
        self.changes.insert((at, order), planned);
    }

    /// Instant and order of the first change.
    pub(crate) fn next(&self) -> Option<(Instant, u64)> {
        self.changes.keys().next().copied()
    }

    pub(crate) fn take_first(&mut self) -> Option<Planned> {
        self.changes.pop_first().map(|(_, planned)| planned)
    }
}
