//! The mark of a database: a small file beside it (`journal.db-mark`) that says how far it certainly was on disk.
//!
//! A write-ahead log that is cut, deleted or hit in its middle is a *valid shorter log* to SQLite: it forgets the end and says
//! nothing, or, where the end had been copied into the file already, mixes old pages with new ones. Nothing inside the database can
//! notice that. The mark can: it holds the number of a transaction that was synced. A database whose last transaction is older has lost
//! something, and its owner refuses it by name.
//!
//! - Invariant: the mark is never ahead of what the disk holds: it is moved after the sync. So it needs no sync of its own, and a power
//!   cut can only make it older, that is weaker, never wrong. Of several processes an older one may move it last: weaker again.
//! - Invariant: an absent or unreadable mark, or one of another database, refuses nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 8] = b"TGMARK01";
const BYTES: usize = 32;

/// The mark of one database, open for writing.
#[derive(Debug)]
pub struct Mark {
    file: File,
    path: PathBuf,
    owner: u64,
}

/// What a mark said. To be read *before* the database is opened: other processes go on, and the database may only be ahead.
#[derive(Clone, Copy, Debug)]
pub struct Seen(Option<(u64, u64)>);

/// The path of the mark beside a database.
pub fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-mark");
    name.into()
}

impl Seen {
    /// Reads the mark beside a database.
    ///
    /// # Errors
    /// When a file is there and cannot be read at all.
    pub fn beside(database: &Path) -> io::Result<Self> {
        let path = beside(database);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self(None)),
            Err(error) => return Err(error),
        };
        let seen = <[u8; BYTES]>::try_from(bytes).ok().and_then(|bytes| decode(&bytes));
        if seen.is_none() {
            tracing::warn!(path = %path.display(), "the mark cannot be read; it is written anew");
        }
        Ok(Self(seen))
    }

    /// The number of the mark, whosever it is: for a database that should be there and is not.
    pub fn number(&self) -> Option<u64> {
        self.0.map(|(_, number)| number)
    }

    /// The number of the mark, if it is the mark of this database (by its identity) and ahead of its last transaction.
    pub fn ahead_of(&self, identity: &str, last: u64) -> Option<u64> {
        let (owner, number) = self.0?;
        (owner == xxh3_64(identity.as_bytes()) && number > last).then_some(number)
    }
}

fn decode(bytes: &[u8; BYTES]) -> Option<(u64, u64)> {
    let number = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or(0);
    (bytes.starts_with(MAGIC) && number(24) == xxh3_64(&bytes[..24])).then(|| (number(8), number(16)))
}

impl Mark {
    /// Opens the mark for writing, creating it when it is not there.
    ///
    /// # Errors
    /// When the file cannot be opened or made.
    pub fn open(database: &Path, identity: &str) -> io::Result<Self> {
        let path = beside(database);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        Ok(Self { file, path, owner: xxh3_64(identity.as_bytes()) })
    }

    /// Moves the mark to a transaction that the disk has. A mark that cannot be written only weakens what damage is noticed by:
    /// it is logged, and no reason to stop.
    pub fn move_to(&self, number: u64) {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.owner.to_le_bytes());
        bytes[16..24].copy_from_slice(&number.to_le_bytes());
        let seal = xxh3_64(&bytes[..24]);
        bytes[24..].copy_from_slice(&seal.to_le_bytes());
        if let Err(error) = self.file.write_all_at(&bytes, 0) {
            tracing::warn!(path = %self.path.display(), %error, "the mark cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_database_behind_its_own_mark_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("journal.db");
        assert_eq!(Seen::beside(&database).unwrap().ahead_of("a", 0), None, "no mark, no refusal");
        let mark = Mark::open(&database, "a").unwrap();
        mark.move_to(9);
        mark.move_to(7);
        let seen = Seen::beside(&database).unwrap();
        assert_eq!(seen.ahead_of("a", 7), None);
        assert_eq!(seen.ahead_of("b", 0), None, "the mark of another database");
        assert_eq!(seen.ahead_of("a", 6), Some(7));
    }

    #[test]
    fn a_damaged_mark_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("journal.db");
        Mark::open(&database, "a").unwrap().move_to(7);
        let path = beside(&database);
        let sound = std::fs::read(&path).unwrap();
        for at in 0..BYTES {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x40;
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Seen::beside(&database).unwrap().ahead_of("a", 0), None, "byte {at}");
        }
        std::fs::write(&path, &sound[..BYTES - 1]).unwrap();
        assert_eq!(Seen::beside(&database).unwrap().ahead_of("a", 0), None, "a short file");
    }
}
