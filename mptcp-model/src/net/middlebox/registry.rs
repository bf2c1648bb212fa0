//! The table of boxes: what can be named in a scenario, with which parameters. A new box is a file and
//! an entry of `BOXES`. Boxes with a filter take the parameters of [`FILTER`] too.

use core::fmt;
use std::net::{IpAddr, SocketAddr};

use sim_core::random::Stream;
use sim_core::{Duration, Instant};

use super::add_addr::AddAddrRewriter;
use super::alg::Gateway;
use super::coalesce::{Coalescer, OptionsFrom};
use super::drop::Dropper;
use super::filter::{EndFilter, Filter, Kinds, Matcher, OptionCondition, OptionSet, Subtype};
use super::firewall::{CLASSIC_OPTIONS, Firewall, FirewallConfig, OptionPolicy, Refusal};
use super::handshake::{HandshakeEditor, HandshakeLimits};
use super::header::{BleachedFields, Bleacher};
use super::hold::Resequencer;
use super::isn::IsnRewriter;
use super::options::{OptionAction, OptionEditor};
use super::payload::PayloadRewriter;
use super::proactive_ack::ProactiveAcker;
use super::reset::{ResetConfig, ResetInjector, Victim};
use super::split::{PiecesWithOptions, Splitter};
use super::syn_proxy::SynProxy;
use super::window::WindowShrinker;
use super::{Direction, Middlebox};
use crate::congestion::registry::{Parameters, Value, closest};
use crate::net::Prefix;
use crate::net::nat::{Dependence, Nat, NatConfig, PortForward, Protocol, UnknownInbound, UnknownOutbound};

/// One entry of the table.
#[derive(Debug)]
pub struct Entry {
    /// Name.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// Where such a box is described.
    pub reference: &'static str,
    /// Whether it takes the parameters of [`FILTER`].
    pub has_filter: bool,
    /// What can be set besides.
    pub parameters: &'static [Parameter],
    build: fn(&Resolved, Stream) -> Built,
}

/// A box, or why the values do not fit together.
type Built = Result<Box<dyn Middlebox>, String>;

/// One parameter of a box.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Name.
    pub name: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// Unit, empty if it has none.
    pub unit: &'static str,
    /// Range and default.
    pub kind: Kind,
}

/// The values a [`Parameter`] may take.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One of these words; the first is the default.
    Choice(&'static [&'static str]),
    /// A number from `min` to `max`.
    Number {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
        /// Value if not given.
        default: f64,
    },
    /// A whole number from `min` to `max`.
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
        /// Value if not given.
        default: i64,
    },
    /// On or off.
    Switch {
        /// Value if not given.
        default: bool,
    },
    /// A text of a certain form, empty if not given.
    Text(Form),
}

/// Forms of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Kinds of packets: `syn, syn-ack`.
    Kinds,
    /// An end of a flow: `10.0.0.0/8`, `10.0.0.1:80`, `:80`.
    End,
    /// An address.
    Address,
    /// Addresses: `192.0.2.1, 192.0.2.2`.
    Addresses,
    /// Prefixes: `10.0.0.0/8, 192.168.0.0/16`.
    Prefixes,
    /// Ports: `80, 443`.
    Ports,
    /// Port forwards: `tcp 192.0.2.1:80 10.0.0.1:8080, udp ...`.
    Forwards,
}

impl Form {
    /// What the text must be, with an example.
    const fn expected(self) -> &'static str {
        match self {
            Self::Kinds => "a list of rst, syn, syn-ack, first-ack, data, fin, ack, other",
            Self::End => "an address, a prefix, or either with a port, as 10.0.0.1:80 or :80",
            Self::Address => "an address, as 192.0.2.1",
            Self::Addresses => "a list of addresses, as 192.0.2.1, 192.0.2.2",
            Self::Prefixes => "a list of prefixes, as 10.0.0.0/8, 192.168.0.0/16",
            Self::Ports => "a list of ports, as 80, 443",
            Self::Forwards => "a list of port forwards, as tcp 192.0.2.1:80 10.0.0.1:8080",
        }
    }

    /// Whether `text` is of this form.
    fn accepts(self, text: &str) -> bool {
        text.is_empty()
            || match self {
                Self::Kinds => Kinds::from_names(text).is_some(),
                Self::End => parse_end(text).is_some(),
                Self::Address => text.parse::<IpAddr>().is_ok(),
                Self::Addresses => parse_list::<IpAddr>(text).is_some(),
                Self::Prefixes => parse_list::<Prefix>(text).is_some(),
                Self::Ports => parse_list::<u16>(text).is_some(),
                Self::Forwards => parse_forwards(text).is_some(),
            }
    }
}

