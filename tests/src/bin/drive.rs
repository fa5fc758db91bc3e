//! Plays the calls of the end-to-end test on a PBX that `tests/pbx/up` started, and tells what really happened.

use anyhow::{Context as _, Result};
use tidegate_tests::drive::Drive;
use tidegate_tests::oracle::Oracle;
use tidegate_tests::pbx::Pbx;
use tidegate_tests::records::Records;

#[tokio::main]
async fn main() -> Result<()> {
    let mut base = 15_000;
    let mut play = true;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--tell" => play = false,
            port => base = port.parse().context("usage: drive [--tell] [PBX_BASE]; --tell plays nothing")?,
        }
    }
    let pbx = Pbx::running(base);
    if play {
        Drive { times: 1, verbose: true }.run(&pbx).await?;
    }
    // of all that this PBX has on record since it was started
    println!("{}", Oracle::of(&Records::read(pbx.home())?)?);
    Ok(())
}
