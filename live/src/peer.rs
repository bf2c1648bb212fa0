//! The peer of a random conversation, in the words of scripts: one [`Peer`] per subflow is a TCP receiver with SACK
//! and D-SACK and a simple sender, [`Data`] what MPTCP has above them. Numbers are relative to the initial ones.

use std::fmt::Write as _;

use mptcp_model::wire::{MpOption, TcpFlags, TcpSegment};
use scenarios::script::OptionSpec;
use scenarios::script::ast::{OptionsSpec, TcpSpec};
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

/// What arrived of a stream of numbers: all before `expected`, and some beyond.
#[derive(Debug)]
struct Received {
    expected: u32,
    /// What arrived beyond, latest first.
    beyond: Vec<(u32, u32)>,
}

impl Received {
    const fn new() -> Self {
        Self { expected: 1, beyond: Vec::new() }
    }

    /// Whether what lies beyond was there before and now is not beyond.
    fn take(&mut self, first: u32, end: u32) {
        if first > self.expected {
            let (mut left, mut right) = (first, end);
            let touches = |&(l, r): &(u32, u32)| l <= right && r >= left;
            let joined: Vec<_> = self.beyond.iter().copied().filter(touches).collect();
            self.beyond.retain(|range| !joined.contains(range));
            for (l, r) in joined {
                left = left.min(l);
                right = right.max(r);
            }
            self.beyond.insert(0, (left, right));
            return;
        }
        self.expected = self.expected.max(end);
        while let Some(at) = self.beyond.iter().position(|&(left, _)| left <= self.expected) {
            let (_, right) = self.beyond.remove(at);
            self.expected = self.expected.max(right);
        }
    }
}

/// The connection above the subflows.
#[derive(Debug)]
pub(crate) struct Data {
    received: Received,
    /// Next number of its own.
    next: u32,
    fin_sent: Option<u32>,
    kernel_fin: Option<u32>,
    opened: bool,
    wide_ack: bool,
    wide_dsn: bool,
    /// Checksums were agreed on.
    pub(crate) checksums: bool,
}

impl Data {
    pub(crate) fn new(random: &mut Stream) -> Self {
        Self {
            received: Received::new(),
            next: 1,
            fin_sent: None,
            kernel_fin: None,
            opened: false,
            wide_ack: !random.bernoulli(0.25),
            wide_dsn: !random.bernoulli(0.25),
            checksums: false,
        }
    }

    fn ack(&self) -> String {
        let fin = self.kernel_fin.is_some_and(|fin| fin == self.received.expected);
        let width = if self.wide_ack { 8 } else { 4 };
        format!("dack{width}={}", self.received.expected + u32::from(fin))
    }

    /// The option that acknowledges, and maps `mapping`: the data number, that of the subflow, how much.
    fn dss(&self, mapping: Option<(u32, u32, u32)>, fin: bool) -> String {
        let mut text = format!("dss {}", self.ack());
        if let Some((dsn, ssn, len)) = mapping {
            let width = if self.wide_dsn { 8 } else { 4 };
            let _ = write!(text, " dsn{width}={dsn} ssn={ssn} dll={len}");
        }
        if !self.checksums || mapping.is_none() {
            text += " nocs";
        }
        if fin {
            text += " fin";
        }
        if mapping.is_some() && !self.checksums {
            text += ",nop,nop";
        }
        text
    }

    fn capable_flags(&self) -> &'static str {
        if self.checksums { "flags[flag_a, flag_h]" } else { "flags[flag_h]" }
    }
}

/// What a peer asks of ECN.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ecn {
    /// It asks for it or grants it.
    pub(crate) wanted: bool,
    /// How often its data arrives marked.
    pub(crate) marks_sent: f64,
    /// How often data of the kernel arrives marked.
    pub(crate) marks_seen: f64,
}

/// What was sent: the first number, how much, and what the kernel is told of it.
#[derive(Clone, Debug)]
struct Sent {
    first: u32,
    len: u32,
    option: Mapping,
}

#[derive(Clone, Copy, Debug)]
enum Mapping {
    None,
    /// With both keys.
    Capable,
    /// Data number, subflow number, length.
    Dss(u32, u32, u32),
    /// An earlier segment had it.
    Before,
}

