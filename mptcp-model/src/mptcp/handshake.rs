//! The MPTCP side of the handshakes: MP_CAPABLE with its versions, MP_JOIN with its HMACs, and the confirmation
//! of what the third ACK said (RFC 8684, sections 3.1 and 3.2; RFC 6824, same sections).

use sim_core::Instant;

use super::machine::{Event, Step, Turn};
use super::{Connection, Happened, Mode, Role, Stage, State};
use crate::crypto::{self, Version};
use crate::path_manager::PathEvent;
use crate::tcp::{Flow, SynOptions};
use crate::wire::options::ParsedOptions;
use crate::wire::{MpOption, TcpSegment};

impl Connection {
    /// The SYN of a passive open: does it offer MPTCP (CAP-07, CAP-08, CAP-09)?
    pub(crate) fn take_capable_syn(&mut self, segment: &TcpSegment) {
        // CAP-21: a SYN that joins as well offers nothing.
        let joins = segment.options.mptcp().any(|option| matches!(option, MpOption::JoinSyn { .. }));
        let offer = segment.options.mptcp().filter(|_| !joins).find_map(|option| match option {
            // MAL-04: the key belongs to version 0 alone.
            MpOption::Capable { version, flags, sender_key, receiver_key: None, .. }
                if sender_key.is_some() == (version == 0) =>
            {
                Some((version, flags, sender_key))
            }
            _ => None,
        });
        let answer = offer.and_then(|(offered, flags, key)| Some((self.version_for(offered)?, flags, key)));
        match answer {
            Some((version, flags, key)) if self.mode == Mode::Offered && capable(version, flags) => {
                self.speak(version);
                self.checksum |= flags & 0x80 != 0;
                self.peer_denies_join = version == Version::V1 && flags & 0x20 != 0;
                self.stats.capable_syn_received += 1;
                if let Some(key) = key {
                    self.set_remote_key(key);
                }
            }
            _ => self.turn(Turn::Declined),
        }
    }

    /// The version to answer an offer with (CAP-09, CAP-10): the one offered or the highest below that this
    /// host has; upstream Linux has version 1 only.
    const fn version_for(&self, offered: u8) -> Option<Version> {
        match (self.version, offered) {
            (Version::V1, 1..) => Some(Version::V1),
            (Version::V0, _) => Some(Version::V0),
            (Version::V1, 0) if self.out_of_tree => Some(Version::V0),
            (Version::V1, 0) => None,
        }
    }

    /// The connection speaks `version` from now on.
    fn speak(&mut self, version: Version) {
        if self.version != version {
            self.version = version;
            self.keys.derive(version);
        }
    }

    /// The window of a SYN/ACK holds whole segments, as the peer will send them (TCP-04); the out-of-tree
    /// kernel counts the DSS too.
    pub(super) fn fit_first_window(&mut self, index: usize) {
        if !self.out_of_tree || self.mode == Mode::Plain {
            return;
        }
        let room = self.dss_octets();
        let flow = &mut self.subflows[index].flow;
        let mss = u64::from(flow.mss_now(room));
        flow.recv.rcv_wnd = flow.recv.window_clamp.min(65_535) / mss * mss;
        flow.recv.ssthresh = flow.recv.rcv_wnd;
    }

