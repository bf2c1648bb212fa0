//! SYN cookies (RFC 4987, section 3.6) as Linux makes them, with MPTCP: a SYN is answered and forgotten. The initial
//! sequence number is a hash of the addresses with the minute and one of four segment sizes; window scale, SACK and
//! ECN stand in the low bits of the timestamp, and are lost without one. The third ACK brings the keys; the little
//! that a join needs is kept in a table of fixed size.
//!
//! Left out: joins of the out-of-tree kernel, which have a queue of their own and are never answered so.

use std::net::{IpAddr, SocketAddr};

use sim_core::Instant;
use sim_core::random::Stream;
use siphasher::sip::SipHasher24;

use super::demux::FlowKey;
use super::{Host, Kind, SocketId};
use crate::config::TcpConfig;
use crate::crypto::{self, Version};
use crate::mptcp::cookie::SavedJoin;
use crate::mptcp::{Connection, Draws, SocketOptions};
use crate::wire::options::ParsedOptions;
use crate::wire::{Body, MpOption, Packet, Payload, Seq, TcpFlags, TcpOptions, TcpSegment};

/// Segment sizes that a cookie can tell.
const SIZES_V4: [u16; 4] = [536, 1300, 1440, 1460];
const SIZES_V6: [u16; 4] = [1280 - 60, 1480 - 60, 1500 - 60, 9000 - 60];
/// Nanoseconds of a period (`TCP_SYNCOOKIE_PERIOD`), and how many a cookie is good for (`MAX_SYNCOOKIE_AGE`).
const PERIOD: u64 = 60_000_000_000;
const PERIODS: u32 = 2;
/// Low bits of a cookie that hold the size.
const DATA: u32 = 0x00ff_ffff;
/// Joins that may wait for their third ACK (`COOKIE_JOIN_SLOTS`).
const JOINS: usize = 1024;
/// Keys drawn because of their tokens.
const KEY_TRIES: u8 = 5;

/// What a listener has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// A request.
    Request,
    /// An answer without one.
    Cookie,
    /// Nothing.
    None,
}

/// Secrets, and the joins that wait.
#[derive(Debug)]
pub(super) struct SynCookies {
    keys: [[u8; 16]; 4],
    joins: Vec<Option<SavedJoin>>,
    /// Whether any cookie was sent.
    used: bool,
}

/// What the timestamp of an answer tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Encoded {
    window_scale: Option<u8>,
    sack: bool,
    ecn: bool,
}

impl Encoded {
    const SCALE: u32 = 0x0f;
    const SACK: u32 = 0x10;
    const ECN: u32 = 0x20;
    const ALL: u32 = 0x3f;

    /// The newest timestamp up to `clock` that tells this (`cookie_init_timestamp`).
    fn into_timestamp(self, clock: u32) -> u32 {
        let scale = self.window_scale.map_or(Self::SCALE, u32::from);
        let bits = scale | if self.sack { Self::SACK } else { 0 } | if self.ecn { Self::ECN } else { 0 };
        let stamp = clock & !Self::ALL | bits;
        if stamp > clock { stamp.wrapping_sub(Self::ALL + 1) } else { stamp }
    }

    const fn from_timestamp(stamp: u32) -> Self {
        let scale = stamp & Self::SCALE;
        Self {
            window_scale: if scale == Self::SCALE { None } else { Some(scale as u8) },
            sack: stamp & Self::SACK != 0,
            ecn: stamp & Self::ECN != 0,
        }
    }
}

fn sizes(address: IpAddr) -> &'static [u16; 4] {
    if address.is_ipv4() { &SIZES_V4 } else { &SIZES_V6 }
}

fn minute(now: Instant) -> u32 {
    (now.as_nanos() / PERIOD) as u32
}

impl SynCookies {
    pub(super) fn new(stream: &mut Stream) -> Self {
        let mut key = || u128::from(stream.next_u64()) << 64 | u128::from(stream.next_u64());
        Self { keys: [(); 4].map(|()| key().to_le_bytes()), joins: Vec::new(), used: false }
    }

