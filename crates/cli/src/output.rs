//! The only place that writes to standard output and standard error.
//!
//! Standard output carries results: text for people, or with `--json` one object a line and nothing else. Standard error
//! carries progress, notes and errors. A reader that goes away (`striate models | head -1`) ends the output, not the work:
//! a training run must not be lost to a closed pipe.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Writes results to standard output.
#[derive(Debug)]
pub struct Output {
    json: bool,
    reader_left: bool,
}

impl Output {
    /// Results as JSON objects, or as text.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            reader_left: false,
        }
    }

    /// Whether results are JSON objects.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Writes a line of text, unless results are JSON.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn text(&mut self, line: impl Display) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        self.write(&format!("{line}\n"))
    }

    /// Writes a JSON object on a line of its own, if results are JSON.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn object(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        let line = serde_json::to_string(value)?;
        self.write(&format!("{line}\n"))
    }

    fn write(&mut self, line: &str) -> Result<(), Failure> {
        if self.reader_left {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match stdout
            .write_all(line.as_bytes())
            .and_then(|()| stdout.flush())
        {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.reader_left = true;
                Ok(())
            }
            Err(e) => Err(Failure::work(format!(
                "cannot write to standard output: {e}"
            ))),
        }
    }
}

/// Writes a line to standard error. If that is closed there is nobody to tell.
pub fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Rows of cells as lines with aligned columns, two spaces apart. A column of numbers is aligned to the right.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: usize, column: usize| rows[row].get(column).map_or("", String::as_str);
    let body = 1.min(rows.len())..rows.len();
    let layout: Vec<(usize, bool)> = (0..columns)
        .map(|c| {
            let width = (0..rows.len())
                .map(|r| cell(r, c).chars().count())
                .max()
                .unwrap_or(0);
            let numeric = body.clone().any(|r| !cell(r, c).is_empty())
                && body.clone().all(|r| is_number(cell(r, c)));
            (width, numeric)
        })
        .collect();
    let line = |r: usize| {
        let cells = layout.iter().enumerate().map(|(c, &(width, numeric))| {
            let text = cell(r, c);
            if numeric {
                format!("{text:>width$}")
            } else {
                format!("{text:<width$}")
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    (0..rows.len()).map(line).collect()
}

fn is_number(cell: &str) -> bool {
    cell.chars()
        .all(|c| c.is_ascii_digit() || " ,.%-".contains(c))
}

/// `123456789` as `123,456,789`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A byte count as people read it: `36 KiB`, `1.5 MiB`.
pub(crate) fn bytes(n: u64) -> String {
    let mut value = n as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if value < 10.0 && value.fract() != 0.0 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align() {
        let rows = [["name", "count"], ["conv1", "9"], ["a", "1,234"]];
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|r| r.iter().map(|&c| c.to_owned()).collect())
            .collect();
        assert_eq!(
            table(&rows),
            ["name   count", "conv1      9", "a      1,234"]
        );
        assert!(table(&[]).is_empty());
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(49152), "48 KiB");
        assert_eq!(bytes(1_572_864), "1.5 MiB");
    }
}
