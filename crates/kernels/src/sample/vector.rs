//! Sampling of channels-last `f32` images: the pixels around a place are found once for all channels.

use super::taps::{Axis, Square, Taps};
use crate::array::array;
use crate::disjoint::{DisjointMut, TileMut};
use crate::geometry::SampleGeometry;
use crate::lanes::{fold, load, load_partial, update, weighted};
use crate::parallel::{Cut, for_each};
use striate_simd::{Level, Simd, dispatch};

/// What finding the pixels around a place costs, in the unit of [`Cut`].
const PLACE_COST: usize = 32;

/// Places whose pixels are looked up, and asked for, before the first of them is read: they may lie anywhere.
const AHEAD: usize = 16;

/// Elements of a pixel that are asked for: the others follow by themselves.
const ASKED: usize = 64;

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
    /// Pixels of an image.
    pixels: usize,
    /// Places of an image.
    places: usize,
}

/// The pixels around a place: the number of each, and its weight.
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
            pixels: h * w,
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

    /// The pixels around a place between four of them; `first` is the number of the first pixel of the image.
    #[inline(always)]
    fn square(&self, first: usize, place: &[f32]) -> Option<Square> {
        let (row, down) = self.rows.between(place[1])?;
        let (column, right) = self.columns.between(place[0])?;
        let start = first + row * self.width + column;
        Some(Square {
            rows: [start, start + self.width],
            rest: [down, right],
        })
    }

    /// The pixels around any place.
    #[inline(always)]
    fn pixels(&self, first: usize, place: &[f32], all: &mut Pixels) {
        if let Some(square) = self.square(first, place) {
            all.pixels[..4].copy_from_slice(&square.list(1.0));
            all.len = 4;
        } else {
            self.search(first, place, all);
        }
    }

    /// Compiled once, as `taps` is.
    #[inline(never)]
    fn search(&self, first: usize, place: &[f32], all: &mut Pixels) {
        let [rows, columns] = self.taps(place);
        all.len = 0;
        for row in rows.iter() {
            for column in columns.iter() {
                let pixel = first + row.at * self.width + column.at;
                all.pixels[all.len] = (pixel, row.weight * column.weight);
                all.len += 1;
            }
        }
    }
}

impl Pixels {
    const NONE: Self = Self {
        pixels: [(0, 0.0); 16],
        len: 0,
    };

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
            let mut around = [Pixels::NONE; AHEAD];
            let all = &grid[2 * places.start..2 * places.end];
            let mut first = places.start;
            for (places, y) in all.chunks(2 * AHEAD).zip(y.chunks_mut(AHEAD * c)) {
                for (i, (place, around)) in places.chunks_exact(2).zip(&mut around).enumerate() {
                    frame.pixels((first + i) / frame.places * frame.pixels, place, around);
                    for &(pixel, _) in around.list() {
                        for channel in (0..c.min(ASKED)).step_by(16) {
                            s.prefetch(x, pixel * c + channel);
                        }
                    }
                }
                for (y, around) in y.chunks_exact_mut(c).zip(&around) {
                    weighted(s, around.list(), #[inline(always)] |pixel| &x[pixel * c..][..c], y);
                }
                first += AHEAD;
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
    let (c, pixels) = (frame.channels, frame.pixels);
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
            let mut around = Pixels::NONE;
            for place in n * frame.places..(n + 1) * frame.places {
                frame.pixels(0, &grid[2 * place..2 * place + 2], &mut around);
                let dy = &dy[place * c..][channels.clone()];
                spread(s, around.list(), dy, &mut dx);
            }
        });
    });
}

/// Adds the shares of `dy` to the pixels.
#[inline(always)]
fn spread<S: Simd>(s: S, pixels: &[(usize, f64)], dy: &[f32], dx: &mut TileMut<'_, f32>) {
    for &(pixel, weight) in pixels {
        let weight = s.splat(weight as f32);
        update(
            s,
            None,
            [dy],
            dx.row(pixel),
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
                let first = place / frame.places * frame.pixels;
                let dy = &dy[place * c..(place + 1) * c];
                let place = &grid[2 * place..2 * place + 2];
                dgrid.copy_from_slice(&slopes(s, &frame, x, first, place, dy));
            }
        });
    });
}

/// The gradient of one place: by how far right, then by how far down.
#[inline(always)]
fn slopes<S: Simd>(
    s: S,
    frame: &Frame,
    x: &[f32],
    first: usize,
    place: &[f32],
    dy: &[f32],
) -> [f32; 2] {
    let c = frame.channels;
    if let Some(square) = frame.square(first, place) {
        let [above, below] = square.rows;
        let pixels = array(
            #[inline(always)]
            |i| &x[([above, below][i / 2] + i % 2) * c..][..c],
        );
        let [_, down, right] = square.gradient(s, products(s, pixels, dy));
        let slopes = [&frame.columns, &frame.rows].map(
            #[inline(always)]
            |axis| (axis.pixels() / 2.0) as f32,
        );
        return [slopes[0] * s.sum(right), slopes[1] * s.sum(down)];
    }
    let [rows, columns] = frame.taps(place);
    let mut slopes = [0.0; 2];
    for row in rows.iter() {
        for column in columns.iter() {
            let pixel = first + row.at * frame.width + column.at;
            let x = &x[pixel * c..][..c];
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
    [slopes[0] as f32, slopes[1] as f32]
}

/// The products of `dy` with each of the slices, lane by lane.
#[inline(always)]
fn products<S: Simd, const K: usize>(s: S, x: [&[f32]; K], dy: &[f32]) -> [S::F32; K] {
    let n = dy.len();
    let mut sums = [s.splat(0.0); K];
    let mut at = 0;
    while at <= n && n - at >= S::LANES {
        let (x, dy) = (load(s, &x, at), s.load(&dy[at..]));
        sums = array(
            #[inline(always)]
            |k| s.mul_add(x[k], dy, sums[k]),
        );
        at += S::LANES;
    }
    if at < n {
        let (x, dy) = (load_partial(s, &x, at, n), s.load_partial(&dy[at..n]));
        sums = array(
            #[inline(always)]
            |k| s.mul_add(x[k], dy, sums[k]),
        );
    }
    sums
}
