//! What clients and operators say: WebSocket messages, query strings, configuration.

use axum::extract::Query;
use axum::http::Uri;
use model::{Directory, Time};
use pusher::report::ask::{Asker, Bounds, CallsAsked, IntervalsAsked};
use pusher::report::cursor;
use pusher::ws::message::{Code, Message};
use pusher::ws::topic::{Keys, Selection};
use service::config::{ConfigFile, Layers, Millis, Size};

/// Any text as a message of a WebSocket client.
pub fn subscribe(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let complaint = match Message::parse(text) {
        Ok(Message::Subscribe(subscribe)) => {
            for topic in subscribe.topics {
                for tenant in [None, Some("bank".into())] {
                    let selection = Selection { tenant, topic, filter: subscribe.filter.clone() };
                    let feed = selection.feed();
                    assert!(feed.starts_with(topic.name()) && feed.len() <= topic.name().len() + 17, "{feed}");
                    let keys = Keys { tenant: "shop".into(), ..Keys::default() };
                    assert!(selection.tenant.is_none() || !selection.wants(&keys), "another tenant's item is seen");
                }
            }
            return;
        }
        Ok(_) => return,
        Err(complaint) => complaint,
    };
    let frame: serde_json::Value = serde_json::from_str(&complaint.frame()).expect("a complaint is JSON");
    assert_eq!(frame["op"], "error");
    assert!(Code::ALL.contains(&complaint.code) && !complaint.detail.is_empty());
    assert!(complaint.detail.len() <= 4 * text.len() + 400, "the answer is much longer than the question");
}

fn query_of<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    let uri: Uri = format!("http://tidegate/?{text}").parse().ok()?;
    Query::<T>::try_from_uri(&uri).ok().map(|query| query.0)
}

/// Any text as the query string of a report, and as a cursor.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut directory = Directory::default();
    directory.tenants.insert("bank".into(), model::directory::Tenant::default());
    let bounds = Bounds::default();
    for tenant in [None, Some("bank")] {
        let asker = Asker { directory: &directory, tenant, now: Time(1_795_227_084_000), bounds };
        for asked in query_of::<IntervalsAsked>(text).iter().flat_map(|a| [asker.intervals(a), asker.agents(a)]) {
            match asked {
                Ok(asked) => {
                    assert!(asked.range.from < asked.range.to);
                    assert!(asked.range.to - asked.range.from <= (bounds.days + 1) * 86_400_000);
                    assert!(asked.threshold_ms.is_none_or(|ms| (0..=86_400_000).contains(&ms)));
                    assert!(tenant.is_none() || asked.tenant.as_ref().map(|t| t.as_str()) == tenant);
                    let borders =
                        asked.interval.borders(&asked.range.zone, asked.range.from, asked.range.to, bounds.rows);
                    assert!(
                        borders.is_ok_and(|b| b.len() <= bounds.rows + 1)
                            || asked.range.from.ms() < -60_000_000_000_000
                            || asked.range.to.ms() > 250_000_000_000_000
                            || asked.interval == stats::Interval::Minutes(1)
                    );
                }
                Err(refused) => assert!(!refused.parameter.is_empty() && !refused.detail.is_empty()),
            }
        }
        match query_of::<CallsAsked>(text).map(|asked| asker.calls(&asked)) {
            Some(Ok(calls)) => {
                assert!((1..=store::reports::PAGE_MAX).contains(&calls.limit));
                assert!(tenant.is_none() || calls.filter.tenant.as_ref().map(|t| t.as_str()) == tenant);
            }
            Some(Err(refused)) => assert!(!refused.parameter.is_empty() && !refused.detail.is_empty()),
            None => {}
        }
    }
    if let Ok(place) = cursor::read(text) {
        assert_eq!(cursor::read(&cursor::write(&place)).ok(), Some(place));
    }
}

/// Any text as a configuration file: every problem has its path and its fix, and no secret is repeated.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() > 1 << 16 {
        return;
    }
    let layers = Layers::of_text("fuzz.toml", text);
    section::<collector::Config>(&layers, "collector");
    section::<receiver::Config>(&layers, "receiver");
    section::<pusher::config::Config>(&layers, "pusher");
    whole::<adapter_asterisk::Config>(text);
    whole::<adapter_queue_log::config::Config>(text);
    whole::<adapter_calls_csv::config::Config>(text);
    whole::<adapter_replay::Config>(text);
}

fn section<T: ConfigFile>(layers: &Layers, name: &str) {
    let loaded = layers.section::<T>(name);
    named(loaded.problems.iter());
}

fn whole<T: ConfigFile>(text: &str) {
    let loaded = Layers::of_text("fuzz.toml", text).whole::<T>();
    named(loaded.problems.iter());
    if let Ok(config) = loaded.accept() {
        let shown = format!("{config:?}{}", serde_json::to_string(&config).expect("a configuration serialises"));
        assert!(!shown.contains("hunter2"), "a secret is shown: {shown}");
    }
}

fn named<'a>(problems: impl Iterator<Item = &'a service::config::Problem>) {
    for problem in problems {
        assert!(!problem.what.is_empty(), "{problem:?}");
    }
}

/// Any text as a duration and as a size.
pub fn units(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(millis) = text.parse::<Millis>() {
        assert_eq!(millis.to_string().parse::<Millis>(), Ok(millis), "{text}");
        assert!(millis.signed() >= 0);
    }
    if let Ok(size) = text.parse::<Size>() {
        assert_eq!(size.to_string().parse::<Size>(), Ok(size), "{text}");
    }
}
