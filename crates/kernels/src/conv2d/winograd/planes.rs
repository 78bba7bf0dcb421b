//! The two-dimensional transforms, many channels at a time.
//!
//! A square of lines, each holding the same channels of one pixel or point, is transformed column by
//! column into a scratch that stays in the first-level cache, and from there row by row.

use super::Size;
use super::tiles::{Pixels, Tiles};
use super::transform::{FivePoints, FourPoints, Points, SixPoints, Transform, TwoPixels};
use crate::array::{Slices, array};
use crate::disjoint::{DisjointMut, TileMut};
use crate::elementwise::assign;
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::far::LINE;
use crate::lanes::{load, load_partial, map_all};
use crate::moments;
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level, Simd, dispatch};

/// Channels that are transformed at a time.
const BLOCK: usize = 128;

/// The most points of a tile along either axis.
const MAX_POINTS: usize = 6;

/// Memory between the two passes of a transform.
#[derive(Debug)]
pub(super) struct Scratch(Buffer<f32>);

impl Scratch {
    /// Enough for any transform.
    pub(super) fn new() -> Result<Self, KernelError> {
        Ok(Self(Buffer::recycled(MAX_POINTS * MAX_POINTS * BLOCK)?))
    }
}

/// The transform of all channels of `IN` lines to `OUT` lines, compiled for a level. What walks over tiles is the same for
/// every level, and compiled once.
type Along<'a, const IN: usize, const OUT: usize> =
    &'a dyn Fn(&[&[f32]; IN], &mut Slices<'_, f32, OUT>);

/// [`Along`] of a transform at the level of a token.
macro_rules! along {
    ($s:ident, $points:ident :: $map:ident) => {
        &|from, to| {
            transform(
                $s,
                from,
                to,
                #[inline(always)]
                |v| $points::$map($s, v),
            );
        }
    };
}

/// Transforms the columns of `IN x IN` lines of `len <= BLOCK` elements, and hands the lines of each
/// row of the `OUT x IN` results to `row`.
#[inline(always)]
fn columns<'a, const IN: usize, const OUT: usize>(
    len: usize,
    scratch: &mut [f32],
    along: Along<'_, IN, OUT>,
    line: impl Fn([usize; 2]) -> &'a [f32],
    mut row: impl FnMut(usize, &[&[f32]; IN]),
) {
    for j in 0..IN {
        let from = array(|i| line([i, j]));
        let mut to = split(&mut scratch[j * OUT * BLOCK..], BLOCK);
        along(&from, &mut to);
    }
    for i in 0..OUT {
        row(i, &array(|j| &scratch[(j * OUT + i) * BLOCK..][..len]));
    }
}

/// [`Along`] at the level of `s`: a function of its own, called for columns and rows.
#[inline(never)]
fn transform<S: Simd, const IN: usize, const OUT: usize>(
    s: S,
    from: &[&[f32]; IN],
    to: &mut Slices<'_, f32, OUT>,
    map: impl Fn([S::F32; IN]) -> [S::F32; OUT],
) {
    s.vectorize(
        #[inline(always)]
        || {
            map_all(s, from[0].len(), *from, to, map);
        },
    );
}

/// `N` lines, `len` elements apart; the last one may be shorter.
#[inline(always)]
fn split<const N: usize>(mut lines: &mut [f32], len: usize) -> Slices<'_, f32, N> {
    Slices::new(
        #[inline(always)]
        |_| {
            let end = len.min(lines.len());
            let (line, rest) = std::mem::take(&mut lines).split_at_mut(end);
            lines = rest;
            line
        },
    )
}

/// `0..len` in pieces of at most [`BLOCK`].
#[inline(always)]
fn blocks(len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len)
        .step_by(BLOCK)
        .map(move |start| start..(start + BLOCK).min(len))
}

// ---- from pixels to points

/// Which pixels of a tile are transformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The inputs, by `B^T`.
    Inputs,
    /// The gradients of the outputs, by `A`.
    Gradients,
}

/// The transforms of some channels of tiles.
#[derive(Clone, Debug)]
pub(super) struct Gather<'a> {
    pub(super) size: Size,
    pub(super) side: Side,
    pub(super) tiles: &'a Tiles,
    pub(super) pixels: Pixels<'a>,
    pub(super) channels: Range<usize>,
    /// Elements from one tile to the next in the result.
    pub(super) width: usize,
}

