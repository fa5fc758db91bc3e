//! What a device (extension) does.

use serde::{Deserialize, Serialize};

/// The state of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing.
    Idle,
    /// Rings.
    Ringing,
    /// In a call.
    InUse,
    /// Holds a call.
    Held,
    /// Cannot be reached.
    Unavailable,
}

/// The device can be reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// Where, in the vendor's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// The device can no longer be reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unregistered {
    /// Why, in the vendor's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The device's state is now this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateChanged {
    /// The state from now on.
    pub state: State,
}
