//! Any text as a scenario, or as the description of a measured run if it begins with a brace: it is one or an
//! error. A scenario prints as itself, and its first milliseconds run, or time stands still.
//!
//! `cargo +nightly fuzz run scenario fuzz/corpus/scenario scenarios/library tests/fixtures`

#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use scenarios::run::Network;
use scenarios::{Scenario, groundtruth};
use sim_core::Duration;

/// How much of a scenario is run.
const SPAN: Duration = Duration::from_millis(5);

fuzz_target!(|text: &str| {
    let scenario = if text.starts_with('{') {
        groundtruth::import(text).map(|truth| truth.scenario).ok()
    } else {
        Scenario::from_toml(text, "fuzz.toml").ok()
    };
    let Some(mut scenario) = scenario else { return };
    let printed = scenario.to_toml();
    let again = Scenario::from_toml(&printed, "printed.toml").expect("what was printed can be read");
    assert_eq!(again.to_toml(), printed);
    scenario.duration = scenario.duration.min(SPAN);
    if let Ok(mut network) = Network::build(&scenario, ()) {
        let _ = network.run(&mut (), &mut |_| ControlFlow::Continue(()));
    }
});
