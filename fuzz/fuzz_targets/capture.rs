//! Any octets as a capture file. Seeds: `analysis/tests/damaged`, which ordinary tests read too.
//!
//! `cargo +nightly fuzz run capture fuzz/corpus/capture analysis/tests/damaged`

#![no_main]

use std::io::Cursor;

use analysis::capture::CaptureReader;
use analysis::vantage::read_from;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Ok(mut reader) = CaptureReader::new(Cursor::new(octets.to_vec())) {
        if let Ok((views, warnings)) = read_from(&mut reader, "fuzz", &mut ()) {
            for view in &views {
                let _ = analysis::metrics::report("fuzz", view, &warnings).to_string();
            }
        }
    }
});
