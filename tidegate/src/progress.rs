//! A progress bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// Progress of one long piece of work.
pub(crate) struct Progress {
    bar: ProgressBar,
    terminal: bool,
    what: &'static str,
    told: u64,
}

impl Progress {
    /// Of `what`, such as `importing`.
    pub(crate) fn new(what: &'static str) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = "{msg:>12} [{wide_bar:.cyan/blue}] {percent:>3}% {pos}/{len} {per_sec} eta {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("━━─"));
        }
        bar.set_message(what);
        Progress { bar, terminal, what, told: 0 }
    }

    /// `done` of `total`.
    pub(crate) fn at(&mut self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        let tenth = (done * 10).checked_div(total).unwrap_or(0);
        if !self.terminal && tenth > self.told {
            self.told = tenth;
            eprintln!("{}: {}0 % ({} of {})", self.what, tenth, HumanCount(done), HumanCount(total));
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
