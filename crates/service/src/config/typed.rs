//! From the untyped tree to a typed configuration, with every problem found in one pass.
//!
//! The way: deserialise; on an error note its path, put the default (or nothing) in the place of the value, and try
//! again until it is clean; then ask the configuration to check itself.

use std::collections::BTreeMap;

use serde_json::Value;

use super::layers::{Layers, merge};
use super::nearest::nearest;
use super::problem::{Problem, Problems, join};
use super::tree::{Step, at, at_mut, existing, insert, set, steps};
use super::{ConfigFile, secret};

/// Rounds of repair before giving up: more problems than anybody reads.
const ROUNDS_MAX: usize = 200;

/// A typed configuration and what is wrong with it. With problems, the bad values were replaced by defaults so that the
/// rest could be checked: it must not be run.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The value; only to be used when there are no problems.
    pub config: T,
    /// What is wrong.
    pub problems: Problems,
}

impl<T> Loaded<T> {
    /// The configuration, if nothing is wrong with it.
    ///
    /// # Errors
    /// Every problem.
    pub fn accept(self) -> Result<T, Problems> {
        self.problems.or(self.config)
    }
}

impl Layers {
    /// The whole tree as one type.
    pub fn whole<T: ConfigFile>(&self) -> Loaded<T> {
        let mut loaded = load::<T>(self, "", Some(&Value::Object(self.tree.clone())));
        let mut problems = self.problems.clone();
        problems.extend("", std::mem::take(&mut loaded.problems));
        Loaded { config: loaded.config, problems }
    }

    /// The table at the dotted `path` as one type; an absent one is all defaults.
    pub fn section<T: ConfigFile>(&self, path: &str) -> Loaded<T> {
        let mut at = None;
        let mut map = Some(&self.tree);
        for key in path.split('.') {
            at = map.and_then(|map| map.get(key));
            map = at.and_then(Value::as_object);
        }
        load(self, path, at)
    }
}

/// A table that another configuration carries whole (an adapter's, whose type the carrier does not know), as one type.
/// The paths of the problems begin at the table.
pub fn table<T: ConfigFile>(value: &Value) -> Loaded<T> {
    let mut loaded = load::<T>(&Layers::default(), "", Some(value));
    for problem in loaded.problems.iter_mut() {
        problem.origin = None;
    }
    loaded
}

fn load<T: ConfigFile>(layers: &Layers, prefix: &str, set: Option<&Value>) -> Loaded<T> {
    let defaults = secret::revealing(|| serde_json::to_value(T::default())).unwrap_or(Value::Null);
    let mut tree = defaults.clone();
    let mut problems = Problems::new();
    match (&mut tree, set) {
        (Value::Object(tree), Some(Value::Object(set))) => {
            for (key, value) in set {
                merge(tree, key, value.clone());
            }
        }
        (_, None) => {}
        (tree, Some(other)) if tree.is_object() => {
            problems.add("", shown(other), "is not a table", format!("write [{prefix}]"));
        }
        (tree, Some(other)) => *tree = other.clone(),
    }
    let config = repair::<T>(layers, prefix, &mut tree, &defaults, &mut problems);
    let mut semantic = Problems::new();
    config.check(&mut semantic);
    problems.extend("", semantic);
    let mut placed = Problems::new();
    placed.extend(prefix, problems);
    layers.locate(&mut placed);
    Loaded { config, problems: placed }
}

/// What a missing value is stood in for, in turn, so that the search for more problems can go on behind it.
const STAND_INS: [&str; 9] = ["\"\"", "1", "true", "[]", "{}", "\"1s\"", "\"1KiB\"", "\"env:X\"", "\"127.0.0.1:1\""];

/// The tree under repair.
struct Repair<'a> {
    tree: Value,
    defaults: &'a Value,
    problems: &'a mut Problems,
    // Keys we put in because they were missing, with the number of stand-ins tried: errors there are not the operator's.
    stand_ins: BTreeMap<String, usize>,
    // Indexes taken out of each array, so that a later problem is told with the index that the operator wrote.
    removed: BTreeMap<String, Vec<usize>>,
}

fn repair<T: ConfigFile>(
    layers: &Layers,
    prefix: &str,
    tree: &mut Value,
    defaults: &Value,
    problems: &mut Problems,
) -> T {
    let (stand_ins, removed) = (BTreeMap::new(), BTreeMap::new());
    let mut repair = Repair { tree: tree.take(), defaults, problems, stand_ins, removed };
    for _ in 0..ROUNDS_MAX {
        let error = match serde_path_to_error::deserialize::<_, T>(repair.tree.clone()) {
            Ok(config) => return config,
            Err(error) => error,
        };
        let path = match error.path().to_string() {
            path if path == "." => String::new(),
            path => path,
        };
        let place = existing(&repair.tree, &path);
        if !as_text(layers, prefix, &mut repair.tree, &place)
            && !repair.round(&path, &place, &error.inner().to_string())
        {
            break;
        }
    }
    T::default()
}

