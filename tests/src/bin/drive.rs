//! Plays the calls of the end-to-end test on a PBX that `tests/pbx/up` started: `drive [PBX_BASE]`.

use anyhow::Result;
use tidegate_tests::drive::Drive;
use tidegate_tests::pbx::Pbx;

#[tokio::main]
async fn main() -> Result<()> {
    let base = std::env::args()
        .nth(1)
        .map_or(Ok(15_000), |base| base.parse())?;
    Drive {
        times: 1,
        verbose: true,
    }
    .run(&Pbx::running(base))
    .await
}
