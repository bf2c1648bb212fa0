//! Tokens, data sequence numbers, HMACs and data checksums against captured values (version 0) and
//! values computed with an independent implementation (version 1).

use std::net::IpAddr;

use mptcp_model::crypto::{
    self, Version, add_addr_hmac, dss_checksum, join_hmac, join_hmac_ack, join_hmac_synack,
};
use mptcp_model::wire::Payload;

use crate::hex;

/// Keys of the captured echo connection.
const KEY_A: u64 = 0x877c_fcac_977e_4b88;
const KEY_B: u64 = 0x813f_6794_75cb_7f9f;
/// Keys and nonces of the published netcat testbed report, client and server.
const NETCAT_CLIENT: u64 = 0x4f5c_da52_cdf8_d843;
const NETCAT_SERVER: u64 = 0x1b5f_fa01_08ca_2243;
const NONCE_CLIENT: u32 = 0x532f_6984;
const NONCE_SERVER: u32 = 0x5095_c2a2;

fn hello() -> u16 {
    Payload::from(&b"hello"[..]).sum()
}

#[test]
fn v0_tokens_and_idsns_are_those_of_the_captures() {
    // KEY-02
    let table = [
        (KEY_A, 0x21d3_42d3, 0x1aff_f588_83a6_8960),
        (KEY_B, 0xa9a0_dd64, 0x4ed5_a9b7_eedf_3c41),
        (NETCAT_CLIENT, 2_013_417_082, 4_246_710_274_791_923_459),
        (NETCAT_SERVER, 984_124_602, 6_050_565_140_442_125_338),
    ];
    for (key, token, idsn) in table {
        assert_eq!(crypto::token(Version::V0, key), token);
        assert_eq!(crypto::idsn(Version::V0, key), idsn);
    }
}

#[test]
fn v1_tokens_and_idsns_are_those_of_sha_256() {
    // KEY-02
    let table = [(KEY_A, 0x5b74_bec6, 0xa88c_16dc_2f5e_d291), (KEY_B, 0x74ec_26fe, 0x41ae_7537_3ed6_41a0)];
    for (key, token, idsn) in table {
        assert_eq!(crypto::token(Version::V1, key), token);
        assert_eq!(crypto::idsn(Version::V1, key), idsn);
    }
}

#[test]
fn v0_join_hmac_of_the_syn_ack_is_the_captured_one() {
    // KEY-04, KEY-06
    let whole = join_hmac(Version::V0, NETCAT_SERVER, NETCAT_CLIENT, NONCE_SERVER, NONCE_CLIENT);
    assert_eq!(hex(whole.as_bytes()), "866c254eab6e1e0278eb2b52ca2e0e4d0779a764");
    assert_eq!(
        join_hmac_synack(Version::V0, NETCAT_SERVER, NETCAT_CLIENT, NONCE_SERVER, NONCE_CLIENT),
        9_686_157_918_380_891_650
    );
}

#[test]
fn v0_join_hmac_depends_on_the_order_of_keys_and_nonces() {
    // KEY-04
    let (c, s, nc, ns) = (NETCAT_CLIENT, NETCAT_SERVER, NONCE_CLIENT, NONCE_SERVER);
    assert_eq!(join_hmac_synack(Version::V0, c, s, nc, ns), 0x229b_ad6e_f4be_deb8);
    let others = [join_hmac_synack(Version::V0, c, s, ns, nc), join_hmac_synack(Version::V0, s, c, nc, ns)];
    assert!(others.contains(&0x7c9e_baa5_9762_16a1) && others.contains(&0x2118_e1e8_4fae_edba));
}

#[test]
fn v0_join_hmac_of_the_third_ack_is_the_whole_hash() {
    // KEY-06, WIRE-11
    let hmac = join_hmac_ack(Version::V0, NETCAT_CLIENT, NETCAT_SERVER, NONCE_CLIENT, NONCE_SERVER);
    assert_eq!(hex(&hmac), "229bad6ef4bedeb8e1dd058544b27c658e15d85f");
}

#[test]
fn v1_join_hmacs_are_truncated_from_the_left() {
    // KEY-04, KEY-06
    let whole = join_hmac(Version::V1, KEY_B, KEY_A, NONCE_SERVER, NONCE_CLIENT);
    assert_eq!(hex(whole.as_bytes()), "f92cbd0a1a19340c780684003caaacd70558a404962fd1552223eafc7bf513ed");
    assert_eq!(
        join_hmac_synack(Version::V1, KEY_B, KEY_A, NONCE_SERVER, NONCE_CLIENT),
        0xf92c_bd0a_1a19_340c
    );
    let ack = join_hmac_ack(Version::V1, KEY_A, KEY_B, NONCE_CLIENT, NONCE_SERVER);
    assert_eq!(hex(&ack), "d01c7ba92c38e2ecaaf2184bd9d66116b216e03f");
}

#[test]
fn add_addr_hmacs_are_truncated_from_the_right() {
    // KEY-05, KEY-06
    let v4: IpAddr = [192, 168, 0, 28].into();
    let v6: IpAddr = "2001:db8::1".parse().expect("a literal address");
    assert_eq!(add_addr_hmac(KEY_A, KEY_B, 2, v4, None), 0xb63c_51b9_f6b6_f5d9);
    assert_eq!(add_addr_hmac(KEY_A, KEY_B, 2, v4, Some(9999)), 0x84bc_ad6d_1d08_02e1);
    assert_eq!(add_addr_hmac(KEY_A, KEY_B, 5, v6, None), 0xf682_4d84_781f_d020);
}

// DSS-13, DSS-19
#[test]
fn data_checksums_cover_all_64_bits_of_the_number() {
    assert_eq!(dss_checksum(0x1aff_f588_83a6_8961, 1, 5, hello()), 0x9e97);
    assert_eq!(dss_checksum(0x4ed5_a9b7_eedf_3c42, 1, 5, hello()), 0x9878);
    assert_eq!(dss_checksum(0x4ed5_a9b7_eedf_3c47, 0, 1, 0), 0xdc4a);
    assert_eq!(dss_checksum(0x1aff_f588_83a6_8966, 0, 1, 0), 0xe269);
    // What a sum over the 32 bits on the wire would give.
    assert_eq!(dss_checksum(0x83a6_8961, 1, 5, hello()), 0xaf1f);
    // Version 1.
    assert_eq!(dss_checksum(0xa88c_16dc_2f5e_d292, 1, 5, hello()), 0xfacd);
}

#[test]
fn only_versions_0_and_1_are_known() {
    for version in [Version::V0, Version::V1] {
        assert_eq!(Version::from_number(version.number()), Some(version));
    }
    assert_eq!(Version::from_number(2), None);
    assert!(Version::V0 < Version::V1);
}