impl Gather<'_> {
    /// Writes the points of the tiles `tiles`: row `p` of `out` holds point `p` of one tile after the
    /// other.
    pub(super) fn run(
        &self,
        level: Level,
        tiles: Range<usize>,
        scratch: &mut Scratch,
        out: &mut TileMut<'_, f32>,
    ) {
        let scratch = &mut scratch.0[..];
        dispatch!(level, s => match (self.size, self.side) {
            (Size::TwoOfImage, Side::Inputs) => self.tiles::<2, 3>(along!(s, TwoPixels::input), tiles, scratch, out),
            (Size::TwoOfImage, Side::Gradients) => self.tiles::<2, 3>(along!(s, TwoPixels::gradient), tiles, scratch, out),
            (Size::TwoOfThree | Size::ThreeOfTwo, Side::Inputs) => self.tiles::<4, 4>(along!(s, FourPoints::input), tiles, scratch, out),
            (Size::ThreeOfThree, Side::Inputs) => self.tiles::<5, 5>(along!(s, FivePoints::input), tiles, scratch, out),
            (Size::FourOfThree | Size::FiveOfTwo, Side::Inputs) => self.tiles::<6, 6>(along!(s, SixPoints::input), tiles, scratch, out),
            (Size::TwoOfThree, Side::Gradients) => self.tiles::<2, 4>(along!(s, FourPoints::gradient), tiles, scratch, out),
            (Size::ThreeOfTwo, Side::Gradients) => self.tiles::<3, 4>(along!(s, FourPoints::gradient), tiles, scratch, out),
            (Size::ThreeOfThree, Side::Gradients) => self.tiles::<3, 5>(along!(s, FivePoints::gradient), tiles, scratch, out),
            (Size::FourOfThree, Side::Gradients) => self.tiles::<4, 6>(along!(s, SixPoints::gradient), tiles, scratch, out),
            (Size::FiveOfTwo, Side::Gradients) => self.tiles::<5, 6>(along!(s, SixPoints::gradient), tiles, scratch, out),
        });
    }

    #[inline(never)]
    fn tiles<const IN: usize, const N: usize>(
        &self,
        along: Along<'_, IN, N>,
        tiles: Range<usize>,
        scratch: &mut [f32],
        out: &mut TileMut<'_, f32>,
    ) {
        for (at, index) in tiles.enumerate() {
            let tile = self.tiles.tile(index);
            // What only outputs outside the image would see must not reach the others.
            let outputs = self.tiles.outputs(&tile);
            let ([y, x], [down, across], limit) = match self.side {
                Side::Inputs => {
                    let reach = self.size.taps() - 1;
                    let limit = outputs.map(|n| if n == 0 { 0 } else { n + reach });
                    (self.tiles.input(&tile), self.tiles.step, limit)
                }
                Side::Gradients => (self.tiles.output(&tile), self.tiles.out_step, outputs),
            };
            for block in blocks(self.channels.len()) {
                let channels = self.channels.start + block.start..self.channels.start + block.end;
                let to = at * self.width + block.start..at * self.width + block.end;
                columns(
                    block.len(),
                    scratch,
                    along,
                    |[i, j]| {
                        if i >= limit[0] || j >= limit[1] {
                            return &self.pixels.zeros[..block.len()];
                        }
                        let place = [y.wrapping_add(i * down), x.wrapping_add(j * across)];
                        self.pixels.get(tile.image, place, channels.clone())
                    },
                    |i, from| along(from, &mut out.row_array::<N>(i * N, to.clone())),
                );
            }
        }
    }
}

/// Runs several gathers of the tiles `tiles`, whose results follow one another in `out`, on at most `parts` tasks.
pub(super) fn gather_all<'a>(
    level: Level,
    tiles: &Range<usize>,
    parts: usize,
    gathers: impl Iterator<Item = Gather<'a>>,
    mut out: &mut [f32],
) -> Result<(), KernelError> {
    let mut pieces = Vec::new();
    for gather in gathers {
        let line = tiles.len() * gather.width;
        let (piece, rest) = out.split_at_mut(gather.size.points() * line);
        pieces.push((gather, DisjointMut::rows(piece, line)));
        out = rest;
    }
    let cut = Cut::every(tiles.len(), tiles.len().div_ceil(parts));
    parallel::try_for_each(cut.tasks(), |part| {
        let (part, mut scratch) = (cut.range(part), Scratch::new()?);
        for (gather, rows) in &pieces {
            let columns = part.start * gather.width..part.end * gather.width;
            let mut out = rows.tile(0..gather.size.points(), columns);
            let part = tiles.start + part.start..tiles.start + part.end;
            gather.run(level, part, &mut scratch, &mut out);
        }
        Ok(())
    })
}

