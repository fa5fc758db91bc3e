//! The dialplan of `deploy/asterisk` in a PBX of the tests: numbers that ask the route gate before they enter a queue.

use crate::pbx::Pbx;
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The numbers: 5101 sales, 5102 support, 5112 sales for emergencies.
const NUMBERS: &str = "\n#include \"extensions_tidegate.conf\"\n\
    [inbound](+)\n\
    exten => 5101,1,Set(CDR(userfield)=did:5101)\n same => n,Goto(gated-sales,s,1)\n\
    exten => 5112,1,Set(CDR(userfield)=did:5112)\n same => n,Goto(gated-sales,s,1)\n\
    exten => 5102,1,Set(CDR(userfield)=did:5102)\n same => n,Goto(gated-support,s,1)\n\
    [gated-sales]\n\
    exten => s,1,Set(TIDEGATE_QUEUE=sales)\n same => n,Goto(tidegate,s,1)\n\
    [gated-support]\n\
    exten => s,1,Set(TIDEGATE_QUEUE=support)\n same => n,Goto(tidegate,s,1)\n";

/// Loads the deployed dialplan, which asks the gate at the port `gate` of this machine, and what a test adds: the smart IVR is whatever
/// `own` says at `[bot]`, extension `s`.
pub async fn install(pbx: &Pbx, gate: u16, own: &str) -> Result<()> {
    let deployed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/asterisk/extensions_tidegate.conf");
    let etc = pbx.home().join("etc");
    std::fs::copy(deployed, etc.join("extensions_tidegate.conf"))?;
    let globals = format!(
        "[globals](+)\nTIDEGATE_AGI = agi://127.0.0.1:{gate}/route\nTIDEGATE_SMART_IVR = bot,s,1\n[bot]\n{}\n",
        own.trim()
    );
    let plan = etc.join("extensions.conf");
    let text = std::fs::read_to_string(&plan)?;
    std::fs::write(&plan, text + NUMBERS + &globals)?;
    // res_agi needs res_speech; those that are loaded already say so, and that is no fault
    for module in ["res_speech", "res_agi", "func_db", "func_dialplan", "func_global", "func_timeout", "func_logic"] {
        pbx.command(&format!("module load {module}.so")).await?;
    }
    pbx.command("dialplan reload").await?;
    let patience = Instant::now() + Duration::from_secs(90);
    while !pbx.command("dialplan show tidegate").await?.contains("AGI(") {
        ensure!(Instant::now() < patience, "the PBX does not take the dialplan");
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
