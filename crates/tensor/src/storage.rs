//! Shared memory of tensors, copied when one of several owners writes.

use std::sync::Arc;

use striate_simd::Buffer;

use crate::dtype::sealed::InStorage;
use crate::{DType, Element, Error, Result};

/// One buffer, shared by every tensor that is a view of it.
#[derive(Clone, Debug)]
pub enum Storage {
    /// 32-bit floats.
    F32(Arc<Buffer<f32>>),
    /// 64-bit floats.
    F64(Arc<Buffer<f64>>),
    /// 64-bit integers.
    I64(Arc<Buffer<i64>>),
    /// Bytes.
    U8(Arc<Buffer<u8>>),
}

impl Storage {
    pub(crate) fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F64(_) => DType::F64,
            Self::I64(_) => DType::I64,
            Self::U8(_) => DType::U8,
        }
    }

    /// The whole buffer as elements of `T`.
    pub(crate) fn slice<T: Element>(&self, op: &'static str) -> Result<&[T]> {
        match <T as InStorage>::buffer(self) {
            Some(buffer) => Ok(buffer),
            None => Err(Error::dtype(op, self.dtype(), T::DTYPE.name())),
        }
    }

    /// The whole buffer for writing, if nothing else refers to it.
    pub(crate) fn sole_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        let shared = <T as InStorage>::shared_mut(self)?;
        Arc::get_mut(shared).map(|buffer| &mut buffer[..])
    }
}
