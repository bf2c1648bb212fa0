//! A simulated packet in the notation of scripts.

use mptcp_model::wire::mptcp::ADD_ADDR_ECHO;
use mptcp_model::wire::{Body, Dss, IcmpMessage, MpOption, Packet, TcpOption, TcpOptions};

use super::ast::{
    AddressRef, BodySpec, Direction, IcmpKind, IcmpSpec, IpSpec, OptionsSpec, PacketSpec, SequenceRange,
    TcpSpec,
};
use super::build::{EXPERIMENT, FAST_OPEN, FAST_OPEN_MAGIC, MD5};
use super::environment::{Environment, idsn, token};
use super::flow::ends;
use super::option::{CapableSpec, DssSpec, HmacSpec, JoinAckHmac, OptionSpec, TokenSpec};
use super::parse::ICMP;
use super::view::{View, from_wire};

/// A packet as a script would state it: with numbers relative to the initial ones, and names instead of
/// keys, tokens and HMACs as far as `environment` knows them. `None` if the language has no words for it.
#[must_use]
pub fn describe(packet: &Packet, direction: Direction, environment: &Environment) -> Option<PacketSpec> {
    let outbound = direction == Direction::Outbound;
    let body = match &packet.body {
        Body::Tcp(segment) => {
            let (stack, peer) = ends(packet, segment, outbound);
            // Without a flow, nothing is relative to anything.
            let flow = environment.flow_between(stack, peer).unwrap_or(usize::MAX);
            let view = View::of(environment, flow, direction);
            let options = segment
                .options
                .iter()
                .map(|option| describe_option(&option, environment, flow, &view, direction))
                .collect();
            BodySpec::Tcp(TcpSpec {
                flags: segment.flags,
                range: SequenceRange {
                    first: segment.seq.distance_from(view.sender_isn),
                    len: segment.payload.len(),
                },
                ack: segment.flags.ack().then(|| segment.ack.distance_from(view.receiver_isn)),
                window: Some(segment.window),
                urgent: segment.flags.contains(mptcp_model::wire::TcpFlags::URG).then_some(segment.urgent),
                options: OptionsSpec::List(options),
            })
        }
        Body::Udp(datagram) => BodySpec::Udp { len: u16::try_from(datagram.payload.len()).ok()? },
        Body::Icmp(message) => BodySpec::Icmp(describe_icmp(message, packet.ip.is_ipv4())?),
        Body::Other { .. } => return None,
    };
    let ecn =
        (packet.ip.ecn != mptcp_model::wire::Ecn::NotEct && packet.ip.dscp == 0).then_some(packet.ip.ecn);
    let tos = (packet.ip.dscp != 0).then_some((packet.ip.dscp << 2) | packet.ip.ecn as u8);
    Some(PacketSpec { direction, ip: IpSpec { ecn, tos }, endpoints: None, body })
}

fn describe_icmp(message: &IcmpMessage, is_ipv4: bool) -> Option<IcmpSpec> {
    let kinds = ICMP.iter().map(|(.., kind)| *kind);
    let kind = kinds.into_iter().find(|kind| kind.numbers(is_ipv4) == (message.kind, message.code))?;
    let mtu = (kind == IcmpKind::FragmentationNeeded).then_some(message.rest);
    Some(IcmpSpec { quoted: None, kind, mtu })
}

/// One option; `flow` and `view` are those of the packet.
pub(super) fn describe_option(
    option: &TcpOption,
    environment: &Environment,
    flow: usize,
    view: &View,
    direction: Direction,
) -> OptionSpec {
    match option {
        TcpOption::EndOfList => OptionSpec::EndOfList,
        TcpOption::Nop => OptionSpec::Nop,
        TcpOption::Mss(mss) => OptionSpec::Mss(*mss),
        TcpOption::WindowScale(shift) => OptionSpec::WindowScale(*shift),
        TcpOption::SackPermitted => OptionSpec::SackOk,
        TcpOption::Sack(blocks) if !blocks.is_empty() => OptionSpec::Sack(
            blocks
                .iter()
                .map(|(left, right)| {
                    (left.distance_from(view.receiver_isn), right.distance_from(view.receiver_isn))
                })
                .collect(),
        ),
        TcpOption::Timestamps { val, ecr } => {
            // Values of the stack's clock are shown as the script wrote them.
            let symbol = |real: u32| {
                let known = environment.flows.get(flow).map(|flow| &flow.timestamps);
                known
                    .and_then(|known| known.iter().find(|(_, value)| **value == real))
                    .map_or(real, |(symbol, _)| *symbol)
            };
            match direction {
                Direction::Outbound => OptionSpec::Timestamps { val: symbol(*val), ecr: *ecr },
                Direction::Inbound => OptionSpec::Timestamps { val: *val, ecr: symbol(*ecr) },
            }
        }
        TcpOption::Unknown { kind: FAST_OPEN, body } => {
            OptionSpec::FastOpen { experimental: false, cookie: body.to_vec() }
        }
        TcpOption::Unknown { kind: EXPERIMENT, body } if body.starts_with(&FAST_OPEN_MAGIC) => {
            OptionSpec::FastOpen { experimental: true, cookie: body[FAST_OPEN_MAGIC.len()..].to_vec() }
        }
        TcpOption::Unknown { kind: MD5, body } if body.len() == 16 => {
            OptionSpec::Md5(body.as_ref().try_into().ok())
        }
        TcpOption::Mptcp(option) => describe_mptcp(option, environment, view).unwrap_or_else(|| {
            let mut octets = TcpOptions::new();
            let fits = octets.push_mptcp(option);
            OptionSpec::Other {
                kind: 30,
                body: octets.as_bytes().get(2..).filter(|_| fits).unwrap_or(&[]).to_vec(),
            }
        }),
        TcpOption::Sack(_) => OptionSpec::Other { kind: 5, body: Vec::new() },
        TcpOption::Unknown { kind, body } => OptionSpec::Other { kind: *kind, body: body.to_vec() },
    }
}

