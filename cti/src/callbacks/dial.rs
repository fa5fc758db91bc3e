//! One promised call, made by an Asterisk: the customer is called first, and led to the queue when they answer.
//!
//! Why the customer first: no agent is kept while it rings in vain, and one answer of the PBX says what came of it. They come to the head of
//! a queue where nobody waits and somebody is free (`policy::callback::Pace`), so that they hardly wait.
//!
//! Needs of the manager user: `read = call`, `write = originate`; the dialplan `deploy/asterisk` (`tidegate-callback`).

use std::time::Duration;

use ami::Fault;
use ami::action::Action;
use ami::frame::{Frame, Item};
use ami::link::Link;
use model::control::Outcome;
use service::Clock;

use crate::pbx::{Pbx, refused};

/// What the manager user needs.
const NEEDS: &str = "read = call, write = originate";
/// How much longer than it rings a PBX may take to say what came of it.
const SAYS_WITHIN: Duration = Duration::from_secs(20);

/// A way out: `PJSIP/{number}@carrier`. Nothing in it means more to a dialplan than itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    before: String,
    after: String,
}

impl Way {
    /// Reads `TECH/{number}@TRUNK`, or `TECH/TRUNK`, which is the same in short. `None`: it is no way out.
    pub fn of(address: &str) -> Option<Way> {
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/@.:_-+".contains(&b));
        let (before, after) = match address.split_once("{number}") {
            Some((before, after)) => (before.to_owned(), after.to_owned()),
            None => {
                let (tech, trunk) = address.split_once('/').filter(|(_, trunk)| !trunk.is_empty())?;
                (format!("{tech}/"), format!("@{trunk}"))
            }
        };
        let whole = before.contains('/') && plain(&before) && plain(&after) && address.len() <= 200;
        whole.then_some(Way { before, after })
    }

    /// What is dialled; `None` when the number is none.
    pub fn to(&self, number: &str) -> Option<String> {
        let number: String =
            number.chars().filter(|letter| !matches!(letter, ' ' | '-' | '(' | ')' | '.' | '/')).collect();
        let digits = number.strip_prefix('+').unwrap_or(&number);
        let dialable = (2..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        dialable.then(|| format!("{}{number}{}", self.before, self.after))
    }
}

/// What is to be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Never used twice: names the attempt.
    pub(crate) id: String,
    /// What is dialled.
    pub(crate) dial: String,
    /// The queue that they are led to; a plain name.
    pub(crate) queue: String,
    /// How long it rings.
    pub(crate) ring: Duration,
}

/// Whether a name can stand in a variable of the dialplan and mean nothing but itself.
pub(crate) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= 80 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

impl Order {
    fn action(&self) -> Action {
        let ring_s = self.ring.as_secs().max(1);
        let variable = |name: &str, value: &str| format!("{name}={value}");
        Action::new("Originate")
            .with("Channel", "Local/s@tidegate-callback/n")
            .with("Context", "tidegate-callback-answered")
            .with("Exten", "s")
            .with("Priority", "1")
            // the dialplan's own limit of ringing comes first
            .with("Timeout", ((ring_s + 5) * 1_000).to_string())
            .with("Async", "true")
            .with("Variable", variable("TIDEGATE_DIAL", &self.dial))
            .with("Variable", variable("TIDEGATE_RING_S", &ring_s.to_string()))
            .with("Variable", variable("TIDEGATE_QUEUE", &self.queue))
            .with("Variable", variable("TIDEGATE_CALLBACK", &self.id))
    }
}

/// Dials, and tells what came of it.
///
/// # Errors
/// When the PBX is not there, says no, or never says what came of it.
pub(crate) async fn dial(pbx: &Pbx, order: &Order, clock: &Clock) -> Result<Outcome, Fault> {
    let mut link = pbx.open(clock).await?;
    let most = order.ring + SAYS_WITHIN;
    let outcome = match clock.timeout(most, talk(&mut link, order)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Fault::Transient(format!("the PBX does not say what came of a callback within {most:?}"))),
    };
    link.close(clock).await;
    outcome
}

