//! Which octets of a stream have passed: the highest end, and the holes below it.
//!
//! At most [`LIMIT`] holes are kept; of a stream with more, the oldest is forgotten, as if it had been
//! filled.

/// A part of a stream that was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) start: i64,
    pub(super) end: i64,
    /// When it was skipped.
    pub(super) nanos: u64,
    /// Timestamp option of the segment that skipped it.
    pub(super) timestamp: Option<u32>,
}

/// What a range was in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// Reaches beyond all before: so many octets are new.
    New(i64),
    /// Fills a hole, in whole or in part.
    Fills(Hole, i64),
    /// Nothing new.
    Seen,
}

/// Holes of a stream, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Holes {
    holes: Vec<Hole>,
    highest: Option<i64>,
}

const LIMIT: usize = 1024;

impl Holes {
    /// The end of the highest octet that passed.
    pub(super) const fn highest(&self) -> Option<i64> {
        self.highest
    }

    /// Whether all below the highest end has passed.
    #[cfg(test)]
    const fn whole(&self) -> bool {
        self.holes.is_empty()
    }

    /// Octets from `start` to `end` pass.
    pub(super) fn pass(&mut self, start: i64, end: i64, nanos: u64, timestamp: Option<u32>) -> Passage {
        let highest = *self.highest.get_or_insert(start);
        if end > highest {
            self.highest = Some(end);
            if start > highest {
                if self.holes.len() == LIMIT {
                    self.holes.remove(0);
                }
                self.holes.push(Hole { start: highest, end: start, nanos, timestamp });
            } else if start < highest {
                self.fill(start, highest);
            }
            return Passage::New(end - highest.max(start));
        }
        match self.fill(start, end) {
            (Some(hole), octets) => Passage::Fills(hole, octets),
            (None, _) => Passage::Seen,
        }
    }

    /// All octets below `end` count as passed.
    pub(super) fn forget_below(&mut self, end: i64) {
        if self.holes.first().is_some_and(|hole| hole.start < end) {
            self.holes.retain(|hole| hole.end > end);
            if let Some(first) = self.holes.first_mut() {
                first.start = first.start.max(end);
            }
        }
    }

    /// Takes a range out of the holes; the first hole touched, and how many octets were missing.
    fn fill(&mut self, start: i64, end: i64) -> (Option<Hole>, i64) {
        let mut first = None;
        let mut octets = 0;
        let mut index = self.holes.partition_point(|hole| hole.end <= start);
        while let Some(&hole) = self.holes.get(index)
            && hole.start < end
        {
            first.get_or_insert(hole);
            octets += hole.end.min(end) - hole.start.max(start);
            let (before, after) = (start > hole.start, end < hole.end);
            match (before, after) {
                (true, true) => {
                    self.holes[index].end = start;
                    self.holes.insert(index + 1, Hole { start: end, ..hole });
                    break;
                }
                (true, false) => {
                    self.holes[index].end = start;
                    index += 1;
                }
                (false, true) => {
                    self.holes[index].start = end;
                    break;
                }
                (false, false) => {
                    self.holes.remove(index);
                }
            }
        }
        (first, octets)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_skipped_part_is_a_hole_until_it_passes() {
        let mut holes = Holes::default();
        assert_eq!(holes.pass(1, 11, 0, None), Passage::New(10));
        assert_eq!(holes.pass(31, 41, 7, Some(5)), Passage::New(10));
        let hole = Hole { start: 11, end: 31, nanos: 7, timestamp: Some(5) };
        assert_eq!(holes.pass(15, 20, 8, None), Passage::Fills(hole, 5));
        assert_eq!(holes.pass(15, 20, 8, None), Passage::Seen);
        assert!(matches!(holes.pass(10, 41, 9, None), Passage::Fills(_, 15)));
        assert!(holes.whole());
        assert_eq!(holes.pass(1, 41, 9, None), Passage::Seen);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn new_octets_are_those_a_set_does_not_hold(ranges in prop::collection::vec((0i64..200, 1i64..40), 1..60)) {
            let mut holes = Holes::default();
            let mut seen = std::collections::BTreeSet::new();
            let first = ranges[0].0;
            for (start, len) in ranges {
                let (start, end) = (start.max(first), start.max(first) + len);
                let missing = (start..end).filter(|octet| !seen.contains(octet)).count() as i64;
                let highest = seen.last().map_or(start, |last| last + 1);
                let beyond = (end - highest.max(start)).max(0);
                match holes.pass(start, end, 0, None) {
                    Passage::New(octets) => prop_assert_eq!(octets, beyond),
                    Passage::Fills(_, octets) => prop_assert_eq!(octets, missing),
                    Passage::Seen => prop_assert_eq!(missing, 0),
                }
                seen.extend(start..end);
                let whole = seen.len() as i64 == seen.last().unwrap() + 1 - first;
                prop_assert_eq!(holes.whole(), whole);
            }
        }
    }
}
