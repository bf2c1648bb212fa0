//! The options of each kind of segment in the order and with the padding of Linux (WIRE-33, WIRE-34).

use sim_core::Instant;

use super::machine::Turn;
use super::subflow::Bare;
use super::{Connection, Mode, Role, Stage};
use crate::crypto;
use crate::crypto::Version;
use crate::tcp::{Flow, Mapping, Plan, PlanKind, fast_open};
use crate::wire::{DataNumber, Dss, DssMapping, MpOption, TcpOption, TcpOptions};

impl Connection {
    pub(super) fn options_of(&mut self, index: usize, plan: &Plan, now: Instant) -> TcpOptions {
        let mut options = TcpOptions::new();
        match plan.kind {
            PlanKind::Syn | PlanKind::SynAck => self.handshake_options(index, plan, now, &mut options),
            _ if self.out_of_tree && plan.map.len > 0 => {
                // Every segment has a mapping of its own.
                let mut plan = *plan;
                let data = plan.map.data + (plan.start - plan.map.start);
                let sum = if self.checksum { self.payload(data, plan.len).sum() } else { 0 };
                plan.map = Mapping { data, start: plan.start, len: plan.len, sum };
                self.other_options(index, &plan, now, &mut options);
            }
            _ => self.other_options(index, plan, now, &mut options),
        }
        options
    }

    fn handshake_options(&mut self, index: usize, plan: &Plan, now: Instant, options: &mut TcpOptions) {
        let syn = plan.kind == PlanKind::Syn;
        let subflow = &self.subflows[index];
        let flow = &subflow.flow;
        // What is known of the path by now bounds what is asked for (`tcp_advertise_mss`).
        fits(options.push_mss(flow.params.mss.min(flow.path_mss)));
        let clock = flow.ts_clock(now).wrapping_add(flow.params.ts_offset);
        // The SYN/ACK of crossing SYNs is the SYN with an ACK: it offers what the SYN did (`tcp_send_synack`).
        let offers = !syn && !flow.passive;
        let (sack, timestamps, scale) = if offers {
            let scale = flow.config.window_scaling.then(|| flow.recv.wanted_scale(&flow.config));
            (flow.config.sack, flow.config.timestamps, scale)
        } else {
            (flow.sack_ok, flow.ts_ok, flow.scales.then_some(flow.rcv_wscale))
        };
        match (sack, timestamps) {
            (true, true) => {
                fits(options.push_sack_permitted());
                fits(options.push_timestamps(clock, flow.recv.ts_recent));
            }
            (false, true) => {
                fits(options.push_nop());
                fits(options.push_nop());
                fits(options.push_timestamps(clock, flow.recv.ts_recent));
            }
            (true, false) => {
                fits(options.push_nop());
                fits(options.push_nop());
                fits(options.push_sack_permitted());
            }
            (false, false) => {}
        }
        if let Some(scale) = scale {
            fits(options.push_nop());
            fits(options.push_window_scale(scale));
        }
        if let Some(body) = self.subflows[index].flow.fast_open.option.clone()
            && options.remaining() >= (2 + body.len()).next_multiple_of(4)
        {
            fits(options.push(&TcpOption::Unknown { kind: fast_open::KIND, body }));
            options.pad();
        }
        if let Some(option) = self.handshake_mptcp(index, syn)
            && options.remaining() >= option.wire_len()
        {
            fits(options.push_mptcp(&option));
            options.pad();
        }
    }

    /// MP_CAPABLE or MP_JOIN of a SYN or SYN/ACK.
    fn handshake_mptcp(&mut self, index: usize, syn: bool) -> Option<MpOption> {
        let config = self.options.mptcp.clone()?;
        let retries = self.subflows[index].flow.retries;
        let subflow = &self.subflows[index];
        match subflow.role {
            Role::Initial => {
                if self.mode == Mode::Plain {
                    return None;
                }
                if syn && retries > config.syn_retrans_before_tcp_fallback {
                    // The option may be what the SYN is dropped for (CAP-15).
                    self.turn(Turn::Declined);
                    self.capable_dropped = true;
                    return None;
                }
                Some(MpOption::Capable {
                    version: self.version.number(),
                    flags: self.capable_flags(),
                    sender_key: (!syn || self.version == Version::V0).then_some(self.keys.local),
                    receiver_key: None,
                    data_len: None,
                    checksum: None,
                })
            }
            Role::Join if syn => Some(MpOption::JoinSyn {
                backup: subflow.backup,
                address_id: subflow.local_id,
                token: self.keys.remote_token,
                nonce: subflow.local_nonce,
            }),
            Role::Join => Some(MpOption::JoinSynAck {
                backup: subflow.backup,
                address_id: subflow.local_id,
                hmac: crypto::join_hmac_synack(
                    self.version,
                    self.keys.local,
                    self.keys.remote.unwrap_or_default(),
                    subflow.local_nonce,
                    subflow.remote_nonce,
                ),
                nonce: subflow.local_nonce,
            }),
        }
    }

