//! The formulas as loops over outputs and the taps of their windows.

use super::{Divisor, NO_TAP};
use crate::geometry::{AdaptivePoolGeometry, PoolGeometry};
use crate::real::Real;
use crate::view::{View, ViewMut};

/// Calls `f(n, c, oy, ox)` for every element of `[n, c, h, w]`.
fn for_each([n, c, h, w]: [usize; 4], mut f: impl FnMut(usize, usize, usize, usize)) {
    for n in 0..n {
        for c in 0..c {
            for h in 0..h {
                for w in 0..w {
                    f(n, c, h, w);
                }
            }
        }
    }
}

/// Calls `f(tap, iy, ix)` for the taps of output `[oy, ox]` that lie inside the input.
fn for_each_tap(g: &PoolGeometry, oy: usize, ox: usize, mut f: impl FnMut(usize, usize, usize)) {
    for ky in g.taps_inside(0, oy) {
        for kx in g.taps_inside(1, ox) {
            let tap = ky * g.window().kernel[1] + kx;
            f(tap, g.position(0, oy, ky), g.position(1, ox, kx));
        }
    }
}

/// Whether `new` takes the place of the maximum `best` so far: the first of equals stays, and the first NaN wins.
pub(super) fn wins<R: Real>(new: R, best: R) -> bool {
    new > best || (new.is_nan() && !best.is_nan())
}

/// The maximum of a window, and its tap and position if it has one.
type Winner<R> = (R, Option<(usize, usize, usize)>);

fn winner<R: Real>(g: &PoolGeometry, x: &View<'_, R>, [n, c, oy, ox]: [usize; 4]) -> Winner<R> {
    let mut best: Winner<R> = (R::NEG_INFINITY, None);
    for_each_tap(g, oy, ox, |tap, iy, ix| {
        let value = x.at(n, c, iy, ix);
        if best.1.is_none() || wins(value, best.0) {
            best = (value, Some((tap, iy, ix)));
        }
    });
    best
}

pub(super) fn max<R: Real>(
    g: &PoolGeometry,
    x: &View<'_, R>,
    y: &mut ViewMut<'_, R>,
    mut taps: Option<&mut ViewMut<'_, u8>>,
) {
    for_each(g.output(), |n, c, oy, ox| {
        let (value, place) = winner(g, x, [n, c, oy, ox]);
        y.set(n, c, oy, ox, value);
        if let Some(taps) = &mut taps {
            let tap = place.and_then(|(tap, _, _)| u8::try_from(tap).ok());
            taps.set(n, c, oy, ox, tap.unwrap_or(NO_TAP));
        }
    });
}

pub(super) fn max_backward<R: Real>(
    g: &PoolGeometry,
    taps: &View<'_, u8>,
    dy: &View<'_, R>,
    dx: &mut ViewMut<'_, R>,
) {
    dx.fill(R::ZERO);
    for_each(g.output(), |n, c, oy, ox| {
        let winner = usize::from(taps.at(n, c, oy, ox));
        for_each_tap(g, oy, ox, |tap, iy, ix| {
            if tap == winner {
                *dx.at_mut(n, c, iy, ix) += dy.at(n, c, oy, ox);
            }
        });
    });
}

pub(super) fn max_backward_from_input<R: Real>(
    g: &PoolGeometry,
    x: &View<'_, R>,
    dy: &View<'_, R>,
    dx: &mut ViewMut<'_, R>,
) {
    dx.fill(R::ZERO);
    for_each(g.output(), |n, c, oy, ox| {
        if let (_, Some((_, iy, ix))) = winner(g, x, [n, c, oy, ox]) {
            *dx.at_mut(n, c, iy, ix) += dy.at(n, c, oy, ox);
        }
    });
}

