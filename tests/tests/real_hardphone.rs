//! The third tier within real calls: a real Asterisk, real callers, desk phones that the platform wrote into the PBX ahead of need. The gate is
//! killed under calls, then everything is; a person switches; a drill tries the phones. Afterwards the figures say what the PBX's own
//! records say.
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes and a real PBX in real time")]

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tidegate_tests::ami::Ami;
use tidegate_tests::callers::Callers;
use tidegate_tests::desk::{self, Desk};
use tidegate_tests::gated;
use tidegate_tests::parts::Part;
use tidegate_tests::pbx::{DRIVER_LOGIN, PRODUCT_LOGIN, Pbx};
use tidegate_tests::phone::{Habit, Phone};
use tidegate_tests::product::{Product, binary, run};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

/// First of the ports of this PBX and of what belongs to it.
const BASE: u16 = 3_000;
const AGI: u16 = BASE + 1_973;
const GATE: u16 = BASE + 1_974;
const CONSOLE: u16 = BASE + 1_975;
const FACES: u16 = BASE + 1_980;
/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// The dialplan's own deadline, and how much later its timer may be seen on a machine that is busy with other things.
const DEADLINE_MS: i64 = 1_000;
const SLACK_MS: i64 = 4_000;

#[tokio::test(flavor = "multi_thread")]
async fn desk_phones_answer_when_the_gate_is_killed_when_a_person_orders_it_and_when_everything_is_gone() -> Result<()>
{
    let place = Place::prepare().await?;
    let config = place.path("tidegate.toml");
    let console = format!("console.listen.address=127.0.0.1:{CONSOLE}");
    let mut product = Product::up(&place.folder, FACES, &["--config", &config, "--set", &console]).await?;
    let mut gate = place.gate().await?;
    let _phones = [
        Phone::plug_in("103", place.pbx.port(103), place.pbx.sip(), 1_000, Habit::Answers { talk: 900 }).await?,
        Phone::plug_in("104", place.pbx.port(104), place.pbx.sip(), 1_000, Habit::Answers { talk: 900 }).await?,
    ];
    place.holds("tidegate-phones", "sales", Some("PJSIP/103|PJSIP/104")).await?;
    place.drills().await?;
    place.a_change_by_hand_is_told_and_stays().await?;

    // The gate answers; then it is killed under calls; then it is back.
    place.call("gated", 0, 2).await?;
    let (called, killed) = tokio::join!(place.call("killed", 1, 6), async {
        sleep(Duration::from_millis(1_200)).await;
        gate.kill().await
    });
    called?;
    killed?;
    gate.start_again().await?;
    place.answers().await?;
    // after three that nobody answered, nobody is asked for five seconds
    sleep(Duration::from_secs(6)).await;
    place.call("back", 2, 2).await?;

    place.a_person_switches(&product).await?;

    // Everything is gone; callers are answered all the same.
    gate.kill().await?;
    product.kill().await?;
    place.call("alone", 6, 4).await?;
    product.start_again().await?;
    gate.start_again().await?;
    place.answers().await?;
    sleep(Duration::from_secs(6)).await;
    place.call("again", 7, 1).await?;

    let ends = place.ends()?;
    println!("{ends:#?}");
    let of = |group: u16| -> Vec<&End> {
        ends.iter().filter(|(number, _)| number.starts_with(&prefix(group))).flat_map(|(_, ends)| ends).collect()
    };
    for (group, calls, context) in
        [(0, 2, "tidegate-queue"), (2, 2, "tidegate-queue"), (3, 1, "tidegate-hardphone"), (4, 1, "tidegate-hardphone")]
    {
        let found = of(group);
        ensure!(found.len() == calls && found.iter().all(|end| end.context == context), "group {group}: {found:?}");
    }
    ensure!(of(6).len() == 4 && of(6).iter().all(|end| end.context == "tidegate-hardphone"), "alone: {:?}", of(6));
    ensure!(of(1).iter().any(|end| end.context == "tidegate-hardphone"), "nobody came to a desk phone: {:?}", of(1));
    for (number, ends) in &ends {
        ensure!(ends.iter().all(|end| end.answered), "{number} was dropped: {ends:?}");
    }
    place.nobody_heard_silence_for_long()?;
    place.figures_are_complete(&product, &ends).await
}