// ---- from points to pixels

/// The outputs of tiles from their points, with what an epilogue does to them.
#[derive(Clone, Debug)]
pub(super) struct Scatter<'a> {
    pub(super) size: Size,
    pub(super) tiles: &'a Tiles,
    /// Row `p` holds point `p` of one tile after the other.
    pub(super) points: &'a [f32],
    /// Elements of a row.
    pub(super) row_len: usize,
    /// Elements from one tile to the next.
    pub(super) width: usize,
    /// The channels of a pixel that are written.
    pub(super) channels: Range<usize>,
    /// Channels of a pixel.
    pub(super) pixel: usize,
    pub(super) epilogue: &'a Epilogue<'a>,
}

impl Scatter<'_> {
    /// Writes the tiles `tiles`, of whole squares, to `y`, whose cells are pixels. Tile number `zero` is the first of
    /// the points.
    pub(super) fn run(
        &self,
        level: Level,
        tiles: Range<usize>,
        zero: usize,
        scratch: &mut Scratch,
        y: &DisjointMut<'_, f32>,
    ) {
        for line in self.tiles.lines(tiles) {
            let (at, first) = (line.start, line.start - zero);
            let [lines, columns] = self.tiles.covered(&line);
            let above = self.tiles.tile(at).image * self.tiles.out_size[0];
            let lines = above + lines.start..above + lines.end;
            let mut out = y.block(lines, columns, self.channels.clone());
            self.run_line(level, line, first, scratch, &mut out);
            if let Some(moments) = self.epilogue.moments {
                let channels = self.channels.clone();
                moments.observe(level, &mut out, &moments::Pixels { at, channels });
            }
        }
    }

    /// Writes the tiles `tiles` of some squares of one line, of which the first has number `first` among
    /// the points. `out` is what they cover of the output.
    fn run_line(
        &self,
        level: Level,
        tiles: Range<usize>,
        first: usize,
        scratch: &mut Scratch,
        out: &mut TileMut<'_, f32>,
    ) {
        let scratch = &mut scratch.0[..];
        macro_rules! line {
            ($s:ident, $points:ident, $n:literal => $m:literal) => {
                self.line::<$n, $m>(
                    along!($s, $points::output),
                    &|from, row| {
                        self.row::<_, $n, $m>(
                            $s,
                            from,
                            row,
                            #[inline(always)]
                            |v| $points::output($s, v),
                        );
                    },
                    tiles,
                    first,
                    scratch,
                    out,
                )
            };
        }
        dispatch!(level, s => match self.size {
            Size::TwoOfImage => line!(s, TwoPixels, 3 => 2),
            Size::TwoOfThree => line!(s, FourPoints, 4 => 2),
            Size::ThreeOfTwo => line!(s, FourPoints, 4 => 3),
            Size::ThreeOfThree => line!(s, FivePoints, 5 => 3),
            Size::FourOfThree => line!(s, SixPoints, 6 => 4),
            Size::FiveOfTwo => line!(s, SixPoints, 6 => 5),
        });
    }

    #[inline(never)]
    fn line<const N: usize, const M: usize>(
        &self,
        along: Along<'_, N, M>,
        store: &dyn Fn(&[&[f32]; N], &mut Row<'_, M>),
        tiles: Range<usize>,
        first: usize,
        scratch: &mut [f32],
        out: &mut TileMut<'_, f32>,
    ) {
        let [top, left] = self.tiles.output(&self.tiles.tile(tiles.start));
        for (at, index) in tiles.enumerate() {
            let tile = self.tiles.tile(index);
            let [rows, count] = self.tiles.outputs(&tile);
            if rows * count == 0 {
                continue;
            }
            let place = self.tiles.output(&tile);
            for block in blocks(self.channels.len()) {
                let points = (first + at) * self.width + block.start;
                columns(
                    block.len(),
                    scratch,
                    along,
                    |[i, j]| &self.points[(i * N + j) * self.row_len + points..][..block.len()],
                    |i, from| {
                        if i >= rows {
                            return;
                        }
                        let line = place[0] + i * self.tiles.out_step[0];
                        let channel = self.channels.start + block.start;
                        let cells = [place[1] - left, self.tiles.out_step[1]];
                        let mut row = Row {
                            out: out.cell_array::<M>(line - top, cells, count, block.clone()),
                            number: self.number(tile.image, line, place[1]) * self.pixel + channel,
                            channel,
                            count,
                        };
                        store(from, &mut row);
                    },
                );
            }
        }
    }

    /// The place of the pixel `[y, x]` among all pixels of the output.
    fn number(&self, image: usize, y: usize, x: usize) -> usize {
        let [h, w] = self.tiles.out_size;
        (image * h + y) * w + x
    }

    /// The outputs of a row of points, stored.
    #[inline(never)]
    fn row<S: Simd, const N: usize, const M: usize>(
        &self,
        s: S,
        from: &[&[f32]; N],
        row: &mut Row<'_, M>,
        map: impl Fn([S::F32; N]) -> [S::F32; M],
    ) {
        s.vectorize(
            #[inline(always)]
            || {
                let (from, len) = (*from, from[0].len());
                let mut row = Row {
                    out: row.out.reborrow(),
                    ..*row
                };
                self.fetch_below(s, &row, len);
                let mut c = 0;
                while c + S::LANES <= len {
                    let sums = map(load(s, &from, c));
                    self.store(s, sums, &mut row, c, S::LANES);
                    c += S::LANES;
                }
                if c < len {
                    let sums = map(load_partial(s, &from, c, len));
                    self.store(s, sums, &mut row, c, len - c);
                }
                if let Some(function) = self.epilogue.activation.late() {
                    for j in 0..row.count {
                        assign(s, function, row.out.get(j));
                    }
                }
            },
        );
    }

    /// Fetches the residual of the line below, which comes next or with the next tiles.
    #[inline(always)]
    fn fetch_below<S: Simd, const M: usize>(&self, s: S, row: &Row<'_, M>, len: usize) {
        if let Some(residual) = self.epilogue.residual {
            let [down, right] = self.tiles.out_step;
            let below = row.number + down * self.tiles.out_size[1] * self.pixel;
            for j in 0..row.count {
                for c in (0..len).step_by(LINE) {
                    s.prefetch(residual, below + j * right * self.pixel + c);
                }
            }
        }
    }

    /// Stores `lanes` channels of the pixels of a row.
    #[inline(always)]
    fn store<S: Simd, const M: usize>(
        &self,
        s: S,
        sums: [S::F32; M],
        row: &mut Row<'_, M>,
        c: usize,
        lanes: usize,
    ) {
        let step = self.tiles.out_step[1] * self.pixel;
        let Epilogue { scale, bias, .. } = self.epilogue;
        let scale = per_channel(s, *scale, 1.0, row.channel + c, lanes);
        let bias = per_channel(s, *bias, 0.0, row.channel + c, lanes);
        let clamp = self.epilogue.activation.bounds().in_registers(s);
        for j in 0..M {
            if j < row.count {
                let mut sum = s.mul_add(sums[j], scale, bias);
                let place = row.number + j * step + c;
                // A residual has the length of the output: nothing is there to fail in the middle of a tile.
                let residual = self.epilogue.residual;
                if let Some(residual) = residual.and_then(
                    #[inline(always)]
                    |residual| residual.get(place..place + lanes),
                ) {
                    sum = s.add(sum, load_lanes(s, residual, lanes));
                }
                sum = clamp.run(s, sum);
                let out = &mut row.out.get(j)[c..];
                if lanes == S::LANES {
                    s.store(sum, out);
                } else {
                    s.store_partial(sum, &mut out[..lanes]);
                }
            }
        }
    }
}