impl Repair<'_> {
    /// Notes one problem and makes its place harmless. False when there is nothing left to repair.
    fn round(&mut self, path: &str, place: &str, message: &str) -> bool {
        if let Some(tried) = self.stand_ins.get_mut(place) {
            *tried += 1;
            let choice = message.starts_with("unknown variant").then(|| message.split('`').nth(3)).flatten();
            let next = choice
                .map(Value::from)
                .or_else(|| STAND_INS.get(*tried).and_then(|text| serde_json::from_str(text).ok()));
            return match next.filter(|_| *tried < 2 * STAND_INS.len()) {
                Some(value) => set(&mut self.tree, place, value),
                None => self.drop_around(place),
            };
        }
        let mut problem = explain(&self.tree, path, message);
        let missing = message.starts_with("missing field").then(|| problem.path.clone());
        problem.path = self.original(&problem.path);
        self.problems.push(problem);
        if let Some(missing) = missing {
            self.stand_ins.insert(missing.clone(), 0);
            return insert(&mut self.tree, &missing, Value::String(String::new()));
        }
        match at(self.defaults, place).filter(|default| at(&self.tree, place) != Some(default)) {
            Some(default) => set(&mut self.tree, place, default.clone()),
            None => self.take_out(place),
        }
    }

    /// No stand-in fits: gives up on the table around the missing key.
    fn drop_around(&mut self, place: &str) -> bool {
        let parent = place.rfind('.').map_or("", |end| &place[..end]);
        self.stand_ins.retain(|key, _| !key.starts_with(parent));
        self.take_out(parent)
    }

    fn take_out(&mut self, place: &str) -> bool {
        let end = place.rfind(['.', '[']);
        let (parent, last) = end.map_or(("", place), |end| (&place[..end], &place[end..]));
        let array = self.original(parent);
        match at_mut(&mut self.tree, parent) {
            Some(Value::Object(map)) => map.remove(last.trim_start_matches('.')).is_some(),
            Some(Value::Array(items)) => {
                let Some(index) = last.trim_matches(['[', ']']).parse().ok().filter(|index| *index < items.len())
                else {
                    return false;
                };
                items.remove(index);
                let removed = self.removed.entry(array).or_default();
                let original = written_index(removed, index);
                removed.push(original);
                removed.sort_unstable();
                // What stood in behind the removed item has moved with it.
                self.stand_ins.retain(|key, _| !key.starts_with(parent));
                true
            }
            _ => false,
        }
    }

    /// The path as the operator wrote it, before items were taken out of arrays.
    fn original(&self, path: &str) -> String {
        let mut written = String::new();
        for step in steps(path) {
            match step {
                Step::Key(key) => written = join(&written, key),
                Step::Index(index) => {
                    let index = self.removed.get(&written).map_or(index, |removed| written_index(removed, index));
                    written = format!("{written}[{index}]");
                }
            }
        }
        written
    }
}

/// The index, among all items, of item `index` of those that are left.
fn written_index(removed: &[usize], index: usize) -> usize {
    removed.iter().fold(index, |index, gone| if *gone <= index { index + 1 } else { index })
}

/// A value from the environment or a flag that was read as a number or a boolean may have been meant as text.
fn as_text(layers: &Layers, prefix: &str, tree: &mut Value, path: &str) -> bool {
    let full = join(prefix, path);
    let Some(raw) = layers.raw.get(&full) else {
        return false;
    };
    match at(tree, path) {
        None | Some(Value::String(_)) => false,
        Some(_) => set(tree, path, Value::String(raw.clone())),
    }
}

fn explain(tree: &Value, path: &str, message: &str) -> Problem {
    let problem = |path: String, value: Option<String>, what: String, fix: String| Problem {
        path,
        value,
        origin: None,
        what,
        fix,
    };
    let value = || at(tree, path).filter(|value| !value.is_object() && !value.is_array()).map(shown);
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let (name, known) = rest.split_once('`').unwrap_or((rest, ""));
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let path = if path.rsplit('.').next() == Some(name) { path.to_owned() } else { join(path, name) };
        let fix = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None if known.is_empty() => "remove it: this table has no keys".to_owned(),
            None => format!("known keys: {}", known.join(", ")),
        };
        // The value is not shown: a misspelt key may hold a secret.
        return problem(path, None, "unknown key".to_owned(), fix);
    }
    if let Some(rest) = message.strip_prefix("missing field `") {
        let name = rest.trim_end_matches('`');
        return problem(join(path, name), None, "is missing".to_owned(), "add it".to_owned());
    }
    if message.contains(secret::RULE) {
        return problem(path.to_owned(), None, message.to_owned(), String::new());
    }
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        let (name, known) = rest.split_once('`').unwrap_or((rest, ""));
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        return problem(
            path.to_owned(),
            Some(format!("{name:?}")),
            "is not one of the choices".to_owned(),
            format!("use {}", known.join(", ")),
        );
    }
    // serde says "invalid type: X, expected Y": the second half is the fix.
    let (what, fix) = message
        .split_once(", expected ")
        .map_or((message, String::new()), |(what, want)| (what, format!("use {want}")));
    problem(path.to_owned(), value(), what.to_owned(), fix)
}

