//! The simulated centre's own ledger beside the product's records.

use crate::compare::{self, Differences, Tolerance};
use crate::ledger;
use anyhow::Result;
use serde_json::Value;

/// Compares the records of calls that were offered after `began` (Unix milliseconds) and are over for a while with the ledger.
/// `control` is the simulator's own address, `face` the pusher's. Answers how many were compared, and what differs.
pub async fn judge(control: &str, face: &str, began: i64) -> Result<(usize, Differences)> {
    let truth = reqwest::get(format!("http://{control}/v1/truth")).await?.error_for_status()?.text().await?;
    let calls = ledger::read(&truth)?;
    let latest = calls.iter().filter_map(|call| call.ended_ms).max().unwrap_or(0);
    let mut differences = Differences::default();
    let mut compared = 0;
    for call in calls.iter().filter(|call| call.direction == "inbound" && call.offered_ms > began) {
        let Some(stays) = call.stays().filter(|_| call.ended_ms.is_some_and(|ended| ended + 2000 < latest)) else {
            continue;
        };
        let record = record(face, &call.call).await.unwrap_or(Value::Null);
        compared += 1;
        let stays: Vec<_> = stays.iter().collect();
        let tolerance = Tolerance { each_ms: 120, blind: Vec::new() };
        compare::segments(&call.call, &record, &stays, &tolerance, &mut differences);
    }
    Ok((compared, differences))
}

async fn record(face: &str, call: &str) -> Result<Value> {
    let url = format!("http://{face}/v1/calls/{call}");
    Ok(reqwest::get(url).await?.error_for_status()?.json().await?)
}