    /// Flags of MP_CAPABLE: H always, A with checksums, C if joins to this address are unwelcome.
    fn capable_flags(&self) -> u8 {
        let deny = self.options.mptcp.as_ref().is_some_and(|config| !config.allow_join_initial_addr_port);
        let deny = deny && self.version == Version::V1;
        0x01 | if self.checksum { 0x80 } else { 0 } | if deny { 0x20 } else { 0 }
    }

    fn other_options(&mut self, index: usize, plan: &Plan, now: Instant, options: &mut TcpOptions) {
        let flow = &self.subflows[index].flow;
        // Neither an answer has timestamps nor what leaves before they are agreed upon.
        let early = self.mode == Mode::Offered && self.subflows[index].fastclose;
        let answers = plan.kind == PlanKind::Reset && (flow.reset_bare || early);
        if flow.ts_ok && !answers {
            fits(options.push_nop());
            fits(options.push_nop());
            let clock = flow.ts_clock(now).wrapping_add(flow.params.ts_offset);
            fits(options.push_timestamps(clock, flow.recv.ts_recent));
        }
        if plan.kind == PlanKind::Reset {
            let mut further = TcpOptions::new();
            self.reset_options(index, &mut further, options.is_empty());
            let flow = &self.subflows[index].flow;
            let reports = !flow.reset_bare && flow.sack_ok && flow.recv.has_sacks();
            if reports {
                push_sacks(options, flow, further.len());
            }
            further.iter().for_each(|option| fits(options.push(&option)));
            return;
        }
        let mptcp = match self.mode {
            Mode::Multipath => self.mptcp_part(index, plan),
            _ => self.fallback_part(index, plan),
        };
        // A DSS with a DATA_FIN may leave no room for a signal, which then goes alone.
        let mptcp = match mptcp {
            Part::Both(dss, option) | Part::Before(option, dss)
                if dss.wire_len().next_multiple_of(4) + option.wire_len().next_multiple_of(4)
                    > options.remaining() =>
            {
                Part::Other(option)
            }
            fits => fits,
        };
        let reserved = mptcp.padded_len();
        let flow = &self.subflows[index].flow;
        if flow.sack_ok && flow.recv.has_sacks() {
            // The MPTCP option has priority; SACK takes what is left (TCP-05).
            push_sacks(options, flow, reserved);
        }
        match mptcp {
            Part::None => {}
            Part::Dss(dss) => {
                fits(options.push_dss(&dss));
                options.pad();
            }
            Part::Other(option) => {
                fits(options.push_mptcp(&option));
                options.pad();
            }
            Part::Both(dss, option) => {
                fits(options.push_dss(&dss));
                options.pad();
                fits(options.push_mptcp(&option));
                options.pad();
            }
            Part::Before(option, dss) => {
                fits(options.push_mptcp(&option));
                options.pad();
                fits(options.push_dss(&dss));
                options.pad();
            }
        }
        if self.out_of_tree && plan.flags.fin() {
            self.fin_left(index);
        }
        let subflow = &self.subflows[index];
        if subflow.fastclose && subflow.answer_timer.is_none() {
            self.fastclose_left(now, index);
        }
    }

