//! The largest of the values seen in a window of rounds, kept in three samples as by Kathleen Nichols' algorithm: the
//! best, and the best of those after it, each from a later part of the window. Exact values would need all samples;
//! this takes constant space and is never below the largest value of the last quarter of the window.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sample {
    round: u32,
    value: u64,
}

/// A running maximum over a window of rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MaxFilter {
    best: [Sample; 3],
}

impl MaxFilter {
    /// The maximum.
    pub(super) const fn max(&self) -> u64 {
        self.best[0].value
    }

    /// A value of `round`; those more than `window` rounds older no longer count.
    pub(super) fn update(&mut self, window: u32, round: u32, value: u64) {
        let new = Sample { round, value };
        let age = |sample: Sample| round.wrapping_sub(sample.round);
        let [first, second, third] = &mut self.best;
        if value >= first.value || age(*third) > window {
            self.best = [new; 3];
            return;
        }
        if value >= second.value {
            (*second, *third) = (new, new);
        } else if value >= third.value {
            *third = new;
        }
        if age(*first) > window {
            (*first, *second, *third) = (*second, *third, new);
            if age(*first) > window {
                (*first, *second) = (*second, *third);
            }
        } else if second.round == first.round && age(*first) > window / 4 {
            (*second, *third) = (new, new);
        } else if third.round == second.round && age(*first) > window / 2 {
            *third = new;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_maximum_is_forgotten_after_its_window() {
        let mut filter = MaxFilter::default();
        filter.update(10, 0, 100);
        for round in 1..=10 {
            filter.update(10, round, 50);
            assert_eq!(filter.max(), 100, "round {round}");
        }
        filter.update(10, 11, 50);
        assert_eq!(filter.max(), 50);
    }

    proptest! {
        /// Between the exact maximum of the last quarter of the window and that of all of it.
        #[test]
        fn it_lies_between_maxima_of_exact_windows(values in prop::collection::vec(1_u64..1000, 1..200)) {
            const WINDOW: u32 = 10;
            let mut filter = MaxFilter::default();
            for (round, &value) in values.iter().enumerate() {
                filter.update(WINDOW, round as u32, value);
                let exact = |span: usize| values[round.saturating_sub(span)..=round].iter().copied().max();
                prop_assert!(Some(filter.max()) <= exact(WINDOW as usize));
                prop_assert!(Some(filter.max()) >= exact(WINDOW as usize / 4));
            }
        }
    }
}
