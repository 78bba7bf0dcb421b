//! What the normalisations share.

use crate::error::{KernelError, check_len};
use crate::geometry::{GeometryError, Layout, element_count};
use crate::real::Real;

/// A dense array `[N, C, S]`, `S` standing for all spatial positions, in either layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NormGeometry {
    pub(super) batch: usize,
    channels: usize,
    pub(super) spatial: usize,
    pub(super) layout: Layout,
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

impl<R: Real> Affine<'_, R> {
    pub(super) fn weight_of(&self, c: usize) -> f64 {
        self.weight.map_or(1.0, |w| w[c].to_f64())
    }

    pub(super) fn bias_of(&self, c: usize) -> f64 {
        self.bias.map_or(0.0, |b| b[c].to_f64())
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

impl<R: Real> Statistics<'_, R> {
    /// `1 / sqrt(var + epsilon)`
    pub(super) fn inverse_deviation(&self, i: usize) -> f64 {
        1.0 / (self.var[i].to_f64() + self.epsilon).sqrt()
    }
}

/// What a normalisation ends with: the sum with a residual, then a `relu`. Both happen in the pass that writes.
#[derive(Clone, Copy, Debug)]
pub struct After<'a, R> {
    /// What is added, in the order of the array.
    pub residual: Option<&'a [R]>,
    /// Whether the last step is `max(y, 0)`.
    pub relu: bool,
}

impl<R> After<'_, R> {
    /// Nothing.
    pub const NONE: Self = Self {
        residual: None,
        relu: false,
    };

    pub(super) fn check(&self, op: &'static str, len: usize) -> Result<(), KernelError> {
        check_optional(op, "residual", self.residual, len)
    }
}

impl<'a, R: Real> After<'a, R> {
    pub(super) fn as_f32(&self) -> Option<After<'a, f32>> {
        let residual = match self.residual {
            None => None,
            Some(residual) => Some(R::as_f32(residual)?),
        };
        Some(After {
            residual,
            relu: self.relu,
        })
    }
}

/// What a backward pass reads, in the order of the array.
#[derive(Clone, Copy, Debug)]
pub struct Upstream<'a, R> {
    /// The argument of the forward pass.
    pub x: &'a [R],
    /// The gradient of the value.
    pub dy: &'a [R],
    /// The value, if it ended with a `relu`: where it is zero, no gradient passes.
    pub mask: Option<&'a [R]>,
}

impl<R> Upstream<'_, R> {
    pub(super) fn check(&self, op: &'static str, len: usize) -> Result<(), KernelError> {
        check_len(op, "x", self.x.len(), len)?;
        check_len(op, "dy", self.dy.len(), len)?;
        check_optional(op, "mask", self.mask, len)
    }
}

impl<'a, R: Real> Upstream<'a, R> {
    pub(super) fn as_f32(&self) -> Option<Upstream<'a, f32>> {
        let mask = match self.mask {
            None => None,
            Some(mask) => Some(R::as_f32(mask)?),
        };
        Some(Upstream {
            x: R::as_f32(self.x)?,
            dy: R::as_f32(self.dy)?,
            mask,
        })
    }

    /// The gradient that passes the mask, if there is one.
    pub(super) fn passed(&self) -> Option<Vec<R>> {
        let pass = |(&dy, &y): (&R, &R)| if y <= R::ZERO { R::ZERO } else { dy };
        self.mask
            .map(|mask| self.dy.iter().zip(mask).map(pass).collect())
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
