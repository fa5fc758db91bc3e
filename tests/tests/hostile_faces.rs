//! Everything that a hostile network can do to the faces of a running product: the door for events, the API, the WebSocket.
//!
//! One real process takes all of it, one attack after the other. Of each is asked: a clear refusal (an HTTP problem or a close
//! code) where there is anybody to tell, nobody else kept waiting, memory within a bound, and in the end a clean stop
//! without a panic in its log, and figures that hold exactly what was accepted.
//!
//! The parsers themselves are fuzzed elsewhere; here it is what stands before and around them. `TIDEGATE_FINDING=1` writes the
//! counts to `docs/proof/hostile.json`.
#![allow(clippy::disallowed_methods, reason = "these tests attack a real process in real time")]

#[path = "hostile/bomb.rs"]
mod bomb;
#[path = "hostile/http.rs"]
mod http;
#[path = "hostile/socket.rs"]
mod socket;
#[path = "hostile/victim.rs"]
mod victim;

use anyhow::{Result, ensure};
use bench::{Aim, Figure, Finding};
use tidegate_tests::product::run;
use victim::{Tally, Victim};

/// What the process may take while it is attacked, in MB: an unoptimised build, with every cache full.
const RESIDENT_MAX_MB: f64 = 600.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_network_is_refused_clearly_and_nobody_else_waits() -> Result<()> {
    let place = tempfile::TempDir::new()?;
    let victim = Victim::up(place.path(), "").await?;
    let mut tally = Tally::default();
    let witness = victim.witness();
    http::strangers(&victim, &mut tally).await?;
    http::large_bodies(&victim, &mut tally).await?;
    http::odd_json(&victim, &mut tally).await?;
    http::smuggling(&victim, &mut tally).await?;
    http::odd_requests(&victim, &mut tally).await?;
    socket::odd_frames(&victim, &mut tally).await?;
    socket::floods(&victim, &mut tally).await?;
    socket::greedy_subscriptions(&victim, &mut tally).await?;
    http::slow_senders(&victim, &mut tally).await?;
    http::silent_crowd(&victim, &mut tally).await?;
    http::readers_that_never_read(&victim, &mut tally).await?;
    let good = victim.good_calls();
    let seen = victim.settled(good).await;
    let witnessed = witness.end().await?;
    println!("{tally:#?}\n{witnessed:?}, {good} calls accepted");
    seen?;
    ensure!(tally.unclear.is_empty(), "not refused as it should be:\n{}", tally.unclear.join("\n"));
    ensure!(witnessed.resident_max_mb <= RESIDENT_MAX_MB, "{:.0} MB were taken", witnessed.resident_max_mb);
    ensure!(witnessed.failed == 0, "{} of {} honest requests failed", witnessed.failed, witnessed.asked);
    victim.stop().await?;
    let data = place.path().join("data").to_string_lossy().into_owned();
    let verdict = run(&["rebuild", "--dry-run", "--data", &data]).await?;
    ensure!(verdict.trim_end().ends_with("identical"), "what was told is not what the events say: {verdict}");
    if std::env::var_os("TIDEGATE_FINDING").is_some() {
        finding(&tally, &witnessed).save()?;
    }
    Ok(())
}

fn finding(tally: &Tally, witnessed: &victim::Witnessed) -> Finding {
    let claim =
        "whatever a hostile network sends to the faces is refused clearly, in bounded memory, while others are served";
    Finding::new("hostile", claim, "TIDEGATE_FINDING=1 cargo test -p tidegate-tests --test hostile_faces")
        .figure(Figure::new("kinds of attacks", tally.kinds.len() as f64, ""))
        .figure(Figure::new("attacks", tally.attacks as f64, ""))
        .figure(Figure::new("not refused as they should be", tally.unclear.len() as f64, "").aim(Aim::AtMost(0.0)))
        .figure(Figure::new("honest requests meanwhile", witnessed.asked as f64, ""))
        .figure(Figure::new("of those: failed", witnessed.failed as f64, "").aim(Aim::AtMost(0.0)))
        .figure(Figure::new("the slowest honest request", witnessed.slowest_ms, "ms"))
        .figure(
            Figure::new("memory, at most", witnessed.resident_max_mb, "MB")
                .peer("before the attacks", witnessed.resident_first_mb)
                .aim(Aim::AtMost(RESIDENT_MAX_MB)),
        )
        .note("an unoptimised build, one process, all attacks in turn; afterwards it stopped cleanly, no panic in its log, and a rebuild from the journal was identical")
}
