//! The data level of a segment: mappings, DATA_ACK, DATA_FIN, and what its octets are in the data of the connection.

use mptcp_model::wire::{Dss, MpOption};

use super::connection::{Failover, Fallback, MAX_EVENTS, Protocol, Race, Sent};
use super::flow::Novelty;
use super::mapping::{Announcement, Mapping};
use super::{Captured, FlowId, Notice, Reconstruction, Segment};
use crate::trace::{FlowDirection, SegmentView};

/// A subflow without progress for as long as the shortest retransmission timeout of Linux has ceased to deliver,
/// in nanoseconds.
const STALLED: u64 = 200_000_000;

impl Reconstruction {
    /// The mapping an MP_CAPABLE with data stands for (RFC 8684, section 3.1): data length and checksum.
    pub(super) fn capable_mapping(&self) -> Option<(u16, Option<u16>)> {
        self.options.iter().find_map(|option| match option {
            MpOption::Capable { data_len: Some(len), checksum, .. } => Some((*len, *checksum)),
            _ => None,
        })
    }

    pub(super) fn announce_capable(
        &mut self,
        out: &mut Segment,
        segment: &SegmentView<'_>,
        &(len, checksum): &(u16, Option<u16>),
    ) {
        let mapping = Mapping { start: 1, len: i64::from(len), data: 0, checksum };
        self.add_mapping(out, segment, mapping);
    }

    fn add_mapping(&mut self, out: &Segment, segment: &SegmentView<'_>, mapping: Mapping) {
        let connection = self.flows[out.flow.index()].connection;
        self.connections[connection.index()].streams[out.side].mapped = true;
        let half = &mut self.flows[out.flow.index()].halves[out.direction as usize];
        if let Announcement::Conflict(known) = half.mappings.announce(mapping, half.acknowledged) {
            self.notices.push(Notice::MappingConflict { known, announced: mapping });
        }
        let end = out.offset + i64::from(segment.payload_len);
        if segment.payload_len > 0 && mapping.len > 0 && (mapping.start >= end || mapping.end() <= out.offset)
        {
            self.notices.push(Notice::MappingOutside { announced: mapping });
        }
    }

    /// A DSS: acknowledgment and mapping. Returns whether it has the first DATA_FIN, and whether it is the
    /// first to acknowledge that of the other side.
    pub(super) fn data_signal(
        &mut self,
        out: &mut Segment,
        nanos: u64,
        segment: &SegmentView<'_>,
        dss: &Dss,
    ) -> (bool, bool) {
        let connection = self.flows[out.flow.index()].connection.index();
        let mut marks = (false, false);
        if let Some(mapping) = dss.mapping {
            match self.connections[connection].streams[out.side].offset(mapping.dsn) {
                None => self.notices.push(Notice::DataNumberImplausible),
                Some(data) if mapping.len == 0 => {
                    let half = &mut self.flows[out.flow.index()].halves[out.direction as usize];
                    let start = half.mapped_offset(mapping.ssn, segment.seq);
                    half.mappings.announce_infinite(start, data);
                    let target = &mut self.connections[connection];
                    target.streams[out.side].mapped = true;
                    if matches!(target.protocol, Protocol::Mptcp | Protocol::Offered) {
                        target.protocol = Protocol::Fallback(Fallback::InfiniteMapping, self.packets);
                    }
                }
                Some(data) => {
                    let len = i64::from(mapping.len) - i64::from(dss.data_fin);
                    if dss.data_fin {
                        let stream = &mut self.connections[connection].streams[out.side];
                        match stream.fin {
                            Some(fin) if fin != data + len => self.notices.push(Notice::AnotherDataFin),
                            Some(_) => {}
                            None => {
                                stream.fin = Some(data + len);
                                marks.0 = true;
                            }
                        }
                    }
                    if len > 0 {
                        let half = &mut self.flows[out.flow.index()].halves[out.direction as usize];
                        let start = half.mapped_offset(mapping.ssn, segment.seq);
                        self.add_mapping(
                            out,
                            segment,
                            Mapping { start, len, data, checksum: mapping.checksum },
                        );
                    }
                }
            }
        }
        if let Some(number) = dss.data_ack {
            let stream = &mut self.connections[connection].streams[1 - out.side];
            match stream.offset(number) {
                None => self.notices.push(Notice::DataNumberImplausible),
                Some(data) => {
                    out.data_ack = Some(data);
                    let sent = stream.highest() + i64::from(stream.fin.is_some());
                    if stream.mapped && data > sent {
                        self.notices.push(Notice::DataAckBeyond(data - sent));
                    }
                    stream.acknowledge(data, nanos);
                    if stream.fin.is_some_and(|fin| data > fin) && !stream.fin_acknowledged {
                        stream.fin_acknowledged = true;
                        marks.1 = true;
                    }
                }
            }
        }
        marks
    }

