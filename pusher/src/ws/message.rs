//! What a client may say, and how the server answers one client (frames for many are written by [`super::feed`]).

use serde::Deserialize;
use serde_json::json;

use super::topic::{Filter, Topic};

/// A message of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Begin or replace a subscription.
    Subscribe(Subscribe),
    /// End a subscription.
    Unsubscribe {
        /// Its name.
        id: String,
    },
    /// Prove who is there; the first message, where tokens are wanted.
    Auth {
        /// The bearer token.
        token: String,
    },
    /// Ask for a pong.
    Ping {
        /// Comes back in the pong.
        id: Option<String>,
    },
    /// Answers the server's ping.
    Pong,
}

/// Begin or replace a subscription.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// Always `subscribe`.
    pub op: String,
    /// The client's own name for it; the same name again replaces it.
    pub id: String,
    /// What is wanted.
    pub topics: Vec<Topic>,
    /// Narrowed to what.
    #[serde(default)]
    pub filter: Filter,
    /// Where the client stopped, per feed, after a reconnect.
    #[serde(default)]
    pub resume: Vec<Resume>,
}

/// Where a client stopped in a feed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The feed's name, as the server gave it.
    pub feed: String,
    /// The epoch of the last frame.
    pub epoch: String,
    /// The seq of the last frame.
    pub seq: u64,
}

/// Why a message was not understood, or not obeyed. The connection stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Not JSON, or no object with `op`.
    BadJson,
    /// An `op` that this server does not know.
    UnknownOp,
    /// Known, but a field is missing, unknown or of the wrong kind.
    BadMessage,
    /// A token is wanted first.
    AuthRequired,
    /// A limit on topics, filter values or subscriptions.
    Limit,
    /// No subscription has this id.
    NoSuchSubscription,
}

impl Code {
    /// Every code.
    pub const ALL: [Code; 6] =
        [Code::BadJson, Code::UnknownOp, Code::BadMessage, Code::AuthRequired, Code::Limit, Code::NoSuchSubscription];

    /// The wire name.
    pub const fn name(self) -> &'static str {
        match self {
            Code::BadJson => "bad_json",
            Code::UnknownOp => "unknown_op",
            Code::BadMessage => "bad_message",
            Code::AuthRequired => "auth_required",
            Code::Limit => "limit",
            Code::NoSuchSubscription => "no_such_subscription",
        }
    }
}

/// A complaint about one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The class of it.
    pub code: Code,
    /// The `id` of the message, when it could be read.
    pub id: Option<String>,
    /// What is wrong, and what to send instead.
    pub detail: String,
}

/// Characters of an unknown op that are told back: escaped, they may be six times as long.
const OP_SHOWN: usize = 40;

impl Complaint {
    /// A complaint about a message without an id.
    pub fn new(code: Code, detail: impl Into<String>) -> Complaint {
        Complaint { code, id: None, detail: detail.into() }
    }

    /// The `error` frame.
    pub fn frame(&self) -> String {
        let mut frame = json!({ "op": "error", "code": self.code.name(), "detail": self.detail });
        if let Some(id) = &self.id {
            frame["id"] = json!(id);
        }
        frame.to_string()
    }
}

