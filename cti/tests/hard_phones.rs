//! Desk phones in the database of a phone system that is played here: what is written, what is left, and what is said.
#![allow(clippy::disallowed_methods, reason = "a phone system that is played runs beside the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use cti::hardphone::compare::Standing;
use cti::hardphone::{Wanted, bring, look};
use cti::pbx::Pbx;
use service::{Clock, Secret};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

type Table = BTreeMap<(String, String), String>;

/// What it can do, and what it holds.
#[derive(Clone, Default)]
struct Played {
    table: Arc<Mutex<Table>>,
    /// What was written and taken away, in order.
    writes: Arc<Mutex<Vec<String>>>,
    /// It cannot list a family.
    old: bool,
    /// The user may not write.
    read_only: bool,
}

impl Played {
    async fn start(self) -> Pbx {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().serve(stream));
            }
        });
        Pbx { port, secret: Secret::plain("x"), ..Pbx::default() }
    }

    async fn serve(self, stream: TcpStream) {
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        writer.write_all(b"Asterisk Call Manager/11.0.0\r\n").await.unwrap();
        let mut action = BTreeMap::new();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some((key, value)) = line.split_once(": ") {
                action.insert(key.to_owned(), value.to_owned());
                continue;
            }
            let answer = self.answer(&std::mem::take(&mut action));
            if writer.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, action: &BTreeMap<String, String>) -> String {
        let of = |key: &str| action.get(key).cloned().unwrap_or_default();
        let (id, family, key) = (of("ActionID"), of("Family"), of("Key"));
        let say = |response: &str, message: &str| {
            format!("Response: {response}\r\nActionID: {id}\r\nMessage: {message}\r\n\r\n")
        };
        let event = |name: &str, more: &str| format!("Event: {name}\r\nActionID: {id}\r\n{more}\r\n");
        let mut table = self.table.lock().unwrap();
        match of("Action").as_str() {
            "Challenge" => format!("Response: Success\r\nActionID: {id}\r\nChallenge: 1\r\n\r\n"),
            "DBGetTree" if self.old => say("Error", "Invalid/unknown command: DBGetTree."),
            "DBGetTree" => {
                let rows = table.iter().filter(|((of, _), _)| *of == family).map(|((_, key), value)| {
                    event("DBGetTreeResponse", &format!("Key: /{family}/{key}\r\nVal: {value}\r\n"))
                });
                say("Success", "Result will follow") + &rows.collect::<String>() + &event("DBGetTreeComplete", "")
            }
            "DBGet" => match table.get(&(family, key)) {
                Some(value) => {
                    let row = event("DBGetResponse", &format!("Val: {value}\r\n"));
                    say("Success", "Result will follow") + &row + &event("DBGetComplete", "")
                }
                None => say("Error", "Database entry not found"),
            },
            "DBPut" | "DBDel" if self.read_only => say("Error", "Permission denied"),
            "DBPut" => {
                self.writes.lock().unwrap().push(format!("{family}/{key}={}", of("Val")));
                table.insert((family, key), of("Val"));
                say("Success", "Updated database successfully")
            }
            "DBDel" => {
                self.writes.lock().unwrap().push(format!("{family}/{key} away"));
                table.remove(&(family, key));
                say("Success", "Key deleted successfully")
            }
            _ => say("Success", ""),
        }
    }

    fn of(&self, family: &str, key: &str) -> Option<String> {
        self.table.lock().unwrap().get(&(family.to_owned(), key.to_owned())).cloned()
    }

    fn by_hand(&self, family: &str, key: &str, value: &str) {
        self.table.lock().unwrap().insert((family.to_owned(), key.to_owned()), value.to_owned());
    }

    fn taken(&self) -> Vec<String> {
        let writes = std::mem::take(&mut *self.writes.lock().unwrap());
        writes.into_iter().filter(|write| !write.starts_with("tidegate-note/")).collect()
    }
}

fn wanted(phones: &[(&str, &str)], switched: &[&str]) -> Wanted {
    Wanted {
        phones: phones.iter().map(|(queue, phones)| ((*queue).to_owned(), (*phones).to_owned())).collect(),
        switched: switched.iter().map(|queue| (*queue).to_owned()).collect::<BTreeSet<_>>(),
    }
}

