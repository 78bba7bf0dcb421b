//! The tensor handle.

use std::sync::Arc;

use striate_simd::Buffer;

use crate::autograd::node::{LeafId, Origin};
use crate::layout::Layout;
use crate::packs::Packed;
use crate::storage::Storage;
use crate::{DType, Element, Error, Result, Shape};

/// A strided n-dimensional array that remembers how it was computed.
///
/// Cloning is cheap and shares memory. Tensors never change under a reader: writing through
/// [`Tensor::update_slice`] copies first when the memory is shared.
///
/// The logical order of images is always `[N, C, H, W]`. Convolutions and their like keep channels
/// innermost in memory; strides carry that, and every operation accepts any strides.
#[derive(Clone)]
pub struct Tensor {
    data: Arc<Data>,
    pub(crate) origin: Origin,
}

/// What tensors share: memory and how to read it.
#[derive(Clone)]
struct Data {
    storage: Storage,
    layout: Layout,
}

/// How the elements of a new 4-D tensor lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryFormat {
    /// The last dimension is innermost.
    RowMajor,
    /// `[N, C, H, W]` with channels innermost.
    ChannelsLast,
}

impl Tensor {
    /// A constant over a storage. The layout must lie inside it.
    pub(crate) fn new(storage: Storage, layout: Layout) -> Self {
        Self {
            data: Arc::new(Data { storage, layout }),
            origin: Origin::Constant,
        }
    }

    /// Wraps a buffer of exactly `numel(shape)` elements without copying.
    ///
    /// # Errors
    /// The length differs, the shape overflows, or channels-last is asked for another rank than 4.
    pub fn from_buffer<T: Element>(
        buffer: Buffer<T>,
        shape: impl Into<Shape>,
        format: MemoryFormat,
    ) -> Result<Self> {
        const OP: &str = "from_buffer";
        let shape = shape.into();
        let layout = match format {
            MemoryFormat::RowMajor => Layout::row_major(OP, &shape)?,
            MemoryFormat::ChannelsLast if shape.len() == 4 => Layout::channels_last(OP, &shape)?,
            MemoryFormat::ChannelsLast => {
                return Err(Error::shape(
                    OP,
                    format!("channels-last needs rank 4, got {shape}"),
                ));
            }
        };
        if buffer.len() != layout.numel() {
            let detail = format!("{} elements do not fill shape {shape}", buffer.len());
            return Err(Error::shape(OP, detail));
        }
        Ok(Self::from_parts(buffer, layout))
    }

    /// A constant over a new buffer that the layout fills.
    pub(crate) fn from_parts<T: Element>(buffer: Buffer<T>, layout: Layout) -> Self {
        debug_assert!(layout.offset() + layout.span() <= buffer.len());
        Self::new(T::wrap(buffer), layout)
    }

    /// The same values from elsewhere.
    pub(crate) fn with_origin(&self, origin: Origin) -> Self {
        Self {
            data: Arc::clone(&self.data),
            origin,
        }
    }

    /// Another view of the same memory, without history.
    pub(crate) fn view(&self, layout: Layout) -> Self {
        Self::new(self.data.storage.clone(), layout)
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.data.layout
    }

