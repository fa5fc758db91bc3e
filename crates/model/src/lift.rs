//! Old event versions are lifted to the newest when they are read, and never rewritten where they stand.

use serde_json::Value;

/// One step up: the data of type `from` becomes the data of type `to`.
pub struct Step {
    /// The old type, such as `call.queued.v1`.
    pub from: &'static str,
    /// The next type, such as `call.queued.v2`.
    pub to: &'static str,
    /// How the data changes. Pure; must accept whatever the old version could hold.
    pub change: fn(Value) -> Value,
}

/// Every step that exists. All types are at their first version today; a `v2` adds its step here and its golden file
/// of the old version stays, read through the step.
pub const TABLE: &[Step] = &[];

/// Climbs `table` from `ty` as far as it goes; `None` when no step starts there.
pub fn lift(table: &[Step], ty: &str, data: &str) -> serde_json::Result<Option<(&'static str, String)>> {
    let Some(first) = table.iter().find(|s| s.from == ty) else { return Ok(None) };
    let mut value = (first.change)(serde_json::from_str(data)?);
    let mut at = first.to;
    while let Some(step) = table.iter().find(|s| s.from == at) {
        value = (step.change)(value);
        at = step.to;
    }
    Ok(Some((at, value.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_climbs_every_step_to_the_newest() {
        let table = [
            Step { from: "x.v1", to: "x.v2", change: |v| serde_json::json!({ "n": v["count"] }) },
            Step { from: "x.v2", to: "x.v3", change: |v| serde_json::json!({ "n_ms": v["n"] }) },
        ];
        let lifted = lift(&table, "x.v1", r#"{"count":3}"#).unwrap().unwrap();
        assert_eq!(lifted, ("x.v3", r#"{"n_ms":3}"#.to_owned()));
        assert!(lift(&table, "x.v3", "{}").unwrap().is_none());
    }
}
