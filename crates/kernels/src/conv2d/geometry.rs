//! The shape of one 2-D convolution, checked once.

use crate::geometry::{GeometryError, element_count};

const OP: &str = "conv2d";

/// The widest vector of any level, in `f32`.
const MAX_LANES: usize = 16;

/// A 2-D convolution whose every index and length is known to fit.
///
/// The output has `(in + pad_before + pad_after - (dilation * (kernel - 1) + 1)) / stride + 1` rows
/// and columns, rounded down. Weights are `[out_channels, in_channels / groups, kernel_h, kernel_w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dGeometry {
    batch: usize,
    in_channels: usize,
    in_size: [usize; 2],
    out_channels: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
    dilation: [usize; 2],
    groups: usize,
    out_size: [usize; 2],
}

impl Conv2dGeometry {
    /// Checks a convolution. Pairs are `[h, w]`; `padding` is `[top, bottom, left, right]`.
    ///
    /// # Errors
    /// If a channel count, kernel, stride, dilation or `groups` is zero, if `groups` does not divide
    /// both channel counts, if the dilated kernel is larger than the padded input, or if a tensor of
    /// this convolution would exceed the address space. A batch of zero is fine.
    #[expect(
        clippy::too_many_arguments,
        reason = "the one place where a convolution is spelled out"
    )]
    pub fn new(
        batch: usize,
        in_channels: usize,
        in_size: [usize; 2],
        out_channels: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 4],
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
            let [before, after] = [padding[2 * axis], padding[2 * axis + 1]];
            out_size[axis] = out_extent(
                in_size[axis],
                before,
                after,
                kernel[axis],
                stride[axis],
                dilation[axis],
            )?;
        }
        let geometry = Self {
            batch,
            in_channels,
            in_size,
            out_channels,
            kernel,
            stride,
            padding,
            dilation,
            groups,
            out_size,
        };
        geometry.check_lengths()?;
        Ok(geometry)
    }

    fn check_lengths(&self) -> Result<(), GeometryError> {
        let [[ih, iw], [oh, ow], [kh, kw]] = [self.in_size, self.out_size, self.kernel];
        // Packed weights round the channels of every group up to whole vectors.
        let round = |channels: usize| channels.saturating_mul(MAX_LANES);
        element_count(OP, "input", &[self.batch, self.in_channels, ih, iw])?;
        element_count(OP, "output", &[self.batch, self.out_channels, oh, ow])?;
        element_count(
            OP,
            "weight",
            &[round(self.out_channels), round(self.in_channels), kh, kw],
        )?;
        Ok(())
    }

    /// The same convolution over another number of images.
    ///
    /// # Errors
    /// If a tensor would exceed the address space.
    pub fn with_batch(mut self, batch: usize) -> Result<Self, GeometryError> {
        self.batch = batch;
        self.check_lengths()?;
        Ok(self)
    }

    /// The same convolution, computing only the first `out_size` rows and columns of the output.
    pub(crate) fn cropped(mut self, out_size: [usize; 2]) -> Self {
        for (size, most) in self.out_size.iter_mut().zip(out_size) {
            *size = most.min(*size);
        }
        self
    }

    /// Number of images.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Channels of the input.
    pub fn in_channels(&self) -> usize {
        self.in_channels
    }

    /// Input `[h, w]`, without padding.
    pub fn in_size(&self) -> [usize; 2] {
        self.in_size
    }

    /// Channels of the output.
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }

    /// Kernel `[h, w]`.
    pub fn kernel(&self) -> [usize; 2] {
        self.kernel
    }

    /// Stride `[h, w]`.
    pub fn stride(&self) -> [usize; 2] {
        self.stride
    }

    /// Zero padding `[top, bottom, left, right]`.
    pub fn padding(&self) -> [usize; 4] {
        self.padding
    }

    /// Distance between kernel taps `[h, w]`.
    pub fn dilation(&self) -> [usize; 2] {
        self.dilation
    }

    /// Number of groups: output channels of a group see the input channels of that group only.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Output `[h, w]`.
    pub fn out_size(&self) -> [usize; 2] {
        self.out_size
    }

    /// Input channels that one output channel sees.
    pub fn group_in_channels(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Output channels of one group.
    pub fn group_out_channels(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Number of kernel taps.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Elements of the input.
    pub fn x_len(&self) -> usize {
        self.batch * self.in_channels * self.in_size[0] * self.in_size[1]
    }

    /// Elements of the output.
    pub fn y_len(&self) -> usize {
        self.batch * self.out_channels * self.out_size[0] * self.out_size[1]
    }

    /// Elements of the weights.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.group_in_channels() * self.taps()
    }

    /// Logical shape of the input: `[batch, in_channels, h, w]`.
    pub fn x_shape(&self) -> [usize; 4] {
        [
            self.batch,
            self.in_channels,
            self.in_size[0],
            self.in_size[1],
        ]
    }

    /// Logical shape of the output: `[batch, out_channels, h, w]`.
    pub fn y_shape(&self) -> [usize; 4] {
        [
            self.batch,
            self.out_channels,
            self.out_size[0],
            self.out_size[1],
        ]
    }

    /// Shape of the weights: `[out_channels, in_channels / groups, kernel_h, kernel_w]`.
    pub fn weight_shape(&self) -> [usize; 4] {
        [
            self.out_channels,
            self.group_in_channels(),
            self.kernel[0],
            self.kernel[1],
        ]
    }

    /// Whether every channel is convolved alone: one input and one output channel a group.
    pub fn is_depthwise(&self) -> bool {
        self.groups == self.in_channels && self.groups == self.out_channels
    }

    /// Kernel, stride, dilation and groups in short, such as `3x3s2d2g32`; what is 1 of the last two is
    /// left out.
    pub(crate) fn attributes(&self) -> String {
        let short = |[h, w]: [usize; 2]| {
            if h == w {
                h.to_string()
            } else {
                format!("{h}x{w}")
            }
        };
        let [kh, kw] = self.kernel;
        let mut text = format!("{kh}x{kw}s{}", short(self.stride));
        if self.dilation != [1, 1] {
            text.push_str(&format!("d{}", short(self.dilation)));
        }
        if self.groups > 1 {
            text.push_str(&format!("g{}", self.groups));
        }
        text
    }

    /// Multiply-adds of the forward pass, padding counted, as a float because it may not fit in an
    /// integer.
    pub fn multiply_adds(&self) -> f64 {
        self.y_len() as f64 * (self.group_in_channels() * self.taps()) as f64
    }
}

