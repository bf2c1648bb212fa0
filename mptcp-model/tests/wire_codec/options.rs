//! Each option as a literal, both ways and cut at every length, by the rows of RFC 6824 and RFC 8684.

use std::net::IpAddr;

use mptcp_model::wire::mptcp::{TCPRST_TRANSIENT, capable_flag};
use mptcp_model::wire::{
    AddressIds, DataNumber, Dss, DssMapping, MpOption, OptionSpan, SackBlocks, Seq, TcpOption, TcpOptions,
};

use crate::{hex, octets};

const KEY_A: u64 = 0x877c_fcac_977e_4b88;
const KEY_B: u64 = 0x813f_6794_75cb_7f9f;

/// `wire` reads as `option` alone and `option` is written as `wire`; no octet of a buffer is left
/// unwritten; cut at any length, it is not an option but the octets are kept.
#[track_caller]
fn both_ways(option: &MpOption, wire: &str) {
    let wire = octets(wire);
    assert_eq!(option.wire_len(), wire.len());
    assert_eq!(usize::from(wire[1]), wire.len());
    assert_eq!(&MpOption::parse(&wire[2..]), option);
    let mut out = vec![0xa5; wire.len()];
    option.emit(&mut out);
    assert_eq!(hex(&out), hex(&wire));
    tcp_both_ways(&TcpOption::Mptcp(option.clone()), &hex(&wire));
    for len in 2..wire.len() {
        // A body of another length, whole in itself: what it says of itself is what is emitted.
        let cut = MpOption::parse(&wire[2..len]);
        let mut out = vec![0xa5; len];
        cut.emit(&mut out);
        if let MpOption::Unknown { .. } = cut {
            assert_eq!(hex(&out[2..]), hex(&wire[2..len]));
        } else {
            assert_ne!(&cut, option);
        }
    }
}

#[track_caller]
fn tcp_both_ways(option: &TcpOption, wire: &str) {
    let wire = octets(wire);
    let mut options = TcpOptions::new();
    assert!(options.push(option));
    assert_eq!(hex(options.as_bytes()), hex(&wire));
    assert_eq!(option.wire_len(), wire.len());
    let parsed = TcpOptions::from_bytes(&wire).expect("fits");
    assert_eq!(parsed.iter().collect::<Vec<_>>(), std::slice::from_ref(option));
    // An option that ends beyond the header is no option (MAL-02).
    for len in 0..wire.len() {
        let cut = TcpOptions::from_bytes(&wire[..len]).expect("fits");
        assert_eq!(cut.iter().count(), 0, "cut to {len}");
        assert_eq!(cut.as_bytes(), &wire[..len]);
    }
}

