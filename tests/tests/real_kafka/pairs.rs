//! Two collectors of one phone system over Kafka.

use anyhow::Result;
use tempfile::TempDir;
use tidegate_tests::broker::Brokers;

use super::pair;

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_over_kafka_loses_and_doubles_nothing_when_one_dies_or_stands_still() -> Result<()> {
    let place = TempDir::new()?;
    let mut journal = journal::config::Config { kind: journal::config::Kind::Kafka, ..Default::default() };
    journal.kafka.brokers = Brokers::shared().servers();
    journal.kafka.prefix = "pair.".to_owned();
    journal::kafka::topics::create(&journal.kafka_options(service::Clock::system())?, Some(1)).await?;
    pair::play(place.path(), &|at| Brokers::shared().tables(at, "pair.")).await?;
    pair::Record::read(&journal).await?.judge()
}
