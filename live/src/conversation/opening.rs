//! How a connection opens: SYNs, their answers, and when the application has it.

use mptcp_model::wire::{Packet, TcpOption, TcpSegment};
use scenarios::script::ast::BodySpec;
use scenarios::script::{Direction, PacketSpec, describe};
use sim_core::Duration;

use super::{Conversation, FastOpen, Step};
use crate::circumstances::{Answer, Opening};
use crate::theme::Theme;

impl Conversation {
    /// The application has its connection from now on.
    pub(super) fn begin(&mut self) {
        self.opened = true;
        self.peers[0].open = true;
        self.plan_calls();
        self.end = self.now() + self.span(1500, 4000);
        self.plan_theme();
    }

    /// The SYN/ACK of the kernel has come to the peer.
    pub(super) fn open_passively(&mut self) -> Result<(), String> {
        if std::mem::replace(&mut self.confirmed, true) {
            return Ok(());
        }
        if self.circumstances.opening == Opening::Late {
            // The third ACK is lost; data brings the same.
            self.peers[0].open = true;
            let len = self.peers[0].segment();
            let Some(text) = self.peers[0].data(len, &mut self.data) else { return Ok(()) };
            self.plan_repetition(0, 300);
            self.inject(&text)?;
        } else {
            let text = self.peers[0].third_ack(&self.data);
            self.inject(&text)?;
        }
        self.accept()?;
        self.peers[0].open = true;
        Ok(())
    }

    /// The application takes the connection; with Fast Open this may be before the third ACK.
    pub(super) fn accept(&mut self) -> Result<(), String> {
        if self.opened {
            return Ok(());
        }
        self.socket = 4;
        self.call("accept(3, ..., ...)", Some(4))?;
        self.call("fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK)", None)?;
        self.begin();
        self.peers[0].open = self.confirmed;
        Ok(())
    }

    /// A SYN of the kernel, for the first or another time.
    pub(super) fn syn_came(&mut self) -> Result<(), String> {
        self.syns += 1;
        let rtt = self.rtt;
        if self.choice.theme == Theme::Icmp && self.syns == 1 && self.themed.bernoulli(0.3) {
            self.plan_icmp(rtt / 2);
        }
        match (self.circumstances.opening, self.syns) {
            (Opening::Lost, 1) => {}
            (Opening::Refused, 1) => {
                if self.random.bernoulli(0.5) {
                    self.plan(rtt / 2, Step::Packet("< R. 0:0(0) ack 3 win 0".to_owned()));
                }
                self.plan(rtt, Step::Packet("< R. 0:0(0) ack 1 win 0".to_owned()));
                self.end = self.now() + Duration::from_millis(500);
            }
            (Opening::Refused, _) => {}
            (Opening::Crossing, 1) => {
                let text = self.peers[0].crossing_syn();
                self.plan(rtt, Step::Packet(text));
            }
            (Opening::Wrong, 1) => {
                let text = self.peers[0].syn_ack(2, "");
                self.plan(rtt, Step::Packet(text));
            }
            (Opening::Late, 1) => self.plan(Duration::from_millis(1_050), Step::Opened),
            (_, count) => {
                let after = if count == 1 { rtt } else { rtt / 2 };
                self.plan(after, Step::Opened);
                if self.circumstances.opening == Opening::Twice {
                    let again = rtt + self.span(0, 80);
                    self.plan(again, Step::Opened);
                }
            }
        }
        Ok(())
    }

    /// The peer answers the SYN of the kernel.
    pub(super) fn answer_syn(&mut self) -> Result<(), String> {
        let capable = match self.circumstances.answer {
            _ if !self.peers[0].multipath => "",
            Answer::Nothing => "",
            Answer::OldVersion => ",mpcapable v0 flags[flag_h] key[pkey=2]",
            Answer::ForeignFlags => ",mpcapable v1 flags[flag_b, flag_h] key[pkey=2]",
            Answer::Capable if self.data.checksums => ",mpcapable v1 flags[flag_a, flag_h] key[pkey=2]",
            Answer::Capable => ",mpcapable v1 flags[flag_h] key[pkey=2]",
        };
        let (mut ack, mut options) = (1, capable.to_owned());
        if let Some(FastOpen { quarters, .. }) = self.fast_open {
            ack += self.peers[0].take_early(self.syn_data.0 * quarters / 4);
            if self.syn_data.1 && quarters > 0 {
                options += ",FO abcd1234abcd,nop,nop,nop,nop";
            }
        }
        let text = self.peers[0].syn_ack(ack, &options);
        self.inject(&text)?;
        if !self.opened {
            self.call("getsockopt(3, SOL_SOCKET, SO_ERROR, [?], [4])", None)?;
            self.begin();
        }
        Ok(())
    }

    pub(super) fn syn_seen(
        &mut self,
        packet: &Packet,
        segment: &TcpSegment,
        subflow: usize,
    ) -> Result<(), String> {
        let peer = &mut self.peers[subflow];
        if !segment.flags.ack() {
            let asks = |option: &TcpOption| matches!(option, TcpOption::Unknown { kind: 34, body } if body.is_empty());
            self.syn_data = (segment.payload.len(), segment.options.iter().any(|option| asks(&option)));
            if !self.opened {
                peer.take_syn(segment, &mut self.data);
            }
            return self.syn_came();
        }
        if subflow > 0 {
            if !peer.open {
                peer.take_syn_ack(segment, &mut self.data);
                self.plan(self.rtt, Step::Joined);
            }
            return Ok(());
        }
        if self.circumstances.active {
            // The SYNs have crossed.
            let text = peer.third_ack(&self.data);
            self.plan(self.rtt, Step::Packet(text));
            if !self.opened {
                self.begin();
            }
            return Ok(());
        }
        self.syns += 1;
        if !self.confirmed {
            peer.take_syn_ack(segment, &mut self.data);
            let spec = describe(packet, Direction::Outbound, &self.environment);
            if let (Some(PacketSpec { body: BodySpec::Tcp(tcp), .. }), Some(_)) = (spec, self.fast_open) {
                let taken = tcp.ack.unwrap_or(1);
                peer.note_taken(taken);
                if taken > 1 && self.syns == 1 && self.themed.bernoulli(0.7) {
                    let after = Duration::from_millis(self.themed.below(20));
                    self.plan(after, Step::Accept);
                }
            }
            if self.circumstances.opening != Opening::Lost || self.syns > 1 {
                self.plan(self.rtt, Step::Opened);
            }
        }
        Ok(())
    }
}
