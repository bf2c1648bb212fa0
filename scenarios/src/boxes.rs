//! Boxes that stand at interfaces of routers: from the words of a scenario to those of the model's registry.
//!
//! The registry says which boxes there are, with which parameters. Where a parameter is a time or a size, the
//! scenario writes it with its unit, as everywhere; probabilities may be written in per cent.

use std::collections::BTreeMap;

use mptcp_model::net::middlebox::registry::{self, Entry};
use mptcp_model::net::middlebox::{Middlebox, reversed::Reversed};
use mptcp_model::parameters::{Kind, Parameter as Known, Parameters, Value};
use sim_core::random::Stream;

use crate::scenario::{BoxConfig, NearSide, Parameter};
use crate::units::{self, Complaint};

/// The box called `kind` in the registry.
pub(crate) fn entry(kind: &str) -> Option<&'static Entry> {
    registry::list().iter().find(|entry| entry.name == kind)
}

/// Makes the box. Its near side is the router.
///
/// # Errors
/// If there is no such box, or its parameters are not possible.
pub(crate) fn create(config: &BoxConfig, stream: Stream) -> Result<Box<dyn Middlebox>, Complaint> {
    let made = registry::create(&config.kind, &values(&config.kind, &config.parameters)?, stream);
    let made = made.map_err(|error| {
        Complaint::new(error.to_string(), "`mptcp-sim list boxes` shows what each box can be told")
    })?;
    Ok(match config.near {
        NearSide::Router => made,
        NearSide::Link => Box::new(Reversed(made)),
    })
}

fn values(kind: &str, given: &BTreeMap<String, Parameter>) -> Result<Parameters, Complaint> {
    let known = |name: &str| {
        entry(kind).and_then(|entry| entry.all_parameters().find(|parameter| parameter.name == name))
    };
    // The registry complains about parameters that it does not know.
    given
        .iter()
        .map(|(name, written)| {
            let value = match known(name) {
                Some(parameter) => value(parameter, written).map_err(|Complaint { message, help }| {
                    Complaint::new(format!("{name}: {message}"), help)
                })?,
                None => plain(written),
            };
            Ok((name.clone(), value))
        })
        .collect()
}

fn plain(written: &Parameter) -> Value {
    match written {
        Parameter::Integer(number) => Value::Number(*number as f64),
        Parameter::Switch(switch) => Value::Switch(*switch),
        Parameter::Text(text) => Value::Text(text.clone()),
    }
}

fn value(parameter: &Known, written: &Parameter) -> Result<Value, Complaint> {
    match (parameter.kind, parameter.unit, written) {
        (Kind::Number { .. }, "s", Parameter::Text(text)) => {
            Ok(Value::Number(units::duration(text)?.as_secs_f64()))
        }
        (Kind::Number { .. }, "s", Parameter::Integer(number)) => Err(Complaint::new(
            format!("{number} is a bare number, which does not say what it counts"),
            "write a time with its unit as a string, such as \"30 ms\"",
        )),
        (Kind::Number { .. }, _, Parameter::Text(text)) => match text.parse() {
            Ok(number) => Ok(Value::Number(number)),
            Err(_) => Ok(Value::Number(units::probability(text)?.as_f64())),
        },
        (Kind::Integer { .. }, "octets", Parameter::Text(text)) => {
            Ok(Value::Number(units::size(text)?.0 as f64))
        }
        _ => Ok(plain(written)),
    }
}
