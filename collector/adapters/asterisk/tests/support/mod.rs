//! Feeding captures to the translator, and reading what it says.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod pbx;
pub mod story;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use adapter_asterisk::config::{Config, Plan};
use adapter_asterisk::frame::{Item, Reader};
use adapter_asterisk::translate::Translator;
use model::{Envelope, Fact, SourceId};
use service::Millis;

/// The configuration for the recorded PBX: two seconds of after-call work.
pub fn plan() -> Arc<Plan> {
    let mut config = Config::default();
    config.queues.wrap_up = Millis::seconds(2);
    config.queues.extensions.insert("601".into(), "sales".into());
    config.queues.extensions.insert("602".into(), "support".into());
    Arc::new(Plan::of(config))
}

/// The folder of recordings beside the checkout.
pub fn shared() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "a test finds its recordings by the environment")]
    let named = std::env::var_os("TIDEGATE_SHARED").map(PathBuf::from);
    let path = named.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../../shared"));
    assert!(path.is_dir(), "needs ../shared beside the checkout, or TIDEGATE_SHARED: {} is no folder", path.display());
    path
}

/// What `bytes`, cut into reads of `split`, say; and, at the end, everything that is due within an hour.
pub fn facts(bytes: &[u8], split: usize) -> Vec<Fact> {
    facts_by(plan(), bytes, std::iter::repeat(split))
}

pub fn facts_by(plan: Arc<Plan>, bytes: &[u8], splits: impl IntoIterator<Item = usize>) -> Vec<Fact> {
    let mut translator = Translator::new(plan, &BTreeMap::new());
    let mut reader = if bytes.starts_with(b"Asterisk Call Manager/") { Reader::new() } else { Reader::greeted() };
    let mut facts = Vec::new();
    let mut rest = bytes;
    for split in splits {
        let (now, later) = rest.split_at(split.clamp(1, rest.len().max(1)).min(rest.len()));
        reader.push(now);
        rest = later;
        for item in reader.by_ref() {
            match item {
                Item::Frame(frame)
                    if frame.event().is_some()
                        && frame.get("ActionID").is_none_or(|_| frame.event() == Some("OriginateResponse")) =>
                {
                    translator.event(&frame, 0);
                }
                Item::Frame(_) | Item::Banner(_) => {}
                Item::Malformed(bad) => translator.refuse_bytes(bad.sample, bad.reason),
            }
        }
        facts.append(&mut translator.take_facts());
        if rest.is_empty() {
            break;
        }
    }
    translator.advance(translator.now().ms() * 1000 + 3_600_000_000);
    facts.append(&mut translator.take_facts());
    facts
}

/// The facts as they would stand in the journal.
pub fn envelopes(facts: &[Fact]) -> Vec<Envelope> {
    let source = SourceId::new("pbx1");
    facts.iter().map(|fact| fact.clone().into_envelope(&source, fact.occurred_at)).collect()
}

/// `type` of a fact without its version.
pub fn kind(fact: &Fact) -> &'static str {
    fact.event.ty().trim_end_matches(".v1")
}