/// A caller's number: 4930555GG0N, its own two digits and the number of the call.
fn prefix(group: u16) -> String {
    format!("4930555{}0", group + 10)
}

/// Where a call ended, by the PBX's own record.
#[derive(Debug)]
struct End {
    context: String,
    answered: bool,
    call: String,
}

/// The PBX, and files beside it.
struct Place {
    pbx: Pbx,
    folder: PathBuf,
    desk: Desk,
    /// Keeps the members' link.
    _driver: Ami,
}

impl Place {
    async fn prepare() -> Result<Place> {
        let pbx = Pbx::start(BASE)?;
        gated::install(&pbx, AGI, "exten => s,1,Answer()\n same => n,Wait(30)\n").await?;
        for module in ["func_cut", "func_strings", "app_stack"] {
            pbx.command(&format!("module load {module}.so")).await?;
        }
        let (mut driver, _) = Ami::log_in(pbx.ami(), DRIVER_LOGIN.0, DRIVER_LOGIN.1).await?;
        // 101 signs on with a password, and has not; 103 goes first
        for (phone, penalty) in [("PJSIP/103", "0"), ("PJSIP/104", "1"), ("PJSIP/101", "0")] {
            let fields = [("Queue", "sales"), ("Interface", phone), ("Penalty", penalty)];
            driver.ask("QueueAdd", &fields).await?;
        }
        let folder = pbx.home().with_extension("product");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let place = Place { pbx, folder, desk: Desk::at(([127, 0, 0, 1], CONSOLE).into())?, _driver: driver };
        place.write_files()?;
        Ok(place)
    }

