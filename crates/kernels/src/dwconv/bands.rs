//! How the lines of an output are gone through: in bands of pairs of lines.
//!
//! Two lines whose sources overlap are computed together, so that what they both read is loaded once.

use super::axis::{Axis, Pitch, Run};
use crate::parallel::Cut;
use std::ops::Range;

/// Bytes of a first-level cache that the data of a tile may take.
const FIRST_LEVEL: usize = 1 << 15;

/// Pixels of a line that are worth a run of their own.
const WORTH: usize = 7;

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
        Self {
            rows,
            columns,
            // Lines are many enough for pairs, if they are two.
            row_runs: rows.runs(2, pitch(columns.source_len(), columns.taps())),
            column_runs: columns.runs(WORTH, pitch(1, 1)),
            channels,
            tap_len,
            batch,
        }
    }

    /// Lines of a band: a pair of each run.
    fn height(&self) -> usize {
        2 * self.row_runs.len().max(1)
    }

    fn per_image(&self) -> usize {
        self.rows.out_len().div_ceil(self.height())
    }

    /// Tasks of bands, of which there are at most `most`.
    pub(super) fn cut(&self, most: usize) -> Cut {
        let bands = self.batch * self.per_image();
        // A multiply-add is a small part of reading and writing an element.
        let taps = self.rows.taps() * self.columns.taps();
        let elements = self.height() * self.out_line_len();
        let worth = Cut::new(bands, elements * (12 + taps) / 24).per_task();
        Cut::every(bands, worth.max(bands.div_ceil(most)))
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

    /// Calls `f` for each pair of lines of a band: with the number of its first line and that of its second, if
    /// there is one, counted over all images, and with the lines of the source that they gather from.
    #[inline(always)]
    pub(super) fn pairs(&self, band: usize, mut f: impl FnMut([Option<usize>; 2], &[Term])) {
        let (image, number) = (band / self.per_image(), band % self.per_image());
        let mut terms: Vec<Term> = Vec::with_capacity(2 * self.rows.taps());
        for run in &self.row_runs {
            terms.clear();
            let lines = [0, 1].map(|side| {
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
            });
            if lines[0].is_some() {
                f(lines, &terms);
            }
        }
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
