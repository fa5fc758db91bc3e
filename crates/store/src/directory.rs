//! The directory (names, limits, tenants) that a store's figures are read with, kept beside them: reports without a server
//! name and judge as the server did.

use model::Directory;

use crate::{Error, Reports, Result};

const NAME: &str = "directory";

/// The directory kept in a store; the default one where none was ever kept.
///
/// # Errors
/// Those of the store; `Corrupt` when what is kept cannot be read.
pub async fn kept(store: &dyn Reports) -> Result<Directory> {
    match store.meta(NAME).await? {
        None => Ok(Directory::default()),
        Some(text) => serde_json::from_str(&text).map_err(corrupt),
    }
}

/// Adds what `more` knows to the kept directory and gives the whole: what is learnt later does not forget the earlier.
///
/// # Errors
/// As [`kept`].
pub async fn learn(store: &dyn Reports, more: Directory) -> Result<Directory> {
    let before = kept(store).await?;
    let mut all = before.clone();
    all.tenants.extend(more.tenants);
    all.sources.extend(more.sources);
    all.queues.extend(more.queues);
    all.agents.extend(more.agents);
    all.teams.extend(more.teams);
    if all != before {
        let text = serde_json::to_string(&all).map_err(corrupt)?;
        store.put_meta(NAME, &text).await?;
    }
    Ok(all)
}

fn corrupt(error: serde_json::Error) -> Error {
    Error::Corrupt { what: "the directory".to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::directory::Queue;

    fn named(id: &str, name: &str) -> Directory {
        let queue = Queue { name: name.to_owned(), ..Queue::default() };
        Directory { queues: [(id.into(), queue)].into(), ..Directory::default() }
    }

    #[tokio::test]
    async fn what_is_learnt_later_does_not_forget_the_earlier() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::Sqlite::open(&folder.path().join("store.db")).await.unwrap();
        assert_eq!(kept(&store).await.unwrap(), Directory::default());
        learn(&store, named("sales", "Sales")).await.unwrap();
        learn(&store, named("support", "Help")).await.unwrap();
        learn(&store, named("sales", "Selling")).await.unwrap();
        let names: Vec<_> = kept(&store).await.unwrap().queues.into_values().map(|q| q.name).collect();
        assert_eq!(names, ["Selling", "Help"]);
    }
}
