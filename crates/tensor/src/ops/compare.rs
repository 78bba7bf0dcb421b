//! Comparisons, with broadcasting. They give U8: 1 for true, 0 for false, and have no gradient.

use crate::autograd::reject;
use crate::dtype::match_dtype;
use crate::nest::zip;
use crate::ops::check_same_dtype;
use crate::{Result, Tensor};

macro_rules! comparisons {
    ($($(#[doc = $doc:literal])+ $name:ident = $op:tt;)+) => {
        impl Tensor {$(
            $(#[doc = $doc])+
            ///
            /// # Errors
            /// The shapes do not broadcast, the types differ, or an operand tracks gradients
            /// (detach it).
            pub fn $name(&self, other: &Self) -> Result<Self> {
                const OP: &str = stringify!($name);
                check_same_dtype(OP, self, other)?;
                reject(OP, &[self, other])?;
                match_dtype!(self.dtype(), T => {
                    zip::<T, u8>(OP, self, other, |a, b| u8::from(a $op b))
                })
            }
        )+}
    };
}

comparisons! {
    /// Where `self` equals `other`.
    eq = ==;
    /// Where `self` differs from `other`; true for NaN.
    ne = !=;
    /// Where `self` is less than `other`.
    lt = <;
    /// Where `self` is at most `other`.
    le = <=;
    /// Where `self` is greater than `other`.
    gt = >;
    /// Where `self` is at least `other`.
    ge = >=;
}
