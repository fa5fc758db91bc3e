//! A place in a listing of calls as opaque text.

use model::{CallId, Time};
use store::reports::Cursor;

use super::Refused;

/// The text of a place.
pub fn write(cursor: &Cursor) -> String {
    hex::encode(format!("{}/{}", cursor.offered_at.ms(), cursor.id))
}

/// Reads what [`fn@write`] wrote.
///
/// # Errors
/// When it is something else.
pub fn read(text: &str) -> Result<Cursor, Refused> {
    let refused = || Refused::value("cursor", text, "is no cursor", "use `next` of the page before as it is");
    let bytes = hex::decode(text).map_err(|_| refused())?;
    let plain = String::from_utf8(bytes).map_err(|_| refused())?;
    let (ms, id) = plain.split_once('/').ok_or_else(refused)?;
    Ok(Cursor { offered_at: Time(ms.parse().map_err(|_| refused())?), id: CallId::new(id) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_whatever_the_id_holds() {
        let cursor = Cursor { offered_at: Time(-5), id: CallId::new("a/b c") };
        assert_eq!(read(&write(&cursor)), Ok(cursor));
        for bad in ["", "zz", "6162", &hex::encode("x/1")] {
            assert_eq!(read(bad).unwrap_err().parameter, "cursor");
        }
    }
}
