//! The answer as a table for people.

use std::fmt::Write as _;

use crate::answer::{Answer, Both, Compared};
use crate::figures::NAMES;
use crate::interval::Spread;

/// Figures that are shares, shown in hundredths.
fn is_share(name: &str) -> bool {
    name.starts_with("service_level") || name.ends_with("_share") || name.ends_with("_rate")
}

/// Writing into a `String` cannot fail.
pub(crate) fn table(answer: &Answer) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} from {} to {}, {} seeds from {}, figures {} s old",
        answer.tenant, answer.from, answer.to, answer.seeds, answer.seed, answer.age_s
    );
    part(&mut text, "all queues", &answer.all);
    for compared in &answer.queues {
        let name = compared.queue.as_ref().map_or("", |queue| queue.as_str());
        let within = compared.threshold_s.unwrap_or_default();
        part(&mut text, &format!("queue {name}, T = {within} s"), compared);
    }
    fidelity(&mut text, answer);
    for note in &answer.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

fn part(text: &mut String, title: &str, compared: &Compared) {
    let _ = writeln!(text, "\n{title}");
    let _ = writeln!(text, "{:<27}{:>10}{:>26}{:>26}{:>28}", "", "recorded", "current", "proposed", "difference");
    for name in NAMES {
        if let Some(both) = compared.figures.get(name) {
            line(text, name, name, both);
        }
    }
    for (target, both) in &compared.diverted_to {
        line(text, &format!("diverted to {target}"), "diverted", both);
    }
}

fn line(text: &mut String, label: &str, name: &str, both: &Both) {
    let recorded = both.recorded.map_or(String::new(), |value| number(name, value, false));
    let _ = writeln!(
        text,
        "{label:<27}{recorded:>10}{:>26}{:>26}{:>28}",
        spread(name, &both.current, false),
        spread(name, &both.proposed, false),
        spread(name, &both.difference, true)
    );
}

fn number(name: &str, value: f64, signed: bool) -> String {
    let (value, unit) = if is_share(name) { (value * 100.0, " %") } else { (value, "") };
    if signed && value != 0.0 { format!("{value:+.1}{unit}") } else { format!("{value:.1}{unit}") }
}

fn spread(name: &str, spread: &Spread, signed: bool) -> String {
    let scale = if is_share(name) { 100.0 } else { 1.0 };
    let half = (spread.high - spread.low) / 2.0 * scale;
    let mean = number(name, spread.mean, signed);
    if half < 0.05 { mean } else { format!("{mean} ±{half:.1}") }
}

fn fidelity(text: &mut String, answer: &Answer) {
    let is = &answer.fidelity;
    let _ = writeln!(text, "\nwithout control the simulation gives");
    for repeated in &is.all {
        let name = repeated.figure.as_str();
        let _ = writeln!(
            text,
            "{name:<27}{:>10}{:>26}{:>26}",
            number(name, repeated.recorded, false),
            spread(name, &repeated.simulated, false),
            number(name, repeated.simulated.mean - repeated.recorded, true)
        );
    }
    let _ = writeln!(
        text,
        "service level by day: {:.1} points off in the mean of {} days, {:.1} on the worst (day {})",
        is.service_level_day_error * 100.0,
        is.days,
        is.service_level_day_worst * 100.0,
        is.worst_day
    );
}
