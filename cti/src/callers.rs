//! Who calls: a token of their number, and whether the business protects them. Numbers in the clear go no further than here.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use model::{Number, NumberKey};

use crate::callbacks::seal::Sealer;

/// The numbers that mean something, sealed under the key of the day.
#[derive(Debug)]
struct Sealed {
    key: NumberKey,
    sealer: Sealer,
    vip: HashSet<String>,
}

/// Knows callers by their tokens.
#[derive(Debug)]
pub(crate) struct Callers {
    sealed: RwLock<Arc<Sealed>>,
    vip: Vec<String>,
    emergency: HashSet<String>,
    /// Whether the key is that of all gates, and not one of this process alone.
    lasting: AtomicBool,
}

/// A number that can be dialled again, by whoever holds the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Promised {
    /// Who it is.
    pub(crate) token: String,
    /// What people may see of it.
    pub(crate) mask: String,
    /// The number, sealed.
    pub(crate) text: String,
}

/// A caller, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The token of their number; absent when they hide it.
    pub(crate) token: Option<String>,
    /// Whether the business protects them.
    pub(crate) vip: bool,
    /// Whether they dialled an emergency's number.
    pub(crate) emergency: bool,
}

impl Callers {
    /// Callers under `key` (`lasting`: the one that all gates have): numbers of the protected, in the clear or as tokens, and dialled numbers of emergencies.
    pub(crate) fn new(key: Vec<u8>, lasting: bool, vip: &[String], emergency: &[String]) -> Callers {
        let emergency = emergency.iter().map(|number| canonical(number)).collect();
        let sealed = RwLock::new(Arc::new(sealed(key, vip)));
        Callers { sealed, vip: vip.to_vec(), emergency, lasting: AtomicBool::new(lasting) }
    }

    /// From now on tokens are made under another key.
    pub(crate) fn take_key(&self, key: Vec<u8>) {
        let new = Arc::new(sealed(key, &self.vip));
        *self.sealed.write().unwrap_or_else(PoisonError::into_inner) = new;
        self.lasting.store(true, Ordering::Relaxed);
    }

    /// A number sealed for a promise. `None` as long as the key is not that of the day: nobody could open it later.
    pub(crate) fn sealed_for(&self, number: &str, promise: &str) -> Option<Promised> {
        let sealed = self.sealed();
        if !self.lasting.load(Ordering::Relaxed) || !number.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let known = Number::plain(number).sealed(&sealed.key);
        let text = sealed.sealer.seal(number, promise)?;
        Some(Promised { token: known.token?, mask: known.mask?, text })
    }

    /// The number of a promise in the clear, for the moment of dialling.
    pub(crate) fn opened(&self, sealed: &str, promise: &str) -> Option<String> {
        self.sealed().sealer.open(sealed, promise)
    }

    /// What people may see of a number.
    pub(crate) fn mask(&self, number: &str) -> Option<String> {
        Number::plain(number).sealed(&self.sealed().key).mask
    }

    fn sealed(&self) -> Arc<Sealed> {
        Arc::clone(&self.sealed.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who calls.
    pub(crate) fn know(&self, caller: Option<&str>, dialled: Option<&str>) -> Known {
        let sealed = self.sealed();
        // what has no digit ("anonymous", "restricted") is nobody's number
        let number = caller.filter(|number| number.bytes().any(|byte| byte.is_ascii_digit()));
        let token = number.map(|number| sealed.key.token(number));
        let vip = token.as_ref().is_some_and(|token| sealed.vip.contains(token));
        let emergency =
            !self.emergency.is_empty() && dialled.is_some_and(|number| self.emergency.contains(&canonical(number)));
        Known { token, vip, emergency }
    }
}

fn sealed(secret: Vec<u8>, vip: &[String]) -> Sealed {
    let key = NumberKey::new(&secret);
    // what looks like a token is one; else it is a number in the clear
    let token = |entry: &String| match entry.len() == 24 && entry.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => entry.to_ascii_lowercase(),
        false => key.token(entry),
    };
    let vip = vip.iter().map(token).collect();
    let sealer = Sealer::new(&secret);
    Sealed { key, sealer, vip }
}

fn canonical(number: &str) -> String {
    number.chars().filter(|letter| !matches!(letter, ' ' | '-' | '(' | ')' | '.' | '/')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protected_are_known_by_number_and_by_token_and_after_the_key_changed() {
        let token = NumberKey::new("b").token("4930777");
        let callers =
            Callers::new(b"a".to_vec(), false, &["+49 30 555".to_owned(), token.clone()], &["1-10".to_owned()]);
        assert!(callers.know(Some("+49-30-555"), None).vip);
        assert!(!callers.know(Some("4930777"), None).vip, "that token is of another key");
        assert_eq!(callers.sealed_for("4930777", "p"), None, "a key of this process alone");
        callers.take_key(b"b".to_vec());
        let promised = callers.sealed_for("4930777", "p").unwrap();
        assert_eq!(callers.opened(&promised.text, "p").as_deref(), Some("4930777"));
        assert_eq!(callers.sealed_for("anonymous", "p"), None);
        assert_eq!(
            callers.know(Some("4930777"), Some("110")),
            Known { token: Some(token), vip: true, emergency: true }
        );
        assert!(callers.know(Some("+4930555"), None).vip);
        for hidden in [None, Some(""), Some("anonymous"), Some("unknown")] {
            assert_eq!(callers.know(hidden, Some("5001")), Known { token: None, vip: false, emergency: false });
        }
    }
}
