//! The receive window of the out-of-tree kernel: one buffer and one bound of the window for all subflows,
//! which each subflow enlarges by its initial ones (`mptcp_init_buffer_space`), right-sized once per round-trip
//! time of the slowest subflow. Not modelled: buffers locked by `SO_RCVBUF`, memory pressure.

use sim_core::Instant;

use super::{Connection, Role, Stage};

impl Connection {
    /// Subflow `index` is established and brings its buffer.
    pub(super) fn share_receive_buffer(&mut self, now: Instant, index: usize) {
        let room = self.dss_octets();
        let subflow = &mut self.subflows[index];
        let flow = &mut subflow.flow;
        flow.subordinate = true;
        if !flow.recv.fixed_ratio {
            return;
        }
        // A passive opener counts with the MSS it announced.
        let mss = if subflow.initiated { flow.mss_now(room) } else { u32::from(flow.params.mss) };
        flow.recv.settle(mss);
        let (buffer, clamp, bound) = (flow.recv.rcvbuf, flow.recv.window_clamp, flow.recv.ssthresh);
        if subflow.role == Role::Initial {
            let window = flow.recv.rcv_wnd;
            self.recv.start_fixed_sizing(now, window, u64::from(mss));
            return;
        }
        let Some(other) = self.other_receiver(index) else { return };
        let (shared_clamp, shared_bound) = other;
        let total = (self.recv.rcvbuf + buffer).min(self.recv.rcvbuf_max);
        let recv = &mut self.subflows[index].flow.recv;
        if total > self.recv.rcvbuf {
            self.recv.rcvbuf = total;
            recv.window_clamp = shared_clamp + clamp;
            recv.ssthresh = shared_bound + bound;
        } else {
            recv.window_clamp = shared_clamp;
            recv.ssthresh = shared_bound;
        }
        self.spread_window(index);
    }

    fn other_receiver(&self, index: usize) -> Option<(u64, u64)> {
        let shares = |&(other, subflow): &(usize, &super::Subflow)| {
            other != index && subflow.stage != Stage::Gone && subflow.flow.is_synchronized()
        };
        let (_, other) = self.subflows.iter().enumerate().find(shares)?;
        Some((other.flow.recv.window_clamp, other.flow.recv.ssthresh))
    }

    /// The bound of the window moved on subflow `index`: it moves on all.
    #[inline]
    pub(super) fn spread_window(&mut self, index: usize) {
        let recv = &self.subflows[index].flow.recv;
        let (clamp, bound) = (recv.window_clamp, recv.ssthresh);
        for subflow in &mut self.subflows {
            if subflow.stage != Stage::Gone && subflow.flow.is_synchronized() {
                subflow.flow.recv.window_clamp = clamp;
                subflow.flow.recv.ssthresh = bound;
            }
        }
    }

    /// The buffer grew: so may the window on every subflow.
    pub(super) fn follow_buffer(&mut self) {
        let buffer = self.recv.rcvbuf;
        for subflow in self.subflows.iter_mut().filter(|subflow| subflow.stage != Stage::Gone) {
            subflow.flow.recv.window_clamp = subflow.flow.recv.window_of(buffer);
        }
    }
}