    /// TCP's handshake of a subflow is complete. Returns whether the subflow lives on.
    pub(super) fn subflow_synchronized(&mut self, now: Instant, index: usize, segment: &TcpSegment) -> bool {
        let subflow = &mut self.subflows[index];
        subflow.established_at = Some(now);
        let initiated = subflow.initiated;
        let alive = match (subflow.role, initiated) {
            (Role::Initial, true) => {
                self.initial_synack(segment);
                true
            }
            (Role::Initial, false) => {
                self.initial_third_ack(segment);
                true
            }
            (Role::Join, true) => self.join_synack(now, index, segment),
            (Role::Join, false) => self.join_third_ack(now, index, segment),
        };
        if self.mode == Mode::Plain && self.subflows[index].role == Role::Initial {
            self.subflows[index].step(Step::Plain);
        } else if alive && self.out_of_tree {
            self.share_receive_buffer(now, index);
        }
        self.rebuild_views();
        if alive && self.subflows[index].role == Role::Initial {
            if self.advance(Event::Opened) {
                self.events.note(Happened::CONNECTED);
            }
            self.events.note(Happened::WRITABLE);
            let flow = &self.subflows[index].flow;
            self.send.window_end = flow.snd_wnd;
            if self.out_of_tree && self.mode == Mode::Multipath {
                self.send.segment = flow.mss_now(self.dss_octets());
            }
            let flow = &self.subflows[index].flow;
            if !self.out_of_tree {
                // The passive end counts before it knows of the timestamps.
                let options = if initiated && flow.ts_ok { 12 } else { 0 };
                let segments = 10 * u64::from(flow.params.mss.saturating_sub(options));
                self.recv.start_right_sizing(now, segments.min(flow.recv.rcv_wnd));
                self.recv.merges &= !self.checksum;
            }
            self.send.sndbuf = self.send.sndbuf.max(flow.sndbuf);
            if self.out_of_tree {
                // The window of the connection starts as that of its first subflow; upstream what a SYN/ACK offered
                // binds no later one.
                self.recv.window_end = flow.recv.receive_window();
            }
            if self.write_shut {
                self.queue_data_fin(now);
            }
        }
        alive
    }

    fn initial_synack(&mut self, segment: &TcpSegment) {
        if self.mode != Mode::Offered {
            self.blackholed = self.capable_dropped.then_some(true);
            return;
        }
        let lowest = if self.out_of_tree { Version::V0 } else { self.version };
        let known = lowest.number()..=self.version.number();
        let answer = segment.options.mptcp().find_map(|option| match option {
            MpOption::Capable { version, flags, sender_key: Some(key), receiver_key: None, .. }
                if known.contains(&version) =>
            {
                Some((Version::from_number(version)?, flags, key))
            }
            _ => None,
        });
        match answer.filter(|&(version, flags, _)| capable(version, flags)) {
            Some((version, flags, key)) => {
                self.speak(version);
                self.checksum |= flags & 0x80 != 0;
                self.peer_denies_join = version == Version::V1 && flags & 0x20 != 0;
                self.set_remote_key(key);
                if self.out_of_tree {
                    self.path_events.push_back(PathEvent::Opened);
                }
                self.turn(Turn::Agreed);
                self.blackholed = Some(false);
                self.subflows[0].step(Step::Answered);
            }
            None => self.fall_back(),
        }
    }

    fn initial_third_ack(&mut self, segment: &TcpSegment) {
        if self.mode != Mode::Offered {
            return;
        }
        let (local, announced, version) = (self.keys.local, self.keys.remote, self.version);
        let keys = segment.options.mptcp().find_map(|option| match option {
            MpOption::Capable {
                version: number,
                flags,
                sender_key: Some(sender),
                receiver_key: Some(receiver),
                ..
            } if number == version.number()
                && capable(version, flags)
                && receiver == local
                && announced.is_none_or(|key| key == sender) =>
            {
                Some(sender)
            }
            // The ACK with the keys was lost; version 0 had the key in the SYN.
            MpOption::Dss(_) if version == Version::V0 => announced,
            _ => None,
        });
        match keys {
            Some(key) => {
                self.set_remote_key(key);
                self.turn(Turn::Agreed);
                self.subflows[0].step(Step::ThirdAck);
                self.path_events.push_back(PathEvent::SubflowEstablished(self.subflows[0].view()));
                self.path_manager_started = true;
                self.path_events.push_back(PathEvent::Established);
            }
            // CAP-18, CAP-25: without both keys it is TCP.
            None => {
                self.stats.capable_fallback_ack += 1;
                self.fall_back();
            }
        }
    }

