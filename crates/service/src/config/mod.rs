//! Typed configuration: TOML, default < file < environment < flag, every problem reported at once.
//!
//! One tree for the platform: a top-level table per component and `[process]` for what every process has. The same file
//! serves `tidegate up` and each thin binary. `TIDEGATE_COLLECTOR__JOURNAL__PATH=x` and `--set collector.journal.path=x`
//! set the key `collector.journal.path`.
//!
//! Invariant: a configuration with a problem starts nothing, and every problem it has is told in one go, with its dotted
//! path, the value, where it came from and the fix.
//! Invariant: a secret is never printed: [`Secret`] is a reference, and even a literal is shown as `plain:***`.

mod layers;
mod nearest;
mod print;
mod problem;
mod reference;
mod secret;
mod tree;
mod typed;
mod units;

pub use layers::{Layers, Origin, SECTIONS, Sources};
pub use print::print;
pub use problem::{Problem, Problems};
pub use reference::{reference, schema, schema_of};
pub use secret::{Secret, SecretError};
pub use typed::{Loaded, table};
pub use units::{Millis, Size};

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A configuration: give it `#[serde(default, deny_unknown_fields)]` (on every nested struct too), a doc comment on each
/// field (it becomes the reference), no `flatten`, no internally tagged enums (they lose the path of an error).
pub trait ConfigFile:
    Default + Clone + std::fmt::Debug + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static
{
    /// Adds everything that is wrong with the values: ranges, contradictions. Called on a well-typed value; nested
    /// configurations are checked by `problems.within("field", |problems| self.field.check(problems))`.
    fn check(&self, problems: &mut Problems) {
        let _ = problems;
    }
}
