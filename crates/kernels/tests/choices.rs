//! Which algorithm the convolutions of well-known networks get: `benches/shapes/zoo.txt`.
//!
//! After a change that means to choose otherwise, `just choices` writes the choices of this machine's levels to the
//! file; the difference is what to review.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use striate_kernels::Accuracy;
use striate_kernels::conv2d::{Algorithm, Conv2dGeometry, choose};
use striate_kernels::geometry::Layout;
use striate_simd::Level;

/// Makes the test write the file.
const WRITE: &str = "STRIATE_WRITE_CHOICES";

/// The levels whose choices the file has.
const LEVELS: [&str; 3] = ["portable", "avx2", "avx512"];

/// The numbers of a line.
const NUMBERS: usize = 14;

/// A line of the file.
struct Line<'a> {
    numbers: [usize; NUMBERS],
    /// For each level the family of the algorithm, or `-` where it is not known.
    choices: [&'a str; LEVELS.len()],
    networks: Vec<&'a str>,
}

impl<'a> Line<'a> {
    /// A line without choices has none that is known.
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_whitespace().peekable();
        let mut numbers = [0; NUMBERS];
        for number in &mut numbers {
            *number = words.next()?.parse().ok()?;
        }
        let is_choice = |word: &&str| *word == "-" || Algorithm::of_family(word).is_some();
        let mut choices = ["-"; LEVELS.len()];
        for choice in &mut choices {
            *choice = words.next_if(is_choice).unwrap_or("-");
        }
        Some(Self {
            numbers,
            choices,
            networks: words.collect(),
        })
    }

    fn geometry(&self) -> Conv2dGeometry {
        let [n, c, h, w, out, kh, kw, sh, sw, ph, pw, dh, dw, groups] = self.numbers;
        let pad = [ph, ph, pw, pw];
        Conv2dGeometry::new(n, c, [h, w], out, [kh, kw], [sh, sw], pad, [dh, dw], groups)
            .expect("a possible convolution")
    }

    fn write(&self, text: &mut String) {
        for (number, width) in self.numbers.iter().zip(WIDTHS) {
            let _ = write!(text, "{number:>width$} ");
        }
        for choice in self.choices {
            let _ = write!(text, " {choice:<12}");
        }
        let _ = writeln!(text, " {}", self.networks.join(" "));
    }
}

/// The columns of the numbers.
const WIDTHS: [usize; NUMBERS] = [2, 4, 3, 3, 4, 1, 1, 1, 1, 2, 2, 2, 2, 4];

const HEADER: &str = "\
# The distinct convolutions of well-known networks, and what computes them with kept weights at each level (`-`: not known).
# scripts/zoo.py prints the convolutions, `just choices` writes the choices, crates/kernels/tests/choices.rs fixes them.
#
# images, channels, height, width, filters, kernel h w, stride h w, padding h w, dilation h w, groups, portable, avx2, avx512, networks
";

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/shapes/zoo.txt")
}

/// Networks read images with contiguous rows and everything else with contiguous channels.
fn choice(g: &Conv2dGeometry, level: Level) -> &'static str {
    let input = if g.in_channels() < 8 {
        Layout::Nchw
    } else {
        Layout::Nhwc
    };
    choose(g, input, level, Accuracy::Fast).family()
}

#[test]
fn the_layers_of_networks_get_what_the_file_says() {
    let text = std::fs::read_to_string(file()).expect("the file is there");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut lines: Vec<Line<'_>> = lines
        .map(|line| Line::parse(line).unwrap_or_else(|| panic!("not a convolution: {line}")))
        .collect();
    assert!(lines.len() > 100);
    let mut different = String::new();
    for line in &mut lines {
        let g = line.geometry();
        for level in Level::available() {
            let Some(at) = LEVELS.iter().position(|&name| name == level.name()) else {
                continue;
            };
            let now = choice(&g, level);
            if now != line.choices[at] {
                let _ = writeln!(
                    different,
                    "{level}: {now} instead of {}: {g:?}",
                    line.choices[at]
                );
                line.choices[at] = now;
            }
        }
    }
    if std::env::var_os(WRITE).is_some() {
        let mut text = HEADER.to_owned();
        lines.iter().for_each(|line| line.write(&mut text));
        std::fs::write(file(), text).expect("the file can be written");
    } else {
        assert!(
            different.is_empty(),
            "other choices than in the file:\n{different}"
        );
    }
}
