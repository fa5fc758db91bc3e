//! A flood of real calls, and what is true of it: where the PBX's own records say that the calls ended, what the console says of each, and
//! the laws that both must keep together.

use crate::callers::Callers;
use crate::desk::{self, Desk};
use crate::oracle::Stay;
use crate::pbx::Pbx;
use crate::records::{ChannelEvent, spells};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Callers who come wave after wave, each wave with numbers of its own, until the flood is told to end.
#[derive(Clone, Copy, Debug)]
pub struct Waves {
    /// One wave.
    pub callers: Callers,
    /// The group of the first wave; the others follow.
    pub group: u16,
    /// A wave each so many seconds.
    pub every_s: f64,
    /// So many at most.
    pub most: u16,
}

impl Waves {
    /// Calls until `over` says so, and comes back when the last caller has hung up. How many called.
    pub async fn run(self, pbx: &Pbx, mut over: watch::Receiver<bool>) -> Result<u32> {
        let base = pbx.ami().port() - 38;
        let mut waves = JoinSet::new();
        for group in self.group..self.group + self.most {
            waves.spawn(async move { self.callers.call(&Pbx::running(base), group).await });
            tokio::select! {
                _ = over.wait_for(|over| *over) => break,
                () = sleep(Duration::from_secs_f64(self.every_s)) => {}
            }
        }
        let count = waves.len() as u32 * self.callers.count;
        while let Some(ended) = waves.join_next().await {
            ended.context("a wave of callers crashed")??;
        }
        Ok(count)
    }
}

/// Where a call from outside ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In its queue.
    Queue,
    /// At the smart IVR.
    SmartIvr,
    /// At the announcement of the chat.
    Chat,
    /// At the menu of keys.
    KeypadIvr,
    /// At desk phones.
    HardPhone,
}

impl Place {
    fn of(context: &str, extension: &str) -> Option<Place> {
        Some(match (context, extension) {
            ("tidegate-queue", _) => Place::Queue,
            ("bot", _) => Place::SmartIvr,
            ("tidegate-targets", "chat") => Place::Chat,
            ("tidegate-targets", "keypad_ivr") => Place::KeypadIvr,
            ("tidegate-hardphone", _) => Place::HardPhone,
            _ => return None,
        })
    }

    /// The outcome by which the console calls it.
    pub fn outcome(self) -> &'static str {
        match self {
            Place::Queue => "admitted",
            Place::SmartIvr => "smart_ivr",
            Place::Chat => "chat",
            Place::KeypadIvr => "keypad_ivr",
            Place::HardPhone => "human_queue",
        }
    }
}

/// A call from outside, by the call details of the PBX.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The caller's number.
    pub number: String,
    /// Where it ended.
    pub place: Place,
}

/// Every call from outside, by its id.
pub fn ends(pbx: &Pbx) -> Result<BTreeMap<String, Ended>> {
    let text = std::fs::read_to_string(pbx.home().join("log/cdr-csv/Master.csv"))?;
    let mut ends: BTreeMap<String, Ended> = BTreeMap::new();
    for row in csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes()).records() {
        let row = row?;
        let field = |at: usize| row.get(at).unwrap_or("").to_owned();
        if !field(5).starts_with("PJSIP/trunk-") {
            continue;
        }
        let place = Place::of(&field(3), &field(2)).with_context(|| format!("a call ended nowhere: {row:?}"))?;
        let ended = Ended { number: field(1), place };
        // a call that rang several agents has several rows, all of one place
        let before = ends.insert(field(16), ended);
        ensure!(before.is_none_or(|before| before.place == place), "a call ended in two places: {row:?}");
    }
    Ok(ends)
}

/// What the console says of the one decision about a call.
#[derive(Clone, Debug)]
pub struct Said {
    /// The call.
    pub call: String,
    /// The caller's number, by the call details.
    pub number: String,
    /// When it was decided (ms since the epoch).
    pub at: i64,
    /// The queue that it was meant for.
    pub queue: String,
    /// Where it was led, or `admitted`.
    pub outcome: String,
    /// The rule that decided.
    pub rule: String,
    /// The level then.
    pub level: u64,
    /// All of it.
    pub whole: Value,
}

impl Said {
    /// Whether it entered its queue.
    pub fn enters(&self) -> bool {
        self.outcome == "admitted"
    }

    /// Whether the rule protects its caller.
    pub fn is_protected(&self) -> bool {
        ["vip", "emergency", "attempts", "diverted_in_vain"].contains(&self.rule.as_str())
    }

    fn number(&self, path: &str) -> f64 {
        self.whole.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN)
    }

    /// Calls per second that could be served, by the plan that decided.
    pub fn capacity_per_s(&self) -> f64 {
        self.number("/plan/capacity_per_s")
    }

    /// What the plan that decided gives to each target, by its name.
    fn split(&self) -> BTreeMap<&str, f64> {
        let split = self.whole["plan"]["split"].as_array().map_or(&[][..], Vec::as_slice);
        split.iter().filter_map(|share| Some((share["target"].as_str()?, share["share"].as_f64()?))).collect()
    }
}

