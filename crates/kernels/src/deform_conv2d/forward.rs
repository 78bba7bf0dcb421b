//! The output: a strip of samples times the weights, some taps at a time.

use super::pieces::{Piece, pieces};
use super::strip::{self, Around, Sampler};
use super::{DeformConv2dGeometry, Inputs, PackedWeights};
use crate::disjoint::DisjointMut;
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::{Matrix, MatrixMut, Write};
use crate::lanes::weighted;
use crate::parallel::try_for_each;
use std::ops::Range;
use striate_simd::{Buffer, Level, Simd, dispatch};

pub(super) fn run(
    level: Level,
    g: &DeformConv2dGeometry,
    inputs: &Inputs<'_, f32>,
    weights: &PackedWeights,
    bias: Option<&[f32]>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    let (conv, sampler) = (g.conv(), Sampler::new(g, inputs));
    let (out, group_out) = (conv.out_channels(), conv.group_out_channels());
    let (channels, group_channels) = (conv.in_channels(), conv.group_in_channels());
    let runs = weights.runs();
    let longest = runs.iter().map(|run| run.taps.len()).max().unwrap_or(0);
    let pieces = pieces(g, usize::MAX);
    let cut = strip::cut(y.len() / out, longest * channels);
    let y = DisjointMut::new(y);
    try_for_each(cut.tasks(), |task| {
        let pixels = cut.range(task);
        let mut samples = Buffer::<f32>::recycled(pixels.len() * longest * channels)?;
        let mut y = y.range(pixels.start * out..pixels.end * out);
        for (i, run) in runs.iter().enumerate() {
            let per_pixel = run.taps.len() * channels;
            dispatch!(level, s => {
                for (row, pixel) in samples.chunks_exact_mut(per_pixel).zip(pixels.clone()) {
                    sample(s, &sampler, &pieces, run.taps.clone(), pixel, row);
                }
            });
            let write = if i == 0 { Write::Replace } else { Write::Add };
            let bias = bias.filter(|_| i + 1 == runs.len());
            let terms = run.taps.len() * group_channels;
            for (group, weights) in run.groups.iter().enumerate() {
                let (rows, columns) = (pixels.len(), group * group_out);
                let a = Matrix::strided(&samples[group * terms..], [rows, terms], [per_pixel, 1])?;
                let c = MatrixMut::strided(&mut y[columns..], [rows, group_out], out)?;
                let bias = bias.map(|bias| &bias[columns..columns + group_out]);
                weights.multiply_onto(a, write, &Epilogue::NONE.bias(bias), c)?;
            }
        }
        Ok(())
    })
}

/// Gathers what some taps of output pixel `pixel` read: `[groups, taps, channels of a group]`.
#[inline(always)]
fn sample<S: Simd>(
    s: S,
    sampler: &Sampler<'_>,
    pieces: &[Piece],
    taps: Range<usize>,
    pixel: usize,
    row: &mut [f32],
) {
    let groups = pieces.last().map_or(
        1,
        #[inline(always)]
        |last| last.group + 1,
    );
    let per_group = row.len() / groups / taps.len();
    let (origin, mut around) = (sampler.origin(pixel), Around::NONE);
    for (i, tap) in taps.clone().enumerate() {
        let mut found = None;
        for piece in pieces {
            if found != Some(piece.offset_group) {
                sampler.find(&origin, piece.offset_group, tap, &mut around);
                found = Some(piece.offset_group);
            }
            let at = (piece.group * taps.len() + i) * per_group + piece.start;
            weighted(
                s,
                around.list(),
                #[inline(always)]
                |pixel| sampler.x(pixel, piece.channels.clone()),
                &mut row[at..at + piece.channels.len()],
            );
        }
    }
}
