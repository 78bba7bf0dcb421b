//! Matrix products.

pub(crate) mod block;
pub(crate) mod lanewise;
mod matrix;
pub(crate) mod microkernel;
pub(crate) mod pack;
pub(crate) mod panels;
mod portable;
pub mod reference;
pub(crate) mod store;
pub(crate) mod tile;

pub use matrix::{Matrix, MatrixMut};

use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::parallel::Cut;
use block::Product;
use matrix::check_product;
use pack::{pack_a, pack_b};
use panels::Panels;
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
    if c.rows == 0 || c.cols == 0 {
        return Ok(());
    }
    if let Level::Portable(_) = level {
        portable::multiply(a, b, write, c);
        return Ok(());
    }
    PackedB::for_rows(level, b, a.rows)?.run(a, &Epilogue::NONE, write, c)
}

/// The right operand of a product, arranged once and used many times.
#[derive(Debug)]
pub struct PackedB {
    level: Level,
    k_len: usize,
    panels: Panels,
    data: Buffer<f32>,
}

impl PackedB {
    /// Packs `b`.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn new(level: Level, b: Matrix<'_>) -> Result<Self, KernelError> {
        Self::for_rows(level, b, usize::MAX)
    }

    /// Packs `b` for left operands of about `rows` rows.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn for_rows(level: Level, b: Matrix<'_>, rows: usize) -> Result<Self, KernelError> {
        let panels = Panels::choose(level, rows.min(1 << 16), b.cols);
        let data = pack_b(b, &panels)?;
        Ok(Self {
            level,
            k_len: b.rows,
            panels,
            data,
        })
    }

    /// Computes `c = epilogue(a * b)`; the channels of the epilogue are the columns of `c`.
    ///
    /// # Errors
    /// If the shapes do not fit together, the epilogue has a residual and `c` is not dense, or
    /// memory runs out.
    pub fn multiply(
        &self,
        a: Matrix<'_>,
        epilogue: &Epilogue<'_>,
        c: MatrixMut<'_>,
    ) -> Result<(), KernelError> {
        self.multiply_onto(a, Write::Replace, epilogue, c)
    }

    /// Computes `c = epilogue(a * b)` or `c = epilogue(c + a * b)`, as [`multiply`](Self::multiply) does.
    ///
    /// # Errors
    /// As of [`multiply`](Self::multiply).
    pub(crate) fn multiply_onto(
        &self,
        a: Matrix<'_>,
        write: Write,
        epilogue: &Epilogue<'_>,
        c: MatrixMut<'_>,
    ) -> Result<(), KernelError> {
        check_product(a.shape(), [self.k_len, self.panels.columns()], c.shape())?;
        epilogue.check("gemm", c.rows, c.cols, c.row_stride)?;
        self.run(a, epilogue, write, c)
    }

    fn run(
        &self,
        a: Matrix<'_>,
        epilogue: &Epilogue<'_>,
        write: Write,
        c: MatrixMut<'_>,
    ) -> Result<(), KernelError> {
        if c.rows == 0 || c.cols == 0 {
            return Ok(());
        }
        let packed;
        let (data, stride) = if a.cols == 0 {
            (&[][..], 0)
        } else if a.col_stride == 1 || a.cols == 1 {
            (a.data, a.row_stride)
        } else {
            packed = pack_a(a)?;
            (&packed[..], a.cols)
        };
        let product = Product {
            rows: a.rows,
            k_len: self.k_len,
            a: data,
            a_stride: stride,
            b: &self.data,
            panels: &self.panels,
        };
        product.run(self.level, epilogue, write, c.data, c.row_stride);
        Ok(())
    }

    /// The number of columns.
    pub(crate) fn columns(&self) -> usize {
        self.panels.columns()
    }

    /// The level the matrix was packed for.
    pub fn level(&self) -> Level {
        self.level
    }
}

/// Elements of a right operand that are packed at a time.
const ELEMENTS: usize = 256 << 10;

/// Computes `c = a * b + bias`, to the last bit as [`PackedB::new`] and [`PackedB::multiply`] do, but keeps nothing, and packs a
/// megabyte of `b` at a time.
///
/// # Errors
/// If the shapes do not fit together, or memory runs out.
pub fn multiply_unkept(
    level: Level,
    a: Matrix<'_>,
    b: Matrix<'_>,
    bias: Option<&[f32]>,
    c: MatrixMut<'_>,
) -> Result<(), KernelError> {
    check_product(a.shape(), b.shape(), c.shape())?;
    Epilogue::NONE
        .bias(bias)
        .check("gemm", c.rows, c.cols, c.row_stride)?;
    if c.rows == 0 {
        return Ok(());
    }
    let vectors = (ELEMENTS / b.rows.max(1) / level.lanes()).max(1);
    let passes = Cut::every(b.cols, vectors * level.lanes());
    for columns in (0..passes.tasks()).map(|pass| passes.range(pass)) {
        let packed = PackedB::new(
            level,
            Matrix {
                data: b.from(0, columns.start),
                cols: columns.len(),
                ..b
            },
        )?;
        let c = MatrixMut {
            data: &mut c.data[columns.start..],
            cols: columns.len(),
            ..c
        };
        let bias = bias.map(|bias| &bias[columns]);
        packed.run(a, &Epilogue::NONE.bias(bias), Write::Replace, c)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
