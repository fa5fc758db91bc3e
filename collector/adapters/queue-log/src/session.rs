//! The session: an import in time order, or a file followed as it grows.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use adapter::{Adapter, Batch, Context, Fault, Session, recording};
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use service::Clock;
use service::config::Problems;

use crate::config::Config;
use crate::line::{LINE_BYTES_MAX, QueueLogLine};
use crate::translate::{Memory, Translator};

/// The adapter.
pub struct QueueLog;

/// Either way of reading.
pub enum Reading {
    /// What is in the files.
    Import(Import),
    /// What is written to the file.
    Follow(Follow),
}

#[async_trait]
impl Adapter for QueueLog {
    const KIND: &'static str = "queue-log";
    type Config = Config;
    type Plan = Config;
    type Session = Reading;

    fn recording(plan: &Config) -> bool {
        !plan.follow
    }

    fn plan(config: Config) -> Result<Config, Problems> {
        Ok(config)
    }

    async fn connect(plan: &Config, context: Context) -> Result<Reading, Fault> {
        if plan.follow {
            return Ok(Reading::Follow(Follow::open(plan, &context)?));
        }
        let plan = plan.clone();
        Ok(Reading::Import(recording::whole(move || Import::read(&plan)).await?))
    }
}

#[async_trait]
impl Session for Reading {
    async fn next(&mut self, max: usize) -> Result<Batch, Fault> {
        match self {
            Reading::Import(import) => Ok(import.next(max)),
            Reading::Follow(follow) => follow.next(max).await,
        }
    }
}

/// All lines of all files, sorted by time; lines of one second stay in the order of the file.
pub struct Import {
    lines: std::vec::IntoIter<(QueueLogLine, String)>,
    malformed: Vec<(Bytes, String)>,
    translator: Translator,
    given: u64,
    total: u64,
}

impl Import {
    fn read(config: &Config) -> Result<Import, Fault> {
        let (mut lines, mut malformed) = (Vec::new(), Vec::new());
        for path in &config.paths {
            let refused = |e: &dyn std::fmt::Display| recording::refused(path, e);
            let mut reader = recording::open(path)?;
            let mut bytes = Vec::new();
            for number in 1_u64.. {
                bytes.clear();
                if reader.read_until(b'\n', &mut bytes).map_err(|e| refused(&e))? == 0 {
                    break;
                }
                match parsed(&bytes) {
                    None => {}
                    Some(Ok(line)) => lines.push((line, String::from_utf8_lossy(&bytes).trim_end().to_owned())),
                    Some(Err(why)) => malformed.push(aside(&bytes, format!("{} line {number}: {why}", path.display()))),
                }
                if lines.len() > config.lines_max {
                    return Err(refused(&format!(
                        "more than lines_max = {} lines; raise it or import fewer files",
                        config.lines_max
                    )));
                }
            }
        }
        lines.sort_by_key(|(line, _)| line.at);
        let total = lines.len() as u64;
        let translator = Translator::new(Memory::default(), config.agents.clone());
        Ok(Import { lines: lines.into_iter(), malformed, translator, given: 0, total })
    }

    fn next(&mut self, max: usize) -> Batch {
        let mut batch = Batch { malformed: std::mem::take(&mut self.malformed), ..Batch::default() };
        while batch.facts.len() < max {
            let Some((line, text)) = self.lines.next() else {
                batch.facts.extend(self.translator.finish());
                batch.done = true;
                break;
            };
            self.given += 1;
            batch.facts.extend(self.translator.facts(&text, &line));
        }
        batch.progress = Some((self.given, self.total));
        batch
    }
}

/// Where a followed file was left.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Place {
    inode: u64,
    offset: u64,
}

/// A file followed as it grows.
pub struct Follow {
    path: PathBuf,
    file: BufReader<File>,
    place: Place,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
    translator: Translator,
    poll: Duration,
    clock: Clock,
}

const PLACE: &str = "place";
const MEMORY: &str = "memory";

impl Follow {
    fn open(config: &Config, context: &Context) -> Result<Follow, Fault> {
        let path = config.paths.first().cloned().unwrap_or_default();
        let known = |key: &str| context.known.state.get(key);
        let place: Place = known(PLACE).and_then(|b| serde_json::from_slice(b).ok()).unwrap_or_default();
        let memory: Memory = known(MEMORY).and_then(|b| serde_json::from_slice(b).ok()).unwrap_or_default();
        let mut follow = Follow {
            file: BufReader::new(File::open(&path).map_err(|e| Fault::Transient(format!("{}: {e}", path.display())))?),
            translator: Translator::new(memory, config.agents.clone()),
            place,
            partial: Vec::new(),
            poll: config.poll.duration(),
            clock: context.clock.clone(),
            path,
        };
        let now = follow.file.get_ref().metadata()?;
        if follow.place.inode == now.ino() && follow.place.offset <= now.len() {
            follow.file.seek(SeekFrom::Start(follow.place.offset))?;
        } else {
            follow.place = Place { inode: now.ino(), offset: 0 };
        }
        Ok(follow)
    }

    async fn next(&mut self, max: usize) -> Result<Batch, Fault> {
        let mut batch = self.read(max)?;
        if batch.facts.is_empty() && batch.malformed.is_empty() {
            self.clock.sleep(self.poll).await;
            batch = self.read(max)?;
        }
        Ok(batch)
    }

    /// What can be read now. Not cancelled in the middle: it does not wait.
    fn read(&mut self, max: usize) -> Result<Batch, Fault> {
        let mut batch = Batch::default();
        let mut lines = 0;
        while lines < max {
            let read = self.file.read_until(b'\n', &mut self.partial)?;
            if read == 0 && !self.rotated()? {
                break;
            }
            if !self.partial.ends_with(b"\n") {
                continue;
            }
            lines += 1;
            let bytes = std::mem::take(&mut self.partial);
            self.place.offset += bytes.len() as u64;
            match parsed(&bytes) {
                None => {}
                Some(Ok(line)) => batch.facts.extend(self.translator.facts(&String::from_utf8_lossy(&bytes), &line)),
                Some(Err(why)) => batch.malformed.push(aside(&bytes, why)),
            }
        }
        if lines > 0 {
            let place = serde_json::to_vec(&self.place).map_err(|e| Fault::Bug(e.to_string()))?;
            let memory = serde_json::to_vec(&self.translator.memory).map_err(|e| Fault::Bug(e.to_string()))?;
            batch.state = vec![(PLACE.to_owned(), Some(place.into())), (MEMORY.to_owned(), Some(memory.into()))];
        }
        Ok(batch)
    }

    /// At the end: another file may stand under the name by now, or the same one begun anew.
    fn rotated(&mut self) -> Result<bool, Fault> {
        let Ok(now) = std::fs::metadata(&self.path) else { return Ok(false) };
        let shorter = now.ino() == self.place.inode && now.len() < self.place.offset;
        if now.ino() == self.place.inode && !shorter {
            return Ok(false);
        }
        self.file = BufReader::new(File::open(&self.path)?);
        self.place = Place { inode: self.file.get_ref().metadata()?.ino(), offset: 0 };
        self.partial.clear();
        Ok(true)
    }
}

/// A line, or why it makes no sense; an empty one is nothing.
fn parsed(bytes: &[u8]) -> Option<Result<QueueLogLine, String>> {
    if bytes.trim_ascii().is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(bytes);
    Some(QueueLogLine::parse(&text).map_err(|e| e.to_string()))
}

fn aside(bytes: &[u8], why: String) -> (Bytes, String) {
    (Bytes::copy_from_slice(&bytes[..bytes.len().min(LINE_BYTES_MAX)]), why)
}
