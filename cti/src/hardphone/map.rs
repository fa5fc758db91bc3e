//! Which desk phones ring for which queue, from the live views. Pure: the same views give the same map, byte for byte.
//!
//! A phone rings for a queue whose agent is a member of it. Round by round: who is not paused first, by penalty, then who is paused (a
//! phone on the desk of somebody at lunch is better than none); those of a round ring together. Left out is what is known not to be
//! reachable, what no dialplan may be given, and what is beyond a bound. What is not known counts as reachable: a phone that is rung in
//! vain costs seconds, one that is left out costs the call.

use std::collections::{BTreeMap, BTreeSet};

use model::event::device;
use model::{DeviceId, QueueId, SourceId, Time};
use serde::Serialize;
use sha2::{Digest, Sha256};
use stats::live::{Device, Member, Members, Source, View};

/// The longest text of one queue's phones: a line of the manager interface holds no more.
pub const PHONES_BYTES_MAX: usize = 900;
/// The longest name of a queue as a key in a PBX's database.
pub const KEY_BYTES_MAX: usize = 80;

/// How much rings at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Phones of a queue.
    pub phones: usize,
    /// Rounds of a queue; what would come later rings with the last.
    pub rounds: usize,
}

/// Why a member's phone does not ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// It is not registered.
    NotRegistered,
    /// The PBX calls it unavailable.
    Unavailable,
    /// It is no phone, or its name could mean something else in a dialplan.
    NotDialable,
    /// There are more than may ring.
    Beyond,
    /// Nobody said on which device the member works.
    NoDevice,
}

/// The phones of one queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ring {
    /// Who rings, round by round.
    pub rounds: Vec<Vec<DeviceId>>,
    /// Which members' phones do not ring, by device (by agent, where there is none), and why.
    pub left_out: BTreeMap<String, LeftOut>,
}

/// The queues of one phone system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OfSource {
    /// By queue.
    pub queues: BTreeMap<QueueId, Ring>,
    /// What is known of this source may be old: its link is down.
    pub lost: bool,
}

/// Which desk phones ring for which queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Map {
    /// By phone system.
    pub sources: BTreeMap<SourceId, OfSource>,
}

impl Ring {
    /// As the dialplan reads it: `PJSIP/101&PJSIP/102|PJSIP/107`, rounds apart by `|`; empty when nobody rings.
    pub fn text(&self) -> String {
        let round = |phones: &Vec<DeviceId>| phones.iter().map(DeviceId::as_str).collect::<Vec<_>>().join("&");
        self.rounds.iter().map(round).collect::<Vec<_>>().join("|")
    }
}

impl OfSource {
    /// What the PBX shall hold: queue and phones, of queues for which somebody rings.
    pub fn wanted(&self) -> BTreeMap<String, String> {
        let text = |(queue, ring): (&QueueId, &Ring)| (queue.as_str().to_owned(), ring.text());
        self.queues.iter().map(text).filter(|(queue, phones)| is_key(queue) && !phones.is_empty()).collect()
    }

    /// Names this content: the same phones have the same version, whoever works them out and when.
    pub fn version(&self) -> String {
        version(&self.wanted())
    }
}

/// Names a content.
pub fn version(wanted: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for (queue, phones) in wanted {
        hash.update(format!("{queue}={phones}\n"));
    }
    hex::encode(&hash.finalize()[..6])
}

/// Whether a queue's name can be a key of the PBX's database, and stand in a dialplan.
pub fn is_key(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !name.is_empty() && name.len() <= KEY_BYTES_MAX && name.bytes().all(plain)
}

/// Whether a device can be dialled by its name, and by nothing more than its name.
pub fn is_dialable(device: &str) -> bool {
    let Some((technology, name)) = device.split_once('/') else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.+-@".contains(&byte);
    let known = technology.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !technology.is_empty();
    known
        && !["Local", "Agent", "Queue", "Custom"].contains(&technology)
        && !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(plain)
}

