//! Sums and means over dimensions.

use striate_kernels::reduce::{ReduceGeometry, Reduction, reduce};
use striate_simd::Buffer;

use crate::autograd::{Description, Function, apply, is_shapes_only};
use crate::dtype::match_float;
use crate::layout::Layout;
use crate::level::current_level;
use crate::ops::check_dims;
use crate::{Result, Tensor};

impl Tensor {
    /// The sum over `dims`, which go away or stay with size 1.
    ///
    /// # Errors
    /// A dimension does not exist or is named twice, or the elements are not floats.
    pub fn sum(&self, dims: &[usize], keepdim: bool) -> Result<Self> {
        Total::run("sum", Reduction::Sum, self, dims, keepdim)
    }

    /// The mean over `dims`, which go away or stay with size 1; NaN over no elements.
    ///
    /// # Errors
    /// A dimension does not exist or is named twice, or the elements are not floats.
    pub fn mean(&self, dims: &[usize], keepdim: bool) -> Result<Self> {
        Total::run("mean", Reduction::Mean, self, dims, keepdim)
    }

    /// The sum of all elements, of rank 0.
    ///
    /// # Errors
    /// The elements are not floats.
    pub fn sum_all(&self) -> Result<Self> {
        self.sum(&(0..self.rank()).collect::<Vec<_>>(), false)
    }

    /// The mean of all elements, of rank 0.
    ///
    /// # Errors
    /// The elements are not floats.
    pub fn mean_all(&self) -> Result<Self> {
        self.mean(&(0..self.rank()).collect::<Vec<_>>(), false)
    }
}

/// The shape after reducing `dims`: gone, or of size 1.
pub(crate) fn reduced_shape(shape: &[usize], dims: &[usize], keepdim: bool) -> Vec<usize> {
    let sizes = shape.iter().enumerate();
    let kept = sizes.filter(|(d, _)| keepdim || !dims.contains(d));
    kept.map(|(d, &size)| if dims.contains(&d) { 1 } else { size })
        .collect()
}

/// Reduces to a row-major tensor.
pub(crate) fn reduce_to(
    name: &'static str,
    op: Reduction,
    x: &Tensor,
    dims: &[usize],
    shape: &[usize],
) -> Result<Tensor> {
    let geometry = ReduceGeometry::new(x.shape(), x.strides(), dims)?;
    match_float!(name, x.dtype(), T => {
        let mut out = Buffer::<T>::recycled(geometry.output_len())?;
        if !is_shapes_only() {
            reduce(current_level()?, op, &geometry, x.memory()?, &mut out)?;
        }
        Ok(Tensor::from_parts(out, Layout::row_major(name, shape)?))
    })
}

/// Memory has the channels of a channels-last map behind its rows and columns, a result by one of these before them: the order in
/// which such a map is reduced, so that channels are neighbours in the result too.
pub(crate) const MEMORY_ORDER: [usize; 4] = [0, 2, 3, 1];

/// The way back from [`MEMORY_ORDER`].
pub(crate) const USUAL_ORDER: [usize; 4] = [0, 3, 1, 2];

/// Where the reduced dimensions of a map are in [`MEMORY_ORDER`], if that is how it is reduced.
pub(crate) fn in_memory_order(map: &Layout, dims: &[usize]) -> Option<Vec<usize>> {
    let one_side = dims.contains(&2) != dims.contains(&3);
    let place = |d: &usize| USUAL_ORDER[*d];
    (map.is_channels_last() && one_side && !dims.contains(&1))
        .then(|| dims.iter().map(place).collect())
}

struct Total {
    name: &'static str,
    op: Reduction,
    dims: Vec<usize>,
    keepdim: bool,
}

impl Total {
    fn run(
        name: &'static str,
        op: Reduction,
        x: &Tensor,
        dims: &[usize],
        keepdim: bool,
    ) -> Result<Tensor> {
        check_dims(name, x, dims)?;
        apply(
            Self {
                name,
                op,
                dims: dims.to_vec(),
                keepdim,
            },
            [x],
        )
    }
}

impl Function<1> for Total {
    /// Shape of the input.
    type Saved = Vec<usize>;

    fn describe(&self) -> Description {
        Description::new(self.name)
            .with("dims", &self.dims)
            .with("keepdim", self.keepdim)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, Vec<usize>)> {
        let shape = reduced_shape(x.shape(), &self.dims, self.keepdim);
        let y = match in_memory_order(x.layout(), &self.dims) {
            Some(dims) => {
                let map = x.view(x.layout().permute(&MEMORY_ORDER));
                let kept = reduced_shape(map.shape(), &dims, true);
                let y = reduce_to(self.name, self.op, &map, &dims, &kept)?;
                y.view(y.layout().permute(&USUAL_ORDER)).reshape(shape)?
            }
            None => reduce_to(self.name, self.op, x, &self.dims, &shape)?,
        };
        Ok((y, x.shape().to_vec()))
    }

    /// Every element has had the same part in the result.
    fn backward(
        &self,
        shape: &Vec<usize>,
        grad: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let grad = grad.reshape(reduced_shape(shape, &self.dims, true))?;
        let grad = if self.op == Reduction::Mean {
            let count: usize = self.dims.iter().map(|&d| shape[d]).product();
            grad.mul_scalar(1.0 / count as f64)?
        } else {
            grad
        };
        Ok([Some(grad.expand(shape)?)])
    }
}
