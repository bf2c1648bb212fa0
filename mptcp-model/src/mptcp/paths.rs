//! Addresses and subflows: the events of the path manager, the execution of its actions, and the options
//! ADD_ADDR, REMOVE_ADDR and MP_PRIO (RFC 8684, sections 3.3.8 and 3.4).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sim_core::{Duration, Instant};

use super::{Announcement, Connection, Happened, Mode, Role, SocketError, Stage, State};
use crate::crypto::{self, Version};
use crate::path_manager::{CloseReason, ConnectionView, PathAction, PathEvent, SubflowId, SubflowView};
use crate::tcp::{Flow, OutputDue, TcpState};
use crate::wire::{AddressIds, MpOption, Seq, TcpSegment};

/// Ids in a REMOVE_ADDR (`MPTCP_RM_IDS_MAX`).
const REMOVED_IDS_MAX: usize = 8;

impl Connection {
    fn connection_view<'a>(&'a self, subflows: &'a [SubflowView]) -> ConnectionView<'a> {
        let initial = &self.subflows[0].flow;
        ConnectionView {
            side: self.side,
            initial_local: initial.local(),
            initial_remote: initial.remote(),
            peer_denies_join: self.peer_denies_join,
            subflows,
            local_addresses: &self.local_addresses,
            backup_addresses: &self.backup_addresses,
        }
    }

    /// Whether the path manager lets one more subflow in, besides those there are without `joining`: joins of
    /// the peer count from their third ACK on (JOIN-19).
    pub(crate) fn may_accept_join(&self, joining: Option<usize>) -> bool {
        let mut subflows = self.subflow_views();
        subflows.retain(|view| joining != Some(view.id.0 as usize) && (view.initiated || view.established));
        self.path_manager.accepts_join(&self.connection_view(&subflows))
    }

    /// Let the path manager see what happened; its actions wait in
    /// [`take_path_actions`](Self::take_path_actions).
    #[inline]
    pub(crate) fn run_path_manager(&mut self, now: Instant) {
        if !self.path_events.is_empty() {
            self.handle_path_events(now);
        }
    }

    fn handle_path_events(&mut self, now: Instant) {
        // Actions are carried out before the next event is seen.
        while self.path_actions.is_empty() {
            let Some(event) = self.path_events.pop_front() else { break };
            if self.mode != Mode::Multipath {
                continue;
            }
            if let PathEvent::SubflowClosed { .. } = event
                && self.state == State::Closed
            {
                continue;
            }
            let mut actions = std::mem::take(&mut self.path_actions);
            let subflows = self.subflow_views();
            let initial = &self.subflows[0].flow;
            let view = ConnectionView {
                side: self.side,
                initial_local: initial.local(),
                initial_remote: initial.remote(),
                peer_denies_join: self.peer_denies_join,
                subflows: &subflows,
                local_addresses: &self.local_addresses,
                backup_addresses: &self.backup_addresses,
            };
            self.path_manager.on_event(now, &event, &view, &mut actions);
            self.path_actions = actions;
        }
    }

    /// Whether the path manager asked for something.
    #[must_use]
    pub fn has_path_actions(&self) -> bool {
        !self.path_actions.is_empty()
    }

    /// Actions the host must execute: opening a subflow needs a route and a port. All others are carried
    /// out here.
    pub fn take_path_actions(&mut self, now: Instant) -> Vec<PathAction> {
        let mut wanted = Vec::new();
        for action in std::mem::take(&mut self.path_actions) {
            match action {
                PathAction::CreateSubflow { .. } if self.may_open_subflow() => wanted.push(action),
                // A connection that is being closed opens nothing (JOIN-21).
                PathAction::CreateSubflow { .. } => {}
                PathAction::Announce { id, address, port } => self.announce(now, id, address, port),
                PathAction::Withdraw { id } => self.withdraw(id),
                PathAction::CloseSubflow(id) => self.close_subflow(now, id),
                PathAction::SetBackup { subflow, backup } => self.set_backup(subflow, backup),
                PathAction::WakeAt(at) => self.path_wake = Some(at),
            }
        }
        wanted
    }

