//! How fast a month of recorded calls is decoded and folded: `cargo run --release -p stats --example fold`.

#[path = "../tests/support/bank.rs"]
mod bank;

use std::time::Instant;

use model::Envelope;
use model::envelope::Parsed;
use stats::fold::{PartitionFold, Settings};

#[allow(clippy::disallowed_methods, reason = "a bench measures")]
fn main() {
    let Some(dir) = bank::shared() else {
        println!("needs ../shared (or TIDEGATE_SHARED) with the recorded calls");
        return;
    };
    let events = bank::month(&dir, "1999-08");
    let lines: Vec<Vec<u8>> = events.iter().map(Envelope::to_json).collect();
    println!("{} events, {} bytes", lines.len(), lines.iter().map(Vec::len).sum::<usize>());
    let parse = |line: &Vec<u8>| match Envelope::parse(line) {
        Ok(Parsed::Known(e)) => e,
        other => panic!("{other:?}"),
    };
    let rate = |d: std::time::Duration| lines.len() as f64 / d.as_secs_f64() / 1e6;
    for batch in [100, 1_000, 10_000] {
        let start = Instant::now();
        let calls = lines.iter().map(parse).filter(|e| e.subject.family() == "call").count();
        let decoded = start.elapsed();
        let start = Instant::now();
        let mut fold = PartitionFold::new(Settings::default());
        let mut rows = 0;
        for part in lines.chunks(batch) {
            for line in part {
                fold.apply(parse(line));
            }
            rows += fold.take_changes().rows.len();
            fold.evict_closed();
        }
        let both = start.elapsed();
        let stored: usize = fold.calls().map(|r| r.encode().len()).sum();
        println!(
            "batch {batch:>6}: {calls} events, decode {:.2} M/s, fold {:.2} M/s, both {:.2} M/s = {:.0} ms; {rows} row changes, {:.0} B a stored call",
            rate(decoded),
            rate(both.saturating_sub(decoded)),
            rate(both),
            both.as_secs_f64() * 1e3,
            stored as f64 / fold.calls().count() as f64
        );
    }
}
