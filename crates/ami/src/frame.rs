//! The bytes of AMI cut into frames: header lines up to an empty line.
//!
//! - **Invariant:** memory is bounded whatever comes in: a frame beyond its bounds is skipped to its end and reported.
//! - **Invariant:** how the bytes were cut into reads changes nothing.

use std::collections::VecDeque;

/// The longest line that is kept.
pub const LINE_BYTES_MAX: usize = 16 * 1024;
/// The most header lines of a frame.
pub const HEADERS_MAX: usize = 512;
/// The largest frame.
pub const FRAME_BYTES_MAX: usize = 128 * 1024;
/// How much of a frame that makes no sense is kept for the report.
const SAMPLE_BYTES_MAX: usize = 512;

/// One message of the PBX: an event, a response, or an item of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    headers: Vec<(String, String)>,
}

/// A message that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Its beginning.
    pub sample: Vec<u8>,
    /// What is wrong with it.
    pub reason: String,
}

/// What the reader finds in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The greeting: `Asterisk Call Manager/…`.
    Banner(String),
    /// A message.
    Frame(Frame),
    /// A message that makes no sense.
    Malformed(Malformed),
}

impl Item {
    /// How much it holds, in bytes.
    pub fn size(&self) -> usize {
        size_of::<Item>()
            + match self {
                Item::Banner(text) => text.len(),
                Item::Frame(frame) => frame.size(),
                Item::Malformed(bad) => bad.sample.len() + bad.reason.len(),
            }
    }
}

impl Frame {
    /// Of headers, for tests and for those who write AMI themselves.
    pub fn of<K: Into<String>, V: Into<String>>(headers: impl IntoIterator<Item = (K, V)>) -> Frame {
        Frame { headers: headers.into_iter().map(|(k, v)| (k.into(), v.into())).collect() }
    }

    /// The first value of a header, whatever its case; `None` when absent.
    pub fn raw(&self, key: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v.as_str())
    }

    /// The first value of a header that says something: not empty, `<unknown>`, `<none>` or `N/A`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.raw(key).filter(|v| !matches!(*v, "" | "<unknown>" | "<none>" | "N/A"))
    }

    /// A header as a number; `None` when absent or no number.
    pub fn number<N: std::str::FromStr>(&self, key: &str) -> Option<N> {
        self.get(key).and_then(|v| v.trim().parse().ok())
    }

    /// The event's name. `OriginateResponse` is an event that carries a `Response` header too: so `Event` decides.
    pub fn event(&self) -> Option<&str> {
        self.raw("Event")
    }

    /// The response's word (`Success`, `Error`, …) when this answers an action.
    pub fn response(&self) -> Option<&str> {
        if self.event().is_some() { None } else { self.raw("Response") }
    }

    /// When the PBX says it happened, in microseconds since the epoch (`timestampevents = yes`).
    pub fn timestamp_us(&self) -> Option<i64> {
        let (secs, fraction) = self.get("Timestamp")?.split_once('.')?;
        let secs: i64 = secs.parse().ok().filter(|s| (0..=253_402_300_799).contains(s))?;
        if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let us: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
        Some(secs * 1_000_000 + us)
    }

    /// The frame with these headers only, the first of each.
    #[must_use]
    pub fn only(&self, keys: &[&str]) -> Frame {
        Frame::of(keys.iter().filter_map(|key| Some((*key, self.raw(key)?))))
    }

    /// How much it holds, in bytes; what its headers cost beside their text included.
    pub fn size(&self) -> usize {
        self.headers.iter().map(|(k, v)| k.len() + v.len() + 2 * size_of::<String>()).sum()
    }

    /// Every header, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The frame as it may have stood on the wire.
    pub fn to_text(&self) -> String {
        self.headers.iter().fold(String::new(), |text, (k, v)| text + k + ": " + v + "\r\n") + "\r\n"
    }
}

/// Cuts bytes into items. Push what was read, then take items until there are none.
#[derive(Debug, Default)]
pub struct Reader {
    greeted: bool,
    line: Vec<u8>,
    /// How long the line is, kept or not.
    line_bytes: usize,
    frame: Vec<(String, String)>,
    bytes: usize,
    sample: Vec<u8>,
    fault: Option<&'static str>,
    found: VecDeque<Item>,
}

impl Reader {
    /// A reader that waits for the banner.
    pub fn new() -> Reader {
        Reader::default()
    }

    /// A reader of a stream whose banner has gone by.
    pub fn greeted() -> Reader {
        Reader { greeted: true, ..Reader::default() }
    }

