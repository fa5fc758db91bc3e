//! Who has a store open: any number of processes together, or one alone.
//!
//! SQLite's own locks are for moments; what a command like `tidegate rebuild` does (putting another file in the store's
//! place) must find nobody there from its begin to its end. The lock is the kernel's, on a file beside the store: it
//! goes with its process, however that ends.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::{Error, Result};

/// How long others keep out. Held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Beside others, or alone. The directories are made when they are not there, as a journal's are.
    pub(crate) fn take(store: &Path, alone: bool) -> Result<Lock> {
        let path = beside(store);
        let failed = |error: std::io::Error| Error::NotAStore {
            path: store.to_owned(),
            reason: format!("{}: {error}", path.display()),
        };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        let taken = if alone { file.try_lock() } else { file.try_lock_shared() };
        match taken {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { store: store.display().to_string(), alone: !alone }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// The lock's file.
pub fn beside(store: &Path) -> std::path::PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push("-lock");
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alone_finds_nobody_and_lets_nobody_in() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("made/for/it/store.db");
        let first = Lock::take(&store, false).unwrap();
        let second = Lock::take(&store, false).unwrap();
        assert!(matches!(Lock::take(&store, true), Err(Error::InUse { alone: false, .. })));
        drop((first, second));
        let alone = Lock::take(&store, true).unwrap();
        let refused = Lock::take(&store, false).unwrap_err().to_string();
        assert!(refused.contains("store.db") && refused.contains("alone"), "{refused}");
        drop(alone);
        Lock::take(&store, false).unwrap();
    }
}
