//! Pooling of channels-last `f32` data: a vector holds channels of one pixel.
//!
//! Both directions gather, so that every element is written once and rows can be written by different threads: the
//! backward pass runs over inputs and looks up the outputs whose windows they are under.

use super::plan::Plan;
use crate::lanes::maximum;
use crate::parallel::{for_each_chunk, for_each_chunk2};
use bytemuck::Pod;
use striate_simd::{Level, Simd, dispatch};

/// Vectors of channels that are gathered together.
const VECTORS: usize = 4;

/// The number of a tap or place, as it is kept.
pub(crate) trait Id: Pod + Send + Sync {
    /// What stands for no tap.
    const NONE: i32;
    /// The low bits.
    fn of(id: i32) -> Self;
    /// The first `LANES` numbers.
    fn load<S: Simd>(s: S, ids: &[Self]) -> S::I32;
}

impl Id for u8 {
    const NONE: i32 = super::NO_TAP as i32;

    #[inline(always)]
    fn of(id: i32) -> Self {
        id as Self
    }

    #[inline(always)]
    fn load<S: Simd>(s: S, ids: &[Self]) -> S::I32 {
        s.load_u8(ids)
    }
}

impl Id for i32 {
    const NONE: Self = -1;

    #[inline(always)]
    fn of(id: i32) -> Self {
        id
    }

    #[inline(always)]
    fn load<S: Simd>(s: S, ids: &[Self]) -> S::I32 {
        s.bits(s.load(bytemuck::cast_slice(ids)))
    }
}

/// The first `LANES` numbers or, if there are fewer, all and then zeros.
#[inline(always)]
fn load_ids<S: Simd, I: Id>(s: S, ids: &[I]) -> S::I32 {
    if ids.len() >= S::LANES {
        return I::load(s, ids);
    }
    let mut lanes = [I::zeroed(); 16];
    lanes[..ids.len()].copy_from_slice(ids);
    I::load(s, &lanes)
}

/// Writes the first `LANES` of `ids` or, if there is less room, as many as there is.
#[inline(always)]
fn store_ids<S: Simd, I: Id>(s: S, numbers: S::I32, ids: &mut [I]) {
    let mut bits = [0.0; 16];
    s.store(s.from_bits(numbers), &mut bits);
    let mut lanes = [I::zeroed(); 16];
    for (lane, bits) in lanes.iter_mut().zip(&bits) {
        *lane = I::of(bits.to_bits().cast_signed());
    }
    // A length that the compiler knows needs no call.
    match ids.get_mut(..S::LANES) {
        Some(ids) => ids.copy_from_slice(&lanes[..S::LANES]),
        None => ids.copy_from_slice(&lanes[..ids.len()]),
    }
}

/// The largest of what each pixel meets, and which it was.
pub(super) fn max<I: Id>(
    level: Level,
    plan: &Plan,
    x: &[f32],
    y: &mut [f32],
    ids: Option<&mut [I]>,
) {
    let (len, step) = (plan.line_len(), plan.cut().per_task());
    if len == 0 {
        return;
    }
    if let Some(ids) = ids {
        let pieces = ((y, step * len), (ids, step * len));
        for_each_chunk2(pieces.0, pieces.1, |task, y, ids| {
            let lines = y.chunks_exact_mut(len).zip(ids.chunks_exact_mut(len));
            for (i, (y, ids)) in lines.enumerate() {
                let source = plan.source(x, task * step + i);
                dispatch!(level, s => max_line_with_ids(s, plan, source, y, ids));
            }
        });
    } else {
        for_each_chunk(y, step * len, |task, y| {
            for (i, y) in y.chunks_exact_mut(len).enumerate() {
                let source = plan.source(x, task * step + i);
                dispatch!(level, s => max_line(s, plan, source, y));
            }
        });
    }
}

/// What a line is gathered from: the image, and the rows of it.
type Source<'a, 'p, T = f32> = (&'a [T], &'p [(usize, usize)]);

/// Runs `block::<VECTORS>` or `block::<1>` for each block of channels: of how many vectors, where it starts, and how many
/// channels it has.
macro_rules! for_each_block {
    ($s:ident: $S:ident, $channels:expr, $block:ident($($argument:expr),*)) => {
        let mut at = 0;
        while at + VECTORS * $S::LANES <= $channels {
            $block::<$S, VECTORS>($s, at, VECTORS * $S::LANES, $($argument),*);
            at += VECTORS * $S::LANES;
        }
        while at < $channels {
            $block::<$S, 1>($s, at, $S::LANES.min($channels - at), $($argument),*);
            at += $S::LANES;
        }
    };
}

