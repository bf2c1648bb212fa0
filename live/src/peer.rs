//! The peer of a random conversation: a TCP receiver with SACK and D-SACK and a simple sender, in the words of
//! scripts. Numbers are relative to the initial ones; in MPTCP with one subflow, those of the data are the same.

use std::fmt::Write as _;

use mptcp_model::wire::{TcpFlags, TcpSegment};
use scenarios::script::ast::TcpSpec;
use sim_core::random::Stream;

/// What a segment of the kernel asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It needs no answer.
    Nothing,
    /// Data in order: its acknowledgment may wait.
    InOrder,
    /// An acknowledgment at once.
    Other,
}

pub(crate) struct Peer {
    multipath: bool,
    mss: u32,
    kernel_mss: u32,
    timestamps: bool,
    sack: bool,
    scale: Option<u8>,
    window: u32,
    /// Next number of its own.
    next: u32,
    /// What the kernel acknowledged.
    acked: u32,
    sent: Vec<(u32, u32)>,
    fin_at: Option<u32>,
    /// Next number expected of the kernel.
    expected: u32,
    /// What arrived beyond, latest first.
    beyond: Vec<(u32, u32)>,
    duplicate: Option<(u32, u32)>,
    kernel_fin: Option<u32>,
    data_fin_seen: bool,
    data_fin_sent: bool,
    clock_values: u32,
    echo: u32,
    first_data: Option<u32>,
    /// The kernel reset the connection.
    over: bool,
}

impl Peer {
    pub(crate) fn new(random: &mut Stream, multipath: bool) -> Self {
        let scale = random.bernoulli(0.8).then(|| random.below(9) as u8);
        let timestamps = multipath || random.bernoulli(0.5);
        let window = match random.below(3) {
            0 => 65_535,
            1 => 5_000 + random.below(20_000) as u32,
            _ => 400_000,
        };
        Self {
            multipath,
            mss: [536, 1000, 1460, 1460][random.below(4) as usize],
            kernel_mss: 1460,
            timestamps,
            sack: multipath || random.bernoulli(0.75),
            scale,
            window,
            next: 1,
            acked: 1,
            sent: Vec::new(),
            fin_at: None,
            expected: 1,
            beyond: Vec::new(),
            duplicate: None,
            kernel_fin: None,
            data_fin_seen: false,
            data_fin_sent: false,
            clock_values: 0,
            echo: 0,
            first_data: None,
            over: false,
        }
    }

    /// The largest segment it sends.
    pub(crate) fn segment(&self) -> u32 {
        let options = if self.timestamps { 12 } else { 0 } + if self.multipath { 28 } else { 0 };
        self.kernel_mss.min(1000) - options
    }

    /// A name for the next value of the kernel's clock.
    pub(crate) fn name_clock_value(&mut self) -> u32 {
        self.clock_values += 1;
        self.clock_values + 1_000_000
    }

    fn window_field(&self) -> u32 {
        (self.window >> self.scale.unwrap_or(0)).clamp(1, 65_535)
    }

    pub(crate) fn syn(&self) -> String {
        let mut options = format!("mss {}", self.mss);
        match (self.sack, self.timestamps) {
            (true, true) => options += ",sackOK,TS val MILLIS ecr 0",
            (true, false) => options += ",nop,nop,sackOK",
            (false, true) => options += ",nop,nop,TS val MILLIS ecr 0",
            (false, false) => {}
        }
        if let Some(scale) = self.scale {
            let _ = write!(options, ",nop,wscale {scale}");
        }
        if self.multipath {
            options += ",mpcapable v1 flags[flag_h] nokey";
        }
        format!("< S 0:0(0) win {} <{options}>", self.window.min(65_535))
    }

    pub(crate) fn take_syn_ack(&mut self, segment: &TcpSegment) {
        let parsed = segment.options.parse_all();
        self.kernel_mss = parsed.mss.map_or(536, u32::from);
        if parsed.window_scale.is_none() {
            self.scale = None;
        }
    }

    pub(crate) fn third_ack(&mut self) -> String {
        self.echo = self.clock_values + 1_000_000;
        let capable = if self.multipath { "mpcapable v1 flags[flag_h] key[ckey=2, skey]" } else { "" };
        self.packet(".", self.next, 0, capable)
    }

    /// A packet with its timestamps, acknowledging what has come.
    fn packet(&self, flags: &str, first: u32, len: u32, further: &str) -> String {
        let mut options = Vec::new();
        if self.timestamps {
            options.push(format!("nop,nop,TS val MILLIS ecr {}", self.echo));
        }
        if !further.is_empty() {
            options.push(further.to_owned());
        }
        let options = if options.is_empty() { String::new() } else { format!(" <{}>", options.join(",")) };
        let (last, window) = (first + len, self.window_field());
        format!("< {flags} {first}:{last}({len}) ack {} win {window}{options}", self.expected)
    }

    fn data_ack(&self) -> u32 {
        let fin = u32::from(self.kernel_fin.is_some_and(|fin| self.expected > fin));
        self.expected - fin + u32::from(self.data_fin_seen)
    }

