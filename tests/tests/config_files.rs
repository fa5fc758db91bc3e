//! Every file under `deploy/config` is read by the program that it is for, and has no problem.
#![allow(clippy::disallowed_methods, reason = "these tests run real processes")]

use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;
use tidegate_tests::product::binary;
use tokio::process::Command;

/// Which program reads which files, to check them without starting anything.
const READERS: [(&str, &[&str], &[&str]); 8] = [
    ("tidegate", &["up", "--check"], &["tidegate.toml", "asterisk.toml"]),
    ("collector", &["--check"], &["collector.toml", "asterisk.toml", "tidegate.toml"]),
    ("receiver", &["--check"], &["receiver.toml", "asterisk.toml"]),
    ("aggregator", &["--check"], &["aggregator.toml"]),
    ("pusher", &["--check"], &["pusher.toml"]),
    ("cti", &["--check"], &["cti.toml"]),
    ("console", &["--check"], &["console.toml"]),
    ("simulator", &["--check"], &["simulator.toml"]),
];
/// Those of many machines, in the folder `many`.
const OF_MANY: [(&str, &[&str], &str); 8] = [
    ("collector", &["--check"], "many/collector.toml"),
    ("receiver", &["--check"], "many/receiver.toml"),
    ("aggregator", &["--check"], "many/aggregator.toml"),
    ("pusher", &["--check"], "many/pusher.toml"),
    ("cti", &["--check"], "many/cti.toml"),
    ("console", &["--check"], "many/console.toml"),
    ("simulator", &["--check"], "many/simulator.toml"),
    ("tidegate", &["up", "--check"], "many/topics.toml"),
];
/// Read by `tidegate import`, which `odd_calls.rs` runs with it.
const OF_IMPORTS: [&str; 1] = ["anonymous-bank.toml"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config")
}

async fn read(program: &str, words: &[&str], file: &Path) -> Result<Output> {
    Ok(Command::new(binary(program).await?).args(words).arg("--config").arg(file).output().await?)
}

#[tokio::test]
async fn each_file_is_fine_for_its_program() -> Result<()> {
    for (program, words, files) in READERS {
        for name in files {
            let output = read(program, words, &folder().join(name)).await?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{program} does not take {name} ({}):\n{said}", output.status);
        }
    }
    Ok(())
}

#[tokio::test]
async fn each_file_of_many_machines_is_fine_for_its_program() -> Result<()> {
    for (program, words, file) in OF_MANY {
        let output = read(program, words, &folder().join(file)).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} does not take {file} ({}):\n{said}", output.status);
    }
    Ok(())
}

#[tokio::test]
async fn no_file_is_without_its_program() -> Result<()> {
    let alone = READERS.iter().flat_map(|(_, _, files)| files.iter().copied());
    let read: BTreeSet<_> = alone.chain(OF_MANY.map(|(_, _, file)| file)).chain(OF_IMPORTS).collect();
    for within in ["", "many/"] {
        for entry in std::fs::read_dir(folder().join(within))? {
            let entry = entry?;
            let name = format!("{within}{}", entry.file_name().to_string_lossy());
            ensure!(entry.file_type()?.is_dir() || read.contains(name.as_str()), "nobody checks deploy/config/{name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_mistyped_key_is_refused_with_its_line() -> Result<()> {
    let place = tempfile::TempDir::new()?;
    for (program, words, files) in READERS {
        let text = std::fs::read_to_string(folder().join(files[0]))?;
        let file = place.path().join(files[0]);
        std::fs::write(&file, format!("{text}\n[proces]\ncolour = \"red\"\n"))?;
        let output = read(program, words, &file).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(78), "{program} takes a wrong file ({}): {said}", output.status);
        let line = format!("{}:{}", file.display(), text.lines().count() + 2);
        ensure!(said.contains(&line) && said.contains("[process]"), "{program} does not name {line}: {said}");
    }
    Ok(())
}
