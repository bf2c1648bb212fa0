//! Two hosts on one wire without delay, driven through their sockets.

use std::sync::Arc;

use sim_core::random::Streams;
use sim_core::{Duration, Instant};

use super::*;
use crate::config::{MptcpConfig, Profile, TcpConfig};
use crate::mptcp::Content;
use crate::net::InterfaceId;
use crate::path_manager::registry::{self, PathManagerConfig};
use crate::wire::{Body, Packet};
use crate::{congestion, scheduler};

struct Wire {
    hosts: [Host; 2],
    sockets: [Sockets; 2],
    now: Instant,
    /// Payload lengths of the segments with data that left host 0, and when.
    sent: Vec<(u32, Instant)>,
}

fn options(mptcp: bool) -> SocketOptions {
    SocketOptions {
        tcp: Arc::new(TcpConfig::new(Profile::LinuxUpstream)),
        mptcp: mptcp.then(|| Arc::new(MptcpConfig::new(Profile::LinuxUpstream))),
        congestion: Arc::new(|| congestion::create("cubic", &congestion::Parameters::new()).unwrap()),
        scheduler: Arc::new(|| scheduler::create("default").unwrap()),
        path_manager: Arc::new(|| (registry::find("kernel").unwrap().build)(&PathManagerConfig::default())),
        content: Content::Pattern(1),
    }
}

impl Wire {
    fn new() -> Self {
        let host = |name: &str, address: &str| {
            let mut host = Host::new(name, Streams::new(1));
            host.add_interface("eth0", 1500, &[address.parse().unwrap()]);
            host
        };
        Self {
            hosts: [host("a", "10.0.0.1/24"), host("b", "10.0.0.2/24")],
            sockets: [Sockets::new(), Sockets::new()],
            now: Instant::from_nanos(1_000_000_000),
            sent: Vec::new(),
        }
    }

    fn call(&mut self, side: usize, call: Call) -> Progress {
        self.sockets[side].begin(self.now, &mut self.hosts[side], call)
    }

    /// Packets travel until none is left.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            for side in 0..2 {
                while let Some((_, packet)) = self.hosts[side].poll_transmit(self.now) {
                    moved = true;
                    self.note(side, &packet);
                    self.hosts[1 - side].handle_packet(self.now, InterfaceId(0), &packet);
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn note(&mut self, side: usize, packet: &Packet) {
        if let Body::Tcp(segment) = &packet.body
            && side == 0
            && !segment.payload.is_empty()
        {
            self.sent.push((segment.payload.len(), self.now));
        }
    }

    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        self.settle();
        while let Some(next) =
            self.hosts.iter().filter_map(Host::poll_timeout).min().filter(|next| *next <= until)
        {
            self.now = self.now.max(next);
            for host in &mut self.hosts {
                host.handle_timeout(self.now);
            }
            self.settle();
        }
        self.now = until;
    }

    /// A listener at host 1 and a connection to it from host 0, accepted.
    fn connected(mptcp: bool) -> (Self, Fd, Fd) {
        let mut wire = Self::new();
        let listener = wire.sockets[1].socket(options(mptcp), false);
        let address = "10.0.0.2:80".parse().unwrap();
        wire.sockets[1].bind(&wire.hosts[1], listener, address).unwrap();
        wire.sockets[1].listen(&mut wire.hosts[1], listener, 1).unwrap();
        let client = wire.sockets[0].socket(options(mptcp), true);
        let connect = Call::Connect { fd: client, to: Some(address) };
        assert_eq!(wire.call(0, connect.clone()), Progress::Done(Err(Errno::InProgress), Vec::new()));
        wire.pass(Duration::from_millis(10));
        assert_eq!(wire.call(0, connect.clone()), Progress::Done(Ok(0), Vec::new()));
        assert_eq!(wire.call(0, connect), Progress::Done(Err(Errno::IsConnected), Vec::new()));
        let Progress::Done(Ok(server), _) = wire.call(1, Call::Accept { fd: listener, nonblocking: true })
        else {
            panic!("nothing to accept")
        };
        (wire, client, Fd::try_from(server).unwrap())
    }

    fn cork(&mut self, fd: Fd, on: bool) {
        let value = OptionValue::Number(on.into());
        self.sockets[0].set_option(self.now, &mut self.hosts[0], fd, SocketOption::Cork, &value).unwrap();
    }

    fn write(&mut self, fd: Fd, len: u64) -> Progress {
        self.call(0, Call::Write { fd, len, flags: Flags::default() })
    }
}