impl fmt::Display for Kind {
    /// What may be written, as the end of the sentence "the value must be ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Choice(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                write!(f, "one of {}", words.join(", "))
            }
            Self::Number { min, max, .. } => write!(f, "a number from {min} to {max}"),
            Self::Integer { min, max, .. } => write!(f, "a whole number from {min} to {max}"),
            Self::Switch { .. } => write!(f, "true or false"),
            Self::Text(form) => write!(f, "{}", form.expected()),
        }
    }
}

/// Why [`create`] refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// No box has this name.
    #[error("unknown middlebox \"{name}\"{}; known: {}", hint(*suggestion), known.join(", "))]
    UnknownBox {
        /// The name asked for.
        name: String,
        /// A known name that looks like it.
        suggestion: Option<&'static str>,
        /// All known names.
        known: Vec<&'static str>,
    },
    /// The box has no such parameter.
    #[error("{name} has no parameter \"{parameter}\"{}; it has: {}", hint(*suggestion), known.join(", "))]
    UnknownParameter {
        /// The box.
        name: &'static str,
        /// The parameter asked for.
        parameter: String,
        /// A known name that looks like it.
        suggestion: Option<&'static str>,
        /// The parameters it has.
        known: Vec<&'static str>,
    },
    /// The value is not in the range of the parameter.
    #[error("{name}: {parameter} = {value} is not possible; it must be {expected}")]
    BadValue {
        /// The box.
        name: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// The value given.
        value: Value,
        /// The values it may have.
        expected: String,
    },
    /// Parameters that do not fit together, or a missing one without default.
    #[error("{name}: {reason}")]
    Impossible {
        /// The box.
        name: &'static str,
        /// Why.
        reason: String,
    },
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(" (did you mean \"{name}\"?)"))
}

const fn integer(min: i64, max: i64, default: i64) -> Kind {
    Kind::Integer { min, max, default }
}

const fn seconds(default: f64) -> Kind {
    Kind::Number { min: 0.0, max: 1e9, default }
}

const fn switch(default: bool) -> Kind {
    Kind::Switch { default }
}

const fn parameter(name: &'static str, unit: &'static str, kind: Kind, meaning: &'static str) -> Parameter {
    Parameter { name, meaning, unit, kind }
}

/// Names of option sets in parameters; what they stand for is in `option_set`.
const OPTION_SETS: &[&str] = &[
    "mptcp",
    "mp_capable",
    "mp_join",
    "dss",
    "add_addr",
    "remove_addr",
    "mp_prio",
    "mp_fail",
    "mp_fastclose",
    "mp_tcprst",
    "mss",
    "window_scale",
    "sack_permitted",
    "sack",
    "timestamps",
];