/// The vectors of `V * LANES` channels of a pixel, or of fewer if `V` is one.
#[inline(always)]
fn load<S: Simd, const V: usize>(s: S, pixel: &[f32]) -> [S::F32; V] {
    let mut v = [s.splat(0.0); V];
    for i in 0..V {
        v[i] = if V == 1 {
            s.load_partial(pixel)
        } else {
            s.load(&pixel[i * S::LANES..])
        };
    }
    v
}

#[inline(always)]
fn store<S: Simd, const V: usize>(s: S, v: [S::F32; V], pixel: &mut [f32]) {
    for i in 0..V {
        if V == 1 {
            s.store_partial(v[i], pixel);
        } else {
            s.store(v[i], &mut pixel[i * S::LANES..]);
        }
    }
}

#[inline(always)]
pub(crate) fn max_line<S: Simd>(s: S, plan: &Plan, source: Source<'_, '_>, y: &mut [f32]) {
    let channels = plan.written[1];
    for (column, y) in y.chunks_exact_mut(channels).enumerate() {
        let columns = plan.columns.of(column);
        for_each_block!(s: S, channels, max_block(plan, source, columns, y));
    }
}

#[inline(always)]
fn max_block<S: Simd, const V: usize>(
    s: S,
    at: usize,
    len: usize,
    plan: &Plan,
    (x, rows): Source<'_, '_>,
    columns: &[(usize, usize)],
    y: &mut [f32],
) {
    let mut best = [s.splat(f32::NEG_INFINITY); V];
    for &(row, _) in rows {
        for &(column, _) in columns {
            let here = load::<S, V>(s, plan.pixel(x, [row, column], at, len));
            for v in 0..V {
                best[v] = maximum(s, here[v], best[v]);
            }
        }
    }
    store(s, best, &mut y[at..at + len]);
}

