//! What a tensor's elements are.

use std::fmt;
use std::sync::Arc;

use bytemuck::Pod;
use striate_simd::Buffer;

use crate::storage::{Memory, Storage};

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// 32-bit floats, computed by the SIMD kernels.
    F32,
    /// 64-bit floats, computed by the reference kernels: gradient checks and verification.
    F64,
    /// 64-bit integers: labels and indices.
    I64,
    /// Bytes: images and masks.
    U8,
}

impl DType {
    /// Bytes per element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 | Self::I64 => 8,
            Self::U8 => 1,
        }
    }

    /// Whether gradients can flow through tensors of this type.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }

    /// The name in lower case, as printed: `f32`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::I64 => "i64",
            Self::U8 => "u8",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

pub(crate) mod sealed {
    use std::sync::Arc;

    use super::{Buffer, Element, Storage};
    use crate::storage::Memory;

    /// How an element type finds its variant of [`Storage`].
    pub trait InStorage: Sized {
        /// The memory, if the storage holds this type.
        fn memory(storage: &Storage) -> Option<&Memory<Self>>
        where
            Self: Element;
        /// The shared memory, if the storage holds this type.
        fn shared_mut(storage: &mut Storage) -> Option<&mut Arc<Memory<Self>>>
        where
            Self: Element;
        /// A storage around a buffer.
        fn wrap(buffer: Buffer<Self>) -> Storage
        where
            Self: Element;
    }
}

/// A Rust type that a tensor can hold: `f32`, `f64`, `i64` or `u8`.
pub trait Element:
    Pod + PartialOrd + fmt::Display + fmt::Debug + Send + Sync + sealed::InStorage
{
    /// The tensor type of this Rust type.
    const DTYPE: DType;

    /// Nearest value; out-of-range numbers saturate and NaN becomes 0 for integers.
    fn from_f64(x: f64) -> Self;

    /// The value as `f64`; integers beyond 2^53 are rounded.
    fn to_f64(self) -> f64;
}

macro_rules! element {
    ($type:ty, $variant:ident) => {
        impl sealed::InStorage for $type {
            fn memory(storage: &Storage) -> Option<&Memory<Self>> {
                match storage {
                    Storage::$variant(memory) => Some(memory),
                    _ => None,
                }
            }

            fn shared_mut(storage: &mut Storage) -> Option<&mut Arc<Memory<Self>>> {
                match storage {
                    Storage::$variant(memory) => Some(memory),
                    _ => None,
                }
            }

            fn wrap(buffer: Buffer<Self>) -> Storage {
                Storage::$variant(Arc::new(Memory::new(buffer)))
            }
        }

        impl Element for $type {
            const DTYPE: DType = DType::$variant;

            fn from_f64(x: f64) -> Self {
                x as $type
            }

            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    };
}

element!(f32, F32);
element!(f64, F64);
element!(i64, I64);
element!(u8, U8);

/// Runs `$body` with `$T` bound to the Rust type of `$dtype`.
macro_rules! match_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
            $crate::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::DType::U8 => {
                type $T = u8;
                $body
            }
        }
    };
}
pub(crate) use match_dtype;

/// Like [`match_dtype`] over the float types; returns a dtype error naming `$op` for the others.
macro_rules! match_float {
    ($op:expr, $dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
            other => return Err($crate::Error::dtype($op, other, "f32 or f64")),
        }
    };
}
pub(crate) use match_float;
