//! Two collectors watch one real Asterisk while phones ring: the one that writes is killed, then the other one stands still for longer
//! than its lease. What is published is what that Asterisk wrote down, to the moment, as if one collector had watched all the time.
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes and a real PBX in real time")]

use anyhow::{Context as _, Result, ensure};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tidegate_tests::compare::Tolerance;
use tidegate_tests::drive::Drive;
use tidegate_tests::face::Face;
use tidegate_tests::oracle::Oracle;
use tidegate_tests::pair::{self, Pair};
use tidegate_tests::parts::Part;
use tidegate_tests::pbx::Pbx;
use tidegate_tests::records::Records;
use tidegate_tests::watched::{self, EACH_MS};
use tokio::time::sleep;

/// First of the ports of this PBX and of what belongs to it.
const BASE: u16 = 23_000;
/// Longer than a lease by far.
const ASLEEP: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_misses_nothing_of_real_calls_when_one_dies_or_stands_still() -> Result<()> {
    let pbx = Pbx::start(BASE)?;
    let folder = watched::fresh_folder(&pbx)?;
    let face = SocketAddr::from((Ipv4Addr::LOCALHOST, BASE + 910));
    let mut others = Vec::new();
    for (program, config) in others_of(&folder, face) {
        others.push(Part::start(&folder, program, program, &config).await?);
    }
    let journal = folder.join("journal.db");
    let source = watched::source(&folder, &pbx, pbx.ami())?;
    let config = format!("[collector.journal]\npath = {journal:?}\n{source}");
    let Pair { mut first, mut second } = Pair::start(&folder, &config).await?;

    let calls = tokio::spawn(async { Drive { times: 1, verbose: false }.run(&Pbx::running(BASE)).await });
    sleep(Duration::from_secs(10)).await;
    first.kill().await?;
    println!("killed: the other one writes after {:.1?}", pair::writes(&second, 1).await?);
    first.start_again().await?;
    println!("started again: ready to take over after {:.1?}", pair::ready(&first, 1).await?);
    println!("stopped: the other one writes after {:.1?}", pair::stand_still(&second, &first, 2).await?);
    ensure!(!calls.is_finished(), "nobody called any more when it was the other one's turn");
    sleep(ASLEEP).await;
    second.signal("CONT").await?;
    calls.await.context("the drive crashed")??;

    let oracle = Oracle::of(&Records::read(pbx.home())?)?;
    watched::everything_happened(&oracle)?;
    let face = Face::at(face)?;
    let settled = watched::settle(&face, &oracle, &Tolerance { each_ms: EACH_MS, blind: Vec::new() }).await;
    settled.with_context(|| first.said() + &second.said() + &others.iter().map(Part::said).collect::<String>())?;
    let gap = watched::gap_seconds(&face, &oracle).await?;
    ensure!(gap == 0.0, "one of the two always heard the PBX, and yet {gap} s are marked as a gap");
    for part in [&mut first, &mut second].into_iter().chain(&mut others) {
        part.stop().await?;
    }
    Ok(())
}

/// What reads the journal that the two write, and their files.
fn others_of(folder: &Path, face: SocketAddr) -> [(&'static str, String); 3] {
    let (journal, store) = (folder.join("journal.db"), folder.join("store.db"));
    let both = format!("journal = {{ path = {journal:?} }}\nstore = {{ path = {store:?} }}\n");
    let nowhere = "listen = { address = \"127.0.0.1:0\" }";
    [
        ("receiver", format!("[receiver]\n{nowhere}\njournal = {{ path = {journal:?} }}\n")),
        ("aggregator", format!("[aggregator]\n{both}")),
        (
            "pusher",
            format!("[pusher]\nlisten = {{ address = \"{face}\" }}\nauth = {{ anonymous = \"viewer\" }}\n{both}"),
        ),
    ]
}
