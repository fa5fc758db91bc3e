//! What adapters of recordings share: opening a file, packed or not, and cutting it into lines.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use crate::Fault;

/// How much is kept of a line that is too long, in bytes: enough to recognise it by.
pub const SAMPLE_BYTES: usize = 512;
/// The most messages that a recording's adapter keeps to be set aside; of more only the number.
pub const ASIDE_MAX: usize = 10_000;

/// Opens a recorded file for reading; one that ends in `.gz` is unpacked on the way.
///
/// # Errors
/// [`Fault::Refused`] with the path: the operator must name another.
pub fn open(path: &Path) -> Result<Box<dyn BufRead + Send>, Fault> {
    let file = File::open(path).map_err(|e| refused(path, &e))?;
    let file = BufReader::with_capacity(1 << 16, file);
    let packed = path.extension().is_some_and(|e| e == "gz");
    Ok(if packed {
        Box::new(BufReader::with_capacity(1 << 16, flate2::read::MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    })
}

/// Reads a whole recording on a thread of its own, so that nobody else waits for the disk.
///
/// # Errors
/// Those of `read`.
#[expect(clippy::disallowed_methods, reason = "it is awaited right here: it has an owner, and ends with it")]
pub async fn whole<T: Send + 'static>(read: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(read).await.map_err(|e| Fault::Bug(e.to_string()))?
}

/// What is wrong with a recorded file, with its path.
pub fn refused(path: &Path, what: &dyn std::fmt::Display) -> Fault {
    Fault::Refused(format!("{}: {what}", path.display()))
}

/// One line of a file, without its line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its place in the file, from 1.
    pub number: u64,
    /// The line; of one that is too long its first [`SAMPLE_BYTES`].
    pub bytes: Vec<u8>,
    /// How long it is when it is too long.
    pub too_long: Option<u64>,
    /// How many bytes of the file it took, its line end included.
    pub span: u64,
}

/// Cuts a file into lines, in bounded memory whatever the file holds: a line beyond the bound is read over, not kept.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    max: usize,
    /// Of the line that is being read: what is kept, and how long it is.
    held: Vec<u8>,
    len: u64,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Lines of at most `max` bytes, line ends not counted.
    pub fn new(reader: R, max: usize) -> Lines<R> {
        Lines { reader, max, held: Vec::new(), len: 0, number: 0 }
    }

    /// The next line that has its end; `None` where the file ends, for now: asked again after the file grew, it goes on.
    ///
    /// # Errors
    /// Those of the file.
    pub fn ended(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if buffer.is_empty() {
                return Ok(None);
            }
            let end = buffer.iter().position(|b| *b == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            // One more than the longest line: a carriage return may follow it.
            let room = (self.max + 1).saturating_sub(self.held.len()).min(part.len());
            self.held.extend_from_slice(&part[..room]);
            self.len += part.len() as u64;
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(self.line(1)));
            }
        }
    }

    /// The next line; the last of a file that will not grow may be without its end.
    ///
    /// # Errors
    /// Those of the file.
    pub fn any(&mut self) -> std::io::Result<Option<Line>> {
        match self.ended()? {
            Some(line) => Ok(Some(line)),
            None if self.len > 0 => Ok(Some(self.line(0))),
            None => Ok(None),
        }
    }

    /// How many bytes are kept of the line that is being read.
    pub fn held(&self) -> usize {
        self.held.capacity()
    }

    /// What is read from.
    pub fn get_ref(&self) -> &R {
        &self.reader
    }

    fn line(&mut self, end: u64) -> Line {
        self.number += 1;
        let len = std::mem::take(&mut self.len);
        let mut bytes = std::mem::take(&mut self.held);
        let whole = bytes.len() as u64 == len;
        while whole && bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        let too_long = (!whole || bytes.len() > self.max).then_some(len);
        if too_long.is_some() {
            bytes.truncate(SAMPLE_BYTES);
            bytes.shrink_to_fit();
        }
        Line { number: self.number, bytes, too_long, span: len + end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: &[u8], buffer: usize, max: usize) -> Vec<Line> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, file), max);
        std::iter::from_fn(|| lines.any().unwrap()).collect()
    }

    #[test]
    fn a_line_is_the_same_however_the_file_is_read() {
        let file = b"one\r\n\ntwo\n1234567\n12345678\r\n123456789\nlast";
        let whole = lines(file, 1024, 8);
        let texts: Vec<_> = whole.iter().map(|l| (l.number, l.bytes.as_slice(), l.too_long)).collect();
        let want: [(u64, &[u8], Option<u64>); 7] = [
            (1, b"one", None),
            (2, b"", None),
            (3, b"two", None),
            (4, b"1234567", None),
            (5, b"12345678", None),
            (6, b"123456789", Some(9)),
            (7, b"last", None),
        ];
        assert_eq!(texts, want);
        assert_eq!(whole.iter().map(|l| l.span).sum::<u64>(), file.len() as u64);
        for buffer in 1..file.len() {
            assert_eq!(lines(file, buffer, 8), whole, "{buffer}");
        }
    }

    #[test]
    fn a_line_of_a_hundred_megabytes_costs_no_memory_and_the_next_one_is_read() {
        use std::io::Read;
        let file = std::io::repeat(b'x').take(100 << 20).chain(b"\nnext\n".as_slice());
        let mut lines = Lines::new(BufReader::new(file), 4096);
        let long = lines.any().unwrap().unwrap();
        assert_eq!((long.too_long, long.bytes.len()), (Some(100 << 20), SAMPLE_BYTES));
        assert!(long.bytes.capacity() <= 2 * SAMPLE_BYTES, "{}", long.bytes.capacity());
        assert_eq!(lines.any().unwrap().unwrap().bytes, b"next");
        assert_eq!(lines.any().unwrap(), None);
    }

    #[test]
    fn a_line_without_its_end_waits_for_it_in_bounded_memory() {
        let mut lines = Lines::new(b"abc".as_slice(), 8);
        assert_eq!(lines.ended().unwrap(), None);
        lines.reader = b"def\nx".as_slice();
        assert_eq!(lines.ended().unwrap().unwrap().bytes, b"abcdef");
        lines.reader = &[b'y'; 10_000];
        assert_eq!(lines.ended().unwrap(), None);
        assert!(lines.held() <= 32, "{}", lines.held());
    }
}
