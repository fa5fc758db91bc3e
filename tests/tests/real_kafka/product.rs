//! The whole product over Kafka: in one process, and as processes that are killed. Its records are what the simulated centre's
//! ledger says.

use anyhow::{Result, ensure};
use std::path::Path;
use tempfile::TempDir;
use tidegate_tests::broker::Brokers;
use tidegate_tests::centre::judge;
use tidegate_tests::parts::Part;
use tidegate_tests::product::{Product, free_ports, run};
use tokio::time::{Instant, sleep};

use super::PATIENCE;

/// What makes a command of the product use the shared broker.
fn over_kafka(prefix: &str) -> Vec<String> {
    let brokers = Brokers::shared().servers().join("\", \"");
    let set = [
        "journal.kind=kafka".to_owned(),
        format!("journal.kafka.brokers=[\"{brokers}\"]"),
        format!("journal.kafka.prefix={prefix}"),
    ];
    set.into_iter().flat_map(|set| ["--set".to_owned(), set]).collect()
}

async fn topics(what: &[&str], set: &[String]) -> Result<String> {
    let words: Vec<&str> = ["topics"].iter().chain(what).copied().chain(set.iter().map(String::as_str)).collect();
    run(&words).await
}

/// From when on, by the centre's clock, the product has seen calls from their beginning: its first picture is there now, and the clock
/// went on, faster than ours, since the ledger's last word.
async fn whole_since(control: &str) -> Result<i64> {
    let truth = reqwest::get(format!("http://{control}/v1/truth")).await?.error_for_status()?.text().await?;
    let calls = tidegate_tests::ledger::read(&truth)?;
    Ok(calls.iter().map(|call| call.ended_ms.unwrap_or(call.offered_ms)).max().unwrap_or_default() + 30_000)
}