#[derive(Deserialize)]
struct Head {
    op: String,
    #[serde(default)]
    id: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Small {
    #[expect(dead_code, reason = "named so that it is not an unknown field")]
    op: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    #[expect(dead_code, reason = "a pong may carry the time of the ping back")]
    time: Option<String>,
}

impl Message {
    /// Reads one text message.
    ///
    /// # Errors
    /// A [`Complaint`] to send back.
    pub fn parse(text: &str) -> Result<Message, Complaint> {
        if !text.trim_start().starts_with('{') {
            // An array of the right length would be read as a message, too.
            return Err(Complaint::new(Code::BadJson, "want a JSON object with \"op\""));
        }
        let head: Head = serde_json::from_str(text)
            .map_err(|error| Complaint::new(Code::BadJson, format!("want a JSON object with \"op\": {error}")))?;
        let id = head.id.and_then(|id| id.as_str().map(str::to_owned));
        let bad = |detail: String| Complaint { code: Code::BadMessage, id: id.clone(), detail };
        let fits = |error: serde_json::Error| bad(format!("{}: {error}", head.op));
        match head.op.as_str() {
            "subscribe" => Ok(Message::Subscribe(serde_json::from_str(text).map_err(fits)?)),
            "unsubscribe" | "auth" | "ping" | "pong" => {
                let small: Small = serde_json::from_str(text).map_err(fits)?;
                let missing = |field: &str| bad(format!("{}: {field:?} is missing", head.op));
                match head.op.as_str() {
                    "unsubscribe" => Ok(Message::Unsubscribe { id: small.id.ok_or_else(|| missing("id"))? }),
                    "auth" => Ok(Message::Auth { token: small.token.ok_or_else(|| missing("token"))? }),
                    "ping" => Ok(Message::Ping { id: small.id }),
                    _ => Ok(Message::Pong),
                }
            }
            other => Err(Complaint {
                code: Code::UnknownOp,
                id,
                detail: format!(
                    "{:?} is no op of this server: want subscribe, unsubscribe, auth, ping or pong",
                    other.chars().take(OP_SHOWN).collect::<String>()
                ),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_read_with_its_filter_and_resume() {
        let text = r#"{"op":"subscribe","id":"main","topics":["queues","calls"],
            "filter":{"queues":["b","a"]},"resume":[{"feed":"queues-1","epoch":"e","seq":7}]}"#;
        let Message::Subscribe(subscribe) = Message::parse(text).unwrap() else { panic!("no subscribe") };
        assert_eq!(subscribe.topics, [Topic::Queues, Topic::Calls]);
        assert_eq!(subscribe.filter.queues.iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(subscribe.resume[0].seq, 7);
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_id() {
        let cases = [
            ("hello", Code::BadJson, None),
            (r#"["op"]"#, Code::BadJson, None),
            (r#"{"op":"dance","id":"x"}"#, Code::UnknownOp, Some("x")),
            (r#"{"op":"subscribe","id":"x","topics":["weather"]}"#, Code::BadMessage, Some("x")),
            (r#"{"op":"subscribe","id":"x","topics":[],"filter":{"queue":["a"]}}"#, Code::BadMessage, Some("x")),
            (r#"{"op":"unsubscribe"}"#, Code::BadMessage, None),
            (r#"{"op":"auth"}"#, Code::BadMessage, None),
        ];
        for (text, code, id) in cases {
            let complaint = Message::parse(text).unwrap_err();
            assert_eq!((complaint.code, complaint.id.as_deref()), (code, id), "{text}");
        }
    }

    #[test]
    fn an_op_that_nobody_knows_is_told_back_in_part() {
        let told = Message::parse(&json!({ "op": "\u{7f}".repeat(5_000), "id": "a" }).to_string()).unwrap_err();
        assert_eq!((told.code, told.id.as_deref()), (Code::UnknownOp, Some("a")));
        assert!(told.detail.len() < 400 && told.detail.ends_with("ping or pong"), "{}", told.detail);
    }

    #[test]
    fn the_description_for_machines_knows_every_word() {
        let api = include_str!("../../../docs/spec/asyncapi.yaml");
        let list = |words: Vec<&str>| format!("enum: [{}]", words.join(", "));
        assert!(api.contains(&list(Code::ALL.map(Code::name).to_vec())), "the error codes differ");
        assert!(api.contains(&list(Topic::ALL.map(Topic::name).to_vec())), "the topics differ");
        for op in ["auth", "subscribe", "unsubscribe", "ping", "authenticated", "subscribed", "unsubscribed"] {
            assert!(api.contains(&format!("op: {{ const: {op} }}")), "{op}");
        }
        for op in ["snapshot", "delta", "correction", "beat", "pong", "error"] {
            assert!(api.contains(&format!("op: {{ const: {op} }}")), "{op}");
        }
    }

    #[test]
    fn every_error_code_and_op_stands_in_the_specification() {
        let spec = include_str!("../../../docs/spec/websocket.md");
        for code in Code::ALL {
            assert!(spec.contains(&format!("`{}`", code.name())), "{} is not in docs/spec/websocket.md", code.name());
        }
        for op in
            ["subscribe", "unsubscribe", "auth", "ping", "pong", "snapshot", "delta", "correction", "beat", "error"]
        {
            assert!(spec.contains(&format!("`{op}`")), "{op} is not in docs/spec/websocket.md");
        }
    }
}
