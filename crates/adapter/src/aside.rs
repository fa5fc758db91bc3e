//! What a vendor said that makes no sense: named, kept and counted, without letting a flood of it fill the log and the disk.

use std::time::Duration;

use bytes::Bytes;
use model::SourceId;

/// Within this much time…
const WINDOW: Duration = Duration::from_secs(60);
/// … so many messages are named in the log, …
const NAMED_MAX: usize = 100;
/// … and the bytes of so many are kept in the raw stream. The rest is counted.
const KEPT_MAX: usize = 10_000;
/// The longest beginning of a message that is kept.
const SAMPLE_BYTES_MAX: usize = 4 << 10;

/// What one source's session set aside lately.
pub(crate) struct Aside {
    source: SourceId,
    began: Duration,
    named: usize,
    kept: usize,
    unnamed: u64,
}

impl Aside {
    pub(crate) fn new(source: SourceId) -> Aside {
        Aside { source, began: Duration::ZERO, named: 0, kept: 0, unnamed: 0 }
    }

    /// Names what is new, and gives the bytes that are worth keeping.
    pub(crate) fn take(&mut self, now: Duration, malformed: Vec<(Bytes, String)>, left_out: u64) -> Vec<Bytes> {
        if now.saturating_sub(self.began) >= WINDOW {
            self.report();
            (self.began, self.named, self.kept) = (now, 0, 0);
        }
        self.unnamed += left_out;
        let source = &self.source;
        let mut keep = Vec::new();
        for (bytes, reason) in malformed {
            if self.named < NAMED_MAX {
                self.named += 1;
                tracing::warn!(%source, reason, "a vendor message makes no sense and was left out; its bytes are in the raw stream");
            } else {
                self.unnamed += 1;
            }
            if self.kept < KEPT_MAX {
                self.kept += 1;
                keep.push(if bytes.len() > SAMPLE_BYTES_MAX { bytes.slice(..SAMPLE_BYTES_MAX) } else { bytes });
            }
        }
        keep
    }

    /// Says how many were not named.
    pub(crate) fn report(&mut self) {
        let more = std::mem::take(&mut self.unnamed);
        if more > 0 {
            tracing::warn!(source = %self.source, more, "more vendor messages made no sense and were left out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_kept_up_to_its_bound_and_the_next_minute_begins_anew() {
        let mut aside = Aside::new("pbx1".into());
        let flood = || (0..KEPT_MAX + 500).map(|n| (Bytes::from(vec![b'x'; 8 << 10]), format!("bad {n}"))).collect();
        let kept = aside.take(Duration::from_secs(100), flood(), 7);
        assert_eq!((kept.len(), aside.named, aside.unnamed), (KEPT_MAX, NAMED_MAX, 10_400 + 7));
        assert!(kept.iter().all(|bytes| bytes.len() == SAMPLE_BYTES_MAX));
        assert!(aside.take(Duration::from_secs(159), flood(), 0).is_empty());
        assert_eq!(aside.take(Duration::from_secs(160), flood(), 0).len(), KEPT_MAX);
    }
}
