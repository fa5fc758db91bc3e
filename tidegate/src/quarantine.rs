//! `tidegate quarantine`.

use receiver::aside;
use service::{Clock, Result};

use crate::cli::Aside;
use crate::data::{journal_failed, open_existing};

pub(crate) async fn run(what: Aside) -> Result<()> {
    let clock = Clock::system();
    match what {
        Aside::List(data) => {
            let opened = open_existing(&data, &clock).await?;
            let all = aside::list(&opened.journal).await.map_err(|e| journal_failed(&e))?;
            for record in &all {
                println!("{}", serde_json::to_string(record).unwrap_or_default());
            }
            eprintln!("{} set aside", all.len());
        }
        Aside::Replay { data, ids } => {
            let opened = open_existing(&data, &clock).await?;
            let done = aside::replay(&opened.journal, &ids).await.map_err(|e| journal_failed(&e))?;
            eprintln!(
                "{} sent to the receiver again, {} kept because not all of their bytes are here",
                done.sent, done.kept
            );
        }
        Aside::Drop { data, ids, all: _ } => {
            let opened = open_existing(&data, &clock).await?;
            let dropped = aside::drop_all(&opened.journal, &ids).await.map_err(|e| journal_failed(&e))?;
            eprintln!("{dropped} dropped");
        }
    }
    Ok(())
}
