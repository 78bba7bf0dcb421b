//! The output: a strip of samples times the weights.

use super::pieces::{Piece, pieces};
use super::strip::{self, Around, Sampler};
use super::{DeformConv2dGeometry, Inputs, PackedWeights};
use crate::disjoint::DisjointMut;
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::{Matrix, MatrixMut};
use crate::lanes::weighted;
use crate::parallel::{Cut, try_for_each};
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
    let (terms, per_pixel) = (
        conv.taps() * conv.group_in_channels(),
        conv.taps() * conv.in_channels(),
    );
    let pieces = pieces(g, usize::MAX);
    let cut = Cut::every(y.len() / out, strip::len(per_pixel));
    let y = DisjointMut::new(y);
    try_for_each(cut.tasks(), |task| {
        let pixels = cut.range(task);
        let mut samples = Buffer::<f32>::recycled(pixels.len() * per_pixel)?;
        dispatch!(level, s => {
            for (row, pixel) in samples.chunks_exact_mut(per_pixel).zip(pixels.clone()) {
                sample(s, &sampler, &pieces, conv.taps(), pixel, row);
            }
        });
        let mut y = y.range(pixels.start * out..pixels.end * out);
        for (group, weights) in weights.groups.iter().enumerate() {
            let (rows, columns) = (pixels.len(), group * group_out);
            let a = Matrix::strided(&samples[group * terms..], [rows, terms], [per_pixel, 1])?;
            let c = MatrixMut::strided(&mut y[columns..], [rows, group_out], out)?;
            let bias = bias.map(|bias| &bias[columns..columns + group_out]);
            weights.multiply(a, &Epilogue::NONE.bias(bias), c)?;
        }
        Ok(())
    })
}

/// Gathers what the taps of output pixel `pixel` read: `[groups, taps, channels of a group]`.
#[inline(always)]
fn sample<S: Simd>(
    s: S,
    sampler: &Sampler<'_>,
    pieces: &[Piece],
    taps: usize,
    pixel: usize,
    row: &mut [f32],
) {
    let groups = pieces.last().map_or(
        1,
        #[inline(always)]
        |last| last.group + 1,
    );
    let per_group = row.len() / groups / taps;
    let (origin, mut around) = (sampler.origin(pixel), Around::NONE);
    for tap in 0..taps {
        let mut found = None;
        for piece in pieces {
            if found != Some(piece.offset_group) {
                sampler.find(&origin, piece.offset_group, tap, &mut around);
                found = Some(piece.offset_group);
            }
            let at = (piece.group * taps + tap) * per_group + piece.start;
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
