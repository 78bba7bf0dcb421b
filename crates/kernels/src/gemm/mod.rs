//! Matrix products.

mod matrix;
pub mod reference;

pub use matrix::{Matrix, MatrixMut};

use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::geometry::GeometryError;
use matrix::check_product;
use striate_simd::{Buffer, Level};

/// What becomes of the values that the output holds before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Write {
    /// They are overwritten.
    #[default]
    Replace,
    /// The product is added to them.
    Add,
}

/// Computes `c = a * b` or `c += a * b`.
///
/// # Errors
/// If the shapes do not fit together, or memory runs out.
pub fn sgemm(
    level: Level,
    a: Matrix<'_>,
    b: Matrix<'_>,
    write: Write,
    c: MatrixMut<'_>,
) -> Result<(), KernelError> {
    check_product(a.shape(), b.shape(), c.shape())?;
    let _ = level;
    reference::multiply(a, b, write, c)
}

/// The right operand of a product, arranged once and used many times.
#[derive(Debug)]
pub struct PackedB {
    level: Level,
    shape: [usize; 2],
    data: Buffer<f32>,
}

impl PackedB {
    /// Packs `b`.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn new(level: Level, b: Matrix<'_>) -> Result<Self, KernelError> {
        let mut data = Buffer::recycled(b.rows * b.cols)?;
        for i in 0..b.rows {
            for j in 0..b.cols {
                data[i * b.cols + j] = b.at(i, j);
            }
        }
        Ok(Self {
            level,
            shape: b.shape(),
            data,
        })
    }

    /// Computes `c = epilogue(a * b)`; the channels of the epilogue are the columns of `c`.
    ///
    /// # Errors
    /// If the shapes do not fit together, or the epilogue has a residual and `c` is not dense.
    pub fn multiply(
        &self,
        a: Matrix<'_>,
        epilogue: &Epilogue<'_>,
        c: MatrixMut<'_>,
    ) -> Result<(), KernelError> {
        let [m, n] = c.shape();
        check_product(a.shape(), self.shape, c.shape())?;
        epilogue.check("gemm", n, m * n)?;
        if c.row_stride != n && m > 1 {
            let rule = format!("the output of a packed product is dense, with rows of {n}");
            let got = c.row_stride.to_string();
            return Err(GeometryError::new("gemm", "row_stride", got, rule).into());
        }
        let b = Matrix::new(&self.data[..], self.shape[0], n)?;
        let c = c.data;
        reference::multiply(a, b, Write::Replace, MatrixMut::new(c, m, n)?)?;
        epilogue.apply(n, &mut c[..m * n]);
        Ok(())
    }

    /// The level the matrix was packed for.
    pub fn level(&self) -> Level {
        self.level
    }
}
