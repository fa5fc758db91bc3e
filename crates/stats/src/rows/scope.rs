//! Whose rows: short hands for things, and for several things at once.

use std::sync::Arc;

use model::{SourceId, TenantId, Time};

use super::Map;
use crate::key::{Dim, RowKey};

/// Whose row, without its time: a short hand that one [`super::Rows`] gave out, and that means something only there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// What kind of thing; of several things, the kind of the first.
    pub dim: Dim,
    pub(super) slot: u32,
}

/// What a scope stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Whose {
    tenant: TenantId,
    source: SourceId,
    dim: Dim,
    id: Arc<str>,
}

impl Whose {
    /// Whether these are the very same texts, wherever they came from: a quick yes, and a no that means nothing.
    fn is_same(&self, tenant: &TenantId, source: &SourceId, dim: Dim, id: &Arc<str>) -> bool {
        self.dim == dim
            && Arc::ptr_eq(&self.id, id)
            && Arc::ptr_eq(&self.tenant.0, &tenant.0)
            && Arc::ptr_eq(&self.source.0, &source.0)
    }
}

#[derive(Clone, Debug)]
enum Slot {
    One(Whose),
    Several(Arc<[Scope]>),
}

/// Beyond so many scopes all are forgotten when the rows are taken.
const SCOPES_MAX: usize = 200_000;

/// So many things are found again without a look at their texts.
const RECENT: usize = 1_024;

/// So many things count together at most.
pub(super) const SEVERAL_MAX: usize = 4;

/// Everything that scopes stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Scopes {
    slots: Vec<Slot>,
    one: Map<Whose, u32>,
    several: Map<[u32; SEVERAL_MAX], u32>,
    /// By address; only speed depends on it. Each holds its texts, so no address can come to mean another text.
    recent: Vec<Option<(Whose, u32)>>,
}

impl Scopes {
    pub(super) fn of(&mut self, tenant: &TenantId, source: &SourceId, dim: Dim, id: &Arc<str>) -> Scope {
        if self.recent.is_empty() {
            self.recent.resize(RECENT, None);
        }
        let address = Arc::as_ptr(id).cast::<u8>() as usize;
        let at = ((address >> 4) ^ (address >> 14) ^ ((dim as usize) << 5)) % RECENT;
        if let Some((whose, slot)) = &self.recent[at]
            && whose.is_same(tenant, source, dim, id)
        {
            return Scope { dim, slot: *slot };
        }
        let whose = Whose { tenant: tenant.clone(), source: source.clone(), dim, id: Arc::clone(id) };
        let slot = match self.one.get(&whose) {
            Some(slot) => *slot,
            None => {
                let slot = self.slots.len() as u32;
                self.slots.push(Slot::One(whose.clone()));
                self.one.insert(whose.clone(), slot);
                slot
            }
        };
        self.recent[at] = Some((whose, slot));
        Scope { dim, slot }
    }

    /// `None` of none.
    pub(super) fn together(&mut self, scopes: &[Scope]) -> Option<Scope> {
        assert!(scopes.len() <= SEVERAL_MAX, "no more than {SEVERAL_MAX} things count together");
        let first = *scopes.first()?;
        if scopes.len() == 1 {
            return Some(first);
        }
        let mut key = [u32::MAX; SEVERAL_MAX];
        for (place, scope) in key.iter_mut().zip(scopes) {
            *place = scope.slot;
        }
        let next = self.slots.len() as u32;
        let slot = *self.several.entry(key).or_insert(next);
        if slot == next {
            self.slots.push(Slot::Several(scopes.into()));
        }
        Some(Scope { dim: first.dim, slot })
    }

    /// The things that a slot stands for, when they are several.
    pub(super) fn parts(&self, slot: u32) -> Option<Arc<[Scope]>> {
        match &self.slots[slot as usize] {
            Slot::One(_) => None,
            Slot::Several(parts) => Some(Arc::clone(parts)),
        }
    }

    pub(super) fn key(&self, slot: u32, start: Time) -> RowKey {
        match &self.slots[slot as usize] {
            Slot::One(w) => {
                let (tenant, source, id) = (w.tenant.clone(), w.source.clone(), w.id.clone());
                RowKey { tenant, source, dim: w.dim, id, start }
            }
            Slot::Several(parts) => self.key(parts[0].slot, start), // its row is shared out, and empty
        }
    }

    pub(super) fn forget_many(&mut self) {
        if self.slots.len() > SCOPES_MAX {
            *self = Scopes::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(scopes: &mut Scopes, id: &Arc<str>) -> Scope {
        scopes.of(&"t".into(), &"s".into(), Dim::Queue, id)
    }

    #[test]
    fn things_are_told_apart_however_many_there_are() {
        let (tenant, source) = (TenantId::new("t"), SourceId::new("s"));
        let ids: Vec<Arc<str>> = (0..5_000).map(|i| Arc::from(format!("q{i}"))).collect();
        let mut scopes = Scopes::default();
        for _ in 0..2 {
            for (i, id) in ids.iter().enumerate() {
                assert_eq!(
                    scopes.of(&tenant, &source, Dim::Queue, id).slot as usize,
                    i,
                    "the same text is the same thing"
                );
            }
        }
        let again = scopes.of(&tenant, &source, Dim::Queue, &Arc::from("q7"));
        let agent = scopes.of(&tenant, &source, Dim::Agent, &ids[7]);
        assert_eq!((again.slot, agent.slot), (7, 5_000), "by its text, wherever it lies; and of its own kind");
    }

    #[test]
    fn scopes_are_forgotten_only_when_there_are_too_many() {
        let mut scopes = Scopes::default();
        scopes.slots.resize(SCOPES_MAX, Slot::Several(Vec::new().into()));
        scopes.forget_many();
        assert_eq!(scopes.slots.len(), SCOPES_MAX);
        scope(&mut scopes, &Arc::from("one more"));
        scopes.forget_many();
        assert_eq!(scopes.slots.len(), 0);
    }
}
