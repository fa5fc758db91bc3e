//! A table cut into rows, in bounded memory: a field may go on over several lines, a row may not go on for ever.
//!
//! A quote that is opened and never closed would swallow the rest of the file as one field. So a row is given up beyond
//! [`ROW_BYTES_MAX`], or where the file ends within it: its first line is set aside, and reading goes on with the next line.

use std::collections::VecDeque;
use std::io::BufRead;

use adapter::recording::{Line, Lines};
use csv::StringRecord;

/// The longest row, in bytes; a row of a table of calls has some hundreds.
pub const ROW_BYTES_MAX: usize = 64 << 10;

/// The beginning of a text that is no row, and why it is none.
pub type Aside = (Vec<u8>, String);

/// One row, or what stands in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// The fields, or the beginning of the text and why it is no row.
    pub fields: Result<StringRecord, Aside>,
}

/// The rows of a table, its header among them.
pub struct Rows<R> {
    lines: Lines<R>,
    delimiter: u8,
    builder: csv::ReaderBuilder,
    /// Lines that were read too far, to be read again.
    again: VecDeque<Line>,
    /// So many of the next lines are rows of their own: they were tried as a part of a longer one. Else a file could have
    /// each of its lines tried against the next thousands.
    alone: usize,
    ready: VecDeque<Row>,
}

impl<R: BufRead> Rows<R> {
    /// Of a file.
    pub fn new(reader: R, delimiter: u8) -> Rows<R> {
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(delimiter).flexible(true).has_headers(false).buffer_capacity(1 << 10);
        let (again, ready) = (VecDeque::new(), VecDeque::new());
        Rows { lines: Lines::new(reader, ROW_BYTES_MAX), delimiter, builder, again, alone: 0, ready }
    }

    /// The next row; empty lines are none.
    ///
    /// # Errors
    /// Those of the file.
    pub fn read(&mut self) -> std::io::Result<Option<Row>> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Ok(Some(row));
            }
            let Some(line) = self.line()? else { return Ok(None) };
            let number = line.number;
            match self.text(line)? {
                Ok(text) => self.parse(number, &text),
                Err(aside) => self.ready.push_back(Row { line: number, fields: Err(aside) }),
            }
        }
    }

    fn line(&mut self) -> std::io::Result<Option<Line>> {
        match self.again.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.lines.any(),
        }
    }

    /// The text of the row that begins with this line.
    fn text(&mut self, first: Line) -> std::io::Result<Result<Vec<u8>, Aside>> {
        if let Some(len) = first.too_long {
            self.alone = self.alone.saturating_sub(1);
            return Ok(Err((first.bytes, format!("a line of {len} bytes, want at most {ROW_BYTES_MAX}"))));
        }
        let alone = self.alone > 0;
        self.alone = self.alone.saturating_sub(1);
        let mut state = Quoting::Outside.after(&first.bytes, self.delimiter);
        if state != Quoting::Open {
            return Ok(Ok(first.bytes));
        }
        if alone {
            return Ok(Err((first.bytes, "a quote is opened and not closed in time".to_owned())));
        }
        let mut text = first.bytes.clone();
        let mut taken = VecDeque::new();
        while state == Quoting::Open {
            let more = self.line()?;
            let why = match &more {
                None => "a quote is opened and never closed",
                Some(line) if line.too_long.is_some() || text.len() + line.bytes.len() >= ROW_BYTES_MAX => {
                    "a quote is opened and not closed in time"
                }
                Some(line) => {
                    text.push(b'\n');
                    text.extend_from_slice(&line.bytes);
                    state = Quoting::Open.after(&line.bytes, self.delimiter);
                    taken.extend(more);
                    continue;
                }
            };
            taken.extend(more);
            taken.append(&mut self.again);
            self.again = taken;
            self.alone = self.again.len();
            return Ok(Err((first.bytes, why.to_owned())));
        }
        Ok(Ok(text))
    }

    fn parse(&mut self, line: u64, text: &[u8]) {
        if let Some(fields) = plain(text, self.delimiter) {
            if !text.is_empty() {
                self.ready.push_back(Row { line, fields: Ok(fields) });
            }
            return;
        }
        let mut reader = self.builder.from_reader(text);
        let mut fields = StringRecord::new();
        loop {
            let row = match reader.read_record(&mut fields) {
                Ok(false) => return,
                Ok(true) => Ok(fields.clone()),
                Err(e) => Err((text.to_vec(), e.to_string())),
            };
            self.ready.push_back(Row { line, fields: row });
        }
    }
}

/// The fields of a row that needs no rules but its delimiter, as nearly all rows. A reader of CSV builds tables first, which
/// takes longer than a row.
fn plain(text: &[u8], delimiter: u8) -> Option<StringRecord> {
    let ruled = |byte: &u8| matches!(byte, b'"' | b'\r' | b'\n');
    let text = std::str::from_utf8(text).ok().filter(|text| !text.starts_with('\u{feff}'))?;
    if !delimiter.is_ascii() || text.as_bytes().iter().any(ruled) {
        return None;
    }
    let mut fields = StringRecord::with_capacity(text.len(), 24);
    text.split(char::from(delimiter)).for_each(|field| fields.push_field(field));
    Some(fields)
}

