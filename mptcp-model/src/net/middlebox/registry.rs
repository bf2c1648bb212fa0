//! The table of boxes: what can be named in a scenario, with which parameters. A new box is a file and
//! an entry of `BOXES`. Boxes with a filter take the parameters of [`FILTER`] too.

use std::net::{IpAddr, SocketAddr};

use sim_core::random::Stream;
use sim_core::{Duration, Instant};

use super::filter::{EndFilter, Filter, Kinds, Matcher, OptionCondition, OptionSet, Subtype};
use super::{Direction, Middlebox};
use crate::net::Prefix;
use crate::net::nat::{PortForward, Protocol};
use crate::parameters::{Parameter, ParameterError, Parameters, Resolved, hint};
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

/// Forms of text that boxes take.
mod forms {
    use super::{IpAddr, Kinds, Prefix, parse_end, parse_forwards, parse_list};
    use crate::parameters::Form;

    pub(super) const KINDS: Form = Form {
        expected: "a list of rst, syn, syn-ack, first-ack, data, fin, ack, other",
        accepts: |text| Kinds::from_names(text).is_some(),
    };
    pub(super) const END: Form = Form {
        expected: "an address, a prefix, or either with a port, as 10.0.0.1:80 or :80",
        accepts: |text| parse_end(text).is_some(),
    };
    pub(super) const ADDRESS: Form =
        Form { expected: "an address, as 192.0.2.1", accepts: |text| text.parse::<IpAddr>().is_ok() };
    pub(super) const ADDRESSES: Form = Form {
        expected: "a list of addresses, as 192.0.2.1, 192.0.2.2",
        accepts: |text| parse_list::<IpAddr>(text).is_some(),
    };
    pub(super) const PREFIXES: Form = Form {
        expected: "a list of prefixes, as 10.0.0.0/8, 192.168.0.0/16",
        accepts: |text| parse_list::<Prefix>(text).is_some(),
    };
    pub(super) const PORTS: Form =
        Form { expected: "a list of ports, as 80, 443", accepts: |text| parse_list::<u16>(text).is_some() };
    pub(super) const FORWARDS: Form = Form {
        expected: "a list of port forwards, as tcp 192.0.2.1:80 10.0.0.1:8080",
        accepts: |text| parse_forwards(text).is_some(),
    };
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
    /// A parameter is not known or a value out of range.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// Parameters that do not fit together, or a missing one without default.
    #[error("{name}: {reason}")]
    Impossible {
        /// The box.
        name: &'static str,
        /// Why.
        reason: String,
    },
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
    pub fn all_parameters(&self) -> impl Iterator<Item = &'static Parameter> + Clone {
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
    let resolved = Resolved::new(entry.name, entry.all_parameters(), parameters)?;
    (entry.build)(&resolved, stream).map_err(|reason| CreateError::Impossible { name: entry.name, reason })
}

/// What boxes read from their parameters.
impl Resolved {
    fn seconds(&self, name: &str) -> Duration {
        Duration::from_secs_f64(self.number(name))
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
