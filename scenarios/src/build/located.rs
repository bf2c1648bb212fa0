//! Where in a scenario file something stands that cannot be built.

use std::sync::Arc;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::BuildError;
use crate::error::{Place, ScenarioError, Source};

impl BuildError {
    /// The error with its place in `text`, the scenario that was to be built and is called `source_name`: that of its key, or
    /// of the nearest table above that is written.
    #[must_use]
    pub fn located(&self, text: &str, source_name: &str) -> ScenarioError {
        let source = Arc::new(Source { name: source_name.to_owned(), text: text.to_owned() });
        let (span, path) = match DeTable::parse(text) {
            Ok(document) => find(&DeValue::Table(document.into_inner()), &self.key),
            Err(_) => (0..0, self.key.clone()),
        };
        // What would be right follows what is wrong, as in all messages of the model.
        let (message, help) = match self.message.split_once("; ") {
            Some((message, help)) => (message, Some(help.to_owned())),
            None => (&self.message[..], None),
        };
        ScenarioError::NotBuilt { place: Place::new(&source, span, path), message: message.to_owned(), help }
    }
}

/// The span of the deepest part of `key` that is written, and the key with names in place of the indices of entries that have
/// one.
fn find(document: &DeValue<'_>, key: &str) -> (std::ops::Range<usize>, String) {
    let parts = key.split(['.', '[', ']']).filter(|part| !part.is_empty());
    let (mut span, mut path) = (0..0, Vec::new());
    let mut at = Some(document);
    for part in parts {
        let index = part.parse::<usize>().ok();
        let entry = match (at, index) {
            (Some(DeValue::Array(items)), Some(index)) => items.get(index),
            (Some(DeValue::Table(table)), _) => table.get(part),
            _ => None,
        };
        at = entry.map(Spanned::get_ref);
        if let Some(entry) = entry {
            span = entry.span();
        }
        let name = at.and_then(|value| value.get("name")).and_then(|name| name.get_ref().as_str());
        path.push(name.filter(|_| index.is_some()).unwrap_or(part).to_owned());
    }
    (span, path.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_that_of_the_key_or_of_what_is_written_above_it() {
        let text = "[hosts.a]\nrules = [\"x\", \"y\"]\n\n[[links]]\nname = \"p1\"\nmtu = 9\n";
        for (key, path, line) in [
            ("hosts.a.rules[1]", "hosts.a.rules.1", 2),
            ("links[0].mtu", "links.p1.mtu", 6),
            ("links[0].rate", "links.p1.rate", 4),
            ("flows[7]", "flows.7", 1),
        ] {
            let error = BuildError::new(key, "wrong; mend it").located(text, "f.toml");
            assert_eq!((error.key(), error.place().line_column().0), (path, line), "{key}");
            assert_eq!((error.message(), error.help()), ("wrong", Some("mend it")));
        }
        let error = BuildError::new("hosts.a.rules[1]", "wrong").located(text, "f.toml");
        assert_eq!(&text[error.span()], "\"y\"");
    }
}