/// The map of these views (each key once, partials merged).
pub fn of_views<'a>(views: impl IntoIterator<Item = &'a View>, now: Time, bounds: Bounds) -> Map {
    let (mut members, mut devices, mut sources): (Vec<&Members>, BTreeMap<_, &Device>, BTreeMap<_, &Source>) =
        Default::default();
    for view in views {
        match view {
            View::Members(view) => members.push(view),
            View::Device(view) => _ = devices.insert((view.source.clone(), view.device.clone()), view),
            View::Source(view) => _ = sources.insert(view.source.clone(), view),
            _ => {}
        }
    }
    let mut map = Map::default();
    for of in members {
        let found = map.sources.entry(of.source.clone()).or_default();
        let device = |device: &DeviceId| devices.get(&(of.source.clone(), device.clone())).copied();
        found.queues.insert(of.queue.clone(), ring(of, device, bounds));
        found.lost = sources.get(&of.source).is_some_and(|source| source.lost_since(now).is_some());
    }
    map
}

/// Whether a phone is known not to be reachable.
fn unreachable(device: Option<&Device>) -> Option<LeftOut> {
    let device = device?;
    if device.registered == Some(false) {
        return Some(LeftOut::NotRegistered);
    }
    // a phone that was said to be reachable is: the PBX calls an idle endpoint without a device state unavailable
    let unavailable = device.state == Some(device::State::Unavailable) && device.registered.is_none();
    unavailable.then_some(LeftOut::Unavailable)
}

