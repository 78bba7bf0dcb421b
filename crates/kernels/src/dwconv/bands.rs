//! How the lines of an output are gone through: in bands of pairs of lines.
//!
//! Two lines whose sources overlap are computed together, so that what they both read is loaded once.

use super::axis::{Axis, Pitch, Run};
use super::links::Link;
use crate::far::FAR;
use crate::parallel::Cut;
use std::ops::Range;
use striate_simd::Simd;

/// Bytes of a first-level cache that the data of a tile may take.
const FIRST_LEVEL: usize = 1 << 15;

/// Elements of a line of memory.
const MEMORY_LINE: usize = 16;

/// Pixels of a line that are worth a run of their own.
pub(super) const WORTH: usize = 7;

/// The bands of an output, in order.
#[derive(Debug)]
pub(super) struct Bands {
    pub(super) rows: Axis,
    pub(super) columns: Axis,
    pub(super) row_runs: Vec<Run>,
    pub(super) column_runs: Vec<Run>,
    pub(super) channels: usize,
    /// From the weights of one tap to those of the next.
    pub(super) tap_len: usize,
    batch: usize,
    /// Whether source and output come from memory beyond all caches: what follows is to be asked for, and nothing of
    /// the output would be found in a cache when it is read.
    pub(super) far: bool,
}

/// What is gathered by the elements of a run of a pair of lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'p> {
    /// Counted over all images.
    pub(super) lines: [Option<usize>; 2],
    pub(super) terms: &'p [Term],
    pub(super) run: &'p Run,
    /// Where the lines of the source are that the next pair reads and this one does not; none if they need not be
    /// asked for.
    ahead: &'p [usize],
    /// Elements of the output from these lines to those of the next pair, if they are to be asked for.
    pub(super) advance: Option<usize>,
}

/// What pairs are told with, kept from band to band.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    terms: Vec<Term>,
    links: Vec<Link>,
    ahead: Vec<usize>,
}

/// Where a line of the source is, and where the rows of the filter are by which the first and the second line of a
/// pair gather from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub(super) source: usize,
    pub(super) filters: [Option<usize>; 2],
}

impl Bands {
    pub(super) fn new(
        [rows, columns]: [Axis; 2],
        batch: usize,
        channels: usize,
        tap_len: usize,
    ) -> Self {
        let pitch = |source, taps| Pitch {
            source: source * channels,
            tap: taps * tap_len,
        };
        let pixels = rows.source_len() * columns.source_len() + rows.out_len() * columns.out_len();
        Self {
            rows,
            columns,
            // Lines are many enough for pairs, if they are two.
            row_runs: rows.runs(2, pitch(columns.source_len(), columns.taps())),
            column_runs: columns.runs(WORTH, pitch(1, 1)),
            channels,
            tap_len,
            batch,
            far: batch * pixels * channels >= FAR,
        }
    }

    /// Lines of a band: a pair of each run.
    fn height(&self) -> usize {
        2 * self.row_runs.len().max(1)
    }

    fn per_image(&self) -> usize {
        self.rows.out_len().div_ceil(self.height())
    }

    /// Tasks of bands, of which there are at most `most`, and in each at least `least` bands.
    pub(super) fn cut(&self, most: usize, least: usize) -> Cut {
        let bands = self.batch * self.per_image();
        // A multiply-add is a small part of reading and writing an element.
        let taps = self.rows.taps() * self.columns.taps();
        let elements = self.height() * self.out_line_len();
        let worth = Cut::new(bands, elements * (12 + taps) / 24).per_task();
        Cut::every(bands, worth.max(bands.div_ceil(most)).max(least))
    }

    /// Bands that a strip should go down: a quarter of an image, but no few lines and no more than are worth it.
    pub(super) fn worth_a_strip(&self) -> usize {
        self.per_image().div_ceil(4).clamp(4, 8)
    }

    /// Elements of a line of the output.
    pub(super) fn out_line_len(&self) -> usize {
        self.columns.out_len() * self.channels
    }

    /// Elements of a line of the source.
    pub(super) fn source_line_len(&self) -> usize {
        self.columns.source_len() * self.channels
    }

