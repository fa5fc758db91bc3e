//! The JSON form of a tally: an object of field names; a number for one cell, an object of cells for many, labels by text.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::field::{Field, Kind};
use crate::tally::Tally;

fn single(kind: Kind) -> bool {
    matches!(kind, Kind::Count | Kind::Millis)
}

fn labelled(kind: Kind) -> bool {
    matches!(kind, Kind::Labels | Kind::LabelMillis)
}

impl Serialize for Tally {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        for f in Field::ALL {
            if labelled(f.kind()) {
                let labels: BTreeMap<&str, i64> = self.labels(*f).collect();
                if !labels.is_empty() {
                    map.serialize_entry(f.as_str(), &labels)?;
                }
                continue;
            }
            let mut cells = self.cells(*f).peekable();
            if cells.peek().is_none() {
                continue;
            }
            if single(f.kind()) {
                map.serialize_entry(f.as_str(), &self.get(*f))?;
            } else {
                map.serialize_entry(f.as_str(), &cells.collect::<BTreeMap<u32, i64>>())?;
            }
        }
        map.end()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    One(i64),
    Many(BTreeMap<String, i64>),
}

impl Value {
    /// The sum of what it holds, signs aside; `None` where that is too large to count.
    fn magnitude(&self) -> Option<i64> {
        match self {
            Value::One(n) => n.checked_abs(),
            Value::Many(cells) => cells.values().try_fold(0i64, |sum, n| sum.checked_add(n.checked_abs()?)),
        }
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Tally;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tally fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tally, A::Error> {
        let mut t = Tally::new();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(name) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            let field = Field::parse(&name);
            let value = map.next_value::<Value>()?;
            // Told twice, or so large that a sum overflows: nothing that we wrote.
            if field.is_some_and(|f| !seen.insert(f as u8)) || value.magnitude().is_none() {
                return Err(serde::de::Error::custom(format!("{name} is there twice, or too large")));
            }
            match (field, value) {
                (None, _) => {} // newer than we are
                (Some(f), Value::One(n)) if single(f.kind()) => t.add(f, n),
                (Some(f), Value::Many(cells)) if !single(f.kind()) => {
                    for (sub, n) in cells {
                        if labelled(f.kind()) {
                            t.add_label(f, &sub, n);
                        } else {
                            t.add_cell(f, sub.parse().map_err(serde::de::Error::custom)?, n);
                        }
                    }
                }
                // It would be written otherwise than it was read.
                (Some(f), Value::One(_)) => {
                    return Err(serde::de::Error::custom(format!("{name} is a number, and has cells: {:?}", f.kind())));
                }
                (Some(f), Value::Many(_)) => {
                    return Err(serde::de::Error::custom(format!("{name} has cells, and is a number: {:?}", f.kind())));
                }
            }
        }
        Ok(t)
    }
}

impl<'de> Deserialize<'de> for Tally {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Tally, D::Error> {
        d.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_what_it_counts_and_is_read_back() {
        let mut t = Tally::new();
        t.add(Field::Offered, 2);
        t.add_cell(Field::Waiting, 5, -1);
        t.add_label(Field::NotReadyReasonMs, "lunch", 60_000);
        let text = serde_json::to_string(&t).unwrap();
        assert_eq!(text, r#"{"offered":2,"waiting":{"5":-1},"not_ready_reason_ms":{"lunch":60000}}"#);
        assert_eq!(serde_json::from_str::<Tally>(&text).unwrap(), t);
        assert_eq!(serde_json::from_str::<Tally>(r#"{"of_tomorrow":{"1":2}}"#).unwrap(), Tally::new());
        for bad in [
            r#"{"offered":9223372036854775807,"offered":1}"#,
            r#"{"offered":-9223372036854775808}"#,
            r#"{"waiting":{"5":9223372036854775807,"05":1}}"#,
            r#"{"not_ready_reason_ms":{"a":9223372036854775807,"b":1}}"#,
            r#"{"offered":{"5":-1}}"#,
            r#"{"waiting":5}"#,
            r#"{"not_ready_reason_ms":60000}"#,
        ] {
            assert!(serde_json::from_str::<Tally>(bad).is_err(), "{bad}");
        }
    }
}
