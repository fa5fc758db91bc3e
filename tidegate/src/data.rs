//! The data directory: where the journal and the store of one deployment are.

use std::path::Path;
use std::sync::Arc;

use journal::Journal;
use model::Directory;
use service::config::{Layers, Sources};
use service::{Clock, Error, Result};
use store::Reports;

use crate::cli::Data;

/// An opened data directory.
pub(crate) struct Opened {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) store: Arc<dyn Reports>,
}

/// The journal's configuration for a directory.
pub(crate) fn journal_config(dir: &Path) -> journal::config::Config {
    journal::config::Config { path: dir.join("journal.db"), ..journal::config::Config::default() }
}

/// The store's configuration for a data directory: its `store.db`, unless the file that `--store` names, or the environment, says
/// otherwise.
pub(crate) fn store_config(data: &Data) -> Result<store::config::Config> {
    let base = vec![format!("store.path={}", data.data.join("store.db").display())];
    let layers = Layers::read(&Sources { base, ..Sources::of_process(data.store.clone(), Vec::new()) });
    let loaded = layers.section::<store::config::Config>("store");
    // Of the file only this table is looked at; the others are of the components.
    let mut problems = layers.problems(&["directory"]);
    problems.extend("", loaded.problems);
    layers.locate(&mut problems);
    problems.or(loaded.config).map_err(Error::from)
}

/// Opens a directory for this process alone, making it when it is not there.
pub(crate) async fn open_alone(data: &Data, clock: &Clock) -> Result<Opened> {
    let dir = &data.data;
    std::fs::create_dir_all(dir).map_err(|e| {
        Error::dependency("TG0301", format!("cannot make the data directory {}", dir.display())).caused_by(e)
    })?;
    // The store first: that is where it shows whether somebody is there.
    let store = store_config(data)?.open_alone().await?;
    Ok(Opened { journal: journal_config(dir).open(clock).await?, store })
}

/// Opens a journal and a store that may be anywhere.
pub(crate) async fn open_parts(
    journal: &journal::config::Config,
    store: &store::config::Config,
    clock: &Clock,
) -> Result<Opened> {
    Ok(Opened { journal: journal.open(clock).await?, store: store.open().await? })
}

/// Opens a directory that must be there: reading from a mistyped path is no empty report.
pub(crate) async fn open_existing(data: &Data, clock: &Clock) -> Result<Opened> {
    there(&data.data)?;
    open_parts(&journal_config(&data.data), &store_config(data)?, clock).await
}

/// Opens the store of a directory that must be there, or the one that `--store` names: who only reads reports needs no journal, and of
/// a deployment over Kafka there is none in any directory.
pub(crate) async fn store_existing(data: &Data) -> Result<Arc<dyn Reports>> {
    if data.store.is_none() {
        there(&data.data)?;
    }
    store_config(data)?.open().await
}

/// Opens the journal of a directory that must be there, and nothing else of it.
pub(crate) async fn journal_existing(dir: &Path, clock: &Clock) -> Result<Arc<dyn Journal>> {
    there(dir)?;
    journal_config(dir).open(clock).await
}

/// Whether a directory is one of data.
pub(crate) fn there(dir: &Path) -> Result<()> {
    if !dir.join("journal.db").exists() {
        let message = format!("{} is no data directory: there is no journal.db in it", dir.display());
        return Err(Error::usage("TG0302", message));
    }
    Ok(())
}

/// The directory (names, limits, tenants) that the data was written with.
pub(crate) async fn directory(store: &Arc<dyn Reports>) -> Result<Directory> {
    store::directory::kept(store.as_ref()).await.map_err(|e| failed(&e))
}

/// Adds what `more` knows to the kept directory and returns the whole.
pub(crate) async fn learn(store: &Arc<dyn Reports>, more: Directory) -> Result<Directory> {
    store::directory::learn(store.as_ref(), more).await.map_err(|e| failed(&e))
}

/// The store failed, in an operator's words.
pub(crate) fn failed(error: &store::Error) -> Error {
    Error::dependency("TG0112", format!("the store failed: {error}"))
}

/// The journal failed, in an operator's words.
pub(crate) fn journal_failed(error: &journal::Error) -> Error {
    Error::from(error.clone())
}
