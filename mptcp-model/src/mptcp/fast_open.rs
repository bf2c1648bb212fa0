//! TCP Fast Open of a connection (RFC 7413; RFC 8684, section 3.1 and appendix B): data of the SYN comes before the
//! stream that data sequence numbers count.
//!
//! Left out: what an application writes before the third ACK of an MPTCP connection waits for it.

use bytes::Bytes;

use super::machine::Event;
use super::{Connection, Happened, Mode};
use crate::tcp::receive_truesize_of;
use crate::wire::TcpSegment;

impl Connection {
    /// The SYN, which has not left yet, carries this option and `octets` of data.
    pub(crate) fn offer_fast_open(&mut self, option: Option<Bytes>, octets: u32) {
        self.subflows[0].flow.offer_fast_open(option, octets);
        if self.mode == Mode::Plain {
            self.send.written += u64::from(octets);
        } else {
            self.syn_octets = octets;
        }
    }

    /// The SYN/ACK gives this cookie. With MP_CAPABLE there is no room for timestamps beside it.
    pub(crate) fn give_cookie(&mut self, cookie: Bytes) {
        let flow = &mut self.subflows[0].flow;
        flow.fast_open.option = Some(cookie);
        if self.mode == Mode::Offered {
            flow.ts_ok = false;
            flow.settle_options();
        }
    }

    /// The SYN and its data are taken: the application need not wait for the third ACK.
    pub(crate) fn open_with_syn(&mut self, syn: &TcpSegment) {
        let len = syn.payload.len();
        let flow = &mut self.subflows[0].flow;
        flow.take_syn_data(len);
        self.send.window_end = flow.snd_wnd;
        self.send.sndbuf = self.send.sndbuf.max(flow.sndbuf);
        if len > 0 && self.mode == Mode::Plain {
            self.take_plain(0, 1, &syn.payload, receive_truesize_of(self.options.tcp.frame_memory, syn));
        } else {
            self.peer_syn_octets = len;
            self.recv.unread += u64::from(len);
        }
        self.advance(Event::Opened);
        self.events.note(Happened::CONNECTED);
        if len > 0 {
            self.events.note(Happened::READABLE);
        }
    }

    /// A cookie of the peer, with the largest segment that it announced, once.
    pub(crate) fn take_learnt_cookie(&mut self) -> Option<(Bytes, u16)> {
        self.subflows[0].flow.fast_open.learnt.take()
    }
}
