//! The names of algorithms a scenario may use: those of the model's registries.

use std::sync::LazyLock;

use mptcp_model::congestion;
use mptcp_model::path_manager::registry::PATH_MANAGERS;
use mptcp_model::scheduler;

static SCHEDULERS: LazyLock<Vec<&str>> =
    LazyLock::new(|| scheduler::list().iter().map(|info| info.name).collect());
static MANAGERS: LazyLock<Vec<&str>> =
    LazyLock::new(|| PATH_MANAGERS.iter().map(|entry| entry.name).collect());

/// Names of the algorithms there are. The default lists those of the model.
#[derive(Clone, Copy, Debug)]
pub struct KnownNames<'a> {
    /// Congestion controls, as in `net.ipv4.tcp_congestion_control`.
    pub congestion_controls: &'a [&'a str],
    /// Packet schedulers: `default` is that of upstream Linux, `minrtt` the default of the out-of-tree stack.
    pub schedulers: &'a [&'a str],
    /// Path managers.
    pub path_managers: &'a [&'a str],
}

impl Default for KnownNames<'static> {
    fn default() -> Self {
        Self { congestion_controls: congestion::names(), schedulers: &SCHEDULERS, path_managers: &MANAGERS }
    }
}
