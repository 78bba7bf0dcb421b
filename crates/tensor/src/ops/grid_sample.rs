//! Images sampled at places of a grid.

use striate_kernels::geometry::{SampleGeometry, SampleMode, SamplePadding};
use striate_kernels::sample;

use super::spatial::{filled_by, format_for, in_format, view};
use super::{check_float, check_same_dtype};
use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::{Error, MemoryFormat, Result, Tensor, current_level};

const OP: &str = "grid_sample";

impl Tensor {
    /// The image at the places of `grid`: PyTorch's `grid_sample` (Jaderberg et al., "Spatial Transformer Networks", 2015).
    ///
    /// `grid[n, i, j]` is `(x, y)` from -1 to 1, from the centres of the corner pixels with `align_corners` and from the edges
    /// of the image without. A place that is not finite lies outside.
    ///
    /// # Shapes
    /// `[N, C, H, W]` and a grid `[N, OH, OW, 2]` to `[N, C, OH, OW]`.
    ///
    /// # Errors
    /// The shapes are not these, the types differ or are not float, the image is empty and the grid is not, or
    /// memory is out.
    pub fn grid_sample(
        &self,
        grid: &Self,
        mode: SampleMode,
        padding: SamplePadding,
        align_corners: bool,
    ) -> Result<Self> {
        check_float(OP, self)?;
        check_same_dtype(OP, self, grid)?;
        let input = self.dims_array(OP)?;
        let (shape, images) = (grid.shape(), input[0]);
        let &[n, h, w, 2] = shape else {
            let detail = format!("a grid has the shape [N, OH, OW, 2], not {shape:?}");
            return Err(Error::shape(OP, detail));
        };
        if n != images {
            let detail = format!("{images} images need as many grids, got {shape:?}");
            return Err(Error::shape(OP, detail));
        }
        let geometry = SampleGeometry::new(OP, input, [h, w], mode, padding, align_corners)?;
        let x = self.channels_last()?;
        apply(GridSample { geometry }, [&x, &grid.contiguous()?])
    }
}

#[derive(Debug)]
struct GridSample {
    geometry: SampleGeometry,
}

impl Function<2> for GridSample {
    /// The image and the grid.
    type Saved = [Tensor; 2];

    fn describe(&self) -> Description {
        let g = &self.geometry;
        Description::new(OP)
            .with("mode", g.mode)
            .with("padding", g.padding)
            .with("align_corners", g.align_corners)
    }

    fn forward(&self, [x, grid]: [&Tensor; 2]) -> Result<(Tensor, [Tensor; 2])> {
        let (g, level) = (&self.geometry, current_level()?);
        let y = match_float!(OP, x.dtype(), T => {
            filled_by::<T>(g.output(), MemoryFormat::ChannelsLast, |y| {
                Ok(sample::grid_sample(level, g, &view(x)?, &view(grid)?, y)?)
            })?
        });
        let y = in_format(&y, format_for(g.output()[1]))?;
        Ok((y, [x.clone(), grid.clone()]))
    }

    fn backward(
        &self,
        [x, grid]: &[Tensor; 2],
        dy: &Tensor,
        [needs_x, needs_grid]: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let (g, level) = (&self.geometry, current_level()?);
        let dy = dy.channels_last()?;
        match_float!(OP, dy.dtype(), T => {
            let (places, dy) = (view::<T>(grid)?, view::<T>(&dy)?);
            let by_x = || {
                filled_by::<T>(g.input(), MemoryFormat::ChannelsLast, |dx| {
                    Ok(sample::grid_sample_backward_input(level, g, &places, &dy, dx)?)
                })
            };
            let by_grid = || {
                filled_by::<T>(g.grid(), MemoryFormat::RowMajor, |dgrid| {
                    Ok(sample::grid_sample_backward_grid(level, g, &view(x)?, &places, &dy, dgrid)?)
                })
            };
            Ok([
                needs_x.then(by_x).transpose()?,
                needs_grid.then(by_grid).transpose()?,
            ])
        })
    }
}
