//! Benchmarks of the kernels, per SIMD level, as fractions of the measured peak.

pub mod peak;
