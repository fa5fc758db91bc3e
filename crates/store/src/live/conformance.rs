//! What every implementation of [`Live`] must pass: one line in its own tests, `conformance::run(async || …).await`.

use super::{Live, Partial, Slot, Version};
use crate::{Error, Part};

fn part() -> Part {
    Part::new("events.call", 0)
}

fn put(key: &str, epoch: u64, number: u64, value: &str) -> Partial {
    let value = (!value.is_empty()).then(|| value.as_bytes().into());
    Partial { slot: Slot { key: key.into(), part: part() }, version: Version { epoch, number }, value }
}

async fn shown<L: Live>(live: &L, prefix: &str) -> Vec<(String, String)> {
    let text = |p: &Partial| String::from_utf8_lossy(p.value.as_deref().unwrap_or_default()).into_owned();
    let snapshot = live.snapshot(prefix).await.expect("a snapshot is always given");
    snapshot.partials.iter().map(|p| (p.slot.key.to_string(), text(p))).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// Runs the whole suite; `make` gives an empty store each time.
///
/// # Panics
/// When the implementation breaks the contract.
pub async fn run<L: Live>(make: impl AsyncFn() -> L) {
    the_newer_version_wins_in_any_order(&make().await).await;
    an_emptied_slot_stays_empty(&make().await).await;
    an_heir_empties_what_the_former_owner_left(&make().await).await;
    a_prefix_chooses(&make().await).await;
    a_snapshot_and_the_changes_since_miss_nothing(&make().await).await;
    a_watcher_waits_for_the_next_change(&make().await).await;
    of_two_writers_one_goes_on_and_the_other_notices(&make().await).await;
    what_is_cleared_is_forgotten_with_its_versions(&make().await).await;
}

async fn the_newer_version_wins_in_any_order<L: Live>(live: &L) {
    live.put(vec![put("q/a", 1, 2, "two")], None).await.unwrap();
    live.put(vec![put("q/a", 1, 1, "one")], None).await.unwrap();
    live.put(vec![put("q/a", 1, 2, "two again")], None).await.unwrap();
    assert_eq!(shown(live, "").await, pairs(&[("q/a", "two")]));
    live.put(vec![put("q/a", 2, 1, "heir")], None).await.unwrap();
    live.put(vec![put("q/a", 1, 9, "ghost")], None).await.unwrap();
    assert_eq!(shown(live, "").await, pairs(&[("q/a", "heir")]));
}

async fn an_emptied_slot_stays_empty<L: Live>(live: &L) {
    live.put(vec![put("q/a", 1, 3, "")], None).await.unwrap();
    live.put(vec![put("q/a", 1, 2, "late")], None).await.unwrap();
    assert_eq!(shown(live, "").await, pairs(&[]));
}

async fn an_heir_empties_what_the_former_owner_left<L: Live>(live: &L) {
    live.put(vec![put("q/a", 1, 5, "old"), put("q/b", 1, 6, "old")], None).await.unwrap();
    live.begin(&part(), 2, None).await.unwrap();
    assert_eq!(shown(live, "").await, pairs(&[]));
    live.put(vec![put("q/c", 1, 7, "ghost"), put("q/b", 2, 1, "new")], None).await.unwrap();
    assert_eq!(shown(live, "").await, pairs(&[("q/b", "new")]));
    let elsewhere =
        Partial { slot: Slot { key: "q/b".into(), part: Part::new("events.call", 1) }, ..put("q/b", 1, 1, "other") };
    live.put(vec![elsewhere], None).await.unwrap();
    assert_eq!(shown(live, "").await.len(), 2, "another partition has epochs of its own");
}

async fn a_prefix_chooses<L: Live>(live: &L) {
    live.put(vec![put("q/a", 1, 1, "1"), put("q/b", 1, 1, "2"), put("r/a", 1, 1, "3")], None).await.unwrap();
    assert_eq!(shown(live, "q/").await, pairs(&[("q/a", "1"), ("q/b", "2")]));
    assert_eq!(shown(live, "x").await, pairs(&[]));
}

async fn a_snapshot_and_the_changes_since_miss_nothing<L: Live>(live: &L) {
    live.put(vec![put("q/a", 1, 1, "1"), put("q/b", 1, 1, "1")], None).await.unwrap();
    let snapshot = live.snapshot("").await.unwrap();
    live.put(vec![put("q/a", 1, 2, "2")], None).await.unwrap();
    live.put(vec![put("q/a", 1, 3, "3"), put("q/b", 1, 2, "")], None).await.unwrap();
    let mut now: std::collections::BTreeMap<Slot, Partial> =
        snapshot.partials.into_iter().map(|p| (p.slot.clone(), p)).collect();
    let mut cursor = snapshot.cursor;
    let end = live.snapshot("").await.unwrap();
    let mut seen = 0;
    while cursor < end.cursor {
        let changes = live.changes(cursor, 1).await.unwrap();
        cursor = changes.cursor;
        for p in changes.partials {
            seen += 1;
            match p.value {
                Some(_) => now.insert(p.slot.clone(), p),
                None => now.remove(&p.slot),
            };
        }
    }
    assert_eq!(seen, 2, "each slot once, however often it changed");
    assert_eq!(now.into_values().collect::<Vec<_>>(), end.partials);
}

async fn a_watcher_waits_for_the_next_change<L: Live>(live: &L) {
    let cursor = live.snapshot("").await.unwrap().cursor;
    let write = async {
        for _ in 0..8 {
            tokio::task::yield_now().await; // the watcher waits by now
        }
        live.put(vec![put("q/a", 1, 1, "1")], None).await.unwrap();
    };
    let (changes, ()) = tokio::join!(live.changes(cursor, 10), write);
    assert_eq!(changes.unwrap().partials, [put("q/a", 1, 1, "1")]);
}

async fn of_two_writers_one_goes_on_and_the_other_notices<L: Live>(live: &L) {
    let start = live.snapshot("").await.unwrap().cursor;
    let mine = live.put(vec![put("q/a", 1, 1, "mine")], Some(start)).await.unwrap();
    assert!(mine > start);
    let late = live.put(vec![put("q/b", 1, 1, "late")], Some(start)).await;
    assert!(matches!(late, Err(Error::Moved { cursor, .. }) if cursor == mine), "{late:?}");
    let late = live.begin(&part(), 9, Some(start)).await;
    assert!(matches!(late, Err(Error::Moved { .. })), "{late:?}");
    assert!(matches!(live.clear(Some(start)).await, Err(Error::Moved { .. })));
    assert_eq!(shown(live, "").await, pairs(&[("q/a", "mine")]), "nothing of what came late is done");
    let again = live.put(vec![put("q/a", 1, 1, "again")], Some(mine)).await.unwrap();
    assert_eq!(again, mine, "what changes nothing moves nothing");
    live.begin(&part(), 2, Some(mine)).await.unwrap();
}

async fn what_is_cleared_is_forgotten_with_its_versions<L: Live>(live: &L) {
    let cursor = live.put(vec![put("q/a", 5, 5, "old")], None).await.unwrap();
    live.begin(&part(), 5, None).await.unwrap();
    let cleared = live.clear(None).await.unwrap();
    assert!(shown(live, "").await.is_empty());
    assert!(matches!(live.changes(cursor, 10).await, Err(Error::Lapsed { .. })));
    live.put(vec![put("q/a", 1, 1, "new")], Some(cleared)).await.unwrap();
    assert_eq!(shown(live, "").await, pairs(&[("q/a", "new")]));
    assert_eq!(live.changes(cleared, 10).await.unwrap().partials.len(), 1);
}
