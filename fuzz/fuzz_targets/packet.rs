//! Any octets as an IP packet: reading ends with a packet or an error, and what is read is stable.
//!
//! `cargo +nightly fuzz run packet`

#![no_main]

use libfuzzer_sys::fuzz_target;
use mptcp_model::wire::Packet;

fuzz_target!(|octets: &[u8]| {
    if let Ok(packet) = Packet::parse(octets) {
        let mut out = Vec::new();
        packet.emit(&mut out);
        assert_eq!(Packet::parse(&out).as_ref(), Ok(&packet));
    }
    let _ = Packet::parse_captured(octets);
});