/// The parameters of every box that has a filter: which packets it acts on.
pub const FILTER: &[Parameter] = &[
    parameter("direction", "", Kind::Choice(&["both", "forward", "backward"]), "direction of the packets"),
    parameter("packets", "", Kind::Text(Form::Kinds), "kinds of packets; all if empty"),
    parameter(
        "carrying",
        "",
        Kind::Choice(&[
            "anything",
            "mptcp",
            "no-mptcp",
            "mp_capable",
            "mp_join",
            "dss",
            "add_addr",
            "remove_addr",
            "mp_prio",
            "mp_fail",
            "mp_fastclose",
            "mp_tcprst",
        ]),
        "options the packets must have, or must not",
    ),
    parameter("near", "", Kind::Text(Form::End), "near end of the flow; any if empty"),
    parameter("far", "", Kind::Text(Form::End), "far end of the flow; any if empty"),
    parameter("min_payload", "octets", integer(0, 65_535, 0), "least payload"),
    parameter("start", "s", seconds(0.0), "from this instant on"),
    parameter("end", "s", seconds(0.0), "before this instant; 0 for ever"),
    parameter("skip", "packets", integer(0, 1 << 40, 0), "such packets left alone at first"),
    parameter("every", "packets", integer(1, 1 << 40, 1), "of each so many the last"),
    parameter("limit", "packets", integer(0, 1 << 40, 0), "at most so many; 0 for no limit"),
    parameter("probability", "", Kind::Number { min: 0.0, max: 1.0, default: 1.0 }, "chance of each"),
];

