//! How to command a phone system: the table `[cti.ami.SOURCE]`, and a link that is logged in.

use std::time::Duration;

use ami::action::Action;
use ami::link::Link;
use ami::{Fault, Login};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::Clock;
use service::config::{Problems, Secret};

/// How long connecting and logging in may take together.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// The manager interface (AMI) of one Asterisk. What the user must be allowed is said where it is used: a privilege that is missing is named.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pbx {
    /// Host name or address of the manager interface.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Manager user.
    pub username: String,
    /// The user's secret.
    pub secret: Secret,
    /// `md5` never sends the secret; `plain` sends it as it is.
    pub login: Login,
}

impl Default for Pbx {
    fn default() -> Self {
        Pbx {
            host: "127.0.0.1".into(),
            port: 5038,
            username: "tidegate".into(),
            secret: Secret::plain(""),
            login: Login::Md5,
        }
    }
}

impl Pbx {
    /// Tells what cannot be.
    pub(crate) fn check(&self, problems: &mut Problems) {
        problems.not_empty("host", &self.host);
        problems.not_empty("username", &self.username);
        if self.port == 0 {
            problems.add("port", 0, "is no port", "use 1 to 65535; AMI's own is 5038");
        }
    }

    /// A link that is logged in; no events come until they are asked for.
    ///
    /// # Errors
    /// When the PBX is not there, or says no.
    pub async fn open(&self, clock: &Clock) -> Result<Link, Fault> {
        let secret = self.secret.read().map_err(|error| Fault::Refused(error.to_string()))?;
        let opening = async {
            let mut link = Link::open(&self.host, self.port).await?;
            link.banner().await?;
            link.login(self.login, &self.username, &secret).await?;
            Ok(link)
        };
        match clock.timeout(OPEN_MAX, opening).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Fault::Transient(format!("{}:{} does not answer within {OPEN_MAX:?}", self.host, self.port))),
        }
    }

    /// Sends an action and takes its answer. `needs`: the privilege that it wants of the user, in the words of manager.conf.
    ///
    /// # Errors
    /// [`Fault::Refused`] with the privilege in it when the user may not do this, or with the PBX's own words.
    pub async fn ask(link: &mut Link, action: &Action, needs: &str) -> Result<ami::frame::Frame, Fault> {
        let answer = link.ask(action).await?;
        match answer.response() {
            Some("Error") => Err(refused(action.name(), answer.get("Message").unwrap_or("no reason given"), needs)),
            _ => Ok(answer),
        }
    }
}

/// The PBX said no.
pub(crate) fn refused(action: &str, message: &str, needs: &str) -> Fault {
    if message.to_lowercase().contains("permission denied") {
        let what = format!("{action} is denied: give the user of manager.conf {needs}");
        return Fault::Refused(what);
    }
    Fault::Refused(format!("{action}: {message}"))
}
