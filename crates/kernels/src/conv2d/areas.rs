//! Which taps of which pixels lie inside the image.
//!
//! Along either axis the pixels fall into segments at which the same taps lie inside. A rectangle of one
//! segment of rows and one of columns is an area: all its pixels are sums over the same taps, and those in
//! the padding cost nothing. Small areas fill tiles badly, so either axis may also be left uncut; then
//! pixels read zeros for taps that lie inside only for their neighbours. Whichever is predicted to be
//! faster is taken.

use super::taps::Taps;
use crate::array::array;
use crate::gemm::panels::tile_cost;
use std::ops::Range;
use striate_simd::Level;

/// Cycles that finding the pixels of a tile takes for each run of taps, and for each tap if some of
/// them may lie outside.
const FIND: [f64; 2] = [15.0, 40.0];

/// Pixels of most tiles.
const TILE: usize = 8;

/// Consecutive pixels along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) pixels: Range<usize>,
    /// The offsets along this axis with which some pixel reads inside the image.
    pub(super) inside: Range<isize>,
    /// Whether all pixels do with all of them.
    whole: bool,
}

/// How the pixels of a grid are cut into areas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    axes: [Vec<Segment>; 2],
}

/// Elements that are consecutive in the input and whose weights are consecutive too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first element, relative to the first channel of the pixel `p * stride`.
    pub(super) offset: isize,
    /// The input pixel it lies in, relative to the same.
    pub(super) pixel: [isize; 2],
    /// The first row of the packed panel.
    pub(super) row: usize,
    pub(super) len: usize,
}

impl Run {
    /// The part of it whose weights are `rows`.
    fn within(&self, rows: &Range<usize>) -> Option<Self> {
        let start = self.row.max(rows.start);
        let end = (self.row + self.len).min(rows.end);
        (start < end).then(|| Self {
            offset: self.offset + (start - self.row) as isize,
            row: start,
            len: end - start,
            ..*self
        })
    }
}

/// A line of pixels of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The row of the image that it reads without a tap's offset.
    pub(super) y: usize,
    /// The first pixel of that row.
    pub(super) input: usize,
    /// The output pixel of column 0.
    pub(super) output: usize,
}

/// Pixels of some lines, with the taps they are sums over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) lines: Vec<Line>,
    pub(super) columns: Range<usize>,
    /// In the order of the weights.
    runs: Vec<Run>,
    /// Whether all taps of all pixels lie inside; otherwise each run is one tap.
    pub(super) whole: bool,
}

impl Cut {
    /// All pixels of `taps` as one area: all taps lie inside for all of them.
    pub(super) fn one(taps: &Taps) -> Self {
        let axes = [0, 1].map(|axis| {
            vec![Segment {
                pixels: 0..taps.grid[axis],
                inside: isize::MIN..isize::MAX,
                whole: true,
            }]
        });
        Self { axes }
    }

    /// The best cut of the grid of `taps` for blocks of `lines` lines and panels of `vectors` vectors.
    pub(super) fn choose(level: Level, taps: &Taps, lines: usize, vectors: usize) -> Self {
        let exact = [0, 1].map(|axis| segments(taps, axis));
        let options = exact.clone().map(|segments| match &segments[..] {
            [_] => vec![segments],
            _ => vec![vec![joined(&segments)], segments],
        });
        let total = (taps.batch * taps.grid[0]).max(1);
        let cost = |cut: &Self| {
            let mut cost = 0.0;
            for rows in &cut.axes[0] {
                let here = (taps.batch * rows.pixels.len() * lines).div_ceil(total);
                // Tiles hold neighbours, so most of them have the taps of one segment of rows even
                // where rows are not cut; a tile between two has those of both.
                let within = exact[0].iter().filter(|s| s.pixels.end > rows.pixels.start);
                let within = within.filter(|s| s.pixels.start < rows.pixels.end);
                for columns in &cut.axes[1] {
                    let (mut terms, mut last, mut changes) = (0, None, 0);
                    for segment in within.clone() {
                        let count = taps_inside(taps, segment, columns).count();
                        terms += count * segment.pixels.len();
                        changes += last.map_or(0, |last| count.abs_diff(last));
                        last = Some(count);
                    }
                    let pixels = here * columns.pixels.len();
                    let terms = terms as f64 / rows.pixels.len() as f64;
                    let find = FIND[usize::from(!(rows.whole && columns.whole))];
                    let k_len = taps.k_len() as f64;
                    let sums = tile_cost(level, pixels, vectors) * k_len;
                    let between = changes as f64 / 2.0 * tile_cost(level, TILE, vectors) * k_len;
                    cost += terms * (sums + pixels.div_ceil(TILE) as f64 * find) + between;
                }
            }
            cost
        };
        let [rows, columns] = &options;
        let cuts = rows.iter().flat_map(|r| {
            columns.iter().map(|c| Self {
                axes: [r.clone(), c.clone()],
            })
        });
        cuts.map(|cut| (cost(&cut), cut))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(Self { axes: exact }, |(_, cut)| cut)
    }

