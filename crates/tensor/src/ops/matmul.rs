//! Matrix products.

use std::sync::OnceLock;

use striate_kernels::gemm::{self, Matrix, MatrixMut, Write};
use striate_kernels::parallel::for_each_chunk;
use striate_simd::Buffer;

use super::{check_float, check_same_dtype};
use crate::autograd::{Description, Function, apply, is_shapes_only};
use crate::layout::{Layout, broadcast};
use crate::{DType, Element, Error, MemoryFormat, Result, Shape, Tensor, current_level};

const OP: &str = "matmul";

impl Tensor {
    /// The matrix product `c[i, j] = sum over k of a[i, k] b[k, j]`.
    ///
    /// # Shapes
    /// `[M, K]` and `[K, N]` to `[M, N]`. Leading dimensions are a batch and broadcast: `[B, 1, M, K]` and
    /// `[L, K, N]` to `[B, L, M, N]`. A tensor of rank 1 on the left is a row, on the right a column, and
    /// the dimension this adds is removed from the result: two of them give their dot product.
    ///
    /// # Errors
    /// The shapes do not fit, an operand has rank 0, the types differ or are not float, or memory is out.
    pub fn matmul(&self, other: &Self) -> Result<Self> {
        check_float(OP, self)?;
        check_same_dtype(OP, self, other)?;
        let misfit = || {
            let detail = format!(
                "{:?} and {:?} do not fit: the last dimension of the left must be the last but one of the right",
                self.shape(),
                other.shape()
            );
            Error::shape(OP, detail)
        };
        if self.rank() == 0 || other.rank() == 0 {
            return Err(misfit());
        }
        if self.rank() == 1 {
            let product = self.unsqueeze(0)?.matmul(other)?;
            return product.squeeze(product.rank() - 1 - usize::from(other.rank() > 1));
        }
        if other.rank() == 1 {
            return self.matmul(&other.unsqueeze(1)?)?.squeeze(self.rank() - 1);
        }
        let (a, b) = (self.shape(), other.shape());
        let (a_batch, [m, k]) = split(a);
        let (_, [k2, n]) = split(b);
        if k != k2 {
            return Err(misfit());
        }
        if b.len() == 2 && a.len() > 2 {
            // One product over all rows; summing the gradient of the right operand over the batch is part of it.
            let rows = a_batch.iter().product::<usize>() * m;
            let shape = [a_batch, &[m, n]].concat();
            return self.reshape([rows, k])?.matmul(other)?.reshape(shape);
        }
        apply(MatMul, [self, other])
    }
}

/// Leading dimensions, and the last two.
fn split(shape: &[usize]) -> (&[usize], [usize; 2]) {
    match shape {
        [batch @ .., rows, cols] => (batch, [*rows, *cols]),
        _ => (&[], [1, 1]),
    }
}

#[derive(Debug)]
struct MatMul;

impl Function<2> for MatMul {
    type Saved = [Tensor; 2];

    fn describe(&self) -> Description {
        Description::new(OP)
    }

    fn forward(&self, [a, b]: [&Tensor; 2]) -> Result<(Tensor, [Tensor; 2])> {
        let c = match a.dtype() {
            DType::F32 => {
                let level = current_level()?;
                product(a, b, |a, b, c| {
                    Ok(gemm::sgemm(level, a, b, Write::Replace, c)?)
                })
            }
            _ => product::<f64>(a, b, |a, b, c| {
                Ok(gemm::reference::multiply(a, b, Write::Replace, c)?)
            }),
        };
        Ok((c?, [a.clone(), b.clone()]))
    }

    /// `da = dc b^T`, `db = a^T dc`, summed over the dimensions along which an operand was repeated.
    fn backward(
        &self,
        [a, b]: &[Tensor; 2],
        grad: &Tensor,
        needs: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let transposed = |x: &Tensor| x.transpose(x.rank() - 2, x.rank() - 1);
        let [need_a, need_b] = needs;
        let da = need_a.then(|| grad.matmul(&transposed(b)?)?.sum_to(a.shape()));
        let db = need_b.then(|| transposed(a)?.matmul(grad)?.sum_to(b.shape()));
        Ok([da.transpose()?, db.transpose()?])
    }
}

/// Multiplies matrix by matrix over the batch that `a` and `b` broadcast to.
fn product<T: Element>(
    a: &Tensor,
    b: &Tensor,
    multiply: impl Fn(Matrix<'_, T>, Matrix<'_, T>, MatrixMut<'_, T>) -> Result<()> + Sync + Send,
) -> Result<Tensor> {
    let (a_batch, [m, k]) = split(a.shape());
    let (b_batch, [_, n]) = split(b.shape());
    let batch = broadcast(OP, a_batch, b_batch)?;
    let (a, b) = (
        Stack::new(a, &batch, [m, k])?,
        Stack::new(b, &batch, [k, n])?,
    );
    let shape = Shape::from([&batch[..], &[m, n]].concat());
    let mut c = Buffer::<T>::recycled(Layout::row_major(OP, &shape)?.numel())?;
    let failure = OnceLock::new();
    if !c.is_empty() && !is_shapes_only() {
        for_each_chunk(&mut c, m * n, |i, c| {
            let product = a
                .matrix(i)
                .and_then(|a| multiply(a, b.matrix(i)?, MatrixMut::new(c, m, n)?));
            if let Err(error) = product {
                // Of several failures one is enough.
                failure.get_or_init(|| error);
            }
        });
    }
    match failure.into_inner() {
        Some(error) => Err(error),
        None => Tensor::from_buffer(c, shape, MemoryFormat::RowMajor),
    }
}

/// A batch of matrices in memory, each with the same strides.
struct Stack<'a, T> {
    memory: &'a [T],
    /// Sizes and strides of the leading dimensions.
    batch: Vec<(usize, usize)>,
    size: [usize; 2],
    strides: [usize; 2],
}

impl<'a, T: Element> Stack<'a, T> {
    fn new(x: &'a Tensor, batch: &[usize], size: [usize; 2]) -> Result<Self> {
        let layout = x.layout().expand(OP, &[batch, &size].concat())?;
        let (batch_strides, strides) = split(layout.strides());
        let batch = batch
            .iter()
            .copied()
            .zip(batch_strides.iter().copied())
            .collect();
        Ok(Self {
            memory: x.memory()?,
            batch,
            size,
            strides,
        })
    }

    /// The `i`-th matrix in row-major order of the batch.
    fn matrix(&self, mut i: usize) -> Result<Matrix<'a, T>> {
        let mut start = 0;
        for &(dim, stride) in self.batch.iter().rev() {
            start += i % dim * stride;
            i /= dim;
        }
        let memory = self.memory.get(start..).unwrap_or(&[]);
        Ok(Matrix::strided(memory, self.size, self.strides)?)
    }
}
