//! The table `[journal.kafka]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::Clock;
use service::config::{ConfigFile, Millis, Problems, Secret, Size};

use super::{Login, Options, Security, Tls};
use crate::Topology;

/// Brokers, and how to talk to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where some of the brokers are, `["host:port"]`. The others are learned from them.
    pub brokers: Vec<String>,
    /// What the names of all topics begin with, so that several deployments may share brokers.
    pub prefix: String,
    /// How long brokers may take to answer or to acknowledge. Longer than they take to find a new leader when one dies (some 10 s by
    /// Kafka's defaults): until then writers wait.
    pub timeout: Millis,
    /// Bytes that may wait to be acknowledged; whoever writes then waits.
    pub queue: Size,
    /// How connections are made.
    pub security: Protocol,
    /// With TLS: the certificates to trust, PEM; the machine's own when not set.
    pub ca: Option<PathBuf>,
    /// With TLS: our certificate, PEM, for brokers that ask for one.
    pub certificate: Option<PathBuf>,
    /// With TLS: the key of our certificate, PEM.
    pub key: Option<PathBuf>,
    /// With SASL: how the password is shown.
    pub mechanism: Mechanism,
    /// With SASL: the user.
    pub user: String,
    /// With SASL: the user's password.
    pub password: Option<Secret>,
}

/// How connections are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// In the clear, without a login.
    #[default]
    Plaintext,
    /// Encrypted; who we are is said by our certificate, if at all.
    Tls,
    /// In the clear, with a login.
    SaslPlaintext,
    /// Encrypted, with a login.
    SaslTls,
}

/// How a password is shown to a broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mechanism {
    /// As it is.
    #[serde(rename = "PLAIN")]
    Plain,
    /// By a challenge.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// By a challenge.
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Mechanism {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: vec!["localhost:9092".to_owned()],
            prefix: "tidegate.".to_owned(),
            timeout: Millis::seconds(30),
            queue: Size::mebibytes(128),
            security: Protocol::default(),
            ca: None,
            certificate: None,
            key: None,
            mechanism: Mechanism::default(),
            user: String::new(),
            password: None,
        }
    }
}

impl Config {
    const fn encrypts(&self) -> bool {
        matches!(self.security, Protocol::Tls | Protocol::SaslTls)
    }

    const fn logs_in(&self) -> bool {
        matches!(self.security, Protocol::SaslPlaintext | Protocol::SaslTls)
    }

    /// How the configuration opens the journal. Reads the password.
    ///
    /// # Errors
    /// `TG0123` when the password cannot be read.
    pub fn options(&self, topology: Topology, clock: Clock) -> service::Result<Options> {
        let mut options = Options::new(self.brokers.join(","), topology, clock);
        options.prefix.clone_from(&self.prefix);
        options.timeout = self.timeout.duration();
        options.queue_bytes = usize::try_from(self.queue.get()).unwrap_or(usize::MAX);
        options.security = Security { tls: None, login: None };
        if self.encrypts() {
            let (ca, certificate, key) = (self.ca.clone(), self.certificate.clone(), self.key.clone());
            options.security.tls = Some(Tls { ca, certificate, key });
        }
        if let (true, Some(password)) = (self.logs_in(), &self.password) {
            let password = password.read().map_err(|error| {
                service::Error::config("TG0123", "the password for the brokers cannot be read").caused_by(error)
            })?;
            let mechanism = self.mechanism.name().to_owned();
            options.security.login = Some(Login { mechanism, user: self.user.clone(), password });
        }
        Ok(options)
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        problems.not_empty("brokers", &self.brokers.concat());
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !self.prefix.chars().all(legal) || self.prefix.len() > 200 {
            let fix = "use at most 200 letters, digits, dots, underscores and hyphens";
            problems.add("prefix", &self.prefix, "cannot begin the name of a topic", fix);
        }
        problems.range("timeout", self.timeout, Millis::seconds(1)..=Millis::seconds(600));
        problems.range("queue", self.queue, Size::mebibytes(64)..=Size::mebibytes(4_096));
        if self.logs_in() {
            problems.not_empty("user", &self.user);
            if self.password.is_none() {
                let fix = "write env:NAME or file:PATH";
                problems.add("password", "not set", "is needed for a login", fix);
            }
        }
        if !self.encrypts() && (self.ca.is_some() || self.certificate.is_some() || self.key.is_some()) {
            let fix = "set security to tls or sasl_tls, or leave the files out";
            problems.add("security", "plaintext", "uses no certificates, and some are given", fix);
        }
        if self.certificate.is_some() != self.key.is_some() {
            problems.add("certificate", "alone", "needs its key, and the key its certificate", "give both or neither");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(config: &Config) -> usize {
        let mut problems = Problems::new();
        config.check(&mut problems);
        problems.len()
    }

    #[test]
    fn the_default_has_no_problem() {
        assert_eq!(problems(&Config::default()), 0);
    }

    #[test]
    fn a_login_needs_a_user_and_a_password_and_certificates_need_encryption() {
        let login = Config { security: Protocol::SaslTls, ..Config::default() };
        assert_eq!(problems(&login), 2);
        let whole = Config { user: "u".to_owned(), password: Some(Secret::plain("p")), ..login };
        assert_eq!(problems(&whole), 0);
        let options = whole.options(Topology::default(), Clock::manual(0)).unwrap();
        assert!(options.security.tls.is_some() && !format!("{options:?}").contains("\"p\""));
        let bare = Config { ca: Some("ca.pem".into()), key: Some("key.pem".into()), ..Config::default() };
        assert_eq!(problems(&bare), 2);
        let odd = Config { prefix: "tide gate/".to_owned(), brokers: Vec::new(), ..Config::default() };
        assert_eq!(problems(&odd), 2);
    }
}
