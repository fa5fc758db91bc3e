//! What can go wrong with a link, by who must act.

/// Why a link is of no use any more, or an action was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It broke, or the PBX is busy: connect again.
    #[error("the link to the PBX failed: {0}")]
    Transient(String),
    /// The PBX said no (credentials, rights): an operator must change something.
    #[error("the PBX refused: {0}")]
    Refused(String),
    /// What came cannot be read as a whole: connect again.
    #[error("the PBX sent what cannot be read: {0}")]
    Malformed(String),
    /// Our own mistake: an action that cannot be written.
    #[error("a defect of ours: {0}")]
    Bug(String),
}

impl From<std::io::Error> for Fault {
    fn from(e: std::io::Error) -> Fault {
        Fault::Transient(e.to_string())
    }
}
