//! Convolution and pooling of volumes `[N, C, T, H, W]`, frame by frame: a volume is a batch of `N * T` images.
//!
//! What reaches over depth is a second step that sees frames as pixels. A convolution reads its taps over depth as
//! so many times the channels of one 2-D convolution, which sums them in registers; one with groups is a sum of 2-D
//! convolutions, one for each tap, which without gradients add to what there is as they write. With a kernel of depth 1
//! nothing is copied.

use striate_kernels::conv2d::Conv2dGeometry;
use striate_kernels::pool::Divisor;

use super::check_float;
use crate::autograd::is_grad_enabled;
use crate::{Conv2dEpilogue, Conv2dOptions, PadMode, PoolOptions, Result, Tensor};

/// A number for the depth, one for the height and one for the width. Made from one number for all or from `[t, h, w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Triple(pub [usize; 3]);

impl From<usize> for Triple {
    fn from(all: usize) -> Self {
        Self([all; 3])
    }
}

impl From<[usize; 3]> for Triple {
    fn from(triple: [usize; 3]) -> Self {
        Self(triple)
    }
}

impl From<(usize, usize, usize)> for Triple {
    fn from((t, h, w): (usize, usize, usize)) -> Self {
        Self([t, h, w])
    }
}

/// Attributes of a 3-D convolution, by default those of PyTorch: stride 1, no padding, no dilation, one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv3dOptions {
    /// Step between outputs, `[t, h, w]`.
    pub stride: [usize; 3],
    /// Zeros on either side, `[t, h, w]`.
    pub padding: [usize; 3],
    /// Distance between kernel taps, `[t, h, w]`.
    pub dilation: [usize; 3],
    /// Number of groups; output channels of a group see the input channels of that group only.
    pub groups: usize,
}

impl Default for Conv3dOptions {
    fn default() -> Self {
        Self {
            stride: [1; 3],
            padding: [0; 3],
            dilation: [1; 3],
            groups: 1,
        }
    }
}

impl Conv3dOptions {
    /// Sets the step between outputs.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Triple>) -> Self {
        self.stride = stride.into().0;
        self
    }

    /// Sets the zeros on either side.
    #[must_use]
    pub fn padding(mut self, padding: impl Into<Triple>) -> Self {
        self.padding = padding.into().0;
        self
    }

    /// Sets the distance between kernel taps.
    #[must_use]
    pub fn dilation(mut self, dilation: impl Into<Triple>) -> Self {
        self.dilation = dilation.into().0;
        self
    }

    /// Sets the number of groups.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// What happens to a frame.
    fn plane(&self) -> Conv2dOptions {
        let [[_, sh, sw], [_, ph, pw], [_, dh, dw]] = [self.stride, self.padding, self.dilation];
        Conv2dOptions::default()
            .stride([sh, sw])
            .padding([ph, pw])
            .dilation([dh, dw])
            .groups(self.groups)
    }
}

/// Attributes of a 3-D pooling window, by default those of PyTorch: the windows touch, no padding, no dilation,
/// incomplete windows are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool3dOptions {
    /// Over frames, `[t, 1]`.
    depth: PoolOptions,
    /// Within a frame, `[h, w]`.
    plane: PoolOptions,
}

impl Pool3dOptions {
    /// Windows of this size that touch each other.
    #[must_use]
    pub fn new(kernel: impl Into<Triple>) -> Self {
        let Triple([t, h, w]) = kernel.into();
        Self {
            depth: PoolOptions::new([t, 1]),
            plane: PoolOptions::new([h, w]),
        }
    }

    /// Sets the step between windows.
    #[must_use]
    pub fn stride(self, stride: impl Into<Triple>) -> Self {
        let Triple([t, h, w]) = stride.into();
        Self {
            depth: self.depth.stride([t, 1]),
            plane: self.plane.stride([h, w]),
        }
    }

    /// Sets what is added on either side: minus infinity for a maximum, zero for an average.
    #[must_use]
    pub fn padding(self, padding: impl Into<Triple>) -> Self {
        let Triple([t, h, w]) = padding.into();
        Self {
            depth: self.depth.padding([t, 0]),
            plane: self.plane.padding([h, w]),
        }
    }

    /// Sets the distance between the elements of a window.
    #[must_use]
    pub fn dilation(self, dilation: impl Into<Triple>) -> Self {
        let Triple([t, h, w]) = dilation.into();
        Self {
            depth: self.depth.dilation([t, 1]),
            plane: self.plane.dilation([h, w]),
        }
    }

    /// Sets whether a last window may hang over the end of the padded volume.
    #[must_use]
    pub fn ceil_mode(self, yes: bool) -> Self {
        Self {
            depth: self.depth.ceil_mode(yes),
            plane: self.plane.ceil_mode(yes),
        }
    }
}