fn capable(version: u8, sender: Option<u64>, receiver: Option<u64>) -> MpOption {
    MpOption::Capable {
        version,
        flags: 0x81,
        sender_key: sender,
        receiver_key: receiver,
        data_len: None,
        checksum: None,
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("a literal address")
}

#[test]
fn wire_01_mp_capable_syn_of_v0() {
    // WIRE-01
    both_ways(&capable(0, Some(KEY_A), None), "1e0c0081 877cfcac977e4b88");
}

#[test]
fn wire_02_mp_capable_syn_ack_of_v0() {
    // WIRE-02
    both_ways(&capable(0, Some(KEY_B), None), "1e0c0081 813f679475cb7f9f");
}

#[test]
fn wire_03_mp_capable_ack_of_v0() {
    // WIRE-03
    both_ways(&capable(0, Some(KEY_A), Some(KEY_B)), "1e140081 877cfcac977e4b88 813f679475cb7f9f");
}

#[test]
fn wire_04_mp_capable_syn_of_v1() {
    // WIRE-04
    both_ways(&capable(1, None, None), "1e040181");
}

#[test]
fn wire_05_mp_capable_syn_ack_of_v1() {
    // WIRE-05
    both_ways(&capable(1, Some(KEY_B), None), "1e0c0181 813f679475cb7f9f");
}

#[test]
fn wire_06_mp_capable_ack_of_v1_without_data() {
    // WIRE-06
    both_ways(&capable(1, Some(KEY_A), Some(KEY_B)), "1e140181 877cfcac977e4b88 813f679475cb7f9f");
}

#[test]
fn wire_07_mp_capable_with_data_without_checksum() {
    // WIRE-07
    let option = MpOption::Capable {
        version: 1,
        flags: 0x01,
        sender_key: Some(KEY_A),
        receiver_key: Some(KEY_B),
        data_len: Some(5),
        checksum: None,
    };
    both_ways(&option, "1e160101 877cfcac977e4b88 813f679475cb7f9f 0005");
    let mut options = TcpOptions::new();
    assert!(options.push_mptcp(&option));
    options.pad();
    assert_eq!(options.len(), 24);
    assert_eq!(options.as_bytes()[22..], [1, 1]);
}

#[test]
fn wire_08_mp_capable_with_data_and_checksum() {
    // WIRE-08
    let option = MpOption::Capable {
        version: 1,
        flags: 0x81,
        sender_key: Some(KEY_A),
        receiver_key: Some(KEY_B),
        data_len: Some(5),
        checksum: Some(0xfacd),
    };
    both_ways(&option, "1e180181 877cfcac977e4b88 813f679475cb7f9f 0005 facd");
}

#[test]
fn wire_09_mp_join_syn() {
    // WIRE-09
    let option = MpOption::JoinSyn { backup: false, address_id: 2, token: 0xa9a0_dd64, nonce: 0x0730_5469 };
    both_ways(&option, "1e0c1002 a9a0dd64 07305469");
    let option = MpOption::JoinSyn { backup: true, address_id: 3, token: 0xa9a0_dd64, nonce: 0x74c5_f35c };
    both_ways(&option, "1e0c1103 a9a0dd64 74c5f35c");
}

#[test]
fn wire_10_mp_join_syn_ack() {
    // WIRE-10
    let hmac = 0x866c_254e_ab6e_1e02;
    let option = MpOption::JoinSynAck { backup: false, address_id: 0, hmac, nonce: 0x5095_c2a2 };
    both_ways(&option, "1e101000 866c254eab6e1e02 5095c2a2");
    let option = MpOption::JoinSynAck { backup: true, address_id: 0, hmac, nonce: 0x5095_c2a2 };
    both_ways(&option, "1e101100 866c254eab6e1e02 5095c2a2");
}

#[test]
fn wire_11_mp_join_ack() {
    // WIRE-11
    let mut hmac = [0; 20];
    hmac.copy_from_slice(&octets("229bad6ef4bedeb8e1dd058544b27c658e15d85f"));
    both_ways(&MpOption::JoinAck { hmac }, "1e181000 229bad6ef4bedeb8e1dd058544b27c658e15d85f");
}

#[test]
fn wire_12_dss_seen_on_the_wire() {
    // WIRE-12
    let ack = Dss { data_ack: Some(DataNumber::Short(0xeedf_3c42)), ..Dss::default() };
    both_ways(&MpOption::Dss(ack), "1e082001 eedf3c42");
    let mapping = DssMapping { dsn: DataNumber::Short(0x83a6_8961), ssn: 1, len: 5, checksum: Some(0x9e97) };
    let data = Dss { mapping: Some(mapping), ..ack };
    both_ways(&MpOption::Dss(data), "1e142005 eedf3c42 83a68961 00000001 0005 9e97");
    let fin = Dss { data_fin: true, ..data };
    both_ways(&MpOption::Dss(fin), "1e142015 eedf3c42 83a68961 00000001 0005 9e97");
}

#[test]
fn wire_13_add_addr_of_v0() {
    // WIRE-13
    let v4 = |port| MpOption::AddAddr {
        nibble: 4,
        address_id: 2,
        address: address("192.168.0.28"),
        port,
        hmac: None,
    };
    both_ways(&v4(None), "1e083402 c0a8001c");
    both_ways(&v4(Some(9999)), "1e0a3402 c0a8001c 270f");
    let v6 = |port| MpOption::AddAddr {
        nibble: 6,
        address_id: 5,
        address: address("2001:db8::1"),
        port,
        hmac: None,
    };
    both_ways(&v6(None), "1e143605 20010db8000000000000000000000001");
    both_ways(&v6(Some(9999)), "1e163605 20010db8000000000000000000000001 270f");
}

#[test]
fn wire_14_add_addr_of_v1() {
    // WIRE-14
    let option = |address_id, text, port, hmac| MpOption::AddAddr {
        nibble: 0,
        address_id,
        address: address(text),
        port,
        hmac: Some(hmac),
    };
    let v4 = "192.168.0.28";
    both_ways(&option(2, v4, None, 0xb63c_51b9_f6b6_f5d9), "1e103002 c0a8001c b63c51b9f6b6f5d9");
    both_ways(&option(2, v4, Some(9999), 0x84bc_ad6d_1d08_02e1), "1e123002 c0a8001c 270f 84bcad6d1d0802e1");
    let v6 = "2001:db8::1";
    both_ways(
        &option(5, v6, None, 0xf682_4d84_781f_d020),
        "1e1c3005 20010db8000000000000000000000001 f6824d84781fd020",
    );
    both_ways(
        &option(5, v6, Some(80), 0xf682_4d84_781f_d020),
        "1e1e3005 20010db8000000000000000000000001 0050 f6824d84781fd020",
    );
}

#[test]
fn wire_15_add_addr_echo_of_v1() {
    // WIRE-15
    let option =
        |text, port| MpOption::AddAddr { nibble: 1, address_id: 2, address: address(text), port, hmac: None };
    both_ways(&option("192.168.0.28", None), "1e083102 c0a8001c");
    both_ways(&option("192.168.0.28", Some(9999)), "1e0a3102 c0a8001c 270f");
    both_ways(&option("2001:db8::1", None), "1e143102 20010db8000000000000000000000001");
    both_ways(&option("2001:db8::1", Some(80)), "1e163102 20010db8000000000000000000000001 0050");
}

// MAL-33 is for the connection to decide; what belongs to neither version is unknown already here.
#[test]
fn add_addr_whose_flag_contradicts_its_length_is_unknown() {
    // ADDR-04, ADDR-19
    for wire in [
        "1e083002 c0a8001c",                         // neither echo nor HMAC nor version nibble
        "1e083602 c0a8001c",                         // IPv6 says the nibble, IPv4 the length
        "1e143402 20010db8000000000000000000000001", // the reverse
        "1e103102 c0a8001c b63c51b9f6b6f5d9",        // an echo with an HMAC
        "1e093102 c0a8001c 27",
    ] {
        let wire = octets(wire);
        let option = MpOption::parse(&wire[2..]);
        assert!(matches!(option, MpOption::Unknown { subtype: 3, .. }), "{option}");
        let mut out = vec![0xa5; wire.len()];
        option.emit(&mut out);
        assert_eq!(out, wire);
    }
}

#[test]
fn wire_16_remove_addr() {
    // WIRE-16
    let option = |ids: &[u8]| MpOption::RemoveAddr { ids: AddressIds::new(ids).expect("1 to 37 ids") };
    both_ways(&option(&[3]), "1e044003");
    both_ways(&option(&[1, 2, 3, 4, 5, 6, 7, 8]), "1e0b40 0102030405060708");
    let most: Vec<u8> = (0..37).collect();
    both_ways(&option(&most), &format!("1e2840 {}", hex(&most)));
    assert_eq!(AddressIds::new(&[]), None);
    assert_eq!(AddressIds::new(&[0; 38]), None);
    assert!(matches!(MpOption::parse(&[0x40]), MpOption::Unknown { subtype: 4, .. }));
}

#[test]
fn address_ids_grow_up_to_37() {
    let mut ids = AddressIds::single(7);
    for id in 0..36 {
        assert!(ids.push(id));
    }
    assert!(!ids.push(99));
    assert_eq!(ids.len(), 37);
    assert_eq!(ids.iter().take(3).collect::<Vec<_>>(), [7, 0, 1]);
}

#[test]
fn wire_17_mp_prio_of_v0() {
    // WIRE-17
    both_ways(&MpOption::Prio { backup: true, address_id: Some(9) }, "1e045109");
    both_ways(&MpOption::Prio { backup: false, address_id: Some(9) }, "1e045009");
}

#[test]
fn wire_18_mp_prio_of_v1() {
    // WIRE-18
    both_ways(&MpOption::Prio { backup: true, address_id: None }, "1e0351");
    both_ways(&MpOption::Prio { backup: false, address_id: None }, "1e0350");
}

#[test]
fn wire_19_mp_fail() {
    // WIRE-19
    both_ways(&MpOption::Fail { dsn: 0x0102_0304_0506_0708 }, "1e0c6000 0102030405060708");
}

#[test]
fn wire_20_mp_fastclose() {
    // WIRE-20
    both_ways(&MpOption::FastClose { receiver_key: KEY_B }, "1e0c7000 813f679475cb7f9f");
}

#[test]
fn wire_21_mp_tcprst() {
    // WIRE-21
    both_ways(&MpOption::TcpRst { flags: 1, reason: 6 }, "1e048106");
    both_ways(&MpOption::TcpRst { flags: 0xf, reason: 0 }, "1e048f00");
}

// MAL-41
#[test]
fn wire_22_experimental_and_unassigned_subtypes_are_kept() {
    // WIRE-22
    let experimental = MpOption::Unknown { subtype: 15, body: octets("f1deadbeef").into() };
    both_ways(&experimental, "1e07f1 deadbeef");
    for subtype in 9..=14 {
        let body = vec![subtype << 4, 7];
        let unassigned = MpOption::Unknown { subtype, body: body.clone().into() };
        both_ways(&unassigned, &format!("1e04{}", hex(&body)));
    }
    both_ways(&MpOption::Unknown { subtype: 15, body: bytes_of(&[]) }, "1e02");
}

fn bytes_of(octets: &[u8]) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(octets)
}

