//! Promises that a phone system kept while nobody of ours was there, or that its own menus made: taken over, and then removed there.
//!
//! The dialplan writes each promise into its own database before it says anything to the caller (`tidegate-callback`, key: the call, value:
//! `SECONDS|QUEUE|NUMBER`), so that none depends on us. It is removed there when it is on record here.

use std::sync::Arc;

use ami::Fault;
use journal::{Entry, Journal, Stream};
use model::{CallId, QueueId, SourceId, Time};

use super::promise::{self, Wish};
use super::{Config, dial};
use crate::gate::Gate;
use crate::hardphone::astdb;
use crate::pbx::Pbx;

/// The family of promises.
const FAMILY: &str = "tidegate-callback";
/// Promises that are taken over at once.
const BATCH: usize = 100;

/// A promise as the dialplan wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    at: Time,
    queue: QueueId,
    number: String,
}

/// Reads a value; `None`: it is none of ours.
fn kept(value: &str) -> Option<Kept> {
    let mut parts = value.splitn(3, '|');
    let (at, queue, number) = (parts.next()?, parts.next()?, parts.next()?);
    let at: i64 = at.parse().ok().filter(|at| (1..=1 << 40).contains(at))?;
    let fits = dial::is_plain(queue) && number.bytes().any(|b| b.is_ascii_digit()) && number.len() <= 64;
    fits.then(|| Kept { at: Time::from_secs(at), queue: queue.into(), number: number.to_owned() })
}

/// Takes over what a phone system keeps; how many.
///
/// # Errors
/// When it cannot be read, or what is on record here cannot be removed there: then it is taken over again, which changes nothing.
pub(crate) async fn fetch(
    pbx: &Pbx,
    source: &SourceId,
    gate: &Gate,
    journal: &Arc<dyn Journal>,
    config: &Config,
) -> Result<usize, Fault> {
    let mut link = pbx.open(gate.clock()).await?;
    let found = astdb::tree(&mut link, FAMILY).await?.unwrap_or_default();
    let now = Time(gate.clock().now_ms());
    let tenant = gate.tenant_of(source);
    let (mut entries, mut taken) = (Vec::new(), Vec::new());
    for (call, value) in found.iter().take(BATCH) {
        let Some(kept) = kept(value) else {
            tracing::warn!(%source, call, "a promise in the phone system makes no sense, or hides its number; it stays there");
            continue;
        };
        let call_id = CallId::new(call);
        let (queue, number) = (&kept.queue, kept.number.as_str());
        // a clock that is ahead of ours must not put a promise off
        let wish = Wish { tenant: &tenant, source, call: &call_id, queue, number, at: kept.at.min(now) };
        if let Some(envelope) = promise::record(&wish, &gate.callers, config, gate.instance(), now) {
            entries.push(Entry::new(Stream::Control, tenant.as_str().to_owned(), envelope.to_json()));
            taken.push(call.clone());
        }
    }
    if !entries.is_empty() {
        journal.append(entries).await.map_err(|error| Fault::Transient(format!("the journal: {error}")))?;
    }
    for call in &taken {
        astdb::delete(&mut link, FAMILY, call).await?;
    }
    link.close(gate.clock()).await;
    Ok(taken.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_read_as_the_dialplan_writes_it() {
        let read = kept("1795227084|sales|+49305551").unwrap();
        assert_eq!(
            (read.at, read.queue.as_str(), read.number.as_str()),
            (Time::from_secs(1_795_227_084), "sales", "+49305551")
        );
        for bad in [
            "",
            "1|sales",
            "x|sales|49",
            "1795227084|sa les|49",
            "1795227084|sales|",
            "1795227084|sales|anonymous",
            "-1|sales|49",
        ] {
            assert_eq!(kept(bad), None, "{bad:?}");
        }
    }
}
