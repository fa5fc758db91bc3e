//! What is wrong with a configuration, all of it.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// One thing wrong, said so that it can be put right without reading code.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The key, dotted: `collector.sources[0].host`. Empty for the whole.
    pub path: String,
    /// The value found, as written; absent when the key itself is the problem, and for secrets.
    pub value: Option<String>,
    /// Where the value came from: `tidegate.toml:12`, `environment TIDEGATE_…`, `--set`. Filled in by the loader.
    pub origin: Option<String>,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.path.is_empty() { "(whole file)" } else { &self.path })?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        if let Some(origin) = &self.origin {
            write!(f, " ({origin})")?;
        }
        write!(f, ": {}", self.what)?;
        if !self.fix.is_empty() {
            write!(f, "; {}", self.fix)?;
        }
        Ok(())
    }
}

/// A list of problems that knows where it is in the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
    prefix: String,
}

impl Problems {
    /// None yet, at the root of the tree.
    pub fn new() -> Self {
        Problems::default()
    }

    /// Adds a problem with the value of `key` (relative to here). `what` says what is wrong, `fix` what to write instead.
    pub fn add(&mut self, key: &str, value: impl Display, what: impl Into<String>, fix: impl Into<String>) {
        let value = Some(value.to_string());
        self.push(Problem { path: self.path(key), value, origin: None, what: what.into(), fix: fix.into() });
    }

    /// Adds a problem whose value must not be shown, or has none.
    pub fn add_hidden(&mut self, key: &str, what: impl Into<String>, fix: impl Into<String>) {
        self.push(Problem { path: self.path(key), value: None, origin: None, what: what.into(), fix: fix.into() });
    }

    /// Adds a problem when `value` is outside `range`.
    pub fn range<T: PartialOrd + Display>(&mut self, key: &str, value: T, range: RangeInclusive<T>) {
        if !range.contains(&value) {
            let fix = format!("use {} to {}", range.start(), range.end());
            self.add(key, value, "is out of range", fix);
        }
    }

    /// Adds a problem when `value` is empty.
    pub fn not_empty(&mut self, key: &str, value: &str) {
        if value.trim().is_empty() {
            self.add(key, "\"\"", "is empty", "give it a value");
        }
    }

    /// Runs `check` one level down: its keys are below `key` (`"journal"`, `"sources[2]"`).
    pub fn within<R>(&mut self, key: &str, check: impl FnOnce(&mut Problems) -> R) -> R {
        let path = self.path(key);
        let outer = std::mem::replace(&mut self.prefix, path);
        let result = check(self);
        self.prefix = outer;
        result
    }

    /// Nothing wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Each of them, in the order found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// `value` when nothing is wrong, else the problems.
    pub fn or<T>(self, value: T) -> Result<T, Problems> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }

    pub(super) fn push(&mut self, problem: Problem) {
        self.list.push(problem);
    }

    /// Takes over the problems of another list whose paths are relative to `key`, except where a problem with the same
    /// path is known already: the value seen there was a stand-in.
    pub fn extend(&mut self, key: &str, other: Problems) {
        for mut problem in other.list {
            problem.path = join(&self.path(key), &problem.path);
            if !self.list.iter().any(|known| covers(&known.path, &problem.path)) {
                self.list.push(problem);
            }
        }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Problem> {
        self.list.iter_mut()
    }

    fn path(&self, key: &str) -> String {
        join(&self.prefix, key)
    }
}

pub(super) fn join(prefix: &str, key: &str) -> String {
    match (prefix.is_empty(), key.is_empty()) {
        (true, _) => key.to_owned(),
        (_, true) => prefix.to_owned(),
        _ => format!("{prefix}.{key}"),
    }
}

fn covers(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

impl Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.list.len();
        write!(f, "{count} problem{} in the configuration", if count == 1 { "" } else { "s" })?;
        for problem in &self.list {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_name_the_whole_path_the_value_and_the_fix() {
        let mut problems = Problems::new();
        problems.within("collector", |problems| {
            problems.within("sources[1]", |problems| problems.range("port", 0, 1..=65_535));
        });
        let told = problems.to_string();
        assert_eq!(
            told,
            "1 problem in the configuration\n  collector.sources[1].port = 0: is out of range; use 1 to 65535"
        );
    }

    #[test]
    fn a_value_already_told_wrong_is_not_told_twice() {
        let mut problems = Problems::new();
        problems.add("ops", 7, "is not a table", "write a table");
        let mut more = Problems::new();
        more.add("listen", "x", "is odd", "");
        more.add("", "y", "is odd", "");
        problems.extend("ops", more);
        assert_eq!(problems.len(), 1);
    }
}
