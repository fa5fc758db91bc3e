//! One client's conversation as a pure state machine: messages in, effects out. No socket, no clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::close::Close;
use super::message::{Code, Complaint, Message, Resume, Subscribe};
use super::topic::Selection;

/// Bounds of one conversation.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most subscriptions.
    pub subscriptions: usize,
    /// The most values in a filter.
    pub filter_values: usize,
    /// The most messages that are not understood before the connection is closed.
    pub errors: u32,
    /// The longest id, in bytes.
    pub id_bytes: usize,
}

/// What the socket is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send this text to this client.
    Send(String),
    /// Look the token up, and tell [`Session::admitted`] or close.
    Check(String),
    /// Follow a feed, from where the client stopped if it still reaches so far.
    Follow {
        /// What.
        selection: Selection,
        /// From where.
        resume: Option<Resume>,
    },
    /// No longer follow a feed.
    Leave(Selection),
    /// Close, and say why.
    Close(Close),
}

/// Who the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Stranger,
    Admitted { tenant: Option<Arc<str>> },
}

/// One client's conversation.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    who: Who,
    subscriptions: BTreeMap<String, Vec<Selection>>,
    errors: u32,
}

impl Session {
    /// A client of whom nothing is known: only `auth` and `ping` are obeyed.
    pub fn stranger(limits: Limits) -> Session {
        Session { limits, who: Who::Stranger, subscriptions: BTreeMap::new(), errors: 0 }
    }

    /// The client may see this tenant's items (`None`: all).
    pub fn admitted(&mut self, tenant: Option<Arc<str>>) {
        self.who = Who::Admitted { tenant };
    }

    /// Whether the client may see anything.
    pub fn is_admitted(&self) -> bool {
        self.who != Who::Stranger
    }

    /// A text message came. `now` is the time of a pong, RFC 3339.
    pub fn message(&mut self, text: &str, now: &str) -> Vec<Effect> {
        let outcome = Message::parse(text).and_then(|message| self.obey(message, now));
        match outcome {
            Ok(effects) => effects,
            Err(complaint) => {
                self.errors += 1;
                let mut effects = vec![Effect::Send(complaint.frame())];
                if self.errors >= self.limits.errors {
                    effects.push(Effect::Close(Close::TooManyErrors));
                }
                effects
            }
        }
    }

    fn obey(&mut self, message: Message, now: &str) -> Result<Vec<Effect>, Complaint> {
        match message {
            Message::Ping { id } => {
                let mut pong = json!({ "op": "pong", "time": now });
                if let Some(id) = id {
                    pong["id"] = json!(id);
                }
                Ok(vec![Effect::Send(pong.to_string())])
            }
            Message::Pong => Ok(Vec::new()),
            Message::Auth { .. } if self.is_admitted() => Ok(Vec::new()),
            Message::Auth { token } => Ok(vec![Effect::Check(token)]),
            Message::Subscribe(subscribe) => self.subscribe(subscribe),
            Message::Unsubscribe { id } => {
                let Some(old) = self.subscriptions.remove(&id) else {
                    let detail = format!("there is no subscription {id:?}");
                    return Err(Complaint { code: Code::NoSuchSubscription, id: Some(id), detail });
                };
                let mut effects = self.unused(old);
                effects.push(Effect::Send(json!({ "op": "unsubscribed", "id": id }).to_string()));
                Ok(effects)
            }
        }
    }

    fn subscribe(&mut self, subscribe: Subscribe) -> Result<Vec<Effect>, Complaint> {
        let Subscribe { id, mut topics, filter, resume, .. } = subscribe;
        let complain = |code, detail: String| Err(Complaint { code, id: Some(id.clone()), detail });
        let Who::Admitted { tenant } = &self.who else {
            return complain(Code::AuthRequired, "send {\"op\":\"auth\",\"token\":…} first".to_owned());
        };
        if id.is_empty() || id.len() > self.limits.id_bytes {
            return complain(Code::BadMessage, format!("id: want 1 to {} bytes", self.limits.id_bytes));
        }
        topics.sort_unstable();
        topics.dedup();
        if topics.is_empty() {
            return complain(Code::BadMessage, "topics: want at least one".to_owned());
        }
        if filter.len() > self.limits.filter_values {
            let (len, max) = (filter.len(), self.limits.filter_values);
            return complain(Code::Limit, format!("filter: {len} values, the limit is {max}"));
        }
        let max = self.limits.subscriptions;
        if self.subscriptions.len() >= max && !self.subscriptions.contains_key(&id) {
            return complain(
                Code::Limit,
                format!("{max} subscriptions are the limit: end one, or replace one by its id"),
            );
        }
        let selection = |topic| Selection { tenant: tenant.clone(), topic, filter: filter.clone() };
        let new: Vec<Selection> = topics.iter().map(|topic| selection(*topic)).collect();
        let feeds: Vec<String> = new.iter().map(Selection::feed).collect();
        let old = self.subscriptions.insert(id.clone(), new.clone()).unwrap_or_default();
        let mut effects = self.unused(old);
        effects.push(Effect::Send(json!({ "op": "subscribed", "id": id, "feeds": feeds }).to_string()));
        for (selection, feed) in new.into_iter().zip(feeds) {
            let resume = resume.iter().find(|resume| resume.feed == feed).cloned();
            effects.push(Effect::Follow { selection, resume });
        }
        Ok(effects)
    }

