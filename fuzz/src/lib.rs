//! What the targets of operations share.

use std::fmt::Debug;
use striate_kernels::view::View;
use striate_kernels::{Accuracy, Policy};
use striate_simd::Level;

/// Elements of an operand that is computed with, and multiply-adds, at most.
const MOST: usize = 1 << 18;
const MOST_MULTIPLY_ADDS: f64 = 3e6;

/// Whether a problem is small enough to be computed by the reference many times a second.
pub fn is_small(multiply_adds: f64, lengths: [usize; 3]) -> bool {
    multiply_adds <= MOST_MULTIPLY_ADDS && lengths.iter().all(|&len| len <= MOST)
}

/// One of the levels of this machine, with or without Winograd's algorithms.
pub fn policy(level: u8, fast: bool) -> Policy {
    let levels = Level::available();
    Policy {
        level: levels[usize::from(level) % levels.len()],
        accuracy: if fast { Accuracy::Fast } else { Accuracy::Strict },
    }
}

/// Small integers: every sum of products is exact, so results must be equal where nothing but such sums is computed.
pub fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7 + seed * 13) % 11) as f32 - 5.0).collect()
}

/// Numbers in channels-last order.
pub fn nhwc(data: &[f32], shape: [usize; 4]) -> View<'_, f32> {
    View::nhwc(data, shape).expect("the geometry's length")
}

/// Compares what was computed from [`numbers`] with the reference, where an element is a sum of `terms` products.
///
/// # Panics
/// If it differs by more than the bound of `docs/numerics.md`.
pub fn compare(what: &str, policy: Policy, geometry: &impl Debug, terms: usize, [y, expected]: [&[f32]; 2]) {
    let bound = match policy.accuracy {
        Accuracy::Strict => 0.0,
        // Products of two numbers up to 5.
        _ => 40.0 * 2.0_f32.powi(-24) * 25.0 * terms as f32,
    };
    for (i, (y, e)) in y.iter().zip(expected).enumerate() {
        assert!((y - e).abs() <= bound, "{what}, {policy:?}, {geometry:?}: {y} is not {e} at {i}");
    }
}

/// A level of this machine.
pub fn level(level: u8) -> Level {
    let levels = Level::available();
    levels[usize::from(level) % levels.len()]
}

/// Numbers between -1 and 1 that look random and differ by their number and the seed alone.
pub fn fractions(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// The same numbers in double precision, in which kernels are their formulas as loops.
pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

/// Compares what was computed from numbers up to 1 with the same in double precision, where an element is a sum of `terms`
/// products.
///
/// # Panics
/// If it differs by more than its roundings.
pub fn close(what: &str, geometry: &impl Debug, terms: usize, y: &[f32], expected: &[f64]) {
    let bound = 64.0 * 2.0_f64.powi(-24) * (terms + 4) as f64;
    assert_eq!(y.len(), expected.len(), "{what}");
    for (i, (&y, &e)) in y.iter().zip(expected).enumerate() {
        let within = (f64::from(y) - e).abs() <= bound * e.abs().max(1.0);
        assert!(within, "{what}, {geometry:?}: {y} is not {e} at {i}");
    }
}

/// A zip archive of these files, without compression or checksums.
pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut data, mut directory) = (Vec::new(), Vec::new());
    for (name, contents) in files {
        let len = (contents.len() as u32).to_le_bytes();
        let name_len = (name.len() as u16).to_le_bytes();
        let record = [&[20, 0][..], &[0; 12], &len, &len, &name_len, &[0; 2]].concat();
        let start = (data.len() as u32).to_le_bytes();
        directory.extend([b"PK\x01\x02\x14\0", &record[..], &[0; 10], &start, name.as_bytes()].concat());
        data.extend([b"PK\x03\x04", &record[..], name.as_bytes(), contents].concat());
    }
    let count = (files.len() as u16).to_le_bytes();
    let [len, start] = [directory.len(), data.len()].map(|n| (n as u32).to_le_bytes());
    let end = [&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &len, &start, &[0, 0]];
    [data, directory, end.concat()].concat()
}
