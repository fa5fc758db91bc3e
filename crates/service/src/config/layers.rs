//! Where values come from: file, environment, flags, laid over each other with their origin remembered.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Problems, join};

/// The top-level tables of the shared file. A process reads its own and leaves its neighbours' alone; any other name is
/// a typing error and is refused.
pub const SECTIONS: [&str; 13] = [
    "process",
    "directory",
    "collector",
    "receiver",
    "aggregator",
    "pusher",
    "console",
    "cti",
    "simulator",
    "journal",
    "store",
    "live",
    "tidegate",
];

/// Longest configuration file read, bytes.
const FILE_MAX: u64 = 16 << 20;
const ENV_PREFIX: &str = "TIDEGATE_";

/// What to read a configuration from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `key=value` settings of the program itself, laid first: defaults that depend on how it was called. Everything else
    /// overrides them, and they are shown as defaults.
    pub base: Vec<String>,
    /// The TOML file, if any.
    pub file: Option<PathBuf>,
    /// Environment variables, as name and value; others than ours are ignored.
    pub env: Vec<(String, String)>,
    /// `--set key=value`, in order.
    pub set: Vec<String>,
}

impl Sources {
    /// The given file and flags, and this process's environment.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the environment is read")]
    pub fn of_process(file: Option<PathBuf>, set: Vec<String>) -> Self {
        // A name or value that is not UTF-8 cannot be one of ours.
        let env =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Sources { base: Vec::new(), file, env: env.collect(), set }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// `--set`.
    Flag,
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag => f.write_str("--set"),
        }
    }
}

/// Everything that was set, in one tree, not yet typed.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    pub(super) tree: Map<String, Value>,
    pub(super) origins: BTreeMap<String, Origin>,
    // The text of a value from the environment or a flag: "0042" may have been meant as text.
    pub(super) raw: BTreeMap<String, String>,
    pub(super) problems: Problems,
}

impl Layers {
    /// Reads all sources. What is wrong with them (no such file, bad syntax) is among the problems of the load.
    pub fn read(sources: &Sources) -> Layers {
        let mut layers = Layers::default();
        layers.pairs(&sources.base, &Origin::Default);
        if let Some(path) = &sources.file {
            layers.file(path);
        }
        for (name, value) in &sources.env {
            layers.variable(name, value);
        }
        layers.pairs(&sources.set, &Origin::Flag);
        layers
    }

    fn pairs(&mut self, pairs: &[String], origin: &Origin) {
        for pair in pairs {
            match pair.split_once('=') {
                Some((key, value)) if !key.trim().is_empty() => self.text(key.trim(), value, origin.clone()),
                _ => {
                    self.problem("", Some(pair.clone()), "is not key=value", "write --set collector.journal.path=data")
                }
            }
        }
    }

    /// Text instead of a file, for tests and tools.
    pub fn of_text(name: &str, text: &str) -> Layers {
        let mut layers = Layers::default();
        layers.toml(Path::new(name), text);
        layers
    }

    fn file(&mut self, path: &Path) {
        let fix = "name a readable TOML file with --config";
        match std::fs::metadata(path).map(|meta| meta.len()) {
            Ok(length) if length > FILE_MAX => {
                let what = format!("is longer than {FILE_MAX} bytes");
                return self.problem("", Some(path.display().to_string()), &what, fix);
            }
            _ => {}
        }
        match std::fs::read_to_string(path) {
            Ok(text) => self.toml(path, &text),
            Err(error) => self.problem("", Some(path.display().to_string()), &format!("cannot be read: {error}"), fix),
        }
    }

