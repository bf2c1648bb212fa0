//! Checks the shape of a document against the schema: unknown keys, wrong types and malformed values
//! are all found in one pass, before anything is given a meaning.

use std::sync::{Arc, OnceLock};

use serde_json::Value;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::kinds;
use super::schema::{dereference, schema};
use super::value::Scalar;
use crate::error::{Place, ScenarioError, Source};
use mptcp_model::suggest::closest;

/// The schema, made once.
pub(super) fn root() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(schema)
}

/// Everything wrong with the shape of `table`.
pub(super) fn check(source: &Arc<Source>, table: &Spanned<DeTable<'_>>) -> Vec<ScenarioError> {
    let mut walker = Walker { source, errors: Vec::new() };
    walker.table(root(), table.get_ref(), "");
    walker.errors
}

struct Walker<'a> {
    source: &'a Arc<Source>,
    errors: Vec<ScenarioError>,
}

/// The key `key` in the table `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// What help to give for a name that is none of `known`.
pub(super) fn suggestion(word: &str, known: &[&str], what: &str) -> String {
    match closest(word, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => format!("there are no {what}"),
        None => format!("{what}: {}", known.join(", ")),
    }
}

fn scalar(value: &DeValue<'_>) -> Scalar {
    match value {
        DeValue::String(text) => Scalar::Text(text.clone().into_owned()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or(Scalar::Other("number out of range"), Scalar::Integer),
        DeValue::Float(float) => float.as_str().parse().map_or(Scalar::Other("number"), Scalar::Float),
        DeValue::Boolean(value) => Scalar::Switch(*value),
        DeValue::Datetime(_) => Scalar::Other("date"),
        DeValue::Array(_) => Scalar::Other("array"),
        DeValue::Table(_) => Scalar::Other("table"),
    }
}

impl Walker<'_> {
    fn bad(&mut self, span: core::ops::Range<usize>, path: &str, message: String, help: String) {
        let place = Place::new(self.source, span, path);
        self.errors.push(ScenarioError::BadValue { place, message, help });
    }

    fn table(&mut self, schema: &Value, table: &DeTable<'_>, path: &str) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties").filter(|others| others.is_object());
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let path = join(path, name);
            if let Some(schema) = properties.and_then(|properties| properties.get(name)).or(others) {
                self.value(schema, value, &path);
            } else {
                let known: Vec<&str> = properties
                    .map(|properties| properties.keys().map(String::as_str).collect())
                    .unwrap_or_default();
                let place = Place::new(self.source, key.span(), path);
                let help = suggestion(name, &known, "keys here");
                self.errors.push(ScenarioError::UnknownKey { place, help });
            }
        }
    }

    fn value(&mut self, schema: &Value, value: &Spanned<DeValue<'_>>, path: &str) {
        let schema = dereference(root(), schema);
        if let Some(kind) = schema.get("x-kind").and_then(Value::as_str) {
            if let Err(complaint) = kinds::check(kind, &scalar(value.get_ref())) {
                self.bad(value.span(), path, complaint.message, complaint.help);
            }
            return;
        }
        let expected = schema.get("type").and_then(Value::as_str).unwrap_or_default();
        match (expected, value.get_ref()) {
            ("object", DeValue::Table(table)) => self.table(schema, table, path),
            ("array", DeValue::Array(items)) => {
                let Some(schema) = schema.get("items") else { return };
                for (index, item) in items.iter().enumerate() {
                    let name = item.get_ref().get("name").and_then(|name| name.get_ref().as_str());
                    let path = join(path, name.unwrap_or(&index.to_string()));
                    self.value(schema, item, &path);
                }
            }
            ("string", DeValue::String(text)) => {
                let Some(choices) = schema.get("enum").and_then(Value::as_array) else { return };
                let known: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
                if !known.contains(&text.as_ref()) {
                    self.bad(
                        value.span(),
                        path,
                        format!("\"{text}\" is not one of the choices"),
                        suggestion(text, &known, "choices"),
                    );
                }
            }
            ("integer", DeValue::Integer(_)) => {}
            ("object", other) => {
                let help = format!("write a table, such as {path} = {{ ... }}");
                self.bad(value.span(), path, format!("{} instead of a table", scalar(other)), help);
            }
            ("array", DeValue::Table(_)) => {
                let help = format!("write [[{path}]], with two brackets on each side");
                self.bad(value.span(), path, "a table instead of an array of tables".to_owned(), help);
            }
            ("array", other) => {
                self.bad(
                    value.span(),
                    path,
                    format!("{} instead of an array", scalar(other)),
                    "write [ ... ]".to_owned(),
                );
            }
            (expected, other) => {
                let (expected, help) = if expected == "string" {
                    ("a string", "write it in double quotes")
                } else {
                    ("a whole number", "write digits without quotes")
                };
                self.bad(value.span(), path, format!("{} is not {expected}", scalar(other)), help.to_owned());
            }
        }
    }
}
