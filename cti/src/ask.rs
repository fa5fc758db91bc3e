//! What a phone system asks, and what it is told.

use model::control::Kind;
use model::{CallId, QueueId, SourceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A call stands before a queue: may it enter?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// The source that brings this phone system's calls, such as `pbx1`.
    pub source: SourceId,
    /// The call, by the id that its source's events have.
    pub call: CallId,
    /// The queue that it is meant for.
    pub queue: QueueId,
    /// The calling number in the clear; it is sealed before anything else is done with it. Absent: the caller hides it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// The number that was dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialled: Option<String>,
    /// The caller's language, as the phone system names it; handed on to whoever helps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The caller was led elsewhere with this very call and asks for a person all the same.
    #[serde(default)]
    pub returned: bool,
}

/// The longest text of an [`Ask`], bytes.
pub const TEXT_MAX: usize = 256;

impl Ask {
    /// What is wrong with it, if anything: an id that is empty, longer than [`TEXT_MAX`] or has a control character.
    pub fn fault(&self) -> Option<String> {
        let needed = [("source", self.source.as_str()), ("call", self.call.as_str()), ("queue", self.queue.as_str())];
        let optional = [
            ("caller", self.caller.as_deref()),
            ("dialled", self.dialled.as_deref()),
            ("language", self.language.as_deref()),
        ];
        let empty = needed.iter().find(|(_, text)| text.is_empty()).map(|(name, _)| format!("{name} is empty"));
        empty.or_else(|| {
            let all = needed.into_iter().chain(optional.iter().filter_map(|(name, text)| Some((*name, (*text)?))));
            let bad = |text: &str| text.len() > TEXT_MAX || text.chars().any(char::is_control);
            let (name, _) = all.into_iter().find(|(_, text)| bad(text))?;
            Some(format!("{name} is longer than {TEXT_MAX} bytes or has a control character"))
        })
    }
}

/// Where the call shall go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// What kind of place: `human_queue` lets it in.
    pub target: Kind,
    /// Which target of the plan; absent for the queue itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is, in the words of whoever leads there (a dialplan destination, a URL, a number); absent for the queue itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The call service that carries it there, in the words of whoever dials; only for the target `call_service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The rule that decided.
    pub reason: Why,
    /// The load level.
    pub level: u8,
    /// The version of the plan; 0: none was known.
    pub plan: u64,
    /// What may be offered to a caller who is let in: nobody must take it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<String>,
}

/// The rule that decided, by its wire name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// In: nothing is diverted at this level.
    Open,
    /// In: an agent is ready and nobody waits.
    AgentFree,
    /// In: there is room in the queue.
    Room,
    /// In: an emergency.
    Emergency,
    /// In: a person whom the business protects.
    Vip,
    /// In: called again and again.
    Attempts,
    /// In: was led elsewhere and not helped.
    DivertedInVain,
    /// Away: the caller's place is among those that are led elsewhere this hour.
    Place,
    /// Away: who waits already fills the time that a caller may wait.
    NoRoom,
    /// Away: faster than the rate allows.
    Rate,
    /// Away: at this level everybody is who is not protected.
    AllDiverted,
    /// Away: the same answer as a moment ago, the caller only dialled again.
    Again,
    /// In: nobody ever made a plan for this queue.
    NoPlan,
    /// In or away by the static gap of the configuration: no plan was ever heard.
    Static,
    /// In: should go elsewhere, and no target takes anybody now.
    NoTarget,
    /// In: the answer would have been late.
    Late,
    /// To the desk phones: the level says so.
    HardPhone,
}

impl Why {
    /// Every rule, in the order of their declaration.
    pub const ALL: [Why; 17] = [
        Why::Open,
        Why::AgentFree,
        Why::Room,
        Why::Emergency,
        Why::Vip,
        Why::Attempts,
        Why::DivertedInVain,
        Why::Place,
        Why::NoRoom,
        Why::Rate,
        Why::AllDiverted,
        Why::Again,
        Why::NoPlan,
        Why::Static,
        Why::NoTarget,
        Why::Late,
        Why::HardPhone,
    ];

    /// The wire name.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Open => "open",
            Why::AgentFree => "agent_free",
            Why::Room => "room",
            Why::Emergency => "emergency",
            Why::Vip => "vip",
            Why::Attempts => "attempts",
            Why::DivertedInVain => "diverted_in_vain",
            Why::Place => "place",
            Why::NoRoom => "no_room",
            Why::Rate => "rate",
            Why::AllDiverted => "all_diverted",
            Why::Again => "again",
            Why::NoPlan => "no_plan",
            Why::Static => "static",
            Why::NoTarget => "no_target",
            Why::Late => "late",
            Why::HardPhone => "hard_phone",
        }
    }
}

impl Answer {
    /// Lets the call into its queue, for a reason that no plan gave.
    pub fn enter(reason: Why) -> Answer {
        Answer {
            target: Kind::HumanQueue,
            name: None,
            address: None,
            service: None,
            reason,
            level: 0,
            plan: 0,
            offers: Vec::new(),
        }
    }

    /// Whether the call enters its queue.
    pub fn enters(&self) -> bool {
        self.target == Kind::HumanQueue && self.name.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ask_that_nobody_can_mean_is_refused_with_what_is_wrong() {
        let ask = Ask {
            source: "pbx1".into(),
            call: "1".into(),
            queue: "sales".into(),
            caller: Some("49305551".into()),
            dialled: None,
            language: None,
            returned: false,
        };
        assert_eq!(ask.fault(), None);
        assert_eq!(Ask { queue: "".into(), ..ask.clone() }.fault().as_deref(), Some("queue is empty"));
        let told = Ask { caller: Some("1\n2".into()), ..ask }.fault().unwrap();
        assert!(told.starts_with("caller is longer"), "{told}");
    }

    #[test]
    fn reasons_have_the_names_of_the_wire() {
        for (number, why) in Why::ALL.into_iter().enumerate() {
            assert_eq!(serde_json::to_value(why).unwrap(), why.as_str());
            assert_eq!(why as usize, number);
        }
    }
}
