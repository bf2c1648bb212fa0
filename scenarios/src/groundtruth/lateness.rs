//! Repetitions of a measured case: the same network with the timing noise that was measured on its links.
//!
//! A link emulator delivers a frame some microseconds later than the ideal link, each frame by another span. The
//! description of a run says how much, as the 99th percentile for each direction. A repetition delays
//! each frame of such a link by a span drawn from its seed, uniform from zero to that percentile, without
//! changing the order. Losses stay those of the case, since its seed of losses is part of it. Left out are
//! the rare spans beyond the percentile and the noise of the hosts themselves.

use serde_json::Value as Json;
use sim_core::Duration;

use super::GroundTruth;
use crate::scenario::Scenario;

/// Largest delay by which frames of a direction of a link were late, 1 % of them left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lateness {
    link: String,
    /// From `a` to `b`.
    forward: bool,
    span: Duration,
}

/// What the results of a run say about its links.
pub(super) fn measured(results: &Json) -> Vec<Lateness> {
    let links = results.get("links").and_then(Json::as_array).into_iter().flatten();
    let one = |link: &Json| {
        let micros = link.get("lateness_us_p99")?.as_f64().filter(|micros| (0.0..=1e6).contains(micros))?;
        Some(Lateness {
            link: link.get("link")?.as_str()?.to_owned(),
            forward: link.get("dir")?.as_str()? == "ab",
            span: Duration::from_secs_f64(micros / 1e6),
        })
    };
    links.filter_map(one).collect()
}

impl GroundTruth {
    /// Repetition `number` of the case. The first, 0, is the case over ideal links, each further one has
    /// a seed of its own and the timing noise that was measured.
    #[must_use]
    pub fn repetition(&self, number: u32) -> Scenario {
        let mut scenario = self.scenario.clone();
        if number == 0 {
            return scenario;
        }
        scenario.seed = (scenario.seed + u64::from(number)) & i64::MAX.unsigned_abs();
        for lateness in &self.lateness {
            for link in scenario.links.iter_mut().filter(|link| link.name == lateness.link) {
                let direction = if lateness.forward { &mut link.ab } else { &mut link.ba };
                direction.jitter = lateness.span;
            }
        }
        scenario
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lateness_is_read_by_direction_and_nonsense_is_none() {
        let results = json!({"links": [
            {"link": "p1", "dir": "ab", "lateness_us_p99": 20},
            {"link": "p1", "dir": "ba", "lateness_us_p99": 140.5},
            {"link": "p2", "dir": "ab"},
            {"link": "p2", "dir": "ba", "lateness_us_p99": -1},
        ]});
        let read: Vec<_> = measured(&results).into_iter().map(|one| (one.forward, one.span)).collect();
        assert_eq!(read, [(true, Duration::from_micros(20)), (false, Duration::from_nanos(140_500))]);
        assert_eq!(measured(&Json::Null), []);
    }
}