    /// The areas of the lines `lines`, numbered through all images, and the columns `columns`.
    pub(super) fn areas(
        &self,
        taps: &Taps,
        lines: Range<usize>,
        columns: &Range<usize>,
    ) -> Vec<Area> {
        let mut areas = Vec::new();
        for rows in &self.axes[0] {
            let here = lines.clone().filter_map(|line| {
                let [n, y] = [line / taps.grid[0], line % taps.grid[0]];
                let row = y * taps.stride[0];
                rows.pixels.contains(&y).then(|| Line {
                    y: row,
                    input: (n * taps.in_size[0] + row) * taps.in_size[1],
                    output: taps.out_pixel([n, y, 0]),
                })
            });
            let here: Vec<Line> = here.collect();
            if here.is_empty() {
                continue;
            }
            for segment in &self.axes[1] {
                let start = segment.pixels.start.max(columns.start);
                let end = segment.pixels.end.min(columns.end);
                if start < end {
                    let whole = rows.whole && segment.whole;
                    areas.push(Area {
                        lines: here.clone(),
                        columns: start..end,
                        runs: runs(taps, taps_inside(taps, rows, segment), whole),
                        whole,
                    });
                }
            }
        }
        areas
    }
}

impl Area {
    /// The number of pixels.
    pub(super) fn len(&self) -> usize {
        self.lines.len() * self.columns.len()
    }

    /// The rows of the panel from the first to behind the last that it reads.
    pub(super) fn rows(&self) -> Range<usize> {
        match (self.runs.first(), self.runs.last()) {
            (Some(first), Some(last)) => first.row..last.row + last.len,
            _ => 0..0,
        }
    }

    /// The sums over some rows of the panel.
    pub(super) fn within(&self, rows: &Range<usize>) -> Vec<Run> {
        self.runs
            .iter()
            .filter_map(|run| run.within(rows))
            .collect()
    }

    /// The lines and columns of `MR` pixels from number `first` on, line by line.
    #[inline(always)]
    pub(super) fn pixels<const MR: usize>(&self, first: usize) -> [(Line, usize); MR] {
        let width = self.columns.len();
        let (mut line, mut x) = (first / width, first % width);
        if x + MR <= width {
            // Mostly: nothing is asked of each pixel.
            let (line, x) = (self.lines[line], self.columns.start + x);
            return array(
                #[inline(always)]
                |i| (line, x + i),
            );
        }
        array(
            #[inline(always)]
            |_| {
                let pixel = (self.lines[line], self.columns.start + x);
                x += 1;
                if x == width {
                    (line, x) = (line + 1, 0);
                }
                pixel
            },
        )
    }
}

/// The segments of an axis, each as long as can be.
pub(super) fn segments(taps: &Taps, axis: usize) -> Vec<Segment> {
    let mut offsets: Vec<isize> = taps.taps.iter().map(|tap| tap.offset[axis]).collect();
    offsets.sort_unstable();
    offsets.dedup();
    let (stride, pixels) = (taps.stride[axis], taps.grid[axis]);
    // Where a tap enters the image, and where it leaves it.
    let mut edges = vec![0, pixels];
    for &offset in &offsets {
        let left = (taps.in_size[axis] as isize - offset).max(0).unsigned_abs();
        edges.push(offset.min(0).unsigned_abs().div_ceil(stride).min(pixels));
        edges.push(left.div_ceil(stride).min(pixels));
    }
    edges.sort_unstable();
    edges.dedup();
    let mut segments: Vec<Segment> = Vec::new();
    for edge in edges.windows(2) {
        let at = edge[0] * stride;
        let mut inside = offsets
            .iter()
            .copied()
            .filter(|&offset| at.wrapping_add_signed(offset) < taps.in_size[axis]);
        let inside = match (inside.next(), inside.next_back()) {
            (Some(first), last) => first..last.unwrap_or(first) + 1,
            _ => 0..0,
        };
        match segments.last_mut() {
            Some(last) if last.inside == inside => last.pixels.end = edge[1],
            _ => segments.push(Segment {
                pixels: edge[0]..edge[1],
                inside,
                whole: true,
            }),
        }
    }
    segments
}

/// Several segments as one.
fn joined(segments: &[Segment]) -> Segment {
    let inside = || segments.iter().map(|s| &s.inside).filter(|i| !i.is_empty());
    let start = inside().map(|i| i.start).min().unwrap_or(0);
    let end = inside().map(|i| i.end).max().unwrap_or(0);
    Segment {
        pixels: 0..segments.last().map_or(0, |s| s.pixels.end),
        inside: start..end,
        whole: false,
    }
}