#[test]
fn a_corked_segment_waits_for_the_uncorking_or_200_ms() {
    for mptcp in [false, true] {
        let (mut wire, client, _) = Wire::connected(mptcp);
        wire.cork(client, true);
        assert_eq!(wire.write(client, 100), Progress::Done(Ok(100), Vec::new()));
        assert_eq!(wire.write(client, 100), Progress::Done(Ok(100), Vec::new()));
        wire.pass(Duration::from_millis(100));
        assert_eq!(wire.sent, [], "held back (MPTCP: {mptcp})");
        wire.cork(client, false);
        wire.settle();
        assert_eq!(wire.sent, [(200, wire.now)], "sent as one");

        wire.sent.clear();
        wire.pass(Duration::from_millis(100));
        wire.cork(client, true);
        let corked = wire.now;
        assert_eq!(wire.write(client, 50), Progress::Done(Ok(50), Vec::new()));
        wire.pass(Duration::from_secs(1));
        let [(50, at)] = wire.sent[..] else { panic!("{:?}", wire.sent) };
        let waited = at.saturating_since(corked);
        assert!(waited >= Duration::from_millis(200) && waited < Duration::from_millis(230), "{waited:?}");
    }
}

#[test]
fn full_segments_pass_a_cork() {
    let (mut wire, client, _) = Wire::connected(false);
    wire.cork(client, true);
    wire.write(client, 2000);
    wire.settle();
    assert_eq!(wire.sent.len(), 1);
    assert_eq!(wire.sent[0].0, 1448);
}

#[test]
fn reads_and_writes_give_the_errors_of_linux() {
    let (mut wire, client, server) = Wire::connected(false);
    let read = |fd| Call::Read { fd, len: 100, flags: Flags::default() };
    assert_eq!(wire.call(1, read(server)), Progress::Done(Err(Errno::Again), Vec::new()));
    let fresh = wire.sockets[0].socket(options(false), true);
    assert_eq!(wire.call(0, read(fresh)), Progress::Done(Err(Errno::NotConnected), Vec::new()));
    assert_eq!(wire.write(fresh, 1), Progress::Done(Err(Errno::BrokenPipe), Vec::new()));
    assert_eq!(wire.call(0, read(99)), Progress::Done(Err(Errno::BadFd), Vec::new()));
    assert_eq!(
        wire.sockets[0].shutdown(wire.now, &mut wire.hosts[0], fresh, (true, true)),
        Err(Errno::NotConnected)
    );

    // A reset is told once.
    let linger = OptionValue::Linger(Some(Linger { time: Duration::ZERO }));
    let now = wire.now;
    wire.sockets[0].set_option(now, &mut wire.hosts[0], client, SocketOption::Linger, &linger).unwrap();
    assert_eq!(wire.call(0, Call::Close { fd: client }), Progress::Done(Ok(0), Vec::new()));
    wire.settle();
    assert_eq!(wire.call(1, read(server)), Progress::Done(Err(Errno::ConnectionReset), Vec::new()));
    assert_eq!(wire.call(1, read(server)), Progress::Done(Ok(0), Vec::new()));
    assert_eq!(wire.call(0, Call::Close { fd: client }), Progress::Done(Err(Errno::BadFd), Vec::new()));
}

#[test]
fn a_blocking_read_waits_for_data_or_its_timeout() {
    let (mut wire, client, server) = Wire::connected(true);
    wire.sockets[1].set_nonblocking(server, false).unwrap();
    let timeout = OptionValue::Time(Duration::from_millis(50));
    let now = wire.now;
    wire.sockets[1]
        .set_option(now, &mut wire.hosts[1], server, SocketOption::ReceiveTimeout, &timeout)
        .unwrap();
    let read = Call::Read { fd: server, len: 100, flags: Flags::default() };
    let Progress::Blocked(pending) = wire.call(1, read.clone()) else { panic!("it does not wait") };
    assert_eq!(pending.deadline, Some(wire.now + Duration::from_millis(50)));
    wire.write(client, 30);
    wire.settle();
    assert_eq!(
        wire.sockets[1].resume(wire.now, &mut wire.hosts[1], pending),
        Progress::Done(Ok(30), Vec::new())
    );
    let Progress::Blocked(pending) = wire.call(1, read) else { panic!("it does not wait") };
    wire.pass(Duration::from_millis(60));
    assert_eq!(
        wire.sockets[1].resume(wire.now, &mut wire.hosts[1], pending),
        Progress::Done(Err(Errno::Again), Vec::new())
    );
}