/// The numbers of `lanes` channels from number `at` on; `default` for all, if there are none.
#[inline(always)]
fn per_channel<S: Simd>(
    s: S,
    numbers: Option<&[f32]>,
    default: f32,
    at: usize,
    lanes: usize,
) -> S::F32 {
    numbers.map_or(
        s.splat(default),
        #[inline(always)]
        |numbers| load_lanes(s, &numbers[at..], lanes),
    )
}

/// The first `lanes` elements of `x`.
#[inline(always)]
fn load_lanes<S: Simd>(s: S, x: &[f32], lanes: usize) -> S::F32 {
    if lanes == S::LANES {
        s.load(x)
    } else {
        s.load_partial(&x[..lanes])
    }
}

/// A row of outputs of one tile.
struct Row<'a, const M: usize> {
    /// The channels of the pixels.
    out: Slices<'a, f32, M>,
    /// The number of the first element in the output.
    number: usize,
    /// Its channel.
    channel: usize,
    /// Pixels that exist.
    count: usize,
}

// ---- weights

/// The points of some weights: the lines of `from`, one for each tap, become one line of `to` for each
/// point.
pub(super) fn transform_weights(
    level: Level,
    size: Size,
    from: &[f32],
    to: &mut [&mut [f32]],
    scratch: &mut Scratch,
) {
    let scratch = &mut scratch.0[..];
    dispatch!(level, s => match size {
        Size::TwoOfImage => square::<3, 3>(along!(s, TwoPixels::filter), from, to, scratch),
        Size::TwoOfThree => square::<3, 4>(along!(s, FourPoints::filter), from, to, scratch),
        Size::ThreeOfTwo => square::<2, 4>(along!(s, FourPoints::filter), from, to, scratch),
        Size::ThreeOfThree => square::<3, 5>(along!(s, FivePoints::filter), from, to, scratch),
        Size::FourOfThree => square::<3, 6>(along!(s, SixPoints::filter), from, to, scratch),
        Size::FiveOfTwo => square::<2, 6>(along!(s, SixPoints::filter), from, to, scratch),
    });
}

