//! Maximum and average over sliding windows.

use striate_kernels::geometry::{PoolGeometry, PoolWindow};
use striate_kernels::pool::{self, Divisor};
use striate_kernels::view::ViewMut;
use striate_simd::Buffer;

use super::check_float;
use super::spatial::{Padding, Pair, filled_by, format_of, image_layout, in_format, view};
use crate::autograd::{Description, Function, apply, is_grad_enabled};
use crate::dtype::match_float;
use crate::{MemoryFormat, Result, Tensor, current_level};

/// Attributes of a pooling window, by default those of PyTorch: the windows touch, no padding, no
/// dilation, incomplete windows are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolOptions {
    window: PoolWindow,
}

impl PoolOptions {
    /// Windows of this size that touch each other.
    #[must_use]
    pub fn new(kernel: impl Into<Pair>) -> Self {
        let kernel = kernel.into().0;
        let window = PoolWindow {
            kernel,
            stride: kernel,
            padding: [0; 4],
            dilation: [1; 2],
            ceil_mode: false,
        };
        Self { window }
    }

    /// Sets the step between windows.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.window.stride = stride.into().0;
        self
    }

    /// Sets the rows and columns around the image: minus infinity for a maximum, zero for an average.
    #[must_use]
    pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.window.padding = padding.into().0;
        self
    }

    /// Sets the distance between the pixels of a window.
    #[must_use]
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
        self.window.dilation = dilation.into().0;
        self
    }

    /// Sets whether a last window may hang over the end of the padded image.
    #[must_use]
    pub fn ceil_mode(mut self, yes: bool) -> Self {
        self.window.ceil_mode = yes;
        self
    }

    /// The window.
    #[must_use]
    pub fn window(&self) -> PoolWindow {
        self.window
    }
}

impl Tensor {
    /// The largest element under each window; NaN if one is. Of equal ones, the first in row-major order gets
    /// the gradient.
    ///
    /// # Shapes
    /// `[N, C, H, W]` to `[N, C, OH, OW]` with `OH = (H + top + bottom - dilation*(KH-1) - 1) / stride + 1`,
    /// rounded down, or up in ceil mode where a window that would start in the padding at the end is dropped.
    ///
    /// # Errors
    /// The rank is not 4, the elements are not floats, a padding exceeds half of the window, the window
    /// is larger than the padded image, or memory is out.
    pub fn max_pool2d(&self, options: PoolOptions) -> Result<Self> {
        const OP: &str = "max_pool2d";
        let (x, geometry) = prepare(OP, self, options)?;
        let record = self.tracks_grad() && is_grad_enabled();
        apply(MaxPool { geometry, record }, [&x])
    }

    /// The mean under each window.
    ///
    /// # Shapes
    /// As [`Tensor::max_pool2d`].
    ///
    /// # Errors
    /// As [`Tensor::max_pool2d`], or the divisor is 0.
    pub fn avg_pool2d(&self, options: PoolOptions, divisor: Divisor) -> Result<Self> {
        const OP: &str = "avg_pool2d";
        let (x, geometry) = prepare(OP, self, options)?;
        apply(AveragePool { geometry, divisor }, [&x])
    }
}

/// The image in the order the kernels read, and the checked window.
fn prepare(op: &'static str, x: &Tensor, options: PoolOptions) -> Result<(Tensor, PoolGeometry)> {
    check_float(op, x)?;
    let geometry = PoolGeometry::new(op, x.dims_array(op)?, options.window)?;
    Ok((in_format(x, format_of(x))?, geometry))
}

fn describe(name: &'static str, geometry: &PoolGeometry) -> Description {
    let window = geometry.window();
    Description::new(name)
        .with("kernel", window.kernel)
        .with("stride", window.stride)
        .with("padding", window.padding)
        .with("dilation", window.dilation)
        .with("ceil_mode", window.ceil_mode)
}

#[derive(Debug)]
struct MaxPool {
    geometry: PoolGeometry,
    /// Whether there will be a backward pass.
    record: bool,
}

/// How the largest elements are found again.
enum Winners {
    /// By their number in the window, one an output.
    Taps(Tensor),
    /// By looking once more: windows of more pixels than a byte can tell apart.
    Input(Tensor),
}

struct MaxPoolSaved {
    winners: Winners,
    format: MemoryFormat,
}

impl Function<1> for MaxPool {
    type Saved = MaxPoolSaved;

    fn describe(&self) -> Description {
        describe("max_pool2d", &self.geometry)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, MaxPoolSaved)> {
        let (g, level, format) = (&self.geometry, current_level()?, format_of(x));
        let taps = self.record && pool::taps_fit(g);
        let mut won = Buffer::<u8>::recycled(if taps { g.output_len() } else { 0 })?;
        let y = match_float!("max_pool2d", x.dtype(), T => {
            filled_by::<T>(g.output(), format, |y| {
                let mut won = match taps {
                    true => Some(ViewMut::dense(&mut won[..], g.output(), image_layout(format))?),
                    false => None,
                };
                Ok(pool::max(level, g, &view(x)?, y, won.as_mut())?)
            })?
        });
        let winners = if taps {
            Winners::Taps(Tensor::from_buffer(won, g.output(), format)?)
        } else {
            Winners::Input(x.clone())
        };
        Ok((y, MaxPoolSaved { winners, format }))
    }

    fn backward(
        &self,
        saved: &MaxPoolSaved,
        grad: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let (g, level) = (&self.geometry, current_level()?);
        let grad = in_format(grad, saved.format)?;
        let dx = match_float!("max_pool2d", grad.dtype(), T => {
            filled_by::<T>(g.input(), saved.format, |dx| {
                let dy = view(&grad)?;
                match &saved.winners {
                    Winners::Taps(taps) => Ok(pool::max_backward(level, g, &view(taps)?, &dy, dx)?),
                    Winners::Input(x) => {
                        Ok(pool::max_backward_from_input(level, g, &view(x)?, &dy, dx)?)
                    }
                }
            })?
        });
        Ok([Some(dx)])
    }
}

#[derive(Debug)]
struct AveragePool {
    geometry: PoolGeometry,
    divisor: Divisor,
}

impl Function<1> for AveragePool {
    type Saved = MemoryFormat;

    fn describe(&self) -> Description {
        describe("avg_pool2d", &self.geometry).with("divisor", self.divisor)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, MemoryFormat)> {
        let (g, level, format) = (&self.geometry, current_level()?, format_of(x));
        let y = match_float!("avg_pool2d", x.dtype(), T => {
            filled_by::<T>(g.output(), format, |y| {
                Ok(pool::average(level, g, self.divisor, &view(x)?, y)?)
            })?
        });
        Ok((y, format))
    }

    fn backward(
        &self,
        &format: &MemoryFormat,
        grad: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let (g, level) = (&self.geometry, current_level()?);
        let grad = in_format(grad, format)?;
        let dx = match_float!("avg_pool2d", grad.dtype(), T => {
            filled_by::<T>(g.input(), format, |dx| {
                Ok(pool::average_backward(level, g, self.divisor, &view(&grad)?, dx)?)
            })?
        });
        Ok([Some(dx)])
    }
}
