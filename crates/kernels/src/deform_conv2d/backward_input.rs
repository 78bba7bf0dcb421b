//! The gradients by the images, the offsets and the mask: a strip of gradients of the output times the weights of some channels,
//! spread over the pixels that were sampled.
//!
//! A task has some channels of one image, so that no two add to the same element and each adds in the order of the pixels. What
//! it finds for offsets and mask is the part of its channels; the parts are summed in their order.

use super::packed::runs;
use super::pieces::{Piece, pieces};
use super::strip::{self, Origin, Sampler};
use super::{DeformConv2dGeometry, Inputs};
use crate::array::array;
use crate::disjoint::{DisjointMut, TileMut};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::{Matrix, MatrixMut, PackedB};
use crate::parallel::{Cut, for_each_chunk2, try_for_each};
use std::ops::Range;
use striate_simd::{Buffer, Level, Simd, dispatch};

/// The most channels of a task: a pixel's place is found again for each of them.
const CHANNELS: usize = 64;

/// The most shares of a pixel that are computed at a time, about.
const SHARES: usize = 256;

/// What is found for a tap of a pixel: the gradients by how far down, how far right, and the factor.
const PARTS: usize = 3;

pub(super) fn run(
    level: Level,
    g: &DeformConv2dGeometry,
    inputs: &Inputs<'_, f32>,
    weight: &[f32],
    dy: &[f32],
    [dx, doffset, dmask]: [&mut [f32]; 3],
) -> Result<(), KernelError> {
    let conv = g.conv();
    let (sampler, pieces) = (Sampler::new(g, inputs), pieces(g, CHANNELS));
    let ([h, w], [oh, ow]) = (conv.in_size(), conv.out_size());
    let (image, taps) = (oh * ow, conv.taps());
    if dx.is_empty() {
        doffset.fill(0.0);
        dmask.fill(0.0);
        return Ok(());
    }
    let mut parts = Buffer::<f32>::recycled(pieces.len() * conv.batch() * image * taps * PARTS)?;
    let pixel_parts = taps * PARTS;
    {
        let dx = DisjointMut::rows(dx, conv.in_channels());
        let parts = DisjointMut::new(&mut parts);
        try_for_each(conv.batch() * pieces.len(), |task| {
            let (n, index) = (task / pieces.len(), task % pieces.len());
            let piece = &pieces[index];
            let len = piece.channels.len();
            let mut dx = dx.tile(n * h * w..(n + 1) * h * w, piece.channels.clone());
            (0..h * w).for_each(|pixel| dx.row(pixel).fill(0.0));
            let weights = weights_of(level, g, piece, weight)?;
            let longest = weights.iter().map(|run| run.taps.len()).max().unwrap_or(0);
            let strips = strip::cut(image, longest * len);
            let mut shares = Buffer::<f32>::recycled(strips.per_task() * longest * len)?;
            let first = (index * conv.batch() + n) * image;
            let mut parts = parts.range(first * pixel_parts..(first + image) * pixel_parts);
            for strip in 0..strips.tasks() {
                let pixels = strips.range(strip);
                let parts = &mut parts[pixels.start * pixel_parts..pixels.end * pixel_parts];
                let first = n * image + pixels.start;
                for Run { taps, weights } in &weights {
                    let columns = taps.len() * len;
                    let shares = &mut shares[..pixels.len() * columns];
                    multiply(g, piece, weights, dy, first, shares)?;
                    dispatch!(level, s => {
                        let pixels = shares.chunks_exact(columns).zip(parts.chunks_exact_mut(pixel_parts));
                        for (pixel, (shares, parts)) in (first..).zip(pixels) {
                            let origin = sampler.origin(pixel);
                            for (share, tap) in shares.chunks_exact(len).zip(taps.clone()) {
                                let part = spread(s, (&sampler, piece), (&origin, tap), share, n * h * w, &mut dx);
                                parts[tap * PARTS..(tap + 1) * PARTS].copy_from_slice(&part);
                            }
                        }
                    });
                }
            }
            Ok::<(), KernelError>(())
        })?;
    }
    sum_parts(g, &pieces, &parts, doffset, dmask);
    Ok(())
}

/// Taps that follow each other, with their weights `[outputs, taps * channels]`.
struct Run {
    taps: Range<usize>,
    weights: PackedB,
}

/// The weights of the channels of a piece.
fn weights_of(
    level: Level,
    g: &DeformConv2dGeometry,
    piece: &Piece,
    weight: &[f32],
) -> Result<Vec<Run>, KernelError> {
    let conv = g.conv();
    let (taps, channels, len) = (conv.taps(), conv.group_in_channels(), piece.channels.len());
    let outputs = conv.group_out_channels();
    let mut near = Buffer::<f32>::recycled(outputs * taps * len)?;
    let rows = weight[piece.group * outputs * taps * channels..].chunks_exact(channels);
    for (near, row) in near.chunks_exact_mut(len).zip(rows) {
        near.copy_from_slice(&row[piece.start..piece.start + len]);
    }
    let run = |of: Range<usize>| {
        let near = near.get(of.start * len..).unwrap_or_default();
        let weights = Matrix::strided(near, [outputs, of.len() * len], [taps * len, 1])?;
        Ok(Run {
            taps: of,
            weights: PackedB::new(level, weights)?,
        })
    };
    runs(taps, SHARES / len).map(run).collect()
}

