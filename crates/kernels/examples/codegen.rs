//! Calls the hot kernels on every level, so that their machine code can be looked at:
//! `cargo run --release -p xtask -- codegen-check` disassembles this program and fails on calls,
//! spills and narrow registers in the loops of multiply-adds.
//!
//! A kernel is added by calling it here and naming it in the list of `codegen-check`.

use std::hint::black_box;
use striate_kernels::conv2d::{self, Conv2dGeometry};
use striate_kernels::epilogue::Epilogue;
use striate_kernels::gemm::{Matrix, MatrixMut, Write, sgemm};
use striate_kernels::{Accuracy, Policy};
use striate_simd::{Level, Simd, dispatch, math};

/// `y += a * x`: what a plain loop over vectors compiles to.
#[inline(never)]
fn axpy(level: Level, a: f32, x: &[f32], y: &mut [f32]) {
    #[inline(always)]
    fn run<S: Simd>(s: S, a: f32, x: &[f32], y: &mut [f32]) {
        let a = s.splat(a);
        for (x, y) in x.chunks_exact(S::LANES).zip(y.chunks_exact_mut(S::LANES)) {
            s.store(s.mul_add(a, s.load(x), s.load(y)), y);
        }
    }
    dispatch!(level, s => run(s, a, x, y));
}

/// `y = f(x)` for the functions of `striate_simd::math`.
macro_rules! elementary {
    ($($name:ident)+) => {
        $(#[inline(never)]
        fn $name(level: Level, x: &[f32], y: &mut [f32]) {
            #[inline(always)]
            fn run<S: Simd>(s: S, x: &[f32], y: &mut [f32]) {
                for (x, y) in x.chunks_exact(S::LANES).zip(y.chunks_exact_mut(S::LANES)) {
                    s.store(math::$name(s, s.load(x)), y);
                }
            }
            dispatch!(level, s => run(s, x, y));
        })+
    };
}
elementary!(exp log sigmoid tanh erf);

/// The three passes of a convolution for each algorithm.
fn convolutions(level: Level) -> Result<(), Box<dyn std::error::Error>> {
    let shapes = [(32, 48, 1), (1, 48, 1), (2, 48, 1), (3, 48, 1), (32, 32, 8)];
    let accuracies = [Accuracy::Fast, Accuracy::Strict];
    for ((inputs, outputs, groups), accuracy) in
        shapes.into_iter().flat_map(|s| accuracies.map(|a| (s, a)))
    {
        let policy = Policy { level, accuracy };
        let (size, kernel, pad) = ([24; 2], [3; 2], [1; 4]);
        let g = Conv2dGeometry::new(
            1, inputs, size, outputs, kernel, [1; 2], pad, [1; 2], groups,
        )?;
        let x = black_box(vec![0.5; g.x_len()]);
        let w = black_box(vec![0.25; g.weight_len()]);
        let (mut y, mut dx, mut dw) = (
            vec![0.0; g.y_len()],
            vec![0.0; g.x_len()],
            vec![0.0; g.weight_len()],
        );
        conv2d::forward(policy, &g, &x, &w, &Epilogue::NONE, &mut y)?;
        conv2d::backward_input(policy, &g, &y, &w, &mut dx)?;
        conv2d::backward_weight(policy, &g, &x, &y, &mut dw)?;
        black_box((&mut dx, &mut dw));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let n = 192;
    let x = black_box(vec![0.5; n * n]);
    let w = black_box(vec![0.25; n * n]);
    let mut y = vec![0.0; n * n];
    for level in Level::available() {
        axpy(level, 2.0, &x, &mut y);
        exp(level, &x, &mut y);
        log(level, &x, &mut y);
        sigmoid(level, &x, &mut y);
        tanh(level, &x, &mut y);
        erf(level, &x, &mut y);
        let c = MatrixMut::new(&mut y, n, n)?;
        convolutions(level)?;
        sgemm(
            level,
            Matrix::new(&x, n, n)?,
            Matrix::new(&w, n, n)?,
            Write::Replace,
            c,
        )?;
        black_box(&mut y);
    }
    Ok(())
}