    /// An acknowledgment of what has come.
    pub(crate) fn ack(&mut self) -> String {
        let mut options = Vec::new();
        let most = match (self.timestamps, self.multipath) {
            (true, true) => 1,
            (true, false) => 3,
            (false, _) => 4,
        };
        let blocks: Vec<_> = self.duplicate.take().into_iter().chain(self.beyond.iter().copied()).collect();
        if self.sack && !blocks.is_empty() {
            let blocks: Vec<_> =
                blocks.iter().take(most).map(|(left, right)| format!("{left}:{right}")).collect();
            options.push(format!("nop,nop,sack {}", blocks.join(" ")));
        }
        if self.multipath {
            options.push(format!("dss dack8={} nocs", self.data_ack()));
        }
        self.packet(".", self.next, 0, &options.join(","))
    }

    /// New data, if the peer has not ended its stream.
    pub(crate) fn data(&mut self, len: u32) -> Option<String> {
        if self.fin_at.is_some() || self.data_fin_sent || self.over {
            return None;
        }
        let first = self.next;
        self.sent.push((first, len));
        let text = self.segment_of(first, len);
        self.next += len;
        Some(text)
    }

    fn segment_of(&mut self, first: u32, len: u32) -> String {
        if !self.multipath {
            return self.packet("P.", first, len, "");
        }
        let opening = *self.first_data.get_or_insert(first);
        let dss = if opening == first && self.acked <= first {
            format!("mpcapable v1 flags[flag_h] key[ckey, skey] mpcdatalen {len},nop,nop")
        } else {
            format!("dss dack8={} dsn8={first} ssn={first} dll={len} nocs,nop,nop", self.data_ack())
        };
        self.packet("P.", first, len, &dss)
    }

    pub(crate) fn has_unacknowledged(&self) -> bool {
        self.sent.iter().any(|&(first, len)| first + len > self.acked)
            || self.fin_at.is_some_and(|fin| self.acked <= fin)
    }

    /// What the kernel has not acknowledged, once more.
    pub(crate) fn repeat(&mut self) -> Vec<String> {
        let open: Vec<_> =
            self.sent.iter().copied().filter(|&(first, len)| first + len > self.acked).collect();
        let mut packets: Vec<_> = open.into_iter().map(|(first, len)| self.segment_of(first, len)).collect();
        if let Some(fin) = self.fin_at.filter(|fin| self.acked <= *fin) {
            packets.push(self.fin_packet(fin));
        }
        packets
    }

    fn fin_packet(&self, at: u32) -> String {
        let dss = if self.multipath { format!("dss dack8={} nocs", self.data_ack()) } else { String::new() };
        self.packet("F.", at, 0, &dss)
    }

    /// The end of its stream.
    pub(crate) fn fin(&mut self) -> Vec<String> {
        if self.fin_at.is_some() || self.over {
            return Vec::new();
        }
        if self.multipath && !std::mem::replace(&mut self.data_fin_sent, true) {
            let (at, dack) = (self.next, self.data_ack());
            let fin = format!("dss dack8={dack} dsn8={at} ssn=0 dll=1 nocs fin,nop,nop");
            return vec![self.packet(".", at, 0, &fin)];
        }
        self.fin_at = Some(self.next);
        let packet = self.fin_packet(self.next);
        self.next += 1;
        vec![packet]
    }

    /// A segment of the kernel arrives.
    pub(crate) fn receive(&mut self, tcp: &TcpSpec, data_fin: bool) -> Arrival {
        if let Some(ack) = tcp.ack {
            self.acked = self.acked.max(ack);
        }
        let (first, len) = (tcp.range.first, tcp.range.len);
        let fin = tcp.flags.contains(TcpFlags::FIN);
        let news = data_fin && !std::mem::replace(&mut self.data_fin_seen, true);
        if fin {
            self.kernel_fin = Some(first + len);
        }
        if tcp.flags.contains(TcpFlags::RST) {
            self.sent.clear();
            self.fin_at = None;
            self.over = true;
            return Arrival::Nothing;
        }
        if first <= self.expected {
            self.echo = self.clock_values + 1_000_000;
        }
        if len == 0 && !fin {
            return if news { Arrival::Other } else { Arrival::Nothing };
        }
        let end = first + len + u32::from(fin);
        if end <= self.expected {
            self.duplicate = Some((first, end));
            return Arrival::Other;
        }
        if first > self.expected {
            if self.beyond.iter().any(|&(left, right)| left <= first && end <= right) {
                self.duplicate = Some((first, end));
            }
            let (mut left, mut right) = (first, end);
            let touches = |&(l, r): &(u32, u32)| l <= right && r >= left;
            let joined: Vec<_> = self.beyond.iter().copied().filter(touches).collect();
            self.beyond.retain(|range| !joined.contains(range));
            for (l, r) in joined {
                left = left.min(l);
                right = right.max(r);
            }
            self.beyond.insert(0, (left, right));
            return Arrival::Other;
        }
        let had_holes = !self.beyond.is_empty();
        self.expected = end;
        while let Some(at) = self.beyond.iter().position(|&(left, _)| left <= self.expected) {
            let (_, right) = self.beyond.remove(at);
            self.expected = self.expected.max(right);
        }
        if had_holes || fin { Arrival::Other } else { Arrival::InOrder }
    }
}
