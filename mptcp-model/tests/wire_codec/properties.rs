//! Arbitrary octets never panic; what is read is written again; what is written is read again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mptcp_model::wire::{
    AddressIds, Body, DataNumber, Dss, DssMapping, Ecn, IcmpMessage, IpHeader, MpOption, Packet, Payload,
    SackBlocks, Seq, TcpFlags, TcpOption, TcpOptions, TcpSegment, UdpDatagram, verify_checksums,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn data_number() -> impl Strategy<Value = DataNumber> {
    prop_oneof![any::<u32>().prop_map(DataNumber::Short), any::<u64>().prop_map(DataNumber::Long)]
}

fn dss() -> impl Strategy<Value = Dss> {
    let mapping = (data_number(), any::<u32>(), any::<u16>(), option::of(any::<u16>()))
        .prop_map(|(dsn, ssn, len, checksum)| DssMapping { dsn, ssn, len, checksum });
    (any::<bool>(), option::of(data_number()), option::of(mapping)).prop_map(|(fin, data_ack, mapping)| Dss {
        data_fin: fin && mapping.is_some(),
        data_ack,
        mapping,
    })
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    ]
}

fn add_addr() -> impl Strategy<Value = MpOption> {
    let forms = prop_oneof![Just(0u8), Just(1), Just(4)];
    (forms, any::<u8>(), address(), option::of(any::<u16>()), any::<u64>()).prop_map(
        |(form, address_id, address, port, hmac)| MpOption::AddAddr {
            nibble: if form == 4 && address.is_ipv6() { 6 } else { form },
            address_id,
            address,
            port,
            hmac: (form == 0).then_some(hmac),
        },
    )
}

fn capable() -> impl Strategy<Value = MpOption> {
    (0..5usize, 0u8..16, any::<u8>(), any::<[u64; 2]>(), any::<[u16; 2]>()).prop_map(
        |(fields, version, flags, keys, rest)| MpOption::Capable {
            version,
            flags,
            sender_key: (fields > 0).then_some(keys[0]),
            receiver_key: (fields > 1).then_some(keys[1]),
            data_len: (fields > 2).then_some(rest[0]),
            checksum: (fields > 3).then_some(rest[1]),
        },
    )
}

fn mp_option() -> impl Strategy<Value = MpOption> {
    prop_oneof![
        capable(),
        dss().prop_map(MpOption::Dss),
        add_addr(),
        (any::<bool>(), any::<u8>(), any::<[u32; 2]>()).prop_map(|(backup, address_id, [token, nonce])| {
            MpOption::JoinSyn { backup, address_id, token, nonce }
        }),
        (any::<bool>(), any::<u8>(), any::<u64>(), any::<u32>()).prop_map(
            |(backup, address_id, hmac, nonce)| MpOption::JoinSynAck { backup, address_id, hmac, nonce }
        ),
        any::<[u8; 20]>().prop_map(|hmac| MpOption::JoinAck { hmac }),
        vec(any::<u8>(), 1..=37).prop_filter_map("1 to 37 ids", |ids| {
            AddressIds::new(&ids).map(|ids| MpOption::RemoveAddr { ids })
        }),
        (any::<bool>(), option::of(any::<u8>()))
            .prop_map(|(backup, address_id)| MpOption::Prio { backup, address_id }),
        any::<u64>().prop_map(|dsn| MpOption::Fail { dsn }),
        any::<u64>().prop_map(|receiver_key| MpOption::FastClose { receiver_key }),
        (0u8..16, any::<u8>()).prop_map(|(flags, reason)| MpOption::TcpRst { flags, reason }),
        (9u8..16, vec(any::<u8>(), 0..37)).prop_map(|(subtype, mut body)| {
            body.insert(0, subtype << 4);
            MpOption::Unknown { subtype, body: body.into() }
        }),
    ]
}

fn tcp_option() -> impl Strategy<Value = TcpOption> {
    prop_oneof![
        Just(TcpOption::Nop),
        any::<u16>().prop_map(TcpOption::Mss),
        any::<u8>().prop_map(TcpOption::WindowScale),
        Just(TcpOption::SackPermitted),
        vec(any::<[u32; 2]>(), 1..=4).prop_map(|edges| {
            let mut blocks = SackBlocks::new();
            for [left, right] in edges {
                assert!(blocks.push(Seq(left), Seq(right)));
            }
            TcpOption::Sack(blocks)
        }),
        any::<[u32; 2]>().prop_map(|[val, ecr]| TcpOption::Timestamps { val, ecr }),
        mp_option().prop_map(TcpOption::Mptcp),
        (31u8..=255, vec(any::<u8>(), 0..20))
            .prop_map(|(kind, body)| TcpOption::Unknown { kind, body: body.into() }),
    ]
}

