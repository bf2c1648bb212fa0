//! The path managers by name.

use super::fullmesh::FullMesh;
use super::kernel::KernelPathManager;
use super::ndiffports::NDiffPorts;
use super::none::NoPathManager;
use super::{Endpoint, Limits, PathManager};

/// What the managers are made from. Each takes what concerns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathManagerConfig {
    /// Endpoints of the host, as in [`EndpointTable::as_slice`](super::EndpointTable::as_slice).
    pub endpoints: Vec<Endpoint>,
    /// Limits of the host.
    pub limits: Limits,
    /// Subflows in total for `ndiffports` (default 2).
    pub num_subflows: u8,
}

impl Default for PathManagerConfig {
    fn default() -> Self {
        Self { endpoints: Vec::new(), limits: Limits::default(), num_subflows: 2 }
    }
}

/// One entry of the list.
#[derive(Clone, Copy, Debug)]
pub struct PathManagerEntry {
    /// Name in scenarios and on the command line.
    pub name: &'static str,
    /// What it does, in half a line.
    pub title: &'static str,
    /// Where it is specified or implemented.
    pub reference: &'static str,
    /// Makes one for a connection.
    pub build: fn(&PathManagerConfig) -> Box<dyn PathManager>,
}

/// All path managers, in alphabetical order.
pub const PATH_MANAGERS: &[PathManagerEntry] = &[
    PathManagerEntry {
        name: "fullmesh",
        title: "every own address with every address of the peer",
        reference: "out-of-tree Linux MPTCP v0.96, net/mptcp/mptcp_fullmesh.c",
        build: |_| Box::new(FullMesh::new()),
    },
    PathManagerEntry {
        name: "kernel",
        title: "endpoints and limits of upstream Linux",
        reference: "Linux 6.18, net/mptcp/pm_kernel.c",
        build: |config| Box::new(KernelPathManager::new(config.endpoints.clone(), config.limits)),
    },
    PathManagerEntry {
        name: "ndiffports",
        title: "several subflows between one pair of addresses",
        reference: "out-of-tree Linux MPTCP v0.96, net/mptcp/mptcp_ndiffports.c",
        build: |config| Box::new(NDiffPorts::new(config.num_subflows)),
    },
    PathManagerEntry {
        name: "none",
        title: "opens and announces nothing, accepts joins",
        reference: "out-of-tree Linux MPTCP v0.96, default path manager",
        build: |_| Box::new(NoPathManager),
    },
];

/// The manager of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static PathManagerEntry> {
    PATH_MANAGERS.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manager_is_found_by_the_name_it_gives_itself() {
        for entry in PATH_MANAGERS {
            assert_eq!((entry.build)(&PathManagerConfig::default()).name(), entry.name);
            assert_eq!(find(entry.name).map(|found| found.title), Some(entry.title));
        }
        assert!(PATH_MANAGERS.is_sorted_by_key(|entry| entry.name));
        assert!(find("fullmesj").is_none());
    }
}
