//! A queue that mostly holds one element: the first lies in place, so that a host with one busy socket
//! touches no other memory for it.

use std::collections::VecDeque;

#[derive(Clone, Debug)]
pub(super) struct Fifo<T> {
    /// Before all of `rest`, which is empty if this is.
    first: Option<T>,
    rest: VecDeque<T>,
}

impl<T> Fifo<T> {
    pub(super) const fn new() -> Self {
        Self { first: None, rest: VecDeque::new() }
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Adds what `make` makes, in its place: a copy would wait until each field is stored.
    #[inline(always)]
    pub(super) fn push_with(&mut self, make: impl FnOnce() -> T) {
        if self.first.is_none() {
            self.first = Some(make());
        } else {
            self.push_behind(make());
        }
    }

    pub(super) fn push_back(&mut self, element: T) {
        self.push_with(|| element);
    }

    #[inline(always)]
    pub(super) fn pop_front(&mut self) -> Option<T> {
        let front = self.first.take()?;
        if !self.rest.is_empty() {
            self.move_up();
        }
        Some(front)
    }

    #[inline(never)]
    fn push_behind(&mut self, element: T) {
        self.rest.push_back(element);
    }

    #[inline(never)]
    fn move_up(&mut self) {
        self.first = self.rest.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_leave_in_the_order_they_came_however_pushes_and_pops_mix() {
        let (mut fifo, mut model) = (Fifo::new(), VecDeque::new());
        for step in 0..400_u32 {
            // Longer and longer runs of pushes and pops.
            if (step / (1 + step / 40)).is_multiple_of(2) {
                fifo.push_back(step);
                model.push_back(step);
            } else {
                assert_eq!(fifo.pop_front(), model.pop_front());
            }
            assert_eq!(fifo.is_empty(), model.is_empty());
        }
    }
}
