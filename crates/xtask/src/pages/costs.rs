//! What a module costs: counted from its typical configuration, and measured by the benchmark
//! `modules`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use striate_layers::catalog::{Entry, entries};

/// Measured times, as multiples of a plain convolution's.
pub(super) struct Costs {
    times: BTreeMap<String, [String; 2]>,
}

impl Costs {
    /// Reads `module, forward, training step` from a table with tabs.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let mut times = BTreeMap::new();
        for line in super::read(path)?.lines().filter(|l| !l.starts_with('#')) {
            let [name, forward, step] = line.split('\t').collect::<Vec<_>>()[..] else {
                return Err(format!("{}: {line:?} has no three columns", path.display()));
            };
            times.insert(name.to_owned(), [forward.to_owned(), step.to_owned()]);
        }
        Ok(Self { times })
    }

    /// Cells of a table: parameters, multiply-adds, forward, training step.
    pub(super) fn cells(&self, entry: &Entry) -> Result<[String; 4], String> {
        let summary = entry
            .summary()
            .map_err(|e| format!("{}: {e}", entry.name))?;
        let time = |at: usize| {
            self.times
                .get(entry.name)
                .map_or("", |t| t[at].as_str())
                .to_owned()
        };
        let parameters = grouped(summary.parameters as u64);
        Ok([
            parameters,
            millions(summary.multiply_adds),
            time(0),
            time(1),
        ])
    }

    /// The table of a page.
    pub(super) fn of_page(&self, page: &str) -> Result<String, String> {
        let mut table = String::from(
            "| module | configuration | input | parameters | multiply-adds | forward | training step |\n\
             |---|---|---|--:|--:|--:|--:|\n",
        );
        for entry in entries().filter(|e| e.page == page) {
            let [parameters, multiply_adds, forward, step] = self.cells(entry)?;
            let config = entry
                .typical
                .config
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            let inputs: Vec<String> = entry.typical.inputs.iter().map(|s| shape(s)).collect();
            let _ = writeln!(
                table,
                "| `{}` | `{config}` | {} | {parameters} | {multiply_adds} | {forward} | {step} |",
                entry.name,
                inputs.join(", ")
            );
        }
        table.push_str(
            "\nTimes are multiples of a 3x3 convolution with as many channels on the first input, \
             both on one thread with AVX-512.\n",
        );
        Ok(table)
    }
}

fn shape(shape: &[usize]) -> String {
    shape
        .iter()
        .map(usize::to_string)
        .collect::<Vec<_>>()
        .join("x")
}

/// With a comma every three digits.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// In millions, with three digits or so.
fn millions(n: u64) -> String {
    let m = n as f64 / 1e6;
    match m {
        0.0 => "0".to_owned(),
        m if m < 1.0 => format!("{m:.3} M"),
        m if m < 100.0 => format!("{m:.1} M"),
        m => format!("{m:.0} M"),
    }
}

#[cfg(test)]
mod tests {
    use super::{grouped, millions};

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(123), "123");
        assert_eq!(millions(0), "0");
        assert_eq!(millions(16_384), "0.016 M");
        assert_eq!(millions(1_849_688_064), "1850 M");
    }
}