const BOXES: &[Entry] = &[
    Entry {
        name: "add-addr-rewriter",
        title: "puts another address into ADD_ADDR",
        reference: "RFC 8684 section 3.4.1",
        has_filter: true,
        parameters: &[parameter("address", "", Kind::Text(Form::Address), "the address; required")],
        build: |given, stream| {
            let address = given.text("address").parse().map_err(|_| "address is required".to_owned())?;
            Ok(Box::new(AddAddrRewriter::new(given.matcher(stream), address)))
        },
    },
    Entry {
        name: "bleach",
        title: "clears ECN, DSCP and the urgent flag",
        reference: "RFC 3168 section 6.1.1; RFC 6093",
        has_filter: true,
        parameters: &[
            parameter("ecn", "", switch(true), "clear the ECN field"),
            parameter("urgent", "", switch(false), "clear the urgent flag and pointer"),
            parameter("dscp", "", integer(-1, 63, -1), "new DSCP; -1 to leave it"),
        ],
        build: |given, stream| {
            let fields = BleachedFields {
                ecn: given.switch("ecn"),
                dscp: u8::try_from(given.integer("dscp")).ok(),
                urgent: given.switch("urgent"),
            };
            Ok(Box::new(Bleacher::new(given.matcher(stream), fields)))
        },
    },
    Entry {
        name: "coalesce",
        title: "merges adjacent segments and keeps the options of one",
        reference: "Honda et al., IMC 2011; RFC 8684 section 3.3",
        has_filter: true,
        parameters: &[
            parameter("size", "octets", integer(1, 65_000, 2800), "largest payload of a merged segment"),
            parameter(
                "wait",
                "s",
                Kind::Number { min: 0.0, max: 10.0, default: 0.001 },
                "longest wait for a next segment",
            ),
            parameter("options", "", Kind::Choice(&["first", "last"]), "whose options remain"),
        ],
        build: |given, stream| {
            let options =
                if given.choice("options") == "last" { OptionsFrom::Last } else { OptionsFrom::First };
            let size = given.integer("size") as u32;
            Ok(Box::new(Coalescer::new(given.matcher(stream), size, given.seconds("wait"), options)))
        },
    },
    Entry {
        name: "drop",
        title: "drops packets",
        reference: "Honda et al., IMC 2011",
        has_filter: true,
        parameters: &[],
        build: |given, stream| Ok(Box::new(Dropper::new(given.matcher(stream)))),
    },
    Entry {
        name: "firewall",
        title: "stateful firewall, near side protected",
        reference: "RFC 2979, RFC 7857",
        has_filter: false,
        parameters: &[
            parameter("open_ports", "", Kind::Text(Form::Ports), "near ports that may be called"),
            parameter("idle_timeout", "s", seconds(7440.0), "life of an idle connection"),
            parameter(
                "transitory_timeout",
                "s",
                seconds(240.0),
                "the same before its handshake and after its end",
            ),
            parameter("check_sequence", "", switch(true), "refuse segments outside the window"),
            parameter("pick_up", "", switch(false), "let the near side continue unknown connections"),
            parameter("refusal", "", Kind::Choice(&["drop", "reset"]), "what refused packets meet with"),
            parameter(
                "options",
                "",
                Kind::Choice(&["allow", "blank", "drop"]),
                "options but MSS, window scale, SACK and timestamps pass, become NOPs, or doom the packet",
            ),
            parameter("other_inbound", "", switch(true), "let in packets that are not TCP"),
        ],
        build: |given, _| {
            Ok(Box::new(Firewall::new(FirewallConfig {
                open_ports: given.list("open_ports"),
                idle_timeout: given.seconds("idle_timeout"),
                transitory_timeout: given.seconds("transitory_timeout"),
                check_sequence: given.switch("check_sequence"),
                pick_up: given.switch("pick_up"),
                refusal: if given.choice("refusal") == "reset" { Refusal::Reset } else { Refusal::Drop },
                options: match given.choice("options") {
                    "blank" => OptionPolicy::Blank(CLASSIC_OPTIONS.to_vec()),
                    "drop" => OptionPolicy::Drop(CLASSIC_OPTIONS.to_vec()),
                    _ => OptionPolicy::Allow,
                },
                other_inbound: given.switch("other_inbound"),
            })))
        },
    },
    Entry {
        name: "gateway",
        title: "changes the length of payload and adjusts sequence numbers",
        reference: "RFC 2663 section 2.9; RFC 8684 section 3.7",
        has_filter: true,
        parameters: &[parameter(
            "growth",
            "octets",
            integer(-1000, 1000, 3),
            "octets added, or cut if negative",
        )],
        build: |given, stream| {
            Ok(Box::new(Gateway::new(given.matcher(stream), given.integer("growth") as i32)))
        },
    },
    Entry {
        name: "handshake",
        title: "clamps the MSS and removes window scale, timestamps, SACK",
        reference: "Honda et al., IMC 2011; RFC 4459",
        has_filter: true,
        parameters: &[
            parameter("mss", "octets", integer(0, 65_535, 0), "largest MSS; 0 for any"),
            parameter("no_window_scale", "", switch(false), "blank window scale"),
            parameter("no_timestamps", "", switch(false), "blank timestamps"),
            parameter("no_sack", "", switch(false), "blank SACK permitted"),
        ],
        build: |given, stream| {
            let limits = HandshakeLimits {
                mss: u16::try_from(given.integer("mss")).ok().filter(|mss| *mss > 0),
                no_window_scale: given.switch("no_window_scale"),
                no_timestamps: given.switch("no_timestamps"),
                no_sack: given.switch("no_sack"),
            };
            Ok(Box::new(HandshakeEditor::new(given.matcher(stream), limits)))
        },
    },
    Entry {
        name: "isn-rewriter",
        title: "shifts all sequence numbers of a flow",
        reference: "Honda et al., IMC 2011",
        has_filter: false,
        parameters: &[parameter("sack", "", switch(true), "shift SACK blocks too")],
        build: |given, stream| Ok(Box::new(IsnRewriter::new(given.switch("sack"), stream))),
    },
    Entry {
        name: "nat",
        title: "network address and port translator, near side private",
        reference: "RFC 3022, RFC 4787, RFC 5382, RFC 5508",
        has_filter: false,
        parameters: &[
            parameter("pool", "", Kind::Text(Form::Addresses), "external addresses; required"),
            parameter("inside", "", Kind::Text(Form::Prefixes), "internal addresses; all if empty"),
            parameter("mapping", "", DEPENDENCE, "on what of the remote end mappings depend"),
            parameter("filtering", "", DEPENDENCE, "on what of the remote end filters depend"),
            parameter("paired", "", switch(true), "an internal address keeps its external one"),
            parameter("first_port", "", integer(1, 65_535, 1024), "first port given out"),
            parameter("last_port", "", integer(1, 65_535, 65_535), "last port given out"),
            parameter("preserve_ports", "", switch(true), "keep free ports"),
            parameter("parity", "", switch(false), "keep ports even or odd"),
            parameter("overloading", "", switch(false), "share ports while remote ends differ"),
            parameter("hairpinning", "", switch(true), "internal ends reach each other from outside"),
            parameter("established_timeout", "s", seconds(7440.0), "life of an idle connection"),
            parameter(
                "transitory_timeout",
                "s",
                seconds(240.0),
                "the same before its handshake and after its end",
            ),
            parameter("udp_timeout", "s", seconds(300.0), "life of idle UDP"),
            parameter("echo_timeout", "s", seconds(60.0), "life of an ICMP query"),
            parameter(
                "unknown_inbound",
                "",
                Kind::Choice(&["drop", "reset"]),
                "TCP from outside that belongs to nothing",
            ),
            parameter(
                "unknown_outbound",
                "",
                Kind::Choice(&["map", "drop", "reset"]),
                "TCP without SYN from inside that belongs to nothing",
            ),
            parameter("forwards", "", Kind::Text(Form::Forwards), "port forwards"),
        ],
        build: |given, stream| {
            let config = NatConfig {
                pool: given.list("pool"),
                inside: given.list("inside"),
                mapping: dependence(given.choice("mapping")),
                filtering: dependence(given.choice("filtering")),
                paired: given.switch("paired"),
                ports: given.integer("first_port") as u16..=given.integer("last_port") as u16,
                preserve_ports: given.switch("preserve_ports"),
                parity: given.switch("parity"),
                overloading: given.switch("overloading"),
                hairpinning: given.switch("hairpinning"),
                established_timeout: given.seconds("established_timeout"),
                transitory_timeout: given.seconds("transitory_timeout"),
                udp_timeout: given.seconds("udp_timeout"),
                echo_timeout: given.seconds("echo_timeout"),
                unknown_inbound: match given.choice("unknown_inbound") {
                    "reset" => UnknownInbound::Reset,
                    _ => UnknownInbound::Drop,
                },
                unknown_outbound: match given.choice("unknown_outbound") {
                    "drop" => UnknownOutbound::Drop,
                    "reset" => UnknownOutbound::Reset,
                    _ => UnknownOutbound::Map,
                },
                forwards: parse_forwards(given.text("forwards")).unwrap_or_default(),
            };
            Ok(Box::new(Nat::new(config, stream).map_err(|error| error.to_string())?))
        },
    },
    Entry {
        name: "options",
        title: "blanks, removes, zeroes, repeats or moves TCP options",
        reference: "Honda et al., IMC 2011; RFC 8684 section 3.7",
        has_filter: true,
        parameters: &[
            parameter("option", "", Kind::Choice(OPTION_SETS), "which options"),
            parameter(
                "action",
                "",
                Kind::Choice(&["blank", "remove", "zero", "repeat", "move-last"]),
                "what happens to them",
            ),
        ],
        build: |given, stream| {
            let action = match given.choice("action") {
                "remove" => OptionAction::Remove,
                "zero" => OptionAction::Zero,
                "repeat" => OptionAction::Repeat,
                "move-last" => OptionAction::MoveLast,
                _ => OptionAction::Blank,
            };
            let options = option_set(given.choice("option"));
            Ok(Box::new(OptionEditor::new(given.matcher(stream), options, action)))
        },
    },
    Entry {
        name: "payload",
        title: "changes the last octet of payload and repairs the TCP checksum",
        reference: "RFC 8684 sections 3.3.1 and 3.7",
        has_filter: true,
        parameters: &[parameter("xor", "", integer(0, 255, 0x41), "combined with the octet by exclusive or")],
        build: |given, stream| {
            Ok(Box::new(PayloadRewriter::new(given.matcher(stream), given.integer("xor") as u8)))
        },
    },
    Entry {
        name: "proactive-ack",
        title: "acknowledges data for the receiver and passes it on later",
        reference: "RFC 3135; RFC 8684 section 3.3.5",
        has_filter: true,
        parameters: &[parameter(
            "delay",
            "s",
            Kind::Number { min: 0.0, max: 60.0, default: 0.0 },
            "delay of the data",
        )],
        build: |given, stream| {
            Ok(Box::new(ProactiveAcker::new(given.matcher(stream), given.seconds("delay"))))
        },
    },
    Entry {
        name: "resequence",
        title: "holds data back until the hole before it is filled",
        reference: "Honda et al., IMC 2011",
        has_filter: true,
        parameters: &[parameter(
            "wait",
            "s",
            Kind::Number { min: 0.0, max: 60.0, default: 1.0 },
            "longest wait",
        )],
        build: |given, stream| Ok(Box::new(Resequencer::new(given.matcher(stream), given.seconds("wait")))),
    },
    Entry {
        name: "reset",
        title: "forges resets",
        reference: "RFC 5961 section 3; RFC 3360",
        has_filter: true,
        parameters: &[
            parameter(
                "victim",
                "",
                Kind::Choice(&["both", "receiver", "sender"]),
                "who gets a reset, as seen from the packet",
            ),
            parameter(
                "offset",
                "",
                integer(-(1 << 30), 1 << 30, 0),
                "distance from the exact sequence number",
            ),
            parameter("copy_options", "", switch(false), "the reset carries the options of the packet"),
            parameter("swallow", "", switch(false), "drop the packet"),
        ],
        build: |given, stream| {
            let config = ResetConfig {
                victim: match given.choice("victim") {
                    "receiver" => Victim::Receiver,
                    "sender" => Victim::Sender,
                    _ => Victim::Both,
                },
                offset: given.integer("offset") as i32,
                copy_options: given.switch("copy_options"),
                swallow: given.switch("swallow"),
            };
            Ok(Box::new(ResetInjector::new(given.matcher(stream), config)))
        },
    },
    Entry {
        name: "split",
        title: "splits segments",
        reference: "Honda et al., IMC 2011; RFC 8684 section 3.3.1",
        has_filter: true,
        parameters: &[
            parameter("size", "octets", integer(1, 65_535, 700), "largest payload of a piece"),
            parameter(
                "options",
                "",
                Kind::Choice(&["all", "first", "last"]),
                "pieces that keep MPTCP options",
            ),
        ],
        build: |given, stream| {
            let keep = match given.choice("options") {
                "first" => PiecesWithOptions::First,
                "last" => PiecesWithOptions::Last,
                _ => PiecesWithOptions::All,
            };
            Ok(Box::new(Splitter::new(given.matcher(stream), given.integer("size") as u32, keep)))
        },
    },
    Entry {
        name: "syn-proxy",
        title: "answers SYNs itself, without MPTCP",
        reference: "RFC 4987 section 3.7; Linux SYNPROXY",
        has_filter: false,
        parameters: &[parameter("mss", "octets", integer(88, 65_535, 1460), "MSS offered to both sides")],
        build: |given, stream| Ok(Box::new(SynProxy::new(given.integer("mss") as u16, stream))),
    },
    Entry {
        name: "window",
        title: "shrinks receive windows",
        reference: "RFC 8684 section 3.3.4",
        has_filter: true,
        parameters: &[parameter("largest", "octets", integer(1, 1 << 30, 16_384), "largest window")],
        build: |given, stream| {
            Ok(Box::new(WindowShrinker::new(given.matcher(stream), given.integer("largest") as u32)))
        },
    },
];

