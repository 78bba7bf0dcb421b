//! Rounding. The derivative is zero almost everywhere, so there is none: tracked tensors must be detached.

use crate::autograd::reject;
use crate::dtype::match_float;
use crate::nest::map;
use crate::{Result, Tensor};

macro_rules! roundings {
    ($($(#[doc = $doc:literal])+ $name:ident = $method:ident;)+) => {
        impl Tensor {$(
            $(#[doc = $doc])+
            ///
            /// # Errors
            /// The elements are not floats, or the tensor tracks gradients (detach it).
            pub fn $name(&self) -> Result<Self> {
                const OP: &str = stringify!($name);
                reject(OP, &[self])?;
                match_float!(OP, self.dtype(), T => map::<T, T>(OP, self, T::$method))
            }
        )+}
    };
}

roundings! {
    /// The largest whole number that is not above.
    floor = floor;
    /// The smallest whole number that is not below.
    ceil = ceil;
    /// The nearest whole number; halves to the even one.
    round = round_ties_even;
}
