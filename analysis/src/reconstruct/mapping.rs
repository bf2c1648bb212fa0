//! Mappings of a subflow's stream to data sequence numbers (RFC 8684, section 3.3.1), as announced in one
//! direction.
//!
//! A mapping is kept until the subflow has acknowledged all of it and [`KEPT`] younger ones are there; data
//! sent again later has none. Two mappings of one octet are a conflict; the older one counts.

use std::collections::VecDeque;

/// Octets of a subflow's stream and their place in the data of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Stream offset of the first octet; 1 is the first after the SYN.
    pub start: i64,
    /// Number of octets, without a DATA_FIN.
    pub len: i64,
    /// Data offset of the first octet; 0 is the first of the connection, if its keys are known.
    pub data: i64,
    /// Checksum, if there is one.
    pub checksum: Option<u16>,
}

impl Mapping {
    pub(super) const fn end(&self) -> i64 {
        self.start + self.len
    }
}

/// The mappings of one direction in order of their start.
#[derive(Clone, Debug, Default)]
pub(super) struct Mappings {
    mappings: VecDeque<Mapping>,
    /// A mapping of length 0: from this stream offset on, all is in order from this data offset.
    infinite: Option<(i64, i64)>,
}

/// Whether a mapping is what was known already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announcement {
    New,
    Repeated,
    /// Octets of it were mapped elsewhere before.
    Conflict(Mapping),
}

const KEPT: usize = 64;
const LIMIT: usize = 4096;

impl Mappings {
    pub(super) fn announce(&mut self, mapping: Mapping, acknowledged: i64) -> Announcement {
        if let Some(last) = self.mappings.back()
            && last.start == mapping.start
            && last.len == mapping.len
            && last.data == mapping.data
        {
            return Announcement::Repeated;
        }
        while self.mappings.len() >= KEPT
            && let Some(first) = self.mappings.front()
            && (first.end() <= acknowledged || self.mappings.len() >= LIMIT)
        {
            self.mappings.pop_front();
        }
        let at = self.mappings.partition_point(|known| known.start < mapping.start);
        let near = [at.checked_sub(1), Some(at)].into_iter().flatten();
        let mut announcement = Announcement::New;
        for known in near.filter_map(|index| self.mappings.get(index)) {
            if known.start < mapping.end() && mapping.start < known.end() {
                if known.data - known.start != mapping.data - mapping.start {
                    return Announcement::Conflict(*known);
                }
                if known.start <= mapping.start && mapping.end() <= known.end() {
                    announcement = Announcement::Repeated;
                }
            }
        }
        if announcement == Announcement::New {
            self.mappings.insert(at, mapping);
        }
        announcement
    }

    pub(super) const fn announce_infinite(&mut self, start: i64, data: i64) {
        if self.infinite.is_none() {
            self.infinite = Some((start, data));
        }
    }

    /// The mapping of the octet at `offset`, if one is known.
    pub(super) fn find(&self, offset: i64) -> Option<Mapping> {
        let covers = |known: &Mapping| known.start <= offset && offset < known.end();
        if let Some(last) = self.mappings.back()
            && covers(last)
        {
            return Some(*last);
        }
        let after = self.mappings.partition_point(|known| known.start <= offset);
        if let Some(known) = after.checked_sub(1).and_then(|index| self.mappings.get(index))
            && covers(known)
        {
            return Some(*known);
        }
        let (start, data) = self.infinite?;
        (offset >= start).then_some(Mapping { start, len: i64::MAX >> 2, data, checksum: None })
    }

    /// Calls `act` with data offset and length of each mapped piece of the octets from `start` to `end`;
    /// returns how many had no mapping.
    pub(super) fn pieces(&self, start: i64, end: i64, mut act: impl FnMut(i64, i64, i64)) -> i64 {
        let mut at = start;
        let mut unmapped = 0;
        while at < end {
            let Some(mapping) = self.find(at) else {
                let next = self.mappings.iter().map(|known| known.start).find(|&known| known > at);
                let stop = next.map_or(end, |next| next.min(end));
                unmapped += stop - at;
                at = stop;
                continue;
            };
            let stop = mapping.end().min(end);
            act(at, mapping.data + (at - mapping.start), stop - at);
            at = stop;
        }
        unmapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn mapping(start: i64, len: i64, data: i64) -> Mapping {
        Mapping { start, len, data, checksum: None }
    }

    #[test]
    fn a_range_is_divided_at_the_borders_of_mappings() {
        let mut mappings = Mappings::default();
        assert_eq!(mappings.announce(mapping(1, 10, 100), 0), Announcement::New);
        assert_eq!(mappings.announce(mapping(21, 10, 50), 0), Announcement::New);
        assert_eq!(mappings.announce(mapping(1, 10, 100), 0), Announcement::Repeated);
        assert_eq!(mappings.announce(mapping(3, 2, 102), 0), Announcement::Repeated);
        let mut pieces = Vec::new();
        assert_eq!(mappings.pieces(5, 41, |at, data, len| pieces.push((at, data, len))), 20);
        assert_eq!(pieces, [(5, 104, 6), (21, 50, 10)]);
    }

    #[test]
    fn another_mapping_of_an_octet_is_a_conflict() {
        let mut mappings = Mappings::default();
        mappings.announce(mapping(1, 10, 100), 0);
        assert_eq!(mappings.announce(mapping(10, 5, 108), 0), Announcement::Conflict(mapping(1, 10, 100)));
        assert_eq!(mappings.announce(mapping(11, 5, 7), 0), Announcement::New);
    }

    #[test]
    fn an_infinite_mapping_holds_where_no_other_does() {
        let mut mappings = Mappings::default();
        mappings.announce(mapping(1, 10, 0), 0);
        mappings.announce_infinite(11, 10);
        let mut pieces = Vec::new();
        assert_eq!(mappings.pieces(5, 30, |at, data, len| pieces.push((at, data, len))), 0);
        assert_eq!(pieces, [(5, 4, 6), (11, 10, 19)]);
    }
}
