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
    for batch in [100, 1_000, 10_000, 100_000] {
        let start = Instant::now();
        let parsed: Vec<Envelope> = lines
            .iter()
            .map(|l| match Envelope::parse(l) {
                Ok(Parsed::Known(e)) => e,
                other => panic!("{other:?}"),
            })
            .collect();
        let decoded = start.elapsed();
        let start = Instant::now();
        let mut fold = PartitionFold::new(Settings::default());
        let (mut rows, mut closed) = (0, Vec::new());
        let mut parsed = parsed.into_iter().peekable();
        while parsed.peek().is_some() {
            for e in parsed.by_ref().take(batch) {
                fold.apply(e);
            }
            let changes = fold.take_changes();
            rows += changes.rows.len();
            closed.extend(changes.closed.iter().take(100).filter_map(|id| fold.call(id).map(|r| r.encode())));
            fold.evict_closed();
        }
        let folded = start.elapsed();
        let rate = |d: std::time::Duration| lines.len() as f64 / d.as_secs_f64() / 1e6;
        let both = rate(decoded + folded);
        println!(
            "batch {batch:>6}: decode {:.2} M/s, fold {:.2} M/s, both {both:.2} M/s; {rows} row changes, {:.0} B a stored call",
            rate(decoded),
            rate(folded),
            closed.iter().map(Vec::len).sum::<usize>() as f64 / closed.len() as f64
        );
    }
}
