//! What a command writes: data on stdout, messages on stderr.
//!
//! Owns tables and the protection of the terminal: text from other members may hold control characters and never reaches a
//! terminal unchanged. With `--json` data are passed on as they are; JSON escapes what is dangerous.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::exit::Failure;
use crate::admin::api::Moment;

type Sink = Arc<Mutex<dyn Write + Send>>;

/// Where a command writes to.
#[derive(Clone)]
pub struct Out {
    stdout: Sink,
    stderr: Sink,
    /// Data as JSON.
    pub json: bool,
    /// No messages but errors.
    pub quiet: bool,
    /// More messages.
    pub verbose: u8,
    /// Somebody watches stderr: progress makes sense.
    pub terminal: bool,
}

impl Out {
    /// The process's own stdout and stderr.
    pub fn process(json: bool, quiet: bool, verbose: u8) -> Self {
        Self {
            stdout: Arc::new(Mutex::new(io::stdout())),
            stderr: Arc::new(Mutex::new(io::stderr())),
            json,
            quiet,
            verbose,
            terminal: io::stderr().is_terminal(),
        }
    }

    /// A line of data.
    ///
    /// # Errors
    /// [`Failure::silent`] if the reader is gone.
    pub fn line(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        let mut text = text.as_ref().to_owned();
        text.push('\n');
        self.raw(text.as_bytes())
    }

    /// Data as they are.
    ///
    /// # Errors
    /// As for [`Self::line`].
    pub fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = self.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::silent(),
            _ => Failure::io("cannot write to stdout", &error),
        })
    }

    /// A JSON value, over several lines.
    ///
    /// # Errors
    /// As for [`Self::line`].
    pub fn json<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        self.line(serde_json::to_string_pretty(value).map_err(|e| Failure::failed(e.to_string()))?)
    }

    /// A JSON value on one line.
    ///
    /// # Errors
    /// As for [`Self::line`].
    pub fn json_line<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        self.line(serde_json::to_string(value).map_err(|e| Failure::failed(e.to_string()))?)
    }

    /// JSON if asked for, otherwise what `human` writes.
    ///
    /// # Errors
    /// As for [`Self::line`].
    pub fn show<T: Serialize>(
        &self,
        value: &T,
        human: impl FnOnce(&Self, &T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.json { self.json(value) } else { human(self, value) }
    }

    /// A message on stderr, unless quiet. A message that cannot be written is no reason to fail.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.error(text);
        }
    }

    /// A message on stderr in any case.
    pub fn error(&self, text: impl AsRef<str>) {
        let mut stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(stderr, "{}", text.as_ref()).and_then(|()| stderr.flush());
    }

    /// A line that the next one replaces; on a terminal only.
    pub fn progress(&self, text: &str) {
        if self.terminal && !self.quiet && !self.json {
            let mut stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = write!(stderr, "\r\x1b[K{}", clean(text)).and_then(|()| stderr.flush());
        }
    }

    /// Tells a failure.
    pub fn failure(&self, failure: &Failure) {
        if failure.silent {
            return;
        }
        if self.json {
            self.error(failure.to_json().to_string());
            return;
        }
        let mut text = String::from("error: ");
        for (number, line) in failure.text.lines().enumerate() {
            text.push_str(if number == 0 { "" } else { "\n       " });
            text.push_str(&clean(line));
        }
        for refusal in &failure.errors {
            text.push_str("\n  - ");
            text.push_str(&clean(&refusal.to_string()));
        }
        if !failure.next_step.is_empty() {
            text.push_str("\nnext:  ");
            text.push_str(&clean(&failure.next_step));
        }
        self.error(text);
    }
}

/// Text with everything taken out that could steer a terminal or deceive a reader: control characters and marks that change
/// the direction of writing.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            c if c.is_control() => '\u{FFFD}',
            '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' => '\u{FFFD}',
            c => c,
        })
        .collect()
}

/// Columns that a text takes on a terminal.
fn width(text: &str) -> usize {
    text.chars()
        .map(|c| match c {
            '\u{0300}'..='\u{036F}' => 0,
            '\u{1100}'..='\u{115F}' | '\u{2E80}'..='\u{A4CF}' | '\u{AC00}'..='\u{D7A3}' | '\u{F900}'..='\u{FAFF}' => 2,
            '\u{FE30}'..='\u{FE6F}'
            | '\u{FF00}'..='\u{FF60}'
            | '\u{1F300}'..='\u{1FAFF}'
            | '\u{20000}'..='\u{3FFFD}' => 2,
            _ => 1,
        })
        .sum()
}

