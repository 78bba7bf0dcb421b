//! Layer normalisation of `f32` on vectors: a row is read once from memory and a few times from the cache.

use super::layer::LayerGeometry;
use super::vector::{run_moments, sum_of};
use crate::disjoint::DisjointMut;
use crate::lanes::{map, update};
use crate::parallel::{Cut, for_each};
use striate_simd::{Level, Simd, dispatch};

/// Rows of a task, of which the backward pass keeps sums in single precision.
fn cut(g: &LayerGeometry) -> Cut {
    Cut::every(g.rows(), ((1 << 14) / g.row_len().max(1)).clamp(16, 512))
}

/// `y = (x - mean) / sqrt(var + epsilon) * weight + bias` with the mean and variance of each row.
#[expect(clippy::too_many_arguments, reason = "one input and three outputs")]
pub(super) fn forward(
    level: Level,
    g: &LayerGeometry,
    x: &[f32],
    affine: [&[f32]; 2],
    epsilon: f64,
    y: &mut [f32],
    mean: &mut [f32],
    var: &mut [f32],
) {
    let len = g.row_len();
    let [y, mean, var] = [y, mean, var].map(DisjointMut::new);
    let cut = cut(g);
    for_each(cut.tasks(), |task| {
        let rows = cut.range(task);
        let elements = rows.start * len..rows.end * len;
        let mut y = y.range(elements.clone());
        let (mut mean, mut var) = (mean.range(rows.clone()), var.range(rows.clone()));
        let x = &x[elements];
        dispatch!(level, s => for i in 0..rows.len() {
            let here = i * len..(i + 1) * len;
            let row = &x[here.clone()];
            (mean[i], var[i]) = normalise(s, row, affine, epsilon, &mut y[here]);
        });
    });
}

/// Writes a row and returns its mean and variance.
#[inline(always)]
fn normalise<S: Simd>(
    s: S,
    x: &[f32],
    [weight, bias]: [&[f32]; 2],
    epsilon: f64,
    y: &mut [f32],
) -> (f32, f32) {
    let (mean, squares) = run_moments(s, x);
    let var = squares / x.len() as f64;
    let inverse = s.splat((1.0 / (var + epsilon).sqrt()) as f32);
    let centre = s.splat(mean as f32);
    map(
        s,
        [x, weight, bias],
        y,
        #[inline(always)]
        |[x, w, b]| s.mul_add(s.mul(s.sub(x, centre), inverse), w, b),
    );
    (mean as f32, var as f32)
}

/// The gradient of the rows, and those of the weight and bias, of which `row(i)` gives the mean and the inverse
/// deviation.
pub(super) fn backward(
    level: Level,
    g: &LayerGeometry,
    x: &[f32],
    dy: &[f32],
    row: impl Fn(usize) -> [f64; 2] + Sync,
    weight: &[f32],
    dx: &mut [f32],
) -> [Vec<f64>; 2] {
    let len = g.row_len();
    let cut = cut(g);
    let mut sums = vec![0.0; cut.tasks() * 2 * len];
    let (dx, cells) = (DisjointMut::new(dx), DisjointMut::rows(&mut sums, 2 * len));
    for_each(cut.tasks(), |task| {
        let rows = cut.range(task);
        let mut cell = cells.tile(task..task + 1, 0..2 * len);
        let (dweight, dbias) = cell.row(0).split_at_mut(len);
        let mut dx = dx.range(rows.start * len..rows.end * len);
        for (i, r) in rows.enumerate() {
            let here = r * len..(r + 1) * len;
            let (x, dy, dx) = (&x[here.clone()], &dy[here], &mut dx[i * len..(i + 1) * len]);
            let stats = row(r);
            dispatch!(level, s => backward_row(s, x, dy, stats, weight, [dx, dweight, dbias]));
        }
    });
    drop(cells);
    let mut totals = [vec![0.0; len], vec![0.0; len]];
    for cell in sums.chunks_exact((2 * len).max(1)) {
        for (total, part) in totals.iter_mut().zip(cell.chunks_exact(len)) {
            total
                .iter_mut()
                .zip(part)
                .for_each(|(t, &p)| *t += f64::from(p));
        }
    }
    totals
}

#[inline(always)]
fn backward_row<S: Simd>(
    s: S,
    x: &[f32],
    dy: &[f32],
    [mean, inverse]: [f64; 2],
    weight: &[f32],
    [dx, dweight, dbias]: [&mut [f32]; 3],
) {
    let count = x.len() as f64;
    let centre = s.splat(mean as f32);
    let sum = sum_of(
        s,
        [dy, weight],
        #[inline(always)]
        |[dy, w]| s.mul(dy, w),
    ) / count;
    let product = sum_of(
        s,
        [dy, weight, x],
        #[inline(always)]
        |[dy, w, x]| s.mul(s.mul(dy, w), s.sub(x, centre)),
    );
    let scale = s.splat(inverse as f32);
    let constant = s.splat((-sum * inverse) as f32);
    let slope = s.splat((product / count * inverse.powi(3)) as f32);
    map(
        s,
        [dy, weight, x],
        dx,
        #[inline(always)]
        |[dy, w, x]| {
            let straight = s.mul_add(s.mul(dy, w), scale, constant);
            s.neg_mul_add(s.sub(x, centre), slope, straight)
        },
    );
    update(
        s,
        None,
        [dy, x],
        dweight,
        #[inline(always)]
        |sum, [dy, x]| s.mul_add(dy, s.mul(s.sub(x, centre), scale), sum),
    );
    update(
        s,
        None,
        [dy],
        dbias,
        #[inline(always)]
        |sum, [dy]| s.add(sum, dy),
    );
}
