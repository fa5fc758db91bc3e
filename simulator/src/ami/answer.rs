//! Answers to the actions of a session that has logged in.

use super::pattern::Pattern;
use super::wire::Action;
use crate::centre::{Centre, Class, List};

/// What a session hears.
#[derive(Clone, Debug)]
pub(crate) struct Hearing {
    /// Bits of the classes its user may see.
    pub(crate) allowed: u16,
    /// Bits of the classes it asked to see.
    pub(crate) mask: u16,
    /// With any, an event must match one.
    pub(crate) only: Vec<Pattern>,
    /// An event that matches one is left out.
    pub(crate) without: Vec<Pattern>,
    /// May it send orders that change something.
    pub(crate) may_order: bool,
}

/// How many filters a session may have.
const FILTERS_MAX: usize = 64;

impl Hearing {
    /// Whether an event reaches this session.
    pub(crate) fn hears(&self, class: Class, text: &[u8]) -> bool {
        if class.bit() & self.mask & self.allowed == 0 {
            return false;
        }
        (self.only.is_empty() || self.only.iter().any(|pattern| pattern.is_in(text)))
            && !self.without.iter().any(|pattern| pattern.is_in(text))
    }

    /// Sets the mask of an `EventMask` header. Answers whether anything is heard.
    pub(crate) fn set_mask(&mut self, text: &str) -> bool {
        self.mask = match text.to_ascii_lowercase().as_str() {
            "on" | "all" | "yes" | "true" => u16::MAX,
            "off" | "none" | "no" | "false" | "0" => 0,
            list => {
                let bits = list.split(',').map(|class| class.trim());
                // A class that this centre never speaks in (`verbose`, `command`, …) is a class all the same.
                bits.filter_map(Class::parse).fold(0, |mask, class| mask | class.bit())
            }
        };
        self.mask != 0
    }
}

/// The answer to an action, and whether the session ends with it.
pub(crate) struct Answered {
    /// The frames.
    pub(crate) text: String,
    /// It was a `Logoff`.
    pub(crate) bye: bool,
}

impl From<String> for Answered {
    fn from(text: String) -> Self {
        Answered { text, bye: false }
    }
}

/// Answers an action. What it changes in the centre has been said when this returns.
pub(crate) fn answer(centre: &mut Centre, hearing: &mut Hearing, action: &Action) -> Answered {
    let id = action.id();
    let queue = action.get("Queue");
    match action.name().as_str() {
        "" => action.say("Error", "Missing action in request").into(),
        "ping" => ping(centre, action).into(),
        "logoff" => Answered { text: action.say("Goodbye", "Thanks for all the fish."), bye: true },
        "login" | "challenge" => action.say("Error", "Already logged in").into(),
        "events" => events(hearing, action).into(),
        "filter" => filter(hearing, action).into(),
        "coresettings" => core_settings(centre, action).into(),
        "corestatus" => {
            let headers = centre.core_status().into_iter();
            headers.fold(action.answer("Success"), |answer, (key, value)| answer.put(key, value)).end().into()
        }
        "coreshowchannels" => {
            list(action, "Channels will follow", "CoreShowChannelsComplete", centre.list_channels(id)).into()
        }
        "bridgelist" => {
            list(action, "Bridge listing will follow", "BridgeListComplete", centre.list_bridges(id)).into()
        }
        "devicestatelist" => {
            list(action, "Device State Changes will follow", "DeviceStateListComplete", centre.list_devices(id)).into()
        }
        "queuestatus" => {
            list(action, "Queue status will follow", "QueueStatusComplete", centre.list_queues(queue, id)).into()
        }
        "queuesummary" => {
            list(action, "Queue summary will follow", "QueueSummaryComplete", centre.list_summaries(queue, id)).into()
        }
        "listcommands" => list_commands(action).into(),
        order if ORDERS.contains(&order) && !hearing.may_order => action.say("Error", "Permission denied").into(),
        order if ORDERS.contains(&order) => {
            let done = obey(centre, order, action);
            match done {
                Ok(message) => action.say("Success", message).into(),
                Err(message) => action.say("Error", message).into(),
            }
        }
        _ => {
            let name = action.get("Action").unwrap_or("");
            let text = format!("Invalid/unknown command: {name}. Use Action: ListCommands to show available commands.");
            action.say("Error", text).into()
        }
    }
}

/// Actions that change something.
const ORDERS: [&str; 9] = [
    "queueadd",
    "queueremove",
    "queuepause",
    "queuepenalty",
    "originate",
    "hangup",
    "redirect",
    "blindtransfer",
    "atxfer",
];

fn obey(centre: &mut Centre, order: &str, action: &Action) -> Result<&'static str, String> {
    let need = |key: &str, message: &str| action.get(key).ok_or_else(|| message.to_owned());
    match order {
        "queueadd" => {
            let queue = need("Queue", "'Queue' not specified.")?;
            let interface = need("Interface", "'Interface' not specified.")?;
            let penalty = action.get("Penalty").and_then(|penalty| penalty.parse().ok()).unwrap_or(0);
            centre.order_add(queue, interface, penalty)
        }
        "queueremove" => {
            let message = "Need 'Queue' and 'Interface' parameters.";
            centre.order_remove(need("Queue", message)?, need("Interface", message)?)
        }
        "queuepause" => {
            let message = "Need 'Interface' and 'Paused' parameters.";
            let interface = need("Interface", message)?;
            let paused =
                ["true", "yes", "1", "on", "y", "t"].contains(&need("Paused", message)?.to_ascii_lowercase().as_str());
            centre.order_pause(interface, paused, action.get("Reason").unwrap_or(""))
        }
        "queuepenalty" => {
            let message = "Need 'Interface' and 'Penalty' parameters.";
            let penalty = need("Penalty", message)?.parse().map_err(|_| "Invalid interface, queuename or penalty")?;
            centre.order_penalty(need("Interface", message)?, action.get("Queue"), penalty)
        }
        "originate" => originate(centre, action),
        "hangup" => centre.order_hangup(need("Channel", "No channel specified")?),
        "atxfer" => {
            let channel = need("Channel", "No channel specified")?;
            centre.order_atxfer(channel, need("Exten", "No extension specified")?)
        }
        "redirect" => {
            let channel = need("Channel", "Channel not specified")?;
            let exten = need("Exten", "No extension specified")?;
            let missing = format!("Channel does not exist: {channel}");
            centre.order_blind(channel, exten).map_err(|error| match error.as_str() {
                "Channel specified does not exist" => missing,
                _ => error,
            })
        }
        _ => {
            let channel = need("Channel", "No channel specified")?;
            centre.order_blind(channel, need("Exten", "No extension specified")?)
        }
    }
}

