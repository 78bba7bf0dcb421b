//! Elements out of a tensor, and between element types.

use striate_kernels::copy::copy;
use striate_simd::Buffer;

use crate::autograd::{self, Description, Function};
use crate::dtype::match_dtype;
use crate::layout::Layout;
use crate::nest::{for_each, nest};
use crate::{DType, Element, Error, Result, Tensor};

impl Tensor {
    /// The elements in row-major order, whatever the memory order.
    ///
    /// # Errors
    /// The tensor does not hold `T`: convert with [`Tensor::to_dtype`].
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        let memory = self.memory::<T>()?;
        if self.is_contiguous() {
            return Ok(memory.to_vec());
        }
        Ok(self.copy_row_major::<T>()?.to_vec())
    }

    /// The only element.
    ///
    /// # Errors
    /// There are more or fewer elements than one, or the tensor does not hold `T`.
    pub fn item<T: Element>(&self) -> Result<T> {
        match self.memory::<T>()? {
            &[x] if self.numel() == 1 => Ok(x),
            _ => {
                let detail = format!("shape {:?} does not have exactly one element", self.shape());
                Err(Error::shape("item", detail))
            }
        }
    }

    /// A row-major copy of the elements.
    pub(crate) fn copy_row_major<T: Element>(&self) -> Result<Buffer<T>> {
        let layout = Layout::row_major("contiguous", self.shape())?;
        self.copy_into_layout(&layout)
    }

    /// The elements in another memory order. `layout` must be dense with the shape of `self`.
    pub(crate) fn copy_into_layout<T: Element>(&self, layout: &Layout) -> Result<Buffer<T>> {
        let memory = self.memory::<T>()?;
        if self.layout().same_order(layout) {
            return Ok(Buffer::copy_of(memory)?);
        }
        // One element, repeated.
        if let &[value] = memory {
            return Ok(Buffer::filled(layout.numel(), value)?);
        }
        let mut out = Buffer::recycled(layout.numel())?;
        copy(&nest("copy", [layout, self.layout()])?, memory, &mut out)?;
        Ok(out)
    }

    /// Converts the elements; numbers out of range saturate, fractions are cut.
    ///
    /// # Errors
    /// Memory is out, or the tensor tracks gradients and `dtype` is an integer type.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        if self.dtype() == dtype {
            return Ok(self.clone());
        }
        if !dtype.is_float() {
            autograd::reject("to_dtype", &[self])?;
        }
        autograd::apply(
            ToDType {
                to: dtype,
                from: self.dtype(),
            },
            [self],
        )
    }
}

/// `y = x`, rounded to another element type.
#[derive(Debug)]
struct ToDType {
    to: DType,
    from: DType,
}

impl Function<1> for ToDType {
    type Saved = ();

    fn describe(&self) -> Description {
        Description::new("to_dtype").with("dtype", self.to)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, ())> {
        let layout = Layout::dense_like("to_dtype", x.shape(), x.layout())?;
        let nest = nest("to_dtype", [&layout, x.layout()])?;
        match_dtype!(self.to, To => match_dtype!(x.dtype(), From => {
            let memory = x.memory::<From>()?;
            let mut out = Buffer::<To>::recycled(layout.numel())?;
            for_each(&nest, |[o, i]| out[o] = To::from_f64(memory[i].to_f64()));
            Ok((Tensor::from_parts(out, layout), ()))
        }))
    }

    fn backward(&self, (): &(), grad: &Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(grad.to_dtype(self.from)?)])
    }
}
