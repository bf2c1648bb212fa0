//! Counters of a direction of a link.

use crate::observer::DropReason;
use crate::units::Bytes;

/// What a direction has carried and dropped. Bytes are those of frames, overhead included.
///
/// What every frame touches comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct LinkStats {
    /// Frames offered by the node, refused ones included.
    pub packets_in: u64,
    /// Frames delivered, copies included.
    pub packets_out: u64,
    /// Bytes of the frames offered.
    pub bytes_in: Bytes,
    /// Bytes of the frames delivered.
    pub bytes_out: Bytes,
    /// The most that has waited at a time, each maximum for itself.
    pub max_backlog: Backlog,
    /// Packets marked as having met congestion, refused ones included.
    pub marked: u64,
    /// Extra copies made.
    pub duplicates: u64,
    drops: [u64; DropReason::ALL.len()],
}

impl LinkStats {
    /// Frames dropped for this reason.
    #[must_use]
    pub const fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Frames dropped for any reason.
    #[must_use]
    pub fn total_drops(&self) -> u64 {
        self.drops.iter().sum()
    }

    pub(super) const fn count_drop(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    #[inline]
    pub(super) fn note_backlog(&mut self, backlog: Backlog) {
        self.max_backlog.packets = self.max_backlog.packets.max(backlog.packets);
        self.max_backlog.bytes = self.max_backlog.bytes.max(backlog.bytes);
    }
}

/// Frames waiting for transmission; the one in transmission is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Frames.
    pub packets: u32,
    /// Their bytes, overhead included.
    pub bytes: Bytes,
}
