//! Convolution and its gradients as nested loops, for any strides, in `f32` or `f64`.
//!
//! ```text
//! y[n, o, oy, ox] = bias[o] + sum over c, ky, kx of
//!     x[n, g * C + c, oy * stride_h + ky * dilation_h - top, ox * stride_w + kx * dilation_w - left]
//!     * w[o, c, ky, kx]
//! ```
//!
//! with `g` the group of `o` and `C` the input channels of a group. Taps outside the input are skipped.

use super::Conv2dGeometry;
use crate::error::KernelError;
use crate::geometry::check_shape;
use crate::real::Real;
use crate::view::{View, ViewMut};

const OP: &str = "conv2d";

/// Computes `y` from `x`, the weights and an optional bias of one number per output channel.
///
/// # Errors
/// If a shape is not the geometry's.
pub fn forward<T: Real>(
    g: &Conv2dGeometry,
    x: &View<'_, T>,
    weight: &View<'_, T>,
    bias: Option<&[T]>,
    y: &mut ViewMut<'_, T>,
) -> Result<(), KernelError> {
    check_shape(OP, "x", x.shape(), g.x_shape())?;
    check_shape(OP, "weight", weight.shape(), g.weight_shape())?;
    check_shape(OP, "y", y.shape(), g.y_shape())?;
    check_bias(g, bias.map(<[T]>::len))?;
    let [oh, ow] = g.out_size();
    for n in 0..g.batch() {
        for o in 0..g.out_channels() {
            let c0 = o / g.group_out_channels() * g.group_in_channels();
            for oy in 0..oh {
                for ox in 0..ow {
                    let mut sum = bias.map_or(T::ZERO, |bias| bias[o]);
                    for_each_tap(g, oy, ox, |ky, kx, iy, ix| {
                        for c in 0..g.group_in_channels() {
                            sum += x.at(n, c0 + c, iy, ix) * weight.at(o, c, ky, kx);
                        }
                    });
                    y.set(n, o, oy, ox, sum);
                }
            }
        }
    }
    Ok(())
}

/// Computes the gradient of the input from the gradient of the output:
/// every output element sends its gradient back along the taps it read.
///
/// # Errors
/// If a shape is not the geometry's.
pub fn backward_input<T: Real>(
    g: &Conv2dGeometry,
    dy: &View<'_, T>,
    weight: &View<'_, T>,
    dx: &mut ViewMut<'_, T>,
) -> Result<(), KernelError> {
    check_shape(OP, "dy", dy.shape(), g.y_shape())?;
    check_shape(OP, "weight", weight.shape(), g.weight_shape())?;
    check_shape(OP, "dx", dx.shape(), g.x_shape())?;
    dx.fill(T::ZERO);
    let [oh, ow] = g.out_size();
    for n in 0..g.batch() {
        for o in 0..g.out_channels() {
            let c0 = o / g.group_out_channels() * g.group_in_channels();
            for oy in 0..oh {
                for ox in 0..ow {
                    let gradient = dy.at(n, o, oy, ox);
                    for_each_tap(g, oy, ox, |ky, kx, iy, ix| {
                        for c in 0..g.group_in_channels() {
                            *dx.at_mut(n, c0 + c, iy, ix) += gradient * weight.at(o, c, ky, kx);
                        }
                    });
                }
            }
        }
    }
    Ok(())
}

/// Computes the gradient of the weights from the input and the gradient of the output.
///
/// # Errors
/// If a shape is not the geometry's.
pub fn backward_weight<T: Real>(
    g: &Conv2dGeometry,
    x: &View<'_, T>,
    dy: &View<'_, T>,
    dweight: &mut ViewMut<'_, T>,
) -> Result<(), KernelError> {
    check_shape(OP, "x", x.shape(), g.x_shape())?;
    check_shape(OP, "dy", dy.shape(), g.y_shape())?;
    check_shape(OP, "dweight", dweight.shape(), g.weight_shape())?;
    dweight.fill(T::ZERO);
    let [oh, ow] = g.out_size();
    for n in 0..g.batch() {
        for o in 0..g.out_channels() {
            let c0 = o / g.group_out_channels() * g.group_in_channels();
            for oy in 0..oh {
                for ox in 0..ow {
                    let gradient = dy.at(n, o, oy, ox);
                    for_each_tap(g, oy, ox, |ky, kx, iy, ix| {
                        for c in 0..g.group_in_channels() {
                            *dweight.at_mut(o, c, ky, kx) += gradient * x.at(n, c0 + c, iy, ix);
                        }
                    });
                }
            }
        }
    }
    Ok(())
}

/// Computes the gradient of the bias: the sum of the output's gradient over images and pixels.
///
/// # Errors
/// If a shape is not the geometry's.
pub fn backward_bias<T: Real>(
    g: &Conv2dGeometry,
    dy: &View<'_, T>,
    dbias: &mut [T],
) -> Result<(), KernelError> {
    check_shape(OP, "dy", dy.shape(), g.y_shape())?;
    check_bias(g, Some(dbias.len()))?;
    sum_channels(dy, dbias);
    Ok(())
}

/// The sum of each channel over images and pixels.
pub(crate) fn sum_channels<T: Real>(y: &View<'_, T>, sums: &mut [T]) {
    let [batch, _, height, width] = y.shape();
    for (c, sum) in sums.iter_mut().enumerate() {
        *sum = T::ZERO;
        for n in 0..batch {
            for h in 0..height {
                for w in 0..width {
                    *sum += y.at(n, c, h, w);
                }
            }
        }
    }
}

/// Calls `f(ky, kx, iy, ix)` for every tap of the output pixel that lies inside the input.
fn for_each_tap(
    g: &Conv2dGeometry,
    oy: usize,
    ox: usize,
    mut f: impl FnMut(usize, usize, usize, usize),
) {
    let [kh, kw] = g.kernel();
    let source = |axis: usize, o: usize, k: usize| {
        let padded = o * g.stride()[axis] + k * g.dilation()[axis];
        padded
            .checked_sub(g.padding()[2 * axis])
            .filter(|&i| i < g.in_size()[axis])
    };
    for ky in 0..kh {
        let Some(iy) = source(0, oy, ky) else {
            continue;
        };
        for kx in 0..kw {
            if let Some(ix) = source(1, ox, kx) {
                f(ky, kx, iy, ix);
            }
        }
    }
}

fn check_bias(g: &Conv2dGeometry, len: Option<usize>) -> Result<(), KernelError> {
    len.map_or(Ok(()), |len| {
        crate::error::check_len(OP, "bias", len, g.out_channels())
    })
}
