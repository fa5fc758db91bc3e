//! Secrets by reference, so that a configuration can be shown to anybody.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest secret file read, bytes: a wrong path must not fill the memory.
const FILE_MAX: u64 = 64 * 1024;

/// Where a secret is: `env:NAME`, `file:PATH` (last line end dropped), or, said in so many words, `plain:VALUE`.
/// Neither `Debug` nor serialisation shows a plain value.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Reference);

#[derive(Clone, PartialEq, Eq)]
enum Reference {
    Env(String),
    File(PathBuf),
    Plain(String),
}

/// A secret that could not be read; names the reference, never the value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set, or not UTF-8.
    #[error("environment variable {name} is not set (or is not UTF-8)")]
    Env {
        /// The variable.
        name: String,
    },
    /// The file could not be read, or is not UTF-8.
    #[error("cannot read the secret file {path:?}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is longer than a secret can be.
    #[error("secret file {path:?} is longer than {FILE_MAX} bytes")]
    Long {
        /// The file.
        path: PathBuf,
    },
}

impl Secret {
    /// A literal, for tests and for defaults of things that are not secret (a simulator's password).
    pub fn plain(value: impl Into<String>) -> Self {
        Secret(Reference::Plain(value.into()))
    }

    /// Reads it. Do so in `build`, not in `plan`: a configuration can be checked where the secret is not.
    ///
    /// # Errors
    /// When the reference leads nowhere.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where a secret is read from the environment")]
    pub fn read(&self) -> Result<String, SecretError> {
        match &self.0 {
            Reference::Plain(value) => Ok(value.clone()),
            Reference::Env(name) => std::env::var(name).map_err(|_| SecretError::Env { name: name.clone() }),
            Reference::File(path) => {
                let wrong = |source| SecretError::File { path: path.clone(), source };
                if std::fs::metadata(path).map_err(wrong)?.len() > FILE_MAX {
                    return Err(SecretError::Long { path: path.clone() });
                }
                let text = std::fs::read_to_string(path).map_err(wrong)?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
            }
        }
    }

    /// The reference as it may be shown: a plain value is `plain:***`.
    pub fn shown(&self) -> String {
        match &self.0 {
            Reference::Env(name) => format!("env:{name}"),
            Reference::File(path) => format!("file:{}", path.display()),
            Reference::Plain(_) => HIDDEN.to_owned(),
        }
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let reference = match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Reference::Env(name.to_owned()),
            Some(("file", path)) if !path.is_empty() => Reference::File(path.into()),
            Some(("plain", value)) => Reference::Plain(value.to_owned()),
            // The text itself may be a secret: it is not repeated.
            _ => return Err(RULE),
        };
        Ok(Secret(reference))
    }
}

/// The message of a refused secret; the loader knows by it that the value must not be shown.
pub(super) const RULE: &str =
    "a secret must be a reference: write \"env:NAME\" or \"file:PATH\" (or \"plain:VALUE\" to accept it in the file)";
pub(super) const HIDDEN: &str = "plain:***";

thread_local! {
    static REVEALING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` with secrets serialised as they are: for building the tree of defaults, which is read back and not shown.
pub(super) fn revealing<R>(work: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            REVEALING.set(self.0);
        }
    }
    let _restore = Restore(REVEALING.replace(true));
    work()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.shown())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Reference::Plain(value) if REVEALING.get() => serializer.collect_str(&format_args!("plain:{value}")),
            _ => serializer.serialize_str(&self.shown()),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By way of a value: serde's own message would repeat a number or a boolean that may be the secret.
        let value = serde_json::Value::deserialize(deserializer)?;
        value.as_str().ok_or(RULE).and_then(Secret::parse).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(env|file|plain):.*$",
            "description": "a secret by reference: \"env:NAME\", \"file:PATH\" (or \"plain:VALUE\")",
            "writeOnly": true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_refused_and_not_repeated() {
        let error = serde_json::from_str::<Secret>("\"hunter2\"").unwrap_err().to_string();
        assert!(error.contains("env:NAME") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_plain_secret_is_shown_nowhere() {
        let secret: Secret = serde_json::from_str("\"plain:hunter2\"").unwrap();
        assert_eq!(secret.read().unwrap(), "hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(plain:***)");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"plain:***\"");
        assert_eq!(revealing(|| serde_json::to_string(&secret).unwrap()), "\"plain:hunter2\"");
    }

    #[test]
    fn a_file_is_read_without_its_line_end_and_a_missing_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "s3cret\r\n").unwrap();
        assert_eq!(Secret::parse(&format!("file:{}", path.display())).unwrap().read().unwrap(), "s3cret");
        let error = Secret::parse("file:/nowhere/at/all").unwrap().read().unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"));
        assert!(Secret::parse("env:TIDEGATE_NO_SUCH_SECRET").unwrap().read().is_err());
    }
}
