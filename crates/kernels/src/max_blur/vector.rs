//! Channels-last `f32`: lines of maxima, or of their gradients, live in a ring just long enough for one line of what is
//! written.
//!
//! A task writes several lines, of which each finds most of what it needs in the ring. Tasks compute the lines that they
//! share twice, the same bits; the first that an output needs keeps the taps that won.

use super::MaxBlurGeometry;
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::parallel::{Cut, try_for_each};
use crate::{pool, resample};
use striate_simd::{Buffer, Level, dispatch};

/// A few lines of a map that is never whole.
struct Ring {
    lines: Buffer<f32>,
    line_len: usize,
    /// Which line of the map each is.
    held: Vec<Option<usize>>,
}

impl Ring {
    fn new(count: usize, line_len: usize) -> Result<Self, KernelError> {
        let count = count.max(1);
        Ok(Self {
            lines: Buffer::recycled(count * line_len)?,
            line_len,
            held: vec![None; count],
        })
    }

    /// Where line `line` of the map is; `write` writes it if it is not there. Lines that are as near to each other as the
    /// ring is long do not drive each other out.
    fn place(&mut self, line: usize, write: impl FnOnce(&mut [f32])) -> usize {
        let place = line % self.held.len();
        if self.held[place] != Some(line) {
            write(&mut self.lines[place * self.line_len..][..self.line_len]);
            self.held[place] = Some(line);
        }
        place
    }
}

/// Tasks of lines that are worth one and, of `images` times `h` lines that need `span` each of an image's `between`,
/// compute no more than an eighth of these twice.
fn cut([images, h]: [usize; 2], cost: usize, between: usize, span: usize) -> Cut {
    let step = (between / h).max(1);
    let apart = 8 * span.saturating_sub(step) / step;
    let lines = images * h;
    Cut::every(lines, Cut::new(lines, cost).per_task().max(apart))
}

pub(super) fn forward(
    level: Level,
    g: &MaxBlurGeometry,
    x: &[f32],
    y: &mut [f32],
    taps: Option<&mut [u8]>,
) -> Result<(), KernelError> {
    let ([_, _, between, w], [n, c, h, out_w]) = (g.maxima(), g.output());
    if y.is_empty() {
        return Ok(());
    }
    let windows = pool::Plan::of_windows(&g.window);
    let blur = resample::Plan::of_blur(&g.blur);
    let (line_len, out_len, span) = (w * c, out_w * c, blur.rows.span());
    // The outputs that each line of maxima is in.
    let users = blur.rows.reversed(between);
    let cut = cut(
        [n, h],
        line_len * (g.window.taps() + span) / 2,
        between,
        span,
    );
    let (y, taps) = (DisjointMut::new(y), taps.map(DisjointMut::new));
    try_for_each(cut.tasks(), |task| {
        let lines = cut.range(task);
        let mut ring = Ring::new(span, line_len)?;
        let mut line = Buffer::<f32>::recycled(line_len)?;
        let mut rows = Vec::with_capacity(span);
        let mut y = y.range(lines.start * out_len..lines.end * out_len);
        for (at, y) in lines.clone().zip(y.chunks_exact_mut(out_len)) {
            rows.clear();
            for &(row, weight) in blur.rows.of(at % h) {
                let row_of_all = at / h * between + row;
                let place = ring.place(row_of_all, |maxima| {
                    let source = windows.source(x, row_of_all);
                    let first = users.of(row).first().map(|user| at / h * h + user.0);
                    match &taps {
                        Some(taps) if first.is_some_and(|first| lines.contains(&first)) => {
                            let place = row_of_all * line_len;
                            let taps = &mut taps.range(place..place + line_len)[..];
                            dispatch!(level, s => pool::max_line_with_ids(s, &windows, source, maxima, taps));
                        }
                        _ => dispatch!(level, s => pool::max_line(s, &windows, source, maxima)),
                    }
                });
                rows.push((place, weight));
            }
            let (rows, maxima) = (&rows[..], &ring.lines[..]);
            dispatch!(level, s => resample::write_line(s, &blur, rows, maxima, &mut line, y));
        }
        Ok(())
    })
}

pub(super) fn backward(
    level: Level,
    g: &MaxBlurGeometry,
    taps: &[u8],
    dy: &[f32],
    dx: &mut [f32],
) -> Result<(), KernelError> {
    let ([_, _, out_h, out_w], [_, _, between, w]) = (g.output(), g.maxima());
    let [n, c, h, in_w] = g.input();
    if dx.is_empty() {
        return Ok(());
    }
    let windows = pool::Plan::of_windows(&g.window).reversed();
    let blur = resample::Plan::of_blur(&g.blur).reversed();
    let (line_len, dx_len, image) = (w * c, in_w * c, out_h * out_w * c);
    let span = windows.rows.span();
    let cut = cut([n, h], dx_len * (g.window.taps() + span) / 2, between, span);
    let dx = DisjointMut::new(dx);
    try_for_each(cut.tasks(), |task| {
        let lines = cut.range(task);
        let mut ring = Ring::new(span, line_len)?;
        let mut line = Buffer::<f32>::recycled(out_w * c)?;
        let mut rows = Vec::with_capacity(span);
        let mut dx = dx.range(lines.start * dx_len..lines.end * dx_len);
        for (at, dx) in lines.zip(dx.chunks_exact_mut(dx_len)) {
            let dy = &dy[at / h * image..][..image];
            let taps = windows.source(taps, at);
            rows.clear();
            for &(row, tap) in taps.1 {
                let place = ring.place(at / h * between + row, |gradient| {
                    let rows = blur.rows.of(row);
                    dispatch!(level, s => resample::write_line(s, &blur, rows, dy, &mut line, gradient));
                });
                rows.push((place, tap));
            }
            let gradients = (&ring.lines[..], &rows[..]);
            dispatch!(level, s => pool::win_line(s, &windows, gradients, taps, dx));
        }
        Ok(())
    })
}
