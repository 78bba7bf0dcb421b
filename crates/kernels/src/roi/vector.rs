//! Pooling of regions of channels-last `f32` images: the pixels of a bin are found once for all channels of a class.

use super::Inputs;
use super::bins::{Region, moved};
use super::geometry::RoiGeometry;
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::lanes::{fold, update, weighted};
use crate::parallel::{Cut, for_each, try_for_each};
use std::ops::Range;
use striate_simd::{Buffer, Level, Simd, dispatch};

/// Channels of an image whose gradient a task writes: bins are found again for each of these blocks.
const BLOCK: usize = 32;

/// What finding the pixels of a bin costs, in the unit of [`Cut`].
const BIN_COST: usize = 400;

/// A pixel of a bin: the index of its first channel in its image, and its weight.
type Pixel = (usize, f64);

/// The sizes that the loops need.
#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Channels of the input and of the output.
    channels: [usize; 2],
    /// Elements and columns of an image.
    image: usize,
    width: usize,
    bins: [usize; 2],
    classes: usize,
}

impl Frame {
    fn new(g: &RoiGeometry) -> Self {
        let ([_, all, h, w], [_, channels, bins_h, bins_w]) = (g.input(), g.output());
        Self {
            channels: [all, channels],
            image: all * h * w,
            width: w,
            bins: [bins_h, bins_w],
            classes: g.offsets().map_or(1, |offsets| offsets.classes),
        }
    }

    fn bin(&self, index: usize) -> [usize; 2] {
        [index / self.bins[1], index % self.bins[1]]
    }

    fn bin_count(&self) -> usize {
        self.bins[0] * self.bins[1]
    }

    /// The output channels of a class.
    fn class(&self, class: usize) -> Range<usize> {
        let per_class = self.channels[1] / self.classes;
        class * per_class..(class + 1) * per_class
    }
}

/// The pixels of a bin of region number `roi`, into `pixels`, and the number of the region's image.
fn find(
    g: &RoiGeometry,
    frame: &Frame,
    inputs: &Inputs<'_, f32>,
    [roi, bin, class]: [usize; 3],
    pixels: &mut Vec<Pixel>,
) -> usize {
    let [_, per_roi] = g.offset_shape();
    let region = Region::new(g, &inputs.rois[5 * roi..5 * roi + 5]);
    let offsets = &inputs.offsets[roi * per_roi..(roi + 1) * per_roi];
    let bin = frame.bin(bin);
    let first = g.group_of(bin) * frame.channels[1];
    pixels.clear();
    moved(g, &region, bin, class, offsets).for_each(&mut |row, column, weight, _| {
        let start = (row * frame.width + column) * frame.channels[0] + first;
        pixels.push((start, weight));
    });
    region.image
}

