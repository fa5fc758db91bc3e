//! Topics and connections: refused with every difference named, secured, compacted by the brokers.

use journal::kafka::{Kafka, Login, Options, Security, Tls, topics};
use journal::{Entry, Error, Journal, Stream, Topology};
use service::Clock;
use tidegate_tests::broker::{Brokers, LOGIN};
use tokio::time::{Instant, sleep};

use super::{PATIENCE, all_of, made, options};

#[tokio::test]
async fn topics_that_are_missing_or_wrong_are_all_named() {
    let options = options(Topology::default(), Clock::system());
    let prefix = options.prefix.clone();
    let Err(Error::Topics(missing)) = Kafka::open(options.clone()).await else { panic!("there are no topics yet") };
    assert_eq!(missing.len(), Stream::ALL.len() + 1, "{missing:?}");
    let _topics = made(&options).await;
    let again = topics::create(&options, Some(1)).await.unwrap();
    assert_eq!((again.made.len(), again.there.len()), (0, 12), "what is there is left alone");
    let found = topics::check(&options).await.unwrap();
    assert_eq!(found.hindrances, Vec::<String>::new());
    assert_eq!(found.weaknesses.len(), 12, "one copy is fewer than defined: {:?}", found.weaknesses);
    Brokers::shared().alter(&format!("{prefix}views"), "cleanup.policy=delete,retention.ms=1000").unwrap();
    let mut other = options.clone();
    other.topology = Topology::default().with(Stream::EventsCall, 9);
    let Err(error) = Kafka::open(other).await else { panic!("the topics are wrong") };
    assert_eq!(error.code(), Some("TG0121"));
    let said = error.to_string();
    for part in [
        format!("{prefix}events.call has 4 partitions, and the configuration says 9"),
        format!("{prefix}views has cleanup.policy=delete, and it must be compact"),
        format!("{prefix}views has retention.ms=1000, and it must be -1"),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_said_soon() {
    let mut options = options(Topology::default(), Clock::system());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    options.brokers = nobody.to_string();
    options.timeout = std::time::Duration::from_secs(2);
    let Err(error) = Kafka::open(options).await else { panic!("nobody is there") };
    assert_eq!(error.code(), Some("TG0122"), "{error}");
}

fn secured(mechanism: &str, password: &str) -> Options {
    let mut options = options(Topology::uniform(1), Clock::system());
    options.brokers = Brokers::shared().secured().expect("a secured listener");
    options.timeout = std::time::Duration::from_secs(20);
    let login = Login { mechanism: mechanism.to_owned(), user: LOGIN.0.to_owned(), password: password.to_owned() };
    let tls = Tls { ca: Some(Brokers::shared().authority()), ..Tls::default() };
    options.security = Security { tls: Some(tls), login: Some(login) };
    options
}

#[tokio::test]
async fn a_login_over_tls_is_let_in_with_each_mechanism() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let options = secured(mechanism, LOGIN.1);
        let _topics = made(&options).await;
        let journal = Kafka::open(options).await.unwrap();
        journal.append(vec![Entry::new(Stream::EventsCall, "k", mechanism)]).await.unwrap();
        assert_eq!(all_of(&*journal, Stream::EventsCall, 0).await, [("k".to_owned(), mechanism.to_owned())]);
        journal.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_authority_are_refused_and_said() {
    let mut wrong = secured("SCRAM-SHA-512", "guessed");
    wrong.timeout = std::time::Duration::from_secs(5);
    let Err(error) = Kafka::open(wrong).await else { panic!("the password is wrong") };
    assert_eq!(error.code(), Some("TG0122"), "{error}");
    assert!(error.to_string().to_lowercase().contains("authentication"), "{error}");
    let mut stranger = secured("PLAIN", LOGIN.1);
    stranger.timeout = std::time::Duration::from_secs(5);
    stranger.security.tls = Some(Tls::default());
    let Err(error) = Kafka::open(stranger).await else { panic!("nobody knows this authority") };
    assert_eq!(error.code(), Some("TG0122"), "{error}");
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
}

/// The brokers' compaction, which the suite cannot wait for: their settings are made as hasty as they can be.
#[tokio::test]
async fn brokers_compact_views_and_a_reader_steps_over_the_holes() {
    let options = options(Topology::uniform(1), Clock::system());
    let _topics = made(&options).await;
    let hasty =
        "segment.bytes=1048576,min.cleanable.dirty.ratio=0.01,max.compaction.lag.ms=100,compression.type=uncompressed";
    Brokers::shared().alter(&format!("{}views", options.prefix), hasty).unwrap();
    let journal = Kafka::open(options).await.unwrap();
    // Noise, so that it fills segments whatever compresses it on the way.
    let mut dice = 1_u64;
    let mut noise = |n: usize| {
        let next = |_| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + u8::try_from((dice >> 60) & 15).unwrap())
        };
        (0..n).map(next).collect::<String>()
    };
    let rounds = 60;
    for round in 0..rounds {
        let entries =
            (0..8).map(|key| Entry::new(Stream::Views, format!("q{key}"), format!("{round}:{}", noise(12_000))));
        journal.append(entries.collect()).await.unwrap();
    }
    let patience = Instant::now() + PATIENCE;
    let found = loop {
        let found = all_of(&*journal, Stream::Views, 0).await;
        if found.len() < 8 * rounds / 2 {
            break found;
        }
        assert!(Instant::now() < patience, "after {PATIENCE:?} all {} records are still there", found.len());
        sleep(std::time::Duration::from_millis(300)).await;
    };
    for key in 0..8 {
        let of_key: Vec<usize> = found
            .iter()
            .filter(|(name, _)| *name == format!("q{key}"))
            .map(|(_, value)| value.split_once(':').unwrap().0.parse().unwrap())
            .collect();
        assert!(of_key.is_sorted() && of_key.last() == Some(&(rounds - 1)), "q{key}: {of_key:?}");
    }
    assert_eq!(journal.end(Stream::Views, 0).await.unwrap(), 8 * rounds as u64, "offsets stay");
    journal.close().await.unwrap();
}
