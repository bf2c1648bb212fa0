//! The window of a connection: data must not lie beyond the right edge the other side has granted, the largest sum
//! of a DATA_ACK and the window of its segment (RFC 8684, section 3.3.1). Before the first DATA_ACK the
//! window of the handshake counts from the first octet of data.
//!
//! A capture that misses a subflow misses grants too, so a connection is judged only while every octet of data up to
//! here was seen, and every subflow from its SYN. One octet beyond is a probe.

use std::collections::BTreeMap;

use crate::reconstruct::{ConnectionId, Protocol, Reconstruction, Segment};
use crate::trace::SegmentView;

/// Right edges by view, connection and side that may send.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows {
    granted: BTreeMap<(usize, ConnectionId, usize), i64>,
}

impl Windows {
    /// Takes a segment; by how many octets its data lies beyond the window, if it does.
    pub(super) fn segment(
        &mut self,
        view: usize,
        seen: &Reconstruction,
        segment: &Segment,
        tcp: &SegmentView<'_>,
    ) -> Option<i64> {
        let flow = &seen.flows()[segment.flow.index()];
        let id = flow.connection;
        let connection = seen.connection_of(segment.flow);
        let first = connection.first_flow() == Some(segment.flow) && !flow.join;
        let from = segment.data_ack.or((tcp.flags.syn() && first).then_some(0));
        if let Some(from) = from.filter(|_| !tcp.flags.rst()) {
            let edge = from.saturating_add_unsigned(flow.announced_window(segment.direction));
            let known = self.granted.entry((view, id, 1 - segment.side)).or_insert(edge);
            *known = (*known).max(edge);
        }
        let (data, len) = segment.data.filter(|_| connection.protocol == Protocol::Mptcp)?;
        let granted = *self.granted.get(&(view, id, segment.side))?;
        let beyond = data + len - granted;
        let stream = &connection.streams[segment.side];
        let whole = stream.counts.new == stream.highest().max(0).unsigned_abs()
            && connection.flows.iter().all(|flow| seen.flows()[flow.index()].from_start);
        (beyond > 1 && whole).then_some(beyond)
    }
}
