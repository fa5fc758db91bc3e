//! Every fuzz target on its committed corpus, and on each of its files cut short, in every run: what the fuzzer once found
//! stays found, and a target that was broken is seen without a fuzzer. `script/fuzz` runs the real thing.

use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use targets::{TARGETS, Target};

/// How many beginnings of each file are tried.
const CUTS: usize = 24;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn run(name: &str, target: Target) -> usize {
    let folder = fuzz().join("corpus").join(name);
    let files = names(&folder);
    for file in &files {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        for cut in (0..CUTS).map(|n| bytes.len() * n / CUTS).chain([bytes.len()]) {
            let ran = std::panic::catch_unwind(|| target(&bytes[..cut]));
            assert!(ran.is_ok(), "{name} breaks on {file} cut at {cut}");
        }
    }
    files.len()
}

#[test]
fn every_target_keeps_its_promises_on_its_corpus_and_on_every_part_of_it() {
    let many: usize = TARGETS.iter().map(|(name, target)| run(name, *target)).sum();
    assert!(many > 100, "only {many} files");
}

#[test]
fn every_target_has_a_corpus_a_program_and_a_line_in_the_manifest() {
    let wanted: Vec<_> = {
        let mut names: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&fuzz().join("corpus")), wanted, "the folders of the corpus are not the targets");
    let programs: Vec<_> = wanted.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&fuzz().join("fuzz_targets")), programs, "the programs are not the targets");
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
        assert!(!names(&fuzz().join("corpus").join(name)).is_empty(), "{name} has an empty corpus");
    }
}