pub(crate) struct Peer {
    /// Its address and the subflow: 0 is the first.
    pub(crate) number: u8,
    /// Names of both ends of a subflow that the kernel opens: its own, and that of the kernel.
    pub(crate) names: Option<(String, String)>,
    pub(crate) multipath: bool,
    /// The kernel opened the connection.
    active: bool,
    random: Stream,
    mss: u32,
    kernel_mss: u32,
    timestamps: bool,
    sack: bool,
    scale: Option<u8>,
    pub(crate) window: u32,
    ecn: Ecn,
    /// ECN was agreed on.
    pub(crate) marks: bool,
    /// The kernel is told of a mark.
    echoes: bool,
    /// The kernel told of one.
    reduced: bool,
    /// Next number of its own.
    next: u32,
    /// What the kernel acknowledged.
    acked: u32,
    sent: Vec<Sent>,
    fin_at: Option<u32>,
    received: Received,
    duplicate: Option<(u32, u32)>,
    /// Mappings of the kernel not yet passed: subflow number, data number, length.
    mappings: Vec<(u32, u32, u32)>,
    clock_values: u32,
    echo: u32,
    /// Further segments that the last mapping covers.
    covered: u32,
    /// The kernel has answered its SYN.
    pub(crate) answered: bool,
    /// It may send data.
    pub(crate) open: bool,
    /// The kernel reset the connection.
    pub(crate) over: bool,
}

impl Peer {
    pub(crate) fn new(mut random: Stream, number: u8, multipath: bool, ecn: Ecn) -> Self {
        let scale = random.bernoulli(0.8).then(|| random.below(9) as u8);
        let window = match random.below(3) {
            0 => 65_535,
            1 => 5_000 + random.below(20_000) as u32,
            _ => 400_000,
        };
        Self {
            number,
            names: None,
            multipath,
            active: false,
            mss: [536, 1000, 1460, 1460][random.below(4) as usize],
            kernel_mss: 1460,
            timestamps: random.bernoulli(if multipath { 0.9 } else { 0.5 }),
            sack: random.bernoulli(if multipath { 0.95 } else { 0.75 }),
            scale,
            window,
            random,
            ecn,
            marks: false,
            echoes: false,
            reduced: false,
            next: 1,
            acked: 1,
            sent: Vec::new(),
            fin_at: None,
            received: Received::new(),
            duplicate: None,
            mappings: Vec::new(),
            clock_values: 0,
            echo: 0,
            covered: 0,
            answered: false,
            open: false,
            over: false,
        }
    }

    /// The largest segment it sends.
    pub(crate) fn segment(&self) -> u32 {
        let options = if self.timestamps { 12 } else { 0 } + if self.multipath { 28 } else { 0 };
        self.kernel_mss.min(1000).saturating_sub(options).max(1)
    }

    /// A name for the next value of the kernel's clock.
    pub(crate) fn name_clock_value(&mut self) -> u32 {
        self.clock_values += 1;
        self.clock_values + 1_000_000
    }

    /// Whom its packets are between.
    fn ends(&self) -> String {
        if let Some((own, kernel)) = &self.names {
            return format!("addr[{own}] > addr[{kernel}] ");
        }
        if self.multipath || self.number > 0 {
            format!("addr[peer{}] > addr[host0] ", self.number)
        } else {
            String::new()
        }
    }

    fn window_field(&self) -> u32 {
        let least = u32::from(self.window > 0);
        (self.window >> self.scale.unwrap_or(0)).clamp(least, 65_535)
    }

    /// Options of a SYN.
    fn opening(&self, echo: u32) -> String {
        let mut options = format!("mss {}", self.mss);
        match (self.sack, self.timestamps) {
            (true, true) => {
                let _ = write!(options, ",sackOK,TS val MILLIS ecr {echo}");
            }
            (true, false) => options += ",nop,nop,sackOK",
            (false, true) => {
                let _ = write!(options, ",nop,nop,TS val MILLIS ecr {echo}");
            }
            (false, false) => {}
        }
        if let Some(scale) = self.scale {
            let _ = write!(options, ",nop,wscale {scale}");
        }
        options
    }

