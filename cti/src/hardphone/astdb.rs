//! The PBX's own database (AstDB), by its manager interface: read, written and cleared by typed actions.
//!
//! | family | key | what |
//! |---|---|---|
//! | `tidegate-phones` | queue | the desk phones, as the dialplan reads them |
//! | `tidegate-switch` | queue | `hardphone` while an order of a person holds |
//! | `tidegate-note` | family`:`queue | what we wrote there last |

use std::collections::{BTreeMap, BTreeSet};

use ami::Fault;
use ami::action::Action;
use ami::frame::{Frame, Item};
use ami::link::Link;

use super::compare::Change;
use super::map;
use crate::pbx::{Pbx, refused};

/// The family of desk phones.
pub const PHONES: &str = "tidegate-phones";
/// The family of switches of single queues.
pub const SWITCH: &str = "tidegate-switch";
/// The family of our notes.
pub const NOTES: &str = "tidegate-note";
/// What a switch says.
pub const ON: &str = "hardphone";

/// What is needed to read, in the words of manager.conf.
const READS: &str = "write = system,reporting (DBGetTree, DBGet)";
/// What is needed to write.
const WRITES: &str = "write = system (DBPut, DBDel)";
/// The most entries of a family that are read.
const ENTRIES_MAX: usize = 20_000;

/// What a PBX holds of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Family and its entries.
    pub families: BTreeMap<&'static str, BTreeMap<String, String>>,
}

impl Held {
    /// The entries of a family.
    pub fn of(&self, family: &str) -> BTreeMap<String, String> {
        self.families.get(family).cloned().unwrap_or_default()
    }

    /// Our notes about a family.
    pub fn notes(&self, family: &str) -> BTreeMap<String, String> {
        let prefix = format!("{family}:");
        let own = |(key, note): (String, String)| Some((key.strip_prefix(&prefix)?.to_owned(), note));
        self.of(NOTES).into_iter().filter_map(own).collect()
    }
}

/// Reads everything of ours. `queues`: those that are asked for one by one where the PBX cannot list (before 16.28, 18.14, 19.6).
///
/// # Errors
/// When the link breaks, or the user may not read; then the privilege is named.
pub async fn read(link: &mut Link, queues: &BTreeSet<String>) -> Result<Held, Fault> {
    let mut held = Held::default();
    for family in [PHONES, SWITCH, NOTES] {
        let entries = match tree(link, family).await? {
            Some(entries) => entries,
            None => one_by_one(link, family, queues).await?,
        };
        held.families.insert(family, entries);
    }
    Ok(held)
}

/// All entries of a family; `None` when this PBX does not know the action.
pub(crate) async fn tree(link: &mut Link, family: &'static str) -> Result<Option<BTreeMap<String, String>>, Fault> {
    let id = link.next_id();
    link.send(&id, &Action::new("DBGetTree").with("Family", family))?;
    let mut entries = BTreeMap::new();
    loop {
        let frame = answer(link, &id).await?;
        match (frame.event(), frame.response()) {
            (None, Some("Error")) => {
                let message = frame.get("Message").unwrap_or("no reason given");
                let lower = message.to_lowercase();
                if lower.contains("unknown command") {
                    return Ok(None);
                }
                // a family without entries is an empty one
                let empty = lower.contains("not found") || lower.contains("no entries");
                return if empty { Ok(Some(entries)) } else { Err(refused("DBGetTree", message, READS)) };
            }
            (Some("DBGetTreeResponse"), _) => {
                let key = frame.get("Key").and_then(|key| key.trim_start_matches('/').split_once('/'));
                if let Some((_, key)) = key.filter(|(of, _)| *of == family)
                    && entries.len() < ENTRIES_MAX
                {
                    entries.insert(key.to_owned(), frame.get("Val").unwrap_or_default().to_owned());
                }
            }
            (Some("DBGetTreeComplete"), _) => return Ok(Some(entries)),
            _ => {}
        }
    }
}

/// The entries of a family that these queues have.
async fn one_by_one(
    link: &mut Link,
    family: &'static str,
    queues: &BTreeSet<String>,
) -> Result<BTreeMap<String, String>, Fault> {
    let mut entries = BTreeMap::new();
    let keys = queues.iter().filter(|queue| map::is_key(queue));
    let keys: Vec<String> = match family {
        NOTES => keys.flat_map(|queue| [format!("{PHONES}:{queue}"), format!("{SWITCH}:{queue}")]).collect(),
        _ => keys.cloned().collect(),
    };
    for key in keys {
        let id = link.next_id();
        link.send(&id, &Action::new("DBGet").with("Family", family).with("Key", key.as_str()))?;
        loop {
            let frame = answer(link, &id).await?;
            match (frame.event(), frame.response()) {
                (None, Some("Error")) => {
                    let message = frame.get("Message").unwrap_or("no reason given");
                    if message.to_lowercase().contains("not found") {
                        break;
                    }
                    return Err(refused("DBGet", message, READS));
                }
                (Some("DBGetResponse"), _) => {
                    entries.insert(key.clone(), frame.get("Val").unwrap_or_default().to_owned());
                }
                (Some("DBGetComplete"), _) => break,
                _ => {}
            }
        }
    }
    Ok(entries)
}

/// The next frame that belongs to an action.
async fn answer(link: &mut Link, id: &str) -> Result<Frame, Fault> {
    loop {
        match link.take() {
            Some(Item::Frame(frame)) if frame.get("ActionID") == Some(id) => return Ok(frame),
            Some(_) => {}
            None => _ = link.turn().await?,
        }
    }
}

/// Does what is to be done in a family. The note goes first: a write that is cut off behind it is known for ours.
///
/// # Errors
/// As [`read`].
pub async fn change(link: &mut Link, family: &'static str, changes: &[Change]) -> Result<(), Fault> {
    for change in changes {
        match change {
            Change::Put { key, value, note } => {
                put(link, NOTES, &format!("{family}:{key}"), note).await?;
                put(link, family, key, value).await?;
            }
            Change::Adopt { key, note } => put(link, NOTES, &format!("{family}:{key}"), note).await?,
            Change::Delete { key } => {
                delete(link, family, key).await?;
                delete(link, NOTES, &format!("{family}:{key}")).await?;
            }
        }
    }
    Ok(())
}

async fn put(link: &mut Link, family: &'static str, key: &str, value: &str) -> Result<(), Fault> {
    let action = Action::new("DBPut").with("Family", family).with("Key", key).with("Val", value);
    Pbx::ask(link, &action, WRITES).await.map(drop)
}

pub(crate) async fn delete(link: &mut Link, family: &'static str, key: &str) -> Result<(), Fault> {
    let action = Action::new("DBDel").with("Family", family).with("Key", key);
    match Pbx::ask(link, &action, WRITES).await {
        // somebody was quicker
        Err(Fault::Refused(why)) if why.contains("could not be deleted") => Ok(()),
        outcome => outcome.map(drop),
    }
}
