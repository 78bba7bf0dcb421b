//! Sampling of channels-last `f32` images: the pixels around a place are found once for all channels.

use super::taps::{Axis, Taps};
use crate::disjoint::{DisjointMut, TileMut};
use crate::geometry::SampleGeometry;
use crate::lanes::{fold, weighted};
use crate::parallel::{Cut, for_each};
use striate_simd::{Level, Simd, dispatch};

/// What finding the pixels around a place costs, in the unit of [`Cut`].
const PLACE_COST: usize = 32;

/// Channels of an image whose gradient a task writes: places are found again for each of these blocks.
const BLOCK: usize = 32;

/// How an image is sampled.
#[derive(Clone, Copy, Debug)]
struct Frame {
    rows: Axis,
    columns: Axis,
    channels: usize,
    /// Columns of the image.
    width: usize,
    /// Elements of an image.
    image: usize,
    /// Places of an image.
    places: usize,
}

/// The pixels around a place: where each starts in its image, with its weight.
#[derive(Clone, Copy, Debug)]
struct Pixels {
    pixels: [(usize, f64); 16],
    len: usize,
}

impl Frame {
    fn new(g: &SampleGeometry) -> Self {
        let ([_, c, h, w], [_, _, oh, ow]) = (g.input(), g.output());
        Self {
            rows: Axis::new(g, 0),
            columns: Axis::new(g, 1),
            channels: c,
            width: w,
            image: c * h * w,
            places: oh * ow,
        }
    }

    /// The places that a task takes.
    fn cut(&self, images: usize, pixels: usize) -> Cut {
        Cut::new(images * self.places, PLACE_COST + self.channels * pixels)
    }

    /// Compiled once, not for each level: it is not vectors that it computes with.
    #[inline(never)]
    fn taps(&self, place: &[f32]) -> [Taps; 2] {
        [
            self.rows.taps(f64::from(place[1])),
            self.columns.taps(f64::from(place[0])),
        ]
    }

    fn pixels(&self, place: &[f32]) -> Pixels {
        let [rows, columns] = self.taps(place);
        let mut all = Pixels {
            pixels: [(0, 0.0); 16],
            len: 0,
        };
        for row in rows.iter() {
            for column in columns.iter() {
                let start = (row.at * self.width + column.at) * self.channels;
                all.pixels[all.len] = (start, row.weight * column.weight);
                all.len += 1;
            }
        }
        all
    }
}

impl Pixels {
    #[inline(always)]
    fn list(&self) -> &[(usize, f64)] {
        &self.pixels[..self.len]
    }
}

pub(super) fn forward(level: Level, g: &SampleGeometry, x: &[f32], grid: &[f32], y: &mut [f32]) {
    let frame = Frame::new(g);
    if y.is_empty() {
        return;
    }
    let (cut, c) = (frame.cut(g.output()[0], 4), frame.channels);
    let y = DisjointMut::new(y);
    for_each(cut.tasks(), |task| {
        let places = cut.range(task);
        let mut y = y.range(places.start * c..places.end * c);
        dispatch!(level, s => {
            for (place, y) in places.zip(y.chunks_exact_mut(c)) {
                let x = &x[place / frame.places * frame.image..][..frame.image];
                let pixels = frame.pixels(&grid[2 * place..2 * place + 2]);
                weighted(s, pixels.list(), #[inline(always)] |start| &x[start..start + c], y);
            }
        });
    });
}

/// The gradient of the images: a task adds to one block of channels of one image, so that no two write the same element and the
/// order of additions is that of the places.
pub(super) fn backward_input(
    level: Level,
    g: &SampleGeometry,
    grid: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) {
    let frame = Frame::new(g);
    if dx.is_empty() {
        return;
    }
    let (c, pixels) = (frame.channels, frame.image / frame.channels);
    let blocks = c.div_ceil(BLOCK);
    let dx = DisjointMut::rows(dx, c);
    for_each(g.input()[0] * blocks, |task| {
        let (n, block) = (task / blocks, task % blocks);
        let channels = block * BLOCK..c.min((block + 1) * BLOCK);
        let mut dx = dx.tile(n * pixels..(n + 1) * pixels, channels.clone());
        dispatch!(level, s => {
            for pixel in 0..pixels {
                dx.row(pixel).fill(0.0);
            }
            for place in n * frame.places..(n + 1) * frame.places {
                let around = frame.pixels(&grid[2 * place..2 * place + 2]);
                let dy = &dy[place * c..][channels.clone()];
                spread(s, around.list(), c, dy, &mut dx);
            }
        });
    });
}

/// Adds the shares of `dy` to the pixels.
#[inline(always)]
fn spread<S: Simd>(
    s: S,
    pixels: &[(usize, f64)],
    channels: usize,
    dy: &[f32],
    dx: &mut TileMut<'_, f32>,
) {
    for &(start, weight) in pixels {
        let weight = s.splat(weight as f32);
        crate::lanes::update(
            s,
            None,
            [dy],
            dx.row(start / channels),
            #[inline(always)]
            |old, [dy]| s.mul_add(dy, weight, old),
        );
    }
}

/// The gradient of the places: the products of `dy` with the pixels around them, times the slopes of their weights.
pub(super) fn backward_grid(
    level: Level,
    g: &SampleGeometry,
    x: &[f32],
    grid: &[f32],
    dy: &[f32],
    dgrid: &mut [f32],
) {
    let frame = Frame::new(g);
    if dgrid.is_empty() {
        return;
    }
    let (cut, c) = (frame.cut(g.output()[0], 8), frame.channels);
    let dgrid = DisjointMut::new(dgrid);
    for_each(cut.tasks(), |task| {
        let places = cut.range(task);
        let mut dgrid = dgrid.range(2 * places.start..2 * places.end);
        dispatch!(level, s => {
            for (place, dgrid) in places.zip(dgrid.chunks_exact_mut(2)) {
                let x = &x[place / frame.places * frame.image..][..frame.image];
                let dy = &dy[place * c..(place + 1) * c];
                dgrid.copy_from_slice(&slopes(s, &frame, x, &grid[2 * place..2 * place + 2], dy));
            }
        });
    });
}

#[inline(always)]
fn slopes<S: Simd>(s: S, frame: &Frame, x: &[f32], place: &[f32], dy: &[f32]) -> [f32; 2] {
    let [rows, columns] = frame.taps(place);
    let mut slopes = [0.0; 2];
    for row in rows.iter() {
        for column in columns.iter() {
            let start = (row.at * frame.width + column.at) * frame.channels;
            let x = &x[start..start + frame.channels];
            let product = fold(
                s,
                [x, dy],
                0.0,
                #[inline(always)]
                |sum, [x, dy]| s.mul_add(x, dy, sum),
                #[inline(always)]
                |a, b| s.add(a, b),
            );
            let product = f64::from(s.sum(product));
            slopes[0] += row.weight * column.slope * product;
            slopes[1] += row.slope * column.weight * product;
        }
    }
    slopes.map(
        #[inline(always)]
        |slope| slope as f32,
    )
}
