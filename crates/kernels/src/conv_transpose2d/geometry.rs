//! The shape of one transposed 2-D convolution, checked once.

use super::OP;
use crate::conv2d::{Conv2dGeometry, check_attributes};
use crate::geometry::{GeometryError, element_count};

/// A transposed 2-D convolution whose every index and length is known to fit.
///
/// The output has `(in - 1) * stride + dilation * (kernel - 1) + 1 + output_padding - pad_before - pad_after`
/// rows and columns. Weights are `[in_channels, out_channels / groups, kernel_h, kernel_w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvTranspose2dGeometry {
    adjoint: Conv2dGeometry,
    output_padding: [usize; 2],
}

impl ConvTranspose2dGeometry {
    /// Checks a transposed convolution. Pairs are `[h, w]`; `padding` is `[top, bottom, left, right]`
    /// and is taken away from the output; `output_padding` adds rows below and columns to the right.
    ///
    /// # Errors
    /// If a channel count, a size of the image, kernel, stride, dilation or `groups` is zero, if
    /// `groups` does not divide both channel counts, if an output padding is not smaller than the
    /// stride or the dilation, if the output has no pixel, or if a tensor would exceed the address
    /// space. A batch of zero is fine.
    #[expect(
        clippy::too_many_arguments,
        reason = "the one place where a transposed convolution is spelled out"
    )]
    pub fn new(
        batch: usize,
        in_channels: usize,
        in_size: [usize; 2],
        out_channels: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 4],
        output_padding: [usize; 2],
        dilation: [usize; 2],
        groups: usize,
    ) -> Result<Self, GeometryError> {
        check_attributes(
            OP,
            [in_channels, out_channels, groups],
            [kernel, stride, dilation],
        )?;
        let mut out_size = [0; 2];
        for axis in 0..2 {
            let (extra, most) = (output_padding[axis], stride[axis].max(dilation[axis]));
            if extra >= most {
                let rule = format!(
                    "it must be smaller than the stride of {} or the dilation of {}",
                    stride[axis], dilation[axis]
                );
                return Err(GeometryError::new(
                    OP,
                    "output_padding",
                    extra.to_string(),
                    rule,
                ));
            }
            let full = full_extent(
                in_size[axis],
                kernel[axis],
                stride[axis],
                dilation[axis],
                extra,
            )?;
            let [before, after] = [padding[2 * axis], padding[2 * axis + 1]];
            let kept = before.checked_add(after).and_then(|p| full.checked_sub(p));
            out_size[axis] = kept.filter(|&size| size > 0).ok_or_else(|| {
                let rule = format!("it must leave a part of the {full} rows or columns computed");
                GeometryError::new(OP, "padding", format!("[{before}, {after}]"), rule)
            })?;
        }
        element_count(OP, "input", &[batch, in_channels, in_size[0], in_size[1]])?;
        element_count(
            OP,
            "output",
            &[batch, out_channels, out_size[0], out_size[1]],
        )?;
        let adjoint = Conv2dGeometry::new(
            batch,
            out_channels,
            out_size,
            in_channels,
            kernel,
            stride,
            padding,
            dilation,
            groups,
        )?;
        // An output padding of a stride or more gives the convolution more outputs than there are.
        Ok(Self {
            adjoint: adjoint.cropped(in_size),
            output_padding,
        })
    }

    /// The convolution from the output's shape to the input's with the same weights: its data gradient
    /// is this transposed convolution.
    pub(crate) fn adjoint(&self) -> &Conv2dGeometry {
        &self.adjoint
    }

    /// The same transposed convolution over another number of images.
    ///
    /// # Errors
    /// If a tensor would exceed the address space.
    pub fn with_batch(mut self, batch: usize) -> Result<Self, GeometryError> {
        self.adjoint = self.adjoint.with_batch(batch)?;
        Ok(self)
    }

    /// Number of images.
    pub fn batch(&self) -> usize {
        self.adjoint.batch()
    }

    /// Channels of the input.
    pub fn in_channels(&self) -> usize {
        self.adjoint.out_channels()
    }

    /// Input `[h, w]`.
    pub fn in_size(&self) -> [usize; 2] {
        self.adjoint.out_size()
    }

    /// Channels of the output.
    pub fn out_channels(&self) -> usize {
        self.adjoint.in_channels()
    }

    /// Output `[h, w]`.
    pub fn out_size(&self) -> [usize; 2] {
        self.adjoint.in_size()
    }

    /// Kernel `[h, w]`.
    pub fn kernel(&self) -> [usize; 2] {
        self.adjoint.kernel()
    }

    /// Output pixels between the neighbours of the input, `[h, w]`.
    pub fn stride(&self) -> [usize; 2] {
        self.adjoint.stride()
    }

    /// Rows and columns taken away from the output, `[top, bottom, left, right]`.
    pub fn padding(&self) -> [usize; 4] {
        self.adjoint.padding()
    }

    /// Rows and columns added below and to the right of the output, `[h, w]`.
    pub fn output_padding(&self) -> [usize; 2] {
        self.output_padding
    }

    /// Distance between kernel taps `[h, w]`.
    pub fn dilation(&self) -> [usize; 2] {
        self.adjoint.dilation()
    }

    /// Number of groups: input channels of a group reach the output channels of that group only.
    pub fn groups(&self) -> usize {
        self.adjoint.groups()
    }

    /// Input channels of one group.
    pub fn group_in_channels(&self) -> usize {
        self.adjoint.group_out_channels()
    }

    /// Output channels that one input channel reaches.
    pub fn group_out_channels(&self) -> usize {
        self.adjoint.group_in_channels()
    }

    /// Number of kernel taps.
    pub fn taps(&self) -> usize {
        self.adjoint.taps()
    }

    /// Elements of the input.
    pub fn x_len(&self) -> usize {
        self.adjoint.y_len()
    }

    /// Elements of the output.
    pub fn y_len(&self) -> usize {
        self.adjoint.x_len()
    }

    /// Elements of the weights.
    pub fn weight_len(&self) -> usize {
        self.adjoint.weight_len()
    }

    /// Logical shape of the input: `[batch, in_channels, h, w]`.
    pub fn x_shape(&self) -> [usize; 4] {
        self.adjoint.y_shape()
    }

    /// Logical shape of the output: `[batch, out_channels, h, w]`.
    pub fn y_shape(&self) -> [usize; 4] {
        self.adjoint.x_shape()
    }

    /// Shape of the weights: `[in_channels, out_channels / groups, kernel_h, kernel_w]`.
    pub fn weight_shape(&self) -> [usize; 4] {
        self.adjoint.weight_shape()
    }

    /// Multiply-adds of the forward pass, those that fall outside of the output counted, as a float
    /// because it may not fit in an integer.
    pub fn multiply_adds(&self) -> f64 {
        self.adjoint.multiply_adds()
    }
}

