//! Servers and processes under one roof, so that what breaks them can be done from several places at once.

use anyhow::Result;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;
use tidegate_tests::broker::Brokers;
use tidegate_tests::fleet::{Fleet, Size};
use tidegate_tests::product::run;
use tidegate_tests::servers::{Servers, files};
use tidegate_tests::stores::{Disk, Postgres, Redis};

/// Everything that runs. The processes go first, then the servers.
pub struct World {
    pub fleet: Arc<Fleet>,
    pub brokers: Arc<Brokers>,
    pub postgres: Arc<Mutex<Postgres>>,
    pub redis: Arc<Mutex<Redis>>,
    /// What `tidegate` is told to find journal and store.
    places: Vec<String>,
    folder: TempDir,
}

/// Of a mutex that nobody holds while it panics in a way that matters.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// Three brokers, everything twice or more, and a simulated centre.
    pub async fn start(size: Size, settings: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let servers = Servers::start(3, Disk::Cached).await?;
        let fleet = Fleet::start(&folder.path().join("logs"), &servers, size, settings).await?;
        let mut places = vec![servers.of_journal("journal"), "store.kind=postgresql".to_owned()];
        places.extend(servers.of_store("store"));
        let Servers { brokers, postgres, redis, .. } = servers;
        Ok(Self {
            fleet: Arc::new(fleet),
            brokers: Arc::new(brokers),
            postgres: Arc::new(Mutex::new(postgres)),
            redis: Arc::new(Mutex::new(redis)),
            places,
            folder,
        })
    }

    /// The wallboards.
    pub fn pushers(&self) -> Vec<SocketAddr> {
        self.fleet.faces("pusher")
    }

    /// The doors.
    pub fn doors(&self) -> Vec<SocketAddr> {
        self.fleet.faces("receiver")
    }

    /// What a command of the product says that looks at journal and store by itself.
    pub async fn ask(&self, words: &[&str]) -> Result<String> {
        let (file, data) = (files().join("topics.toml"), self.folder.path().join("data"));
        std::fs::create_dir_all(&data)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut all: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        all.extend(["--data".to_owned(), text(&data), "--config".to_owned(), text(&file)]);
        self.places.iter().for_each(|place| all.extend(["--set".to_owned(), place.clone()]));
        run(&all.iter().map(String::as_str).collect::<Vec<_>>()).await
    }
}