/// As [`transform_weights`], to six by six points of `taps` by `taps` taps.
pub(super) fn transform_weights_to_six(
    level: Level,
    taps: usize,
    from: &[f32],
    to: &mut [&mut [f32]],
    scratch: &mut Scratch,
) {
    let scratch = &mut scratch.0[..];
    dispatch!(level, s => match taps {
        3 => square::<3, 6>(along!(s, SixPoints::filter), from, to, scratch),
        _ => square::<4, 6>(along!(s, SixPoints::filter), from, to, scratch),
    });
}

/// The gradients of the taps, a line of `to` for each, from those of the points, the lines of `from`.
pub(super) fn transform_weight_gradients(
    level: Level,
    size: Size,
    from: &[f32],
    to: &mut [&mut [f32]],
    scratch: &mut Scratch,
) {
    let scratch = &mut scratch.0[..];
    dispatch!(level, s => match size {
        Size::TwoOfImage => square::<3, 3>(along!(s, TwoPixels::filter_gradient), from, to, scratch),
        Size::TwoOfThree => square::<4, 3>(along!(s, FourPoints::filter_gradient), from, to, scratch),
        Size::ThreeOfTwo => square::<4, 2>(along!(s, FourPoints::filter_gradient), from, to, scratch),
        Size::ThreeOfThree => square::<5, 3>(along!(s, FivePoints::filter_gradient), from, to, scratch),
        Size::FourOfThree => square::<6, 3>(along!(s, SixPoints::filter_gradient), from, to, scratch),
        Size::FiveOfTwo => square::<6, 2>(along!(s, SixPoints::filter_gradient), from, to, scratch),
    });
}

/// `OUT x OUT` lines from `IN x IN` lines.
#[inline(never)]
fn square<const IN: usize, const OUT: usize>(
    along: Along<'_, IN, OUT>,
    from: &[f32],
    to: &mut [&mut [f32]],
    scratch: &mut [f32],
) {
    let len = from.len() / (IN * IN);
    for block in blocks(len) {
        columns(
            block.len(),
            scratch,
            along,
            |[i, j]| &from[(i * IN + j) * len + block.start..][..block.len()],
            |i, from| {
                let mut lines = to[i * OUT..].iter_mut();
                let mut to = Slices::new(|_| {
                    lines
                        .next()
                        .map_or(&mut [][..], |line| &mut line[block.clone()])
                });
                along(from, &mut to);
            },
        );
    }
}
