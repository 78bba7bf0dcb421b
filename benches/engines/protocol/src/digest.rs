//! A few numbers that tell two outputs apart wherever they differ.

use crate::fill;

/// How many; `../worker.py` has the same.
const PROJECTIONS: usize = 64;
const SEED: u32 = 9;

/// Element `i` times a number in `[-1, 1)` drawn for `i`, added up over all `i` that leave the same rest by 64: the distance of
/// two digests over their length estimates the relative distance of the outputs.
pub(crate) fn projections(output: &[f32]) -> Vec<f64> {
    let weights = fill(output.len(), SEED, 2.0);
    let mut sums = vec![0.0; PROJECTIONS];
    for (i, (y, w)) in output.iter().zip(weights).enumerate() {
        sums[i % PROJECTIONS] += f64::from(*y) * f64::from(w);
    }
    sums
}
