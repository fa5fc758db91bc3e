//! A phone number, in the clear only between the adapter and the receiver.

use std::fmt;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// A phone number. Adapters give `digits`; the receiver replaces them by a `token` (the same number gives the same
/// token within a tenant) and a `mask` for people. Streams after the receiver never hold `digits`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Number {
    /// The number in the clear, as the vendor wrote it. Absent after the receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<String>,
    /// A keyed hash: equal for equal numbers of one tenant, useless without the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What people see: `493***01`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
}

impl Number {
    /// A number as the vendor wrote it.
    pub fn plain(digits: impl Into<String>) -> Number {
        Number { digits: Some(digits.into()), ..Number::default() }
    }

    /// The same number without its digits: HMAC-SHA256 under `key`, cut to 96 bits, and a mask. A token and a mask that came
    /// with it are believed only if they can be such: nobody may call a number in the clear its mask.
    #[must_use]
    pub fn sealed(&self, key: &NumberKey) -> Number {
        let Some(digits) = &self.digits else {
            let token = self.token.as_ref().map(|t| if is_token(t) { t.clone() } else { key.of_canonical(t) });
            let mask = self.mask.as_ref().map(|m| if is_mask(m) { m.clone() } else { mask(m) });
            return Number { digits: None, token, mask };
        };
        let canonical = canonical(digits);
        Number { digits: None, token: Some(key.of_canonical(&canonical)), mask: Some(mask(&canonical)) }
    }

    /// What may be shown: the mask, else nothing of the digits but their length.
    pub fn shown(&self) -> String {
        self.mask.clone().unwrap_or_else(|| mask(self.digits.as_deref().unwrap_or_default()))
    }
}

/// The key of all tokens, made ready once: half of a token's cost is the key's own.
#[derive(Clone)]
pub struct NumberKey(Hmac<Sha256>);

impl NumberKey {
    /// Of any bytes.
    pub fn new(key: impl AsRef<[u8]>) -> NumberKey {
        NumberKey(<Hmac<Sha256> as Mac>::new_from_slice(key.as_ref()).expect("HMAC takes a key of any length"))
    }

    /// The token of a number in the clear, as [`Number::sealed`] makes it.
    pub fn token(&self, digits: &str) -> String {
        self.of_canonical(&canonical(digits))
    }

    fn of_canonical(&self, text: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(text.as_bytes());
        hex::encode(&mac.finalize().into_bytes()[..TOKEN_BYTES])
    }
}

impl fmt::Debug for NumberKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NumberKey")
    }
}

/// A number without the marks that people put between its digits.
fn canonical(digits: &str) -> String {
    digits.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.' | '/')).collect()
}

/// 96 bits.
const TOKEN_BYTES: usize = 12;

fn is_token(text: &str) -> bool {
    text.len() == 2 * TOKEN_BYTES && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_mask(text: &str) -> bool {
    text.contains("***") && text.chars().count() <= 8
}

/// Keeps at most three leading and two trailing characters, and never more than half.
fn mask(number: &str) -> String {
    let chars: Vec<char> = number.chars().collect();
    let keep = chars.len() / 2;
    let tail = keep.min(2);
    let head = (keep - tail).min(3);
    let mut out: String = chars[..head].iter().collect();
    out.push_str("***");
    out.extend(&chars[chars.len() - tail..]);
    out
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Number({})", self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_number_shows_no_digits_and_equal_numbers_stay_equal() {
        let key = NumberKey::new("key");
        let a = Number::plain("+49 30 5551001").sealed(&key);
        let b = Number::plain("+49-30-555-1001").sealed(&key);
        assert_eq!(a, b);
        assert_eq!(a.token, Some(key.token("+49(30) 555/1001")));
        assert_eq!(a.mask.as_deref(), Some("+49***01"));
        assert!(!serde_json::to_string(&a).unwrap().contains("555"));
        assert_ne!(a, Number::plain("+49 30 5551001").sealed(&NumberKey::new("other key")));
    }

    #[test]
    fn a_number_in_the_clear_is_not_taken_for_a_token_or_a_mask() {
        let said = Number { digits: None, token: Some("13800138000".into()), mask: Some("13800138000".into()) };
        let sealed = said.sealed(&NumberKey::new("key"));
        assert!(!serde_json::to_string(&sealed).unwrap().contains("13800138"), "{sealed:?}");
        assert_eq!(sealed.sealed(&NumberKey::new("another key")), sealed, "what is sealed stays as it is");
    }

    #[test]
    fn a_short_number_is_not_given_away_by_its_mask() {
        for (number, want) in [("", "***"), ("1", "***"), ("12", "***2"), ("5001", "***01")] {
            assert_eq!(Number::plain(number).sealed(&NumberKey::new("k")).mask.unwrap(), want);
        }
        assert!(!format!("{:?}", Number::plain("13800138000")).contains("0013"));
    }
}