    fn reset_options(&self, index: usize, options: &mut TcpOptions, no_timestamps: bool) {
        if self.mode == Mode::Offered && self.subflows[index].fastclose {
            fits(options.push_mptcp(&MpOption::FastClose { receiver_key: 0 }));
            fits(options.push_mptcp(&MpOption::TcpRst { flags: 0, reason: 0 }));
            return;
        }
        if self.mode != Mode::Multipath && self.subflows[index].role == Role::Initial {
            return;
        }
        let subflow = &self.subflows[index];
        // Nor is there an option on the answer to a segment that has none.
        if subflow.bare_reset == Bare::Due || (subflow.flow.reset_bare && subflow.reset_reason.is_none()) {
            return;
        }
        if self.version == Version::V0 || self.out_of_tree {
            // No reasons in version 0; the out-of-tree kernel acknowledges on its resets.
            if self.out_of_tree && self.keys.remote.is_some() && !no_timestamps {
                let position = self.keys.remote_base.wrapping_add(self.recv.next);
                let data_ack = Some(DataNumber::Short(position as u32));
                fits(options.push_dss(&Dss { data_ack, ..Dss::default() }));
            }
            if let Some(dsn) = subflow.failed_dsn {
                fits(options.push_mptcp(&MpOption::Fail { dsn }));
            }
            return;
        }
        if subflow.fastclose
            && let Some(receiver_key) = self.keys.remote
        {
            fits(options.push_mptcp(&MpOption::FastClose { receiver_key }));
        }
        if let Some(dsn) = subflow.failed_dsn {
            fits(options.push_mptcp(&MpOption::Fail { dsn }));
        }
        let reason = subflow.reset_reason.unwrap_or(0);
        fits(options.push_mptcp(&MpOption::TcpRst { flags: 0, reason }));
    }

    /// What a connection that fell back still has to say: its MP_FAIL, and the infinite mapping.
    fn fallback_part(&mut self, index: usize, plan: &Plan) -> Part {
        if plan.kind == PlanKind::Ack
            && let Some(option) = self.subflows[index].signals.pop_front()
        {
            // The answer to MP_FAIL still carries a DATA_ACK.
            let data_ack = !self.out_of_tree && matches!(option, MpOption::Fail { .. });
            return if data_ack { Part::Both(self.dss(plan, false), option) } else { Part::Other(option) };
        }
        self.infinite_dss(plan).map_or(Part::None, Part::Dss)
    }

    /// The MPTCP options of an established segment.
    fn mptcp_part(&mut self, index: usize, plan: &Plan) -> Part {
        let fin = if self.out_of_tree { self.announces_fin(index, plan) } else { self.send.fin_enabled() };
        let subflow = &mut self.subflows[index];
        if self.out_of_tree && plan.kind == PlanKind::Ack {
            match subflow.signals.pop_front() {
                Some(option @ MpOption::FastClose { .. }) => return Part::Other(option),
                Some(option @ MpOption::Prio { .. }) => return Part::Both(self.dss(plan, fin), option),
                Some(option) => return Part::Before(option, self.dss(plan, fin)),
                None => {}
            }
        } else if plan.kind == PlanKind::Ack {
            match subflow.signals.front() {
                Some(option @ MpOption::AddAddr { .. }) => {
                    // ADD_ADDR on a pure ACK leaves no room for others, and one of IPv6 with port none for
                    // timestamps: Linux 6.18 then cannot send it (ADDR-16).
                    let room = if subflow.flow.ts_ok { 28 } else { 40 };
                    let fits = option.wire_len().next_multiple_of(4) <= room;
                    let option = subflow.signals.pop_front().filter(|_| fits);
                    if let Some(option) = option {
                        return Part::Other(option);
                    }
                }
                Some(_) => {
                    let option = subflow.signals.pop_front();
                    let dss = self.dss(plan, fin);
                    return option.map_or(Part::None, |option| Part::Both(dss, option));
                }
                None => {}
            }
        }
        // Data of a SYN is no part of the stream (RFC 8684, section 3.1).
        let first = 1 + u64::from(subflow.flow.fast_open.octets);
        if subflow.initiated && subflow.stage == Stage::Unconfirmed && plan.burst_start == first {
            match subflow.role {
                Role::Initial if self.out_of_tree || self.version == Version::V0 => {
                    if plan.map.len == 0 && !std::mem::replace(&mut subflow.keys_sent, true) {
                        return Part::Before(self.capable_ack(plan), self.dss(plan, false));
                    }
                }
                Role::Initial if !fin => return Part::Other(self.capable_ack(plan)),
                Role::Initial => {}
                // As with MP_CAPABLE, a DATA_FIN goes first.
                Role::Join if fin && !self.out_of_tree => {}
                // A FIN takes the place of the third ACK there.
                Role::Join if self.out_of_tree && plan.flags.fin() => return Part::None,
                Role::Join => {
                    let hmac = crypto::join_hmac_ack(
                        self.version,
                        self.keys.local,
                        self.keys.remote.unwrap_or_default(),
                        subflow.local_nonce,
                        subflow.remote_nonce,
                    );
                    return Part::Other(MpOption::JoinAck { hmac });
                }
            }
        }
        Part::Dss(self.dss(plan, fin))
    }

