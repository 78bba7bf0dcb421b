//! The gradient by the weights: the samples of some channels, transposed, times the gradient of the output.

use super::pieces::pieces;
use super::strip::{self, Sampler};
use super::{DeformConv2dGeometry, Inputs};
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::gemm::{Matrix, MatrixMut, Write, sgemm};
use crate::lanes::weighted;
use crate::parallel::{Cut, try_for_each};
use striate_simd::{Buffer, Level, dispatch};

/// The most channels of a task.
const CHANNELS: usize = 64;

pub(super) fn run(
    level: Level,
    g: &DeformConv2dGeometry,
    inputs: &Inputs<'_, f32>,
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    let (conv, sampler) = (g.conv(), Sampler::new(g, inputs));
    let (out, group_out, taps) = (conv.out_channels(), conv.group_out_channels(), conv.taps());
    let pieces = pieces(g, CHANNELS);
    let strips = Cut::every(dy.len() / out, strip::len(CHANNELS));
    // A row for each output, a cell for each of its taps.
    let row_len = taps * conv.group_in_channels();
    let dweight = DisjointMut::rows(dweight, row_len);
    try_for_each(pieces.len() * taps, |task| {
        let (piece, tap) = (&pieces[task / taps], task % taps);
        let (len, first) = (piece.channels.len(), piece.group * group_out);
        let mut sum = Buffer::<f32>::zeroed(group_out * len)?;
        let mut samples = Buffer::<f32>::recycled(strips.per_task() * len)?;
        for strip in 0..strips.tasks() {
            let pixels = strips.range(strip);
            dispatch!(level, s => {
                for (row, pixel) in samples.chunks_exact_mut(len).zip(pixels.clone()) {
                    let around = sampler.around(pixel, piece.offset_group, tap);
                    weighted(
                        s,
                        around.list(),
                        #[inline(always)]
                        |start| sampler.x(start, piece.channels.clone()),
                        row,
                    );
                }
            });
            let rows = pixels.len();
            let dy = &dy[pixels.start * out + first..];
            let a = Matrix::strided(dy, [group_out, rows], [1, out])?;
            let b = Matrix::new(&samples, rows, len)?;
            sgemm(
                level,
                a,
                b,
                Write::Add,
                MatrixMut::new(&mut sum, group_out, len)?,
            )?;
        }
        let start = tap * conv.group_in_channels() + piece.start;
        let mut rows = dweight.tile(first..first + group_out, start..start + len);
        for (i, sum) in sum.chunks_exact(len).enumerate() {
            rows.row(i).copy_from_slice(sum);
        }
        Ok(())
    })
}
