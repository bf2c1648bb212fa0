//! TCP Fast Open at a host (RFC 7413): the cookies it was given, and what its listeners make of a SYN (TCP-29).

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sim_core::Instant;

use super::{Host, Kind, SocketId};
use crate::config::FastOpenConfig;
use crate::crypto;
use crate::mptcp::{Connection, SocketError, SocketOptions};
use crate::tcp::fast_open::option_of;
use crate::wire::TcpSegment;

/// Octets of options that a SYN with data leaves room for (`MAX_TCP_OPTION_SPACE`).
const OPTION_SPACE: u16 = 40;

/// What a listener makes of a SYN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FastOpenAnswer {
    /// A handshake as any other.
    Usual,
    /// The SYN/ACK gives a cookie.
    Cookie(Bytes),
    /// The data is taken and the connection open.
    Taken,
}

impl FastOpenConfig {
    /// What a listener at `local` makes of a SYN from `remote` (`tcp_try_fastopen`).
    pub(super) fn answer(&self, segment: &TcpSegment, local: IpAddr, remote: IpAddr) -> FastOpenAnswer {
        let option = option_of(segment);
        if !self.listens() || (option.is_none() && segment.payload.is_empty()) {
            return FastOpenAnswer::Usual;
        }
        if self.takes_without_cookie() {
            return FastOpenAnswer::Taken;
        }
        let Some(seen) = option else { return FastOpenAnswer::Usual };
        let cookie = crypto::fast_open_cookie(&self.key, remote, local);
        if seen == cookie[..] {
            return FastOpenAnswer::Taken;
        }
        FastOpenAnswer::Cookie(Bytes::copy_from_slice(&cookie))
    }
}

impl Host {
    /// Whether a connection to `remote` could send data in its SYN: with a cookie, or without need for one.
    pub(crate) fn has_fast_open(&self, config: &FastOpenConfig, remote: IpAddr) -> bool {
        config.sends_without_cookie()
            || self.cookies.get(&remote).is_some_and(|(cookie, _)| !cookie.is_empty())
    }

    /// Open a connection as [`Host::connect`] does, with up to `len` octets of data in the SYN, or with the
    /// request for a cookie. Returns how many octets the SYN carries.
    ///
    /// # Errors
    /// As [`Host::connect`].
    pub(crate) fn connect_fast(
        &mut self,
        now: Instant,
        options: SocketOptions,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        len: u64,
    ) -> Result<(SocketId, u64), SocketError> {
        let config = options.tcp.fast_open;
        let known = self.cookies.get(&remote.ip()).cloned();
        let mut octets = 0;
        let id = self.connect_with(now, options, local, remote, |connection, mss| {
            let mss = known.as_ref().map_or(mss, |(_, cached)| mss.min(*cached));
            let cookie = known.map(|(cookie, _)| cookie).filter(|cookie| !cookie.is_empty());
            let (option, carries) = match cookie {
                _ if config.sends_without_cookie() => (None, true),
                Some(cookie) => (Some(cookie), true),
                None => (Some(Bytes::new()), false),
            };
            if carries {
                octets = len.min(u64::from(mss.saturating_sub(OPTION_SPACE)));
            }
            connection.offer_fast_open(option, octets as u32);
        })?;
        Ok((id, octets))
    }

    /// Keep the cookie that a connection was given, and the segment size that came with the answer, be there a cookie
    /// or not (`tcp_fastopen_cache_set`).
    pub(super) fn learn_cookie(&mut self, socket: SocketId) {
        let Some(Kind::Connection(connection)) =
            self.sockets.get_mut(socket.0 as usize).map(|entry| &mut entry.kind)
        else {
            return;
        };
        if let Some((cookie, mss)) = connection.take_learnt_cookie() {
            let remote = connection.subflows()[0].flow.remote().ip();
            let known = self.cookies.entry(remote).or_default();
            known.1 = mss;
            if !cookie.is_empty() {
                known.0 = cookie;
            }
        }
    }

    /// A request that a listener took: the connection with what Fast Open made of the SYN.
    pub(super) fn answer_fast_open(
        connection: &mut Connection,
        answer: FastOpenAnswer,
        segment: &TcpSegment,
    ) {
        match answer {
            FastOpenAnswer::Usual => {}
            FastOpenAnswer::Cookie(cookie) => connection.give_cookie(cookie),
            FastOpenAnswer::Taken => connection.open_with_syn(segment),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_those_of_linux() {
        // TCP-29: as Linux 6.18 gave it, with `tcp_fastopen_key` a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4.
        let mut key = [0; 16];
        for (octet, value) in key.iter_mut().zip([0xa1, 0xb2, 0xc3, 0xd4].iter().flat_map(|v| [*v; 4])) {
            *octet = value;
        }
        let (client, server) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 168, 0, 1]));
        let expected = [0x30, 0x21, 0xb9, 0xd8, 0x89, 0x01, 0x7e, 0xeb];
        assert_eq!(crypto::fast_open_cookie(&key, client, server), expected);
    }
}