/// The value as text, short, without secrets.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) if text.starts_with("plain:") => format!("{:?}", secret::HIDDEN),
        other => other.to_string(),
    };
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::super::{Millis, Origin, Secret, Sources};
    use super::*;

    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        /// Where.
        journal: Journal,
        /// Who.
        sources: Vec<Source>,
        /// A word.
        title: String,
        /// A secret.
        key: Option<Secret>,
        /// By name.
        limits: BTreeMap<String, u32>,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Journal {
        path: String,
        flush: Millis,
        batch: u32,
    }

    impl Default for Journal {
        fn default() -> Self {
            Journal { path: "data".into(), flush: Millis::new(5), batch: 1_000 }
        }
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Source {
        name: String,
        kind: Kind,
        #[schemars(with = "String")]
        at: SocketAddr,
        every: Millis,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Asterisk,
        QueueLog,
    }

    impl ConfigFile for Config {
        fn check(&self, problems: &mut Problems) {
            problems.within("journal", |problems| {
                problems.range("batch", self.journal.batch, 1..=10_000);
                problems.not_empty("path", &self.journal.path);
            });
            for (index, source) in self.sources.iter().enumerate() {
                problems.within(&format!("sources[{index}]"), |problems| problems.not_empty("name", &source.name));
            }
        }
    }

    fn told(text: &str) -> Vec<String> {
        let loaded = Layers::of_text("t.toml", text).section::<Config>("collector");
        loaded.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_path_line_value_and_fix() {
        let told = told(
            r#"
            [collector]
            titel = "misspelt"
            key = "hunter2"
            limits = { a = 1, b = "many", c = -1 }
            [collector.journal]
            path = ""
            flush = "5 parsecs"
            batch = 0
            [[collector.sources]]
            name = "no kind, no address"
            every = "1s"
            [[collector.sources]]
            name = "bad kind"
            kind = "nortel"
            at = "somewhere"
            every = 7
            "#,
        );
        let expected = [
            "collector.titel (t.toml:3): unknown key; did you mean title?",
            "collector.key (t.toml:4): a secret must be a reference",
            "collector.limits.b = \"many\" (t.toml:5): invalid type: string \"many\"; use u32",
            "collector.limits.c = -1 (t.toml:5): invalid value: integer `-1`; use u32",
            "collector.journal.flush = \"5 parsecs\" (t.toml:8): \"5 parsecs\" is not a duration",
            "collector.sources[0].kind (t.toml:10): is missing; add it",
            "collector.sources[0].at (t.toml:10): is missing; add it",
            "collector.sources[1].kind = \"nortel\" (t.toml:15): is not one of the choices; use asterisk, queue_log",
            "collector.sources[1].at = \"somewhere\" (t.toml:16):",
            "collector.sources[1].every = 7 (t.toml:17): invalid type: integer `7`",
            "collector.journal.batch = 0 (t.toml:9): is out of range; use 1 to 10000",
            "collector.journal.path = \"\" (t.toml:7): is empty",
        ];
        for line in expected {
            assert!(told.iter().any(|problem| problem.starts_with(line)), "{line}\nis not among\n{}", told.join("\n"));
        }
        assert_eq!(told.len(), expected.len(), "{}", told.join("\n"));
        assert!(!told.join("\n").contains("hunter2"), "a secret is not repeated");
    }

    #[test]
    fn a_table_kept_untyped_is_typed_later_with_paths_of_its_own() {
        let value = serde_json::json!({ "journal": { "batch": "x", "path": "there" } });
        let loaded = table::<Config>(&value);
        let told: Vec<_> =
            loaded.problems.iter().map(|problem| (problem.path.as_str(), problem.origin.as_deref())).collect();
        assert_eq!(told, [("journal.batch", None)]);
        assert_eq!((loaded.config.journal.path.as_str(), loaded.config.journal.batch), ("there", 1_000));
    }

    #[test]
    fn an_item_taken_out_does_not_shift_the_index_of_the_next() {
        let told = told(
            "[[collector.sources]]\nwhat = 1\n[[collector.sources]]\nname = 2\nkind = \"asterisk\"\nat = \"127.0.0.1:1\"\nevery = \"1s\"\n",
        );
        assert!(told.iter().any(|problem| problem.starts_with("collector.sources[0].what")), "{told:?}");
        assert!(told.iter().any(|problem| problem.starts_with("collector.sources[1].name = 2 (t.toml:4)")), "{told:?}");
        assert!(!told.iter().any(|problem| problem.starts_with("collector.sources[0].name = 2")), "{told:?}");
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t.toml");
        std::fs::write(&file, "[collector]\ntitle = \"file\"\n[collector.journal]\npath = \"file\"\nbatch = 7\n")
            .unwrap();
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let env = vec![
            variable("TIDEGATE_COLLECTOR__JOURNAL__PATH", "environment"),
            variable("TIDEGATE_COLLECTOR__TITLE", "0042"),
            variable("TIDEGATE_SHARED", "not a key"),
            variable("PATH", "/bin"),
        ];
        let set = vec!["collector.journal.batch=9".to_owned()];
        let base = vec!["collector.journal.path=base".to_owned(), "collector.journal.batch=1".to_owned()];
        let base = [base, vec!["collector.journal.flush=9ms".to_owned()]].concat();
        let layers = Layers::read(&Sources { base, file: Some(file), env, set });
        let config = layers.section::<Config>("collector").accept().unwrap();
        assert!(layers.problems(&[]).is_empty(), "{}", layers.problems(&[]));
        assert_eq!(config.journal, Journal { path: "environment".into(), batch: 9, flush: Millis::new(9) });
        assert_eq!(
            layers.origin("collector.journal.flush"),
            Origin::Default,
            "what the program itself says is a default"
        );
        assert_eq!(config.title, "0042", "a number where text is wanted is text");
        let origin = |path: &str| layers.origin(path).to_string();
        assert_eq!(origin("collector.journal.path"), "environment TIDEGATE_COLLECTOR__JOURNAL__PATH");
        assert_eq!(
            (origin("collector.journal.batch").as_str(), origin("process.drain").as_str()),
            ("--set", "default")
        );
    }

    #[test]
    fn what_is_not_toml_and_what_nobody_reads_is_told() {
        let layers = Layers::of_text("t.toml", "[colector]\nx = \n[collector]\ntitle = \"fine\"\n");
        let told = layers.problems(&[]).to_string();
        assert!(told.contains("t.toml:2") && told.contains("is not TOML"), "{told}");
        assert!(told.contains("did you mean [collector]?"), "{told}");
        let layers = Layers::read(&Sources { file: Some("/nowhere/t.toml".into()), ..Sources::default() });
        assert!(layers.problems(&[]).to_string().contains("/nowhere/t.toml"));
        let layers = Layers::of_text("t.toml", "collector = 7");
        assert!(layers.section::<Config>("collector").problems.to_string().contains("write [collector]"));
    }

    #[test]
    fn what_is_printed_shows_origins_and_hides_secrets() {
        let text = "[collector]\nkey = \"plain:hunter2\"\ntitle = \"it's \\\"q\\\"\"\nlimits = { \"a b\" = 1 }\n[[collector.sources]]\nname = \"pbx\"\nkind = \"asterisk\"\nat = \"127.0.0.1:5038\"\nevery = \"1s\"\n";
        let layers = Layers::of_text("t.toml", text);
        let config = layers.section::<Config>("collector").accept().unwrap();
        assert_eq!(config.key.as_ref().unwrap().read().unwrap(), "hunter2");
        let printed = super::super::print(&layers, &[("collector", serde_json::to_value(&config).unwrap())]);
        assert!(!printed.contains("hunter2") && printed.contains("key = \"plain:***\"  # t.toml:2"), "{printed}");
        assert!(printed.contains("batch = 1000  # default"), "{printed}");
        let again = Layers::of_text("p.toml", &printed).section::<Config>("collector").accept().unwrap();
        assert_eq!(Config { key: None, ..again }, Config { key: None, ..config }, "{printed}");
    }

    #[test]
    fn the_reference_names_each_key_with_its_default() {
        let page = super::super::reference::<Config>("collector");
        assert!(page.contains("## `[collector.journal]`"), "{page}");
        assert!(page.contains("| `batch` | integer 0..") && page.contains("| `1000` |"), "{page}");
        assert!(
            page.contains("## `[collector.sources[]]`") && page.contains("`\"asterisk\"` or `\"queue_log\"`"),
            "{page}"
        );
    }
}
