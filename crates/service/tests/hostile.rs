//! A configuration that somebody broke in any way: told, never a panic, never a secret.

use rand::Rng as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{Layers, Secret, Sources};
use service::{ConfigFile, Millis, Seeds, Size};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// A wait.
    every: Millis,
    /// A bound.
    bound: Size,
    /// A secret.
    key: Secret,
    /// By name.
    sources: BTreeMap<String, Source>,
    /// In order.
    rules: Vec<Source>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Source {
    host: String,
    port: u16,
    weight: Option<f64>,
}

impl Default for Config {
    fn default() -> Self {
        let (sources, rules) = (BTreeMap::new(), Vec::new());
        Config {
            every: Millis::seconds(1),
            bound: Size::mebibytes(1),
            key: Secret::plain("s3cr3t-default"),
            sources,
            rules,
        }
    }
}

impl ConfigFile for Config {}

const GOOD: &str = r#"
[collector]
every = "5s"
bound = "64MiB"
key = "plain:s3cr3t-set"
sources.pbx1 = { host = "pbx1.example", port = 5038 }
[collector.sources."pbx.two"]
host = "pbx2.example"
port = 5038
weight = 0.5
[[collector.rules]]
host = "a"
port = 1
[[collector.rules]]
host = "b"
port = 2
"#;

/// One change somewhere: a piece removed, doubled, swapped, or odd characters put in.
fn broken(text: &str, rng: &mut service::Rng) -> String {
    const ODD: [&str; 16] =
        ["\"", "'", "[", "]", "[[", "=", "{", "}", "\n", ".", "#", "\u{0}", "名", "-1", "\"\"", "key = 3\n"];
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..characters.len());
        let end = (at + rng.random_range(0..12)).min(characters.len());
        match rng.random_range(0..3) {
            0 => drop(characters.drain(at..end)),
            1 => drop(characters.splice(at..at, ODD[rng.random_range(0..ODD.len())].chars())),
            _ => {
                let piece: Vec<char> = characters[at..end].to_vec();
                let to = rng.random_range(0..=characters.len());
                drop(characters.splice(to..to, piece));
            }
        }
    }
    characters.into_iter().collect()
}

#[test]
fn the_file_before_it_was_broken_is_fine() {
    let config = Layers::of_text("t.toml", GOOD).section::<Config>("collector").accept().unwrap();
    assert_eq!((config.sources["pbx.two"].weight, config.rules.len()), (Some(0.5), 2));
}

#[test]
fn a_file_broken_anywhere_is_told_without_a_panic_or_a_secret() {
    let mut rng = Seeds::fixed(11).stream("hostile");
    let (mut refused, mut accepted) = (0, 0);
    for round in 0..3_000 {
        let text = broken(GOOD, &mut rng);
        let layers = Layers::of_text("t.toml", &text);
        let loaded = layers.section::<Config>("collector");
        let mut problems = layers.problems(&[]);
        problems.extend("", loaded.problems);
        let told = problems.to_string();
        assert!(!told.contains("s3cr3t-default"), "round {round}: {told}");
        if problems.is_empty() {
            accepted += 1;
            let printed =
                service::config::print(&layers, &[("collector", serde_json::to_value(&loaded.config).unwrap())]);
            // A broken file may have copied the text of the secret to a place that is none.
            let leaked = printed.lines().any(|line| line.starts_with("key = ") && line.contains("s3cr3t"));
            assert!(!leaked, "round {round}: {printed}");
            let again = Layers::of_text("printed.toml", &printed);
            let again_problems = again.section::<Config>("collector").problems;
            assert!(
                again.problems(&[]).is_empty() && again_problems.is_empty(),
                "round {round}: {again_problems}\n{printed}"
            );
        } else {
            refused += 1;
            assert!(problems.iter().all(|problem| !problem.what.is_empty()), "round {round}: {told}");
        }
    }
    assert!(refused > 1_000 && accepted > 50, "{refused} refused, {accepted} accepted");
}

#[test]
fn odd_settings_from_outside_are_told_or_taken_as_text() {
    let mut rng = Seeds::fixed(12).stream("hostile");
    for _ in 0..2_000 {
        let key: String = (0..rng.random_range(0..20)).map(|_| char::from(rng.random_range(32_u8..127))).collect();
        let value: String = (0..rng.random_range(0..20)).map(|_| char::from(rng.random_range(32_u8..127))).collect();
        let env = vec![(format!("TIDEGATE_COLLECTOR__{key}"), value.clone())];
        let set = vec![format!("collector.{key}={value}"), format!("{key}{value}")];
        let layers = Layers::read(&Sources { env, set, ..Sources::default() });
        let loaded = layers.section::<Config>("collector");
        let _ = (layers.problems(&[]).to_string(), loaded.problems.to_string());
    }
}