const DEPENDENCE: Kind = Kind::Choice(&["endpoint-independent", "address", "address-and-port"]);

fn dependence(word: &str) -> Dependence {
    match word {
        "address" => Dependence::AddressDependent,
        "address-and-port" => Dependence::AddressAndPortDependent,
        _ => Dependence::EndpointIndependent,
    }
}

fn option_set(word: &str) -> OptionSet {
    match word {
        "mp_capable" => OptionSet::Subtype(Subtype::Capable),
        "mp_join" => OptionSet::Subtype(Subtype::Join),
        "dss" => OptionSet::Subtype(Subtype::Dss),
        "add_addr" => OptionSet::Subtype(Subtype::AddAddr),
        "remove_addr" => OptionSet::Subtype(Subtype::RemoveAddr),
        "mp_prio" => OptionSet::Subtype(Subtype::Prio),
        "mp_fail" => OptionSet::Subtype(Subtype::Fail),
        "mp_fastclose" => OptionSet::Subtype(Subtype::FastClose),
        "mp_tcprst" => OptionSet::Subtype(Subtype::TcpRst),
        "mss" => OptionSet::Kind(2),
        "window_scale" => OptionSet::Kind(3),
        "sack_permitted" => OptionSet::Kind(4),
        "sack" => OptionSet::Kind(5),
        "timestamps" => OptionSet::Kind(8),
        _ => OptionSet::Mptcp,
    }
}