    pub(crate) fn syn(&self, data: &Data) -> String {
        let mut options = self.opening(0);
        if self.number > 0 {
            let id = self.number;
            let _ = write!(options, ",mp_join_syn backup=0 address_id={id} token=sha256_32(hkey)");
        } else if self.multipath {
            let _ = write!(options, ",mpcapable v1 {} nokey", data.capable_flags());
        }
        let flags = if self.ecn.wanted { "SEW" } else { "S" };
        format!("< {}{flags} 0:0(0) win {} <{options}>", self.ends(), self.window.min(65_535))
    }

    /// The SYN of an active open came.
    pub(crate) fn take_syn(&mut self, segment: &TcpSegment, data: &mut Data) {
        self.active = true;
        let parsed = segment.options.parse_all();
        self.kernel_mss = parsed.mss.map_or(536, u32::from);
        self.timestamps &= parsed.timestamps.is_some();
        self.sack &= parsed.sack_permitted;
        if parsed.window_scale.is_none() {
            self.scale = None;
        }
        let asks = segment.flags.contains(TcpFlags::ECE) && segment.flags.contains(TcpFlags::CWR);
        self.marks = self.ecn.wanted && asks;
        for option in segment.options.mptcp() {
            if let MpOption::Capable { flags, .. } = option {
                data.checksums |= flags & 0x80 != 0;
            }
        }
        self.echo = self.clock_values + 1_000_000;
    }

    /// The answer to it; `capable` is what it says of MPTCP.
    pub(crate) fn syn_ack(&self, ack: u32, capable: &str) -> String {
        let mut options = self.opening(self.echo);
        options += capable;
        let flags = if self.marks { "SE." } else { "S." };
        format!("< {}{flags} 0:0(0) ack {ack} win {} <{options}>", self.ends(), self.window.min(65_535))
    }

    /// A SYN that crosses that of the kernel.
    pub(crate) fn crossing_syn(&self) -> String {
        format!("< S 0:0(0) win {} <{}>", self.window.min(65_535), self.opening(0))
    }

    /// This much of the data of a SYN is taken.
    pub(crate) fn take_early(&mut self, len: u32) -> u32 {
        self.received.take(1, 1 + len);
        self.received.expected - 1
    }

    /// The kernel acknowledges a SYN and perhaps its data.
    pub(crate) fn note_taken(&mut self, ack: u32) {
        (self.next, self.acked) = (ack, ack);
    }

    /// Forgets what it has beyond a hole.
    pub(crate) fn forget(&mut self) {
        self.received.beyond.clear();
    }

    /// What an error may be about: the next octet that has not come, and how many follow; or the SYN.
    pub(crate) fn next_awaited(&self, opened: bool) -> (u32, u32) {
        if opened { (self.received.expected, self.mss) } else { (0, 0) }
    }

    pub(crate) fn take_syn_ack(&mut self, segment: &TcpSegment, data: &mut Data) {
        self.answered = true;
        let parsed = segment.options.parse_all();
        self.kernel_mss = parsed.mss.map_or(536, u32::from);
        self.timestamps &= parsed.timestamps.is_some();
        self.sack &= parsed.sack_permitted;
        if parsed.window_scale.is_none() {
            self.scale = None;
        }
        self.marks = self.ecn.wanted && segment.flags.contains(TcpFlags::ECE);
        let mut answered = false;
        for option in segment.options.mptcp() {
            if let MpOption::Capable { flags, .. } = option {
                answered = true;
                data.checksums |= flags & 0x80 != 0;
            }
        }
        if self.number == 0 {
            self.multipath &= answered;
        }
        self.echo = self.clock_values + 1_000_000;
    }

    pub(crate) fn third_ack(&mut self, data: &Data) -> String {
        let further = match (self.number, self.multipath) {
            (0, true) => format!("mpcapable v1 {} key[pkey=2, hkey]", data.capable_flags()),
            (0, false) => String::new(),
            _ => "mp_join_ack sender_hmac=auto".to_owned(),
        };
        self.packet(".", self.next, 0, &further)
    }

