//! `docs/proof.md`, made of the findings.

use std::fmt::Write as _;

use crate::finding::{Aim, Figure, Finding};

/// The page's text.
pub fn render(findings: &[Finding]) -> String {
    let mut page = String::from(OPENING);
    page.push_str("\n| claim | shown by | aims |\n|---|---|---|\n");
    for finding in findings {
        let aims: Vec<bool> = finding.figures.iter().filter_map(Figure::is_met).collect();
        let met = aims.iter().filter(|met| **met).count();
        let told = if aims.is_empty() { "–".to_owned() } else { format!("{met} of {} met", aims.len()) };
        let _ = writeln!(page, "| [{}](#{}) | `{}` | {told} |", finding.claim, finding.name, finding.command);
    }
    for finding in findings {
        section(&mut page, finding);
    }
    page
}

const OPENING: &str = "# Proof

What Tidegate claims of itself, the command that shows it, and what came out the last time, beside the peer that did the same work in the
same run. Machines differ, and shared ones are noisy: believe the ratios, and run the command on yours.

Made by `script/proof` from the files in `docs/proof`, which the commands write; do not edit.
";

fn section(page: &mut String, finding: &Finding) {
    let _ = write!(page, "\n## {}\n\n{}.\n\n    {}\n\n", finding.name, sentence(&finding.claim), finding.command);
    page.push_str("| what | figure | peer | ratio | aim |\n|---|---|---|---|---|\n");
    for figure in &finding.figures {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            figure.what,
            with_unit(figure.value, &figure.unit),
            figure
                .peer
                .as_ref()
                .map(|p| format!("{}: {}", p.what, with_unit(p.value, &figure.unit)))
                .unwrap_or_default(),
            figure.ratio().map(number).unwrap_or_default(),
            figure.aim.map(|aim| aim_of(aim, figure)).unwrap_or_default(),
        );
    }
    page.push('\n');
    finding.notes.iter().for_each(|note| {
        let _ = writeln!(page, "- {note}");
    });
    if !finding.notes.is_empty() {
        page.push('\n');
    }
    let _ = writeln!(page, "{} · commit {} · {}", finding.date, finding.commit, finding.machine);
}

fn sentence(claim: &str) -> String {
    let mut letters = claim.trim_end_matches('.').chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn aim_of(aim: Aim, figure: &Figure) -> String {
    let text = match aim {
        Aim::AtLeast(least) => format!("≥ {}", with_unit(least, &figure.unit)),
        Aim::AtMost(most) => format!("≤ {}", with_unit(most, &figure.unit)),
        Aim::RatioAtLeast(least) => format!("ratio ≥ {}", number(least)),
        Aim::RatioAtMost(most) => format!("ratio ≤ {}", number(most)),
    };
    let verdict = if figure.is_met() == Some(true) { "met" } else { "**missed**" };
    format!("{text}: {verdict}")
}

fn with_unit(value: f64, unit: &str) -> String {
    if unit.is_empty() { number(value) } else { format!("{} {unit}", number(value)) }
}

/// Three figures, thousands apart: `1,234,000`, `12.3`, `0.0456`. A whole number below a million keeps all its digits.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "none".to_owned();
    }
    let whole = value.fract() == 0.0 && value.abs() < 1e6;
    let digits = if value == 0.0 || whole { 0 } else { (2 - value.abs().log10().floor() as i32).clamp(-12, 12) };
    let scale = 10f64.powi(digits);
    let rounded = (value * scale).round() / scale;
    let text = format!("{rounded:.*}", digits.max(0) as usize);
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (integer, fraction) = text.split_once('.').map_or((text, ""), |(integer, fraction)| (integer, fraction));
    let mut grouped = String::new();
    for (at, digit) in integer.chars().enumerate() {
        if at > 0 && (integer.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_three_figures() {
        let cases = [
            (0.0, "0"),
            (305_734.0, "305,734"),
            (1_234_567.8, "1,230,000"),
            (123.456, "123"),
            (12.345, "12.3"),
            (0.04561, "0.0456"),
            (-1234.5, "-1,230"),
            (f64::NAN, "none"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_missed_aim_is_shown_as_missed() {
        let finding = Finding::new("crowd", "many look at once", "script/bench crowd")
            .figure(Figure::new("to all", 60.0, "ms").aim(Aim::AtMost(50.0)))
            .figure(Figure::new("rate", 5.0, "1/s").peer("theirs", 2.0).aim(Aim::RatioAtLeast(2.0)));
        let page = render(&[finding]);
        assert!(page.contains("| to all | 60 ms |  |  | ≤ 50 ms: **missed** |"), "{page}");
        assert!(page.contains("| rate | 5 1/s | theirs: 2 1/s | 2.50 | ratio ≥ 2: met |"), "{page}");
        assert!(page.contains("| 1 of 2 met |"));
    }
}
