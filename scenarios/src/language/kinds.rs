//! The kinds of scalars in the language.

use core::str::FromStr;

use schemars::{Schema, json_schema};
use sim_core::{Bytes, Duration};

use super::value::{Kind, Scalar, string_schema};
use crate::application::Step;
use crate::scenario::{BufferSizes, Mac, Parameter};
use crate::units::{self, Complaint, Probability, QueueSize};
use crate::words::{Cidr, Command, Route, Rule};

fn text<'a>(scalar: &'a Scalar, what: &str, example: &str) -> Result<&'a str, Complaint> {
    match scalar {
        Scalar::Text(text) => Ok(text),
        Scalar::Integer(_) | Scalar::Float(_) => Err(Complaint::new(
            format!("{scalar} is a bare number, which does not say what it counts"),
            format!("write a {what} with its unit as a string, such as \"{example}\""),
        )),
        other => Err(Complaint::new(
            format!("{other} is not a {what}"),
            format!("write a string such as \"{example}\""),
        )),
    }
}

/// Kinds that are strings: name, value, description, pattern, examples, reader, printer.
macro_rules! text_kinds {
    ($($(#[$doc:meta])* $kind:ident($value:ty) $name:literal, $what:literal, $pattern:literal, [$first:literal $(, $example:literal)*], $read:expr, $print:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub(crate) enum $kind {}
            impl Kind for $kind {
                type Value = $value;
                const NAME: &'static str = $name;
                fn schema() -> Schema {
                    string_schema($what, $pattern, &[$first $(, $example)*])
                }
                fn read(scalar: &Scalar) -> Result<$value, Complaint> {
                    let read: fn(&str) -> Result<$value, Complaint> = $read;
                    read(text(scalar, $what, $first)?)
                }
                fn print(value: &$value) -> Scalar {
                    let print: fn(&$value) -> String = $print;
                    Scalar::Text(print(value))
                }
            }
        )*

        /// Reads a scalar of the kind called `name` and forgets its value.
        pub(crate) fn check(name: &str, scalar: &Scalar) -> Result<(), Complaint> {
            match name {
                $($name => $kind::read(scalar).map(drop),)*
                Switch::NAME => Switch::read(scalar).map(drop),
                Count::NAME => Count::read(scalar).map(drop),
                Free::NAME => Free::read(scalar).map(drop),
                _ => Ok(()),
            }
        }
    };
}

text_kinds! {
    /// A span of time.
    Time(Duration) "time", "time", r"^\d+(\.\d+)? ?(ns|us|µs|ms|s|min|h)$", ["30 ms", "10 s"],
        units::duration, Duration::to_string;
    /// A rate.
    Rate(sim_core::Rate) "rate", "rate", r"^\d+(\.\d+)? ?(bit/s|[kMG]bit/s|bps|[kMG]bps)$", ["20 Mbit/s"],
        units::rate, sim_core::Rate::to_string;
    /// A size in bytes.
    Size(Bytes) "size", "size", r"^\d+(\.\d+)? ?(B|kB|MB|GB|KiB|MiB|GiB|bytes)$", ["64 KiB", "15 MB"],
        units::size, |size| units::print_size(*size);
    /// A queue limit.
    Queue(QueueSize) "queue", "queue size", r"^(unlimited|\d+(\.\d+)? ?(packets?|BDP|B|kB|MB|GB|KiB|MiB|GiB|bytes))$",
        ["100 packets", "64 KiB", "1 BDP", "unlimited"],
        units::queue_size, QueueSize::to_string;
    /// A probability.
    Chance(Probability) "probability", "probability", r"^\d+(\.\d+)? ?(%|ppm)$", ["0.5 %", "100 ppm"],
        units::probability, Probability::to_string;
    /// Octets of the frame around a packet.
    Overhead(Bytes) "overhead", "frame overhead", r"^(ethernet|none|\d+ ?B)$", ["ethernet", "none", "38 B"],
        overhead, print_overhead;
    /// `tcp_rmem`, `tcp_wmem`.
    Buffers(BufferSizes) "buffers", "list of three sizes", "", ["4096 131072 6291456", "4 KiB, 128 KiB, 6 MiB"],
        BufferSizes::from_str, BufferSizes::to_string;
    /// A step of an application.
    StepWords(Step) "step", "step", r"^(send|send_rate|send_until|send_for|recv|recv_eof|sleep|sleep_until|shutwr|close|disconnect|snapshot)( .*)?$",
        ["send 20 kB", "recv_eof", "sleep 300 ms"],
        Step::from_str, Step::to_string;
    /// A command of an event.
    CommandWords(Command) "command", "command", r"^(ip )?(mptcp )?(endpoint|limits?|link|addr|address|route|rule) .*$",
        ["endpoint change id 5 backup", "link down c0"],
        Command::from_str, Command::to_string;
    /// A policy rule.
    RuleWords(Rule) "rule", "rule", "", ["from 10.0.1.2 lookup 1"], Rule::from_str, Rule::to_string;
    /// A route.
    RouteWords(Route) "route", "route", "", ["default via 10.0.1.1 dev c0 table 1"], Route::from_str, Route::to_string;
    /// An interface address.
    Network(Cidr) "cidr", "address with prefix length", r"^[0-9a-fA-F.:]+/\d+$", ["10.0.1.2/24", "fd00::1/64"],
        Cidr::from_str, Cidr::to_string;
    /// An IP address.
    Address(std::net::IpAddr) "address", "IP address", r"^[0-9a-fA-F.:]+$", ["10.0.1.2", "fd00::1"],
        |text| text.parse().map_err(|_| Complaint::new(
            format!("\"{text}\" is not an IP address"), "write one such as \"10.0.1.2\" or \"fd00::1\", without prefix length")),
        std::net::IpAddr::to_string;
    /// An Ethernet address.
    MacAddress(Mac) "mac", "Ethernet address", r"^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$", ["02:00:00:00:00:01"],
        Mac::from_str, Mac::to_string;
    /// A name.
    Word(String) "word", "name", "", ["cubic"], |text| Ok(text.to_owned()), String::clone;
}

fn overhead(text: &str) -> Result<Bytes, Complaint> {
    match text {
        "ethernet" => Ok(Bytes(14)),
        "none" => Ok(Bytes(0)),
        other => units::size(other).ok().filter(|size| size.0 <= 1_000).ok_or_else(|| {
            Complaint::new(
                format!("\"{other}\" is not a frame overhead"),
                "write \"ethernet\" (14 octets), \"none\" or a size up to 1000 B such as \"38 B\"",
            )
        }),
    }
}

fn print_overhead(size: &Bytes) -> String {
    match size.0 {
        14 => "ethernet".to_owned(),
        0 => "none".to_owned(),
        other => format!("{other} B"),
    }
}

/// `true`, `false`, or 1 and 0 as in sysctl.
#[derive(Debug)]
pub(crate) enum Switch {}

impl Kind for Switch {
    type Value = bool;
    const NAME: &'static str = "switch";
    fn schema() -> Schema {
        json_schema!({ "enum": [true, false, 0, 1] })
    }
    fn read(scalar: &Scalar) -> Result<bool, Complaint> {
        match scalar {
            Scalar::Switch(value) => Ok(*value),
            Scalar::Integer(value @ (0 | 1)) => Ok(*value == 1),
            other => Err(Complaint::new(
                format!("{other} is neither on nor off"),
                "write true or false (or 1 or 0)",
            )),
        }
    }
    fn print(value: &bool) -> Scalar {
        Scalar::Switch(*value)
    }
}

/// A count without unit.
#[derive(Debug)]
pub(crate) enum Count {}

impl Kind for Count {
    type Value = u32;
    const NAME: &'static str = "count";
    fn schema() -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
    }
    fn read(scalar: &Scalar) -> Result<u32, Complaint> {
        match scalar {
            Scalar::Integer(value) => u32::try_from(*value).map_err(|_| {
                Complaint::new(
                    format!("{value} is out of range"),
                    "write a whole number from 0 to 4294967295",
                )
            }),
            other => {
                Err(Complaint::new(format!("{other} is not a whole number"), "write digits without quotes"))
            }
        }
    }
    fn print(value: &u32) -> Scalar {
        Scalar::Integer(i64::from(*value))
    }
}

/// A parameter of an algorithm.
#[derive(Debug)]
pub(crate) enum Free {}

impl Kind for Free {
    type Value = Parameter;
    const NAME: &'static str = "parameter";
    fn schema() -> Schema {
        json_schema!({ "type": ["string", "integer", "boolean"] })
    }
    fn read(scalar: &Scalar) -> Result<Parameter, Complaint> {
        match scalar {
            Scalar::Text(text) => Ok(Parameter::Text(text.clone())),
            Scalar::Integer(value) => Ok(Parameter::Integer(*value)),
            Scalar::Switch(value) => Ok(Parameter::Switch(*value)),
            Scalar::Float(value) => Err(Complaint::new(
                format!("{value} may not be exact"),
                format!("write it as a string: \"{value}\""),
            )),
            Scalar::Other(name) => Err(Complaint::new(
                format!("a {name} is not a parameter"),
                "write a string, an integer, true or false",
            )),
        }
    }
    fn print(value: &Parameter) -> Scalar {
        match value {
            Parameter::Text(text) => Scalar::Text(text.clone()),
            Parameter::Integer(value) => Scalar::Integer(*value),
            Parameter::Switch(value) => Scalar::Switch(*value),
        }
    }
}