    /// The first line of a band, over all images.
    fn first_line(&self, band: usize) -> usize {
        let (image, band) = (band / self.per_image(), band % self.per_image());
        image * self.rows.out_len() + band * self.height()
    }

    /// The lines of some bands, over all images.
    pub(super) fn lines(&self, bands: &Range<usize>) -> Range<usize> {
        self.first_line(bands.start)..self.first_line(bands.end)
    }

    /// Calls `f` for each pair of lines of a band and each run of their elements, with the links of its chains.
    #[inline(always)]
    pub(super) fn pairs(
        &self,
        band: usize,
        scratch: &mut Scratch,
        mut f: impl FnMut(Pair<'_>, &mut [Link]),
    ) {
        let (image, number) = (band / self.per_image(), band % self.per_image());
        let Scratch {
            terms,
            links,
            ahead,
        } = scratch;
        for rows in &self.row_runs {
            let lines = self.gather_from(image, number, rows, terms);
            if lines[0].is_none() {
                continue;
            }
            ahead.clear();
            if self.far {
                let next =
                    |term: &Term| term.source + 2 * rows.source_step * self.source_line_len();
                let known = |&place: &usize| terms.iter().any(|term| term.source == place);
                ahead.extend(terms.iter().map(next).filter(|place| !known(place)));
            }
            for run in &self.column_runs {
                run.link(terms, links);
                let pair = Pair {
                    lines,
                    terms,
                    run,
                    ahead,
                    advance: self.far.then(|| 2 * rows.step * self.out_line_len()),
                };
                f(pair, links);
            }
        }
    }

    /// The lines of pair `number` of a run of an image, and in `terms` what they gather from.
    fn gather_from(
        &self,
        image: usize,
        number: usize,
        run: &Run,
        terms: &mut Vec<Term>,
    ) -> [Option<usize>; 2] {
        terms.clear();
        [0, 1].map(|side| {
            let i = 2 * number + side;
            if i >= run.count {
                return None;
            }
            for (tap, source) in run.sources(i, self.rows.source_len()) {
                let line = image * self.rows.source_len() + source;
                let source = line * self.source_line_len();
                let known = terms.iter().position(|term| term.source == source);
                let at = known.unwrap_or_else(|| {
                    terms.push(Term {
                        source,
                        filters: [None; 2],
                    });
                    terms.len() - 1
                });
                terms[at].filters[side] = Some(tap * self.columns.taps() * self.tap_len);
            }
            Some(image * self.rows.out_len() + run.first + i * run.step)
        })
    }

    /// The vectors of channels in groups, such that what tiles of `pixels` pixels by one group touch stays in the
    /// first-level cache; of vectors that would be cut off, the last begins earlier.
    #[inline(always)]
    pub(super) fn groups(
        &self,
        lanes: usize,
        pixels: usize,
    ) -> impl Iterator<Item = Range<usize>> + use<> {
        let [taps, width] = [self.rows.taps(), self.columns.taps()];
        let touched = (taps + 1) * (pixels + width) + taps * width;
        let vectors = self.channels.div_ceil(lanes);
        let most = (FIRST_LEVEL / (4 * lanes * touched)).clamp(1, vectors);
        let each = vectors.div_ceil(vectors.div_ceil(most));
        (0..vectors)
            .step_by(each)
            .map(move |first| first..(first + each).min(vectors))
    }
}

impl Pair<'_> {
    /// Asks for what the next pair reads where this one reads `width` elements from `first` on, a vector of each pixel.
    #[inline(always)]
    pub(super) fn ask_ahead<S: Simd>(
        &self,
        s: S,
        source: &[f32],
        bands: &Bands,
        first: usize,
        width: usize,
        channel: usize,
    ) {
        if !channel.is_multiple_of(MEMORY_LINE) && S::LANES < MEMORY_LINE {
            // The vector before was in the same line of memory.
            return;
        }
        let pixels = first * self.run.source_step..(first + width) * self.run.source_step;
        for &line in self.ahead {
            for pixel in pixels.clone() {
                s.prefetch(source, line + pixel * bands.channels + channel);
            }
        }
    }
}
