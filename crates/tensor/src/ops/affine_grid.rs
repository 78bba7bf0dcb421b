//! Grids of places that affine maps give.

use super::check_float;
use super::spatial::Pair;
use crate::{Error, Result, Tensor};

const OP: &str = "affine_grid";

impl Tensor {
    /// The places of `size` rows and columns under affine maps, for [`grid_sample`](Self::grid_sample): `(x, y) = theta (u, v, 1)`, where
    /// `(u, v)` runs over an image from -1 to 1: over the centres of its pixels, which reach -1 and 1 with `align_corners` only.
    ///
    /// # Shapes
    /// `theta` `[N, 2, 3]` to `[N, H, W, 2]`.
    ///
    /// # Errors
    /// The shape is another, the elements are not floats, the size does not fit the address space, or memory is out.
    pub fn affine_grid(&self, size: impl Into<Pair>, align_corners: bool) -> Result<Self> {
        check_float(OP, self)?;
        let (shape, Pair([h, w])) = (self.shape(), size.into());
        let &[n, 2, 3] = shape else {
            let detail = format!("affine maps have the shape [N, 2, 3], not {shape:?}");
            return Err(Error::shape(OP, detail));
        };
        let Some(places) = h.checked_mul(w).filter(|p| p.checked_mul(3).is_some()) else {
            let detail = format!("a grid of {h} x {w} places has too many elements");
            return Err(Error::shape(OP, detail));
        };
        let (rows, columns) = (centres(h, align_corners)?, centres(w, align_corners)?);
        let u = columns.unsqueeze(0)?.expand([h, w])?;
        let v = rows.unsqueeze(1)?.expand([h, w])?;
        let one = Self::ones([h, w], u.dtype())?;
        let base = Self::stack(&[&u, &v, &one], 0)?.reshape([3, places])?;
        let maps = self.reshape([2 * n, 3])?;
        let grid = maps.matmul(&base.to_dtype(self.dtype())?)?;
        grid.reshape([n, 2, h, w])?
            .permute(&[0, 2, 3, 1])?
            .contiguous()
    }
}

/// The centres of `count` pixels that fill -1 to 1, or whose outermost centres lie there.
fn centres(count: usize, align_corners: bool) -> Result<Tensor> {
    let centre = |i: usize| match (align_corners, count) {
        (true, 1) => 0.0,
        (true, _) => 2.0 * i as f64 / (count - 1) as f64 - 1.0,
        (false, _) => (2 * i + 1) as f64 / count as f64 - 1.0,
    };
    Tensor::from_vec((0..count).map(centre).collect::<Vec<f64>>(), [count])
}
