//! Sampling of images at places of a grid.

use super::{GeometryError, element_count};

/// Which pixels around a place its value is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SampleMode {
    /// The four around it, linearly along each axis.
    #[default]
    Bilinear,
    /// The nearest one; halfway between two, the one with the even number.
    Nearest,
    /// The sixteen around it, by Keys' cubic with `a = -0.75` along each axis.
    Bicubic,
}

/// What lies outside of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SamplePadding {
    /// Zeros.
    #[default]
    Zeros,
    /// The outermost pixels, repeated.
    Border,
    /// The image mirrored, again and again: at the centres of the corner pixels if corners are aligned, at the edges of the
    /// image otherwise.
    Reflection,
}

/// A sampling `[N, C, H, W]` at `[N, OH, OW, 2]` places to `[N, C, OH, OW]`.
///
/// The places are `(x, y)` from -1 to 1: the centres of the corner pixels if corners are aligned, `(x + 1) / 2 * (W - 1)` in pixels,
/// and the edges of the image otherwise, `((x + 1) W - 1) / 2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SampleGeometry {
    input: [usize; 4],
    output: [usize; 2],
    /// Which pixels a value is made of.
    pub mode: SampleMode,
    /// What lies outside.
    pub padding: SamplePadding,
    /// What -1 and 1 stand for.
    pub align_corners: bool,
}

impl SampleGeometry {
    /// Validates sampling of an input of shape `[N, C, H, W]` at `output` rows and columns of places.
    ///
    /// # Errors
    /// If the input has no rows or columns while the output has, or a size does not fit the address space.
    pub fn new(
        op: &'static str,
        input: [usize; 4],
        output: [usize; 2],
        mode: SampleMode,
        padding: SamplePadding,
        align_corners: bool,
    ) -> Result<Self, GeometryError> {
        let [n, c, h, w] = input;
        element_count(op, "input", &input)?;
        element_count(op, "output", &[n, c.max(2), output[0], output[1]])?;
        if (h == 0 || w == 0) && output[0] * output[1] > 0 {
            let rule = "it must have rows and columns to sample";
            return Err(GeometryError::new(op, "input", format!("{input:?}"), rule));
        }
        Ok(Self {
            input,
            output,
            mode,
            padding,
            align_corners,
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

    /// The grid's shape `[N, OH, OW, 2]`.
    pub fn grid(&self) -> [usize; 4] {
        [self.input[0], self.output[0], self.output[1], 2]
    }
}