/// What the caller fills in before asking about subflows.
fn asked(size_user: u32) -> SubflowData {
    SubflowData { size_subflow_data: 16, num_subflows: 0, size_kernel: 0, size_user }
}

#[test]
fn mptcp_info_is_that_of_the_kernel_with_its_errors() {
    // APP-07; forms, sizes and errors as Linux 6.18 gave them.
    let (mut wire, client, server) = Wire::connected(true);
    wire.write(client, 100);
    wire.pass(Duration::from_millis(50));
    let (sockets, host, now) = (&wire.sockets[0], &wire.hosts[0], wire.now);
    let info = sockets.mptcp_info(host, client).unwrap();
    assert_eq!((info.subflows, info.subflows_total, info.csum_enabled), (0, 1, false));
    assert_eq!((info.bytes_sent, info.bytes_acked, info.bytes_received), (100, 100, 0));
    assert_eq!(wire.sockets[1].mptcp_info(&wire.hosts[1], server).unwrap().bytes_received, 100);
    let mut data = asked(232);
    let flows = sockets.subflow_tcp_info(now, host, client, &mut data, 2000).unwrap();
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].field("tcpi_bytes_sent"), Some(100));
    assert_eq!(
        data,
        SubflowData { size_subflow_data: 16, num_subflows: 1, size_kernel: 280, size_user: 232 }
    );
    let mut data = asked(272);
    let ends = sockets.subflow_addresses(host, client, &mut data, 2000).unwrap();
    assert_eq!(ends[0].1, "10.0.0.2:80".parse().unwrap());
    assert_eq!((data.num_subflows, data.size_kernel, data.size_user), (1, 256, 256));
    // Without room for an entry only the counts are told.
    for (size_user, room) in [(0, 2000), (232, 100)] {
        let mut data = asked(size_user);
        assert!(sockets.subflow_tcp_info(now, host, client, &mut data, room).unwrap().is_empty());
        assert_eq!(data.num_subflows, 1);
    }
    for wrong in [
        SubflowData { size_subflow_data: 15, ..asked(232) },
        SubflowData { num_subflows: 1, ..asked(232) },
        SubflowData { size_kernel: 1, ..asked(232) },
    ] {
        let mut data = wrong;
        let answer = sockets.subflow_tcp_info(now, host, client, &mut data, 2000);
        assert_eq!(answer.map(|flows| flows.len()), Err(Errno::Invalid), "{wrong:?}");
    }
    assert_eq!(
        sockets.subflow_addresses(host, client, &mut asked(232), 15),
        Err(Errno::Invalid),
        "no room for the head"
    );
    assert_eq!(sockets.set_mptcp_option(client), Err(Errno::OptionUnknown));
    let fresh = wire.sockets[0].socket(options(true), true);
    assert_eq!(wire.sockets[0].mptcp_info(&wire.hosts[0], fresh).unwrap().subflows_total, 0);
    assert_eq!(wire.sockets[0].mptcp_info(&wire.hosts[0], 99), Err(Errno::BadFd));
    let (plain, client, _) = Wire::connected(false);
    assert_eq!(plain.sockets[0].mptcp_info(&plain.hosts[0], client), Err(Errno::NotSupported));
    let answer = plain.sockets[0].subflow_addresses(&plain.hosts[0], client, &mut asked(232), 2000);
    assert_eq!(answer, Err(Errno::NotSupported));
}