#[test]
fn wire_41_reset_reasons_print_their_meaning() {
    // WIRE-41
    let text = [
        "unspecified",
        "MPTCP specific",
        "lack of resources",
        "administratively prohibited",
        "too much outstanding data",
        "unacceptable performance",
        "middlebox interference",
        "unassigned",
    ];
    for (reason, text) in (0..).zip(text) {
        let option = MpOption::TcpRst { flags: TCPRST_TRANSIENT, reason };
        assert_eq!(option.to_string(), format!("tcprst flags 0x1 reason {reason} ({text})"));
    }
}

#[test]
fn wire_30_flags_of_mp_capable_pass_unchanged() {
    // WIRE-30
    for flags in 0..=255 {
        let body = [0x01, flags];
        let option = MpOption::parse(&body);
        assert!(matches!(option, MpOption::Capable { flags: parsed, .. } if parsed == flags));
    }
    let known = capable_flag::CHECKSUM_REQUIRED
        | capable_flag::EXTENSIBILITY
        | capable_flag::NO_JOIN
        | capable_flag::HMAC_SHA;
    assert_eq!(known, 0xe1);
}

#[test]
fn wire_31_reserved_bits_are_ignored_and_sent_as_zero() {
    // WIRE-31
    for (received, sent) in [
        ("1e0c1e02 a9a0dd64 07305469", "1e0c1002 a9a0dd64 07305469"),
        (
            "1e181fff 229bad6ef4bedeb8e1dd058544b27c658e15d85f",
            "1e181000 229bad6ef4bedeb8e1dd058544b27c658e15d85f",
        ),
        ("1e082fe1 eedf3c42", "1e082001 eedf3c42"),
        ("1e044f03", "1e044003"),
        ("1e035e", "1e0350"),
        ("1e0c6fff 0102030405060708", "1e0c6000 0102030405060708"),
        ("1e0c7fff 0102030405060708", "1e0c7000 0102030405060708"),
    ] {
        let wire = octets(received);
        let option = MpOption::parse(&wire[2..]);
        assert!(!matches!(option, MpOption::Unknown { .. }));
        let mut out = vec![0xa5; wire.len()];
        option.emit(&mut out);
        assert_eq!(hex(&out), hex(&octets(sent)));
    }
}

