//! A mirror and those who recall, on a journal and a live state in memory.

use std::sync::Arc;
use std::time::Duration;

use journal::memory::Memory;
use journal::{Entry, Journal, Stream, Topology};
use model::{Directory, Time};
use service::{Clock, Context, Seeds};
use stats::live::{Queue, View};
use stats::{Dim, Field, Row, RowKey};
use store::frame::{self, Body, Fold, Frame, PartialRow, Version};
use store::live::shared::POSITION;
use store::reports::{Block, BlockKey, Change};
use store::{Live, Part, Reports};

use super::mirror::Mirror;
use super::recall::{Recalled, recall};
use crate::live::picture::Picture;

struct World {
    clock: Clock,
    journal: Arc<dyn Journal>,
    reports: Arc<dyn Reports>,
    live: Arc<dyn Live>,
}

fn part() -> Part {
    Part::new("events.call", 0)
}

impl World {
    fn new() -> Self {
        let clock = Clock::system();
        World {
            journal: Memory::new(Topology::default(), clock.clone()),
            clock,
            reports: Arc::new(store::memory::Memory::new()),
            live: Arc::new(store::live::Memory::default()),
        }
    }

    /// Tells a frame of the partition, or (`None`) that the view is gone.
    async fn tell(&self, view: &str, version: (u64, u64), body: Option<Body>) {
        let version = Version { epoch: version.0, number: version.1 };
        let frame = body.map(|body| Frame { version, as_of: Time(1), at: Time(1), body }.to_json());
        let entry = Entry::new(Stream::Views, frame::key(view, &part()), frame.unwrap_or_default());
        self.journal.append(vec![entry]).await.unwrap();
    }

    async fn queue(&self, name: &str, version: (u64, u64), waiting: i64) {
        let queue = Queue { waiting, ..Queue::empty("default".into(), name.into()) };
        self.tell(&format!("queue/default/{name}"), version, Some(Body::View(View::Queue(queue)))).await;
    }

    async fn complete(&self, epoch: u64, number: u64) {
        let fold = Fold { part: part().to_string(), owner: "a".into(), next: number, end: number, complete: true };
        self.tell(frame::FOLD_VIEW, (epoch, number), Some(Body::Fold(fold))).await;
    }

    fn row(&self) -> (RowKey, Row) {
        let hour = Time(self.clock.now_ms() / 3_600_000 * 3_600_000);
        let (tenant, id) = ("default".into(), "sales".into());
        let mut row = Row::default();
        row.event.add(Field::Offered, 5);
        (RowKey { tenant, source: "pbx1".into(), dim: Dim::Queue, id, start: hour }, row)
    }

    fn mirror(&self, name: &str) -> Context {
        let context = Context::new("pusher", name, self.clock.clone(), &Seeds::fixed(1));
        let mirror = Mirror {
            live: Arc::clone(&self.live),
            journal: Arc::clone(&self.journal),
            reports: Arc::clone(&self.reports),
            clock: self.clock.clone(),
            drain: context.drain.clone(),
            health: context.health.check("shared views"),
        };
        context.tasks.spawn("mirror", mirror.run()).unwrap();
        context
    }

    /// What a pusher that starts takes, as soon as it is what the test waits for.
    async fn recalled(&self, wanted: impl Fn(&Recalled) -> bool) -> Recalled {
        for _ in 0..1_200 {
            match recall(&*self.live, &*self.journal, &self.clock).await {
                Some(recalled) if wanted(&recalled) => return recalled,
                _ => self.clock.sleep(Duration::from_millis(50)).await,
            }
        }
        panic!("{:?}", recall(&*self.live, &*self.journal, &self.clock).await)
    }

    async fn is_at_the_end(&self, recalled: &Recalled) -> bool {
        let mut ends = Vec::new();
        for partition in 0..self.journal.partitions(Stream::Views) {
            ends.push(self.journal.end(Stream::Views, partition).await.unwrap());
        }
        recalled.next == ends
    }
}

/// The callers who wait, by queue, as a pusher would show them that starts with this.
fn shown(recalled: &Recalled) -> Vec<(String, i64)> {
    let mut picture = Picture::new(Arc::new(Directory::default()));
    for (key, partial) in &recalled.views {
        picture.take(key.as_bytes(), partial.value.as_deref().unwrap_or_default());
    }
    picture.sort(Time(0));
    let waiting = picture.queues.values().map(|queue| (queue.queue.to_string(), queue.waiting));
    waiting.filter(|(_, waiting)| *waiting > 0).collect()
}