    /// A packet with its timestamps, acknowledging what has come.
    fn packet(&mut self, flags: &str, first: u32, len: u32, further: &str) -> String {
        let mut options = Vec::new();
        if self.timestamps {
            options.push(format!("nop,nop,TS val MILLIS ecr {}", self.echo));
        }
        if !further.is_empty() {
            options.push(further.to_owned());
        }
        let options = if options.is_empty() { String::new() } else { format!(" <{}>", options.join(",")) };
        let (last, window) = (first + len, self.window_field());
        let mut flags = flags.to_owned();
        let mut field = "";
        if self.marks {
            if self.echoes {
                flags.insert(0, 'E');
            }
            if len > 0 {
                field = if self.random.bernoulli(self.ecn.marks_sent) { "[ce] " } else { "[ect0] " };
                if std::mem::take(&mut self.reduced) {
                    flags.insert(0, 'W');
                }
            }
        }
        let (ends, ack) = (self.ends(), self.received.expected);
        format!("< {field}{ends}{flags} {first}:{last}({len}) ack {ack} win {window}{options}")
    }

    /// An acknowledgment of what has come; `signal` is one more option.
    pub(crate) fn ack(&mut self, data: &Data, signal: Option<&str>) -> String {
        let mut options = Vec::new();
        let most = match (self.timestamps, self.multipath) {
            (true, true) => 1,
            (true, false) => 3,
            (false, _) => 3,
        };
        let blocks = self.duplicate.take().into_iter().chain(self.received.beyond.iter().copied());
        let blocks: Vec<_> = blocks.take(most).map(|(left, right)| format!("{left}:{right}")).collect();
        if self.sack && !blocks.is_empty() && signal.is_none() {
            options.push(format!("nop,nop,sack {}", blocks.join(" ")));
        }
        if let Some(signal) = signal {
            options.push(signal.to_owned());
        } else if self.multipath {
            options.push(data.dss(None, false));
        }
        self.packet(".", self.next, 0, &options.join(","))
    }

    /// New data, if the peer has not ended its stream. A mapping may cover several segments.
    pub(crate) fn data(&mut self, len: u32, data: &mut Data) -> Option<String> {
        if self.fin_at.is_some() || data.fin_sent.is_some() || self.over || !self.open {
            return None;
        }
        let first = self.next;
        let option = if !self.multipath {
            Mapping::None
        } else if !data.opened && self.number == 0 && !self.active {
            Mapping::Capable
        } else if self.covered > 0 {
            self.covered -= 1;
            Mapping::Before
        } else {
            self.covered = if self.random.bernoulli(0.15) { 1 + self.random.below(2) as u32 } else { 0 };
            Mapping::Dss(data.next, first, len * (1 + self.covered))
        };
        data.opened = true;
        let last_len = match self.sent.last() {
            Some(last) if matches!(option, Mapping::Before) => last.len,
            _ => len,
        };
        let sent = Sent { first, len: last_len, option };
        let text = self.segment_of(&sent, data);
        self.sent.push(sent);
        self.next += last_len;
        data.next += last_len;
        Some(text)
    }

    /// Whether the last mapping wants more data on this subflow.
    pub(crate) const fn owes(&self) -> bool {
        self.covered > 0
    }

    fn segment_of(&mut self, sent: &Sent, data: &Data) -> String {
        let option = match sent.option {
            Mapping::None => String::new(),
            Mapping::Capable => {
                let (flags, len) = (data.capable_flags(), sent.len);
                let end = if data.checksums { " csum" } else { ",nop,nop" };
                format!("mpcapable v1 {flags} key[pkey=2, hkey] mpcdatalen {len}{end}")
            }
            Mapping::Dss(dsn, ssn, len) => data.dss(Some((dsn, ssn, len)), false),
            Mapping::Before => data.dss(None, false),
        };
        self.packet("P.", sent.first, sent.len, &option)
    }

    pub(crate) fn has_unacknowledged(&self) -> bool {
        self.sent.iter().any(|sent| sent.first + sent.len > self.acked)
            || self.fin_at.is_some_and(|fin| self.acked <= fin)
    }

    /// What the kernel has not acknowledged, once more.
    pub(crate) fn repeat(&mut self, data: &Data) -> Vec<String> {
        let open: Vec<_> =
            self.sent.iter().filter(|sent| sent.first + sent.len > self.acked).cloned().collect();
        let mut packets: Vec<_> = open.iter().map(|sent| self.segment_of(sent, data)).collect();
        if let Some(fin) = self.fin_at.filter(|fin| self.acked <= *fin) {
            packets.push(self.fin_packet(fin, data));
        }
        packets
    }

