//! What the PBX itself wrote down: `queue_log` (whole seconds), channel events (CEL, microseconds) and call details (CDR).

use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::path::Path;

/// One line of `queue_log`: time, call, queue, agent, event, and what the event says.
#[derive(Clone, Debug)]
pub struct QueueLine {
    /// Seconds since the epoch, cut off.
    pub at: i64,
    /// Unique id of the caller's channel.
    pub call: String,
    /// Queue, or `NONE`.
    pub queue: String,
    /// Member's name or interface, or `NONE`.
    pub agent: String,
    /// `ENTERQUEUE`, `CONNECT`, …
    pub event: String,
    /// The fields after the event.
    pub rest: Vec<String>,
}

impl QueueLine {
    /// The number of the agent: `101` for both `Agent 101` and `PJSIP/101`.
    pub fn agent_number(&self) -> &str {
        number_of(&self.agent)
    }

    /// A field of `rest` as a whole number; 0 if it is none.
    pub fn number(&self, field: usize) -> i64 {
        self.rest.get(field).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// One channel event, in the columns of `conf/cel_custom.conf`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ChannelEvent {
    /// `CHAN_START`, `BRIDGE_ENTER`, …
    pub kind: String,
    /// Seconds since the epoch, with microseconds.
    pub time: String,
    /// Unique id of the channel.
    pub channel: String,
    /// Unique id of the first channel of the whole call.
    pub linked: String,
    /// `PJSIP/trunk-0000001a`.
    pub name: String,
    /// Where it is in the dialplan: extension.
    pub extension: String,
    /// Where it is in the dialplan: context.
    pub context: String,
    /// Application that it runs.
    pub application: String,
    /// What the application was given.
    pub arguments: String,
    /// Caller's number of the channel.
    pub caller: String,
    /// Who else is in the bridge.
    pub peer: String,
    /// JSON of the event's own details.
    pub extra: String,
}

impl ChannelEvent {
    /// Milliseconds since the epoch.
    pub fn at(&self) -> i64 {
        self.at_us() / 1000
    }

    /// Microseconds since the epoch.
    pub fn at_us(&self) -> i64 {
        let (seconds, micros) = self.time.split_once('.').unwrap_or((&self.time, "0"));
        seconds.parse::<i64>().unwrap_or(0) * 1_000_000 + micros.parse::<i64>().unwrap_or(0)
    }
}

/// When an agent's phone had a channel, and so long (ms) after an answered one as after-call work may last: begin and end of each spell. One
/// that goes on has no end.
pub fn spells(agent: &str, events: &[ChannelEvent], wrap_up_ms: i64) -> Vec<(i64, i64)> {
    let name = format!("PJSIP/{agent}-");
    let began = events.iter().filter(|event| event.kind == "CHAN_START" && event.name.starts_with(&name));
    let spell = |start: &ChannelEvent| {
        let own = |kind: &str| events.iter().find(|event| event.kind == kind && event.channel == start.channel);
        let after = if own("BRIDGE_ENTER").is_some() { wrap_up_ms } else { 0 };
        (start.at(), own("CHAN_END").map_or(i64::MAX, |end| end.at() + after))
    };
    began.map(spell).collect()
}

/// One call detail record, as far as it is used here.
#[derive(Clone, Debug)]
pub struct CallDetail {
    /// The other channel.
    pub destination: String,
    /// Whether somebody answered.
    pub answered: bool,
    /// Unique id of the channel.
    pub channel: String,
}

/// All three, each in the order written.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// `queue_log`.
    pub queue: Vec<QueueLine>,
    /// CEL.
    pub channel: Vec<ChannelEvent>,
    /// CDR.
    pub detail: Vec<CallDetail>,
}

impl Records {
    /// Reads the records below the PBX's home.
    pub fn read(home: &Path) -> Result<Self> {
        let text = |name: &str| {
            let path = home.join("log").join(name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Self::parse(&text("queue_log")?, &text("cel-custom/Master.csv")?, &text("cdr-csv/Master.csv")?)
    }

    /// Parses the three files' text.
    pub fn parse(queue: &str, channel: &str, detail: &str) -> Result<Self> {
        Ok(Self {
            queue: queue.lines().map(queue_line).collect::<Result<_>>()?,
            channel: rows(channel).deserialize().collect::<Result<_, _>>().context("in the channel events")?,
            detail: rows(detail).records().map(|row| call_detail(&row?)).collect::<Result<_>>()?,
        })
    }
}

/// The digits at the end of a member's name or interface.
pub fn number_of(agent: &str) -> &str {
    &agent[agent.trim_end_matches(|c: char| c.is_ascii_digit()).len()..]
}

fn rows(text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes())
}

fn queue_line(line: &str) -> Result<QueueLine> {
    let mut fields = line.split('|').map(str::to_owned);
    let mut next = || fields.next().with_context(|| format!("too few fields in {line:?}"));
    let at = next()?.parse().with_context(|| format!("no time in {line:?}"))?;
    Ok(QueueLine { at, call: next()?, queue: next()?, agent: next()?, event: next()?, rest: fields.collect() })
}

fn call_detail(row: &csv::StringRecord) -> Result<CallDetail> {
    let field = |at: usize| row.get(at).map(str::to_owned).with_context(|| format!("too few columns in {row:?}"));
    Ok(CallDetail { destination: field(6)?, answered: field(14)? == "ANSWERED", channel: field(16)? })
}