fn originate(centre: &mut Centre, action: &Action) -> Result<&'static str, String> {
    let channel = action.get("Channel").ok_or("Channel not specified")?;
    let (exten, rest) = (action.get("Exten"), (action.get("Context"), action.get("Priority")));
    match (exten, rest) {
        (Some(exten), (Some(_), Some(_))) => centre.order_originate(channel, exten, action.id()),
        _ => Err("Originate with 'Exten' requires 'Context' and 'Priority'".into()),
    }
}

fn ping(centre: &Centre, action: &Action) -> String {
    let now = centre.now_ms();
    let stamp = format!("{}.{:06}", now.div_euclid(1000), now.rem_euclid(1000) * 1000);
    action.answer("Success").put("Ping", "Pong").put("Timestamp", stamp).end()
}

fn events(hearing: &mut Hearing, action: &Action) -> String {
    match action.get("EventMask").map(|mask| hearing.set_mask(mask)) {
        Some(on) => action.answer("Success").put("Events", if on { "On" } else { "Off" }).end(),
        None => action.say("Error", "Invalid event mask"),
    }
}

fn filter(hearing: &mut Hearing, action: &Action) -> String {
    if action.get("Operation").is_none_or(|operation| !operation.eq_ignore_ascii_case("Add")) {
        return action.say("Error", "Unknown operation");
    }
    let text = action.get("Filter").unwrap_or("");
    let (list, text) = match text.strip_prefix('!') {
        Some(text) => (&mut hearing.without, text),
        None => (&mut hearing.only, text),
    };
    match Pattern::compile(text).filter(|_| !text.is_empty()) {
        Some(_) if list.len() >= FILTERS_MAX => action.say("Error", "Too many filters"),
        Some(pattern) => {
            list.push(pattern);
            action.say("Success", "Success")
        }
        None => action.say("Error", "Filter did not compile.  Check the syntax of the filter given."),
    }
}

fn core_settings(centre: &Centre, action: &Action) -> String {
    [
        ("AMIversion", "11.0.0"),
        ("AsteriskVersion", "22.0.0-simulated"),
        ("SystemName", centre.plan().system.as_str()),
        ("CoreMaxCalls", "0"),
        ("CoreMaxLoadAvg", "0.000000"),
        ("CoreRunUser", ""),
        ("CoreRunGroup", ""),
        ("CoreMaxFilehandles", "65536"),
        ("CoreRealTimeEnabled", "No"),
        ("CoreCDRenabled", "Yes"),
        ("CoreHTTPenabled", "No"),
        ("SoundsSearchCustomDir", "No"),
    ]
    .into_iter()
    .fold(action.answer("Success"), |answer, (key, value)| answer.put(key, value))
    .end()
}

/// A list: the start, the items, and the event that closes it.
fn list(action: &Action, message: &str, complete: &str, list: List) -> String {
    let mut text = action.answer("Success").put("EventList", "start").put("Message", message).end();
    text.push_str(&list.text);
    text.push_str(&format!("Event: {complete}\r\n"));
    if let Some(id) = action.id() {
        crate::centre::voice_field(&mut text, "ActionID", id);
    }
    text.push_str(&format!("EventList: Complete\r\nListItems: {}\r\n\r\n", list.items));
    text
}

fn list_commands(action: &Action) -> String {
    [
        ("Atxfer", "Attended transfer."),
        ("BlindTransfer", "Blind transfer channel(s) to the given destination"),
        ("BridgeList", "Get a list of bridges in the system."),
        ("Challenge", "Generate Challenge for MD5 Auth."),
        ("CoreSettings", "Show PBX core settings (version etc)."),
        ("CoreShowChannels", "List currently active channels."),
        ("CoreStatus", "Show PBX core status variables."),
        ("DeviceStateList", "List the current known device states."),
        ("Events", "Control Event Flow."),
        ("Filter", "Dynamically add filters for the current manager session."),
        ("Hangup", "Hangup channel."),
        ("ListCommands", "List available manager commands."),
        ("Login", "Login Manager."),
        ("Logoff", "Logoff Manager."),
        ("Originate", "Originate a call."),
        ("Ping", "Keepalive command."),
        ("QueueAdd", "Add interface to queue."),
        ("QueuePause", "Makes a queue member temporarily unavailable."),
        ("QueuePenalty", "Set the penalty for a queue member."),
        ("QueueRemove", "Remove interface from queue."),
        ("QueueStatus", "Show queue status."),
        ("QueueSummary", "Show queue summary."),
        ("Redirect", "Redirect (transfer) a call."),
    ]
    .into_iter()
    .fold(action.answer("Success"), |answer, (name, about)| answer.put(name, about))
    .end()
}
