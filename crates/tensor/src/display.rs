//! Printing like NumPy: nested brackets, aligned columns, the middle of long dimensions left out.

use std::fmt::{self, Write};

use crate::dtype::match_dtype;
use crate::{Element, Tensor};

/// Tensors with more elements are abbreviated.
const THRESHOLD: usize = 1000;
/// How many entries at either end of a dimension an abbreviation keeps.
const EDGE: usize = 3;
/// Rows longer than this are broken.
const WIDTH: usize = 88;

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = match_dtype!(self.dtype(), T => Printer::new::<T>(self).map(Printer::print));
        write!(
            f,
            "{}\n{} {:?}",
            body.ok_or(fmt::Error)?,
            self.dtype(),
            self.shape()
        )
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {:?}", self.dtype(), self.shape())?;
        if self.is_leaf() {
            write!(f, " requires_grad")?;
        } else if self.tracks_grad() {
            write!(f, " recorded")?;
        }
        write!(f, ")")
    }
}

/// The visible elements as text of one width.
struct Printer<'a> {
    shape: &'a [usize],
    abbreviate: bool,
    cells: std::vec::IntoIter<String>,
    width: usize,
    out: String,
}

impl<'a> Printer<'a> {
    fn new<T: Element>(tensor: &'a Tensor) -> Option<Self> {
        let abbreviate = tensor.numel() > THRESHOLD;
        let memory = tensor.memory::<T>().ok()?;
        let mut values = Vec::new();
        collect(tensor.shape(), tensor.strides(), abbreviate, 0, &mut |at| {
            values.push(memory[at]);
        });
        let cells = cells(&values);
        let width = cells.iter().map(String::len).max().unwrap_or(0);
        let cells = cells.into_iter();
        Some(Self {
            shape: tensor.shape(),
            abbreviate,
            cells,
            width,
            out: String::new(),
        })
    }

    fn print(mut self) -> String {
        if self.shape.is_empty() {
            return self.cells.next().unwrap_or_default();
        }
        self.dimension(0);
        self.out
    }

    fn dimension(&mut self, depth: usize) {
        self.out.push('[');
        let last = depth + 1 == self.shape.len();
        let mut column = depth + 1;
        for (i, entry) in entries(self.shape[depth], self.abbreviate).enumerate() {
            if i > 0 {
                self.out.push(',');
                let next = column + 1 + self.width;
                if !last {
                    // One empty line for each level that ends between two matrices.
                    let newlines = self.shape.len() - depth - 1;
                    self.out.extend(std::iter::repeat_n('\n', newlines));
                    self.indent(depth);
                } else if next > WIDTH {
                    self.out.push('\n');
                    self.indent(depth);
                    column = depth + 1;
                } else {
                    self.out.push(' ');
                    column += 1;
                }
            }
            match entry {
                None => self.out.push_str("..."),
                Some(()) if last => {
                    let cell = self.cells.next().unwrap_or_default();
                    // Writing to a string cannot fail.
                    let _ = write!(self.out, "{cell:>width$}", width = self.width);
                    column += self.width + 1;
                }
                Some(()) => self.dimension(depth + 1),
            }
        }
        self.out.push(']');
    }

    fn indent(&mut self, depth: usize) {
        self.out.extend(std::iter::repeat_n(' ', depth + 1));
    }
}

/// The entries of a dimension that are shown; `None` stands for those left out.
fn entries(len: usize, abbreviate: bool) -> impl Iterator<Item = Option<()>> {
    let shown = if abbreviate && len > 2 * EDGE {
        2 * EDGE + 1
    } else {
        len
    };
    (0..shown).map(move |i| (shown == len || i != EDGE).then_some(()))
}

/// Calls `f` with the offset of each element that is shown.
fn collect(
    shape: &[usize],
    strides: &[usize],
    abbreviate: bool,
    base: usize,
    f: &mut impl FnMut(usize),
) {
    let (Some((&len, shape)), Some((&stride, strides))) =
        (shape.split_first(), strides.split_first())
    else {
        f(base);
        return;
    };
    for i in 0..len {
        if !abbreviate || len <= 2 * EDGE || i < EDGE || i >= len - EDGE {
            collect(shape, strides, abbreviate, base + i * stride, f);
        }
    }
}

/// Numbers as text: whole ones as they are, fractions to four places, and all in scientific notation
/// when their sizes are too far apart.
fn cells<T: Element>(values: &[T]) -> Vec<String> {
    if !T::DTYPE.is_float() {
        return values.iter().map(T::to_string).collect();
    }
    let finite = || {
        values
            .iter()
            .map(|x| x.to_f64())
            .filter(|x| x.is_finite() && *x != 0.0)
    };
    let largest = finite().fold(0.0f64, |m, x| m.max(x.abs()));
    let smallest = finite().fold(f64::INFINITY, |m, x| m.min(x.abs()));
    let whole = finite().all(|x| x.fract() == 0.0);
    let scientific = largest >= 1e8 || (!whole && (smallest < 1e-4 || largest / smallest > 1e5));
    let text = |x: &T| {
        let x = x.to_f64();
        if !x.is_finite() {
            x.to_string()
        } else if scientific {
            format!("{x:.4e}")
        } else if whole {
            format!("{x:.0}.")
        } else {
            format!("{x:.4}")
        }
    };
    values.iter().map(text).collect()
}
