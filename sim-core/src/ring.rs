//! A queue in a ring: small records that enter at the back, leave at the front, and are found by their distance from
//! the front.
//!
//! As [`VecDeque`](std::collections::VecDeque) with less to compute: the capacity is a power of two, so a mask finds
//! the slot, and all slots hold values (a record that has left stays until another takes its place), so none is tested
//! or dropped.

use core::fmt;

/// A queue of `T`, oldest first.
#[derive(Clone)]
pub struct Ring<T> {
    /// None, or a power of two.
    slots: Box<[T]>,
    /// Records that have left since the ring was empty; the slot of the oldest is this modulo the capacity.
    head: usize,
    len: usize,
}

impl<T: Copy + Default> Ring<T> {
    /// An empty ring, which has no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of records.
    #[must_use]
    #[inline(always)]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no record.
    #[must_use]
    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether another record takes no new memory.
    #[must_use]
    #[inline(always)]
    pub const fn has_room(&self) -> bool {
        self.len < self.slots.len()
    }

    /// The slot of the record at `index`, and of the one behind the last.
    #[inline(always)]
    const fn slot(&self, index: usize) -> usize {
        self.head.wrapping_add(index) & self.slots.len().wrapping_sub(1)
    }

    /// The record at `index`, 0 being the oldest.
    #[must_use]
    #[inline(always)]
    pub fn get(&self, index: usize) -> Option<&T> {
        if index < self.len { self.slots.get(self.slot(index)) } else { None }
    }

    /// The record at `index`, to change it.
    #[must_use]
    #[inline(always)]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index < self.len { self.slots.get_mut(self.slot(index)) } else { None }
    }

    /// The oldest record.
    #[must_use]
    #[inline(always)]
    pub fn front(&self) -> Option<&T> {
        self.get(0)
    }

    /// The oldest record, to change it.
    #[must_use]
    #[inline(always)]
    pub fn front_mut(&mut self) -> Option<&mut T> {
        self.get_mut(0)
    }

    /// The latest record.
    #[must_use]
    #[inline(always)]
    pub fn back(&self) -> Option<&T> {
        self.get(self.len.wrapping_sub(1))
    }

    /// The latest record, to change it.
    #[must_use]
    #[inline(always)]
    pub fn back_mut(&mut self) -> Option<&mut T> {
        self.get_mut(self.len.wrapping_sub(1))
    }

    /// Adds a record behind all others.
    #[inline(always)]
    pub fn push_back(&mut self, record: T) {
        if !self.has_room() {
            self.grow();
        }
        let slot = self.slot(self.len);
        self.slots[slot] = record;
        self.len += 1;
    }

    /// Removes the oldest record. An emptied ring begins again at its first slot: one that rarely holds much touches
    /// little memory.
    #[inline(always)]
    pub fn pop_front(&mut self) -> Option<T> {
        let record = *self.front()?;
        self.len -= 1;
        self.head = if self.len == 0 { 0 } else { self.head + 1 };
        Some(record)
    }

    /// Removes all records; the memory stays.
    #[inline]
    pub const fn clear(&mut self) {
        self.head = 0;
        self.len = 0;
    }

    /// All records, oldest first.
    #[inline]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        (0..self.len).map(|index| &self.slots[self.slot(index)])
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let capacity = (2 * self.len).max(4);
        let mut slots = Vec::with_capacity(capacity);
        slots.extend(self.iter().copied());
        slots.resize(capacity, T::default());
        self.slots = slots.into();
        self.head = 0;
    }
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { slots: Box::default(), head: 0, len: 0 }
    }
}

impl<T: Copy + Default + fmt::Debug> fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Push(u16),
        Pop,
        Change { index: usize, to: u16 },
        ChangeEnds { front: u16, back: u16 },
        Clear,
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            12 => any::<u16>().prop_map(Op::Push),
            10 => Just(Op::Pop),
            3 => (0..12_usize, any::<u16>()).prop_map(|(index, to)| Op::Change { index, to }),
            2 => (any::<u16>(), any::<u16>()).prop_map(|(front, back)| Op::ChangeEnds { front, back }),
            1 => Just(Op::Clear),
        ];
        prop::collection::vec(op, 0..400)
    }

    proptest! {
        #[test]
        fn a_ring_behaves_as_a_vec_deque(ops in ops()) {
            let (mut ring, mut model) = (Ring::new(), VecDeque::new());
            for op in ops {
                match op {
                    Op::Push(record) => {
                        ring.push_back(record);
                        model.push_back(record);
                    }
                    Op::Pop => prop_assert_eq!(ring.pop_front(), model.pop_front()),
                    Op::Change { index, to } => {
                        let (mine, other) = (ring.get_mut(index), model.get_mut(index));
                        prop_assert_eq!(&mine, &other);
                        if let (Some(mine), Some(other)) = (mine, other) {
                            *mine = to;
                            *other = to;
                        }
                    }
                    Op::ChangeEnds { front, back } => {
                        if let (Some(mine), Some(other)) = (ring.front_mut(), model.front_mut()) {
                            *mine = front;
                            *other = front;
                        }
                        if let (Some(mine), Some(other)) = (ring.back_mut(), model.back_mut()) {
                            *mine = back;
                            *other = back;
                        }
                    }
                    Op::Clear => {
                        ring.clear();
                        model.clear();
                    }
                }
                prop_assert_eq!(ring.len(), model.len());
                prop_assert_eq!(ring.is_empty(), model.is_empty());
                prop_assert_eq!(ring.front(), model.front());
                prop_assert_eq!(ring.back(), model.back());
                prop_assert!((0..model.len() + 5).all(|index| ring.get(index) == model.get(index)));
                prop_assert!(ring.iter().eq(&model) && ring.iter().rev().eq(model.iter().rev()));
            }
        }
    }

    #[test]
    fn a_ring_that_wrapped_grows_in_order() {
        let mut ring = Ring::new();
        for record in 0..4 {
            ring.push_back(record);
        }
        assert_eq!((ring.pop_front(), ring.pop_front()), (Some(0), Some(1)));
        for record in 4..9 {
            ring.push_back(record);
        }
        assert_eq!(format!("{ring:?}"), "[2, 3, 4, 5, 6, 7, 8]");
    }
}