/// The options that fit, in order, padded.
fn tcp_options() -> impl Strategy<Value = TcpOptions> {
    vec(tcp_option(), 0..8).prop_map(|list| {
        let mut options = TcpOptions::new();
        for option in list {
            let before = options;
            if !options.push(&option) {
                assert_eq!(options, before);
            }
        }
        options.pad();
        options
    })
}

fn ip_header() -> impl Strategy<Value = IpHeader> {
    let addresses = prop_oneof![
        any::<[u32; 2]>().prop_map(|[src, dst]| (
            IpAddr::V4(Ipv4Addr::from_bits(src)),
            IpAddr::V4(Ipv4Addr::from_bits(dst))
        )),
        any::<[u128; 2]>().prop_map(|[src, dst]| (
            IpAddr::V6(Ipv6Addr::from_bits(src)),
            IpAddr::V6(Ipv6Addr::from_bits(dst))
        )),
    ];
    (addresses, any::<u8>(), 0u8..64, any::<u8>(), any::<bool>(), any::<u16>(), 0u32..1 << 20).prop_map(
        |((src, dst), ttl, dscp, ecn, dont_fragment, id, flow_label)| {
            let v4 = src.is_ipv4();
            IpHeader {
                src,
                dst,
                ttl,
                dscp,
                ecn: Ecn::from_bits(ecn),
                dont_fragment: dont_fragment || !v4,
                id: if v4 { id } else { 0 },
                flow_label: if v4 { 0 } else { flow_label },
            }
        },
    )
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        Just(Payload::Empty),
        (0u32..4, any::<u64>(), 0u32..1500)
            .prop_map(|(seed, offset, len)| Payload::pattern(seed, offset, len)),
        vec(any::<u8>(), 0..100).prop_map(|octets| Payload::from(&octets[..])),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    let tcp = (
        any::<[u16; 2]>(),
        any::<[u32; 2]>(),
        0u16..=TcpFlags::MASK,
        any::<[u16; 2]>(),
        tcp_options(),
        payload(),
    )
        .prop_map(|(ports, [seq, ack], flags, [window, urgent], options, payload)| {
            Body::Tcp(TcpSegment {
                src_port: ports[0],
                dst_port: ports[1],
                seq: Seq(seq),
                ack: Seq(ack),
                flags: TcpFlags(flags),
                window,
                urgent,
                options,
                payload,
            })
        });
    let udp = (any::<[u16; 2]>(), payload())
        .prop_map(|([src_port, dst_port], payload)| Body::Udp(UdpDatagram { src_port, dst_port, payload }));
    let icmp =
        (any::<[u8; 2]>(), any::<u32>(), vec(any::<u8>(), 0..60)).prop_map(|([kind, code], rest, data)| {
            Body::Icmp(Box::new(IcmpMessage { kind, code, rest, data: data.into() }))
        });
    let other = payload().prop_map(|payload| Body::Other { protocol: 132, payload });
    prop_oneof![4 => tcp, 1 => udp, 1 => icmp, 1 => other]
}

fn packet() -> impl Strategy<Value = Packet> {
    (ip_header(), body()).prop_map(|(ip, body)| Packet { ip, body })
}

/// The packet with its payload as the octets it describes.
fn literal(packet: &Packet) -> Packet {
    let mut packet = packet.clone();
    if let Body::Tcp(TcpSegment { payload, .. })
    | Body::Udp(UdpDatagram { payload, .. })
    | Body::Other { payload, .. } = &mut packet.body
    {
        let mut octets = Vec::new();
        payload.write_to(&mut octets);
        *payload = Payload::from(&octets[..]);
    }
    packet
}

fn emit(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet.emit(&mut out);
    out
}

