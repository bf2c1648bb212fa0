//! What the themes add to a conversation: Fast Open, long transfers, silent spells, errors of ICMP, and subflows that
//! the kernel opens or is invited to.

use std::net::IpAddr;
use std::time::Duration as Span;

use mptcp_model::wire::{Packet, TcpSegment};
use scenarios::script::OptionSpec;
use scenarios::script::ast::{OptionsSpec, TcpSpec};
use sim_core::Duration;
use sim_core::random::{Stream, Streams};

use super::{Conversation, FastOpen, MOST_SUBFLOWS, Step};
use crate::peer::Peer;
use crate::theme::Theme;

impl Conversation {
    /// A connection from which the kernel learns a cookie.
    pub(super) fn learn_cookie(&mut self) -> Result<(), String> {
        self.call("socket(..., SOCK_STREAM, IPPROTO_TCP)", Some(3))?;
        self.call("fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK)", None)?;
        self.call("sendto(3, ..., 100, MSG_FASTOPEN, ..., ...)", None)?;
        self.note_packets()?;
        if self.lines.last().is_some_and(|(_, line)| line.contains(" S 0:")) {
            self.inject("< S. 0:0(0) ack 1 win 60000 <mss 1400,nop,nop,sackOK,FO abcd1234,nop,nop>")?;
            self.note_packets()?;
        }
        self.set_option("SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}")?;
        self.call("close(3)", None)?;
        self.note_packets()
    }

    /// What the kernel sends within some time goes into the script, and nobody answers.
    pub(super) fn note_packets(&mut self) -> Result<(), String> {
        let until = self.now() + Duration::from_millis(15);
        while self.now() < until {
            self.wait(Span::from_millis(1));
            while let Some((at, packet)) = self.inbox.pop_front() {
                self.learn(at, &packet, 0)?;
            }
        }
        Ok(())
    }

    /// The kernel opens the connection, perhaps with data.
    pub(super) fn connect(&mut self) -> Result<(), String> {
        let Some(FastOpen { len, .. }) = self.fast_open else {
            return self.call("connect(3, ..., ...)", None);
        };
        if self.themed.bernoulli(0.15) {
            self.call("setsockopt(3, SOL_TCP, TCP_FASTOPEN_NO_COOKIE, [1], 4)", None)?;
        }
        if self.themed.bernoulli(0.6) {
            return self.call(&format!("sendto(3, ..., {len}, MSG_FASTOPEN, ..., ...)"), None);
        }
        self.call("setsockopt(3, SOL_TCP, TCP_FASTOPEN_CONNECT, [1], 4)", None)?;
        self.call("connect(3, ..., ...)", None)?;
        self.call(&format!("write(3, ..., {len})"), None)
    }

    /// Long transfers.
    pub(super) fn plan_bulk(&mut self) {
        for _ in 0..1 + self.themed.below(6) {
            let after = self.themed.span_between(Duration::ZERO, Duration::from_millis(1_000));
            let len = match self.themed.below(4) {
                0 => 1 + self.themed.below(30_000),
                1 => 1_000 * (1 + self.themed.below(200)),
                _ => 1 + self.themed.below(600_000),
            };
            self.plan(after, Step::Write(len, false));
        }
        if self.themed.bernoulli(0.3) {
            for _ in 0..self.themed.below(8) {
                let after = self.themed.span_between(Duration::ZERO, Duration::from_millis(900));
                self.plan(after, Step::Data(500));
            }
        }
        for option in std::mem::take(&mut self.circumstances.later) {
            let after = self.themed.span_between(Duration::ZERO, Duration::from_millis(700));
            self.plan(after, Step::SetOption(option));
        }
        if self.themed.bernoulli(0.2) {
            self.plan_end();
        }
    }

    /// What the theme adds to a conversation that has just begun.
    pub(super) fn plan_theme(&mut self) {
        let soon = |themed: &mut Stream, most: u64| {
            themed.span_between(Duration::from_millis(1), Duration::from_millis(most))
        };
        match self.choice.theme {
            Theme::Silence => {
                for _ in 0..1 + self.themed.below(2) {
                    let from = self.now() + soon(&mut self.themed, 800);
                    let most = [300, 900, 3_000][self.themed.below(3) as usize];
                    let until = from + soon(&mut self.themed, most);
                    self.habit.silent.push((from, until, self.themed.bernoulli(0.5)));
                }
                if self.themed.bernoulli(0.25) {
                    let after = soon(&mut self.themed, 900);
                    self.plan(after, Step::Forget(0));
                }
                if self.themed.bernoulli(0.3) {
                    let (after, before) = (soon(&mut self.themed, 600), self.peers[0].window);
                    let later = after + soon(&mut self.themed, 2_000);
                    self.plan(after, Step::Window(0, 0));
                    self.plan(later, Step::Window(0, before));
                }
            }
            Theme::Icmp => {
                for _ in 0..1 + self.themed.below(3) {
                    let after = soon(&mut self.themed, 1_200);
                    self.plan_icmp(after);
                }
            }
            Theme::Paths if self.themed.bernoulli(0.5) => {
                let after = soon(&mut self.themed, 600);
                let signal = [
                    "add_address address_id=3 addr[peer3=inet_addr(\"192.0.2.9\")] hmac=auto",
                    "remove_address address_id=[1]",
                    "mp_prio backup=1",
                    "mp_prio backup=0",
                ][self.themed.below(6).saturating_sub(2) as usize];
                self.plan(after, Step::Signal(signal.to_owned()));
            }
            _ => {}
        }
    }

