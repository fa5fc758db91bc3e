//! A flood of real calls at a real Asterisk: the console's own plan diverts it, callers end where the gate said, whoever must get through
//! does, and every call can be explained. An order of a person holds and ends by itself.
//!
//! Times are waited for, never asserted; what is asserted of a call hangs on when it was decided and on what the PBX wrote down.
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes and a real PBX in real time")]

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidegate_tests::ami::Ami;
use tidegate_tests::callers::Callers;
use tidegate_tests::compare::{self, Differences, Tolerance};
use tidegate_tests::desk::{self, Desk};
use tidegate_tests::drive::add;
use tidegate_tests::flood::{self, Floor, Place, Said, Target, Waves};
use tidegate_tests::gated;
use tidegate_tests::oracle::Oracle;
use tidegate_tests::pbx::{DRIVER_LOGIN, PRODUCT_LOGIN, Pbx};
use tidegate_tests::phone::{Habit, Phone};
use tidegate_tests::product::Product;
use tidegate_tests::records::Records;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// First of the ports of this PBX and of what belongs to it.
const BASE: u16 = 9_000;
const AGI: u16 = BASE + 573;
const GATE: u16 = BASE + 574;
const CONSOLE: u16 = BASE + 575;
/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(240);

/// Those who serve sales: about 1.2 calls a second, 3 s of talk and 2 s of after-call work each.
const AGENTS: [u16; 6] = [103, 104, 105, 106, 107, 108];
/// The flood, of the patient and of those who give up soon: three times as many.
const FLOOD: Waves =
    Waves { callers: Callers::of("flood", "5101", 12, 2.6, 0.0, 20_000), group: 20, every_s: 5.0, most: 20 };
const HASTY: Waves =
    Waves { callers: Callers::of("hasty", "5101", 3, 1.0, 0.0, 1_700), group: 45, every_s: 5.0, most: 20 };
/// Who calls again, who is protected, and who dials the number of emergencies.
const AGAIN: (u16, Callers) = (2, Callers::of("again", "5101", 10, 1.5, 0.0, 2_500));
const VIP: (u16, Callers) = (3, Callers::of("vip", "5101", 5, 0.5, 0.0, 20_000));
const EMERGENCY: (u16, Callers) = (4, Callers::of("emergency", "5112", 3, 0.4, 0.0, 20_000));
/// Before the flood, and at the queue that a person orders something about.
const CALM: (u16, Callers) = (1, Callers::of("calm", "5101", 6, 0.5, 0.0, 20_000));
const ORDERED: (u16, Callers) = (5, Callers::of("ordered", "5102", 6, 2.0, 0.0, 2_500));
const AFTER: (u16, Callers) = (6, Callers::of("after", "5102", 1, 1.0, 0.0, 1_700));

/// Where callers are led, and what each takes. The last helps most and takes least: it is full at times.
const TARGETS: [Target; 3] = [
    Target { name: "bot", place: Place::SmartIvr, capacity_per_s: 6.0 },
    Target { name: "web", place: Place::Chat, capacity_per_s: 3.0 },
    Target { name: "keys", place: Place::KeypadIvr, capacity_per_s: 0.3 },
];
const CONTAINMENT: [f64; 3] = [0.1, 0.1, 1.0];

/// The number of a caller of a group.
fn number(group: u16, call: u32) -> String {
    format!("4930555{}0{call}", group + 10)
}

