//! Overrides from the command line, `KEY.PATH=VALUE`, applied to the document before it is validated.

use serde_json::Value as Schema;
use toml::{Table, Value};

use super::schema::dereference;
use super::shape::{join, root, suggestion};

/// Why an override cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OverrideError {
    /// Not of the form `key.path=value`.
    #[error("override \"{text}\": write KEY.PATH=VALUE, such as links.p1.rate=\"5 Mbit/s\"")]
    Syntax {
        /// The override.
        text: String,
    },
    /// A part of the path that does not exist.
    #[error("override of \"{path}\": no such key; {help}")]
    UnknownPath {
        /// The path up to the unknown part.
        path: String,
        /// The key meant, or the keys there are.
        help: String,
    },
    /// A key of a link of which both directions have values of their own.
    #[error("override of \"{path}\" without effect: both directions have their own; {help}")]
    NoEffect {
        /// The path.
        path: String,
        /// What to set instead.
        help: String,
    },
}

/// Sets one value of a scenario document, such as `links.p1.rate=5 Mbit/s`. Entries of an array of tables
/// are addressed by their `name`, or by their index from 0; tables that the document leaves out are
/// created. The value is a TOML value; strings need no quotes.
///
/// # Errors
/// If the path does not exist in the language, or names a host, link, flow or entry that does not exist; and if it is a
/// key of a link that says otherwise for each direction, so that the value would count for none.
pub fn apply_override(document: &mut Table, text: &str) -> Result<(), OverrideError> {
    let syntax = || OverrideError::Syntax { text: text.to_owned() };
    let (path, value) = text.split_once('=').ok_or_else(syntax)?;
    let keys: Vec<&str> = path.trim().split('.').collect();
    let Some((last, above)) = keys.split_last() else { return Err(syntax()) };
    if keys.iter().any(|key| key.is_empty()) {
        return Err(syntax());
    }
    let mut at = String::new();
    let mut schema = root();
    let mut place = Place::Table(document);
    for key in above {
        at = join(&at, key);
        (schema, place) = place.step(schema, key, &at)?;
    }
    if let (["links", _], Place::Table(link)) = (above, &place) {
        let own = |side: &str| link.get(side).is_some_and(|direction| direction.get(*last).is_some());
        if own("ab") && own("ba") {
            let help = format!("set {at}.ab.{last} and {at}.ba.{last}");
            return Err(OverrideError::NoEffect { path: join(&at, last), help });
        }
    }
    place.set(schema, last, value.trim(), &join(&at, last))
}

/// Where the walk along the path has arrived.
enum Place<'a> {
    Table(&'a mut Table),
    Array(&'a mut Vec<Value>),
}

fn unknown(path: &str, key: &str, known: &[&str]) -> OverrideError {
    OverrideError::UnknownPath { path: path.to_owned(), help: suggestion(key, known, "keys here") }
}

/// The schema of `key` in a table, and whether the key is a free name.
fn property<'s>(schema: &'s Schema, key: &str, path: &str) -> Result<(&'s Schema, bool), OverrideError> {
    let properties = schema.get("properties").and_then(Schema::as_object);
    if let Some(property) = properties.and_then(|properties| properties.get(key)) {
        return Ok((dereference(root(), property), false));
    }
    if let Some(others) = schema.get("additionalProperties").filter(|others| others.is_object()) {
        return Ok((dereference(root(), others), true));
    }
    let known: Vec<&str> =
        properties.map(|properties| properties.keys().map(String::as_str).collect()).unwrap_or_default();
    Err(unknown(path, key, &known))
}

/// The entry of an array called `key`.
fn entry(items: &[Value], key: &str, path: &str) -> Result<usize, OverrideError> {
    let name = |item: &Value| item.get("name").and_then(Value::as_str).map(str::to_owned);
    if let Some(index) = items.iter().position(|item| name(item).as_deref() == Some(key)) {
        return Ok(index);
    }
    match key.parse::<usize>() {
        Ok(index) if index < items.len() => Ok(index),
        _ => {
            let names: Vec<String> = items
                .iter()
                .enumerate()
                .map(|(index, item)| name(item).unwrap_or_else(|| index.to_string()))
                .collect();
            Err(unknown(path, key, &names.iter().map(String::as_str).collect::<Vec<_>>()))
        }
    }
}