fn ring<'a>(of: &Members, device: impl Fn(&DeviceId) -> Option<&'a Device>, bounds: Bounds) -> Ring {
    let mut ring = Ring::default();
    let mut ranked: BTreeSet<(bool, i32, DeviceId)> = BTreeSet::new();
    for (agent, member) in &of.members {
        let Member { device: on, penalty, paused, .. } = member;
        let why = match on {
            None => Some((agent.as_str(), LeftOut::NoDevice)),
            Some(on) if !is_dialable(on.as_str()) => Some((on.as_str(), LeftOut::NotDialable)),
            Some(on) => unreachable(device(on)).map(|why| (on.as_str(), why)),
        };
        match (why, on) {
            (Some((name, why)), _) => _ = ring.left_out.insert(name.to_owned(), why),
            (None, Some(on)) => _ = ranked.insert((*paused, *penalty, on.clone())),
            (None, None) => {}
        }
    }
    let (mut rank, mut known, mut bytes): (Option<(bool, i32)>, BTreeSet<DeviceId>, usize) = Default::default();
    for (paused, penalty, on) in ranked {
        if !known.insert(on.clone()) {
            continue; // it rings in an earlier round
        }
        bytes += on.as_str().len() + 1;
        if known.len() > bounds.phones || bytes > PHONES_BYTES_MAX {
            ring.left_out.insert(on.as_str().to_owned(), LeftOut::Beyond);
            continue;
        }
        let another = rank.replace((paused, penalty)) != Some((paused, penalty));
        if ring.rounds.is_empty() || (another && ring.rounds.len() < bounds.rounds) {
            ring.rounds.push(Vec::new());
        }
        if let Some(round) = ring.rounds.last_mut() {
            round.push(on);
        }
    }
    ring
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { phones: 30, rounds: 3 };

    fn members(rows: &[(&str, Option<&str>, i32, bool)]) -> View {
        let member = |device: Option<&str>, penalty, paused| Member {
            device: device.map(Into::into),
            penalty,
            paused,
            reason: None,
        };
        View::Members(Members {
            tenant: "default".into(),
            source: "pbx1".into(),
            queue: "sales".into(),
            name: None,
            strategy: None,
            service_level_s: None,
            waiting_max: None,
            members: rows
                .iter()
                .map(|(who, on, penalty, paused)| ((*who).into(), member(*on, *penalty, *paused)))
                .collect(),
            last_at: Time(1),
        })
    }

    fn phone(name: &str, registered: Option<bool>, state: Option<device::State>) -> View {
        let (device, tenant, source) = (name.into(), "default".into(), "pbx1".into());
        View::Device(Device { device, tenant, source, registered, state, since: Time(1), last_at: Time(1) })
    }

    fn ring_of(views: &[View], bounds: Bounds) -> Ring {
        of_views(views, Time(5), bounds).sources["pbx1"].queues["sales"].clone()
    }

    #[test]
    fn phones_ring_by_penalty_and_those_of_the_paused_last() {
        let views = [members(&[
            ("1", Some("PJSIP/102"), 0, false),
            ("2", Some("PJSIP/101"), 0, false),
            ("3", Some("PJSIP/103"), 5, false),
            ("4", Some("PJSIP/104"), 0, true),
        ])];
        assert_eq!(ring_of(&views, BOUNDS).text(), "PJSIP/101&PJSIP/102|PJSIP/103|PJSIP/104");
        let two = Bounds { rounds: 2, ..BOUNDS };
        assert_eq!(ring_of(&views, two).text(), "PJSIP/101&PJSIP/102|PJSIP/103&PJSIP/104");
    }

    #[test]
    fn what_cannot_ring_is_left_out_and_named() {
        let views = [
            members(&[
                ("1", Some("PJSIP/101"), 0, false),
                ("2", Some("PJSIP/102"), 0, false),
                ("3", Some("PJSIP/103"), 0, false),
                ("4", Some("PJSIP/104,,M(x)"), 0, false),
                ("5", Some("Local/105@agents"), 0, false),
                ("6", None, 0, false),
            ]),
            phone("PJSIP/101", Some(false), None),
            phone("PJSIP/102", None, Some(device::State::Unavailable)),
            phone("PJSIP/103", Some(true), Some(device::State::InUse)),
        ];
        let ring = ring_of(&views, BOUNDS);
        assert_eq!(ring.text(), "PJSIP/103", "who speaks now will have hung up when it is needed");
        let why: Vec<LeftOut> = ring.left_out.values().copied().collect();
        assert_eq!(ring.left_out.len(), 5, "{:?}", ring.left_out);
        assert!(why.contains(&LeftOut::NotRegistered) && why.contains(&LeftOut::Unavailable));
        assert_eq!(ring.left_out["PJSIP/104,,M(x)"], LeftOut::NotDialable);
        assert_eq!(ring.left_out["6"], LeftOut::NoDevice);
    }

    #[test]
    fn the_bounds_hold_and_the_text_fits_a_line() {
        let names: Vec<(String, String)> =
            (0..500).map(|n| (format!("{n:03}"), format!("PJSIP/{n:03}-{}", "x".repeat(40)))).collect();
        let rows: Vec<_> = names.iter().map(|(who, on)| (who.as_str(), Some(on.as_str()), 0, false)).collect();
        let few = ring_of(&[members(&rows)], Bounds { phones: 5, rounds: 1 });
        assert_eq!((few.rounds[0].len(), few.left_out.len()), (5, 495));
        let many = ring_of(&[members(&rows)], Bounds { phones: 500, rounds: 1 });
        assert!(many.text().len() <= PHONES_BYTES_MAX && !many.rounds[0].is_empty());
    }

    #[test]
    fn the_same_views_in_any_order_give_the_same_map_and_version_and_another_phone_another() {
        let views = vec![
            members(&[("1", Some("PJSIP/101"), 0, false), ("2", Some("PJSIP/102"), 0, false)]),
            phone("PJSIP/102", Some(true), None),
        ];
        let forth = of_views(&views, Time(5), BOUNDS);
        let back = of_views(views.iter().rev(), Time(5), BOUNDS);
        assert_eq!(forth, back);
        assert_eq!(forth.sources["pbx1"].version(), back.sources["pbx1"].version());
        let gone = vec![views[0].clone(), phone("PJSIP/102", Some(false), None)];
        assert_ne!(forth.sources["pbx1"].version(), of_views(&gone, Time(5), BOUNDS).sources["pbx1"].version());
    }

    #[test]
    fn a_name_that_means_more_than_itself_is_no_key_and_no_phone() {
        for bad in ["", "a b", "a/b", "a\r\nAction: x", "${X}", "a,b", "a&b", "a|b", "ä"] {
            assert!(!is_key(bad), "{bad:?}");
            assert!(!is_dialable(&format!("PJSIP/{bad}")), "{bad:?}");
        }
        assert!(is_key("sales-2.night_shift") && is_dialable("PJSIP/101@carrier") && !is_dialable("101"));
    }
}