    fn toml(&mut self, path: &Path, text: &str) {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(1, |span| line_of(text, span.start));
            let place = format!("{}:{at}", path.display());
            self.problem("", Some(place), &format!("is not TOML: {}", error.message().trim()), "correct the line");
        }
        for (key, value) in table.get_ref() {
            let line = |at: usize| Origin::File { path: path.to_owned(), line: line_of(text, at) };
            let key = key.get_ref();
            let origin = line(value.span().start);
            self.remember(key, value.get_ref(), &origin, &line);
            let value = json(value.get_ref());
            merge(&mut self.tree, key, value);
        }
    }

    /// Notes the line of each key below `path`.
    fn remember(&mut self, path: &str, value: &DeValue<'_>, origin: &Origin, line: &dyn Fn(usize) -> Origin) {
        self.origins.insert(path.to_owned(), origin.clone());
        self.raw.remove(path);
        match value {
            DeValue::Table(table) => {
                for (key, value) in table {
                    self.remember(&join(path, key.get_ref()), value.get_ref(), &line(key.span().start), line);
                }
            }
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.remember(&format!("{path}[{index}]"), item.get_ref(), &line(item.span().start), line);
                }
            }
            _ => {}
        }
    }

    /// `TIDEGATE_COLLECTOR__JOURNAL__PATH`; a name without `__` is not a key (`TIDEGATE_SHARED`).
    fn variable(&mut self, name: &str, value: &str) {
        let Some(rest) = name.strip_prefix(ENV_PREFIX) else {
            return;
        };
        if !rest.contains("__") {
            return;
        }
        let path: Vec<String> = rest.split("__").filter(|part| !part.is_empty()).map(str::to_lowercase).collect();
        self.text(&path.join("."), value, Origin::Environment(name.to_owned()));
    }

    /// Lays one dotted key over the tree. The value is read as TOML where it is one, else taken as text.
    fn text(&mut self, path: &str, value: &str, origin: Origin) {
        let parsed = toml::from_str::<toml::Table>(&format!("v = {value}")).ok().filter(|table| table.len() == 1);
        let typed = parsed.and_then(|mut table| table.remove("v")).and_then(|value| serde_json::to_value(value).ok());
        let typed = typed.unwrap_or_else(|| Value::String(value.to_owned()));
        let below = (format!("{path}."), format!("{path}["));
        self.origins.retain(|known, _| !known.starts_with(&below.0) && !known.starts_with(&below.1));
        self.remember_all(path, &typed, &origin);
        self.raw.insert(path.to_owned(), value.to_owned());
        let mut parts: Vec<&str> = path.split('.').collect();
        let Some(first) = parts.first().copied() else {
            return;
        };
        let mut whole = typed;
        while parts.len() > 1 {
            let Some(last) = parts.pop() else { break };
            whole = Value::Object(Map::from_iter([(last.to_owned(), whole)]));
        }
        merge(&mut self.tree, first, whole);
    }

    fn remember_all(&mut self, path: &str, value: &Value, origin: &Origin) {
        self.origins.insert(path.to_owned(), origin.clone());
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    self.remember_all(&join(path, key), value, origin);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    self.remember_all(&format!("{path}[{index}]"), value, origin);
                }
            }
            _ => {}
        }
    }

    fn problem(&mut self, path: &str, value: Option<String>, what: &str, fix: &str) {
        self.problems.push(Problem {
            path: path.to_owned(),
            value,
            origin: None,
            what: what.to_owned(),
            fix: fix.to_owned(),
        });
    }

    /// Where the value at `path` was set.
    pub fn origin(&self, path: &str) -> Origin {
        self.origins.get(path).cloned().unwrap_or(Origin::Default)
    }

    /// Where to look for a problem at `path`: where it was set, or else the nearest table around it.
    fn place(&self, path: &str) -> Origin {
        let mut path = path;
        loop {
            if let Some(origin) = self.origins.get(path) {
                return origin.clone();
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return Origin::Default,
            }
        }
    }

    /// Says of each problem where its value was set: exactly, or the nearest table around it, or that it is a default.
    pub fn locate(&self, problems: &mut Problems) {
        for problem in problems.iter_mut().filter(|problem| problem.origin.is_none()) {
            problem.origin = Some(self.place(&problem.path).to_string());
        }
    }

    /// Problems of the sources themselves, and of top-level tables that no process reads: neither `own` nor one of
    /// [`SECTIONS`].
    pub fn problems(&self, own: &[&str]) -> Problems {
        let mut problems = self.problems.clone();
        let known = |key: &str| SECTIONS.contains(&key) || own.contains(&key);
        for key in self.tree.keys().filter(|key| !known(key)) {
            let fix = super::nearest::nearest(key, SECTIONS).map_or_else(
                || format!("tables are {}", SECTIONS.join(", ")),
                |near| format!("did you mean [{near}]?"),
            );
            let origin = Some(self.origin(key).to_string());
            problems.push(Problem { path: key.clone(), value: None, origin, what: "is not a known table".into(), fix });
        }
        problems
    }
}

/// Lays `value` over `tree[key]`: tables merge, everything else replaces.
pub(super) fn merge(tree: &mut Map<String, Value>, key: &str, value: Value) {
    match (tree.get_mut(key), value) {
        (Some(Value::Object(below)), Value::Object(above)) => {
            for (key, value) in above {
                merge(below, &key, value);
            }
        }
        (_, value) => {
            tree.insert(key.to_owned(), value);
        }
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or_else(|_| Value::String(integer.as_str().to_owned()), Value::from),
        DeValue::Float(float) => float.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(boolean) => Value::Bool(*boolean),
        DeValue::Datetime(datetime) => Value::String(datetime.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            Value::Object(table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect())
        }
    }
}
