//! Service level: one stored set of facts, and named, versioned policies that are applied when somebody asks.

use std::fmt;

use crate::field::Field;
use crate::tally::Tally;

/// How a service level is computed. A_T answered within T, A answered, B_T abandoned within T and B abandoned (short ones included in
/// both), S short abandons, F flow-outs, R_T RONA within T, Off offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// A_T / (Off − S)
    #[default]
    OfOffered,
    /// A_T / A
    OfAnswered,
    /// A_T / (Off − B_T)
    AbandonsIgnored,
    /// A_T / Off
    AbandonsNegative,
    /// (A_T + B_T) / Off
    AbandonsPositive,
    /// (left for any reason within T) / Off
    Removed,
    /// A_T / (A + B − B_T)
    LateAbandons,
    /// A_T / (A [+ B] [+ F] [− S])
    Switches {
        /// F is in the denominator.
        flow_outs: bool,
        /// S is taken out of the denominator.
        short: bool,
        /// B is in the denominator.
        abandons: bool,
    },
    /// A_T / (Off − R_T)
    WithoutRona,
}

/// A policy that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no service-level policy {0:?}, want one of {list} (switches takes any of flow_outs, short, abandons after a colon: \"switches:abandons,short\")", list = IDS.join(", "))]
pub struct Unknown(pub String);

/// The ids of all policies.
pub const IDS: [&str; 9] = [
    "of_offered",
    "of_answered",
    "abandons_ignored",
    "abandons_negative",
    "abandons_positive",
    "removed",
    "late_abandons",
    "switches",
    "without_rona",
];

impl Policy {
    /// The version of all formulas here; a changed formula is a new version, and the old one stays reproducible.
    pub const VERSION: u32 = 1;

    /// From an id such as `of_offered` or `switches:abandons,short`.
    pub fn parse(text: &str) -> Result<Policy, Unknown> {
        let unknown = || Unknown(text.to_owned());
        Ok(match text {
            "of_offered" => Policy::OfOffered,
            "of_answered" => Policy::OfAnswered,
            "abandons_ignored" => Policy::AbandonsIgnored,
            "abandons_negative" => Policy::AbandonsNegative,
            "abandons_positive" => Policy::AbandonsPositive,
            "removed" => Policy::Removed,
            "late_abandons" => Policy::LateAbandons,
            "without_rona" => Policy::WithoutRona,
            _ => {
                let rest = text.strip_prefix("switches").ok_or_else(unknown)?;
                let (mut flow_outs, mut short, mut abandons) = (false, false, false);
                let list = if rest.is_empty() { "" } else { rest.strip_prefix(':').ok_or_else(unknown)? };
                for word in list.split(',').filter(|w| !w.is_empty()) {
                    match word {
                        "flow_outs" => flow_outs = true,
                        "short" => short = true,
                        "abandons" => abandons = true,
                        _ => return Err(unknown()),
                    }
                }
                Policy::Switches { flow_outs, short, abandons }
            }
        })
    }

