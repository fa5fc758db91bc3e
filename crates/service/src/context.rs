//! What a component is given to live with.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::{Clock, Drain, Health, Seeds, Tasks};

/// Tasks a component may run at once, unless it makes groups with limits of their own.
const TASKS_MAX: usize = 1_024;

/// The world of one component. A cheap handle; every component of a process has its own.
#[derive(Clone, Debug)]
pub struct Context {
    /// The component's name.
    pub component: &'static str,
    /// The process's instance name, unique among processes of the same kind: `collector-1`.
    pub instance: String,
    /// The time.
    pub clock: Clock,
    /// Randomness; already the component's own child.
    pub seeds: Seeds,
    /// Its tasks; a fault in one ends the component.
    pub tasks: Tasks,
    /// Its health.
    pub health: Health,
    /// Asks it to finish.
    pub drain: Drain,
    /// How long finishing may take.
    pub drain_deadline: Duration,
    pub(crate) shared: Shared,
}

impl Context {
    /// A component's context. Hosts make them; so do tests and tools that run a component by hand.
    pub fn new(component: &'static str, instance: &str, clock: Clock, seeds: &Seeds) -> Self {
        let drain = Drain::new();
        Context {
            component,
            instance: instance.to_owned(),
            seeds: seeds.child(component),
            tasks: Tasks::new(component, TASKS_MAX, clock.clone(), drain.child()),
            health: Health::new(component, instance, clock.clone()),
            clock,
            drain,
            drain_deadline: Duration::from_secs(20),
            shared: Shared::default(),
        }
    }

    /// What the process provides to all its components (an open journal, say): the component uses it instead of opening
    /// its own. `None` in a process that provides no `T`.
    pub fn shared<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.shared.get()
    }

    /// The same context with one more thing provided.
    #[must_use]
    pub fn with_shared<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.shared.put(value);
        self
    }
}

/// Things by type.
#[derive(Clone, Default)]
pub(crate) struct Shared(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Shared {
    pub(crate) fn put<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Arc::new(value));
    }

    fn get<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref::<T>().cloned()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_provides_is_found_by_its_type() {
        let context = Context::new("test", "test-1", Clock::manual(0), &Seeds::fixed(1)).with_shared(Arc::new(7_u32));
        assert_eq!(context.shared::<Arc<u32>>().as_deref(), Some(&7));
        assert!(context.shared::<String>().is_none());
    }
}
