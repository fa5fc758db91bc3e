//! The peer: what the disk itself takes to keep four kilobytes.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use service::Clock;

/// How long it is measured.
const LENGTH: Duration = Duration::from_secs(2);

/// Appends and syncs, milliseconds each.
pub fn syncs(folder: &Path, clock: &Clock) -> anyhow::Result<Vec<f64>> {
    let mut file = File::create(folder.join("sync"))?;
    let (begun, block, mut took) = (clock.monotonic(), [7_u8; 4096], Vec::new());
    while clock.monotonic() - begun < LENGTH {
        let start = clock.monotonic();
        file.write_all(&block)?;
        file.sync_data()?;
        took.push((clock.monotonic() - start).as_secs_f64() * 1e3);
    }
    Ok(took)
}
