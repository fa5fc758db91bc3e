//! What can be configured: a JSON schema for machines, a Markdown table for people, both from the types.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::ConfigFile;
use super::problem::join;

/// The JSON Schema (2020-12) of the sections of one process: `[("process", …), ("collector", …)]` become one object.
pub fn schema(title: &str, sections: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> =
        sections.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": properties,
    })
}

/// The schema of one type, everything inline.
pub fn schema_of<T: ConfigFile>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The reference page of one section: each key with its type, default and meaning. `path`: where it sits in the tree.
pub fn reference<T: ConfigFile>(path: &str) -> String {
    let mut page = String::new();
    let schema = schema_of::<T>();
    let defaults = serde_json::to_value(T::default()).unwrap_or(Value::Null);
    section(&mut page, path, &schema, Some(&defaults));
    page
}

fn section(page: &mut String, path: &str, schema: &Value, defaults: Option<&Value>) {
    let title = if path.is_empty() { "top level".to_owned() } else { format!("[{path}]") };
    let _ = writeln!(page, "## `{title}`\n");
    if let Some(about) = schema.get("description").and_then(Value::as_str) {
        let _ = writeln!(page, "{}\n", about.trim());
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    let _ = writeln!(page, "| key | type | default | meaning |\n|---|---|---|---|");
    let mut below = Vec::new();
    for (key, property) in properties {
        let default = defaults.and_then(|defaults| defaults.get(key)).or_else(|| property.get("default"));
        let about = property.get("description").and_then(Value::as_str).unwrap_or("");
        let (kind, default_text) = (kind(property), default_text(property, default));
        let _ = writeln!(page, "| `{key}` | {kind} | {default_text} | {} |", cell(about));
        if let Some(named) = named(property) {
            below.push((format!("{}.NAME", join(path, key)), named, None));
        } else if property.get("properties").is_some() {
            below.push((join(path, key), property, default));
        } else if let Some(items) = property.get("items").filter(|items| items.get("properties").is_some()) {
            below.push((format!("{}[]", join(path, key)), items, None));
        }
    }
    page.push('\n');
    for (path, schema, defaults) in below {
        section(page, &path, schema, defaults);
    }
}

/// What stands under each name of a table whose keys are names.
fn named(property: &Value) -> Option<&Value> {
    property.get("additionalProperties").filter(|below| below.get("properties").is_some())
}

fn kind(schema: &Value) -> String {
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        return choices
            .iter()
            .map(|choice| format!("`{}`", cell(&choice.to_string())))
            .collect::<Vec<_>>()
            .join(" or ");
    }
    if let Some(choices) = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array) {
        let kinds: Vec<_> = choices.iter().map(kind).filter(|kind| kind != "null").collect();
        return kinds.join(" or ");
    }
    if let Some(constant) = schema.get("const") {
        return format!("`{}`", cell(&constant.to_string()));
    }
    let bounds = match (schema.get("minimum"), schema.get("maximum")) {
        (None, None) => String::new(),
        (low, high) => {
            let text = |bound: Option<&Value>| bound.map_or_else(String::new, ToString::to_string);
            format!(" {}..{}", text(low), text(high))
        }
    };
    match schema.get("type") {
        Some(Value::String(kind)) => format!("{kind}{bounds}"),
        Some(Value::Array(kinds)) => {
            let kinds: Vec<_> = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect();
            format!("{}{bounds}", kinds.join(" or "))
        }
        _ => "any".to_owned(),
    }
}

fn default_text(property: &Value, default: Option<&Value>) -> String {
    match default {
        None => "required".to_owned(),
        Some(Value::Null) => "not set".to_owned(),
        Some(Value::Object(_)) if property.get("properties").is_some() => "see below".to_owned(),
        Some(Value::Object(names)) if names.is_empty() => "none".to_owned(),
        Some(Value::Array(items)) if items.iter().any(Value::is_object) => {
            format!("{} items", items.len())
        }
        Some(value) => format!("`{}`", cell(&value.to_string())),
    }
}

fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