/// `None` for an option that is not interpreted.
fn describe_mptcp(option: &MpOption, environment: &Environment, view: &View) -> Option<OptionSpec> {
    let token_name = |value: u32| {
        let keys = [view.receiver_key, view.sender_key].into_iter().flatten();
        keys.into_iter()
            .find(|key| token(*key) == value)
            .map(|key| environment.key_ref(key))
            .filter(|key| key.value.is_none())
            .map_or(TokenSpec::Value(value), |key| TokenSpec::Hash(key.name))
    };
    Some(match option {
        MpOption::Capable { version, flags, sender_key, receiver_key, data_len, checksum } => {
            OptionSpec::Capable(CapableSpec {
                version: *version,
                flags: *flags,
                keys: [*sender_key, *receiver_key]
                    .into_iter()
                    .flatten()
                    .map(|key| environment.key_ref(key))
                    .collect(),
                data_len: *data_len,
                checksum: checksum.is_some(),
            })
        }
        MpOption::JoinSyn { backup, address_id, token, nonce } => OptionSpec::JoinSyn {
            backup: *backup,
            address_id: Some(*address_id),
            nonce: Some(*nonce),
            token: token_name(*token),
        },
        MpOption::JoinSynAck { backup, address_id, hmac, nonce } => OptionSpec::JoinSynAck {
            backup: *backup,
            address_id: Some(*address_id),
            nonce: Some(*nonce),
            hmac: describe_hmac(*hmac, view.join_syn_ack_hmac().ok()),
        },
        MpOption::JoinAck { hmac } => OptionSpec::JoinAck {
            hmac: if view.join_ack_hmac() == Ok(*hmac) {
                JoinAckHmac::Auto
            } else {
                JoinAckHmac::Value(*hmac)
            },
        },
        MpOption::Dss(dss) => OptionSpec::Dss(describe_dss(dss, view)),
        MpOption::AddAddr { nibble, address_id, address, port, hmac }
            if hmac.is_some() || nibble & ADD_ADDR_ECHO != 0 =>
        {
            let address_ref = match environment.name_of(*address) {
                Some(name) => AddressRef { name: name.to_owned(), value: None },
                None => AddressRef { name: "unknown".to_owned(), value: Some(*address) },
            };
            let right = view.add_addr_hmac(*address_id, *address, *port).ok();
            OptionSpec::AddAddress {
                address_id: Some(*address_id),
                address: address_ref,
                port: *port,
                hmac: hmac.map(|hmac| describe_hmac(hmac, right)),
            }
        }
        MpOption::RemoveAddr { ids } => OptionSpec::RemoveAddress(ids.as_slice().to_vec()),
        MpOption::Prio { backup, address_id } => {
            OptionSpec::Prio { backup: *backup, address_id: *address_id }
        }
        MpOption::Fail { dsn } => {
            OptionSpec::Fail { dsn: dsn.wrapping_sub(view.receiver_key.map_or(0, idsn)) }
        }
        MpOption::FastClose { receiver_key } if Some(*receiver_key) == view.receiver_key => {
            OptionSpec::FastClose(None)
        }
        MpOption::FastClose { receiver_key } => {
            OptionSpec::FastClose(Some(environment.key_ref(*receiver_key)))
        }
        MpOption::TcpRst { flags, reason } => OptionSpec::Reset { reason: *reason, flags: *flags },
        MpOption::AddAddr { .. } | MpOption::Unknown { .. } => return None,
    })
}

fn describe_hmac(seen: u64, right: Option<u64>) -> HmacSpec {
    if right == Some(seen) { HmacSpec::Auto } else { HmacSpec::Value(seen) }
}

/// With keys that are not known, data sequence numbers stay absolute.
fn describe_dss(dss: &Dss, view: &View) -> DssSpec {
    let sender = view.sender_key.map_or(0, idsn);
    let receiver = view.receiver_key.map_or(0, idsn);
    let mapping = dss.mapping;
    DssSpec {
        data_ack: dss.data_ack.map(|number| from_wire(number, receiver)),
        dsn: mapping.map(|mapping| from_wire(mapping.dsn, sender)),
        ssn: mapping.map(|mapping| mapping.ssn),
        data_len: mapping.map(|mapping| mapping.len),
        no_checksum: mapping.is_none_or(|mapping| mapping.checksum.is_none()),
        fin: dss.data_fin,
    }
}