    /// The out-of-tree kernel opens subflows until its DATA_FIN is acknowledged.
    fn may_open_subflow(&self) -> bool {
        self.state == State::Established || (self.out_of_tree && self.state == State::FinWait1)
    }

    /// Open a subflow from `local` to `remote`: a SYN with MP_JOIN is due.
    pub fn open_subflow(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        mss: u16,
        ids: (u8, u8),
        backup: bool,
    ) -> SubflowId {
        let params = self.flow_params(local, remote, mss);
        let flow = Flow::connect(Arc::clone(&self.options.tcp), params, (self.options.congestion)(), now);
        let index = self.add_subflow(flow, Role::Join, true, ids, now);
        let mut nonce = 0;
        while nonce == 0 {
            nonce = self.rng.next_u32();
        }
        let subflow = &mut self.subflows[index];
        subflow.local_nonce = nonce;
        subflow.backup = backup;
        subflow.id
    }

    /// Address ids of a subflow between two ends: those they have been used under or announced with, or the
    /// next free one here and 0 there.
    pub(crate) fn ids_between(&self, local: IpAddr, remote: SocketAddr) -> (u8, u8) {
        let used = self.subflows.iter().map(|subflow| subflow.local_id).max().unwrap_or(0);
        let own = self.address_id(local).unwrap_or_else(|| used.saturating_add(1));
        let known = self.remote_addresses.iter().find(|(_, address)| address.ip() == remote.ip());
        (own, known.map_or(0, |&(id, _)| id))
    }

    /// A subflow could not even be begun: no route, no port.
    pub fn subflow_not_opened(&mut self, now: Instant, action: &PathAction, reason: CloseReason) {
        let PathAction::CreateSubflow { local, local_id, remote, remote_id, backup, .. } = *action else {
            return;
        };
        let any = self.subflows[0].flow.local();
        let subflow = SubflowView {
            id: SubflowId(u32::MAX),
            local: SocketAddr::new(local.unwrap_or(any.ip()), 0),
            remote,
            local_id,
            remote_id,
            initiated: true,
            established: false,
            backup,
        };
        self.path_events.push_back(PathEvent::SubflowClosed { subflow, reason });
        self.run_path_manager(now);
    }

    /// Whether subflow `index` has sent `seq`, which an error of ICMP quotes, and it is not acknowledged: other errors
    /// are not believed (RFC 5927, section 4.1).
    pub(crate) fn has_outstanding(&self, index: usize, quoted: Seq) -> bool {
        self.subflows.get(index).is_some_and(|subflow| subflow.flow.is_outstanding(quoted))
    }

    /// ICMP says that the destination of subflow `index` cannot be reached: fatal while its SYN is
    /// unanswered, noted otherwise (TCP-23, JOIN-23). A SYN/ACK is given up without a word if `ends_requests`
    /// (`tcp_req_err`).
    pub fn unreachable(&mut self, now: Instant, index: usize, reason: CloseReason, ends_requests: bool) {
        let subflow = &mut self.subflows[index];
        if subflow.stage == Stage::Opening && (subflow.initiated || ends_requests) {
            self.subflow_ended(now, index, reason);
            self.run_path_manager(now);
        } else if subflow.stage != Stage::Opening {
            subflow.flow.soft_error = Some(reason);
            if self.mode != Mode::Multipath && subflow.flow.config.tells_soft_errors {
                let count = self.soft_error.map_or(0, |(count, _)| count);
                self.soft_error = Some((count.wrapping_add(1), SocketError::from(reason)));
                self.events.note(Happened::READABLE);
            }
        }
    }

    /// The error that ICMP told of a socket of TCP and that only an end of retries would report; it is forgotten.
    pub(crate) fn take_soft_error(&mut self) -> Option<SocketError> {
        let first = self.subflows.first_mut().filter(|_| self.options.mptcp.is_none())?;
        first.flow.soft_error.take().map(SocketError::from)
    }

