//! Thresholds as a person wrote them: read so that every problem is found in one pass, those of form and those of sense.

use std::collections::BTreeSet;

use model::control::problem::Problem;
use model::control::{Thresholds, ThresholdsFile};
use model::{QueueId, TargetId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{ConfigFile, Problems, table};

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
struct One(Thresholds);

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
struct File(ThresholdsFile);

impl ConfigFile for One {
    fn check(&self, problems: &mut Problems) {
        self.0.problems().into_iter().for_each(|found| problems.add_hidden(&found.path, found.what, found.fix));
    }
}

impl ConfigFile for File {
    fn check(&self, problems: &mut Problems) {
        let found = self.0.problems(None, None);
        found.into_iter().for_each(|found| problems.add_hidden(&found.path, found.what, found.fix));
    }
}

/// What exists, so that what is named can be judged; `None` where that is not known.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Queues.
    pub queues: Option<BTreeSet<QueueId>>,
    /// Targets.
    pub targets: Option<BTreeSet<TargetId>>,
}

/// Reads the thresholds of one queue.
///
/// # Errors
/// Everything that is wrong with them.
pub fn thresholds(written: &serde_json::Value, known: &Known) -> Result<Thresholds, Vec<Problem>> {
    let loaded = table::<One>(written);
    let mut problems = told(&loaded.problems);
    if let Some(targets) = &known.targets {
        problems.extend(loaded.config.0.strangers(targets));
    }
    if problems.is_empty() { Ok(loaded.config.0) } else { Err(problems) }
}

/// Reads a file of thresholds.
///
/// # Errors
/// Everything that is wrong with it.
pub fn file(written: &serde_json::Value, known: &Known) -> Result<ThresholdsFile, Vec<Problem>> {
    let loaded = table::<File>(written);
    let mut problems = told(&loaded.problems);
    for found in loaded.config.0.problems(known.queues.as_ref(), known.targets.as_ref()) {
        if !problems.iter().any(|problem| problem.path == found.path) {
            problems.push(found);
        }
    }
    if problems.is_empty() { Ok(loaded.config.0) } else { Err(problems) }
}

fn told(problems: &Problems) -> Vec<Problem> {
    let told = |problem: &service::config::Problem| Problem {
        path: problem.path.clone(),
        what: match &problem.value {
            Some(value) => format!("{value}: {}", problem.what),
            None => problem.what.clone(),
        },
        fix: problem.fix.clone(),
    };
    problems.iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths<T: std::fmt::Debug>(read: Result<T, Vec<Problem>>) -> Vec<String> {
        read.unwrap_err().into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn problems_of_form_and_of_sense_are_named_together() {
        let written = json!({
            "goal": { "share": 1.5, "within_s": "soon" },
            "flor_per_s": 1,
            "floor_per_s": 2.0,
            "stale": { "static_per_s": [0.5] },
            "targets": [{ "target": "moon" }],
        });
        let known = Known { targets: Some(["chat".into()].into()), ..Known::default() };
        let mut paths = paths(thresholds(&written, &known));
        paths.sort();
        let want = ["flor_per_s", "goal.share", "goal.within_s", "stale.static_per_s.0", "targets.0.target"];
        assert_eq!(paths, want);
    }

    #[test]
    fn a_file_is_read_with_the_defaults_for_what_it_does_not_say() {
        let file = file(&json!({ "queues": { "sales": { "goal": { "within_s": 30 } } } }), &Known::default()).unwrap();
        let sales = &file.queues[&QueueId::new("sales")];
        assert_eq!((sales.goal.within_s, sales.goal.share, sales.calm_s), (30.0, 0.8, 90.0));
    }

    #[test]
    fn a_queue_that_does_not_exist_is_named() {
        let known = Known { queues: Some(["sales".into()].into()), targets: None };
        assert_eq!(
            paths(file(&json!({ "queues": { "sails": { "calm_s": 0 } } }), &known)),
            ["queues.sails.calm_s", "queues.sails"]
        );
    }
}