    fn hash(&self, key: usize, local: SocketAddr, remote: SocketAddr, more: u32) -> u32 {
        let mut octets = Vec::with_capacity(40);
        for end in [remote, local] {
            match end.ip() {
                IpAddr::V4(address) => octets.extend(address.octets()),
                IpAddr::V6(address) => octets.extend(address.octets()),
            }
            octets.extend(end.port().to_be_bytes());
        }
        octets.extend(more.to_be_bytes());
        SipHasher24::new_with_key(&self.keys[key]).hash(&octets) as u32
    }

    /// The initial sequence number of an answer to `irs` (`secure_tcp_syn_cookie`).
    fn make(&self, now: Instant, local: SocketAddr, remote: SocketAddr, irs: Seq, size: u32) -> u32 {
        let count = minute(now);
        let data = self.hash(1, local, remote, count).wrapping_add(size) & DATA;
        self.hash(0, local, remote, 0).wrapping_add(irs.0).wrapping_add(count << 24).wrapping_add(data)
    }

    /// The segment size of a cookie that is right and not too old (`check_tcp_syn_cookie`).
    fn check(
        &self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        irs: Seq,
        cookie: u32,
    ) -> Option<u16> {
        let rest = cookie.wrapping_sub(self.hash(0, local, remote, 0)).wrapping_sub(irs.0);
        let count = minute(now);
        let age = count.wrapping_sub(rest >> 24) & 0xff;
        if age >= PERIODS {
            return None;
        }
        let data = rest.wrapping_sub(self.hash(1, local, remote, count.wrapping_sub(age))) & DATA;
        sizes(remote.ip()).get(data as usize).copied()
    }

    /// The offset of timestamps between two addresses.
    fn ts_offset(&self, local: SocketAddr, remote: SocketAddr) -> u32 {
        self.hash(2, SocketAddr::new(local.ip(), 0), SocketAddr::new(remote.ip(), 0), 0)
    }

    fn slot(&self, local: SocketAddr, remote: SocketAddr, irs: Seq) -> usize {
        let nowhere = |end: SocketAddr| SocketAddr::new(IpAddr::from([0; 4]), end.port());
        self.hash(3, nowhere(local), nowhere(remote), irs.0) as usize % JOINS
    }
}

const fn before(number: Seq) -> Seq {
    Seq(number.0.wrapping_sub(1))
}

/// The SYN as a third ACK tells it.
fn implied_syn(segment: &TcpSegment, options: &ParsedOptions, encoded: Encoded, mss: u16) -> TcpSegment {
    let mut flags = TcpFlags::SYN;
    if encoded.ecn {
        flags = flags.with(TcpFlags::ECE).with(TcpFlags::CWR);
    }
    let mut list = TcpOptions::new();
    let mut fits = list.push_mss(mss);
    if encoded.sack {
        fits &= list.push_sack_permitted();
    }
    if let Some((val, _)) = options.timestamps {
        fits &= list.push_timestamps(val, 0);
    }
    if let Some(scale) = encoded.window_scale {
        fits &= list.push_window_scale(scale);
    }
    debug_assert!(fits, "19 octets");
    TcpSegment {
        seq: before(segment.seq),
        ack: Seq(0),
        flags,
        options: list,
        payload: Payload::Empty,
        ..segment.clone()
    }
}

/// MP_CAPABLE of a third ACK: version, flags, both keys.
fn capable_ack(segment: &TcpSegment) -> Option<(u8, u8, u64, u64)> {
    segment.options.mptcp().find_map(|option| match option {
        MpOption::Capable {
            version, flags, sender_key: Some(sender), receiver_key: Some(receiver), ..
        } => Some((version, flags, sender, receiver)),
        _ => None,
    })
}

fn millis(now: Instant) -> u32 {
    (now.as_nanos() / 1_000_000) as u32
}

impl Host {
    /// What a listener has room for (`tcp_conn_request`).
    pub(super) fn room(&self, listener: SocketId, join: bool) -> Room {
        let Kind::Listener(entry) = &self.sockets[listener.0 as usize].kind else { return Room::None };
        let own_queue = join && entry.options.mptcp.as_ref().is_some_and(|config| config.out_of_tree);
        let full = entry.pending >= entry.backlog;
        if entry.ready.len() >= entry.backlog {
            return Room::None;
        }
        match entry.options.tcp.syn_cookies {
            2.. if !own_queue => Room::Cookie,
            1 if full && !own_queue => Room::Cookie,
            _ if full => Room::None,
            _ => Room::Request,
        }
    }

