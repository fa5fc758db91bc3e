//! The contract of a component.

use async_trait::async_trait;

use crate::{ConfigFile, Context, Problems, Result};

/// A part of the platform with a life of its own: plan → build → run → drain.
///
/// The contract (`docs/spec/component.md`; executed by [`crate::conformance`]):
/// - `plan` is pure: no file, no network, no clock, no task. What it accepts can be checked on any machine.
/// - `build` may connect, open and bind, but never spawns. When it fails, what it opened is closed by being dropped.
/// - `run` owns what it spawns (through `context.tasks`) and returns when its work is over or the drain has started and
///   what was begun is finished. It returns within `context.drain_deadline`, or is aborted.
/// - A fault in one of its tasks ends the component; its host then drains the process.
#[async_trait]
pub trait Component: Sized + Send + 'static {
    /// The name: of the binary, of its table in the configuration, in logs, metrics and health.
    const NAME: &'static str;
    /// One line for `--help`.
    const ABOUT: &'static str;
    /// The loopback port of `/livez /readyz /metrics` when this component has a process of its own.
    const OPS_PORT: u16;
    /// What can be configured.
    type Config: ConfigFile;
    /// A validated configuration, ready to be built.
    type Plan: Send + 'static;

    /// Turns a configuration into a plan.
    ///
    /// # Errors
    /// Everything that is wrong with it, paths relative to the component's table.
    fn plan(config: Self::Config) -> std::result::Result<Self::Plan, Problems>;

    /// Opens what the plan needs.
    ///
    /// # Errors
    /// When something it depends on is not there.
    async fn build(plan: Self::Plan, context: &Context) -> Result<Self>;

    /// Works until the drain starts.
    ///
    /// # Errors
    /// When it cannot go on.
    async fn run(self, context: Context) -> Result<()>;
}
