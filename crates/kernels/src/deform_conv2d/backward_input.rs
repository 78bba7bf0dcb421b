//! The gradients by the images, the offsets and the mask: a strip of gradients of the output times the weights of some channels,
//! spread over the pixels that were sampled.
//!
//! A task has some channels of one image, so that no two add to the same element and each adds in the order of the pixels. What
//! it finds for offsets and mask is the part of its channels; the parts are summed in their order.

use super::pieces::{Piece, pieces};
use super::strip::{self, Sampler};
use super::{DeformConv2dGeometry, Inputs};
use crate::disjoint::{DisjointMut, TileMut};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::{Matrix, MatrixMut, PackedB};
use crate::parallel::{Cut, for_each_chunk2, try_for_each};
use std::ops::Range;
use striate_simd::{Buffer, Level, Simd, dispatch};

/// The most channels of a task.
const CHANNELS: usize = 32;

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
        let strips = Cut::every(image, strip::len(taps * CHANNELS));
        try_for_each(conv.batch() * pieces.len(), |task| {
            let (n, index) = (task / pieces.len(), task % pieces.len());
            let piece = &pieces[index];
            let mut dx = dx.tile(n * h * w..(n + 1) * h * w, piece.channels.clone());
            (0..h * w).for_each(|pixel| dx.row(pixel).fill(0.0));
            let weights = weights_of(level, g, piece, weight)?;
            let mut shares = Buffer::<f32>::recycled(strips.per_task() * taps * CHANNELS)?;
            let first = (index * conv.batch() + n) * image;
            let mut parts = parts.range(first * pixel_parts..(first + image) * pixel_parts);
            for strip in 0..strips.tasks() {
                let pixels = strips.range(strip);
                let shares = multiply(
                    g,
                    piece,
                    &weights,
                    dy,
                    n * image,
                    pixels.clone(),
                    &mut shares,
                )?;
                let places = shares.chunks_exact(piece.channels.len());
                let parts = &mut parts[pixels.start * pixel_parts..pixels.end * pixel_parts];
                let first = n * image + pixels.start;
                dispatch!(level, s => {
                    for ((i, share), part) in places.enumerate().zip(parts.chunks_exact_mut(PARTS)) {
                        let place = [first + i / taps, i % taps];
                        let part: &mut [f32] = part;
                        part.copy_from_slice(&spread(s, &sampler, piece, place, n * h * w, share, &mut dx));
                    }
                });
            }
            Ok::<(), KernelError>(())
        })?;
    }
    sum_parts(g, &pieces, &parts, doffset, dmask);
    Ok(())
}

/// The weights of the channels of a piece, `[outputs, taps * channels]`.
fn weights_of(
    level: Level,
    g: &DeformConv2dGeometry,
    piece: &Piece,
    weight: &[f32],
) -> Result<PackedB, KernelError> {
    let conv = g.conv();
    let (taps, channels, len) = (conv.taps(), conv.group_in_channels(), piece.channels.len());
    let outputs = conv.group_out_channels();
    let mut near = Buffer::<f32>::recycled(outputs * taps * len)?;
    let rows = weight[piece.group * outputs * taps * channels..].chunks_exact(channels);
    for (near, row) in near.chunks_exact_mut(len).zip(rows) {
        near.copy_from_slice(&row[piece.start..piece.start + len]);
    }
    PackedB::new(level, Matrix::new(&near, outputs, taps * len)?)
}

/// The gradients of the samples of a strip: `[pixels, taps, channels]`.
fn multiply<'a>(
    g: &DeformConv2dGeometry,
    piece: &Piece,
    weights: &PackedB,
    dy: &[f32],
    image: usize,
    pixels: Range<usize>,
    shares: &'a mut [f32],
) -> Result<&'a [f32], KernelError> {
    let (out, outputs) = (g.conv().out_channels(), g.conv().group_out_channels());
    let (rows, columns) = (pixels.len(), g.conv().taps() * piece.channels.len());
    let dy = &dy[(image + pixels.start) * out + piece.group * outputs..];
    let a = Matrix::strided(dy, [rows, outputs], [out, 1])?;
    let shares = &mut shares[..rows * columns];
    weights.multiply(a, &Epilogue::NONE, MatrixMut::new(shares, rows, columns)?)?;
    Ok(shares)
}

/// Adds the gradient of a sample to the pixels that it was made of, and returns its products with what they hold.
#[inline(always)]
fn spread<S: Simd>(
    s: S,
    sampler: &Sampler<'_>,
    piece: &Piece,
    [pixel, tap]: [usize; 2],
    first_row: usize,
    share: &[f32],
    dx: &mut TileMut<'_, f32>,
) -> [f32; PARTS] {
    let ([rows, columns], mask) = sampler.taps(pixel, piece.offset_group, tap);
    let [mut down, mut right, mut value] = [0.0; PARTS];
    let channels = sampler.channels();
    for row in rows.iter() {
        for column in columns.iter() {
            let start = sampler.start(pixel, [row.at, column.at]);
            let x = sampler.x(start, piece.channels.clone());
            let dx = dx.row(start / channels - first_row);
            let weight = row.weight * column.weight;
            let product = f64::from(add_product(s, share, x, (weight * mask) as f32, dx));
            value += weight * product;
            down += row.slope * column.weight * product;
            right += row.weight * column.slope * product;
        }
    }
    [(down * mask) as f32, (right * mask) as f32, value as f32]
}

/// `dx += weight * share`, and the sum of `share * x`.
#[inline(always)]
fn add_product<S: Simd>(s: S, share: &[f32], x: &[f32], weight: f32, dx: &mut [f32]) -> f32 {
    let (n, weight) = (share.len(), s.splat(weight));
    let mut sum = s.splat(0.0);
    let mut at = 0;
    while at + S::LANES <= n {
        let share = s.load(&share[at..]);
        sum = s.mul_add(share, s.load(&x[at..]), sum);
        s.store(s.mul_add(share, weight, s.load(&dx[at..])), &mut dx[at..]);
        at += S::LANES;
    }
    if at < n {
        let share = s.load_partial(&share[at..n]);
        sum = s.mul_add(share, s.load_partial(&x[at..n]), sum);
        let new = s.mul_add(share, weight, s.load_partial(&dx[at..n]));
        s.store_partial(new, &mut dx[at..n]);
    }
    s.sum(sum)
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
