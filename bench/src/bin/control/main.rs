//! How well a flood is controlled: the gate beside the rules that a flood is commonly met with, in the same seeded call centre.
//!
//! 100 agents, handling time 180 s, patience 120 s; 25 minutes at three times what they can serve, between half hours at 0.8 of it;
//! of those who were not served, 60 of 100 call again. Twenty seeds. It needs no other process and no machine to itself: nothing is timed.

use std::fmt::Write as _;

use bench::{Aim, Figure, Finding};
use policy::control::Rules;
use policy::rehearsal::rivals::{OnOff, Open, Ours, WaitRatio};
use policy::rehearsal::{Manners, Play, Rule, Score, Staff, arrivals};

const SEEDS: u64 = 20;
const AGENTS: u32 = 100;
const SERVICE_S: f64 = 180.0;
const PATIENCE_S: f64 = 120.0;
const THRESHOLD_S: f64 = 20.0;
const UNTIL_S: f64 = 85.0 * 60.0;
const AGES_S: [f64; 3] = [0.0, 10.0, 60.0];
const RULES: [&str; 6] = [
    "no control",
    "waiting per agent above 0.5",
    "on/off at EWT 30 s",
    "on/off at EWT 12 and 6 s",
    "on/off at EWT 8 and 2 s",
    "our gate",
];

/// A kind of day, and how wrong the believed handling time is.
struct Day {
    name: &'static str,
    flood: bool,
    base: f64,
    belief: f64,
}

const DAYS: [Day; 4] = [
    Day { name: "flood", flood: true, base: 0.8, belief: 1.0 },
    Day { name: "flood, handling time believed 30 % too long", flood: true, base: 0.8, belief: 1.3 },
    Day { name: "flood, handling time believed 30 % too short", flood: true, base: 0.8, belief: 0.7 },
    Day { name: "no flood, load 0.95", flood: false, base: 0.95, belief: 1.0 },
];

impl Day {
    fn rate_per_s(&self, at_s: f64) -> f64 {
        let capacity = f64::from(AGENTS) / SERVICE_S;
        let flooded = self.flood && (1_800.0..3_300.0).contains(&at_s);
        capacity * if flooded { 3.0 } else { self.base }
    }

    /// All seeds under the rule of this number, added up.
    fn under(&self, rule: usize, age_s: f64) -> Score {
        let mut sum = Score::default();
        for seed in 0..SEEDS {
            let score = self.play(rule, age_s, seed);
            sum.attempts += score.attempts;
            sum.diverted += score.diverted;
            sum.diverted_wrongly += score.diverted_wrongly;
            sum.answered += score.answered;
            sum.answered_in_time += score.answered_in_time;
            sum.abandoned += score.abandoned;
            sum.changes += score.changes;
        }
        sum
    }

    fn play(&self, rule: usize, age_s: f64, seed: u64) -> Score {
        let most = 3.0 * f64::from(AGENTS) / SERVICE_S;
        let arrivals = arrivals(seed, UNTIL_S, most, |at_s| self.rate_per_s(at_s));
        let manners = Manners {
            patience_s: PATIENCE_S,
            service_s: SERVICE_S,
            redial_share: 0.6,
            redial_after_s: 90.0,
            contained_share: 0.7,
        };
        let staff = [Staff { from_s: 0.0, agents: AGENTS }];
        let play = Play {
            arrivals: &arrivals,
            staff: &staff,
            manners,
            threshold_s: THRESHOLD_S,
            age_s,
            until_s: UNTIL_S,
            seed,
        };
        let believed_s = SERVICE_S * self.belief;
        let on_off = |on_s, off_s| OnOff::new(on_s, off_s, believed_s, PATIENCE_S);
        let under = |rule: &mut dyn Rule| play.under(rule);
        match rule {
            0 => under(&mut Open),
            1 => under(&mut WaitRatio::new(0.5)),
            2 => under(&mut on_off(30.0, 30.0)),
            3 => under(&mut on_off(12.0, 6.0)),
            4 => under(&mut on_off(8.0, 2.0)),
            _ => under(&mut Ours::new(Rules::default(), believed_s)),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let claim = "the gate keeps waits short in a flood as well as the best on/off rule on fresh figures, far better on old ones, and without swinging";
    let mut finding = Finding::new("control", claim, "script/bench control");
    let mut page = String::from(OPENING);
    for day in &DAYS {
        for age_s in AGES_S {
            let scores: Vec<Score> = (0..RULES.len()).map(|rule| day.under(rule, age_s)).collect();
            write_table(&mut page, day, age_s, &scores)?;
            let ours = scores[RULES.len() - 1];
            let best =
                (0..RULES.len() - 1).max_by(|a, b| scores[*a].in_time().total_cmp(&scores[*b].in_time())).unwrap_or(0);
            let what = format!("{}, figures {age_s} s old: answered within {THRESHOLD_S} s", day.name);
            let figure = Figure::new(what, round(ours.in_time() * 100.0), "%");
            // a tenth of a hundredth is noise of twenty seeds
            let figure = figure.peer(RULES[best], round(scores[best].in_time() * 100.0)).aim(Aim::RatioAtLeast(0.995));
            finding = finding.figure(figure);
            if day.flood {
                let what = format!("{}, figures {age_s} s old: changes of level for each flood", day.name);
                let changes = ours.changes as f64 / SEEDS as f64;
                let peer = scores[best].changes as f64 / SEEDS as f64;
                finding = finding.figure(Figure::new(what, changes, "").peer(RULES[best], peer).aim(Aim::AtMost(4.0)));
            }
        }
    }
    std::fs::write(bench::finding::folder().join("../reference/control-quality.md"), page)?;
    finding
        .note("100 agents, 180 s, patience 120 s, 25 minutes at three times their capacity, 60 of 100 call again, 20 seeds; the peer is the best other rule of the row")
        .note("every rule in every row: docs/reference/control-quality.md")
        .save()
}

const OPENING: &str = "# How well a flood is controlled

Each rule in the same seeded call centre: 100 agents, handling time 180 s, patience 120 s, 25 minutes at three times their capacity
between half hours at 0.8 of it; of those who were not served, 60 of 100 call again; 70 of 100 diverted are content. Means of 20 seeds.
\"Wrongly\" is diverted while an agent was free and nobody waited, which figures of a minute ago cannot show.

Made by `script/bench control`; do not edit.
";

fn write_table(page: &mut String, day: &Day, age_s: f64, scores: &[Score]) -> std::fmt::Result {
    write!(page, "\n## {}, figures {age_s} s old\n\n", day.name)?;
    page.push_str("| rule | answered in time | answered | diverted | wrongly | abandoned | changes |\n|---|---|---|---|---|---|---|\n");
    let mean = |count: u64| round(count as f64 / SEEDS as f64);
    for (rule, score) in RULES.iter().zip(scores) {
        writeln!(
            page,
            "| {rule} | {} % | {} | {} | {} | {} | {} |",
            round(score.in_time() * 100.0),
            mean(score.answered),
            mean(score.diverted),
            mean(score.diverted_wrongly),
            mean(score.abandoned),
            mean(score.changes)
        )?;
    }
    Ok(())
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