    /// A router could not forward a segment of a subflow; segments of `mss` octets would have passed. Returns
    /// whether it quoted one that is outstanding: other errors are not believed (RFC 5927, section 4.1).
    pub(crate) fn path_shrank(&mut self, index: usize, quoted: Seq, mss: u16) -> bool {
        let believed = self.has_outstanding(index, quoted) && self.subflows[index].stage != Stage::Gone;
        if believed {
            self.subflows[index].flow.limit_mss(mss);
        }
        believed
    }

    /// The first subflow that can carry a signal.
    fn signal_carrier(&mut self) -> Option<usize> {
        self.subflows.iter().position(|subflow| subflow.is_active() && !subflow.stale)
    }

    fn announce(&mut self, now: Instant, id: u8, address: IpAddr, port: Option<u16>) {
        if !self.local_ids.contains(&(id, address)) {
            self.local_ids.push((id, address));
        }
        if self.version == Version::V0 || self.out_of_tree {
            // Neither echoed nor repeated (ADDR-01).
            return self.send_announcement(id, address, port);
        }
        let resend_at = self.announcement_timeout().map(|wait| now + wait);
        self.announced.push(Announcement { id, address, port, resend_at, tries: 0 });
        self.send_announcement(id, address, port);
    }

    /// The longest retransmission timeout of the subflows, at most the one configured
    /// (`mptcp_adjust_add_addr_timeout`).
    fn announcement_timeout(&self) -> Option<Duration> {
        let config = self.options.mptcp.as_ref()?;
        let live = self.subflows.iter().filter(|subflow| subflow.stage != Stage::Gone);
        let longest = live.map(|subflow| subflow.flow.rtt.rto()).max();
        let most = config.add_addr_timeout;
        (!most.is_zero()).then(|| longest.map_or(most, |longest| longest.min(most)))
    }

    fn send_announcement(&mut self, id: u8, address: IpAddr, port: Option<u16>) {
        if self.version == Version::V0 {
            let nibble = if address.is_ipv4() { 4 } else { 6 };
            let option = MpOption::AddAddr { nibble, address_id: id, address, port, hmac: None };
            return self.send_signal(option);
        }
        // What the out-of-tree kernel sends it does not accept itself, nor does anyone else (case o1-echo-version1).
        let compute =
            if self.out_of_tree { crypto::add_addr_hmac_out_of_tree } else { crypto::add_addr_hmac };
        let hmac = compute(self.keys.local, self.keys.remote.unwrap_or_default(), id, address, port);
        let option = MpOption::AddAddr { nibble: 0, address_id: id, address, port, hmac: Some(hmac) };
        self.send_signal(option);
    }

    fn send_signal(&mut self, option: MpOption) {
        if let Some(index) = self.signal_carrier() {
            self.subflows[index].signals.push_back(option);
        }
    }

    fn withdraw(&mut self, id: u8) {
        self.announced.retain(|announcement| announcement.id != id);
        // On another subflow than the one removed, if there is one (ADDR-12).
        let other = self
            .subflows
            .iter()
            .position(|subflow| subflow.is_active() && subflow.local_id != id)
            .or_else(|| self.signal_carrier());
        if let Some(index) = other {
            let ids = AddressIds::new(&[id]);
            if let Some(ids) = ids {
                self.subflows[index].signals.push_back(MpOption::RemoveAddr { ids });
            }
        }
    }

    /// Close one subflow; the connection goes on (`MPTCP_CLOSE_SUB_ID`).
    pub(crate) fn end_subflow(&mut self, now: Instant, id: SubflowId) {
        self.close_subflow(now, id);
        self.run_path_manager(now);
    }

    /// Whether the connection is confirmed and subflows may be opened.
    #[must_use]
    pub fn may_be_joined(&self) -> bool {
        self.mode == Mode::Multipath && self.path_manager_started && self.may_open_subflow()
    }

    /// Whether mappings carry checksums.
    #[must_use]
    pub const fn uses_checksums(&self) -> bool {
        self.checksum
    }

