//! What can go wrong between us and a vendor, by who must act.

/// A failure of a session, by who must act on it.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The link broke or the vendor is busy: the runtime connects again with backoff.
    #[error("link to the vendor failed: {0}")]
    Transient(String),
    /// The vendor said no (credentials, rights, version): an operator must change something. Tried again, slowly.
    #[error("vendor refused: {0}")]
    Refused(String),
    /// What the vendor sent cannot be read as a whole (a frame beyond its bound, a broken stream): reconnect.
    /// A single message that makes no sense is no fault: count it in [`crate::Batch::malformed`] and go on.
    #[error("vendor sent what cannot be read: {0}")]
    Malformed(String),
    /// Our own mistake.
    #[error("adapter defect: {0}")]
    Bug(String),
}

impl From<std::io::Error> for Fault {
    fn from(e: std::io::Error) -> Fault {
        Fault::Transient(e.to_string())
    }
}