    /// Payload of a connection that offered MPTCP.
    pub(super) fn data(&mut self, out: &mut Segment, captured: &Captured<'_>, segment: &SegmentView<'_>) {
        let id = self.flows[out.flow.index()].connection.index();
        let connection = &mut self.connections[id];
        let first = connection.first_flow() == Some(out.flow);
        let stream = &connection.streams[out.side];
        if let Protocol::Mptcp | Protocol::Offered = connection.protocol
            && first
            && !stream.mapped
            && self.flows[out.flow.index()].from_start
            && out.novelty == Novelty::New
        {
            connection.protocol = Protocol::Fallback(Fallback::Unmapped, captured.number);
        }
        if matches!(connection.protocol, Protocol::Fallback(..)) && !stream.mapped {
            self.plain_data(out, captured, segment);
            return;
        }
        if out.novelty == Novelty::Probe {
            return;
        }
        let mappings =
            std::mem::take(&mut self.flows[out.flow.index()].halves[out.direction as usize].mappings);
        let end = out.offset + i64::from(segment.payload_len);
        let mut reinjected = 0;
        let unmapped = mappings.pieces(out.offset, end, |offset, data, len| {
            out.data = Some(match out.data {
                None => (data, len),
                Some((start, before)) if start + before == data => (start, before + len),
                Some(first) => first,
            });
            let connection = &mut self.connections[id];
            let stream = &mut connection.streams[out.side];
            if let Some(fin) = stream.fin
                && data + len > fin
            {
                self.notices.push(Notice::BeyondDataFin(data + len - fin));
            }
            let sent = Sent { start: data, end: data + len, flow: out.flow, offset, packet: captured.number };
            let piece = stream.pass(captured.nanos, sent);
            out.new_data += piece.new;
            if let Some(before) = piece.elsewhere {
                out.copy_of.get_or_insert((before.flow, before.packet));
            }
            let again = len - piece.new;
            if again > 0 && matches!(out.novelty, Novelty::New | Novelty::OutOfOrder) {
                let original = piece.elsewhere.or(piece.here).or_else(|| {
                    // Older than what is remembered.
                    (data < stream.acknowledged).then_some(Sent { flow: FlowId(u32::MAX), ..sent })
                });
                if let Some(original) = original {
                    reinjected += again;
                    let acknowledged = data + len <= stream.acknowledged;
                    stream.counts.reinjected += again.unsigned_abs();
                    if acknowledged {
                        stream.counts.redundant += again.unsigned_abs();
                    } else if connection.races.len() < MAX_EVENTS {
                        connection.races.push(Race {
                            side: out.side,
                            octets: again.unsigned_abs(),
                            original: (
                                original.flow,
                                original.offset + original.end.min(sent.end) - original.start,
                            ),
                            copy: (out.flow, offset + len),
                        });
                    }
                }
            }
        });
        self.flows[out.flow.index()].halves[out.direction as usize].mappings = mappings;
        out.unmapped = unmapped;
        if unmapped > 0 && self.connections[id].streams[out.side].mapped {
            self.flows[out.flow.index()].halves[out.direction as usize].counts.unmapped +=
                unmapped.unsigned_abs();
            self.notices.push(Notice::Unmapped(unmapped));
        }
        if reinjected > 0 {
            out.reinjection = true;
            self.connections[id].streams[out.side].counts.reinjections += 1;
            self.failover(out, captured.nanos);
        }
    }

    /// A reinjection may be the first since the original subflow ceased to deliver.
    fn failover(&mut self, out: &Segment, nanos: u64) {
        let Some((from, _)) = out.copy_of else { return };
        let member = &self.flows[from.index()];
        let half = self.side(from, FlowDirection::ClientToServer) ^ out.side;
        let since = member.halves[half].progress;
        if nanos.saturating_sub(since) < STALLED {
            return;
        }
        let connection = self.connection_of_mut(from);
        let known = connection.failovers.iter().rev().find(|failover| failover.from == from);
        if known.is_some_and(|failover| failover.nanos >= since) || connection.failovers.len() >= MAX_EVENTS {
            return;
        }
        connection.failovers.push(Failover { nanos, after: nanos.saturating_sub(since), from, to: out.flow });
    }

    /// Payload of plain TCP: the stream is the data.
    pub(super) fn plain_data(
        &mut self,
        out: &mut Segment,
        captured: &Captured<'_>,
        segment: &SegmentView<'_>,
    ) {
        let len = i64::from(segment.payload_len);
        let data = out.offset - 1 + i64::from(segment.flags.syn());
        let id = self.flows[out.flow.index()].connection.index();
        let stream = &mut self.connections[id].streams[out.side];
        stream.begin_at(0);
        let sent = Sent {
            start: data,
            end: data + len,
            flow: out.flow,
            offset: out.offset,
            packet: captured.number,
        };
        let piece = stream.pass(captured.nanos, sent);
        out.data = Some((data, len));
        out.new_data = piece.new;
    }
}
