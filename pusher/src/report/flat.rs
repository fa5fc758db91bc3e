//! Rows of a report: the same columns, in the same order, in JSON, NDJSON and CSV.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use utoipa::ToSchema;

/// A form that rows can be written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One object with the rows in an array.
    #[default]
    Json,
    /// A header line, then one line per row (RFC 4180).
    Csv,
    /// One object per line.
    Ndjson,
}

impl Format {
    /// From `json`, `csv` or `ndjson`.
    pub fn parse(text: &str) -> Option<Format> {
        match text {
            "json" => Some(Format::Json),
            "csv" => Some(Format::Csv),
            "ndjson" => Some(Format::Ndjson),
            _ => None,
        }
    }

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Ndjson => "application/x-ndjson",
        }
    }
}

/// What stands in one field of a CSV line.
pub trait Cell {
    /// Appends the text; nothing for what is not known.
    fn write(&self, out: &mut String);
}

macro_rules! displayed {
    ($($ty:ty),*) => {$(
        impl Cell for $ty {
            fn write(&self, out: &mut String) {
                let _ = write!(out, "{self}");
            }
        }
    )*};
}

displayed!(i64, u64, u32, f64, bool, String, model::Time);

impl<T: Cell> Cell for Option<T> {
    fn write(&self, out: &mut String) {
        if let Some(value) = self {
            value.write(out);
        }
    }
}

/// Names with numbers: an object in JSON, `lunch=60000;training=5000` in CSV (`%`, `=` and `;` of a name are percent-encoded).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Named(pub BTreeMap<String, i64>);

impl Cell for Named {
    fn write(&self, out: &mut String) {
        for (n, (name, value)) in self.0.iter().enumerate() {
            if n > 0 {
                out.push(';');
            }
            let name = name.replace('%', "%25").replace('=', "%3D").replace(';', "%3B");
            let _ = write!(out, "{name}={value}");
        }
    }
}

/// Several texts: an array in JSON, joined by `;` in CSV.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Texts(pub Vec<String>);

impl Cell for Texts {
    fn write(&self, out: &mut String) {
        out.push_str(&self.0.join(";"));
    }
}

/// A row with fixed columns.
pub trait Flat: Serialize {
    /// The columns, in order: the names in JSON and in the CSV header.
    const COLUMNS: &'static [&'static str];

    /// Calls `field` with each column's cell, in order.
    fn cells(&self, field: &mut dyn FnMut(&dyn Cell));
}

/// Declares a row: a struct whose fields are its columns.
macro_rules! flat {
    ($(#[$meta:meta])* pub struct $name:ident { $( $(#[$doc:meta])* pub $field:ident: $ty:ty, )* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
        pub struct $name { $( $(#[$doc])* pub $field: $ty, )* }

        impl $crate::report::flat::Flat for $name {
            const COLUMNS: &'static [&'static str] = &[$( stringify!($field) ),*];

            fn cells(&self, field: &mut dyn FnMut(&dyn $crate::report::flat::Cell)) {
                $( field(&self.$field); )*
            }
        }
    };
}
pub(crate) use flat;

/// Writes rows in a form. `head`: members of the JSON object beside `rows`; the other forms have the rows only.
///
/// # Errors
/// Those of the writer.
pub fn write<R: Flat>(
    out: &mut impl io::Write,
    format: Format,
    head: &serde_json::Map<String, serde_json::Value>,
    rows: &[R],
) -> io::Result<()> {
    match format {
        Format::Csv => csv(out, rows),
        Format::Ndjson => {
            for row in rows {
                serde_json::to_writer(&mut *out, row)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        }
        Format::Json => {
            out.write_all(b"{")?;
            for (name, value) in head {
                serde_json::to_writer(&mut *out, name)?;
                out.write_all(b":")?;
                serde_json::to_writer(&mut *out, value)?;
                out.write_all(b",")?;
            }
            out.write_all(b"\"rows\":[")?;
            for (n, row) in rows.iter().enumerate() {
                out.write_all(if n == 0 { b"\n" } else { b",\n" })?;
                serde_json::to_writer(&mut *out, row)?;
            }
            out.write_all(b"\n]}\n")
        }
    }
}

fn csv<R: Flat>(out: &mut impl io::Write, rows: &[R]) -> io::Result<()> {
    let mut lines = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
    lines.write_record(R::COLUMNS)?;
    let mut text = String::new();
    for row in rows {
        let mut failed = None;
        row.cells(&mut |cell| {
            text.clear();
            cell.write(&mut text);
            if let Err(error) = lines.write_field(&text) {
                failed = Some(error);
            }
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        lines.write_record(None::<&[u8]>)?;
    }
    lines.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    flat! {
        /// A row of a test.
        pub struct Sample {
            /// A name.
            pub name: String,
            /// A rate.
            pub rate: Option<f64>,
            /// Reasons.
            pub reasons: Named,
        }
    }

    fn rows() -> Vec<Sample> {
        let reasons = Named(BTreeMap::from([("a=b;c".to_owned(), 3), ("lunch".to_owned(), 1)]));
        vec![
            Sample { name: "north, \"first\"".into(), rate: Some(0.25), reasons },
            Sample { name: "技能组".into(), rate: None, reasons: Named::default() },
        ]
    }

    fn written(format: Format) -> String {
        let head = serde_json::Map::from_iter([("policy".to_owned(), serde_json::json!("of_offered"))]);
        let mut out = Vec::new();
        write(&mut out, format, &head, &rows()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_form_has_the_same_columns_in_the_same_order() {
        assert_eq!(
            written(Format::Csv),
            "name,rate,reasons\r\n\"north, \"\"first\"\"\",0.25,a%3Db%3Bc=3;lunch=1\r\n技能组,,\r\n"
        );
        assert_eq!(
            written(Format::Ndjson),
            "{\"name\":\"north, \\\"first\\\"\",\"rate\":0.25,\"reasons\":{\"a=b;c\":3,\"lunch\":1}}\n\
             {\"name\":\"技能组\",\"rate\":null,\"reasons\":{}}\n"
        );
        let json: serde_json::Value = serde_json::from_str(&written(Format::Json)).unwrap();
        assert_eq!((json["policy"].as_str(), json["rows"][1]["name"].as_str()), (Some("of_offered"), Some("技能组")));
    }
}
