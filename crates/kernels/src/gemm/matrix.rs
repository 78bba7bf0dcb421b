//! Slices seen as matrices.

use crate::error::KernelError;
use crate::geometry::{GeometryError, element_count};

const OP: &str = "gemm";

/// Read access to a slice as a `rows x cols` matrix with any strides.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T = f32> {
    pub(super) data: &'a [T],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a, T: Copy> Matrix<'a, T> {
    /// The matrix whose element `[i, j]` is `data[i * row_stride + j * col_stride]`.
    ///
    /// # Errors
    /// If an element lies outside the slice.
    pub fn strided(
        data: &'a [T],
        [rows, cols]: [usize; 2],
        [row_stride, col_stride]: [usize; 2],
    ) -> Result<Self, KernelError> {
        check([rows, cols], [row_stride, col_stride], data.len())?;
        Ok(Self {
            data,
            rows,
            cols,
            row_stride,
            col_stride,
        })
    }

    /// A dense matrix with contiguous rows.
    ///
    /// # Errors
    /// If the slice has fewer than `rows * cols` elements.
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Result<Self, KernelError> {
        Self::strided(data, [rows, cols], [cols, 1])
    }

    /// The transposed matrix, over the same slice.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// `[rows, cols]`
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// The data from the element in row `i`, column `j` on; nothing beyond the end.
    pub(super) fn from(&self, i: usize, j: usize) -> &'a [T] {
        self.data
            .get(i * self.row_stride + j * self.col_stride..)
            .unwrap_or_default()
    }

    /// The element in row `i`, column `j`, which must be inside the shape.
    #[inline(always)]
    pub fn at(&self, i: usize, j: usize) -> T {
        self.data[i * self.row_stride + j * self.col_stride]
    }
}

/// Write access to a slice as a `rows x cols` matrix with contiguous rows.
#[derive(Debug)]
pub struct MatrixMut<'a, T = f32> {
    pub(super) data: &'a mut [T],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
}

impl<'a, T: Copy> MatrixMut<'a, T> {
    /// The matrix whose element `[i, j]` is `data[i * row_stride + j]`.
    ///
    /// # Errors
    /// If an element lies outside the slice or rows overlap.
    pub fn strided(
        data: &'a mut [T],
        [rows, cols]: [usize; 2],
        row_stride: usize,
    ) -> Result<Self, KernelError> {
        check([rows, cols], [row_stride, 1], data.len())?;
        if rows > 1 && row_stride < cols {
            let rule = format!("rows of {cols} elements must not overlap");
            return Err(GeometryError::new(OP, "row_stride", row_stride.to_string(), rule).into());
        }
        Ok(Self {
            data,
            rows,
            cols,
            row_stride,
        })
    }

    /// A dense matrix.
    ///
    /// # Errors
    /// If the slice has fewer than `rows * cols` elements.
    pub fn new(data: &'a mut [T], rows: usize, cols: usize) -> Result<Self, KernelError> {
        Self::strided(data, [rows, cols], cols)
    }

    /// `[rows, cols]`
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// Row `i`, which must be inside the shape.
    pub fn row_mut(&mut self, i: usize) -> &mut [T] {
        &mut self.data[i * self.row_stride..][..self.cols]
    }
}

fn check(shape: [usize; 2], strides: [usize; 2], len: usize) -> Result<(), KernelError> {
    element_count(OP, "matrix", &shape)?;
    if shape.contains(&0) {
        return Ok(());
    }
    let reach = |axis: usize| (shape[axis] - 1).checked_mul(strides[axis]);
    let last = reach(0)
        .zip(reach(1))
        .and_then(|(rows, cols)| rows.checked_add(cols));
    match last {
        Some(last) if last < len => Ok(()),
        _ => {
            let rule = format!("a {shape:?} matrix must stay inside its {len} elements");
            Err(GeometryError::new(OP, "strides", format!("{strides:?}"), rule).into())
        }
    }
}

/// Checks that `a * b` can be written to a matrix of shape `c`.
pub(super) fn check_product(
    a: [usize; 2],
    b: [usize; 2],
    c: [usize; 2],
) -> Result<(), KernelError> {
    if a[1] != b[0] {
        let rule = format!("{a:?} times {b:?} must have as many columns as rows between them");
        return Err(GeometryError::new(OP, "b", format!("{b:?}"), rule).into());
    }
    if c != [a[0], b[1]] {
        let rule = format!("the product of {a:?} and {b:?} is {:?}", [a[0], b[1]]);
        return Err(GeometryError::new(OP, "c", format!("{c:?}"), rule).into());
    }
    Ok(())
}
