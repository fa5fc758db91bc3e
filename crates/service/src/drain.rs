//! Being asked to stop: finish what was begun, take nothing new.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Tells a component and its tasks to finish. A cheap handle; children are asked with their parent, not the reverse.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    token: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl Drain {
    /// Not yet asked.
    pub fn new() -> Self {
        Drain::default()
    }

    /// Asks everybody who holds this drain, or a child of it, to finish. The first reason is kept.
    pub fn start(&self, reason: impl Into<String>) {
        let _ = self.reason.set(reason.into());
        self.token.cancel();
    }

    /// Resolves when asked to finish; at once if that was before.
    pub async fn started(&self) {
        self.token.cancelled().await;
    }

    /// True when asked to finish.
    pub fn is_started(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Why, when it was asked for here (a child asked through its parent does not know).
    pub fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// A drain that starts with this one, or alone.
    pub fn child(&self) -> Drain {
        Drain { token: self.token.child_token(), reason: Arc::new(OnceLock::new()) }
    }

    /// The same as a token, for libraries that want one.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_is_asked_with_its_parent_but_not_the_reverse() {
        let parent = Drain::new();
        let (one, two) = (parent.child(), parent.child());
        one.start("only me");
        assert!(!parent.is_started() && !two.is_started());
        parent.start("signal");
        two.started().await;
        assert_eq!((parent.reason(), one.reason()), (Some("signal"), Some("only me")));
    }
}
