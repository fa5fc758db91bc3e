//! The judgement: what was answered against what is counted.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::batch;
use crate::load::{Fate, Sent};
use crate::product::Product;

/// How the figures stand to the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Calls of acknowledged batches.
    pub acknowledged: u64,
    /// Of those: not in the figures.
    pub lost: u64,
    /// Calls counted more than once, whoever's.
    pub doubled: u64,
    /// Calls of refused batches that are in the figures.
    pub unasked: u64,
    /// Batches without an answer, of which only a part is in the figures.
    pub torn: u64,
    /// Calls in the figures.
    pub counted: u64,
    /// Whether the report's sums (calls offered, answered, talk) are those of the calls in the figures.
    pub sums_agree: bool,
}

impl Verdict {
    /// Nothing is wrong.
    pub fn is_clean(&self) -> bool {
        (self.lost, self.doubled, self.unasked, self.torn) == (0, 0, 0, 0) && self.sums_agree
    }
}

/// Asks the stopped product's data.
pub async fn judge(product: &Product, sent: &[Sent]) -> Result<Verdict> {
    let (from, to) = range();
    let range = ["--from", from.as_str(), "--to", to.as_str()];
    let text = product.run(&[["report", "calls"].as_slice(), &range, &["--format", "csv"]].concat()).await?;
    let mut lines = text.lines();
    let place = lines.next().and_then(|head| head.split(',').position(|column| column == "call"));
    let place = place.context("the report of calls has no column `call`")?;
    let mut counted: HashMap<&str, u64> = HashMap::new();
    for call in lines.filter_map(|line| line.split(',').nth(place)) {
        *counted.entry(call).or_default() += 1;
    }
    let mut verdict = Verdict { counted: counted.values().sum(), ..Verdict::default() };
    verdict.doubled = counted.values().filter(|times| **times > 1).count() as u64;
    let (mut offered, mut talk_ms) = (0, 0);
    for sent in sent {
        let calls = (0..batch::CALLS).map(|call| batch::call_name(sent.batch * batch::CALLS + call));
        let there = calls.filter(|call| counted.contains_key(call.as_str())).count() as u64;
        offered += there;
        talk_ms += there as i64 * batch::talk_ms(sent.batch);
        match sent.fate {
            Fate::Acknowledged => {
                verdict.acknowledged += batch::CALLS;
                verdict.lost += batch::CALLS - there;
            }
            Fate::Refused | Fate::Wrong => verdict.unasked += there,
            Fate::Unknown => verdict.torn += u64::from(there != 0 && there != batch::CALLS),
        }
    }
    let sums = ["report", "intervals", "--by", "tenant", "--interval", "all", "--format", "json"];
    let sums: Value = serde_json::from_str(&product.run(&[sums.as_slice(), &range].concat()).await?)?;
    let sum =
        |field: &str| sums["rows"].as_array().map(|rows| rows.iter().filter_map(|r| r[field].as_i64()).sum::<i64>());
    let offered = Some(offered as i64);
    verdict.sums_agree = sum("offered") == offered && sum("answered") == offered && sum("talk_ms") == Some(talk_ms);
    Ok(verdict)
}

/// Yesterday to the day after tomorrow.
fn range() -> (String, String) {
    let day = |days: i64| {
        let time = model::Time(service::Clock::system().now_ms() + days * 86_400_000);
        time.to_string()[..10].to_owned()
    };
    (day(-1), day(2))
}
