//! The largest pixels of the bins of regions (Girshick, "Fast R-CNN", 2015).
//!
//! A region's corners are rounded to pixels, which both belong to it; a bin has all pixels that it touches. The largest pixels are
//! looked for again on the way back: that is cheaper than to keep a place for every output.

use super::{Inputs, OP, RoiGeometry};
use crate::disjoint::DisjointMut;
use crate::error::{KernelError, check_len};
use crate::parallel::{Cut, for_each};
use crate::real::Real;
use std::ops::Range;
use striate_simd::{Level, Simd, dispatch};

/// Channels that are looked through at once on the way back, and that a task writes.
const BLOCK: usize = 32;

/// What finding the pixels of a bin costs, in the unit of [`Cut`].
const BIN_COST: usize = 100;

/// The pixels of a bin: its image, rows and columns.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bin {
    image: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Bin {
    /// Bin number `index` of a region `[image, x1, y1, x2, y2]`, with the roundings of `R` as PyTorch has them.
    fn new<R: Real>(g: &RoiGeometry, roi: &[R], index: usize) -> Self {
        let ([_, _, h, w], [_, _, bins_h, bins_w]) = (g.input(), g.output());
        let rounded = |x: f64| R::from_f64(x).to_f64();
        let scale = rounded(g.scale());
        let axis = |low: usize, size: usize, bins: usize, bin: usize| {
            let corner = |i: usize| rounded(roi[i].to_f64() * scale).round();
            let (start, end) = (corner(low), corner(low + 2));
            let step = rounded((end - start + 1.0).max(1.0) / bins as f64);
            let place = |at: f64| (at + start).clamp(0.0, size as f64) as usize;
            let first = place(rounded(bin as f64 * step).floor());
            first..place(rounded((bin + 1) as f64 * step).ceil()).max(first)
        };
        Self {
            image: roi[0].to_f64() as usize,
            rows: axis(2, h, bins_h, index / bins_w),
            columns: axis(1, w, bins_w, index % bins_w),
        }
    }

    /// The numbers of its pixels, row by row.
    fn pixels(&self, h: usize, w: usize) -> impl Iterator<Item = usize> + '_ {
        let row = move |row: usize| {
            let start = (self.image * h + row) * w;
            self.columns.clone().map(move |column| start + column)
        };
        self.rows.clone().flat_map(row)
    }
}

/// `y[r, i, j, c] = max of the pixels of bin [i, j] of region r`, zero where a bin has no pixels. The geometry's sampling, groups
/// and offsets do not matter.
///
/// # Errors
/// If a length does not fit the geometry or a region is of no image.
pub fn largest<R: Real>(
    level: Level,
    g: &RoiGeometry,
    rois: &[R],
    x: &[R],
    y: &mut [R],
) -> Result<(), KernelError> {
    check(g, rois, x, y.len())?;
    let [_, channels, h, w] = g.input();
    if y.is_empty() {
        return Ok(());
    }
    let bins = g.output()[2] * g.output()[3];
    let cut = Cut::new(y.len() / channels, BIN_COST + 8 * channels);
    let y = DisjointMut::new(y);
    for_each(cut.tasks(), |task| {
        let outputs = cut.range(task);
        let mut y = y.range(outputs.start * channels..outputs.end * channels);
        for (output, y) in outputs.zip(y.chunks_exact_mut(channels)) {
            let bin = Bin::new(g, roi(rois, output / bins), output % bins);
            let mut pixels = bin.pixels(h, w).map(|pixel| pixel * channels);
            match pixels.next() {
                None => y.fill(R::ZERO),
                Some(first) => y.copy_from_slice(&x[first..first + channels]),
            }
            dispatch!(level, s => {
                for at in pixels {
                    keep_larger(s, &x[at..at + channels], y);
                }
            });
        }
    });
    Ok(())
}

/// The gradient by the images, which is overwritten: that of an output goes to the first of the largest pixels of its bin.
///
/// # Errors
/// As [`largest`].
pub fn largest_backward<R: Real>(
    level: Level,
    g: &RoiGeometry,
    rois: &[R],
    x: &[R],
    dy: &[R],
    dx: &mut [R],
) -> Result<(), KernelError> {
    check(g, rois, x, dy.len())?;
    check_len(OP, "dx", dx.len(), x.len())?;
    let [images, channels, h, w] = g.input();
    if dx.is_empty() {
        return Ok(());
    }
    let bins = g.output()[2] * g.output()[3];
    let dx = DisjointMut::rows(dx, channels);
    for_each(channels.div_ceil(BLOCK), |block| {
        let range = block * BLOCK..channels.min((block + 1) * BLOCK);
        let mut dx = dx.tile(0..images * h * w, range.clone());
        (0..images * h * w).for_each(|pixel| dx.row(pixel).fill(R::ZERO));
        let (mut best, mut place) = ([R::ZERO; BLOCK], [0_usize; BLOCK]);
        for output in 0..g.rois() * bins {
            let bin = Bin::new(g, roi(rois, output / bins), output % bins);
            let mut pixels = bin.pixels(h, w);
            let Some(first) = pixels.next() else {
                continue;
            };
            let of_block = |pixel: usize| &x[pixel * channels..][range.clone()];
            best[..range.len()].copy_from_slice(of_block(first));
            place[..range.len()].fill(first);
            dispatch!(level, s => {
                for pixel in pixels {
                    find_larger(s, of_block(pixel), pixel, &mut best, &mut place);
                }
            });
            let dy = &dy[output * channels..][range.clone()];
            for (c, (&pixel, &dy)) in place.iter().zip(dy).enumerate() {
                let old = dx.row(pixel)[c];
                dx.row(pixel)[c] = old + dy;
            }
        }
    });
    Ok(())
}

fn check<R: Real>(g: &RoiGeometry, rois: &[R], x: &[R], outputs: usize) -> Result<(), KernelError> {
    let offsets = &[];
    Inputs { rois, offsets }.check(g)?;
    check_len(OP, "x", x.len(), g.input().iter().product())?;
    check_len(OP, "y", outputs, g.output().iter().product())
}

fn roi<R>(rois: &[R], index: usize) -> &[R] {
    &rois[5 * index..5 * index + 5]
}

/// `y = max(x, y)`, not a number where either is not.
#[inline(always)]
fn keep_larger<S: Simd, R: Real>(_: S, x: &[R], y: &mut [R]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = if x > *y || x.is_nan() { x } else { *y };
    }
}

/// [`keep_larger`] that notes which pixel it was.
#[inline(always)]
fn find_larger<S: Simd, R: Real>(
    _: S,
    x: &[R],
    pixel: usize,
    best: &mut [R; BLOCK],
    place: &mut [usize; BLOCK],
) {
    for ((best, place), &x) in best.iter_mut().zip(place).zip(x) {
        let larger = x > *best || x.is_nan();
        *best = if larger { x } else { *best };
        *place = if larger { pixel } else { *place };
    }
}