/// The places in the list of taps of those with which some pixel of an area reads inside the image.
pub(super) fn taps_inside<'a>(
    taps: &'a Taps,
    rows: &'a Segment,
    columns: &'a Segment,
) -> impl Iterator<Item = usize> + 'a {
    let inside = |&t: &usize| {
        let [y, x] = taps.taps[t].offset;
        rows.inside.contains(&y) && columns.inside.contains(&x)
    };
    (0..taps.taps.len()).filter(inside)
}

/// Some taps, merged where they are neighbours in memory if they may be.
fn runs(taps: &Taps, places: impl Iterator<Item = usize>, merge: bool) -> Vec<Run> {
    let (k_len, channels) = (taps.k_len(), taps.in_channels as isize);
    let mut runs: Vec<Run> = Vec::new();
    for place in places {
        let pixel = taps.taps[place].offset;
        let run = Run {
            offset: (pixel[0] * taps.in_size[1] as isize + pixel[1]) * channels,
            pixel,
            row: place * k_len,
            len: k_len,
        };
        match runs.last_mut() {
            Some(last)
                if merge
                    && last.offset + last.len as isize == run.offset
                    && last.row + last.len == run.row =>
            {
                last.len += k_len;
            }
            _ => runs.push(run),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv2d::Conv2dGeometry;

    fn taps(size: [usize; 2], kernel: usize, stride: usize, pad: usize, dilation: usize) -> Taps {
        let g = Conv2dGeometry::new(
            2,
            3,
            size,
            4,
            [kernel; 2],
            [stride; 2],
            [pad; 4],
            [dilation; 2],
            1,
        );
        Taps::forward(&g.unwrap())
    }

    /// The products of every pixel of a block, counted from its areas.
    fn products(taps: &Taps, cut: &Cut, lines: Range<usize>, columns: Range<usize>) -> Vec<usize> {
        let mut count = vec![0; taps.pixels()];
        for area in cut.areas(taps, lines, &columns) {
            for first in 0..area.len() {
                let [(line, x)] = area.pixels::<1>(first);
                for run in area.within(&(0..usize::MAX)) {
                    let y = line.y.wrapping_add_signed(run.pixel[0]);
                    let column = (x * taps.stride[1]).wrapping_add_signed(run.pixel[1]);
                    let inside = y < taps.in_size[0] && column < taps.in_size[1];
                    assert!(inside || !area.whole);
                    if inside {
                        count[line.output + x] += run.len;
                    }
                }
            }
        }
        count
    }

    #[test]
    fn areas_hold_every_pixel_with_its_taps_inside() {
        for (size, kernel, stride, pad, dilation) in [
            ([5, 7], 3, 1, 1, 1),
            ([5, 7], 3, 2, 1, 1),
            ([9, 6], 3, 1, 4, 4),
            ([4, 4], 5, 1, 4, 1),
            ([3, 8], 1, 3, 2, 1),
            ([6, 6], 2, 2, 0, 3),
        ] {
            let taps = taps(size, kernel, stride, pad, dilation);
            let exact = [0, 1].map(|axis| segments(&taps, axis));
            let joint = exact.clone().map(|segments| vec![joined(&segments)]);
            let [h, w] = taps.grid;
            let expected: Vec<usize> = (0..taps.pixels())
                .map(|pixel| {
                    let [_, y, x] = taps.coordinates(pixel);
                    let inside = taps.taps.iter().filter(|tap| {
                        let at = |p: usize, axis: usize| {
                            (p * taps.stride[axis]).wrapping_add_signed(tap.offset[axis])
                                < taps.in_size[axis]
                        };
                        at(y, 0) && at(x, 1)
                    });
                    inside.count() * taps.k_len()
                })
                .collect();
            for axes in [
                exact.clone(),
                joint.clone(),
                [exact[0].clone(), joint[1].clone()],
            ] {
                let cut = Cut { axes };
                assert_eq!(products(&taps, &cut, 0..2 * h, 0..w), expected);
                let part = products(&taps, &cut, 1..h + 1, 1..w);
                let inside = |i: &usize| (1..h + 1).contains(&(i / w)) && i % w >= 1;
                for i in (0..part.len()).filter(inside) {
                    assert_eq!(part[i], expected[i]);
                }
            }
        }
    }

    #[test]
    fn neighbouring_taps_are_one_run() {
        let taps = taps([8, 8], 3, 1, 1, 1);
        let cut = Cut {
            axes: [0, 1].map(|axis| segments(&taps, axis)),
        };
        let areas = cut.areas(&taps, 0..8, &(0..8));
        assert_eq!(areas.len(), 9);
        let longest = areas.iter().max_by_key(|area| area.len()).unwrap();
        assert_eq!(longest.len(), 36);
        let runs = longest.within(&(0..27));
        assert_eq!(runs.iter().map(|run| run.len).collect::<Vec<_>>(), [9; 3]);
        assert_eq!(longest.within(&(8..10)).len(), 2);
    }
}