/// Waits until so many calls that began after `began` are as the ledger says, and none is otherwise.
async fn as_the_ledger_says(
    control: &str,
    face: &str,
    began: i64,
    calls: usize,
    said: impl Fn() -> String,
) -> Result<()> {
    let patience = Instant::now() + PATIENCE * 2;
    loop {
        let judged = judge(control, face, began).await;
        if let Ok((compared, differences)) = &judged
            && *compared >= calls
            && differences.0.is_empty()
        {
            eprintln!("{compared} calls are as the ledger says");
            return Ok(());
        }
        if Instant::now() > patience {
            let (compared, differences) = judged?;
            let all = differences.0.join("\n");
            ensure!(false, "{} differences over {compared} calls:\n{all}\n{}", differences.0.len(), said());
        }
        sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// Folds the journal again and compares.
async fn rebuilt(folder: &Path, set: &[String]) -> Result<()> {
    let data = folder.to_string_lossy();
    let words = ["rebuild", "--dry-run", "--data", &data].into_iter().chain(set.iter().map(String::as_str));
    let verdict = run(&words.collect::<Vec<_>>()).await?;
    ensure!(verdict.trim_end().ends_with("identical"), "what was told is not what the events say: {verdict}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_over_kafka_says_what_the_ledger_says() -> Result<()> {
    let place = TempDir::new()?;
    let set = over_kafka("one.");
    ensure!(topics(&["--check"], &set).await.is_err(), "there are no topics yet");
    let made = topics(&["--create", "--replication", "1"], &set).await?;
    ensure!(made.contains("made   one.events.call") && made.contains("all topics are as"), "{made}");
    topics(&["--check"], &set).await?;
    let base = free_ports(10);
    let control = format!("127.0.0.1:{}", base + 3);
    let address = format!("simulator.control.listen.address={control}");
    let mut arguments = vec!["--set", &address, "--set", "simulator.speed=5"];
    arguments.extend(set.iter().map(String::as_str));
    let mut product = Product::up(place.path(), base, &arguments).await?;
    let began = whole_since(&control).await?;
    as_the_ledger_says(&control, &product.address().to_string(), began, 20, || product.said()).await?;
    product.kill().await?;
    ensure!(!place.path().join("data/journal.db").exists(), "nothing was written into a file");
    rebuilt(&place.path().join("data"), &set).await
}

/// One of each kind is killed while its other half goes on; those of which there is one are killed and started again.
#[tokio::test(flavor = "multi_thread")]
async fn processes_over_kafka_are_killed_and_no_call_is_lost_or_counted_twice() -> Result<()> {
    let place = TempDir::new()?;
    let set = over_kafka("many.");
    topics(&["--create", "--replication", "1"], &set).await?;
    let base = free_ports(10);
    let address = |number: u16| format!("127.0.0.1:{}", base + number);
    let (ami, control, face) = (address(0), address(1), address(2));
    let journal = |program: &str| Brokers::shared().tables(&format!("{program}.journal"), "many.");
    let store = place.path().join("store.db");
    let store = |program: &str| format!("[{program}.store]\npath = {store:?}\n");
    let simulator = format!(
        "[simulator]\nspeed = 5\nami = {{ address = \"{ami}\" }}\ncontrol = {{ enabled = true, listen = {{ address = \"{control}\" }} }}\n"
    );
    let collector = format!(
        "{}[collector.sources.pbx1]\nkind = \"asterisk\"\n[collector.sources.pbx1.config]\nhost = \"127.0.0.1\"\nport = {base}\n\
         username = \"cti\"\nsecret = \"plain:cti-secret\"\n",
        journal("collector")
    );
    let receiver = format!("[receiver]\nlisten = {{ address = \"127.0.0.1:0\" }}\n{}", journal("receiver"));
    let aggregator = format!("{}{}", journal("aggregator"), store("aggregator"));
    let pusher = format!(
        "[pusher]\nlisten = {{ address = \"{face}\" }}\nauth = {{ anonymous = \"viewer\" }}\n{}{}",
        journal("pusher"),
        store("pusher")
    );
    let mut parts = Vec::new();
    for (program, name, config) in [
        ("simulator", "simulator", &simulator),
        ("receiver", "receiver-1", &receiver),
        ("receiver", "receiver-2", &receiver),
        ("aggregator", "aggregator-1", &aggregator),
        ("aggregator", "aggregator-2", &aggregator),
        ("collector", "collector", &collector),
        ("pusher", "pusher", &pusher),
    ] {
        parts.push(Part::start(place.path(), program, name, config).await?);
    }
    let said = |parts: &[Part]| parts.iter().map(Part::said).collect::<String>();
    // The first picture of the centre, so that calls are seen from their beginning.
    let client = reqwest::Client::new();
    let patience = Instant::now() + PATIENCE;
    loop {
        let live = client.get(format!("http://{face}/v1/live/queues")).send().await;
        let text = match live {
            Ok(live) => live.text().await?,
            Err(error) => error.to_string(),
        };
        if text.contains("\"stale\":false") {
            break;
        }
        ensure!(Instant::now() < patience, "no live figures: {text}\n{}", said(&parts));
        sleep(std::time::Duration::from_millis(200)).await;
    }
    // The centre's clock runs ahead: what it says of calls now is where the product begins to see them whole.
    let began = whole_since(&control).await?;
    as_the_ledger_says(&control, &face, began, 5, || said(&parts)).await?;
    for name in ["receiver-1", "aggregator-1", "pusher", "receiver-2", "aggregator-2"] {
        let part = parts.iter_mut().find(|part| part.name() == name).expect("a part of this name");
        part.kill().await?;
        sleep(std::time::Duration::from_secs(2)).await;
        part.start_again().await?;
        sleep(std::time::Duration::from_secs(2)).await;
    }
    as_the_ledger_says(&control, &face, began, 40, || said(&parts)).await?;
    for part in &mut parts {
        part.kill().await?;
    }
    rebuilt(place.path(), &set).await
}
