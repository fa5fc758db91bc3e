//! The file: how it is created, recognised and opened, and what its errors mean.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use service::mark::Seen;

use super::books::{self, Head, Slots};
use crate::{Error, Result, Stream, Topology};

/// Older ones can lose committed transactions when two connections reset the WAL at the same moment.
const SQLITE_NEEDED: (i32, &str) = (3_051_003, "3.51.3");
/// "TGJL": marks the file as a journal for us, and for `file(1)`.
const APPLICATION_ID: i64 = 0x5447_4A4C;
/// The version of the tables below.
const VERSION: i64 = 1;

/// A record's place is its primary key: a table without rowid keeps a partition's records side by side, in the order in which
/// they are read. Every row has its seal in `x`. `head.end` is the next offset, taken and moved within the transaction that
/// appends, so that several processes can share the file.
const TABLES: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE head (slot INTEGER PRIMARY KEY, stream TEXT NOT NULL, part INTEGER NOT NULL, earliest INTEGER NOT NULL,
        end INTEGER NOT NULL, records INTEGER NOT NULL, bytes INTEGER NOT NULL, x INTEGER NOT NULL);
    CREATE TABLE record (slot INTEGER NOT NULL, o INTEGER NOT NULL, at INTEGER NOT NULL, k BLOB NOT NULL, v BLOB NOT NULL,
        x INTEGER NOT NULL, PRIMARY KEY (slot, o)) WITHOUT ROWID;
    CREATE TABLE position (grp TEXT NOT NULL, slot INTEGER NOT NULL, o INTEGER NOT NULL, x INTEGER NOT NULL,
        PRIMARY KEY (grp, slot)) WITHOUT ROWID;
    CREATE TABLE state (grp TEXT NOT NULL, k BLOB NOT NULL, v BLOB NOT NULL, x INTEGER NOT NULL, PRIMARY KEY (grp, k)) WITHOUT ROWID;
    CREATE TABLE grp (name TEXT PRIMARY KEY, generation INTEGER NOT NULL, body TEXT NOT NULL, x INTEGER NOT NULL) WITHOUT ROWID;
";

/// Opens a connection to an existing journal or a file to become one.
pub(crate) fn connect(path: &Path, busy: Duration, create: bool) -> Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let conn = Connection::open_with_flags(path, flags).map_err(fault)?;
    conn.busy_timeout(busy).map_err(fault)?;
    conn.set_prepared_statement_cache_capacity(64);
    // No mmap: a torn page must be an error, not a signal. Cell checks find damaged pages before they are believed. The log is copied by
    // the copier, not within a commit.
    conn.execute_batch(
        "PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF; PRAGMA cache_size = -8192; \
         PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 0;",
    )
    .map_err(fault)?;
    Ok(conn)
}

/// Opens the writer's connection, creating the journal when the file is new. Several processes may do this at the same time.
pub(crate) fn prepare(path: &Path, topology: &Topology, busy: Duration) -> Result<(Connection, Slots, String)> {
    if rusqlite::version_number() < SQLITE_NEEDED.0 {
        return Err(Error::SqliteTooOld { found: rusqlite::version().to_owned(), needed: SQLITE_NEEDED.1 });
    }
    let (seen, new) = (Seen::beside(path).map_err(|e| of_mark(path, &e))?, !path.exists());
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(|e| Error::Storage(format!("{}: {e}", parent.display())))?;
    }
    let conn = connect(path, busy, true).map_err(|error| not_a_database(error, path))?;
    recognise(&conn, path)?;
    write_ahead(&conn, busy)?;
    let created = transaction(&conn, || create(&conn, topology))?;
    if new || created {
        // What makes it a journal is in the file itself from the beginning, and no cut of a log can make it a new one.
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(fault)?;
        sync_directory(path)?;
    }
    books_are_whole(&conn)?;
    let slots = Slots::load(&conn, topology)?;
    let identity: String =
        conn.query_row("SELECT value FROM meta WHERE name = 'identity'", [], |row| row.get(0)).map_err(fault)?;
    let last = books::commits(&conn)?;
    let lost = if new { seen.number() } else { seen.ahead_of(&identity, last) };
    match lost {
        Some(acknowledged) => {
            // What is left of the log stays as it is, for whoever wants to put it right.
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(fault)?;
            Err(Error::Behind { acknowledged, last })
        }
        None => Ok((conn, slots, identity)),
    }
}

/// The mark beside the journal cannot be used.
pub(crate) fn of_mark(path: &Path, error: &std::io::Error) -> Error {
    Error::Storage(format!("the mark of {}: {error}", path.display()))
}

/// Checks the trees of the small tables. Their rows have seals, but a row that a damaged page hides is simply not there: a position, a piece
/// of state. (Records need no such look: their offsets have no holes.)
fn books_are_whole(conn: &Connection) -> Result<()> {
    for table in ["meta", "head", "position", "state", "grp"] {
        let check = format!("PRAGMA integrity_check({table})");
        let said: String = conn.query_row(&check, [], |row| row.get(0)).map_err(fault)?;
        if said != "ok" {
            return Err(Error::Corrupt { what: format!("table {table}"), reason: said.replace('\n', "; ") });
        }
    }
    Ok(())
}