/// Who calls in one of the groups.
fn is_of(number: &str, group: u16) -> bool {
    number.starts_with(&format!("4930555{}0", group + 10))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_calls_is_diverted_by_the_consoles_own_plan_and_an_order_holds_until_its_end() -> Result<()> {
    let pbx = Pbx::start(BASE)?;
    let centre = Centre::prepare(&pbx).await?;
    let call = |(group, callers): (u16, Callers)| callers.call(&pbx, group);

    call(CALM).await?;
    centre.mistakes().await?;
    let watching = centre.watch_gate();
    let (tell, over) = watch::channel(false);
    let flood = async {
        let (patient, hasty) = tokio::try_join!(FLOOD.run(&pbx, over.clone()), HASTY.run(&pbx, over.clone()))?;
        anyhow::Ok(patient + hasty)
    };
    let meanwhile = async {
        centre.until("the flood is diverted", "sales", |queue| queue["level_number"].as_u64() >= Some(2)).await?;
        tokio::try_join!(call(VIP), call(EMERGENCY), async {
            call(AGAIN).await?;
            call(AGAIN).await
        })?;
        tell.send(true)?;
        anyhow::Ok(())
    };
    let (came, ()) = tokio::try_join!(flood, meanwhile)?;
    let ages = watching.end();
    // while the flood recedes, a person orders something about the other queue
    let order = centre.order(&pbx).await?;
    centre.until("the flood is over", "sales", |queue| queue["level_number"] == 0).await?;
    sleep(Duration::from_secs(1)).await;

    let ends = flood::ends(&pbx)?;
    let expected = came + CALM.1.count + VIP.1.count + EMERGENCY.1.count + 2 * AGAIN.1.count + ORDERED.1.count + 1;
    ensure!(ends.len() as u32 == expected, "{} calls ended, {expected} were made", ends.len());
    let said = flood::explained(&centre.desk, &ends).await?;
    let (sales, support): (Vec<Said>, Vec<Said>) = said.iter().cloned().partition(|said| said.queue == "sales");
    tell_rules(&sales);
    whoever_must_gets_through(&sales)?;
    who_calls_again_gets_the_same_answer(&sales)?;
    targets_get_their_shares(&sales)?;
    order.held(&support)?;
    let records = Records::read(pbx.home())?;
    let oracle = Oracle::of(&records)?;
    nobody_is_led_away_from_a_free_agent(&sales, &records, &oracle, &ages)?;
    centre.levels_and_audit(&order).await?;
    centre.figures(&oracle, &said).await
}

fn tell_rules(said: &[Said]) {
    let mut rules: BTreeMap<(u64, &str, &str), usize> = BTreeMap::new();
    said.iter().for_each(|said| *rules.entry((said.level, &said.rule, &said.outcome)).or_default() += 1);
    println!("level, rule and outcome of the calls for sales: {rules:#?}");
}

/// Nobody is led away before the flood; emergencies, VIPs and whoever calls again and again enter in it.
fn whoever_must_gets_through(sales: &[Said]) -> Result<()> {
    let of = |group: u16| sales.iter().filter(move |said| is_of(&said.number, group));
    for (group, what) in [(CALM.0, "before the flood"), (VIP.0, "a VIP"), (EMERGENCY.0, "an emergency")] {
        ensure!(of(group).count() > 0, "nobody called: {what}");
        ensure!(of(group).all(Said::enters), "{what} was led away: {:#?}", of(group).find(|said| !said.enters()));
    }
    let rules = |group: u16, own: &str| of(group).all(|said| [own, "agent_free", "open"].contains(&said.rule.as_str()));
    ensure!(rules(VIP.0, "vip"), "a VIP entered by another rule");
    ensure!(of(EMERGENCY.0).all(|said| said.rule == "emergency"), "an emergency entered by another rule");
    let led = sales.iter().filter(|said| !said.enters()).count();
    ensure!(led >= 20, "{led} of {} calls were led away: that is no flood", sales.len());
    ensure!(sales.iter().any(|said| said.level >= 2 && said.rule == "room"), "nobody entered by the room");
    Ok(())
}

/// Who was led away and calls again is led to the same place, unless an agent is free now.
fn who_calls_again_gets_the_same_answer(sales: &[Said]) -> Result<()> {
    let mut again = 0;
    for caller in 1..=AGAIN.1.count {
        let number = number(AGAIN.0, caller);
        let calls: Vec<&Said> = sales.iter().filter(|said| said.number == number).collect();
        let [first, second] = calls.as_slice() else { anyhow::bail!("{number} called {} times", calls.len()) };
        if first.enters() || second.rule == "agent_free" {
            continue;
        }
        again += 1;
        let same = second.outcome == first.outcome || second.outcome == fallen_over(&first.outcome);
        ensure!(same && !second.enters(), "{number} got another answer: {:#} and then {:#}", first.whole, second.whole);
    }
    ensure!(again > 0, "none of those who called again was led away: it proves nothing");
    println!("{again} of {} called again and were led to the same place", AGAIN.1.count);
    Ok(())
}

/// The place of those who find no room at the target that is full at times.
fn fallen_over(outcome: &str) -> &'static str {
    if outcome == Place::KeypadIvr.outcome() { Place::SmartIvr.outcome() } else { "" }
}

