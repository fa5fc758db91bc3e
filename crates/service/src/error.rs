//! What a component says when it cannot go on, classed by who must act.

use crate::config::Problems;

/// The outcome of starting or running a component.
pub type Result<T> = std::result::Result<T, Error>;

/// Who must act on an error, and so how the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The command line was wrong: exit 64.
    Usage,
    /// The configuration was refused: exit 78.
    Config,
    /// Something this process depends on is not there, or refuses us: exit 69. A supervisor may start us again.
    Dependency,
    /// Our fault: exit 70.
    Bug,
}

impl Class {
    /// The exit code (sysexits.h).
    pub fn exit(self) -> u8 {
        match self {
            Class::Usage => 64,
            Class::Config => 78,
            Class::Dependency => 69,
            Class::Bug => 70,
        }
    }
}

/// An error fit for an operator: a code with a page in `docs/errors`, what happened, and what caused it.
#[derive(Debug)]
pub struct Error {
    class: Class,
    code: &'static str,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `class` with its `code` (`TGnnnn`; the page is asserted by a test) and a message: lower case, no full
    /// stop, naming the value.
    pub fn new(class: Class, code: &'static str, message: impl Into<String>) -> Self {
        Error { class, code, message: message.into(), source: None }
    }

    /// [`Class::Usage`].
    pub fn usage(code: &'static str, message: impl Into<String>) -> Self {
        Error::new(Class::Usage, code, message)
    }

    /// [`Class::Config`].
    pub fn config(code: &'static str, message: impl Into<String>) -> Self {
        Error::new(Class::Config, code, message)
    }

    /// [`Class::Dependency`].
    pub fn dependency(code: &'static str, message: impl Into<String>) -> Self {
        Error::new(Class::Dependency, code, message)
    }

    /// [`Class::Bug`].
    pub fn bug(message: impl Into<String>) -> Self {
        Error::new(Class::Bug, "TG0070", message)
    }

    /// Names what caused it; printed after the message, chain and all.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Who must act.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The code, `TGnnnn`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// One line with the code, the message and every cause.
    pub fn chain(&self) -> String {
        let mut line = format!("{}: {self}", self.code);
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        Error::new(Class::Config, "TG0010", problems.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_exit_code_and_the_chain_names_every_cause() {
        let refused = std::io::Error::other("connection refused");
        let error = Error::dependency("TG0022", "cannot reach 127.0.0.1:5038").caused_by(refused);
        assert_eq!(error.class().exit(), 69);
        assert_eq!(error.chain(), "TG0022: cannot reach 127.0.0.1:5038: connection refused");
    }
}
