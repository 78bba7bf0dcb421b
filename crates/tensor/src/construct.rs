//! New tensors.

use striate_simd::Buffer;

use crate::dtype::match_dtype;
use crate::layout::Layout;
use crate::{DType, Element, Error, Philox, Result, Shape, Tensor};

impl Tensor {
    /// All zeros.
    ///
    /// # Errors
    /// The shape overflows or memory is out.
    pub fn zeros(shape: impl Into<Shape>, dtype: DType) -> Result<Self> {
        let layout = Layout::row_major("zeros", &shape.into())?;
        match_dtype!(dtype, T => Ok(Self::from_parts(Buffer::<T>::zeroed(layout.numel())?, layout)))
    }

    /// All ones.
    ///
    /// # Errors
    /// The shape overflows or memory is out.
    pub fn ones(shape: impl Into<Shape>, dtype: DType) -> Result<Self> {
        Self::full(shape, 1.0, dtype)
    }

    /// All elements the same; `value` is rounded to the element type.
    ///
    /// # Errors
    /// The shape overflows or memory is out.
    pub fn full(shape: impl Into<Shape>, value: f64, dtype: DType) -> Result<Self> {
        let layout = Layout::row_major("full", &shape.into())?;
        match_dtype!(dtype, T => {
            let buffer = Buffer::filled(layout.numel(), T::from_f64(value))?;
            Ok(Self::from_parts(buffer, layout))
        })
    }

    /// Zeros of the shape, type and memory order of `self`.
    ///
    /// # Errors
    /// Memory is out.
    pub fn zeros_like(&self) -> Result<Self> {
        self.full_like(0.0)
    }

    /// Ones of the shape, type and memory order of `self`.
    ///
    /// # Errors
    /// Memory is out.
    pub fn ones_like(&self) -> Result<Self> {
        self.full_like(1.0)
    }

    fn full_like(&self, value: f64) -> Result<Self> {
        let layout = Layout::dense_like("full_like", self.shape(), self.layout())?;
        match_dtype!(self.dtype(), T => {
            let buffer = Buffer::filled(layout.numel(), T::from_f64(value))?;
            Ok(Self::from_parts(buffer, layout))
        })
    }

    /// The elements of `data` in row-major order.
    ///
    /// # Errors
    /// The number of elements is not that of the shape.
    pub fn from_vec<T: Element>(data: Vec<T>, shape: impl Into<Shape>) -> Result<Self> {
        Self::copied("from_vec", &data, &shape.into())
    }

    /// A copy of `data`, which is in row-major order.
    ///
    /// # Errors
    /// The number of elements is not that of the shape.
    pub fn from_slice<T: Element>(data: &[T], shape: impl Into<Shape>) -> Result<Self> {
        Self::copied("from_slice", data, &shape.into())
    }

    fn copied<T: Element>(op: &'static str, data: &[T], shape: &Shape) -> Result<Self> {
        if shape.numel() != Some(data.len()) {
            let detail = format!("{} elements do not fill shape {shape}", data.len());
            return Err(Error::shape(op, detail));
        }
        let layout = Layout::row_major(op, shape)?;
        Ok(Self::from_parts(Buffer::copy_of(data)?, layout))
    }

    /// One number, of rank 0.
    ///
    /// # Errors
    /// Memory is out.
    pub fn scalar<T: Element>(value: T) -> Result<Self> {
        Self::from_slice(&[value], ())
    }

    /// `0, 1, ..., n-1`.
    ///
    /// # Errors
    /// Memory is out.
    pub fn arange(n: usize, dtype: DType) -> Result<Self> {
        let layout = Layout::row_major("arange", &[n])?;
        match_dtype!(dtype, T => {
            let mut buffer = Buffer::<T>::zeroed(n)?;
            for (i, x) in buffer.iter_mut().enumerate() {
                *x = T::from_f64(i as f64);
            }
            Ok(Self::from_parts(buffer, layout))
        })
    }

    /// The `n` by `n` identity matrix.
    ///
    /// # Errors
    /// The shape overflows or memory is out.
    pub fn eye(n: usize, dtype: DType) -> Result<Self> {
        let layout = Layout::row_major("eye", &[n, n])?;
        match_dtype!(dtype, T => {
            let mut buffer = Buffer::<T>::zeroed(layout.numel())?;
            for x in buffer.iter_mut().step_by(n + 1) {
                *x = T::from_f64(1.0);
            }
            Ok(Self::from_parts(buffer, layout))
        })
    }

    /// Standard normal numbers, F32.
    ///
    /// # Errors
    /// The shape overflows or memory is out.
    pub fn randn(shape: impl Into<Shape>, rng: &mut Philox) -> Result<Self> {
        Self::drawn("randn", &shape.into(), || rng.normal() as f32)
    }

    /// Numbers uniform in [0, 1), F32.
    ///
    /// # Errors
    /// The shape overflows or memory is out.
    pub fn rand(shape: impl Into<Shape>, rng: &mut Philox) -> Result<Self> {
        Self::drawn("rand", &shape.into(), || rng.uniform())
    }

    fn drawn(op: &'static str, shape: &Shape, mut draw: impl FnMut() -> f32) -> Result<Self> {
        let layout = Layout::row_major(op, shape)?;
        let mut buffer = Buffer::recycled(layout.numel())?;
        buffer.iter_mut().for_each(|x| *x = draw());
        Ok(Self::from_parts(buffer, layout))
    }
}