    /// Takes bytes in, in any portions.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            self.keep(&rest[..end]);
            self.end_of_line();
            rest = &rest[end + 1..];
        }
        self.keep(rest);
    }

    /// How much is held of what has not ended yet, in bytes.
    pub fn held(&self) -> usize {
        let headers = self.frame.iter().map(|(k, v)| k.capacity() + v.capacity() + 2 * size_of::<String>());
        self.line.capacity() + self.sample.capacity() + headers.sum::<usize>()
    }

    /// How many items are waiting to be taken.
    pub fn waiting(&self) -> usize {
        self.found.len()
    }

    fn keep(&mut self, part: &[u8]) {
        self.bytes = self.bytes.saturating_add(part.len());
        let room = SAMPLE_BYTES_MAX.saturating_sub(self.sample.len()).min(part.len());
        self.sample.extend_from_slice(&part[..room]);
        self.line_bytes = self.line_bytes.saturating_add(part.len());
        let room = LINE_BYTES_MAX.saturating_sub(self.line.len()).min(part.len());
        self.line.extend_from_slice(&part[..room]);
    }

    /// What is too long is judged where it ends, so that it is judged alike however the bytes were cut into reads.
    fn end_of_line(&mut self) {
        let long = std::mem::take(&mut self.line_bytes) > LINE_BYTES_MAX;
        if long || self.bytes > FRAME_BYTES_MAX {
            self.fault.get_or_insert(if long { "a line is too long" } else { "the frame is too large" });
            self.frame.clear();
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        let line = std::mem::take(&mut self.line);
        if !self.greeted {
            self.greeted = true;
            self.found.push_back(Item::Banner(text(&line)));
            self.start_over();
        } else if line.is_empty() {
            self.end_of_frame();
        } else if self.fault.is_none() {
            self.header(&line);
        }
    }

    fn header(&mut self, line: &[u8]) {
        self.sample_break();
        if self.frame.len() == HEADERS_MAX {
            self.fault = Some("too many headers");
            self.frame.clear();
            return;
        }
        let line = text(line);
        match line.split_once(':') {
            Some((key, value)) if !key.trim().is_empty() => {
                let value = value.strip_prefix(' ').unwrap_or(value);
                self.frame.push((key.trim().to_owned(), value.to_owned()));
            }
            // A value with a line end of its own (a PBX that does not escape): belongs to the line before.
            _ => match self.frame.last_mut() {
                Some((_, value)) => {
                    value.push(' ');
                    value.push_str(&line);
                }
                None => self.fault = Some("the frame begins with a line that is no header"),
            },
        }
    }

    fn end_of_frame(&mut self) {
        let headers = std::mem::take(&mut self.frame);
        let sample = std::mem::take(&mut self.sample);
        if let Some(reason) = self.fault {
            self.found.push_back(Item::Malformed(Malformed { sample, reason: reason.to_owned() }));
        } else if !headers.is_empty() {
            self.found.push_back(Item::Frame(Frame { headers }));
        }
        self.start_over();
    }

    fn sample_break(&mut self) {
        if self.sample.len() < SAMPLE_BYTES_MAX {
            self.sample.push(b'\n');
        }
    }

    fn start_over(&mut self) {
        self.bytes = 0;
        self.fault = None;
        self.frame.clear();
        self.sample.clear();
    }
}

/// The items found so far; `None` until more bytes come, so it is not fused.
impl Iterator for Reader {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        self.found.pop_front()
    }
}

