//! The recorded month, as the import leaves it in `events.*`: by the product's own command and journal.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::ensure;
use journal::{Journal, Stream};
use memchr::memmem;
use service::Clock;

const MONTH: &str = "data/anonymous-bank-1999-08.csv.gz";
const BATCH: usize = 10_000;
const BATCH_BYTES: usize = 16 << 20;

/// The recording, where it lies: `$TIDEGATE_SHARED`, else `../shared` beside the checkout.
#[allow(clippy::disallowed_methods, reason = "recorded data is located by the environment")]
pub fn month() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let file = std::env::var_os("TIDEGATE_SHARED").map_or(beside, PathBuf::from).join(MONTH);
    file.exists().then_some(file)
}

/// Imports the month into `work`, and writes the events that the journal then holds to `out`, one a line.
///
/// Without calls that the phone system itself takes back as phantoms: ours takes them out of what it counted, a plain count does not.
pub async fn lay_out(month: &Path, work: &Path, out: &Path) -> anyhow::Result<()> {
    let data = work.join("data");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/anonymous-bank.toml");
    let status = Command::new(bench::product::binary()?)
        .args(["import", "calls-csv", "--config"])
        .arg(config)
        .arg("--data")
        .arg(&data)
        .arg(month)
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "the import ended with {status}");
    let config = journal::config::Config { path: data.join("journal.db"), ..journal::config::Config::default() };
    let journal = config.open(&Clock::system()).await.map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut phantoms = HashSet::new();
    each(&journal, |record| {
        if memmem::find(&record.value, b"\"phantom\"").is_some() {
            phantoms.insert(record.key.clone());
        }
        Ok(())
    })
    .await?;
    let mut file = std::io::BufWriter::new(std::fs::File::create(out)?);
    each(&journal, |record| {
        if !phantoms.contains(&record.key) {
            file.write_all(&record.value)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    })
    .await?;
    file.flush()?;
    journal.close().await?;
    Ok(())
}

/// Reads all events.
async fn each(
    journal: &Arc<dyn Journal>,
    mut what: impl FnMut(&journal::Record) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    for stream in Stream::EVENTS {
        for partition in 0..journal.partitions(stream) {
            let (mut next, end) = (0, journal.end(stream, partition).await?);
            while next < end {
                let batch = journal.read(stream, partition, next, BATCH, BATCH_BYTES).await?;
                batch.records.iter().try_for_each(&mut what)?;
                ensure!(batch.next > next, "{}/{partition} ends at {next}, and should at {end}", stream.name());
                next = batch.next;
            }
        }
    }
    Ok(())
}