    /// Sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        self.layout().shape()
    }

    /// Number of dimensions.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.layout().rank()
    }

    /// Number of elements.
    #[must_use]
    pub fn numel(&self) -> usize {
        self.layout().numel()
    }

    /// Type of the elements.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.data.storage.dtype()
    }

    /// Distance in memory, in elements, between neighbours along each dimension.
    #[must_use]
    pub fn strides(&self) -> &[usize] {
        self.layout().strides()
    }

    /// Size of a dimension; negative numbers count from the end.
    ///
    /// # Errors
    /// There is no such dimension.
    pub fn dim(&self, dim: isize) -> Result<usize> {
        let at = if dim < 0 {
            self.rank().checked_sub(dim.unsigned_abs())
        } else {
            Some(dim as usize)
        };
        match at.and_then(|d| self.shape().get(d)) {
            Some(&size) => Ok(size),
            None => {
                let detail = format!("dimension {dim} of a tensor of shape {:?}", self.shape());
                Err(Error::index("dim", detail))
            }
        }
    }

    /// The sizes of an `[N, C, H, W]` tensor.
    ///
    /// # Errors
    /// The rank is not 4.
    pub fn dims4(&self) -> Result<[usize; 4]> {
        self.dims_array("dims4")
    }

    /// The sizes as an array, for patterns: `let [n, c] = x.dims_array("linear")?`.
    ///
    /// # Errors
    /// The rank is not `N`; the error names `op`.
    pub fn dims_array<const N: usize>(&self, op: &'static str) -> Result<[usize; N]> {
        self.shape().try_into().map_err(|_| {
            Error::shape(
                op,
                format!("expected {N} dimensions, got shape {:?}", self.shape()),
            )
        })
    }

    /// Whether memory holds the elements in row-major order without gaps.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        self.layout().is_contiguous()
    }

    /// Whether this is an `[N, C, H, W]` tensor with channels innermost and no gaps.
    ///
    /// Tensors with one channel, or one pixel, are often row-major and channels-last at once.
    #[must_use]
    pub fn is_channels_last(&self) -> bool {
        self.layout().is_channels_last()
    }

    /// The memory from the first element to the last, to be read with [`Tensor::strides`].
    ///
    /// # Errors
    /// The tensor does not hold `T`.
    pub fn memory<T: Element>(&self) -> Result<&[T]> {
        let layout = self.layout();
        let all = self.data.storage.slice("memory")?;
        // An empty view may sit behind the end.
        Ok(if layout.span() == 0 {
            &[]
        } else {
            &all[layout.offset()..][..layout.span()]
        })
    }

    /// The elements packed for `key`, as they were kept, or by `pack` if they have to be.
    ///
    /// # Errors
    /// Those of `pack`; the tensor is not F32.
    pub(crate) fn packed<P: Packed>(
        &self,
        key: &P::Key,
        pack: impl FnOnce() -> Result<P>,
    ) -> Result<Arc<P>> {
        match self.data.storage.packs::<f32>() {
            Some(packs) => packs.get(self.layout(), key, pack),
            None => Err(Error::dtype("packed", self.dtype(), DType::F32.name())),
        }
    }

    /// As [`packed`](Self::packed), but nothing the first time: see [`Packs::get_again`](crate::packs::Packs::get_again).
    ///
    /// # Errors
    /// As [`packed`](Self::packed).
    pub(crate) fn packed_again<P: Packed>(
        &self,
        key: &P::Key,
        pack: impl FnOnce() -> Result<P>,
    ) -> Result<Option<Arc<P>>> {
        match self.data.storage.packs::<f32>() {
            Some(packs) => packs.get_again(self.layout(), key, pack),
            None => Err(Error::dtype("packed", self.dtype(), DType::F32.name())),
        }
    }

    /// The elements in row-major order, if that is how they lie in memory and `T` is their type.
    #[must_use]
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        if self.is_contiguous() {
            self.memory().ok()
        } else {
            None
        }
    }

    /// The elements in `[N, H, W, C]` order, if that is how they lie in memory and `T` is their type.
    #[must_use]
    pub fn as_channels_last_slice<T: Element>(&self) -> Option<&[T]> {
        if self.is_channels_last() {
            self.memory().ok()
        } else {
            None
        }
    }

    /// Whether two tensors read the same memory.
    #[must_use]
    pub fn shares_memory_with(&self, other: &Self) -> bool {
        match (&self.data.storage, &other.data.storage) {
            (Storage::F32(a), Storage::F32(b)) => Arc::ptr_eq(a, b),
            (Storage::F64(a), Storage::F64(b)) => Arc::ptr_eq(a, b),
            (Storage::I64(a), Storage::I64(b)) => Arc::ptr_eq(a, b),
            (Storage::U8(a), Storage::U8(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Whether two tensors read the same elements of the same memory in the same order.
    #[must_use]
    pub fn is_same_view(&self, other: &Self) -> bool {
        self.shares_memory_with(other) && self.layout() == other.layout()
    }

    /// The same values without history: no gradient flows through the result.
    #[must_use]
    pub fn detach(&self) -> Self {
        self.with_origin(Origin::Constant)
    }

    /// A new leaf with these values whose gradient [`Tensor::backward`] computes; with `false`,
    /// a constant.
    ///
    /// # Errors
    /// The elements are not floats.
    pub fn requires_grad(&self, yes: bool) -> Result<Self> {
        if yes && !self.dtype().is_float() {
            return Err(Error::dtype("requires_grad", self.dtype(), "f32 or f64"));
        }
        let origin = if yes {
            Origin::Leaf(LeafId::fresh())
        } else {
            Origin::Constant
        };
        Ok(self.with_origin(origin))
    }

    /// Whether operations on this tensor are recorded (unless under [`no_grad`](crate::no_grad)).
    #[must_use]
    pub fn tracks_grad(&self) -> bool {
        !matches!(self.origin, Origin::Constant)
    }

    /// Whether this is a leaf made by [`Tensor::requires_grad`].
    #[must_use]
    pub fn is_leaf(&self) -> bool {
        matches!(self.origin, Origin::Leaf(_))
    }

    /// The identity under which [`Gradients`](crate::Gradients) keeps a leaf's gradient.
    #[must_use]
    pub fn leaf_id(&self) -> Option<LeafId> {
        match self.origin {
            Origin::Leaf(id) => Some(id),
            _ => None,
        }
    }

    /// The values of `other` under the identity of this leaf, for optimizers and weight loading.
    ///
    /// # Errors
    /// Shape or element type differ.
    pub fn with_data_of(&self, other: &Self) -> Result<Self> {
        const OP: &str = "with_data_of";
        if self.dtype() != other.dtype() {
            return Err(Error::dtype(OP, other.dtype(), self.dtype().name()));
        }
        if self.shape() != other.shape() {
            let detail = format!(
                "shape {:?} cannot replace {:?}",
                other.shape(),
                self.shape()
            );
            return Err(Error::shape(OP, detail));
        }
        Ok(Self {
            data: Arc::clone(&other.data),
            origin: self.origin.clone(),
        })
    }

    /// Changes the elements in place, in row-major order.
    ///
    /// The memory is copied first if anything else refers to it (another handle, a view, a tensor
    /// saved for backward), or if it is not row-major. The identity of a leaf is kept.
    ///
    /// # Errors
    /// The tensor does not hold `T`, or was computed by a recorded operation (detach it first).
    pub fn update_slice<T: Element, R>(&mut self, f: impl FnOnce(&mut [T]) -> R) -> Result<R> {
        const OP: &str = "update_slice";
        if matches!(self.origin, Origin::Node(_)) {
            let text =
                "update_slice: the tensor was computed by a recorded operation; detach() it first";
            return Err(Error::Autograd(text.into()));
        }
        if self.dtype() != T::DTYPE {
            return Err(Error::dtype(OP, self.dtype(), T::DTYPE.name()));
        }
        if !self.is_contiguous() || self.sole_memory_mut::<T>().is_none() {
            let copy = self.copy_row_major::<T>()?;
            let layout = Layout::row_major(OP, self.shape())?;
            self.data = Arc::new(Data {
                storage: T::wrap(copy),
                layout,
            });
        }
        match self.sole_memory_mut() {
            Some(memory) => Ok(f(memory)),
            None => Err(Error::msg("update_slice: a fresh copy is shared")),
        }
    }

    /// The memory from the first element to the last, if this handle is its only owner.
    pub(crate) fn sole_memory_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        let data = Arc::get_mut(&mut self.data)?;
        let (offset, span) = (data.layout.offset(), data.layout.span());
        let all = data.storage.sole_mut()?;
        Some(if span == 0 {
            &mut []
        } else {
            &mut all[offset..][..span]
        })
    }
}
