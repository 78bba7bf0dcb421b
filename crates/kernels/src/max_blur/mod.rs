//! Maxima of windows, blurred before rows and columns are dropped: what [`pool::max`] and then [`resample::blur`] compute,
//! without the map of maxima between them.

mod vector;

#[cfg(test)]
mod tests;

use crate::error::KernelError;
use crate::geometry::check_shape;
use crate::geometry::{BlurGeometry, Layout, PadMode, PoolGeometry, PoolWindow};
use crate::real::Real;
use crate::view::{View, ViewMut, source, target};
use crate::{pool, resample};
use striate_simd::Level;

/// Windows, and the filter over their maxima.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaxBlurGeometry {
    window: PoolGeometry,
    blur: BlurGeometry,
}

impl MaxBlurGeometry {
    /// Validates a window over an input of shape `[N, C, H, W]`, and over the maxima a filter of `taps` with the steps
    /// `stride`, padded by `extra` beyond what its taps need.
    ///
    /// # Errors
    /// Those of [`PoolGeometry::new`] and of [`BlurGeometry::new`], or the window has more than 255 taps, which
    /// [`pool::max`] cannot tell apart.
    pub fn new(
        op: &'static str,
        input: [usize; 4],
        window: PoolWindow,
        taps: [usize; 2],
        stride: [usize; 2],
        extra: [usize; 2],
        padding: PadMode,
    ) -> Result<Self, KernelError> {
        let window = PoolGeometry::new(op, input, window)?;
        pool::check_taps(op, &window)?;
        let blur = BlurGeometry::new(op, window.output(), taps, stride, extra, padding)?;
        Ok(Self { window, blur })
    }

    /// The input's shape `[N, C, H, W]`.
    pub fn input(&self) -> [usize; 4] {
        self.window.input()
    }

    /// The shape of the maxima, and of the taps that won.
    pub fn maxima(&self) -> [usize; 4] {
        self.window.output()
    }

    /// The output's shape `[N, C, OH, OW]`.
    pub fn output(&self) -> [usize; 4] {
        self.blur.output()
    }
}

/// `y = blur(max of x over the windows)`. `taps`, if given, has the shape of the maxima and receives the tap that won each,
/// as in [`pool::max`], but for maxima that no output is made of.
///
/// # Errors
/// If a view does not have the geometry's shape, or memory is out.
pub fn forward<R: Real>(
    level: Level,
    g: &MaxBlurGeometry,
    x: &View<'_, R>,
    y: &mut ViewMut<'_, R>,
    mut taps: Option<&mut ViewMut<'_, u8>>,
) -> Result<(), KernelError> {
    let op = "max_blur_pool2d";
    check_shape(op, "x", x.shape(), g.input())?;
    check_shape(op, "y", y.shape(), g.output())?;
    if let Some(taps) = &taps {
        check_shape(op, "taps", taps.shape(), g.maxima())?;
    }
    let dense_taps = taps.as_deref_mut().map(|t| t.as_dense_mut(Layout::Nhwc));
    if let (Some(x), Some(y)) = (source(x), target(y))
        && let None | Some(Some(_)) = dense_taps
    {
        return vector::forward(level, g, x, y, dense_taps.flatten());
    }
    let mut maxima = vec![R::ZERO; g.window.output_len()];
    let mut maxima = ViewMut::nchw(&mut maxima, g.maxima())?;
    pool::max(level, &g.window, x, &mut maxima, taps)?;
    resample::blur(level, &g.blur, &maxima.as_view(), y)
}

/// The gradient of [`forward`] from the taps that won.
///
/// # Errors
/// If a view does not have the geometry's shape, or memory is out.
pub fn backward<R: Real>(
    level: Level,
    g: &MaxBlurGeometry,
    taps: &View<'_, u8>,
    dy: &View<'_, R>,
    dx: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    let op = "max_blur_pool2d backward";
    check_shape(op, "taps", taps.shape(), g.maxima())?;
    check_shape(op, "dy", dy.shape(), g.output())?;
    check_shape(op, "dx", dx.shape(), g.input())?;
    if let (Some(taps), Some(dy)) = (taps.as_dense(Layout::Nhwc), source(dy))
        && let Some(dx) = target(dx)
    {
        return vector::backward(level, g, taps, dy, dx);
    }
    let mut maxima = vec![R::ZERO; g.window.output_len()];
    let mut maxima = ViewMut::nchw(&mut maxima, g.maxima())?;
    resample::blur_backward(level, &g.blur, dy, &mut maxima)?;
    pool::max_backward(level, &g.window, taps, &maxima.as_view(), dx)
}
