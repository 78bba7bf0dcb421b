//! The affine map of fully connected layers.

use striate_kernels::epilogue::Epilogue;
use striate_kernels::gemm::{Matrix, MatrixMut, PackedB, multiply_unkept};
use striate_simd::Buffer;

use super::{check_float, check_same_dtype};
use crate::autograd::{Description, VariadicFunction, apply_variadic, gradients};
use crate::autograd::{is_grad_enabled, is_shapes_only};
use crate::dtype::match_float;
use crate::layout::Layout;
use crate::{DType, Error, MemoryFormat, Result, Tensor, current_level};

const OP: &str = "linear";

impl Tensor {
    /// `y = x W^T + b` over the last dimension.
    ///
    /// # Shapes
    /// `x [..., I]`, `weight [O, I]`, `bias [O]` to `[..., O]`.
    ///
    /// # Errors
    /// The shapes do not fit each other, the types differ or are not float, or memory is out.
    pub fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        check_float(OP, self)?;
        for operand in [Some(weight), bias].into_iter().flatten() {
            check_same_dtype(OP, self, operand)?;
        }
        let [outputs, inputs] = weight.dims_array(OP)?;
        let misfit = |what: &str, shape: &[usize]| {
            let detail = format!("weight {:?} does not fit {what} {shape:?}", weight.shape());
            Err(Error::shape(OP, detail))
        };
        let leading = match self.shape() {
            [leading @ .., last] if *last == inputs => leading,
            shape => return misfit("the input's last dimension:", shape),
        };
        if let Some(bias) = bias
            && bias.shape() != [outputs]
        {
            return misfit("the bias", bias.shape());
        }
        let rows = leading.iter().product::<usize>();
        let shape = [leading, &[outputs]].concat();
        let x = self.reshape([rows, inputs])?;
        let operands: Vec<&Self> = [Some(&x), Some(weight), bias]
            .into_iter()
            .flatten()
            .collect();
        let function = Linear {
            keeps: is_grad_enabled(),
        };
        apply_variadic(function, &operands)?.reshape(shape)
    }
}

#[derive(Debug)]
struct Linear {
    /// Whether packed weights are kept from the first use on, as where gradients are recorded.
    keeps: bool,
}

impl VariadicFunction for Linear {
    /// The input and the weight.
    type Saved = [Tensor; 2];

    fn describe(&self) -> Description {
        Description::new(OP)
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<(Tensor, [Tensor; 2])> {
        let [x, weight, bias @ ..] = inputs else {
            return Err(Error::msg("linear: an input and a weight are needed"));
        };
        let bias = bias.first();
        let y = if is_shapes_only() {
            let shape = [x.shape()[0], weight.shape()[0]];
            let numel = Layout::row_major(OP, &shape)?.numel();
            match_float!(OP, x.dtype(), T => {
                Tensor::from_buffer(Buffer::<T>::recycled(numel)?, shape, MemoryFormat::RowMajor)?
            })
        } else if x.dtype() == DType::F32 {
            affine(x, weight, bias, self.keeps)?
        } else {
            let y = x.matmul(&weight.transpose(0, 1)?)?;
            bias.map_or(Ok(y.clone()), |bias| y.add(bias))?
        };
        Ok((y, [x.clone(), weight.clone()]))
    }

    /// `dx = dy W`, `dW = dy^T x`, and the bias gets the sum of `dy` over the rows.
    fn backward(
        &self,
        [x, weight]: &[Tensor; 2],
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let gradient = |input: usize| match input {
            0 => grad.matmul(weight),
            1 => grad.transpose(0, 1)?.matmul(x),
            _ => grad.sum(&[0], false),
        };
        gradients(needs, gradient)
    }
}

/// The product with the bias added while it is stored.
fn affine(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, keeps: bool) -> Result<Tensor> {
    let shape = [x.shape()[0], weight.shape()[0]];
    let mut y = Buffer::recycled(Layout::row_major(OP, &shape)?.numel())?;
    let level = current_level()?;
    let (x, columns) = (matrix(x)?, matrix(weight)?.transposed());
    let pack = || Ok(PackedB::new(level, columns)?);
    let packed = if keeps {
        Some(weight.packed(&level, pack)?)
    } else {
        weight.packed_again(&level, pack)?
    };
    let bias = bias.map(Tensor::contiguous).transpose()?;
    let bias = bias.as_ref().map(Tensor::memory).transpose()?;
    let product = MatrixMut::new(&mut y, shape[0], shape[1])?;
    match packed {
        Some(packed) => packed.multiply(x, &Epilogue::NONE.bias(bias), product)?,
        None => multiply_unkept(level, x, columns, bias, product)?,
    }
    Tensor::from_buffer(y, shape, MemoryFormat::RowMajor)
}

/// A tensor of rank 2 as the kernels read it.
fn matrix(x: &Tensor) -> Result<Matrix<'_>> {
    let [rows, cols] = x.dims_array(OP)?;
    Ok(Matrix::strided(
        x.memory()?,
        [rows, cols],
        [x.strides()[0], x.strides()[1]],
    )?)
}
