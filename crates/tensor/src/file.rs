//! Tensors out of files.

use std::sync::OnceLock;

use striate_kernels::parallel;
use striate_simd::{Buffer, FileBytes};

use crate::dtype::match_dtype;
use crate::layout::Layout;
use crate::{DType, Error, Result, Shape, Tensor};

/// Elements in a file that lie there as tensors hold them: in row-major order, and of this machine's order of bytes.
#[derive(Clone, Debug)]
pub struct FileTensor {
    /// Their type.
    pub dtype: DType,
    /// Their shape.
    pub shape: Shape,
    /// The byte where they begin.
    pub start: usize,
}

impl FileTensor {
    /// Reads tensors, on all threads, straight to where they stay.
    ///
    /// # Errors
    /// The file ends before they do or cannot be read, or memory is out.
    pub fn read_all(file: &FileBytes, tensors: &[Self]) -> Result<Vec<Tensor>> {
        let read: Vec<OnceLock<Tensor>> = tensors.iter().map(|_| OnceLock::new()).collect();
        parallel::try_for_each(tensors.len(), |i| {
            // Each is written once, by the one task that it has.
            let _ = read[i].set(tensors[i].read(file)?);
            Ok::<_, Error>(())
        })?;
        Ok(read.into_iter().filter_map(OnceLock::into_inner).collect())
    }

    fn read(&self, file: &FileBytes) -> Result<Tensor> {
        const OP: &str = "read";
        let layout = Layout::row_major(OP, &self.shape)?;
        match_dtype!(self.dtype, T => {
            let len = layout.numel().checked_mul(size_of::<T>());
            let end = len.and_then(|len| len.checked_add(self.start));
            // Before memory is taken for them.
            if end.is_none_or(|end| end > file.len()) {
                let detail = format!("{} from byte {} is not in the file", self.shape, self.start);
                return Err(Error::shape(OP, detail));
            }
            let mut buffer = Buffer::<T>::recycled(layout.numel())?;
            file.read_at(self.start, bytemuck::cast_slice_mut(&mut buffer))?;
            Ok(Tensor::from_parts(buffer, layout))
        })
    }
}
