//! Mixtures of maps: of several maps of one shape their sum, each channel weighed by a factor of its own.
//!
//! `y[n, p, c] = sum over m of a[n, m, c] x_m[n, p, c]`
//!
//! Either way every map is read once. The maps may also lie side by side as the channels of one.

use super::reference;
use crate::disjoint::DisjointMut;
use crate::error::{KernelError, check_len};
use crate::lanes::{map, update};
use crate::parallel::{Cut, for_each, for_each_chunk};
use crate::real::Real;
use std::ops::Range;
use striate_simd::{Level, Simd, dispatch};

/// How many maps there are, and their sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maps {
    /// Number of samples, `N`.
    pub samples: usize,
    /// Number of maps, `M`.
    pub maps: usize,
    /// Places of a map, `P`.
    pub places: usize,
    /// Channels of a map, `C`.
    pub channels: usize,
}

impl Maps {
    /// The numbers of elements of the mixture and of the factors. What overflows is no slice's length.
    fn lens(&self) -> [usize; 2] {
        let one = self.samples.saturating_mul(self.channels);
        [
            one.saturating_mul(self.places),
            one.saturating_mul(self.maps),
        ]
    }

    /// Maps that lie side by side in each of `slices` slices.
    fn side_by_side(&self, slices: usize) -> usize {
        if slices == 1 { self.maps } else { 1 }
    }

    fn check<R>(&self, x: &[usize], a: &[R], y: &[R]) -> Result<(), KernelError> {
        const OP: &str = "mix_maps";
        let [len, factors] = self.lens();
        check_len(OP, "a", a.len(), factors)?;
        check_len(OP, "y", y.len(), len)?;
        let slices = if x.len() == 1 { 1 } else { self.maps };
        check_len(OP, "maps", x.len(), slices)?;
        let len = len.saturating_mul(self.side_by_side(x.len()));
        x.iter().try_for_each(|&x| check_len(OP, "x", x, len))
    }

    /// The slice of map `m` among `slices`, the distance of its rows there, and where its channels start.
    pub(super) fn place(&self, m: usize, slices: usize) -> (usize, usize, usize) {
        let side_by_side = self.side_by_side(slices);
        let (slice, first) = if side_by_side == 1 { (m, 0) } else { (0, m) };
        (slice, side_by_side * self.channels, first * self.channels)
    }

    /// The factors of map `m` for sample `n`.
    pub(super) fn factors(&self, n: usize, m: usize) -> Range<usize> {
        let first = (n * self.maps + m) * self.channels;
        first..first + self.channels
    }

    /// Tasks of a sample.
    fn cut(&self) -> Cut {
        Cut::new(self.places, (self.maps + 1) * self.channels)
    }

    /// The sample of a task and its rows, of all.
    fn rows(&self, cut: &Cut, task: usize) -> (usize, Range<usize>) {
        let (n, rows) = (task / cut.tasks(), cut.range(task % cut.tasks()));
        (n, n * self.places + rows.start..n * self.places + rows.end)
    }
}

/// Computes the mixture `y` `[N, P, C]` of the maps `x`, each `[N, P, C]` or one `[N, P, M * C]`, with the factors `a`
/// `[N, M, C]`.
///
/// # Errors
/// If there are no maps, or a slice has another length.
pub fn mix_maps<R: Real>(
    level: Level,
    g: &Maps,
    x: &[&[R]],
    a: &[R],
    y: &mut [R],
) -> Result<(), KernelError> {
    let lens: Vec<usize> = x.iter().map(|x| x.len()).collect();
    g.check(&lens, a, y)?;
    let vectors: Option<Vec<&[f32]>> = x.iter().map(|x| R::as_f32(x)).collect();
    if let (Some(x), Some(a), Some(y)) = (vectors, R::as_f32(a), R::as_f32_mut(y)) {
        forward(level, g, &x, a, y);
    } else {
        reference::mix_maps(g, x, a, y);
    }
    Ok(())
}

/// Computes the gradients of the maps, in slices like them, and those of the factors.
///
/// # Errors
/// If there are no maps, or a slice has another length.
pub fn mix_maps_backward<R: Real>(
    level: Level,
    g: &Maps,
    x: &[&[R]],
    a: &[R],
    dy: &[R],
    dx: &mut [&mut [R]],
    da: &mut [R],
) -> Result<(), KernelError> {
    let lens: Vec<usize> = x.iter().map(|x| x.len()).collect();
    g.check(&lens, a, dy)?;
    let lens: Vec<usize> = dx.iter().map(|dx| dx.len()).collect();
    g.check(&lens, da, dy)?;
    check_len("mix_maps", "dx", dx.len(), x.len())?;
    let vectors: Option<Vec<&[f32]>> = x.iter().map(|x| R::as_f32(x)).collect();
    if let (Some(x), Some(a), Some(dy), Some(da)) =
        (vectors, R::as_f32(a), R::as_f32(dy), R::as_f32_mut(da))
    {
        let dx: Option<Vec<&mut [f32]>> = dx.iter_mut().map(|dx| R::as_f32_mut(dx)).collect();
        backward(level, g, &x, a, dy, dx.unwrap_or_default(), da);
    } else {
        reference::mix_maps_backward(g, x, a, dy, dx, da);
    }
    Ok(())
}

