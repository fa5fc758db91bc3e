//! Copying the write-ahead log into the file, beside the writer.
//!
//! SQLite would do it within a commit: all who waited for that commit waited until 16 MiB were copied and synced, a tenth of a second and
//! more. Here a thread with a connection of its own copies what has come (`PASSIVE`: it waits for nobody, and nobody for it) and brings
//! it to the disk. Beneath a writer that never rests it never meets the log's end, and only there the log can begin anew: so when the
//! log is long enough and little of it is left, the writer copies that little between two commits.
//!
//! - Invariant: the log is synced before a page of it is copied, and the file before the log begins anew (SQLite's own order, with
//!   `synchronous` at `NORMAL` or `FULL`). What is synced here beside it only makes SQLite's last sync short.
//! - Invariant: a log does not grow without bound because the copier is slow: from [`Bounds::hard`] on the writer waits, and copies itself.
//!   Only a reader that stays in one transaction lets it grow, as long as it stays: what it reads must not be overwritten.
//! - Invariant: after a failed sync nothing more is written: what the disk holds is unknown.
//! - Of several processes one copies at a time. That another one does is no error.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use super::Options;
use super::file::{connect, fault, is_disk_failure};
use crate::{Error, Result, metering};

/// How long the writer waits for readers who are still in the log, before it goes on with the old one.
const PATIENCE: Duration = Duration::from_millis(10);
/// Passes of the copier in one go.
const PASSES: usize = 8;
/// How long the copier rests when somebody's transaction keeps it from copying.
const HINDERED: Duration = Duration::from_millis(20);
/// How long it rests after a failure.
const FAILED: Duration = Duration::from_secs(1);

/// How long the log is and how much of it the file has, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Log {
    pages: i64,
    copied: i64,
}

impl Log {
    /// A look; it copies nothing and takes no lock.
    fn look(conn: &Connection) -> rusqlite::Result<Log> {
        Self::ask(conn, "PRAGMA wal_checkpoint(NOOP)")
    }

    fn ask(conn: &Connection, sql: &str) -> rusqlite::Result<Log> {
        // Negative where the log cannot be looked at just now, because somebody else copies.
        let row = conn.prepare_cached(sql)?.query_row([], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))?;
        Ok(Log { pages: row.0.max(0), copied: row.1.max(0) })
    }

    /// Pages that wait to be copied.
    const fn waits(self) -> i64 {
        self.pages - self.copied
    }
}

/// When what is done, in pages.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// A log so long is to begin anew. The longer, the less often a page is copied that changes again and again.
    anew: i64,
}

impl Bounds {
    /// The copier is called when so many wait to be copied: by default 4 MiB, some ten milliseconds of a disk's time.
    const fn copy(self) -> i64 {
        self.anew / 4
    }

    /// Of a log that is to begin anew the copier leaves no more than this.
    const fn near(self) -> i64 {
        self.anew / 64
    }

    /// The writer itself copies so many, and begins anew.
    const fn rest(self) -> i64 {
        self.anew / 16
    }

    /// A log so long is too long: the writer waits for the copier, and copies the rest, however much. By default 64 MiB, as
    /// `journal_size_limit`.
    const fn hard(self) -> i64 {
        self.anew * 4
    }

    /// Whether there is something for the copier.
    const fn call_for_copying(self, log: Log) -> bool {
        log.waits() >= self.copy() || (log.pages >= self.anew && log.waits() > self.near())
    }
}

/// What writer and copier share.
#[derive(Debug, Default)]
struct Shared {
    /// Held by who copies.
    turn: Mutex<()>,
    /// Why nothing more may be written.
    failed: OnceLock<String>,
}

