//! Numbers that can be dialled again, and read by nobody else: ChaCha20-Poly1305 under a key that is derived from the key of numbers.
//!
//! Whoever holds that key can find the number of a token by trying all numbers; so a second secret would hide nothing from them. The nonce
//! is made of what is sealed, so that the same promise has the same text wherever it is recorded, and none is ever used for two texts.

use hmac::{Hmac, Mac};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::Sha256;

/// Seals and opens numbers.
pub(crate) struct Sealer {
    key: LessSafeKey,
    nonces: Vec<u8>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

fn derived(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

impl Sealer {
    /// Under the key of numbers.
    pub(crate) fn new(key: &[u8]) -> Sealer {
        let cipher = derived(key, &[b"callback number"]);
        let unbound = UnboundKey::new(&CHACHA20_POLY1305, &cipher).expect("the key has the length of the cipher's");
        Sealer { key: LessSafeKey::new(unbound), nonces: derived(key, &[b"callback nonce"]).to_vec() }
    }

    /// A number for one promise, in hexadecimal digits; `None` for one that is too long to be any.
    pub(crate) fn seal(&self, number: &str, promise: &str) -> Option<String> {
        if number.is_empty() || number.len() > 64 {
            return None;
        }
        let hash = derived(&self.nonces, &[promise.as_bytes(), number.as_bytes()]);
        let nonce: [u8; NONCE_LEN] = hash[..NONCE_LEN].try_into().ok()?;
        let mut text = number.as_bytes().to_vec();
        let aad = Aad::from(promise.as_bytes());
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text).ok()?;
        Some(hex::encode([nonce.as_slice(), &text].concat()))
    }

    /// The number of a promise; `None` when it was sealed under another key, for another promise, or was touched.
    pub(crate) fn open(&self, sealed: &str, promise: &str) -> Option<String> {
        let bytes = hex::decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let number = self.key.open_in_place(nonce, Aad::from(promise.as_bytes()), &mut text).ok()?;
        String::from_utf8(number.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_under_its_key_for_its_promise_and_not_else() {
        let sealer = Sealer::new(b"key");
        let sealed = sealer.seal("+49305551001", "p1").unwrap();
        assert!(!sealed.contains("555") && sealed != sealer.seal("+49305551001", "p2").unwrap());
        assert_eq!(Some(&sealed), Sealer::new(b"key").seal("+49305551001", "p1").as_ref(), "the same on every gate");
        assert_eq!(sealer.open(&sealed, "p1").as_deref(), Some("+49305551001"));
        assert_eq!(sealer.open(&sealed, "p2"), None);
        assert_eq!(Sealer::new(b"other").open(&sealed, "p1"), None);
        let touched = format!("{}0", &sealed[..sealed.len() - 1]);
        assert!(touched == sealed || sealer.open(&touched, "p1").is_none());
        for bad in ["", "00", "zz"] {
            assert_eq!(sealer.open(bad, "p1"), None);
        }
        assert_eq!(sealer.seal(&"1".repeat(65), "p"), None);
    }
}
