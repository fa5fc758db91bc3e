//! What the server's error codes mean for us: <https://www.postgresql.org/docs/15/errcodes-appendix.html>.

use sqlx::postgres::PgDatabaseError;

use crate::Error;

/// The error that a server's message is. Only its message is told: its details hold values.
pub(crate) fn of(found: &PgDatabaseError) -> Error {
    judge(found.code(), found.message())
}

fn judge(code: &str, message: &str) -> Error {
    let text = || format!("{message} (SQLSTATE {code})");
    match code {
        // A timeout of ours, a lock that was not to be had, two who waited for each other; a month that was dropped under our hands.
        "57014" | "55P03" | "40001" | "40P01" | "23514" => Error::Busy,
        "53100" => Error::Full,
        // A database or a schema that is not there, and rights that are missing.
        "3D000" | "3F000" | "42501" => Error::Refused { place: "the database".to_owned(), reason: text() },
        // Plans that are out of date after a change of the schema.
        "0A000" => Error::Storage(text()),
        _ if code.starts_with("28") => Error::Refused { place: "the database".to_owned(), reason: text() },
        // Pages or trees that are damaged; tables that are not as this program left them; values that do not fit them.
        _ if ["XX", "42", "22", "23"].iter().any(|class| code.starts_with(class)) => {
            Error::Corrupt { what: "a table".to_owned(), reason: text() }
        }
        // Going down, coming up, out of connections or memory, a standby that is not the first yet: it passes.
        _ => Error::Storage(text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Class;

    #[test]
    fn what_passes_is_told_from_what_somebody_must_mend() {
        for code in ["57P01", "57P03", "57014", "53300", "40P01", "55P03", "25006", "08006", "53100"] {
            assert_eq!(judge(code, "x").class(), Class::Transient, "{code}");
        }
        for code in ["28P01", "28000", "3D000", "42501", "XX001", "42P01", "22021"] {
            assert_eq!(judge(code, "x").class(), Class::Refused, "{code}");
        }
    }
}
