//! Any octets as the options of a segment: what is read is written again as it was, and both readers agree.
//!
//! `cargo +nightly fuzz run options`

#![no_main]

use libfuzzer_sys::fuzz_target;
use mptcp_model::wire::{TcpOption, TcpOptions};

fuzz_target!(|octets: &[u8]| {
    let Some(options) = TcpOptions::from_bytes(&octets[..octets.len().min(40)]) else { return };
    let parsed = options.parse_all();
    let mut last = None;
    for option in options.iter() {
        let mut again = TcpOptions::new();
        if again.push(&option) {
            assert_eq!(again.iter().next().as_ref(), Some(&option));
        }
        if let TcpOption::Mptcp(mptcp_model::wire::MpOption::Dss(dss)) = option {
            last = Some(dss);
        }
        let _ = option.to_string();
    }
    assert_eq!(parsed.dss, last);
});
