//! Properties of the language.

use proptest::prelude::*;
use scenarios::application::Step;
use scenarios::units::{self, Probability, QueueSize};
use scenarios::words::{Command, Route, Rule};
use scenarios::{Scenario, library};
use sim_core::{Bytes, Duration, Rate};

proptest! {
    #[test]
    fn quantities_survive_printing(value in any::<u64>(), chance in 0..=1_000_000_000_000_000_u64) {
        let span = Duration::from_nanos(value);
        prop_assert_eq!(units::duration(&span.to_string()), Ok(span));
        prop_assert_eq!(units::size(&units::print_size(Bytes(value))), Ok(Bytes(value)));
        if let Some(rate) = Rate::from_bps(value) {
            prop_assert_eq!(units::rate(&rate.to_string()), Ok(rate));
        }
        let chance = Probability::from_quadrillionths(chance).unwrap();
        prop_assert_eq!(units::probability(&chance.to_string()), Ok(chance));
        for queue in [QueueSize::Packets(value), QueueSize::Bytes(Bytes(value)), QueueSize::Bdp { thousandths: value }] {
            prop_assert_eq!(units::queue_size(&queue.to_string()), Ok(queue));
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*", tail in "[ a-z0-9:./%]{0,40}") {
        let _ = units::duration(&text).is_ok();
        let _ = units::queue_size(&text).is_ok();
        let _ = tail.parse::<Command>().is_ok();
        let _ = tail.parse::<Rule>().is_ok();
        let _ = tail.parse::<Route>().is_ok();
        let _ = tail.parse::<Step>().is_ok();
        if let Err(errors) = Scenario::from_toml(&text, "arbitrary") {
            prop_assert!(!errors.to_string().is_empty());
        }
    }

    #[test]
    fn a_damaged_scenario_gives_errors_with_spans_in_the_text_or_is_one(
        which in 0..library::list().len(),
        start in any::<prop::sample::Index>(),
        length in 0..20_usize,
        insert in "[a-z0-9\"= \\[\\]{}.:,\u{e4}\n-]{0,12}",
    ) {
        let text = library::list()[which].text;
        let start = start.index(text.len());
        let end = (start + length).min(text.len());
        let damaged = format!(
            "{}{insert}{}",
            String::from_utf8_lossy(&text.as_bytes()[..start]),
            String::from_utf8_lossy(&text.as_bytes()[end..])
        );
        match Scenario::from_toml(&damaged, "damaged") {
            Ok(scenario) => {
                let again = Scenario::from_toml(&scenario.to_toml(), "printed");
                prop_assert_eq!(again, Ok(scenario));
            }
            Err(errors) => for error in &errors {
                prop_assert!(error.span().end <= damaged.len());
                prop_assert!(error.place().line_column().0 >= 1);
            }
        }
    }

    #[test]
    fn a_scenario_with_any_values_survives_printing(
        rate in 1..u64::MAX / 2,
        delay in any::<u32>(),
        bdp in 1..10_000_u32,
        chances in prop::array::uniform4(0..=1_000_000_000_000_000_u64),
        frames in prop::collection::btree_set(any::<u32>(), 0..5),
        nth in 1..u32::MAX,
        seed in 0..i64::MAX,
        model in 0..5_usize,
        steps in prop::collection::vec((0..10_usize, 1..1_000_000_000_u64), 0..8),
    ) {
        let chance = |n: usize| Probability::from_quadrillionths(chances[n]).unwrap().to_string();
        let list: Vec<String> = frames.iter().map(ToString::to_string).collect();
        let loss = match model {
            0 => format!("probability = \"{}\"", chance(0)),
            1 => format!("probability = \"{}\", splitmix_seed = {seed}", chance(0)),
            2 => format!(
                "gilbert_elliott = {{ p = \"{}\", r = \"{}\", loss_good = \"{}\", loss_bad = \"{}\" }}",
                chance(0), chance(1), chance(2), chance(3)
            ),
            3 => format!("every_nth = {nth}"),
            _ => format!("frames = [{}], probability = \"{}\"", list.join(", "), chance(1)),
        };
        let steps: Vec<String> = steps
            .iter()
            .map(|(kind, value)| match kind {
                0 => format!("\"send {value} B\""),
                1 => format!("\"recv {value} B\""),
                2 => format!("\"sleep {value} ns\""),
                3 => format!("\"sleep_until {value} us\""),
                4 => format!("\"send_rate {value} B at {value} bit/s in {value} B\""),
                5 => format!("\"send_for {value} ms\""),
                6 => format!("\"send_until {value} ns\""),
                7 => "\"snapshot\"".to_owned(),
                8 => "\"recv_eof\"".to_owned(),
                _ => "\"disconnect\"".to_owned(),
            })
            .collect();
        let text = format!(
            "seed = {seed}\n\
             [hosts.a.interfaces]\nx = {{ addresses = [\"10.0.0.1/24\", \"fd00::1/64\"] }}\n\
             [hosts.b.interfaces]\ny = {{ addresses = [\"10.0.0.2/24\"] }}\n\
             [[links]]\nname = \"l\"\na = \"a:x\"\nb = \"b:y\"\nrate = \"{rate} bit/s\"\ndelay = \"{delay} ns\"\n\
             bdp_rtt = \"1 s\"\nqueue = \"{bdp}.125 BDP\"\nloss = {{ {loss} }}\njitter = \"{delay} us\"\n\
             changes = [{{ at = \"{delay} us\", direction = \"ba\", loss = {{ {loss} }} }}]\n\
             [[flows]]\nfrom = \"a\"\nto = \"10.0.0.2\"\nclient = [{}]\nserver = [{}]\n\
             congestion_parameters = {{ beta = \"0.7\", n = {seed}, fast = true }}\n",
            steps.join(", "),
            steps.join(", "),
        );
        let scenario = Scenario::from_toml(&text, "made").map_err(|errors| TestCaseError::fail(format!("{errors}\n{text}")))?;
        prop_assert_eq!(Scenario::from_toml(&scenario.to_toml(), "made"), Ok(scenario));
    }
}