#[test]
fn wire_32_options_end_at_40_octets() {
    // WIRE-32, INV-05
    let mut options = TcpOptions::new();
    assert!(options.push_timestamps(1, 2));
    assert!(options.push_mptcp(&MpOption::JoinAck { hmac: [7; 20] }));
    assert_eq!(options.remaining(), 6);
    let before = options;
    assert!(!options.push_timestamps(3, 4));
    assert!(!options.push_mptcp(&MpOption::FastClose { receiver_key: 1 }));
    let mut sack = SackBlocks::new();
    assert!(sack.push(Seq(1), Seq(2)));
    assert!(!options.push_sack(&sack));
    let ack = Dss { data_ack: Some(DataNumber::Short(1)), ..Dss::default() };
    assert!(!options.push_dss(&ack));
    assert_eq!(options, before);
    assert!(options.push_mss(1460) && options.push_sack_permitted());
    assert!(!options.push_nop());
    assert_eq!(TcpOptions::from_bytes(&[1; 41]), None);
    assert_eq!(TcpOptions::from_bytes(&[1; 40]).map(|options| options.len()), Some(40));
}

#[test]
fn wire_33_padding_is_nops_to_a_multiple_of_4() {
    // WIRE-33
    for (before, after) in [(0, 0), (1, 4), (2, 4), (3, 4), (4, 4), (37, 40), (40, 40)] {
        let mut options = TcpOptions::from_bytes(&vec![0x55; before]).expect("fits");
        options.pad();
        assert_eq!(options.len(), after);
        assert!(options.as_bytes()[before..].iter().all(|octet| *octet == 1));
    }
}

