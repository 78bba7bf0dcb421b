//! Transposed convolution and its gradients as nested loops, for any strides, in `f32` or `f64`.
//!
//! ```text
//! y[n, g * K + k, iy * stride_h + ky * dilation_h - top, ix * stride_w + kx * dilation_w - left]
//!     += x[n, c, iy, ix] * w[c, k, ky, kx]
//! ```
//!
//! for all input pixels, channels and taps, with `g` the group of `c` and `K` the output channels of a
//! group, from outputs that start as the bias. Terms outside the output are dropped.

use super::{ConvTranspose2dGeometry, OP};
use crate::conv2d::reference::sum_channels;
use crate::error::{KernelError, check_len};
use crate::geometry::check_shape;
use crate::real::Real;
use crate::view::{View, ViewMut};

/// Computes `y` from `x`, the weights and an optional bias of one number per output channel.
///
/// # Errors
/// If a shape is not the geometry's.
pub fn forward<T: Real>(
    g: &ConvTranspose2dGeometry,
    x: &View<'_, T>,
    weight: &View<'_, T>,
    bias: Option<&[T]>,
    y: &mut ViewMut<'_, T>,
) -> Result<(), KernelError> {
    check_shape(OP, "x", x.shape(), g.x_shape())?;
    check_shape(OP, "weight", weight.shape(), g.weight_shape())?;
    check_shape(OP, "y", y.shape(), g.y_shape())?;
    if let Some(bias) = bias {
        check_len(OP, "bias", bias.len(), g.out_channels())?;
    }
    let [oh, ow] = g.out_size();
    for n in 0..g.batch() {
        for o in 0..g.out_channels() {
            let start = bias.map_or(T::ZERO, |bias| bias[o]);
            for oy in 0..oh {
                for ox in 0..ow {
                    y.set(n, o, oy, ox, start);
                }
            }
        }
    }
    for_each_term(g, |[n, c, iy, ix], [o, k, oy, ox], [ky, kx]| {
        *y.at_mut(n, o, oy, ox) += x.at(n, c, iy, ix) * weight.at(c, k, ky, kx);
    });
    Ok(())
}

/// Computes the gradient of the input from the gradient of the output.
///
/// # Errors
/// If a shape is not the geometry's.
pub fn backward_input<T: Real>(
    g: &ConvTranspose2dGeometry,
    dy: &View<'_, T>,
    weight: &View<'_, T>,
    dx: &mut ViewMut<'_, T>,
) -> Result<(), KernelError> {
    check_shape(OP, "dy", dy.shape(), g.y_shape())?;
    check_shape(OP, "weight", weight.shape(), g.weight_shape())?;
    check_shape(OP, "dx", dx.shape(), g.x_shape())?;
    dx.fill(T::ZERO);
    for_each_term(g, |[n, c, iy, ix], [o, k, oy, ox], [ky, kx]| {
        *dx.at_mut(n, c, iy, ix) += dy.at(n, o, oy, ox) * weight.at(c, k, ky, kx);
    });
    Ok(())
}

/// Computes the gradient of the weights from the input and the gradient of the output.
///
/// # Errors
/// If a shape is not the geometry's.
pub fn backward_weight<T: Real>(
    g: &ConvTranspose2dGeometry,
    x: &View<'_, T>,
    dy: &View<'_, T>,
    dweight: &mut ViewMut<'_, T>,
) -> Result<(), KernelError> {
    check_shape(OP, "x", x.shape(), g.x_shape())?;
    check_shape(OP, "dy", dy.shape(), g.y_shape())?;
    check_shape(OP, "dweight", dweight.shape(), g.weight_shape())?;
    dweight.fill(T::ZERO);
    for_each_term(g, |[n, c, iy, ix], [o, k, oy, ox], [ky, kx]| {
        *dweight.at_mut(c, k, ky, kx) += x.at(n, c, iy, ix) * dy.at(n, o, oy, ox);
    });
    Ok(())
}

/// Computes the gradient of the bias: the sum of the output's gradient over images and pixels.
///
/// # Errors
/// If a shape is not the geometry's.
pub fn backward_bias<T: Real>(
    g: &ConvTranspose2dGeometry,
    dy: &View<'_, T>,
    dbias: &mut [T],
) -> Result<(), KernelError> {
    check_shape(OP, "dy", dy.shape(), g.y_shape())?;
    check_len(OP, "dbias", dbias.len(), g.out_channels())?;
    sum_channels(dy, dbias);
    Ok(())
}

/// Calls `f([n, c, iy, ix], [o, k, oy, ox], [ky, kx])` for every term inside the output, `k` being the
/// number of the output channel `o` in its group.
fn for_each_term(
    g: &ConvTranspose2dGeometry,
    mut f: impl FnMut([usize; 4], [usize; 4], [usize; 2]),
) {
    let [n, inputs, ih, iw] = g.x_shape();
    let [_, per_group, kh, kw] = g.weight_shape();
    let target = |axis: usize, i: usize, k: usize| {
        let place = i * g.stride()[axis] + k * g.dilation()[axis];
        place
            .checked_sub(g.padding()[2 * axis])
            .filter(|&o| o < g.out_size()[axis])
    };
    for n in 0..n {
        for c in 0..inputs {
            let first = c / g.group_in_channels() * per_group;
            for (iy, ky) in (0..ih).flat_map(|i| (0..kh).map(move |k| (i, k))) {
                let Some(oy) = target(0, iy, ky) else {
                    continue;
                };
                for (ix, kx) in (0..iw).flat_map(|i| (0..kw).map(move |k| (i, k))) {
                    let Some(ox) = target(1, ix, kx) else {
                        continue;
                    };
                    for k in 0..per_group {
                        f([n, c, iy, ix], [first + k, k, oy, ox], [ky, kx]);
                    }
                }
            }
        }
    }
}