/// Rows or columns that the taps of all input pixels reach, with the output padding.
fn full_extent(
    extent: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    extra: usize,
) -> Result<usize, GeometryError> {
    let Some(steps) = extent.checked_sub(1) else {
        return Err(GeometryError::new(
            OP,
            "input",
            "0 rows or columns",
            "it must have a pixel",
        ));
    };
    let reach = |steps: usize, step: usize| steps.checked_mul(step);
    let sum = |a: Option<usize>, b: Option<usize>| a?.checked_add(b?);
    let full = sum(reach(steps, stride), reach(kernel - 1, dilation));
    sum(full, extra.checked_add(1))
        .filter(|&full| full <= isize::MAX as usize)
        .ok_or_else(|| {
            let rule = "the taps of all pixels must fit the address space";
            GeometryError::new(OP, "stride", stride.to_string(), rule)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(
        channels: [usize; 3],
        size: usize,
        kernel: usize,
        stride: usize,
        [pad, output_padding]: [usize; 2],
        dilation: usize,
    ) -> Result<ConvTranspose2dGeometry, GeometryError> {
        let [inputs, outputs, groups] = channels;
        ConvTranspose2dGeometry::new(
            2,
            inputs,
            [size; 2],
            outputs,
            [kernel; 2],
            [stride; 2],
            [pad; 4],
            [output_padding; 2],
            [dilation; 2],
            groups,
        )
    }

    #[test]
    fn the_sizes_are_those_of_pytorch() {
        for (size, kernel, stride, pads, dilation, expected) in [
            (28, 4, 2, [1, 0], 1, 56),
            (7, 3, 2, [1, 1], 1, 14),
            (5, 2, 2, [0, 0], 1, 10),
            (6, 3, 1, [2, 1], 2, 7),
            (4, 1, 3, [0, 2], 1, 12),
            (1, 3, 1, [0, 2], 3, 9),
        ] {
            let g = build([4, 6, 2], size, kernel, stride, pads, dilation).unwrap();
            assert_eq!(g.out_size(), [expected; 2], "{g:?}");
            assert_eq!(g.in_size(), [size; 2], "{g:?}");
            assert_eq!(g.weight_shape(), [4, 3, kernel, kernel]);
        }
    }

    #[test]
    fn impossible_ones_are_refused() {
        let huge = usize::MAX / 2;
        for (error, expected) in [
            (
                build([4, 6, 1], 5, 3, 2, [0, 2], 1),
                "output_padding is 2, but",
            ),
            (
                build([4, 6, 1], 5, 3, 2, [0, 2], 2),
                "output_padding is 2, but",
            ),
            (
                build([4, 6, 1], 1, 3, 1, [2, 0], 1),
                "padding is [2, 2], but",
            ),
            (build([4, 6, 1], 5, 3, 1, [huge, 0], 1), "padding is"),
            (build([4, 6, 1], 0, 3, 1, [0, 0], 1), "input is 0 rows"),
            (build([4, 6, 1], 5, 3, huge, [0, 0], 1), "stride is"),
            (build([4, 6, 1], 5, 3, 1, [0, 0], huge), "stride is"),
            (build([4, 6, 1], 5, 3, 1 << 40, [0, 0], 1), "output is"),
            (
                build([4, 6, 4], 5, 3, 1, [0, 0], 1),
                "out_channels is 6, but",
            ),
            (
                build([0, 6, 1], 5, 3, 1, [0, 0], 1),
                "in_channels is 0, but",
            ),
            (build([4, 6, 1], 5, 0, 1, [0, 0], 1), "kernel is 0, but"),
        ] {
            let message = error.expect_err(expected).to_string();
            assert!(
                message.starts_with(&format!("conv_transpose2d: {expected}")),
                "{message}"
            );
        }
    }
}
