//! What can stop a fold.

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can stop a fold.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The journal failed.
    #[error("the journal failed")]
    Journal(#[from] journal::Error),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// The store was folded by other rules than this version's.
    #[error("the store was folded as {found}, and this version folds as {wanted}: run `tidegate rebuild`")]
    Rules {
        /// What the store says.
        found: String,
        /// What this version would write.
        wanted: String,
    },
    /// A rebuild goes into an empty store only.
    #[error("the store to rebuild into is not empty: {0} was folded into it already")]
    NotEmpty(store::Part),
    /// A stored state cannot be read.
    #[error("the stored state of {kind} {id:?} cannot be read: {reason}")]
    State {
        /// `agent`, `device`, `queue` or `source`.
        kind: &'static str,
        /// Which.
        id: String,
        /// What does not fit.
        reason: String,
    },
    /// A task of ours could not be started, or died.
    #[error("a task of the fold is gone: {0}")]
    Task(String),
}

impl Error {
    /// Whether trying again, with a pause, can help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Journal(error) => error.class() == journal::Class::Transient,
            Self::Store(error) => error.class() == store::Class::Transient,
            _ => false,
        }
    }

    /// Whether somebody else has the partitions now.
    pub fn is_fenced(&self) -> bool {
        matches!(
            self,
            Self::Journal(journal::Error::Fenced { .. })
                // A store that has gone back is no longer what our memory was saved to: it is taken again, from what is there.
                | Self::Store(store::Error::Fenced { .. } | store::Error::Undone { .. })
        )
    }
}

impl From<Error> for service::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Task(_) => service::Error::bug(error.to_string()),
            Error::Rules { .. } | Error::NotEmpty(_) => service::Error::dependency("TG0112", error.to_string()),
            Error::Store(store::Error::Foreign { .. }) => {
                service::Error::dependency("TG0112", "the store cannot be folded on").caused_by(error)
            }
            _ => service::Error::dependency("TG0113", "the fold cannot go on").caused_by(error),
        }
    }
}
