//! Convolution and pooling of sequences: those of images of one row, which share their memory.

use striate_kernels::pool::Divisor;

use super::check_float;
use super::spatial::Pair;
use crate::{Conv2dOptions, PoolOptions, Result, Tensor};

/// Attributes of a 1-D convolution, by default those of PyTorch: stride 1, no padding, no dilation, one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conv1dOptions(Conv2dOptions);

impl Conv1dOptions {
    /// Sets the step between outputs.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        Self(self.0.stride([1, stride]))
    }

    /// Sets the zeros at the ends: one number for both, or `[start, end]`.
    #[must_use]
    pub fn padding(self, padding: impl Into<Pair>) -> Self {
        Self(self.0.padding(ends(padding)))
    }

    /// Sets the distance between kernel taps.
    #[must_use]
    pub fn dilation(self, dilation: usize) -> Self {
        Self(self.0.dilation([1, dilation]))
    }

    /// Sets the number of groups.
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        Self(self.0.groups(groups))
    }
}

/// Attributes of a 1-D pooling window, by default those of PyTorch: the windows touch, no padding, no dilation,
/// incomplete windows are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool1dOptions(PoolOptions);

impl Pool1dOptions {
    /// Windows of this length that touch each other.
    #[must_use]
    pub fn new(kernel: usize) -> Self {
        Self(PoolOptions::new([1, kernel]))
    }

    /// Sets the step between windows.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        Self(self.0.stride([1, stride]))
    }

    /// Sets what is added at the ends, one number for both or `[start, end]`: minus infinity for a maximum, zero
    /// for an average.
    #[must_use]
    pub fn padding(self, padding: impl Into<Pair>) -> Self {
        Self(self.0.padding(ends(padding)))
    }

    /// Sets the distance between the elements of a window.
    #[must_use]
    pub fn dilation(self, dilation: usize) -> Self {
        Self(self.0.dilation([1, dilation]))
    }

    /// Sets whether a last window may hang over the end of the padded sequence.
    #[must_use]
    pub fn ceil_mode(self, yes: bool) -> Self {
        Self(self.0.ceil_mode(yes))
    }
}

fn ends(padding: impl Into<Pair>) -> [usize; 4] {
    let [start, end] = padding.into().0;
    [0, 0, start, end]
}

impl Tensor {
    /// Cross-correlation of sequences with a bank of kernels, plus a bias:
    ///
    /// `y[n,o,i] = b[o] + sum over c,u of x[n, c, i*stride + u*dilation - start] * w[o,c,u]`
    ///
    /// where `c` runs over the channels of the group of `o`. Outside of the sequence, `x` is 0.
    ///
    /// # Shapes
    /// `x [N, C, L]`, `weight [O, C/groups, K]`, `bias [O]` to `[N, O, OL]` with
    /// `OL = (L + start + end - dilation*(K-1) - 1) / stride + 1`, rounded down.
    ///
    /// # Errors
    /// Those of [`conv2d`](Self::conv2d), for an image of one row.
    pub fn conv1d(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        options: Conv1dOptions,
    ) -> Result<Self> {
        const OP: &str = "conv1d";
        let [out, channels, kernel] = weight.dims_array(OP)?;
        let weight = weight.reshape([out, channels, 1, kernel])?;
        self.of_row(OP, |x| x.conv2d(&weight, bias, options.0))
    }

    /// The largest element under each window; NaN if one is. Of equal ones, the first gets the gradient.
    ///
    /// # Shapes
    /// `[N, C, L]` to `[N, C, OL]`, as [`max_pool2d`](Self::max_pool2d).
    ///
    /// # Errors
    /// Those of [`max_pool2d`](Self::max_pool2d), for an image of one row.
    pub fn max_pool1d(&self, options: Pool1dOptions) -> Result<Self> {
        self.of_row("max_pool1d", |x| x.max_pool2d(options.0))
    }

    /// The mean under each window.
    ///
    /// # Shapes
    /// `[N, C, L]` to `[N, C, OL]`, as [`max_pool2d`](Self::max_pool2d).
    ///
    /// # Errors
    /// Those of [`avg_pool2d`](Self::avg_pool2d), for an image of one row.
    pub fn avg_pool1d(&self, options: Pool1dOptions, divisor: Divisor) -> Result<Self> {
        self.of_row("avg_pool1d", |x| x.avg_pool2d(options.0, divisor))
    }

    /// The mean of each of `size` cells: cell `i` covers elements `floor(i L / size) .. ceil((i + 1) L / size)`.
    ///
    /// # Shapes
    /// `[N, C, L]` to `[N, C, size]`.
    ///
    /// # Errors
    /// Those of [`adaptive_avg_pool2d`](Self::adaptive_avg_pool2d), for an image of one row.
    pub fn adaptive_avg_pool1d(&self, size: usize) -> Result<Self> {
        self.of_row("adaptive_avg_pool1d", |x| x.adaptive_avg_pool2d([1, size]))
    }

    /// The largest element of each of `size` cells, as [`adaptive_avg_pool1d`](Self::adaptive_avg_pool1d).
    ///
    /// # Shapes
    /// `[N, C, L]` to `[N, C, size]`.
    ///
    /// # Errors
    /// Those of [`adaptive_max_pool2d`](Self::adaptive_max_pool2d), for an image of one row.
    pub fn adaptive_max_pool1d(&self, size: usize) -> Result<Self> {
        self.of_row("adaptive_max_pool1d", |x| x.adaptive_max_pool2d([1, size]))
    }

    /// What `f` makes of the sequence as an image of one row, as a sequence.
    fn of_row(&self, op: &'static str, f: impl FnOnce(&Self) -> Result<Self>) -> Result<Self> {
        check_float(op, self)?;
        let [n, c, len] = self.dims_array(op)?;
        let y = f(&self.reshape([n, c, 1, len])?)?;
        let [n, c, _, len] = y.dims_array(op)?;
        y.reshape([n, c, len])
    }
}
