//! The manager that opens and announces nothing and accepts every join: the default of the
//! out-of-tree kernel, and what upstream Linux amounts to without endpoints on the client.

use sim_core::Instant;

use super::{ConnectionView, PathAction, PathEvent, PathManager};

/// Accepts joins and does nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoPathManager;

impl PathManager for NoPathManager {
    fn name(&self) -> &'static str {
        "none"
    }

    fn accepts_join(&self, _: &ConnectionView<'_>) -> bool {
        true
    }

    fn on_event(&mut self, _: Instant, _: &PathEvent, _: &ConnectionView<'_>, _: &mut Vec<PathAction>) {}
}
