//! Packet schedulers: which subflow carries the next data of a connection. A scheduler sees its
//! subflows as a slice of [`SchedulerView`] and picks one, with the amount it may hand to it before it is
//! asked again; the connection acts.

mod linux;
mod lowest_rtt;

use core::fmt;

use sim_core::Duration;

pub use self::linux::LinuxDefault;
pub use self::lowest_rtt::LowestRtt;

/// A subflow as a scheduler sees it. The slice is in subflow id order and holds those that may carry
/// data: established, not stale.
#[derive(Clone, Copy, Debug)]
pub struct SchedulerView {
    /// Index to return.
    pub index: usize,
    /// Marked backup by either side.
    pub backup: bool,
    /// Bytes in the subflow's send buffer, sent or not, with their overhead (`sk_wmem_queued`).
    pub queued: u64,
    /// Whether the send buffer has room.
    pub has_memory: bool,
    /// Pacing rate in bytes per second.
    pub pacing_rate: u64,
    /// Smoothed round-trip time; zero before the first sample.
    pub srtt: Duration,
    /// Segments that the congestion window allows beyond what is in flight or queued.
    pub cwnd_room: u32,
    /// Payload of a full segment.
    pub mss: u32,
    /// The subflow is in loss recovery after a timeout.
    pub in_loss: bool,
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Which subflow.
    pub index: usize,
    /// Bytes it may be given before the scheduler is asked again; whole fragments of the send queue
    /// may exceed it.
    pub burst: u32,
    /// Hand down at most `burst`, to the byte.
    pub exact: bool,
}

/// Chooses subflows for data.
pub trait Scheduler: fmt::Debug + Send {
    /// Name in the registry.
    fn name(&self) -> &'static str;

    /// The subflow for the next data, or `None` to wait for an acknowledgment or a window. `window` is
    /// what the connection's send window leaves, in bytes.
    fn pick(&mut self, window: u64, paths: &[SchedulerView]) -> Option<Pick>;
}

/// One entry of the registry.
#[derive(Clone, Copy, Debug)]
pub struct SchedulerInfo {
    /// Name to select it by.
    pub name: &'static str,
    /// What it does.
    pub title: &'static str,
    /// Where it is defined.
    pub reference: &'static str,
    create: fn() -> Box<dyn Scheduler>,
}

static REGISTRY: [SchedulerInfo; 2] = [
    SchedulerInfo {
        name: "default",
        title: "least time to drain the send buffer, in bursts of 64 KiB",
        reference: "Linux 6.18, net/mptcp/protocol.c",
        create: || Box::<LinuxDefault>::default(),
    },
    SchedulerInfo {
        name: "minrtt",
        title: "lowest smoothed round-trip time among subflows with window",
        reference: "out-of-tree MPTCP v0.96, default scheduler",
        create: || Box::<LowestRtt>::default(),
    },
];

/// All schedulers.
#[must_use]
pub fn list() -> &'static [SchedulerInfo] {
    &REGISTRY
}

/// The scheduler of this name, if there is one.
#[must_use]
pub fn create(name: &str) -> Option<Box<dyn Scheduler>> {
    REGISTRY.iter().find(|info| info.name == name).map(|info| (info.create)())
}
