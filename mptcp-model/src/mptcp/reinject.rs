//! Data sent a second time on another subflow: what a subflow holds when its retransmission timer fires, as
//! the out-of-tree kernel has it (`mptcp_reinject_data`, DSS-24), and the copies of a redundant scheduler.

use super::{Connection, Stage};
use crate::scheduler::SchedulerView;

impl Connection {
    /// What subflow `index` holds and the peer has not acknowledged goes to the others as they have room.
    pub(super) fn reinject_from(&mut self, index: usize) {
        let another = |(other, subflow): (usize, &super::Subflow)| other != index && subflow.is_active();
        if !self.subflows.iter().enumerate().any(another) {
            return;
        }
        let una = self.send.una;
        let flow = &self.subflows[index].flow;
        let sent = flow.queue.sent.iter().map(|seg| (seg.map, seg.start, seg.payload()));
        let unsent = flow.queue.unsent.iter().map(|chunk| (chunk.map, chunk.start, chunk.len));
        for (map, start, len) in sent.chain(unsent).filter(|(map, ..)| map.len > 0) {
            let data = map.data + (start - map.start);
            let end = data + u64::from(len);
            if end <= una || self.send.reinject.iter().any(|&(_, from, to)| from <= data && end <= to) {
                continue;
            }
            match self.send.reinject.back_mut() {
                Some((from, _, to)) if *to == data && *from == index => *to = end,
                _ => self.send.reinject.push_back((index, data, end)),
            }
        }
        self.fallback_allowed = false;
        self.serve_reinjections();
    }

    /// Hand down what is to be sent again, before any new data.
    pub(super) fn serve_reinjections(&mut self) {
        let extra = self.dss_room();
        while let Some(&(from, data, end)) = self.send.reinject.front() {
            let data = data.max(self.send.una);
            if data >= end {
                self.send.reinject.pop_front();
                continue;
            }
            let active = self
                .subflows
                .iter()
                .enumerate()
                .filter(|&(index, subflow)| index != from && !subflow.stale && subflow.is_active());
            let views: Vec<SchedulerView> =
                active.map(|(index, subflow)| subflow.scheduler_view(index, extra)).collect();
            let Some(pick) = self.scheduler.pick(end - data, &views) else { return };
            let len = (end - data).min(u64::from(pick.burst)) as u32;
            let done = self.hand_down(pick.index, data, len);
            if done == 0 {
                return;
            }
            self.stats.reinjected_bytes += u64::from(done);
            if let Some(front) = self.send.reinject.front_mut() {
                front.1 = data + u64::from(done);
            }
        }
    }

    /// What went to subflow `index` goes to all others that have room, too: `len` octets from `data` on.
    pub(super) fn copy_to_others(&mut self, index: usize, data: u64, len: u64) {
        self.fallback_allowed = false;
        for other in 0..self.subflows.len() {
            let subflow = &self.subflows[other];
            let usable = other != index && subflow.stage != Stage::Gone && !subflow.stale;
            if !usable || !subflow.is_active() || !subflow.flow.has_send_memory() {
                continue;
            }
            let mut done = 0;
            while done < len {
                let part = self.hand_down(other, data + done, (len - done).min(u64::from(u32::MAX)) as u32);
                if part == 0 {
                    break;
                }
                done += u64::from(part);
            }
            self.subflows[other].flow.mark_push();
        }
    }
}
