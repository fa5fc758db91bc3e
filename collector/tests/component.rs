//! The collector as every component, and the pages about what can be configured of it and of each adapter.

use adapter::Adapter;
use collector::Collector;
use service::conformance::golden;

#[test]
fn it_is_a_well_behaved_component() {
    service::conformance::component::<Collector>();
    service::conformance::reference::<Collector>();
}

#[test]
fn the_page_of_every_adapter_is_current() {
    page::<adapter_asterisk::Asterisk>("Asterisk, watched over its manager interface (AMI)");
    page::<adapter_queue_log::QueueLog>("Asterisk's queue_log, imported or followed");
    page::<adapter_calls_csv::CallsCsv>("A table of calls, one row a call");
    page::<adapter_replay::Replay>("A recording of envelopes");
}

#[test]
fn no_kind_of_adapter_is_without_its_page() {
    let pages = [
        adapter_asterisk::Asterisk::KIND,
        adapter_queue_log::QueueLog::KIND,
        adapter_calls_csv::CallsCsv::KIND,
        adapter_replay::Replay::KIND,
    ];
    let mut kinds: Vec<_> = collector::registry::registry().kinds().map(|kind| kind.name().to_owned()).collect();
    kinds.sort();
    let mut pages = pages.map(str::to_owned).to_vec();
    pages.sort();
    assert_eq!(kinds, pages, "add the adapter to the_page_of_every_adapter_is_current, and here");
}

/// The page `docs/reference/adapter-KIND.md`.
fn page<A: Adapter>(about: &str) {
    let head = format!(
        "# Configuration of the adapter `{kind}`\n\n{about}. These keys stand in the table `[collector.sources.NAME.config]` \
         of a source whose `kind` is `{kind}`;\nfor `tidegate import {kind}` they stand in the table `[{kind}]` of its file.\n\n",
        kind = A::KIND
    );
    let path = "collector.sources.NAME.config";
    golden(&format!("docs/reference/adapter-{}.md", A::KIND), &(head + &service::config::reference::<A::Config>(path)));
}
