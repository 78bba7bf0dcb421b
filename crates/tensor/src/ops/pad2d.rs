//! Rows and columns around an image.

use striate_kernels::copy::copy;
use striate_kernels::geometry::PadMode;
use striate_simd::Buffer;

use super::spatial::{Padding, format_of};
use crate::autograd::{Description, Function, apply};
use crate::dtype::match_dtype;
use crate::layout::Layout;
use crate::nest::nest;
use crate::{Error, MemoryFormat, Result, Tensor};

const OP: &str = "pad2d";

impl Tensor {
    /// Adds rows and columns around an image.
    ///
    /// # Shapes
    /// `[N, C, H, W]` to `[N, C, top + H + bottom, left + W + right]`.
    ///
    /// # Errors
    /// The rank is not 4, a reflected padding is not smaller than the image, there are no pixels to
    /// replicate, the shape overflows, or memory is out.
    pub fn pad2d(&self, padding: impl Into<Padding>, mode: PadMode) -> Result<Self> {
        let sides = padding.into().0;
        let [n, c, h, w] = self.dims_array(OP)?;
        let [top, bottom, left, right] = sides;
        let sum = |a: usize, b: usize, c: usize| a.checked_add(b).and_then(|ab| ab.checked_add(c));
        let (Some(out_h), Some(out_w)) = (sum(top, h, bottom), sum(left, w, right)) else {
            let detail = format!(
                "{:?} with padding {sides:?} has too many elements",
                self.shape()
            );
            return Err(Error::shape(OP, detail));
        };
        let shape = [n, c, out_h, out_w];
        // Fails if the padded image cannot be addressed.
        Layout::row_major(OP, &shape)?;
        if sides == [0; 4] {
            return Ok(self.clone());
        }
        if mode == PadMode::Zeros {
            return apply(PadZeros { sides, shape }, [self]);
        }
        let rows = self.index_select(2, &sources(mode, self, 2, top, out_h)?)?;
        rows.index_select(3, &sources(mode, self, 3, left, out_w)?)
    }
}

/// Which row or column of the image each of the `padded` ones repeats, with `before` of them in front.
fn sources(mode: PadMode, x: &Tensor, dim: usize, before: usize, padded: usize) -> Result<Tensor> {
    let size = x.shape()[dim];
    // Reflection needs that many other pixels, replication one.
    let limit = if mode == PadMode::Reflect {
        size
    } else {
        usize::MAX
    };
    let after = padded - size - before;
    if size == 0 || before.max(after) >= limit {
        let detail = format!(
            "{:?} with {before} and {after} more along dimension {dim}: {mode:?} takes fewer than {size}",
            x.shape()
        );
        return Err(Error::shape(OP, detail));
    }
    let mut sources = Buffer::<i64>::recycled(padded)?;
    for (i, source) in sources.iter_mut().enumerate() {
        let inside = mode.source(i as isize - before as isize, size);
        *source = inside.map_or(0, |inside| inside as i64);
    }
    Tensor::from_buffer(sources, padded, MemoryFormat::RowMajor)
}

#[derive(Debug)]
struct PadZeros {
    sides: [usize; 4],
    /// Of the padded image.
    shape: [usize; 4],
}

impl Function<1> for PadZeros {
    /// Height and width of the image.
    type Saved = [usize; 2];

    fn describe(&self) -> Description {
        Description::new(OP).with("sides", self.sides)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, [usize; 2])> {
        let ([_, _, h, w], shape) = (x.dims4()?, self.shape);
        let [top, _, left, _] = self.sides;
        let layout = match format_of(x) {
            MemoryFormat::RowMajor => Layout::row_major(OP, &shape)?,
            MemoryFormat::ChannelsLast => Layout::channels_last(OP, &shape)?,
        };
        let inside = layout.narrow(2, top, h).narrow(3, left, w);
        let loops = nest(OP, [&inside, x.layout()])?;
        match_dtype!(x.dtype(), T => {
            let mut y = Buffer::<T>::zeroed(layout.numel())?;
            if x.numel() > 0 {
                copy(&loops, x.memory()?, &mut y[inside.offset()..])?;
            }
            Ok((Tensor::from_parts(y, layout), [h, w]))
        })
    }

    fn backward(
        &self,
        &[h, w]: &[usize; 2],
        grad: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let [top, _, left, _] = self.sides;
        Ok([Some(grad.narrow(2, top, h)?.narrow(3, left, w)?)])
    }
}
