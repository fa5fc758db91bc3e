use super::*;
use journal::Stream;
use model::Fact;
use model::event::call::{Ended, Offered};
use store::memory::Memory;

const MORNING: Time = Time(1_763_366_400_000);
/// A day later: calls of the morning are given up.
const NEXT_DAY: Time = Time(MORNING.0 + 24 * 3_600_000);

fn batch(offset: u64, event: impl Into<model::Event>) -> Batch {
    let at = MORNING + offset as i64 * 1_000;
    let mut envelope = Fact::new(at, Subject::Call("c1".into()), event).into_envelope(&"pbx1".into(), at);
    envelope.tenant = Some("acme".into());
    let (key, value) = (Default::default(), envelope.to_json().into());
    let record = Record { offset, key, value, recorded_at_ms: at.0 };
    Batch { stream: Stream::EventsCall, partition: 0, records: vec![record], next: offset + 1 }
}

#[tokio::test]
async fn a_call_is_not_given_up_while_what_is_known_of_it_is_being_written() {
    let store = Memory::new();
    let part = Part::new(Stream::EventsCall.name(), 0);
    let taken = store.take("a", "journal", &[part]).await.unwrap().remove(0);
    let partition = (Stream::EventsCall, 0);
    let mut shard = Shard::open(&store, partition, taken, 0, Some(1), Rules::default()).await.unwrap();
    let telemetry = Telemetry::new();
    shard.ingest(&store, &batch(0, Offered::default()), &telemetry).await.unwrap();
    let first = shard.snapshot().await;
    // The store is slow, and it is time to look for calls of which nothing was heard.
    shard.retire(NEXT_DAY);
    shard.ingest(&store, &batch(1, Ended::default()), &telemetry).await.unwrap();
    store.checkpoint(&[first.change]).await.unwrap();
    shard.saved();
    let second = shard.snapshot().await;
    store.checkpoint(&[second.change]).await.unwrap();
    shard.saved();
    let call = store.call(&"c1".into()).await.unwrap().unwrap();
    assert_eq!((call.timeline().len(), call.closed), (2, true), "its beginning is part of it");
}

#[tokio::test]
async fn a_call_that_is_given_up_is_found_again_when_something_is_heard_of_it() {
    let store = Memory::new();
    let part = Part::new(Stream::EventsCall.name(), 0);
    let taken = store.take("a", "journal", &[part]).await.unwrap().remove(0);
    let mut shard = Shard::open(&store, (Stream::EventsCall, 0), taken, 0, Some(1), Rules::default()).await.unwrap();
    let telemetry = Telemetry::new();
    shard.ingest(&store, &batch(0, Offered::default()), &telemetry).await.unwrap();
    let first = shard.snapshot().await;
    store.checkpoint(&[first.change]).await.unwrap();
    shard.saved();
    shard.retire(NEXT_DAY);
    assert!(!shard.fold.holds(&Subject::Call("c1".into())), "nothing was heard of it for a day");
    shard.ingest(&store, &batch(1, Ended::default()), &telemetry).await.unwrap();
    let second = shard.snapshot().await;
    store.checkpoint(&[second.change]).await.unwrap();
    let call = store.call(&"c1".into()).await.unwrap().unwrap();
    assert_eq!((call.timeline().len(), call.closed), (2, true));
}
