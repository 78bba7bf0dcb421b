//! `kernel_fn!`: one instruction set from one feature list.

/// Makes a token and its `Simd` implementation. The features are written once, so that what is
/// detected and what is enabled cannot drift apart.
///
/// Each operation becomes an always-inlined method around a function that has the features; the
/// method holds the one `unsafe` block, justified by the token.
macro_rules! kernel_fn {
    (
        $(#[$doc:meta])*
        $token:ident = $name:literal, $detect:path, $features:tt;
        LANES = $lanes:literal; F32 = $f32:ty; I32 = $i32:ty; Mask = $mask:ty;
        operations { $(fn $op:ident($($arg:ident: $ty:ty),*) -> $ret:ty $body:block)* }
        pointers { $(unsafe fn $pop:ident($($parg:ident: $pty:ty),*) -> $pret:ty $pbody:block)* }
        shifts { $(fn $sop:ident<$n:ident>($sarg:ident: $sty:ty) -> $sret:ty $sbody:block)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $token(());

        impl $token {
            /// The token, if this CPU has the features.
            pub fn detect() -> Option<Self> {
                $crate::kernel_fn::kernel_fn!(@has $detect, $features).then_some(Self(()))
            }
        }

        impl $crate::simd::sealed::Sealed for $token {}

        impl $crate::Simd for $token {
            const LANES: usize = $lanes;
            const NAME: &'static str = $name;
            type F32 = $f32;
            type I32 = $i32;
            type Mask = $mask;

            #[inline(always)]
            fn level(self) -> $crate::Level {
                $crate::Level::$token(self)
            }

            $crate::kernel_fn::kernel_fn!(@vectorize $features);
            $($crate::kernel_fn::kernel_fn!(@fn $features $op ($($arg: $ty),*) $ret $body);)*
            $($crate::kernel_fn::kernel_fn!(@ptr $features $pop ($($parg: $pty),*) $pret $pbody);)*
            $($crate::kernel_fn::kernel_fn!(@shift $features $sop $n $sarg $sty, $sret $sbody);)*
        }
    };
    (@has $detect:path, [$($feature:tt),+]) => {
        { use $detect as has; $(has!($feature))&&+ }
    };
    (@vectorize [$($feature:tt),+]) => {
        #[inline(always)]
        fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
            #[target_feature($(enable = $feature),+)]
            fn enter<R>(f: impl FnOnce() -> R) -> R {
                f()
            }
            // SAFETY: `self` comes from `detect`, which found these features.
            unsafe { enter(f) }
        }
    };
    (@fn [$($feature:tt),+] $op:ident ($($arg:ident: $ty:ty),*) $ret:ty $body:block) => {
        #[inline(always)]
        fn $op(self, $($arg: $ty),*) -> $ret {
            #[inline]
            #[target_feature($(enable = $feature),+)]
            fn inner($($arg: $ty),*) -> $ret $body
            // SAFETY: `self` comes from `detect`, which found these features.
            unsafe { inner($($arg),*) }
        }
    };
    (@ptr [$($feature:tt),+] $op:ident ($($arg:ident: $ty:ty),*) $ret:ty $body:block) => {
        #[inline(always)]
        unsafe fn $op(self, $($arg: $ty),*) -> $ret {
            #[inline]
            #[target_feature($(enable = $feature),+)]
            unsafe fn inner($($arg: $ty),*) -> $ret $body
            // SAFETY: `self` comes from `detect`, which found these features; the caller vouches
            // for the pointer.
            unsafe { inner($($arg),*) }
        }
    };
    (@shift [$($feature:tt),+] $op:ident $n:ident $arg:ident $ty:ty, $ret:ty $body:block) => {
        #[inline(always)]
        fn $op<const $n: i32>(self, $arg: $ty) -> $ret {
            const { assert!($n >= 0 && $n < 32, "a shift is by 0..32 bits") };
            #[inline]
            #[target_feature($(enable = $feature),+)]
            fn inner<const $n: i32>($arg: $ty) -> $ret $body
            // SAFETY: `self` comes from `detect`, which found these features.
            unsafe { inner::<$n>($arg) }
        }
    };
}
pub(crate) use kernel_fn;