    /// MP_CAPABLE of the third ACK, or of the first data (RFC 8684, section 3.1).
    fn capable_ack(&self, plan: &Plan) -> MpOption {
        let with_data = plan.map.len > 0;
        let checksum = (with_data && self.checksum).then(|| {
            let dsn = self.keys.local_base.wrapping_add(plan.map.data);
            crypto::dss_checksum(dsn, 1, plan.map.len as u16, plan.map.sum)
        });
        MpOption::Capable {
            version: self.version.number(),
            flags: self.capable_flags(),
            sender_key: Some(self.keys.local),
            receiver_key: self.keys.remote,
            data_len: with_data.then_some(plan.map.len as u16),
            checksum,
        }
    }

    /// The DSS of a segment: DATA_ACK always, mapping with data, DATA_FIN once all data was handed down.
    #[inline(always)]
    pub(super) fn dss(&self, plan: &Plan, fin: bool) -> Dss {
        let position = self.keys.remote_base.wrapping_add(self.recv.next);
        let data_ack = Some(if self.use_long_ack {
            DataNumber::Long(position)
        } else {
            DataNumber::Short(position as u32)
        });
        let fin_at = self.send.written;
        let mut data_fin = false;
        let mapping = if plan.map.len > 0 {
            let map = &plan.map;
            let mut len = map.len;
            if fin && map.data + u64::from(map.len) == fin_at {
                data_fin = true;
                len += 1;
            }
            let ssn = (map.start as u32).wrapping_sub(self.syn_octets);
            Some(self.dss_mapping(map.data, ssn, len as u16, map.sum))
        } else if fin {
            data_fin = true;
            Some(self.dss_mapping(fin_at, 0, 1, 0))
        } else {
            None
        };
        Dss { data_fin, data_ack, mapping }
    }

    /// A data sequence number as this side writes it in mappings.
    #[inline]
    pub(super) fn data_number(&self, dsn: u64) -> DataNumber {
        if self.out_of_tree { DataNumber::Short(dsn as u32) } else { DataNumber::Long(dsn) }
    }

    #[inline(always)]
    fn dss_mapping(&self, data: u64, ssn: u32, len: u16, sum: u16) -> DssMapping {
        let dsn = self.keys.local_base.wrapping_add(data);
        DssMapping {
            dsn: self.data_number(dsn),
            ssn,
            len,
            checksum: self.checksum.then(|| crypto::dss_checksum(dsn, ssn, len, sum)),
        }
    }
}

/// What waits out of order, as far as `reserved` octets for other options leave room.
fn push_sacks(options: &mut TcpOptions, flow: &Flow, reserved: usize) {
    let room = options.remaining().saturating_sub(reserved + 4) / 8;
    if room > 0 {
        fits(options.push_nop());
        fits(options.push_nop());
        fits(options.push_sack(&flow.recv.sack_blocks(room.min(4))));
    }
}

/// Options are chosen such that they fit (WIRE-32).
fn fits(pushed: bool) {
    debug_assert!(pushed, "the options of a segment fit into 40 octets");
}

/// MPTCP options of one segment.
enum Part {
    None,
    Dss(Dss),
    Other(MpOption),
    Both(Dss, MpOption),
    Before(MpOption, Dss),
}

impl Part {
    fn padded_len(&self) -> usize {
        let padded = |len: usize| len.next_multiple_of(4);
        match self {
            Self::None => 0,
            Self::Dss(dss) => padded(dss.wire_len()),
            Self::Other(option) => padded(option.wire_len()),
            Self::Both(dss, option) | Self::Before(option, dss) => {
                padded(dss.wire_len()) + padded(option.wire_len())
            }
        }
    }
}
