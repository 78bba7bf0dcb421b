//! Benchmarks of the kernels, per SIMD level, as fractions of what the machine can do.
//!
//! `cargo bench -p striate-benches --bench gemm` measures every shape of `shapes/gemm.txt` on every
//! level, and ends with a table. Words after `--` select benchmarks by name. One thread unless
//! `STRIATE_BENCH_THREADS` says otherwise. Convolutions have options of their own (`benches/conv.rs`).
//!
//! A run alternates with a loop of multiply-adds between registers, and a copy for kernels that only
//! move data: a fraction compares the best of either, so that it holds on a machine whose clock
//! changes and that others use.

pub mod convolutions;
pub mod copy;
pub mod report;
pub mod rounds;
pub mod shapes;