/// What the console says of every call, in the order of the decisions. A call that cannot be explained, or that ended elsewhere than the
/// console says, is an error; so is an explanation without its inputs.
pub async fn explained(desk: &Desk, ends: &BTreeMap<String, Ended>) -> Result<Vec<Said>> {
    let mut all = Vec::new();
    for (call, ended) in ends {
        let said = one(desk, call, ended).await?;
        ensure!(
            said.outcome == ended.place.outcome(),
            "{call} ended at {:?}, and the console says {:#}",
            ended.place,
            said.whole
        );
        inputs(&said).with_context(|| format!("{call}: {:#}", said.whole))?;
        all.push(said);
    }
    all.sort_by_key(|said| said.at);
    Ok(all)
}

async fn one(desk: &Desk, call: &str, ended: &Ended) -> Result<Said> {
    let patience = Instant::now() + Duration::from_secs(90);
    loop {
        // what was decided a moment ago is still on its way to the store
        let told = desk.get_now(&format!("/v1/explain/{call}")).await;
        let decisions = told.as_ref().ok().and_then(|told| told["decisions"].as_array().cloned()).unwrap_or_default();
        if let [whole] = decisions.as_slice() {
            let text = |name: &str| whole[name].as_str().unwrap_or_default().to_owned();
            let at: jiff::Timestamp = text("at").parse().with_context(|| format!("no time in {whole:#}"))?;
            return Ok(Said {
                call: call.to_owned(),
                number: ended.number.clone(),
                at: at.as_millisecond(),
                queue: text("queue"),
                outcome: text("outcome"),
                rule: text("rule"),
                level: whole["level"].as_u64().context("no level")?,
                whole: whole.clone(),
            });
        }
        ensure!(Instant::now() < patience, "{call} is not explained: {told:?}");
        sleep(Duration::from_millis(500)).await;
    }
}

/// Rule, plan, why it was issued, the figures that it was made of, and the thresholds that it followed.
fn inputs(said: &Said) -> Result<()> {
    let whole = &said.whole;
    ensure!(!said.rule.is_empty(), "no rule");
    let version = whole["plan_version"].as_u64().unwrap_or(0);
    ensure!(version > 0 && whole["plan"]["version"] == version, "not the plan that decided");
    ensure!(whole["plan_why"].as_str().is_some_and(|why| !why.is_empty()), "nobody says why the plan was issued");
    for figure in ["agents", "waiting", "free", "answered"] {
        ensure!(whole["plan"]["figures"][figure].is_number(), "the plan has no figure {figure}");
    }
    ensure!(whole["plan"]["flow"]["attempts_per_s"].is_number(), "nobody says how many came");
    ensure!(whole["thresholds"]["goal"]["within_s"].is_number(), "no thresholds");
    let ordered = whole["overrides"].as_array().is_some_and(|orders| !orders.is_empty());
    let automatic = desk::number(&whole["plan"]["automatic"]["level"]).context("the plan has no level")?;
    ensure!(ordered || said.level == automatic as u64, "the level is not that of the load, and nobody ordered it");
    Ok(())
}

/// How sure a bound is: a true split leaves it once in a hundred thousand runs.
const SURE: f64 = 5e-6;

/// The counts between which the number of successes lies when each of these chances is drawn once, independently: the exact quantiles
/// of their sum (a Poisson binomial), with `SURE` on either side.
pub fn bounds(chances: &[f64]) -> (usize, usize) {
    let mut distribution = vec![1.0];
    for chance in chances {
        let mut next = vec![0.0; distribution.len() + 1];
        for (count, likely) in distribution.iter().enumerate() {
            next[count] += likely * (1.0 - chance);
            next[count + 1] += likely * chance;
        }
        distribution = next;
    }
    let below = |from: &mut dyn Iterator<Item = &f64>| {
        let mut sum = 0.0;
        from.take_while(|likely| {
            sum += **likely;
            sum < SURE
        })
        .count()
    };
    let low = below(&mut distribution.iter());
    let high = chances.len() - below(&mut distribution.iter().rev());
    (low, high)
}

/// What a target takes, and where its callers are told to be.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name in the plans.
    pub name: &'static str,
    /// Where calls end that are led there.
    pub place: Place,
    /// Calls per second that it takes.
    pub capacity_per_s: f64,
}

