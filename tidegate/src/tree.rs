//! The configuration of everything in one process: one tree, a table per component.

use std::path::PathBuf;

use model::Directory;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{self, ConfigFile, Layers, Problems, Sources};
use service::{Component, Process};

/// The table `[directory]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Names(pub(crate) Directory);

impl ConfigFile for Names {
    fn check(&self, problems: &mut Problems) {
        for found in self.0.problems() {
            problems.add_hidden(&found.path, found.what, found.fix);
        }
    }
}

/// Everything, checked.
pub(crate) struct Tree {
    pub(crate) process: Process,
    pub(crate) directory: Directory,
    pub(crate) journal: journal::config::Config,
    pub(crate) store: store::config::Config,
    pub(crate) live: store::config::Sharing,
    layers: Layers,
    printed: Vec<(&'static str, serde_json::Value)>,
    problems: Problems,
}

impl Tree {
    /// Reads what the command says (`base`), file, environment and flags; the later wins.
    pub(crate) fn read(file: Option<PathBuf>, base: Vec<String>, set: Vec<String>) -> Tree {
        let layers = Layers::read(&Sources { base, ..Sources::of_process(file, set) });
        let mut tree = Tree {
            process: Process::default(),
            directory: Directory::default(),
            journal: journal::config::Config::default(),
            store: store::config::Config::default(),
            live: store::config::Sharing::default(),
            problems: layers.problems(&["directory"]),
            printed: Vec::new(),
            layers,
        };
        tree.process = tree.section("process");
        tree.directory = tree.section::<Names>("directory").0;
        tree.journal = tree.section("journal");
        tree.store = tree.section("store");
        tree.live = tree.section("live");
        tree
    }

    /// Whether any source is configured.
    pub(crate) fn has_sources(&self) -> bool {
        !self.layers.section::<collector::Config>("collector").config.sources.is_empty()
    }

    /// The simulator's configuration, as far as it makes sense.
    pub(crate) fn simulator(&self) -> simulator::Config {
        self.layers.section::<simulator::Config>("simulator").config
    }

    /// Where the wallboard is served.
    pub(crate) fn pusher_address(&self) -> String {
        self.layers.section::<pusher::config::Config>("pusher").config.listen.address.to_string()
    }

    /// Where control is asked for.
    pub(crate) fn console_address(&self) -> String {
        self.layers.section::<console::config::Config>("console").config.listen.address.to_string()
    }

    fn section<T: ConfigFile>(&mut self, name: &'static str) -> T {
        let loaded = self.layers.section::<T>(name);
        self.problems.extend("", loaded.problems);
        self.printed.push((name, serde_json::to_value(&loaded.config).unwrap_or_default()));
        loaded.config
    }

    /// The plan of a component; problems are kept for [`Tree::verdict`].
    pub(crate) fn plan<C: Component>(&mut self) -> Option<C::Plan> {
        let config: C::Config = self.section(C::NAME);
        match C::plan(config) {
            Ok(plan) => Some(plan),
            Err(more) => {
                self.problems.extend(C::NAME, more);
                None
            }
        }
    }

    /// Every problem of everything, at once.
    pub(crate) fn verdict(&mut self) -> Result<(), Problems> {
        let mut problems = std::mem::take(&mut self.problems);
        self.layers.locate(&mut problems);
        problems.or(())
    }

    /// The effective configuration with the origin of each value.
    pub(crate) fn print(&self) -> String {
        config::print(&self.layers, &self.printed)
    }
}
