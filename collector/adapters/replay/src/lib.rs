//! `replay`: a recording of envelopes, one JSON object a line (`.gz` is unpacked), played again.
//!
//! The simplest adapter, and the template for authors: read `docs/spec/adapter.md` beside it. What a Tidegate recorded is
//! replayed as the bytes it was recorded in: ids, times and types stay, also those of types that are newer than we are.
//!
//! - **Invariant:** replaying twice records once, because ids are kept.
//! - **Invariant:** a line that is no envelope is set aside with its number and reason; the rest goes on.

use std::io::BufRead;
use std::path::PathBuf;

use adapter::recording::{self, Line, Lines, SAMPLE_BYTES};
use adapter::{Adapter, Batch, Context, Fault, Session, Verbatim};
use async_trait::async_trait;
use bytes::Bytes;
use model::Envelope;
use model::envelope::Parsed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{ConfigFile, Problems};

/// The longest line that is read, in bytes; a longer one is set aside.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Which recordings to play.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Files to read, one after the other; `.gz` is unpacked. The command line's paths replace these.
    pub paths: Vec<PathBuf>,
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        if self.paths.is_empty() {
            problems.add("paths", "[]", "names no file", "give at least one path, here or on the command line");
        }
    }
}

/// The adapter.
pub struct Replay;

#[async_trait]
impl Adapter for Replay {
    const KIND: &'static str = "replay";
    type Config = Config;
    type Plan = Config;
    type Session = Recording;

    fn recording(_plan: &Config) -> bool {
        true
    }

    fn plan(config: Config) -> Result<Config, Problems> {
        Ok(config)
    }

    async fn connect(plan: &Config, _context: Context) -> Result<Recording, Fault> {
        let mut total = 0;
        for path in &plan.paths {
            let metadata = std::fs::metadata(path).map_err(|e| recording::refused(path, &e))?;
            total += metadata.len();
        }
        let paths = plan.paths.clone().into_iter();
        Ok(Recording { paths, open: None, read: 0, total })
    }
}

/// An open recording.
pub struct Recording {
    paths: std::vec::IntoIter<PathBuf>,
    open: Option<(PathBuf, Lines<Box<dyn BufRead + Send>>)>,
    read: u64,
    total: u64,
}

#[async_trait]
impl Session for Recording {
    async fn next(&mut self, max: usize) -> Result<Batch, Fault> {
        let mut batch = Batch::default();
        while batch.verbatim.len() + batch.malformed.len() < max {
            let Some(line) = self.line()? else {
                batch.done = true;
                break;
            };
            let number = line.number;
            match envelope(line) {
                None => {}
                Some(Ok(envelope)) => batch.verbatim.push(envelope),
                Some(Err((bytes, reason))) => batch.malformed.push((bytes, format!("line {number}: {reason}"))),
            }
        }
        batch.progress = Some((self.read.min(self.total), self.total));
        Ok(batch)
    }
}

/// The envelope of a line, or its beginning and why it is none; an empty line is nothing.
pub fn envelope(line: Line) -> Option<Result<Verbatim, (Bytes, String)>> {
    if let Some(len) = line.too_long {
        return Some(Err((line.bytes.into(), format!("is longer than {LINE_BYTES_MAX} bytes: {len}"))));
    }
    if line.bytes.trim_ascii().is_empty() {
        return None;
    }
    let (source, time) = match Envelope::parse(&line.bytes) {
        Ok(Parsed::Known(known)) => (known.source, known.time),
        Ok(Parsed::Unknown(head)) => (head.source, head.time),
        Err(error) => {
            let sample = Bytes::copy_from_slice(&line.bytes[..line.bytes.len().min(SAMPLE_BYTES)]);
            return Some(Err((sample, error.to_string())));
        }
    };
    Some(Ok(Verbatim { source, time, bytes: line.bytes.into() }))
}

impl Recording {
    /// The next line of the next file.
    fn line(&mut self) -> Result<Option<Line>, Fault> {
        loop {
            if self.open.is_none() {
                let Some(path) = self.paths.next() else { return Ok(None) };
                let reader = recording::open(&path)?;
                self.open = Some((path, Lines::new(reader, LINE_BYTES_MAX)));
            }
            let Some((path, lines)) = self.open.as_mut() else { continue };
            match lines.any().map_err(|e| recording::refused(path, &e))? {
                Some(line) => {
                    self.read += line.span;
                    return Ok(Some(line));
                }
                None => self.open = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;

    const GOOD: &str = r#"{"specversion":"1.0","id":"e1","source":"pbx1","type":"call.ended.v1","subject":"call/1","time":"2026-01-01T00:00:00.000Z","data":{}}"#;

    async fn play(content: &[u8]) -> Batch {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.ndjson.gz");
        let mut file = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        file.write_all(content).unwrap();
        file.finish().unwrap();
        let context = Context {
            source: "replay".into(),
            known: adapter::Known::default(),
            clock: service::Clock::manual(0),
            seeds: service::Seeds::fixed(1),
        };
        let mut session = Replay::connect(&Config { paths: vec![path] }, context).await.unwrap();
        session.next(100).await.unwrap()
    }

    #[tokio::test]
    async fn what_was_recorded_is_given_byte_for_byte_unknown_types_too() {
        let newer = GOOD.replace("call.ended.v1", "call.teleported.v7");
        let batch = play(format!("{GOOD}\n\n{newer}\r\n").as_bytes()).await;
        assert!(batch.done && batch.malformed.is_empty());
        let got: Vec<_> = batch.verbatim.iter().map(|v| v.bytes.as_ref()).collect();
        assert_eq!(got, [GOOD.as_bytes(), newer.as_bytes()]);
    }

    #[tokio::test]
    async fn a_bad_line_is_set_aside_with_its_number_and_the_rest_goes_on() {
        let long = "x".repeat(LINE_BYTES_MAX * 2);
        let batch = play(format!("{GOOD}\nnonsense\n{long}\n{GOOD}").as_bytes()).await;
        assert_eq!(batch.verbatim.len(), 2);
        assert!(batch.malformed[0].1.starts_with("line 2:"), "{}", batch.malformed[0].1);
        assert!(batch.malformed[1].1.contains("line 3: is longer"), "{}", batch.malformed[1].1);
        assert!(batch.malformed[1].0.len() <= SAMPLE_BYTES, "its beginning is enough to know it by");
    }

    #[tokio::test]
    async fn a_line_of_exactly_the_longest_length_is_read_and_takes_no_other_with_it() {
        for (more, good, bad) in [(0, 2, 0), (1, 1, 1)] {
            let space = " ".repeat(LINE_BYTES_MAX - GOOD.len() + more);
            let batch = play(format!("{GOOD}{space}\n{GOOD}\n").as_bytes()).await;
            assert_eq!((batch.verbatim.len(), batch.malformed.len()), (good, bad), "{more}");
        }
    }

    #[tokio::test]
    async fn nesting_without_end_is_set_aside_or_passed_on_and_never_overflows_the_stack() {
        let deep = |ty: &str| {
            let data = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
            GOOD.replace("\"data\":{}", &format!("\"data\":{data}")).replace("call.ended.v1", ty)
        };
        let batch = play(format!("{}\n{}\n{GOOD}", deep("call.ended.v1"), deep("call.teleported.v7")).as_bytes()).await;
        assert_eq!(batch.verbatim.last().unwrap().bytes, GOOD.as_bytes());
        assert_eq!(batch.malformed.len() + batch.verbatim.len(), 3);
    }
}
