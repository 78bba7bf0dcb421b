//! `dispatch!`: from a run-time level to code compiled for it.

/// Runs an expression with the token of a level, compiled with the features of that level.
///
/// `dispatch!(level, s => expr)` evaluates `expr` with `s` bound to the token. The expression is
/// compiled once per level, so it should be one call of a generic `#[inline(always)]` function, and
/// it sits in a closure: `return` and `?` do not leave the surrounding function.
#[cfg(feature = "scalar")]
#[macro_export]
macro_rules! dispatch {
    ($level:expr, $s:ident => $body:expr) => {
        match $level {
            #[cfg(target_arch = "x86_64")]
            $crate::Level::Avx512(t) => $crate::dispatch!(@enter t, $s => $body),
            #[cfg(target_arch = "x86_64")]
            $crate::Level::Avx2(t) => $crate::dispatch!(@enter t, $s => $body),
            #[cfg(target_arch = "aarch64")]
            $crate::Level::Neon(t) => $crate::dispatch!(@enter t, $s => $body),
            $crate::Level::Portable(t) => $crate::dispatch!(@enter t, $s => $body),
            $crate::Level::Scalar(t) => $crate::dispatch!(@enter t, $s => $body),
        }
    };
    (@enter $token:ident, $s:ident => $body:expr) => {
        $crate::Simd::vectorize(
            $token,
            #[inline(always)]
            || {
                let $s = $token;
                $body
            },
        )
    };
}

/// Runs an expression with the token of a level, compiled with the features of that level.
///
/// `dispatch!(level, s => expr)` evaluates `expr` with `s` bound to the token. The expression is
/// compiled once per level, so it should be one call of a generic `#[inline(always)]` function, and
/// it sits in a closure: `return` and `?` do not leave the surrounding function.
// A macro cannot ask for the features of its own crate where it is used: hence two definitions.
#[cfg(not(feature = "scalar"))]
#[macro_export]
macro_rules! dispatch {
    ($level:expr, $s:ident => $body:expr) => {
        match $level {
            #[cfg(target_arch = "x86_64")]
            $crate::Level::Avx512(t) => $crate::dispatch!(@enter t, $s => $body),
            #[cfg(target_arch = "x86_64")]
            $crate::Level::Avx2(t) => $crate::dispatch!(@enter t, $s => $body),
            #[cfg(target_arch = "aarch64")]
            $crate::Level::Neon(t) => $crate::dispatch!(@enter t, $s => $body),
            $crate::Level::Portable(t) => $crate::dispatch!(@enter t, $s => $body),
        }
    };
    (@enter $token:ident, $s:ident => $body:expr) => {
        $crate::Simd::vectorize(
            $token,
            #[inline(always)]
            || {
                let $s = $token;
                $body
            },
        )
    };
}
