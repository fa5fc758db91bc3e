//! The embedded journal keeps the contract.

use journal::conformance::{Fixture, Setup};
use journal::embedded::{Embedded, Options};

async fn on_disk(setup: Setup) -> Fixture {
    let directory = tempfile::tempdir().expect("a directory for the journal");
    let mut options = Options::new(directory.path().join("journal.db"), setup.topology, setup.clock);
    options.lease = setup.lease;
    options.max_poll = setup.lease;
    Fixture { journal: Embedded::open(options).await.expect("a new journal"), keep: Box::new(directory) }
}

journal::conformance!(on_disk);
