//! What must hold of a configuration beyond its types.

use std::collections::BTreeSet;

use service::{ConfigFile as _, Millis, Problems};

use super::{Config, Kind, Law};

/// The most agents a centre may have: what has been measured.
const AGENTS_MAX: u64 = 50_000;

pub(super) fn config(config: &Config, problems: &mut Problems) {
    name(problems, "system", &config.system);
    if jiff::tz::TimeZone::get(&config.time_zone).is_err() {
        problems.add("time_zone", &config.time_zone, "is no IANA time zone", "write one such as Asia/Shanghai or UTC");
    }
    if config.speed != 0.0 {
        problems.range("speed", config.speed, 0.1..=1_000.0);
    }
    range_ms(problems, "warm_up", config.warm_up, 0, 24 * 3_600_000);
    problems.within("ami", |problems| ami(config, problems));
    problems.within("control", |problems| {
        config.control.listen.check(problems);
        problems.within("auth", |problems| config.control.auth.check_for(&config.control.listen, problems));
    });
    problems.within("arrivals", |problems| arrivals(config, problems));
    lines(config, problems);
    problems.within("menu", |problems| menu(config, problems));
    queues(config, problems);
    groups(config, problems);
    problems.within("manners", |problems| manners(config, problems));
    for (i, fault) in config.faults.iter().enumerate() {
        range_ms(problems, &format!("faults[{i}].lasts"), fault.lasts, 1_000, 3_600_000);
    }
    problems.range("truth.calls_max", config.truth.calls_max, 1..=10_000_000);
    problems.range("truth.changes_max", config.truth.changes_max, 1..=100_000);
}

fn ami(config: &Config, problems: &mut Problems) {
    let ami = &config.ami;
    if !ami.address.ip().is_loopback() && !ami.i_know_this_is_open {
        let fix = "listen on 127.0.0.1, or set i_know_this_is_open = true";
        problems.add("address", ami.address, "AMI is not encrypted and would be open to the network", fix);
    }
    problems.range("sessions_max", ami.sessions_max, 1..=1_000);
    range_ms(problems, "write_timeout", ami.write_timeout, 100, 600_000);
    problems.range("backlog_max", ami.backlog_max.get(), 65_536..=1 << 32);
    if ami.users.is_empty() {
        problems.add("users", "[]", "nobody could log in", "add a user");
    }
    for (i, user) in ami.users.iter().enumerate() {
        problems.not_empty(&format!("users[{i}].name"), &user.name);
        for class in user.read.iter().filter(|class| *class != "all" && crate::Class::parse(class).is_none()) {
            let fix = "use system, call, agent, user, dtmf, reporting, cdr or all";
            problems.add(&format!("users[{i}].read"), class, "is no class of events", fix);
        }
    }
}

fn arrivals(config: &Config, problems: &mut Problems) {
    let arrivals = &config.arrivals;
    problems.range("calls_per_hour", arrivals.calls_per_hour, 0.0..=10_000_000.0);
    if arrivals.profile.len() != 24 {
        let fix = "give one share for each hour of the day";
        problems.add("profile", format!("{} numbers", arrivals.profile.len()), "must have 24", fix);
    }
    for (hour, share) in arrivals.profile.iter().enumerate() {
        problems.range(&format!("profile[{hour}]"), *share, 0.0..=100.0);
    }
    law(problems, "patience", &arrivals.patience);
    law(problems, "redial_after", &arrivals.redial_after);
    problems.range("redial_share", arrivals.redial_share, 0.0..=1.0);
    problems.range("number_first", arrivals.number_first, 1..=999_999_999_999_999);
    problems.range("number_count", arrivals.number_count, 1..=1_000_000_000);
}

fn lines(config: &Config, problems: &mut Problems) {
    if config.lines.iter().map(|line| line.share.max(0.0)).sum::<f64>() <= 0.0 {
        problems.add("lines", config.lines.len(), "no line has a share of the calls", "give one a share above 0");
    }
    let mut seen = BTreeSet::new();
    for (i, line) in config.lines.iter().enumerate() {
        if line.did.is_empty() || !line.did.bytes().all(|b| b.is_ascii_digit()) {
            problems.add(&format!("lines[{i}].did"), &line.did, "is not digits", "write the number as dialled");
        }
        if !seen.insert(&line.did) {
            problems.add(&format!("lines[{i}].did"), &line.did, "is there twice", "keep one");
        }
        problems.range(&format!("lines[{i}].share"), line.share, 0.0..=1e9);
        if !line.queue.is_empty() {
            known_queue(config, problems, &format!("lines[{i}].queue"), &line.queue);
        }
    }
}

fn menu(config: &Config, problems: &mut Problems) {
    let menu = &config.menu;
    name(problems, "name", &menu.name);
    law(problems, "think", &menu.think);
    problems.range("hangs_up_share", menu.hangs_up_share, 0.0..=1.0);
    problems.range("wrong_key_share", menu.wrong_key_share, 0.0..=1.0);
    problems.range("settled_share", menu.settled_share, 0.0..=1.0);
    known_queue(config, problems, "default_queue", &menu.default_queue);
    for (i, choice) in menu.choices.iter().enumerate() {
        let one = choice.digit.len() == 1 && choice.digit.bytes().all(|b| b.is_ascii_digit() || b == b'*' || b == b'#');
        if !one {
            problems.add(&format!("choices[{i}].digit"), &choice.digit, "is no key", "write one digit, * or #");
        }
        problems.range(&format!("choices[{i}].share"), choice.share, 0.0..=1e9);
        known_queue(config, problems, &format!("choices[{i}].queue"), &choice.queue);
    }
}