    /// Answers a SYN and forgets it. A join that cannot be taken gets no answer, unlike one that is kept.
    pub(super) fn answer_with_cookie(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        segment: &TcpSegment,
        listener: SocketId,
    ) {
        let Ok(route) = self.routing.lookup(Some(local.ip()), remote.ip()) else { return };
        let mss = self.mss(now, route.interface, remote.ip());
        let Kind::Listener(entry) = &self.sockets[listener.0 as usize].kind else { return };
        let mut options = entry.options.clone();
        let join = segment.options.mptcp().any(|option| matches!(option, MpOption::JoinSyn { .. }));
        let capable = segment.options.mptcp().any(|option| matches!(option, MpOption::Capable { .. }));
        let answer = if join && !capable {
            let Some(answer) = self.cookie_join(local, remote, segment) else { return };
            options.mptcp = None;
            Some(answer)
        } else {
            None
        };
        let (syn, encoded) = self.remembered_part(segment, &options.tcp);
        let parsed = syn.options.parse_all();
        let limit = options.tcp.user_mss.unwrap_or(u16::MAX);
        let least = if remote.is_ipv4() { 536 } else { 1220 };
        let size = parsed.mss.filter(|mss| *mss > 0).unwrap_or(least).min(limit);
        let index = sizes(remote.ip()).iter().rposition(|known| size >= *known).unwrap_or(0);
        let cookies = &self.syn_cookies;
        let iss = cookies.make(now, local, remote, segment.seq, index as u32);
        let stamp = encoded.into_timestamp(millis(now));
        let ts_offset = cookies.ts_offset(local, remote).wrapping_add(stamp).wrapping_sub(millis(now));
        let draws = self.cookie_draws(&options, None, (iss, ts_offset));
        let mut connection = Connection::accept(options, now, local, remote, mss, &syn, draws);
        let mut packets = Vec::new();
        connection.transmit(now, &mut packets);
        for mut packet in packets {
            if let (Some(option), Body::Tcp(segment)) = (&answer, &mut packet.body) {
                let added = segment.options.push_mptcp(option);
                debug_assert!(added, "16 octets beside those of a SYN/ACK");
                segment.options.pad();
            }
            self.stats.out_packets += 1;
            self.outbox.push(route.interface, packet);
        }
        self.syn_cookies.used = true;
        self.stats.syn_cookies_sent += 1;
        if let Kind::Listener(entry) = &mut self.sockets[listener.0 as usize].kind {
            entry.cookie_sent = Some(now);
        }
    }

    /// MP_JOIN of the answer to a join, of which the rest is kept.
    fn cookie_join(&mut self, local: SocketAddr, remote: SocketAddr, syn: &TcpSegment) -> Option<MpOption> {
        let token = syn.options.mptcp().find_map(|option| match option {
            MpOption::JoinSyn { token, .. } => Some(token),
            _ => None,
        })?;
        let Some(&socket) = self.tokens.get(&token) else {
            self.stats.join_no_token += 1;
            return None;
        };
        let connection = self.connection_mut(socket)?;
        let local_id = connection.own_id(local.ip());
        let (answer, saved) = connection.answer_join(syn, local_id)?;
        let slot = self.syn_cookies.slot(local, remote, syn.seq);
        self.syn_cookies.joins.resize(JOINS, None);
        self.syn_cookies.joins[slot] = Some(saved);
        Some(answer)
    }

    /// The part of a SYN that its answer can remember: without timestamps nothing but the size.
    fn remembered_part(&self, segment: &TcpSegment, config: &TcpConfig) -> (TcpSegment, Encoded) {
        let parsed = segment.options.parse_all();
        let remembers = parsed.timestamps.is_some() && config.timestamps;
        let asks = segment.flags.contains(TcpFlags::ECE.with(TcpFlags::CWR)) && config.ecn > 0;
        let encoded = Encoded {
            window_scale: parsed.window_scale.map(|scale| scale.min(14)).filter(|_| config.window_scaling),
            sack: parsed.sack_permitted && config.sack,
            ecn: asks,
        };
        let encoded = if remembers { encoded } else { Encoded::default() };
        let implied = implied_syn(segment, &parsed, encoded, parsed.mss.unwrap_or(0));
        let mut syn = TcpSegment { seq: segment.seq, ..implied };
        for option in segment.options.mptcp() {
            if !syn.options.push_mptcp(&option) {
                break;
            }
        }
        (syn, encoded)
    }