    fn close_subflow(&mut self, now: Instant, id: SubflowId) {
        let index = id.0 as usize;
        let Some(subflow) = self.subflows.get_mut(index).filter(|subflow| subflow.stage != Stage::Gone)
        else {
            return;
        };
        if self.out_of_tree {
            // Silently (`mptcp_sub_force_close`).
            self.subflow_ended(now, index, CloseReason::Normal);
        } else if subflow.flow.is_synchronized() {
            // An ACK goes before the FIN (`mptcp_subflow_shutdown`).
            subflow.flow.due.add(OutputDue::BARE_ACK);
            subflow.flow.close_send();
            // Nobody reads from it any more: new data meets a reset.
            subflow.flow.orphaned = true;
            self.retire(now, index, CloseReason::Normal);
        } else {
            self.subflow_ended(now, index, CloseReason::Normal);
        }
    }

    fn set_backup(&mut self, id: SubflowId, backup: bool) {
        let index = id.0 as usize;
        let Some(subflow) = self.subflows.get_mut(index) else { return };
        subflow.backup = backup;
        if subflow.is_active() {
            subflow.signals.push_back(MpOption::Prio { backup, address_id: None });
        }
    }

    /// ADD_ADDR, REMOVE_ADDR, MP_PRIO and MP_FAIL of a segment whose data in order starts at offset
    /// `undelivered`. Returns whether the subflow lives on.
    pub(crate) fn take_signals(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
        undelivered: u64,
    ) -> bool {
        for option in segment.options.mptcp() {
            match option {
                MpOption::AddAddr { nibble, address_id, address, port, hmac } => {
                    if self.version == Version::V0 {
                        // MAL-33: an HMAC belongs to version 1.
                        if hmac.is_none() && matches!(nibble, 4 | 6) {
                            self.use_announcement(address_id, address, port);
                        }
                    } else if nibble & 1 != 0 && hmac.is_none() {
                        self.announcement_echoed(address_id, address);
                    } else if let Some(hmac) = hmac {
                        self.take_announcement(index, address_id, address, port, hmac);
                    }
                }
                // Upstream takes no more than 8 (MAL-36).
                MpOption::RemoveAddr { ids } if self.out_of_tree || ids.len() <= REMOVED_IDS_MAX => {
                    for id in ids.iter() {
                        self.take_removal(now, id);
                    }
                }
                MpOption::Prio { backup, address_id: Some(id) } if self.version == Version::V0 => {
                    self.take_prio_of_address(id, backup);
                }
                MpOption::FastClose { receiver_key } if receiver_key == self.keys.local => {
                    self.fastclosed(now, None);
                    return false;
                }
                MpOption::Prio { backup, address_id: None } => {
                    let subflow = &mut self.subflows[index];
                    subflow.peer_backup = backup;
                    let event = PathEvent::PriorityReceived { subflow: subflow.id, backup };
                    self.path_events.push_back(event);
                }
                MpOption::Fail { .. } => return self.take_fail(now, index, undelivered),
                _ => {}
            }
        }
        true
    }

    /// MP_PRIO with an address id means every subflow of that address (PRIO-02).
    fn take_prio_of_address(&mut self, id: u8, backup: bool) {
        for subflow in self.subflows.iter_mut().filter(|subflow| subflow.remote_id == id) {
            subflow.peer_backup = backup;
            self.path_events.push_back(PathEvent::PriorityReceived { subflow: subflow.id, backup });
        }
    }

    /// Addresses of this host that are up, and which of them serve as backup. Changes are events for the path
    /// manager.
    pub(crate) fn set_local_addresses(&mut self, addresses: Vec<IpAddr>, backups: Vec<IpAddr>) {
        if self.path_manager_started {
            let changed = addresses.iter().filter(|address| {
                self.local_addresses.contains(address)
                    && backups.contains(address) != self.backup_addresses.contains(address)
            });
            self.path_events.extend(changed.map(|&address| PathEvent::LocalAddressPriority {
                address,
                backup: backups.contains(&address),
            }));
            let gone = self.local_addresses.iter().filter(|known| !addresses.contains(known));
            self.path_events.extend(gone.map(|&address| PathEvent::LocalAddressDown(address)));
            let new = addresses.iter().filter(|new| !self.local_addresses.contains(new));
            self.path_events.extend(new.map(|&address| PathEvent::LocalAddressUp(address)));
        }
        self.local_addresses = addresses;
        self.backup_addresses = backups;
    }

