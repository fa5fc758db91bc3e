//! A cursor over JSON in the one form that we write ourselves: no white space, keys in our order, no escapes. It reads a little more
//! than that and gives up on everything else, which is then read by the general parser.

use std::sync::Arc;

use crate::text::{Role, Texts};
use crate::time::Time;

/// Not in our own form: ask the general parser.
#[derive(Debug)]
pub(super) struct Odd;

pub(super) type Read<T> = Result<T, Odd>;

/// A place in a text.
pub(super) struct Cursor<'a, 't> {
    text: &'a str,
    at: usize,
    /// What must stand before the next key: the brace before the first, a comma before the others.
    before_key: u8,
    texts: &'t mut Texts,
}

impl<'a, 't> Cursor<'a, 't> {
    pub(super) fn new(text: &'a str, texts: &'t mut Texts) -> Self {
        Cursor { text, at: 0, before_key: b'{', texts }
    }

    /// Whether the next key is this one; then its value is next. `key` with its quotes and colon. Inlined, because the key is known
    /// where it is asked for: a comparison of so many bytes is then one of a few words.
    #[inline(always)]
    pub(super) fn key(&mut self, key: &str) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        let found = rest.first() == Some(&self.before_key) && rest[1..].starts_with(key.as_bytes());
        if found {
            self.at += 1 + key.len();
            self.before_key = b',';
        }
        found
    }

    /// The next key must be this one.
    #[inline(always)]
    pub(super) fn must(&mut self, key: &str) -> Read<&mut Self> {
        if self.key(key) { Ok(self) } else { Err(Odd) }
    }

    /// The text ends here with the braces of the object read and of the one around it.
    pub(super) fn end(&mut self) -> Read<()> {
        self.close()?;
        if &self.text.as_bytes()[self.at..] == b"}" { Ok(()) } else { Err(Odd) }
    }

    /// The object that is read ends here.
    pub(super) fn close(&mut self) -> Read<()> {
        if self.before_key == b'{' {
            self.byte(b'{')?; // there was no key
        }
        self.byte(b'}')?;
        self.before_key = b',';
        Ok(())
    }

    /// An object begins here; its keys are next.
    pub(super) fn open(&mut self) {
        self.before_key = b'{';
    }

    fn byte(&mut self, byte: u8) -> Read<()> {
        let found = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(found);
        if found { Ok(()) } else { Err(Odd) }
    }

    /// What follows, to the last byte but one.
    pub(super) fn rest_but_brace(&self) -> Read<&'a str> {
        self.text[self.at..].strip_suffix('}').ok_or(Odd)
    }

    /// A text without escapes.
    pub(super) fn text(&mut self) -> Read<&'a str> {
        self.byte(b'"')?;
        let rest = &self.text.as_bytes()[self.at..];
        let len = plain(rest);
        if rest.get(len) != Some(&b'"') {
            return Err(Odd);
        }
        let text = self.text.get(self.at..self.at + len).ok_or(Odd)?;
        self.at += len + 1;
        Ok(text)
    }

    /// A text that is shared with those who had it before.
    pub(super) fn shared(&mut self) -> Read<Arc<str>> {
        let text = self.text()?;
        Ok(self.texts.share(text))
    }

    /// The text of a tenant, mostly that of the event before.
    pub(super) fn text_again(&mut self, role: Role) -> Read<Arc<str>> {
        let text = self.text()?;
        Ok(self.texts.share_again(role, text))
    }

    pub(super) fn share_again(&mut self, role: Role, text: &str) -> Arc<str> {
        self.texts.share_again(role, text)
    }

    pub(super) fn share(&mut self, text: &str) -> Arc<str> {
        self.texts.share(text)
    }

    /// A time in the form that we write.
    pub(super) fn time(&mut self) -> Read<Time> {
        let text = self.text()?;
        self.texts.minute.read(text.as_bytes()).ok_or(Odd)
    }

    /// A whole number without a sign.
    pub(super) fn number(&mut self) -> Read<u64> {
        let rest = &self.text.as_bytes()[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let n = digits_of(&rest[..digits])?;
        self.at += digits;
        Ok(n)
    }

    /// A whole number.
    pub(super) fn signed(&mut self) -> Read<i64> {
        let minus = self.byte(b'-').is_ok();
        let n = i64::try_from(self.number()?).map_err(|_| Odd)?;
        if minus && n == 0 { Err(Odd) } else { Ok(if minus { -n } else { n }) }
    }
}

/// The number that these digits say; none begins with a zero but zero itself.
pub(super) fn digits_of(digits: &[u8]) -> Read<u64> {
    if digits.is_empty() || digits.len() > 19 || digits[0] == b'0' && digits.len() > 1 {
        return Err(Odd);
    }
    // 19 digits fit
    digits
        .iter()
        .try_fold(0, |n: u64, byte| if byte.is_ascii_digit() { Ok(n * 10 + u64::from(byte - b'0')) } else { Err(Odd) })
}

/// How many bytes come before the first quote, backslash or control character, eight at a time (the classic zero-byte trick: the
/// lowest mark is exact).
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let mut at = 0;
    for chunk in bytes.chunks_exact(8) {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes);
        let zero_of = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let marks = zero_of(word ^ (ONES * 0x22)) | zero_of(word ^ (ONES * 0x5c)) | control;
        if marks != 0 {
            return at + marks.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let special = |byte: &u8| matches!(*byte, b'"' | b'\\' | 0..0x20);
    at + bytes[at..].iter().position(special).unwrap_or(bytes.len() - at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_plain_part_ends_at_the_first_special_byte(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let want = bytes.iter().position(|b| matches!(*b, b'"' | b'\\' | 0..0x20)).unwrap_or(bytes.len());
            prop_assert_eq!(plain(&bytes), want);
        }

        #[test]
        fn whole_numbers_are_read_as_json_reads_them(n in any::<i64>()) {
            let (text, mut texts) = (n.to_string(), Texts::forgetful());
            match Cursor::new(&text, &mut texts).signed() {
                Ok(read) => prop_assert_eq!(read, n),
                Err(Odd) => prop_assert_eq!(n, i64::MIN),
            }
        }
    }
}
