//! The random numbers of a connection: keys, initial sequence numbers, timestamp offsets, IP ids and nonces, in
//! that order of drawing. They come from a random stream, or from a list, so that a conversation seen
//! elsewhere can be had again.

use std::collections::VecDeque;

use sim_core::random::Stream;

/// Numbers given, then random ones.
#[derive(Debug)]
pub struct Draws {
    given: VecDeque<u64>,
    stream: Stream,
}

impl Draws {
    /// `given` in order, the low 32 bits where fewer are needed, then numbers of `stream`.
    #[must_use]
    pub const fn new(given: VecDeque<u64>, stream: Stream) -> Self {
        Self { given, stream }
    }

    /// The next numbers are these and no others that were given.
    pub(crate) fn give(&mut self, numbers: impl IntoIterator<Item = u64>) {
        self.given = numbers.into_iter().collect();
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.given.pop_front().unwrap_or_else(|| self.stream.next_u64())
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        self.given.pop_front().map_or_else(|| self.stream.next_u32(), |given| given as u32)
    }
}

impl From<Stream> for Draws {
    fn from(stream: Stream) -> Self {
        Self::new(VecDeque::new(), stream)
    }
}
