//! Low-pass filters with a step between their places, of an image or of its maxima.

use striate_kernels::geometry::{BlurGeometry, PadMode};
use striate_kernels::max_blur::{self, MaxBlurGeometry};
use striate_kernels::view::ViewMut;
use striate_kernels::{pool, resample};
use striate_simd::Buffer;

use super::check_float;
use super::spatial::{Pair, filled_by, format_of, image_layout, in_format, view};
use crate::autograd::{Description, Function, apply, is_grad_enabled};
use crate::dtype::match_float;
use crate::{MemoryFormat, PoolOptions, Result, Tensor, current_level};

/// A binomial filter: how many taps, how far apart its places are, and what is around the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlurOptions {
    taps: [usize; 2],
    stride: [usize; 2],
    extra: [usize; 2],
    mode: PadMode,
}

impl BlurOptions {
    /// A filter of 1 to 7 taps along each axis, at every place of an image that is reflected at its borders.
    #[must_use]
    pub fn new(taps: impl Into<Pair>) -> Self {
        Self {
            taps: taps.into().0,
            stride: [1; 2],
            extra: [0; 2],
            mode: PadMode::Reflect,
        }
    }

    /// Sets the step between places.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.stride = stride.into().0;
        self
    }

    /// Sets what is around the image.
    #[must_use]
    pub fn pad_mode(mut self, mode: PadMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the padding on each side beyond the `(n - 1) / 2` before and `n / 2` behind, rounded down, of `n` taps.
    #[must_use]
    pub fn extra(mut self, extra: impl Into<Pair>) -> Self {
        self.extra = extra.into().0;
        self
    }

    fn describe(self, name: &'static str) -> Description {
        Description::new(name)
            .with("taps", self.taps)
            .with("stride", self.stride)
            .with("extra", self.extra)
            .with("mode", self.mode)
            .with("terms", self.taps[0] * self.taps[1])
    }
}

impl Tensor {
    /// Every channel under a filter with the weights `binomial(n - 1, k) / 2^(n - 1)` along each axis: what an image should
    /// go through before rows and columns are dropped (Zhang, *Making Convolutional Networks Shift-Invariant Again*, 2019).
    ///
    /// # Shapes
    /// `[N, C, H, W]` to `[N, C, OH, OW]` with `OH = (H + 2 extra - 1) / stride + 1`, rounded down.
    ///
    /// # Errors
    /// The rank is not 4, the elements are not floats, there are not 1 to 7 taps, a stride is 0, the image has no rows or
    /// columns or too few to be reflected, or memory is out.
    pub fn blur2d(&self, options: BlurOptions) -> Result<Self> {
        const OP: &str = "blur2d";
        check_float(OP, self)?;
        let BlurOptions {
            taps,
            stride,
            extra,
            mode,
        } = options;
        let geometry = BlurGeometry::new(OP, self.dims_array(OP)?, taps, stride, extra, mode)?;
        let x = in_format(self, format_of(self))?;
        apply(Blur { geometry, options }, [&x])
    }

    /// The blurred maxima under each window: [`Tensor::max_pool2d`] and then [`Tensor::blur2d`], in one pass.
    ///
    /// # Shapes
    /// Those of both.
    ///
    /// # Errors
    /// Those of both.
    pub fn max_blur_pool2d(&self, windows: PoolOptions, options: BlurOptions) -> Result<Self> {
        const OP: &str = "max_blur_pool2d";
        check_float(OP, self)?;
        let window = windows.window();
        if window.kernel[0].saturating_mul(window.kernel[1]) > usize::from(pool::NO_TAP) {
            return self.max_pool2d(windows)?.blur2d(options);
        }
        let BlurOptions {
            taps,
            stride,
            extra,
            mode,
        } = options;
        let input = self.dims_array(OP)?;
        let geometry = MaxBlurGeometry::new(OP, input, window, taps, stride, extra, mode)?;
        let x = in_format(self, format_of(self))?;
        let function = MaxBlur {
            geometry,
            options,
            record: self.tracks_grad() && is_grad_enabled(),
        };
        apply(function, [&x])
    }
}

#[derive(Debug)]
struct Blur {
    geometry: BlurGeometry,
    options: BlurOptions,
}

impl Function<1> for Blur {
    type Saved = MemoryFormat;

    fn describe(&self) -> Description {
        self.options.describe("blur2d")
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, MemoryFormat)> {
        let (g, level, format) = (&self.geometry, current_level()?, format_of(x));
        let y = match_float!("blur2d", x.dtype(), T => {
            filled_by::<T>(g.output(), format, |y| Ok(resample::blur(level, g, &view(x)?, y)?))?
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
        let dx = match_float!("blur2d", grad.dtype(), T => {
            filled_by::<T>(g.input(), format, |dx| {
                Ok(resample::blur_backward(level, g, &view(&grad)?, dx)?)
            })?
        });
        Ok([Some(dx)])
    }
}

#[derive(Debug)]
struct MaxBlur {
    geometry: MaxBlurGeometry,
    options: BlurOptions,
    /// Whether there will be a backward pass.
    record: bool,
}

impl Function<1> for MaxBlur {
    /// Which tap of each window won.
    type Saved = (Option<Tensor>, MemoryFormat);

    fn describe(&self) -> Description {
        self.options.describe("max_blur_pool2d")
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, Self::Saved)> {
        let (g, level, format) = (&self.geometry, current_level()?, format_of(x));
        let mut won = match self.record {
            true => Some(Buffer::<u8>::recycled(g.maxima().iter().product())?),
            false => None,
        };
        let y = match_float!("max_blur_pool2d", x.dtype(), T => {
            filled_by::<T>(g.output(), format, |y| {
                let mut won = match &mut won {
                    Some(won) => Some(ViewMut::dense(&mut won[..], g.maxima(), image_layout(format))?),
                    None => None,
                };
                Ok(max_blur::forward(level, g, &view(x)?, y, won.as_mut())?)
            })?
        });
        let won = won.map(|won| Tensor::from_buffer(won, g.maxima(), format));
        Ok((y, (won.transpose()?, format)))
    }

    fn backward(
        &self,
        (won, format): &Self::Saved,
        grad: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let (g, level) = (&self.geometry, current_level()?);
        let Some(won) = won else {
            return Ok([None]);
        };
        let grad = in_format(grad, *format)?;
        let dx = match_float!("max_blur_pool2d", grad.dtype(), T => {
            filled_by::<T>(g.input(), *format, |dx| {
                Ok(max_blur::backward(level, g, &view(won)?, &view(&grad)?, dx)?)
            })?
        });
        Ok([Some(dx)])
    }
}
