//! `Buffer<T>`: an aligned, recycled slice of plain data.

use crate::memory::{ALIGN, Block, acquire, release};
use bytemuck::Pod;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Memory that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot allocate {bytes} bytes")]
pub struct AllocError {
    /// The size asked for, or the largest number if it does not fit one.
    pub bytes: usize,
}

/// A fixed number of `T`, aligned to 64 bytes, from the cache of [`memory`](crate::memory), to
/// which it returns.
pub struct Buffer<T: Pod> {
    // None: no elements.
    block: Option<Block>,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Pod> Buffer<T> {
    /// `len` zeros.
    ///
    /// # Errors
    /// If the system does not grant the memory.
    pub fn zeroed(len: usize) -> Result<Self, AllocError> {
        let (mut buffer, zeroed) = Self::acquire(len)?;
        if !zeroed {
            buffer.fill(T::zeroed());
        }
        Ok(buffer)
    }

    /// `len` elements of unspecified but initialised contents, for outputs that are overwritten
    /// whole.
    ///
    /// # Errors
    /// If the system does not grant the memory.
    pub fn recycled(len: usize) -> Result<Self, AllocError> {
        Ok(Self::acquire(len)?.0)
    }

    /// `len` times `value`.
    ///
    /// # Errors
    /// If the system does not grant the memory.
    pub fn filled(len: usize, value: T) -> Result<Self, AllocError> {
        let mut buffer = Self::recycled(len)?;
        buffer.fill(value);
        Ok(buffer)
    }

    /// The elements of `source`.
    ///
    /// # Errors
    /// If the system does not grant the memory.
    pub fn copy_of(source: &[T]) -> Result<Self, AllocError> {
        let mut buffer = Self::recycled(source.len())?;
        buffer.copy_from_slice(source);
        Ok(buffer)
    }

    fn acquire(len: usize) -> Result<(Self, bool), AllocError> {
        const {
            assert!(
                size_of::<T>() > 0 && align_of::<T>() <= ALIGN,
                "a plain number type"
            );
        };
        let bytes = len
            .checked_mul(size_of::<T>())
            .ok_or(AllocError { bytes: usize::MAX })?;
        if bytes == 0 {
            return Ok((
                Self {
                    block: None,
                    len,
                    element: PhantomData,
                },
                true,
            ));
        }
        let (block, zeroed) = acquire(bytes)?;
        Ok((
            Self {
                block: Some(block),
                len,
                element: PhantomData,
            },
            zeroed,
        ))
    }
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.block {
            Some(block) => bytemuck::cast_slice(&block.as_slice()[..self.len * size_of::<T>()]),
            None => &[],
        }
    }
}

impl<T: Pod> DerefMut for Buffer<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.block {
            Some(block) => {
                bytemuck::cast_slice_mut(&mut block.as_mut_slice()[..self.len * size_of::<T>()])
            }
            None => &mut [],
        }
    }
}

impl<T: Pod> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            release(block);
        }
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
