//! The journal in memory keeps the contract.

use journal::conformance::{Fixture, Setup};
use journal::memory::Memory;

async fn in_memory(setup: Setup) -> Fixture {
    Fixture { journal: Memory::with_lease(setup.topology, setup.clock, setup.lease), keep: Box::new(()) }
}

journal::conformance!(in_memory);
