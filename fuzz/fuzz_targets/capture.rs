//! Any octets as a capture file, through everything that reads captures. Seeds: `analysis/tests/damaged` and
//! `analysis/tests/fixtures`, which ordinary tests read too.
//!
//! `cargo +nightly fuzz run capture fuzz/corpus/capture analysis/tests/damaged analysis/tests/fixtures`

#![no_main]

#[path = "../../analysis/tests/common/everything.rs"]
mod everything;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| everything::read_everything(octets.to_vec(), octets.len() < 2048));
