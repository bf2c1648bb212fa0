//! Comparing the options of an outbound segment, and learning from them.

use mptcp_model::wire::mptcp::ADD_ADDR_ECHO;
use mptcp_model::wire::{DataNumber, Dss, MpOption, TcpOption, TcpSegment};

use super::ast::{AddressRef, Direction, TcpSpec};
use super::build::{EXPERIMENT, FAST_OPEN, FAST_OPEN_MAGIC, MD5, mapping_defaults};
use super::describe::describe_option;
use super::environment::{Environment, token};
use super::flow::unknown_key;
use super::option::{CapableSpec, DssSpec, HmacSpec, JoinAckHmac, OptionSpec, TokenSpec, Width};
use super::view::{View, is_as_stated};
use crate::units::Complaint;

/// Compares the options in order, padding included.
pub(super) fn check(
    expected: &[OptionSpec],
    tcp: &TcpSpec,
    segment: &TcpSegment,
    environment: &mut Environment,
    flow: usize,
    differences: &mut Vec<String>,
) {
    let seen: Vec<TcpOption> = segment.options.iter().collect();
    for (number, (spec, option)) in expected.iter().zip(&seen).enumerate() {
        let outcome = Matcher { environment, flow, tcp }.option(spec, option);
        let view = View::of(environment, flow, Direction::Outbound);
        match outcome {
            Ok(true) => {}
            Ok(false) => {
                let seen = describe_option(option, environment, flow, &view, Direction::Outbound);
                differences.push(format!("option {}: expected `{spec}`, seen `{seen}`", number + 1));
            }
            Err(wrong) => {
                differences.push(format!("option {}: `{spec}` cannot be checked: {wrong}", number + 1));
            }
        }
    }
    // The last NOPs may be left to the padding of the header, on either side.
    let octets = segment.options.len();
    let extra = seen.len().saturating_sub(expected.len());
    let missing = &expected[seen.len().min(expected.len())..];
    let padded = seen.iter().rev().take(extra).all(|option| matches!(option, TcpOption::Nop));
    if extra > 0 && !(padded && octets.is_multiple_of(4) && needs(octets - extra) == extra) {
        let view = View::of(environment, flow, Direction::Outbound);
        for option in &seen[expected.len()..] {
            let seen = describe_option(option, environment, flow, &view, Direction::Outbound);
            differences.push(format!("options: `{seen}` was not expected"));
        }
    }
    let all_padding = missing.iter().all(|spec| *spec == OptionSpec::Nop);
    if !(missing.is_empty() || (all_padding && needs(octets) == missing.len())) {
        for spec in missing {
            differences.push(format!("options: `{spec}` is missing"));
        }
    }
}

/// Octets up to a multiple of four.
const fn needs(octets: usize) -> usize {
    (4 - octets % 4) % 4
}

struct Matcher<'a> {
    environment: &'a mut Environment,
    flow: usize,
    tcp: &'a TcpSpec,
}