/// UTF-8 where it is, else Latin-1 (what old trunks send as caller names), so that nothing is lost; control characters
/// become U+FFFD, so that an id can be written anywhere.
fn text(bytes: &[u8]) -> String {
    let clean = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().map(clean).collect(),
        Err(_) => bytes.iter().map(|b| clean(char::from(*b))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(bytes: &[u8]) -> Vec<Item> {
        let mut reader = Reader::greeted();
        reader.push(bytes);
        std::iter::from_fn(|| reader.next()).collect()
    }

    fn frames(bytes: &[u8]) -> Vec<Frame> {
        items(bytes).into_iter().filter_map(|i| if let Item::Frame(f) = i { Some(f) } else { None }).collect()
    }

    #[test]
    fn the_banner_comes_before_the_first_frame() {
        let mut reader = Reader::new();
        reader.push(b"Asterisk Call Manager/11.0.0\r\nResponse: Success\r\n\r\n");
        assert_eq!(reader.next(), Some(Item::Banner("Asterisk Call Manager/11.0.0".into())));
        assert!(matches!(reader.next(), Some(Item::Frame(f)) if f.response() == Some("Success")));
        assert_eq!(reader.next(), None);
    }

    #[test]
    fn an_originate_response_is_an_event() {
        let frame = &frames(b"Event: OriginateResponse\r\nResponse: Failure\r\nActionID: 7\r\n\r\n")[0];
        assert_eq!(frame.event(), Some("OriginateResponse"));
        assert_eq!(frame.response(), None);
    }

    #[test]
    fn any_cut_of_the_bytes_gives_the_same_items() {
        let bytes =
            b"Event: A\r\nX: 1\r\n\r\nEvent: B\nX:2\n\n\r\n: bad\r\nmore\r\n\r\nEvent: C\r\nName: M\xfcller\r\n\r\n";
        let whole = items(bytes);
        assert_eq!(whole.len(), 4);
        for step in 1..bytes.len() {
            let mut reader = Reader::greeted();
            bytes.chunks(step).for_each(|chunk| reader.push(chunk));
            assert_eq!(std::iter::from_fn(|| reader.next()).collect::<Vec<_>>(), whole, "step {step}");
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_read_as_latin_1_and_controls_are_marked() {
        let frame = &frames(b"A: M\xfcller\r\nB: x\x00y\r\nC: M\xc3\xbcller\r\n\r\n")[0];
        assert_eq!(frame.get("a"), Some("Müller"));
        assert_eq!(frame.get("B"), Some("x\u{fffd}y"));
        assert_eq!(frame.get("C"), Some("Müller"));
    }

    #[test]
    fn a_frame_beyond_its_bounds_is_skipped_to_its_end_and_the_next_one_is_read() {
        let long =
            [b"Event: A\r\nX: ".as_slice(), &[b'x'; LINE_BYTES_MAX + 1], b"\r\nY: 1\r\n\r\nEvent: B\r\n\r\n"].concat();
        let many = [b"H: 1\r\n".repeat(HEADERS_MAX + 1), b"\r\nEvent: B\r\n\r\n".to_vec()].concat();
        let large =
            [format!("H: {}\r\n", "x".repeat(8000)).repeat(20).into_bytes(), b"\r\nEvent: B\r\n\r\n".to_vec()].concat();
        for (bytes, reason) in [(long, "line"), (many, "headers"), (large, "large")] {
            for step in [1, 1000, bytes.len()] {
                let mut reader = Reader::greeted();
                bytes.chunks(step).for_each(|chunk| reader.push(chunk));
                assert!(
                    matches!(reader.next(), Some(Item::Malformed(m)) if m.reason.contains(reason)),
                    "{reason} {step}"
                );
                assert!(matches!(reader.next(), Some(Item::Frame(f)) if f.event() == Some("B")), "{reason} {step}");
            }
        }
    }

    #[test]
    fn a_timestamp_keeps_its_microseconds() {
        let stamp = |text: &str| Frame::of([("Timestamp", text)]).timestamp_us();
        assert_eq!(stamp("1795227084.133652"), Some(1_795_227_084_133_652));
        assert_eq!(stamp("1795227084.1"), Some(1_795_227_084_100_000));
        for bad in ["", "soon", "1.", "1.x", "99999999999999999999.1", "-5.1"] {
            assert_eq!(stamp(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_too_long_is_judged_alike_however_it_was_cut() {
        let lines = "H: 1\r\n".repeat(HEADERS_MAX - 1) + &format!("X: {}\r\n", "x".repeat(FRAME_BYTES_MAX));
        let bytes = [lines.as_bytes(), b"\r\nEvent: B\r\n\r\n"].concat();
        let whole = items(&bytes);
        for step in [1, 7, 1000, LINE_BYTES_MAX, FRAME_BYTES_MAX] {
            let mut reader = Reader::greeted();
            bytes.chunks(step).for_each(|chunk| reader.push(chunk));
            assert_eq!(std::iter::from_fn(|| reader.next()).collect::<Vec<_>>(), whole, "step {step}");
        }
    }

    #[test]
    fn a_frame_or_a_line_that_never_ends_is_held_in_bounded_memory() {
        for piece in ["x", "H: 1\r\n", "\r", "a:\n", ": x\n", "\0"] {
            let mut reader = Reader::greeted();
            let chunk = piece.repeat(64 * 1024 / piece.len());
            for _ in 0..300 {
                reader.push(chunk.as_bytes());
            }
            assert!(reader.held() < 3 * FRAME_BYTES_MAX && reader.waiting() == 0, "{piece:?}: {}", reader.held());
            reader.push(b"\r\n\r\nEvent: B\r\n\r\n");
            let last = std::iter::from_fn(|| reader.next()).last();
            assert!(matches!(last, Some(Item::Frame(f)) if f.event() == Some("B")), "{piece:?}");
        }
    }

    #[test]
    fn a_session_cut_at_any_byte_holds_nothing_back_and_invents_nothing() {
        let bytes = b"Event: A\r\nX: 1\r\n\r\nEvent: B\r\nY: \xff\x00\r\n\r\n";
        let whole = items(bytes);
        for cut in 0..bytes.len() {
            let some = items(&bytes[..cut]);
            assert!(whole.starts_with(&some), "{cut}");
        }
    }
}
