//! `tidegate topics`: makes the topics of a journal over Kafka, or compares them with their definition.

use journal::config::Kind;
use journal::kafka::topics;
use service::{Clock, Error, Result};

use crate::cli::Topics;
use crate::tree::Tree;

pub(crate) async fn run(args: Topics) -> Result<()> {
    // Who asks for topics means Kafka.
    let base = vec!["journal.kind=kafka".to_owned()];
    let mut tree = Tree::read(args.config, base, args.set);
    tree.verdict()?;
    if tree.journal.kind != Kind::Kafka {
        let message =
            "the configuration says that the journal is not over Kafka: leave journal.kind out, or set it to kafka";
        return Err(Error::usage("TG0124", message));
    }
    let options = tree.journal.kafka_options(Clock::system())?;
    if args.create {
        let created = topics::create(&options, args.replication).await.map_err(Error::from)?;
        created.made.iter().for_each(|name| println!("made   {name}"));
        created.there.iter().for_each(|name| println!("there  {name}"));
    }
    let differences = topics::check(&options).await.map_err(Error::from)?;
    for weakness in &differences.weaknesses {
        println!("weak   {weakness}");
    }
    for hindrance in &differences.hindrances {
        println!("wrong  {hindrance}");
    }
    if differences.hindrances.is_empty() {
        println!("all topics are as they are defined");
        return Ok(());
    }
    Err(journal::Error::Topics(differences.hindrances).into())
}