async fn talk(link: &mut Link, order: &Order) -> Result<Outcome, Fault> {
    // of a busy PBX's events this one alone
    link.ask(&Action::filter("^Event: OriginateResponse")).await?;
    link.ask(&Action::new("Events").with("EventMask", "call")).await?;
    link.send(&order.id, &order.action())?;
    loop {
        match link.take() {
            Some(Item::Frame(frame)) if frame.get("ActionID") == Some(&order.id) => {
                if let Some(outcome) = judge(&frame)? {
                    return Ok(outcome);
                }
            }
            Some(_) => {}
            None => _ = link.turn().await?,
        }
    }
}

/// What a frame says of the attempt; `None`: not yet. `OriginateResponse` is an event that has a `Response`, too.
fn judge(frame: &Frame) -> Result<Option<Outcome>, Fault> {
    if frame.event() == Some("OriginateResponse") {
        let reason = frame.get("Reason").unwrap_or_default();
        return Ok(Some(match (frame.get("Response"), reason) {
            (Some("Success"), _) => Outcome::Answered,
            (_, "5") => Outcome::Busy,
            // hung up, or rang out
            (_, "1" | "3") => Outcome::NoAnswer,
            _ => Outcome::Failed,
        }));
    }
    match (frame.event(), frame.response()) {
        (None, Some("Error")) => Err(refused("Originate", frame.get("Message").unwrap_or("no reason given"), NEEDS)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_out_takes_a_number_and_nothing_that_means_more_to_a_dialplan() {
        let way = Way::of("PJSIP/{number}@carrier").unwrap();
        assert_eq!(Way::of("PJSIP/carrier"), Some(way.clone()));
        assert_eq!(way.to("+49 30-555"), Some("PJSIP/+4930555@carrier".to_owned()));
        for bad in
            ["", "1", "anonymous", "49&PJSIP/1", "49,20", "+", "4930|1", "${X}", "49\r\nAction: x", &"1".repeat(21)]
        {
            assert_eq!(way.to(bad), None, "{bad:?}");
        }
        for bad in [
            "",
            "carrier",
            "PJSIP/",
            "PJSIP/{number}@a&b",
            "PJSIP/{number}@a,30,G(x)",
            "Local/${X}/{number}",
            "{number}",
        ] {
            assert_eq!(Way::of(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_the_pbx_says_is_an_outcome() {
        let frame = |response: &str, reason: &str| {
            Frame::of([("Event", "OriginateResponse"), ("Response", response), ("Reason", reason)])
        };
        let said = |response, reason| judge(&frame(response, reason)).unwrap().unwrap();
        assert_eq!(said("Success", "4"), Outcome::Answered);
        assert_eq!(
            [said("Failure", "5"), said("Failure", "3"), said("Failure", "1")],
            [Outcome::Busy, Outcome::NoAnswer, Outcome::NoAnswer]
        );
        assert_eq!([said("Failure", "8"), said("Failure", "0")], [Outcome::Failed; 2]);
        let queued = Frame::of([("Response", "Success"), ("Message", "Originate successfully queued")]);
        assert_eq!(judge(&queued), Ok(None));
        let denied = Frame::of([("Response", "Error"), ("Message", "Permission denied")]);
        assert!(judge(&denied).unwrap_err().to_string().contains("originate"), "the privilege is named");
    }

    #[test]
    fn an_order_is_one_action_of_plain_values() {
        let order = Order {
            id: "callback-1".into(),
            dial: "PJSIP/4930@carrier".into(),
            queue: "sales".into(),
            ring: Duration::from_secs(25),
        };
        let text = String::from_utf8(order.action().encode(&order.id).unwrap()).unwrap();
        assert!(
            text.contains("Variable: TIDEGATE_DIAL=PJSIP/4930@carrier\r\n") && text.contains("Timeout: 30000\r\n"),
            "{text}"
        );
        assert!(is_plain("sales-2.b_c") && !is_plain("a,b") && !is_plain("") && !is_plain("a\r\nb"));
        let smuggled = Order { queue: "a\r\nAction: x".into(), ..order };
        assert!(smuggled.action().encode("1").is_err());
    }
}
