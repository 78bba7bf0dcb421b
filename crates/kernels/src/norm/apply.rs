//! The writing passes of normalisation, for `f32` on vectors.
//!
//! Channels-last rows are handled several at a time when they are short: their parameters are repeated until a line of
//! them fills some vectors.

use super::{After, NormGeometry, Upstream};
use crate::disjoint::DisjointMut;
use crate::geometry::Layout;
use crate::lanes::map;
use crate::parallel::{Cut, for_each};
use striate_simd::{Level, Simd, dispatch};

/// The least length of a line of parameters.
const LINE: usize = 128;

/// `P` numbers per image and channel.
#[derive(Clone, Debug)]
pub(super) struct Parameters<const P: usize>(pub(super) [Vec<f32>; P]);

impl<const P: usize> Parameters<P> {
    /// The numbers that `f` gives for each index of `[N * C]`.
    pub(super) fn new(len: usize, f: impl Fn(usize) -> [f64; P]) -> Self {
        let mut values = [const { Vec::new() }; P];
        for i in 0..len {
            for (values, value) in values.iter_mut().zip(f(i)) {
                values.push(value as f32);
            }
        }
        Self(values)
    }

    /// The numbers of each image, repeated to lines of `repeats * channels`.
    fn repeated(self, channels: usize, repeats: usize) -> Self {
        if repeats <= 1 || channels == 0 {
            return self;
        }
        Self(self.0.map(|v| {
            v.chunks(channels)
                .flat_map(|image| image.repeat(repeats))
                .collect()
        }))
    }
}

/// A piece of the data under one line of parameters: channels-last rows, whose channels have a parameter each, or a
/// channels-first run, which has one.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Offset of the first element.
    start: usize,
    /// Number of elements.
    len: usize,
    /// Offset of the parameters.
    line: usize,
    /// Number of parameters: one repeats for all elements.
    line_len: usize,
}

/// Runs `f` on pieces that cover the array, on several threads.
fn for_each_piece(g: &NormGeometry, repeats: usize, f: impl Fn(Piece) + Sync + Send) {
    match g.layout() {
        Layout::Nhwc => {
            let line_len = g.channels() * repeats;
            let image = g.channels() * g.spatial();
            let cut = Cut::new(image.div_ceil(line_len.max(1)), 2 * line_len);
            for_each(g.batch() * cut.tasks(), |task| {
                let n = task / cut.tasks();
                let lines = cut.range(task % cut.tasks());
                let (start, end) = (lines.start * line_len, (lines.end * line_len).min(image));
                f(Piece {
                    start: n * image + start,
                    len: end - start,
                    line: n * line_len,
                    line_len,
                });
            });
        }
        Layout::Nchw => {
            let cut = Cut::new(g.batch() * g.channels(), 2 * g.spatial());
            for_each(cut.tasks(), |task| {
                for line in cut.range(task) {
                    f(Piece {
                        start: line * g.spatial(),
                        len: g.spatial(),
                        line,
                        line_len: 1,
                    });
                }
            });
        }
    }
}

/// How often the parameters of an image are repeated.
fn repeats(g: &NormGeometry) -> usize {
    match g.layout() {
        Layout::Nhwc => LINE.div_ceil(g.channels().max(1)).min(g.spatial().max(1)),
        Layout::Nchw => 1,
    }
}

/// `y = (x - mean) * scale + shift`, then what comes after.
pub(super) fn apply(
    level: Level,
    g: &NormGeometry,
    x: &[f32],
    mean_scale_shift: Parameters<3>,
    after: After<'_, f32>,
    y: &mut [f32],
) {
    let repeats = repeats(g);
    let parameters = mean_scale_shift.repeated(g.channels(), repeats);
    let y = DisjointMut::new(y);
    for_each_piece(g, repeats, |piece| {
        let mut y = y.range(piece.start..piece.start + piece.len);
        dispatch!(level, s => apply_piece(s, piece, x, &parameters, after, &mut y));
    });
}

#[inline(always)]
fn apply_piece<S: Simd>(
    s: S,
    piece: Piece,
    x: &[f32],
    parameters: &Parameters<3>,
    After { residual, relu }: After<'_, f32>,
    y: &mut [f32],
) {
    let [mean, scale, shift] = line_of(&parameters.0, piece);
    let zero = s.splat(0.0);
    // NaN passes as the second operand.
    macro_rules! finish {
        ($value:expr) => {
            if relu { s.max(zero, $value) } else { $value }
        };
    }
    if piece.line_len == 1 {
        let here = piece.start..piece.start + piece.len;
        let [mean, scale, shift] = [s.splat(mean[0]), s.splat(scale[0]), s.splat(shift[0])];
        match residual {
            None => map(
                s,
                [&x[here]],
                y,
                #[inline(always)]
                |[x]| finish!(s.mul_add(s.sub(x, mean), scale, shift)),
            ),
            Some(r) => map(
                s,
                [&x[here.clone()], &r[here]],
                y,
                #[inline(always)]
                |[x, r]| finish!(s.add(s.mul_add(s.sub(x, mean), scale, shift), r)),
            ),
        }
        return;
    }
    for (i, y) in y.chunks_mut(piece.line_len).enumerate() {
        let start = piece.start + i * piece.line_len;
        let x = &x[start..start + y.len()];
        match residual {
            None => {
                let inputs = [x, mean, scale, shift];
                map(
                    s,
                    inputs,
                    y,
                    #[inline(always)]
                    |[x, mean, scale, shift]| finish!(s.mul_add(s.sub(x, mean), scale, shift)),
                );
            }
            Some(r) => {
                let inputs = [x, mean, scale, shift, &r[start..start + y.len()]];
                map(
                    s,
                    inputs,
                    y,
                    #[inline(always)]
                    |[x, mean, scale, shift, r]| {
                        finish!(s.add(s.mul_add(s.sub(x, mean), scale, shift), r))
                    },
                );
            }
        }
    }
}