fn parse_list<T: core::str::FromStr>(text: &str) -> Option<Vec<T>> {
    text.split(',').map(|item| item.trim().parse().ok()).collect()
}

fn parse_end(text: &str) -> Option<EndFilter> {
    if let Ok(prefix) = text.parse::<Prefix>() {
        return Some(EndFilter { prefix: Some(prefix), port: None });
    }
    let (address, port) = text.rsplit_once(':')?;
    let port = Some(port.parse().ok()?);
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let prefix = if address.is_empty() { None } else { Some(address.parse().ok()?) };
    Some(EndFilter { prefix, port })
}

fn parse_forwards(text: &str) -> Option<Vec<PortForward>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split(',')
        .map(|item| {
            let mut words = item.split_whitespace();
            let protocol = match words.next()? {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                _ => return None,
            };
            let external: SocketAddr = words.next()?.parse().ok()?;
            let internal: SocketAddr = words.next()?.parse().ok()?;
            words.next().is_none().then_some(PortForward { protocol, external, internal })
        })
        .collect()
}

/// All boxes, in alphabetical order.
#[must_use]
pub fn list() -> &'static [Entry] {
    BOXES
}

impl Entry {
    /// Everything that can be set: the filter, if it has one, and its own parameters.
    pub fn all_parameters(&self) -> impl Iterator<Item = &'static Parameter> {
        let filter = if self.has_filter { FILTER } else { &[] };
        filter.iter().chain(self.parameters)
    }
}