    /// Those of `old` that no subscription wants any more.
    fn unused(&self, old: Vec<Selection>) -> Vec<Effect> {
        let used = |selection: &Selection| self.subscriptions.values().flatten().any(|held| held == selection);
        old.into_iter().filter(|selection| !used(selection)).map(Effect::Leave).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::topic::Topic;

    const LIMITS: Limits = Limits { subscriptions: 2, filter_values: 3, errors: 3, id_bytes: 64 };

    fn admitted() -> Session {
        let mut session = Session::stranger(LIMITS);
        session.admitted(None);
        session
    }

    fn subscribe(id: &str, topics: &str) -> String {
        format!(r#"{{"op":"subscribe","id":"{id}","topics":[{topics}]}}"#)
    }

    fn topics(effects: &[Effect]) -> (Vec<Topic>, Vec<Topic>) {
        let follow = effects.iter().filter_map(|e| match e {
            Effect::Follow { selection, .. } => Some(selection.topic),
            _ => None,
        });
        let leave = effects.iter().filter_map(|e| match e {
            Effect::Leave(selection) => Some(selection.topic),
            _ => None,
        });
        (follow.collect(), leave.collect())
    }

    fn sent(effects: &[Effect]) -> Vec<serde_json::Value> {
        let texts = effects.iter().filter_map(|e| match e {
            Effect::Send(text) => Some(serde_json::from_str(text).unwrap()),
            _ => None,
        });
        texts.collect()
    }

    #[test]
    fn a_stranger_is_asked_for_a_token_and_may_ping() {
        let mut session = Session::stranger(LIMITS);
        assert_eq!(sent(&session.message(&subscribe("a", "\"queues\""), ""))[0]["code"], "auth_required");
        assert_eq!(
            sent(&session.message(r#"{"op":"ping","id":"7"}"#, "now"))[0],
            json!({"op":"pong","time":"now","id":"7"})
        );
        assert_eq!(session.message(r#"{"op":"auth","token":"t"}"#, ""), [Effect::Check("t".into())]);
        session.admitted(Some("bank".into()));
        let effects = session.message(&subscribe("a", "\"queues\""), "");
        let Effect::Follow { selection, .. } = &effects[1] else { panic!("{effects:?}") };
        assert_eq!(selection.tenant.as_deref(), Some("bank"));
    }

    #[test]
    fn replacing_a_subscription_leaves_only_what_nobody_wants_any_more() {
        let mut session = admitted();
        session.message(&subscribe("a", r#""queues","agents""#), "");
        session.message(&subscribe("b", r#""agents""#), "");
        let effects = session.message(&subscribe("a", r#""calls""#), "");
        assert_eq!(topics(&effects), (vec![Topic::Calls], vec![Topic::Queues]));
        let effects = session.message(r#"{"op":"unsubscribe","id":"b"}"#, "");
        assert_eq!(topics(&effects), (vec![], vec![Topic::Agents]));
    }

    #[test]
    fn an_unknown_op_is_an_error_and_many_of_them_end_the_connection() {
        let mut session = admitted();
        for _ in 0..2 {
            let effects = session.message(r#"{"op":"dance"}"#, "");
            assert_eq!((effects.len(), sent(&effects)[0]["code"].as_str()), (1, Some("unknown_op")));
        }
        assert_eq!(session.message("{", "")[1], Effect::Close(Close::TooManyErrors));
    }

    #[test]
    fn limits_are_refused_by_name() {
        let mut session = admitted();
        session.message(&subscribe("a", "\"queues\""), "");
        session.message(&subscribe("b", "\"queues\""), "");
        assert_eq!(sent(&session.message(&subscribe("c", "\"queues\""), ""))[0]["code"], "limit");
        let wide = r#"{"op":"subscribe","id":"a","topics":["queues"],"filter":{"queues":["1","2","3","4"]}}"#;
        assert_eq!(sent(&session.message(wide, ""))[0]["detail"], "filter: 4 values, the limit is 3");
    }

    #[test]
    fn a_resume_goes_to_its_own_feed() {
        let mut session = admitted();
        let text = r#"{"op":"subscribe","id":"a","topics":["queues","calls"],"resume":[{"feed":"calls","epoch":"e","seq":4}]}"#;
        let effects = session.message(text, "");
        let resumes: Vec<Option<u64>> = effects
            .iter()
            .filter_map(|e| match e {
                Effect::Follow { resume, .. } => Some(resume.as_ref().map(|r| r.seq)),
                _ => None,
            })
            .collect();
        assert_eq!(resumes, [None, Some(4)]);
    }
}
