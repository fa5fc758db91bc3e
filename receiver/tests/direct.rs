//! What an import hands over directly becomes the same record as what passes through `ingest`.

use std::sync::Arc;

use journal::memory::Memory;
use journal::{Entry, Journal, Stream, Subscription, Topology};
use model::event::call::{Answered, Dequeued, Ended, Offered, QueueExit, Queued};
use model::{Directory, Envelope, Event, Fact, Number, Subject, Time};
use receiver::{Direct, Handed, Unwritten, aside};
use service::Clock;

const NOW: i64 = 1_795_227_084_000;

fn world() -> (Arc<dyn Journal>, Clock) {
    let clock = Clock::system();
    (Memory::new(Topology::uniform(2), clock.clone()), clock)
}

/// Sound events of two sources, duplicates, and some that must be set aside.
fn envelopes() -> Vec<Envelope> {
    let mut all = Vec::new();
    for n in 0..300_i64 {
        let at = Time(NOW + n * 1_000);
        let id = if n % 50 == 7 { String::new() } else { format!("c{n}") };
        let number = if n % 60 == 3 { "1".repeat(200) } else { format!("138{n:08}") };
        let waited_ms = Some(3_000);
        let events: [Event; 4] = [
            Offered { ani: Some(Number::plain(number)), ..Offered::default() }.into(),
            Queued { queue: "sales".into(), priority: Some(1), position: None, offered_at: None }.into(),
            Dequeued { queue: "sales".into(), cause: QueueExit::Abandoned, waited_ms }.into(),
            if n % 9 == 0 { Answered::default().into() } else { Ended::default().into() },
        ];
        let source = if n % 3 == 0 { "pbx1" } else { "pbx2" };
        for event in events {
            let at = if n % 70 == 5 { Time(1) } else { at };
            all.push(Fact::new(at, Subject::Call(id.as_str().into()), event).into_envelope(&source.into(), at));
        }
    }
    let again: Vec<_> = all.iter().step_by(11).cloned().collect();
    all.extend(again);
    all
}

async fn record(journal: &Arc<dyn Journal>) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for partition in 0..journal.partitions(Stream::EventsCall) {
        let batch = journal.read(Stream::EventsCall, partition, 0, 10_000, usize::MAX).await.unwrap();
        // Numbers are sealed with a key of each journal.
        all.extend(batch.records.iter().map(|r| r.value.to_vec()).filter(|v| !v.windows(5).any(|w| w == b"token")));
    }
    all.sort();
    all
}

async fn reasons(journal: &Arc<dyn Journal>) -> Vec<(String, String, String)> {
    let list = aside::list(journal).await.unwrap();
    let mut all: Vec<_> = list.into_iter().map(|a| (a.source, a.reason, a.text)).collect();
    all.sort();
    all
}

#[tokio::test]
async fn the_record_is_the_same_as_through_ingest() {
    let ((direct, clock), (through, _)) = (world(), world());
    let receiver = Direct::open(&direct, Directory::default(), clock.clone()).await.unwrap().expect("nobody else");
    for chunk in envelopes().chunks(70) {
        let mut events: Vec<_> = chunk.iter().cloned().map(Unwritten::Event).collect();
        events.push(Unwritten::Verbatim("pbx1".into(), "nonsense".into()));
        receiver.take(Handed { events, others: Vec::new() }).await.unwrap();
        let mut entries: Vec<_> =
            chunk.iter().map(|e| Entry::new(Stream::Ingest, e.source.as_str().to_owned(), e.to_json())).collect();
        entries.push(Entry::new(Stream::Ingest, "pbx1", "nonsense"));
        through.append(entries).await.unwrap();
        receiver::catch_up(Arc::clone(&through), Directory::default(), clock.clone(), || true).await.unwrap();
    }
    receiver.close().await.unwrap();
    let (got, want) = (record(&direct).await, record(&through).await);
    assert!(want.len() > 700, "{} records: the sample shows nothing", want.len());
    assert_eq!(got, want);
    let mut want = reasons(&through).await;
    assert!(want.len() > 20, "{} set aside: the sample shows nothing", want.len());
    // Through ingest each repetition has its own place; handed over directly, the same bytes are one.
    want.dedup();
    let mut got = reasons(&direct).await;
    got.dedup();
    assert_eq!(got, want);
}

#[tokio::test]
async fn what_was_imported_before_is_not_recorded_again_by_either_way() {
    let (journal, clock) = world();
    let hand = async || {
        let receiver = Direct::open(&journal, Directory::default(), clock.clone()).await.unwrap().expect("nobody else");
        let events = envelopes().into_iter().map(Unwritten::Event).collect();
        receiver.take(Handed { events, others: Vec::new() }).await.unwrap();
        receiver.close().await.unwrap();
    };
    hand().await;
    let first = record(&journal).await;
    hand().await;
    let entries =
        envelopes().into_iter().map(|e| Entry::new(Stream::Ingest, e.source.as_str().to_owned(), e.to_json()));
    journal.append(entries.collect()).await.unwrap();
    hand().await;
    assert_eq!(record(&journal).await, first);
}

#[tokio::test]
async fn beside_another_receiver_there_is_no_direct_way() {
    let (journal, clock) = world();
    let subscription = Subscription::new(aside::GROUP, "receiver-1", vec![Stream::Ingest]);
    let mut other = journal.subscribe(subscription).await.unwrap();
    other.next().await.unwrap();
    assert!(Direct::open(&journal, Directory::default(), clock).await.unwrap().is_none());
}