fn forward(level: Level, g: &Maps, x: &[&[f32]], a: &[f32], y: &mut [f32]) {
    if y.is_empty() {
        return;
    }
    let (c, cut) = (g.channels, g.cut());
    let y = DisjointMut::new(y);
    for_each(g.samples * cut.tasks(), |task| {
        let (n, rows) = g.rows(&cut, task);
        let mut y = y.range(rows.start * c..rows.end * c);
        dispatch!(level, s => mix_rows(s, g, x, &a[g.factors(n, 0).start..], rows, &mut y));
    });
}

/// Mixes the rows `rows`; `a` starts with the factors of their sample.
#[inline(always)]
fn mix_rows<S: Simd>(s: S, g: &Maps, x: &[&[f32]], a: &[f32], rows: Range<usize>, y: &mut [f32]) {
    for (row, y) in rows.zip(y.chunks_exact_mut(g.channels)) {
        for m in 0..g.maps {
            let (slice, stride, first) = g.place(m, x.len());
            let x = &x[slice][row * stride + first..][..g.channels];
            let a = &a[g.factors(0, m)];
            if m == 0 {
                map(
                    s,
                    [x, a],
                    y,
                    #[inline(always)]
                    |[x, a]| s.mul(x, a),
                );
            } else {
                update(
                    s,
                    None,
                    [x, a],
                    y,
                    #[inline(always)]
                    |y, [x, a]| s.mul_add(x, a, y),
                );
            }
        }
    }
}

fn backward(
    level: Level,
    g: &Maps,
    x: &[&[f32]],
    a: &[f32],
    dy: &[f32],
    dx: Vec<&mut [f32]>,
    da: &mut [f32],
) {
    if dy.is_empty() {
        da.fill(0.0);
        return;
    }
    let (c, cut, factors) = (g.channels, g.cut(), g.maps * g.channels);
    let (_, stride, _) = g.place(0, x.len());
    let dx: Vec<_> = dx
        .into_iter()
        .map(|dx| DisjointMut::rows(dx, stride))
        .collect();
    let mut parts = vec![0.0; g.samples * cut.tasks() * factors];
    for_each_chunk(&mut parts, factors, |task, part| {
        let (n, rows) = g.rows(&cut, task);
        let a = &a[n * factors..][..factors];
        let mut dx: Vec<_> = dx
            .iter()
            .map(|dx| dx.tile(rows.clone(), 0..stride))
            .collect();
        let dy = &dy[rows.start * c..rows.end * c];
        for m in 0..g.maps {
            let (slice, _, first) = g.place(m, x.len());
            let x = &x[slice][rows.start * stride..rows.end * stride];
            let (a, part) = (&a[g.factors(0, m)], &mut part[g.factors(0, m)]);
            let tile = &mut dx[slice];
            dispatch!(level, s => {
                for (i, (x, dy)) in x.chunks_exact(stride).zip(dy.chunks_exact(c)).enumerate() {
                    let dx = &mut tile.row(i)[first..first + c];
                    differentiate(s, &x[first..first + c], a, dy, dx, part);
                }
            });
        }
    });
    for (parts, da) in parts
        .chunks(cut.tasks() * factors)
        .zip(da.chunks_mut(factors))
    {
        for (i, da) in da.iter_mut().enumerate() {
            let parts = parts.iter().skip(i).step_by(factors);
            *da = parts.map(|&part| f64::from(part)).sum::<f64>() as f32;
        }
    }
}

/// The gradient of a row of a map, and what it adds to that of the factors.
#[inline(always)]
fn differentiate<S: Simd>(s: S, x: &[f32], a: &[f32], dy: &[f32], dx: &mut [f32], da: &mut [f32]) {
    map(
        s,
        [dy, a],
        dx,
        #[inline(always)]
        |[dy, a]| s.mul(dy, a),
    );
    update(
        s,
        None,
        [dy, x],
        da,
        #[inline(always)]
        |da, [dy, x]| s.mul_add(dy, x, da),
    );
}
