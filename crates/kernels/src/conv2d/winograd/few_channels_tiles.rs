//! The steps of tiles of an image of few channels.
//!
//! Sixteen neighbouring tiles go through all steps together: their pixels, and so their points, lie side by side, and are
//! transformed a vector of tiles at a time. The products broadcast the points and multiply them with vectors of output
//! channels; a row of points stays in registers until it is transformed back.

use super::outputs::SIDE;
use super::transform::{Points, SixPoints, Transform};
use crate::array::array;
use std::ops::Range;
use striate_simd::Simd;

/// Tiles that go through all steps together: one for each lane of the longest vectors.
pub(super) const TILES: usize = 16;

/// The remainders of the coordinates of the input by the stride. The pixels of each are an image of their own, which fewer
/// taps read without a stride. A channel of a remainder down and one across is a term of the sum of a point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phases {
    /// The side of the kernel.
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) channels: usize,
}

impl Phases {
    /// Taps of the first remainder along either axis.
    pub(super) fn taps(&self) -> usize {
        self.kernel.div_ceil(self.stride)
    }

    /// Outputs of a tile along either axis.
    pub(super) fn outputs(&self) -> usize {
        SIDE + 1 - self.taps()
    }

    /// Pixels from one tile to the next.
    pub(super) fn step(&self) -> usize {
        self.stride * self.outputs()
    }

    /// Pixels that a tile reads along either axis.
    pub(super) fn reach(&self) -> usize {
        self.stride * (self.outputs() - 1) + self.kernel
    }

    /// Terms of the sum of a point.
    pub(super) fn terms(&self) -> usize {
        self.stride * self.stride * self.channels
    }

    /// Points of a remainder along either axis: where it has a tap less than the first, the point at infinity is zero.
    #[inline(always)]
    pub(super) fn points(&self, phase: usize) -> usize {
        let less = (self.kernel - phase).div_ceil(self.stride) < self.taps();
        SIDE - usize::from(less)
    }

    /// The terms of a row of points that belong to a remainder across.
    #[inline(always)]
    fn range(&self, row: usize, phase: usize) -> Range<usize> {
        let start = phase * self.stride * self.channels;
        let mut down = self.stride;
        while self.points(down - 1) <= row {
            down -= 1;
        }
        start..start + down * self.channels
    }
}

/// Lines of an image, combed: the pixels in the same place of all tiles stand side by side, as
/// `[channel][line][place in a tile][tile]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comb {
    pub(super) channels: usize,
    pub(super) lines: usize,
    /// Pixels from one tile to the next.
    pub(super) step: usize,
    /// Tiles of a line, and some more that are read with them.
    pub(super) tiles: usize,
}

/// The pixels that a comb reads: channels, one after the other, of lines that follow one another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) data: &'a [f32],
    /// Elements of a channel, and of a line.
    pub(super) steps: [usize; 2],
    /// The first line, and the zeros before the first pixel of a line.
    pub(super) first: isize,
    pub(super) zeros: usize,
    /// Lines and pixels of a line that are read. All others are zeros.
    pub(super) size: [usize; 2],
}

impl Comb {
    /// Elements.
    pub(super) fn len(&self) -> usize {
        self.channels * self.lines * self.line_len()
    }

    /// Elements of a line.
    pub(super) fn line_len(&self) -> usize {
        self.step * self.tiles
    }

    /// The place of a pixel of the first tile.
    #[inline(always)]
    fn place(&self, channel: usize, line: usize, pixel: usize) -> usize {
        let row = (channel * self.lines + line) * self.step + pixel % self.step;
        row * self.tiles + pixel / self.step
    }

    /// Combs lines to `copy`; `padded` is room for one of them.
    pub(super) fn fill<S: Simd>(
        &self,
        s: S,
        source: &Source<'_>,
        padded: &mut [f32],
        copy: &mut [f32],
    ) {
        let [height, width] = source.size;
        let padded = &mut padded[..self.line_len()];
        padded.fill(0.0);
        let copies = copy[..self.len()].chunks_exact_mut(self.line_len());
        for (at, copy) in copies.enumerate() {
            let (channel, y) = (at / self.lines, at % self.lines);
            match source.first.checked_add_unsigned(y).map(usize::try_from) {
                Some(Ok(y)) if y < height => {
                    let line = channel * source.steps[0] + y * source.steps[1];
                    let line = &source.data[line..line + width];
                    let room = &mut padded[source.zeros..];
                    let len = width.min(room.len());
                    room[..len].copy_from_slice(&line[..len]);
                    match self.step {
                        3 => comb::<S, 3>(s, padded, copy),
                        4 => comb::<S, 4>(s, padded, copy),
                        6 => comb::<S, 6>(s, padded, copy),
                        _ => comb::<S, 8>(s, padded, copy),
                    }
                }
                _ => copy.fill(0.0),
            }
        }
    }
}

/// Combs a line: the pixels in the same place of all groups of `N` side by side.
#[inline(never)]
fn comb<S: Simd, const N: usize>(s: S, line: &[f32], copy: &mut [f32]) {
    s.vectorize(
        #[inline(always)]
        || {
            let (groups, _) = line.as_chunks::<N>();
            for (at, copy) in copy.chunks_exact_mut(groups.len()).enumerate() {
                for (to, group) in copy.iter_mut().zip(groups) {
                    *to = group[at];
                }
            }
        },
    );
}