pub(super) fn forward(
    level: Level,
    g: &RoiGeometry,
    inputs: &Inputs<'_, f32>,
    x: &[f32],
    y: &mut [f32],
) {
    let frame = Frame::new(g);
    let [_, channels] = frame.channels;
    if y.is_empty() {
        return;
    }
    let cut = Cut::new(y.len() / channels, BIN_COST + 9 * channels);
    let y = DisjointMut::new(y);
    for_each(cut.tasks(), |task| {
        let (outputs, mut pixels) = (cut.range(task), Vec::new());
        let mut y = y.range(outputs.start * channels..outputs.end * channels);
        for (output, y) in outputs.zip(y.chunks_exact_mut(channels)) {
            let (roi, bin) = (output / frame.bin_count(), output % frame.bin_count());
            for class in 0..frame.classes {
                let image = find(g, &frame, inputs, [roi, bin, class], &mut pixels);
                let (x, range) = (&x[image * frame.image..][..frame.image], frame.class(class));
                let y = &mut y[range.clone()];
                dispatch!(level, s => {
                    weighted(s, &pixels, #[inline(always)] |at| &x[at + range.start..at + range.end], y);
                });
            }
        }
    });
}

/// The gradient of the images: a task adds to some channels of all images, in the order of regions and bins.
pub(super) fn backward_input(
    level: Level,
    g: &RoiGeometry,
    inputs: &Inputs<'_, f32>,
    dy: &[f32],
    dx: &mut [f32],
) {
    let frame = Frame::new(g);
    let [all, channels] = frame.channels;
    if dx.is_empty() {
        return;
    }
    let (blocks, pixels_of_all) = (channels.div_ceil(BLOCK), dx.len() / all);
    let image_pixels = frame.image / all;
    let dx = DisjointMut::rows(dx, all);
    for_each(all / channels * blocks, |task| {
        let (group, block) = (task / blocks, task % blocks);
        let of_block = block * BLOCK..channels.min((block + 1) * BLOCK);
        let first = group * channels;
        let mut dx = dx.tile(
            0..pixels_of_all,
            first + of_block.start..first + of_block.end,
        );
        (0..pixels_of_all).for_each(|pixel| dx.row(pixel).fill(0.0));
        let mut pixels = Vec::new();
        for output in 0..g.rois() * frame.bin_count() {
            let (roi, bin) = (output / frame.bin_count(), output % frame.bin_count());
            if g.group_of(frame.bin(bin)) != group {
                continue;
            }
            for class in 0..frame.classes {
                let range = frame.class(class);
                let range = range.start.max(of_block.start)..range.end.min(of_block.end);
                if range.is_empty() {
                    continue;
                }
                let image = find(g, &frame, inputs, [roi, bin, class], &mut pixels);
                let dy = &dy[output * channels..][range.clone()];
                let inside = range.start - of_block.start..range.end - of_block.start;
                dispatch!(level, s => {
                    for &(start, weight) in &pixels {
                        let row = dx.row(image * image_pixels + start / all);
                        spread(s, dy, weight as f32, &mut row[inside.clone()]);
                    }
                });
            }
        }
    });
}

/// `dx += weight * dy`
#[inline(always)]
fn spread<S: Simd>(s: S, dy: &[f32], weight: f32, dx: &mut [f32]) {
    let weight = s.splat(weight);
    update(
        s,
        None,
        [dy],
        dx,
        #[inline(always)]
        |old, [dy]| s.mul_add(dy, weight, old),
    );
}

/// The gradient of the offsets: the products of `dy` with the pixels of each bin, times the slopes of their weights.
pub(super) fn backward_offsets(
    level: Level,
    g: &RoiGeometry,
    inputs: &Inputs<'_, f32>,
    x: &[f32],
    dy: &[f32],
    doffsets: &mut [f32],
) -> Result<(), KernelError> {
    let frame = Frame::new(g);
    let [all, channels] = frame.channels;
    let [rois, per_roi] = g.offset_shape();
    if doffsets.is_empty() {
        return Ok(());
    }
    let cut = Cut::new(rois, frame.bin_count() * (BIN_COST + 9 * channels));
    let doffsets = DisjointMut::new(doffsets);
    try_for_each(cut.tasks(), |task| {
        let regions = cut.range(task);
        let mut doffsets = doffsets.range(regions.start * per_roi..regions.end * per_roi);
        let mut sums = Buffer::<f64>::zeroed(per_roi)?;
        for (roi, doffsets) in regions.zip(doffsets.chunks_exact_mut(per_roi)) {
            sums.fill(0.0);
            let region = Region::new(g, &inputs.rois[5 * roi..5 * roi + 5]);
            let offsets = &inputs.offsets[roi * per_roi..(roi + 1) * per_roi];
            let x = &x[region.image * frame.image..][..frame.image];
            for (bin, class) in (0..frame.bin_count())
                .flat_map(|bin| (0..frame.classes).map(move |class| (bin, class)))
            {
                let (place, range) = (frame.bin(bin), frame.class(class));
                let Some([by_x, by_y]) = g.offset_at(class, place) else {
                    continue;
                };
                let first = g.group_of(place) * channels;
                let dy = &dy[(roi * frame.bin_count() + bin) * channels..][range.clone()];
                moved(g, &region, place, class, offsets).for_each(&mut |row, column, _, slopes| {
                    let start = (row * frame.width + column) * all + first + range.start;
                    let x = &x[start..start + range.len()];
                    let product = f64::from(dispatch!(level, s => dot(s, x, dy)));
                    sums[by_x] += slopes[1] * product;
                    sums[by_y] += slopes[0] * product;
                });
            }
            for (doffset, &sum) in doffsets.iter_mut().zip(sums.iter()) {
                *doffset = sum as f32;
            }
        }
        Ok(())
    })
}

#[inline(always)]
fn dot<S: Simd>(s: S, x: &[f32], dy: &[f32]) -> f32 {
    s.sum(fold(
        s,
        [x, dy],
        0.0,
        #[inline(always)]
        |sum, [x, dy]| s.mul_add(x, dy, sum),
        #[inline(always)]
        |a, b| s.add(a, b),
    ))
}