/// Checks what does not depend on the image: `[in_channels, out_channels, groups]` and
/// `[kernel, stride, dilation]`.
pub(crate) fn check_attributes(
    op: &'static str,
    [in_channels, out_channels, groups]: [usize; 3],
    [kernel, stride, dilation]: [[usize; 2]; 3],
) -> Result<(), GeometryError> {
    let positive = [
        ("in_channels", in_channels),
        ("out_channels", out_channels),
        ("kernel", kernel[0].min(kernel[1])),
        ("stride", stride[0].min(stride[1])),
        ("dilation", dilation[0].min(dilation[1])),
        ("groups", groups),
    ];
    for (field, value) in positive {
        if value == 0 {
            return Err(GeometryError::new(op, field, "0", "it must be at least 1"));
        }
    }
    for (field, channels) in [("in_channels", in_channels), ("out_channels", out_channels)] {
        if channels % groups != 0 {
            let rule = format!("it must be a multiple of groups = {groups}");
            return Err(GeometryError::new(op, field, channels.to_string(), rule));
        }
    }
    Ok(())
}

fn out_extent(
    extent: usize,
    before: usize,
    after: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
) -> Result<usize, GeometryError> {
    let fits = |value: usize| (value <= isize::MAX as usize).then_some(value);
    let padded = extent
        .checked_add(before)
        .and_then(|sum| sum.checked_add(after))
        .and_then(fits);
    let Some(padded) = padded else {
        let got = format!("[{before}, {after}]");
        return Err(GeometryError::new(
            OP,
            "padding",
            got,
            "the padded input must fit the address space",
        ));
    };
    let reach = (kernel - 1)
        .checked_mul(dilation)
        .and_then(|reach| reach.checked_add(1));
    match reach {
        Some(reach) if reach <= padded => Ok((padded - reach) / stride + 1),
        _ => {
            let rule = format!(
                "dilated by {dilation} it must not be larger than the padded input of {padded} = \
                 {extent} + {before} + {after}"
            );
            Err(GeometryError::new(OP, "kernel", kernel.to_string(), rule))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(
        channels: [usize; 3],
        size: usize,
        kernel: usize,
        stride: usize,
        pad: usize,
        dilation: usize,
    ) -> Result<Conv2dGeometry, GeometryError> {
        let [inputs, outputs, groups] = channels;
        let (size, pad) = ([size; 2], [pad; 4]);
        let (kernel, stride, dilation) = ([kernel; 2], [stride; 2], [dilation; 2]);
        Conv2dGeometry::new(
            2, inputs, size, outputs, kernel, stride, pad, dilation, groups,
        )
    }

    #[test]
    fn the_output_size_is_the_usual_one() {
        for (size, kernel, stride, pad, dilation, expected) in [
            (224, 7, 2, 3, 1, 112),
            (56, 3, 1, 1, 1, 56),
            (56, 1, 2, 0, 1, 28),
            (33, 3, 1, 12, 12, 33),
            (5, 5, 3, 0, 1, 1),
            (4, 2, 3, 5, 2, 4),
        ] {
            let g = build([4, 6, 2], size, kernel, stride, pad, dilation).unwrap();
            assert_eq!(g.out_size(), [expected; 2], "{g:?}");
        }
    }

    #[test]
    fn impossible_convolutions_are_refused() {
        let huge = usize::MAX / 2;
        for (error, expected) in [
            (build([4, 6, 1], 5, 6, 1, 0, 1), "kernel is 6, but"),
            (
                build([4, 6, 1], 5, 3, 1, 0, 3),
                "kernel is 3, but dilated by 3",
            ),
            (build([4, 6, 1], 5, 3, 1, 1, huge), "kernel is 3, but"),
            (build([4, 6, 4], 5, 3, 1, 1, 1), "out_channels is 6, but"),
            (build([4, 6, 0], 5, 3, 1, 1, 1), "groups is 0, but"),
            (build([0, 6, 1], 5, 3, 1, 1, 1), "in_channels is 0, but"),
            (build([4, 6, 1], 5, 3, 0, 1, 1), "stride is 0, but"),
            (build([4, 6, 1], 5, 3, 1, huge, 1), "padding is"),
            (build([4, 6, 1], huge, 3, 1, 0, 1), "input is"),
            (build([4, 6, 1], 5, 3, 1, 1 << 40, 1), "output is"),
            (build([huge, 6, 1], 5, 1, 1, 0, 1), "input is"),
        ] {
            let message = error.expect_err(expected).to_string();
            assert!(
                message.starts_with(&format!("conv2d: {expected}")),
                "{message}"
            );
        }
    }
}
