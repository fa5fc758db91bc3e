//! Texts that come again and again, kept once.

use std::sync::Arc;

use crate::time::Minute;

/// So many texts are remembered; each place keeps the last that fell on it.
const PLACES: usize = 8_192;

/// Gives equal texts the same memory, as far as it remembers them: what a reader of many events sees again (a source, a queue, an
/// agent, a call that is going on) costs it no allocation. Bounded: a text that falls on the place of another takes it.
#[derive(Debug)]
pub(crate) struct Texts {
    places: Vec<Option<Arc<str>>>,
    /// The sources and tenants that were read last: nearly always those that are read next.
    last: [Option<Arc<str>>; 2],
    /// The minute that was read last.
    pub(crate) minute: Minute,
}

impl Texts {
    /// Remembers nothing.
    pub(crate) const fn forgetful() -> Texts {
        Texts { places: Vec::new(), last: [None, None], minute: Minute::NONE }
    }

    /// Remembers the texts of many events.
    pub(crate) fn new() -> Texts {
        Texts { places: vec![None; PLACES], last: [None, None], minute: Minute::NONE }
    }

    /// The text of a source or a tenant, which is mostly the one before.
    pub(crate) fn share_again(&mut self, role: Role, text: &str) -> Arc<str> {
        if let Some(known) = &self.last[role as usize]
            && **known == *text
        {
            return Arc::clone(known);
        }
        let text = self.share(text);
        self.last[role as usize] = Some(Arc::clone(&text));
        text
    }

    /// The text, shared with those who had it before.
    pub(crate) fn share(&mut self, text: &str) -> Arc<str> {
        if self.places.is_empty() {
            return Arc::from(text);
        }
        let place = &mut self.places[hash(text.as_bytes()) as usize % PLACES];
        match place {
            Some(known) if **known == *text => Arc::clone(known),
            _ => {
                let new = Arc::<str>::from(text);
                *place = Some(Arc::clone(&new));
                new
            }
        }
    }
}

/// Whose text is mostly the one before.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    /// The source's.
    Source,
    /// The tenant's.
    Tenant,
}

/// Multiply and rotate (Fibonacci hashing), eight bytes at a time, the last eight overlapping. Only speed depends on it.
fn hash(bytes: &[u8]) -> u64 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut sum = bytes.len() as u64;
    let mut mix = |word: u64| sum = (sum.rotate_left(23) ^ word).wrapping_mul(K);
    if let Some(last) = bytes.last_chunk::<8>() {
        bytes.chunks_exact(8).for_each(|c| mix(c.try_into().map_or(0, u64::from_le_bytes)));
        mix(u64::from_le_bytes(*last));
    } else {
        mix(bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }
    sum >> 48 // a product's high bits hang on every byte; those in the middle say nothing of the last letters, where ids differ
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_their_memory_and_different_ones_never_do() {
        let mut texts = Texts::new();
        let all: Vec<String> = (0..50_000).map(|n| format!("agent-{n}")).collect();
        for text in &all {
            let (one, again) = (texts.share(text), texts.share(text));
            assert!(Arc::ptr_eq(&one, &again) && *one == **text);
        }
        assert!(texts.places.len() == PLACES, "bounded");
        assert!(!Arc::ptr_eq(&Texts::forgetful().share("a"), &Texts::forgetful().share("a")));
    }

    #[test]
    fn the_text_before_is_given_again_and_another_takes_its_place() {
        let mut texts = Texts::new();
        for text in ["pbx1", "pbx1", "pbx2", "pbx1"] {
            let (source, tenant) = (texts.share_again(Role::Source, text), texts.share_again(Role::Tenant, "acme"));
            assert_eq!((&*source, &*tenant), (text, "acme"));
            assert!(Arc::ptr_eq(&source, &texts.share(text)), "{text}: the memory is that of all who read it");
        }
    }

    #[test]
    fn texts_that_are_nearly_alike_fall_on_different_places() {
        // 4,096 texts thrown at random fall on 3,223 of so many places
        for (what, name) in [
            ("calls", (|n| format!("pbx1-1795227084.{n}")) as fn(u32) -> String),
            ("extensions", |n| format!("PJSIP/{n:05}")),
            ("short names", |n| format!("{n:04}")),
            ("names that differ in front", |n| format!("{n:04} of the team of the night")),
        ] {
            let mut texts = Texts::new();
            (0..4_096).for_each(|n| drop(texts.share(&name(n))));
            let places = texts.places.iter().flatten().count();
            assert!(places > 2_800, "{what}: {places}");
        }
    }
}
