//! A call table with everything odd that real ones hold: clocks across midnight and across a year, services without clocks,
//! calls without agents, names damaged on the way. The figures are those of rules applied to the rows themselves.
#![allow(clippy::disallowed_methods, reason = "these tests run real processes")]

use anyhow::{Context as _, Result, ensure};
use std::fmt::Write as _;
use std::path::Path;
use tempfile::TempDir;
use tidegate_tests::product::run;
use tidegate_tests::recorded::{Book, Wrong, mapping, rules};
use tidegate_tests::table::Table;

const HEADER: &str = "vru+line,call_id,customer_id,priority,type,date,vru_entry,vru_exit,vru_time,q_start,q_exit,q_time,outcome,\
    ser_start,ser_exit,ser_time,server";

/// One row for each oddity, in a month that `MM`, its last day `DD` and the one before it `CC` stand for.
const ODD: [&str; 22] = [
    // a queue stay and a service across midnight
    "AA0101,1,0,0,PS,99MMCC,23:58:50,23:58:58,8,23:58:58,0:01:10,132,AGENT,0:01:09,0:05:00,231,IDIT",
    // a service across midnight that began before it
    "AA0101,2,4711,2,PS,99MMCC,23:50:00,23:50:05,5,0:00:00,0:00:00,0,AGENT,23:50:04,0:20:04,1800,TOVA",
    // in the queue at a true midnight
    "AA0102,3,15696776,2,PS,99MMCC,23:59:54,23:59:54,0,0:00:00,0:00:27,27,AGENT,0:00:26,0:01:33,67,AVNI",
    // out of the queue at a true midnight
    "AA0102,4,0,0,NW,99MMCC,23:59:00,23:59:10,10,23:59:10,0:00:00,50,HANG,0:00:00,0:00:00,0,NO_SERVER",
    // answered at a true midnight
    "AA0102,5,0,0,NW,99MMCC,23:58:00,23:58:10,10,23:58:10,0:00:01,111,AGENT,0:00:00,0:02:00,120,IDIT",
    // out of the voice unit before it came in
    "AA0103,6,0,0,NW,99MMDD,9:00:07,9:00:04,-3,9:00:04,9:00:30,26,HANG,0:00:00,0:00:00,0,NO_SERVER",
    "AA0103,7,0,0,NW,99MMDD,9:10:07,9:10:04,-3,0:00:00,0:00:00,0,AGENT,9:10:03,9:12:03,120,ZOHARI",
    // answered, and nobody says by whom
    "AA0103,8,0,0,NE,99MMDD,9:20:00,9:20:10,10,0:00:00,0:00:00,0,AGENT,9:20:09,9:20:14,5,NO_SERVER",
    "AA0103,9,0,0,NE,99MMDD,9:21:00,9:21:10,10,9:21:10,9:22:10,60,AGENT,9:22:09,9:23:09,60,NO_SERVER",
    // answered, and nobody says when
    "AA0104,10,0,0,NE,99MMDD,9:30:00,9:30:10,10,9:30:10,9:31:00,50,AGENT,0:00:00,0:00:00,0,GELBER",
    "AA0104,11,0,0,NE,99MMDD,9:29:50,9:29:59,9,0:00:00,0:00:00,0,AGENT,0:00:00,0:00:00,0,GELBER",
    // hung up and yet served; a phantom with all clocks
    "AA0104,12,0,0,TT,99MMDD,10:00:00,10:00:10,10,10:00:10,10:02:10,120,HANG,10:02:09,10:09:09,420,NO_SERVER",
    "AA0104,13,0,0,TT,99MMDD,10:05:00,10:05:10,10,10:05:10,10:05:10,0,HANG,10:05:09,10:06:09,60,ELI",
    "AA0104,14,0,0,TT,99MMDD,10:10:00,10:10:10,10,10:10:10,10:40:10,1800,PHANTOM,10:40:09,10:50:09,600,NO_SERVER",
    // a service of ten hours
    "AA0105,15,0,0,IN,99MMDD,11:00:00,11:00:10,10,0:00:00,0:00:00,0,AGENT,11:00:09,21:00:09,36000,ELI",
    // no time in the queue, and yet queued; no time served
    "AA0105,16,0,0,IN,99MMDD,11:30:00,11:30:10,10,11:30:10,11:30:10,0,HANG,0:00:00,0:00:00,0,NO_SERVER",
    "AA0105,17,0,0,IN,99MMDD,11:31:00,11:31:10,10,0:00:00,0:00:00,0,AGENT,11:31:10,11:31:10,0,ELI",
    // a caller whose number a spreadsheet rounded; names that a find-and-replace damaged
    "AA0106,18,2.43E+07,2,PE,99MMDD,12:00:00,12:00:10,10,12:00:10,12:00:40,30,AGENT,12:00:39,12:01:39,60,ANO_SERVERT",
    "AA0106,19,2.43E+07,2,PE,99MMDD,12:00:00,12:00:10,10,12:00:10,12:00:30,20,AGENT,12:00:29,12:01:29,60,NO_SERVERAMA",
    // queued a while after the voice unit let it go: it was offered then
    "AA0106,20,0,0,AA,99MMDD,13:29:40,13:29:58,18,13:30:03,13:30:33,30,AGENT,13:30:32,13:31:02,30,ANAT",
    // on the border of a half hour, and into the next month (and year)
    "AA0106,21,0,0,AA,99MMDD,13:59:50,14:00:00,10,14:00:00,14:30:00,1800,HANG,0:00:00,0:00:00,0,NO_SERVER",
    "AA0106,22,0,0,AA,99MMDD,23:50:00,23:50:10,10,23:50:10,0:10:10,1200,AGENT,0:10:09,0:40:09,1800,ANAT",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_everything_odd_gives_what_its_rows_say() -> Result<()> {
    // The last days of a year; and the days in which European and Israeli clocks went forward.
    for (month, days) in
        [("1999-12", ["29", "30", "31"]), ("1999-04", ["01", "02", "03"]), ("1999-03", ["27", "28", "29"])]
    {
        one_table(month, days).await.with_context(|| format!("in {month}"))?;
    }
    Ok(())
}

async fn one_table(month: &str, days: [&str; 3]) -> Result<()> {
    let folder = TempDir::new()?;
    let text = table(&month[5..], days);
    let file = folder.path().join("calls.csv");
    std::fs::write(&file, &text)?;
    let (config, data) = (mapping(), folder.path().join("data"));
    let (config, path, file) = (config.to_string_lossy(), data.to_string_lossy(), file.to_string_lossy());
    run(&["import", "calls-csv", "--config", &config, "--data", &path, &file]).await?;
    let truth = rules::compute(month, &Table::parse(&text)?)?;
    let book = Book::open(folder.path(), month).await?;
    Wrong::find(&book, &truth).await?.none()?;
    book.same_on_the_command_line(&data).await?;
    book.close().await?;
    let verdict = run(&["rebuild", "--dry-run", "--data", &path]).await?;
    ensure!(verdict.trim_end().ends_with("identical"), "a rebuild does not give the same: {verdict}");
    Ok(())
}

/// The odd rows among three ordinary days.
fn table(month: &str, days: [&str; 3]) -> String {
    let mut text = format!("{HEADER}\n");
    for row in ODD {
        let row = row.replace("MM", month).replace("CC", days[1]).replace("DD", days[2]);
        let _ = writeln!(text, "{row}");
    }
    let mut dice = Dice(days[0].bytes().chain(month.bytes()).fold(11, |seed, byte| seed * 31 + u64::from(byte)));
    for number in 0..240 {
        let _ = writeln!(text, "{}", ordinary(1_000 + number, month, days[(number % 3) as usize], &mut dice));
    }
    text
}

/// A call at any time of the day, with its clocks right.
fn ordinary(number: u64, month: &str, day: &str, dice: &mut Dice) -> String {
    let clock = |at: u64| format!("{}:{:02}:{:02}", at / 3_600 % 24, at / 60 % 60, at % 60);
    let entered = dice.below(86_000) + 1;
    let offered = entered + dice.below(20);
    let queue = ["PS", "NW", "NE", "IN", "TT"][dice.below(5) as usize];
    let waits = dice.below(2) == 0;
    let wait = if waits { 1 + dice.below(400) } else { 0 };
    let stay = if waits { [clock(offered), clock(offered + wait)] } else { ["0:00:00", "0:00:00"].map(str::to_owned) };
    let (outcome, server, began, talk) = match dice.below(10) {
        0..6 => ("AGENT", ["IDIT", "TOVA", "AVNI"][dice.below(3) as usize], Some(offered + wait), dice.below(900)),
        6..9 => ("HANG", "NO_SERVER", None, 0),
        _ => ("PHANTOM", "NO_SERVER", None, 0),
    };
    let service = began.map_or(["0:00:00", "0:00:00"].map(str::to_owned), |at| [clock(at), clock(at + talk)]);
    let (line, caller, time) = (number % 7, dice.below(99), offered - entered);
    format!(
        "AA010{line},{number},{caller},0,{queue},99{month}{day},{},{},{time},{},{},{wait},{outcome},{},{},{talk},{server}",
        clock(entered),
        clock(offered),
        stay[0],
        stay[1],
        service[0],
        service[1],
    )
}

/// A small generator: the same seed, the same calls.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_make_no_sense_are_left_out_by_name_and_the_rest_counts() -> Result<()> {
    let folder = TempDir::new()?;
    let good = "AA0101,1,0,0,PS,990201,9:00:00,9:00:10,10,0:00:00,0:00:00,0,AGENT,9:00:10,9:01:10,60,IDIT";
    let bad = [
        good.replace("AA0101,1,", "AA0101,2,").replace("9:00:10,10", "9:75:10,10"),
        good.replace("AA0101,1,", "AA0101,3,").replace("AGENT", "LOST"),
        good.replace("AA0101,1,", "AA0101,4,").replace(",60,IDIT", ",sixty,IDIT"),
        "AA0101,5,0".to_owned(),
    ];
    let file = folder.path().join("calls.csv");
    std::fs::write(&file, format!("{HEADER}\n{good}\n{}\n", bad.join("\n")))?;
    let (config, data) = (mapping(), folder.path().join("data"));
    let (config, data, file) = (config.to_string_lossy(), data.to_string_lossy(), file.to_string_lossy());
    run(&["import", "calls-csv", "--config", &config, "--data", &data, &file]).await?;
    let day = ["--data", &data, "--tenant", "bank", "--from", "1999-02-01", "--to", "1999-02-02", "--interval", "all"];
    let rows = Table::parse(&run(&[&["report", "intervals"], &day[..]].concat()).await?)?;
    ensure!(rows.0.len() == 1, "only the good row makes a report: {rows:?}");
    ensure!(rows.0[0].number("answered") == 1.0 && rows.0[0].number("talk_ms") == 60_000.0, "{rows:?}");
    Ok(())
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_no_empty_report() {
    let asked = ["report", "intervals", "--data", "no/such/place", "--from", "1999-02-01", "--to", "1999-02-02"];
    assert!(!Path::new("no/such/place").exists());
    let refused = run(&asked).await.expect_err("a report of nothing").to_string();
    assert!(refused.contains("no data directory") && refused.contains("64"), "{refused}");
}
