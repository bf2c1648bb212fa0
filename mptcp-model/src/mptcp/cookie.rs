//! Passive opens and joins whose request was not kept (SYN cookies): what the third ACK tells stands for the SYN,
//! which is taken once more, and the SYN/ACK counts as sent (`mptcp_subflow_init_cookie_req`).

use std::net::{IpAddr, SocketAddr};

use sim_core::Instant;

use super::{Connection, Draws, Mode, SocketOptions, State};
use crate::crypto;
use crate::tcp::OutputDue;
use crate::wire::{MpOption, TcpSegment};

/// What is kept of a SYN with MP_JOIN until its third ACK (`struct join_entry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SavedJoin {
    pub(crate) token: u32,
    pub(crate) remote_nonce: u32,
    pub(crate) local_nonce: u32,
    pub(crate) backup: bool,
    pub(crate) remote_id: u8,
    pub(crate) local_id: u8,
}

impl SavedJoin {
    /// The option of the SYN.
    pub(crate) const fn of_syn(&self) -> MpOption {
        MpOption::JoinSyn {
            backup: self.backup,
            address_id: self.remote_id,
            token: self.token,
            nonce: self.remote_nonce,
        }
    }
}

impl Connection {
    /// As [`accept`](Self::accept) of the SYN that a third ACK implies.
    pub(crate) fn accept_again(
        options: SocketOptions,
        now: Instant,
        (local, remote): (SocketAddr, SocketAddr),
        mss: u16,
        syn: &TcpSegment,
        draws: Draws,
    ) -> Self {
        let mut connection = Self::accept(options, now, local, remote, mss, syn, draws);
        connection.answered_before(0);
        connection
    }

    /// As [`accept_join`](Self::accept_join) of the SYN that a third ACK implies, with the initial sequence
    /// number and the offset of timestamps that it was answered with.
    pub(crate) fn accept_join_again(
        &mut self,
        now: Instant,
        (local, remote): (SocketAddr, SocketAddr),
        mss: u16,
        syn: &TcpSegment,
        saved: &SavedJoin,
        (iss, ts_offset): (u32, u32),
    ) -> Option<usize> {
        let ip_id = self.rng.next_u32();
        self.rng.give([iss, ts_offset, ip_id, saved.local_nonce].map(u64::from));
        let index = self.accept_join(now, local, remote, mss, syn, saved.local_id);
        if let Some(index) = index {
            self.answered_before(index);
        } else {
            self.rng.give([]);
        }
        index
    }

    /// Identifier of an own address that the peer joins: that of an endpoint or an announcement, 0 for the first.
    pub(crate) fn own_id(&self, address: IpAddr) -> u8 {
        let initial = self.subflows[0].flow.local();
        self.address_id(address).unwrap_or_else(|| u8::from(initial.ip() != address))
    }

    fn answered_before(&mut self, index: usize) {
        let flow = &mut self.subflows[index].flow;
        flow.due.clear(OutputDue::HANDSHAKE);
        flow.snd_nxt = 1;
        flow.burst_end = 1;
    }

    /// MP_JOIN of the answer to a SYN, and what to keep of it; `None` if the connection takes no subflow now, which
    /// a request that is not kept asks at once.
    pub(crate) fn answer_join(&mut self, syn: &TcpSegment, local_id: u8) -> Option<(MpOption, SavedJoin)> {
        if self.mode != Mode::Multipath || self.state != State::Established || !self.may_accept_join(None) {
            return None;
        }
        let (backup, remote_id, token, remote_nonce) =
            syn.options.mptcp().find_map(|option| match option {
                MpOption::JoinSyn { backup, address_id, token, nonce } => {
                    Some((backup, address_id, token, nonce))
                }
                _ => None,
            })?;
        let local_nonce = self.rng.next_u32();
        let remote_key = self.keys.remote.unwrap_or_default();
        let hmac =
            crypto::join_hmac_synack(self.version, self.keys.local, remote_key, local_nonce, remote_nonce);
        let answer = MpOption::JoinSynAck { backup: false, address_id: local_id, hmac, nonce: local_nonce };
        Some((answer, SavedJoin { token, remote_nonce, local_nonce, backup, remote_id, local_id }))
    }
}