// WIRE-38
#[test]
fn wire_34_options_keep_the_order_of_both_linux_lines() {
    // WIRE-34
    let mut options = TcpOptions::new();
    assert!(options.push_mss(1460) && options.push_sack_permitted());
    assert!(options.push_timestamps(2_264_349, 0) && options.push_nop() && options.push_window_scale(6));
    assert!(options.push_mptcp(&capable(0, Some(KEY_A), None)));
    let captured = "020405b4 0402 080a00228d1d00000000 01 030306 1e0c0081877cfcac977e4b88";
    assert_eq!(hex(options.as_bytes()), hex(&octets(captured)));

    let mut options = TcpOptions::new();
    assert!(options.push_nop() && options.push_nop() && options.push_timestamps(2_264_350, 1_345_427_636));
    let announced = MpOption::AddAddr {
        nibble: 4,
        address_id: 2,
        address: address("192.168.0.28"),
        port: None,
        hmac: None,
    };
    let ack = Dss { data_ack: Some(DataNumber::Short(0xeedf_3c42)), ..Dss::default() };
    assert!(options.push_mptcp(&announced) && options.push_dss(&ack));
    let captured = "0101 080a00228d1e503198b4 1e083402c0a8001c 1e082001eedf3c42";
    assert_eq!(hex(options.as_bytes()), hex(&octets(captured)));
    assert_eq!(options.mptcp().collect::<Vec<_>>(), [announced, MpOption::Dss(ack)]);
}

/// Every DSS that can be told from another on the wire.
fn every_dss() -> Vec<Dss> {
    let numbers = [None, Some(DataNumber::Short(0xeedf_3c42)), Some(DataNumber::Long(0x4ed5_a9b7_eedf_3c42))];
    let mut all = Vec::new();
    for data_ack in numbers {
        for dsn in numbers {
            let Some(dsn) = dsn else {
                all.push(Dss { data_fin: false, data_ack, mapping: None });
                continue;
            };
            for checksum in [None, Some(0x9e97)] {
                for data_fin in [false, true] {
                    let mapping = Some(DssMapping { dsn, ssn: 0x0102_0304, len: 0x0506, checksum });
                    all.push(Dss { data_fin, data_ack, mapping });
                }
            }
        }
    }
    all
}

#[test]
fn wire_35_every_dss_round_trips_at_its_length() {
    // WIRE-35
    let mut lengths = Vec::new();
    for dss in every_dss() {
        let option = MpOption::Dss(dss);
        let ack = dss.data_ack.map_or(0, DataNumber::wire_len);
        let map = dss.mapping.map_or(0, |mapping| mapping.dsn.wire_len() + 6);
        let sum = dss.mapping.map_or(0, |mapping| 2 * usize::from(mapping.checksum.is_some()));
        assert_eq!(option.wire_len(), 4 + ack + map + sum);
        let mut out = vec![0xa5; option.wire_len()];
        option.emit(&mut out);
        both_ways(&option, &hex(&out));
        let mut options = TcpOptions::new();
        assert!(options.push_dss(&dss));
        assert_eq!(options.parse_all().dss, Some(dss));
        lengths.push(option.wire_len());
    }
    lengths.sort_unstable();
    lengths.dedup();
    assert_eq!(lengths, [4, 8, 12, 14, 16, 18, 20, 22, 24, 26, 28]);
}

