//! What `docs/spec/component.md` demands, executed. Each component runs it with one line:
//!
//! ```text
//! #[test]
//! fn it_is_a_component() {
//!     service::conformance::component::<Collector>();
//!     service::conformance::reference::<Collector>();
//! }
//! ```

use std::future::Future;

use serde_json::Value;

use crate::config::Layers;
use crate::entry::{load, printed, schema};
use crate::http::Listen;
use crate::process::Process;
use crate::{Clock, Component, Host, Millis, Seeds};

/// Runs every check that needs no world.
///
/// # Panics
/// At the first demand that is not met, naming it.
pub fn component<C: Component>() {
    the_defaults_make_a_plan::<C>();
    an_unknown_key_is_refused_with_its_path::<C>();
    several_problems_are_told_at_once::<C>();
    what_is_printed_reads_back_the_same::<C>();
    the_schema_describes_every_key::<C>();
    names_follow_the_rules::<C>();
}

/// Lives once: builds from this configuration (TOML, as in a file; temporary folders, ports 0), runs for `while_it_runs`,
/// is asked to stop, and must stop cleanly within ten seconds. On the real clock.
///
/// # Panics
/// When it cannot be planned, built, or does not stop cleanly; and when it ends before it is asked to.
pub async fn life<C: Component>(text: &str, while_it_runs: impl Future<Output = ()>) {
    let layers = Layers::of_text("life.toml", text);
    let loaded = load::<C>(&layers);
    let plan = loaded.plan.unwrap_or_else(|problems| panic!("{problems}"));
    let process = Process { drain: Millis::seconds(10), ops: Listen::loopback(0), ..loaded.process };
    let mut host = Host::new(process, Clock::system(), Seeds::fixed(1));
    host.build::<C>(plan).await.unwrap_or_else(|error| panic!("C7: {} is not built: {}", C::NAME, error.chain()));
    let drain = host.drain();
    let (_open, stop) = tokio::sync::mpsc::channel(1);
    let stopping = async {
        while_it_runs.await;
        assert!(!drain.is_started(), "C7: {} ended before it was asked to", C::NAME);
        drain.start("conformance");
    };
    let (outcome, ()) = tokio::join!(host.run_until(stop), stopping);
    outcome.unwrap_or_else(|error| panic!("C8: {} did not stop cleanly: {}", C::NAME, error.chain()));
}

/// The page `docs/reference/NAME.md` says what the types say. With `TIDEGATE_BLESS=1` it is written instead.
///
/// # Panics
/// When the page is not current, telling how to write it anew.
pub fn reference<C: Component>() {
    let title = format!(
        "# Configuration of {}\n\n{}. The table `[process]` is in [process.md](process.md).\n\n",
        C::NAME,
        C::ABOUT
    );
    let page = title + &crate::config::reference::<C::Config>(C::NAME);
    golden(&format!("docs/reference/{}.md", C::NAME), &page);
}

/// A generated file of the repository, `path` from its root, is what is generated now. With `TIDEGATE_BLESS=1` it is
/// written instead.
///
/// # Panics
/// When the file is not current, telling how to write it anew.
#[expect(clippy::disallowed_methods, reason = "a test's own switch, not configuration")]
pub fn golden(path: &str, text: &str) {
    let here = std::env::current_dir().expect("a test runs somewhere");
    let root =
        here.ancestors().find(|folder| folder.join("Cargo.lock").exists()).expect("a test runs inside the repository");
    let file = root.join(path);
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().expect("a file is in a folder")).expect("the folder can be made");
        return std::fs::write(&file, text).expect("the file can be written");
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let at = kept.lines().zip(text.lines()).take_while(|(kept, now)| kept == now).count() + 1;
    assert!(
        kept == text,
        "{path} is not current (line {at}): run this test with TIDEGATE_BLESS=1, look at the diff, commit it"
    );
}

/// C1: the default configuration passes.
fn the_defaults_make_a_plan<C: Component>() {
    if let Err(problems) = load::<C>(&Layers::default()).plan {
        panic!("C1: the default configuration of {} has {problems}", C::NAME);
    }
}

/// C2: an unknown key is refused, with its dotted path, in the component's own table and one level down.
fn an_unknown_key_is_refused_with_its_path<C: Component>() {
    let mut tables = vec![C::NAME.to_owned()];
    if let Ok(Value::Object(map)) = serde_json::to_value(C::Config::default()) {
        let below = map.iter().filter(|(_, value)| value.as_object().is_some_and(|map| !map.is_empty()));
        tables.extend(below.map(|(key, _)| format!("{}.{key}", C::NAME)));
    }
    for table in tables {
        let layers = Layers::of_text("test.toml", &format!("[{table}]\nzz_no_such_key = 1\n"));
        let Err(problems) = load::<C>(&layers).plan else {
            panic!("C2: [{table}] accepts the unknown key zz_no_such_key: add deny_unknown_fields")
        };
        let path = format!("{table}.zz_no_such_key");
        let told =
            problems.iter().any(|problem| problem.path == path && problem.origin.as_deref() == Some("test.toml:2"));
        assert!(told, "C2: the unknown key {path} is not told with its path and line: {problems}");
    }
}

/// C3: every problem is told at once.
fn several_problems_are_told_at_once<C: Component>() {
    let name = C::NAME;
    let text = format!("[{name}]\nzz_one = 1\nzz_two = 2\n[process]\ndrain = \"soon\"\n");
    let Err(problems) = load::<C>(&Layers::of_text("test.toml", &text)).plan else { panic!("C3: three mistakes pass") };
    for path in [format!("{name}.zz_one"), format!("{name}.zz_two"), "process.drain".to_owned()] {
        assert!(problems.iter().any(|problem| problem.path == path), "C3: {path} is not among {problems}");
    }
}

/// C4: `--print-config` gives TOML that reads back as the same configuration.
fn what_is_printed_reads_back_the_same<C: Component>() {
    let layers = Layers::default();
    let first = load::<C>(&layers);
    let text = printed(&layers, &first);
    let second = load::<C>(&Layers::of_text("printed.toml", &text));
    if let Err(problems) = &second.plan {
        panic!("C4: the printed configuration has {problems}\n{text}");
    }
    let value = |config: &C::Config| serde_json::to_value(config).expect("a configuration serialises");
    assert_eq!(value(&first.config), value(&second.config), "C4: printed and read back, it is another\n{text}");
}

/// C5: there is a schema, and each key in it says what it means.
fn the_schema_describes_every_key<C: Component>() {
    let schema = schema::<C>();
    let own = &schema["properties"][C::NAME];
    assert!(own.is_object(), "C5: the schema has no {}", C::NAME);
    let mut silent = Vec::new();
    undescribed(C::NAME, own, &mut silent);
    assert!(silent.is_empty(), "C5: keys without a doc comment: {}", silent.join(", "));
}

fn undescribed(path: &str, schema: &Value, silent: &mut Vec<String>) {
    for (key, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("{path}.{key}");
        if property.get("description").and_then(Value::as_str).is_none_or(str::is_empty) {
            silent.push(path.clone());
        }
        undescribed(&path, property, silent);
        if let Some(items) = property.get("items") {
            undescribed(&format!("{path}[]"), items, silent);
        }
    }
}

/// C6: the name fits into the names of metrics and environment variables.
fn names_follow_the_rules<C: Component>() {
    let name = C::NAME;
    assert!(name.chars().all(|c| c.is_ascii_lowercase()), "C6: {name} is not plain lower case");
    assert!(!C::ABOUT.is_empty(), "C6: {name} does not say what it is");
}
