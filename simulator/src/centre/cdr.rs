//! Call detail records, as `cdr_manager` says them when a channel ends.

use std::sync::Arc;

use jiff::Timestamp;

use super::channel::Channel;
use super::voice::{Class, Voice};

/// One part of a call, as its CDR tells it: the first channel and one that it dialled.
#[derive(Clone, Debug)]
pub(crate) struct Cdr {
    /// The dialled channel.
    pub(crate) to: Option<Box<str>>,
    pub(crate) context: &'static str,
    pub(crate) exten: Arc<str>,
    pub(crate) application: &'static str,
    pub(crate) start_ms: i64,
    pub(crate) answer_ms: Option<i64>,
    pub(crate) end_ms: i64,
}

impl Cdr {
    /// Says the record of a channel that is ending.
    pub(crate) fn say(&self, now: i64, c: &Channel, user_field: &str, voice: &mut Voice) {
        let answered = self.answer_ms.unwrap_or(self.end_ms);
        voice
            .event("Cdr", Class::Cdr, now)
            .put("AccountCode", "")
            .put("Source", &c.caller.number)
            .put("Destination", &self.exten)
            .put("DestinationContext", self.context)
            .put("CallerID", format_args!("\"{}\" <{}>", c.caller.name, c.caller.number))
            .put("Channel", &c.name)
            .put("DestinationChannel", self.to.as_deref().unwrap_or(""))
            .put("LastApplication", self.application)
            .put("LastData", &c.application_data)
            .put("StartTime", clock(self.start_ms))
            .put("AnswerTime", self.answer_ms.map(clock).unwrap_or_default())
            .put("EndTime", clock(self.end_ms))
            .put("Duration", (self.end_ms - self.start_ms).div_euclid(1000))
            .put("BillableSeconds", (self.end_ms - answered).div_euclid(1000))
            .put("Disposition", if self.answer_ms.is_some() { "ANSWERED" } else { "NO ANSWER" })
            .put("AMAFlags", "DOCUMENTATION")
            .put("UniqueID", &c.unique)
            .put("UserField", user_field)
            .end();
    }
}

/// A time as a CDR writes it; the PBX keeps UTC.
fn clock(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map(|at| at.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}
