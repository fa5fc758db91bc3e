//! The kinds of vendors that there are: typed for the author, erased for the runtime, bridged once, here.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use async_trait::async_trait;
use serde_json::Value;
use service::config::Problems;

use crate::contract::{Adapter, Batch, Context, Known, Session};
use crate::fault::Fault;

/// A kind of vendor, as the runtime sees it.
pub trait Kind: Send + Sync {
    /// The word in config.
    fn name(&self) -> &'static str;
    /// The JSON schema of its config.
    fn schema(&self) -> schemars::Schema;
    /// Checks a config; every problem with its path below the adapter's table.
    fn plan(&self, config: &Value) -> Result<Box<dyn Planned>, Problems>;
}

/// A checked config of some kind.
#[async_trait]
pub trait Planned: Send + Sync {
    /// See [`Adapter::recording`].
    fn recording(&self) -> bool;
    /// See [`Adapter::paired`].
    fn paired(&self) -> bool {
        false
    }
    /// Connects.
    async fn connect(&self, context: Context) -> Result<Box<dyn Live>, Fault>;
}

/// A session of some kind.
#[async_trait]
pub trait Live: Send {
    /// See [`Session::next`].
    async fn next(&mut self, max: usize) -> Result<Batch, Fault>;
    /// See [`Session::acked`].
    async fn acked(&mut self) -> Result<(), Fault>;
    /// See [`Session::learn`].
    fn learn(&mut self, known: &Known) -> bool {
        let _ = known;
        false
    }
    /// See [`Session::close`].
    async fn close(self: Box<Self>) -> Result<(), Fault>;
}

/// The bridge from an author's [`Adapter`] to the runtime's [`Kind`].
struct Typed<A>(PhantomData<fn() -> A>);

struct TypedPlan<A: Adapter>(A::Plan);

impl<A: Adapter> Kind for Typed<A> {
    fn name(&self) -> &'static str {
        A::KIND
    }

    fn schema(&self) -> schemars::Schema {
        schemars::schema_for!(A::Config)
    }

    fn plan(&self, config: &Value) -> Result<Box<dyn Planned>, Problems> {
        let config = service::config::table::<A::Config>(config).accept()?;
        Ok(Box::new(TypedPlan::<A>(A::plan(config)?)))
    }
}

#[async_trait]
impl<A: Adapter> Planned for TypedPlan<A> {
    fn recording(&self) -> bool {
        A::recording(&self.0)
    }

    fn paired(&self) -> bool {
        A::paired(&self.0)
    }

    async fn connect(&self, context: Context) -> Result<Box<dyn Live>, Fault> {
        Ok(Box::new(A::connect(&self.0, context).await?))
    }
}

#[async_trait]
impl<S: Session> Live for S {
    async fn next(&mut self, max: usize) -> Result<Batch, Fault> {
        Session::next(self, max).await
    }

    async fn acked(&mut self) -> Result<(), Fault> {
        Session::acked(self).await
    }

    fn learn(&mut self, known: &Known) -> bool {
        Session::learn(self, known)
    }

    async fn close(self: Box<Self>) -> Result<(), Fault> {
        Session::close(*self).await
    }
}

/// Every kind that this program can run. Built in one place, explicitly.
#[derive(Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Box<dyn Kind>>,
}

impl Registry {
    /// Adds a kind. Adding a name twice is a mistake of ours and panics at start.
    #[must_use]
    pub fn with<A: Adapter>(mut self) -> Registry {
        let twice = self.kinds.insert(A::KIND, Box::new(Typed::<A>(PhantomData))).is_some();
        assert!(!twice, "two adapters are called {}", A::KIND);
        self
    }

    /// The kind of this name, or a message that lists what there is.
    pub fn kind(&self, name: &str) -> Result<&dyn Kind, String> {
        self.kinds.get(name).map(AsRef::as_ref).ok_or_else(|| {
            let known: Vec<_> = self.kinds.keys().copied().collect();
            format!("there is no adapter {name:?}; write one of: {}", known.join(", "))
        })
    }

    /// Every kind, by name.
    pub fn kinds(&self) -> impl Iterator<Item = &dyn Kind> {
        self.kinds.values().map(AsRef::as_ref)
    }
}