// MAL-16
#[test]
fn length_bits_of_an_absent_dss_number_have_no_meaning() {
    for (flags, plain) in [(0x09, 0x01), (0x06, 0x04)] {
        let tail = if plain == 0x01 { "eedf3c42" } else { "83a68961 00000001 0005" };
        let with = MpOption::parse(&octets(&format!("20{flags:02x} {tail}")));
        let without = MpOption::parse(&octets(&format!("20{plain:02x} {tail}")));
        assert_eq!(with, without);
        assert!(matches!(with, MpOption::Dss(_)));
    }
}

// MAL-17
#[test]
fn dss_of_another_length_than_its_flags_is_absent() {
    for dss in every_dss() {
        let mut wire = vec![0; dss.wire_len()];
        dss.emit(&mut wire);
        let body = &wire[2..];
        for len in 0..=34 {
            let mut other = body.to_vec();
            other.resize(len, 0);
            let with_sum = body.len() + if dss.mapping.is_some_and(|m| m.checksum.is_none()) { 2 } else { 0 };
            let without = body.len() - if dss.mapping.is_some_and(|m| m.checksum.is_some()) { 2 } else { 0 };
            let legal = [body.len(), with_sum, without].contains(&len);
            assert_eq!(Dss::parse(&other).is_some(), legal, "{dss} at {len}");
        }
    }
}

// MAL-18
#[test]
fn data_fin_without_a_mapping_is_ignored() {
    let option = MpOption::parse(&octets("2011 eedf3c42"));
    let ack = Dss { data_ack: Some(DataNumber::Short(0xeedf_3c42)), ..Dss::default() };
    assert_eq!(option, MpOption::Dss(ack));
    let mut out = [0xa5; 8];
    Dss { data_fin: true, ..ack }.emit(&mut out);
    assert_eq!(hex(&out), "1e082001eedf3c42");
}

// MAL-01, MAL-02
#[test]
fn wire_36_end_of_list_nop_and_bad_lengths_are_handled() {
    // WIRE-36, FB-20
    let read = |wire: &str| -> (Vec<TcpOption>, usize) {
        let options = TcpOptions::from_bytes(&octets(wire)).expect("fits");
        (options.iter().collect(), options.len())
    };
    let mss = TcpOption::Mss(1460);
    assert_eq!(read("020405b4 00 020405b4"), (vec![mss.clone(), TcpOption::EndOfList], 9));
    assert_eq!(read("01 01 020405b4"), (vec![TcpOption::Nop, TcpOption::Nop, mss.clone()], 6));
    for bad in ["1e00", "1e01", "0300", "0301", "6300", "1e0c0081 877c", "030401", "03", "1e28"] {
        let (options, _) = read(&format!("020405b4 {bad}"));
        assert_eq!(options, std::slice::from_ref(&mss), "{bad}");
        let parsed = TcpOptions::from_bytes(&octets(&format!("020405b4 {bad}"))).expect("fits").parse_all();
        assert_eq!((parsed.mss, parsed.window_scale, parsed.mptcp_other), (Some(1460), None, false));
    }
}

#[test]
fn wire_37_known_kinds_of_impossible_length_are_absent() {
    // WIRE-37
    let wire = octets("0203ff 0302 040301 050401 02 080900228d1e00000000 0402");
    let options = TcpOptions::from_bytes(&wire[..]).expect("fits");
    let parsed = options.parse_all();
    assert_eq!((parsed.mss, parsed.window_scale, parsed.timestamps), (None, None, None));
    assert!(parsed.sack.is_empty());
    assert!(options.iter().take(3).all(|option| matches!(option, TcpOption::Unknown { .. })));
    let capable = octets("1e050181 00");
    let parsed = TcpOptions::from_bytes(&capable).expect("fits");
    assert!(matches!(parsed.mptcp().next(), Some(MpOption::Unknown { subtype: 0, .. })));
    // A malformed DSS is neither a DSS nor another option to look at.
    let dss = TcpOptions::from_bytes(&octets("1e072001 eedf3c")).expect("fits").parse_all();
    assert_eq!((dss.dss, dss.mptcp_other), (None, false));
}