/// Every target got what the plans gave it, within the bounds of chance: of each caller the first time that they were led away by their
/// place or by the room, for those who call again follow the first time. A target that is `full` at times gets less, and who finds no
/// room there goes to the one after it, so that of those two only what can be said is said. One line for each target.
pub fn split_is_kept(said: &[Said], targets: &[Target], full: &str) -> Result<Vec<String>> {
    let mut seen = BTreeSet::new();
    let led: Vec<&Said> = said.iter().filter(|said| !said.enters() && seen.insert(said.number.clone())).collect();
    let mut told = Vec::new();
    for (at, target) in targets.iter().enumerate() {
        let chances: Vec<f64> = led.iter().map(|said| said.split().get(target.name).copied().unwrap_or(0.0)).collect();
        let (low, high) = bounds(&chances);
        let got = led.iter().filter(|said| said.outcome == target.place.outcome()).count();
        let expected: f64 = chances.iter().sum();
        told.push(format!("{}: {got} of {}, expected {expected:.1}, bounds {low} to {high}", target.name, led.len()));
        let after = targets[(at + targets.len() - 1) % targets.len()].name == full;
        ensure!(target.name == full || got >= low, "too few: {}", told[at]);
        ensure!(after || got <= high, "too many: {}", told[at]);
    }
    Ok(told)
}

/// Seconds of its own flow that a target takes at once, beside one call.
const TARGET_BURST_S: f64 = 5.0;

/// No target got more than it takes, over any stretch of time.
pub fn capacity_is_kept(said: &[Said], targets: &[Target]) -> Result<()> {
    for target in targets {
        let led = said.iter().filter(|said| said.outcome == target.place.outcome());
        let times: Vec<f64> = led.map(|said| said.at as f64 / 1_000.0).collect();
        let burst = target.capacity_per_s.mul_add(TARGET_BURST_S, 1.0);
        bucket_is_kept(&times, target.capacity_per_s, burst).with_context(|| target.name)?;
    }
    Ok(())
}

/// Of these moments (seconds, ascending) no stretch holds more than a bucket of this rate and burst lets pass.
pub fn bucket_is_kept(times: &[f64], rate_per_s: f64, burst: f64) -> Result<()> {
    for (from, start) in times.iter().enumerate() {
        for (to, end) in times.iter().enumerate().skip(from) {
            // both are whole milliseconds
            let most = burst + (end - start + 0.002) * rate_per_s;
            let passed = to - from + 1;
            ensure!(passed as f64 <= most + 1e-6, "{passed} within {:.3} s, at most {most:.2}", end - start);
        }
    }
    Ok(())
}

/// After-call work that `queues.conf` gives an agent, and the second by which app_queue, which counts whole ones, may be late (ms).
const WRAP_UP_MS: i64 = 3_000;

/// When each agent of a queue was busy, and when callers waited: the PBX's own channel events and its log of the queue.
#[derive(Clone, Debug)]
pub struct Floor {
    busy: BTreeMap<String, Vec<(i64, i64)>>,
    waiting: Vec<(i64, i64)>,
}

impl Floor {
    /// Of the agents with these numbers, and all stays of the queue that they alone serve.
    pub fn of(agents: &[u16], events: &[ChannelEvent], stays: &[&Stay]) -> Floor {
        let busy =
            agents.iter().map(|agent| (agent.to_string(), spells(&agent.to_string(), events, WRAP_UP_MS))).collect();
        Floor { busy, waiting: stays.iter().map(|stay| (stay.queued_at, stay.queued_at + stay.wait_ms)).collect() }
    }

    /// Whether at a moment an agent was free and nobody waited.
    pub fn is_free(&self, at: i64) -> bool {
        let within = |(from, to): &(i64, i64)| (*from..=*to).contains(&at);
        !self.waiting.iter().any(within) && self.busy.values().any(|spells| !spells.iter().any(within))
    }

    /// Whether that was so all the time from `from` on up to `to`.
    pub fn is_free_all(&self, from: i64, to: i64) -> bool {
        (from..=to).step_by(5).all(|at| self.is_free(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_equal_chances_are_those_of_the_binomial() {
        let (low, high) = bounds(&[0.5; 100]);
        // 4.4 standard deviations of 5
        assert!((27..=29).contains(&low) && (71..=73).contains(&high), "{low} to {high}");
        assert_eq!(bounds(&[]), (0, 0));
        assert_eq!(bounds(&[1.0; 7]), (7, 7));
        assert_eq!(bounds(&[0.0; 7]), (0, 0));
    }

    #[test]
    fn a_bucket_that_lets_too_many_pass_is_noticed() {
        assert!(bucket_is_kept(&[0.0, 0.1, 2.0], 1.0, 2.0).is_ok());
        assert!(bucket_is_kept(&[0.0, 0.1, 0.2], 1.0, 2.0).is_err());
    }

    #[test]
    fn an_agent_in_after_call_work_is_not_free_and_neither_is_one_whom_somebody_waits_for() {
        let floor = Floor { busy: [("1".to_owned(), vec![(100, 200)])].into(), waiting: vec![(300, 400)] };
        let free: Vec<bool> = [50, 150, 250, 350, 450].map(|at| floor.is_free(at)).to_vec();
        assert_eq!(free, [true, false, true, false, true]);
        assert!(floor.is_free_all(201, 299) && !floor.is_free_all(201, 310));
    }
}