    fn announcement_echoed(&mut self, id: u8, address: IpAddr) {
        let known = self.announced.iter().any(|entry| entry.id == id && entry.address == address);
        if known {
            self.announced.retain(|entry| entry.id != id);
            self.path_events.push_back(PathEvent::AnnounceDone { id });
        }
    }

    fn take_announcement(&mut self, index: usize, id: u8, address: IpAddr, port: Option<u16>, hmac: u64) {
        let remote_key = self.keys.remote.unwrap_or_default();
        if hmac != crypto::add_addr_hmac(remote_key, self.keys.local, id, address, port) {
            self.stats.add_addr_hmac_failures += 1;
            return;
        }
        if !self.out_of_tree {
            // The echo repeats the option without HMAC (ADDR-02), on the subflow that carries signals
            // (`mptcp_pm_addr_send_ack`).
            let echo = MpOption::AddAddr { nibble: 1, address_id: id, address, port, hmac: None };
            let carrier = self.signal_carrier().unwrap_or(index);
            self.subflows[carrier].signals.push_back(echo);
        }
        self.use_announcement(id, address, port);
    }

    fn use_announcement(&mut self, id: u8, address: IpAddr, port: Option<u16>) {
        let port = port.unwrap_or_else(|| self.subflows[0].flow.remote().port());
        let address = SocketAddr::new(address, port);
        // An id names one address: version 0 lets a later one replace it (ADDR-07).
        self.remote_addresses.retain(|&(known, _)| known != id || self.version == Version::V1);
        if !self.remote_addresses.contains(&(id, address)) {
            self.remote_addresses.push((id, address));
        }
        self.path_events.push_back(PathEvent::AnnounceReceived { id, address });
    }

    fn take_removal(&mut self, now: Instant, id: u8) {
        self.remote_addresses.retain(|&(known, _)| known != id);
        // The path manager hears of it while the subflows are still there.
        self.path_events.push_back(PathEvent::RemoveReceived { id });
        self.run_path_manager(now);
        for index in 0..self.subflows.len() {
            let subflow = &self.subflows[index];
            // A join before its third ACK is only a request, and stays.
            let request = !subflow.initiated && subflow.flow.state() == TcpState::SynReceived;
            if subflow.stage != Stage::Gone && subflow.remote_id == id && (!request || self.out_of_tree) {
                let id = subflow.id;
                if self.out_of_tree {
                    let _: bool = self.refuse_subflow(now, index, 0);
                } else {
                    self.close_subflow(now, id);
                }
            }
        }
    }

    /// Repeat announcements that were not echoed (ADDR-03).
    pub(crate) fn repeat_announcements(&mut self, now: Instant) {
        let most = self.options.mptcp.as_ref().map_or(0, |config| config.add_addr_retries);
        let wait = self.announcement_timeout();
        let mut due = Vec::new();
        let mut given_up = Vec::new();
        for entry in &mut self.announced {
            if entry.resend_at.is_none_or(|at| at > now) {
                continue;
            }
            entry.tries += 1;
            entry.resend_at = wait.map(|wait| now + wait * (1 << entry.tries.min(8)));
            if entry.tries <= most {
                due.push(*entry);
            }
            if entry.tries >= most {
                // The next address has its turn with the last repetition.
                given_up.push(entry.id);
            }
        }
        for entry in due {
            self.send_announcement(entry.id, entry.address, entry.port);
        }
        for id in given_up {
            self.announced.retain(|entry| entry.id != id);
            self.path_events.push_back(PathEvent::AnnounceDone { id });
        }
    }
}
