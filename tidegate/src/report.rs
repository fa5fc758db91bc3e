//! `tidegate report`: the same rows as over HTTP, without a server.

use std::io::{self, BufWriter, Write};

use model::{Directory, Time};
use pusher::report::ask::{Asker, Bounds, CallsAsked, IntervalsAsked};
use pusher::report::{self, flat};
use serde_json::Map;
use service::{Clock, Error, Result};
use store::Reports;

use crate::cli::{Agents, Calls, Format, Intervals, Range, What};
use crate::data;

pub(crate) async fn run(what: What) -> Result<()> {
    let range = match &what {
        What::Intervals(args) => &args.range,
        What::Agents(args) => &args.range,
        What::Calls(args) => &args.range,
    };
    let store = data::store_existing(&range.data).await?;
    let directory = data::directory(&store).await?;
    let now = Time(Clock::system().now_ms());
    let asker = Asker { directory: &directory, tenant: None, now, bounds: Bounds::default() };
    match what {
        What::Intervals(args) => intervals(&args, store.as_ref(), &directory, &asker).await,
        What::Agents(args) => agents(&args, store.as_ref(), &directory, &asker).await,
        What::Calls(args) => calls(&args, store.as_ref(), &asker).await,
    }
}

async fn intervals(args: &Intervals, store: &dyn Reports, directory: &Directory, asker: &Asker<'_>) -> Result<()> {
    let asked = IntervalsAsked {
        interval: Some(args.interval.clone()),
        by: Some(args.by.clone()),
        policy: Some(args.policy.clone()),
        threshold: args.threshold.clone(),
        cohort: Some(args.cohort.to_string()),
        fill: Some(args.fill.to_string()),
        ..asked(&args.range)
    };
    let asked = asker.intervals(&asked).map_err(refused)?;
    let found = report::intervals::intervals(store, directory, &asked, asker.now).await.map_err(failed)?;
    write(args.range.format, &asked.head(), &found)
}

async fn agents(args: &Agents, store: &dyn Reports, directory: &Directory, asker: &Asker<'_>) -> Result<()> {
    let cohort = Some(args.cohort.to_string());
    let asked = IntervalsAsked { interval: Some(args.interval.clone()), cohort, ..asked(&args.range) };
    let asked = asker.agents(&asked).map_err(refused)?;
    let found = report::agents::agents(store, directory, &asked, asker.now).await.map_err(failed)?;
    write(args.range.format, &asked.head(), &found)
}

async fn calls(args: &Calls, store: &dyn Reports, asker: &Asker<'_>) -> Result<()> {
    let asked = CallsAsked {
        from: Some(args.range.from.clone()),
        to: Some(args.range.to.clone()),
        queue: args.queue.clone(),
        agent: args.agent.clone(),
        tenant: args.range.tenant.clone(),
        zone: args.range.zone.clone(),
        limit: Some(store::reports::PAGE_MAX.to_string()),
        ..CallsAsked::default()
    };
    if !args.range.id.is_empty() {
        let message = "--id does not choose calls; use --queue or --agent";
        return Err(Error::usage("TG0315", message));
    }
    let mut asked = asker.calls(&asked).map_err(refused)?;
    let mut found = Vec::new();
    loop {
        let page = report::calls::calls(store, &asked).await.map_err(failed)?;
        found.extend(page.rows);
        let Some(next) = page.next else { break };
        asked.after = Some(report::cursor::read(&next).map_err(refused)?);
    }
    write(args.range.format, &Map::new(), &found)
}

fn asked(range: &Range) -> IntervalsAsked {
    IntervalsAsked {
        from: Some(range.from.clone()),
        to: Some(range.to.clone()),
        id: (!range.id.is_empty()).then(|| range.id.join(",")),
        tenant: range.tenant.clone(),
        zone: range.zone.clone(),
        ..IntervalsAsked::default()
    }
}

fn write<R: flat::Flat>(format: Format, head: &Map<String, serde_json::Value>, rows: &[R]) -> Result<()> {
    let format = match format {
        Format::Csv => flat::Format::Csv,
        Format::Json => flat::Format::Json,
        Format::Ndjson => flat::Format::Ndjson,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let written = flat::write(&mut out, format, head, rows).and_then(|()| out.flush());
    match written {
        // Whoever reads us may stop early (`| head`): that is no failure.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(e) => Err(Error::dependency("TG0316", "the report cannot be written").caused_by(e)),
        Ok(()) => Ok(()),
    }
}

fn refused(refused: report::Refused) -> Error {
    Error::usage("TG0317", refused.detail)
}

fn failed(error: report::Error) -> Error {
    match error {
        report::Error::Refused(refused) => self::refused(refused),
        other => Error::dependency("TG0112", "the report cannot be computed").caused_by(other),
    }
}