impl Matcher<'_> {
    fn view(&self) -> View {
        View::of(self.environment, self.flow, Direction::Outbound)
    }

    fn session(&mut self) -> &mut super::environment::Session {
        let session = self.environment.flows[self.flow].session;
        &mut self.environment.sessions[session]
    }

    /// Whether an option is as stated.
    fn option(&mut self, spec: &OptionSpec, seen: &TcpOption) -> Result<bool, Complaint> {
        Ok(match (spec, seen) {
            (OptionSpec::EndOfList, TcpOption::EndOfList)
            | (OptionSpec::Nop, TcpOption::Nop)
            | (OptionSpec::SackOk, TcpOption::SackPermitted) => true,
            (OptionSpec::Mss(expected), TcpOption::Mss(seen)) => expected == seen,
            (OptionSpec::WindowScale(expected), TcpOption::WindowScale(seen)) => expected == seen,
            (OptionSpec::Sack(expected), TcpOption::Sack(seen)) => {
                let initial = self.view().receiver_isn;
                expected.len() == seen.len()
                    && expected.iter().zip(seen.iter()).all(|((left, right), (seen_left, seen_right))| {
                        initial.wrapping_add(*left) == seen_left && initial.wrapping_add(*right) == seen_right
                    })
            }
            // Values of the stack's clock are symbols: the first one seen is remembered for echoes.
            (OptionSpec::Timestamps { val: symbol, .. }, TcpOption::Timestamps { val, .. }) => {
                self.environment.flows[self.flow].timestamps.entry(*symbol).or_insert(*val);
                true
            }
            (
                OptionSpec::FastOpen { experimental: false, cookie },
                TcpOption::Unknown { kind: FAST_OPEN, body },
            ) => *cookie == body.as_ref(),
            (
                OptionSpec::FastOpen { experimental: true, cookie },
                TcpOption::Unknown { kind: EXPERIMENT, body },
            ) => body.strip_prefix(&FAST_OPEN_MAGIC) == Some(cookie),
            (OptionSpec::Md5(digest), TcpOption::Unknown { kind: MD5, body }) => {
                body.len() == 16 && digest.is_none_or(|digest| digest == body.as_ref())
            }
            (OptionSpec::Other { kind, body }, seen) => {
                let mut octets = mptcp_model::wire::TcpOptions::new();
                let fits = octets.push(seen);
                fits && octets.as_bytes().first() == Some(kind) && octets.as_bytes().get(2..) == Some(body)
            }
            (spec, TcpOption::Mptcp(seen)) => return self.mptcp(spec, seen),
            _ => false,
        })
    }

    fn mptcp(&mut self, spec: &OptionSpec, seen: &MpOption) -> Result<bool, Complaint> {
        Ok(match (spec, seen) {
            (OptionSpec::Capable(spec), seen @ MpOption::Capable { .. }) => self.capable(spec, seen),
            (
                OptionSpec::JoinSyn { backup, address_id, nonce, token: which },
                MpOption::JoinSyn {
                    backup: seen_backup,
                    address_id: seen_id,
                    token: seen_token,
                    nonce: seen_nonce,
                },
            ) => {
                self.environment.flows[self.flow].stack_nonce = Some(*seen_nonce);
                let stack = self.environment.flows[self.flow].stack.ip();
                self.session().ids.insert(stack, *seen_id);
                let expected = match which {
                    TokenSpec::Value(value) => *value,
                    TokenSpec::Hash(name) => {
                        token(self.environment.key(name).ok_or_else(|| unknown_key(name))?)
                    }
                    TokenSpec::Auto => token(self.session().keys()?.0),
                };
                backup == seen_backup
                    && address_id.is_none_or(|id| id == *seen_id)
                    && nonce.is_none_or(|nonce| nonce == *seen_nonce)
                    && expected == *seen_token
            }
            // Neither address id nor random number: the established tool takes them from the packet.
            (
                OptionSpec::JoinSynAck { backup, hmac, .. },
                MpOption::JoinSynAck { backup: seen_backup, hmac: seen_hmac, nonce: seen_nonce, .. },
            ) => {
                self.environment.flows[self.flow].stack_nonce = Some(*seen_nonce);
                let expected = match hmac {
                    HmacSpec::Value(value) => *value,
                    HmacSpec::Auto => self.view().join_syn_ack_hmac()?,
                };
                backup == seen_backup && expected == *seen_hmac
            }
            (OptionSpec::JoinAck { hmac }, MpOption::JoinAck { hmac: seen }) => match hmac {
                JoinAckHmac::Value(value) => value == seen,
                JoinAckHmac::Auto => self.view().join_ack_hmac()? == *seen,
            },
            (OptionSpec::Dss(spec), MpOption::Dss(seen)) => return self.dss(spec, seen),
            (OptionSpec::AddAddress { .. }, MpOption::AddAddr { .. }) => return self.add_addr(spec, seen),
            (OptionSpec::RemoveAddress(ids), MpOption::RemoveAddr { ids: seen }) => ids == seen.as_slice(),
            (
                OptionSpec::Prio { backup, address_id },
                MpOption::Prio { backup: seen_backup, address_id: seen_id },
            ) => backup == seen_backup && address_id == seen_id,
            (OptionSpec::Fail { dsn }, MpOption::Fail { dsn: seen }) => {
                self.view().receiver_idsn()?.wrapping_add(*dsn) == *seen
            }
            (OptionSpec::FastClose(key), MpOption::FastClose { receiver_key }) => {
                let expected = match key {
                    // Before the keys are exchanged the key is nothing.
                    None => self.session().keys().map_or(0, |keys| keys.0),
                    Some(key) => {
                        key.value.or(self.environment.key(&key.name)).ok_or_else(|| unknown_key(&key.name))?
                    }
                };
                expected == *receiver_key
            }
            (
                OptionSpec::Reset { reason, flags },
                MpOption::TcpRst { flags: seen_flags, reason: seen_reason },
            ) => reason == seen_reason && flags == seen_flags,
            _ => false,
        })
    }

    fn capable(&mut self, spec: &CapableSpec, seen: &MpOption) -> bool {
        let MpOption::Capable { version, flags, sender_key, receiver_key, data_len, checksum } = seen else {
            return false;
        };
        let index = self.environment.flows[self.flow].session;
        let seen_keys: Vec<u64> = [*sender_key, *receiver_key].into_iter().flatten().collect();
        if (spec.version, spec.flags, spec.keys.len()) != (*version, *flags, seen_keys.len())
            || spec.data_len != *data_len
            || spec.checksum != checksum.is_some()
        {
            return false;
        }
        if let Some(&first) = seen_keys.first() {
            let session = self.session();
            if session.theirs.is_none() && session.mine != Some(first) {
                session.theirs = Some(first);
            }
            if let Some(len) = data_len {
                session.their_next = session.their_next.max(1 + u64::from(*len));
            }
        }
        let mut keys = spec.keys.iter().zip(seen_keys);
        keys.all(|(key, seen)| self.environment.outbound_key(key, seen, index).is_ok())
    }

    fn dss(&mut self, spec: &DssSpec, seen: &Dss) -> Result<bool, Complaint> {
        let view = self.view();
        let ack_fits = match (&spec.data_ack, seen.data_ack) {
            (None, None) => true,
            (Some(expected), Some(seen)) => is_as_stated(expected, seen, view.receiver_idsn()?),
            _ => false,
        };
        let mapping_fits = match (&spec.dsn, &seen.mapping) {
            (None, None) => true,
            (Some(expected), Some(mapping)) => {
                let initial = view.sender_idsn()?;
                let (default_ssn, default_len) = mapping_defaults(spec, self.tcp);
                let check_len = expected.width == Width::Four || self.environment.setup.check_data_len;
                if let DataNumber::Long(dsn) = mapping.dsn {
                    let next = dsn.wrapping_sub(initial).wrapping_add(u64::from(mapping.len));
                    let session = self.session();
                    session.their_next = session.their_next.max(next);
                }
                is_as_stated(expected, mapping.dsn, initial)
                    && spec.ssn.unwrap_or(default_ssn) == mapping.ssn
                    && spec.no_checksum == mapping.checksum.is_none()
                    && (!check_len || spec.data_len.unwrap_or(default_len) == mapping.len)
            }
            _ => false,
        };
        Ok(ack_fits && mapping_fits && spec.fin == seen.data_fin)
    }

    fn add_addr(&mut self, spec: &OptionSpec, seen: &MpOption) -> Result<bool, Complaint> {
        let (
            OptionSpec::AddAddress { address_id, address, port, hmac },
            MpOption::AddAddr {
                nibble,
                address_id: seen_id,
                address: seen_address,
                port: seen_port,
                hmac: seen_hmac,
            },
        ) = (spec, seen)
        else {
            return Ok(false);
        };
        let AddressRef { name, value } = address;
        let expected = value.or(self.environment.address(name)).unwrap_or(*seen_address);
        let echo = nibble & ADD_ADDR_ECHO != 0;
        let hmac_fits = match (hmac, seen_hmac) {
            (None, None) => echo,
            (Some(HmacSpec::Value(value)), Some(seen)) => !echo && value == seen,
            (Some(HmacSpec::Auto), Some(seen)) => {
                !echo && self.view().add_addr_hmac(*seen_id, *seen_address, *seen_port)? == *seen
            }
            _ => false,
        };
        let fits = hmac_fits
            && expected == *seen_address
            && address_id.is_none_or(|id| id == *seen_id)
            && port == seen_port;
        if fits {
            self.environment.bind_address(name, expected);
            let announced = hmac.is_some();
            let session = self.session();
            session.ids.insert(expected, *seen_id);
            if let (Some(port), true) = (port, announced) {
                session.ports.insert(expected, *port);
            }
        }
        Ok(fits)
    }
}
