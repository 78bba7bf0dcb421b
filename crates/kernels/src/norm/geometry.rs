//! What the normalisations share.

use crate::error::{KernelError, check_len};
use crate::geometry::{GeometryError, Layout, element_count};

/// A dense array `[N, C, S]`, `S` standing for all spatial positions, in either layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NormGeometry {
    batch: usize,
    channels: usize,
    spatial: usize,
    layout: Layout,
}

impl NormGeometry {
    /// An array of `batch` images of `spatial` positions with `channels` channels.
    ///
    /// # Errors
    /// If the number of elements does not fit the address space.
    pub fn new(
        batch: usize,
        channels: usize,
        spatial: usize,
        layout: Layout,
    ) -> Result<Self, GeometryError> {
        element_count("norm", "shape", &[batch, channels, spatial])?;
        Ok(Self {
            batch,
            channels,
            spatial,
            layout,
        })
    }

    /// Number of images.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Number of positions of one image.
    pub fn spatial(&self) -> usize {
        self.spatial
    }

    /// The order of the elements.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Number of elements.
    pub fn total(&self) -> usize {
        self.batch * self.channels * self.spatial
    }

    /// Offset of the element of image `n`, channel `c`, position `s`.
    #[inline(always)]
    pub(super) fn offset(&self, n: usize, c: usize, s: usize) -> usize {
        match self.layout {
            Layout::Nchw => (n * self.channels + c) * self.spatial + s,
            Layout::Nhwc => (n * self.spatial + s) * self.channels + c,
        }
    }
}

/// The learned scale and shift; none stands for one and zero.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a, R> {
    /// The scale.
    pub weight: Option<&'a [R]>,
    /// The shift.
    pub bias: Option<&'a [R]>,
}

impl<R> Affine<'_, R> {
    /// No scale and no shift.
    pub const NONE: Self = Self {
        weight: None,
        bias: None,
    };

    pub(super) fn check(&self, op: &'static str, len: usize) -> Result<(), KernelError> {
        check_optional(op, "weight", self.weight, len)?;
        check_optional(op, "bias", self.bias, len)
    }
}

/// The means and biased variances that a normalisation divides by, and what is added to the variance.
#[derive(Clone, Copy, Debug)]
pub struct Statistics<'a, R> {
    /// The means.
    pub mean: &'a [R],
    /// The biased variances.
    pub var: &'a [R],
    /// What is added to the variances, so that their root can be divided by.
    pub epsilon: f64,
}

impl<R> Statistics<'_, R> {
    pub(super) fn check(&self, op: &'static str, len: usize) -> Result<(), KernelError> {
        check_len(op, "mean", self.mean.len(), len)?;
        check_len(op, "var", self.var.len(), len)
    }
}

pub(super) fn check_optional<R>(
    op: &'static str,
    operand: &'static str,
    slice: Option<&[R]>,
    len: usize,
) -> Result<(), KernelError> {
    slice.map_or(Ok(()), |s| check_len(op, operand, s.len(), len))
}
