//! The entries of the table, in alphabetical order, and the parameters of filters.

use super::super::add_addr::AddAddrRewriter;
use super::super::alg::Gateway;
use super::super::coalesce::{Coalescer, OptionsFrom};
use super::super::drop::Dropper;
use super::super::firewall::{CLASSIC_OPTIONS, Firewall, FirewallConfig, OptionPolicy, Refusal};
use super::super::handshake::{HandshakeEditor, HandshakeLimits};
use super::super::header::{BleachedFields, Bleacher};
use super::super::hold::Resequencer;
use super::super::isn::IsnRewriter;
use super::super::options::{OptionAction, OptionEditor};
use super::super::payload::PayloadRewriter;
use super::super::proactive_ack::ProactiveAcker;
use super::super::reset::{ResetConfig, ResetInjector, Victim};
use super::super::split::{PiecesWithOptions, Splitter};
use super::super::syn_proxy::SynProxy;
use super::super::window::WindowShrinker;
use super::{Entry, forms, option_set, parse_forwards};
use crate::net::nat::{Dependence, Nat, NatConfig, UnknownInbound, UnknownOutbound};
use crate::parameters::{Kind, Parameter};

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
    parameter("packets", "", Kind::Text(forms::KINDS), "kinds of packets; all if empty"),
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
    parameter("near", "", Kind::Text(forms::END), "near end of the flow; any if empty"),
    parameter("far", "", Kind::Text(forms::END), "far end of the flow; any if empty"),
    parameter("min_payload", "octets", integer(0, 65_535, 0), "least payload"),
    parameter("start", "s", seconds(0.0), "from this instant on"),
    parameter("end", "s", seconds(0.0), "before this instant; 0 for ever"),
    parameter("skip", "packets", integer(0, 1 << 40, 0), "such packets left alone at first"),
    parameter("every", "packets", integer(1, 1 << 40, 1), "of each so many the last"),
    parameter("limit", "packets", integer(0, 1 << 40, 0), "at most so many; 0 for no limit"),
    parameter("probability", "", Kind::Number { min: 0.0, max: 1.0, default: 1.0 }, "chance of each"),
];

pub(super) const BOXES: &[Entry] = &[
    Entry {
        name: "add-addr-rewriter",
        title: "puts another address into ADD_ADDR",
        reference: "RFC 8684 section 3.4.1",
        has_filter: true,
        parameters: &[parameter("address", "", Kind::Text(forms::ADDRESS), "the address; required")],
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
            parameter("open_ports", "", Kind::Text(forms::PORTS), "near ports that may be called"),
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
            parameter("pool", "", Kind::Text(forms::ADDRESSES), "external addresses; required"),
            parameter("inside", "", Kind::Text(forms::PREFIXES), "internal addresses; all if empty"),
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
            parameter("forwards", "", Kind::Text(forms::FORWARDS), "port forwards"),
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