    pub(super) fn plan_icmp(&mut self, after: Duration) {
        let kind = match self.themed.below(10) {
            0 => "unreachable net_unreachable".to_owned(),
            1 | 2 => "unreachable host_unreachable".to_owned(),
            3 => "unreachable protocol_unreachable".to_owned(),
            4 => "unreachable port_unreachable".to_owned(),
            5 => "unreachable source_route_failed".to_owned(),
            6 => "unreachable admin_prohibited".to_owned(),
            7 => "time_exceeded".to_owned(),
            _ => format!("unreachable frag_needed mtu {}", 500 + self.themed.below(1_100)),
        };
        let ahead = if self.themed.bernoulli(0.7) { 0 } else { self.themed.below(4_000) as u32 };
        self.plan(after, Step::Icmp(kind, ahead));
        if self.themed.bernoulli(0.7) {
            let later = after + Duration::from_millis(2 + self.themed.below(40));
            self.plan(later, Step::Call("getsockopt(FD, SOL_SOCKET, SO_ERROR, [?], [4])".to_owned()));
        }
    }

    /// The name of an address.
    pub(super) fn name_of(&self, address: IpAddr) -> String {
        let distance = |from: IpAddr| match (address, from) {
            (IpAddr::V4(address), IpAddr::V4(from)) => u32::from(address).wrapping_sub(from.into()),
            _ => u32::MAX,
        };
        match (distance(self.local), distance(self.remote)) {
            (near, _) if near < 8 => format!("host{near}"),
            (_, near) if near < 8 => format!("peer{near}"),
            _ => "peer3".to_owned(),
        }
    }

    /// The first SYN of one more subflow that the kernel opens.
    pub(super) fn note_join(&mut self, packet: &Packet) -> bool {
        let way = (packet.ip.src, packet.ip.dst);
        let number = self.peers.len();
        if self.ways.contains(&way) || number >= MOST_SUBFLOWS {
            return false;
        }
        let streams = Streams::new(self.themed.next_u64());
        let mut peer = Peer::new(streams.stream("peer"), number as u8, true, self.circumstances.ecn);
        peer.names = Some((self.name_of(way.1), self.name_of(way.0)));
        self.peers.push(peer);
        self.ways.push(way);
        true
    }

    pub(super) fn join_seen(&mut self, segment: &TcpSegment, number: usize) {
        self.peers[number].take_syn(segment, &mut self.data);
        let hmac = if self.themed.bernoulli(0.06) { "1" } else { "auto" };
        let backup = u8::from(self.themed.bernoulli(0.15));
        let option = format!(",mp_join_syn_ack backup={backup} address_id={number} sender_hmac={hmac}");
        let answer = match self.themed.below(12) {
            0 => return,
            1 => String::new(),
            _ => option,
        };
        self.plan(self.rtt, Step::JoinAnswer(number, answer));
    }

    /// The peer echoes what the kernel announces, and may join there.
    pub(super) fn announced(&mut self, subflow: usize, tcp: &TcpSpec) {
        let OptionsSpec::List(options) = &tcp.options else { return };
        for option in options {
            let OptionSpec::AddAddress { address_id: Some(id), address, hmac: Some(_), .. } = option else {
                continue;
            };
            let number = address.name.strip_prefix("host").and_then(|number| number.parse::<u32>().ok());
            let address = address.value.or_else(|| match (self.local, number) {
                (IpAddr::V4(local), Some(number)) => Some(IpAddr::V4((u32::from(local) + number).into())),
                _ => None,
            });
            let Some(address) = address else { continue };
            if self.themed.bernoulli(0.8) {
                let name = self.name_of(address);
                let echo = format!("add_address address_id={id} addr[{name}] addr_echo");
                let text = self.peers[subflow].ack(&self.data, Some(&echo));
                self.plan(self.rtt, Step::Packet(text));
            }
            if self.themed.bernoulli(0.7) {
                let later = self.rtt + Duration::from_millis(self.themed.below(100));
                self.plan(later, Step::JoinTo(address));
            }
        }
    }
}