proptest! {
    #[test]
    fn any_packet_survives_the_wire(packet in packet()) {
        let wire = emit(&packet);
        prop_assert_eq!(wire.len(), packet.wire_len());
        prop_assert_eq!(verify_checksums(&wire), Ok(()));
        let parsed = Packet::parse(&wire);
        prop_assert_eq!(parsed.as_ref(), Ok(&literal(&packet)));
        prop_assert_eq!(parsed.map(|parsed| emit(&parsed)), Ok(wire.clone()));
        prop_assert!(!packet.to_string().is_empty());
        let mut head = vec![0xa5];
        packet.emit_headers(&mut head, 10);
        prop_assert_eq!(&head[1..], &wire[..head.len() - 1]);
    }

    #[test]
    fn any_octets_read_without_panic_and_are_stable(
        mut octets in vec(any::<u8>(), 0..120), version in prop_oneof![Just(0x45u8), Just(0x60), any::<u8>()],
    ) {
        if let Some(first) = octets.first_mut() {
            *first = version;
        }
        let _ = verify_checksums(&octets);
        if let Ok((packet, _)) = Packet::parse_captured(&octets) {
            prop_assert!(!packet.to_string().is_empty());
            prop_assert_eq!(Packet::parse(&emit(&packet)), Ok(packet));
        }
    }

    #[test]
    fn a_damaged_packet_reads_without_panic_and_is_stable(
        packet in packet(), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut wire = emit(&packet);
        for (at, octet) in damage {
            let at = at.index(wire.len());
            wire[at] = octet;
        }
        let _ = verify_checksums(&wire);
        if let Ok((packet, _)) = Packet::parse_captured(&wire) {
            prop_assert!(!packet.to_string().is_empty());
            prop_assert_eq!(Packet::parse(&emit(&packet)), Ok(packet));
        }
    }

    #[test]
    fn any_option_octets_are_kept(octets in vec(prop_oneof![0u8..9, Just(30u8), any::<u8>()], 0..=40)) {
        let options = TcpOptions::from_bytes(&octets).expect("at most 40");
        prop_assert_eq!(options.as_bytes(), &octets[..]);
        let _ = (options.parse_all(), format!("{options:?}"));
        // The typed view, written again, is stable: only reserved bits were lost.
        let list: Vec<TcpOption> = options.iter().collect();
        let mut again = TcpOptions::new();
        for option in &list {
            prop_assert!(again.push(option));
        }
        prop_assert_eq!(&again.iter().collect::<Vec<_>>(), &list);
        prop_assert_eq!(again.len(), options.positions().map(|span| span.len).sum::<usize>());
        for (old, new) in options.positions().zip(again.positions()) {
            prop_assert_eq!(old, new);
        }
    }

    #[test]
    fn any_mptcp_body_is_kept(octets in vec(any::<u8>(), 0..=38), subtype in 0u8..16) {
        let mut octets = octets;
        if let Some(first) = octets.first_mut() {
            *first = subtype << 4 | *first & 0x0f;
        }
        let option = MpOption::parse(&octets);
        let mut out = vec![0xa5; option.wire_len()];
        option.emit(&mut out);
        prop_assert_eq!(out.len(), octets.len() + 2);
        prop_assert_eq!(MpOption::parse(&out[2..]), option.clone());
        if let MpOption::Unknown { .. } = option {
            prop_assert_eq!(&out[2..], &octets[..]);
        }
    }

    #[test]
    fn any_mptcp_option_survives_the_wire(option in mp_option()) {
        let mut out = vec![0xa5; option.wire_len()];
        option.emit(&mut out);
        prop_assert_eq!(MpOption::parse(&out[2..]), option);
    }

    #[test]
    fn the_one_pass_reader_sees_what_the_typed_view_sees(options in tcp_options()) {
        let parsed = options.parse_all();
        let last = |pick: &dyn Fn(&TcpOption) -> bool| options.iter().filter(|option| pick(option)).last();
        let mss = last(&|option| matches!(option, TcpOption::Mss(_)));
        prop_assert_eq!(parsed.mss.map(TcpOption::Mss), mss);
        let scale = last(&|option| matches!(option, TcpOption::WindowScale(_)));
        prop_assert_eq!(parsed.window_scale.map(TcpOption::WindowScale), scale);
        let stamps = last(&|option| matches!(option, TcpOption::Timestamps { .. }));
        prop_assert_eq!(parsed.timestamps.map(|(val, ecr)| TcpOption::Timestamps { val, ecr }), stamps);
        let sack = last(&|option| matches!(option, TcpOption::Sack(_)));
        prop_assert_eq!((!parsed.sack.is_empty()).then_some(TcpOption::Sack(parsed.sack)), sack);
        let dss = last(&|option| matches!(option, TcpOption::Mptcp(MpOption::Dss(_))));
        prop_assert_eq!(parsed.dss.map(|dss| TcpOption::Mptcp(MpOption::Dss(dss))), dss);
        let other = options.mptcp().any(|option| !matches!(option, MpOption::Dss(_)));
        prop_assert_eq!(parsed.mptcp_other, other);
        let permitted = options.iter().any(|option| option == TcpOption::SackPermitted);
        prop_assert_eq!(parsed.sack_permitted, permitted);
    }
}