/// A box that draws from `stream`.
///
/// # Errors
///
/// If the name or a parameter is not known, a value is out of range, or the values do not fit together.
pub fn create(
    name: &str,
    parameters: &Parameters,
    stream: Stream,
) -> Result<Box<dyn Middlebox>, CreateError> {
    let Some(entry) = BOXES.iter().find(|entry| entry.name == name) else {
        let known: Vec<_> = BOXES.iter().map(|entry| entry.name).collect();
        return Err(CreateError::UnknownBox {
            name: name.to_owned(),
            suggestion: closest(name, &known),
            known,
        });
    };
    let resolved = Resolved::new(entry, parameters)?;
    (entry.build)(&resolved, stream).map_err(|reason| CreateError::Impossible { name: entry.name, reason })
}

/// Validated parameters: a value of the right kind for each one the box has.
struct Resolved {
    values: Vec<(&'static str, Setting)>,
}

enum Setting {
    Choice(&'static str),
    Number(f64),
    Integer(i64),
    Switch(bool),
    Text(String),
}

impl Resolved {
    fn new(entry: &Entry, given: &Parameters) -> Result<Self, CreateError> {
        for (name, _) in given.iter() {
            if !entry.all_parameters().any(|parameter| parameter.name == name) {
                let known: Vec<_> = entry.all_parameters().map(|parameter| parameter.name).collect();
                return Err(CreateError::UnknownParameter {
                    name: entry.name,
                    parameter: name.to_owned(),
                    suggestion: closest(name, &known),
                    known,
                });
            }
        }
        let setting = |parameter: &'static Parameter| {
            let written = given.iter().find(|(name, _)| *name == parameter.name).map(|(_, value)| value);
            let setting = match written {
                None => parameter.kind.default(),
                Some(value) => parameter.kind.accept(value).ok_or_else(|| CreateError::BadValue {
                    name: entry.name,
                    parameter: parameter.name,
                    value: value.clone(),
                    expected: parameter.kind.to_string(),
                })?,
            };
            Ok((parameter.name, setting))
        };
        Ok(Self { values: entry.all_parameters().map(setting).collect::<Result<_, _>>()? })
    }