#[test]
fn tcp_options_are_written_and_read() {
    tcp_both_ways(&TcpOption::Nop, "01");
    tcp_both_ways(&TcpOption::EndOfList, "00");
    tcp_both_ways(&TcpOption::Mss(1460), "020405b4");
    tcp_both_ways(&TcpOption::WindowScale(7), "030307");
    tcp_both_ways(&TcpOption::SackPermitted, "0402");
    tcp_both_ways(&TcpOption::Timestamps { val: 2_264_350, ecr: 1_345_427_636 }, "080a00228d1e503198b4");
    tcp_both_ways(&TcpOption::Unknown { kind: 34, body: octets("0102").into() }, "22040102");
    let mut blocks = SackBlocks::new();
    let mut wire = String::new();
    for number in 1..=4 {
        assert!(blocks.push(Seq(number), Seq(number << 8)));
        wire.push_str(&format!("{number:08x}{:08x}", number << 8));
        tcp_both_ways(&TcpOption::Sack(blocks), &format!("05{:02x}{wire}", 2 + 8 * number));
    }
    assert!(!blocks.push(Seq(9), Seq(10)));
    blocks.truncate(2);
    assert_eq!(blocks.iter().collect::<Vec<_>>(), [(Seq(1), Seq(256)), (Seq(2), Seq(512))]);
    blocks.truncate(3);
    assert_eq!((blocks.len(), blocks.wire_len()), (2, 18));
}

#[test]
fn the_last_of_two_equal_options_counts() {
    let wire = octets("020405b4 02040218 1e082001eedf3c42 1e082001eedf3c43 1e072001eedf3c");
    let parsed = TcpOptions::from_bytes(&wire).expect("fits").parse_all();
    assert_eq!(parsed.mss, Some(536));
    assert_eq!(parsed.dss.and_then(|dss| dss.data_ack), Some(DataNumber::Short(0xeedf_3c43)));
}

#[test]
fn positions_tell_where_options_stand() {
    let options =
        TcpOptions::from_bytes(&octets("0101 080a00228d1e503198b4 1e082001eedf3c42 00")).expect("fits");
    let positions: Vec<OptionSpan> = options.positions().collect();
    let expected = [(0, 1, 1), (1, 1, 1), (2, 10, 8), (12, 8, 30), (20, 1, 0)];
    assert_eq!(positions, expected.map(|(start, len, kind)| OptionSpan { start, len, kind }));
    let mut edited = options;
    edited.as_bytes_mut()[12..20].fill(1);
    assert_eq!(edited.mptcp().count(), 0);
    assert_eq!(edited.parse_all().timestamps, options.parse_all().timestamps);
}

// DSS-05
#[test]
fn short_numbers_expand_to_the_nearest_long_one() {
    let table: [(u32, u64, u64); 9] = [
        (0x10, 0x1_0000_0000, 0x1_0000_0010),
        (0xffff_fff0, 0x1_0000_0000, 0xffff_fff0),
        (0x10, 0xffff_fff0, 0x1_0000_0010),
        (0xffff_fff0, 0xffff_ffff, 0xffff_fff0),
        (0x8000_0000, 0x1_0000_0001, 0x1_8000_0000),
        (0x8000_0001, 0x1_0000_0000, 0x8000_0001),
        // Equally near: the lower one.
        (0x8000_0000, 0x1_0000_0000, 0x8000_0000),
        // Modulo 2^64.
        (0x10, u64::MAX, 0x10),
        (0xffff_fff0, 0, u64::MAX - 15),
    ];
    for (low, expected, number) in table {
        assert_eq!(DataNumber::Short(low).expand(expected), number, "{low:x} near {expected:x}");
    }
    assert_eq!(DataNumber::Long(7).expand(u64::MAX / 2), 7);
    assert_eq!(DataNumber::new(0x1_0000_0007, false), DataNumber::Short(7));
    assert_eq!(DataNumber::new(0x1_0000_0007, true), DataNumber::Long(0x1_0000_0007));
}

#[test]
fn options_are_small_and_print_readably() {
    assert_eq!(size_of::<TcpOptions>(), 41);
    let options = TcpOptions::from_bytes(&octets("020405b4 0402 1e040181 0301")).expect("fits");
    assert_eq!(format!("{options:?}"), "[mss 1460,sackOK,mptcp 4 capable v1 flags 0x81,rest 0x0301]");
    assert_eq!(format!("{:?}", TcpOptions::EMPTY), "[]");
}
