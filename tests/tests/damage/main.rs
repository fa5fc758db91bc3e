//! Damaged files: the databases' write-ahead logs cut at every byte, and flipped bits anywhere. Whatever is read is exactly what was
//! written, or it is refused by name; nothing wrong is ever answered, and nothing panics.
//!
//! By default a part of it, in seconds. `TIDEGATE_CUTS=all` cuts at each of the last 65,536 bytes and writes the finding `cuts`;
//! `TIDEGATE_FLIPS=n` makes so many flips of each kind and writes the finding `flips`; `TIDEGATE_SEED=n` chooses other ones.
#![allow(clippy::disallowed_methods, reason = "these tests run in real time, and are told by the environment how long")]

mod cuts;
mod flips;
mod journals;
mod stores;

use anyhow::{Context as _, Result};
use std::path::Path;

/// A number from the environment.
fn number(name: &str, otherwise: u64) -> Result<u64> {
    std::env::var(name).map_or(Ok(otherwise), |text| text.parse().with_context(|| format!("{name}={text}")))
}

/// A directory of memory where there is one: what is opened tens of thousands of times should not wait for a disk.
fn place() -> Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    Ok(if memory.is_dir() { tempfile::TempDir::new_in(memory) } else { tempfile::TempDir::new() }?)
}

/// The files of a database as bytes: the file, its log and its mark.
#[derive(Clone, Debug)]
struct Files {
    name: &'static str,
    file: Vec<u8>,
    log: Option<Vec<u8>>,
    mark: Option<Vec<u8>>,
}

impl Files {
    /// Copies what stands in a folder now; the database may be open.
    fn of(folder: &Path, name: &'static str) -> Result<Files> {
        let read = |suffix: &str| std::fs::read(folder.join(format!("{name}{suffix}"))).ok().filter(|b| !b.is_empty());
        let file = read("").with_context(|| format!("{name} is not there"))?;
        Ok(Files { name, file, log: read("-wal"), mark: read("-mark") })
    }

    /// Puts them into a folder, over what was there.
    fn put(&self, folder: &Path) -> Result<()> {
        let parts =
            [("", Some(&self.file)), ("-wal", self.log.as_ref()), ("-mark", self.mark.as_ref()), ("-shm", None)];
        for (suffix, bytes) in parts {
            let path = folder.join(format!("{}{suffix}", self.name));
            match bytes {
                Some(bytes) => std::fs::write(path, bytes)?,
                None => _ = std::fs::remove_file(path),
            }
        }
        Ok(())
    }
}
