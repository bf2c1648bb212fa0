//! The JSON schema of scenario files (draft 2020-12), for completion and checks in editors.

use serde_json::{Map, Value};

use super::document::Document;

/// Keys that must be there, by table.
const REQUIRED: &[(&str, &[&str])] = &[
    ("RawLink", &["name", "a", "b"]),
    ("RawBox", &["kind", "at"]),
    ("RawFlow", &["from", "to"]),
    ("RawEvent", &["at", "host", "command"]),
    ("RawChange", &["at"]),
    ("RawEndpoint", &["address"]),
    ("RawEcho", &["size"]),
    ("RawRequestResponse", &["request", "response"]),
    ("RawRateLimited", &["rate"]),
    ("RawGilbertElliott", &["p", "r"]),
];

/// The JSON schema of scenario files. Quantities are strings with a pattern and examples; the key
/// `x-kind` names their kind.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Document).to_value();
    without_null(&mut schema);
    for (table, keys) in REQUIRED {
        if let Some(Value::Object(table)) = schema.pointer_mut(&format!("/$defs/{table}")) {
            table.insert("required".to_owned(), (*keys).into());
        }
    }
    if let Value::Object(root) = &mut schema {
        root.insert("title".to_owned(), "mptcp-sim scenario".into());
    }
    schema
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "null")
}

/// Removes the alternative `null` of optional keys: TOML has no null.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            merge_single_alternative(object);
            object.values_mut().for_each(without_null);
        }
        _ => {}
    }
}

/// `{"anyOf": [X, null], ...}` becomes `{...X, ...}`.
fn merge_single_alternative(object: &mut Map<String, Value>) {
    let Some(Value::Array(alternatives)) = object.get_mut("anyOf") else { return };
    alternatives.retain(|alternative| !is_null(alternative));
    if let [Value::Object(only)] = alternatives.as_mut_slice() {
        let only = core::mem::take(only);
        object.remove("anyOf");
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
    }
}

/// Follows `$ref`.
pub(super) fn dereference<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|target| root.pointer(target.trim_start_matches('#')))
    {
        Some(target) => target,
        None => schema,
    }
}