fn targets_get_their_shares(sales: &[Said]) -> Result<()> {
    flood::split_is_kept(sales, &TARGETS, "keys")?.iter().for_each(|line| println!("{line}"));
    flood::capacity_is_kept(sales, &TARGETS)?;
    Ok(())
}

/// By the PBX's own records: nobody was led away while, for longer than news take to the gate, an agent was free and nobody waited.
fn nobody_is_led_away_from_a_free_agent(
    sales: &[Said],
    records: &Records,
    oracle: &Oracle,
    ages: &[(i64, i64)],
) -> Result<()> {
    let floor = Floor::of(&AGENTS, &records.channel, &oracle.stays_in("sales"));
    let mut longest = 0;
    for led in sales.iter().filter(|said| !said.enters()) {
        // how old the gate's figures were about then, and a second for what is on its way to them
        let near = ages.iter().filter(|(at, _)| (at - led.at).abs() < 2_000);
        let age = near.map(|(_, age)| *age).max().unwrap_or(0) + 1_000;
        longest = longest.max(age);
        ensure!(
            !floor.is_free_all(led.at - age, led.at),
            "led away although an agent was free and nobody waited for {age} ms: {:#}",
            led.whole
        );
    }
    let free = sales.iter().filter(|said| said.rule == "agent_free").count();
    ensure!(free > 0, "no call found an agent free: it proves nothing");
    println!("{free} calls found an agent free; news took {longest} ms at most");
    Ok(())
}

/// The product beside the PBX, and the agents' phones.
struct Centre {
    product: Product,
    desk: Desk,
    _phones: Vec<Phone>,
}

/// What a person ordered of support.
struct Order {
    id: String,
    /// From when on the gate enforced it, and until when it was to hold (ms since the epoch).
    from: i64,
    until: i64,
}

/// Looks at the gate five times a second: how old its figures of sales are.
struct Watching {
    seen: Arc<Mutex<Vec<(i64, i64)>>>,
    task: JoinHandle<()>,
}