fn queues(config: &Config, problems: &mut Problems) {
    if config.queues.is_empty() {
        problems.add("queues", "[]", "a centre needs one", "add a queue");
    }
    problems.range("queues", config.queues.len(), 0..=10_000);
    let mut seen = BTreeSet::new();
    for (i, queue) in config.queues.iter().enumerate() {
        name(problems, &format!("queues[{i}].id"), &queue.id);
        if !seen.insert(&queue.id) {
            problems.add(&format!("queues[{i}].id"), &queue.id, "is there twice", "keep one");
        }
        law(problems, &format!("queues[{i}].talk"), &queue.talk);
        range_ms(problems, &format!("queues[{i}].ring"), queue.ring, 1_000, 600_000);
        range_ms(problems, &format!("queues[{i}].retry"), queue.retry, 0, 60_000);
        range_ms(problems, &format!("queues[{i}].wait_max"), queue.wait_max, 0, 86_400_000);
        if !queue.overflow.is_empty() {
            known_queue(config, problems, &format!("queues[{i}].overflow"), &queue.overflow);
        }
    }
}

fn groups(config: &Config, problems: &mut Problems) {
    let agents: u64 = config.groups.iter().map(|group| u64::from(group.agents)).sum();
    if agents == 0 || agents > AGENTS_MAX {
        let fix = format!("have 1 to {AGENTS_MAX} in all groups together");
        problems.add("groups", format!("{agents} agents"), "is out of range", fix);
    }
    let mut taken: Vec<(u64, u64, usize)> = Vec::new();
    for (i, group) in config.groups.iter().enumerate() {
        let at = |key: &str| format!("groups[{i}].{key}");
        name(problems, &at("id"), &group.id);
        for (key, time) in [("shift_from", &group.shift_from), ("shift_to", &group.shift_to)] {
            if time_of_day(time).is_none() {
                problems.add(&at(key), time, "is no time of day", "write HH:MM, 00:00 to 23:59");
            }
        }
        if group.wrap_up.get() % 1_000 != 0 {
            problems.add(&at("wrap_up"), group.wrap_up, "is not whole seconds", "the PBX counts wrap-up in seconds");
        }
        range_ms(problems, &at("wrap_up"), group.wrap_up, 0, 3_600_000);
        problems.range(&at("calls_out_per_hour"), group.calls_out_per_hour, 0.0..=1_000.0);
        for (j, skill) in group.skills.iter().enumerate() {
            known_queue(config, problems, &at(&format!("skills[{j}].queue")), &skill.queue);
        }
        for (j, pause) in group.pauses.iter().enumerate() {
            name(problems, &at(&format!("pauses[{j}].reason")), &pause.reason);
            range_ms(problems, &at(&format!("pauses[{j}].every")), pause.every, 10_000, 7 * 86_400_000);
            law(problems, &at(&format!("pauses[{j}].lasts")), &pause.lasts);
        }
        let (first, last) =
            (u64::from(group.first_extension), u64::from(group.first_extension) + u64::from(group.agents));
        if let Some((_, _, other)) = taken.iter().find(|(from, to, _)| first < *to && *from < last) {
            let what = format!("its extensions overlap those of groups[{other}]");
            problems.add(&at("first_extension"), group.first_extension, what, "move one of the two");
        }
        taken.push((first, last, i));
    }
}

fn manners(config: &Config, problems: &mut Problems) {
    let m = &config.manners;
    for (key, share) in [
        ("rona_share", m.rona_share),
        ("refuse_share", m.refuse_share),
        ("hold_share", m.hold_share),
        ("hold_abandon_share", m.hold_abandon_share),
        ("blind_to_queue_share", m.blind_to_queue_share),
        ("blind_outside_share", m.blind_outside_share),
        ("attended_share", m.attended_share),
        ("atxfer_share", m.atxfer_share),
        ("agent_hangs_up_share", m.agent_hangs_up_share),
        ("out_answered_share", m.out_answered_share),
    ] {
        problems.range(key, share, 0.0..=1.0);
    }
    for (key, value) in
        [("answer_after", &m.answer_after), ("hold", &m.hold), ("out_ring", &m.out_ring), ("out_talk", &m.out_talk)]
    {
        law(problems, key, value);
    }
}

fn law(problems: &mut Problems, key: &str, law: &Law) {
    range_ms(problems, &format!("{key}.mean"), law.mean, 1, 86_400_000);
    let most = if law.kind == Kind::Uniform { 1.0 } else { 3.0 };
    problems.range(&format!("{key}.spread"), law.spread, 0.0..=most);
}

fn range_ms(problems: &mut Problems, key: &str, value: Millis, least: u64, most: u64) {
    if value.get() < least || value.get() > most {
        let fix = format!("give {} to {}", Millis::new(least), Millis::new(most));
        problems.add(key, value, "is out of range", fix);
    }
}

fn name(problems: &mut Problems, key: &str, name: &str) {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fine) {
        problems.add(key, name, "is no plain name", "use 1 to 64 ASCII letters, digits, - and _");
    }
}

fn known_queue(config: &Config, problems: &mut Problems, key: &str, id: &str) {
    if !config.queues.iter().any(|queue| queue.id == id) {
        let ids: Vec<&str> = config.queues.iter().map(|queue| queue.id.as_str()).collect();
        problems.add(key, id, "is no queue of this centre", format!("use one of {}", ids.join(", ")));
    }
}

/// Milliseconds into the day of `HH:MM`.
pub(super) fn time_of_day(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    ((0..24).contains(&hours) && (0..60).contains(&minutes)).then_some((hours * 60 + minutes) * 60_000)
}