/// The points of [`TILES`] tiles from tile `tile` on, whose first line is `line`, as `[row][term][column][tile]`. `square` has
/// room for the points of one vector of tiles.
#[inline(never)]
pub(super) fn inputs<S: Simd>(
    s: S,
    phases: &Phases,
    comb: &Comb,
    copy: &[f32],
    [line, tile]: [usize; 2],
    square: &mut [f32],
    points: &mut [f32],
) {
    s.vectorize(
        #[inline(always)]
        || {
            let (stride, terms) = (phases.stride, phases.terms());
            let square = &mut square[..SIDE * SIDE * S::LANES];
            let below = stride * comb.step * comb.tiles;
            for term in 0..terms {
                let (phase, channel) = (term / phases.channels, term % phases.channels);
                let (right, down) = (phase / stride, phase % stride);
                let [rows, columns] = [phases.points(down), phases.points(right)];
                for lane in (0..TILES).step_by(S::LANES) {
                    for j in 0..columns {
                        let first = comb.place(channel, line + down, right + stride * j);
                        let pixels = &copy[first + tile + lane..];
                        let column = SixPoints::input(
                            s,
                            array(
                                #[inline(always)]
                                |i| {
                                    if i < rows {
                                        s.load(&pixels[i * below..])
                                    } else {
                                        s.splat(0.0)
                                    }
                                },
                            ),
                        );
                        for i in 0..SIDE {
                            s.store(column[i], &mut square[(i * SIDE + j) * S::LANES..]);
                        }
                    }
                    for i in 0..rows {
                        let row = &square[i * SIDE * S::LANES..][..SIDE * S::LANES];
                        let row = SixPoints::input(
                            s,
                            array(
                                #[inline(always)]
                                |j| {
                                    if j < columns {
                                        s.load(&row[j * S::LANES..])
                                    } else {
                                        s.splat(0.0)
                                    }
                                },
                            ),
                        );
                        let to = &mut points[(i * terms + term) * SIDE * TILES..][..SIDE * TILES];
                        for j in 0..SIDE {
                            s.store(row[j], &mut to[j * TILES + lane..]);
                        }
                    }
                }
            }
        },
    );
}

/// Whether levels of so many lanes have sixteen registers, and not thirty-two.
pub(super) const fn few_registers(lanes: usize) -> bool {
    lanes == 8 || lanes == 1
}

/// The products of the points of `tiles` tiles with the weights of a vector of output channels, `[row][term][column][channel]`,
/// whose rows are transformed back: as `[column of outputs][row of points][channel]`, to `columns`.
pub(super) fn products<S: Simd, const R: usize, const M: usize>(
    s: S,
    phases: &Phases,
    points: &[f32],
    weights: &[f32],
    tiles: usize,
    columns: &mut [f32],
) where
    SixPoints: Transform<R, M, SIDE>,
{
    // As many at a time as there are registers for.
    if const { few_registers(S::LANES) } {
        rows::<S, R, M, 2>(s, phases, points, weights, tiles, columns);
    } else {
        rows::<S, R, M, 4>(s, phases, points, weights, tiles, columns);
    }
}

/// As [`products`], `T` tiles at a time.
#[inline(never)]
fn rows<S: Simd, const R: usize, const M: usize, const T: usize>(
    s: S,
    phases: &Phases,
    points: &[f32],
    weights: &[f32],
    tiles: usize,
    columns: &mut [f32],
) where
    SixPoints: Transform<R, M, SIDE>,
{
    s.vectorize(
        #[inline(always)]
        || {
            let terms = phases.terms();
            for i in 0..SIDE {
                let points = &points[i * terms * SIDE * TILES..][..terms * SIDE * TILES];
                let weights = &weights[i * terms * SIDE * S::LANES..][..terms * SIDE * S::LANES];
                for first in (0..tiles).step_by(T) {
                    let mut sums = [[s.splat(0.0); SIDE]; T];
                    for phase in 0..phases.stride {
                        let range = phases.range(i, phase);
                        let points = &points[range.start * SIDE * TILES..range.end * SIDE * TILES];
                        let weights =
                            &weights[range.start * SIDE * S::LANES..range.end * SIDE * S::LANES];
                        if phases.points(phase) == SIDE {
                            accumulate::<S, SIDE, T>(s, points, weights, first, &mut sums);
                        } else {
                            accumulate::<S, { SIDE - 1 }, T>(s, points, weights, first, &mut sums);
                        }
                    }
                    let columns = &mut columns[first * M * SIDE * S::LANES..];
                    let columns = &mut columns[..T * M * SIDE * S::LANES];
                    for t in 0..T {
                        let row: [S::F32; M] = SixPoints::output(s, sums[t]);
                        for x in 0..M {
                            let at = ((t * M + x) * SIDE + i) * S::LANES;
                            s.store(row[x], &mut columns[at..]);
                        }
                    }
                }
            }
        },
    );
}

/// Adds the products of some terms of the first `P` points of a row of the tiles from number `first` on.
#[inline(always)]
fn accumulate<S: Simd, const P: usize, const T: usize>(
    s: S,
    points: &[f32],
    weights: &[f32],
    first: usize,
    sums: &mut [[S::F32; SIDE]; T],
) {
    let points = points.chunks_exact(SIDE * TILES);
    for (points, weights) in points.zip(weights.chunks_exact(SIDE * S::LANES)) {
        let points = &points[first..][..(P - 1) * TILES + T];
        for j in 0..P {
            let weight = s.load(&weights[j * S::LANES..]);
            for t in 0..T {
                sums[t][j] = s.mul_add(s.splat(points[j * TILES + t]), weight, sums[t][j]);
            }
        }
    }
}