    /// The formula, in the letters of [`Policy`].
    pub fn formula(self) -> &'static str {
        match self {
            Policy::OfOffered => "A_T / (Off − S)",
            Policy::OfAnswered => "A_T / A",
            Policy::AbandonsIgnored => "A_T / (Off − B_T)",
            Policy::AbandonsNegative => "A_T / Off",
            Policy::AbandonsPositive => "(A_T + B_T) / Off",
            Policy::Removed => "(left for any reason within T) / Off",
            Policy::LateAbandons => "A_T / (A + B − B_T)",
            Policy::Switches { .. } => "A_T / (A [+ B] [+ F] [− S])",
            Policy::WithoutRona => "A_T / (Off − R_T)",
        }
    }

    /// Who computes it so; empty: nobody that we know.
    pub fn used_by(self) -> &'static str {
        match self {
            Policy::OfAnswered => "Asterisk Perf, Wazo",
            Policy::AbandonsIgnored => "Cisco \"ignored\"",
            Policy::AbandonsNegative => "Cisco \"negative\"",
            Policy::AbandonsPositive => "Cisco \"positive\"",
            Policy::Removed => "Amazon Connect",
            Policy::LateAbandons => "XCALLY",
            Policy::Switches { .. } => "Genesys Cloud",
            Policy::WithoutRona => "Cisco",
            Policy::OfOffered => "",
        }
    }

    /// The two sides of the fraction for a threshold in milliseconds (exact when it is a bucket's edge: any whole second).
    pub fn fraction(self, t: &Tally, threshold_ms: i64) -> (i64, i64) {
        let within = |fields: &[Field]| t.hist(fields).count_le(threshold_ms);
        let offered = t.get(Field::Offered);
        let answered = t.get(Field::Answered);
        let short = t.get(Field::ShortAbandoned);
        let abandoned = t.get(Field::Abandoned) + short;
        let a_t = within(&[Field::WaitAnswered]);
        match self {
            Policy::OfOffered => (a_t, offered - short),
            Policy::OfAnswered => (a_t, answered),
            Policy::AbandonsIgnored => (a_t, offered - within(&[Field::WaitAbandoned])),
            Policy::AbandonsNegative => (a_t, offered),
            Policy::AbandonsPositive => (a_t + within(&[Field::WaitAbandoned]), offered),
            Policy::Removed => (a_t + within(&[Field::WaitAbandoned, Field::WaitOther]), offered),
            Policy::LateAbandons => (a_t, answered + abandoned - within(&[Field::WaitAbandoned])),
            Policy::Switches { flow_outs, short: less_short, abandons } => {
                let b = if abandons { abandoned } else { 0 };
                let f = if flow_outs { t.total(Field::FlowOut) } else { 0 };
                let s = if less_short { short } else { 0 };
                (a_t, answered + b + f - s)
            }
            Policy::WithoutRona => (a_t, offered - within(&[Field::WaitRona])),
        }
    }

    /// The service level, 0 to 1 for a cohort; `None` when there is nothing to judge. An event-time row may exceed 1: calls
    /// offered before it are answered within it.
    pub fn level(self, t: &Tally, threshold_ms: i64) -> Option<f64> {
        let (good, all) = self.fraction(t, threshold_ms);
        (all > 0).then(|| good as f64 / all as f64)
    }
}

/// The id, with its switches.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Policy::OfOffered => "of_offered",
            Policy::OfAnswered => "of_answered",
            Policy::AbandonsIgnored => "abandons_ignored",
            Policy::AbandonsNegative => "abandons_negative",
            Policy::AbandonsPositive => "abandons_positive",
            Policy::Removed => "removed",
            Policy::LateAbandons => "late_abandons",
            Policy::WithoutRona => "without_rona",
            Policy::Switches { flow_outs, short, abandons } => {
                let on = [(*flow_outs, "flow_outs"), (*short, "short"), (*abandons, "abandons")];
                let words: Vec<&str> = on.into_iter().filter(|w| w.0).map(|w| w.1).collect();
                let colon = if words.is_empty() { "" } else { ":" };
                return write!(f, "switches{colon}{}", words.join(","));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten offered: 5 answered (3 within 20 s), 3 abandoned (1 within 20 s, that one short), 2 timed out (1 within 20 s), 1 RONA at 10 s.
    fn facts() -> Tally {
        let mut t = Tally::new();
        t.add(Field::Offered, 10);
        t.add(Field::Answered, 5);
        for s in [0, 10, 20, 21, 60] {
            t.observe(Field::WaitAnswered, s * 1000, 1);
        }
        t.add(Field::Abandoned, 2);
        t.add(Field::ShortAbandoned, 1);
        for s in [4, 30, 40] {
            t.observe(Field::WaitAbandoned, s * 1000, 1);
        }
        t.add_cell(Field::FlowOut, 9, 2);
        t.observe(Field::WaitOther, 15_000, 1);
        t.observe(Field::WaitOther, 90_000, 1);
        t.observe(Field::WaitRona, 10_000, 1);
        t
    }

    #[test]
    fn every_policy_gives_its_own_fraction_of_the_same_facts() {
        for (id, want) in [
            ("of_offered", (3, 9)),
            ("of_answered", (3, 5)),
            ("abandons_ignored", (3, 9)),
            ("abandons_negative", (3, 10)),
            ("abandons_positive", (4, 10)),
            ("removed", (5, 10)),
            ("late_abandons", (3, 7)),
            ("switches", (3, 5)),
            ("switches:flow_outs,short,abandons", (3, 9)),
            ("without_rona", (3, 9)),
        ] {
            let policy = Policy::parse(id).unwrap();
            assert_eq!(policy.fraction(&facts(), 20_000), want, "{id}");
            assert_eq!(policy.to_string(), id);
        }
    }

    #[test]
    fn an_unknown_policy_is_answered_with_the_list() {
        for bad in ["best", "switches:all", "switchesx", ""] {
            let text = Policy::parse(bad).unwrap_err().to_string();
            assert!(text.contains("of_offered") && text.contains("without_rona"), "{text}");
        }
    }

    #[test]
    fn nothing_offered_has_no_service_level() {
        assert_eq!(Policy::default().level(&Tally::new(), 20_000), None);
    }
}
