//! The copies of a redundant scheduler.

use super::{Connection, Stage};

impl Connection {
    /// What went to subflow `index` goes to all others that have room, too: `len` octets from `data` on.
    pub(super) fn copy_to_others(&mut self, index: usize, data: u64, len: u64) {
        self.fallback_allowed = false;
        for other in 0..self.subflows.len() {
            let subflow = &self.subflows[other];
            let usable = other != index && subflow.stage != Stage::Gone && !subflow.stale;
            if !usable || !subflow.is_active() || !subflow.flow.has_send_memory() {
                continue;
            }
            let mss = self.segment_size(other);
            let mut done = 0;
            while done < len {
                let left = (len - done).min(u64::from(u32::MAX)) as u32;
                let part = self.hand_down(other, mss, data + done, left);
                if part == 0 {
                    break;
                }
                done += u64::from(part);
            }
            self.subflows[other].flow.mark_push();
        }
    }
}
