//! How a link logs in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// By challenge and response.
    #[default]
    Md5,
    /// By the secret itself.
    Plain,
}
