//! Mixtures of images.

use striate_kernels::mixture::{self, Maps};
use striate_simd::Buffer;

use super::affine::check_parameter;
use super::check_float;
use crate::autograd::{Description, VariadicFunction, apply_variadic};
use crate::dtype::match_float;
use crate::{Element, Error, MemoryFormat, Result, Tensor, current_level};

const OP: &str = "mix_maps";

impl Tensor {
    /// The sum of several images, each channel weighed by a factor of its own:
    /// `y[n,c] = sum over m of factors[n,m,c] * maps[m][n,c]`, in one pass over the images.
    ///
    /// # Shapes
    /// `M` images `[N, C, H, W]`, or one `[N, M * C, H, W]` of which they are the channels, and factors `[N, M, C]` to
    /// `[N, C, H, W]`.
    ///
    /// # Errors
    /// There are no images, the shapes do not fit, element types differ, or memory is out.
    pub fn mix_maps(maps: &[&Self], factors: &Self) -> Result<Self> {
        let [first, rest @ ..] = maps else {
            return Err(Error::shape(OP, "needs at least one map"));
        };
        check_float(OP, first)?;
        let [n, _, h, w] = first.dims_array(OP)?;
        let [_, m, c] = factors.dims_array(OP)?;
        check_parameter(OP, first, "set of factors", factors, &[n, m, c])?;
        for map in rest {
            check_parameter(OP, first, "map", map, first.shape())?;
        }
        let (count, channels) = match rest {
            [] => (m, m.checked_mul(c)),
            _ => (maps.len(), Some(c)),
        };
        if count != m || channels != Some(first.shape()[1]) {
            let detail = format!(
                "{} maps {:?} do not fit factors {:?}",
                maps.len(),
                first.shape(),
                factors.shape()
            );
            return Err(Error::shape(OP, detail));
        }
        let geometry = Maps {
            samples: n,
            maps: m,
            places: h * w,
            channels: c,
        };
        let maps = maps.iter().map(|map| map.channels_last());
        let maps = maps.collect::<Result<Vec<_>>>()?;
        let factors = factors.contiguous()?;
        let inputs: Vec<&Self> = maps.iter().chain([&factors]).collect();
        let size = [h, w];
        apply_variadic(MixMaps { geometry, size }, &inputs)
    }
}

#[derive(Debug)]
struct MixMaps {
    geometry: Maps,
    size: [usize; 2],
}

/// The maps and the factors.
fn split(inputs: &[Tensor]) -> Result<(&[Tensor], &Tensor)> {
    let split = inputs.split_last().map(|(factors, maps)| (maps, factors));
    split.ok_or_else(|| Error::shape(OP, "needs factors"))
}

fn slices<T: Element>(maps: &[Tensor]) -> Result<Vec<&[T]>> {
    maps.iter().map(Tensor::memory).collect()
}

impl VariadicFunction for MixMaps {
    /// The maps and the factors.
    type Saved = Vec<Tensor>;

    fn describe(&self) -> Description {
        Description::new(OP).with("maps", self.geometry.maps)
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<(Tensor, Vec<Tensor>)> {
        let ((maps, factors), g) = (split(inputs)?, &self.geometry);
        let shape = [g.samples, g.channels, self.size[0], self.size[1]];
        let y = match_float!(OP, factors.dtype(), T => {
            let mut y = Buffer::<T>::recycled(shape.iter().product())?;
            let maps = slices(maps)?;
            mixture::mix_maps(current_level()?, g, &maps, factors.memory()?, &mut y)?;
            Tensor::from_buffer(y, shape, MemoryFormat::ChannelsLast)?
        });
        Ok((y, inputs.to_vec()))
    }

    fn backward(
        &self,
        inputs: &Vec<Tensor>,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let ((maps, factors), g) = (split(inputs)?, &self.geometry);
        let grad = grad.channels_last()?;
        let gradients = match_float!(OP, grad.dtype(), T => {
            let mut dx = maps
                .iter()
                .map(|map| Buffer::<T>::recycled(map.numel()))
                .collect::<std::result::Result<Vec<_>, _>>()?;
            let mut da = Buffer::<T>::recycled(factors.numel())?;
            let mut outputs: Vec<&mut [T]> = dx.iter_mut().map(|dx| &mut dx[..]).collect();
            mixture::mix_maps_backward(
                current_level()?,
                g,
                &slices(maps)?,
                factors.memory()?,
                grad.memory()?,
                &mut outputs,
                &mut da,
            )?;
            let maps = dx.into_iter().zip(maps);
            let mut gradients = maps
                .map(|(dx, map)| Tensor::from_buffer(dx, map.shape(), MemoryFormat::ChannelsLast))
                .collect::<Result<Vec<_>>>()?;
            gradients.push(Tensor::from_buffer(da, factors.shape(), MemoryFormat::RowMajor)?);
            gradients
        });
        let needed = gradients.into_iter().zip(needs);
        Ok(needed
            .map(|(gradient, &needed)| needed.then_some(gradient))
            .collect())
    }
}
