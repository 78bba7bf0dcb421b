//! Plain loops over vectors, and the elementary functions.

use crate::numbers;
use std::hint::black_box;
use striate_simd::{Level, Simd, dispatch, math};

/// `y += a * x`: what a plain loop over vectors compiles to.
#[inline(never)]
fn axpy(level: Level, a: f32, x: &[f32], y: &mut [f32]) {
    #[inline(always)]
    fn run<S: Simd>(s: S, a: f32, x: &[f32], y: &mut [f32]) {
        let a = s.splat(a);
        for (x, y) in x.chunks_exact(S::LANES).zip(y.chunks_exact_mut(S::LANES)) {
            s.store(s.mul_add(a, s.load(x), s.load(y)), y);
        }
    }
    dispatch!(level, s => run(s, a, x, y));
}

/// `y = f(x)` for the functions of `striate_simd::math`.
macro_rules! elementary {
    ($($name:ident)+) => {
        $(#[inline(never)]
        fn $name(level: Level, x: &[f32], y: &mut [f32]) {
            #[inline(always)]
            fn run<S: Simd>(s: S, x: &[f32], y: &mut [f32]) {
                for (x, y) in x.chunks_exact(S::LANES).zip(y.chunks_exact_mut(S::LANES)) {
                    s.store(math::$name(s, s.load(x)), y);
                }
            }
            dispatch!(level, s => run(s, x, y));
        })+
    };
}
elementary!(exp log sigmoid tanh erf);

pub(crate) fn run(level: Level) {
    let x = numbers(4096);
    let mut y = vec![0.0; 4096];
    axpy(level, 2.0, &x, &mut y);
    for function in [exp, log, sigmoid, tanh, erf] {
        function(level, &x, &mut y);
    }
    black_box(&mut y);
}