impl Tensor {
    /// Cross-correlation of volumes with a bank of kernels, plus a bias:
    ///
    /// `y[n,o,i,j,k] = b[o] + sum over c,s,u,v of x[n, c, i*st+s*dt-pt, j*sh+u*dh-ph, k*sw+v*dw-pw] * w[o,c,s,u,v]`
    ///
    /// where `c` runs over the channels of the group of `o`. Outside of the volume, `x` is 0.
    ///
    /// # Shapes
    /// `x [N, C, T, H, W]`, `weight [O, C/groups, KT, KH, KW]`, `bias [O]` to `[N, O, OT, OH, OW]` with
    /// `OT = (T + 2*pt - dt*(KT-1) - 1) / st + 1`, rounded down, and so on.
    ///
    /// # Errors
    /// The shapes do not fit each other, the kernel is larger than the padded volume, element types differ, or
    /// memory is out.
    pub fn conv3d(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        options: Conv3dOptions,
    ) -> Result<Self> {
        const OP: &str = "conv3d";
        check_float(OP, self)?;
        let [n, c, t, h, w] = self.dims_array(OP)?;
        let [out, per_group, taps, kh, kw] = weight.dims_array(OP)?;
        let ([stride, ..], [padding, ..], [dilation, ..]) =
            (options.stride, options.padding, options.dilation);
        let plane = options.plane();
        if [taps, stride, padding] == [1, 1, 0] {
            let weight = weight.reshape([out, per_group, kh, kw])?;
            return frames(self)?.conv2d(&weight, bias, plane)?.volume(n, t);
        }
        // Checks the numbers of the depth.
        let depth = Conv2dGeometry::new(
            n,
            c,
            [t, 1],
            out,
            [taps, 1],
            [stride, 1],
            [padding, padding, 0, 0],
            [dilation, 1],
            options.groups,
        )?;
        let [_, _, frames, _] = depth.y_shape();
        let x = pad_frames(&self.permute(&[0, 2, 3, 4, 1])?, padding)?;
        // The frames that meet tap `k`.
        let tap = |k: usize| {
            let first = k * dilation;
            if stride == 1 {
                return x.narrow(1, first, frames);
            }
            let steps: Vec<i64> = (0..frames).map(|i| (first + i * stride) as i64).collect();
            x.index_select(1, &Self::from_vec(steps, frames)?)
        };
        let image = |x: &Self| -> Result<Self> {
            let channels = x.shape()[4];
            let x = x.reshape([n.saturating_mul(frames), h, w, channels])?;
            x.permute(&[0, 3, 1, 2])
        };
        if options.groups == 1 {
            let all = (0..taps).map(tap).collect::<Result<Vec<_>>>()?;
            let stacked = Self::cat(&all.iter().collect::<Vec<_>>(), 4)?;
            let weight = weight.transpose(1, 2)?;
            let weight = weight.reshape([out, taps * per_group, kh, kw])?;
            return image(&stacked)?
                .conv2d(&weight, bias, plane)?
                .volume(n, frames);
        }
        let mut y = image(&tap(0)?)?.conv2d(&weight.select(2, 0)?, bias, plane)?;
        for k in 1..taps {
            let (x, weight) = (image(&tap(k)?)?, weight.select(2, k)?);
            y = if is_grad_enabled() {
                y.add(&x.conv2d(&weight, None, plane)?)?
            } else {
                let onto = Conv2dEpilogue {
                    residual: Some(&y),
                    ..Conv2dEpilogue::default()
                };
                x.conv2d_fused(&weight, plane, &onto)?
            };
        }
        y.volume(n, frames)
    }

    /// The largest element under each window; NaN if one is. Of equal ones, the first in row-major order gets the
    /// gradient.
    ///
    /// # Shapes
    /// `[N, C, T, H, W]` to `[N, C, OT, OH, OW]`, as [`max_pool2d`](Self::max_pool2d).
    ///
    /// # Errors
    /// Those of [`max_pool2d`](Self::max_pool2d), for a volume.
    pub fn max_pool3d(&self, options: Pool3dOptions) -> Result<Self> {
        const OP: &str = "max_pool3d";
        let pool = |x: &Self, options| x.max_pool2d(options);
        self.pooled(OP, options, pool, pool)
    }