    /// Numbers for a connection with a cookie: a key whose token is free, unless it is given, and the cookie.
    fn cookie_draws(
        &mut self,
        options: &SocketOptions,
        key: Option<u64>,
        (iss, ts_offset): (u32, u32),
    ) -> Draws {
        let mut draws = self.connection_stream();
        let version = options.mptcp.as_ref().and_then(|config| Version::from_number(config.version));
        let mut numbers = Vec::new();
        if let Some(version) = version {
            let mut chosen = key.unwrap_or_else(|| draws.next_u64());
            for _ in 1..KEY_TRIES {
                let taken = chosen == 0 || self.tokens.contains_key(&crypto::token(version, chosen));
                if !taken || key.is_some() {
                    break;
                }
                chosen = draws.next_u64();
            }
            numbers.push(chosen);
        }
        numbers.extend([iss, ts_offset].map(u64::from));
        draws.give(numbers);
        draws
    }

    /// An ACK without a flow may be the third of a handshake that is not remembered. Returns whether it was dealt
    /// with; if not, it is refused.
    pub(super) fn take_cookie(
        &mut self,
        now: Instant,
        packet: &Packet,
        segment: &TcpSegment,
        key: FlowKey,
    ) -> bool {
        if !self.syn_cookies.used {
            return false;
        }
        let local = SocketAddr::new(packet.ip.dst, segment.dst_port);
        let remote = SocketAddr::new(packet.ip.src, segment.src_port);
        let Some(listener) = self.find_listener(local) else { return false };
        let Kind::Listener(entry) = &self.sockets[listener.0 as usize].kind else { return false };
        let config = &entry.options.tcp;
        let recent = entry
            .cookie_sent
            .is_some_and(|at| now.saturating_since(at).as_nanos() <= u64::from(PERIODS) * PERIOD);
        if config.syn_cookies == 0 || !recent {
            return false;
        }
        let cookies = &self.syn_cookies;
        let (irs, iss) = (before(segment.seq), before(segment.ack).0);
        let Some(mss) = cookies.check(now, local, remote, irs, iss) else {
            self.stats.syn_cookies_failed += 1;
            return false;
        };
        self.stats.syn_cookies_received += 1;
        let ts_offset = cookies.ts_offset(local, remote);
        let parsed = segment.options.parse_all();
        let encoded = parsed.timestamps.map(|(_, ecr)| Encoded::from_timestamp(ecr.wrapping_sub(ts_offset)));
        let impossible = encoded.is_some_and(|encoded| {
            !config.timestamps
                || encoded.sack && !config.sack
                || encoded.window_scale.is_some() && !config.window_scaling
        });
        if impossible {
            return false;
        }
        if entry.ready.len() >= entry.backlog {
            self.stats.listen_overflows += 1;
            return true;
        }
        let syn = implied_syn(segment, &parsed, encoded.unwrap_or_default(), mss);
        if self.reopen(now, (local, remote), segment, syn, listener, key, (iss, ts_offset))
            && let Some(&flow) = self.flows.get(&key)
        {
            self.handle_in_flow(now, packet, segment, flow);
        }
        true
    }