/// Where the end of a line leaves the reader of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Quoting {
    /// At the beginning of a field.
    Outside,
    /// In a field that began without a quote: quotes in it are plain text.
    Plain,
    /// In a quoted field.
    Open,
    /// Just behind a quote in a quoted field: its end, or the first half of a quote.
    Closed,
}

impl Quoting {
    fn after(self, line: &[u8], delimiter: u8) -> Quoting {
        if self == Quoting::Outside && !line.contains(&b'"') {
            return Quoting::Plain;
        }
        line.iter().fold(self, |state, byte| match (state, *byte) {
            (Quoting::Outside | Quoting::Closed, b'"') => Quoting::Open,
            (Quoting::Open, b'"') => Quoting::Closed,
            (Quoting::Open, _) => Quoting::Open,
            (_, b'\r') => Quoting::Outside,
            (_, b) if b == delimiter => Quoting::Outside,
            _ => Quoting::Plain,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Read};

    fn rows(text: &[u8]) -> Vec<(u64, Result<Vec<String>, String>)> {
        let mut rows = Rows::new(text, b',');
        let fields = |row: Row| row.fields.map(|f| f.iter().map(str::to_owned).collect()).map_err(|(_, why)| why);
        std::iter::from_fn(|| rows.read().unwrap().map(|row| (row.line, fields(row)))).collect()
    }

    fn good(text: &[u8]) -> Vec<(u64, Vec<String>)> {
        rows(text).into_iter().filter_map(|(line, row)| Some((line, row.ok()?))).collect()
    }

    #[test]
    fn a_row_without_quotes_has_the_fields_that_a_reader_of_csv_finds() {
        for text in ["a,b,c", "a", ",", ",,", "a, b ,", "一,二", " ", "a;b,c"] {
            let mut builder = csv::ReaderBuilder::new();
            let mut reader = builder.flexible(true).has_headers(false).from_reader(text.as_bytes());
            let want = reader.records().next().unwrap().unwrap();
            assert_eq!(plain(text.as_bytes(), b',').unwrap(), want, "{text:?}");
        }
        for text in ["a,\"b\"", "a\rb", "\u{feff}a,b"] {
            assert_eq!(plain(text.as_bytes(), b','), None, "{text:?}");
        }
        assert_eq!(plain(b"\xff,b", b','), None);
    }

    #[test]
    fn a_table_without_faults_is_read_as_the_csv_library_reads_it_whole() {
        let text =
            b"\xef\xbb\xbfa,b\r\n\n\"1,\"\"x\",2\r\n\"three\nlines\nhere\",4\nplain\"quote,5\n\"x\"y,6\n,\n\"\",7";
        let mut whole = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_slice());
        let want: Vec<Vec<String>> = whole.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
        assert_eq!(good(text).into_iter().map(|(_, row)| row).collect::<Vec<_>>(), want);
        assert_eq!(good(text)[2].0, 4, "a row is named by the line it begins on");
        assert_eq!(good(text)[3].0, 7);
    }

    #[test]
    fn a_quote_that_is_never_closed_costs_one_row() {
        for tail in [1, 5000] {
            let text = format!("a,b\n1,\"open\n{}", "2,3\n".repeat(tail * 10));
            let all = rows(text.as_bytes());
            assert_eq!(all.len(), 2 + tail * 10);
            assert!(all[1].1.as_ref().unwrap_err().contains("a quote is opened"), "{:?}", all[1]);
            assert!(all[2..].iter().all(|(_, row)| row.is_ok()), "{tail}");
        }
    }

    #[test]
    fn lines_that_each_open_a_quote_are_tried_once_not_against_each_other() {
        // Each goes on in a quote whether the line before did or not. Tried against each other it would be hours.
        let text = "x\",\"y\n".repeat(1 << 17);
        let all = rows(text.as_bytes());
        assert_eq!(all.len(), 1 << 17);
        assert!(all.iter().all(|(_, row)| row.is_err()));
    }

    #[test]
    fn a_line_without_end_and_bad_text_are_set_aside_and_the_rest_is_read() {
        let long = std::io::repeat(b'"').take(8 << 20).chain(b"\n1,2\n\xff,3\n4,5\n".as_slice());
        let mut rows = Rows::new(BufReader::new(long), b',');
        let all: Vec<_> = std::iter::from_fn(|| rows.read().unwrap()).collect();
        assert!(all[0].fields.as_ref().unwrap_err().1.contains("8388608 bytes"));
        assert!(all[2].fields.as_ref().unwrap_err().1.contains("UTF-8"));
        assert_eq!(all.iter().filter(|row| row.fields.is_ok()).count(), 2);
    }
}
