//! Means and variances of the channels of an output, taken while its tiles are stored.
//!
//! A batch norm that follows a convolution wants them, and the tile that has just been stored is still
//! in a near cache. A tile is summed in strips of some pixels, relative to a mean of a few of them, so
//! that nothing cancels when a mean is large beside the deviation; strips and tiles are merged in `f64`
//! by the rule of Chan, Golub and LeVeque, in the order of their places. Tiles are cut by shape, so
//! that any number of threads gives the same bits.

use crate::disjoint::{DisjointMut, TileMut};
use crate::parallel::{self, Cut};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use striate_simd::{Level, Simd, dispatch};

/// Pixels of a strip: few enough for the first-level cache.
const STRIP: usize = 128;

/// Pixels whose mean a strip is summed relative to.
const SAMPLES: usize = 8;

/// Vectors of channels that are summed together.
const VECTORS: usize = 4;

/// Collects the tiles of one output.
#[derive(Debug, Default)]
pub(crate) struct TileMoments {
    tiles: Mutex<Vec<Tile>>,
}

/// The mean and the sum of squared deviations of `count` pixels.
#[derive(Clone, Debug)]
struct Tile {
    channels: Range<usize>,
    /// The first pixel.
    at: usize,
    count: usize,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

/// The pixels of a tile, each of which is a cell.
#[derive(Clone, Debug)]
pub(crate) struct Pixels {
    /// The number of the first one, or anything that grows with it.
    pub(crate) at: usize,
    /// The channels.
    pub(crate) channels: Range<usize>,
}

impl TileMoments {
    /// The mean and the biased variance of each of `channels` channels: NaN if there are no elements.
    pub(crate) fn statistics(self, channels: usize) -> [Vec<f64>; 2] {
        let mut tiles = self
            .tiles
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        tiles.sort_by_key(|tile| (tile.channels.start, tile.at));
        let mut all = Tile::new(0..channels, 0);
        let mut counts = vec![0; channels];
        for tile in &tiles {
            for (from, to) in tile.channels.clone().enumerate() {
                let part = (tile.count, tile.mean[from], tile.squares[from]);
                let sum = (counts[to], all.mean[to], all.squares[to]);
                (counts[to], all.mean[to], all.squares[to]) = merged(sum, part);
            }
        }
        for c in 0..channels {
            if counts[c] == 0 {
                all.mean[c] = f64::NAN;
            }
            all.squares[c] /= counts[c] as f64;
        }
        [all.mean, all.squares]
    }

    /// Takes in a tile that has been stored.
    pub(crate) fn observe(&self, level: Level, tile: &mut TileMut<'_, f32>, pixels: &Pixels) {
        let per_row = tile.cell_count();
        let mut all = Tile::new(pixels.channels.clone(), pixels.at);
        let strips = Cut::every(tile.row_count(), STRIP / per_row.max(1));
        for rows in (0..strips.tasks()).map(|strip| strips.range(strip)) {
            let mut strip = Tile::new(pixels.channels.clone(), pixels.at);
            strip.count = rows.len() * per_row;
            dispatch!(level, s => strip.sum(s, tile, rows));
            for c in 0..pixels.channels.len() {
                let part = (strip.count, strip.mean[c], strip.squares[c]);
                (_, all.mean[c], all.squares[c]) =
                    merged((all.count, all.mean[c], all.squares[c]), part);
            }
            all.count += strip.count;
        }
        self.tiles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(all);
    }

    /// Takes in the whole output, if no tile of it has been: not every implementation hands over tiles.
    pub(crate) fn observe_rest(&self, level: Level, y: &mut [f32], channels: usize) {
        if !self
            .tiles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
        {
            return;
        }
        let cut = Cut::new(y.len() / channels, channels);
        parallel::for_each_chunk(y, cut.per_task() * channels, |task, rows| {
            self.observe_rows(level, rows, channels, task * cut.per_task());
        });
    }

