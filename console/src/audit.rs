//! The audit: a hash over all records of `control` in their order, sealed by records of their own.
//!
//! Whoever changes, removes, adds or moves a record behind a seal changes every hash after it, and the next seal no longer fits. What
//! stands after the last seal is not sealed yet; whoever wrote down the last hash elsewhere ([`Verdict::hash`]) notices a cut end, too.
//! Verified from a journal (`tidegate audit verify --data DIR`) or from an exported file, without a server.

use std::collections::VecDeque;
use std::io::BufRead;

use journal::{Journal, Stream};
use model::Time;
use model::control::{AuditSealed, Envelope, Event, Parsed};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A hash.
pub type Hash = [u8; 32];

/// So many hashes behind the newest are kept: a seal is written within seconds of what it seals.
const KEPT: usize = 65_536;

/// The chain of hashes so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    next: u64,
    hash: Hash,
    /// The hash before the record at each offset, the oldest first.
    before: VecDeque<(u64, Hash)>,
}

impl Chain {
    /// Adds the record at `offset`.
    pub fn add(&mut self, offset: u64, key: &[u8], value: &[u8]) {
        self.before.push_back((offset, self.hash));
        if self.before.len() > KEPT {
            self.before.pop_front();
        }
        let mut sum = Sha256::new();
        sum.update(self.hash);
        sum.update(offset.to_be_bytes());
        sum.update((key.len() as u64).to_be_bytes());
        sum.update(key);
        sum.update(value);
        self.hash = sum.finalize().into();
        self.next = offset + 1;
    }

    /// The seal of all records so far.
    pub fn seal(&self) -> AuditSealed {
        AuditSealed { until: self.next, hash: hex::encode(self.hash) }
    }

    /// The hash of all records with a smaller offset than `until`; `None` when it is not known any more, or not yet.
    fn at(&self, until: u64) -> Option<Hash> {
        if until == self.next {
            return Some(self.hash);
        }
        let place = self.before.binary_search_by_key(&until, |(offset, _)| *offset).ok()?;
        self.before.get(place).map(|(_, hash)| *hash)
    }
}

/// One record as it is exported, one to a line. The value is kept as the text that it is: its hash is of these very bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its place in `control`.
    pub offset: u64,
    /// When the journal took it.
    pub recorded_at: Time,
    /// Its key: the tenant.
    pub key: String,
    /// The event, as it stands in the journal.
    pub event: String,
}

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// At which record.
    pub offset: u64,
    /// What.
    pub what: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Records that were read.
    pub records: u64,
    /// Seals that were read.
    pub seals: u64,
    /// Everything that does not fit, in order; after the first, later ones may follow from it.
    pub faults: Vec<Fault>,
    /// Records after the last seal that fits, the seal itself left out: nobody vouches for them yet.
    pub unsealed: u64,
    /// The hash of everything, 64 hexadecimal digits: whoever keeps it elsewhere notices a cut end.
    pub hash: String,
}

impl Verdict {
    /// Whether everything fits.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// The most faults that are named.
const FAULTS_MAX: usize = 100;

/// Reads records in their order, and judges.
#[derive(Debug, Default)]
pub struct Verifier {
    chain: Chain,
    verdict: Verdict,
    sealed: u64,
}

impl Verifier {
    /// Takes the next record.
    pub fn take(&mut self, offset: u64, key: &[u8], value: &[u8]) {
        let want = self.chain.next;
        if offset != want {
            let what = if offset > want { "records before it are missing" } else { "it stands behind a later one" };
            self.fault(offset, format!("{what}: the next should be {want}"));
        }
        match Envelope::parse(value) {
            Ok(Parsed::Known(envelope)) => {
                if let Event::AuditSealed(seal) = &envelope.event {
                    self.seal(offset, seal);
                }
            }
            Ok(Parsed::Unknown(_)) => {}
            Err(error) => self.fault(offset, format!("it is no control event: {error}")),
        }
        self.chain.add(offset, key, value);
        self.verdict.records += 1;
    }

    fn seal(&mut self, offset: u64, seal: &AuditSealed) {
        self.verdict.seals += 1;
        match self.chain.at(seal.until) {
            Some(hash) if hex::encode(hash) == seal.hash => self.sealed = self.sealed.max(seal.until),
            Some(_) => {
                let from = self.sealed;
                let until = seal.until;
                self.fault(
                    offset,
                    format!("its seal does not fit: something from {from} to before {until} was changed"),
                );
            }
            None => self.fault(offset, format!("it seals what is not here: all before {}", seal.until)),
        }
    }

    fn fault(&mut self, offset: u64, what: String) {
        if self.verdict.faults.len() < FAULTS_MAX {
            self.verdict.faults.push(Fault { offset, what });
        }
    }

