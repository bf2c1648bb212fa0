//! TCP Fast Open (RFC 7413) of one flow: data in the SYN, the cookie in its option, and the passive end that may
//! read and answer before the third ACK (TCP-29). Cookies are kept, asked for and checked by the host.
//!
//! Left out: the experimental form of the option, and the detection of paths that drop SYNs with data.

use bytes::Bytes;

use super::Flow;
use super::sendq::{Mapping, SegFlags, TxSeg};
use crate::wire::{TcpOption, TcpSegment};
use sim_core::Instant;

/// Kind of the option.
pub(crate) const KIND: u8 = 34;

/// Octets of a cookie (RFC 7413, section 4.1.1).
const COOKIE_OCTETS: std::ops::RangeInclusive<usize> = 4..=16;

/// What a flow knows of Fast Open.
#[derive(Clone, Debug, Default)]
pub(crate) struct FastOpen {
    /// Body of the option of the SYN or SYN/ACK: empty asks for a cookie. `None` for no option.
    pub(crate) option: Option<Bytes>,
    /// Octets of data in the own SYN.
    pub(crate) octets: u32,
    /// The peer acknowledged them, or this is the end that took data from a SYN.
    pub(crate) accepted: bool,
    /// The passive end took the connection with the SYN.
    pub(crate) child: bool,
    /// Why data did not come through with the SYN (`fastopen_client_fail`): 0 for no reason, 1 no cookie, 2 the
    /// SYN/ACK did not acknowledge it, 3 nor the SYN before it was repeated.
    pub(crate) failure: u8,
    /// The cookie of the SYN/ACK, empty if it had none, and the largest segment announced there.
    pub(crate) learnt: Option<(Bytes, u16)>,
}

/// The body of the Fast Open option of a segment.
pub(crate) fn option_of(segment: &TcpSegment) -> Option<Bytes> {
    segment.options.iter().find_map(|option| match option {
        TcpOption::Unknown { kind: KIND, body } => Some(body),
        _ => None,
    })
}

impl Flow {
    /// The SYN to come carries `octets` of data and this option.
    pub(crate) fn offer_fast_open(&mut self, option: Option<Bytes>, octets: u32) {
        self.fast_open.failure = option.as_ref().is_some_and(Bytes::is_empty).into();
        self.fast_open.option = option;
        self.fast_open.octets = octets;
        self.queue.write_end = 1 + u64::from(octets);
    }

    /// The SYN was taken with its `octets` of data: the connection is open for this end.
    pub(crate) fn take_syn_data(&mut self, octets: u32) {
        self.fast_open.child = true;
        self.fast_open.accepted = octets > 0;
        self.recv.rcv_nxt += u64::from(octets);
        self.recv.rcv_wup = self.recv.rcv_nxt;
        self.stats.bytes_received += u64::from(octets);
    }

    /// The data of a SYN that leaves for the first time.
    pub(super) fn record_syn_data(&mut self, now: Instant) {
        let octets = self.fast_open.octets;
        if octets == 0 {
            return;
        }
        let order = self.queue.next_order();
        let flags = SegFlags(SegFlags::PSH);
        self.queue.sent.push_back(TxSeg {
            start: 1,
            sent_at: now,
            map: Mapping::default(),
            order,
            len: octets as u16,
            flags,
        });
        self.snd_nxt = 1 + u64::from(octets);
        self.burst_end = self.snd_nxt;
        self.count_data(octets);
    }

    /// The SYN/ACK, which acknowledged up to `snd_una`: a cookie is kept, data it does not acknowledge leaves
    /// again at once (`tcp_rcv_fastopen_synack`).
    pub(super) fn take_fast_open_answer(&mut self, now: Instant, segment: &TcpSegment) {
        let asked = self.fast_open.option.is_some();
        if asked || self.fast_open.octets > 0 {
            let cookie = option_of(segment).filter(|cookie| asked && COOKIE_OCTETS.contains(&cookie.len()));
            self.fast_open.learnt = Some((cookie.unwrap_or_default(), self.peer_mss));
        }
        if self.fast_open.octets == 0 {
            return;
        }
        if self.queue.sent.is_empty() {
            self.fast_open.accepted = true;
        } else {
            self.fast_open.failure = if self.stats.retransmitted > 0 { 3 } else { 2 };
            self.repeat_syn_data();
            self.arm_rto(now);
        }
    }

    /// Whether data may leave: after the handshake, or with a Fast Open that was taken.
    #[inline]
    pub(crate) fn may_send(&self) -> bool {
        self.is_synchronized() || self.answers_fast_open()
    }

    /// Whether this end took a SYN with Fast Open, and the third ACK is still to come.
    pub(crate) fn answers_fast_open(&self) -> bool {
        self.fast_open.child && self.state == super::TcpState::SynReceived && self.snd_nxt > 0
    }
}
