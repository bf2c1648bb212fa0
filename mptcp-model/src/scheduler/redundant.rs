//! A redundant scheduler (Frommgen et al., ICC 2016; `redundant` of the out-of-tree kernel): every segment is
//! sent on all subflows that have room, and the first copy to arrive counts.
//!
//! The implementation in v0.96 sends the oldest segment again and again; that is not imitated. A subflow
//! whose buffer is full misses segments and does not make up for them.

use super::{LowestRtt, Pick, Request, Scheduler, SchedulerView};

/// Copies on all subflows; the first goes where `minrtt` would put it.
#[derive(Debug, Default)]
pub struct Redundant {
    first: LowestRtt,
}

impl Scheduler for Redundant {
    fn name(&self) -> &'static str {
        "redundant"
    }

    fn pick(&mut self, request: &Request, paths: &[SchedulerView]) -> Option<Pick> {
        self.first.pick(request, paths)
    }

    fn copies(&self) -> bool {
        true
    }
}