    /// What was found.
    pub fn verdict(mut self) -> Verdict {
        self.verdict.unsealed = self.chain.next.saturating_sub(self.sealed);
        self.verdict.hash = hex::encode(self.chain.hash);
        self.verdict
    }
}

/// Why a file or a journal could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal did not answer.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The file cannot be read.
    #[error("the export cannot be read")]
    Io(#[from] std::io::Error),
    /// A line is no record.
    #[error("line {line} of the export is no record: {source}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// Verifies what a journal holds.
///
/// # Errors
/// When the journal cannot be read at all; damage that the journal itself finds is a fault.
pub async fn of_journal(journal: &dyn Journal) -> Result<Verdict, Error> {
    let mut verifier = Verifier::default();
    let (mut next, end) = (0, journal.end(Stream::Control, 0).await?);
    while next < end {
        match journal.read(Stream::Control, 0, next, 5_000, 8 << 20).await {
            Ok(batch) => {
                batch.records.iter().for_each(|record| verifier.take(record.offset, &record.key, &record.value));
                next = batch.next;
            }
            Err(error @ journal::Error::Truncated { earliest, .. }) => {
                verifier.fault(next, error.to_string());
                next = earliest;
            }
            Err(error @ journal::Error::Damaged { offset, .. }) => {
                verifier.fault(offset, error.to_string());
                next = offset + 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(verifier.verdict())
}

/// Verifies an exported file: a [`Line`] on each line.
///
/// # Errors
/// When it cannot be read, or a line is no record.
pub fn of_export(file: impl BufRead) -> Result<Verdict, Error> {
    let mut verifier = Verifier::default();
    for (at, line) in file.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(&line).map_err(|source| Error::Line { line: at + 1, source })?;
        verifier.take(line.offset, line.key.as_bytes(), line.event.as_bytes());
    }
    Ok(verifier.verdict())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::control::{By, OverrideCleared};

    fn event(number: u64, event: impl Into<Event>) -> Vec<u8> {
        let envelope = Envelope {
            id: number.to_string().as_str().into(),
            source: "console/1".into(),
            time: Time(number as i64),
            tenant: "bank".into(),
            by: By::Automatic,
            why: "a test".into(),
            cause_id: None,
            event: event.into(),
        };
        envelope.to_json()
    }

    /// Twelve records, the fifth and the eleventh seal what is before them.
    fn records() -> Vec<(u64, Vec<u8>)> {
        let mut chain = Chain::default();
        let mut all = Vec::new();
        for offset in 0..12 {
            let value = match offset {
                5 | 11 => event(offset, chain.seal()),
                _ => event(offset, OverrideCleared { id: offset.to_string().as_str().into() }),
            };
            chain.add(offset, b"bank", &value);
            all.push((offset, value));
        }
        all
    }

    fn verify(records: &[(u64, Vec<u8>)]) -> Verdict {
        let mut verifier = Verifier::default();
        records.iter().for_each(|(offset, value)| verifier.take(*offset, b"bank", value));
        verifier.verdict()
    }

    #[test]
    fn what_was_not_touched_is_sound_and_says_what_nobody_vouches_for() {
        let mut records = records();
        let verdict = verify(&records);
        assert_eq!((verdict.is_sound(), verdict.records, verdict.seals, verdict.unsealed), (true, 12, 2, 1));
        let hash = verdict.hash;
        records.truncate(9);
        let cut = verify(&records);
        assert_eq!((cut.is_sound(), cut.unsealed), (true, 4));
        assert_ne!(cut.hash, hash, "a cut end shows in the hash alone");
    }

    #[test]
    fn a_changed_record_breaks_the_next_seal() {
        let mut records = records();
        records[7].1 = event(7, OverrideCleared { id: "another".into() });
        let verdict = verify(&records);
        assert_eq!(verdict.faults.len(), 1);
        assert_eq!(verdict.faults[0].offset, 11);
        assert!(verdict.faults[0].what.contains("from 5 to before 11"), "{}", verdict.faults[0].what);
    }

    #[test]
    fn a_removed_record_is_noticed_even_when_the_others_close_up() {
        let mut gap = records();
        gap.remove(3);
        assert!(verify(&gap).faults[0].what.contains("missing"));
        let closed: Vec<_> = gap.into_iter().enumerate().map(|(at, (_, value))| (at as u64, value)).collect();
        assert!(!verify(&closed).is_sound());
    }

    #[test]
    fn reordered_records_are_noticed_with_their_offsets_and_without() {
        let mut moved = records();
        moved.swap(1, 2);
        assert!(verify(&moved).faults.iter().any(|fault| fault.what.contains("stands behind")));
        for (at, (offset, _)) in moved.iter_mut().enumerate() {
            *offset = at as u64;
        }
        assert_eq!(verify(&moved).faults[0].offset, 5, "the first seal after them");
    }

    #[test]
    fn another_tenants_key_is_a_change() {
        let mut verifier = Verifier::default();
        for (offset, value) in records() {
            let key: &[u8] = if offset == 2 { b"shop" } else { b"bank" };
            verifier.take(offset, key, &value);
        }
        assert!(!verifier.verdict().is_sound());
    }

    #[test]
    fn an_export_is_judged_as_the_journal_is() {
        let line = |(offset, value): (u64, Vec<u8>)| {
            let event = String::from_utf8(value).unwrap();
            serde_json::to_string(&Line { offset, recorded_at: Time(0), key: "bank".into(), event }).unwrap()
        };
        let text = records().into_iter().map(line).collect::<Vec<_>>().join("\n");
        assert_eq!(of_export(text.as_bytes()).unwrap(), verify(&records()));
        assert!(matches!(of_export(&b"{}\n"[..]), Err(Error::Line { line: 1, .. })));
    }
}