    fn set_remote_key(&mut self, key: u64) {
        let material = crypto::key_material(self.version, key);
        self.keys.remote = Some(key);
        self.keys.remote_token = material.token;
        self.keys.remote_base = material.idsn.wrapping_add(1);
    }

    fn join_synack(&mut self, now: Instant, index: usize, segment: &TcpSegment) -> bool {
        let (local_key, remote_key) = (self.keys.local, self.keys.remote.unwrap_or_default());
        let version = self.version;
        let subflow = &mut self.subflows[index];
        let answer = segment.options.mptcp().find_map(|option| match option {
            MpOption::JoinSynAck { backup, address_id, hmac, nonce } => {
                Some((backup, address_id, hmac, nonce))
            }
            _ => None,
        });
        let Some((backup, address_id, hmac, nonce)) = answer else {
            // JOIN-12: no fallback for a joining subflow.
            return self.refuse_subflow(now, index, 1);
        };
        let expected = crypto::join_hmac_synack(version, remote_key, local_key, nonce, subflow.local_nonce);
        if hmac != expected {
            self.stats.join_hmac_failures += 1;
            return self.refuse_subflow(now, index, 1);
        }
        subflow.remote_nonce = nonce;
        subflow.peer_backup = backup;
        subflow.remote_id = address_id;
        subflow.step(Step::Answered);
        self.fallback_allowed = false;
        // The third ACK is repeated until the fourth arrives (JOIN-03).
        self.await_fourth_ack(now, index);
        self.sync_sndbuf();
        true
    }

    fn join_third_ack(&mut self, now: Instant, index: usize, segment: &TcpSegment) -> bool {
        let subflow = &self.subflows[index];
        let expected = crypto::join_hmac_ack(
            self.version,
            self.keys.remote.unwrap_or_default(),
            self.keys.local,
            subflow.remote_nonce,
            subflow.local_nonce,
        );
        let valid = segment
            .options
            .mptcp()
            .any(|option| matches!(option, MpOption::JoinAck { hmac } if hmac == expected));
        if !valid {
            self.stats.join_hmac_failures += 1;
            return self.refuse_join(now, index, segment, 1);
        }
        if self.mode != Mode::Multipath || !self.takes_joins() || !self.may_accept_join(Some(index)) {
            return self.refuse_join(now, index, segment, 3);
        }
        let subflow = &mut self.subflows[index];
        subflow.step(Step::ThirdAck);
        self.fallback_allowed = false;
        // The fourth ACK tells the peer that it may send.
        subflow.flow.recv.ack_immediately();
        let view = subflow.view();
        self.stop_close_timer();
        self.path_events.push_back(PathEvent::SubflowEstablished(view));
        self.sync_sndbuf();
        true
    }

    /// The third ACK of a join cannot be taken. Either kernel answers for the request, with a reset that
    /// acknowledges nothing.
    fn refuse_join(&mut self, now: Instant, index: usize, segment: &TcpSegment, reason: u8) -> bool {
        self.refuse_subflow(now, index, reason);
        let flow = &mut self.subflows[index].flow;
        flow.answer_with_reset(segment.ack.to_offset(flow.params.iss, flow.snd_nxt).max(0) as u64);
        false
    }

    /// The out-of-tree kernel takes joins until its own application closes (JOIN-21).
    fn takes_joins(&self) -> bool {
        self.state == State::Established || (self.out_of_tree && self.state == State::CloseWait)
    }