    /// Makes the connection or the subflow whose request was not kept. Returns whether there is one.
    #[expect(clippy::too_many_arguments, reason = "the whole of a request that was not kept")]
    fn reopen(
        &mut self,
        now: Instant,
        ends: (SocketAddr, SocketAddr),
        segment: &TcpSegment,
        mut syn: TcpSegment,
        listener: SocketId,
        key: FlowKey,
        numbers: (u32, u32),
    ) -> bool {
        let (local, remote) = ends;
        let Ok(route) = self.routing.lookup(Some(local.ip()), remote.ip()) else { return false };
        let mss = self.mss(now, route.interface, remote.ip());
        let owner = self.sockets[listener.0 as usize].owner;
        let Kind::Listener(entry) = &self.sockets[listener.0 as usize].kind else { return false };
        let options = entry.options.clone();
        let capable = capable_ack(segment);
        let joins = segment.options.mptcp().any(|option| matches!(option, MpOption::JoinAck { .. }));
        let mut own_key = None;
        if let Some(config) = &options.mptcp {
            match capable {
                Some(_) if joins => return false,
                Some((version, flags, sender, receiver)) => {
                    let known = Version::from_number(version.min(config.version));
                    let Some(known) = known.filter(|_| sender != 0) else { return false };
                    if self.tokens.contains_key(&crypto::token(known, receiver)) {
                        return false;
                    }
                    own_key = Some(receiver);
                    let sender_key = (version == 0).then_some(sender);
                    let offer = MpOption::Capable {
                        version,
                        flags,
                        sender_key,
                        receiver_key: None,
                        data_len: None,
                        checksum: None,
                    };
                    if !syn.options.push_mptcp(&offer) {
                        return false;
                    }
                }
                None if joins => return self.reopen_join(now, ends, mss, syn, key, numbers),
                None => {}
            }
        }
        let draws = self.cookie_draws(&options, own_key, numbers);
        let mut connection = Connection::accept_again(options, now, ends, mss, &syn, draws);
        connection.set_local_addresses(self.local_addresses(), self.backup_addresses());
        if let Kind::Listener(entry) = &mut self.sockets[listener.0 as usize].kind {
            entry.pending += 1;
        }
        let socket = self.add_socket(Kind::Connection(Box::new(connection)), owner);
        self.sockets[socket.0 as usize].parent = Some(listener);
        self.register_token(socket);
        self.bind_flow(key, socket, 0);
        true
    }

    fn reopen_join(
        &mut self,
        now: Instant,
        ends: (SocketAddr, SocketAddr),
        mss: u16,
        mut syn: TcpSegment,
        key: FlowKey,
        numbers: (u32, u32),
    ) -> bool {
        let slot = self.syn_cookies.slot(ends.0, ends.1, syn.seq);
        let saved = self.syn_cookies.joins.get_mut(slot).and_then(Option::take);
        let Some(saved) = saved.filter(|saved| syn.options.push_mptcp(&saved.of_syn())) else { return false };
        let Some(&socket) = self.tokens.get(&saved.token) else { return false };
        let Some(connection) = self.connection_mut(socket) else { return false };
        let Some(index) = connection.accept_join_again(now, ends, mss, &syn, &saved, numbers) else {
            return false;
        };
        self.bind_flow(key, socket, index as u32);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::random::Streams;

    fn ends() -> (SocketAddr, SocketAddr) {
        ("192.168.0.1:8080".parse().expect("an address"), "192.0.2.1:40000".parse().expect("an address"))
    }

    #[test]
    fn a_cookie_is_good_for_the_minute_it_was_made_in_and_the_next() {
        // TCP-30
        let cookies = SynCookies::new(&mut Streams::new(1).stream("secret"));
        let (local, remote) = ends();
        let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
        for (index, mss) in SIZES_V4.into_iter().enumerate() {
            let cookie = cookies.make(at(70), local, remote, Seq(7), index as u32);
            let check = |now, irs| cookies.check(now, local, remote, irs, cookie);
            assert_eq!(check(at(70), Seq(7)), Some(mss));
            assert_eq!(check(at(179), Seq(7)), Some(mss));
            assert_eq!(check(at(180), Seq(7)), None, "two minutes later");
            assert_eq!(check(at(70), Seq(1007)), None, "another sequence number");
            assert_eq!(cookies.check(at(70), remote, local, Seq(7), cookie), None, "other ends");
        }
    }

    #[test]
    fn a_timestamp_tells_the_options_and_never_lies_in_the_future() {
        // TCP-30
        for clock in [0, 5, 63, 64, 1000, 0xffff_ffff] {
            for scale in [None, Some(0), Some(7), Some(14)] {
                for (sack, ecn) in [(false, false), (true, false), (true, true)] {
                    let encoded = Encoded { window_scale: scale, sack, ecn };
                    let stamp = encoded.into_timestamp(clock);
                    assert_eq!(Encoded::from_timestamp(stamp), encoded);
                    assert!(clock.wrapping_sub(stamp) < 64, "{clock} {stamp}");
                }
            }
        }
    }
}
