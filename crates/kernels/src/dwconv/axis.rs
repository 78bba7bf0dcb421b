//! Which elements of a line an element gathers from, along one axis.

use crate::conv2d::Conv2dGeometry;

/// One axis of a convolution, or of the gradient of its input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    out_len: usize,
    source_len: usize,
    taps: usize,
    stride: usize,
    dilation: usize,
    pad: usize,
    /// Whether the roles of input and output are swapped.
    backward: bool,
}

/// Elements `first + i * step` that gather from `start + i * source_step`, one start a tap.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) first: usize,
    pub(super) step: usize,
    pub(super) count: usize,
    pub(super) source_step: usize,
    /// (tap, start), by rising start; a start may lie outside the source.
    pub(super) taps: Vec<(usize, isize)>,
    /// In a pattern that [`lengths`](Self::lengths) tells.
    pub(super) chains: Vec<Chain>,
}

/// Taps whose starts, one source step apart, are those of neighbours in the run: what one tap reads for an element
/// is what the next one reads for the element before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    /// Where the weight of the first tap is.
    pub(super) tap: usize,
    /// From there to the weight of the next one.
    pub(super) tap_step: isize,
    /// Where the first tap starts, possibly outside the source.
    pub(super) start: isize,
    pub(super) len: usize,
}

/// Distances in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pitch {
    /// Between neighbours in the source.
    pub(super) source: usize,
    /// Between the weights of neighbouring taps.
    pub(super) tap: usize,
}

impl Chain {
    fn new(taps: &[(usize, isize)], pitch: Pitch) -> Self {
        let tap_step = match taps {
            [first, second, ..] => second.0 as isize - first.0 as isize,
            _ => 0,
        };
        Self {
            tap: taps[0].0 * pitch.tap,
            tap_step: tap_step * pitch.tap as isize,
            start: taps[0].1 * pitch.source as isize,
            len: taps.len(),
        }
    }
}

/// Taps of a chain at most: those of two lines are kept in registers.
const MAX_LEN: usize = 5;

impl Axis {
    /// Rows and columns of the output, which gather from the input.
    pub(super) fn forward(g: &Conv2dGeometry) -> [Self; 2] {
        let [top, _, left, _] = g.padding();
        [(0, top), (1, left)].map(|(axis, pad)| Self {
            out_len: g.out_size()[axis],
            source_len: g.in_size()[axis],
            taps: g.kernel()[axis],
            stride: g.stride()[axis],
            dilation: g.dilation()[axis],
            pad,
            backward: false,
        })
    }

    /// Rows and columns of the input's gradient, which gather from the output's.
    pub(super) fn backward(g: &Conv2dGeometry) -> [Self; 2] {
        Self::forward(g).map(|axis| Self {
            out_len: axis.source_len,
            source_len: axis.out_len,
            backward: true,
            ..axis
        })
    }

    pub(super) fn out_len(&self) -> usize {
        self.out_len
    }

    pub(super) fn source_len(&self) -> usize {
        self.source_len
    }

    pub(super) fn taps(&self) -> usize {
        self.taps
    }

    /// The source of element `o` at a tap, which may lie outside; none if the stride skips it.
    fn source(&self, o: usize, tap: usize) -> Option<isize> {
        let (o, reach) = (o as isize, (tap * self.dilation) as isize);
        let (stride, pad) = (self.stride as isize, self.pad as isize);
        if !self.backward {
            return Some(o * stride + reach - pad);
        }
        let at = o + pad - reach;
        (at.rem_euclid(stride) == 0).then(|| at.div_euclid(stride))
    }

    /// All elements, in runs that gather with equal steps. Where the runs have at least `worth` elements, the
    /// steps are such that dilated taps make chains.
    pub(super) fn runs(&self, worth: usize, pitch: Pitch) -> Vec<Run> {
        let spread = self.dilation / common_divisor(self.stride, self.dilation);
        let one = if self.backward { self.stride } else { 1 };
        let step = if self.out_len / (one * spread) >= worth {
            one * spread
        } else {
            one
        };
        let source_step = if self.backward {
            step / self.stride
        } else {
            step * self.stride
        };
        let run = |first: usize| {
            let start = |tap| Some((tap, self.source(first, tap)?));
            let mut taps: Vec<_> = (0..self.taps).filter_map(start).collect();
            taps.sort_by_key(|&(_, start)| start);
            Run {
                first,
                step,
                count: (self.out_len - first).div_ceil(step),
                source_step,
                chains: chains(&taps, source_step, pitch),
                taps,
            }
        };
        (0..step.min(self.out_len)).map(run).collect()
    }
}

impl Run {
    /// The lengths of the chains: all have the first, or there are two, of either length.
    pub(super) fn lengths(&self) -> [usize; 2] {
        match self.chains[..] {
            [a, b] if a.len != b.len => [a.len, b.len],
            [a, ..] => [a.len, 0],
            [] => [1, 0],
        }
    }

    /// How many elements gather from inside `0..source_len` by a tap that starts at `start`.
    pub(super) fn inside(&self, start: isize, source_len: usize) -> usize {
        let before = |end: isize| {
            let count = (end - start)
                .max(0)
                .unsigned_abs()
                .div_ceil(self.source_step);
            count.min(self.count)
        };
        before(source_len as isize) - before(0)
    }

    /// Where element `i` gathers from, and by which taps, those outside `0..source_len` left out.
    pub(super) fn sources(
        &self,
        i: usize,
        source_len: usize,
    ) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.taps.iter().filter_map(move |&(tap, start)| {
            let source = usize::try_from(start + (i * self.source_step) as isize).ok()?;
            (source < source_len).then_some((tap, source))
        })
    }
}

/// Links taps, by rising start, to chains: of one length, or two whose lengths differ by one.
fn chains(taps: &[(usize, isize)], source_step: usize, pitch: Pitch) -> Vec<Chain> {
    let mut left = taps.to_vec();
    let mut linked = Vec::new();
    while let Some(&(_, first)) = left.first() {
        let mut next = first;
        let (chain, others) = left.into_iter().partition(|&(_, start)| {
            let joins = start == next;
            next += if joins { source_step as isize } else { 0 };
            joins
        });
        linked.push(chain);
        left = others;
    }
    let cut = |len: fn(usize) -> usize| -> Vec<Chain> {
        let pieces = linked
            .iter()
            .flat_map(|chain: &Vec<_>| chain.chunks(len(chain.len())));
        pieces.map(|taps| Chain::new(taps, pitch)).collect()
    };
    let chains = cut(piece_len);
    let equal = chains.windows(2).all(|pair| pair[0].len == pair[1].len);
    match chains[..] {
        [a, b] if a.len == b.len + 1 && a.len < MAX_LEN => chains,
        _ if equal => chains,
        _ => cut(|_| 1),
    }
}

/// Cuts a chain that is too long into equal ones, or into a four and a three.
fn piece_len(len: usize) -> usize {
    let equal = (1..=MAX_LEN).rev().find(|&piece| len.is_multiple_of(piece));
    if len == 7 { 4 } else { equal.unwrap_or(1) }
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}
