//! Low-pass filters that an image goes through before rows and columns are dropped.

use super::{GeometryError, PadMode, element_count};

/// The most taps of a filter.
const MAX_TAPS: usize = 7;

/// A binomial filter on every channel, `[N, C, H, W] -> [N, C, OH, OW]`, with a step between its places.
///
/// A filter of `n` taps has the weights `binomial(n - 1, k) / 2^(n - 1)` along each axis. The image is padded by
/// `(n - 1) / 2` before and `n / 2` behind, rounded down, and by `extra` more on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlurGeometry {
    input: [usize; 4],
    output: [usize; 2],
    taps: [usize; 2],
    stride: [usize; 2],
    extra: [usize; 2],
    padding: PadMode,
}

impl BlurGeometry {
    /// Validates a filter of `taps` with the steps `stride`, each for rows and for columns.
    ///
    /// # Errors
    /// If there are not 1 to 7 taps, a stride is 0, the image has no rows or columns or too few to be reflected that
    /// far, or a size does not fit the address space.
    pub fn new(
        op: &'static str,
        input: [usize; 4],
        taps: [usize; 2],
        stride: [usize; 2],
        extra: [usize; 2],
        padding: PadMode,
    ) -> Result<Self, GeometryError> {
        let error = |field, got: String, rule: String| GeometryError::new(op, field, got, rule);
        element_count(op, "input", &input)?;
        let mut output = [0; 2];
        for axis in 0..2 {
            let (len, n, extra) = (input[2 + axis], taps[axis], extra[axis]);
            if !(1..=MAX_TAPS).contains(&n) {
                let rule = format!("a filter has 1 to {MAX_TAPS} taps");
                return Err(error("taps", format!("{taps:?}"), rule));
            }
            if stride[axis] == 0 {
                let rule = "it must be positive".to_owned();
                return Err(error("stride", format!("{stride:?}"), rule));
            }
            if len == 0 {
                let rule = "it must have rows and columns to blur".to_owned();
                return Err(error("input", format!("{input:?}"), rule));
            }
            // The padded axis, and with it every position of a tap, can be counted.
            element_count(op, "extra", &[extra.saturating_add(n), 4])?;
            let [before, behind] = [(n - 1) / 2 + extra, n / 2 + extra];
            if padding == PadMode::Reflect && behind >= len {
                let rule = format!("{behind} pixels cannot be reflected into {len}");
                return Err(error("input", format!("{input:?}"), rule));
            }
            output[axis] = (len + before + behind - n) / stride[axis] + 1;
            // The positions are listed.
            element_count(op, "output", &[output[axis], n, 2])?;
        }
        element_count(op, "output", &[input[0], input[1], output[0], output[1]])?;
        Ok(Self {
            input,
            output,
            taps,
            stride,
            extra,
            padding,
        })
    }

    /// The input's shape `[N, C, H, W]`.
    pub fn input(&self) -> [usize; 4] {
        self.input
    }

    /// The output's shape `[N, C, OH, OW]`.
    pub fn output(&self) -> [usize; 4] {
        [self.input[0], self.input[1], self.output[0], self.output[1]]
    }

    /// The input positions that output position `o` of `axis` (0 = rows, 1 = columns) is made of, ascending, each once,
    /// with their weights.
    pub(crate) fn inputs(&self, axis: usize, o: usize) -> Vec<(usize, f64)> {
        let (n, len) = (self.taps[axis], self.input[2 + axis]);
        let before = (n - 1) / 2 + self.extra[axis];
        let first = (o * self.stride[axis]) as isize - before as isize;
        let mut inputs: Vec<(usize, f64)> = Vec::with_capacity(n);
        let mut binomial = 1;
        for k in 0..n {
            if let Some(at) = self.padding.source(first + k as isize, len) {
                let weight = binomial as f64 / f64::from(1 << (n - 1));
                match inputs.iter_mut().find(|input| input.0 == at) {
                    Some(input) => input.1 += weight,
                    None => inputs.push((at, weight)),
                }
            }
            binomial = binomial * (n - 1 - k) / (k + 1);
        }
        inputs.sort_unstable_by_key(|input| input.0);
        inputs
    }
}