impl<'a> Place<'a> {
    fn step(
        self,
        schema: &'static Schema,
        key: &str,
        path: &str,
    ) -> Result<(&'static Schema, Self), OverrideError> {
        let (schema, value) = match self {
            Place::Table(table) => {
                let (schema, free) = property(schema, key, path)?;
                if free && !table.contains_key(key) {
                    let known: Vec<&str> = table.keys().map(String::as_str).collect();
                    return Err(unknown(path, key, &known));
                }
                let empty = match schema.get("type").and_then(Schema::as_str) {
                    Some("array") => Value::Array(Vec::new()),
                    _ => Value::Table(Table::new()),
                };
                (schema, table.entry(key).or_insert(empty))
            }
            Place::Array(items) => {
                let index = entry(items, key, path)?;
                let schema = schema.get("items").map_or(schema, |items| dereference(root(), items));
                (schema, &mut items[index])
            }
        };
        match value {
            Value::Table(table) => Ok((schema, Place::Table(table))),
            Value::Array(items) => Ok((schema, Place::Array(items))),
            _ => Err(OverrideError::UnknownPath {
                path: path.to_owned(),
                help: "this is a value, not a table; end the path here".to_owned(),
            }),
        }
    }

    fn set(self, schema: &'static Schema, key: &str, text: &str, path: &str) -> Result<(), OverrideError> {
        match self {
            Place::Table(table) => {
                let (schema, _) = property(schema, key, path)?;
                table.insert(key.to_owned(), value(schema, text));
            }
            Place::Array(items) => {
                let index = entry(items, key, path)?;
                let schema = schema.get("items").map_or(schema, |items| dereference(root(), items));
                items[index] = value(schema, text);
            }
        }
        Ok(())
    }
}

/// `text` as a TOML value; as a string where the schema wants one and no quotes are written.
fn value(schema: &Schema, text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok().filter(|table| table.len() == 1);
    let parsed = parsed.and_then(|mut table| table.remove("value"));
    let wants_string = schema.get("type").is_some_and(|kind| kind == "string");
    match parsed {
        Some(value) if value.is_str() || !wants_string => value,
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Table {
        toml::from_str(
            "[hosts.client]\n[[links]]\nname = \"p1\"\nrate = \"1 Mbit/s\"\n[[events]]\nat = \"1 s\"\n",
        )
        .unwrap()
    }

    #[test]
    fn links_are_addressed_by_name_and_unnamed_entries_by_index() {
        let mut table = document();
        apply_override(&mut table, "links.p1.rate=5 Mbit/s").unwrap();
        apply_override(&mut table, "links.p1.ab.delay = \"3 ms\"").unwrap();
        apply_override(&mut table, "links.0.mtu=1400").unwrap();
        apply_override(&mut table, "events.0.at=2 s").unwrap();
        apply_override(&mut table, "hosts.client.tcp.tcp_sack=false").unwrap();
        apply_override(&mut table, "seed=7").unwrap();
        let link = &table["links"][0];
        assert_eq!(link["rate"].as_str(), Some("5 Mbit/s"));
        assert_eq!(link["ab"]["delay"].as_str(), Some("3 ms"));
        assert_eq!(link["mtu"].as_integer(), Some(1_400));
        assert_eq!(table["events"][0]["at"].as_str(), Some("2 s"));
        assert_eq!(table["hosts"]["client"]["tcp"]["tcp_sack"].as_bool(), Some(false));
        assert_eq!(table["seed"].as_integer(), Some(7));
    }

    #[test]
    fn a_value_that_both_directions_override_is_refused() {
        let mut table = document();
        for side in ["ab", "ba"] {
            apply_override(&mut table, "links.p1.delay=9 ms").unwrap();
            apply_override(&mut table, &format!("links.p1.{side}.delay=3 ms")).unwrap();
        }
        let error = apply_override(&mut table, "links.p1.delay=5 ms").unwrap_err().to_string();
        assert!(error.contains("set links.p1.ab.delay and links.p1.ba.delay"), "{error}");
        assert_eq!(table["links"][0]["delay"].as_str(), Some("9 ms"));
    }

    #[test]
    fn unknown_paths_are_errors_with_suggestions() {
        let mut table = document();
        let help = |text, table: &mut Table| apply_override(table, text).unwrap_err().to_string();
        assert!(help("links.p2.rate=1 Mbit/s", &mut table).contains("did you mean \"p1\""));
        assert!(help("links.p1.rat=1 Mbit/s", &mut table).contains("did you mean \"rate\""));
        assert!(help("hosts.cleint.kind=router", &mut table).contains("did you mean \"client\""));
        assert!(help("links.p1.rate.x=1", &mut table).contains("not a table"));
        assert!(help("links", &mut table).contains("KEY.PATH=VALUE"));
        assert!(help("links..rate=1", &mut table).contains("KEY.PATH=VALUE"));
        assert_eq!(table, document());
    }
}
