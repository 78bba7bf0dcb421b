//! Windows of pooling.

use super::{GeometryError, element_count};
use std::ops::Range;

/// The attributes of a pooling window. Pairs are `[h, w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolWindow {
    /// Taps per axis.
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: [usize; 2],
    /// Padding `[top, bottom, left, right]`.
    pub padding: [usize; 4],
    /// Distance between taps.
    pub dilation: [usize; 2],
    /// Whether a last window that hangs over the padded input counts, as long as it starts inside the input or the
    /// padding before it.
    pub ceil_mode: bool,
}

impl PoolWindow {
    /// A square window without padding or dilation.
    pub fn new(kernel: usize, stride: usize) -> Self {
        Self {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [0; 4],
            dilation: [1; 2],
            ceil_mode: false,
        }
    }
}

/// A pooling problem: `[N, C, H, W] -> [N, C, OH, OW]`.
///
/// `OH = floor((H + top + bottom - dilation * (kernel - 1) - 1) / stride) + 1`, with `ceil` for `floor` in ceil mode, where
/// a last window that would start beyond the input and the padding before it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolGeometry {
    input: [usize; 4],
    window: PoolWindow,
    output: [usize; 2],
}

impl PoolGeometry {
    /// Validates `window` over an input of shape `[N, C, H, W]`; `op` is the name that errors carry.
    ///
    /// # Errors
    /// If the kernel, stride or dilation has a zero, a padding exceeds half of the (dilated) kernel, the kernel is
    /// larger than the padded input, or a size does not fit the address space.
    pub fn new(
        op: &'static str,
        input: [usize; 4],
        window: PoolWindow,
    ) -> Result<Self, GeometryError> {
        let PoolWindow {
            kernel,
            stride,
            padding,
            dilation,
            ceil_mode,
        } = window;
        for (field, pair) in [
            ("kernel", kernel),
            ("stride", stride),
            ("dilation", dilation),
        ] {
            if pair.contains(&0) {
                return Err(GeometryError::new(
                    op,
                    field,
                    format!("{pair:?}"),
                    "it must be positive",
                ));
            }
        }
        element_count(op, "input", &input)?;
        element_count(op, "kernel", &kernel)?;
        let mut output = [0; 2];
        for axis in 0..2 {
            let (before, after) = (padding[2 * axis], padding[2 * axis + 1]);
            let size = input[2 + axis];
            let too_large = |field, got: String| {
                GeometryError::new(op, field, got, "it must fit the address space")
            };
            let reach = (kernel[axis] - 1)
                .checked_mul(dilation[axis])
                .and_then(|r| r.checked_add(1))
                .filter(|&r| r <= isize::MAX as usize / 8)
                .ok_or_else(|| too_large("dilation", format!("{dilation:?}")))?;
            if before.max(after) > reach / 2 {
                let rule = "it must be at most half of the dilated kernel";
                return Err(GeometryError::new(
                    op,
                    "padding",
                    format!("{padding:?}"),
                    rule,
                ));
            }
            let padded = size + before + after;
            if reach > padded {
                let rule = format!(
                    "the dilated kernel must not be larger than the padded input ({reach} > {padded})"
                );
                return Err(GeometryError::new(
                    op,
                    "kernel",
                    format!("{kernel:?}"),
                    rule,
                ));
            }
            let free = padded - reach;
            let step = stride[axis];
            let mut count = free / step + 1;
            if ceil_mode && !free.is_multiple_of(step) && count * step < size + before {
                count += 1;
            }
            output[axis] = count;
        }
        element_count(op, "output", &[input[0], input[1], output[0], output[1]])?;
        Ok(Self {
            input,
            window,
            output,
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

    /// The window.
    pub fn window(&self) -> PoolWindow {
        self.window
    }

    /// Number of taps of the window.
    pub fn taps(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1]
    }

    /// Number of elements of the input.
    pub fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    /// Number of elements of the output.
    pub fn output_len(&self) -> usize {
        self.output().iter().product()
    }

    /// The taps of output position `o` on `axis` (0 = rows, 1 = columns) that fall inside the input.
    pub fn taps_inside(&self, axis: usize, o: usize) -> Range<usize> {
        let (before, dilation) = (self.window.padding[2 * axis], self.window.dilation[axis]);
        let start = o * self.window.stride[axis];
        let first = before.saturating_sub(start).div_ceil(dilation);
        // Tap t stands at start + t * dilation - before, which must stay below the input's size.
        let end = (self.input[2 + axis] + before)
            .saturating_sub(start)
            .div_ceil(dilation);
        let end = end.min(self.window.kernel[axis]);
        first.min(end)..end
    }

    /// The input position of tap `t` of output position `o` on `axis`. Only for taps in [`taps_inside`](Self::taps_inside).
    pub fn position(&self, axis: usize, o: usize, t: usize) -> usize {
        o * self.window.stride[axis] + t * self.window.dilation[axis]
            - self.window.padding[2 * axis]
    }

    /// The number of taps of output position `o` on `axis` that an average counts: those inside the input or, with
    /// `include_pad`, also those in the padding. Taps that hang over the padding in ceil mode never count.
    pub fn taps_counted(&self, axis: usize, o: usize, include_pad: bool) -> usize {
        if !include_pad {
            return self.taps_inside(axis, o).len();
        }
        let padded = self.input[2 + axis]
            + self.window.padding[2 * axis]
            + self.window.padding[2 * axis + 1];
        let start = o * self.window.stride[axis];
        let end = padded
            .saturating_sub(start)
            .div_ceil(self.window.dilation[axis]);
        end.min(self.window.kernel[axis])
    }
}

/// Adaptive pooling `[N, C, H, W] -> [N, C, OH, OW]`: output `i` covers inputs `floor(i H / OH) .. ceil((i + 1) H / OH)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdaptivePoolGeometry {
    input: [usize; 4],
    output: [usize; 2],
}

impl AdaptivePoolGeometry {
    /// Validates pooling of an input of shape `[N, C, H, W]` to `output` rows and columns.
    ///
    /// # Errors
    /// If the input has no rows or columns while the output has, or a size does not fit the address space.
    pub fn new(
        op: &'static str,
        input: [usize; 4],
        output: [usize; 2],
    ) -> Result<Self, GeometryError> {
        let [n, c, h, w] = input;
        element_count(op, "input", &input)?;
        element_count(op, "output", &[n, c, output[0], output[1]])?;
        let fits =
            |a: usize, b: usize| a.checked_add(1).is_some_and(|a| a.checked_mul(b).is_some());
        if !fits(output[0], h) || !fits(output[1], w) {
            let rule = "the product with the input's size must fit the address space";
            return Err(GeometryError::new(
                op,
                "output",
                format!("{output:?}"),
                rule,
            ));
        }
        if (h == 0 || w == 0) && output[0] * output[1] > 0 {
            let rule = "it must have rows and columns to pool";
            return Err(GeometryError::new(op, "input", format!("{input:?}"), rule));
        }
        Ok(Self { input, output })
    }

    /// The input's shape `[N, C, H, W]`.
    pub fn input(&self) -> [usize; 4] {
        self.input
    }

    /// The output's shape `[N, C, OH, OW]`.
    pub fn output(&self) -> [usize; 4] {
        [self.input[0], self.input[1], self.output[0], self.output[1]]
    }

    /// Number of elements of the input.
    pub fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    /// Number of elements of the output.
    pub fn output_len(&self) -> usize {
        self.output().iter().product()
    }

    /// The input positions that output position `o` of `axis` (0 = rows, 1 = columns) covers; never empty.
    pub fn covered(&self, axis: usize, o: usize) -> Range<usize> {
        let (size, count) = (self.input[2 + axis], self.output[axis]);
        o * size / count..((o + 1) * size).div_ceil(count)
    }
}
