//! The table of boxes: what can be named in a scenario, with which parameters. A new box is a file and
//! an entry of `BOXES`. Boxes with a filter take the parameters of [`FILTER`] too.

use core::fmt;
use std::net::{IpAddr, SocketAddr};

use sim_core::random::Stream;
use sim_core::{Duration, Instant};

use super::filter::{EndFilter, Filter, Kinds, Matcher, OptionCondition, OptionSet, Subtype};
use super::{Direction, Middlebox};
use crate::congestion::registry::{Parameters, Value};
use crate::net::Prefix;
use crate::net::nat::{PortForward, Protocol};
use crate::suggest::closest;

mod table;

use table::BOXES;
pub use table::FILTER;

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
            suggestion: closest(name, known.iter().copied()),
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
                    suggestion: closest(name, known.iter().copied()),
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
