//! Any text as a packet script: it is a script or an error, and a script runs to its end.
//!
//! `cargo +nightly fuzz run script fuzz/corpus/script mptcp-model/scripts/mptcp mptcp-model/scripts/tcp`

#![no_main]

use libfuzzer_sys::fuzz_target;
use scenarios::script::run::Variant;
use scenarios::script::{Definitions, Script};

fuzz_target!(|text: &str| {
    if let Ok(script) = Script::parse("fuzz.pkt", text, &Definitions::new()) {
        let _ = script.run(Variant::Ipv4, false, 1);
    }
});
