//! Shared memory of tensors, copied when one of several owners writes.

use std::sync::Arc;

use striate_simd::Buffer;

use crate::dtype::sealed::InStorage;
use crate::packs::Packs;
use crate::{DType, Element, Error, Result};

/// One buffer, shared by every tensor that is a view of it.
#[derive(Clone, Debug)]
pub enum Storage {
    /// 32-bit floats.
    F32(Arc<Memory<f32>>),
    /// 64-bit floats.
    F64(Arc<Memory<f64>>),
    /// 64-bit integers.
    I64(Arc<Memory<i64>>),
    /// Bytes.
    U8(Arc<Memory<u8>>),
}

/// Elements, and what kernels made of them.
#[derive(Debug)]
pub struct Memory<T: Element> {
    elements: Buffer<T>,
    packs: Packs,
}

impl<T: Element> Memory<T> {
    pub(crate) fn new(elements: Buffer<T>) -> Self {
        Self {
            elements,
            packs: Packs::default(),
        }
    }

    /// The elements for writing. What was made of them is forgotten.
    fn elements_mut(&mut self) -> &mut [T] {
        self.packs.clear();
        &mut self.elements
    }
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
        match <T as InStorage>::memory(self) {
            Some(memory) => Ok(&memory.elements),
            None => Err(Error::dtype(op, self.dtype(), T::DTYPE.name())),
        }
    }

    /// The whole buffer for writing, if nothing else refers to it.
    pub(crate) fn sole_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        let shared = <T as InStorage>::shared_mut(self)?;
        Arc::get_mut(shared).map(Memory::elements_mut)
    }

    /// What kernels made of elements of `T`.
    pub(crate) fn packs<T: Element>(&self) -> Option<&Packs> {
        Some(&<T as InStorage>::memory(self)?.packs)
    }
}
