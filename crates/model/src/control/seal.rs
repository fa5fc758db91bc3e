//! The seal of the audit: what all records of `control` so far add up to.

use serde::{Deserialize, Serialize};

/// All records of `control` before this one, as one hash.
///
/// The hash of no record is 32 zero bytes; that of record n is SHA-256 over the hash before it, its offset (8 bytes, big endian), the
/// length of its key (8 bytes, big endian), its key, and its value. Seals are records too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditSealed {
    /// The seal is of all records with a smaller offset.
    pub until: u64,
    /// The hash of the last of them, 64 hexadecimal digits.
    pub hash: String,
}
