//! Calls the hot kernels on every level, so that their machine code can be looked at:
//! `cargo run --release -p xtask -- codegen-check` disassembles this program and fails on calls,
//! spills and narrow registers in the loops of multiply-adds.
//!
//! A kernel is added by calling it here, in the module of its family, and naming it in the list of
//! `codegen-check`.

mod attention;
mod conv2d;
mod conv_transpose2d;
mod deform_conv2d;
mod elementary;
mod elementwise;
mod gate;
mod gemm;
mod involution;
mod mixture;
mod norm;
mod optim;
mod pool;
mod reduce;
mod resample;
mod roi;
mod sample;
mod softmax;

use std::error::Error;
use std::hint::black_box;
use striate_simd::Level;

/// What a family ends with.
type Outcome = Result<(), Box<dyn Error>>;

/// Numbers that the compiler does not know.
fn numbers(len: usize) -> Vec<f32> {
    black_box((0..len).map(|i| (i % 13) as f32 / 16.0).collect())
}

/// The number of elements of an array.
fn count(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

fn main() -> Outcome {
    for level in Level::available() {
        elementary::run(level);
        gemm::run(level)?;
        conv2d::run(level)?;
        conv_transpose2d::run(level)?;
        deform_conv2d::run(level)?;
        involution::run(level)?;
        pool::run(level)?;
        resample::run(level)?;
        sample::run(level)?;
        roi::run(level)?;
        attention::run(level)?;
        softmax::run(level)?;
        gate::run(level)?;
        mixture::run(level)?;
        norm::run(level)?;
        reduce::run(level)?;
        elementwise::run(level)?;
        optim::run(level)?;
    }
    Ok(())
}
