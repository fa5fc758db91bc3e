//! How events are folded, and the remark in the store that says so.

use stats::fold::{self, Settings};
use store::reports::Reports;

use crate::{Error, Result};

/// The remark that says how the store was folded.
const REMARK: &str = "fold";

/// How events are folded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// The fold's own settings.
    pub settings: Settings,
    /// A row that ended so long before the latest event is past: a change of it is told as a restatement. In
    /// milliseconds.
    pub restated_after_ms: i64,
    /// Blocks of rows of one partition that stay in memory.
    pub blocks_kept: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { settings: Settings::default(), restated_after_ms: 300_000, blocks_kept: 10_000 }
    }
}

impl Rules {
    /// What must not change while a store is folded on: other rows would come of the same events.
    fn remark(&self) -> String {
        let grains = self.settings.grains;
        format!("version {}, rows of {} and {} ms", fold::VERSION, grains.traffic_ms, grains.people_ms)
    }

    /// Refuses a store that was folded by other rules; marks one that was not folded yet.
    ///
    /// # Errors
    /// `Rules`, and those of the store.
    pub(crate) async fn agree(&self, store: &dyn Reports) -> Result<()> {
        let wanted = self.remark();
        match store.meta(REMARK).await? {
            Some(found) if found != wanted => Err(Error::Rules { found, wanted }),
            Some(_) => Ok(()),
            None => Ok(store.put_meta(REMARK, &wanted).await?),
        }
    }
}