    /// A passive join: the SYN was matched to this connection by its token (JOIN-08 to JOIN-10).
    pub fn accept_join(
        &mut self,
        now: Instant,
        local: std::net::SocketAddr,
        remote: std::net::SocketAddr,
        mss: u16,
        segment: &TcpSegment,
        local_id: u8,
    ) -> Option<usize> {
        let (backup, address_id, nonce) = segment.options.mptcp().find_map(|option| match option {
            MpOption::JoinSyn { backup, address_id, nonce, .. } => Some((backup, address_id, nonce)),
            _ => None,
        })?;
        // Upstream Linux answers any join it has the token of; whether it may take one it asks with the third ACK.
        let refused = if self.out_of_tree {
            !self.takes_joins() || !self.may_accept_join(None)
        } else {
            self.state == State::Closed
        };
        if self.mode != Mode::Multipath || refused {
            return None;
        }
        let params = self.flow_params(local, remote, mss);
        let parsed = segment.options.parse_all();
        let flow = Flow::accept(
            std::sync::Arc::clone(&self.options.tcp),
            params,
            (self.options.congestion)(),
            now,
            segment.seq,
            segment.window,
            SynOptions::from_parsed(&parsed),
        );
        let index = self.add_subflow(flow, Role::Join, false, (local_id, address_id), now);
        self.subflows[index].flow.negotiate_ecn(segment.flags);
        self.fit_first_window(index);
        let own_nonce = self.rng.next_u32();
        let subflow = &mut self.subflows[index];
        subflow.remote_nonce = nonce;
        subflow.local_nonce = own_nonce;
        subflow.peer_backup = backup;
        Some(index)
    }

    /// Whether the subflow, or the connection, is now confirmed by the peer (`check_fully_established`).
    /// Returns whether the subflow lives on.
    pub(super) fn check_confirmation(
        &mut self,
        now: Instant,
        index: usize,
        segment: &TcpSegment,
        parsed: &ParsedOptions,
    ) -> bool {
        let subflow = &mut self.subflows[index];
        match subflow.stage {
            Stage::Confirmed => {
                let repeats_join = subflow.role == Role::Join
                    && !subflow.initiated
                    && parsed.mptcp_other
                    && segment.options.mptcp().any(|option| matches!(option, MpOption::JoinAck { .. }));
                if repeats_join {
                    // JOIN-06
                    subflow.flow.recv.ack_immediately();
                }
                true
            }
            Stage::Unconfirmed
                if self.out_of_tree && subflow.role == Role::Initial && subflow.flow.snd_una <= 1 =>
            {
                // Only the acknowledgment of data tells it.
                true
            }
            Stage::Unconfirmed if !segment.flags.syn() => {
                let start = segment.seq.to_offset(subflow.flow.recv.irs, subflow.flow.recv.rcv_nxt);
                if start != 1 && subflow.role == Role::Initial && !self.out_of_tree {
                    // What comes before the first segment confirms nothing (`check_fully_established`).
                    return true;
                }
                let acked = parsed.dss.is_some_and(|dss| dss.data_ack.is_some());
                let added = parsed.mptcp_other
                    && segment
                        .options
                        .mptcp()
                        .any(|option| matches!(option, MpOption::AddAddr { hmac: Some(_), .. }))
                    && !self.out_of_tree;
                if acked || added {
                    self.confirm(index);
                    return true;
                }
                if subflow.role == Role::Join {
                    return self.refuse_subflow(now, index, 1);
                }
                // Our keys did not arrive, or options are stripped: TCP (FB-01, FB-03).
                self.fall_back();
                true
            }
            _ => true,
        }
    }

    fn confirm(&mut self, index: usize) {
        let subflow = &mut self.subflows[index];
        subflow.step(Step::Confirmed);
        subflow.answer_timer = None;
        let view = subflow.view();
        self.path_events.push_back(PathEvent::SubflowEstablished(view));
        if subflow.role == Role::Initial && !self.path_manager_started {
            self.path_manager_started = true;
            self.path_events.push_back(PathEvent::Established);
        }
        self.stop_close_timer();
        self.sync_sndbuf();
    }
}

/// Whether the flags of MP_CAPABLE ask for what can be had (CAP-07, CAP-08): no extensibility and the one
/// HMAC of the version, among possibly others in version 0.
const fn capable(version: Version, flags: u8) -> bool {
    let mask = match version {
        Version::V0 => 0x41,
        Version::V1 => 0x5f,
    };
    flags & mask == 0x01
}