/// A table with aligned columns.
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Lines that stand below a row and take no part in the columns: number of the row, text.
    notes: Vec<(usize, String)>,
    columns: usize,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self {
            rows: vec![headings.iter().map(|h| (*h).to_owned()).collect()],
            notes: Vec::new(),
            columns: headings.len(),
        }
    }
    /// A table without headings.
    pub const fn plain(columns: usize) -> Self {
        Self { rows: Vec::new(), notes: Vec::new(), columns }
    }
    /// Adds a row; missing cells are empty.
    pub fn row<S: AsRef<str>>(&mut self, cells: &[S]) {
        let mut row: Vec<String> = cells.iter().take(self.columns).map(|cell| clean(cell.as_ref())).collect();
        row.resize(self.columns, String::new());
        self.rows.push(row);
    }
    /// Adds a line below the last row, too long for a column.
    pub fn note(&mut self, text: &str) {
        self.notes.push((self.rows.len().saturating_sub(1), clean(text)));
    }
    /// The text, without a line break at the end.
    pub fn render(&self) -> String {
        let widths: Vec<usize> = (0..self.columns)
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0))
            .collect();
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for (cell, wanted) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(wanted.saturating_sub(width(cell)) + 2));
            }
            line.trim_end().to_owned()
        };
        let mut lines = Vec::with_capacity(self.rows.len() + self.notes.len());
        for (number, row) in self.rows.iter().enumerate() {
            lines.push(line(row));
            lines.extend(self.notes.iter().filter(|(below, _)| *below == number).map(|(_, text)| text.clone()));
        }
        lines.join("\n")
    }
    /// Writes it to stdout.
    ///
    /// # Errors
    /// As for [`Out::line`].
    pub fn write(&self, out: &Out) -> Result<(), Failure> {
        if self.rows.is_empty() { Ok(()) } else { out.line(self.render()) }
    }
}

/// A size for people: `12.3 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut tenths = u128::from(count) * 10;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("TiB");
    if unit == 0 { format!("{count} B") } else { format!("{}.{} {name}", tenths / 10, tenths % 10) }
}

/// A duration for people, in its largest unit: `3 d`, `2 h`, `5 min`, `12 s`.
pub fn duration(span: Duration) -> String {
    match span.as_secs() {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s @ 7200..172_800 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

/// How long ago: `3 d`.
pub fn since(at: Moment, now: Moment) -> String {
    duration(at.before(now))
}

/// `yes` or `no`.
pub const fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// Handles in a row, or a dash.
pub fn list<T: ToString>(items: &[T]) -> String {
    if items.is_empty() { "–".to_owned() } else { items.iter().map(T::to_string).collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    /// Collects what is written.
    #[derive(Clone, Default)]
    pub(crate) struct Captured {
        pub(crate) stdout: Arc<Mutex<Vec<u8>>>,
        pub(crate) stderr: Arc<Mutex<Vec<u8>>>,
    }
    impl Captured {
        pub(crate) fn out(&self, json: bool) -> Out {
            Out {
                stdout: self.stdout.clone(),
                stderr: self.stderr.clone(),
                json,
                quiet: false,
                verbose: 0,
                terminal: false,
            }
        }
        pub(crate) fn stdout(&self) -> String {
            String::from_utf8(self.stdout.lock().unwrap().clone()).unwrap()
        }
        pub(crate) fn stderr(&self) -> String {
            String::from_utf8(self.stderr.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn columns_line_up_with_umlauts_in_both_forms() {
        let mut table = Table::new(&["PROZESS", "LAND"]);
        table.row(&["Müllgebühr", "de-he"]);
        table.row(&["Mu\u{308}llgebu\u{308}hr", "de-rp"]);
        table.row(&["x"]);
        let text = table.render();
        let starts: Vec<usize> = text.lines().take(3).map(|l| width(&l[..l.rfind("  ").unwrap() + 2])).collect();
        assert_eq!(starts, [12, 12, 12], "{text}");
        assert!(!text.lines().any(|line| line.ends_with(' ')));
    }

    #[test]
    fn a_long_remark_does_not_widen_the_columns() {
        let mut table = Table::new(&["MEMBER", "BEHIND"]);
        table.row(&["de-he", "1"]);
        table.note("    connection refused: nothing listens\x1b there");
        table.row(&["de-rp", "–"]);
        let text = table.render();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines[1], lines[3]), ("de-he   1", "de-rp   –"));
        assert_eq!(lines[2], "    connection refused: nothing listens\u{FFFD} there");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\u{9b}c\nd\u{202E}e"), "a\u{FFFD}[2Jb\u{FFFD}c\u{FFFD}d\u{FFFD}e");
        let captured = Captured::default();
        captured.out(false).failure(&Failure::failed("bad\x1b]0;x\x07").next("do\x1b"));
        assert!(!captured.stderr().contains(['\x1b', '\x07']));
    }

    #[test]
    fn a_reader_that_left_ends_the_command_silently() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let captured = Captured::default();
        let out = Out { stdout: Arc::new(Mutex::new(Gone)), ..captured.out(false) };
        let failure = out.line("x").unwrap_err();
        out.failure(&failure);
        assert_eq!((failure.exit, captured.stderr().as_str()), (Exit::Ok, ""));
    }

    #[test]
    fn sizes_and_durations() {
        let sizes = [0, 1023, 1024, 1536, 10 << 20, u64::MAX].map(bytes);
        assert_eq!(sizes[..5], ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10.0 MiB"]);
        assert!(sizes[5].ends_with("TiB"));
        let spans = [5, 119, 120, 7200, 172_800].map(|s| duration(Duration::from_secs(s)));
        assert_eq!(spans, ["5 s", "119 s", "2 min", "2 h", "2 d"]);
    }

    #[test]
    fn failures_as_json_are_one_line() {
        let captured = Captured::default();
        captured.out(true).failure(&Failure::new(Exit::NotFound, "no\nsuch"));
        let value: serde_json::Value = serde_json::from_str(&captured.stderr()).unwrap();
        assert_eq!((value["error"]["exit"].as_u64(), value["error"]["code"].as_str()), (Some(3), Some("not_found")));
        assert_eq!(captured.stderr().lines().count(), 1);
    }
}
