//! Files of vendors, and our own recordings.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::sync::Arc;

use adapter::recording::{Line, Lines, SAMPLE_BYTES};
use adapter_calls_csv::Files;
use adapter_queue_log::QueueLogLine;
use adapter_queue_log::line::LINE_BYTES_MAX;
use adapter_queue_log::translate::{Memory, Translator};
use model::{Fact, Time};

use super::language::recorded;

/// Files cut into lines: the same however they are read, in bounded memory, and nothing is lost of what fits.
pub fn lines(data: &[u8]) {
    let Some((mode, file)) = data.split_first() else { return };
    let max = 8 + usize::from(mode % 16);
    let all = cut(file, 1 << 16, max);
    assert_eq!(all, cut(file, 1 + usize::from(mode / 16), max));
    assert_eq!(all.iter().map(|line| line.span).sum::<u64>(), file.len() as u64);
    assert!(all.iter().all(|line| line.bytes.len() <= if line.too_long.is_some() { SAMPLE_BYTES } else { max }));
    let plain = file.split(|b| *b == b'\n').take(all.len());
    for (line, text) in all.iter().zip(plain) {
        let end = text.iter().rposition(|b| *b != b'\r').map_or(0, |at| at + 1);
        match line.too_long {
            None => assert_eq!(line.bytes, &text[..end]),
            Some(len) => assert!(len as usize == text.len() && text.len() > max),
        }
    }
}

fn cut(file: &[u8], buffer: usize, max: usize) -> Vec<Line> {
    let mut lines = Lines::new(BufReader::with_capacity(buffer, file), max);
    let mut all = Vec::new();
    while let Some(line) = lines.any().expect("memory can be read") {
        assert!(lines.held() <= 4 * (max + 1));
        all.push(line);
    }
    all
}

/// `queue_log`, whole: lines, what they mean, and what is remembered between two of them.
pub fn queue_log(data: &[u8]) {
    let mut translator = Translator::new(Memory::default(), BTreeMap::new());
    let mut known = Vec::new();
    for line in cut(data, 1 << 16, LINE_BYTES_MAX) {
        let text = String::from_utf8_lossy(&line.bytes);
        let Ok(parsed) = QueueLogLine::parse(&text) else { continue };
        let stored = serde_json::to_vec(&translator.memory).expect("memory of ours always serialises");
        let mut again = Translator::new(serde_json::from_slice(&stored).expect("and is read back"), BTreeMap::new());
        assert_eq!(again.memory, translator.memory);
        let facts = translator.facts(&text, &parsed);
        assert_eq!(again.facts(&text, &parsed), facts, "what was remembered is not all that counts");
        spoken(facts);
        known.push(parsed);
    }
    spoken(translator.finish());
    // The asterisk adapter fills its gaps from the same lines.
    let plan = Arc::new(adapter_asterisk::Plan::of(adapter_asterisk::Config::default()));
    let mut live = adapter_asterisk::translate::Translator::new(plan, &BTreeMap::new());
    live.backfill(&known, Time(1_700_000_000_000));
    spoken(live.take_facts());
}

const MAPPING: &str = include_str!("mapping.toml");

/// A table of calls, after a mapping (up to a line `---`), or read by the mapping of the bank.
pub fn calls_csv(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (mapping, table) = match text.split_once("\n---\n") {
        Some((mapping, table)) => (mapping.to_owned(), table.as_bytes()),
        None => (MAPPING.to_owned(), data),
    };
    let layers = service::config::Layers::of_text("fuzz", &mapping);
    let Ok(mut config) = layers.whole::<adapter_calls_csv::config::Config>().accept() else { return };
    config.rows_max = config.rows_max.min(10_000);
    let mut files = Files::default();
    if files.read(&Arc::new(config), "fuzz", table).is_ok() {
        let facts = files.sorted().into_facts().expect("a row that was read gives its facts");
        spoken(facts);
    }
}

/// A recording of ours: what is given is byte for byte what was recorded.
pub fn replay(data: &[u8]) {
    let mut given = 0;
    for line in cut(data, 1 << 16, adapter_replay::LINE_BYTES_MAX) {
        let bytes = line.bytes.clone();
        if let Some(Ok(envelope)) = adapter_replay::envelope(line) {
            assert_eq!(envelope.bytes, bytes);
            assert!(model::Envelope::parse(&bytes).is_ok());
            given += 1;
        }
    }
    assert!(given <= data.iter().filter(|b| **b == b'\n').count() + 1);
}

/// Every fact has an envelope; a name may be longer than one may have, and is then refused by name.
fn spoken(facts: Vec<Fact>) {
    for fact in facts {
        recorded(&fact.into_envelope(&"file1".into(), Time(1_795_227_084_000)));
    }
}
