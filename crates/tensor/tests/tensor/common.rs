//! Inputs for tests.

use striate_tensor::{DType, Philox, Result, Tensor};

/// F64 numbers around zero, no two alike.
pub(crate) fn randn(shape: &[usize], seed: u64) -> Result<Tensor> {
    Tensor::randn(shape, &mut Philox::new(seed))?.to_dtype(DType::F64)
}

/// F64 numbers in [0.5, 2).
pub(crate) fn positive(shape: &[usize], seed: u64) -> Result<Tensor> {
    let unit = Tensor::rand(shape, &mut Philox::new(seed))?.to_dtype(DType::F64)?;
    unit.affine(1.5, 0.5)
}

/// The same elements in every kind of memory order: row-major, channels-last, transposed, with gaps.
pub(crate) fn layouts(x: &Tensor) -> Result<Vec<Tensor>> {
    let mut all = vec![x.contiguous()?];
    let rank = x.rank();
    if rank == 4 {
        all.push(x.channels_last()?);
    }
    if rank >= 2 {
        all.push(
            x.transpose(0, rank - 1)?
                .contiguous()?
                .transpose(0, rank - 1)?,
        );
    }
    if rank >= 1 {
        let wide = Tensor::cat(&[x, x, x], rank - 1)?;
        all.push(wide.narrow(rank - 1, x.shape()[rank - 1], x.shape()[rank - 1])?);
    }
    for other in &all {
        assert_eq!(other.shape(), x.shape());
    }
    Ok(all)
}

/// The coordinates of all elements in row-major order.
pub(crate) fn coordinates(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![vec![]], |all, &len| {
        let extend = |at: &Vec<usize>| {
            let at = at.clone();
            (0..len)
                .map(move |i| at.iter().copied().chain([i]).collect())
                .collect::<Vec<_>>()
        };
        all.iter().flat_map(extend).collect()
    })
}
