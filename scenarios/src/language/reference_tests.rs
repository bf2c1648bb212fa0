//! The written reference of the language is complete and its examples are right.

use std::sync::Arc;

use serde_json::Value;

use super::schema::{dereference, schema};
use super::shape;
use crate::Scenario;
use crate::error::{ScenarioErrors, Source};

const REFERENCE: &str = include_str!("../../../docs/scenario-language.md");

/// The fenced blocks of the reference, with what stands behind the fence.
fn blocks() -> Vec<(&'static str, &'static str)> {
    REFERENCE
        .split("\n```toml")
        .skip(1)
        .map(|rest| {
            let (mark, rest) = rest.split_once('\n').unwrap();
            (mark.trim(), rest.split_once("\n```").unwrap().0)
        })
        .collect()
}

#[test]
fn every_example_of_the_reference_is_valid() {
    let blocks = blocks();
    assert!(blocks.iter().filter(|(mark, _)| *mark == "fragment").count() > 8);
    assert!(blocks.iter().any(|(mark, _)| mark.is_empty()));
    for (mark, text) in blocks {
        if mark == "fragment" {
            let source = Arc::new(Source { name: "fragment".to_owned(), text: text.to_owned() });
            let table = toml::de::DeTable::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            if let Err(errors) = ScenarioErrors::check(shape::check(&source, &table)) {
                panic!("{errors}\n{text}");
            }
        } else if let Err(errors) = Scenario::from_toml(text, "example") {
            panic!("{errors}\n{text}");
        }
    }
}

/// The keys of a table and of all tables in it, as the reference calls them.
fn keys(root: &Value, table: &Value, path: &str, found: &mut Vec<String>) {
    for (key, property) in table["properties"].as_object().unwrap() {
        let path = shape::join(path, key);
        found.push(path.clone());
        // What means the same in two places is described in one.
        if matches!(key.as_str(), "ab" | "ba")
            || path.starts_with("defaults.")
            || path == "links.changes.loss"
        {
            continue;
        }
        let mut inner = dereference(root, property);
        let mut path = path;
        if let Some(items) = inner.get("items") {
            inner = dereference(root, items);
        }
        if let Some(others) = inner.get("additionalProperties").filter(|others| others.is_object()) {
            inner = dereference(root, others);
            path = shape::join(&path, if key == "interfaces" { "DEV" } else { "NAME" });
        }
        if inner.get("properties").is_some() {
            keys(root, inner, &path, found);
        }
    }
}

#[test]
fn the_reference_has_a_heading_for_every_key_and_no_other() {
    let schema = schema();
    let mut found = Vec::new();
    keys(&schema, &schema, "", &mut found);
    let mut described: Vec<String> = REFERENCE
        .lines()
        .filter_map(|line| Some(line.strip_prefix("### `")?.strip_suffix('`')?.to_owned()))
        .collect();
    found.sort();
    described.sort();
    assert_eq!(described, found);
}

#[test]
fn the_schema_refuses_unknown_keys_and_knows_no_null() {
    let schema = schema();
    assert_eq!(schema["additionalProperties"], false);
    let text = schema.to_string();
    assert!(!text.contains("null") && !text.contains("anyOf"), "{text}");
    let rate = &schema["$defs"]["RawLink"]["properties"]["rate"];
    let rate = dereference(&schema, rate);
    assert_eq!(rate["examples"][0], "20 Mbit/s");
    assert_eq!(schema["$defs"]["RawLink"]["required"], serde_json::json!(["name", "a", "b"]));
    for (name, table) in schema["$defs"].as_object().unwrap() {
        assert!(
            name.starts_with("Raw").then(|| table["additionalProperties"] == false) != Some(false),
            "{name}"
        );
    }
}
