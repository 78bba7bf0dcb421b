//! What operations on images share: pairs, padding, and the memory order of `[N, C, H, W]` tensors.

use striate_kernels::geometry::Layout as ImageLayout;
use striate_kernels::view::{View, ViewMut};
use striate_simd::Buffer;

use super::check_same_dtype;
use crate::autograd::is_shapes_only;
use crate::{Element, Error, MemoryFormat, Result, Tensor};

/// A number for the height and one for the width. Made from one number for both or from `[h, w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair(pub [usize; 2]);

impl From<usize> for Pair {
    fn from(both: usize) -> Self {
        Self([both; 2])
    }
}

impl From<[usize; 2]> for Pair {
    fn from(pair: [usize; 2]) -> Self {
        Self(pair)
    }
}

impl From<(usize, usize)> for Pair {
    fn from((h, w): (usize, usize)) -> Self {
        Self([h, w])
    }
}

/// Rows and columns added around an image, `[top, bottom, left, right]`.
///
/// Made from one number for all sides, from `[h, w]`, or from all four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Padding(pub [usize; 4]);

impl From<usize> for Padding {
    fn from(all: usize) -> Self {
        Self([all; 4])
    }
}

impl From<[usize; 2]> for Padding {
    fn from([h, w]: [usize; 2]) -> Self {
        Self([h, h, w, w])
    }
}

impl From<(usize, usize)> for Padding {
    fn from((h, w): (usize, usize)) -> Self {
        Self([h, h, w, w])
    }
}

impl From<[usize; 4]> for Padding {
    fn from(sides: [usize; 4]) -> Self {
        Self(sides)
    }
}

/// From this many channels on, a vector of them is worth keeping them innermost.
const CHANNELS_LAST_FROM: usize = 8;

/// The memory order of a new image.
pub(crate) fn format_for(channels: usize) -> MemoryFormat {
    if channels >= CHANNELS_LAST_FROM {
        MemoryFormat::ChannelsLast
    } else {
        MemoryFormat::RowMajor
    }
}

/// The memory order the kernels read an image in: that which suits its channels; few of them may
/// also be innermost if they are so already.
pub(crate) fn format_of(x: &Tensor) -> MemoryFormat {
    match *x.shape() {
        [_, _, _, _] if x.is_channels_last() && !x.is_contiguous() => MemoryFormat::ChannelsLast,
        [_, channels, _, _] => format_for(channels),
        _ => MemoryFormat::RowMajor,
    }
}

/// The image without gaps in the given order; itself if it is so already.
pub(crate) fn in_format(x: &Tensor, format: MemoryFormat) -> Result<Tensor> {
    match format {
        MemoryFormat::RowMajor => x.contiguous(),
        MemoryFormat::ChannelsLast => x.channels_last(),
    }
}

/// An order in the words of the kernels.
pub(crate) fn image_layout(format: MemoryFormat) -> ImageLayout {
    match format {
        MemoryFormat::RowMajor => ImageLayout::Nchw,
        MemoryFormat::ChannelsLast => ImageLayout::Nhwc,
    }
}

/// A tensor of rank 2 to 5 with channels in dimension 1 as `[N, C, H, W]`, in the order the kernels read.
pub(crate) fn as_image(op: &'static str, x: &Tensor) -> Result<Tensor> {
    let shape = match *x.shape() {
        [n, c] => [n, c, 1, 1],
        [n, c, l] => [n, c, 1, l],
        [n, c, h, w] => [n, c, h, w],
        // The product fits: the reshape below has as many elements.
        [n, c, t, h, w] => [n, c, t.saturating_mul(h), w],
        _ => {
            let detail = format!(
                "expected [N, C] to [N, C, T, H, W], got shape {:?}",
                x.shape()
            );
            return Err(Error::shape(op, detail));
        }
    };
    let x = x.reshape(shape)?;
    in_format(&x, format_of(&x))
}

/// Checks the element types of a convolution's weight and bias, and that there is a bias for each of `out` channels.
pub(crate) fn check_filters(
    op: &'static str,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    out: usize,
) -> Result<()> {
    check_same_dtype(op, x, weight)?;
    let Some(bias) = bias else {
        return Ok(());
    };
    check_same_dtype(op, x, bias)?;
    if bias.shape() == [out] {
        return Ok(());
    }
    let detail = format!(
        "{out} output channels need a bias of shape [{out}], got {:?}",
        bias.shape()
    );
    Err(Error::shape(op, detail))
}

/// A new channels-last image from the kernels, in the order that suits its channels.
pub(crate) fn image(memory: Buffer<f32>, shape: [usize; 4]) -> Result<Tensor> {
    let image = Tensor::from_buffer(memory, shape, MemoryFormat::ChannelsLast)?;
    in_format(&image, format_for(shape[1]))
}

/// A new image, filled by `f` in channels-last order, in the order that suits its channels.
pub(crate) fn channels_last_image<T: Element>(
    shape: [usize; 4],
    f: impl FnOnce(&mut [T]) -> Result<()>,
) -> Result<Tensor> {
    let mut memory = Buffer::recycled(shape.iter().product())?;
    f(&mut memory)?;
    let image = Tensor::from_buffer(memory, shape, MemoryFormat::ChannelsLast)?;
    in_format(&image, format_for(shape[1]))
}

/// The image as kernels of any memory order read it.
pub(crate) fn view<T: Element>(x: &Tensor) -> Result<View<'_, T>> {
    let strides = [0, 1, 2, 3].map(|d| x.strides().get(d).copied().unwrap_or(0));
    Ok(View::strided(x.memory::<T>()?, x.dims4()?, strides)?)
}

/// A new image of the given order, filled by `f` unless only shapes are wanted.
pub(crate) fn filled_by<T: Element>(
    shape: [usize; 4],
    format: MemoryFormat,
    f: impl FnOnce(&mut ViewMut<'_, T>) -> Result<()>,
) -> Result<Tensor> {
    let mut memory = Buffer::recycled(shape.iter().product())?;
    if !is_shapes_only() {
        f(&mut ViewMut::dense(
            &mut memory[..],
            shape,
            image_layout(format),
        )?)?;
    }
    Tensor::from_buffer(memory, shape, format)
}
