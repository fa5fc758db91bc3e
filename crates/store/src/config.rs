//! The table `[store]` within a component's table: where reports, records and checkpoints are kept.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{ConfigFile, Problems};

use crate::{Error, Reports, Sqlite};

/// Where reports, records and checkpoints are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The SQLite file; several processes of one host may share it.
    pub path: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Config { path: PathBuf::from("data/store.db") }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        if self.path.as_os_str().is_empty() {
            problems.add("path", "\"\"", "is empty", "write the file's path, such as data/store.db");
        }
    }
}

impl Config {
    /// Opens the store.
    ///
    /// # Errors
    /// `TG0114` when another process has it alone; `TG0111` when it cannot be opened; the message names the file and the
    /// reason.
    pub async fn open(&self) -> service::Result<Arc<dyn Reports>> {
        self.opened(Sqlite::open(&self.path).await)
    }

    /// Opens the store for this process alone, for as long as the handle lives.
    ///
    /// # Errors
    /// `TG0114` when another process has it open; as [`Config::open`].
    pub async fn open_alone(&self) -> service::Result<Arc<dyn Reports>> {
        self.opened(Sqlite::open_alone(&self.path).await)
    }

    fn opened(&self, opened: crate::Result<Sqlite>) -> service::Result<Arc<dyn Reports>> {
        match opened {
            Ok(store) => Ok(Arc::new(store)),
            Err(error @ Error::InUse { alone, .. }) => {
                let what = if alone { "wait until it is done" } else { "stop it first" };
                Err(service::Error::dependency("TG0114", format!("{error}; {what}")))
            }
            Err(error) => {
                let message = format!("cannot open the store {}", self.path.display());
                Err(service::Error::dependency("TG0111", message).caused_by(error))
            }
        }
    }
}

/// The process's store: the one it provides to all its components, else one of this component's own.
///
/// # Errors
/// As [`Config::open`].
pub async fn of_process(config: &Config, context: &service::Context) -> service::Result<Arc<dyn Reports>> {
    match context.shared::<Arc<dyn Reports>>() {
        Some(store) => Ok(store),
        None => config.open().await,
    }
}