pub(super) fn average<R: Real>(
    g: &PoolGeometry,
    divisor: Divisor,
    x: &View<'_, R>,
    y: &mut ViewMut<'_, R>,
) {
    for_each(g.output(), |n, c, oy, ox| {
        let mut sum = 0.0;
        for_each_tap(g, oy, ox, |_, iy, ix| sum += x.at(n, c, iy, ix).to_f64());
        y.set(n, c, oy, ox, R::from_f64(sum * divisor.factor(g, oy, ox)));
    });
}

pub(super) fn average_backward<R: Real>(
    g: &PoolGeometry,
    divisor: Divisor,
    dy: &View<'_, R>,
    dx: &mut ViewMut<'_, R>,
) {
    dx.fill(R::ZERO);
    for_each(g.output(), |n, c, oy, ox| {
        let share = dy.at(n, c, oy, ox) * R::from_f64(divisor.factor(g, oy, ox));
        for_each_tap(g, oy, ox, |_, iy, ix| *dx.at_mut(n, c, iy, ix) += share);
    });
}

/// Calls `f(iy, ix)` for the positions that output `[oy, ox]` covers.
fn for_each_covered(
    g: &AdaptivePoolGeometry,
    oy: usize,
    ox: usize,
    mut f: impl FnMut(usize, usize),
) {
    for iy in g.covered(0, oy) {
        for ix in g.covered(1, ox) {
            f(iy, ix);
        }
    }
}

pub(super) fn adaptive_average<R: Real>(
    g: &AdaptivePoolGeometry,
    x: &View<'_, R>,
    y: &mut ViewMut<'_, R>,
) {
    for_each(g.output(), |n, c, oy, ox| {
        let mut sum = 0.0;
        for_each_covered(g, oy, ox, |iy, ix| sum += x.at(n, c, iy, ix).to_f64());
        let count = g.covered(0, oy).len() * g.covered(1, ox).len();
        y.set(n, c, oy, ox, R::from_f64(sum / count as f64));
    });
}

pub(super) fn adaptive_average_backward<R: Real>(
    g: &AdaptivePoolGeometry,
    dy: &View<'_, R>,
    dx: &mut ViewMut<'_, R>,
) {
    dx.fill(R::ZERO);
    for_each(g.output(), |n, c, oy, ox| {
        let count = g.covered(0, oy).len() * g.covered(1, ox).len();
        let share = dy.at(n, c, oy, ox) / R::from_usize(count);
        for_each_covered(g, oy, ox, |iy, ix| *dx.at_mut(n, c, iy, ix) += share);
    });
}

pub(super) fn adaptive_max<R: Real>(
    g: &AdaptivePoolGeometry,
    x: &View<'_, R>,
    y: &mut ViewMut<'_, R>,
    mut places: Option<&mut ViewMut<'_, i32>>,
) {
    let width = g.input()[3];
    for_each(g.output(), |n, c, oy, ox| {
        let mut best: Option<(R, usize)> = None;
        for_each_covered(g, oy, ox, |iy, ix| {
            let value = x.at(n, c, iy, ix);
            if best.is_none_or(|(b, _)| wins(value, b)) {
                best = Some((value, iy * width + ix));
            }
        });
        let (value, place) = best.unwrap_or((R::NEG_INFINITY, 0));
        y.set(n, c, oy, ox, value);
        if let Some(places) = &mut places {
            places.set(n, c, oy, ox, i32::try_from(place).unwrap_or(i32::MAX));
        }
    });
}

pub(super) fn adaptive_max_backward<R: Real>(
    g: &AdaptivePoolGeometry,
    places: &View<'_, i32>,
    dy: &View<'_, R>,
    dx: &mut ViewMut<'_, R>,
) {
    dx.fill(R::ZERO);
    let [_, _, height, width] = g.input();
    for_each(g.output(), |n, c, oy, ox| {
        let place = usize::try_from(places.at(n, c, oy, ox)).ok();
        if let Some(place) = place.filter(|&p| p < height * width) {
            *dx.at_mut(n, c, place / width, place % width) += dy.at(n, c, oy, ox);
        }
    });
}
