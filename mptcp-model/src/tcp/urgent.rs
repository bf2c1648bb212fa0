//! Urgent data (RFC 9293, section 3.8.5, and RFC 6093) as Linux has it: the pointer names the octet behind the urgent
//! one. While it is not acknowledged, segments before it carry URG, one segment leaves at a time and none waits for
//! another; at the receiver the last urgent octet stands beside the stream (`tcp_check_urg`, `tcp_recv_urg`).
//!
//! Left out: an urgent octet that nobody read when the next one is announced becomes data, even where reading stands
//! before it; `SIGURG` and `SIOCATMARK`.

use super::Flow;
use super::watch::Watch;
use crate::wire::TcpSegment;

/// What became of the urgent octet that the peer announced last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgent {
    /// It has not arrived.
    Awaited,
    /// It can be read beside the stream.
    Here,
    /// It was read so.
    Read,
}

impl Flow {
    /// What was written last is urgent (`tcp_mark_urg`).
    pub(super) fn mark_urgent(&mut self) {
        let end = self.queue.write_end;
        if let Some(watch) = &mut self.watch {
            watch.urgent_end = end;
            self.ecn.urgent = true;
        }
    }

    /// The urgent pointer of a segment that begins at `start`; `None` if it has none.
    #[cold]
    pub(crate) fn urgent_pointer(&self, start: u64) -> Option<u16> {
        let end = self.watch.as_ref().map(|watch| watch.urgent_end).filter(|end| start < *end)?;
        match u16::try_from(end - start) {
            Ok(pointer) => Some(pointer),
            // Too far ahead to be named, but within what is sent.
            Err(_) => (start + u64::from(u16::MAX) > self.snd_nxt).then_some(u16::MAX),
        }
    }

    /// What is urgent was acknowledged.
    pub(super) fn urgent_acknowledged(&mut self) {
        let una = self.snd_una;
        self.ecn.urgent &= self.watch.as_ref().is_some_and(|watch| watch.urgent_end > una);
    }

    /// Whether a probe of a closed window is followed by the usual one, because it tells of urgent data
    /// (`tcp_write_wakeup`).
    pub(super) fn probes_urgent(&mut self) -> bool {
        let una = self.snd_una;
        let Some(watch) = self.watch.as_mut().filter(|_| self.ecn.urgent) else { return false };
        let near = (una + 1..=una + 0xffff).contains(&watch.urgent_end);
        watch.urgent_probed = near && !watch.urgent_probed;
        watch.urgent_probed
    }

    /// A segment with data that begins at `start` arrived, and says or may hold what is urgent (`tcp_urg`).
    #[cold]
    pub(super) fn take_urgent(&mut self, segment: &TcpSegment, start: u64) {
        let rcv_nxt = self.recv.rcv_nxt;
        if segment.flags.contains(crate::wire::TcpFlags::URG) {
            let at = start + u64::from(segment.urgent.saturating_sub(1));
            let watch = self.watch.get_or_insert_default();
            if at >= rcv_nxt && watch.urgent.is_none_or(|(known, _)| at > known) {
                watch.urgent = Some((at, Urgent::Awaited));
                // Data is looked at closely from now on.
                std::sync::Arc::make_mut(&mut self.config).header_prediction = false;
            }
        }
        let end = start + u64::from(segment.payload.len());
        if let Some(watch) = &mut self.watch
            && let Some((at, state @ Urgent::Awaited)) = &mut watch.urgent
            && (start..end).contains(at)
        {
            *state = Urgent::Here;
        }
    }
}

impl Watch {
    /// The application has read up to `copied`: an urgent octet before that is nobody's any more.
    pub(crate) fn read_to(&mut self, copied: u64) {
        self.urgent = self.urgent.filter(|(at, _)| *at >= copied);
    }
}
