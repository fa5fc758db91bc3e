//! What is put on record when a caller is promised a callback.

use model::control::{By, CallbackAsked, Envelope};
use model::{CallId, CallbackId, EventId, QueueId, SourceId, TenantId, Time};

use super::Config;
use crate::callers::Callers;

/// Who asks, and in which call.
pub(crate) struct Wish<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) source: &'a SourceId,
    pub(crate) call: &'a CallId,
    pub(crate) queue: &'a QueueId,
    /// The number in the clear.
    pub(crate) number: &'a str,
    /// When they asked.
    pub(crate) at: Time,
}

/// The name of a promise: the same call asks once, whoever tells it and however often.
pub(crate) fn name(wish: &Wish<'_>) -> CallbackId {
    EventId::from_reference(wish.source, &format!("callback|{}|{}", wish.call, wish.queue)).to_string().as_str().into()
}

/// The record; `None` when the number cannot be sealed or is nobody's.
pub(crate) fn record(
    wish: &Wish<'_>,
    callers: &Callers,
    config: &Config,
    instance: &str,
    now: Time,
) -> Option<Envelope> {
    let callback = name(wish);
    let sealed = callers.sealed_for(wish.number, callback.as_str())?;
    let until = wish.at + config.keep.signed();
    let asked = CallbackAsked {
        callback: callback.clone(),
        queue: wish.queue.clone(),
        caller: sealed.token,
        mask: sealed.mask,
        sealed: sealed.text,
        source: wish.source.clone(),
        call: wish.call.clone(),
        asked_at: (wish.at != now).then_some(wish.at),
        until,
        hours: config.hours(),
        attempts_max: config.attempts_max,
    };
    Some(Envelope {
        id: EventId::from_reference(wish.source, &format!("callback|asked|{callback}")),
        source: SourceId::new(instance),
        time: now,
        tenant: wish.tenant.clone(),
        by: By::Automatic,
        why: "led to a callback, or asked for one".to_owned(),
        cause_id: None,
        event: asked.into(),
    })
}