#[tokio::test]
async fn a_pusher_that_starts_takes_the_views_and_reads_on_where_they_end() {
    let world = World::new();
    for (name, waiting) in [("sales", 1), ("sales", 2), ("support", 3), ("gone", 4)] {
        world.queue(name, (1, 10), waiting).await;
    }
    world.tell("queue/default/gone", (1, 11), None).await;
    world.complete(1, 11).await;
    let one = world.mirror("pusher-1");
    let wanted = [("sales".to_owned(), 2), ("support".to_owned(), 3)];
    let recalled = world.recalled(|recalled| shown(recalled) == wanted).await;
    assert!(world.is_at_the_end(&recalled).await, "{recalled:?}");

    // A new owner of the partition has told all it has: what the former one left is gone.
    world.queue("sales", (2, 12), 7).await;
    world.complete(2, 12).await;
    world.recalled(|recalled| shown(recalled) == [("sales".to_owned(), 7)]).await;
    // A late word of the former owner changes nothing.
    world.queue("support", (1, 99), 9).await;
    world.queue("sales", (2, 13), 8).await;
    world.recalled(|recalled| shown(recalled) == [("sales".to_owned(), 8)]).await;
    one.drain.start("the test is over");
}

#[tokio::test]
async fn the_position_waits_for_rows_that_the_reports_do_not_have() {
    let world = World::new();
    let (key, row) = world.row();
    let body = PartialRow { key: key.clone(), part: part().to_string(), row: row.clone() };
    world.tell(&frame::row_view(&key), (1, 40), Some(Body::Row(body))).await;
    world.queue("sales", (1, 40), 1).await;
    world.complete(1, 40).await;
    let one = world.mirror("pusher-1");
    let before = world.recalled(|recalled| shown(recalled).len() == 1).await;
    assert!(!world.is_at_the_end(&before).await, "the row is not stored: it must be read");
    let held = world.reports.take("a", &world.journal.identity(), &[part()]).await.unwrap().remove(0).held;
    let block = Block { key: BlockKey::of(&key), version: 40, rows: [(key.start, row)].into() };
    let change = Change { held, next: 40, calls: Vec::new(), blocks: vec![Arc::new(block)], states: Vec::new() };
    world.reports.checkpoint(&[change]).await.unwrap();
    for _ in 0..1_200 {
        let recalled = world.recalled(|_| true).await;
        if world.is_at_the_end(&recalled).await {
            one.drain.start("the test is over");
            return;
        }
        world.clock.sleep(Duration::from_millis(50)).await;
    }
    panic!("the position stays before a row that is stored");
}

#[tokio::test]
async fn another_goes_on_where_one_has_fallen_silent_and_what_was_lost_is_put_again() {
    let world = World::new();
    world.queue("sales", (1, 1), 1).await;
    world.complete(1, 1).await;
    let one = world.mirror("pusher-1");
    world.recalled(|recalled| shown(recalled) == [("sales".to_owned(), 1)]).await;
    let two = world.mirror("pusher-2");
    one.drain.start("it dies");
    world.queue("sales", (1, 2), 2).await;
    world.recalled(|recalled| shown(recalled) == [("sales".to_owned(), 2)]).await;
    // Lost, whole: whoever writes notices, and begins anew.
    world.live.clear(None).await.unwrap();
    world.recalled(|recalled| shown(recalled) == [("sales".to_owned(), 2)]).await;
    two.drain.start("the test is over");
}

#[tokio::test]
async fn what_is_shared_of_another_journal_is_not_taken() {
    let world = World::new();
    world.queue("sales", (1, 1), 1).await;
    world.complete(1, 1).await;
    let one = world.mirror("pusher-1");
    world.recalled(|recalled| !recalled.views.is_empty()).await;
    one.drain.start("the test is over");
    let other: Arc<dyn Journal> = Memory::new(Topology::default(), world.clock.clone());
    assert!(recall(&*world.live, &*other, &world.clock).await.is_none(), "it ends before the position");
    let position = world.live.snapshot(POSITION).await.unwrap();
    assert_eq!(position.partials.len(), 1);
}
