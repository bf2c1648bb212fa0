//! Packet schedulers: which subflow carries the next data of a connection. A scheduler sees its
//! subflows as a slice of [`SchedulerView`] and picks one, with the amount it may hand to it before it is
//! asked again; the connection acts.

mod blest;
mod ecf;
mod linux;
mod lowest_rtt;
mod redundant;
mod round_robin;

use core::fmt;

use sim_core::{Duration, Instant};

pub use self::blest::Blest;
pub use self::ecf::Ecf;
pub use self::linux::LinuxDefault;
pub use self::lowest_rtt::LowestRtt;
pub use self::redundant::Redundant;
pub use self::round_robin::RoundRobin;

/// A subflow as a scheduler sees it. The slice is in subflow id order and holds those that may carry
/// data: established, not stale.
#[derive(Clone, Copy, Debug, Default)]
pub struct SchedulerView {
    /// Index to return.
    pub index: usize,
    /// Marked backup by either side.
    pub backup: bool,
    /// Bytes in the subflow's send buffer, sent or not, with their overhead (`sk_wmem_queued`).
    pub queued: u64,
    /// Whether the send buffer has room.
    pub has_memory: bool,
    /// Room of the send buffer in bytes.
    pub memory_room: u64,
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
    /// A timeout struck and nothing came since; the out-of-tree kernel leaves such a path alone (DSS-24).
    pub potentially_failed: bool,
    /// The segment in question was handed to it before.
    pub used: bool,
    /// It may take data only in order, and the segment does not follow what it carried last (SCHED-04).
    pub out_of_order: bool,
    /// Congestion window and slow-start threshold, in segments.
    pub cwnd: u32,
    /// See `cwnd`.
    pub ssthresh: u32,
    /// Segments in flight.
    pub in_flight: u32,
    /// Octets accepted and not yet acknowledged.
    pub outstanding: u64,
    /// Mean deviation of the round-trip time.
    pub rttvar: Duration,
}

impl SchedulerView {
    /// Whether the subflow could take the segment now.
    #[inline]
    #[must_use]
    pub const fn has_room(&self) -> bool {
        !self.in_loss && !self.out_of_order && self.cwnd_room > 0 && self.has_memory
    }
}

/// What is to be sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// Octets that the send window of the connection leaves from the segment on.
    pub window: u64,
    /// The whole send window of the connection.
    pub connection_window: u64,
    /// Octets of the segment in question.
    pub segment: u32,
    /// Memory of the connection's send buffer in use, in bytes.
    pub queued: u64,
    /// Segments retransmitted at connection level so far.
    pub retransmissions: u64,
    /// When.
    pub now: Instant,
}

impl Request {
    /// One that tells no more than the window.
    #[must_use]
    pub fn with_window(window: u64) -> Self {
        Self { window, connection_window: window, ..Self::default() }
    }
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
    /// With all of `burst` handed down, no subflow has room: nobody need ask again.
    pub fills: bool,
}

/// How much of the room of a congestion window one push of the out-of-tree kernel fills, as measured on v0.96.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// All of it.
    All,
    /// Half of it, unless the application pushes what it writes.
    Half,
    /// All, and a segment more waits on the subflow for the next acknowledgment.
    OneMore,
}

/// Chooses subflows for data.
pub trait Scheduler: fmt::Debug + Send {
    /// Name in the registry.
    fn name(&self) -> &'static str;

    /// The subflow for the next data, or `None` to wait for an acknowledgment or a window.
    fn pick(&mut self, request: &Request, paths: &[SchedulerView]) -> Option<Pick>;

    /// Whether a closed window or a full buffer lets the oldest segment go on a faster subflow too, and
    /// halves the slower ones that hold it (opportunistic retransmission and penalisation, SCHED-05).
    fn is_opportunistic(&self) -> bool {
        false
    }

    /// How much of the room of a window a push fills, with the out-of-tree kernel.
    fn fill(&self) -> Fill {
        Fill::All
    }

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

static REGISTRY: [SchedulerInfo; 6] = [
    SchedulerInfo {
        name: "blest",
        title: "lowest round-trip time, but no slower subflow that would block the send window",
        reference: "Ferlin et al., IFIP Networking 2016; out-of-tree MPTCP v0.96, net/mptcp/mptcp_blest.c",
        create: || Box::<Blest>::default(),
    },
    SchedulerInfo {
        name: "default",
        title: "least time to drain the send buffer, in bursts of 64 KiB",
        reference: "Linux 6.18, net/mptcp/protocol.c",
        create: || Box::<LinuxDefault>::default(),
    },
    SchedulerInfo {
        name: "ecf",
        title: "lowest round-trip time, but no slower subflow where waiting completes earlier",
        reference: "Lim et al., CoNEXT 2017; out-of-tree MPTCP v0.96, net/mptcp/mptcp_ecf.c",
        create: || Box::<Ecf>::default(),
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
            memory_room: 1 << 20,
            pacing_rate: 1,
            srtt: Duration::from_millis(20),
            cwnd_room: 10,
            mss: 1428,
            in_loss: false,
            potentially_failed: false,
            used: false,
            out_of_order: false,
            cwnd: 10,
            ssthresh: u32::MAX,
            in_flight: 0,
            outstanding: 0,
            rttvar: Duration::ZERO,
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