async fn brought(pbx: &Pbx, wanted: &Wanted) -> (cti::hardphone::Diff, usize) {
    let mut link = pbx.open(&Clock::system()).await.unwrap();
    bring(&mut link, wanted, false).await.unwrap()
}

#[tokio::test]
async fn only_what_changed_is_written_and_what_is_over_is_taken_away() {
    for old in [false, true] {
        let played = Played { old, ..Played::default() };
        let pbx = played.clone().start().await;
        let first = wanted(&[("sales", "PJSIP/101"), ("support", "PJSIP/102")], &[]);
        assert_eq!(brought(&pbx, &first).await.1, 2);
        assert_eq!(played.taken(), ["tidegate-phones/sales=PJSIP/101", "tidegate-phones/support=PJSIP/102"]);
        let (diff, written) = brought(&pbx, &first).await;
        assert_eq!((written, played.taken(), diff.is_even()), (0, Vec::<String>::new(), true));
        brought(&pbx, &wanted(&[("sales", "PJSIP/101&PJSIP/103"), ("support", "PJSIP/102")], &[])).await;
        assert_eq!(played.taken(), ["tidegate-phones/sales=PJSIP/101&PJSIP/103"]);
        if !old {
            // a phone system that cannot list does not tell of queues that are gone
            brought(&pbx, &wanted(&[("sales", "PJSIP/101&PJSIP/103")], &[])).await;
            assert_eq!(played.taken(), ["tidegate-phones/support away"]);
        }
    }
}

#[tokio::test]
async fn what_somebody_wrote_stays_and_is_told_until_it_is_taken_away() {
    let played = Played::default();
    let pbx = played.clone().start().await;
    let phones = wanted(&[("sales", "PJSIP/101")], &[]);
    brought(&pbx, &phones).await;
    played.by_hand("tidegate-phones", "sales", "PJSIP/199");
    played.by_hand("tidegate-phones", "reception", "PJSIP/100");
    played.taken();
    let (diff, written) = brought(&pbx, &phones).await;
    assert_eq!((written, played.of("tidegate-phones", "sales").as_deref()), (0, Some("PJSIP/199")));
    let told: Vec<_> = diff.phones.iter().map(|row| (row.key.as_str(), row.standing)).collect();
    assert_eq!(told, [("reception", Standing::Foreign), ("sales", Standing::ByHand)]);
    let mut link = pbx.open(&Clock::system()).await.unwrap();
    bring(&mut link, &phones, true).await.unwrap();
    assert_eq!(played.taken(), ["tidegate-phones/sales=PJSIP/101"], "where it is configured so");
    played.table.lock().unwrap().remove(&("tidegate-phones".to_owned(), "sales".to_owned()));
    brought(&pbx, &phones).await;
    assert_eq!(played.taken(), ["tidegate-phones/sales=PJSIP/101"], "what is missing is always written");
}

#[tokio::test]
async fn a_switch_is_taken_back_only_by_whom_it_was_set() {
    let played = Played::default();
    let pbx = played.clone().start().await;
    played.by_hand("tidegate-switch", "support", "hardphone");
    brought(&pbx, &wanted(&[], &["sales"])).await;
    assert_eq!(played.taken(), ["tidegate-switch/sales=hardphone"]);
    brought(&pbx, &wanted(&[], &[])).await;
    assert_eq!(played.taken(), ["tidegate-switch/sales away"]);
    assert_eq!(played.of("tidegate-switch", "support").as_deref(), Some("hardphone"));
}

#[tokio::test]
async fn a_privilege_that_is_missing_is_named() {
    let played = Played { read_only: true, ..Played::default() };
    let pbx = played.clone().start().await;
    let mut link = pbx.open(&Clock::system()).await.unwrap();
    assert!(look(&mut link, &wanted(&[("sales", "PJSIP/101")], &[])).await.is_ok());
    let refused = bring(&mut link, &wanted(&[("sales", "PJSIP/101")], &[]), false).await.unwrap_err().to_string();
    assert!(refused.contains("write = system") && refused.contains("DBPut"), "{refused}");
    let odd = bring(&mut link, &wanted(&[("sales\r\nAction: x", "PJSIP/101")], &[]), false).await;
    assert!(odd.is_err(), "a line end goes nowhere");
}