impl Shared {
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: somebody copies.
    fn turn_now(&self) -> Option<MutexGuard<'_, ()>> {
        match self.turn.try_lock() {
            Ok(turn) => Some(turn),
            Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// The writer's part.
#[derive(Debug)]
pub(crate) struct Tending {
    call: SyncSender<()>,
    bounds: Bounds,
    shared: Arc<Shared>,
    busy: Duration,
    /// How long the log was when it last should have begun anew.
    tried: i64,
    /// How long it was at the last look.
    looked: i64,
}

/// The thread's part.
#[derive(Debug)]
pub(crate) struct Copier {
    path: PathBuf,
    bounds: Bounds,
    calls: Receiver<()>,
    shared: Arc<Shared>,
}

/// Both.
pub(crate) fn new(options: &Options) -> (Tending, Copier) {
    let (call, calls) = sync_channel(1);
    let (shared, bounds) = (Arc::new(Shared::default()), Bounds { anew: i64::from(options.log_pages.max(64)) });
    let tending = Tending { call, bounds, shared: Arc::clone(&shared), busy: options.busy, tried: 0, looked: 0 };
    (tending, Copier { path: options.path.clone(), bounds, calls, shared })
}

impl Tending {
    /// Why nothing more may be written, if so.
    pub(crate) fn failed(&self) -> Option<&str> {
        self.shared.failed.get().map(String::as_str)
    }

    /// Between two commits: calls the copier, or does what only the writer can.
    pub(crate) fn tend(&mut self, conn: &Connection) -> Result<()> {
        let tended = self.tend_log(conn);
        tended.map_err(|error| if is_disk_failure(&error) { Error::Poisoned(error.to_string()) } else { fault(error) })
    }

    fn tend_log(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let log = Log::look(conn)?;
        metering::log_pages(log.pages);
        if log.pages < self.tried {
            self.tried = 0;
        }
        let (shared, bounds) = (Arc::clone(&self.shared), self.bounds);
        // What the last commit wrote cannot have been copied yet: of large ones more is left to the writer.
        let left = bounds.rest().max(2 * (log.pages - self.looked));
        self.looked = log.pages;
        let turn = if log.pages >= (self.tried + bounds.copy()).max(bounds.hard()) {
            Some(shared.turn())
        } else if log.pages >= (self.tried + bounds.rest()).max(bounds.anew) && log.waits() <= left {
            shared.turn_now()
        } else {
            None
        };
        if turn.is_some() {
            self.tried = log.pages;
            conn.busy_timeout(PATIENCE)?;
            // It may end early because of others; then the log grows on, and this is repeated.
            let begun = Log::ask(conn, "PRAGMA wal_checkpoint(RESTART)");
            conn.busy_timeout(self.busy)?;
            return begun.map(drop);
        }
        if bounds.call_for_copying(log) {
            // Called already: it looks anew before it rests.
            let _ = self.call.try_send(());
        }
        Ok(())
    }
}

impl Copier {
    /// Copies when it is called, until the writer has ended.
    pub(crate) fn run(self) {
        let mut conn = None;
        while self.calls.recv().is_ok() {
            let copied = match conn.take().map_or_else(|| connect(&self.path, PATIENCE, false), Ok) {
                Ok(opened) => self.copy(conn.insert(opened)),
                Err(error) => Err(error),
            };
            match copied {
                Ok(true) => {}
                Ok(false) => thread::sleep(HINDERED),
                Err(Error::Poisoned(cause)) => {
                    tracing::error!(cause, "the journal's disk failed while its log was copied; no more appends");
                    // The first cause stays.
                    let _ = self.shared.failed.set(cause);
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "the journal's log was not copied; it grows until that succeeds");
                    thread::sleep(FAILED);
                }
            }
        }
    }

    /// Copies until little is left. `false`: somebody keeps it from that.
    fn copy(&self, conn: &Connection) -> Result<bool> {
        let failed = |error| if is_disk_failure(&error) { Error::Poisoned(error.to_string()) } else { fault(error) };
        for _ in 0..PASSES {
            let turn = self.shared.turn();
            let before = Log::look(conn).map_err(failed)?;
            if !self.bounds.call_for_copying(before) {
                return Ok(true);
            }
            let after = Log::ask(conn, "PRAGMA wal_checkpoint(PASSIVE)").map_err(failed)?;
            if after.copied <= before.copied {
                return Ok(false);
            }
            // The next sync of SQLite, within the writer, would else have to write all of this.
            let synced = for_syncing(&self.path).and_then(File::sync_data);
            synced.map_err(|error| Error::Poisoned(format!("{}: {error}", self.path.display())))?;
            drop(turn);
        }
        Ok(true)
    }
}

/// A descriptor of the file, kept until the process ends: closing any of a file's descriptors would drop the locks that SQLite's
/// connections of this process have on it. One for each journal that the process ever copied in.
fn for_syncing(path: &Path) -> io::Result<&'static File> {
    static KEPT: Mutex<BTreeMap<(u64, u64), &'static File>> = Mutex::new(BTreeMap::new());
    let name = |about: &fs::Metadata| (about.dev(), about.ino());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = kept.get(&name(&fs::metadata(path)?)) {
        return Ok(file);
    }
    let file: &'static File = Box::leak(Box::new(File::open(path)?));
    kept.insert(name(&file.metadata()?), file);
    Ok(file)
}