    /// The mean under each window.
    ///
    /// # Shapes
    /// `[N, C, T, H, W]` to `[N, C, OT, OH, OW]`, as [`max_pool2d`](Self::max_pool2d).
    ///
    /// # Errors
    /// Those of [`avg_pool2d`](Self::avg_pool2d), for a volume.
    pub fn avg_pool3d(&self, options: Pool3dOptions, divisor: Divisor) -> Result<Self> {
        const OP: &str = "avg_pool3d";
        // The number of taps is a product; a given number divides once.
        let over_depth = match divisor {
            Divisor::Fixed(_) => Divisor::Fixed(1),
            counted => counted,
        };
        self.pooled(
            OP,
            options,
            |x, options| x.avg_pool2d(options, divisor),
            |x, options| x.avg_pool2d(options, over_depth),
        )
    }

    /// The mean of each cell of a grid, whose cell `i` along an axis of length `L` covers elements
    /// `floor(i L / size) .. ceil((i + 1) L / size)`.
    ///
    /// # Shapes
    /// `[N, C, T, H, W]` to `[N, C, size]`.
    ///
    /// # Errors
    /// Those of [`adaptive_avg_pool2d`](Self::adaptive_avg_pool2d), for a volume.
    pub fn adaptive_avg_pool3d(&self, size: impl Into<Triple>) -> Result<Self> {
        let Triple([t, h, w]) = size.into();
        let [n, _, t_in, _, _] = self.dims_array("adaptive_avg_pool3d")?;
        let y = frames(self)?.adaptive_avg_pool2d([h, w])?;
        over_depth(&y, [n, t_in], |y| y.adaptive_avg_pool2d([t, 1]))
    }

    /// The largest element of each cell, as [`adaptive_avg_pool3d`](Self::adaptive_avg_pool3d).
    ///
    /// # Shapes
    /// `[N, C, T, H, W]` to `[N, C, size]`.
    ///
    /// # Errors
    /// Those of [`adaptive_max_pool2d`](Self::adaptive_max_pool2d), for a volume.
    pub fn adaptive_max_pool3d(&self, size: impl Into<Triple>) -> Result<Self> {
        let Triple([t, h, w]) = size.into();
        let [n, _, t_in, _, _] = self.dims_array("adaptive_max_pool3d")?;
        let y = frames(self)?.adaptive_max_pool2d([h, w])?;
        over_depth(&y, [n, t_in], |y| y.adaptive_max_pool2d([t, 1]))
    }

    /// Pools within frames, then over them.
    fn pooled(
        &self,
        op: &'static str,
        options: Pool3dOptions,
        plane: impl FnOnce(&Self, PoolOptions) -> Result<Self>,
        depth: impl FnOnce(&Self, PoolOptions) -> Result<Self>,
    ) -> Result<Self> {
        let [n, _, t_in, _, _] = self.dims_array(op)?;
        let y = plane(&frames(self)?, options.plane)?;
        if options.depth == PoolOptions::new(1) {
            return y.volume(n, t_in);
        }
        over_depth(&y, [n, t_in], |y| depth(y, options.depth))
    }

    /// Frames `[N * T, C, H, W]` as `[N, C, T, H, W]`.
    fn volume(&self, n: usize, t: usize) -> Result<Self> {
        let [_, c, h, w] = self.dims4()?;
        self.reshape([n, t, c, h, w])?.transpose(1, 2)
    }
}

/// A volume `[N, C, T, H, W]` as frames `[N * T, C, H, W]`.
fn frames(x: &Tensor) -> Result<Tensor> {
    let [n, c, t, h, w] = x.dims_array("frames")?;
    x.transpose(1, 2)?.reshape([n.saturating_mul(t), c, h, w])
}

/// What `f` makes of frames `[N * T, C, H, W]` seen as images `[N, H * W * C, T, 1]`, as a volume.
fn over_depth(
    x: &Tensor,
    [n, t]: [usize; 2],
    f: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let [_, c, h, w] = x.dims4()?;
    let all = h.saturating_mul(w).saturating_mul(c);
    let pixels = x.permute(&[0, 2, 3, 1])?.reshape([n, t, 1, all])?;
    let y = f(&pixels.permute(&[0, 3, 1, 2])?)?.permute(&[0, 2, 3, 1])?;
    let t = y.shape()[1];
    y.reshape([n, t, h, w, c])?.permute(&[0, 4, 1, 2, 3])
}

/// `[N, T, H, W, C]` with `padding` frames of zeros at either end.
fn pad_frames(x: &Tensor, padding: usize) -> Result<Tensor> {
    if padding == 0 {
        return Ok(x.clone());
    }
    let [n, t, h, w, c] = x.dims_array("conv3d")?;
    let all = h.saturating_mul(w).saturating_mul(c);
    let rows = x.reshape([n, 1, t, all])?;
    let padded = rows.pad2d([padding, 0], PadMode::Zeros)?;
    padded.reshape([n, padded.shape()[2], h, w, c])
}