    fn setting(&self, name: &str) -> &Setting {
        let found = self.values.iter().find(|(known, _)| *known == name);
        &found.unwrap_or_else(|| panic!("parameter {name} is missing in the table of boxes")).1
    }

    fn choice(&self, name: &str) -> &'static str {
        match self.setting(name) {
            Setting::Choice(word) => word,
            _ => panic!("parameter {name} is not a choice in the table of boxes"),
        }
    }

    fn seconds(&self, name: &str) -> Duration {
        Duration::from_secs_f64(self.number(name))
    }

    fn number(&self, name: &str) -> f64 {
        match self.setting(name) {
            Setting::Number(number) => *number,
            _ => panic!("parameter {name} is not a number in the table of boxes"),
        }
    }

    fn integer(&self, name: &str) -> i64 {
        match self.setting(name) {
            Setting::Integer(number) => *number,
            _ => panic!("parameter {name} is not an integer in the table of boxes"),
        }
    }

    fn switch(&self, name: &str) -> bool {
        match self.setting(name) {
            Setting::Switch(switch) => *switch,
            _ => panic!("parameter {name} is not a switch in the table of boxes"),
        }
    }

    fn text(&self, name: &str) -> &str {
        match self.setting(name) {
            Setting::Text(text) => text,
            _ => panic!("parameter {name} is not a text in the table of boxes"),
        }
    }

    /// A list that has been validated; empty if not given.
    fn list<T: core::str::FromStr>(&self, name: &str) -> Vec<T> {
        parse_list(self.text(name)).unwrap_or_default()
    }

    /// The filter the parameters of [`FILTER`] describe.
    fn matcher(&self, stream: Stream) -> Matcher {
        let end = self.seconds("end");
        let limit = self.integer("limit") as u64;
        let filter = Filter {
            direction: match self.choice("direction") {
                "forward" => Some(Direction::Forward),
                "backward" => Some(Direction::Backward),
                _ => None,
            },
            kinds: Kinds::from_names(self.text("packets")).unwrap_or(Kinds::ALL),
            options: match self.choice("carrying") {
                "anything" => OptionCondition::Any,
                "no-mptcp" => OptionCondition::Without(OptionSet::Mptcp),
                word => OptionCondition::With(option_set(word)),
            },
            near: parse_end(self.text("near")).unwrap_or_default(),
            far: parse_end(self.text("far")).unwrap_or_default(),
            min_payload: self.integer("min_payload") as u32,
            start: Instant::ZERO + self.seconds("start"),
            end: if end.is_zero() { Instant::FAR_FUTURE } else { Instant::ZERO + end },
            skip: self.integer("skip") as u64,
            every: self.integer("every") as u64,
            limit: if limit == 0 { u64::MAX } else { limit },
            probability: self.number("probability"),
        };
        Matcher::new(filter, stream)
    }
}

impl Kind {
    fn default(self) -> Setting {
        match self {
            Self::Choice(words) => Setting::Choice(words.first().copied().unwrap_or_default()),
            Self::Number { default, .. } => Setting::Number(default),
            Self::Integer { default, .. } => Setting::Integer(default),
            Self::Switch { default } => Setting::Switch(default),
            Self::Text(_) => Setting::Text(String::new()),
        }
    }

    /// The setting `value` stands for, if it is in range.
    fn accept(self, value: &Value) -> Option<Setting> {
        match (self, value) {
            (Self::Choice(words), Value::Text(text)) => {
                words.iter().find(|word| *word == text).map(|word| Setting::Choice(word))
            }
            (Self::Number { min, max, .. }, &Value::Number(number)) => {
                (min..=max).contains(&number).then_some(Setting::Number(number))
            }
            (Self::Integer { min, max, .. }, &Value::Number(number)) => {
                let whole = number as i64;
                (whole as f64 == number && (min..=max).contains(&whole)).then_some(Setting::Integer(whole))
            }
            (Self::Switch { .. }, &Value::Switch(switch)) => Some(Setting::Switch(switch)),
            (Self::Text(form), Value::Text(text)) => form.accepts(text).then(|| Setting::Text(text.clone())),
            _ => None,
        }
    }
}
