//! By which chains of taps a tile gathers from which lines of the source.

use super::axis::Run;
use super::bands::Term;
use super::neighbours::{Pixels, Places, Step};

/// A chain of taps along a line of the source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// Where the line of the source begins.
    line: usize,
    /// From there to what the first tap reads for the first pixel of a run, possibly outside the line.
    start: isize,
    /// Taps.
    pub(super) len: usize,
    /// Where the weights of the first tap are for either line of a pair, if it gathers from this line.
    taps: [Option<usize>; 2],
    tap_step: Step,
    /// What the pixels of a tile read.
    pub(super) pixels: Pixels,
}

impl Run {
    /// Links each chain to each term.
    pub(super) fn link(&self, terms: &[Term], links: &mut Vec<Link>) {
        links.clear();
        for term in terms {
            links.extend(self.chains.iter().map(|chain| Link {
                line: term.source,
                start: chain.start,
                len: chain.len,
                taps: term.filters.map(|row| Some(row? + chain.tap)),
                tap_step: Step::new(chain.tap_step.unsigned_abs()).signed(chain.tap_step < 0),
                pixels: Pixels::NONE,
            }));
        }
    }

    /// Lets `links` read what the `width` pixels from `first` on do, of lines of `line_len` elements.
    pub(super) fn aim(
        &self,
        links: &mut [Link],
        first: usize,
        width: usize,
        channels: usize,
        line_len: usize,
    ) {
        let step = Step::new(self.source_step.saturating_mul(channels));
        let offset = (first * self.source_step * channels) as isize;
        for link in links {
            let count = width + link.len - 1;
            let start = link.start + offset;
            link.pixels.aim(link.line, line_len, start, step, count);
        }
    }
}

impl Link {
    /// Where the weights of a line of the pair are, for a vector of channels.
    #[inline(always)]
    pub(super) fn taps(&self, side: usize, channel: usize) -> Option<Places> {
        self.taps[side].map(|tap| Places {
            at: tap + channel,
            step: self.tap_step,
        })
    }
}
