//! Counters of a kernel as `nstat` shows them, derived from the packets its host sent and received.
//!
//! For the counters here the derivation gives what Linux counts, upstream and out of tree: the tests hold it
//! against captures and counters of real hosts. What packets do not tell (timers, queues, undone reductions) the
//! simulation counts itself. Left out are counters of received MP_FAIL, MP_FASTCLOSE and MP_TCPRST: the
//! kernel does not count what comes after its socket is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::trace::{DirectionAnalysis, FlowDirection, HostAnalysis, SignalEvent, SubflowAnalysis};

/// Which of the two kernels counts: their names differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `MPTcpExt...`
    Upstream,
    /// `MPTcpOot...`
    OutOfTree,
}

impl Naming {
    /// The naming used in counters of a kernel.
    #[must_use]
    pub fn of(counters: &BTreeMap<String, u64>) -> Self {
        let old = counters.keys().any(|name| name.starts_with("MPTcpOot"));
        if old { Self::OutOfTree } else { Self::Upstream }
    }

    /// The name of a counter, if this kernel has it.
    fn name(self, counter: &str) -> Option<String> {
        if self == Self::Upstream {
            return Some(format!("MPTcpExt{counter}"));
        }
        let old = match counter {
            "AddAddr" => "AddAddrRx",
            "RmAddrTx" => "RemAddrTx",
            "RmAddr" => "RemAddrRx",
            "MPFastcloseTx" => "MPFastcloseTX",
            "AddAddrTx" => counter,
            other if other.starts_with("MPCapable") || other.starts_with("MPJoin") => other,
            _ => return None,
        };
        Some(format!("MPTcpOot{old}"))
    }
}

/// Whether a counter is of set-up and signalling, where two runs of one kernel agree; the others count data.
#[must_use]
pub fn is_signalling(counter: &str) -> bool {
    counter.starts_with("MPTcp")
        || matches!(
            counter,
            "TcpActiveOpens" | "TcpPassiveOpens" | "TcpExtTCPSynRetrans" | "IcmpInDestUnreachs"
        )
}

/// Whether [`from_packets`] gives a counter.
#[must_use]
pub fn is_derived(counter: &str) -> bool {
    const OF_TCP: [&str; 7] = [
        "TcpActiveOpens",
        "TcpPassiveOpens",
        "TcpInSegs",
        "TcpOutSegs",
        "TcpOutRsts",
        "TcpRetransSegs",
        "TcpExtTCPSynRetrans",
    ];
    const OF_MPTCP: [&str; 17] = [
        "MPCapableSYNTX",
        "MPCapableSYNRX",
        "MPCapableSYNACKRX",
        "MPCapableACKRX",
        "MPJoinSynTx",
        "MPJoinSynRx",
        "MPJoinSynAckRx",
        "MPJoinAckRx",
        "AddAddrTx",
        "AddAddr",
        "EchoAddTx",
        "EchoAdd",
        "RmAddrTx",
        "RmAddr",
        "MPPrioTx",
        "MPPrioRx",
        "MPFailTx",
    ];
    let of = |naming: Naming| {
        let names = OF_MPTCP.iter().chain(&["MPFastcloseTx", "MPRstTx"]);
        names.filter_map(|name| naming.name(name)).any(|name| name == counter)
    };
    OF_TCP.contains(&counter)
        || counter == "IcmpInDestUnreachs"
        || of(Naming::Upstream)
        || of(Naming::OutOfTree)
}

/// The counters of the host with `addresses`, from its capture. Those that are zero are absent.
#[must_use]
pub fn from_packets(seen: &HostAnalysis, addresses: &[IpAddr], naming: Naming) -> BTreeMap<String, u64> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut add = |name: String, count: u64| *counts.entry(name).or_default() += count;
    for subflow in &seen.subflows {
        let active = is_local(&subflow.client, addresses);
        let (sent, received) = halves(subflow, active);
        let syns_again = if active { subflow.syns.saturating_sub(1) } else { 0 };
        let again = sent.retransmitted_segments + syns_again;
        add("TcpInSegs".into(), received.packets);
        add("TcpOutSegs".into(), sent.packets - again.min(sent.packets));
        add("TcpRetransSegs".into(), again);
        add("TcpOutRsts".into(), sent.rst);
        add("TcpExtTCPSynRetrans".into(), syns_again);
        if active && subflow.syns > 0 {
            add("TcpActiveOpens".into(), 1);
        } else if !active && subflow.established_t.is_some() {
            add("TcpPassiveOpens".into(), 1);
        }
    }
    for message in seen.icmp.iter().filter(|message| message.4.0 == 3) {
        let to_us = message.3.parse().is_ok_and(|to| addresses.contains(&to));
        add("IcmpInDestUnreachs".into(), u64::from(to_us));
    }
    let mut handshakes = BTreeSet::new();
    for event in &seen.events {
        let Some(subflow) = seen.subflows.get(event.subflow) else { continue };
        let client = event.direction == FlowDirection::ClientToServer;
        let sent = client == is_local(&subflow.client, addresses);
        let Some((counter, once)) = signal(event, sent) else { continue };
        // A SYN sent again is no new attempt.
        if let Some(name) = naming.name(&counter)
            && (!once || handshakes.insert((counter, event.subflow)))
        {
            add(name, 1);
        }
    }
    counts.retain(|_, count| *count > 0);
    counts
}

fn is_local(endpoint: &str, addresses: &[IpAddr]) -> bool {
    endpoint.parse::<SocketAddr>().is_ok_and(|endpoint| addresses.contains(&endpoint.ip()))
}

/// What the host sent and what it received.
const fn halves(subflow: &SubflowAnalysis, active: bool) -> (&DirectionAnalysis, &DirectionAnalysis) {
    if active { (&subflow.c2s, &subflow.s2c) } else { (&subflow.s2c, &subflow.c2s) }
}

/// The counter of an event, and whether it counts once a subflow.
fn signal(event: &SignalEvent, sent: bool) -> Option<(String, bool)> {
    let (syn, ack) = (event.flags.contains('S'), event.flags.contains('A'));
    let handshake = |counters: [&'static str; 4]| match (syn, ack, sent) {
        (true, false, true) => Some(counters[0]),
        (true, false, false) => Some(counters[1]),
        (true, true, false) => Some(counters[2]),
        (false, _, false) => Some(counters[3]),
        _ => None,
    };
    let once = |counter: Option<&str>| Some((counter?.to_owned(), true));
    let each = |counter: &str| Some((counter.to_owned(), false));
    match event.kind.as_str() {
        "MP_CAPABLE" => {
            once(handshake(["MPCapableSYNTX", "MPCapableSYNRX", "MPCapableSYNACKRX", "MPCapableACKRX"]))
        }
        "MP_JOIN" => once(handshake(["MPJoinSynTx", "MPJoinSynRx", "MPJoinSynAckRx", "MPJoinAckRx"])),
        "ADD_ADDR" => {
            let echo = event.details.get("echo").is_some_and(|echo| echo == true || echo == 1);
            let name = if echo { "EchoAdd" } else { "AddAddr" };
            Some((format!("{name}{}", if sent { "Tx" } else { "" }), false))
        }
        "REMOVE_ADDR" => each(if sent { "RmAddrTx" } else { "RmAddr" }),
        "MP_PRIO" => each(if sent { "MPPrioTx" } else { "MPPrioRx" }),
        "MP_FAIL" if sent => each("MPFailTx"),
        "MP_FASTCLOSE" if sent => each("MPFastcloseTx"),
        "MP_TCPRST" if sent => each("MPRstTx"),
        _ => None,
    }
}
