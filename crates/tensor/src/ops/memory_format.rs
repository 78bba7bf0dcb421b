//! The same elements in another memory order.

use crate::autograd::{Description, Function, apply};
use crate::dtype::match_dtype;
use crate::layout::Layout;
use crate::{Error, MemoryFormat, Result, Tensor};

impl Tensor {
    /// In row-major order without gaps; a copy unless it is so already.
    ///
    /// # Errors
    /// Memory is out.
    pub fn contiguous(&self) -> Result<Self> {
        if self.is_contiguous() {
            return Ok(self.clone());
        }
        apply(
            Reorder {
                format: MemoryFormat::RowMajor,
            },
            [self],
        )
    }

    /// In channels-last order without gaps; a copy unless it is so already.
    ///
    /// # Errors
    /// The rank is not 4.
    pub fn channels_last(&self) -> Result<Self> {
        if self.rank() != 4 {
            let detail = format!("expected [N, C, H, W], got shape {:?}", self.shape());
            return Err(Error::shape("channels_last", detail));
        }
        if self.is_channels_last() {
            return Ok(self.clone());
        }
        apply(
            Reorder {
                format: MemoryFormat::ChannelsLast,
            },
            [self],
        )
    }
}

struct Reorder {
    format: MemoryFormat,
}

impl Reorder {
    fn name(&self) -> &'static str {
        match self.format {
            MemoryFormat::RowMajor => "contiguous",
            MemoryFormat::ChannelsLast => "channels_last",
        }
    }
}

impl Function<1> for Reorder {
    type Saved = ();

    fn describe(&self) -> Description {
        Description::new(self.name())
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, ())> {
        let layout = match self.format {
            MemoryFormat::RowMajor => Layout::row_major(self.name(), x.shape())?,
            MemoryFormat::ChannelsLast => Layout::channels_last(self.name(), x.shape())?,
        };
        match_dtype!(x.dtype(), T => {
            Ok((Tensor::from_parts(x.copy_into_layout::<T>(&layout)?, layout), ()))
        })
    }

    fn backward(&self, (): &(), grad: &Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(grad.clone())])
    }
}
