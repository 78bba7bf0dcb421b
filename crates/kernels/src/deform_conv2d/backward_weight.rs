//! The gradient by the weights: the gradient of the output, transposed once for all, times the samples of some channels.

use super::pieces::pieces;
use super::strip::{Around, Sampler};
use super::{DeformConv2dGeometry, Inputs};
use crate::copy::copy;
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::gemm::{Matrix, MatrixMut, Write, sgemm};
use crate::lanes::weighted;
use crate::nest::LoopNest;
use crate::parallel::{Cut, try_for_each};
use striate_simd::{Buffer, Level, dispatch};

/// The most channels of a task: a pixel's place is found again for each of them.
const CHANNELS: usize = 128;

/// The most pixels of a strip: as many terms of each sum are added before it goes to memory.
const PIXELS: usize = 256;

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
    let strips = Cut::every(dy.len() / out, PIXELS);
    let turned = turn(dy, out, &strips)?;
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
                let mut around = Around::NONE;
                for (row, pixel) in samples.chunks_exact_mut(len).zip(pixels.clone()) {
                    sampler.find(&sampler.origin(pixel), piece.offset_group, tap, &mut around);
                    weighted(
                        s,
                        around.list(),
                        #[inline(always)]
                        |pixel| sampler.x(pixel, piece.channels.clone()),
                        row,
                    );
                }
            });
            let rows = pixels.len();
            let a = Matrix::new(
                &turned[pixels.start * out + first * rows..][..group_out * rows],
                group_out,
                rows,
            )?;
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

/// The pixels of each strip with their outputs as rows.
fn turn(dy: &[f32], out: usize, strips: &Cut) -> Result<Buffer<f32>, KernelError> {
    let mut turned = Buffer::<f32>::recycled(dy.len())?;
    for strip in 0..strips.tasks() {
        let pixels = strips.range(strip);
        let part = pixels.start * out..pixels.end * out;
        let nest = LoopNest::new(
            "deform_conv2d",
            &[out, pixels.len()],
            [&[pixels.len(), 1], &[1, out]],
        )?;
        copy(&nest, &dy[part.clone()], &mut turned[part])?;
    }
    Ok(turned)
}
