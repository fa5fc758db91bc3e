//! The mark: how far the journal was acknowledged, kept in a small file beside it (`journal.db-mark`).
//!
//! A write-ahead log that is cut, deleted or hit in its middle is a *valid shorter log* to SQLite: it forgets the end and says nothing, or,
//! where the end had been copied into the file already, mixes old pages with new ones. Nothing inside the database can notice that. The mark
//! can: it holds the number of the last transaction that was synced, written after the sync and before the answer. A journal that ends before its mark
//! is refused ([`Error::Behind`]), because it has lost what was acknowledged.
//!
//! - Invariant: the mark is never ahead of what the disk holds: it is written after the sync. So it needs no sync of its own, and a
//!   power cut can only make it older, that is weaker, never wrong.
//! - Invariant: an absent or unreadable mark refuses nothing.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"TGJMARK1";
const BYTES: usize = 32;

/// The mark of one journal, open for writing.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
    path: PathBuf,
    journal: u64,
}

fn beside(journal: &Path) -> PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push("-mark");
    name.into()
}

fn read(path: &Path) -> Result<Option<[u8; BYTES]>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(bytes.try_into().ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Storage(format!("{}: {error}", path.display()))),
    }
}

/// The number of the transaction that the mark beside a journal stands at, if it is sound. To be read *before* the journal is: other
/// processes go on.
pub(crate) struct Seen(Option<(u64, u64)>);

impl Seen {
    pub(crate) fn beside(journal: &Path) -> Result<Self> {
        let path = beside(journal);
        let bytes = read(&path)?;
        let number = |bytes: &[u8], at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or(0);
        let seen = bytes.filter(|bytes| bytes.starts_with(MAGIC) && number(bytes, 24) == xxh3_64(&bytes[..24]));
        if bytes.is_some() && seen.is_none() {
            tracing::warn!(path = %path.display(), "the journal's mark cannot be read, and is written anew");
        }
        Ok(Self(seen.map(|bytes| (number(&bytes, 8), number(&bytes, 16)))))
    }

    /// Refuses a journal whose last transaction is older than the mark. The mark of another journal says nothing about this one.
    pub(crate) fn check(&self, identity: &str, last: u64) -> Result<()> {
        match self.0 {
            Some((journal, acknowledged)) if journal == xxh3_64(identity.as_bytes()) && acknowledged > last => {
                Err(Error::Behind { acknowledged, last })
            }
            _ => Ok(()),
        }
    }
}

impl Mark {
    /// Opens the mark for writing, creating it when it is not there.
    pub(crate) fn open(journal: &Path, identity: &str) -> Result<Self> {
        let path = beside(journal);
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(|error| Error::Storage(format!("{}: {error}", path.display())))?;
        Ok(Self { file, path, journal: xxh3_64(identity.as_bytes()) })
    }

    /// Moves the mark. Of several processes an older one may write later: the mark is then weaker, not wrong. A mark that cannot be
    /// written weakens what a damaged log is noticed by, and is no reason to refuse events.
    pub(crate) fn move_to(&self, commit: u64) {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.journal.to_le_bytes());
        bytes[16..24].copy_from_slice(&commit.to_le_bytes());
        let seal = xxh3_64(&bytes[..24]);
        bytes[24..].copy_from_slice(&seal.to_le_bytes());
        if let Err(error) = self.file.write_all_at(&bytes, 0) {
            tracing::warn!(path = %self.path.display(), %error, "the journal's mark cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_behind_its_mark_is_refused_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("journal.db");
        assert!(Seen::beside(&journal).unwrap().check("a", 0).is_ok(), "no mark, no refusal");
        let mark = Mark::open(&journal, "a").unwrap();
        mark.move_to(7);
        let seen = Seen::beside(&journal).unwrap();
        assert!(seen.check("a", 7).is_ok());
        assert!(seen.check("b", 0).is_ok(), "the mark of another journal");
        assert!(matches!(seen.check("a", 6), Err(Error::Behind { acknowledged: 7, last: 6 })));
    }

    #[test]
    fn a_damaged_mark_refuses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("journal.db");
        Mark::open(&journal, "a").unwrap().move_to(7);
        let path = beside(&journal);
        let sound = std::fs::read(&path).unwrap();
        for at in 0..BYTES {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x40;
            std::fs::write(&path, bytes).unwrap();
            assert!(Seen::beside(&journal).unwrap().check("a", 0).is_ok(), "byte {at}");
        }
        std::fs::write(&path, &sound[..BYTES - 1]).unwrap();
        assert!(Seen::beside(&journal).unwrap().check("a", 0).is_ok(), "a short file");
    }
}
