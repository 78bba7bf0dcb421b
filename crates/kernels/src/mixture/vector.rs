//! The same for `f32` on vectors: columns are cut into pieces that stay in a near cache while all rows are mixed.

use super::Mixture;
use super::reference::row;
use crate::disjoint::{DisjointMut, TileMut};
use crate::parallel::{Cut, for_each, for_each_chunk};
use std::ops::Range;
use striate_simd::{Level, Simd, dispatch};

/// Vectors of a block, whose sums stay in registers.
const BLOCK: usize = 4;
/// Pieces are a multiple of this many columns, which is a block of the widest vectors.
const COLUMNS: usize = 64;

/// Pieces of columns, of the same size whatever the number of threads.
fn cut(m: &Mixture) -> Cut {
    let columns = Cut::new(m.len, m.samples + m.rows).per_task();
    Cut::every(m.len, columns.next_multiple_of(COLUMNS))
}

pub(super) fn mix(level: Level, m: &Mixture, a: &[f32], w: &[f32], y: &mut [f32]) {
    let cut = cut(m);
    let y = DisjointMut::rows(y, m.len);
    for_each(cut.tasks(), |task| {
        let columns = cut.range(task);
        let mut y = y.tile(0..m.samples, columns.clone());
        dispatch!(level, s => mix_columns(s, m, a, w, columns, &mut y));
    });
}

#[inline(always)]
fn mix_columns<S: Simd>(
    s: S,
    m: &Mixture,
    a: &[f32],
    w: &[f32],
    columns: Range<usize>,
    y: &mut TileMut<'_, f32>,
) {
    for n in 0..m.samples {
        let (factors, y) = (row(a, n, m.rows), y.row(n));
        let mut blocks = y.chunks_exact_mut(BLOCK * S::LANES);
        let mut start = columns.start;
        for block in &mut blocks {
            let mut sums = [s.splat(0.0); BLOCK];
            for (e, &factor) in factors.iter().enumerate() {
                let w = &row(w, e, m.len)[start..][..BLOCK * S::LANES];
                let factor = s.splat(factor);
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = s.mul_add(factor, s.load(&w[v * S::LANES..]), *sum);
                }
            }
            for (v, sum) in sums.into_iter().enumerate() {
                s.store(sum, &mut block[v * S::LANES..]);
            }
            start += BLOCK * S::LANES;
        }
        for piece in blocks.into_remainder().chunks_mut(S::LANES) {
            let mut sum = s.splat(0.0);
            for (e, &factor) in factors.iter().enumerate() {
                let w = &row(w, e, m.len)[start..][..piece.len()];
                sum = s.mul_add(s.splat(factor), s.load_partial(w), sum);
            }
            s.store_partial(sum, piece);
            start += piece.len();
        }
    }
}

pub(super) fn products(level: Level, m: &Mixture, y: &[f32], w: &[f32], a: &mut [f32]) {
    let cut = cut(m);
    let pairs = a.len();
    let mut parts = vec![0.0; cut.tasks() * pairs];
    for_each_chunk(&mut parts, pairs, |task, part| {
        let columns = cut.range(task);
        dispatch!(level, s => product_columns(s, m, y, w, &columns, part));
    });
    for (i, a) in a.iter_mut().enumerate() {
        let parts = parts.iter().skip(i).step_by(pairs);
        *a = parts.map(|&part| f64::from(part)).sum::<f64>() as f32;
    }
}

#[inline(always)]
fn product_columns<S: Simd>(
    s: S,
    m: &Mixture,
    y: &[f32],
    w: &[f32],
    columns: &Range<usize>,
    part: &mut [f32],
) {
    for (i, part) in part.iter_mut().enumerate() {
        let y = &row(y, i / m.rows, m.len)[columns.clone()];
        let w = &row(w, i % m.rows, m.len)[columns.clone()];
        let block = BLOCK * S::LANES;
        let mut sums = [s.splat(0.0); BLOCK];
        for (y, w) in y.chunks_exact(block).zip(w.chunks_exact(block)) {
            for (v, sum) in sums.iter_mut().enumerate() {
                let at = v * S::LANES;
                *sum = s.mul_add(s.load(&y[at..]), s.load(&w[at..]), *sum);
            }
        }
        let rest = y.len() - y.len() % block;
        let pairs = y[rest..].chunks(S::LANES).zip(w[rest..].chunks(S::LANES));
        for (y, w) in pairs {
            sums[0] = s.mul_add(s.load_partial(y), s.load_partial(w), sums[0]);
        }
        let [a, b, c, d] = sums;
        *part = s.sum(s.add(s.add(a, b), s.add(c, d)));
    }
}
