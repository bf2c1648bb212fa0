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