/// Runs `work` in a write transaction of its own.
fn transaction<T>(conn: &Connection, work: impl FnOnce() -> Result<T>) -> Result<T> {
    conn.execute_batch("PRAGMA synchronous = FULL; BEGIN IMMEDIATE").map_err(fault)?;
    let done = work().and_then(|done| conn.execute_batch("COMMIT").map_err(fault).map(|()| done));
    if done.is_err() && !conn.is_autocommit() {
        conn.execute_batch("ROLLBACK").map_err(fault)?;
    }
    done
}

/// A first page that SQLite cannot read: either no journal at all, or one that was hit there.
fn not_a_database(error: Error, path: &Path) -> Error {
    match error {
        Error::Corrupt { reason, .. } => Error::NotAJournal { path: path.to_owned(), reason },
        other => other,
    }
}

/// Refuses another program's file before anything is written into it. All is read of one moment: another process may be making the
/// journal just now, and its tables without its mark would look like somebody else's.
fn recognise(conn: &Connection, path: &Path) -> Result<()> {
    let not = |reason: String| Error::NotAJournal { path: path.to_owned(), reason };
    let moment = conn.unchecked_transaction().map_err(fault)?;
    let number = |sql: &str| moment.query_row(sql, [], |row| row.get::<_, i64>(0));
    // The tables first: a transaction begins with the first row that is read, and a pragma reads none of the tables.
    let found = number("SELECT count(*) FROM sqlite_schema")
        .and_then(|tables| Ok((number("PRAGMA application_id")?, number("PRAGMA user_version")?, tables)));
    let (id, version, tables) = found.map_err(|error| not_a_database(fault(error), path))?;
    match (id, version) {
        (APPLICATION_ID, VERSION) => Ok(()),
        (APPLICATION_ID, other) => Err(not(format!("its format is {other}, and this version reads {VERSION}"))),
        (0, 0) if tables == 0 => Ok(()),
        _ => Err(not("it is a SQLite file of another program".to_owned())),
    }
}

/// Turns the write-ahead log on. SQLite answers "busy" here without waiting when another process does the same.
fn write_ahead(conn: &Connection, busy: Duration) -> Result<()> {
    let pause = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    loop {
        match conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)).map_err(fault) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                return Err(Error::Storage(format!(
                    "the file system allows no write-ahead log (journal mode {mode}): use a local disk"
                )));
            }
            Err(Error::Busy) if waited < busy => {
                std::thread::sleep(pause);
                waited += pause;
            }
            Err(other) => return Err(other),
        }
    }
}

/// Creates the tables, or adds the streams that an older version did not know. Whether it changed anything.
fn create(conn: &Connection, topology: &Topology) -> Result<bool> {
    let ready: Option<String> = conn
        .query_row("SELECT name FROM sqlite_schema WHERE name = 'record'", [], |row| row.get(0))
        .optional()
        .map_err(fault)?;
    if ready.is_none() {
        conn.execute_batch(TABLES).map_err(fault)?;
        conn.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"))
            .map_err(fault)?;
        conn.execute("INSERT INTO meta (name, value) VALUES ('identity', lower(hex(randomblob(16))))", [])
            .map_err(fault)?;
    }
    let mut slot: i64 =
        conn.query_row("SELECT coalesce(max(slot), -1) FROM head", [], |row| row.get(0)).map_err(fault)?;
    let before = slot;
    for stream in Stream::ALL {
        let known: i64 = conn
            .query_row("SELECT count(*) FROM head WHERE stream = ?1", [stream.name()], |row| row.get(0))
            .map_err(fault)?;
        if known > 0 {
            continue;
        }
        for partition in 0..topology.partitions(stream) {
            slot += 1;
            Head { slot, stream, partition, earliest: 0, end: 0, records: 0, bytes: 0 }.save(conn)?;
        }
    }
    Ok(slot != before)
}

/// Makes the new file's name durable: SQLite syncs the file, and the directory only for its logs.
fn sync_directory(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let synced = fs::File::open(parent).and_then(|directory| directory.sync_all());
    synced.map_err(|e| Error::Storage(format!("{}: {e}", parent.display())))
}

/// What an error of SQLite means to us.
#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
pub(crate) fn fault(error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Busy,
        // Unknown: a statement of ours that no longer fits the tables.
        Some(
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation | ErrorCode::Unknown,
        ) => Error::Corrupt { what: "file".to_owned(), reason: error.to_string() },
        Some(_) => Error::Storage(error.to_string()),
        // A column of another type, a number out of range: the row is not what we wrote.
        None => Error::Corrupt { what: "file".to_owned(), reason: error.to_string() },
    }
}

/// Whether the disk itself failed, so that a commit under way may or may not have happened.
pub(crate) fn is_disk_failure(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}

/// A number as SQLite keeps it. Offsets and sizes stay far below the border.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that was kept by [`int`]. A negative one is damage.
pub(crate) fn num(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}