    /// Takes in the pixels from number `at` on, of which `rows` holds all channels.
    pub(crate) fn observe_rows(&self, level: Level, rows: &mut [f32], channels: usize, at: usize) {
        let count = rows.len() / channels;
        let pixels = Pixels {
            at,
            channels: 0..channels,
        };
        let rows = DisjointMut::rows(rows, channels);
        self.observe(level, &mut rows.tile(0..count, 0..channels), &pixels);
    }
}

/// The count, the mean and the sum of squared deviations of two parts together.
fn merged(a: (usize, f64, f64), b: (usize, f64, f64)) -> (usize, f64, f64) {
    let count = a.0 + b.0;
    if count == 0 {
        return a;
    }
    let share = b.0 as f64 / count as f64;
    let distance = b.1 - a.1;
    (
        count,
        a.1 + distance * share,
        a.2 + b.2 + distance * distance * share * a.0 as f64,
    )
}

impl Tile {
    fn new(channels: Range<usize>, at: usize) -> Self {
        let zeros = vec![0.0; channels.len()];
        Self {
            channels,
            at,
            count: 0,
            mean: zeros.clone(),
            squares: zeros,
        }
    }

    /// Sums the rows of a tile.
    #[inline(always)]
    fn sum<S: Simd>(&mut self, s: S, tile: &mut TileMut<'_, f32>, rows: Range<usize>) {
        let channels = self.channels.len();
        let mut c = 0;
        while c + VECTORS * S::LANES <= channels {
            self.vectors::<S, VECTORS>(s, tile, &rows, c..c + VECTORS * S::LANES);
            c += VECTORS * S::LANES;
        }
        while c < channels {
            let end = (c + S::LANES).min(channels);
            self.vectors::<S, 1>(s, tile, &rows, c..end);
            c = end;
        }
    }

    /// Sums some channels, `V` vectors or a part of one.
    #[inline(always)]
    fn vectors<S: Simd, const V: usize>(
        &mut self,
        s: S,
        tile: &mut TileMut<'_, f32>,
        rows: &Range<usize>,
        channels: Range<usize>,
    ) {
        let per_row = tile.cell_count();
        let mut shift = [s.splat(0.0); V];
        for i in 0..SAMPLES {
            let row = rows.start + i * rows.len() / SAMPLES;
            let pixel = &tile.cell(row, i * per_row / SAMPLES)[channels.clone()];
            for v in 0..V {
                let x = load::<S, V>(s, pixel, v);
                shift[v] = s.mul_add(x, s.splat(1.0 / SAMPLES as f32), shift[v]);
            }
        }
        let mut sums = [s.splat(0.0); V];
        let mut squares = [s.splat(0.0); V];
        for row in rows.clone() {
            for cell in 0..per_row {
                let pixel = &tile.cell(row, cell)[channels.clone()];
                for v in 0..V {
                    let d = s.sub(load::<S, V>(s, pixel, v), shift[v]);
                    sums[v] = s.add(sums[v], d);
                    squares[v] = s.mul_add(d, d, squares[v]);
                }
            }
        }
        let count = self.count as f64;
        for v in 0..V {
            let mut lanes = [[0.0; 16]; 3];
            for (lanes, vector) in lanes.iter_mut().zip([shift[v], sums[v], squares[v]]) {
                s.store_partial(vector, &mut lanes[..S::LANES]);
            }
            let [shift, sums, squares] = lanes.map(|lanes| lanes.map(f64::from));
            let from = channels.start + v * S::LANES;
            for (lane, c) in (from..channels.end.min(from + S::LANES)).enumerate() {
                let off = sums[lane] / count;
                self.mean[c] = shift[lane] + off;
                let left = squares[lane] - off * sums[lane];
                // A maximum would turn NaN into zero.
                self.squares[c] = if left < 0.0 { 0.0 } else { left };
            }
        }
    }
}

/// Vector `v` of some channels; the only one may be a part.
#[inline(always)]
fn load<S: Simd, const V: usize>(s: S, pixel: &[f32], v: usize) -> S::F32 {
    if V > 1 {
        s.load(&pixel[v * S::LANES..])
    } else {
        s.load_partial(pixel)
    }
}
