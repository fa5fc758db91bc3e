//! The session: an import in time order, or a file followed as it grows.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use adapter::recording::{self, ASIDE_MAX, Line, Lines, SAMPLE_BYTES};
use adapter::{Adapter, Batch, Context, Fault, Session};
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
    left_out: u64,
    translator: Translator,
    given: u64,
    total: u64,
}

impl Import {
    fn read(config: &Config) -> Result<Import, Fault> {
        let (mut known, mut malformed, mut left_out) = (Vec::new(), Vec::new(), 0);
        for path in &config.paths {
            let refused = |e: &dyn std::fmt::Display| recording::refused(path, e);
            let mut lines = Lines::new(recording::open(path)?, LINE_BYTES_MAX);
            while let Some(line) = lines.any().map_err(|e| refused(&e))? {
                match parsed(&line) {
                    None => {}
                    Some(Ok(good)) => known.push((good, String::from_utf8_lossy(&line.bytes).trim_end().to_owned())),
                    Some(Err(_)) if malformed.len() == ASIDE_MAX => left_out += 1,
                    Some(Err(why)) => {
                        let why = format!("{} line {}: {why}", path.display(), line.number);
                        malformed.push(aside(&line, why));
                    }
                }
                if known.len() > config.lines_max {
                    return Err(refused(&format!(
                        "more than lines_max = {} lines; raise it or import fewer files",
                        config.lines_max
                    )));
                }
            }
        }
        known.sort_by_key(|(line, _)| line.at);
        let total = known.len() as u64;
        let translator = Translator::new(Memory::default(), config.agents.clone());
        Ok(Import { lines: known.into_iter(), malformed, left_out, translator, given: 0, total })
    }

    fn next(&mut self, max: usize) -> Batch {
        let mut batch = Batch {
            malformed: std::mem::take(&mut self.malformed),
            left_out: std::mem::take(&mut self.left_out),
            ..Batch::default()
        };
        while batch.facts.len() < max {
            let Some((line, text)) = self.lines.next() else {
                batch.facts.extend(self.translator.finish());
                batch.done = true;
                break;
            };
            self.given += 1;
            batch.facts.extend(self.translator.facts(&text, &line));
        }
        surplus(&mut self.translator, &mut batch);
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
    /// Holds the beginning of a line whose end is not written yet, in bounded memory.
    lines: Lines<BufReader<File>>,
    place: Place,
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
        let mut file = File::open(&path).map_err(|e| Fault::Transient(format!("{}: {e}", path.display())))?;
        let now = file.metadata()?;
        let place = if place.inode == now.ino() && place.offset <= now.len() {
            file.seek(SeekFrom::Start(place.offset))?;
            place
        } else {
            Place { inode: now.ino(), offset: 0 }
        };
        Ok(Follow {
            lines: Lines::new(BufReader::new(file), LINE_BYTES_MAX),
            translator: Translator::new(memory, config.agents.clone()),
            place,
            poll: config.poll.duration(),
            clock: context.clock.clone(),
            path,
        })
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
            let Some(line) = self.lines.ended()? else {
                if self.rotated()? {
                    continue;
                }
                break;
            };
            lines += 1;
            self.place.offset += line.span;
            match parsed(&line) {
                None => {}
                Some(Ok(good)) => {
                    batch.facts.extend(self.translator.facts(&String::from_utf8_lossy(&line.bytes), &good));
                }
                Some(Err(why)) => batch.malformed.push(aside(&line, why)),
            }
        }
        surplus(&mut self.translator, &mut batch);
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
        let file = File::open(&self.path)?;
        self.place = Place { inode: file.metadata()?.ino(), offset: 0 };
        self.lines = Lines::new(BufReader::new(file), LINE_BYTES_MAX);
        Ok(true)
    }
}

/// A line, or why it makes no sense; an empty one is nothing.
fn parsed(line: &Line) -> Option<Result<QueueLogLine, String>> {
    if let Some(len) = line.too_long {
        return Some(Err(format!("a line of {len} bytes, want at most {LINE_BYTES_MAX}")));
    }
    if line.bytes.trim_ascii().is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(&line.bytes);
    Some(QueueLogLine::parse(&text).map_err(|e| e.to_string()))
}

fn aside(line: &Line, why: String) -> (Bytes, String) {
    (Bytes::copy_from_slice(&line.bytes[..line.bytes.len().min(SAMPLE_BYTES)]), why)
}

/// What the translator could not remember: named once a batch, with the first line, and counted.
fn surplus(translator: &mut Translator, batch: &mut Batch) {
    if let Some((line, count)) = translator.take_surplus() {
        batch.malformed.push((line.into(), "more calls or agents at once than are followed".to_owned()));
        batch.left_out += count - 1;
    }
}
