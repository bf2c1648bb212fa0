//! What a packet is relative to: sequence numbers, keys and random numbers, seen from its sender.

use std::net::IpAddr;

use mptcp_model::crypto::{self, Version};
use mptcp_model::wire::{DataNumber, Seq};

use super::ast::Direction;
use super::environment::{Environment, idsn};
use super::option::{DataNumberSpec, Width};
use crate::units::Complaint;

/// One direction of a flow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct View {
    pub(super) sender_isn: Seq,
    pub(super) receiver_isn: Seq,
    pub(super) sender_key: Option<u64>,
    pub(super) receiver_key: Option<u64>,
    sender_nonce: Option<u32>,
    receiver_nonce: Option<u32>,
}

impl View {
    pub(super) fn of(environment: &Environment, flow: usize, direction: Direction) -> Self {
        let Some(flow) = environment.flows.get(flow) else { return Self::default() };
        let (mine, theirs) =
            environment.session(flow.session).map_or((None, None), |session| (session.mine, session.theirs));
        let inbound = Self {
            sender_isn: flow.peer_isn,
            receiver_isn: flow.stack_isn(),
            sender_key: mine,
            receiver_key: theirs,
            sender_nonce: flow.peer_nonce,
            receiver_nonce: flow.stack_nonce,
        };
        match direction {
            Direction::Inbound => inbound,
            Direction::Outbound => Self {
                sender_isn: inbound.receiver_isn,
                receiver_isn: inbound.sender_isn,
                sender_key: inbound.receiver_key,
                receiver_key: inbound.sender_key,
                sender_nonce: inbound.receiver_nonce,
                receiver_nonce: inbound.sender_nonce,
            },
        }
    }

    /// Initial data sequence number of the sender.
    pub(super) fn sender_idsn(&self) -> Result<u64, Complaint> {
        self.sender_key.map(idsn).ok_or_else(unknown_keys)
    }

    /// Initial data sequence number of the receiver.
    pub(super) fn receiver_idsn(&self) -> Result<u64, Complaint> {
        self.receiver_key.map(idsn).ok_or_else(unknown_keys)
    }

    fn keys(&self) -> Result<(u64, u64), Complaint> {
        self.sender_key.zip(self.receiver_key).ok_or_else(unknown_keys)
    }

    fn hmac(&self) -> Result<crypto::Hash, Complaint> {
        let (sender, receiver) = self.keys()?;
        let (own, other) = self.sender_nonce.zip(self.receiver_nonce).ok_or_else(|| {
            Complaint::new(
                "the random numbers of this join are not known yet",
                "exchange them by mp_join_syn and mp_join_syn_ack first",
            )
        })?;
        Ok(crypto::join_hmac(Version::V1, sender, receiver, own, other))
    }

    /// The HMAC of a SYN/ACK.
    pub(super) fn join_syn_ack_hmac(&self) -> Result<u64, Complaint> {
        self.hmac().map(|hash| hash.leftmost_64())
    }

    /// The HMAC of the third ACK.
    pub(super) fn join_ack_hmac(&self) -> Result<[u8; 20], Complaint> {
        self.hmac().map(|hash| hash.leftmost_160())
    }

    /// The HMAC of an announced address.
    pub(super) fn add_addr_hmac(&self, id: u8, address: IpAddr, port: Option<u16>) -> Result<u64, Complaint> {
        let (sender, receiver) = self.keys()?;
        Ok(crypto::add_addr_hmac(sender, receiver, id, address, port))
    }
}

fn unknown_keys() -> Complaint {
    Complaint::new(
        "the keys of this connection are not known yet",
        "exchange them by mpcapable options first",
    )
}

/// A relative data sequence number on the wire.
pub(super) const fn to_wire(width: Width, initial: u64, relative: u64) -> DataNumber {
    let number = initial.wrapping_add(relative);
    match width {
        Width::Four => DataNumber::Short(number as u32),
        Width::Eight => DataNumber::Long(number),
    }
}

/// A data sequence number of the wire as scripts write it.
pub(super) const fn from_wire(number: DataNumber, initial: u64) -> DataNumberSpec {
    match number {
        DataNumber::Short(low) => {
            DataNumberSpec { width: Width::Four, value: Some(low.wrapping_sub(initial as u32) as u64) }
        }
        DataNumber::Long(number) => {
            DataNumberSpec { width: Width::Eight, value: Some(number.wrapping_sub(initial)) }
        }
    }
}

/// Whether a number is as stated: of that width, and of that value if one is.
pub(super) fn is_as_stated(expected: &DataNumberSpec, seen: DataNumber, initial: u64) -> bool {
    match (expected.width, expected.value, seen) {
        (Width::Four, None, DataNumber::Short(_)) | (Width::Eight, None, DataNumber::Long(_)) => true,
        (width, Some(value), seen) => to_wire(width, initial, value) == seen,
        _ => false,
    }
}
