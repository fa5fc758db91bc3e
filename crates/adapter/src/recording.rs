//! What adapters of recordings share: opening a file, packed or not.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::Fault;

/// Opens a recorded file for reading; one that ends in `.gz` is unpacked on the way.
///
/// # Errors
/// [`Fault::Refused`] with the path: the operator must name another.
pub fn open(path: &Path) -> Result<Box<dyn BufRead + Send>, Fault> {
    let file = File::open(path).map_err(|e| refused(path, &e))?;
    let file = BufReader::with_capacity(1 << 16, file);
    let packed = path.extension().is_some_and(|e| e == "gz");
    Ok(if packed {
        Box::new(BufReader::with_capacity(1 << 16, flate2::read::MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    })
}

/// Reads a whole recording on a thread of its own, so that nobody else waits for the disk.
///
/// # Errors
/// Those of `read`.
#[expect(clippy::disallowed_methods, reason = "it is awaited right here: it has an owner, and ends with it")]
pub async fn whole<T: Send + 'static>(read: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(read).await.map_err(|e| Fault::Bug(e.to_string()))?
}

/// What is wrong with a recorded file, with its path.
pub fn refused(path: &Path, what: &dyn std::fmt::Display) -> Fault {
    Fault::Refused(format!("{}: {what}", path.display()))
}
