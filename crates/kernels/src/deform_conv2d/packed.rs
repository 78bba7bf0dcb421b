//! Weights as the forward pass reads them: the taps in a few runs, so that the weights of one and what they are multiplied with
//! are in the second-level cache together.

use super::DeformConv2dGeometry;
use crate::error::{KernelError, check_len};
use crate::gemm::{Matrix, PackedB};
use crate::geometry::GeometryError;
use std::ops::Range;
use striate_simd::Level;

/// The most terms that a sum gets at a time, about: an output is read and written again for as many.
const TERMS: usize = 512;

/// Weights in the order in which the forward pass reads them.
#[derive(Debug)]
pub struct PackedWeights {
    level: Level,
    /// `[out, taps, channels of a group]` and the number of groups.
    shape: [usize; 4],
    runs: Vec<Run>,
}

/// Taps that follow each other.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) taps: Range<usize>,
    /// The weights of each group, `[taps * channels, outputs]`.
    pub(super) groups: Vec<PackedB>,
}

impl PackedWeights {
    /// Packs weights `[out, taps, channels of a group]`.
    ///
    /// # Errors
    /// If the length is another, or memory is out.
    pub fn new(
        level: Level,
        g: &DeformConv2dGeometry,
        weight: &[f32],
    ) -> Result<Self, KernelError> {
        check_len(
            "deform_conv2d",
            "weight",
            weight.len(),
            g.conv().weight_len(),
        )?;
        let shape = shape(g);
        let [_, taps, channels, _] = shape;
        let rows = g.conv().group_out_channels();
        let run = |taps_of: Range<usize>| {
            let terms = taps_of.len() * channels;
            let pack = |group: &[f32]| {
                let run = group.get(taps_of.start * channels..).unwrap_or_default();
                let rows = Matrix::strided(run, [rows, terms], [taps * channels, 1])?;
                PackedB::new(level, rows.transposed())
            };
            let groups = weight
                .chunks_exact((rows * taps * channels).max(1))
                .map(pack);
            Ok(Run {
                groups: groups.collect::<Result<_, KernelError>>()?,
                taps: taps_of,
            })
        };
        Ok(Self {
            level,
            shape,
            runs: runs(taps, TERMS / channels.max(1))
                .map(run)
                .collect::<Result<_, KernelError>>()?,
        })
    }

    /// The level the weights were packed for.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The number of groups that the outputs were cut into.
    pub fn groups(&self) -> usize {
        self.shape[3]
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub(super) fn check(
        &self,
        op: &'static str,
        g: &DeformConv2dGeometry,
    ) -> Result<(), KernelError> {
        if self.shape == shape(g) {
            return Ok(());
        }
        let rule = format!("weights must have been packed for {:?}", shape(g));
        Err(GeometryError::new(op, "weight", format!("{:?}", self.shape), rule).into())
    }
}

fn shape(g: &DeformConv2dGeometry) -> [usize; 4] {
    let conv = g.conv();
    [
        conv.out_channels(),
        conv.taps(),
        conv.group_in_channels(),
        conv.groups(),
    ]
}

/// `taps` taps in runs of about the same length, at most `most` (at least one).
pub(super) fn runs(taps: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = taps.div_ceil(most.max(1));
    (0..count).map(move |run| run * taps / count..(run + 1) * taps / count)
}
