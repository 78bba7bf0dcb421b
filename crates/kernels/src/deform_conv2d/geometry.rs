//! The shape of one deformable convolution, checked once.

use crate::conv2d::Conv2dGeometry;
use crate::geometry::{GeometryError, element_count};

const OP: &str = "deform_conv2d";

/// A deformable convolution: a convolution and the number of groups of input channels that have offsets of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeformConv2dGeometry {
    conv: Conv2dGeometry,
    offset_groups: usize,
    border: DeformBorder,
}

/// What a place reads that lies beyond the outermost pixels of an image of `size` pixels along an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeformBorder {
    /// Pixels outside are zero: a place fades out from 0 to -1 and from `size - 1` to `size` (the operator of 2018).
    #[default]
    Zeros,
    /// A place below 0 or from `size` on reads zero, and one above `size - 1` the last pixel (the operator of 2017).
    Legacy,
}

impl DeformConv2dGeometry {
    /// A deformable convolution with the attributes of `conv`.
    ///
    /// # Errors
    /// If `offset_groups` is zero or does not divide the input channels, or a tensor would exceed the address space.
    pub fn new(conv: Conv2dGeometry, offset_groups: usize) -> Result<Self, GeometryError> {
        if offset_groups == 0 || !conv.in_channels().is_multiple_of(offset_groups) {
            let rule = format!("it must divide the {} input channels", conv.in_channels());
            let got = offset_groups.to_string();
            return Err(GeometryError::new(OP, "offset groups", got, rule));
        }
        let [h, w] = conv.out_size();
        // An offset has two coordinates; what is sampled for a pixel is stored while it is used.
        let sampled = conv.in_channels().max(3 * offset_groups);
        element_count(OP, "offset", &[conv.batch(), sampled, conv.taps(), h, w])?;
        Ok(Self {
            conv,
            offset_groups,
            border: DeformBorder::default(),
        })
    }

    /// The same with another rule for the border.
    #[must_use]
    pub fn with_border(self, border: DeformBorder) -> Self {
        Self { border, ..self }
    }

    /// The rule for the border.
    pub fn border(&self) -> DeformBorder {
        self.border
    }

    /// The convolution without offsets.
    pub fn conv(&self) -> &Conv2dGeometry {
        &self.conv
    }

    /// Groups of input channels that have offsets of their own.
    pub fn offset_groups(&self) -> usize {
        self.offset_groups
    }

    /// The shape of the offsets, `[N, 2 * offset_groups * taps, OH, OW]`: for each tap how far down and how far right.
    pub fn offset_shape(&self) -> [usize; 4] {
        self.per_tap(2)
    }

    /// The shape of the mask, `[N, offset_groups * taps, OH, OW]`.
    pub fn mask_shape(&self) -> [usize; 4] {
        self.per_tap(1)
    }

    fn per_tap(&self, numbers: usize) -> [usize; 4] {
        let [h, w] = self.conv.out_size();
        let channels = numbers * self.offset_groups * self.conv.taps();
        [self.conv.batch(), channels, h, w]
    }
}
