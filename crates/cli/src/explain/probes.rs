//! From what modules emit to what is drawn.

use striate::Tensor;
use striate::layers::probe::{Probe, ProbeKind};

use super::{Attention, Values};
use crate::failure::Failure;

/// The attention of the first image of a batch, in the order in which the network ran. Grids are no attention.
pub(crate) fn attentions(probes: &[Probe]) -> Result<Vec<Attention>, Failure> {
    probes
        .iter()
        .filter(|probe| probe.kind != ProbeKind::Grid)
        .map(|probe| {
            Ok(Attention {
                path: probe.path.to_string(),
                values: values(probe)?,
            })
        })
        .collect()
}

fn values(probe: &Probe) -> Result<Values, Failure> {
    let image: Tensor = probe.tensor.select(0, 0)?;
    Ok(match (probe.kind, image.shape()) {
        (ProbeKind::ChannelGate | ProbeKind::ExpertWeights, &[_]) => {
            Values::ChannelGates(image.to_vec()?)
        }
        (ProbeKind::BranchWeights, &[_, channels]) => {
            let weights = image.to_vec::<f32>()?;
            let branches = weights.chunks(channels.max(1)).map(<[f32]>::to_vec);
            Values::BranchWeights(branches.collect())
        }
        // A factor for every element is shown by its mean over the channels.
        (ProbeKind::SpatialMap | ProbeKind::FullGate, &[_, h, w]) => Values::SpatialMap {
            size: [h, w],
            values: image.mean(&[0], false)?.to_vec()?,
        },
        // How far taps move, by the mean over them.
        (ProbeKind::Offsets, &[pairs, h, w]) => {
            let squares = image.square()?.reshape([pairs / 2, 2, h, w])?;
            let lengths = squares.sum(&[1], false)?.sqrt()?;
            Values::SpatialMap {
                size: [h, w],
                values: lengths.mean(&[0], false)?.to_vec()?,
            }
        }
        (kind, shape) => {
            return Err(Failure::work(format!(
                "{}: {kind:?} of shape {shape:?}",
                probe.path
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use striate::DType;

    use super::*;

    fn drawn(kind: ProbeKind, shape: &[usize]) -> Result<Values, Failure> {
        let numbers = Tensor::arange(shape.iter().product(), DType::F32).unwrap();
        let tensor = numbers.reshape(shape).unwrap();
        values(&Probe {
            path: "a".into(),
            kind,
            tensor,
        })
    }

    #[test]
    fn the_first_image_is_taken() {
        let Ok(Values::ChannelGates(gates)) = drawn(ProbeKind::ChannelGate, &[2, 3]) else {
            panic!("gates")
        };
        assert_eq!(gates, [0.0, 1.0, 2.0]);
        let Ok(Values::BranchWeights(weights)) = drawn(ProbeKind::BranchWeights, &[2, 2, 2]) else {
            panic!("weights")
        };
        assert_eq!(weights, [[0.0, 1.0], [2.0, 3.0]]);
        let Ok(Values::SpatialMap { size, values }) = drawn(ProbeKind::SpatialMap, &[1, 1, 1, 2])
        else {
            panic!("map")
        };
        assert_eq!((size, values), ([1, 2], vec![0.0, 1.0]));
        let Ok(Values::SpatialMap { values, .. }) = drawn(ProbeKind::FullGate, &[1, 2, 1, 2])
        else {
            panic!("gates of all elements")
        };
        assert_eq!(values, [1.0, 2.0]);
        let Ok(Values::SpatialMap { values, .. }) = drawn(ProbeKind::Offsets, &[1, 2, 1, 2]) else {
            panic!("lengths of offsets")
        };
        assert_eq!(values, [2.0, 10f32.sqrt()]);
    }

    #[test]
    fn an_unexpected_shape_is_an_error() {
        assert!(drawn(ProbeKind::ChannelGate, &[1, 2, 3]).is_err());
        assert!(drawn(ProbeKind::SpatialMap, &[0, 1, 2, 2]).is_err());
    }
}
