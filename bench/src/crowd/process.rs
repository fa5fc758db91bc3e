//! A child process of a bench, spoken to by lines: this same program with other arguments, or one that lies beside it.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use crate::product;

/// The kernel's unit of processor time: 100 a second on Linux, whatever the machine.
const TICK: f64 = 0.01;

/// A running child. Dropped, it is killed and waited for.
pub struct Child {
    process: std::process::Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Child {
    /// Starts this program with other arguments.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> anyhow::Result<Child> {
        Child::spawn(Command::new(std::env::current_exe()?).args(arguments))
    }

    /// Starts a program that was built beside this one.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub fn beside(name: &str, package: &str) -> anyhow::Result<Child> {
        Child::spawn(&mut Command::new(product::beside(name, package)?))
    }

    fn spawn(command: &mut Command) -> anyhow::Result<Child> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("a child process cannot be started")?;
        let orders = process.stdin.take().context("no way in")?;
        let answers = BufReader::new(process.stdout.take().context("no way out")?);
        Ok(Child { process, orders, answers })
    }

    /// The next line that it says.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn hear(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        anyhow::ensure!(!line.is_empty(), "a child process ended without an answer");
        Ok(line.trim_end().to_owned())
    }

    /// Gives it an order.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn order(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.orders, "{line}")?;
        Ok(self.orders.flush()?)
    }

    /// Gives an order and waits for the answer.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn ask(&mut self, line: &str) -> anyhow::Result<String> {
        self.order(line)?;
        self.hear()
    }

    /// Processor time that it used, user and system.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn processor_time(&self) -> anyhow::Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name in parentheses may hold anything; after it, the 12th and 13th words are the ticks.
        let words: Vec<&str> = text.rsplit_once(')').context("no process")?.1.split_whitespace().collect();
        let ticks: f64 =
            words.get(11..13).context("no process")?.iter().filter_map(|word| word.parse::<f64>().ok()).sum();
        Ok(Duration::from_secs_f64(ticks * TICK))
    }

    /// Main memory that it holds, bytes.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn resident(&self) -> anyhow::Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).context("no process")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
        Ok(kib * 1024.0)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In the child: the orders, a line each, until the parent is gone. Blocks: give it a thread of its own.
pub fn orders() -> impl Iterator<Item = String> {
    std::io::stdin().lock().lines().map_while(Result::ok)
}

/// In the child: an answer.
pub fn answer(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    // Without a parent there is nobody to answer.
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}
