//! The effective configuration as TOML, with the origin of each value.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::layers::Layers;
use super::problem::join;
use super::secret::HIDDEN;

/// `sections`: name and effective value (serialised, so secrets are already hidden). The text is TOML and reads back as
/// the same configuration, except for plain secrets.
pub fn print(layers: &Layers, sections: &[(&str, Value)]) -> String {
    let mut text = String::new();
    for (name, value) in sections {
        match value {
            Value::Object(map) => table(&mut text, layers, &Place::root(name), map),
            other => line(&mut text, layers, name, name, other),
        }
    }
    text
}

/// Where a table is: as the origins know it, and as TOML writes it (a key may hold a dot: `sources."pbx.two"`).
struct Place {
    path: String,
    header: String,
}

impl Place {
    fn root(name: &str) -> Place {
        let header = if name.is_empty() { String::new() } else { bare(name) };
        Place { path: name.to_owned(), header }
    }

    fn below(&self, key: &str) -> Place {
        Place { path: join(&self.path, key), header: join(&self.header, &bare(key)) }
    }
}

fn table(text: &mut String, layers: &Layers, place: &Place, map: &Map<String, Value>) {
    if !place.header.is_empty() {
        let space = if text.is_empty() { "" } else { "\n" };
        let _ = writeln!(text, "{space}[{}]", place.header);
    }
    // Scalars first: in TOML, what follows a sub-table belongs to it.
    for (key, value) in map {
        if !value.is_object() && !tables(value) {
            line(text, layers, &join(&place.path, key), key, value);
        }
    }
    for (key, value) in map {
        let place = place.below(key);
        match value {
            Value::Object(map) => table(text, layers, &place, map),
            Value::Array(items) if tables(value) => {
                for (index, item) in items.iter().enumerate() {
                    let _ = writeln!(text, "\n[[{}]]", place.header);
                    if let Value::Object(map) = item {
                        inside(text, layers, &format!("{}[{index}]", place.path), map);
                    }
                }
            }
            _ => {}
        }
    }
}

/// One item of an array of tables: what it nests is written inline, so that the headers stay simple.
fn inside(text: &mut String, layers: &Layers, path: &str, map: &Map<String, Value>) {
    for (key, value) in map {
        line(text, layers, &join(path, key), key, value);
    }
}

fn tables(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_object))
}

fn line(text: &mut String, layers: &Layers, path: &str, key: &str, value: &Value) {
    let origin = layers.origin(path);
    let _ = match value {
        Value::Null => writeln!(text, "# {} is not set  # {origin}", bare(key)),
        value => writeln!(text, "{} = {}  # {origin}", bare(key), inline(value)),
    };
}

fn inline(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs = map.iter().filter(|(_, value)| !value.is_null());
            let pairs: Vec<_> = pairs.map(|(key, value)| format!("{} = {}", bare(key), inline(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::Number(number) => number.to_string(),
        Value::Bool(boolean) => boolean.to_string(),
        // A table kept untyped (an adapter's own) may hold a secret that no type has hidden.
        Value::String(string) if string.starts_with("plain:") => toml::Value::String(HIDDEN.to_owned()).to_string(),
        Value::String(string) => toml::Value::String(string.clone()).to_string(),
    }
}

fn bare(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(plain) {
        key.to_owned()
    } else {
        toml::Value::String(key.to_owned()).to_string()
    }
}