#[test]
fn subflows_are_listed_opened_set_and_closed_by_programs() {
    // APP-01, APP-02, APP-03, APP-04, APP-05
    let (mut wire, client, server) = Wire::connected(true);
    wire.hosts[0].routing.add_address(InterfaceId(0), "10.0.0.3/24".parse().unwrap());
    wire.write(client, 10);
    wire.pass(Duration::from_millis(50));
    let (now, remote) = (wire.now, "10.0.0.2:80".parse().unwrap());
    let open = |wire: &mut Wire, local: &str, remote: SocketAddr| {
        wire.sockets[0].open_subflow(now, &mut wire.hosts[0], client, (local.parse().unwrap(), remote), false)
    };
    assert_eq!(open(&mut wire, "10.0.0.3:0", remote), Ok(2));
    assert_eq!(open(&mut wire, "10.0.0.3:4000", remote), Ok(3));
    assert_eq!(open(&mut wire, "10.0.0.3:4000", remote), Err(Errno::AddressInUse));
    assert_eq!(open(&mut wire, "10.0.0.9:0", remote), Err(Errno::AddressNotAvailable));
    assert_eq!(
        open(&mut wire, "10.0.0.3:0", "192.0.2.1:80".parse().unwrap()),
        Err(Errno::NetworkUnreachable)
    );
    wire.pass(Duration::from_millis(50));
    let (sockets, host) = (&wire.sockets[0], &wire.hosts[0]);
    assert_eq!(
        sockets.subflow_ids(host, client, 9),
        Ok(vec![(3, false), (2, false), (1, false)]),
        "newest first"
    );
    assert_eq!(sockets.subflow_ids(host, client, 2), Err(Errno::Invalid));
    let tuple = sockets.subflow_tuple(host, client, 3).unwrap();
    assert_eq!(tuple, ("10.0.0.3:4000".parse().unwrap(), remote));
    assert_eq!(sockets.subflow_tuple(host, client, 4), Err(Errno::Invalid));
    let connection = sockets.connection(host, client).unwrap();
    assert!(connection.subflows().iter().all(|subflow| subflow.info().established), "the peer took them");

    let now = wire.now;
    let set = |tcp: &mut TcpConfig| tcp.nagle = false;
    wire.sockets[0].change_subflow(now, &mut wire.hosts[0], client, 2, set).unwrap();
    let nagle = |id| wire.sockets[0].subflow_settings(&wire.hosts[0], client, id).map(|tcp| tcp.nagle);
    assert_eq!((nagle(1), nagle(2), nagle(7)), (Ok(true), Ok(false), Err(Errno::Invalid)));

    // One ends; what is written afterwards arrives all the same.
    wire.sockets[0].close_subflow(now, &mut wire.hosts[0], client, 1).unwrap();
    wire.write(client, 50_000);
    wire.pass(Duration::from_secs(2));
    let ids: Vec<_> = wire.sockets[0].subflow_ids(&wire.hosts[0], client, 9).unwrap();
    assert!(ids.iter().all(|&(id, _)| id != 1), "{ids:?}");
    let got = wire.sockets[1].connection(&wire.hosts[1], server).unwrap().info();
    assert_eq!((got.bytes_received, got.error), (50_010, None));
    assert_eq!(
        wire.sockets[0].close_subflow(now, &mut wire.hosts[0], client, 1),
        Err(Errno::Invalid),
        "it is gone"
    );

    let fresh = wire.sockets[0].socket(options(true), true);
    let refused = wire.sockets[0].subflow_ids(&wire.hosts[0], fresh, 9);
    assert_eq!(refused, Err(Errno::NotConnected));
}

#[test]
fn options_of_mptcp_have_the_numbers_of_their_kernels() {
    // APP-06, APP-07, APP-08
    let number = |name: &str, level: i32| {
        let found = OPTION_NUMBERS.iter().find(|(known, at, _)| *known == name && *at == level);
        found.map(|&(.., number)| number)
    };
    assert_eq!((number("MPTCP_INFO", 284), number("MPTCP_FULL_INFO", 284)), (Some(1), Some(4)));
    assert_eq!((number("MPTCP_ENABLED", 6), number("MPTCP_INFO", 6)), (Some(42), Some(45)));
    assert_eq!((number("MPTCP_GET_SUB_IDS", 6), number("MPTCP_SUB_SETSOCKOPT", 6)), (Some(66), Some(72)));
    let mut wire = Wire::new();
    let fd = wire.sockets[0].socket(options(false), true);
    let config = Arc::new(MptcpConfig::new(Profile::LinuxOot));
    assert_eq!(wire.sockets[0].enable_mptcp(fd, Some(config)), Ok(()));
    assert_eq!(wire.sockets[0].protocol(fd), Ok(Protocol::Mptcp));
    assert_eq!(wire.sockets[0].set_scheduler(fd, "redundant"), Ok(()));
    assert_eq!(wire.sockets[0].set_scheduler(fd, "fastest"), Err(Errno::NoEntry));
    assert_eq!(wire.sockets[0].set_path_manager(fd, "ndiffports"), Ok(()));
    assert_eq!(wire.sockets[0].set_path_manager(fd, "smart"), Err(Errno::NoEntry));
    let (mut wire, client, _) = Wire::connected(true);
    assert_eq!(wire.sockets[0].enable_mptcp(client, None), Err(Errno::Invalid), "too late");
}
