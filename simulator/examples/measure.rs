//! How fast a centre of so many agents plays, how much it says, and what it needs in memory:
//! `cargo run --release -p simulator --example measure -- AGENTS SECONDS`.
//!
//! Seen on two cores that were busy with other work (release build, 120 s played after a warm-up of 600 s):
//!
//! | agents | events/s of simulated time | events/s rendered | peak memory | warm-up took |
//! |---|---|---|---|---|
//! | 5 | 1 | 307,000 | 3.8 MB | 0.00 s |
//! | 40 | 15 | 423,000 | 4.3 MB | 0.01 s |
//! | 1,000 | 373 | 507,000 | 19 MB | 0.23 s |
//! | 5,000 | 1,929 | 238,000 | 78 MB | 1.3 s |
//! | 50,000 | 19,307 (9.3 MB/s) | 202,000 | 418 MB | 24 s |

use std::sync::Arc;

use service::{Clock, Millis};
use simulator::{Centre, Config};

fn main() {
    let mut args = std::env::args().skip(1);
    let agents: u32 = args.next().and_then(|n| n.parse().ok()).unwrap_or(40);
    let seconds: i64 = args.next().and_then(|n| n.parse().ok()).unwrap_or(600);
    let mut config = Config::default();
    // The default centre, blown up: the same groups, the same calls for each agent.
    let factor = f64::from(agents) / 40.0;
    let mut first = 100_000;
    for group in &mut config.groups {
        group.agents = (f64::from(group.agents) * factor).round() as u32;
        group.first_extension = first;
        first += group.agents;
    }
    config.arrivals.calls_per_hour *= factor;
    config.queues.iter_mut().for_each(|queue| queue.length_max = 0);
    config.warm_up = Millis::seconds(600);
    let clock = Clock::system();
    let start = 1_767_225_600_000 + 9 * 3_600_000;
    let before = clock.monotonic();
    let mut centre = Centre::new(Arc::new(config.plan().expect("a plan")), 1, start);
    let warm = clock.monotonic() - before;
    let (mut events, mut bytes) = (0_u64, 0_u64);
    let before = clock.monotonic();
    for second in 1..=seconds {
        centre.advance(start + second * 1_000);
        for frame in centre.take_frames() {
            events += 1;
            bytes += frame.text.len() as u64;
        }
    }
    let took = (clock.monotonic() - before).as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!(
        "{agents} agents, {seconds} s played in {took:.2} s (warm-up of 600 s unheard in {:.2} s)",
        warm.as_secs_f64()
    );
    println!(
        "{:.0} events/s of simulated time, {:.0} events/s rendered",
        events as f64 / seconds as f64,
        events as f64 / took
    );
    println!("{:.1} MB/s of simulated time; {memory}", bytes as f64 / seconds as f64 / 1e6);
    println!("{:?}", centre.gauge());
    for queue in centre.truth().queues() {
        println!(
            "{queue:?} asa {} ms",
            queue.answered_wait_ms / 1.max(queue.exits.values().next().copied().unwrap_or(1) as i64)
        );
    }
}
