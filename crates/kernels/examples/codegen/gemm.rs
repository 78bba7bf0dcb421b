//! Matrix products: of blocks, and of operands in every order.

use crate::{Outcome, numbers};
use std::hint::black_box;
use striate_kernels::gemm::{Matrix, MatrixMut, Write, sgemm};
use striate_simd::Level;

pub(crate) fn run(level: Level) -> Outcome {
    for [m, k, n] in [[192; 3], [3, 192, 5], [1, 64, 192], [192, 64, 1]] {
        let (a, b) = (numbers(m * k), numbers(k * n));
        let mut c = vec![0.0; m * n];
        for write in [Write::Replace, Write::Add] {
            let (a, b) = (Matrix::new(&a, m, k)?, Matrix::new(&b, k, n)?);
            sgemm(level, a, b, write, MatrixMut::new(&mut c, m, n)?)?;
        }
        let (a, b) = (Matrix::new(&a, k, m)?, Matrix::new(&b, n, k)?);
        let c_view = MatrixMut::new(&mut c, m, n)?;
        sgemm(
            level,
            a.transposed(),
            b.transposed(),
            Write::Replace,
            c_view,
        )?;
        black_box(&mut c);
    }
    Ok(())
}
