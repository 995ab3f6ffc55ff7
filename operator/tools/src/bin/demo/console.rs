//! What the demo prints, and how it looks: headings, the time line, commands and their output. In colour on a
//! terminal, unless `NO_COLOR` is set. It decides nothing.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BLUE: &str = "34";
const CYAN: &str = "36";

/// How a line of the time line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// A step forward.
    Progress,
    /// A good end.
    Good,
    /// Undone or refused.
    Turn,
    /// What goes on behind an order.
    Aside,
}

/// Standard output. Each method writes in one go, so that the time line, which comes from another task, never tears a
/// line.
pub(crate) struct Console {
    out: Mutex<Box<dyn Write + Send>>,
    colour: bool,
    started: Instant,
}

impl Console {
    /// Time counts from here.
    pub(crate) fn new() -> Self {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { out: Mutex::new(Box::new(io::stdout())), colour, started: Instant::now() }
    }

    /// How long ago the demo began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Opens a part.
    pub(crate) fn heading(&self, title: &str) {
        self.write(&format!("\n{}\n", self.paint(BOLD, &format!("== {title} =="))));
    }

    /// A sentence of explanation.
    pub(crate) fn note(&self, text: &str) {
        self.write(&format!("{text}\n"));
    }

    /// A command that is about to run, and who runs it.
    pub(crate) fn command(&self, who: &str, command: &str) {
        let who = self.paint(DIM, &format!("# {who}"));
        self.write(&format!("{who}\n{}\n", self.paint(BLUE, &format!("$ {command}"))));
    }

    /// What a command printed.
    pub(crate) fn output(&self, text: &str) {
        let lines: Vec<String> = text.lines().map(|line| format!("    {line}\n")).collect();
        self.write(&lines.concat());
    }

    /// A line of the time line.
    pub(crate) fn event(&self, tone: Tone, object: &str, state: &str, meaning: &str) {
        let colour = match tone {
            Tone::Progress => CYAN,
            Tone::Good => GREEN,
            Tone::Turn => YELLOW,
            Tone::Aside => DIM,
        };
        let at = self.paint(DIM, &clock(self.elapsed()));
        let state = self.paint(colour, &format!("{state:<15}"));
        self.write(&format!("{at}  {object:<25} {state} {meaning}\n"));
    }

    /// Something that was checked.
    pub(crate) fn check(&self, holds: bool, what: &str) {
        let mark = if holds { self.paint(GREEN, "  ok  ") } else { self.paint(RED, "  NOT ") };
        self.write(&format!("{mark} {what}\n"));
    }

    /// The last line.
    pub(crate) fn verdict(&self, passed: bool, text: &str) {
        self.write(&format!("\n{}\n", self.paint(if passed { GREEN } else { RED }, text)));
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn write(&self, text: &str) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader that has gone away must not end the demo before it has tidied up.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// Minutes, seconds and tenths: `01:02.3`.
fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{:02}:{:02}.{}", seconds / 60, seconds % 60, elapsed.subsec_millis() / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_minutes_seconds_and_tenths() {
        assert_eq!(clock(Duration::from_millis(62_380)), "01:02.3");
        assert_eq!(clock(Duration::ZERO), "00:00.0");
    }

    #[test]
    fn text_is_painted_only_where_colour_is_wanted() {
        let mut console = Console::new();
        console.colour = true;
        assert_eq!(console.paint(RED, "x"), "\x1b[31mx\x1b[0m");
        console.colour = false;
        assert_eq!(console.paint(RED, "x"), "x");
    }
}
