//! Writes the finding of `script/mutants`: counts what cargo-mutants left, and holds what survived against the explanations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bench::{Aim, Figure, Finding};
use clap::Parser;

/// What is counted.
#[derive(Parser)]
struct Asked {
    /// The folder of a run: one folder for each slice, and what earlier runs know of files that are as they were.
    results: PathBuf,
    /// The list of changes that make no difference.
    explained: PathBuf,
}

/// A change without its line: lines move, and an explanation should not have to.
type Change = String;

fn main() -> anyhow::Result<()> {
    let asked = Asked::parse();
    let [caught, missed, timeout, unviable] =
        ["caught", "missed", "timeout", "unviable"].map(|kind| all(&asked.results, kind));
    let (caught, missed, timeout, unviable) = (caught?, missed?, timeout?, unviable?);
    let reasons = explanations(&std::fs::read_to_string(&asked.explained)?);
    let (open, idle) = compare(&missed, &reasons);
    open.iter().for_each(|name| println!("survived, and nobody says why: {name}"));
    idle.iter().for_each(|(name, n)| println!("explained {n} times more than it survived: {name}"));
    let generated = caught.len() + missed.len() + timeout.len() + unviable.len();
    anyhow::ensure!(generated > 0, "{} holds no results", asked.results.display());
    let figure = |what: &str, n: usize| Figure::new(what, n as f64, "changes");
    Finding::new(
        "mutants",
        "Every change that mutation testing makes to the folds and to the language is noticed by their tests, or is shown to make no difference.",
        "script/mutants",
    )
    .figure(figure("made to the code of stats and model, one at a time", generated).aim(Aim::AtLeast(1_500.0)))
    .figure(figure("do not compile", unviable.len()))
    .figure(figure("noticed by a failing test", caught.len()))
    .figure(figure("noticed because the tests did not end", timeout.len()))
    .figure(figure("survived, with the reason in docs/proof/mutants-explained.md", missed.len() - open.len()))
    .figure(figure("survived without a reason", open.len()).aim(Aim::AtMost(0.0)))
    .note("cargo-mutants; the tests of each package alone, its recorded calls left out, property tests from one seed, those of stats with 40 cases; a change that is explained meets the first of the tests only; what an earlier run noticed counts while the changed file is the same")
    .save()?;
    anyhow::ensure!(open.is_empty(), "{} changes survived without a reason", open.len());
    Ok(())
}

/// The names of one kind in every slice and of earlier runs.
fn all(results: &Path, kind: &str) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    let slices = std::fs::read_dir(results)?
        .map(|slice| Ok(slice?.path().join(format!("{kind}.txt"))))
        .collect::<std::io::Result<Vec<_>>>()?;
    for path in slices.into_iter().chain([results.join(format!("known-{kind}.txt"))]) {
        if path.exists() {
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            names.extend(text.lines().map(str::to_owned));
        }
    }
    Ok(names)
}

/// `crates/stats/src/tally.rs:29:34: replace | with ^ in cell_key` without `:29:34`.
fn change(name: &str) -> Change {
    let mut parts = name.splitn(4, ':');
    match (parts.next(), parts.nth(2)) {
        (Some(file), Some(what)) => format!("{file}:{what}"),
        _ => name.to_owned(),
    }
}

/// Every list item that begins with a change in back quotes; `×2` after it: so many of that name.
fn explanations(text: &str) -> BTreeMap<Change, usize> {
    let items = text.lines().filter_map(|line| line.strip_prefix("- `")?.split_once('`'));
    let mut all = BTreeMap::new();
    for (name, rest) in items {
        let times = rest
            .trim_start()
            .strip_prefix('×')
            .and_then(|n| n.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
        *all.entry(name.to_owned()).or_default() += times.unwrap_or(1);
    }
    all
}

/// What survived unexplained, and what is explained but did not survive, with how often.
fn compare(missed: &[String], reasons: &BTreeMap<Change, usize>) -> (Vec<String>, Vec<(Change, usize)>) {
    let mut left = reasons.clone();
    let explained = |name: &&String| match left.get_mut(&change(name)) {
        Some(n) if *n > 0 => {
            *n -= 1;
            false
        }
        _ => true,
    };
    let open = missed.iter().filter(explained).cloned().collect();
    (open, left.into_iter().filter(|(_, n)| *n > 0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survivor_needs_a_reason_of_its_own_and_a_reason_a_survivor() {
        let reasons = explanations(
            "# Text\n- `a.rs: replace < with <= in f` ×2: equal moments.\n- `b.rs: delete ! in g`: speed only.\nprose `a.rs: x`\n",
        );
        let name = |line: u32| format!("a.rs:{line}:7: replace < with <= in f");
        assert_eq!(compare(&[name(3), name(9)], &reasons), (vec![], vec![("b.rs: delete ! in g".to_owned(), 1)]));
        assert_eq!(compare(&[name(3), name(9), name(12)], &reasons).0, [name(12)]);
        let path = "crates/stats/src/rows.rs:1:2: replace <impl Hasher for Mixer>::write with ()";
        assert_eq!(change(path), "crates/stats/src/rows.rs: replace <impl Hasher for Mixer>::write with ()");
    }
}
