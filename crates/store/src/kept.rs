//! What this process has written of each partition it holds, to notice a database that has gone back.
//!
//! A server can forget what it had acknowledged: a standby that lagged takes over, or an older copy is put in its place. A checkpoint
//! holds only what changed since the one before, so writing it there would leave a hole that nobody ever sees. It is refused instead; the
//! owner takes the partition again, from the position that *is* there, and the journal fills the hole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::reports::Held;
use crate::{Error, Part, Result};

/// The fence and the position last written, by partition.
type Written = HashMap<Part, (u64, Option<u64>)>;

/// What was acknowledged. A cheap handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Written>>);

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database has acknowledged this.
    pub(crate) fn note(&self, held: &Held, next: Option<u64>) {
        self.lock().insert(held.part.clone(), (held.fence, next));
    }

    /// Whether the position that is found is at least the one that was acknowledged.
    pub(crate) fn check(&self, held: &Held, found: Option<u64>) -> Result<()> {
        match self.lock().get(&held.part) {
            Some((fence, written)) if *fence == held.fence && *written > found => Err(Error::Undone {
                part: held.part.clone(),
                written: written.unwrap_or_default(),
                found: found.unwrap_or_default(),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_went_back_is_noticed_and_another_owner_is_not_meant() {
        let (kept, held) = (Kept::default(), Held { part: Part::new("events.call", 0), fence: 3 });
        kept.note(&held, Some(10));
        assert!(kept.check(&held, Some(10)).is_ok());
        assert!(kept.check(&held, Some(12)).is_ok(), "an acknowledgement that was lost on the way");
        assert!(matches!(kept.check(&held, Some(9)), Err(Error::Undone { written: 10, found: 9, .. })));
        assert!(matches!(kept.check(&held, None), Err(Error::Undone { .. })));
        assert!(kept.check(&Held { fence: 4, ..held }, None).is_ok());
    }
}
