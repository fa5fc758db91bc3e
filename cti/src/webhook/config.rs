//! The table `[cti.webhooks.TARGET]`.

use std::net::IpAddr;

use hyper::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{Millis, Problems, Secret, Size};

/// What a chat platform is told of who calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Caller {
    /// A token: the same caller has the same one, and it leads to no number.
    #[default]
    Token,
    /// The token, and a mask such as `493***01`.
    Masked,
    /// The token, and the number in the clear. Only where the platform may have it.
    Clear,
}

/// The platform behind a target: it is told of each caller who is led there, and says what it takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Webhook {
    /// Where to post: https, or http on loopback.
    pub url: String,
    /// The shared secret of the signature.
    pub secret: Secret,
    /// How long one try may take, connecting included.
    pub deadline: Millis,
    /// How often a hand-over is tried.
    pub attempts: u32,
    /// Hand-overs at once.
    pub at_once: usize,
    /// Hand-overs that wait for their turn; beyond that they are left out and counted.
    pub waiting_max: usize,
    /// The largest answer that is read.
    pub answer_max: Size,
    /// How often a platform that failed is asked whether it is back.
    pub probe: Millis,
    /// What it is told of who calls.
    pub caller: Caller,
    /// Allow http beyond loopback: who listens on the way reads and repeats everything.
    pub allow_plain_http: bool,
}

impl Default for Webhook {
    fn default() -> Self {
        Webhook {
            url: String::new(),
            secret: Secret::plain(""),
            deadline: Millis::seconds(3),
            attempts: 3,
            at_once: 8,
            waiting_max: 1_000,
            answer_max: Size::bytes(16 << 10),
            probe: Millis::seconds(30),
            caller: Caller::Token,
            allow_plain_http: false,
        }
    }
}

impl Webhook {
    /// Tells what cannot be.
    pub(crate) fn check(&self, problems: &mut Problems) {
        let fix = "write an https address, or http on loopback";
        match self.url.parse::<Uri>() {
            Ok(uri) => match (uri.scheme_str(), uri.host()) {
                (Some("https"), Some(_)) => {}
                (Some("http"), Some(host)) if self.allow_plain_http || is_loopback(host) => {}
                (Some("http"), Some(_)) => {
                    let what = "would send callers in the clear over a network";
                    problems.add("url", &self.url, what, "use https, or say allow_plain_http = true");
                }
                _ => problems.add("url", &self.url, "is no address that can be posted to", fix),
            },
            Err(error) => problems.add("url", &self.url, format!("is no address ({error})"), fix),
        }
        if self.secret == Secret::plain("") {
            problems.add_hidden("secret", "is not set", "write env:NAME or file:PATH, the same as the platform has");
        }
        problems.range("deadline", self.deadline, Millis::new(100)..=Millis::seconds(30));
        problems.range("attempts", self.attempts, 1..=10);
        problems.range("at_once", self.at_once, 1..=256);
        problems.range("waiting_max", self.waiting_max, 1..=100_000);
        problems.range("answer_max", self.answer_max.get(), 64..=1 << 20);
        problems.range("probe", self.probe, Millis::seconds(1)..=Millis::seconds(3_600));
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(url: &str, allow_plain_http: bool) -> usize {
        let webhook = Webhook { url: url.into(), secret: Secret::plain("s"), allow_plain_http, ..Webhook::default() };
        let mut problems = Problems::new();
        webhook.check(&mut problems);
        problems.len()
    }

    #[test]
    fn callers_are_sent_in_the_clear_only_on_this_machine_or_when_it_is_said_in_so_many_words() {
        for good in
            ["https://chat.example.com/hand-over", "http://127.0.0.1:8080/", "http://[::1]/x", "http://localhost/"]
        {
            assert_eq!(problems(good, false), 0, "{good}");
        }
        for bad in ["http://chat.example.com/", "ftp://127.0.0.1/", "chat", "", "/path"] {
            assert_eq!(problems(bad, false), 1, "{bad}");
        }
        assert_eq!(problems("http://chat.example.com/", true), 0);
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        let webhook = Webhook { deadline: Millis::new(1), attempts: 0, ..Webhook::default() };
        let mut problems = Problems::new();
        webhook.check(&mut problems);
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.clone()).collect();
        assert_eq!(paths, ["url", "secret", "deadline", "attempts"]);
    }
}