impl Watching {
    /// When it was looked at, and how old the figures were then (both ms).
    fn end(self) -> Vec<(i64, i64)> {
        self.task.abort();
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

impl Centre {
    async fn prepare(pbx: &Pbx) -> Result<Centre> {
        gated::install(pbx, AGI, "exten => s,1,Answer()\n same => n,Wait(2)\n same => n,Hangup()").await?;
        let config = files(pbx)?;
        let ports = [("console", CONSOLE), ("cti", GATE), ("cti.agi", AGI)];
        let set = ports.map(|(part, port)| format!("{part}.listen.address=127.0.0.1:{port}"));
        let arguments: Vec<&str> = set.iter().flat_map(|set| ["--set", set.as_str()]).collect();
        let folder = pbx.home().with_extension("product");
        let product =
            Product::up(&folder, BASE + 910, &[&["--config", config.as_str()], &arguments[..]].concat()).await?;
        let mut phones = Vec::new();
        let (mut ami, _events) = Ami::log_in(pbx.ami(), DRIVER_LOGIN.0, DRIVER_LOGIN.1).await?;
        for agent in AGENTS {
            let habit = Habit::Answers { talk: 3_000 };
            phones.push(Phone::plug_in(&agent.to_string(), pbx.port(agent), pbx.sip(), 100, habit).await?);
            add(&mut ami, &agent.to_string(), "sales").await?;
        }
        let centre = Centre { product, desk: Desk::at(SocketAddr::from(([127, 0, 0, 1], CONSOLE)))?, _phones: phones };
        centre.set_up().await?;
        Ok(centre)
    }

    /// Targets and thresholds, through the console's API; back when there are plans that follow them.
    async fn set_up(&self) -> Result<()> {
        let kinds = ["smart_ivr", "chat", "keypad_ivr"];
        for ((target, kind), containment) in TARGETS.iter().zip(kinds).zip(CONTAINMENT) {
            let body = json!({
                "kind": kind, "address": format!("tidegate-targets,{kind},1"),
                "capacity_per_s": target.capacity_per_s, "containment": containment,
            });
            self.desk.put(&format!("/v1/targets/{}?why=a+test", target.name), 0, body).await?;
        }
        let staffed = |queue: &Value| queue["plan"]["figures"]["agents"].as_f64() == Some(AGENTS.len() as f64);
        self.until("all agents are seen", "sales", staffed).await?;
        self.until("support is seen", "support", |queue| queue["plan"].is_object()).await?;
        // a test does not wait a minute and a half for each level
        let sales = json!({
            "goal": { "within_s": 10.0 }, "calm_s": 3.0, "service_default_s": 5.0, "helpless_s": 600.0,
            "targets": TARGETS.map(|target| json!({ "target": target.name })),
        });
        self.desk.put("/v1/thresholds/sales?why=a+test", 0, sales).await?;
        self.desk.put("/v1/thresholds/support?why=a+test", 0, json!({ "targets": [{ "target": "bot" }] })).await?;
        for queue in ["sales", "support"] {
            self.until("its plan follows the thresholds", queue, |queue| queue["plan"]["thresholds"] == 1).await?;
        }
        Ok(())
    }

    /// What cannot hold is refused with everything that is wrong with it, and what should not have been ordered is taken back from the
    /// audit.
    async fn mistakes(&self) -> Result<()> {
        let bad = json!({
            "goal": { "share": 2.0, "within_s": "soon" }, "floor_per_s": 3.0, "stale": { "static_per_s": [1.0] },
            "targets": [{ "target": "moon" }], "colour": "red",
        });
        let mut wrong = self.desk.refused("/v1/thresholds/sales", 1, bad, 422).await?;
        wrong.sort_unstable();
        let want = ["colour", "goal.share", "goal.within_s", "stale.static_per_s.0", "targets.0.target"];
        ensure!(wrong == want, "{wrong:?}");
        self.desk.refused("/v1/thresholds/sails", 0, json!({}), 404).await?;
        let wish =
            json!({ "queue": "support", "order": { "level_locked": { "level": "divert_all" } }, "for_s": 600.0 });
        self.desk.post("/v1/overrides?why=a+slip", wish).await?;
        enforces("support", "divert_all").await?;
        let audit = self.desk.get("/v1/audit?limit=1").await?;
        let slip = &audit["changes"][0]["event"];
        ensure!(slip["why"] == "a slip", "the last decision of a person is another one: {slip:#}");
        let id = slip["id"].as_str().context("a decision without an id")?;
        self.desk.post(&format!("/v1/audit/{id}/undo?why=it+was+a+slip"), Value::Null).await?;
        enforces("support", "normal").await
    }

    /// Waits until a queue is so, as the console shows it.
    async fn until(&self, what: &str, queue: &str, so: impl Fn(&Value) -> bool) -> Result<()> {
        let found = |queues: &[Value]| queues.iter().any(|shown| shown["queue"] == queue && so(shown));
        self.desk.until(&format!("{queue}: {what}"), &self.product, found).await.map(drop)
    }

    fn watch_gate(&self) -> Watching {
        let seen = Arc::<Mutex<Vec<(i64, i64)>>>::default();
        let kept = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                if let Ok(shown) = enforced("sales").await {
                    let age = shown["age_s"].as_f64().unwrap_or(0.0) * 1_000.0;
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push((now_ms(), age as i64));
                }
                sleep(Duration::from_millis(200)).await;
            }
        });
        Watching { seen, task }
    }

    /// A person orders that everybody is led away from support; some call while it holds, and one after it is over by itself.
    async fn order(&self, pbx: &Pbx) -> Result<Order> {
        let wish = json!({
            "queue": "support", "order": { "level_locked": { "level": "divert_all" } }, "for_s": 25.0,
        });
        let set = self.desk.post("/v1/overrides?why=a+drill", wish).await?;
        let until: jiff::Timestamp = set["until"].as_str().context("an order without an end")?.parse()?;
        let id = set["id"].as_str().context("an order without a name")?.to_owned();
        enforces("support", "divert_all").await?;
        let order = Order { id, from: now_ms(), until: until.as_millisecond() };
        ORDERED.1.call(pbx, ORDERED.0).await?;
        sleep(Duration::from_millis(u64::try_from(order.until - now_ms()).unwrap_or(0) + 200)).await;
        AFTER.1.call(pbx, AFTER.0).await?;
        Ok(order)
    }

    /// The levels rose and came down one at a time, and the audit vouches for all of it, the order of the person too.
    async fn levels_and_audit(&self, order: &Order) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let export = self.desk.export().await?;
            desk::verify(&export).await?;
            let records = desk::records(&export)?;
            let of = |ty: &str| {
                records.iter().find(|record| record["type"] == ty && record["data"]["id"] == order.id.as_str())
            };
            let set = of("override.set.v1").context("the order is not in the audit")?;
            let by = set["by"].as_str().unwrap_or_default();
            ensure!(by.starts_with("operator/") && set["why"] == "a drill", "who ordered it, and why? {set:#}");
            let levels = desk::levels(&records, "sales")?;
            let highest = levels.iter().copied().max().unwrap_or(0);
            ensure!(highest >= 2 && levels.last() == Some(&0), "{levels:?}");
            desk::versions(&records, "sales")?;
            if let Some(cleared) = of("override.cleared.v1") {
                ensure!(cleared["by"] == "automatic" && cleared["causeid"] == set["id"], "{cleared:#}");
                println!("levels of sales: {levels:?}");
                return Ok(());
            }
            ensure!(Instant::now() < patience, "the end of the order is not in the audit");
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// The figures of both queues are what the PBX wrote down: offered, answered, abandoned, and who was led where (each call of `said`
    /// is one whose end was found in the call details).
    async fn figures(&self, oracle: &Oracle, said: &[Said]) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let report = self.product.get("/v1/reports/intervals", &[("by", "queue"), ("interval", "all")]).await?;
            let mut differences = Differences::default();
            for queue in ["sales", "support"] {
                let rows = report["rows"].as_array().context("a report without rows")?;
                let row = rows.iter().find(|row| row["id"] == queue).unwrap_or(&Value::Null);
                let tolerance = Tolerance { each_ms: EACH_MS, blind: Vec::new() };
                compare::queue(queue, row, &oracle.stays_in(queue), &tolerance, &mut differences);
                let mut led: BTreeMap<String, i64> = BTreeMap::new();
                for said in said.iter().filter(|said| said.queue == queue && !said.enters()) {
                    *led.entry(format!("{}|{}|{}", said.outcome, said.rule, said.level)).or_default() += 1;
                }
                let product = compare::number(row, "diverted_at_gate", &mut differences);
                differences.same(&format!("{queue} diverted_at_gate"), product, led.values().sum());
                let by = row["diverted_by"].as_object().cloned().unwrap_or_default();
                let by: BTreeMap<String, i64> =
                    by.into_iter().filter_map(|(by, calls)| Some((by, calls.as_i64()?))).collect();
                differences.same(&format!("{queue} diverted_by"), by, led);
            }
            if differences.0.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < patience, "{}\n{}", differences.0.join("\n"), self.product.said());
            sleep(Duration::from_millis(500)).await;
        }
    }
}