/// `dx = dy * scale - constant - (x - mean) * slope`, with `dy` zero where the mask is; `dresidual`, if given, receives
/// that `dy`.
pub(super) fn gradient(
    level: Level,
    g: &NormGeometry,
    upstream: Upstream<'_, f32>,
    mean_scale_constant_slope: Parameters<4>,
    dx: &mut [f32],
    dresidual: Option<&mut [f32]>,
) {
    let repeats = repeats(g);
    let parameters = mean_scale_constant_slope.repeated(g.channels(), repeats);
    let dx = DisjointMut::new(dx);
    let dresidual = dresidual.map(DisjointMut::new);
    for_each_piece(g, repeats, |piece| {
        let here = piece.start..piece.start + piece.len;
        let mut dx = dx.range(here.clone());
        dispatch!(level, s => gradient_piece(s, piece, upstream, &parameters, &mut dx));
        if let Some(dresidual) = &dresidual {
            let mut dresidual = dresidual.range(here);
            dispatch!(level, s => pass(s, piece, upstream, &mut dresidual));
        }
    });
}

#[inline(always)]
fn gradient_piece<S: Simd>(
    s: S,
    piece: Piece,
    Upstream { x, dy, mask }: Upstream<'_, f32>,
    parameters: &Parameters<4>,
    dx: &mut [f32],
) {
    let lines = line_of(&parameters.0, piece);
    let zero = s.splat(0.0);
    macro_rules! step {
        ($x:ident, $dy:expr, $mean:ident, $scale:ident, $constant:ident, $slope:ident) => {
            s.neg_mul_add(
                s.sub($x, $mean),
                $slope,
                s.mul_add($dy, $scale, s.neg($constant)),
            )
        };
    }
    macro_rules! passed {
        ($dy:ident, $y:ident) => {
            s.select(s.le($y, zero), zero, $dy)
        };
    }
    if piece.line_len == 1 {
        let here = piece.start..piece.start + piece.len;
        let [m, a, c, b] = [lines[0][0], lines[1][0], lines[2][0], lines[3][0]];
        let [m, a, c, b] = [s.splat(m), s.splat(a), s.splat(c), s.splat(b)];
        let (x, dy) = (&x[here.clone()], &dy[here.clone()]);
        match mask {
            None => map(
                s,
                [x, dy],
                dx,
                #[inline(always)]
                |[x, dy]| step!(x, dy, m, a, c, b),
            ),
            Some(y) => map(
                s,
                [x, dy, &y[here]],
                dx,
                #[inline(always)]
                |[x, dy, y]| step!(x, passed!(dy, y), m, a, c, b),
            ),
        }
        return;
    }
    let [m, a, c, b] = lines;
    for (i, dx) in dx.chunks_mut(piece.line_len).enumerate() {
        let start = piece.start + i * piece.line_len;
        let here = start..start + dx.len();
        let (x, dy) = (&x[here.clone()], &dy[here.clone()]);
        match mask {
            None => map(
                s,
                [x, dy, m, a, c, b],
                dx,
                #[inline(always)]
                |[x, dy, m, a, c, b]| step!(x, dy, m, a, c, b),
            ),
            Some(y) => {
                let inputs = [x, dy, m, a, c, b, &y[here]];
                map(
                    s,
                    inputs,
                    dx,
                    #[inline(always)]
                    |[x, dy, m, a, c, b, y]| step!(x, passed!(dy, y), m, a, c, b),
                );
            }
        }
    }
}

/// The gradient of the residual.
#[inline(always)]
fn pass<S: Simd>(s: S, piece: Piece, upstream: Upstream<'_, f32>, dresidual: &mut [f32]) {
    let here = piece.start..piece.start + piece.len;
    let dy = &upstream.dy[here.clone()];
    match upstream.mask {
        None => dresidual.copy_from_slice(dy),
        Some(y) => map(
            s,
            [dy, &y[here]],
            dresidual,
            #[inline(always)]
            |[dy, y]| s.select(s.le(y, s.splat(0.0)), s.splat(0.0), dy),
        ),
    }
}

/// The line of parameters of a piece.
#[inline(always)]
fn line_of<const P: usize>(parameters: &[Vec<f32>; P], piece: Piece) -> [&[f32]; P] {
    let mut lines = [&[][..]; P];
    for p in 0..P {
        lines[p] = &parameters[p][piece.line..piece.line + piece.line_len];
    }
    lines
}
