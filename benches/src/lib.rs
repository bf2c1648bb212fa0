//! The workloads by which the cost of the simulator is measured, and what it takes to measure them.
//!
//! Each workload is a network of hosts with the full stack, of routers and links; senders have data without
//! end. Nobody watches the packets. Cost is CPU time for each delivered data packet: a full payload that
//! has reached its receiver in the order of its flow. `docs/performance.md` defines the workloads and gives
//! the figures.

mod dumbbell;
mod fat_tree;
mod network;
pub mod process;
mod program;
mod threshold;
mod two_paths;
mod workload;

pub use network::{Network, Outcome};
pub use workload::{Kind, UnknownWorkload, Workload};