/// The gradients of the samples of the pixels from number `first` on: `[pixels, taps, channels]`.
fn multiply(
    g: &DeformConv2dGeometry,
    piece: &Piece,
    weights: &PackedB,
    dy: &[f32],
    first: usize,
    shares: &mut [f32],
) -> Result<(), KernelError> {
    let (out, outputs) = (g.conv().out_channels(), g.conv().group_out_channels());
    let columns = weights.columns();
    let rows = shares.len() / columns;
    let dy = &dy[first * out + piece.group * outputs..];
    let a = Matrix::strided(dy, [rows, outputs], [out, 1])?;
    weights.multiply(a, &Epilogue::NONE, MatrixMut::new(shares, rows, columns)?)
}

/// Adds the gradient of a sample to the pixels that it was made of, and returns its products with what they hold. `first` is
/// the number of the pixel of the first row of `dx`.
#[inline(always)]
fn spread<S: Simd>(
    s: S,
    (sampler, piece): (&Sampler<'_>, &Piece),
    (origin, tap): (&Origin, usize),
    share: &[f32],
    first: usize,
    dx: &mut TileMut<'_, f32>,
) -> [f32; PARTS] {
    let (place, mask) = sampler.place(origin, piece.offset_group, tap);
    if let Some(square) = sampler.square(origin, place) {
        let shares = square.list(mask);
        // Two neighbours at a time.
        let pairs = array(
            #[inline(always)]
            |i| {
                add_product(
                    s,
                    share,
                    (sampler, piece),
                    [shares[2 * i], shares[2 * i + 1]],
                    first,
                    dx,
                )
            },
        );
        let [[a, b], [c, d]] = pairs;
        let [value, down, right] = square.gradient(s, [a, b, c, d]);
        let mask = mask as f32;
        return [mask * s.sum(down), mask * s.sum(right), s.sum(value)];
    }
    let [rows, columns] = sampler.taps(place);
    let [mut down, mut right, mut value] = [0.0; PARTS];
    for row in rows.iter() {
        for column in columns.iter() {
            let (pixel, weight) = (
                sampler.pixel(origin, [row.at, column.at]),
                row.weight * column.weight,
            );
            let [product] = add_product(
                s,
                share,
                (sampler, piece),
                [(pixel, weight * mask)],
                first,
                dx,
            );
            let product = f64::from(s.sum(product));
            value += weight * product;
            down += row.slope * column.weight * product;
            right += row.weight * column.slope * product;
        }
    }
    [(down * mask) as f32, (right * mask) as f32, value as f32]
}

/// `dx += weight * share` for pixels that follow each other, and the sums of `share * x`, lane by lane.
#[inline(always)]
fn add_product<S: Simd, const K: usize>(
    s: S,
    share: &[f32],
    (sampler, piece): (&Sampler<'_>, &Piece),
    pixels: [(usize, f64); K],
    first: usize,
    dx: &mut TileMut<'_, f32>,
) -> [S::F32; K] {
    let n = share.len();
    let x: [_; K] = array(
        #[inline(always)]
        |k| sampler.x(pixels[k].0, piece.channels.clone()),
    );
    let weights: [_; K] = array(
        #[inline(always)]
        |k| s.splat(pixels[k].1 as f32),
    );
    let mut dx = dx.row_array::<K>(pixels[0].0 - first, 0..n);
    let mut sums = [s.splat(0.0); K];
    let mut at = 0;
    while at <= n && n - at >= S::LANES {
        let share = s.load(&share[at..]);
        for k in 0..K {
            sums[k] = s.mul_add(share, s.load(&x[k][at..]), sums[k]);
            let dx = &mut dx.get(k)[at..];
            s.store(s.mul_add(share, weights[k], s.load(dx)), dx);
        }
        at += S::LANES;
    }
    if at < n {
        let share = s.load_partial(&share[at..]);
        for k in 0..K {
            sums[k] = s.mul_add(share, s.load_partial(&x[k][at..n]), sums[k]);
            let dx = &mut dx.get(k)[at..n];
            s.store_partial(s.mul_add(share, weights[k], s.load_partial(dx)), dx);
        }
    }
    sums
}

/// Sums the parts of the pieces of each group of offsets.
fn sum_parts(
    g: &DeformConv2dGeometry,
    pieces: &[Piece],
    parts: &[f32],
    doffset: &mut [f32],
    dmask: &mut [f32],
) {
    let (taps, per_pixel) = (g.conv().taps(), g.mask_shape()[1]);
    let pixels = dmask.len() / per_pixel;
    let step = Cut::new(pixels, per_pixel * pieces.len()).per_task() * per_pixel;
    for_each_chunk2(
        (doffset, 2 * step),
        (dmask, step),
        |task, doffset, dmask| {
            doffset.fill(0.0);
            dmask.fill(0.0);
            let first = task * step / per_pixel;
            for (index, piece) in pieces.iter().enumerate() {
                let start = (index * pixels + first) * taps * PARTS;
                let mut parts = parts[start..].chunks_exact(PARTS);
                for pixel in 0..dmask.len() / per_pixel {
                    let at = pixel * per_pixel + piece.offset_group * taps;
                    for (at, part) in (at..at + taps).zip(&mut parts) {
                        doffset[2 * at] += part[0];
                        doffset[2 * at + 1] += part[1];
                        dmask[at] += part[2];
                    }
                }
            }
        },
    );
}
