//! A host under hostile segments, which the input describes: see `mptcp-model/tests/stack/drive.rs`. Inputs that
//! once failed are in `mptcp-model/tests/fixtures/hostile` and are run by ordinary tests, too.
//!
//! `cargo +nightly fuzz run stack fuzz/corpus/stack mptcp-model/tests/fixtures/hostile`

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../mptcp-model/tests/stack/drive.rs"]
mod drive;
#[path = "../../mptcp-model/tests/stack/pair.rs"]
#[expect(dead_code, reason = "the harness of the stack's tests serves for the set-up only")]
mod pair;
#[path = "../../mptcp-model/tests/stack/peer.rs"]
#[expect(dead_code, reason = "the harness of the stack's tests, of which a part serves")]
mod peer;

fuzz_target!(|input: &[u8]| drive::drive(input));