    fn fin_packet(&mut self, at: u32, data: &Data) -> String {
        let dss = if self.multipath { data.dss(None, false) } else { String::new() };
        self.packet("F.", at, 0, &dss)
    }

    /// The end of its stream: in MPTCP first that of the data, then that of the subflow.
    pub(crate) fn fin(&mut self, data: &mut Data) -> Vec<String> {
        if self.fin_at.is_some() || self.over || !self.open {
            return Vec::new();
        }
        if self.multipath && data.fin_sent.is_none() {
            data.fin_sent = Some(data.next);
            let fin = data.dss(Some((data.next, 0, 1)), true);
            return vec![self.packet(".", self.next, 0, &fin)];
        }
        self.fin_at = Some(self.next);
        let packet = self.fin_packet(self.next, data);
        self.next += 1;
        vec![packet]
    }

    /// A reset; `reason` is an option.
    pub(crate) fn reset(&mut self, reason: &str) -> String {
        self.over = true;
        self.packet("R.", self.next, 0, reason)
    }

    /// A segment of the kernel arrives.
    pub(crate) fn receive(&mut self, tcp: &TcpSpec, data: &mut Data) -> Arrival {
        if let Some(ack) = tcp.ack {
            self.acked = self.acked.max(ack);
        }
        let (first, len) = (tcp.range.first, tcp.range.len);
        let fin = tcp.flags.contains(TcpFlags::FIN);
        if tcp.flags.contains(TcpFlags::RST) {
            self.sent.clear();
            self.fin_at = None;
            self.over = true;
            return Arrival::Nothing;
        }
        if self.marks {
            self.reduced |= tcp.flags.contains(TcpFlags::ECE);
            if tcp.flags.contains(TcpFlags::CWR) {
                self.echoes = false;
            }
            if len > 0 && self.random.bernoulli(self.ecn.marks_seen) {
                self.echoes = true;
            }
        }
        let mut news = false;
        if let OptionsSpec::List(options) = &tcp.options {
            for option in options {
                match option {
                    OptionSpec::Dss(dss) => {
                        let (Some(dsn), Some(ssn), Some(dll)) = (dss.dsn, dss.ssn, dss.data_len) else {
                            continue;
                        };
                        let Some(dsn) = dsn.value else { continue };
                        let dll = u32::from(dll) - u32::from(dss.fin && dll > 0);
                        if dss.fin {
                            news |= data.kernel_fin.replace(dsn as u32 + dll).is_none();
                        }
                        if dll > 0 {
                            self.mappings.push((ssn, dsn as u32, dll));
                        }
                    }
                    OptionSpec::Capable(capable) => {
                        if let Some(len) = capable.data_len {
                            self.mappings.push((1, 1, len.into()));
                        }
                    }
                    _ => {}
                }
            }
        }
        if first <= self.received.expected {
            self.echo = self.clock_values + 1_000_000;
        }
        if len == 0 && !fin {
            return if news { Arrival::Other } else { Arrival::Nothing };
        }
        let end = first + len + u32::from(fin);
        if end <= self.received.expected {
            self.duplicate = Some((first, end));
            return Arrival::Other;
        }
        if first > self.received.expected {
            if self.received.beyond.iter().any(|&(left, right)| left <= first && end <= right) {
                self.duplicate = Some((first, end));
            }
            self.received.take(first, end);
            return Arrival::Other;
        }
        let had_holes = !self.received.beyond.is_empty();
        self.received.take(first, end);
        self.pass_up(data);
        if had_holes || fin || self.echoes { Arrival::Other } else { Arrival::InOrder }
    }

    /// What came in order on the subflow is data of the connection.
    fn pass_up(&mut self, data: &mut Data) {
        let expected = self.received.expected;
        self.mappings.retain(|&(ssn, dsn, len)| {
            if expected > ssn {
                data.received.take(dsn, dsn + len.min(expected - ssn));
            }
            expected < ssn + len
        });
    }
}