#[inline(always)]
pub(crate) fn max_line_with_ids<S: Simd, I: Id>(
    s: S,
    plan: &Plan,
    source: Source<'_, '_>,
    y: &mut [f32],
    ids: &mut [I],
) {
    let channels = plan.written[1];
    let pixels = y
        .chunks_exact_mut(channels)
        .zip(ids.chunks_exact_mut(channels));
    for (column, (y, ids)) in pixels.enumerate() {
        let columns = plan.columns.of(column);
        for_each_block!(s: S, channels, max_block_with_ids(plan, source, columns, y, ids));
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the inside of one loop")]
fn max_block_with_ids<S: Simd, const V: usize>(
    s: S,
    at: usize,
    len: usize,
    plan: &Plan,
    (x, rows): Source<'_, '_>,
    columns: &[(usize, usize)],
    y: &mut [f32],
    ids: &mut [impl Id],
) {
    let mut best = [s.splat(f32::NEG_INFINITY); V];
    let mut id = [s.splat_i32(none_of(ids)); V];
    // The first tap wins against nothing at all, even if it is minus infinity.
    if let (Some(&(row, row_tap)), Some(&(column, column_tap))) = (rows.first(), columns.first()) {
        best = load::<S, V>(s, plan.pixel(x, [row, column], at, len));
        id = [s.splat_i32((row_tap * plan.pitch + column_tap) as i32); V];
    }
    for &(row, row_tap) in rows {
        for &(column, column_tap) in columns {
            let tap = s.splat_i32((row_tap * plan.pitch + column_tap) as i32);
            let here = load::<S, V>(s, plan.pixel(x, [row, column], at, len));
            for v in 0..V {
                // Larger or NaN, unless NaN was there before.
                let not_smaller = s.mask_not(s.le(here[v], best[v]));
                let wins = s.mask_and(not_smaller, s.eq(best[v], best[v]));
                best[v] = s.select(wins, here[v], best[v]);
                id[v] = s.select_i32(wins, tap, id[v]);
            }
        }
    }
    store(s, best, &mut y[at..at + len]);
    for v in 0..V {
        store_ids(s, id[v], &mut ids[at + v * S::LANES..at + len]);
    }
}

fn none_of<I: Id>(_ids: &[I]) -> i32 {
    I::NONE
}

/// The sum of what each pixel meets, each times the factor of the pixel that is read (`factors` of a gradient) or that is
/// written (of a value).
pub(super) fn sum(level: Level, plan: &Plan, x: &[f32], factors: Factors<'_>, y: &mut [f32]) {
    let (len, step) = (plan.line_len(), plan.cut().per_task());
    if len == 0 {
        return;
    }
    for_each_chunk(y, step * len, |task, y| {
        for (i, y) in y.chunks_exact_mut(len).enumerate() {
            let line = task * step + i;
            let source = plan.source(x, line);
            let row = line % plan.written[2];
            dispatch!(level, s => sum_line(s, plan, source, row, factors, y));
        }
    });
}

/// A factor per pixel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Factors<'a> {
    /// Of the side that is written.
    Written(&'a [f32]),
    /// Of the side that is read.
    Read(&'a [f32]),
}

#[inline(always)]
fn sum_line<S: Simd>(
    s: S,
    plan: &Plan,
    source: Source<'_, '_>,
    row: usize,
    factors: Factors<'_>,
    y: &mut [f32],
) {
    let channels = plan.written[1];
    for (column, y) in y.chunks_exact_mut(channels).enumerate() {
        let columns = plan.columns.of(column);
        match factors {
            Factors::Written(factors) => {
                let factor = factors[row * plan.written[3] + column];
                for_each_block!(s: S, channels, sum_block(plan, source, columns, factor, y));
            }
            Factors::Read(factors) => {
                for_each_block!(s: S, channels, share_block(plan, source, columns, factors, y));
            }
        }
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the inside of one loop")]
fn sum_block<S: Simd, const V: usize>(
    s: S,
    at: usize,
    len: usize,
    plan: &Plan,
    (x, rows): Source<'_, '_>,
    columns: &[(usize, usize)],
    factor: f32,
    y: &mut [f32],
) {
    let mut sum = [s.splat(0.0); V];
    for &(row, _) in rows {
        for &(column, _) in columns {
            let here = load::<S, V>(s, plan.pixel(x, [row, column], at, len));
            for v in 0..V {
                sum[v] = s.add(sum[v], here[v]);
            }
        }
    }
    for v in 0..V {
        sum[v] = s.mul(sum[v], s.splat(factor));
    }
    store(s, sum, &mut y[at..at + len]);
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the inside of one loop")]
fn share_block<S: Simd, const V: usize>(
    s: S,
    at: usize,
    len: usize,
    plan: &Plan,
    (dy, rows): Source<'_, '_>,
    columns: &[(usize, usize)],
    factors: &[f32],
    dx: &mut [f32],
) {
    let mut sum = [s.splat(0.0); V];
    for &(row, _) in rows {
        for &(column, _) in columns {
            let factor = s.splat(factors[row * plan.read[1] + column]);
            let here = load::<S, V>(s, plan.pixel(dy, [row, column], at, len));
            for v in 0..V {
                sum[v] = s.mul_add(here[v], factor, sum[v]);
            }
        }
    }
    store(s, sum, &mut dx[at..at + len]);
}

/// The gradient of [`max`]: to each input the gradients of the outputs that it won.
pub(super) fn max_backward<I: Id>(
    level: Level,
    plan: &Plan,
    ids: &[I],
    dy: &[f32],
    dx: &mut [f32],
) {
    let (len, step) = (plan.line_len(), plan.cut().per_task());
    if len == 0 {
        return;
    }
    for_each_chunk(dx, step * len, |task, dx| {
        for (i, dx) in dx.chunks_exact_mut(len).enumerate() {
            let line = task * step + i;
            let sources = (plan.source(dy, line), plan.source(ids, line));
            dispatch!(level, s => win_line(s, plan, sources.0, sources.1, dx));
        }
    });
}

#[inline(always)]
pub(crate) fn win_line<S: Simd>(
    s: S,
    plan: &Plan,
    dy: Source<'_, '_>,
    ids: Source<'_, '_, impl Id>,
    dx: &mut [f32],
) {
    let channels = plan.written[1];
    for (column, dx) in dx.chunks_exact_mut(channels).enumerate() {
        let columns = plan.columns.of(column);
        for_each_block!(s: S, channels, win_block(plan, dy, columns, ids, dx));
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the inside of one loop")]
fn win_block<S: Simd, const V: usize>(
    s: S,
    at: usize,
    len: usize,
    plan: &Plan,
    (dy, dy_rows): Source<'_, '_>,
    columns: &[(usize, usize)],
    (ids, rows): Source<'_, '_, impl Id>,
    dx: &mut [f32],
) {
    let zero = s.splat(0.0);
    let mut sum = [zero; V];
    for (&(dy_row, _), &(row, row_tap)) in dy_rows.iter().zip(rows) {
        for &(column, column_tap) in columns {
            let tap = s.splat_i32((row_tap * plan.pitch + column_tap) as i32);
            let here = load::<S, V>(s, plan.pixel(dy, [dy_row, column], at, len));
            let ids = plan.pixel(ids, [row, column], at, len);
            for v in 0..V {
                let won = s.eq_i32(load_ids(s, &ids[v * S::LANES..]), tap);
                sum[v] = s.add(sum[v], s.select(won, here[v], zero));
            }
        }
    }
    store(s, sum, &mut dx[at..at + len]);
}
