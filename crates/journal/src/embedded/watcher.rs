//! The watching thread: notices within milliseconds what other processes wrote, and keeps the leases of this process alive.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc::WeakSender;

use super::Options;
use super::books::{self, Head};
use super::file::{connect, fault};
use super::ledger::Moved;
use super::writer::{Job, Work};
use crate::Result;
use crate::board::Board;

/// How often the file is looked at. A look is one read of shared memory, some microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(4);

/// The watching thread's own connection.
pub(crate) struct Watcher {
    conn: Connection,
}

impl Watcher {
    pub(crate) fn connect(path: &Path) -> Result<Self> {
        // A short patience: the next look is near.
        Ok(Self { conn: connect(path, Duration::from_millis(50), false)? })
    }

    /// Looks and keeps until the board is closed.
    pub(crate) fn run(self, board: &Board, queue: &WeakSender<Job>, options: &Options) {
        let mut version = None;
        let keep_every = (options.lease / 3).max(LOOK_EVERY);
        let mut since_keep = Duration::ZERO;
        while !board.is_closed() {
            if version.is_none() || board.is_watched() {
                self.look(board, &mut version);
            }
            thread::sleep(LOOK_EVERY);
            since_keep += LOOK_EVERY;
            if since_keep >= keep_every {
                since_keep = Duration::ZERO;
                let alive = board.alive(options.clock.monotonic(), options.max_poll);
                if let (false, Some(queue)) = (alive.is_empty(), queue.upgrade()) {
                    // A full queue means that the writer is busy; a lease outlives two missed rounds.
                    let _ = queue.try_send(Job { work: Work::Keep(alive), reply: None, bytes: None });
                }
            }
        }
    }

    /// Reads ends and generations if any connection but this one wrote since the last look. A failed look is repeated by the next.
    fn look(&self, board: &Board, version: &mut Option<i64>) {
        let Ok(now) = self.conn.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)) else { return };
        if *version == Some(now) {
            return;
        }
        if let Ok(moved) = self.read() {
            *version = Some(now);
            board.publish(&moved.ends, &moved.generations);
        }
    }

    fn read(&self) -> Result<Moved> {
        self.conn.execute_batch("BEGIN").map_err(fault)?;
        let heads = Head::load_all(&self.conn);
        let generations = books::generations(&self.conn);
        self.conn.execute_batch("ROLLBACK").map_err(fault)?;
        let ends = heads?.into_iter().map(|head| ((head.stream, head.partition), head.end)).collect();
        Ok(Moved { ends, generations: generations?, ..Moved::default() })
    }
}
