//! DuckDB in a process of its own, asked as often as we like; its start does not count.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context;
use serde::Deserialize;

use crate::ours::Counts;

/// A running DuckDB.
pub struct Duck {
    process: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What it can be asked.
#[derive(Clone, Copy)]
pub enum Ask {
    /// Two counts, by one group-by.
    Count,
    /// Calls rebuilt and rows of them: the work of a fold, as far as SQL says it well.
    Fold,
}

/// One run.
#[derive(Deserialize)]
pub struct Answer {
    /// Of DuckDB.
    pub version: String,
    /// By the clock.
    pub wall_s: f64,
    /// Of processors.
    pub cpu_s: f64,
    /// Queue, start of the half hour, offered, answered.
    counts: Vec<(String, i64, i64, i64)>,
}

impl Answer {
    /// What it counted.
    pub fn counts(&self) -> Counts {
        let counts = self.counts.iter().map(|(queue, start, offered, answered)| {
            let count = [*offered, *answered];
            ((queue.clone(), *start), count)
        });
        counts.collect()
    }
}

impl Duck {
    /// Starts it on a file.
    pub fn start(file: &Path, threads: usize) -> anyhow::Result<Duck> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/duckdb.py");
        let mut process = Command::new(python())
            .arg(script)
            .arg(file)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("DuckDB cannot be started: run bench/peers/fetch first")?;
        let asks = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().context("no output")?);
        Ok(Duck { process, asks, answers })
    }

    /// Asks, and waits for the answer.
    pub fn run(&mut self, ask: Ask) -> anyhow::Result<Answer> {
        let word: &[u8] = match ask {
            Ask::Count => b"count\n",
            Ask::Fold => b"fold\n",
        };
        self.asks.as_mut().context("it was stopped")?.write_all(word)?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("DuckDB answered {line:?}"))
    }
}

impl Drop for Duck {
    fn drop(&mut self) {
        self.asks = None; // it ends when nobody can ask any more
        let _ = self.process.wait();
    }
}

/// Beside the build that we are of: `target/peers`.
fn python() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    let target = exe.ancestors().nth(2).map_or_else(PathBuf::new, Path::to_path_buf);
    target.join("peers/python/bin/python")
}