impl Order {
    /// Who called while it held was led away by it, and the explanation names it; who called after its end entered.
    fn held(&self, support: &[Said]) -> Result<()> {
        let names_it = |said: &Said| {
            let orders = said.whole["overrides"].as_array().map_or(&[][..], Vec::as_slice);
            orders.iter().any(|order| order["set"]["id"] == self.id.as_str() && order["by"].is_string())
        };
        let (during, after): (Vec<&Said>, Vec<&Said>) = support.iter().partition(|said| said.at < self.until);
        ensure!(during.len() >= 3 && !after.is_empty(), "{} calls in its time, {} after", during.len(), after.len());
        for said in during {
            let led = !said.enters() && said.level == 3 && said.rule == "all_diverted";
            ensure!(said.at >= self.from && led && names_it(said), "while the order held: {:#}", said.whole);
        }
        for said in after {
            ensure!(said.enters() && said.level == 0 && !names_it(said), "after its end: {:#}", said.whole);
        }
        Ok(())
    }
}

/// The product learns of a moment by another event of the PBX than the channel events do.
const EACH_MS: i64 = 250;

/// Waits until the gate enforces this level at a queue.
async fn enforces(queue: &str, level: &str) -> Result<()> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let now = enforced(queue).await?;
        if now["level"] == level {
            return Ok(());
        }
        ensure!(Instant::now() < patience, "the gate does not enforce {level}: {now}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// What the gate enforces at a queue.
async fn enforced(queue: &str) -> Result<Value> {
    let url = format!("http://127.0.0.1:{GATE}/v1/route/plan");
    let answer = reqwest::Client::new().get(&url).timeout(Duration::from_secs(10)).send().await?;
    let shown: Value = answer.error_for_status()?.json().await?;
    let queues = shown["queues"].as_array().cloned().unwrap_or_default();
    queues.into_iter().find(|shown| shown["queue"] == queue).with_context(|| format!("the gate knows no {queue}"))
}

/// The product's file, and the password that it names.
fn files(pbx: &Pbx) -> Result<String> {
    let folder = pbx.home().with_extension("product");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let (secret, path) = (folder.join("secret"), folder.join("tidegate.toml"));
    std::fs::write(&secret, PRODUCT_LOGIN.1)?;
    let vip: Vec<String> = (1..=VIP.1.count).map(|call| number(VIP.0, call)).collect();
    let text = format!(
        "[collector.sources.pbx1]\nkind = \"asterisk\"\n[collector.sources.pbx1.config]\nhost = \"{}\"\nport = {}\n\
         username = \"{}\"\nsecret = \"file:{}\"\nqueues = {{ wrap_up = \"2s\" }}\n\
         trunks = {{ endpoints = [\"PJSIP/trunk\"], inbound_contexts = [\"inbound\"] }}\n\
         [cti]\nvip = {vip:?}\nemergency = [\"5112\"]\nauth = {{ anonymous = \"operator\" }}\n\
         [console]\naffirm = \"1s\"\nauth = {{ anonymous = \"operator\" }}\n",
        pbx.ami().ip(),
        pbx.ami().port(),
        PRODUCT_LOGIN.0,
        secret.display()
    );
    std::fs::write(&path, text)?;
    Ok(path.to_string_lossy().into_owned())
}
