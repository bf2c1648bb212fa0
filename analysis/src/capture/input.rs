//! A window over the input: records are borrowed where they stand, without a copy. The window grows to
//! the longest record that is really there, never to what a length field promises.

use std::io::{self, Read};

/// The input and what has been read ahead of it.
pub(super) struct Input {
    source: Box<dyn Read>,
    buffer: Vec<u8>,
    /// First octet of what was taken last.
    start: usize,
    /// Octets taken last.
    taken: usize,
    /// End of the valid octets of `buffer`.
    end: usize,
    at_end: bool,
    truncated: bool,
}

/// Read ahead, and the step in which the window grows.
const STEP: usize = 1 << 18;

impl Input {
    pub(super) fn new(source: Box<dyn Read>) -> Self {
        Self { source, buffer: vec![0; STEP], start: 0, taken: 0, end: 0, at_end: false, truncated: false }
    }

    /// Gives up what was taken last and takes the next `len` octets; `None` if the input ends before, which
    /// counts as truncated if some are there.
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> io::Result<Option<&[u8]>> {
        self.start += self.taken;
        self.taken = 0;
        self.extend(len)
    }

    /// As [`take`](Self::take), but keeps what was taken last: `len` counts from its first octet.
    #[inline]
    pub(super) fn extend(&mut self, len: usize) -> io::Result<Option<&[u8]>> {
        if self.end - self.start < len && !self.fill(len)? {
            self.truncated |= self.end > self.start;
            return Ok(None);
        }
        self.taken = len;
        Ok(Some(&self.buffer[self.start..self.start + len]))
    }

    /// What was taken last.
    #[inline]
    pub(super) fn taken(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.taken]
    }

    /// Puts back what was taken last.
    pub(super) const fn keep(&mut self) {
        self.taken = 0;
    }

    /// Whether the input ended within a record.
    pub(super) const fn truncated(&self) -> bool {
        self.truncated
    }

    fn fill(&mut self, len: usize) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < len && !self.at_end {
            if self.end == self.buffer.len() {
                self.buffer.resize(self.end + STEP, 0);
            }
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.at_end = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A compressed stream that was cut.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.truncated = true;
                    self.at_end = true;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.end >= len)
    }
}
