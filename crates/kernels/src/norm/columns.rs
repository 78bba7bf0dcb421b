//! Sums down the columns of a block of channels-last rows.

use striate_simd::Simd;

/// Vectors of channels that are summed together.
const VECTORS: usize = 4;

/// Rows of contiguous channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) channels: usize,
    pub(super) rows: usize,
}

/// Folds each channel of the matrices `x` over the rows: `step` takes the `A` running values, starting from zero, the
/// elements of a row and the parameters of the channel; `write` receives each channel and its values.
#[inline(always)]
pub(super) fn fold_block<S: Simd, const K: usize, const P: usize, const A: usize>(
    s: S,
    block: Block,
    x: [&[f32]; K],
    parameters: [&[f32]; P],
    step: impl Fn([S::F32; A], [S::F32; K], [S::F32; P]) -> [S::F32; A],
    mut write: impl FnMut(usize, [f32; A]),
) {
    let mut at = 0;
    while at + VECTORS * S::LANES <= block.channels {
        let sums = fold_vectors::<S, K, P, A, VECTORS>(s, block, at, &x, &parameters, &step);
        for v in 0..VECTORS {
            write_lanes(s, at + v * S::LANES, S::LANES, sums[v], &mut write);
        }
        at += VECTORS * S::LANES;
    }
    while at < block.channels {
        let sums = fold_vectors::<S, K, P, A, 1>(s, block, at, &x, &parameters, &step);
        let lanes = S::LANES.min(block.channels - at);
        write_lanes(s, at, lanes, sums[0], &mut write);
        at += S::LANES;
    }
}

#[inline(always)]
fn fold_vectors<S: Simd, const K: usize, const P: usize, const A: usize, const V: usize>(
    s: S,
    block: Block,
    at: usize,
    x: &[&[f32]; K],
    parameters: &[&[f32]; P],
    step: &impl Fn([S::F32; A], [S::F32; K], [S::F32; P]) -> [S::F32; A],
) -> [[S::F32; A]; V] {
    let zero = s.splat(0.0);
    let width = (V * S::LANES).min(block.channels - at);
    let mut own = [[zero; P]; V];
    for v in 0..V {
        for p in 0..P {
            own[v][p] = s.load_partial(&parameters[p][at + v * S::LANES..at + width]);
        }
    }
    let mut sums = [[zero; A]; V];
    for row in 0..block.rows {
        let start = row * block.channels + at;
        for v in 0..V {
            let mut here = [zero; K];
            for k in 0..K {
                let row = &x[k][start..start + width];
                // With several vectors all of them are whole.
                here[k] = if V > 1 {
                    s.load(&row[v * S::LANES..])
                } else {
                    s.load_partial(row)
                };
            }
            sums[v] = step(sums[v], here, own[v]);
        }
    }
    sums
}

#[inline(always)]
fn write_lanes<S: Simd, const A: usize>(
    s: S,
    at: usize,
    lanes: usize,
    sums: [S::F32; A],
    write: &mut impl FnMut(usize, [f32; A]),
) {
    let mut values = [[0.0; 16]; A];
    for a in 0..A {
        s.store_partial(sums[a], &mut values[a][..S::LANES]);
    }
    for lane in 0..lanes {
        let mut channel = [0.0; A];
        for a in 0..A {
            channel[a] = values[a][lane];
        }
        write(at + lane, channel);
    }
}
