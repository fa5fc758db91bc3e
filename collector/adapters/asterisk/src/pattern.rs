//! Names of Asterisk: patterns with `*`, and what is what in a channel's name.

/// A text in which `*` stands for any text, and nothing else is special.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<String>);

impl Pattern {
    /// Of its text.
    pub fn new(text: &str) -> Pattern {
        Pattern(text.split('*').map(str::to_owned).collect())
    }

    /// Whether the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.0.as_slice() else {
            return self.0.first().is_some_and(|only| only == text);
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            match rest.find(part.as_str()) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last.as_str())
    }
}

/// What a channel is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Technology {
    /// A phone or a trunk.
    Real,
    /// A half of a Local pair: a part of a call, never a party.
    Local,
    /// A helper of the PBX (bridge announcer, surrogate, message): no call of anybody.
    Internal,
}

/// What a channel is, by its name.
pub fn technology(channel: &str) -> Technology {
    match channel.split_once('/').map(|(tech, _)| tech) {
        Some("Local") => Technology::Local,
        None
        | Some(
            "Surrogate"
            | "Message"
            | "Bridge"
            | "CBAnn"
            | "CBRec"
            | "Recorder"
            | "Announcer"
            | "ConfBridgeRecorder"
            | "UnicastRTP"
            | "MulticastRTP"
            | "OutgoingSpoolFailed"
            | "AsyncGoto",
        ) => Technology::Internal,
        Some(_) => Technology::Real,
    }
}

pub use adapter_queue_log::line::endpoint;

/// The other half of a Local channel: `…;2` of `…;1`.
pub fn other_half(channel: &str) -> Option<String> {
    let (name, half) = channel.rsplit_once(';')?;
    match half {
        "1" => Some(format!("{name};2")),
        "2" => Some(format!("{name};1")),
        _ => None,
    }
}

/// The extension in an interface or endpoint: `101` of `PJSIP/101`, of `Local/101@from-queue/n` and of `Agent/101`.
pub fn extension(interface: &str) -> &str {
    let name = interface.split_once('/').map_or(interface, |(_, name)| name);
    match name.split(['@', '/']).next() {
        Some(exten) if !exten.is_empty() => exten,
        _ => interface, // nobody has an empty name
    }
}

/// Whether a device of the PBX is one of people: not a trunk's, a Local channel's or a queue's pseudo device.
pub fn is_phone(device: &str) -> bool {
    device
        .split_once('/')
        .is_some_and(|(tech, name)| tech != "Local" && tech != "Agent" && !name.is_empty() && !tech.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, fits) in [
            ("*/trunk*", "PJSIP/trunk-a", true),
            ("*/trunk*", "PJSIP/101", false),
            ("inbound", "inbound", true),
            ("inbound", "inbound2", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*c", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn the_number_of_a_channel_is_no_part_of_its_endpoint() {
        assert_eq!(endpoint("PJSIP/101-0000002a"), "PJSIP/101");
        assert_eq!(endpoint("PJSIP/carrier-de-000000ff"), "PJSIP/carrier-de");
        assert_eq!(endpoint("PJSIP/carrier-west"), "PJSIP/carrier-west");
        assert_eq!(extension("Local/101@from-queue/n"), "101");
        assert_eq!(extension("PJSIP/101"), "101");
        assert_eq!((extension("PJSIP/"), extension("Local/@x")), ("PJSIP/", "Local/@x"));
    }

    #[test]
    fn local_halves_and_helpers_are_no_parties() {
        assert_eq!(technology("Local/107@agents-00000000;1"), Technology::Local);
        assert_eq!(other_half("Local/107@agents-00000000;1").as_deref(), Some("Local/107@agents-00000000;2"));
        assert_eq!(other_half("PJSIP/1"), None);
        assert_eq!(technology("Surrogate/PJSIP-1"), Technology::Internal);
        assert!(is_phone("PJSIP/101") && !is_phone("Queue:sales_avail") && !is_phone("Local/1@x"));
    }
}