    fn write_files(&self) -> Result<()> {
        std::fs::write(self.folder.join("secret"), PRODUCT_LOGIN.1)?;
        let login = format!(
            "host = \"{}\"\nport = {}\nusername = \"{}\"\nsecret = \"file:{}\"\n",
            self.pbx.ami().ip(),
            self.pbx.ami().port(),
            PRODUCT_LOGIN.0,
            self.path("secret")
        );
        let log = self.pbx.home().join("log/queue_log");
        let source = format!(
            "[console]\nauth = {{ anonymous = \"operator\" }}\n\
             [collector.sources.pbx1]\nkind = \"asterisk\"\n[collector.sources.pbx1.config]\n{login}\
             trunks = {{ endpoints = [\"PJSIP/trunk\"], inbound_contexts = [\"inbound\"] }}\n\
             backfill = {{ queue_log = {log:?} }}\n"
        );
        std::fs::write(self.folder.join("tidegate.toml"), source)?;
        let drill = format!("[cti.ami.pbx1]\n{login}");
        std::fs::write(self.folder.join("drill.toml"), drill)?;
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// The gate as a process of its own, on the journal of the others; it keeps the desk phones.
    async fn gate(&self) -> Result<Part> {
        let journal = self.folder.join("data/journal.db");
        let ami = std::fs::read_to_string(self.folder.join("drill.toml"))?;
        let config = format!(
            "[cti]\nlisten = {{ address = \"127.0.0.1:{GATE}\" }}\nauth = {{ anonymous = \"operator\" }}\n\
             agi = {{ listen = {{ address = \"127.0.0.1:{AGI}\" }} }}\njournal = {{ path = {journal:?} }}\n\
             hard_phones = {{ settle = \"1s\", check_every = \"1s\" }}\n{ami}"
        );
        let part = Part::start(&self.folder, "cti", "gate", &config).await?;
        self.answers().await.with_context(|| part.said())?;
        Ok(part)
    }

    /// Waits until the gate answers.
    async fn answers(&self) -> Result<()> {
        let url = format!("http://127.0.0.1:{GATE}/v1/hard-phones");
        let patience = Instant::now() + PATIENCE;
        while reqwest::get(&url).await.and_then(reqwest::Response::error_for_status).is_err() {
            ensure!(Instant::now() < patience, "the gate is not there");
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// How the gate sees the PBX.
    async fn status(&self) -> Result<Value> {
        let url = format!("http://127.0.0.1:{GATE}/v1/hard-phones");
        Ok(reqwest::get(&url).await?.error_for_status()?.json::<Value>().await?["sources"]["pbx1"].clone())
    }

    /// Waits until the PBX's database holds this.
    async fn holds(&self, family: &str, key: &str, value: Option<&str>) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let said = self.pbx.command(&format!("database get {family} {key}")).await?;
            let found = said.lines().find_map(|line| line.strip_prefix("Value: ")).map(str::trim);
            if found == value {
                return Ok(());
            }
            ensure!(
                Instant::now() < patience,
                "{family}/{key} is {found:?}, not {value:?}: {}",
                self.status().await.unwrap_or_default()
            );
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Some callers of one group to the number before the gate; back when the last has hung up.
    async fn call(&self, name: &'static str, group: u16, count: u32) -> Result<()> {
        Callers::of(name, "5101", count, 2.0, 0.0, 60_000).call(&self.pbx, group).await
    }

    /// The command, and what it said; whether it came to a good end is the caller's to judge.
    async fn command(&self, arguments: &[&str]) -> Result<(bool, String)> {
        let output = Command::new(binary("tidegate").await?).args(arguments).output().await?;
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }

    async fn drill(&self, more: &[&str]) -> Result<(bool, String)> {
        let (config, data) = (self.path("drill.toml"), self.path("data"));
        let own = ["drill", "--config", &config, "--data", &data];
        self.command(&own.into_iter().chain(more.iter().copied()).collect::<Vec<_>>()).await
    }

    /// The drill rings both phones by the switch's way and by the way of a silent gate, and leaves nothing behind.
    async fn drills(&self) -> Result<()> {
        for way in [&["--queue", "sales"][..], &["--queue", "sales", "--silent"]] {
            let within = ["--within", "30s", "--ring", "2s", "--format", "json"];
            let (good, said) = self.drill(&[way, &within[..]].concat()).await?;
            ensure!(good, "{way:?}: {said}");
            let told: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
            let drilled = &told["pbx1"]["drilled"][0];
            for phone in ["PJSIP/103", "PJSIP/104"] {
                ensure!(drilled["phones"][phone]["rang"]["after_ms"].is_u64(), "{phone} did not ring: {said}");
            }
            ensure!(drilled["answers"] == true && drilled["put_back"] == true, "{said}");
            ensure!(told["pbx1"]["left_out"]["sales"]["PJSIP/101"].is_string(), "101 has not signed on: {said}");
            println!("drill {way:?}: {}", drilled["phones"]);
        }
        let channels = self.pbx.command("core show channels count").await?;
        ensure!(channels.contains("0 active channels"), "the drill left something: {channels}");
        // who may not, is told what is missing
        let login = ["--set", "cti.ami.pbx1.username=viewer", "--set", "cti.ami.pbx1.login=plain"];
        std::fs::write(self.folder.join("viewer"), "viewer-secret")?;
        let secret = format!("cti.ami.pbx1.secret=file:{}", self.path("viewer"));
        let (good, said) = self.drill(&[&login[..], &["--check", "--set", &secret]].concat()).await?;
        ensure!(!good && said.contains("TG0350") && said.contains("write = system"), "{said}");
        // nobody works for support
        let (good, said) = self.drill(&["--queue", "support"]).await?;
        ensure!(!good && said.contains("TG0353"), "{said}");
        Ok(())
    }

    async fn a_change_by_hand_is_told_and_stays(&self) -> Result<()> {
        self.pbx.command("database put tidegate-phones sales PJSIP/104").await?;
        let patience = Instant::now() + PATIENCE;
        loop {
            let status = self.status().await?;
            let rows = status["held"]["phones"].as_array().cloned().unwrap_or_default();
            if rows.iter().any(|row| row["key"] == "sales" && row["standing"] == "by_hand") {
                break;
            }
            ensure!(Instant::now() < patience, "nobody noticed: {status}");
            sleep(Duration::from_millis(200)).await;
        }
        self.holds("tidegate-phones", "sales", Some("PJSIP/104")).await?;
        let (good, said) = self.drill(&["--check", "--queue", "sales"]).await?;
        ensure!(!good && said.contains("TG0354") && said.contains("changed by hand"), "{said}");
        self.pbx.command("database del tidegate-phones sales").await?;
        self.holds("tidegate-phones", "sales", Some("PJSIP/103|PJSIP/104")).await?;
        let (good, said) = self.drill(&["--check", "--queue", "sales"]).await?;
        ensure!(good, "{said}");
        Ok(())
    }

    /// By the console, and by the command line; each is left one level at a time, and the switch in the PBX goes as it came.
    async fn a_person_switches(&self, product: &Product) -> Result<()> {
        self.desk.put("/v1/thresholds/sales", 0, json!({ "calm_s": 3.0 })).await?;
        let order = json!({ "queue": "sales", "order": { "level_locked": { "level": "hard_phone" } }, "for_s": 600.0 });
        let set = self.desk.post("/v1/overrides?why=a%20test", order).await?;
        self.holds("tidegate-switch", "sales", Some("hardphone")).await?;
        self.call("ordered", 3, 1).await?;
        let id = set["id"].as_str().context("an override without an id")?;
        let url = format!("http://127.0.0.1:{CONSOLE}/v1/overrides/{id}");
        self.desk.ask(reqwest::Method::DELETE, &url, None, None).await?;
        self.holds("tidegate-switch", "sales", None).await?;
        self.level(product, 0).await?;

        let data = self.path("data");
        let order = ["--data", &data, "--queue", "sales", "--by", "ann", "--why", "a test"];
        let on = [&["hard-phones", "on"][..], &order, &["--for", "10m"]].concat();
        run(&on).await?;
        self.holds("tidegate-switch", "sales", Some("hardphone")).await?;
        self.call("typed", 4, 1).await?;
        run(&[&["hard-phones", "off"][..], &order].concat()).await?;
        self.holds("tidegate-switch", "sales", None).await?;
        self.level(product, 0).await?;

        // somebody else's switch is not ours to take back
        self.pbx.command("database put tidegate-switch sales hardphone").await?;
        sleep(Duration::from_secs(4)).await;
        self.holds("tidegate-switch", "sales", Some("hardphone")).await?;
        self.pbx.command("database del tidegate-switch sales").await?;

        let levels = desk::levels(&desk::records(&self.desk.export().await?)?, "sales")?;
        println!("levels of sales: {levels:?}");
        let downs = levels.windows(2).filter(|pair| pair[0] == 4 && pair[1] == 3).count();
        ensure!(downs == 2, "the hard phones were not left twice, step by step: {levels:?}");
        ensure!(levels.last() == Some(&0), "{levels:?}");
        Ok(())
    }

    async fn level(&self, product: &Product, level: usize) -> Result<()> {
        let so = |queues: &[Value]| {
            queues.iter().any(|queue| queue["queue"] == "sales" && desk::number(&queue["level"]) == Some(level))
        };
        self.desk.until("the level of sales", product, so).await.map(drop)
    }

    /// Where the calls of each number ended.
    fn ends(&self) -> Result<BTreeMap<String, Vec<End>>> {
        let text = std::fs::read_to_string(self.pbx.home().join("log/cdr-csv/Master.csv"))?;
        let mut ends: BTreeMap<String, Vec<End>> = BTreeMap::new();
        for row in csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes()).records() {
            let row = row?;
            let field = |at: usize| row.get(at).unwrap_or("").to_owned();
            // a call that rings two phones has a record for each; the one that was answered says how it went
            if !field(1).starts_with("4930555") {
                continue;
            }
            let end = End { context: field(3), answered: field(14) == "ANSWERED", call: field(16) };
            let ends = ends.entry(field(1)).or_default();
            match ends.iter_mut().find(|known| known.call == end.call) {
                Some(known) if end.answered => *known = end,
                Some(_) => {}
                None => ends.push(end),
            }
        }
        Ok(ends)
    }

    /// From the first sign of each caller to the first ringing, queue or answer: what the channel's own events say.
    fn nobody_heard_silence_for_long(&self) -> Result<()> {
        let text = std::fs::read_to_string(self.pbx.home().join("log/cel-custom/Master.csv"))?;
        let mut began: BTreeMap<String, i64> = BTreeMap::new();
        let mut heard: BTreeMap<String, i64> = BTreeMap::new();
        for row in csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes()).records() {
            let row = row?;
            let field = |at: usize| row.get(at).unwrap_or("");
            let ms = (field(1).parse::<f64>().unwrap_or(0.0) * 1_000.0) as i64;
            let (call, is_caller) = (field(2).to_owned(), field(4).starts_with("PJSIP/trunk-"));
            match field(0) {
                "CHAN_START" if is_caller => _ = began.entry(call).or_insert(ms),
                "APP_START" | "ANSWER" | "CHAN_END" if is_caller => _ = heard.entry(call).or_insert(ms),
                _ => {}
            }
        }
        ensure!(!began.is_empty(), "no caller in the channel events");
        let waits: Vec<i64> = began.iter().filter_map(|(call, at)| Some(heard.get(call)? - at)).collect();
        let longest = waits.iter().copied().max().unwrap_or(0);
        println!("{} callers; the longest silence was {longest} ms", waits.len());
        ensure!(waits.len() == began.len(), "a caller heard nothing at all");
        ensure!(longest <= DEADLINE_MS + SLACK_MS, "somebody heard nothing for {longest} ms");
        Ok(())
    }

    /// The report says of the queue what the PBX's records say of the calls, those of the time when nobody watched included and marked.
    async fn figures_are_complete(&self, product: &Product, ends: &BTreeMap<String, Vec<End>>) -> Result<()> {
        let queued = |end: &&End| end.context == "tidegate-queue" || end.context == "tidegate-hardphone";
        let calls = ends.values().flatten().filter(queued).count() as u64;
        let patience = Instant::now() + PATIENCE;
        let row = loop {
            let report = product.get("/v1/reports/intervals", &[("by", "queue"), ("interval", "all")]).await;
            let rows = report.as_ref().ok().and_then(|report| report["rows"].as_array().cloned()).unwrap_or_default();
            let row = rows.into_iter().find(|row| row["id"] == "sales").unwrap_or(Value::Null);
            if row["offered"] == calls && row["answered"] == calls {
                break row;
            }
            ensure!(Instant::now() < patience, "the records say {calls} calls, the report {row}\n{}", product.said());
            sleep(Duration::from_millis(500)).await;
        };
        println!("sales: {row}");
        ensure!(row["abandoned"] == 0, "{row}");
        ensure!(row["inferred"].as_u64() > Some(0) && row["gap_s"].as_f64() > Some(0.0), "nothing is marked: {row}");
        let alone: Vec<&End> =
            ends.iter().filter(|(number, _)| number.starts_with(&prefix(6))).flat_map(|(_, ends)| ends).collect();
        for end in alone {
            let call = product.get(&format!("/v1/calls/{}", end.call), &[]).await?;
            let text = call.to_string();
            ensure!(
                text.contains("\"sales\"") && text.contains("\"103\""),
                "the agent and the queue are known: {call}"
            );
            ensure!(call["inferred"].as_u64() > Some(0) || text.contains("inferred"), "it is not marked: {call}");
        }
        Ok(())
    }
}
