//! Packet schedulers: which subflow carries the next data of a connection. A scheduler sees its
//! subflows as a slice of [`SchedulerView`] and picks one, with the amount it may hand to it before it is
//! asked again; the connection acts.

mod linux;
mod lowest_rtt;
mod redundant;
mod round_robin;

use core::fmt;

use sim_core::Duration;

pub use self::linux::LinuxDefault;
pub use self::lowest_rtt::LowestRtt;
pub use self::redundant::Redundant;
pub use self::round_robin::RoundRobin;

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

    /// Whether what is picked goes to all other subflows too.
    fn copies(&self) -> bool {
        false
    }
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

static REGISTRY: [SchedulerInfo; 4] = [
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
    SchedulerInfo {
        name: "redundant",
        title: "every segment on all subflows",
        reference: "Frommgen et al., ICC 2016",
        create: || Box::<Redundant>::default(),
    },
    SchedulerInfo {
        name: "roundrobin",
        title: "subflows take turns, a segment each, as windows allow",
        reference: "out-of-tree MPTCP v0.96, net/mptcp/mptcp_rr.c",
        create: || Box::<RoundRobin>::default(),
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

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn path(index: usize) -> SchedulerView {
        SchedulerView {
            index,
            backup: false,
            queued: 0,
            has_memory: true,
            pacing_rate: 1,
            srtt: Duration::from_millis(20),
            cwnd_room: 10,
            mss: 1428,
            in_loss: false,
        }
    }

    #[test]
    fn every_scheduler_is_found_by_the_name_it_gives_itself() {
        for info in list() {
            assert_eq!(create(info.name).map(|scheduler| scheduler.name()), Some(info.name));
        }
        assert!(list().is_sorted_by_key(|info| info.name));
        assert!(create("minrt").is_none());
    }
}
