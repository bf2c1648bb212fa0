//! Path MTU discovery (RFC 1191, RFC 8201) as Linux does it: a router that could not forward a segment says how
//! much would have passed. The flow sends smaller segments from then on, those outstanding that were too long
//! first, and the host remembers it for later flows to the same destination.
//!
//! Left out: flows to that destination that are already open learn of it from an error of their own, and
//! packets are never fragmented instead.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sim_core::{Duration, Instant};

use super::demux::{FlowKey, Quoted};
use super::{Host, InterfaceId};

/// How long what an error said is believed (`mtu_expires`).
const BELIEVED: Duration = Duration::from_secs(600);
/// What is told to be smaller is taken for this (`min_pmtu`), or not believed (RFC 8200, section 5).
const LEAST_V4: u16 = 552;
const LEAST_V6: u16 = 1280;

/// The MTU of the ways to destinations, as far as errors told.
#[derive(Debug, Default)]
pub(super) struct PathMtus {
    told: BTreeMap<IpAddr, (u16, Instant)>,
}

impl PathMtus {
    fn of(&self, now: Instant, destination: IpAddr) -> Option<u16> {
        if self.told.is_empty() {
            return None;
        }
        let &(mtu, until) = self.told.get(&destination)?;
        (now < until).then_some(mtu)
    }
}

const fn headers(destination: IpAddr) -> u16 {
    if destination.is_ipv4() { 40 } else { 60 }
}

impl Host {
    /// The segment size that the way to `remote` has room for.
    pub(super) fn mss(&self, now: Instant, interface: InterfaceId, remote: IpAddr) -> u16 {
        let mtu = self.interfaces.get(usize::from(interface.0)).map_or(1500, |interface| interface.mtu);
        let mtu = self.path_mtus.of(now, remote).map_or(mtu, |told| told.min(mtu));
        mtu.saturating_sub(headers(remote))
    }

    /// A packet was too long for the next link, which takes `mtu` octets.
    pub(super) fn packet_too_big(&mut self, now: Instant, quoted: &Quoted, mtu: u32) {
        let destination = quoted.remote.ip();
        let mut mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        if destination.is_ipv4() {
            mtu = mtu.max(LEAST_V4);
        } else if mtu < LEAST_V6 {
            return;
        }
        let Some(&(socket, subflow)) = self.flows.get(&FlowKey::new(quoted.local, quoted.remote)) else {
            return;
        };
        let Some(connection) = self.connection_mut(socket) else { return };
        let mss = mtu.saturating_sub(headers(destination));
        if !connection.path_shrank(subflow as usize, quoted.seq, mss) {
            return;
        }
        let entry = self.path_mtus.told.entry(destination).or_insert((mtu, now));
        *entry = (mtu, now + BELIEVED);
        self.activate(socket);
    }
}
